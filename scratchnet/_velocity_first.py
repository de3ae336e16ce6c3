"""Nesterov's method as book 2's code has it: `scratchnet run` serves it as its `common.optimizer.Nesterov`.

`scratchnet.optimizer.Nesterov` has the published formula, as book 1's later printings do: there the velocity of
the step before moves the parameters, here that of the step itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .optimizer import SGD, Momentum


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: v = momentum v - lr g, then p += momentum^2 v - (1 + momentum) lr g.

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.
    momentum : float
        Share of the velocity that is kept, from -1 to 1.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, `common/optimizer.py`.
    """

    def update(self, params: Sequence[Any], grads: Sequence[Any]) -> None:
        """Change every parameter by its gradient, in place; see `Optimizer.update`."""
        excess, step = SGD(1 - self.momentum**2), SGD((1 + self.momentum) * self.lr)
        super().update(params, grads)  # v, and p += v, of which momentum^2 v is to be left
        excess.update(params, self.v or [])
        step.update(params, grads)
