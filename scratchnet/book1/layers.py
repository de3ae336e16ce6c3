"""Book 1's layers: they hold W, b, dW and db, and every backward makes new gradients.

As in `scratchnet.layers`, a layer checks, allocates and calls kernels; W's dtype decides (gamma's, for batch
normalization). The weights are attributes that are read at every call, so a script may put others there. With CuPy
arrays as weights they run on the GPU.

Source: *Deep Learning from Scratch* 1, ch. 5 to 7.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import layers
from .._layer import empty
from ..backends import (
    as_array,
    as_float_array,
    as_operand,
    backend_for,
    check_parameter,
    is_on_gpu,
    moved,
    window_places,
)
from ..layers import Dropout, Relu, Sigmoid
from .functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
    sum_squares_error,
)
from .util import col2im, im2col

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "cross_entropy_error",
    "identity_function",
    "im2col",
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

Array = np.ndarray[Any, np.dtype[Any]]

_BLOCK_BYTES = 1 << 18  # of windows that a convolution works on at a time: they stay in the cache
_BLOCK_BYTES_ON_GPU = 1 << 28  # there few launches count more
_EPS = 1e-6  # the book's 10e-7


class Affine(layers.Affine):
    """Fully connected layer: out = x W + b, all axes of x but the first taken as one.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights, kept by reference.
    b : ndarray, shape (M,)
        Bias, likewise.

    Attributes
    ----------
    dW, db : ndarray or None
        Gradients, new ones after every backward.

    Notes
    -----
    Source: book 1, ch. 5.6.2.
    """

    def __init__(self, W: Array, b: Array) -> None:
        super().__init__(W, b)
        self.dW: Array | None = None
        self.db: Array | None = None
        self.original_x_shape: tuple[int, ...] = ()

    def forward(self, x: Any) -> Array:
        """Return x W + b, of shape (N, M), for x of shape (N, ...) with D numbers in each row.

        Raises
        ------
        ValueError
            x has no axis, or other than D numbers in a row.
        """
        x = as_operand(self._error("x"), x, self.params[0])  # cast once: backward takes it as it is
        if x.ndim == 0:
            raise ValueError(self._error("x is a single number, expected rows (N, ...)"))
        self.original_x_shape = x.shape
        return super().forward(x if x.ndim == 2 else x.reshape(len(x), prod(x.shape[1:])))

    def backward(self, dout: Any) -> Array:
        """Make dW and db from dout of shape (N, M); return dx of x's shape."""
        self.grads = [np.empty_like(p, order="C") for p in self.params]
        dx = super().backward(dout)
        self.dW, self.db = self.grads
        return dx.reshape(self.original_x_shape)


class SoftmaxWithLoss(layers.SoftmaxWithLoss):
    """Softmax and cross entropy in one; one-hot labels may be shares that add up to 1.

    The loss counts the largest share of a row only, and the gradient all of them, as in the book.

    Source: book 1, ch. 5.6.3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss: float | None = None
        self._shares: Array | None = None

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x (N, C) against class indices (N,) or one-hot labels (N, C)."""
        self.loss = super().forward(x, t)
        shares = moved(as_array(t, self._error("t")), to_gpu=is_on_gpu(x))
        self._shares = None
        fits = shares.dtype.kind == "f" and shares.shape == np.shape(x)
        if fits and (is_on_gpu(shares) or not _is_one_hot(shares, self.t)):  # to look there would wait for the GPU
            self._shares = shares
        return self.loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        if self._shares is None:
            return super().backward(dout)
        y = self._after_forward(self.y)
        number = self._as_number(dout)
        dx: Array = y - self._shares
        if number != 1:
            dx *= number
        dx /= prod(y.shape[:-1])
        return dx.astype(y.dtype, copy=False)


def _is_one_hot(shares: Array, labels: Any) -> bool:
    """Whether each row of shares is 1 at its label and 0 elsewhere."""
    classes = shares.shape[-1]
    given = shares.reshape(-1)[labels + np.arange(0, shares.size, classes)]
    return bool(np.count_nonzero(shares) == np.count_nonzero(given == 1) == labels.size)


