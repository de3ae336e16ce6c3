"""Book 1's layers: they hold W, b, dW and db, and every backward creates new gradients.

As in `scratchnet.layers`, a layer checks, allocates and calls kernels; W's dtype decides (gamma's, for batch
normalization). The weights are attributes that are read at every call, so a script may replace them. With CuPy
arrays as weights they run on the GPU.

Source: *Deep Learning from Scratch* 1, ch. 5 to 7.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np

from .. import layers
from .._arrays import (
    Array,
    as_array,
    as_float_array,
    as_number,
    as_operand,
    as_row,
    check_integer,
    check_parameter,
    check_row,
    empty,
    is_on_gpu,
    to_side,
)
from .._base import Computed
from .._compute import computed, like_computed
from ..backends import LARGEST, backend_for, ops, window_places
from ..backends.general import is_cast_in_blocks
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

_BLOCK_BYTES = 1 << 18  # of windows that a convolution processes at a time: they stay in the cache
_BLOCK_BYTES_ON_GPU = 1 << 28  # there fewer launches matter more
_EPS = 1e-6  # the book's 10e-7


class Affine(layers.Affine):
    """Fully connected layer: out = x W + b, with all axes of x but the first flattened.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights, kept by reference.
    b : ndarray, shape (M,), or what NumPy would broadcast to it
        Bias, likewise.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The input of forward, flattened; not a copy if its dtype is W's.
    dW, db : ndarray or None
        Gradients, new ones after every backward, of shapes (D, M) and (M,).

    Notes
    -----
    Source: book 1, ch. 5.6.2.
    """

    dW: Any = None
    db: Any = None
    original_x_shape: Any = None
    _pickled = ("W", "b")

    def __init__(self, W: Array, b: Array | float) -> None:
        super().__init__(W, b)
        self.original_x_shape = self.dW = self.db = None

    def _held(self) -> tuple[Any, Any]:
        """Return W and b, or None for those that a subclass with its own `__init__` has not set."""
        params = self.params
        if len(params) == 2:
            return params[0], params[1]
        return (*params, None) if params else (getattr(self, "W", None), getattr(self, "b", None))

    def forward(self, x: Any) -> Array:
        """Return x W + b, of shape (N, M), for x of shape (N, ...) with D values in each row.

        Raises
        ------
        ValueError
            x has no axis, or a row does not have D values.
        """
        W, b = self._held()
        rows = x if ops.are_rows_like(x, W) else self._as_rows(x, W)
        out: Array = ops.affine_forward(rows, W, b, self)
        self.x, self.original_x_shape = rows, np.shape(x)
        return out

    def _as_rows(self, x: Any, W: Any) -> Array:
        """Return x as rows, of W's dtype: cast once, so that backward can use it directly."""
        W = computed(check_parameter(self._error("W"), W, ndim=2))
        if not is_cast_in_blocks(x, W):
            x = as_operand(self._error("x"), x, W)
        if x.ndim == 0:
            raise ValueError(self._error("x is a scalar, expected rows (N, ...)"))
        return x.reshape(len(x), prod(x.shape[1:]))  # type: ignore[no-any-return]

    def backward(self, dout: Any) -> Array:
        """Compute dW and db from dout of shape (N, M); return dx of x's shape."""
        own, _ = self._held()
        W = computed(own)
        grads = [np.empty_like(W, order="C"), empty(W.shape[1:], W)]
        dx = ops.affine_backward(dout, self.x, W, grads, self)
        dx = dx if self.original_x_shape is None else dx.reshape(self.original_x_shape)
        if W is not own:
            grads = [g.astype(own.dtype) for g in grads]
        self.grads = grads
        self.dW, self.db = grads
        return dx


