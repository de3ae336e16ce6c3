"""The books' layers: each owns `params` and `grads`, and has `forward` and `backward`.

A layer names its operation (`backends.ops`: a kernel with its output) and keeps what backward needs; checks, casts
and the arithmetic are in `backends`.

All layers follow the books' conventions: `params` and `grads` are lists whose arrays stay the same objects;
`backward` overwrites the gradients; `forward` returns a new array every time; weights are read at every call,
so that a script may replace an array in `params`.

As in the books, Affine and Embedding keep the array that they are given, Sigmoid and Softmax the one that they
return: `backward` needs it unchanged. Relu and Dropout keep a mask of their own: their input and output may be
modified. A subclass may set what the books' layers keep, by its name in the books, and inherit
`backward`.

With CuPy arrays as parameters the same layers run on the GPU, without waiting for it: a loss is then a 0-d CuPy
array. Labels and word IDs from the CPU are checked before they are uploaded. Those already on the GPU are not read
back: one that is out of range makes the loss, or the row that it selects, NaN.

Source: *Deep Learning from Scratch* 2, ch. 1, 4 and 6; 1, ch. 5.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_float_array,
    as_number,
    check_integer,
    check_parameter,
    check_row,
    empty,
    random_like,
)
from ._as_written import as_written
from ._base import Held
from ._base import Layer as Layer
from ._compute import computed
from .backends import backend_for, ops
from .backends.general import weights
from .batch_normalization import BatchNormalization
from .image_layers import Convolution, Flatten, Pooling
from .loss_layers import IdentityWithLoss, SigmoidWithLoss, SoftmaxWithLoss

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Embedding",
    "Flatten",
    "IdentityWithLoss",
    "MatMul",
    "Pooling",
    "Relu",
    "Repeat",
    "Sigmoid",
    "SigmoidWithLoss",
    "Softmax",
    "SoftmaxWithLoss",
    "Sum",
    "Tanh",
]


@as_written
class MatMul(Layer):
    """Product with a weight matrix: out = x W.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights, kept by reference and trained in place. Their dtype decides: float32 and float64 run
        compiled, float16 in NumPy.

    Attributes
    ----------
    params, grads : list of ndarray
        [W] and [dW].

    Raises
    ------
    ValueError
        W is not a matrix of a floating dtype.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 1.3.4.

    Examples
    --------
    >>> layer = MatMul(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> layer.forward([[1, 1], [0, 2]])
    array([[4., 6.],
           [6., 8.]])
    >>> layer.backward(np.ones((2, 2)))
    array([[3., 7.],
           [3., 7.]])
    >>> layer.grads[0]
    array([[1., 1.],
           [3., 3.]])
    """

    W = Held("params", 0, "The weights, `params[0]`.")
    x: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("W",)

    def __init__(self, W: Array) -> None:
        self.params = [check_parameter(self._error("W"), W, ndim=2)]
        self.grads = [np.zeros_like(as_array(W))]
        self.x = None

    def forward(self, x: Any) -> Array:
        """Return x W (+ b) for x of shape (..., D): an array (..., M) of W's dtype.

        Raises
        ------
        ValueError
            The last axis of x is not D, the bias does not have M elements, or x does not contain real numbers.
        """
        params = self.params
        out: Array = ops.affine_forward(x, params[0], params[1] if len(params) > 1 else None, self)
        self.x = x
        return out

    def backward(self, dout: Any) -> Array:
        """Write the gradients into `grads`, from dout of shape (..., M); return dx of x's shape.

        Raises
        ------
        ValueError
            dout does not have the output's shape.
        RuntimeError
            `forward` has not been called.
        """
        return ops.affine_backward(dout, self.x, self.params[0], self.grads, self)


@as_written
class Affine(MatMul):
    """Fully connected layer: out = x W + b.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights, kept by reference and trained in place. Their dtype decides: float32 and float64 run
        compiled, float16 in NumPy. A transposed matrix is allowed.
    b : ndarray, shape (M,) or (1, M), or a number
        Bias, likewise; cast to W's dtype in each call. Anything that NumPy would broadcast is allowed; but a
        scalar or an array of one element has no room for M gradients: `backward` then fails, as in the book's
        layer.

    Attributes
    ----------
    params, grads : list of ndarray
        [W, b] and [dW, db].

    Raises
    ------
    ValueError
        W is not a matrix, or W or b does not have a floating dtype.

    Notes
    -----
    Works on the last axis of x, with any number of axes before it, including none.
    Source: *Deep Learning from Scratch* 2, ch. 1.3.5.

    Examples
    --------
    >>> layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -0.5]))
    >>> layer.forward([[1, 1], [0, 2]])
    array([[4.5, 5.5],
           [6.5, 7.5]])
    >>> layer.backward(np.ones((2, 2)))
    array([[3., 7.],
           [3., 7.]])
    >>> layer.grads
    [array([[1., 1.],
           [3., 3.]]), array([2., 2.])]
    """

    step_role = "affine"
    b = Held("params", 1, "The bias, `params[1]`.")
    _shown: ClassVar[tuple[str, ...]] = ("W", "b")

    def __init__(self, W: Array, b: Array | float) -> None:
        super().__init__(W)
        self.params.append(check_row(self._error("b"), b))
        self.grads.append(np.zeros_like(as_array(b), W.dtype if np.ndim(b) == 0 else None))
        weights(W, b, self)


@as_written
class Sigmoid(Layer):
    """Sigmoid function, element by element: out = 1 / (1 + exp(-x)); no overflow for any x.

    Source: *Deep Learning from Scratch* 2, ch. 1.3.5.

    Examples
    --------
    >>> layer = Sigmoid()
    >>> layer.forward([-2, 0, 2]).round(3)
    array([0.119, 0.5  , 0.881])
    >>> layer.backward(np.ones(3)).round(3)
    array([0.105, 0.25 , 0.105])
    """

    step_role = "sigmoid"
    out: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.out = None

    def forward(self, x: Any) -> Array:
        """Return the sigmoid of x, an array of any shape, in x's floating dtype (integers: float64)."""
        self.out = out = ops.sigmoid_forward(x, self)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = dout (1 - out) out, of the output's shape."""
        return ops.sigmoid_backward(dout, self.out, self)


