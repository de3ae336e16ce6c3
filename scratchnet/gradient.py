"""Numerical differentiation and gradient descent, and the check of backpropagation against them.

Source: *Deep Learning from Scratch* 1, ch. 4.3, 4.4 and 5.7.3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, as_real_array, check_integer, is_on_gpu, is_writable
from ._as_written import unmodified_chain
from ._compute import in_full
from .util import flatten, named_params, remove_duplicate

__all__ = ["gradient_check", "gradient_descent", "numerical_diff", "numerical_gradient"]


def numerical_diff(f: Callable[[Any], Any], x: Any) -> Any:
    """Return the central difference (f(x + h) - f(x - h)) / 2h with h = 1e-4.

    Raises
    ------
    ValueError
        f is not a function, or x or the result of f does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 4.3.1.
    """
    _check_function("numerical_diff", f)
    h, x = 1e-4, _real("numerical_diff: x", x)
    above, below = (_real("numerical_diff: f(x)", f(moved)) for moved in (x + h, x - h))
    return (above - below) / (2 * h)


def numerical_gradient(f: Callable[[Array], Any], x: Any) -> Array:
    """Return the partial derivatives of f at x by central differences with h = 1e-4.

    Parameters
    ----------
    f
        Function of the array that returns a number.
    x
        Point, an array of any shape. A floating array is changed in place, one element at a time, and
        restored: so f may also read the array itself, as the books' `loss` does with its weights.
        Integers and lists are copied to float64.

    Returns
    -------
    ndarray
        Of x's shape, and of its dtype if that is a floating one, else float64.

    Raises
    ------
    ValueError
        x does not contain real numbers, or is read-only; f is not a function, or does not return one real number.

    Notes
    -----
    Source: book 1, ch. 4.4.
    """
    _check_function("numerical_gradient", f)
    with in_full():
        return _central_differences("numerical_gradient", f, _as_point("numerical_gradient: x", x), 1e-4)


def gradient_descent(
    f: Callable[[Array], Any],
    init_x: Any,
    lr: float = 0.01,
    step_num: int = 100,
    *,
    return_path: bool = False,
) -> Any:
    """Descend from init_x: x -= lr * gradient, step_num times.

    Parameters
    ----------
    f
        Function of the array that returns a number.
    init_x
        Starting point; a floating array is changed in place and returned, as in the book.
    lr
        Learning rate.
    step_num
        Number of steps.
    return_path
        Also return the points that were visited, for `plotting.plot_descent`.

    Returns
    -------
    ndarray, or (ndarray, ndarray of shape (step_num + 1, ...))
        The last point; with `return_path` also the path, starting with init_x.

    Raises
    ------
    ValueError
        init_x does not contain real numbers, step_num is not a non-negative integer, lr is not a number, f is not
        a function, or does not return one real number.

    Notes
    -----
    Source: book 1, ch. 4.4.1.
    """
    _check_function("gradient_descent", f)
    step_num = check_integer("gradient_descent: step_num", step_num)
    lr = as_number("gradient_descent: lr", lr)
    if isnan(lr):
        raise ValueError("gradient_descent: lr must be a number, got nan")
    x = _as_point("gradient_descent: init_x", init_x)
    path = [x.copy()]
    with np.errstate(over="ignore", invalid="ignore"):  # too large a learning rate diverges, as the book shows
        for _ in range(step_num):
            x -= lr * _central_differences("gradient_descent", f, x, 1e-4)
            if return_path:
                path.append(x.copy())
    return (x, np.array(path)) if return_path else x


def gradient_check(model: Any, x: Any, t: Any) -> dict[str, float]:
    """Compare a model's backpropagation with central differences of its loss.

    Parameters
    ----------
    model
        Anything with forward(x, t) -> loss, backward(), params and grads. The differences are taken in float64
        for scratchnet's own networks of any dtype; for your own classes in the dtype of their parameters, where
        float64 gives a sharp check and float32 about three digits.
    x, t
        A batch; a few samples are enough, since the loss is evaluated twice for every parameter.

    Returns
    -------
    dict of str to float
        For every parameter (W1, b1, ...) the largest difference between the two gradients, relative to
        the largest number in them. Layers that share a parameter count once, with their gradients added.

    Raises
    ------
    ValueError
        The model lacks something required, there are no samples, or the same samples give two different losses.

    Notes
    -----
    Most of scratchnet's losses add 1e-7 inside the logarithm, which `backward` ignores: the differences are taken
    of the loss without it. Two things make errors look large in a correct model: gradients near 0 in float32
    (weights of 0.01 in several sigmoid layers of your own class), where only rounding is left, and a relu whose
    input is at 0, where the loss has no derivative. Larger weights, and biases that are not all 0,
    avoid both.
    Source: book 1, ch. 5.7.3.
    """
    for needed in ("forward", "backward", "params", "grads"):
        if not hasattr(model, needed):
            raise ValueError(f"gradient_check: the model has no {needed}")
    if any(map(is_on_gpu, flatten(model.params))):
        raise ValueError('gradient_check: the model is on the GPU; model.to("cpu") moves it back')
    x, t = as_array(x, "gradient_check: x"), as_array(t, "gradient_check: t")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError("gradient_check: x has no samples")
    with in_full():
        return _compared(model, x, t)


def _compared(model: Any, x: Array, t: Array) -> dict[str, float]:
    """Return the largest relative error of each parameter's gradient; `gradient_check` checks the arguments."""
    loss = as_number("gradient_check: the loss", model.forward(x, t))
    model.backward()
    grads = [np.array(g) for g in flatten(model.grads)]
    again = as_number("gradient_check: the loss", model.forward(x, t))
    if loss != again and not (np.isnan(loss) and np.isnan(again)):
        raise ValueError(
            f"gradient_check: the same samples have the loss {loss} and then {again}: the model keeps a state "
            "(stateful layers) or draws random numbers (dropout), so differences of its loss are meaningless"
        )
    exact = _in_float64(model)
    params, grads = remove_duplicate(flatten(exact.params), grads)

    added_by_delta = getattr(getattr(exact, "loss_layer", None), "what_delta_adds", lambda: 0.0)

    def exact_loss(_: Array) -> float:
        return as_number("gradient_check: the loss", exact.forward(x, t)) + added_by_delta()

    errors = {}
    for (name, param), a in zip(named_params(params).items(), grads, strict=True):
        # the cube root balances the formula's error, h^2, against rounding, eps / h
        n = _central_differences("gradient_check", exact_loss, param, float(np.cbrt(np.finfo(param.dtype).eps)))
        largest = max(np.abs(a).max(initial=0), np.abs(n).max(initial=0))
        errors[name] = float(np.abs(a - n).max(initial=0) / largest) if largest else 0.0
    model.forward(x, t)
    return errors


