"""The books' layers: each owns `params` and `grads`, and has `forward` and `backward`.

A layer checks what it is given, allocates its outputs and calls one kernel; the arithmetic is in
`backends`. Where the arrays are already what a kernel takes, a `quick_` call does all three; it returns None
where they are not, and the general way follows.

All layers keep the books' promises: `params` and `grads` are lists whose arrays stay the same objects;
`backward` overwrites the gradients; `forward` returns a new array every time; weights are read at every call,
so that a script may put another array into `params`.

Affine and Embedding keep the array that they are given, Sigmoid and Softmax the one that they return, as the
books' do: `backward` needs it unchanged. Relu and Dropout keep a mask of their own: what they were given or
returned may be changed. A subclass may set what the books' layers keep, by its name in the books, and inherit
`backward`.

With CuPy arrays as parameters the same layers run on the GPU, and nothing there waits for it: a loss is then a
0-d CuPy array. Labels and word numbers that come from the CPU are checked before they are uploaded. Those that lie
on the GPU already are not read back: one that is out of range makes the loss, or the row that it chooses, NaN.

Source: *Deep Learning from Scratch* 2, ch. 1, 4 and 6; 1, ch. 5.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import _compute
from ._arrays import (
    Array,
    as_array,
    as_float_array,
    as_labels,
    as_number,
    as_operand,
    check_labels,
    check_parameter,
    is_on_gpu,
    is_plain,
    moved,
    random_like,
)
from ._as_written import as_written
from ._compute import computed, like_computed
from ._layer import Held
from ._layer import Layer as Layer
from ._layer import as_loss as _as_loss
from ._layer import as_mask as _as_mask
from ._layer import as_row as _as_row
from ._layer import check_row as _check_row
from ._layer import empty as _empty
from ._layer import rows as _rows
from ._passed_on import pass_on_np
from .backends import (
    backend_for,
    quick_scatter_add_rows,
    quick_affine_backward,
    quick_affine_forward,
    quick_relu_backward,
    quick_relu_forward,
    quick_sigmoid_backward,
    quick_sigmoid_forward,
    quick_softmax_cross_entropy_backward,
    quick_softmax_cross_entropy_forward,
    quick_gather_rows,
)
from .config import GPU as GPU  # book 2's scripts expect these three from here, by a star import
from .functions import cross_entropy_error as cross_entropy_error
from .functions import softmax as softmax

pass_on_np(__name__)

_BLOCK_ROWS = 256  # of x that are cast at a time: they stay in the cache


def _lies_transposed(W: Array) -> bool:
    """Whether it is W' that lies in memory as a kernel takes it: W is another layer's weights, transposed."""
    is_array = type(W) is np.ndarray or is_on_gpu(W)
    return is_array and not is_plain(W) and is_plain(W.T) and W.dtype in (np.float32, np.float64)


def _is_cast_in_blocks(x: Any, W: Array) -> bool:
    """Whether x is many rows of another dtype, which would take more time and memory cast as a whole."""
    return (
        type(x) is np.ndarray
        and type(W) is np.ndarray
        and x.ndim == 2
        and len(x) > 2 * _BLOCK_ROWS
        and x.dtype != W.dtype
        and x.dtype.kind in "biuf"
        and not _lies_transposed(W)
    )


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
    """

    W = Held("params", 0, "The weights, `params[0]`.")
    x: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("W",)

    def __init__(self, W: Array) -> None:
        self.params = [check_parameter(self._error("W"), W, ndim=2)]
        self.grads = [np.zeros_like(as_array(W))]
        self.x = None

    def _weights(self, W: Any, b: Any) -> tuple[Array, Array | None]:
        """Return W and the bias or None as the kernels need them."""
        W = check_parameter(self._error("W"), W, ndim=2)
        W = W if _lies_transposed(W) else as_operand("W", W, W)
        if b is not None:
            b = _as_row(self._error("b"), b, W.shape[1], W, f", because W has shape {W.shape}")
        return W, b

    def forward(self, x: Any) -> Array:
        """Return x W (+ b) for x of shape (..., D): an array (..., M) of W's dtype.

        Raises
        ------
        ValueError
            The last axis of x is not D, the bias does not have M numbers, or x does not hold real numbers.
        """
        params = self.params
        W, b = params[0], params[1] if len(params) > 1 else None
        if _compute.in_float32:
            W, b = computed(W), computed(b)
        out = quick_affine_forward(x, W, b)
        if out is None:
            out = self._product(x, W, b)
        self.x = x
        return out

    def _product(self, x: Any, W: Any, b: Any) -> Array:
        W, b = self._weights(W, b)
        in_blocks = _is_cast_in_blocks(x, W)
        operand = x if in_blocks else as_operand(self._error("x"), x, W)
        if operand.ndim == 0 or operand.shape[-1] != W.shape[0]:
            raise ValueError(
                self._error(
                    f"x has shape {operand.shape}, expected (..., {W.shape[0]}), because W has shape {W.shape}"
                )
            )
        out = _empty((*operand.shape[:-1], W.shape[1]), W)
        k = backend_for(W)
        if in_blocks:
            for start in range(0, len(x), _BLOCK_ROWS):
                block = slice(start, start + _BLOCK_ROWS)
                k.affine_forward(as_operand("x", x[block], W), W, b, out[block])
        elif _lies_transposed(W):
            k.matmul_transposed(_rows(operand), W.T, _rows(out))
            if b is not None:
                out += b
        else:
            k.affine_forward(_rows(operand), W, b, _rows(out))
        return out

    def backward(self, dout: Any) -> Array:
        """Write the gradients into `grads`, from dout of shape (..., M); return dx of x's shape.

        Raises
        ------
        ValueError
            dout does not have the output's shape.
        RuntimeError
            There was no forward.
        """
        W, grads = self.params[0], self.grads
        written = grads
        if _compute.in_float32:
            W = computed(W)
            written = [g if like_computed(g) is g else np.empty_like(g, np.float32) for g in grads]
        dx: Array | None = quick_affine_backward(
            dout, self.x, W, written[0], written[1] if len(written) > 1 else None
        )
        if dx is None:
            dx = self._product_backward(dout, W, written)
        if written is not grads:
            for i, gradient in enumerate(written):
                self._keep_gradient(grads, i, gradient)
        return dx

    def _product_backward(self, dout: Any, W: Any, grads: Any) -> Array:
        W, _ = self._weights(W, None)
        x = as_operand(self._error("x"), self._after_forward(self.x), W)
        d = self._as_dout(dout, (*x.shape[:-1], W.shape[1]), W)
        dx = _empty(x.shape, W)
        dW = self._weight_gradient(grads, W)
        db = self._gradient(grads, 1, _empty((W.shape[1],), W)) if len(grads) > 1 else None
        k = backend_for(W)
        if _lies_transposed(W):
            k.affine_forward(_rows(d), W.T, None, _rows(dx))
            k.affine_backward(_rows(x), _rows(d), W.T, None, dW.T, None)  # dW' = dout' x
            if db is not None:
                k.sum_rows(_rows(d), db)
        else:
            k.affine_backward(_rows(d), _rows(x), W, _rows(dx), dW, db)
        self._keep_gradient(grads, 0, dW)
        if db is not None:
            self._keep_gradient(grads, 1, db)
        return dx

    def _weight_gradient(self, grads: Any, W: Array) -> Array:
        """Return the array that dW is written into: it lies as W does."""
        dW, grad = self._gradient(grads, 0, W), grads[0]
        if not _lies_transposed(W):
            return dW
        fits = _lies_transposed(grad) and grad.shape == W.shape and grad.dtype == W.dtype
        return grad if fits else _empty(W.T.shape, W).T


