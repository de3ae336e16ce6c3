"""Layers for images, [N,C,H,W]: convolution, pooling, and what makes rows of them.

A convolution unfolds the windows of a few images at a time and multiplies them; sizes alone determine how many.

Source: *Deep Learning from Scratch* 1, ch. 7.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_float_array,
    as_operand,
    as_row,
    check_integer,
    check_parameter,
    check_row,
    empty,
    is_on_gpu,
)
from ._as_written import as_written
from ._base import Computed, Held, Layer
from ._compute import computed
from .backends import LARGEST, backend_for, window_places

__all__ = ["Convolution", "Flatten", "Pooling"]

_BLOCK_BYTES = 1 << 18  # of windows that a convolution processes at a time: they stay in the cache
_BLOCK_BYTES_ON_GPU = 1 << 28  # there fewer launches matter more


class _Convolution(Layer):
    """What the convolutions of both modules, this one and book 1's, compute from their W and b."""

    W: Any
    b: Any
    stride: int = 1
    pad: int = 0
    x: Any = None
    _kept: tuple[Array, Array] | None = None  # x and W of the last forward
    _shown: ClassVar[tuple[str, ...]] = ("W", "b", "stride", "pad")

    def forward(self, x: Any) -> Array:
        """Return the M maps of each image, of shape (N, M, Y, X), for x of shape (N, C, H, W).

        Raises
        ------
        ValueError
            x does not have 4 axes or C channels, or the window does not fit into an image.
        """
        W, b = self._weights()
        images = self._images(x, W)
        col, places, stride, pad = self._windows(images, W)
        out = empty((len(images), len(W), *places), W)
        kernels, filters = backend_for(W), W.reshape(len(W), prod(W.shape[1:]))
        products, maps = _as_products(col), _as_rows(out)
        for block in _blocks(len(images) if out.size else 0, len(col)):
            some = slice(block.stop - block.start)
            kernels.im2col(images[block], stride, pad, col[some])
            kernels.convolution_forward(products[some], filters, b, maps[block])
        self._outdate()
        self.x = x
        self._kept = images.copy(), W  # the book keeps its windows, also a copy: x may be modified before backward
        return out

    def _backward(self, dout: Any, dW: Array, db: Array) -> Array:
        """Write the gradients into dW, of W's shape, and db (M,), in the dtype of computation; return dx."""
        images, W = self._last()
        col, places, stride, pad = self._windows(images, W)
        d = self._as_dout(dout, (len(images), len(W), *places), W)
        dx, dcol = np.empty_like(images), np.empty_like(col)
        dW[...] = 0
        db[...] = 0
        rows = len(W), prod(W.shape[1:])
        kernels, filters, dfilters = backend_for(W), W.reshape(rows), dW.reshape(rows)
        products, dproducts, maps = _as_products(col), _as_products(dcol), _as_rows(d)
        for block in _blocks(len(images) if dx.size or d.size else 0, len(col)):
            some = slice(block.stop - block.start)
            kernels.im2col(images[block], stride, pad, col[some])
            kernels.convolution_backward(maps[block], products[some], filters, dproducts[some], dfilters, db)
            kernels.col2im(dcol[some], stride, pad, dx[block])
        return dx

    def _last(self) -> tuple[Array, Array]:
        """Return x and W of the last forward, or of a subclass's own, as the kernels need them."""
        if self._kept is not None:
            return self._kept
        x = self._after_forward(self.x)
        W, _ = self._weights()
        return self._images(x, W), W

    def _weights(self) -> tuple[Array, Array]:
        W = check_parameter(self._error("W"), self.W, ndim=4)
        W = computed(as_operand("W", W, W))
        return W, as_row(self._error("b"), self.b, len(W), W, ", one for each filter")

    def _images(self, x: Any, W: Array) -> Array:
        images = as_operand(self._error("x"), x, W)
        if images.ndim != 4 or images.shape[1] != W.shape[1]:
            raise ValueError(
                self._error(
                    f"x has shape {images.shape}, expected (N, {W.shape[1]}, H, W), because W has shape {W.shape}"
                )
            )
        return images

    def _windows(self, images: Array, W: Array) -> tuple[Array, tuple[int, int], int, int]:
        """Return a buffer for the windows of a block of images, their numbers down and across, stride and pad."""
        Y, X, _, _, stride, pad = _places(self, images.shape, W.shape[2:], self.stride, self.pad)
        shape = (*W.shape[1:], Y, X)
        return empty((images_at_once(len(images), shape, W), *shape), W), (Y, X), stride, pad