def _in_float64(model: Any) -> Any:
    """Return a copy with float64 weights of a network that is a chain of scratchnet's layers; else the model.

    As with whole steps, a subclass of one of scratchnet's classes, or a changed class, may compute something else.
    """
    if unmodified_chain(model) is None:
        return model
    exact = copy.copy(model)
    exact.layers, exact.loss_layer = copy.deepcopy((model.layers, model.loss_layer))
    for layer in exact.layers:
        layer.params[:] = [p.astype(np.float64) for p in layer.params]
    exact.params = [p for layer in exact.layers for p in layer.params]
    return exact


def _as_point(where: str, x: Any) -> Array:
    """Return x itself if it is a floating array, else a copy, of float64 if it contains integers."""
    array = as_real_array(where, x)
    if is_on_gpu(array):
        raise ValueError(f"{where} is on the GPU; scratchnet.to_cpu moves it")
    if array.dtype.kind != "f":
        return array.astype(np.float64)
    if not isinstance(x, np.ndarray):
        return array.copy()
    if not is_writable(array):
        raise ValueError(f"{where} is read-only; it is changed in place")
    return array


def _real(where: str, value: Any) -> Any:
    """Return a number as a float, and anything else as an array of real numbers."""
    if isinstance(value, float):
        return value
    return as_number(where, value) if isinstance(value, int) else as_real_array(where, value)


def _check_function(where: str, f: Any) -> None:
    if not callable(f):
        raise ValueError(f"{where}: f must be a function, got {type(f).__name__}")


def _central_differences(where: str, f: Callable[[Array], Any], x: Array, h: float) -> Array:
    gradient = np.empty(x.shape, x.dtype)
    for index in np.ndindex(x.shape):
        value = x[index]
        try:
            x[index] = value + h
            above = as_number(f"{where}: f(x)", f(x))
            x[index] = value - h
            below = as_number(f"{where}: f(x)", f(x))
        finally:
            x[index] = value
        gradient[index] = (above - below) / (2 * h)
    return gradient
