"""The books' optimizers: `update(params, grads)` changes the parameters in place.

Source: *Deep Learning from Scratch* 1, ch. 6.1; 2, ch. 1.3.6.
"""

from __future__ import annotations

import sys as sys  # book 2's scripts expect it from here, by a star import
from collections.abc import Iterator, Sequence
from math import nextafter, sqrt
from typing import Any, ClassVar

import numpy as np

from ._as_written import as_written, is_as_written
from ._passed_on import pass_on_np
from .backends import (
    as_number,
    as_operand,
    backend_for,
    check_parameter,
    is_on_gpu,
    is_writable,
    moved,
    quick_update,
    side_by_side,
)
from .config import GPU as GPU  # book 2's scripts expect this from here, by a star import

Array = np.ndarray[Any, np.dtype[Any]]

pass_on_np(__name__)

_INF = float("inf")
# What a setting must be, and its range, the upper end excluded.
_SETTINGS = {
    "lr": ("a number, 0 or more", 0.0, _INF),
    "momentum": ("a finite number", nextafter(-_INF, 0), _INF),
    "decay_rate": ("a number from 0 to 1", 0.0, nextafter(1, 2)),
    "beta1": ("a number from 0 up to, but not, 1", 0.0, 1.0),
    "beta2": ("a number from 0 up to, but not, 1", 0.0, 1.0),
}


