"""The books' six optimizers. They update a list of parameters (book 2) or a dictionary of them (book 1).

Arrays are updated in place; Python numbers, as book 1's comparison of optimizers trains them, are replaced.
"""

from math import sqrt

import numpy as np


def keys(params):
    return params if isinstance(params, dict) else range(len(params))


def zeros(params):
    return {key: np.zeros_like(params[key]) for key in keys(params)}


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, params, grads):
        for key in keys(params):
            params[key] -= self.lr * grads[key]


class Momentum:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = zeros(params)
        for key in keys(params):
            self.v[key][...] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += self.v[key]


class Nesterov:
    """Bengio, Boulanger-Lewandowski, Pascanu (2013), eq. 7, as in the Japanese book 1: parameters first."""

    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = zeros(params)
        for key in keys(params):
            params[key] += self.momentum * self.momentum * self.v[key]
            params[key] -= (1 + self.momentum) * self.lr * grads[key]
            self.v[key] *= self.momentum
            self.v[key] -= self.lr * grads[key]


class NesterovVelocityFirst(Nesterov):
    """As in book 2 and the Korean editions."""

    def update(self, params, grads):
        if self.v is None:
            self.v = zeros(params)
        for key in keys(params):
            self.v[key] *= self.momentum
            self.v[key] -= self.lr * grads[key]
            params[key] += self.momentum * self.momentum * self.v[key]
            params[key] -= (1 + self.momentum) * self.lr * grads[key]


class AdaGrad:
    def __init__(self, lr=0.01):
        self.lr, self.h = lr, None

    def update(self, params, grads):
        if self.h is None:
            self.h = zeros(params)
        for key in keys(params):
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)


class RMSprop:
    def __init__(self, lr=0.01, decay_rate=0.99):
        self.lr, self.decay_rate, self.h = lr, decay_rate, None

    def update(self, params, grads):
        if self.h is None:
            self.h = zeros(params)
        for key in keys(params):
            self.h[key] *= self.decay_rate
            self.h[key] += (1 - self.decay_rate) * grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)


class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2, self.iter, self.m, self.v = lr, beta1, beta2, 0, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = zeros(params), zeros(params)
        self.iter += 1
        # A Python float: a NumPy one would make float32 parameters' products float64.
        lr_t = float(self.lr * sqrt(1 - self.beta2**self.iter) / (1 - self.beta1**self.iter))
        for key in keys(params):
            self.m[key] += (1 - self.beta1) * (grads[key] - self.m[key])
            self.v[key] += (1 - self.beta2) * (grads[key] ** 2 - self.v[key])
            params[key] -= lr_t * self.m[key] / (np.sqrt(self.v[key]) + 1e-7)