class BatchNormalization(layers.Layer):
    """Batch normalization: each column to mean 0 and variance 1 over the batch, then gamma and beta.

    Axes after the first are taken as one, so an image's every pixel is a column, as in the book.

    Parameters
    ----------
    gamma, beta : ndarray, shape (D,)
        Scale and shift, kept by reference; gamma's dtype decides.
    momentum : float
        Share of the running mean and variance that each batch keeps.
    running_mean, running_var : ndarray, shape (D,), optional
        What inference uses; zeros at first.

    Attributes
    ----------
    dgamma, dbeta : ndarray or None
        Gradients, new ones after every backward.

    Notes
    -----
    1e-6 is added to the variance. Source: S. Ioffe and C. Szegedy, *Batch normalization*, 2015; book 1, ch. 6.3.
    """

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        super().__init__()
        self.gamma = check_parameter(self._error("gamma"), gamma)
        self.beta = check_parameter(self._error("beta"), beta)
        self.momentum = momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.input_shape: tuple[int, ...] = ()
        self.std: Array | None = None
        self.xn: Array | None = None
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None

    def forward(self, x: Any, train_flg: bool = True) -> Array:
        """Return the normalized x, of its shape (N, ...), by its own mean and variance or by the running ones.

        Raises
        ------
        ValueError
            A row of x does not have as many numbers as gamma and beta.
        """
        gamma, beta = self._scales()
        x = as_operand(self._error("x"), x, gamma)
        rows = x.reshape(len(x), prod(x.shape[1:])) if x.ndim > 1 else x
        if rows.ndim != 2 or rows.shape[1] != len(gamma):
            raise ValueError(
                self._error(f"x has shape {x.shape}, expected rows of {len(gamma)} numbers, as gamma has")
            )
        self.input_shape = x.shape
        if self.running_mean is None or self.running_var is None:
            self.running_mean, self.running_var = np.zeros_like(gamma), np.zeros_like(gamma)
        out: Array = np.empty_like(rows)
        kernels = backend_for(gamma)
        if not train_flg:
            mean = as_operand(self._error("running_mean"), self.running_mean, gamma)
            var = as_operand(self._error("running_var"), self.running_var, gamma)
            kernels.batch_normalization_inference(rows, gamma, beta, mean, var, _EPS, out)
            return out.reshape(x.shape)
        mean, var, std = (np.empty_like(gamma) for _ in range(3))
        xhat = np.empty_like(rows)
        kernels.batch_normalization_forward(rows, gamma, beta, _EPS, mean, var, std, xhat, out)
        self.std, self.xn = std, xhat
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return out.reshape(x.shape)

    def backward(self, dout: Any) -> Array:
        """Make dgamma and dbeta; return dx of x's shape. Only after a forward of training."""
        xhat = self._after_forward(self.xn)
        gamma, _ = self._scales()
        d = self._as_dout(dout, self.input_shape, gamma).reshape(xhat.shape)
        dx: Array = np.empty_like(xhat)
        self.dgamma, self.dbeta = np.empty_like(gamma), np.empty_like(gamma)
        backend_for(gamma).batch_normalization_backward(d, xhat, gamma, self.std, dx, self.dgamma, self.dbeta)
        return dx.reshape(self.input_shape)

    def _scales(self) -> tuple[Array, Array]:
        gamma = check_parameter(self._error("gamma"), self.gamma, ndim=1)
        return as_operand("gamma", gamma, gamma), as_operand(self._error("beta"), self.beta, gamma)


