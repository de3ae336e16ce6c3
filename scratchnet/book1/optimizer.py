"""Book 1's optimizers: those of `scratchnet.optimizer`, on dictionaries of parameters and gradients.

Source: *Deep Learning from Scratch* 1, ch. 6.1.
"""

from __future__ import annotations

from operator import is_not
from typing import Any

import numpy as np

from .. import optimizer as lists
from .._as_written import as_written

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]


class _OnDictionaries(lists.Optimizer):
    """An optimizer whose parameters, gradients and states have names.

    A state is a dictionary of arrays, or None before the first update, and may be changed or replaced.
    """

    _holder = dict

    def update(self, params: Any, grads: Any) -> None:
        """Change every parameter by the gradient of its name, in place.

        Parameters
        ----------
        params, grads
            Dictionaries of arrays; a Python float in `params` is replaced. Other names in `grads` are ignored.

        Raises
        ------
        ValueError
            A parameter has no gradient, or `scratchnet.optimizer` rejects something. Then nothing is changed.
        """
        if not (hasattr(params, "values") and hasattr(grads, "keys")):
            who = type(self).__name__
            raise ValueError(
                f"{who}: params and grads must be dictionaries of arrays, got {type(params).__name__} and "
                f"{type(grads).__name__}; lists are for scratchnet.optimizer.{who}"
            )
        names, values = list(params), list(params.values())
        try:
            gradients = [*map(grads.__getitem__, names)]
        except KeyError:
            missing = ", ".join(str(name) for name in names if name not in grads)
            raise ValueError(f"{type(self).__name__}: grads has no {missing}") from None
        states: list[Any] = []
        for attribute in self._state:
            state = getattr(self, attribute)
            try:
                states.append(None if state is None else [*map(state.__getitem__, names)])
            except (AttributeError, KeyError, TypeError, IndexError):
                raise ValueError(
                    f"{type(self).__name__}: its {attribute} is not a dictionary with an array for each of "
                    f"{', '.join(map(str, names))}; set it to None, or use a new optimizer for another network"
                ) from None
        kept = self._update(values, gradients, states, names)
        if kept is not states:
            self._keep([dict(zip(names, state, strict=True)) for state in kept])
        if any(map(is_not, values, params.values())):
            params.update(zip(names, values, strict=True))


@as_written
class SGD(_OnDictionaries, lists.SGD):
    """Stochastic gradient descent; see `scratchnet.optimizer.SGD`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> SGD(lr=0.1).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.95, 2.4 ])
    """


@as_written
class Momentum(_OnDictionaries, lists.Momentum):
    """Gradient descent with momentum; see `scratchnet.optimizer.Momentum`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> Momentum(lr=0.1).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.95, 2.4 ])
    """


@as_written
class Nesterov(_OnDictionaries, lists.Nesterov):
    """Nesterov's accelerated gradient, parameters before velocity; see `scratchnet.optimizer.Nesterov`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> Nesterov(lr=0.1).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.905, 2.76 ])
    """


@as_written
class AdaGrad(_OnDictionaries, lists.AdaGrad):
    """AdaGrad; see `scratchnet.optimizer.AdaGrad`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> AdaGrad(lr=0.1).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.9, 2.1])
    """


@as_written
class RMSprop(_OnDictionaries, lists.RMSprop):
    """RMSprop; see `scratchnet.optimizer.RMSprop`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> RMSprop(lr=0.01).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.9, 2.1])
    """


@as_written
class Adam(_OnDictionaries, lists.Adam):
    """Adam; see `scratchnet.optimizer.Adam`.

    Examples
    --------
    >>> params = {"W1": np.array([1.0, 2.0])}
    >>> Adam(lr=0.1).update(params, {"W1": np.array([0.5, -4.0])})
    >>> params["W1"].round(3)
    array([0.9, 2.1])
    """
