"""Attacks on the books' functions and numerical gradients."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from judge import Expected, Trial, bounds, chained, exactly
from numpy_books import book1
from odd import Draw, Refused, float_dtype, plain, plain_labels, plain_number, plain_whole
from table import attack
from tolerances import unit

from scratchnet import functions, gradient
from scratchnet.book1 import functions as book1_functions
from scratchnet.book1 import gradient as book1_gradient


def stable_sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), whose exponential may overflow."""
    with np.errstate(all="ignore"):
        return book1.functions.sigmoid(x)


def plain_softmax(x: np.ndarray) -> np.ndarray:
    if x.ndim == 0:
        raise Refused("a single number")
    if not x.size:
        return x
    with np.errstate(all="ignore"):
        return book1.functions.softmax(x)


def rows_of(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.reshape(int(np.prod(x.shape[:-1])), 0)


def softmax_expected(x: np.ndarray, dtype: Any) -> Expected:
    y = plain_softmax(x)
    return Expected(y, softmax_bound(x, y, dtype), dtype)


def softmax_bound(x: np.ndarray, y: np.ndarray, dtype: Any) -> Any:
    """Row by row: what is infinite in one says nothing of the others."""
    if not y.size:
        return 0.0
    pairs = zip(rows_of(x), rows_of(y), strict=True)
    return np.stack(
        [bounds("softmax_forward", {"x": a[None], "y": b[None]}, dtype)["y"][0] for a, b in pairs]
    ).reshape(y.shape)


@attack("functions.sigmoid", share=2)
def sigmoid(draw: Draw) -> Trial:
    x = draw.array(draw.shape())

    def expect() -> list[Expected]:
        y = stable_sigmoid(plain(x, float_dtype(x)))
        return [Expected(y, bounds("sigmoid_forward", {"out": y}, float_dtype(x))["out"], float_dtype(x))]

    return Trial(lambda: functions.sigmoid(x), expect, [x])


@attack("book1.functions.sigmoid_grad")
def sigmoid_grad(draw: Draw) -> Trial:
    x = draw.array(draw.shape())

    def expect() -> list[Expected]:
        y = stable_sigmoid(plain(x, float_dtype(x)))
        bound = bounds("sigmoid_forward", {"out": y}, float_dtype(x))["out"]
        return [Expected(y * (1 - y), 2 * bound + 4 * unit(float_dtype(x)) * y, float_dtype(x))]

    return Trial(lambda: book1_functions.sigmoid_grad(x), expect, [x])


@attack("functions.relu")
def relu(draw: Draw) -> Trial:
    x = draw.array(draw.shape())

    def expect() -> list[Expected]:
        whole = np.asarray(x).dtype.kind in "iu"
        a = np.asarray(x) if whole else plain(x, float_dtype(x))
        return [Expected(np.where(a <= 0, a.dtype.type(0), a), 0.0, float_dtype(x))]

    return Trial(lambda: functions.relu(x), expect, [x])


@attack("book1.functions.relu_grad")
def relu_grad(draw: Draw) -> Trial:
    x = draw.array(draw.shape())
    return Trial(
        lambda: book1_functions.relu_grad(x), lambda: exactly((plain(x, float_dtype(x)) >= 0).astype(float)), [x]
    )


@attack("functions.softmax", share=2)
def softmax(draw: Draw) -> Trial:
    x = draw.array(draw.shape(least=1))
    return Trial(
        lambda: functions.softmax(x), lambda: [softmax_expected(plain(x, float_dtype(x)), float_dtype(x))], [x]
    )


@attack("functions.cross_entropy_error", share=2)
def cross_entropy_error(draw: Draw) -> Trial:
    N, C = draw.size(), draw.size(low=2)
    rows = (N,) if draw.chance(0.8) else ()
    y = draw.array((*rows, C), extremes=False)
    t = draw.labels(N if rows else 1, C)

    def expect() -> list[Expected]:
        p = plain(y, float_dtype(y))
        if p.ndim == 0:
            raise Refused("a single number")
        rows = rows_of(p)
        labels = plain_labels(t, *rows.shape)
        chosen = rows[np.arange(len(rows)), labels]
        with np.errstate(all="ignore"):
            loss = book1.functions.cross_entropy_error(rows, labels) if rows.size else 0.0
            slope = np.abs(unit(np.float64) * 4 / (chosen + 1e-7)).max(initial=0.0)
            values = {"y": rows, "t": labels, "delta": 1e-7, "clip": 0}
            bound = bounds("cross_entropy_forward", values, np.float64)["return"]
        return [Expected(loss, bound + slope)]

    # Probabilities are not looked at: of one below 0 the logarithm is NaN, in NumPy with a warning.
    return Trial(lambda: functions.cross_entropy_error(y, t), expect, [y, t])


@attack("book1.functions.softmax_loss")
def softmax_loss(draw: Draw) -> Trial:
    N, C = draw.size(), draw.size(low=2)
    x = draw.array((N, C), extremes=False)
    t = draw.labels(N, C)

    def expect() -> list[Expected]:
        a = plain(x, float_dtype(x))
        if a.ndim == 0:
            raise Refused("a single number")
        rows = rows_of(a)
        labels = plain_labels(t, *rows.shape)
        y = plain_softmax(rows)
        loss = book1.functions.cross_entropy_error(y, labels) if rows.size else 0.0
        values = {"x": rows, "y": y, "t": labels, "delta": 1e-7, "clip": 0}
        bound = bounds("softmax_cross_entropy_forward", values, float_dtype(x))
        return [Expected(loss, bound["return"])]

    return Trial(lambda: book1_functions.softmax_loss(x, t), expect, [x, t])


@attack("functions.sum_squared_error")
def sum_squared_error(draw: Draw) -> Trial:
    shape = draw.shape()
    y, t = draw.array(shape, extremes=False), draw.array(shape, extremes=False)

    def expect() -> list[Expected]:
        a, b = plain(y, float_dtype(y)), plain(t, float_dtype(t))
        if a.shape != b.shape:
            raise Refused("other shapes")
        true = book1.functions.sum_squared_error(a, b)
        narrow = min(float_dtype(y), float_dtype(t), key=lambda d: d.itemsize)
        return [chained(true, a.size + 8, narrow, np.sum(a**2) + np.sum(b**2))]

    return Trial(lambda: functions.sum_squared_error(y, t), expect, [y, t])


@attack("functions.step_function")
def step_function(draw: Draw) -> Trial:
    x = draw.array(draw.shape())
    return Trial(
        lambda: functions.step_function(x), lambda: exactly((plain(x, float_dtype(x)) > 0).astype(int)), [x]
    )


@attack("functions.identity_function")
def identity_function(draw: Draw) -> Trial:
    x = draw.array(draw.shape())
    return Trial(lambda: functions.identity_function(x) is x, lambda: [True], [x])


# Numerical gradients


def cubes(x: Any) -> Any:
    return np.sum(np.asarray(x) ** 3)


@attack("gradient.numerical_diff", share=0.2)
def numerical_diff(draw: Draw) -> Trial:
    x = draw.pick((0.5, -2, np.float64(3), 0, 10**3, True, np.float64(-1e3), float("nan")))
    true = 3.0 * x * x
    return Trial(
        lambda: gradient.numerical_diff(lambda v: v**3, x), lambda: [Expected(true, 1e-6 * (1 + true))], [x]
    )


@attack("gradient.numerical_gradient", share=2)
def numerical_gradient(draw: Draw) -> Trial:
    dtype = "f8" if draw.chance(0.7) else None
    x = draw.array(draw.shape(most=2), extremes=False, dtype=dtype, written=True)

    def expect() -> list[Expected]:
        a = plain(x, float_dtype(x))
        if float_dtype(x).itemsize < 8:  # h is less than what is lost in such an x
            book1.gradient.numerical_gradient(cubes, np.array(x))  # which may warn
            return [Expected(np.zeros(a.shape), np.inf)]
        return [Expected(book1.gradient.numerical_gradient(cubes, a.copy()), 1e-5 * (1 + np.sum(np.abs(a) ** 3)))]

    return Trial(lambda: gradient.numerical_gradient(cubes, x), expect, [x])


@attack("book1.gradient.numerical_gradient_2d")
def numerical_gradient_2d(draw: Draw) -> Trial:
    x = draw.array(draw.shape(least=1, most=2), extremes=False, dtype="f8", written=True)

    def expect() -> list[Expected]:
        a = plain(x)
        if float_dtype(x).itemsize < 8 or not np.all(np.isfinite(a)):
            book1.gradient.numerical_gradient(cubes, np.array(x))  # which may warn
            return [Expected(np.zeros(a.shape), np.inf)]
        if a.ndim == 0:
            raise Refused("no rows")
        return [Expected(3 * a**2, 1e-5 * (1 + np.sum(np.abs(a) ** 3)))]

    return Trial(lambda: book1_gradient.numerical_gradient_2d(cubes, x), expect, [x])


@attack("gradient.gradient_descent")
def gradient_descent(draw: Draw) -> Trial:
    x = draw.array(draw.shape(least=1, most=2), extremes=False, dtype=draw.pick(("f8", "i4")), written=True)
    lr, steps, path = draw.number(0.1, 0.01, odd=0.15), draw.whole(0, 1, 3, odd=0.15), draw.chance(0.5)
    if draw.is_huge:
        steps = 2
    start = (
        x.copy() if isinstance(x, np.ndarray) else np.array(x) if isinstance(x, memoryview | array.array) else x
    )

    def squares(v: np.ndarray) -> Any:
        return np.sum(v * v)

    def expect() -> list[Expected]:
        a, rate = plain(start), plain_number(lr)
        points = [a * np.float64(1 - 2 * rate) ** k for k in range(plain_whole(steps) + 1)]
        if not np.all(np.isfinite(points)) or float_dtype(start).itemsize < 8:
            return [Expected(np.zeros(np.shape(p)), np.inf) for p in [points[-1], points][: 1 + path]]
        close = 1e-5 * (1 + float(np.max(np.abs(points), initial=0.0)) ** 2)
        return [Expected(points[-1], close)] + [Expected(np.array(points), close)] * path

    return Trial(lambda: gradient.gradient_descent(squares, x, lr, steps, return_path=path), expect, state=[x])
