"""Book 1's helpers: a smoothed curve, a shuffled data set, and images as rows of windows.

Source: *Deep Learning from Scratch* 1, `common/util.py`.
"""

from __future__ import annotations

from math import prod
from operator import index
from sys import maxsize
from typing import Any

import numpy as np

from .._layer import empty
from ..backends import as_float_array, as_whole, backend_for, window_places

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]

Array = np.ndarray[Any, np.dtype[Any]]

_WINDOW = 11  # points that smooth_curve averages over


def smooth_curve(x: Any) -> Array:
    """Return x averaged over 11 neighbours, weighted by a Kaiser window (beta 2); of x's length.

    The ends are continued by their mirror images. Source: book 1, ch. 6, after the SciPy cookbook.

    Raises
    ------
    ValueError
        x has fewer than 11 points.
    """
    x = np.asarray(x)
    if x.ndim != 1 or len(x) < _WINDOW:
        raise ValueError(f"smooth_curve: x must be a list of {_WINDOW} numbers or more, got shape {x.shape}")
    weights = np.kaiser(_WINDOW, 2)
    mirrored = np.pad(x, (_WINDOW - 1, 0), mode="reflect")
    mirrored = np.concatenate([mirrored, x[-1:-_WINDOW:-1]])
    smooth = np.convolve(weights / weights.sum(), mirrored, mode="valid")
    return smooth[_WINDOW // 2 : len(smooth) - _WINDOW // 2]


def shuffle_dataset(x: Array, t: Array) -> tuple[Array, Array]:
    """Return x and t in one random order of their rows, drawn from NumPy's global stream."""
    order = np.random.permutation(len(x))
    return x[order], t[order]


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """Return (input_size + 2 pad - filter_size) / stride + 1, as a float, which shows a remainder."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Array:
    """Return what a window sees from each of its places, a row each.

    Parameters
    ----------
    input_data : array, shape (N, C, H, W)
        Images; their floating dtype is kept (integers: float64).
    filter_h, filter_w : int
        Size of the window.
    stride, pad : int
        Distance of its places; zeros around the images.

    Returns
    -------
    ndarray, shape (N * Y * X, C * filter_h * filter_w)
        Y and X are the numbers of places down and across.

    Raises
    ------
    ValueError
        input_data does not have 4 axes, or a size is no whole number, or too small or too large.

    Notes
    -----
    Source: book 1, ch. 7.4.3.
    """
    x = as_float_array("im2col: input_data", input_data)
    if x.ndim != 4:
        raise ValueError(f"im2col: input_data has shape {x.shape}, expected (N, C, H, W)")
    shape, stride, pad = _shape_of_windows("im2col", x.shape, filter_h, filter_w, stride, pad)
    col = empty(shape, x)
    backend_for(x).im2col(x, stride, pad, col)
    return col.transpose(0, 4, 5, 1, 2, 3).copy().reshape(_rows_and_columns(shape))


def col2im(
    col: Any, input_shape: tuple[int, ...], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> Array:
    """Return images of shape `input_shape`: the sum of the rows of col where `im2col` would have read them.

    Raises
    ------
    ValueError
        col does not have the shape that `im2col` returns, or a size is no whole number, or too small or too large.

    Notes
    -----
    Source: book 1, ch. 7.4.3.
    """
    rows = as_float_array("col2im: col", col)
    images_shape = _shape_of_images(input_shape)
    shape, stride, pad = _shape_of_windows("col2im", images_shape, filter_h, filter_w, stride, pad)
    if rows.size != prod(shape):
        raise ValueError(f"col2im: col has shape {rows.shape}, expected {_rows_and_columns(shape)}")
    N, C, P, Q, Y, X = shape
    windows = rows.reshape(N, Y, X, C, P, Q).transpose(0, 3, 4, 5, 1, 2).copy()
    images = empty(images_shape, rows)
    backend_for(rows).col2im(windows, stride, pad, images)
    return images


def _shape_of_images(input_shape: Any) -> tuple[int, ...]:
    try:
        shape = tuple(index(size) for size in input_shape)
    except TypeError:
        shape = ()
    if len(shape) != 4 or min(shape) < 0 or max(shape) > maxsize:
        raise ValueError(f"col2im: input_shape must be four sizes (N, C, H, W), got {input_shape!r}")
    return shape


def _shape_of_windows(
    where: str, images: tuple[int, ...], filter_h: Any, filter_w: Any, stride: Any, pad: Any
) -> tuple[tuple[int, int, int, int, int, int], int, int]:
    """Return the shape (N, C, P, Q, Y, X) of the windows, and stride and pad as whole numbers."""
    N, C, H, W = images
    P, Q = as_whole(f"{where}: filter_h", filter_h, 1), as_whole(f"{where}: filter_w", filter_w, 1)
    stride, pad = as_whole(f"{where}: stride", stride, 1), as_whole(f"{where}: pad", pad, 0)
    Y, X = window_places(H, P, stride, pad), window_places(W, Q, stride, pad)
    return (N, C, P, Q, Y, X), stride, pad


def _rows_and_columns(shape: tuple[int, int, int, int, int, int]) -> tuple[int, int]:
    N, C, P, Q, Y, X = shape
    return N * Y * X, C * P * Q
