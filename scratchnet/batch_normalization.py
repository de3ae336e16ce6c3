"""Batch normalization: each column, pixel or channel to mean 0 and variance 1 over the batch.

Source: S. Ioffe and C. Szegedy, *Batch normalization*, 2015; *Deep Learning from Scratch* 1, ch. 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_float_array,
    as_number,
    as_operand,
    as_row,
    check_parameter,
    check_row,
    empty,
)
from ._as_written import as_written
from ._base import Held, Layer
from ._compute import computed, like_computed
from ._cut import Cut, current
from .backends import backend_for

__all__ = ["BatchNormalization"]

EPS = 1e-6  # added to the variance: the book's 10e-7


class _BatchNormalization(Layer):
    """What the layers of both modules, this one and book 1's, compute from their gamma and beta.

    `running_mean` and `running_var` are None before there are statistics.
    """

    gamma: Any
    beta: Any
    momentum: Any = 0.9
    running_mean: Any = None
    running_var: Any = None
    input_shape: Any = None
    std: Any = None
    xn: Any = None
    buffers = ("running_mean", "running_var")
    _shown: ClassVar[tuple[str, ...]] = ("gamma", "beta", "momentum")

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
        rows = self._rows(x)
        gamma, beta = self._row("gamma", self.gamma, rows), self._row("beta", self.beta, rows)
        if self.running_mean is None or self.running_var is None:
            zeros = np.zeros_like(gamma, self._own_dtype(gamma))
            self.running_mean, self.running_var = zeros, zeros.copy()
        out: Array = np.empty_like(rows)
        kernels = backend_for(gamma)
        if not train_flg:
            mean, var = (self._row(name, getattr(self, name), rows) for name in self.buffers)
            kernels.batch_normalization_inference(rows, gamma, beta, mean, var, EPS, out)
            self.input_shape = x.shape
            return _shaped(out, x.shape)
        mean, var, std = (np.empty_like(gamma) for _ in range(3))
        xhat, kept = np.empty_like(rows), self._share()
        part = current()
        if part is None:
            kernels.batch_normalization_forward(rows, gamma, beta, EPS, mean, var, std, xhat, out)
        else:
            _forward_of_part(part, rows, (gamma, beta), (mean, var, std, xhat, out))
        mean, var = (
            kept * before + (1 - kept) * now
            for before, now in ((self.running_mean, mean), (self.running_var, var))
        )
        self._outdate()
        self._keep_statistics(mean, var)
        self.input_shape, self.std, self.xn = x.shape, std, xhat
        return _shaped(out, x.shape)

    def _keep_statistics(self, mean: Array, var: Array) -> None:
        self.running_mean, self.running_var = mean, var

    def _normalized(self) -> Array:
        """Return x normalized, [N,D], of the last forward in training."""
        return as_float_array(self._error("xn"), self._after_forward(self.xn))

    def _backward(self, dout: Any, dgamma: Array, dbeta: Array) -> Array:
        """Write the gradients into dgamma and dbeta (D,), in the dtype of computation; return dx of x's shape."""
        xhat = self._normalized()
        shape = self.input_shape or xhat.shape
        d = _as_rows(self._as_dout(dout, shape, xhat), xhat.shape)
        gamma, std = self._row("gamma", self.gamma, xhat), self._row("std", self.std, xhat)
        dx: Array = np.empty_like(xhat)
        backend_for(gamma).batch_normalization_backward(d, xhat, gamma, std, dx, dgamma, dbeta)
        part = current()
        if part is not None:
            _backward_of_part(part, d, xhat, gamma / std, dx)
        return _shaped(dx, shape)

    def _as_input(self, x: Any) -> Array:
        """Return x in the dtype of the first of gamma and beta that has one, else its own."""
        for value in (self.gamma, self.beta):
            if value.ndim if type(value) is np.ndarray else np.ndim(value):
                return as_operand(self._error("x"), x, like_computed(value))
        return as_float_array(self._error("x"), computed(x))

    def _rows(self, x: Array) -> Array:
        """Return x as rows [N,D] of what is normalized together: all that follows the first axis, or channels."""
        sizes = [size.size if type(size) is np.ndarray else np.size(size) for size in (self.gamma, self.beta)]
        most = max(sizes)
        columns = prod(x.shape[1:]) if x.ndim > 1 else -1
        if x.ndim == 4 and most == x.shape[1] and most != columns:
            columns = most
        if any(size not in (1, columns) for size in sizes) or columns < 0:
            scales = zip((self.gamma, self.beta), sizes, strict=True)
            wrong = next((scale for scale, size in scales if columns < 0 or size not in (1, columns)))
            size = np.size(wrong) if np.ndim(wrong) else "D"
            raise ValueError(self._error(f"x has shape {x.shape}, expected rows of {size} values, as in gamma"))
        return _as_rows(x, (x.size // columns if columns else len(x), columns))

    def _own_dtype(self, row: Array) -> np.dtype[Any]:
        """Return the dtype of gamma, in which what is kept of it stays; of a number that of its row."""
        return self.gamma.dtype if isinstance(self.gamma, np.ndarray) and self.gamma.ndim else row.dtype

    def _row(self, name: str, value: Any, rows: Array) -> Array:
        """Return gamma, say, as an array [D] for rows [N, D]."""
        if type(value) is np.ndarray and value.shape == rows.shape[1:] and value.dtype.kind == "f":
            return as_operand(name, value, rows)  # fast path
        return as_row(self._error(name), value, rows.shape[1], rows)


@as_written
class BatchNormalization(_BatchNormalization):
    """Batch normalization: each column to mean 0 and variance 1 over the batch, then gamma and beta.

    Parameters
    ----------
    gamma, beta : ndarray, shape (D,)
        Scale and shift, kept by reference and trained in place; gamma's dtype decides. For images (N, C, H, W)
        C values are one for each channel, over whose pixels mean and variance are taken, and C H W values
        one for each pixel, as in the book.
    momentum : float
        Fraction of the running mean and variance that each batch keeps.
    running_mean, running_var : ndarray, shape (D,), optional
        Statistics used for inference, changed in place by every forward in training; initially zeros.

    Attributes
    ----------
    params, grads : list of ndarray
        [gamma, beta] and their gradients.
    buffers : tuple of str
        The names of the running statistics, which weights files and copies contain like parameters.
    xn : ndarray, shape (N, D)
        x normalized, after a forward in training.
    std : ndarray, shape (D,)
        Square root of the variance plus 1e-6, likewise.

    Raises
    ------
    ValueError
        gamma or beta does not have a floating dtype, the statistics do not have gamma's size, or momentum is not a
        number.

    Notes
    -----
    1e-6 is added to the variance. Source: S. Ioffe and C. Szegedy, *Batch normalization*, 2015; book 1, ch. 6.3.

    Examples
    --------
    >>> layer = BatchNormalization(np.ones(2), np.zeros(2))
    >>> layer.forward(np.array([[1.0, 10.0], [3.0, 50.0]])).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean
    array([0.2, 3. ])
    >>> layer.forward(np.array([[1.0, 10.0]]), train_flg=False).round(3)
    array([[2.53 , 1.107]])
    """

    step_role = "batch_normalization"
    gamma = Held("params", 0, "The scale, `params[0]`.")
    beta = Held("params", 1, "The shift, `params[1]`.")

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        super().__init__()
        self.params = [check_row(self._error("gamma"), gamma), check_row(self._error("beta"), beta)]
        self.grads = [np.zeros_like(as_array(p)) for p in self.params]
        self.momentum = momentum
        self._share()
        numbers = max(np.size(gamma), np.size(beta))
        row = empty((numbers,), as_float_array("gamma", gamma))
        for name, given in zip(self.buffers, (running_mean, running_var), strict=True):
            if given is None:
                given = np.zeros_like(row) if numbers > 1 or np.ndim(gamma) else None
            elif np.shape(check_parameter(self._error(name), given)) != (numbers,):
                raise ValueError(
                    self._error(f"{name} has shape {np.shape(given)}, expected ({numbers},), as gamma")
                )
            setattr(self, name, given)
        self.input_shape = self.std = self.xn = None

    def backward(self, dout: Any) -> Array:
        """Write the gradients into `grads`; return dx of x's shape. Only after a forward in training."""
        xhat = self._normalized()
        dgamma, dbeta = (self._gradient(self.grads, i, empty(xhat.shape[1:], xhat)) for i in (0, 1))
        dx = self._backward(dout, dgamma, dbeta)
        self._keep_gradient(self.grads, 0, dgamma)
        self._keep_gradient(self.grads, 1, dbeta)
        return dx

    def _keep_statistics(self, mean: Array, var: Array) -> None:
        for name, now in zip(self.buffers, (mean, var), strict=True):
            kept = getattr(self, name)
            if kept.shape == now.shape:
                kept[...] = now
            else:
                setattr(self, name, now)


def _forward_of_part(part: Cut, rows: Array, scales: Sequence[Array], written: Sequence[Array]) -> None:
    """Write mean, var, std, xhat and out for rows [N,D] of a part of a batch, with the statistics of the batch."""
    mean, var, std, xhat, out = written
    count = part.total * part.times(len(rows))
    mean[...] = part.sum(rows.sum(axis=0, dtype=np.float64)) / count
    xhat[...] = rows - mean
    var[...] = part.sum((xhat.astype(np.float64) ** 2).sum(axis=0)) / count
    std[...] = np.sqrt(var + EPS)
    xhat /= std
    out[...] = scales[0] * xhat + scales[1]


def _backward_of_part(part: Cut, d: Array, xhat: Array, scale: Array, dx: Array) -> None:
    """Write dx of a part of a batch, whose other rows depend on these through the statistics, too."""
    times = part.times(len(d))
    if not part.scale:
        dx[...] = 0
    own = part.scale / part.total  # what d is to be multiplied by to be that of the batch's loss
    sums = part.sum(own * np.stack([d.sum(axis=0, dtype=np.float64), (d * xhat).sum(axis=0, dtype=np.float64)]))
    if part.scale:
        of_d, of_xhat = (sums / (part.scale * times)).astype(d.dtype)
        dx[...] = scale * (d - of_d - xhat * of_xhat)


def _as_rows(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x [N,...] as rows [N,D], a view, or images [N,C,H,W] as [N H W,C], a copy."""
    if x.ndim == 4 and shape != (len(x), prod(x.shape[1:])):
        x = x.transpose(0, 2, 3, 1).copy()
    return x.reshape(shape)


def _shaped(rows: Array, shape: tuple[int, ...]) -> Array:
    """Return rows as `_as_rows` makes them in the shape that they come from."""
    if len(shape) == 4 and rows.shape != (shape[0], prod(shape[1:])):
        N, C, H, W = shape
        return rows.reshape(N, H, W, C).transpose(0, 3, 1, 2).copy()
    return rows.reshape(shape)
