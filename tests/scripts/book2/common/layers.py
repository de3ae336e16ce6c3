"""Book 2's first layers in plain NumPy, in our own words: what scripts under scratchnet are compared with."""

import numpy as np


class Affine:
    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0]) + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return np.dot(dout, self.params[0].T)


class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class SoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x, t):
        x = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = x / x.sum(axis=1, keepdims=True)
        self.t = t.argmax(axis=1) if t.size == x.size else t
        return -np.sum(np.log(self.y[np.arange(len(x)), self.t] + 1e-7)) / len(x)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout / len(dx)
