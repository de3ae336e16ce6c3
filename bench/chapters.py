"""What a reader of the later chapters has in scripts of their own: networks, and what one step of training is.

Each class is made over a package of the books' layers, plain or scratchnet's, and runs the same lines over both.
A step is a function without arguments that returns the loss.
Source: *Deep Learning from Scratch* 1, ch. 5 and 7; 2, ch. 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from math import prod, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np

Step = Callable[[], float]


class ImageNetwork:
    """Book 1's networks: weights in a dictionary, gradients in another.

    Parameters
    ----------
    layers
        The package's module of layers.
    weights
        W1, b1, W2 ... by name.
    chain
        Names of the layers, or names and settings; Affine and Convolution take the next pair of weights.
    """

    def __init__(self, layers: Any, weights: dict[str, np.ndarray], chain: Sequence[Any]) -> None:
        self.params = weights
        self.layers, self.weighted = [], []
        self.dropout = layers.Dropout
        for entry in chain:
            name, *settings = (entry,) if isinstance(entry, str) else entry
            kind = getattr(layers, name)
            if name in ("Affine", "Convolution"):
                i = len(self.weighted) + 1
                self.layers.append(kind(weights[f"W{i}"], weights[f"b{i}"], *settings))
                self.weighted.append(self.layers[-1])
            else:
                self.layers.append(layers.Pooling(2, 2, stride=2) if name == "Pooling" else kind(*settings))
        self.last_layer = layers.SoftmaxWithLoss()

    def predict(self, x: np.ndarray, train_flg: bool = False) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x, train_flg) if isinstance(layer, self.dropout) else layer.forward(x)
        return x

    def loss(self, x: np.ndarray, t: np.ndarray, train_flg: bool = False) -> Any:
        return self.last_layer.forward(self.predict(x, train_flg), t)

    def accuracy(self, x: np.ndarray, t: np.ndarray) -> float:
        labels = t if t.ndim == 1 else np.argmax(t, axis=1)
        return np.sum(np.argmax(self.predict(x), axis=1) == labels) / float(len(x))

    def gradient(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        grads = {}
        for i, layer in enumerate(self.weighted, 1):
            grads[f"W{i}"], grads[f"b{i}"] = layer.dW, layer.db
        return grads


def image_weights(shapes: Sequence[tuple[int, ...]], *, he: bool = False) -> dict[str, np.ndarray]:
    """W1, b1, W2 ... for weights of these shapes: (D, M), or (M, C, P, Q) of filters; float64, as the book's."""
    weights = {}
    for i, shape in enumerate(shapes, 1):
        inputs = prod(shape[1:]) if len(shape) == 4 else shape[0]
        weights[f"W{i}"] = (sqrt(2 / inputs) if he else 0.01) * np.random.randn(*shape)
        weights[f"b{i}"] = np.zeros(shape[0] if len(shape) == 4 else shape[1])
    return weights


def image_step(
    package: SimpleNamespace,
    weights: dict[str, np.ndarray],
    chain: Sequence[str],
    optimizer: str,
    lr: float,
    x: np.ndarray,
    t: np.ndarray,
) -> Step:
    """Book 1's step: 100 images drawn, gradient, update, and the loss once more."""
    network = ImageNetwork(package.layers, weights, chain)
    updates = getattr(package.optimizer, optimizer)(lr=lr)

    def step() -> float:
        batch = np.random.choice(len(x), 100)
        x_batch, t_batch = x[batch], t[batch]
        updates.update(network.params, network.gradient(x_batch, t_batch))
        return float(network.loss(x_batch, t_batch))

    return step


class LanguageModel:
    """Embedding, LSTM, affine and loss over time."""

    def __init__(self, layers: Any, weights: list[np.ndarray]) -> None:
        embed_W, Wx, Wh, b, affine_W, affine_b = weights
        self.layers = [
            layers.TimeEmbedding(embed_W),
            layers.TimeLSTM(Wx, Wh, b, stateful=True),
            layers.TimeAffine(affine_W, affine_b),
        ]
        self.loss_layer = layers.TimeSoftmaxWithLoss()
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    def forward(self, xs: np.ndarray, ts: np.ndarray) -> Any:
        for layer in self.layers:
            xs = layer.forward(xs)
        return self.loss_layer.forward(xs, ts)

    def backward(self) -> None:
        dout = self.loss_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)


class EmbeddingDot:
    """The scores of chosen words: the product of the hidden vector with each one's row."""

    def __init__(self, layers: Any, W: np.ndarray) -> None:
        self.embed = layers.Embedding(W)
        self.params, self.grads = self.embed.params, self.embed.grads

    def forward(self, h: np.ndarray, words: np.ndarray) -> np.ndarray:
        self.h, self.rows = h, self.embed.forward(words)
        return np.sum(self.rows * h, axis=1)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        dout = dout.reshape(-1, 1)
        self.embed.backward(dout * self.h)
        return dout * self.rows


class WordVectors:
    """CBOW with negative sampling; which words are the wrong ones is given."""

    def __init__(self, layers: Any, weights: list[np.ndarray], window: int, negatives: int) -> None:
        W_in, W_out = weights
        self.inputs = [layers.Embedding(W_in) for _ in range(2 * window)]
        self.dots = [EmbeddingDot(layers, W_out) for _ in range(1 + negatives)]
        self.losses = [layers.SigmoidWithLoss() for _ in self.dots]
        self.params = [p for layer in (*self.inputs, *self.dots) for p in layer.params]
        self.grads = [g for layer in (*self.inputs, *self.dots) for g in layer.grads]

    def forward(self, contexts: np.ndarray, words: np.ndarray) -> Any:
        """Contexts (N, 2 window); words (N, 1 + negatives), the right one first."""
        h = 0
        for i, layer in enumerate(self.inputs):
            h += layer.forward(contexts[:, i])
        h *= 1 / len(self.inputs)
        loss = 0
        for i, (dot, loss_layer) in enumerate(zip(self.dots, self.losses, strict=True)):
            label = (np.ones if i == 0 else np.zeros)(len(words), dtype=np.int32)
            loss += loss_layer.forward(dot.forward(h, words[:, i]), label)
        return loss

    def backward(self) -> None:
        dh = 0
        for dot, loss_layer in zip(self.dots, self.losses, strict=True):
            dh += dot.backward(loss_layer.backward())
        dh *= 1 / len(self.inputs)
        for layer in self.inputs:
            layer.backward(dh)


def text_step(
    package: SimpleNamespace,
    model: Any,
    optimizer: Any,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    max_grad: float | None = None,
) -> Step:
    """The step of book 2's trainers, over these batches again and again."""
    turn = cycle(batches)

    def step() -> float:
        loss = model.forward(*next(turn))
        model.backward()
        params, grads = package.trainer.remove_duplicate(model.params, model.grads)
        if max_grad is not None:
            package.trainer.clip_grads(grads, max_grad)
        optimizer.update(params, grads)
        return float(loss)

    return step