class Convolution(layers.Layer):
    """Convolution: every filter against the window at every place of an image.

    Parameters
    ----------
    W : ndarray, shape (M, C, P, Q)
        M filters for C channels, P x Q in size, kept by reference; their dtype decides.
    b : ndarray, shape (M,), or a number
        Bias, likewise; a number stands for M equal ones, which chapter 7's script for filters uses.
    stride, pad : int
        Distance of the places; zeros around the image.

    Attributes
    ----------
    dW, db : ndarray or None
        Gradients, new ones after every backward.

    Notes
    -----
    The windows are laid out and multiplied some images at a time, in backward once more, so that no array of
    all windows is kept: their number of images follows from the sizes alone. Source: book 1, ch. 7.4.4.
    """

    def __init__(self, W: Array, b: Array | float, stride: int = 1, pad: int = 0) -> None:
        super().__init__()
        self.W = check_parameter(self._error("W"), W, ndim=4)
        self.b = b if isinstance(b, int | float) else check_parameter(self._error("b"), b)
        self.stride, self.pad = stride, pad
        self.x: Any = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: Any) -> Array:
        """Return the M maps of each image, of shape (N, M, Y, X), for x of shape (N, C, H, W).

        Raises
        ------
        ValueError
            x does not have 4 axes or C channels, or the window does not fit into an image.
        """
        W, b = self._weights()
        images = self._images(x, W)
        col, places = self._windows(images, W)
        out = empty((len(images), len(W), *places), W)
        kernels, filters = backend_for(W), W.reshape(len(W), prod(W.shape[1:]))
        for block in _blocks(len(images), len(col)):
            windows = col[: block.stop - block.start]
            kernels.im2col(images[block], self.stride, self.pad, windows)
            kernels.convolution_forward(_as_products(windows), filters, b, _as_rows(out[block]))
        self.x = images.copy()  # the book keeps its windows, a copy too: x may be changed before backward
        return out

    def backward(self, dout: Any) -> Array:
        """Make dW and db from dout of shape (N, M, Y, X); return dx of x's shape."""
        W, b = self._weights()
        images = self._images(self._after_forward(self.x), W)
        col, places = self._windows(images, W)
        d = self._as_dout(dout, (len(images), len(W), *places), W)
        dx, dcol = np.empty_like(images), np.empty_like(col)
        dW, db = np.zeros_like(W, shape=(len(W), prod(W.shape[1:]))), np.zeros_like(W, shape=b.shape)
        kernels, filters = backend_for(W), W.reshape(dW.shape)
        for block in _blocks(len(images), len(col)):
            windows, dwindows = col[: block.stop - block.start], dcol[: block.stop - block.start]
            kernels.im2col(images[block], self.stride, self.pad, windows)
            kernels.convolution_backward(
                _as_rows(d[block]), _as_products(windows), filters, _as_products(dwindows), dW, db
            )
            kernels.col2im(dwindows, self.stride, self.pad, dx[block])
        self.dW, self.db = dW.reshape(W.shape), db
        return dx

    def _weights(self) -> tuple[Array, Array]:
        W = check_parameter(self._error("W"), self.W, ndim=4)
        b = as_operand(self._error("b"), self.b, W)
        if b.ndim == 0:
            b = np.full(len(W), b)
        if b.size != len(W):
            raise ValueError(self._error(f"b has shape {b.shape}, expected ({len(W)},), one for each filter"))
        return as_operand("W", W, W), b.reshape(len(W))

    def _images(self, x: Any, W: Array) -> Array:
        images = as_operand(self._error("x"), x, W)
        if images.ndim != 4 or images.shape[1] != W.shape[1]:
            raise ValueError(
                self._error(f"x has shape {images.shape}, expected (N, {W.shape[1]}, H, W), as W has {W.shape}")
            )
        return images

    def _windows(self, images: Array, W: Array) -> tuple[Array, tuple[int, int]]:
        """Return room for the windows of a block of images, and the number of places down and across."""
        _check_window(self, images.shape, W.shape[2:], self.stride, self.pad)
        Y, X = (window_places(images.shape[a], W.shape[a], self.stride, self.pad) for a in (2, 3))
        shape = (*W.shape[1:], Y, X)
        most = _BLOCK_BYTES_ON_GPU if is_on_gpu(W) else _BLOCK_BYTES
        size = max(1, min(len(images), most // max(1, prod(shape) * W.itemsize)))
        return empty((size, *shape), W), (Y, X)


class Pooling(layers.Layer):
    """Max pooling: the largest number of each window.

    Parameters
    ----------
    pool_h, pool_w : int
        Size of the window.
    stride : int
        Distance of its places.
    pad : int
        Must be 0: the book's layer fails with another, too.

    Notes
    -----
    Of equal numbers the first gets the gradient. Source: book 1, ch. 7.4.5.
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        super().__init__()
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad
        self.arg_max: Array | None = None
        self._like: Array | None = None  # no number, but x's dtype
        self._shape: tuple[int, ...] = ()

    def forward(self, x: Any) -> Array:
        """Return the largest numbers, of shape (N, C, Y, X), for x of shape (N, C, H, W), in its floating dtype.

        Raises
        ------
        ValueError
            x does not have 4 axes, the window does not fit, or pad is not 0.
        """
        x = as_float_array(self._error("x"), x)
        if self.pad != 0:
            raise ValueError(self._error(f"pad must be 0, got {self.pad}; pad the image before"))
        if x.ndim != 4:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (N, C, H, W)"))
        _check_window(self, x.shape, (self.pool_h, self.pool_w), self.stride, 0)
        Y = window_places(x.shape[2], self.pool_h, self.stride)
        X = window_places(x.shape[3], self.pool_w, self.stride)
        out = empty((*x.shape[:2], Y, X), x)
        places = np.empty_like(out, np.int64)
        backend_for(x).max_pool_forward(x, self.pool_h, self.pool_w, self.stride, out, places)
        self.arg_max, self._shape, self._like = places, x.shape, empty((0,), x)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx of x's shape: dout where the largest numbers were, else 0."""
        places = self._after_forward(self.arg_max)
        d = self._as_dout(dout, places.shape, self._after_forward(self._like))
        dx = empty(self._shape, d)
        backend_for(d).max_pool_backward(d, places, dx)
        return dx


def _check_window(
    layer: layers.Layer, images: tuple[int, ...], window: tuple[int, ...], stride: int, pad: int
) -> None:
    who = type(layer).__name__
    for number in (*window, stride, pad):
        if not isinstance(number, int | np.integer):
            raise TypeError(f"{who}: the window, stride and pad must be whole numbers, got {number!r}")
    if stride < 1 or pad < 0 or min(window) < 1:
        raise ValueError(
            f"{who}: the window and stride must be 1 or more and pad 0 or more, got {window}, {stride}, {pad}"
        )
    if any(size + 2 * pad < w for size, w in zip(images[2:], window, strict=True)):
        raise ValueError(f"{who}: a window of {window} does not fit into images of {images[2:]} with pad {pad}")


def _blocks(images: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def _as_products(windows: Array) -> Array:
    """View windows [n,C,P,Q,Y,X] as the columns [n,K,L] of products."""
    return windows.reshape(len(windows), prod(windows.shape[1:4]), prod(windows.shape[4:]))


def _as_rows(maps: Array) -> Array:
    """View maps [n,M,Y,X] as [n,M,L]."""
    return maps.reshape(*maps.shape[:2], prod(maps.shape[2:]))
