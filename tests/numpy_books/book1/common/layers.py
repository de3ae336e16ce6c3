"""Book 1's layers."""

import numpy as np

from numpy_books.functions import sigmoid, softmax

from .util import col2im, im2col


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class Sigmoid:
    def forward(self, x):
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T).reshape(*self.shape)


class SoftmaxWithLoss:
    def forward(self, x, t):
        self.y = softmax(x)
        self.t = t
        labels = t.argmax(axis=1) if t.size == self.y.size else t
        return -np.sum(np.log(self.y[np.arange(len(labels)), labels] + 1e-7)) / len(labels)

    def backward(self, dout=1):
        n = self.t.shape[0]
        if self.t.size == self.y.size:
            return (self.y - self.t) / n
        dx = self.y.copy()
        dx[np.arange(n), self.t] -= 1
        return dx / n


class Dropout:
    def __init__(self, dropout_ratio=0.5):
        self.ratio = dropout_ratio

    def forward(self, x, train_flg=True):
        if not train_flg:
            return x * (1.0 - self.ratio)
        self.mask = np.random.rand(*x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = running_mean, running_var

    def forward(self, x, train_flg=True):
        self.shape = x.shape
        x = x.reshape(x.shape[0], -1)
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        if not train_flg:
            xn = (x - self.running_mean) / np.sqrt(self.running_var + 10e-7)
            return (self.gamma * xn + self.beta).reshape(*self.shape)
        mean = x.mean(axis=0)
        centred = x - mean
        var = np.mean(centred**2, axis=0)
        self.std = np.sqrt(var + 10e-7)
        self.xn = centred / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return (self.gamma * self.xn + self.beta).reshape(*self.shape)

    def backward(self, dout):
        dout = dout.reshape(len(dout), -1)
        self.dbeta = dout.sum(axis=0)
        self.dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dx = (dxn - dxn.mean(axis=0) - self.xn * np.mean(dxn * self.xn, axis=0)) / self.std
        return dx.reshape(*self.shape)


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def forward(self, x):
        M, _, P, Q = self.W.shape
        N, _, H, W = x.shape
        Y = 1 + (H + 2 * self.pad - P) // self.stride
        X = 1 + (W + 2 * self.pad - Q) // self.stride
        self.x = x
        self.col = im2col(x, P, Q, self.stride, self.pad)
        self.filters = self.W.reshape(M, -1).T
        out = np.dot(self.col, self.filters) + self.b
        return out.reshape(N, Y, X, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        M, _, P, Q = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, M)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).transpose(1, 0).reshape(self.W.shape)
        return col2im(np.dot(dout, self.filters.T), self.x.shape, P, Q, self.stride, self.pad)


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def forward(self, x):
        N, C, H, W = x.shape
        Y = 1 + (H - self.pool_h) // self.stride
        X = 1 + (W - self.pool_w) // self.stride
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        self.shape, self.best = x.shape, np.argmax(col, axis=1)
        return np.max(col, axis=1).reshape(N, Y, X, C).transpose(0, 3, 1, 2)

    def backward(self, dout):
        dout = dout.transpose(0, 2, 3, 1)
        size = self.pool_h * self.pool_w
        d = np.zeros((dout.size, size))
        d[np.arange(dout.size), self.best.ravel()] = dout.ravel()
        col = d.reshape(dout.shape[0] * dout.shape[1] * dout.shape[2], -1)
        return col2im(col, self.shape, self.pool_h, self.pool_w, self.stride, self.pad)
