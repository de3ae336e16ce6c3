"""The books' functions: activations and losses, for arrays, lists and scalars; CuPy arrays stay on the GPU.

Source: *Deep Learning from Scratch* 1, ch. 3 and 4; 2, ch. 1.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ._arrays import Array, as_float_array, as_labels, as_loss, as_real_array, is_on_gpu
from .backends import backend_for, ops

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "relu",
    "sigmoid",
    "softmax",
    "step_function",
    "sum_squared_error",
    "sum_squares_error",
]


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), element by element, without overflow or warning for any x.

    Parameters
    ----------
    x
        Real numbers of any shape. Floating arrays keep their dtype; integers become float64.

    Returns
    -------
    ndarray
        Of x's shape; a NumPy scalar for a scalar.

    Raises
    ------
    ValueError
        x does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 3.2.4.

    Examples
    --------
    >>> sigmoid([-2, 0, 2]).round(3)
    array([0.119, 0.5  , 0.881])
    """
    return ops.sigmoid_forward(x, "sigmoid")[()]


def relu(x: Any) -> Any:
    """Return x where it is positive, else 0, element by element; integers stay integers.

    Parameters
    ----------
    x : array_like of real numbers
        Of any shape.

    Raises
    ------
    ValueError
        x does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 3.2.7.

    Examples
    --------
    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    array = as_real_array("relu: x", x)
    if array.dtype.kind in "iu":
        return np.maximum(array, 0)
    array = as_float_array("relu: x", array)
    out = np.empty_like(array)
    backend_for(array).relu_forward(array, out)
    return out[()]


def softmax(x: Any) -> Array:
    """Return exp(x) / sum of exp(x) over the last axis, of x's shape (..., C).

    Parameters
    ----------
    x : array_like of real numbers, shape (..., C)
        Scores.

    Raises
    ------
    ValueError
        x is a scalar, or does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 3.5; book 2, ch. 1.3.1.

    Examples
    --------
    >>> softmax([1, 2, 3]).round(3)
    array([0.09 , 0.245, 0.665])
    """
    return ops.softmax_forward(x, "softmax")


def cross_entropy_error(y: Any, t: Any) -> float:
    """Return the mean over the rows of -log(y_t + 1e-7).

    Parameters
    ----------
    y
        Probabilities, of shape (N, C), or (C,) for one sample.
    t
        Class indices (N,), or one-hot of y's shape, distinguished by size.

    Raises
    ------
    ValueError
        The number of labels does not match.
    IndexError
        A label is outside [0, C).

    Notes
    -----
    Source: book 1, ch. 4.2.4; book 2, ch. 1.3.1.

    Examples
    --------
    >>> y = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    >>> print(cross_entropy_error(y, np.array([0, 1])).round(4))
    0.2899
    """
    y = as_float_array("cross_entropy_error: y", y)
    if y.ndim == 0:
        raise ValueError("cross_entropy_error: y is a scalar, expected probabilities of shape (N, C)")
    rows = y.reshape(prod(y.shape[:-1]), y.shape[-1])
    labels = as_labels("cross_entropy_error: t", t, *rows.shape, on_gpu=is_on_gpu(y))
    loss: float = as_loss(backend_for(y).cross_entropy_forward(rows, labels, 1e-7, 0.0))
    return loss


def sum_squared_error(y: Any, t: Any) -> Any:
    """Return half the sum of the squared differences, 0.5 * sum((y - t)^2).

    Parameters
    ----------
    y, t : array_like of real numbers
        Outputs and targets, of one shape.

    Raises
    ------
    ValueError
        y and t have different shapes.

    Notes
    -----
    Source: book 1, ch. 4.2.1, some printings of which call it sum_squares_error or mean_squared_error.

    Examples
    --------
    >>> print(sum_squared_error(np.array([0.1, 0.6]), np.array([0, 1])).round(4))
    0.085
    """
    y, t = as_float_array("sum_squared_error: y", y), as_float_array("sum_squared_error: t", t)
    if is_on_gpu(y) != is_on_gpu(t):
        raise ValueError("sum_squared_error: y and t must both be on the CPU, or both on the GPU")
    if y.shape != t.shape:
        raise ValueError(f"sum_squared_error: t has shape {t.shape}, expected {y.shape}, the shape of y")
    loss: Any = 0.5 * np.sum((y - t) ** 2)
    return loss if is_on_gpu(loss) else np.float64(loss)


sum_squares_error = sum_squared_error
mean_squared_error = sum_squared_error


def step_function(x: Any) -> Any:
    """Return 1 where x is positive, else 0, as integers.

    Parameters
    ----------
    x : array_like of real numbers
        Of any shape.

    Raises
    ------
    ValueError
        x does not contain real numbers.

    Notes
    -----
    Source: book 1, ch. 3.2.2.

    Examples
    --------
    >>> step_function(np.array([-1.0, 0.0, 2.0]))
    array([0, 0, 1])
    """
    return (as_real_array("step_function: x", x) > 0).astype(int)[()]


def identity_function(x: Any) -> Any:
    """Return x itself, the output function of regression. Source: book 1, ch. 3.4.3.

    Parameters
    ----------
    x : any object
        Returned as it is.

    Examples
    --------
    >>> identity_function([1, 2])
    [1, 2]
    """
    return x