@as_written
class Relu(Layer):
    """Rectified linear unit, element by element: 0 where x <= 0, else x.

    Attributes
    ----------
    mask : ndarray of bool
        Where x <= 0, after forward: there the gradient is 0. It is the layer's own: forward's input and output
        may be modified before backward.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 5.5.1.

    Examples
    --------
    >>> layer = Relu()
    >>> layer.forward([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    >>> layer.backward(np.array([5.0, 5.0, 5.0]))
    array([0., 0., 5.])
    """

    step_role = "relu"
    mask: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.mask = None

    def forward(self, x: Any) -> Array:
        """Return relu of x, an array of any shape, in x's floating dtype (integers: float64)."""
        out: Array
        out, self.mask = ops.relu_forward(x, self)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx: dout where the input was positive, else 0, in dout's floating dtype; dout is not modified."""
        return ops.relu_backward(dout, self.mask, self)


@as_written
class Tanh(Layer):
    """Hyperbolic tangent, element by element: out = tanh(x).

    Source: *Deep Learning from Scratch* 2, ch. 5.3.

    Examples
    --------
    >>> layer = Tanh()
    >>> layer.forward([-1, 0, 1]).round(3)
    array([-0.762,  0.   ,  0.762])
    >>> layer.backward(np.ones(3)).round(3)
    array([0.42, 1.  , 0.42])
    """

    step_role = "tanh"
    out: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.out = None

    def forward(self, x: Any) -> Array:
        """Return tanh of x, an array of any shape, in x's floating dtype (integers: float64)."""
        self.out = out = ops.tanh_forward(x, self)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = dout (1 - out^2), of the output's shape."""
        return ops.tanh_backward(dout, self.out, self)


@as_written
class Softmax(Layer):
    """Softmax over the last axis: exp(x) / sum of exp(x).

    Source: *Deep Learning from Scratch* 2, ch. 1.3.1.

    Examples
    --------
    >>> layer = Softmax()
    >>> layer.forward([[1, 2, 3]]).round(3)
    array([[0.09 , 0.245, 0.665]])
    >>> layer.backward(np.array([[0.0, 0.0, 1.0]])).round(3)
    array([[-0.06 , -0.163,  0.223]])
    """

    out: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.out = None

    def forward(self, x: Any) -> Array:
        """Return the softmax of x, of shape (..., C), in x's floating dtype (integers: float64)."""
        self.out = out = ops.softmax_forward(x, self)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = out (dout - sum over the last axis of dout out)."""
        return ops.softmax_backward(dout, self.out, self)


class Repeat(Layer):
    """Node of the computational graph that copies a row n times; backward adds the copies' gradients.

    Parameters
    ----------
    n : int
        Number of copies.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 1.3.4.

    Examples
    --------
    >>> layer = Repeat(3)
    >>> layer.forward([1.0, 2.0])
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    >>> layer.backward(np.ones((3, 2)))
    array([3., 3.])
    """

    _shown: ClassVar[tuple[str, ...]] = ("n",)

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = check_integer(self._error("n"), n)
        self._x: Array | None = None

    def forward(self, x: Any) -> Array:
        """Return n copies of x, of shape (1, D) or (D,), as an array (n, D)."""
        x = as_float_array(self._error("x"), x)
        if x.ndim == 0 or x.shape != (*((1,) * (x.ndim - 1)), x.shape[-1]) or x.ndim > 2:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (1, D) or (D,)"))
        out = empty((self.n, x.shape[-1]), x)
        backend_for(x).repeat_rows(x.reshape(x.shape[-1]), out)
        self._x = x
        return out

    def backward(self, dout: Any) -> Array:
        """Return the sum of the rows of dout, of shape (n, D), in x's shape."""
        x = self._after_forward(self._x)
        d = self._as_dout(dout, (self.n, x.shape[-1]), x)
        dx = empty(x.shape, d)
        backend_for(d).sum_rows(d, dx.reshape(x.shape[-1]))
        return dx


