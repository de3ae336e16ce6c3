"""Book 1's optimizers: those of `scratchnet.optimizer`, on dictionaries of parameters and gradients.

Source: *Deep Learning from Scratch* 1, ch. 6.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import optimizer as lists

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]


class _OnDictionaries(lists.Optimizer):
    """An optimizer whose parameters and gradients have names."""

    def update(self, params: Any, grads: Any) -> None:
        """Change every parameter by the gradient of its name, in place.

        Parameters
        ----------
        params, grads
            Dictionaries of arrays; a Python float in `params` is replaced. Other names in `grads` are ignored.

        Raises
        ------
        ValueError
            A parameter has no gradient, or what `scratchnet.optimizer` refuses. Nothing is changed then.
        """
        missing = [name for name in params if name not in grads]
        if missing:
            raise ValueError(f"{type(self).__name__}: grads has no {', '.join(map(str, missing))}")
        values = list(params.values())
        super().update(values, [grads[name] for name in params])
        for name, value in zip(params, values, strict=True):
            if params[name] is not value:
                params[name] = value


class SGD(_OnDictionaries, lists.SGD):
    """Stochastic gradient descent; see `scratchnet.optimizer.SGD`."""


class Momentum(_OnDictionaries, lists.Momentum):
    """Gradient descent with momentum; see `scratchnet.optimizer.Momentum`."""


class Nesterov(_OnDictionaries, lists.Nesterov):
    """Nesterov's accelerated gradient, parameters before velocity; see `scratchnet.optimizer.Nesterov`."""


class AdaGrad(_OnDictionaries, lists.AdaGrad):
    """AdaGrad; see `scratchnet.optimizer.AdaGrad`."""


class RMSprop(_OnDictionaries, lists.RMSprop):
    """RMSprop; see `scratchnet.optimizer.RMSprop`."""


class Adam(_OnDictionaries, lists.Adam):
    """Adam; see `scratchnet.optimizer.Adam`."""