class Optimizer:
    """What all optimizers share; each names its kernel, its state and its numbers.

    Attributes
    ----------
    lr : float
        Learning rate; may be changed at any time and is read at every update.
    """

    _kernel: ClassVar[str]
    _state: ClassVar[tuple[str, ...]] = ()  # attributes: one list of arrays each, like the parameters
    _settings: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, lr: float) -> None:
        self.lr = lr
        for name in self._state:
            setattr(self, name, None)
        self._checked_settings()

    def _checked_settings(self) -> tuple[float, ...]:
        """Return the settings as they are now, or say which is wrong."""
        return tuple([self._checked(name, getattr(self, name)) for name in self._settings])

    def _checked(self, name: str, value: Any) -> float:
        expected, low, high = _SETTINGS[name]
        try:
            number: float = value if type(value) is float else as_number(name, value)
            if low <= number < high:  # a NaN is not
                return number
        except ValueError:
            pass
        raise ValueError(f"{type(self).__name__}: {name} must be {expected}, got {value!r}")

    def _kernel_numbers(self, settings: tuple[float, ...]) -> tuple[float, ...]:
        """Return the kernel's numbers for the next update, in its order."""
        return settings

    def update(self, params: Sequence[Any], grads: Sequence[Any]) -> None:
        """Change every parameter by its gradient, in place.

        Parameters
        ----------
        params, grads
            Lists of arrays, one gradient for each parameter, of its shape; lists of such lists work too.
            A Python float in `params` is replaced in the list.

        Raises
        ------
        ValueError
            A parameter is read-only or has no floating dtype, a gradient has another shape, the lists have
            different lengths, or the learning rate is negative or not a number. Nothing is changed then.
        """
        numbers = self._kernel_numbers(self._checked_settings())
        if quick_update(self._kernel, params, grads, [getattr(self, name) for name in self._state], numbers):
            self.count_steps(1)
            return
        entries = list(self._entries(params, grads))
        states = self._state_arrays([p for _, _, p, _ in entries])
        self.count_steps(1)
        for k, (container, i, p, g) in enumerate(entries):
            operand = as_operand("p", p, p)  # a copy if the layout is not the kernels'
            getattr(backend_for(operand), self._kernel)(operand, g, *(state[k] for state in states), *numbers)
            if operand is not p:
                p[...] = operand
            if container[i] is not p:
                number = container[i]
                container[i] = type(number)(p) if isinstance(number, np.floating) else p.item()

    def _entries(self, params: Sequence[Any], grads: Sequence[Any]) -> Iterator[tuple[Any, int, Array, Array]]:
        """Yield for every parameter its list, its place there, itself as an array, and its gradient."""
        who = type(self).__name__
        if not (isinstance(params, list | tuple) and isinstance(grads, list | tuple)):
            raise ValueError(
                f"{who}: params and grads must be lists, got {type(params).__name__} and {type(grads).__name__}; "
                f"dictionaries are for book 1's {who}, scratchnet.book1.optimizer.{who} (scratchnet run --book 1, "
                "in a notebook %load_ext scratchnet.book1)"
            )
        if len(params) != len(grads):
            raise ValueError(
                f"{who}: got {len(params)} parameters and {len(grads)} gradients, expected as many of each"
            )
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            if isinstance(p, list | tuple):
                yield from self._entries(p, g)
                continue
            if isinstance(p, float | int | np.floating) and not isinstance(p, bool):
                if isinstance(params, tuple):
                    raise ValueError(
                        f"{who}: params[{i}] is a number and cannot be replaced in a tuple; use a list"
                    )
                array = np.array(p, dtype=np.float64)
            else:
                array = check_parameter(f"{who}: params[{i}]", p)
                if not is_writable(array):
                    raise ValueError(f"{who}: params[{i}] is read-only; update changes it in place")
                if g is p:
                    raise ValueError(f"{who}: grads[{i}] is the parameter itself; they overlap in memory")
            g = as_operand(f"{who}: grads[{i}]", g, array)
            if g.shape != array.shape:
                raise ValueError(
                    f"{who}: grads[{i}] has shape {g.shape}, expected {array.shape}, the shape of the parameter"
                )
            yield params, i, array, g

    def _state_arrays(self, arrays: list[Array]) -> list[list[Array]]:
        """Return the state's lists, made of zeros at the first update; the state follows parameters that moved."""
        for name in self._state:
            state = getattr(self, name)
            if state is None:
                setattr(self, name, _zeros_like(arrays))
            elif [(s.shape, s.dtype) for s in state] != [(a.shape, a.dtype.newbyteorder("=")) for a in arrays]:
                raise ValueError(
                    f"{type(self).__name__}: its {name} belongs to parameters of other shapes or dtypes; "
                    "use a new optimizer for another model"
                )
            elif [is_on_gpu(s) for s in state] != [is_on_gpu(a) for a in arrays]:
                there = _zeros_like(arrays)
                for new, old in zip(there, state, strict=True):
                    new[...] = moved(old, to_gpu=is_on_gpu(new))
                setattr(self, name, there)
        return [getattr(self, name) for name in self._state]

    def step_state(self, params: Sequence[Any]) -> tuple[str, list[list[Array]]] | None:
        """Describe the update to whole-step training: the kernel, and the state's arrays for the parameters.

        None for a class that is not of this module, or was changed, because it may update in another way.
        """
        if not is_as_written(self):
            return None
        return self._kernel, self._state_arrays(list(params))

    def step_numbers(self) -> tuple[tuple[float, ...], int]:
        """Return the settings as they are now, and the number of updates made (which Adam's correction needs)."""
        return self._checked_settings(), getattr(self, "iter", 0)

    def count_steps(self, steps: int) -> None:
        """Count updates that were made; only Adam needs their number."""

    def state_dict(self) -> dict[str, Any]:
        """Return settings and state, as NumPy arrays, copied, for `load_state_dict` of the same class."""
        state: dict[str, Any] = {"optimizer": type(self).__name__}
        for name in self._saved():
            value = getattr(self, name)
            state[name] = [np.array(moved(a, to_gpu=False)) for a in value] if isinstance(value, list) else value
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the settings and state that `state_dict` returned.

        Raises
        ------
        ValueError
            The state is another optimizer's, or something is missing or wrong. Nothing is changed then.
        """
        who = type(self).__name__
        if state.get("optimizer") != who:
            raise ValueError(f"{who}: the state is of {state.get('optimizer')!r}, expected {who!r}")
        missing = [name for name in self._saved() if name not in state]
        if missing:
            raise ValueError(f"{who}: the state has no {', '.join(missing)}")
        type(self)(**{name: state[name] for name in self._settings})  # says what is wrong with a setting
        if not (isinstance(state.get("iter", 0), int) and state.get("iter", 0) >= 0):
            raise ValueError(f"{who}: iter must be a whole number, 0 or more, got {state['iter']!r}")
        lists = {name: state[name] for name in self._state}
        shapes = {
            None if v is None else tuple((np.shape(a), moved(a, to_gpu=False).dtype) for a in v)
            for v in lists.values()
        }
        if len(shapes) > 1:
            raise ValueError(f"{who}: {' and '.join(lists)} belong to different parameters")
        for name in self._saved():
            value = state[name]
            held = [np.array(moved(a, to_gpu=False)) for a in value] if isinstance(value, list) else value
            setattr(self, name, held)

    def _saved(self) -> tuple[str, ...]:
        return self._settings + self._state


@as_written
class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g.

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.1.2; 2, ch. 1.3.6.
    """

    _kernel = "sgd_update"

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)


