"""Trains a multilayer perceptron for `estimators.py`, epoch by epoch, with scikit-learn's formulas.

The network is a list of scratchnet's layers; its output activation and loss are those of `_mlp_losses.py`. An
engine is made for one fit and has one method, `train_epoch`: layer by layer here, in `_mlp_steps.py` in
whole steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ._arrays import Array, as_operand, is_on_gpu, to_side, zeros_in_one_buffer
from ._compute import in_full
from ._devices import move
from ._mlp_losses import loss_of
from .backends import backend_for, ops
from .layers import Affine, BatchNormalization, Layer, Relu, Sigmoid, Tanh

__all__ = ["Data", "Dropped", "Layers", "Network", "dense", "is_sparse"]

_ACTIVATIONS: dict[str, Any] = {"logistic": Sigmoid, "tanh": Tanh, "relu": Relu}  # identity needs no layer
_BLOCK = 1 << 18  # numbers of the widest output of rows that are computed together: they stay in the cache
_MIN_ROWS = 256  # of a block whose gradients are added to others


class Dropped(Layer):
    """Dropout, as the books have it, of a random stream of one's own: masks in training, else x (1 - ratio)."""

    step_role = "dropout"

    def __init__(self, ratio: float, stream: np.random.RandomState) -> None:
        super().__init__()
        self.ratio, self.stream = ratio, stream
        self.mask: Any = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Return x with some elements 0 (train_flg), or x (1 - ratio)."""
        if not train_flg:
            return x * x.dtype.type(1 - self.ratio)  # type: ignore[no-any-return]
        drawn = self.stream.random_sample(x.shape) > self.ratio
        self.mask = to_side(drawn, to_gpu=type(x) is not np.ndarray)
        return ops.multiply_by_mask(x, self.mask, self)

    def backward(self, dout: Array) -> Array:
        """Return dout times the mask."""
        return ops.multiply_by_mask(dout, self.mask, self)


class Network:
    """Affine layers with an activation between them, on arrays that are trained in place.

    Parameters
    ----------
    weights, biases : lists of arrays
        W [D,M] and b [M] of each layer, of one dtype.
    activation, output : str
        Of the hidden layers and of the last one, by scikit-learn's names.
    normalizations : list of BatchNormalization
        One for each hidden layer, before its activation; or empty.
    dropped : Dropped or None
        Made anew for each hidden layer, after its activation.
    """

    def __init__(
        self,
        weights: Sequence[Array],
        biases: Sequence[Array],
        activation: str,
        output: str,
        normalizations: Sequence[BatchNormalization] = (),
        dropped: Dropped | None = None,
    ) -> None:
        self.output, self._dropped = output, dropped
        self.normalizations = list(normalizations)
        self.affine = [Affine(W, b) for W, b in zip(weights, biases, strict=True)]
        self.layers: list[Any] = []
        for k, affine in enumerate(self.affine):
            self.layers.append(affine)
            if affine is not self.affine[-1]:
                self.layers += normalizations[k : k + 1]
                if activation in _ACTIVATIONS:
                    self.layers.append(_ACTIVATIONS[activation]())
                if dropped is not None:
                    self.layers.append(Dropped(dropped.ratio, dropped.stream))
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads: list[Array] = zeros_in_one_buffer([p.shape for p in self.params], self.params[0].dtype)
        unused = iter(self.grads)
        for layer in self.layers:
            layer.grads[:] = [next(unused) for _ in layer.params]

    def to_gpu(self) -> None:
        """Move all arrays to the GPU."""
        move(self, "cuda")

    def draw_masks(self, numbers: int) -> Array:
        """Return what dropout multiplies the next numbers by, 0 or 1."""
        assert self._dropped is not None
        drawn = self._dropped.stream.random_sample(numbers) > self._dropped.ratio
        return drawn.astype(self.params[0].dtype)

    def scores(self, x: Any, train_flg: bool) -> Array:
        """Return what the last layer makes of x [N,D], dense or sparse."""
        first, *others = self.layers
        x = x @ first.W + first.b if is_sparse(x) else first.forward(x)
        for layer in others:
            x = (
                layer.forward(x, train_flg)
                if isinstance(layer, Dropped | BatchNormalization)
                else layer.forward(x)
            )
        return x  # type: ignore[no-any-return]

    def predict(self, X: Any) -> Array:
        """Return the last layer's scores for X [N,D], in blocks of rows."""
        on_gpu, blocks = is_on_gpu(self.params[0]), []
        with in_full():
            for rows in blocks_of(X, [layer.W for layer in self.affine]):
                x = to_side(dense(X[rows]), to_gpu=True) if on_gpu else X[rows]
                blocks.append(to_side(self.scores(x, False), to_gpu=False))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def loss_and_gradients(self, x: Any, t: Array, w: Array | None, alpha: float) -> Any:
        """Write the gradients of a batch into `grads`; return its loss."""
        total = len(t) if w is None else float(w.sum())
        return self._forward_and_backward(x, t, w, total) + self._decay(alpha, total)

    def whole_loss_and_gradients(self, data: Data, alpha: float) -> float:
        """Do the same for all rows, in blocks."""
        total = data.X.shape[0] if data.weights is None else float(data.weights.sum())
        sums = [np.zeros_like(g) for g in self.grads]
        loss = 0.0
        for rows in self.blocks(data.X):
            with in_full():
                loss += self._forward_and_backward(*data.batch(rows), total)
            for summed, g in zip(sums, self.grads, strict=True):
                summed += g
        for summed, g in zip(sums, self.grads, strict=True):
            g[...] = summed
        return float(loss + self._decay(alpha, total))

    def blocks(self, X: Any) -> Iterator[slice]:
        """Yield slices of rows whose gradients are to be added up."""
        return blocks_of(X, [layer.W for layer in self.affine], _MIN_ROWS)

    def _forward_and_backward(self, x: Any, t: Array, w: Array | None, total: float) -> Any:
        first = self.affine[0]
        x = x if is_sparse(x) else as_operand("x", x, first.W)
        loss, dout = loss_of(self.output, self.scores(x, True), t, w, total)
        for layer in reversed(self.layers[1:]):
            dout = layer.backward(dout)
        if is_sparse(x):
            first.grads[0][...] = x.T @ dout
            first.grads[1][...] = dout.sum(axis=0)
        else:
            backend_for(x).affine_backward(dout, x, first.W, None, *first.grads)
        return loss

    def _decay(self, alpha: float, total: float) -> float:
        """Add the gradient of the penalty, divided by what the losses are; return that."""
        if not alpha or not total:
            return 0.0
        for layer in self.affine:
            layer.grads[0] += layer.W.dtype.type(alpha / total) * layer.W
        return 0.5 * alpha * sum((w @ w for w in (layer.W.ravel() for layer in self.affine)), 0.0) / total


