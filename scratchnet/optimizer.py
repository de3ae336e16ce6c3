"""The books' optimizers: `update(params, grads)` changes the parameters in place.

Source: *Deep Learning from Scratch* 1, ch. 6.1; 2, ch. 1.3.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import nextafter
from typing import Any, ClassVar

import numpy as np

from ._arrays import (
    Array,
    as_operand,
    as_scalar,
    check_parameter,
    described,
    is_on_gpu,
    is_writable,
    to_side,
    zeros_in_one_buffer,
)
from ._as_written import as_written, is_as_written
from ._links import Linked
from ._shown import shown
from .backends import backend_for, bias_corrected_rates, check_call, op_update, run_checked

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop"]

_INF = float("inf")
_MAX_UPDATES = 1 << 62  # C continues to count in 64 bits
# What a setting must be, and its range, the upper end excluded.
_SETTINGS = {
    "lr": ("a non-negative number", 0.0, _INF),
    "momentum": ("a finite number", nextafter(-_INF, 0), _INF),
    "decay_rate": ("a number from 0 to 1", 0.0, nextafter(1, 2)),
    "beta1": ("a number in [0, 1)", 0.0, 1.0),
    "beta2": ("a number in [0, 1)", 0.0, 1.0),
}


class Optimizer(Linked):
    """Base of all optimizers; each names its kernel, its state and its settings.

    Attributes
    ----------
    lr : float
        Learning rate; may be changed at any time and is read at every update.
    """

    _kernel: ClassVar[str]
    _state: ClassVar[tuple[str, ...]] = ()  # attributes: one list of arrays each, like the parameters
    _holder: ClassVar[type] = list  # of each attribute's arrays
    _settings: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, lr: float) -> None:
        self.lr = lr
        for name in self._state:
            setattr(self, name, None)
        self._checked_settings()

    def __repr__(self) -> str:
        return shown(self, self._settings)

    def _checked_settings(self) -> tuple[float, ...]:
        """Return the current settings, or raise an error that names the invalid one."""
        numbers = []
        for name in self._settings:
            value = getattr(self, name)
            _, low, high = _SETTINGS[name]
            if type(value) is not float or not low <= value < high:  # a NaN is not
                value = self._checked(name, value)
            numbers.append(value)
        return tuple(numbers)

    def _checked(self, name: str, value: Any) -> float:
        expected, low, high = _SETTINGS[name]
        try:
            number: float = value if type(value) is float else as_scalar(name, value)
            if low <= number < high:  # a NaN is not
                return number
        except ValueError:
            pass
        raise ValueError(f"{type(self).__name__}: {name} must be {expected}, got {described(value)}")

    def _kernel_numbers(self) -> tuple[float, ...]:
        """Return the kernel's numbers for the next update, in its order: a learning rate, and what is after it."""
        return self._checked_settings()

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
            A parameter is read-only or has no floating dtype, a gradient has another shape or shares its
            parameter's memory, the lists have different lengths, a setting is invalid, or the state belongs
            to other parameters. Then nothing is changed: no parameter, and no state.
        """
        states = [getattr(self, name) for name in self._state]
        kept = self._update(params, grads, states)
        if kept is not states:
            self._keep(kept)

    def _update(
        self, params: Sequence[Any], grads: Sequence[Any], states: list[Any], names: Sequence[Any] = ()
    ) -> list[Any]:
        """Perform an update; return the lists of states: the given ones, or new ones in their place.

        `names` are the parameters' names in errors, if not their positions.
        """
        numbers = self._kernel_numbers()
        if not self._quick_update(params, grads, states, numbers):
            entries = list(self._entries(params, grads, names))
            states = self._fitting([p for _, _, p, _ in entries], states)
            for k, (_, i, p, g) in enumerate(entries):  # all checks before the first write
                self._check_entry(names[i] if names else i, p, g, [state[k] for state in states], numbers)
            for k, (container, i, p, g) in enumerate(entries):
                arrays = [p, *(state[k] for state in states)]
                operands = [as_operand("p", a, a) for a in arrays]  # a copy if the layout is not the kernels'
                self._step(backend_for(operands[0]), operands[0], g, operands[1:], numbers)
                for array, operand in zip(arrays, operands, strict=True):
                    if operand is not array:
                        array[...] = operand
                if container[i] is not p:
                    number = container[i]
                    container[i] = type(number)(p) if isinstance(number, np.floating) else p.item()
        self.count_steps(1)
        return states

    def _quick_update(self, params: Any, grads: Any, states: list[Any], numbers: tuple[float, ...]) -> bool:
        """Update all parameters in one call and return True; or change nothing and return False."""
        return op_update(self._kernel, params, grads, states, numbers)

    def _step(self, kernels: Any, p: Array, g: Array, states: list[Array], numbers: tuple[float, ...]) -> None:
        """Update one parameter and its states, arrays that have been checked."""
        run_checked(kernels, self._kernel, p, g, *states, *numbers)

    def _check_entry(self, i: Any, p: Array, g: Array, states: list[Array], numbers: tuple[float, ...]) -> None:
        for name, state in zip(self._state, states, strict=True):
            if not is_writable(state):
                raise ValueError(f"{type(self).__name__}: {name}[{i!r}] is read-only; update changes it in place")
        operands = [as_operand("p", a, a) for a in (p, *states)]
        try:
            check_call(self._kernel, operands[0], g, *operands[1:], *numbers)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: params[{i!r}] cannot be updated: {error}") from None

    def _entries(
        self, params: Sequence[Any], grads: Sequence[Any], names: Sequence[Any] = ()
    ) -> Iterator[tuple[Any, int, Array, Array]]:
        """Yield for every parameter its list, its place there, itself as an array, and its gradient."""
        who = type(self).__name__
        if not (isinstance(params, list | tuple) and isinstance(grads, list | tuple)):
            hint = (
                f"; dictionaries are for book 1's {who}, scratchnet.book1.optimizer.{who} "
                "(scratchnet run --book 1, in a notebook %load_ext scratchnet.book1)"
            )
            raise ValueError(
                f"{who}: params and grads must be lists of arrays, got {type(params).__name__} and "
                f"{type(grads).__name__}{hint * (isinstance(params, dict) or isinstance(grads, dict))}"
            )
        if len(params) != len(grads):
            raise ValueError(
                f"{who}: got {len(params)} parameters and {len(grads)} gradients, expected the same number of both"
            )
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            at = f"[{names[i] if names else i!r}]"
            if isinstance(p, list | tuple):
                yield from self._entries(p, g)
                continue
            if isinstance(p, float | int | np.floating) and not isinstance(p, bool):
                if isinstance(params, tuple):
                    raise ValueError(
                        f"{who}: params{at} is a scalar, which cannot be replaced in a tuple; use a list"
                    )
                array = np.array(as_scalar(f"{who}: params{at}", p))
            else:
                array = check_parameter(f"{who}: params{at}", p)
                if not is_writable(array):
                    raise ValueError(f"{who}: params{at} is read-only; update changes it in place")
                if g is p:
                    raise ValueError(f"{who}: grads{at} is the parameter itself; they overlap in memory")
            if g is None:
                raise ValueError(f"{who}: grads{at} must contain real numbers, got None; does backward set it?")
            g = as_operand(f"{who}: grads{at}", g, array)
            if g.shape != array.shape:
                raise ValueError(
                    f"{who}: grads{at} has shape {g.shape}, expected {array.shape}, the shape of the parameter"
                )
            yield params, i, array, g

    def _fitting(self, arrays: list[Array], states: list[Any]) -> list[Any]:
        """Return lists of states that fit the parameters: the given ones if they do.

        As in the books, all states start as zeros at the first update, and again if the first one has been set to
        None; a state follows parameters that have moved to the GPU or back.
        """
        fitting = []
        for name, state in zip(self._state, states, strict=True):
            if state is None or states[0] is None:
                fitting.append(_zeros_like(arrays))
                continue
            if not isinstance(state, list) or not _are_arrays(state):
                raise self._no_state(name, state)
            if [(s.shape, s.dtype) for s in state] != [(a.shape, a.dtype.newbyteorder("=")) for a in arrays]:
                raise ValueError(
                    f"{type(self).__name__}: its {name} belongs to parameters with other shapes or dtypes; "
                    f"use a new optimizer for another model, or set {name} to None"
                )
            if [is_on_gpu(s) for s in state] != [is_on_gpu(a) for a in arrays]:
                there = _zeros_like(arrays)
                for new, old in zip(there, state, strict=True):
                    new[...] = to_side(old, to_gpu=is_on_gpu(new))
                state = there
            fitting.append(state)
        return states if all(a is b for a, b in zip(states, fitting, strict=True)) else fitting

    def _no_state(self, name: str, state: Any) -> ValueError:
        return ValueError(
            f"{type(self).__name__}: {name} must be None or a {self._holder.__name__} of arrays, one for each "
            f"parameter, got {described(state)}"
        )

    def _keep(self, states: list[Any]) -> None:
        for name, state in zip(self._state, states, strict=True):
            setattr(self, name, state)

    def step_state(self, params: Sequence[Any]) -> tuple[str, list[list[Array]]] | None:
        """Describe the update to whole-step training: the kernel, and the state's arrays for the parameters.

        None for a class that is not of this module, or has been changed, because it may update differently.
        """
        if not is_as_written(self):
            return None
        states = self._fitting(list(params), [getattr(self, name) for name in self._state])
        self._keep(states)
        return self._kernel, states

    def step_numbers(self, steps: int) -> tuple[list[float], tuple[float, ...]]:
        """Return the kernel's numbers for the next updates: the learning rate of each, and those after it."""
        numbers = self._checked_settings()
        return [numbers[0]] * steps, numbers[1:]

    def count_steps(self, steps: int) -> None:
        """Count updates that were made; only Adam needs their number."""

    def state_dict(self) -> dict[str, Any]:
        """Return settings and state, as NumPy arrays, copied, for `load_state_dict` of the same class."""
        own = {name: getattr(self, name) for name in self._saved()}
        return {"optimizer": type(self).__name__} | {name: _copied(value) for name, value in own.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the settings and state that `state_dict` returned.

        Raises
        ------
        ValueError
            The state belongs to another optimizer, or something is missing or invalid. Then nothing is changed.
        """
        who = type(self).__name__
        if not isinstance(state, dict):
            raise ValueError(f"{who}: the state must be what state_dict returns, got {type(state).__name__}")
        if state.get("optimizer") != who:
            raise ValueError(f"{who}: the state is of {state.get('optimizer')!r}, expected {who!r}")
        missing = [name for name in self._saved() if name not in state]
        if missing:
            raise ValueError(f"{who}: the state has no {', '.join(missing)}")
        for name in self._settings:
            self._checked(name, state[name])
        if "iter" in self._saved():
            _checked_count(who, state["iter"])
        for name in self._state:
            held = state[name]
            if held is not None and not (isinstance(held, self._holder) and _are_arrays(_named(held).values())):
                raise self._no_state(name, held)
        if len({_kinds(state[name]) for name in self._state}) > 1:
            raise ValueError(f"{who}: {' and '.join(self._state)} belong to different parameters")
        own = {name: _in_one_buffer(_copied(state[name])) for name in self._saved()}
        for name, value in own.items():
            setattr(self, name, value)

    def _saved(self) -> tuple[str, ...]:
        return self._settings + self._state


@as_written
class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr g.

    Parameters
    ----------
    lr : float
        Learning rate, non-negative.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.1.2; 2, ch. 1.3.6.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> SGD(lr=0.1).update(params, grads)
    >>> params[0].round(3)
    array([0.95, 2.4 ])
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
        Learning rate, non-negative.
    momentum : float
        Fraction of the velocity that is kept.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.1.4.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> optimizer = Momentum(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update(params, grads)
    >>> params[0].round(3)
    array([0.855, 3.16 ])
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
        Learning rate, non-negative.
    momentum : float
        Fraction of the velocity that is kept.

    Notes
    -----
    Source: Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, *Advances in optimizing recurrent networks*,
    2013, eq. 7; *Deep Learning from Scratch* 1, ch. 6.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> optimizer = Nesterov(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update(params, grads)
    >>> params[0].round(3)
    array([0.77 , 3.844])
    """

    _kernel = "nesterov_update"


@as_written
class AdaGrad(Optimizer):
    """A learning rate for every parameter, falling with its past gradients: h += g^2; p -= lr g / sqrt(h).

    Parameters
    ----------
    lr : float
        Learning rate, non-negative.

    Notes
    -----
    1e-7 is added to the root. Source: *Deep Learning from Scratch* 1, ch. 6.1.5.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> AdaGrad(lr=0.1).update(params, grads)
    >>> params[0].round(3)
    array([0.9, 2.1])
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
        Learning rate, non-negative.
    decay_rate : float
        Fraction of the squared gradients that is kept.

    Notes
    -----
    1e-7 is added to the root. Source: *Deep Learning from Scratch* 1, ch. 6.1.5.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> RMSprop(lr=0.01).update(params, grads)
    >>> params[0].round(3)
    array([0.9, 2.1])
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
    """Adam: m and v follow the gradient and its square; p -= lr m / sqrt(v), both corrected for starting at 0.

    Parameters
    ----------
    lr : float
        Learning rate, non-negative.
    beta1, beta2 : float
        Fractions of m and v that are kept.

    Attributes
    ----------
    iter : int
        Number of updates made.

    Notes
    -----
    1e-7 is added to the root. Source: D. Kingma and J. Ba, *Adam*, 2015; *Deep Learning from Scratch* 1,
    ch. 6.1.6.

    Examples
    --------
    >>> params, grads = [np.array([1.0, 2.0])], [np.array([0.5, -4.0])]
    >>> Adam(lr=0.1).update(params, grads)
    >>> params[0].round(3)
    array([0.9, 2.1])
    """

    _kernel = "adam_update"
    _epsilon = 1e-7  # the books'
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

    def _kernel_numbers(self) -> tuple[float, ...]:
        (rate,), others = self.step_numbers(1)
        return rate, *others

    def step_numbers(self, steps: int) -> tuple[list[float], tuple[float, ...]]:
        """Return the rates of the next updates, corrected for the start of m and v at 0, the betas and epsilon."""
        lr, beta1, beta2 = self._checked_settings()
        count = self.iter
        if not (type(count) is int and 0 <= count < _MAX_UPDATES):
            count = _checked_count("Adam", count)
        return bias_corrected_rates(lr, beta1, beta2, count, steps), (beta1, beta2, self._epsilon)

    def _saved(self) -> tuple[str, ...]:
        return (*super()._saved(), "iter")


def _zeros_like(arrays: Sequence[Array]) -> list[Array]:
    kinds = {(a.dtype.newbyteorder("="), is_on_gpu(a)) for a in arrays}
    if len(kinds) == 1:
        dtype, on_gpu = kinds.pop()
        return zeros_in_one_buffer([a.shape for a in arrays], dtype, on_gpu=on_gpu)
    return [np.zeros_like(a, a.dtype.newbyteorder("="), order="C") for a in arrays]


def _named(state: Any) -> dict[Any, Any]:
    """Return a state's arrays by their names or places."""
    return state if isinstance(state, dict) else dict(enumerate(state))


def _are_arrays(values: Iterable[Any]) -> bool:
    return all((isinstance(a, np.ndarray) or is_on_gpu(a)) and a.dtype.kind == "f" for a in values)


def _copied(value: Any) -> Any:
    """Return a copy of a state, of NumPy arrays; a setting as it is."""
    if isinstance(value, dict):
        return {name: np.array(to_side(a, to_gpu=False)) for name, a in value.items()}
    if isinstance(value, list):
        return [np.array(to_side(a, to_gpu=False)) for a in value]
    return value


def _in_one_buffer(value: Any) -> Any:
    """Return a list of NumPy arrays as new states are made, so that whole steps update them in one call."""
    if not isinstance(value, list):
        return value
    together = _zeros_like(value)
    for new, old in zip(together, value, strict=True):
        new[...] = old
    return together


def _kinds(state: Any) -> Any:
    """Return names or places, shapes and dtypes, the same for all states of one optimizer."""
    return None if state is None else frozenset((name, a.shape, a.dtype) for name, a in _named(state).items())


def _checked_count(who: str, value: Any) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value < _MAX_UPDATES:
        return int(value)
    raise ValueError(
        f"{who}: iter, the number of updates made, must be a non-negative integer, got {described(value)}"
    )