@as_written
class Momentum(Optimizer):
    """Gradient descent with momentum: v = momentum v - lr g; p += v.

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.
    momentum : float
        Share of the velocity that is kept.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.1.4.
    """

    _kernel = "momentum_update"
    _state = ("v",)
    _settings = ("lr", "momentum")

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.v: list[Array] | None = None
        super().__init__(lr)


@as_written
class Nesterov(Momentum):
    """Nesterov's accelerated gradient: p += momentum^2 v - (1 + momentum) lr g, then v = momentum v - lr g.

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.
    momentum : float
        Share of the velocity that is kept.

    Notes
    -----
    Source: Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, *Advances in optimizing recurrent networks*,
    2013, eq. 7; *Deep Learning from Scratch* 1, ch. 6.
    """

    _kernel = "nesterov_update"


@as_written
class AdaGrad(Optimizer):
    """A learning rate for every parameter, falling with its past gradients: h += g^2; p -= lr g / sqrt(h).

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.

    Notes
    -----
    1e-7 is added to the root. Source: *Deep Learning from Scratch* 1, ch. 6.1.5.
    """

    _kernel = "adagrad_update"
    _state = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        self.h: list[Array] | None = None
        super().__init__(lr)


@as_written
class RMSprop(Optimizer):
    """AdaGrad that forgets: h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / sqrt(h).

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.
    decay_rate : float
        Share of the squared gradients that is kept.

    Notes
    -----
    1e-7 is added to the root. Source: *Deep Learning from Scratch* 1, ch. 6.1.5.
    """

    _kernel = "rmsprop_update"
    _state = ("h",)
    _settings = ("lr", "decay_rate")

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.decay_rate = decay_rate
        self.h: list[Array] | None = None
        super().__init__(lr)


@as_written
class Adam(Optimizer):
    """Adam: m and v follow the gradient and its square; p -= lr m / sqrt(v), both corrected for their start at 0.

    Parameters
    ----------
    lr : float
        Learning rate, 0 or more.
    beta1, beta2 : float
        Shares of m and v that are kept.

    Attributes
    ----------
    iter : int
        Number of updates made.

    Notes
    -----
    1e-7 is added to the root. Source: D. Kingma and J. Ba, *Adam*, 2015; *Deep Learning from Scratch* 1,
    ch. 6.1.6.
    """

    _kernel = "adam_update"
    _state = ("m", "v")
    _settings = ("lr", "beta1", "beta2")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: list[Array] | None = None
        self.v: list[Array] | None = None
        super().__init__(lr)

    def count_steps(self, steps: int) -> None:
        """Count updates that were made."""
        self.iter += steps

    def _kernel_numbers(self, settings: tuple[float, ...]) -> tuple[float, ...]:
        lr, beta1, beta2 = settings
        steps = self.iter + 1
        return lr * sqrt(1 - beta2**steps) / (1 - beta1**steps), beta1, beta2

    def _saved(self) -> tuple[str, ...]:
        return (*super()._saved(), "iter")


def _zeros_like(arrays: Sequence[Array]) -> list[Array]:
    kinds = {(a.dtype.newbyteorder("="), is_on_gpu(a)) for a in arrays}
    if len(kinds) == 1:
        dtype, on_gpu = kinds.pop()
        return side_by_side([a.shape for a in arrays], dtype, on_gpu=on_gpu)
    return [np.zeros_like(a, a.dtype.newbyteorder("="), order="C") for a in arrays]
