"""Mini-batch gradient descent on a network with one hidden layer, without classes: a second opinion."""

import numpy as np

from .functions import sigmoid, softmax


def book_weights(sizes, scales, dtype=np.float64):
    """[W1, b1, W2, b2, ...] as the books draw them from NumPy's global stream."""
    params = []
    for scale, rows, columns in zip(scales, sizes, sizes[1:], strict=False):
        params += [(scale * np.random.randn(rows, columns)).astype(dtype), np.zeros(columns, dtype)]
    return params


def scores(params, x, activation=sigmoid):
    """A network's scores, before the softmax."""
    for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = activation(x @ W + b)
    return x @ params[-2] + params[-1]


def loss_and_gradients(params, x, onehot):
    """Of the network with one hidden layer of sigmoids, softmax and cross entropy."""
    W1, b1, W2, b2 = params
    hidden = sigmoid(x @ W1 + b1)
    y = softmax(hidden @ W2 + b2)
    loss = -np.log(y[onehot == 1] + 1e-7).sum() / len(x)
    d2 = (y - onehot) / len(x)
    d1 = d2 @ W2.T * (1 - hidden) * hidden
    return loss, [x.T @ d1, d1.sum(axis=0), hidden.T @ d2, d2.sum(axis=0)]


def fit(params, x, onehot, *, lr, max_epoch, batch_size=30, eval_interval=10):
    """Mini-batch gradient descent on `params`, in place; return the losses that the book's Trainer would list."""
    losses, window = [], []
    for _ in range(max_epoch):
        order = np.random.permutation(len(x))
        x, onehot = x[order], onehot[order]
        for step in range(len(x) // batch_size):
            batch = slice(step * batch_size, (step + 1) * batch_size)
            loss, gradients = loss_and_gradients(params, x[batch], onehot[batch])
            for param, gradient in zip(params, gradients, strict=True):
                param -= lr * gradient
            window.append(loss)
            if step % eval_interval == 0:
                losses.append(sum(window) / len(window))
                window = []
    return losses
