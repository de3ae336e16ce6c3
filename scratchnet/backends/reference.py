"""The kernels in plain NumPy, written to be read: they define the correct result.

Any floating dtype and any memory layout. Tests hold every compiled kernel against these functions; layers
call them only for dtypes that have no compiled kernel (float16), and `show_config()` counts those calls.

Sources: *Deep Learning from Scratch* 1, ch. 3 to 6, and 2, ch. 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from .contract import checked

P = ParamSpec("P")
R = TypeVar("R")


def _kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Check a call against the contract before the first write; NaN and inf pass through silently, as in C."""
    return checked(np.errstate(all="ignore")(function), compiled=False, note=function.__doc__ or "")


# Products and sums over rows


@_kernel
def affine_forward(x: np.ndarray, W: np.ndarray, b: np.ndarray | None, out: np.ndarray) -> None:
    out[...] = x @ W
    if b is not None:
        out += b


@_kernel
def affine_backward(
    dout: np.ndarray,
    x: np.ndarray,
    W: np.ndarray,
    dx: np.ndarray | None,
    dW: np.ndarray,
    db: np.ndarray | None,
) -> None:
    if dx is not None:
        dx[...] = dout @ W.T
    dW[...] = x.T @ dout
    if db is not None:
        db[...] = dout.sum(axis=0)


@_kernel
def matmul_accumulate(x: np.ndarray, W: np.ndarray, out: np.ndarray) -> None:
    out += x @ W


