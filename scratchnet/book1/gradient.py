"""Book 1's numerical gradients: central differences, h = 1e-4, of a function whose argument is changed in place.

Source: *Deep Learning from Scratch* 1, ch. 4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import Array, as_array
from ..gradient import numerical_gradient

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]


_numerical_gradient_1d = numerical_gradient  # the book's name of it for one axis


def numerical_gradient_2d(f: Callable[[Array], Any], X: Any) -> Array:
    """Return the gradient of f at every row of X, of X's shape; f takes one row.

    Parameters
    ----------
    f
        Takes an array (D,) and returns a number.
    X : array, shape (D,) or (N, D)
        Points; each is changed while f is evaluated, and restored.

    Raises
    ------
    ValueError
        As `numerical_gradient`.

    Examples
    --------
    >>> numerical_gradient_2d(lambda x: (x**2).sum(), np.array([[1.0, 2.0]])).round(6)
    array([[2., 4.]])
    """
    points = as_array(X, "numerical_gradient_2d: X")
    if points.ndim < 2:
        return numerical_gradient(f, points)
    rows = points if points.size else points[:0]  # there may be any number of empty rows
    return np.array([numerical_gradient(f, row) for row in rows]).reshape(points.shape)
