"""Book 2's layers in plain NumPy, in our own words: what scripts under scratchnet are compared with."""

import numpy as np
from books2_numpy import Affine, Embedding, MatMul, Weighted, sigmoid, softmax

__all__ = ["Affine", "Embedding", "MatMul", "Sigmoid", "SigmoidWithLoss", "Softmax", "SoftmaxWithLoss"]


class Sigmoid(Weighted):
    def forward(self, x):
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Softmax(Weighted):
    def forward(self, x):
        self.out = softmax(x)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        return dx - self.out * np.sum(dx, axis=1, keepdims=True)


class SoftmaxWithLoss(Weighted):
    def forward(self, x, t):
        self.y = softmax(x)
        self.t = t.argmax(axis=1) if t.size == x.size else t
        return -np.sum(np.log(self.y[np.arange(len(x)), self.t] + 1e-7)) / len(x)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout / len(dx)


class SigmoidWithLoss(Weighted):
    def forward(self, x, t):
        self.y, self.t = sigmoid(x), t
        return -np.sum(np.log(np.where(t, self.y, 1 - self.y) + 1e-7)) / len(x)

    def backward(self, dout=1):
        return (self.y - self.t) * dout / len(self.t)
