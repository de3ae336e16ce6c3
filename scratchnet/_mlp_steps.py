"""Trains a multilayer perceptron in whole steps: an epoch in C, without Python between its batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu
from ._mlp_engine import Data, Layers, Network, dense, is_sparse
from ._steps import chain_steps
from .backends import runner_for
from .layers import BatchNormalization
from .plan import coalesce

__all__ = ["WholeGradients", "WholeSteps", "gradients_of", "make_engine"]

_LOSSES = {"softmax": "softmax_cross_entropy", "logistic": "sigmoid_cross_entropy", "identity": "squared_error"}
_MAX_CHUNK_SECONDS = 0.05  # in one call: signals wait for its end
_MAX_DENSE = 1 << 23  # numbers of sparse samples that are made dense at a time
_MIN_DENSITY = 0.05  # of sparse samples that are worth making dense
_MAX_MASKS = 1 << 20  # numbers of dropout's masks that are drawn at a time


class WholeSteps:
    """Trains like `_mlp_engine.Layers`, which has the same parameters, in one call of C for many batches."""

    def __init__(self, network: Network, data: Data, alpha: float, batch_size: int, optimizer: Any) -> None:
        self.network, self._batch_size, self._optimizer = network, batch_size, optimizer
        self._runner = _runner(network, data, alpha, batch_size, *optimizer.step_state(network.params))
        self._momenta = [layer.momentum for layer in network.layers if isinstance(layer, BatchNormalization)]
        self._data = _as_the_kernels(data, network.output)
        self._has_masks = bool(self._runner.masks)
        self._most_rows = self._rows_at_once()
        self._is_sparse = is_sparse(data.X) and len(self) > self._most_rows
        if not self._is_sparse:
            self._set_data(np.ascontiguousarray(dense(data.X)), slice(None))
        self._steps = 1  # per call

    def __len__(self) -> int:
        return len(self._data.targets)

    def _rows_at_once(self) -> int:
        """Return how many rows, of whole batches, masks and dense samples may be for."""
        masks = sum(numbers for _, numbers in self._runner.masks)
        rows = _MAX_MASKS // masks if masks else len(self)
        if is_sparse(self._data.X):
            rows = min(rows, _MAX_DENSE // self._data.X.shape[1])
        batches = rows // self._batch_size if rows < len(self) else -(-len(self) // self._batch_size)
        return max(1, batches) * self._batch_size

    def _set_data(self, X: Array, rows: Any) -> None:
        weights = None if self._data.weights is None else self._data.weights[rows]
        self._runner.set_data(X, self._data.targets[rows], weights, len(X))

    def train_epoch(self, order: Array) -> float:
        """Train on the batches of the rows in order; return the mean of their losses, each before its update."""
        size, losses, rows = self._batch_size, list[float](), order
        while True:
            start = time.perf_counter()
            most = min(self._steps * size, self._most_rows)
            made = self._train(rows if len(rows) <= most else rows[:most], len(rows))
            seconds = time.perf_counter() - start
            losses += made
            most = max(self._steps, 4 * len(made))  # not far beyond what was measured
            self._steps = max(1, min(int(len(made) * _MAX_CHUNK_SECONDS / (seconds + 1e-9)), most))
            rows = order[size * len(losses) :]
            if not len(rows):
                break
        return (size * sum(losses) + (len(order) - size * len(losses)) * losses[-1]) / len(order)

    def _train(self, rows: Array, left: int) -> list[float]:
        """Train on the batches of some rows, of an epoch of which so many are left; return their losses."""
        if self._is_sparse:
            self._set_data(dense(self._data.X[rows]), rows)
            rows, left = np.arange(len(rows)), len(rows)
        rates, others = self._optimizer.step_numbers(-(-len(rows) // self._batch_size))
        masks = self._masks(rows) if self._has_masks else None
        losses: list[float] = self._runner.run(rows, rates, others, masks, self._momenta, left)
        self._optimizer.count_steps(len(losses))
        return losses

    def _masks(self, rows: Array) -> Array:
        """Draw what dropout keeps, as its layers would: batch after batch, layer after layer."""
        numbers = sum(numbers for _, numbers in self._runner.masks)
        return self.network.draw_masks(len(rows) * numbers)


class WholeGradients:
    """Computes loss and gradients of all samples, block after block of rows, each in one call of C."""

    def __init__(self, network: Network, data: Data, alpha: float) -> None:
        self._grads = network.grads
        data = _as_the_kernels(data, network.output)
        blocks = [np.arange(len(data.targets))[rows] for rows in network.blocks(data.X)]
        totals = [float(len(rows) if data.weights is None else data.weights[rows].sum()) for rows in blocks]
        self._shares = [total / sum(totals) for total in totals]
        self._blocks = blocks
        # The decay is divided by a block's total, and what a block gives is multiplied by its share.
        own = alpha / sum(total != 0 for total in totals)
        self._runner = _runner(network, data, own, len(blocks[0]), "sgd_update", [])
        self._runner.set_data(np.ascontiguousarray(dense(data.X)), data.targets, data.weights)

    def __call__(self) -> float:
        """Write the gradients into the network's; return the loss."""
        if len(self._blocks) == 1:
            return float(self._runner.gradients(self._blocks[0]))
        loss, sums = 0.0, [np.zeros_like(g) for g in self._grads]
        for rows, share in zip(self._blocks, self._shares, strict=True):
            loss += share * self._runner.gradients(rows)
            for summed, g in zip(sums, self._grads, strict=True):
                summed += share * g
        for summed, g in zip(sums, self._grads, strict=True):
            g[...] = summed
        return loss