class Data:
    """What a fit trains on: samples [N,D], dense or sparse, targets [N,M] and weights [N] or None."""

    def __init__(self, X: Any, targets: Array, weights: Array | None) -> None:
        self.X, self.targets, self.weights = X, targets, weights

    def like(self, network: Network) -> Data:
        """Return the same with targets and weights in the network's dtype, all on its device."""
        W = network.affine[0].W
        to_gpu = is_on_gpu(W)
        X = to_side(dense(self.X), to_gpu=True) if to_gpu else self.X
        if is_sparse(X):
            X = X.astype(W.dtype, copy=False)
        targets, weights = self.targets.astype(W.dtype, copy=False), self.weights
        if weights is not None:
            weights = to_side(weights.astype(W.dtype, copy=False), to_gpu=to_gpu)
        return Data(X, to_side(targets, to_gpu=to_gpu), weights)

    def batch(self, rows: Any) -> tuple[Any, Array, Array | None]:
        """Return the samples, targets and weights of some rows."""
        return self.X[rows], self.targets[rows], None if self.weights is None else self.weights[rows]


def is_sparse(X: Any) -> bool:
    """Whether samples are a sparse matrix or array of SciPy's."""
    return hasattr(X, "toarray")


def dense(X: Any) -> Array:
    """Return samples, sparse ones made dense."""
    return X.toarray() if is_sparse(X) else X  # type: ignore[no-any-return]


def blocks_of(X: Any, weights: Sequence[Array], least: int = 1) -> Iterator[slice]:
    """Yield slices of the rows of X: about a block of the widest layer's output, but at least some rows."""
    size = max(least, _BLOCK // max(W.shape[1] for W in weights))
    for start in range(0, X.shape[0], size):
        yield slice(start, start + size)


class Layers:
    """Trains layer by layer: the definition of what any other way must give.

    Parameters
    ----------
    network : Network
        Trained in place.
    data : Data
        Targets in the network's dtype.
    alpha : float
        0.5 alpha sum of W^2 is added to the sum of a batch's losses.
    batch_size : int
        Rows of a batch; the last one may be smaller.
    optimizer
        One of scratchnet's own.
    """

    def __init__(self, network: Network, data: Data, alpha: float, batch_size: int, optimizer: Any) -> None:
        self.network, self._data, self._alpha = network, data.like(network), alpha
        self._batch_size, self._optimizer = batch_size, optimizer

    def train_epoch(self, order: Array) -> float:
        """Train on the batches of the rows in order; return the mean of their losses, each before its update."""
        network, total = self.network, 0.0
        order = to_side(order, to_gpu=is_on_gpu(network.params[0]))
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            with in_full():
                loss = network.loss_and_gradients(*self._data.batch(rows), self._alpha)
            total += loss * len(rows)
            self._optimizer.update(network.params, network.grads)
        return float(total / len(order))
