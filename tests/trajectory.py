"""Training in plain NumPy, as the books write it: what a run of the Trainer is held against.

The bounds are those that scratchnet promises to its users; they are in this one place so that no test invents
its own.
"""

import numpy as np

# Loss lists of the spiral, relative, against this file's float64 loop. Both sides round each product and each
# exponential differently; training multiplies such differences from step to step, which sets the two bounds.
FLOAT64_LOSSES, FLOAT64_EPOCHS = 1e-9, 300
FLOAT32_LOSSES, FLOAT32_EPOCHS = 1e-4, 100
# Backpropagation against central differences in float64, relative to the parameter's largest gradient.
GRADIENT = 1e-7


def book_weights(sizes, scales, dtype=np.float64):
    """[W1, b1, W2, b2, ...] as the books draw them from NumPy's global stream."""
    params = []
    for scale, rows, columns in zip(scales, sizes, sizes[1:], strict=False):
        params += [(scale * np.random.randn(rows, columns)).astype(dtype), np.zeros(columns, dtype)]
    return params


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    z = np.exp(x - x.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


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