def _runner(
    network: Network, data: Data, alpha: float, batch_size: int, kernel: str, states: list[list[Array]]
) -> Any:
    """Return what runs the steps of a network in C, with scikit-learn's formulas."""
    roles = [layer.step_role for layer in network.layers]
    outputs = data.targets.shape[1] if data.targets.ndim == 2 else 1
    # The kernels' losses are means over binary outputs, and sums over the squares of numbers.
    binary, squared = network.output == "logistic", network.output == "identity"
    return runner_for(network.params[0])(
        chain_steps(network.layers, roles, data.X.shape[1:], batch_size),
        _LOSSES[network.output],
        coalesce(network.params, network.grads, states),
        kernel,
        batch_size,
        None,
        float(alpha),
        is_weighted=data.weights is not None,
        is_decay_shared=True,
        delta=0.0,
        clip=float(np.finfo(network.params[0].dtype).eps),
        loss_factor=float(outputs) if binary else 1 / outputs if squared else 1.0,
        gradient_factor=float(outputs) if binary else 1.0,
    )


def _as_the_kernels(data: Data, output: str) -> Data:
    """Return samples with class indices, or 0 and 1, or numbers, and with weights in float64."""
    targets, weights = data.targets, data.weights
    if output == "softmax":
        targets = targets.argmax(axis=1)
    else:
        targets = np.ascontiguousarray(targets, np.int64 if output == "logistic" else None)
    return Data(data.X, targets, None if weights is None else weights.astype(np.float64))


def _takes(network: Network, data: Data) -> bool:
    """Whether whole steps can train this, and are faster than layer by layer."""
    size = data.X.shape[0] * data.X.shape[1]
    is_very_sparse = is_sparse(data.X) and data.X.nnz < _MIN_DENSITY * size
    return network.output in _LOSSES and not is_very_sparse and not is_on_gpu(network.params[0])


def make_engine(
    network: Network, data: Data, alpha: float, batch_size: int, optimizer: Any
) -> Layers | WholeSteps:
    """Return what trains the network fastest."""
    kind: Any = WholeSteps if _takes(network, data) else Layers
    return kind(network, data, alpha, batch_size, optimizer)  # type: ignore[no-any-return]


def gradients_of(network: Network, data: Data, alpha: float) -> Callable[[], float]:
    """Return what writes the gradients of all samples' loss into the network's, and returns the loss."""
    if _takes(network, data) and (not is_sparse(data.X) or data.X.shape[0] * data.X.shape[1] <= _MAX_DENSE):
        return WholeGradients(network, data, alpha)
    there = data.like(network)
    return lambda: network.whole_loss_and_gradients(there, alpha)