class SoftmaxWithLoss(layers.SoftmaxWithLoss):
    """Softmax and cross entropy in one; instead of one-hot, labels may be probabilities that sum to 1.

    The loss uses only the largest probability of a row, the gradient all of them, as in the book.

    Attributes
    ----------
    loss : float
        The last value that forward returned.
    y : ndarray, shape (N, C)
        Probabilities.
    t
        The labels as passed to forward.

    Notes
    -----
    Source: book 1, ch. 5.6.3.
    """

    loss: Any = None
    _indices: tuple[Any, Any] = (None, None)  # the labels as passed to forward, and as class indices

    def __init__(self) -> None:
        super().__init__()
        self.loss = None

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x (N, C) against class indices (N,) or one-hot labels (N, C)."""
        loss = self.loss = super().forward(x, t)
        self._indices, self.t = (t, self.t), t
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y, number = self._after_forward(self.y), self._as_number(dout)
        t = as_array(self.t)
        if t.size != y.size or y.shape[-1] < 2:
            return super().backward(number)
        dx: Array = np.subtract(y, to_side(t, to_gpu=is_on_gpu(y)).reshape(y.shape), dtype=y.dtype)
        if number != 1:
            dx *= number
        dx /= max(prod(y.shape[:-1]), 1)
        return dx

    def _class_indices(self, rows: Array) -> Array:
        given, indices = self._indices
        return indices if given is self.t and indices is not None else super()._class_indices(rows)


class BatchNormalization(layers.Layer):
    """Batch normalization: each column to mean 0 and variance 1 over the batch, then gamma and beta.

    Axes after the first are flattened, so every pixel of an image is a column, as in the book.

    Parameters
    ----------
    gamma, beta : ndarray, shape (D,), or what NumPy would broadcast to it
        Scale and shift, kept by reference; gamma's dtype decides, or x's if gamma is a scalar.
    momentum : float
        Fraction of the running mean and variance that each batch keeps.
    running_mean, running_var : ndarray, shape (D,), optional
        Statistics used for inference; initially zeros.

    Attributes
    ----------
    dgamma, dbeta : ndarray, shape (D,), or None
        Gradients, new ones after every backward.
    xn, xc : ndarray, shape (N, D)
        x normalized, and x minus its mean, after a forward in training.
    std : ndarray, shape (D,)
        Square root of the variance plus 1e-6, likewise.
    batch_size : int
        N, likewise.

    Notes
    -----
    1e-6 is added to the variance. Source: S. Ioffe and C. Szegedy, *Batch normalization*, 2015; book 1, ch. 6.3.
    """

    momentum: Any = 0.9
    running_mean: Any = None
    running_var: Any = None
    input_shape: Any = None
    std: Any = None
    xn: Any = None
    dgamma: Any = None
    dbeta: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("gamma", "beta", "momentum")

    def __init__(
        self,
        gamma: Array | float,
        beta: Array | float,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        super().__init__()
        self.gamma = check_row(self._error("gamma"), gamma)
        self.beta = check_row(self._error("beta"), beta)
        self.momentum = momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.input_shape = self.std = self.xn = self.dgamma = self.dbeta = None
        self._share()

    def _share(self) -> float:
        momentum = self.momentum
        return momentum if type(momentum) is float else as_number(self._error("momentum"), momentum)

    def forward(self, x: Any, train_flg: bool = True) -> Array:
        """Return the normalized x, of its shape (N, ...), using its own mean and variance or the running ones.

        Raises
        ------
        ValueError
            A row of x does not have as many values as gamma and beta.
        """
        x = self._as_input(x)
        rows = x.reshape(len(x), prod(x.shape[1:])) if x.ndim > 1 else x
        columns = rows.shape[1] if rows.ndim == 2 else -1
        for scale in (self.gamma, self.beta):
            numbers = scale.size if type(scale) is np.ndarray else np.size(scale)
            if columns < 0 or numbers not in (1, columns):
                size = np.size(scale) if np.ndim(scale) else "D"
                raise ValueError(
                    self._error(f"x has shape {x.shape}, expected rows of {size} values, as in gamma")
                )
        gamma, beta = self._row("gamma", self.gamma, rows), self._row("beta", self.beta, rows)
        running_mean, running_var = self.running_mean, self.running_var
        if running_mean is None or running_var is None:
            running_mean, running_var = (np.zeros_like(gamma, self._own_dtype(gamma)) for _ in range(2))
        out: Array = np.empty_like(rows)
        kernels = backend_for(gamma)
        if not train_flg:
            mean, var = self._row("running_mean", running_mean, rows), self._row("running_var", running_var, rows)
            kernels.batch_normalization_inference(rows, gamma, beta, mean, var, _EPS, out)
            self.input_shape, self.running_mean, self.running_var = x.shape, running_mean, running_var
            return out.reshape(x.shape)
        mean, var, std = (np.empty_like(gamma) for _ in range(3))
        xhat, kept = np.empty_like(rows), self._share()
        kernels.batch_normalization_forward(rows, gamma, beta, _EPS, mean, var, std, xhat, out)
        running_mean = kept * running_mean + (1 - kept) * mean
        running_var = kept * running_var + (1 - kept) * var
        self._outdate()
        self.input_shape, self.std, self.xn = x.shape, std, xhat
        self.running_mean, self.running_var = running_mean, running_var
        return out.reshape(x.shape)

    def backward(self, dout: Any) -> Array:
        """Compute dgamma and dbeta; return dx of x's shape. Only after a forward in training."""
        xhat = as_float_array(self._error("xn"), self._after_forward(self.xn))
        shape = self.input_shape or xhat.shape
        d = self._as_dout(dout, shape, xhat).reshape(xhat.shape)
        gamma, std = self._row("gamma", self.gamma, xhat), self._row("std", self.std, xhat)
        dx: Array = np.empty_like(xhat)
        dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
        backend_for(gamma).batch_normalization_backward(d, xhat, gamma, std, dx, dgamma, dbeta)
        own = self._own_dtype(gamma)
        self.dgamma, self.dbeta = dgamma.astype(own, copy=False), dbeta.astype(own, copy=False)
        return dx.reshape(shape)

    @Computed
    def xc(self) -> Any:
        """What the book's layer keeps: x minus its mean."""
        return None if self.xn is None else self.xn * self.std

    @Computed
    def batch_size(self) -> Any:
        """What the book's layer keeps: the number of rows."""
        return None if self.xn is None else len(self.xn)

    def _as_input(self, x: Any) -> Array:
        """Return x in the dtype of the first of gamma and beta that has one, else its own."""
        for value in (self.gamma, self.beta):
            if value.ndim if type(value) is np.ndarray else np.ndim(value):
                return as_operand(self._error("x"), x, like_computed(value))
        return as_float_array(self._error("x"), computed(x))

    def _own_dtype(self, row: Array) -> np.dtype[Any]:
        """Return the dtype of gamma, in which what is kept of it stays; of a number that of its row."""
        return self.gamma.dtype if isinstance(self.gamma, np.ndarray) and self.gamma.ndim else row.dtype

    def _row(self, name: str, value: Any, rows: Array) -> Array:
        """Return gamma, say, as an array [D] for rows [N, D]."""
        if type(value) is np.ndarray and value.shape == rows.shape[1:] and value.dtype.kind == "f":
            return as_operand(name, value, rows)  # fast path
        return as_row(self._error(name), value, rows.shape[1], rows)


