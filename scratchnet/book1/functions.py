"""Book 1's functions: those of `scratchnet.functions`, and the derivatives of chapter 4.

Source: *Deep Learning from Scratch* 1, ch. 3 and 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import as_real_array
from ..functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    sigmoid,
    softmax,
    step_function,
    sum_squared_error,
    sum_squares_error,
)

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
    "sum_squares_error",
]


def sigmoid_grad(x: Any) -> Any:
    """Return the derivative of the sigmoid at x: (1 - y) y with y = sigmoid(x).

    Parameters
    ----------
    x : array_like of real numbers
        Of any shape.

    Examples
    --------
    >>> print(sigmoid_grad(np.array([0.0])))
    [0.25]
    """
    y = sigmoid(x)
    return (1 - y) * y


def relu_grad(x: Any) -> Any:
    """Return the derivative of relu at x, of x's shape and dtype: 1 where x >= 0, else 0.

    At 0 it is 1 here but 0 in the layer, as in the book.

    Parameters
    ----------
    x : array_like of real numbers
        Of any shape.

    Raises
    ------
    ValueError
        x does not contain real numbers.

    Examples
    --------
    >>> relu_grad(np.array([-1.0, 2.0]))
    array([0., 1.])
    """
    x = as_real_array("relu_grad: x", x)
    return (x >= 0).astype(x.dtype)[()]


def softmax_loss(X: Any, t: Any) -> float:
    """Return the cross entropy of softmax(X) against the labels t; both as in `cross_entropy_error`.

    Parameters
    ----------
    X : array_like, shape (N, C)
        Scores.
    t : array_like
        Labels.

    Examples
    --------
    >>> print(softmax_loss(np.array([[2.0, 1.0, 0.0]]), np.array([0])).round(4))
    0.4076
    """
    return cross_entropy_error(softmax(X), t)
