"""Book 1's helpers: a smoothed curve, a shuffled data set, and images as rows of windows.

Source: *Deep Learning from Scratch* 1, `common/util.py`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_float_array, as_number, as_real_array, check_integer, empty
from ..backends import LARGEST, backend_for, window_places

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]


_WINDOW = 11  # points that smooth_curve averages over


def smooth_curve(x: Any) -> Array:
    """Return x averaged over 11 neighbours, weighted by a Kaiser window (beta 2); of x's length.

    The ends are extended by reflection. Source: book 1, ch. 6, after the SciPy cookbook.

    Parameters
    ----------
    x : array_like of real numbers, shape (n,)
        At least 11 points.

    Raises
    ------
    ValueError
        x has fewer than 11 points, or they are not real numbers.

    Examples
    --------
    >>> len(smooth_curve(np.random.rand(50)))
    50
    """
    x = as_real_array("smooth_curve: x", x)
    if x.ndim != 1 or len(x) < _WINDOW:
        raise ValueError(f"smooth_curve: x must be a list of at least {_WINDOW} numbers, got shape {x.shape}")
    weights = np.kaiser(_WINDOW, 2)
    mirrored = np.pad(x, (_WINDOW - 1, 0), mode="reflect")
    mirrored = np.concatenate([mirrored, x[-1:-_WINDOW:-1]])
    smooth = np.convolve(weights / weights.sum(), mirrored, mode="valid")
    return smooth[_WINDOW // 2 : len(smooth) - _WINDOW // 2]


def shuffle_dataset(x: Any, t: Any) -> tuple[Array, Array]:
    """Return x and t with their rows in the same random order, drawn from NumPy's global stream.

    Parameters
    ----------
    x, t : array
        Of the same number of rows.

    Raises
    ------
    ValueError
        They do not have the same number of rows.

    Examples
    --------
    >>> x, t = shuffle_dataset(np.arange(6).reshape(3, 2), np.arange(3))
    >>> bool((x[:, 0] // 2 == t).all())
    True
    """
    x, t = as_array(x, "shuffle_dataset: x"), as_array(t, "shuffle_dataset: t")
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
        raise ValueError(
            f"shuffle_dataset: x has shape {x.shape} and t {t.shape}, expected the same number of rows in both"
        )
    order = np.random.permutation(len(x))
    return x[order], t[order]


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """Return (input_size + 2 pad - filter_size) / stride + 1, as a float, so that a remainder shows.

    Parameters
    ----------
    input_size, filter_size : int
        Along one axis.
    stride, pad : int
        Step between positions; width of the zero padding.

    Raises
    ------
    ValueError
        A size is not a number, or stride is 0.

    Examples
    --------
    >>> conv_output_size(28, 5)
    24.0
    """
    image, window, step, zeros = (
        as_number(f"conv_output_size: {name}", value)
        for name, value in (
            ("input_size", input_size), ("filter_size", filter_size), ("stride", stride), ("pad", pad)
        )
    )  # fmt: skip
    if step == 0:
        raise ValueError("conv_output_size: stride must not be 0")
    return (image + 2 * zeros - window) / step + 1


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Array:
    """Return the contents of a window at each of its positions, one row each.

    Parameters
    ----------
    input_data : array, shape (N, C, H, W)
        Images; their floating dtype is kept (integers: float64).
    filter_h, filter_w : int
        Size of the window.
    stride, pad : int
        Step between its positions; width of the zero padding.

    Returns
    -------
    ndarray, shape (N * Y * X, C * filter_h * filter_w)
        Y and X are the numbers of positions down and across.

    Raises
    ------
    ValueError
        input_data does not have 4 axes, or a size is not an integer, too small or too large.

    Notes
    -----
    Source: book 1, ch. 7.4.3.

    Examples
    --------
    >>> im2col(np.arange(16.0).reshape(1, 1, 4, 4), 2, 2, stride=2)
    array([[ 0.,  1.,  4.,  5.],
           [ 2.,  3.,  6.,  7.],
           [ 8.,  9., 12., 13.],
           [10., 11., 14., 15.]])
    """
    x = as_float_array("im2col: input_data", input_data)
    if x.ndim != 4:
        raise ValueError(f"im2col: input_data has shape {x.shape}, expected (N, C, H, W)")
    shape, stride, pad = _windows("im2col", x.shape, filter_h, filter_w, stride, pad)
    col = empty(shape, x)
    backend_for(x).im2col(x, stride, pad, col)
    return col.transpose(0, 4, 5, 1, 2, 3).copy().reshape(_rows_and_columns(shape))


def col2im(
    col: Any, input_shape: tuple[int, ...], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> Array:
    """Return images of shape `input_shape`: the sum of the rows of col where `im2col` would have read them.

    Parameters
    ----------
    col : array, shape (N Y X, C P Q)
        Windows as rows.
    input_shape : tuple of int
        (N, C, H, W).
    filter_h, filter_w : int
        P and Q.
    stride, pad : int
        As for `im2col`.

    Raises
    ------
    ValueError
        col does not have the shape that `im2col` returns, input_shape is not of 4 sizes, or a size is not an
        integer, too small or too large.

    Notes
    -----
    Source: book 1, ch. 7.4.3.

    Examples
    --------
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2)
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    rows = as_float_array("col2im: col", col)
    images_shape = _image_shape(input_shape)
    shape, stride, pad = _windows("col2im", images_shape, filter_h, filter_w, stride, pad)
    if rows.size != prod(shape):
        raise ValueError(f"col2im: col has shape {rows.shape}, expected {_rows_and_columns(shape)}")
    N, C, P, Q, Y, X = shape
    windows = rows.reshape(N, Y, X, C, P, Q).transpose(0, 3, 4, 5, 1, 2).copy()
    images = empty(images_shape, rows)
    backend_for(rows).col2im(windows, stride, pad, images)
    return images


def _image_shape(input_shape: Any) -> tuple[int, int, int, int]:
    try:
        N, C, H, W = input_shape
    except (TypeError, ValueError):
        raise ValueError(f"col2im: input_shape must be four sizes (N, C, H, W), got {input_shape!r}") from None
    return (
        check_integer("col2im: input_shape[0]", N),
        check_integer("col2im: input_shape[1]", C),
        check_integer("col2im: input_shape[2]", H),
        check_integer("col2im: input_shape[3]", W),
    )


def _windows(
    where: str, images: tuple[int, ...], filter_h: Any, filter_w: Any, stride: Any, pad: Any
) -> tuple[tuple[int, int, int, int, int, int], int, int]:
    """Return the shape of the windows' contents, the stride and the pad, as integers."""
    N, C, H, W = images
    P, Q = (
        check_integer(f"{where}: filter_h", filter_h, 1, LARGEST),
        check_integer(f"{where}: filter_w", filter_w, 1, LARGEST),
    )
    stride, pad = (
        check_integer(f"{where}: stride", stride, 1, LARGEST),
        check_integer(f"{where}: pad", pad, 0, LARGEST),
    )
    return (N, C, P, Q, window_places(H, P, stride, pad), window_places(W, Q, stride, pad)), stride, pad


def _rows_and_columns(shape: tuple[int, int, int, int, int, int]) -> tuple[int, int]:
    N, C, P, Q, Y, X = shape
    return N * Y * X, C * P * Q