class Convolution(layers.Layer):
    """Convolution: every filter applied to the window at every position of an image.

    Parameters
    ----------
    W : ndarray, shape (M, C, P, Q)
        M filters for C channels, P x Q in size, kept by reference; their dtype decides.
    b : ndarray, shape (M,), or a number
        Bias, likewise; a scalar means M equal ones, as in chapter 7's script for filters.
    stride, pad : int
        Step between positions; width of the zero padding.

    Attributes
    ----------
    x
        The argument of the last forward.
    col, col_W : ndarray, shapes (N Y X, C P Q) and (C P Q, M)
        The windows of x as rows and the filters as columns, in the order of the book; created on access.
    dW, db : ndarray or None
        Gradients, new ones after every backward.

    Notes
    -----
    The windows are unfolded and multiplied for a few images at a time, and again in backward, so that no array of
    all windows is kept; the sizes alone determine how many images. Source: book 1, ch. 7.4.4.
    """

    stride: int = 1
    pad: int = 0
    x: Any = None
    dW: Any = None
    db: Any = None
    _kept: tuple[Array, Array] | None = None  # x and W of the last forward
    _shown: ClassVar[tuple[str, ...]] = ("W", "b", "stride", "pad")

    def __init__(self, W: Array, b: Array | float, stride: int = 1, pad: int = 0) -> None:
        super().__init__()
        self.W = check_parameter(self._error("W"), W, ndim=4)
        self.b = check_row(self._error("b"), b)
        self.stride, self.pad = stride, pad
        self.x = self.dW = self.db = None

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

    def backward(self, dout: Any) -> Array:
        """Compute dW and db from dout of shape (N, M, Y, X); return dx of x's shape."""
        images, W = self._last()
        col, places, stride, pad = self._windows(images, W)
        d = self._as_dout(dout, (len(images), len(W), *places), W)
        dx, dcol = np.empty_like(images), np.empty_like(col)
        dW, db = np.zeros_like(W, shape=(len(W), prod(W.shape[1:]))), np.zeros_like(W, shape=(len(W),))
        kernels, filters = backend_for(W), W.reshape(dW.shape)
        products, dproducts, maps = _as_products(col), _as_products(dcol), _as_rows(d)
        for block in _blocks(len(images) if dx.size or d.size else 0, len(col)):
            some = slice(block.stop - block.start)
            kernels.im2col(images[block], stride, pad, col[some])
            kernels.convolution_backward(maps[block], products[some], filters, dproducts[some], dW, db)
            kernels.col2im(dcol[some], stride, pad, dx[block])
        own = self.W.dtype
        self.dW, self.db = dW.reshape(W.shape).astype(own, copy=False), db.astype(own, copy=False)
        return dx

    @Computed
    def col(self) -> Any:
        """What the book's layer keeps: the windows of x."""
        if self._kept is None:
            return None
        images, W = self._kept
        return im2col(images, W.shape[2], W.shape[3], self.stride, self.pad)

    @Computed
    def col_W(self) -> Any:
        """What the book's layer keeps: the filters."""
        return None if self._kept is None else self._kept[1].reshape(len(self._kept[1]), -1).T

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
        most = _BLOCK_BYTES_ON_GPU if is_on_gpu(W) else _BLOCK_BYTES
        size = max(1, min(len(images), most // max(1, prod(shape) * W.itemsize)))
        return empty((size, *shape), W), (Y, X), stride, pad


class Pooling(layers.Layer):
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
    """

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
        """What the book's layer keeps: the position of the maximum in each window."""
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


def _places(
    layer: layers.Layer, images: tuple[int, ...], window: tuple[int, ...], stride: int, pad: int
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