@as_written
class Convolution(_Convolution):
    """Convolution: every filter applied to the window at every position of an image.

    Parameters
    ----------
    W : ndarray, shape (M, C, P, Q)
        M filters for C channels, P x Q in size, kept by reference and trained in place; their dtype decides.
    b : ndarray, shape (M,), or a number
        Bias, likewise. A number has no room for M gradients: `backward` then fails.
    stride, pad : int
        Step between positions; width of the zero padding.

    Attributes
    ----------
    params, grads : list of ndarray
        [W, b] and [dW, db].
    x
        The argument of the last forward.

    Raises
    ------
    ValueError
        W does not have 4 axes, b does not fit it, or one of them does not have a floating dtype.

    Notes
    -----
    Source: book 1, ch. 7.4.4.

    Examples
    --------
    >>> layer = Convolution(np.ones((1, 1, 2, 2)), np.zeros(1))
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> layer.forward(x)
    array([[[[ 8., 12.],
             [20., 24.]]]])
    >>> layer.backward(np.ones((1, 1, 2, 2)))
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """

    step_role = "convolution"
    W = Held("params", 0, "The filters, `params[0]`.")
    b = Held("params", 1, "The bias, `params[1]`.")

    def __init__(self, W: Array, b: Array | float, stride: int = 1, pad: int = 0) -> None:
        super().__init__()
        self.params = [check_parameter(self._error("W"), W, ndim=4), check_row(self._error("b"), b)]
        self.grads = [np.zeros_like(as_array(W)), np.zeros_like(as_array(b), W.dtype if np.ndim(b) == 0 else None)]
        self.stride, self.pad = stride, pad
        self.x = None
        self._weights()

    def backward(self, dout: Any) -> Array:
        """Write the gradients into `grads`, from dout of shape (N, M, Y, X); return dx of x's shape."""
        _, W = self._last()
        dW = self._gradient(self.grads, 0, W)
        db = self._gradient(self.grads, 1, empty((len(W),), W))
        dx = self._backward(dout, dW, db)
        self._keep_gradient(self.grads, 0, dW)
        self._keep_gradient(self.grads, 1, db)
        return dx


