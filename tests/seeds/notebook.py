"""The readers' own code in plain NumPy: the yardstick that scratchnet's layers are held against."""

import re

import numpy as np


class MatMul:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, x):
        self.x = x
        return np.matmul(x, self.params[0])

    def backward(self, dout):
        self.grads[0][...] = np.matmul(self.x.T, dout)
        return np.matmul(dout, self.params[0].T)


class Affine(MatMul):
    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        return super().forward(x) + self.params[1]

    def backward(self, dout):
        self.grads[1][...] = np.sum(dout, axis=0)
        return super().backward(dout)


class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Softmax:
    """Book 2's layer, which the note of the Softmax network uses without writing it."""

    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x):
        self.out = softmax(x)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        return dx - self.out * dx.sum(axis=1, keepdims=True)


class SoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x, t):
        self.y = softmax(x)
        self.t = t.argmax(axis=1) if t.size == self.y.size else t
        return cross_entropy_error(self.y, self.t)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout / len(dx)


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, params, grads):
        for i in range(len(params)):
            params[i] -= self.lr * grads[i]


def softmax(x):
    if x.ndim == 1:
        powers = np.exp(x - np.max(x))
        return powers / np.sum(powers)
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy_error(y, t):
    if y.ndim == 1:
        y, t = y.reshape(1, -1), t.reshape(1, -1)
    if t.size == y.size:
        t = t.argmax(axis=1)
    return -np.sum(np.log(y[np.arange(len(y)), t] + 1e-7)) / len(y)


def train(model, optimizer, x, t, max_epoch, batch_size, due):
    """The notes' loop. Where `due(iters)` says so, the mean loss since the last time is recorded."""
    max_iters = len(x) // batch_size
    averages, total, count = [], 0, 0
    for _ in range(max_epoch):
        idx = np.random.permutation(len(x))
        x, t = x[idx], t[idx]
        for iters in range(max_iters):
            batch = slice(iters * batch_size, (iters + 1) * batch_size)
            total += model.forward(x[batch], t[batch])
            model.backward()
            optimizer.update(model.params, model.grads)
            count += 1
            if due(iters):
                averages.append(total / count)
                total, count = 0, 0
    return averages


def last_of_ten(iters):
    """When the notes' loops print."""
    return (iters + 1) % 10 == 0


def first_of_ten(iters):
    """When the notes' Trainer prints, at eval_interval=10."""
    return iters % 10 == 0


def at_zero_seconds(text):
    """The printed lines with every time set to 0: how long a step takes is the machine's affair."""
    return re.sub(r"(시간|time) \d+\[s\]", r"\1 0[s]", text).splitlines()


def two_decimals(losses):
    return [f"{loss:.2f}" for loss in losses]


def assert_close(got, want):
    """Equal but for the rounding of float64 sums over a handful of terms."""
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def assert_same_pass(ours, own, *shape_in, shape_out):
    """Twice forward and backward: equal results, and the gradient arrays overwritten where they lie."""
    grads = list(ours.grads)
    for _ in range(2):
        x, dout = np.random.randn(*shape_in), np.random.randn(*shape_out)
        assert_close(ours.forward(x), own.forward(x))
        assert_close(ours.backward(dout), own.backward(dout))
        assert all(now is then for now, then in zip(ours.grads, grads, strict=True))
        for got, want in zip(grads, own.grads, strict=True):
            assert_close(got, want)