@as_written
class Affine(MatMul):
    """Fully connected layer: out = x W + b.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights, kept by reference and trained in place. Their dtype decides: float32 and float64 run
        compiled, float16 in NumPy. A transposed matrix is legal.
    b : ndarray, shape (M,) or (1, M), or a number
        Bias, likewise; cast to W's dtype in each call. What NumPy would broadcast is legal; but a number or an
        array of one has no room for M gradients, so `backward` is refused then, as by the book's layer.

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
    Works on the last axis of x, with any number of axes before it, also none.
    Source: *Deep Learning from Scratch* 2, ch. 1.3.5.
    """

    step_role = "affine"
    b = Held("params", 1, "The bias, `params[1]`.")
    _shown: ClassVar[tuple[str, ...]] = ("W", "b")

    def __init__(self, W: Array, b: Array | float) -> None:
        super().__init__(W)
        self.params.append(_check_row(self._error("b"), b))
        self.grads.append(np.zeros_like(as_array(b), W.dtype if np.ndim(b) == 0 else None))
        self._weights(W, b)


@as_written
class Sigmoid(Layer):
    """Sigmoid function, element by element: out = 1 / (1 + exp(-x)); no overflow for any x.

    Source: *Deep Learning from Scratch* 2, ch. 1.3.5.
    """

    step_role = "sigmoid"
    out: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.out = None

    def forward(self, x: Any) -> Array:
        """Return the sigmoid of x, an array of any shape, in x's floating dtype (integers: float64)."""
        if _compute.in_float32:
            x = computed(x)
        quick = quick_sigmoid_forward(x)
        if quick is not None:
            self.out = quick
            return quick
        x = as_float_array(self._error("x"), x)
        out = _empty(x.shape, x)
        backend_for(x).sigmoid_forward(x, out)
        self.out = out
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = dout (1 - out) out, of the output's shape."""
        quick = quick_sigmoid_backward(dout, self.out)
        if quick is not None:
            return quick
        y = as_float_array(self._error("out"), self._after_forward(self.out))
        dx = _empty(y.shape, y)
        backend_for(y).sigmoid_backward(self._as_dout(dout, y.shape, y), y, dx)
        return dx


