"""The layers at the end of a network, that turn scores and labels into a loss.

Source: *Deep Learning from Scratch* 1, ch. 4.2 and 5.6.3; 2, ch. 1.3 and 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, as_float_array, as_loss, as_number, as_operand, empty, is_on_gpu, rows_of
from ._as_written import as_written
from ._base import Layer
from .backends import backend_for, ops
from .backends.general import labels_of

__all__ = ["IdentityWithLoss", "SigmoidWithLoss", "SoftmaxWithLoss"]


def as_weights(where: str, sample_weight: Any, rows: int, like: Array) -> Array:
    """Return the weights of `rows` samples as an array of the dtype of `like`.

    Raises
    ------
    ValueError
        There are more or fewer, or one is negative or not a finite number; on the GPU their values are not read.
    """
    weights = as_operand(where, sample_weight, like)
    if weights.shape != (rows,):
        raise ValueError(f"{where} has shape {weights.shape}, expected ({rows},), a weight for each sample")
    if not is_on_gpu(weights):
        wrong = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
        if wrong.size:
            raise ValueError(f"{where}[{wrong[0]}] is {weights[wrong[0]]}, expected a finite number of 0 or more")
    return weights


def _by_row(scores: Array) -> Array:
    """View scores [N,...] as [N,C]."""
    rows = scores.shape[0] if scores.ndim else 1
    return scores.reshape(rows, scores.size // max(rows, 1))


class _WeightedLoss(Layer):
    """What all losses share: what forward keeps for backward, and the samples' weights.

    With weights the loss is the mean of the samples' losses by them, 0 if they are all 0.
    """

    y: Any = None
    t: Any = None
    sample_weight: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.y = self.t = self.sample_weight = None

    def _weights(self, sample_weight: Any, rows: Array) -> Array:
        """Return the checked weights of rows [N,...], and keep them."""
        self.sample_weight = as_weights(self._error("sample_weight"), sample_weight, len(rows), rows)
        weights: Array = self.sample_weight
        return weights

    def _weighted(self, dx: Array) -> Array:
        """Return the gradient of the scores: that of the mean, each row weighted, in place."""
        if self.sample_weight is not None:
            weights = as_operand(self._error("sample_weight"), self.sample_weight, dx)
            rows = max(len(weights), 1)  # as forward has them: a single sample (C,) is one
            backend_for(dx).weight_rows(dx.reshape(len(weights), dx.size // rows), weights)
        return dx

    def _as_number(self, dout: Any) -> float:
        if type(dout) is float or (type(dout) is int and dout == 1):  # fast path for the usual values
            return dout
        return as_number(self._error("dout"), dout)


class _Loss(_WeightedLoss):
    """What the losses of probabilities `y` and labels `t` share.

    `delta` is added to the probability in the logarithm of the loss, but not in its gradient.
    """

    delta = 1e-7

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
        added = np.log(p + self.delta) - np.log(p)
        if self.sample_weight is None:
            return float(added.mean())
        weights = np.asarray(self.sample_weight, np.float64)
        return (
            float(np.average(added.reshape(len(weights), -1).mean(axis=1), weights=weights))
            if weights.any()
            else 0.0
        )


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

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Return the mean loss of the scores x, of shape (N, C), against the labels t.

        Parameters
        ----------
        x
            Scores; a single sample (C,) counts as one row.
        t
            Class indices (N,), or one-hot (N, C), distinguished by size.
        sample_weight
            Weights (N,), not negative: the mean is by them, and 0 if they are all 0.

        Raises
        ------
        ValueError
            The number of labels or weights does not match, or a weight is negative.
        IndexError
            A label is outside [0, C).
        """
        loss: float
        self.sample_weight = None
        loss, self.y, self.t = ops.softmax_cross_entropy_forward(x, t, self.delta, self)
        if sample_weight is None:
            return loss
        y = rows_of(self.y)
        weights = self._weights(sample_weight, y)
        loss = as_loss(
            backend_for(y).weighted_cross_entropy_forward(y, self._class_indices(y), weights, self.delta, 0.0)
        )
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - onehot(t)) dout / N, of the scores' shape."""
        y = self._after_forward(self.y)
        return self._weighted(ops.softmax_cross_entropy_backward(y, self.t, self._as_number(dout), self))


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

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Return the mean loss of the scores x, of any shape, against the same number of labels t, each 0 or 1.

        With `sample_weight`, one for each along the first axis and not negative, it is the mean by these, 0 if all
        are 0.

        Raises
        ------
        ValueError
            The number of labels or weights does not match, or a weight is negative.
        IndexError
            A label is neither 0 nor 1.
        """
        x = as_float_array(self._error("x"), x)
        labels = labels_of(whole(t), x.size, 2, x, self, one_hot=False)
        y = empty(x.shape, x)
        kernels = backend_for(x)
        self.sample_weight = None
        loss = kernels.sigmoid_cross_entropy_forward(x.reshape(-1), labels, self.delta, 0.0, y.reshape(-1))
        if sample_weight is not None:
            rows = _by_row(y)
            weights = self._weights(sample_weight, rows)
            loss = kernels.weighted_binary_cross_entropy_forward(
                rows, labels.reshape(rows.shape), weights, self.delta, 0.0
            )
        self.y, self.t = y, labels.reshape(y.shape)
        self.loss = as_loss(loss)
        return self.loss  # type: ignore[no-any-return]

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y = as_float_array(self._error("y"), self._after_forward(self.y))
        dx = empty(y.shape, y)
        t = self.t
        is_kept = type(t) is np.ndarray and t.dtype == np.int64 and t.shape == y.shape  # by forward, as a rule
        labels = t.reshape(-1) if is_kept else labels_of(whole(t), y.size, 2, y, self, one_hot=False)
        backend_for(y).sigmoid_cross_entropy_backward(y.reshape(-1), labels, self._as_number(dout), dx.reshape(-1))
        return self._weighted(dx)

    def _probabilities(self) -> Array:
        y = np.asarray(self.y, np.float64)
        return np.where(np.asarray(self.t) == 1, y, 1 - y)


@as_written
class IdentityWithLoss(_WeightedLoss):
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

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Return 0.5 sum of (x - t)^2 / N for the scores x and the targets t, both of shape (N, C).

        A single sample (C,) counts as one row. With `sample_weight` (N,), not negative, it is the mean of the
        rows' losses by these, 0 if all are 0.

        Raises
        ------
        ValueError
            t does not have the scores' shape, or does not contain real numbers; or the number of weights does not
            match, or one is negative.
        """
        y = as_float_array(self._error("x"), x)
        target = as_operand(self._error("t"), t, y)
        if y.ndim == 0 or target.shape != y.shape:
            raise ValueError(
                self._error(f"t has shape {target.shape}, expected {y.shape or '(N, C)'}, the shape of the scores")
            )
        self.y, self.t, self.sample_weight = y, target, None
        rows, targets, kernels = rows_of(y), rows_of(target), backend_for(y)
        if sample_weight is None:
            loss: float = as_loss(kernels.squared_error_forward(rows, targets))
        else:
            weights = self._weights(sample_weight, rows)
            loss = as_loss(kernels.weighted_squared_error_forward(rows, targets, weights))
        return loss

    def backward(self, dout: Any = 1) -> Array:
        """Return dx = (y - t) dout / N, of the scores' shape."""
        y = as_float_array(self._error("y"), self._after_forward(self.y))
        t = as_operand(self._error("t"), self.t, y)
        dx = empty(y.shape, y)
        backend_for(y).squared_error_backward(rows_of(y), rows_of(t), self._as_number(dout), rows_of(dx))
        return self._weighted(dx)
