"""Book 2's layers."""

import numpy as np

from numpy_books.functions import sigmoid, softmax

__all__ = ["Affine", "Embedding", "MatMul", "Relu", "Sigmoid", "SigmoidWithLoss", "Softmax", "SoftmaxWithLoss"]


class Layer:
    """Weights, and for each an array that `backward` overwrites with its gradient."""

    def __init__(self, *params):
        self.params = list(params)
        self.grads = [np.zeros_like(p) for p in params]

    def put(self, *grads):
        for own, grad in zip(self.grads, grads, strict=True):
            own[...] = grad


class MatMul(Layer):
    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0])

    def backward(self, dout):
        self.grads[0][...] = np.dot(self.x.T, dout)
        return np.dot(dout, self.params[0].T)


class Affine(Layer):
    def forward(self, x):
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout):
        W, _ = self.params
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


class Embedding(Layer):
    def forward(self, idx):
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.idx, dout)


class Sigmoid(Layer):
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Relu(Layer):
    """Book 1's, in book 2's form."""

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class Softmax(Layer):
    def forward(self, x):
        self.out = softmax(x)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        return dx - self.out * np.sum(dx, axis=1, keepdims=True)


class SoftmaxWithLoss(Layer):
    def forward(self, x, t):
        self.y = softmax(x)
        self.t = t.argmax(axis=1) if t.size == self.y.size else t
        return -np.sum(np.log(self.y[np.arange(len(x)), self.t] + 1e-7)) / len(x)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        dx *= dout
        return dx / len(dx)


class SigmoidWithLoss(Layer):
    def forward(self, x, t):
        self.y, self.t = sigmoid(x), t
        return -np.sum(np.log(np.where(t, self.y, 1 - self.y) + 1e-7)) / len(x)

    def backward(self, dout=1):
        return (self.y - self.t) * dout / len(self.t)