@as_written
class Relu(Layer):
    """Rectified linear unit, element by element: 0 where x <= 0, else x.

    Attributes
    ----------
    mask : ndarray of bool
        Where x <= 0, after forward: there the gradient is 0. It is the layer's own: what forward was given and
        what it returned may be changed before backward.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 5.5.1.
    """

    step_role = "relu"
    mask: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.mask = None

    def forward(self, x: Any) -> Array:
        """Return relu of x, an array of any shape, in x's floating dtype (integers: float64)."""
        if _compute.in_float32:
            x = computed(x)
        quick = quick_relu_forward(x)
        if quick is not None:
            out: Array
            out, self.mask = quick
            return out
        x = as_float_array(self._error("x"), x)
        out = _empty(x.shape, x)
        backend_for(x).relu_forward(x, out)
        self.mask = x <= 0
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx: dout where the input was positive, else 0, in dout's floating dtype; dout stays as it is."""
        quick = quick_relu_backward(dout, self.mask)
        if quick is not None:
            return quick
        mask = _as_mask(self._error("mask"), self._after_forward(self.mask))
        d = self._as_dout(dout, mask.shape, mask)
        dx = _empty(d.shape, d)
        backend_for(d).relu_backward(d, as_operand("mask", mask == 0, d), dx)  # its y: positive where d passes
        return dx


