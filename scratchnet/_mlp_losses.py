"""The output activations and losses of scikit-learn's multilayer perceptrons, in NumPy or CuPy.

They are not the books': probabilities are clipped to [eps, 1 - eps] of their dtype, where the books add 1e-7, and
the squared error of several outputs is their mean, though its gradient is that of the sum. Each loss belongs to
the activation that makes its gradient y - t.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, is_on_gpu

__all__ = ["OUTPUTS", "Output", "loss_of"]


class Output(NamedTuple):
    """What the last layer's scores become, and what that costs.

    Attributes
    ----------
    activate
        From scores [N,M] to what is predicted, y [N,M].
    row_losses
        From y [N,M] and targets t [N,M] to losses [N].
    """

    activate: Callable[[Array], Array]
    row_losses: Callable[[Array, Array], Array]


def _module(array: Array) -> Any:
    return sys.modules["cupy"] if is_on_gpu(array) else np


def _softmax(scores: Array) -> Array:
    y: Array = scores - scores.max(axis=1, keepdims=True)
    _module(y).exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True)
    return y


def _logistic(scores: Array) -> Array:
    xp = _module(scores)
    y = xp.exp(-abs(scores))  # never overflows
    return xp.where(scores >= 0, 1 / (1 + y), y / (1 + y)).astype(scores.dtype)  # type: ignore[no-any-return]


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


OUTPUTS = {
    "softmax": Output(_softmax, _cross_entropy),
    "logistic": Output(_logistic, _binary_cross_entropy),
    "identity": Output(lambda scores: scores, _squared_error),
    "exp": Output(lambda scores: _module(scores).exp(scores), _poisson_deviance),
}


def loss_of(output: str, scores: Array, t: Array, w: Array | None, total: float) -> tuple[Any, Array]:
    """Return the weighted mean loss of some rows, and its gradient by the scores.

    Parameters
    ----------
    output : str
        One of OUTPUTS.
    scores, t : arrays [N,M]
        What the last layer gives, and the targets.
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
    y = OUTPUTS[output].activate(scores)
    losses, dscores = OUTPUTS[output].row_losses(y, t), y - t
    if w is not None:
        losses = losses * w
        dscores *= w[:, np.newaxis]
    if total == 0:
        return 0.0, dscores * 0
    dscores /= dscores.dtype.type(total)
    loss = losses.sum(dtype=np.float64) / total
    return loss if is_on_gpu(loss) else float(loss), dscores
