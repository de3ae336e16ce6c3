"""The books' six optimizers in plain NumPy: what scratchnet's are held against.

Each function makes one step, in place, on a parameter p with its gradient g; s is the parameter's state, empty at
first, and k the number of the step, from 1. The classes keep the states.
"""

import numpy as np


def sgd(p, g, s, k, lr=0.01):
    p -= lr * g


def momentum(p, g, s, k, lr=0.01, momentum=0.9):
    v = s.setdefault("v", np.zeros_like(p))
    v[...] = momentum * v - lr * g
    p += v


def nesterov(p, g, s, k, lr=0.01, momentum=0.9):
    """Bengio, Boulanger-Lewandowski, Pascanu (2013), eq. 7, as in the Japanese book 1: parameters first."""
    v = s.setdefault("v", np.zeros_like(p))
    p += momentum * momentum * v
    p -= (1 + momentum) * lr * g
    v *= momentum
    v -= lr * g


def adagrad(p, g, s, k, lr=0.01):
    h = s.setdefault("h", np.zeros_like(p))
    h += g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)


def rmsprop(p, g, s, k, lr=0.01, decay_rate=0.99):
    h = s.setdefault("h", np.zeros_like(p))
    h *= decay_rate
    h += (1 - decay_rate) * g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)


def adam(p, g, s, k, lr=0.001, beta1=0.9, beta2=0.999):
    m, v = s.setdefault("m", np.zeros_like(p)), s.setdefault("v", np.zeros_like(p))
    rate = float(lr * np.sqrt(1 - beta2**k) / (1 - beta1**k))
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g**2 - v)
    p -= rate * m / (np.sqrt(v) + 1e-7)


class Optimizer:
    """Updates a list of parameters, or a dictionary of them, as the books' classes do; numbers are replaced."""

    def __init__(self, lr=0.01, **settings):
        self.lr, self.settings, self.iter, self.states = lr, settings, 0, {}

    def update(self, params, grads):
        self.iter += 1
        for key in params if isinstance(params, dict) else range(len(params)):
            p = np.asarray(params[key])
            self.step(p, grads[key], self.states.setdefault(key, {}), self.iter, lr=self.lr, **self.settings)
            if p is not params[key]:
                params[key] = float(p)


class SGD(Optimizer):
    step = staticmethod(sgd)


class Momentum(Optimizer):
    step = staticmethod(momentum)


class Nesterov(Optimizer):
    step = staticmethod(nesterov)


class AdaGrad(Optimizer):
    step = staticmethod(adagrad)


class RMSprop(Optimizer):
    step = staticmethod(rmsprop)


class Adam(Optimizer):
    step = staticmethod(adam)

    def __init__(self, lr=0.001, **settings):
        super().__init__(lr, **settings)