class Softmax(Layer):
    """Softmax over the last axis: exp(x) / sum of exp(x).

    Source: *Deep Learning from Scratch* 2, ch. 1.3.1.
    """

    out: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.out = None

    def forward(self, x: Any) -> Array:
        """Return the softmax of x, of shape (..., C), in x's floating dtype (integers: float64)."""
        x = as_float_array(self._error("x"), computed(x))
        if x.ndim == 0:
            raise ValueError(self._error("x is a single number, expected an array of scores (..., C)"))
        out = _empty(x.shape, x)
        backend_for(x).softmax_forward(_rows(x), _rows(out))
        self.out = out
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = out (dout - sum over the last axis of dout out)."""
        y = as_float_array(self._error("out"), self._after_forward(self.out))
        dx = _empty(y.shape, y)
        backend_for(y).softmax_backward(_rows(self._as_dout(dout, y.shape, y)), _rows(y), _rows(dx))
        return dx


class _Loss(Layer):
    """What the losses share: probabilities `y` and labels `t`, kept by forward for backward.

    `delta` is what stands beside the probability in the logarithm of the loss, and not in its gradient.
    """

    delta = 1e-7
    y: Any = None
    t: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.y = self.t = None

    def _labels(self, t: Any, rows: int, classes: int, x: Array, *, one_hot: bool = True) -> Array:
        """Return class indices where the scores x lie, checked unless they were on the GPU before."""
        labels = as_labels(self._error("t"), t, rows, classes, one_hot=one_hot, on_gpu=is_on_gpu(x))
        if not is_on_gpu(labels):
            check_labels(self._error("t"), labels, classes)
        return labels

    def _class_indices(self, rows: Array) -> Array:
        """Return the labels that forward kept, or a subclass has set, for the probabilities [N, C]."""
        t = self.t
        if type(t) is np.ndarray and t.dtype == np.int64 and t.shape == (len(rows),):
            return t
        return self._labels(t, len(rows), rows.shape[1], rows)

    def _probabilities(self) -> Array:
        """Return what the last forward gave the labels, in float64."""
        y = np.asarray(_rows(self.y), np.float64)
        labels = self._class_indices(y)
        return np.take_along_axis(y, labels[:, None], axis=1)

    def what_delta_adds(self) -> float:
        """Return the last loss without its `delta` less the loss with it; `gradient_check` asks."""
        if not self.delta or self.y is None or not self.y.size:
            return 0.0
        p = self._probabilities()
        return float((np.log(p + self.delta) - np.log(p)).mean())

    def _as_number(self, dout: Any) -> float:
        if type(dout) is float or (type(dout) is int and dout == 1):  # the short way, for what most of them are
            return dout
        return as_number(self._error("dout"), dout)


@as_written
class SoftmaxWithLoss(_Loss):
    """Softmax and cross entropy in one: the loss of a classifier.

    Attributes
    ----------
    y : ndarray, shape (..., C)
        Probabilities, after forward.
    t : ndarray of int64
        Class indices, after forward.

    Notes
    -----
    The loss is the mean of -log(y_t + 1e-7), as in the books; its gradient (y - onehot(t)) / N ignores
    the 1e-7. Source: *Deep Learning from Scratch* 2, ch. 1.3.5.
    """

    step_role = "softmax_cross_entropy"

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x, of shape (N, C), against the labels t.

        Parameters
        ----------
        x
            Scores; a single sample (C,) counts as one row.
        t
            Class indices (N,), or one-hot (N, C): told apart by the size.

        Raises
        ------
        ValueError
            The number of labels does not fit.
        IndexError
            A label is outside [0, C).
        """
        quick = quick_softmax_cross_entropy_forward(x, t)
        if quick is not None:
            loss: float
            loss, self.y, self.t = quick
            return loss
        x = as_float_array(self._error("x"), x)
        if x.ndim == 0:
            raise ValueError(self._error("x is a single number, expected scores of shape (N, C)"))
        rows = _rows(x)
        labels = self._labels(t, rows.shape[0], rows.shape[1], x)
        y = _empty(x.shape, x)
        loss = _as_loss(backend_for(x).softmax_cross_entropy_forward(rows, labels, _rows(y)))
        self.y, self.t = y, labels
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - onehot(t)) dout / N, of the scores' shape."""
        y = self._after_forward(self.y)
        number = self._as_number(dout)
        quick = quick_softmax_cross_entropy_backward(y, self.t, number)
        if quick is not None:
            return quick
        y = as_float_array(self._error("y"), y)
        rows, dx = _rows(y), _empty(y.shape, y)
        labels = self._class_indices(rows)
        backend_for(y).softmax_cross_entropy_backward(rows, labels, number, _rows(dx))
        return dx


def _whole(t: Any) -> Any:
    """Return answers of a floating dtype as whole numbers, if they are 0 and 1 only."""
    if isinstance(t, np.ndarray) and t.dtype.kind == "f" and np.isin(t, (0, 1)).all():
        return t.astype(np.int64)
    return t


