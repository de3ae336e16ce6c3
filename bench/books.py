"""What the books' readers have in their own folders, in plain NumPy and our own words.

The same names, formulas and order of operations as the books: one new array for every operation, gradients
copied into `grads`, all data shuffled at the start of an epoch, shared weights looked for in every step.
Source: *Deep Learning from Scratch* 2, ch. 1; 1, ch. 5.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


class Affine:
    def __init__(self, W: np.ndarray, b: np.ndarray) -> None:
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout: np.ndarray) -> np.ndarray:
        W, _ = self.params
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


class Sigmoid:
    def __init__(self) -> None:
        self.params, self.grads = [], []

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * (1.0 - self.out) * self.out


class Relu:
    def __init__(self) -> None:
        self.params, self.grads = [], []

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        dout[self.mask] = 0
        return dout


def softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(axis=1, keepdims=True)
    x = np.exp(x)
    return x / x.sum(axis=1, keepdims=True)


class SoftmaxWithLoss:
    def __init__(self) -> None:
        self.params, self.grads = [], []

    def forward(self, x: np.ndarray, t: np.ndarray) -> Any:
        self.y = softmax(x)
        self.t = t.argmax(axis=1) if t.size == self.y.size else t
        return -np.sum(np.log(self.y[np.arange(len(x)), self.t] + 1e-7)) / len(x)

    def backward(self, dout: float = 1) -> np.ndarray:
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        dx *= dout
        return dx / len(dx)


class SGD:
    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: list[np.ndarray], grads: list[np.ndarray]) -> None:
        for i in range(len(params)):
            params[i] -= self.lr * grads[i]


class Adam:
    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.iter = 0
        self.m: list[np.ndarray] = []
        self.v: list[np.ndarray] = []

    def update(self, params: list[np.ndarray], grads: list[np.ndarray]) -> None:
        if not self.m:
            self.m, self.v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
        self.iter += 1
        lr_t = self.lr * (1 - self.beta2**self.iter) ** 0.5 / (1 - self.beta1**self.iter)
        for i in range(len(params)):
            self.m[i] += (1 - self.beta1) * (grads[i] - self.m[i])
            self.v[i] += (1 - self.beta2) * (grads[i] ** 2 - self.v[i])
            params[i] -= lr_t * self.m[i] / (np.sqrt(self.v[i]) + 1e-7)


class Network:
    """The reader's own network class, over this module's layers or those of `scratchnet.layers`."""

    def __init__(self, layers: ModuleType, params: list[np.ndarray], activation: str = "Sigmoid") -> None:
        self.layers = []
        for W, b in zip(params[::2], params[1::2], strict=True):
            self.layers += [layers.Affine(W, b), getattr(layers, activation)()]
        self.layers.pop()
        self.loss_layer = layers.SoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x: np.ndarray, t: np.ndarray) -> Any:
        return self.loss_layer.forward(self.predict(x), t)

    def backward(self, dout: float = 1) -> np.ndarray:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


def remove_duplicate(params: list[np.ndarray], grads: list[np.ndarray]) -> tuple[list, list]:
    """Merge parameters that are one array, or one the transpose of another, and add up their gradients."""
    params, grads = params[:], grads[:]
    i = 0
    while i < len(params):
        j = i + 1
        while j < len(params):
            a, b = params[i], params[j]
            if a is b:
                grads[i] += grads[j]
            elif a.ndim == 2 and b.ndim == 2 and a.T.shape == b.shape and np.all(b == a.T):
                grads[i] += grads[j].T
            else:
                j += 1
                continue
            del params[j], grads[j]
        i += 1
    return params, grads


class Trainer:
    def __init__(self, model: Network, optimizer: Any) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss_list: list[float] = []
        self.epoch_losses: list[float] = []

    def fit(
        self, x: np.ndarray, t: np.ndarray, max_epoch: int = 10, batch_size: int = 32, eval_interval: int = 20
    ) -> None:
        model = self.model
        steps = len(x) // batch_size
        total = count = 0
        for _ in range(max_epoch):
            order = np.random.permutation(np.arange(len(x)))
            x, t = x[order], t[order]
            epoch = 0.0
            for step in range(steps):
                batch = slice(step * batch_size, (step + 1) * batch_size)
                loss = model.forward(x[batch], t[batch])
                model.backward()
                params, grads = remove_duplicate(model.params, model.grads)
                self.optimizer.update(params, grads)
                total += loss
                count += 1
                epoch += float(loss)
                if step % eval_interval == 0:
                    self.loss_list.append(float(total / count))
                    total = count = 0
            self.epoch_losses.append(epoch / steps)


def own_loop(
    model: Network, optimizer: Any, x: np.ndarray, t: np.ndarray, epochs: int, batch_size: int
) -> list[float]:
    """The training loop that a reader writes before meeting the Trainer; return each epoch's mean loss."""
    steps = len(x) // batch_size
    losses = []
    for _ in range(epochs):
        order = np.random.permutation(len(x))
        x, t = x[order], t[order]
        total = 0.0
        for step in range(steps):
            batch_x = x[step * batch_size : (step + 1) * batch_size]
            batch_t = t[step * batch_size : (step + 1) * batch_size]
            loss = model.forward(batch_x, batch_t)
            model.backward()
            optimizer.update(model.params, model.grads)
            total += loss
        losses.append(float(total / steps))
    return losses