@as_written
class Pooling(Layer):
    """Max pooling: the maximum of each window.

    Parameters
    ----------
    pool_h, pool_w : int
        Size of the window.
    stride : int
        Step between its positions.
    pad : int
        Must be 0: the book's layer fails with any other value, too.

    Notes
    -----
    Among equal values the first gets the gradient. Source: book 1, ch. 7.4.5.

    Attributes
    ----------
    x
        The argument of the last forward.
    arg_max : ndarray of int64, shape (N Y X C,)
        Position of the maximum in each window, in the order of the book; created on access.

    Examples
    --------
    >>> layer = Pooling(2, 2)
    >>> layer.forward(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> layer.backward(np.ones((1, 1, 2, 2)))
    array([[[[0., 0., 0., 0.],
             [0., 1., 0., 1.],
             [0., 0., 0., 0.],
             [0., 1., 0., 1.]]]])
    """

    step_role = "pooling"
    pool_h: int
    pool_w: int
    stride: int = 2
    pad: int = 0
    x: Any = None
    _kept: tuple[Array, Array, tuple[int, ...]] | None = None  # positions; an empty array of x's dtype; its shape
    _shown: ClassVar[tuple[str, ...]] = ("pool_h", "pool_w", "stride", "pad")

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        super().__init__()
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad
        self.x = None

    def forward(self, x: Any) -> Array:
        """Return the maxima, of shape (N, C, Y, X), for x of shape (N, C, H, W), in its floating dtype.

        Raises
        ------
        ValueError
            x does not have 4 axes, the window does not fit, or pad is not 0.
        """
        given, x = x, as_float_array(self._error("x"), computed(x))
        if self.pad != 0:
            raise ValueError(self._error(f"pad must be 0, got {self.pad}; pad the image beforehand"))
        if x.ndim != 4:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (N, C, H, W)"))
        Y, X, P, Q, stride, _ = self._windows(x.shape)
        out = empty((*x.shape[:2], Y, X), x)
        places = np.empty_like(out, np.int64)
        backend_for(x).max_pool_forward(x, P, Q, stride, out, places)
        self._outdate()
        self.x, self._kept = given, (places, empty((0,), x), x.shape)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx of x's shape: dout where the maxima were, else 0."""
        kept = self._kept
        if "arg_max" in vars(self):
            kept = self._from_the_book_s(self._after_forward(self.arg_max))
        places, like, shape = self._after_forward(kept)
        d = self._as_dout(dout, places.shape, like)
        dx = empty(shape, d)
        backend_for(d).max_pool_backward(d, places, dx)
        return dx

    @Computed
    def arg_max(self) -> Any:
        """What the book's layer keeps (the position of the maximum in each window)."""
        if self._kept is None:
            return None
        places, _, shape = self._kept
        Y, X, _, Q, stride, _ = self._windows(shape)
        top, left = _corners(places, Y, X, stride)
        row, column = places // shape[3] - top, places % shape[3] - left
        return (row * Q + column).transpose(0, 2, 3, 1).reshape(-1)

    def _windows(self, shape: tuple[int, ...]) -> tuple[int, int, int, int, int, int]:
        return _places(self, shape, (self.pool_h, self.pool_w), self.stride, 0)

    def _from_the_book_s(self, arg_max: Any) -> tuple[Array, Array, tuple[int, ...]]:
        """Return what backward needs from what the book's layer keeps, arg_max and x."""
        x = as_float_array(self._error("x"), self._after_forward(self.x))
        Y, X, _, Q, stride, _ = self._windows(x.shape)
        inside = as_array(arg_max).reshape(len(x), Y, X, x.shape[1]).transpose(0, 3, 1, 2)
        top, left = _corners(inside, Y, X, stride)
        places = (inside // Q + top) * x.shape[3] + inside % Q + left
        return np.ascontiguousarray(places.astype(np.int64)), empty((0,), x), x.shape


@as_written
class Flatten(Layer):
    """Makes a row of each sample: all axes but the first become one, as book 1's Affine does by itself.

    Source: book 1, ch. 7.5.

    Examples
    --------
    >>> layer = Flatten()
    >>> layer.forward(np.ones((10, 3, 4, 4))).shape
    (10, 48)
    >>> layer.backward(np.ones((10, 48))).shape
    (10, 3, 4, 4)
    """

    step_role = "flatten"
    _shape: tuple[int, ...] | None = None
    _like: Array | None = None  # an empty array of the output's dtype

    def forward(self, x: Any) -> Array:
        """Return x of shape (N, ...) as a new array (N, D), in its floating dtype (integers: float64).

        Raises
        ------
        ValueError
            x is a scalar.
        """
        x = as_float_array(self._error("x"), computed(x))
        if x.ndim == 0:
            raise ValueError(self._error("x is a scalar, expected samples (N, ...)"))
        self._shape, self._like = x.shape, empty((0,), x)
        rows: Array = x.reshape(len(x), prod(x.shape[1:])).copy()
        return rows

    def backward(self, dout: Any) -> Array:
        """Return dout, of shape (N, D), as a new array of x's shape."""
        shape = self._after_forward(self._shape)
        assert self._like is not None
        d = self._as_dout(dout, (shape[0], prod(shape[1:])), self._like)
        return d.reshape(shape).copy()


def images_at_once(images: int, windows: tuple[int, ...], W: Array) -> int:
    """Return how many images a convolution unfolds at a time, of windows (C, P, Q, Y, X) in W's dtype."""
    most = _BLOCK_BYTES_ON_GPU if is_on_gpu(W) else _BLOCK_BYTES
    return max(1, min(images, most // max(1, prod(windows) * W.itemsize)))


def _places(
    layer: Layer, images: tuple[int, ...], window: tuple[int, ...], stride: int, pad: int
) -> tuple[int, int, int, int, int, int]:
    """Return a window's numbers of positions Y and X, its sides P and Q, stride and pad, as Python ints."""
    who = type(layer).__name__
    P, Q = (check_integer(f"{who}: a side of the window", side, 1, LARGEST) for side in window)
    stride = check_integer(f"{who}: stride", stride, 1, LARGEST)
    pad = check_integer(f"{who}: pad", pad, 0, LARGEST)
    H, W = images[2:]
    if H + 2 * pad < P or W + 2 * pad < Q:
        raise ValueError(f"{who}: a window of {(P, Q)} does not fit into images of {images[2:]} with pad {pad}")
    return window_places(H, P, stride, pad), window_places(W, Q, stride, pad), P, Q, stride, pad


def _corners(like: Array, Y: int, X: int, stride: int) -> tuple[Array, Array]:
    """Return the first rows [Y,1] and columns [X] of Y x X windows, on the device of an array."""
    down, across = (np.arange(n, like=like) * stride for n in (Y, X))
    return down[:, None], across


def _blocks(images: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def _as_products(windows: Array) -> Array:
    """View windows [n,C,P,Q,Y,X] as the columns [n,K,L] of products."""
    return windows.reshape(len(windows), prod(windows.shape[1:4]), prod(windows.shape[4:]))


def _as_rows(maps: Array) -> Array:
    """View maps [n,M,Y,X] as [n,M,L]."""
    return maps.reshape(*maps.shape[:2], prod(maps.shape[2:]))
