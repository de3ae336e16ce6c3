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
from .._arrays import Array, as_array, as_operand, check_parameter, check_row, empty, is_on_gpu, to_side
from .._as_written import as_written
from .._base import Computed
from .._compute import computed
from ..backends import ops
from ..backends.general import is_cast_in_blocks, weights
from ..batch_normalization import _BatchNormalization
from ..image_layers import _Convolution
from ..layers import Dropout, Pooling, Relu, Sigmoid
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


class _AsAttributes(layers.Layer):
    """Weights and gradients as book 1's layers have them, in attributes; other trainers find the same in lists.

    `params` has the attributes; `grads` has arrays that stay the same, into which backward copies the gradients
    once somebody has asked for them.
    """

    _weights_held: ClassVar[tuple[str, str]]
    _live: list[Array] | None = None

    @property
    def params(self) -> tuple[Any, ...]:
        """The weights that there are."""
        held = (getattr(self, name, None) for name in self._weights_held)
        return tuple(value for value in held if value is not None)

    @params.setter
    def params(self, values: Any) -> None:
        for name, value in zip(self._weights_held, values, strict=False):
            setattr(self, name, value)

    @property
    def grads(self) -> list[Array]:
        """The gradients of `params`, of the last backward."""
        if self._live is None:
            self._live = [np.zeros_like(as_array(p)) for p in self.params]
            self._update_live()
        return self._live

    @grads.setter
    def grads(self, values: Any) -> None:
        self._live = list(values) or None

    def _set_gradients(self, dtype: Any, *gradients: Array) -> None:
        """Set the gradients, cast to the dtype of the weights."""
        for name, gradient in zip(self._weights_held, gradients, strict=True):
            setattr(self, f"d{name}", gradient.astype(dtype, copy=False))
        self._update_live()

    def _update_live(self) -> None:
        for name, live in zip(self._weights_held, self._live or (), strict=False):
            now = getattr(self, f"d{name}")
            if now is not None and live.size == now.size:  # a scalar has no room for its gradients
                live[...] = now.reshape(live.shape)


@as_written
class Affine(_AsAttributes):
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

    Examples
    --------
    >>> layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -0.5]))
    >>> layer.forward(np.array([[1.0, 1.0], [0.0, 2.0]]))
    array([[4.5, 5.5],
           [6.5, 7.5]])
    >>> layer.backward(np.ones((2, 2)))
    array([[3., 7.],
           [3., 7.]])
    >>> layer.dW
    array([[1., 1.],
           [3., 3.]])
    """

    x: Any = None
    dW: Any = None
    db: Any = None
    original_x_shape: Any = None
    W: Any
    b: Any
    _weights_held = ("W", "b")
    _shown: ClassVar[tuple[str, ...]] = ("W", "b")

    def __init__(self, W: Array, b: Array | float) -> None:
        super().__init__()
        self.W = check_parameter(self._error("W"), W, ndim=2)
        self.b = check_row(self._error("b"), b)
        weights(W, b, self)
        self.x = self.original_x_shape = self.dW = self.db = None

    def _held(self) -> tuple[Any, Any]:
        """Return W and b, or None for those that a subclass with its own `__init__` has not set."""
        return getattr(self, "W", None), getattr(self, "b", None)

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
        self._set_gradients(own.dtype, *grads)
        return dx if self.original_x_shape is None else dx.reshape(self.original_x_shape)


@as_written
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

    Examples
    --------
    >>> layer = SoftmaxWithLoss()
    >>> print(layer.forward(np.array([[2.0, 1.0, 0.0]]), np.array([[1, 0, 0]])).round(4))
    0.4076
    >>> layer.backward().round(3)
    array([[-0.335,  0.245,  0.09 ]])
    """

    loss: Any = None
    _indices: tuple[Any, Any] = (None, None)  # the labels as passed to forward, and as class indices

    def __init__(self) -> None:
        super().__init__()
        self.loss = None

    def forward(self, x: Any, t: Any) -> float:  # type: ignore[override]
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


@as_written
class BatchNormalization(_AsAttributes, _BatchNormalization):
    """Batch normalization: each column to mean 0 and variance 1 over the batch, then gamma and beta.

    Axes after the first are flattened, so every pixel of an image is a column, as in the book; where gamma and
    beta have as many values as an image has channels, every channel is one.

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

    Examples
    --------
    >>> layer = BatchNormalization(np.ones(2), np.zeros(2))
    >>> layer.forward(np.array([[1.0, 10.0], [3.0, 50.0]])).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.backward(np.ones((2, 2))).shape, layer.dbeta
    ((2, 2), array([2., 2.]))
    """

    dgamma: Any = None
    dbeta: Any = None
    _weights_held = ("gamma", "beta")

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

    def backward(self, dout: Any) -> Array:
        """Compute dgamma and dbeta; return dx of x's shape. Only after a forward in training."""
        xhat = self._normalized()
        dgamma, dbeta = (empty(xhat.shape[1:], xhat) for _ in range(2))
        dx = self._backward(dout, dgamma, dbeta)
        self._set_gradients(self._own_dtype(dgamma), dgamma, dbeta)
        return dx

    @Computed
    def xc(self) -> Any:
        """What the book's layer keeps (x minus its mean)."""
        return None if self.xn is None else self.xn * self.std

    @Computed
    def batch_size(self) -> Any:
        """What the book's layer keeps (the number of rows)."""
        return None if self.xn is None else len(self.xn)


@as_written
class Convolution(_AsAttributes, _Convolution):
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

    Examples
    --------
    >>> layer = Convolution(np.ones((1, 1, 2, 2)), np.zeros(1))
    >>> layer.forward(np.arange(9.0).reshape(1, 1, 3, 3))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    >>> layer.backward(np.ones((1, 1, 2, 2))).shape, layer.db
    ((1, 1, 3, 3), array([4.]))
    """

    dW: Any = None
    db: Any = None
    _weights_held = ("W", "b")

    def __init__(self, W: Array, b: Array | float, stride: int = 1, pad: int = 0) -> None:
        super().__init__()
        self.W = check_parameter(self._error("W"), W, ndim=4)
        self.b = check_row(self._error("b"), b)
        self.stride, self.pad = stride, pad
        self.x = self.dW = self.db = None

    def backward(self, dout: Any) -> Array:
        """Compute dW and db from dout of shape (N, M, Y, X); return dx of x's shape."""
        _, W = self._last()
        dW, db = empty(W.shape, W), empty((len(W),), W)
        dx = self._backward(dout, dW, db)
        self._set_gradients(self.W.dtype, dW, db)
        return dx

    @Computed
    def col(self) -> Any:
        """What the book's layer keeps (the windows of x)."""
        if self._kept is None:
            return None
        images, W = self._kept
        return im2col(images, W.shape[2], W.shape[3], self.stride, self.pad)

    @Computed
    def col_W(self) -> Any:
        """What the book's layer keeps (the filters)."""
        return None if self._kept is None else self._kept[1].reshape(len(self._kept[1]), -1).T
