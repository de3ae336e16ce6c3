"""The layers at the end of a network, that turn scores and labels into a loss.

Source: *Deep Learning from Scratch* 1, ch. 4.2 and 5.6.3; 2, ch. 1.3 and 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, as_float_array, as_loss, as_number, as_operand, empty, rows_of
from ._as_written import as_written
from ._base import Layer
from .backends import backend_for, ops
from .backends.general import labels_of

__all__ = ["IdentityWithLoss", "SigmoidWithLoss", "SoftmaxWithLoss"]


class _Loss(Layer):
    """What the losses share: probabilities `y` and labels `t`, kept by forward for backward.

    `delta` is added to the probability in the logarithm of the loss, but not in its gradient.
    """

    delta = 1e-7
    y: Any = None
    t: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.y = self.t = None

    def _class_indices(self, rows: Array) -> Array:
        """Return the labels that forward kept, or that a subclass has set, for the probabilities [N, C]."""
        t = self.t
        if type(t) is np.ndarray and t.dtype == np.int64 and t.shape == (len(rows),):
            return t
        return labels_of(t, rows.shape[0], rows.shape[1], rows, self)

    def _probabilities(self) -> Array:
        """Return the probabilities of the labels in the last forward, in float64."""
        y = np.asarray(rows_of(self.y), np.float64)
        labels = self._class_indices(y)
        return np.take_along_axis(y, labels[:, None], axis=1)

    def what_delta_adds(self) -> float:
        """Return the last loss without its `delta` minus the loss with it; used by `gradient_check`."""
        if not self.delta or self.y is None or not self.y.size:
            return 0.0
        p = self._probabilities()
        return float((np.log(p + self.delta) - np.log(p)).mean())

    def _as_number(self, dout: Any) -> float:
        if type(dout) is float or (type(dout) is int and dout == 1):  # fast path for the usual values
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

    Examples
    --------
    >>> layer = SoftmaxWithLoss()
    >>> scores, labels = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]), np.array([0, 1])
    >>> print(layer.forward(scores, labels).round(4))
    0.2513
    >>> layer.y.round(3)
    array([[0.665, 0.245, 0.09 ],
           [0.045, 0.909, 0.045]])
    >>> layer.backward().round(3)
    array([[-0.167,  0.122,  0.045],
           [ 0.023, -0.045,  0.023]])
    """

    step_role = "softmax_cross_entropy"

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x, of shape (N, C), against the labels t.

        Parameters
        ----------
        x
            Scores; a single sample (C,) counts as one row.
        t
            Class indices (N,), or one-hot (N, C), distinguished by size.

        Raises
        ------
        ValueError
            The number of labels does not match.
        IndexError
            A label is outside [0, C).
        """
        loss: float
        loss, self.y, self.t = ops.softmax_cross_entropy_forward(x, t, self.delta, self)
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - onehot(t)) dout / N, of the scores' shape."""
        y = self._after_forward(self.y)
        return ops.softmax_cross_entropy_backward(y, self.t, self._as_number(dout), self)


def whole(t: Any) -> Any:
    """Convert labels of a floating dtype to integers if they are all 0 or 1."""
    if isinstance(t, np.ndarray) and t.dtype.kind == "f" and np.isin(t, (0, 1)).all():
        return t.astype(np.int64)
    return t


@as_written
class SigmoidWithLoss(_Loss):
    """Sigmoid and binary cross entropy in one: the loss of a binary classifier.

    Attributes
    ----------
    y : ndarray
        Probabilities of 1, after forward, of the scores' shape.
    t : ndarray of int64
        Labels, after forward, of the scores' shape.
    loss : float
        The last value that forward returned.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 4.2.

    Examples
    --------
    >>> layer = SigmoidWithLoss()
    >>> print(layer.forward(np.array([2.0, -1.0]), np.array([1, 0])).round(4))
    0.2201
    >>> layer.backward().round(3)
    array([-0.06 ,  0.134])
    """

    step_role = "sigmoid_cross_entropy"
    loss: Any = None

    def forward(self, x: Any, t: Any) -> float:
        """Return the mean loss of the scores x, of any shape, against the same number of labels t, each 0 or 1.

        Raises
        ------
        ValueError
            The number of labels does not match.
        IndexError
            A label is neither 0 nor 1.
        """
        x = as_float_array(self._error("x"), x)
        labels = labels_of(whole(t), x.size, 2, x, self, one_hot=False)
        y = empty(x.shape, x)
        self.loss = loss = as_loss(
            backend_for(x).sigmoid_cross_entropy_forward(x.reshape(-1), labels, self.delta, 0.0, y.reshape(-1))
        )
        self.y, self.t = y, labels.reshape(y.shape)
        return loss  # type: ignore[no-any-return]

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y = as_float_array(self._error("y"), self._after_forward(self.y))
        dx = empty(y.shape, y)
        t = self.t
        is_kept = type(t) is np.ndarray and t.dtype == np.int64 and t.shape == y.shape  # by forward, as a rule
        labels = t.reshape(-1) if is_kept else labels_of(whole(t), y.size, 2, y, self, one_hot=False)
        backend_for(y).sigmoid_cross_entropy_backward(y.reshape(-1), labels, self._as_number(dout), dx.reshape(-1))
        return dx

    def _probabilities(self) -> Array:
        y = np.asarray(self.y, np.float64)
        return np.where(np.asarray(self.t) == 1, y, 1 - y)


@as_written
class IdentityWithLoss(Layer):
    """The scores themselves and half their squared error: the loss of a regression.

    Attributes
    ----------
    y : ndarray, shape (N, C)
        The scores, after forward: the array itself, as Affine keeps its input.
    t : ndarray, shape (N, C)
        The targets, likewise, in the scores' dtype.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 3.5.1 and 4.2.1.

    Examples
    --------
    >>> layer = IdentityWithLoss()
    >>> print(layer.forward(np.array([[1.0], [2.0]]), [[1.5], [4.0]]))
    1.0625
    >>> layer.backward()
    array([[-0.25],
           [-1.  ]])
    """

    step_role = "squared_error"
    has_classes = False
    y: Any = None
    t: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.y = self.t = None

    def forward(self, x: Any, t: Any) -> float:
        """Return 0.5 sum of (x - t)^2 / N for the scores x and the targets t, both of shape (N, C).

        A single sample (C,) counts as one row.

        Raises
        ------
        ValueError
            t does not have the scores' shape, or does not contain real numbers.
        """
        y = as_float_array(self._error("x"), x)
        target = as_operand(self._error("t"), t, y)
        if y.ndim == 0 or target.shape != y.shape:
            raise ValueError(
                self._error(f"t has shape {target.shape}, expected {y.shape or '(N, C)'}, the shape of the scores")
            )
        self.y, self.t = y, target
        loss: float = as_loss(backend_for(y).squared_error_forward(rows_of(y), rows_of(target)))
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y = as_float_array(self._error("y"), self._after_forward(self.y))
        t = as_operand(self._error("t"), self.t, y)
        dx = empty(y.shape, y)
        number = as_number(self._error("dout"), dout)
        backend_for(y).squared_error_backward(rows_of(y), rows_of(t), number, rows_of(dx))
        return dx
