"""Numerical differentiation and gradient descent, and the check of backpropagation against them.

Source: *Deep Learning from Scratch* 1, ch. 4.3, 4.4 and 5.7.3.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, as_real_array, check_integer, is_on_gpu, is_writable
from ._as_written import unmodified_chain
from ._compute import in_full
from ._parts import buffers_of, flatten, has_argument, named_params, remove_duplicate

__all__ = ["gradient_check", "gradient_descent", "numerical_diff", "numerical_gradient"]


def numerical_diff(f: Callable[[Any], Any], x: Any) -> Any:
    """Return the central difference (f(x + h) - f(x - h)) / 2h with h = 1e-4.

    Parameters
    ----------
    f : function
        Of a number or an array, element by element.
    x : number or array
        Where to differentiate.

    Raises
    ------
    ValueError
        f is not a function, or x or the result of f does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 4.3.1.

    Examples
    --------
    >>> print(round(float(numerical_diff(lambda x: 0.01 * x**2 + 0.1 * x, 5)), 6))
    0.2
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

    Examples
    --------
    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0])).round(6)
    array([6., 8.])
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

    Examples
    --------
    >>> gradient_descent(lambda x: (x**2).sum(), np.array([-3.0, 4.0]), lr=0.1, step_num=10).round(3)
    array([-0.322,  0.429])
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
        Anything with forward(x, t) -> loss, backward(), params and grads; or, as in book 1, with a dictionary
        `params`, loss(x, t) and gradient(x, t). The differences are taken in float64 for scratchnet's own networks
        of any dtype; for your own classes in the dtype of their parameters, where float64 gives a sharp check and
        float32 about three digits.
    x, t
        A batch; a few samples are enough, since the loss is evaluated twice for every parameter.

    Returns
    -------
    dict of str to float
        For every parameter (W1, b1, ...) the largest difference between the two gradients, relative to
        the largest number in them; 0 if in float64 both are 0 to rounding, as those of a bias before batch
        normalization. Layers that share a parameter count once, with their gradients added.

    Raises
    ------
    ValueError
        The model lacks something required, there are no samples, or the same samples give two different losses.

    Notes
    -----
    Most of scratchnet's losses add 1e-7 inside the logarithm, which `backward` ignores: the differences are
    taken of the loss without it. In one of scratchnet's own networks, dropout drops the same elements every
    time, and the statistics of batch normalization are restored afterwards. Two things make errors look large in
    a correct model: gradients near 0 in float32 (weights of 0.01 in several sigmoid layers of your own class),
    where only rounding is left, and a relu whose input is at 0, where the loss has no derivative. Larger
    weights, and biases that are not all 0, avoid both.
    Source: book 1, ch. 5.7.3.

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> model = TwoLayerNet(2, 3, 2, dtype=np.float64, rng=0)
    >>> errors = gradient_check(model, np.eye(2), np.array([0, 1]))
    >>> max(errors.values()) < 1e-6
    False
    """
    by_name = isinstance(getattr(model, "params", None), dict)
    for needed in ("loss", "gradient") if by_name else ("forward", "backward", "params", "grads"):
        if not hasattr(model, needed):
            raise ValueError(f"gradient_check: the model has no {needed}")
    if any(map(is_on_gpu, model.params.values() if by_name else flatten(model.params))):
        raise ValueError('gradient_check: the model is on the GPU; model.to("cpu") moves it back')
    x, t = as_array(x, "gradient_check: x"), as_array(t, "gradient_check: t")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError("gradient_check: x has no samples")
    kept = [(layer, name, np.array(getattr(layer, name))) for layer, name in buffers_of(model)]
    with in_full():
        try:
            return _compared_by_name(model, x, t) if by_name else _compared(model, x, t)
        finally:
            for layer, name, before in kept:
                getattr(layer, name)[...] = before


def _compared(model: Any, x: Array, t: Array) -> dict[str, float]:
    """Return the largest relative error of each parameter's gradient; `gradient_check` checks the arguments."""
    redraw = _drawn_again(model)

    def loss_of(network: Any) -> float:
        redraw()
        return as_number("gradient_check: the loss", network.forward(x, t))

    loss = loss_of(model)
    model.backward()
    grads = [np.array(g) for g in flatten(model.grads)]
    _check_repeats(loss, loss_of(model))
    exact = _in_float64(model)
    params, grads = remove_duplicate(flatten(exact.params), grads)
    added_by_delta = getattr(getattr(exact, "loss_layer", None), "what_delta_adds", lambda: 0.0)
    by_name = dict(zip(named_params(params), grads, strict=True))
    errors = _errors(named_params(params), by_name, lambda _: loss_of(exact) + added_by_delta(), loss)
    loss_of(model)
    return errors


def _compared_by_name(model: Any, x: Array, t: Array) -> dict[str, float]:
    """Do the same for a network whose params and gradients are dictionaries, as in book 1."""
    flags = {"train_flg": True} if has_argument(model.loss, "train_flg") else {}

    def loss_of() -> float:
        return as_number("gradient_check: the loss", model.loss(x, t, **flags))

    grads = {name: np.array(g) for name, g in model.gradient(x, t).items()}
    loss = loss_of()
    _check_repeats(loss, loss_of())
    added_by_delta = getattr(getattr(model, "last_layer", None), "what_delta_adds", lambda: 0.0)
    params = {name: model.params[name] for name in grads}
    return _errors(params, grads, lambda _: loss_of() + added_by_delta(), loss)


def _check_repeats(loss: float, again: float) -> None:
    if loss != again and not (np.isnan(loss) and np.isnan(again)):
        raise ValueError(
            f"gradient_check: the same samples have the loss {loss} and then {again}: the model keeps a state "
            "(stateful layers) or draws random numbers (dropout), so differences of its loss are meaningless"
        )


def _errors(
    params: dict[str, Array], grads: dict[str, Array], exact_loss: Callable[[Array], float], loss: float
) -> dict[str, float]:
    """Return the largest relative difference of each gradient from differences of the loss."""
    errors = {}
    for name, param in params.items():
        # the cube root balances the formula's error, h^2, against rounding, eps / h
        eps = float(np.finfo(param.dtype).eps)
        h, a = float(np.cbrt(eps)), grads[name]
        n = _central_differences("gradient_check", exact_loss, param, h)
        of_a, of_n = (float(np.abs(gradient).max(initial=0)) for gradient in (a, n))
        rounding = 8 * max(abs(loss), 1) if param.dtype == np.float64 else 0.0
        are_zero = of_n <= rounding * eps / h and of_a <= rounding * np.finfo(a.dtype).eps
        largest = max(of_a, of_n)
        errors[name] = 0.0 if are_zero or not largest else float(np.abs(a - n).max() / largest)
    return errors


def _drawn_again(model: Any) -> Callable[[], None]:
    """Return a function that puts NumPy's global stream back to where it is now, for one of scratchnet's networks.

    For a model of one's own it does nothing.
    """
    if unmodified_chain(model) is None:
        return lambda: None
    state = np.random.get_state()
    return lambda: np.random.set_state(state)


def _in_float64(model: Any) -> Any:
    """Return a copy with float64 weights of a network that is a chain of scratchnet's layers; else the model.

    As with whole steps, a subclass of one of scratchnet's classes, or a changed class, may compute something else.
    """
    if unmodified_chain(model) is None:
        return model
    import copy

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