class Sum(Layer):
    """Node of the computational graph that adds the rows of its input; backward copies the gradient.

    Source: *Deep Learning from Scratch* 2, ch. 1.3.4.

    Examples
    --------
    >>> layer = Sum()
    >>> layer.forward([[1.0, 2.0], [3.0, 4.0]])
    array([[4., 6.]])
    >>> layer.backward(np.array([[10.0, 20.0]]))
    array([[10., 20.],
           [10., 20.]])
    """

    def __init__(self) -> None:
        super().__init__()
        self._x: Array | None = None

    def forward(self, x: Any) -> Array:
        """Return the sum of the rows of x, of shape (N, D), as an array (1, D)."""
        x = as_float_array(self._error("x"), x)
        if x.ndim != 2:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (N, D)"))
        out = empty((1, x.shape[1]), x)
        backend_for(x).sum_rows(x, out.reshape(x.shape[1]))
        self._x = x
        return out

    def backward(self, dout: Any) -> Array:
        """Return dout, of shape (1, D), repeated for every row of x."""
        x = self._after_forward(self._x)
        d = self._as_dout(dout, (1, x.shape[1]), x)
        dx = empty(x.shape, d)
        backend_for(d).repeat_rows(d.reshape(x.shape[1]), dx)
        return dx


@as_written
class Dropout(Layer):
    """Sets a fraction of the elements to 0 in training, and scales all of them instead otherwise.

    Parameters
    ----------
    dropout_ratio : float
        The fraction to drop, from 0 to 1.

    Attributes
    ----------
    mask : ndarray of bool
        True where an element was kept, after a forward in training. A subclass may set it, to bool or to factors.

    Raises
    ------
    ValueError
        dropout_ratio is not a number in this range.

    Notes
    -----
    The mask is drawn as in the book, by numpy.random.rand(*x.shape) from NumPy's global stream; on the GPU from
    CuPy's.
    Source: *Deep Learning from Scratch* 1, ch. 6.4.3; 2, ch. 6.5.2.

    Examples
    --------
    >>> layer = Dropout(0.5)
    >>> np.random.seed(0)
    >>> layer.forward(np.ones(6))
    array([1., 1., 1., 1., 0., 1.])
    >>> layer.backward(np.full(6, 3.0))
    array([3., 3., 3., 3., 0., 3.])
    >>> layer.forward(np.ones(6), train_flg=False)
    array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    """

    step_role = "dropout"
    mask: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("dropout_ratio",)

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.dropout_ratio = dropout_ratio
        self.mask = None
        self._ratio()

    def _ratio(self) -> float:
        """Return dropout_ratio, which a script may have set, as a number from 0 to 1."""
        ratio = self.dropout_ratio
        if type(ratio) is float and 0 <= ratio <= 1:
            return ratio
        return as_number(self._error("dropout_ratio"), ratio, 0, 1)

    def forward(self, x: Any, train_flg: bool = True) -> Array:
        """Return x with some elements 0 (train_flg), or x (1 - dropout_ratio); in x's floating dtype."""
        x, ratio = as_float_array(self._error("x"), computed(x)), self._ratio()
        if train_flg:
            self.mask = random_like(x) > ratio
            return ops.multiply_by_mask(x, self.mask, self)
        out: Array = x.copy()
        backend_for(x).scale(out, 1 - ratio)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = dout mask, with the mask of the last forward in training; in dout's floating dtype."""
        return ops.multiply_by_mask(dout, self.mask, self)


class Embedding(Layer):
    """Looks up the rows of a weight matrix by word ID.

    Parameters
    ----------
    W : ndarray, shape (V, D)
        One row per word, kept by reference and trained in place.

    Attributes
    ----------
    params, grads : list of ndarray
        [W] and [dW].
    idx
        The argument of the last forward.

    Raises
    ------
    ValueError
        W is not a matrix of a floating dtype.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 4.1.

    Examples
    --------
    >>> layer = Embedding(np.arange(8.0).reshape(4, 2))
    >>> layer.forward(np.array([3, 0, 3]))
    array([[6., 7.],
           [0., 1.],
           [6., 7.]])
    >>> layer.backward(np.ones((3, 2)))
    >>> layer.grads[0]
    array([[1., 1.],
           [0., 0.],
           [0., 0.],
           [2., 2.]])
    """

    W = Held("params", 0, "The weights, `params[0]`.")
    idx: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("W",)

    def __init__(self, W: Array) -> None:
        super().__init__()
        self.params = [check_parameter(self._error("W"), W, ndim=2)]
        self.grads = [np.zeros_like(as_array(W))]
        self.idx = None

    def forward(self, idx: Any) -> Array:
        """Return the rows idx of W: an array idx.shape + (D,) of W's dtype; for a scalar, a view of W.

        Raises
        ------
        IndexError
            An index is outside [-V, V), or not an integer.
        """
        out: Array = ops.gather_rows(self.params[0], idx, self)
        self.idx = idx
        return out

    def backward(self, dout: Any) -> None:
        """Write the gradient into `grads`: for each row of W, the sum of its copies' rows of dout."""
        ops.scatter_add_rows(dout, self.idx, self.params[0], self.grads, self)