@_kernel
def matmul_transposed(dout: np.ndarray, W: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = dout @ W.T


@_kernel
def sum_rows(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = x.sum(axis=0)


@_kernel
def repeat_rows(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = x


@_kernel
def gather_rows(x: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    out[...] = x[index]


@_kernel
def scatter_add_rows(dout: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    out[...] = 0
    np.add.at(out, index, dout)


# Activations


@_kernel
def sigmoid_forward(x: np.ndarray, out: np.ndarray) -> None:
    z = np.exp(-np.abs(x))  # never above 1, so nothing overflows
    out[...] = np.where(x < 0, z, 1) / (1 + z)


@_kernel
def sigmoid_backward(dout: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = dout * (1 - y) * y


@_kernel
def relu_forward(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.where(x <= 0, 0, x)


@_kernel
def relu_backward(dout: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = np.where(y <= 0, 0, dout)


@_kernel
def relu_forward_with_mask(x: np.ndarray, out: np.ndarray, mask: np.ndarray) -> None:
    """The mask is what the books' layer keeps for backward. Book 1, ch. 5.5.1."""
    mask[...] = x <= 0
    out[...] = np.where(mask, 0, x)


@_kernel
def relu_backward_by_mask(dout: np.ndarray, mask: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = np.where(mask.view(np.uint8) != 0, 0, dout)


@_kernel
def tanh_forward(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.tanh(x)


@_kernel
def tanh_backward(dout: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = dout * (1 - y * y)


@_kernel
def multiply_by_mask(x: np.ndarray, mask: np.ndarray, out: np.ndarray) -> None:
    out[...] = x * mask


@_kernel
def softmax_forward(x: np.ndarray, y: np.ndarray) -> None:
    z = np.exp(x - x.max(axis=1, keepdims=True))
    y[...] = z / z.sum(axis=1, keepdims=True)


@_kernel
def softmax_backward(dout: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    dx[...] = y * (dout - (dout * y).sum(axis=1, keepdims=True))


# Losses: the logarithm and the mean are computed in at least double precision


def _minus_log(p: np.ndarray, delta: float, clip: float) -> np.ndarray:
    p = p.astype(np.result_type(p.dtype, np.float64))
    if clip > 0:
        p = np.clip(p, clip, 1 - clip)
    return -np.log(p + delta)


def _mean_of_minus_log(p: np.ndarray, delta: float, clip: float) -> float:
    return float(_minus_log(p, delta, clip).sum() / p.size) if p.size else 0.0


@_kernel
def cross_entropy_forward(y: np.ndarray, t: np.ndarray, delta: float, clip: float) -> float:
    return _mean_of_minus_log(y[np.arange(len(t)), t], delta, clip)


@_kernel
def softmax_cross_entropy_forward(x: np.ndarray, t: np.ndarray, delta: float, clip: float, y: np.ndarray) -> float:
    softmax_forward(x, y)
    return cross_entropy_forward(y, t, delta, clip)


@_kernel
def softmax_cross_entropy_backward(y: np.ndarray, t: np.ndarray, dout: float, dx: np.ndarray) -> None:
    dx[...] = y
    dx[np.arange(len(t)), t] -= 1
    dx *= dx.dtype.type(dout)
    dx /= dx.dtype.type(max(len(t), 1))


@_kernel
def sigmoid_cross_entropy_forward(x: np.ndarray, t: np.ndarray, delta: float, clip: float, y: np.ndarray) -> float:
    sigmoid_forward(x, y)
    return _mean_of_minus_log(np.where(t == 1, y, 1 - y), delta, clip)


@_kernel
def sigmoid_cross_entropy_backward(y: np.ndarray, t: np.ndarray, dout: float, dx: np.ndarray) -> None:
    dx[...] = y - t.astype(y.dtype)
    dx *= dx.dtype.type(dout)
    dx /= dx.dtype.type(max(len(t), 1))


@_kernel
def squared_error_forward(y: np.ndarray, t: np.ndarray) -> float:
    difference = y.astype(np.result_type(y, np.float64)) - t
    return float(0.5 * (difference**2).sum() / max(len(y), 1))


@_kernel
def squared_error_backward(y: np.ndarray, t: np.ndarray, dout: float, dx: np.ndarray) -> None:
    dx[...] = y - t
    dx *= dx.dtype.type(dout)
    dx /= dx.dtype.type(max(len(y), 1))


# With a weight for each row


def _weighted_mean(losses: np.ndarray, w: np.ndarray) -> float:
    """Return the mean of the rows' losses by their weights; 0 if these are all 0."""
    w = w.astype(losses.dtype)
    total = w.sum()
    return float((w * losses).sum() / total) if total != 0 and losses.size else 0.0


@_kernel
def weighted_cross_entropy_forward(
    y: np.ndarray, t: np.ndarray, w: np.ndarray, delta: float, clip: float
) -> float:
    return _weighted_mean(_minus_log(y[np.arange(len(t)), t], delta, clip), w)


@_kernel
def weighted_binary_cross_entropy_forward(
    y: np.ndarray, t: np.ndarray, w: np.ndarray, delta: float, clip: float
) -> float:
    losses = _minus_log(np.where(t == 1, y, 1 - y), delta, clip)
    return _weighted_mean(losses.sum(axis=1) / max(losses.shape[1], 1), w)


@_kernel
def weighted_squared_error_forward(y: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    difference = y.astype(np.result_type(y, np.float64)) - t
    return _weighted_mean(0.5 * (difference**2).sum(axis=1), w)


@_kernel
def weight_rows(dx: np.ndarray, w: np.ndarray) -> None:
    weights = w.astype(np.result_type(w.dtype, np.float64))
    total = weights.sum()
    factor = len(w) / total if total != 0 else 0.0
    dx *= (weights * factor).astype(dx.dtype)[:, np.newaxis]


# Windows of images


def _seen(size: int, places: int, p: int, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions at which element p of the window falls on the image along an axis, and what it covers there."""
    seen = np.arange(places) * stride + p - pad
    inside = np.flatnonzero((seen >= 0) & (seen < size))
    return inside, seen[inside]


@_kernel
def im2col(x: np.ndarray, stride: int, pad: int, col: np.ndarray) -> None:
    (H, W), (P, Q, Y, X) = x.shape[2:], col.shape[2:]
    col[...] = 0
    for p, q in np.ndindex(P, Q):
        (down, row), (across, column) = _seen(H, Y, p, stride, pad), _seen(W, X, q, stride, pad)
        col[:, :, p, q, down[:, None], across] = x[:, :, row[:, None], column]


@_kernel
def col2im(col: np.ndarray, stride: int, pad: int, dx: np.ndarray) -> None:
    """Each element of dx is summed in the order of p and q."""
    (H, W), (P, Q, Y, X) = dx.shape[2:], col.shape[2:]
    dx[...] = 0
    for p, q in np.ndindex(P, Q) if col.size else ():
        (down, row), (across, column) = _seen(H, Y, p, stride, pad), _seen(W, X, q, stride, pad)
        dx[:, :, row[:, None], column] += col[:, :, p, q, down[:, None], across]


@_kernel
def convolution_forward(col: np.ndarray, W: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    out[...] = W @ col + b[:, None]


@_kernel
def convolution_backward(
    dout: np.ndarray, col: np.ndarray, W: np.ndarray, dcol: np.ndarray, dW: np.ndarray, db: np.ndarray
) -> None:
    if dcol.size:
        dcol[...] = W.T @ dout
    if dout.size:
        dW += (dout @ col.transpose(0, 2, 1)).sum(axis=0)
        db += dout.sum(axis=(0, 2))


@_kernel
def max_pool_forward(x: np.ndarray, P: int, Q: int, stride: int, out: np.ndarray, argmax: np.ndarray) -> None:
    """A NaN is the largest, as in NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (P, Q), axis=(2, 3))[:, :, ::stride, ::stride]
    rows = windows.reshape(*out.shape, P * Q)
    p, q = np.divmod(rows.argmax(axis=-1), Q)
    top, left = np.ogrid[: out.shape[2], : out.shape[3]]
    argmax[...] = (top * stride + p) * x.shape[3] + left * stride + q
    out[...] = rows.max(axis=-1)


@_kernel
def max_pool_backward(dout: np.ndarray, argmax: np.ndarray, dx: np.ndarray) -> None:
    """Each element of dx is summed in the order of the windows."""
    planes = np.zeros((dx.shape[0] * dx.shape[1], dx.shape[2] * dx.shape[3]), dx.dtype)
    places = argmax.reshape(len(planes), argmax.shape[2] * argmax.shape[3])
    np.add.at(planes, (np.arange(len(planes))[:, None], places), dout.reshape(places.shape))
    dx[...] = planes.reshape(dx.shape)


# Batch normalization; an empty batch has mean and variance 0


@_kernel
def batch_normalization_forward(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    mean: np.ndarray,
    var: np.ndarray,
    std: np.ndarray,
    xhat: np.ndarray,
    out: np.ndarray,
) -> None:
    """S. Ioffe and C. Szegedy, Batch normalization, 2015, algorithm 1."""
    rows = max(len(x), 1)
    mean[...] = x.sum(axis=0) / rows
    var[...] = ((x - mean) ** 2).sum(axis=0) / rows
    std[...] = np.sqrt(var + eps)
    xhat[...] = (x - mean) / std
    out[...] = gamma * xhat + beta


@_kernel
def batch_normalization_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
    out: np.ndarray,
) -> None:
    out[...] = gamma * ((x - mean) / np.sqrt(var + eps)) + beta


@_kernel
def batch_normalization_backward(
    dout: np.ndarray,
    xhat: np.ndarray,
    gamma: np.ndarray,
    std: np.ndarray,
    dx: np.ndarray,
    dgamma: np.ndarray,
    dbeta: np.ndarray,
) -> None:
    dbeta[...] = dout.sum(axis=0)
    dgamma[...] = (dout * xhat).sum(axis=0)
    dx[...] = gamma / std * (dout - (dbeta + xhat * dgamma) / max(len(dout), 1))


# Recurrent cells


@_kernel
def lstm_forward(c_prev: np.ndarray, A: np.ndarray, gates: np.ndarray, c: np.ndarray, h: np.ndarray) -> None:
    """Forget gate f, candidate g, input gate i, output gate o, concatenated in that order. Book 2, ch. 6.3.1."""
    f, g, i, o = np.split(gates, 4, axis=1)
    sigmoid_forward(A, gates)
    g[...] = np.tanh(np.split(A, 4, axis=1)[1])
    c[...] = f * c_prev + g * i
    h[...] = o * np.tanh(c)


@_kernel
def lstm_backward(
    dh: np.ndarray,
    dc: np.ndarray,
    c_prev: np.ndarray,
    c: np.ndarray,
    gates: np.ndarray,
    dA: np.ndarray,
    dc_prev: np.ndarray,
) -> None:
    """Book 2, ch. 6.3.1."""
    f, g, i, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c)
    s = dc + dh * o * (1 - tanh_c * tanh_c)
    df, dg, di, do = np.split(dA, 4, axis=1)
    df[...] = s * c_prev * f * (1 - f)
    dg[...] = s * i * (1 - g * g)
    di[...] = s * g * i * (1 - i)
    do[...] = dh * tanh_c * o * (1 - o)
    dc_prev[...] = s * f


@_kernel
def gru_gates_forward(h_prev: np.ndarray, A: np.ndarray, gates: np.ndarray, rh: np.ndarray) -> None:
    """Update gate z and reset gate r, concatenated. Book 2, appendix C."""
    sigmoid_forward(A, gates)
    rh[...] = np.split(gates, 2, axis=1)[1] * h_prev


@_kernel
def gru_forward(h_prev: np.ndarray, gates: np.ndarray, A: np.ndarray, h_hat: np.ndarray, h: np.ndarray) -> None:
    """Book 2, appendix C."""
    z = np.split(gates, 2, axis=1)[0]
    h_hat[...] = np.tanh(A)
    h[...] = (1 - z) * h_prev + z * h_hat


@_kernel
def gru_backward(dh: np.ndarray, gates: np.ndarray, h_hat: np.ndarray, dA: np.ndarray) -> None:
    """Book 2, appendix C."""
    dA[...] = dh * np.split(gates, 2, axis=1)[0] * (1 - h_hat * h_hat)


@_kernel
def gru_gates_backward(
    dh: np.ndarray,
    drh: np.ndarray,
    h_prev: np.ndarray,
    gates: np.ndarray,
    h_hat: np.ndarray,
    dA: np.ndarray,
    dh_prev: np.ndarray,
) -> None:
    """The part of dh_prev that does not come through A. Book 2, appendix C."""
    z, r = np.split(gates, 2, axis=1)
    dz, dr = np.split(dA, 2, axis=1)
    dz[...] = dh * (h_hat - h_prev) * z * (1 - z)
    dr[...] = drh * h_prev * r * (1 - r)
    dh_prev[...] = dh * (1 - z) + drh * r


# Optimizers. In NumPy's arithmetic a Python number takes the array's dtype, which is the intended cast.


@_kernel
def sgd_update(p: np.ndarray, g: np.ndarray, lr: float) -> None:
    p -= lr * g


@_kernel
def momentum_update(p: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, momentum: float) -> None:
    v[...] = momentum * v - lr * g
    p += v


@_kernel
def nesterov_update(p: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, momentum: float) -> None:
    """Y. Bengio et al., Advances in optimizing recurrent networks, 2013, eq. 7: parameters first."""
    p += momentum * momentum * v
    p -= (1 + momentum) * lr * g
    v[...] = momentum * v - lr * g


@_kernel
def adagrad_update(p: np.ndarray, g: np.ndarray, h: np.ndarray, lr: float) -> None:
    h += g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)


@_kernel
def rmsprop_update(p: np.ndarray, g: np.ndarray, h: np.ndarray, lr: float, decay_rate: float) -> None:
    h[...] = decay_rate * h + (1 - decay_rate) * g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)


@_kernel
def adam_update(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """D. Kingma and J. Ba, Adam, 2015; the bias correction is in the caller's lr."""
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    p -= lr * m / (np.sqrt(v) + epsilon)


@_kernel
def squared_norm(g: np.ndarray) -> float:
    wide = g.astype(np.result_type(g.dtype, np.float64))
    return float((wide * wide).sum())


@_kernel
def scale(x: np.ndarray, factor: float) -> None:
    x *= factor
