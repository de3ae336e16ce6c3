"""Every kernel's work as the books write it in NumPy: the kernel's name and arguments, outputs included.

An expression makes new arrays; they are returned, in the contract's order, and the given outputs stay as they
are. What is updated in place is updated in place, and returned too.
"""

import numpy as np


def affine_forward(x, W, b, out):
    return np.dot(x, W) if b is None else np.dot(x, W) + b


def affine_backward(dout, x, W, dx, dW, db):
    dx = None if dx is None else np.dot(dout, W.T)
    return dx, np.dot(x.T, dout), None if db is None else np.sum(dout, axis=0)


def sum_rows(x, out):
    return np.sum(x, axis=0)


def repeat_rows(x, out):
    return np.repeat(x.reshape(1, -1), len(out), axis=0)


def take_rows(x, index, out):
    return x[index]


def sigmoid_forward(x, out):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dout, y, dx):
    return dout * (1.0 - y) * y


def relu_forward(x, out):
    return np.maximum(0, x)


def relu_backward(dout, y, dx):
    dx = dout.copy()
    dx[y <= 0] = 0
    return dx


def softmax_forward(x, y):
    x = x - x.max(axis=1, keepdims=True)
    x = np.exp(x)
    return x / x.sum(axis=1, keepdims=True)


def softmax_backward(dout, y, dx):
    dx = y * dout
    return dx - y * np.sum(dx, axis=1, keepdims=True)


def cross_entropy_forward(y, t):
    return -np.sum(np.log(y[np.arange(len(y)), t] + 1e-7)) / len(y)


def softmax_cross_entropy_forward(x, t, y):
    y = softmax_forward(x, y)
    return y, cross_entropy_forward(y, t)


def softmax_cross_entropy_backward(y, t, dout, dx):
    dx = y.copy()
    dx[np.arange(len(y)), t] -= 1
    dx *= dout
    return dx / len(y)


def sigmoid_cross_entropy_forward(x, t, y):
    y = 1 / (1 + np.exp(-x))
    return y, cross_entropy_forward(np.c_[1 - y, y], t)


def sigmoid_cross_entropy_backward(y, t, dout, dx):
    return (y - t) * dout / len(y)


def sgd_update(p, g, lr):
    p -= lr * g
    return p


def momentum_update(p, g, v, lr, momentum):
    v *= momentum
    v -= lr * g
    p += v
    return p, v


def nesterov_update(p, g, v, lr, momentum):
    p += momentum * momentum * v
    p -= (1 + momentum) * lr * g
    v *= momentum
    v -= lr * g
    return p, v


def adagrad_update(p, g, h, lr):
    h += g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)
    return p, h


def rmsprop_update(p, g, h, lr, decay_rate):
    h *= decay_rate
    h += (1 - decay_rate) * g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)
    return p, h


def adam_update(p, g, m, v, lr, beta1, beta2):
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g**2 - v)
    p -= lr * m / (np.sqrt(v) + 1e-7)
    return p, m, v


def squared_norm(g):
    return np.sum(g**2)


def scale(x, factor):
    x *= factor
    return x