class SigmoidWithLoss(_Loss):
    """Sigmoid and binary cross entropy in one: the loss of yes-or-no answers.

    Attributes
    ----------
    y : ndarray
        Probabilities of 1, after forward, of the scores' shape.
    t : ndarray of int64
        Labels, after forward, of the scores' shape.
    loss : float
        What forward returned.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 4.2.
    """

    loss: Any = None

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x, of any shape, against as many labels t, each 0 or 1.

        Raises
        ------
        ValueError
            The number of labels does not fit.
        IndexError
            A label is neither 0 nor 1.
        """
        x = as_float_array(self._error("x"), x)
        labels = self._labels(_whole(t), x.size, 2, x, one_hot=False)
        y = _empty(x.shape, x)
        self.loss = loss = _as_loss(
            backend_for(x).sigmoid_cross_entropy_forward(x.reshape(-1), labels, y.reshape(-1))
        )
        self.y, self.t = y, labels.reshape(y.shape)
        return loss  # type: ignore[no-any-return]

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y = as_float_array(self._error("y"), self._after_forward(self.y))
        dx = _empty(y.shape, y)
        labels = self._labels(_whole(self.t), y.size, 2, y, one_hot=False)
        backend_for(y).sigmoid_cross_entropy_backward(y.reshape(-1), labels, self._as_number(dout), dx.reshape(-1))
        return dx

    def _probabilities(self) -> Array:
        y = np.asarray(self.y, np.float64)
        return np.where(np.asarray(self.t) == 1, y, 1 - y)


class Repeat(Layer):
    """Node of the computational graph that copies a row n times; backward adds the copies' gradients.

    Parameters
    ----------
    n : int
        Number of copies.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 1.3.4.
    """

    _shown: ClassVar[tuple[str, ...]] = ("n",)

    def __init__(self, n: int) -> None:
        super().__init__()
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ValueError(self._error(f"n must be a whole number, 0 or more, got {n!r}"))
        self.n = int(n)
        self._x: Array | None = None

    def forward(self, x: Any) -> Array:
        """Return n copies of x, of shape (1, D) or (D,), as an array (n, D)."""
        x = as_float_array(self._error("x"), x)
        if x.ndim == 0 or x.shape != (*((1,) * (x.ndim - 1)), x.shape[-1]) or x.ndim > 2:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (1, D) or (D,)"))
        out = _empty((self.n, x.shape[-1]), x)
        backend_for(x).repeat_rows(x.reshape(x.shape[-1]), out)
        self._x = x
        return out

    def backward(self, dout: Any) -> Array:
        """Return the sum of the rows of dout, of shape (n, D), in x's shape."""
        x = self._after_forward(self._x)
        d = self._as_dout(dout, (self.n, x.shape[-1]), x)
        dx = _empty(x.shape, d)
        backend_for(d).sum_rows(d, dx.reshape(x.shape[-1]))
        return dx


class Sum(Layer):
    """Node of the computational graph that adds the rows of its input; backward copies the gradient.

    Source: *Deep Learning from Scratch* 2, ch. 1.3.4.
    """

    def __init__(self) -> None:
        super().__init__()
        self._x: Array | None = None

    def forward(self, x: Any) -> Array:
        """Return the sum of the rows of x, of shape (N, D), as an array (1, D)."""
        x = as_float_array(self._error("x"), x)
        if x.ndim != 2:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (N, D)"))
        out = _empty((1, x.shape[1]), x)
        backend_for(x).sum_rows(x, out.reshape(x.shape[1]))
        self._x = x
        return out

    def backward(self, dout: Any) -> Array:
        """Return dout, of shape (1, D), once for every row of x."""
        x = self._after_forward(self._x)
        d = self._as_dout(dout, (1, x.shape[1]), x)
        dx = _empty(x.shape, d)
        backend_for(d).repeat_rows(d.reshape(x.shape[1]), dx)
        return dx


