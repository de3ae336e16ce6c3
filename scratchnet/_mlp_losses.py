"""The output activations and losses of scikit-learn's multilayer perceptrons, in NumPy or CuPy.

They are not the books': probabilities are clipped to [eps, 1 - eps] of their dtype, where the books add 1e-7, and
the squared error of several outputs is their mean, though its gradient is that of the sum. Each loss belongs to
the activation that makes its gradient y - t.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu
from .backends import backend_for

__all__ = ["activated", "loss_of"]


def _module(array: Array) -> Any:
    return sys.modules["cupy"] if is_on_gpu(array) else np


def activated(scores: Array, output: str) -> Array:
    """Return what is predicted of the last layer's scores [N,M], which may be overwritten."""
    if output == "softmax":
        y: Array = _module(scores).empty_like(scores)
        backend_for(scores).softmax_forward(scores, y)
        return y
    if output == "logistic":
        backend_for(scores).sigmoid_forward(scores, scores)
    elif output == "exp":
        _module(scores).exp(scores, out=scores)
    return scores


def _clipped(p: Array) -> Array:
    eps = np.finfo(p.dtype).eps
    return _module(p).clip(p, eps, 1 - eps)  # type: ignore[no-any-return]


def _cross_entropy(y: Array, t: Array) -> Array:
    return -(t * _module(y).log(_clipped(y))).sum(axis=1)  # type: ignore[no-any-return]


def _binary_cross_entropy(y: Array, t: Array) -> Array:
    xp, p = _module(y), _clipped(y)
    return -(t * xp.log(p) + (1 - t) * xp.log(1 - p)).sum(axis=1)  # type: ignore[no-any-return]


def _squared_error(y: Array, t: Array) -> Array:
    return 0.5 * ((y - t) ** 2).mean(axis=1)  # type: ignore[no-any-return]


def _poisson_deviance(y: Array, t: Array) -> Array:
    """Half of it: t log(t / y) - t + y, whose first term is 0 where t is."""
    xp = _module(y)
    logs = xp.log(xp.where(t == 0, 1, t) / xp.where(t == 0, 1, y))
    return (t * logs - t + y).sum(axis=1)  # type: ignore[no-any-return]


# From what is predicted, y [N,M], and targets t [N,M] to losses [N], by the output activation.
ROW_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "softmax": _cross_entropy,
    "logistic": _binary_cross_entropy,
    "identity": _squared_error,
    "exp": _poisson_deviance,
}


def loss_of(output: str, scores: Array, t: Array, w: Array | None, total: float) -> tuple[Any, Array]:
    """Return the weighted mean loss of some rows, and its gradient by the scores.

    Parameters
    ----------
    output : str
        One of ROW_LOSSES.
    scores, t : arrays [N,M]
        What the last layer gives, which may be overwritten, and the targets.
    w : array [N] or None
        Weights of the rows; None means 1 each.
    total : float
        What the sums are divided by: the weights of the rows, and of those that are computed apart.

    Returns
    -------
    loss
        A number; on the GPU a 0-d array, so that nothing waits for it.
    dscores : array [N,M]
        (y - t) w / total. If total is 0, there is nothing to learn from the rows: both are 0.
    """
    y = activated(scores, output)
    losses, dscores = ROW_LOSSES[output](y, t), y - t
    if w is not None:
        losses = losses * w
        dscores *= w[:, np.newaxis]
    if total == 0:
        return 0.0, dscores * 0
    dscores /= dscores.dtype.type(total)
    loss = losses.sum(dtype=np.float64) / total
    return loss if is_on_gpu(loss) else float(loss), dscores
