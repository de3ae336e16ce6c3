"""Book 2's `common.optimizer`: `scratchnet.optimizer` with the book's Nesterov, and what its module re-exports.

`scratchnet.optimizer.Nesterov` uses the published formula, as do book 1's later printings: there the velocity of
the previous step moves the parameters, here that of the current step.
"""

from __future__ import annotations

import sys
from typing import Any

from .._arrays import Array
from ..backends import op_update, run_checked
from ..optimizer import SGD, AdaGrad, Adam, Momentum, RMSprop
from ._lookup import looked_up

__all__ = ["GPU", "SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np", "sys"]

__getattr__ = looked_up(__name__)


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: v = momentum v - lr g, then p += momentum^2 v - (1 + momentum) lr g.

    Parameters
    ----------
    lr : float
        Learning rate, non-negative.
    momentum : float
        Fraction of the velocity that is kept.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, `common/optimizer.py`.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> Nesterov(lr=0.1).update(params, grads)
    >>> params[0].round(4)
    array([0.8645, 3.084 ])
    """

    # Momentum's update computes v, and p += v, of which only momentum^2 v should remain.

    def _quick_update(self, params: Any, grads: Any, states: list[Any], numbers: tuple[float, ...]) -> bool:
        excess, step = _rates(*numbers)
        return (
            super()._quick_update(params, grads, states, numbers)
            and op_update("sgd_update", params, states[0], [], (excess,))
            and op_update("sgd_update", params, grads, [], (step,))
        )

    def _step(self, kernels: Any, p: Array, g: Array, states: list[Array], numbers: tuple[float, ...]) -> None:
        excess, step = _rates(*numbers)
        super()._step(kernels, p, g, states, numbers)
        run_checked(kernels, "sgd_update", p, states[0], excess)
        run_checked(kernels, "sgd_update", p, g, step)


def _rates(lr: float, momentum: float) -> tuple[float, float]:
    return 1 - momentum * momentum, (1 + momentum) * lr  # gives infinity where ** raises an OverflowError