class Dropout(Layer):
    """Sets a share of the numbers to 0 while training, and scales all of them instead when not.

    Parameters
    ----------
    dropout_ratio : float
        The share, from 0 up to 1.

    Attributes
    ----------
    mask : ndarray of bool
        Where a number passed, after a forward in training. A subclass may set it, to bool or to factors.

    Raises
    ------
    ValueError
        dropout_ratio is no such number.

    Notes
    -----
    The mask is drawn as in the book, by numpy.random.rand(*x.shape) from NumPy's global stream; on the GPU from
    CuPy's.
    Source: *Deep Learning from Scratch* 1, ch. 6.4.3; 2, ch. 6.5.2.
    """

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
        """Return x with some numbers 0 (train_flg), or x (1 - dropout_ratio); in x's floating dtype."""
        x, ratio = as_float_array(self._error("x"), computed(x)), self._ratio()
        if train_flg:
            self.mask = random_like(x) > ratio
            return self._masked(x)
        out: Array = x.copy()
        backend_for(x).scale(out, 1 - ratio)
        return out

    def _masked(self, x: Array) -> Array:
        """Return x mask, element by element."""
        out, mask = _empty(x.shape, x), self.mask
        if type(mask) is np.ndarray and mask.dtype.kind == "b":
            mask = mask.astype(x.dtype)  # the short way to what as_operand gives
        backend_for(x).multiply_by_mask(x, as_operand("mask", mask, x), out)
        return out

    def backward(self, dout: Any) -> Array:
        """Return dx = dout mask, with the mask of the last forward in training; in dout's floating dtype."""
        mask = self.mask
        are_plain = type(dout) is np.ndarray and type(mask) is np.ndarray and mask.dtype.kind == "b"
        if are_plain and dout.shape == mask.shape and dout.dtype.kind == "f":
            return self._masked(as_float_array("dout", dout))
        mask = _as_mask(self._error("mask"), self._after_forward(mask))
        return self._masked(self._as_dout(dout, mask.shape, mask))


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether unsigned numbers of a dtype are int64 numbers too."""
    return dtype.kind == "u" and dtype.itemsize < 8


class Embedding(Layer):
    """The rows of a weight matrix that word numbers choose.

    Parameters
    ----------
    W : ndarray, shape (V, D)
        A row for every word, kept by reference and trained in place.

    Attributes
    ----------
    params, grads : list of ndarray
        [W] and [dW].
    idx
        What forward was given.

    Raises
    ------
    ValueError
        W is not a matrix of a floating dtype.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 4.1.
    """

    W = Held("params", 0, "The weights, `params[0]`.")
    idx: Any = None
    _shown: ClassVar[tuple[str, ...]] = ("W",)

    def __init__(self, W: Array) -> None:
        super().__init__()
        self.params = [check_parameter(self._error("W"), W, ndim=2)]
        self.grads = [np.zeros_like(as_array(W))]
        self.idx = None

    def _indices(self, idx: Any, W: Array) -> Array:
        """Return word numbers as int64 in one row, where W lies; negative ones count from the end.

        They are in [0, V), those excepted that were on the GPU before: they are not read back.
        """
        words, array = len(W), as_array(idx, self._error("idx"))
        if array.dtype.kind not in "iu" and array.size:
            raise IndexError(self._error(f"idx must hold whole numbers, got dtype {array.dtype}"))
        if is_on_gpu(array):
            if not is_on_gpu(W):
                raise ValueError(self._error("idx is on the GPU, W is on the CPU; scratchnet.to_cpu moves it"))
            if array.dtype == np.uint64:  # the largest would become negative
                array = np.minimum(array, array.dtype.type(words))
            index = array.reshape(-1).astype(np.int64, copy=False)
            chosen: Array = np.where(index < 0, index + words, index)
            return chosen
        if array.dtype == np.uint64:
            check_labels(self._error("idx"), array.reshape(-1), words)
        index = np.require(array.reshape(-1), np.int64, ["C", "A"])
        if index.size and index.min() < 0:
            if index.min() < -words:
                i = int(np.flatnonzero(index < -words)[0])
                raise IndexError(self._error(f"idx[{i}] is {index[i]}, expected {-words} or more"))
            index = np.where(index < 0, index + words, index)
        check_labels(self._error("idx"), index, words)
        return moved(index, to_gpu=is_on_gpu(W))

    def forward(self, idx: Any) -> Array:
        """Return the rows idx of W: an array (*idx.shape, D) of W's dtype; for a single number, a view of W.

        Raises
        ------
        IndexError
            A number is outside [-V, V), or is not whole.
        """
        if type(idx) is np.ndarray and idx.ndim and (idx.dtype.kind == "i" or _is_narrow(idx.dtype)):
            quick = quick_gather_rows(self.params[0], np.ascontiguousarray(idx, np.int64))
            if quick is not None:
                self.idx = idx
                return computed(quick)  # type: ignore[no-any-return]
        W = check_parameter(self._error("W"), self.params[0], ndim=2)
        index = self._indices(idx, W)
        shape = as_array(idx).shape
        out: Array
        if shape:
            operand = as_operand("W", W, W)
            out = _empty((*shape, W.shape[1]), operand)
            backend_for(operand).gather_rows(operand, index, _rows(out))
        else:
            out = W[index[0]]
        self.idx = idx
        return computed(out)  # type: ignore[no-any-return]

    def backward(self, dout: Any) -> None:
        """Write the gradient into `grads`: the sum, for every row of W, of the rows of dout that it became."""
        idx = self.idx
        if type(idx) is np.ndarray and idx.ndim and (idx.dtype.kind == "i" or _is_narrow(idx.dtype)):
            W, dW = self.params[0], self.grads[0]
            if W.shape == dW.shape and quick_scatter_add_rows(dout, np.ascontiguousarray(idx, np.int64), dW):
                return
        W = as_operand("W", self.params[0], self.params[0])
        index = self._indices(self._after_forward(self.idx), W)
        d = self._as_dout(dout, (*as_array(self.idx).shape, W.shape[1]), W)
        dW = self._gradient(self.grads, 0, W)
        backend_for(W).scatter_add_rows(_rows(d), index, dW)
        self._keep_gradient(self.grads, 0, dW)
