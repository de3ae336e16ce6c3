"""How far a compiled kernel may lie from the true value, derived from its formula, in one place.

u is half an ulp of 1 in the type: the relative error of one rounded operation. Three classes:

EXACT   the same operations in the same order as the reference: the same bits
ULP     a fixed number of rounded operations: relative to the true value
SUM     a sum of K terms, added in any order: K u times the sum of the magnitudes (N. Higham, Accuracy and
        Stability of Numerical Algorithms, 2002, ch. 3 and 4)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EXACT = frozenset(
    (
        "repeat_rows",
        "gather_rows",
        "sigmoid_backward",
        "relu_forward",
        "relu_backward",
        "im2col",
        "col2im",
        "max_pool_forward",
        "max_pool_backward",
        "batch_normalization_inference",
        "softmax_cross_entropy_backward",
        "sigmoid_cross_entropy_backward",
        "sgd_update",
        "momentum_update",
        "nesterov_update",
        "adagrad_update",
        "rmsprop_update",
        "adam_update",
        "scale",
        "scatter_add_rows",
        "tanh_backward",
        "multiply_by_mask",
        "gru_backward",
        "gru_gates_backward",
    )
)

SIGMOID_ULP = 3  # exp 1, the sum and the quotient half each, and what exp's error becomes
TANH_ULP = 3  # two ulp of exp's parts at most, the sum and the quotient half each
EXP_ULP = 1.1  # the last sum half, the term before it a quarter, the reduced argument a quarter, and a little
DELTA = 1e-7  # in the books' logarithm


def unit(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


def smallest(u: float) -> float:
    """The smallest number above 0 of the type whose unit is u."""
    types = (np.finfo(np.float32), np.finfo(np.float64), np.finfo(np.longdouble))
    return float(next(t.smallest_subnormal for t in types if u >= float(t.eps) / 2))


def softmax_ulp(classes: int) -> int:
    """The exponent's difference and exp: 2 on both sides of the quotient, the quotient 1; a sum of C terms."""
    return classes + 6


Values = dict[str, Any]  # the arguments in a wide type; outputs hold the true values
Bound = Callable[[Values, float], dict[str, Any]]


def _affine_forward(v: Values, u: float) -> dict[str, Any]:
    terms = np.abs(v["x"]) @ np.abs(v["W"]) + (0 if v["b"] is None else np.abs(v["b"]))
    return {"out": (v["x"].shape[1] + 2) * u * terms}


def _affine_backward(v: Values, u: float) -> dict[str, Any]:
    d, x, W = np.abs(v["dout"]), np.abs(v["x"]), np.abs(v["W"])
    return {
        "dx": (W.shape[1] + 2) * u * (d @ W.T),
        "dW": (len(x) + 2) * u * (x.T @ d),
        "db": (len(d) + 2) * u * d.sum(axis=0),
    }


def _softmax_backward(v: Values, u: float) -> dict[str, Any]:
    d, y = np.abs(v["dout"]), np.abs(v["y"])
    return {"dx": y * (3 * u * d + (d.shape[1] + 4) * u * (d * y).sum(axis=1, keepdims=True))}


def _softmax(v: Values, u: float) -> Any:
    # x - max is rounded: an absolute error of u |x - max| in the exponent
    spread = np.abs(v["x"] - v["x"].max(axis=1, keepdims=True, initial=-np.inf)) if v["x"].size else v["x"]
    return (2 * softmax_ulp(v["x"].shape[1]) + 2 * spread.max(initial=0)) * u * v["y"]


def _softmax_loss(v: Values, u: float) -> dict[str, Any]:
    bound = _softmax(v, u)
    rows = np.arange(len(v["t"]))
    slope = bound[rows, v["t"]] / (v["y"][rows, v["t"]] + DELTA) if len(rows) else np.zeros(1)
    return {"y": bound, "return": slope.mean() + _log_sum(len(rows))}


def _sigmoid_loss(v: Values, u: float) -> dict[str, Any]:
    p = np.where(v["t"] == 1, v["y"], 1 - v["y"])
    bound = 2 * SIGMOID_ULP * u * v["y"]
    return {"y": bound, "return": ((bound + u) / (p + DELTA)).mean() + _log_sum(len(p)) if len(p) else 0}


def _convolution_forward(v: Values, u: float) -> dict[str, Any]:
    terms = np.abs(v["W"]) @ np.abs(v["col"]) + np.abs(v["b"])[:, None]
    return {"out": (v["W"].shape[1] + 2) * u * terms}


def _convolution_backward(v: Values, u: float) -> dict[str, Any]:
    """dW and db are added to; v holds them after the call, from which their values before follow."""
    d, col, W = np.abs(v["dout"]), np.abs(v["col"]), np.abs(v["W"])
    terms = len(d) * d.shape[2] + 3
    return {
        "dcol": (len(W) + 2) * u * (W.T @ d),
        "dW": terms * u * (2 * (d @ col.transpose(0, 2, 1)).sum(axis=0) + np.abs(v["dW"])),
        "db": terms * u * (2 * d.sum(axis=(0, 2)) + np.abs(v["db"])),
    }


def _batch_normalization_forward(v: Values, u: float) -> dict[str, Any]:
    """The error of each line of the reference becomes one of the next."""
    x, std, xhat = v["x"], v["std"], np.abs(v["xhat"])
    rows = max(len(x), 1)
    mean = (rows + 2) * u * np.abs(x).sum(axis=0) / rows
    centred = mean + u * np.abs(x - v["mean"])
    var = (
        (rows + 4) * u * v["var"]
        + 3 * (np.abs(x - v["mean"]) * centred).sum(axis=0) / rows
        + centred.max(axis=0, initial=0) ** 2
    )
    root = var / (2 * std) + 3 * u * std
    hat = centred / std + xhat * (root / std + 3 * u)
    hat = 2 * hat
    out = np.abs(v["gamma"]) * hat + 3 * u * (np.abs(v["gamma"]) * xhat + np.abs(v["beta"]))
    return {"mean": mean, "var": var, "std": 2 * root, "xhat": hat, "out": out}


def _batch_normalization_backward(v: Values, u: float) -> dict[str, Any]:
    d, h = np.abs(v["dout"]), np.abs(v["xhat"])
    rows = max(len(d), 1)
    dbeta, dgamma = d.sum(axis=0), (d * h).sum(axis=0)
    dx = np.abs(v["gamma"]) / v["std"] * (d + (rows + 8) * (dbeta + h * dgamma) / rows + d)
    return {"dbeta": (rows + 2) * u * dbeta, "dgamma": (rows + 2) * u * dgamma, "dx": 8 * u * dx}


def _log_sum(n: int) -> float:
    """The logarithms (at most 16.2 each) and their sum are taken in double."""
    return (n + 4) * unit(np.float64) * 16.2


def _softmax_log_loss(v: Values, u: float) -> dict[str, Any]:
    bound, rows = _softmax(v, u), np.arange(len(v["t"]))
    if not len(rows):
        return {"y": bound, "return": 0}
    p = v["y"][rows, v["t"]]
    if p.min() < 2 * smallest(u):  # in the type it is 0, and the loss infinite, as in the book
        return {"y": bound, "return": np.inf}
    return {
        "y": bound,
        "return": (bound[rows, v["t"]] / p).mean() + (len(p) + 4) * unit(np.float64) * -np.log(p.min()),
    }


GATE = 2 * max(SIGMOID_ULP, TANH_ULP)  # times u: the relative error of a gate


def _lstm_forward(v: Values, u: float) -> dict[str, Any]:
    f, g, i, o = np.split(np.abs(v["gates"]), 4, axis=1)
    c = (2 * GATE + 3) * u * (f * np.abs(v["c_prev"]) + g * i)
    return {"gates": GATE * u * np.abs(v["gates"]), "c": c, "h": o * c + (2 * GATE + 1) * u * np.abs(v["h"])}


def _lstm_backward(v: Values, u: float) -> dict[str, Any]:
    f, g, i, o = np.split(np.abs(v["gates"]), 4, axis=1)
    s = np.abs(v["dc"]) + np.abs(v["dh"]) * o  # at most; 1 - tanh(c)^2 has an absolute error
    rest = 1 + np.abs(v["gates"]), 1 + g * g
    parts = s * np.abs(v["c_prev"]) * f, s * i, s * g * i, np.abs(v["dh"]) * o
    slopes = np.hstack([parts[0], parts[1] * rest[1], parts[2], parts[3]])
    others = np.split(rest[0], 4, axis=1)
    others[1] = np.ones_like(g)
    return {"dA": (2 * GATE + 12) * u * slopes * np.hstack(others), "dc_prev": (2 * GATE + 6) * u * s * f}


def _gru_forward(v: Values, u: float) -> dict[str, Any]:
    z, h_hat = np.split(v["gates"], 2, axis=1)[0], np.abs(v["h_hat"])
    terms = np.abs(1 - z) * np.abs(v["h_prev"]) + np.abs(z) * h_hat
    return {"h_hat": GATE * u * h_hat, "h": (GATE + 4) * u * terms}


BOUNDS: dict[str, Bound] = {
    "affine_forward": _affine_forward,
    "affine_backward": _affine_backward,
    "matmul_accumulate": lambda v, u: {
        "out": (v["x"].shape[1] + 3) * u * (2 * np.abs(v["x"]) @ np.abs(v["W"]) + np.abs(v["out"]))
    },
    "matmul_transposed": lambda v, u: {"dx": (v["W"].shape[1] + 2) * u * (np.abs(v["dout"]) @ np.abs(v["W"]).T)},
    "sum_rows": lambda v, u: {"out": len(v["x"]) * u * np.abs(v["x"]).sum(axis=0)},
    "sigmoid_forward": lambda v, u: {"out": 2 * SIGMOID_ULP * u * v["out"]},
    "softmax_forward": lambda v, u: {"y": _softmax(v, u)},
    "softmax_backward": _softmax_backward,
    "cross_entropy_forward": lambda v, u: {"return": _log_sum(len(v["t"]))},
    "softmax_cross_entropy_forward": _softmax_loss,
    "sigmoid_cross_entropy_forward": _sigmoid_loss,
    "convolution_forward": _convolution_forward,
    "convolution_backward": _convolution_backward,
    "batch_normalization_forward": _batch_normalization_forward,
    "batch_normalization_backward": _batch_normalization_backward,
    "tanh_forward": lambda v, u: {"out": 2 * TANH_ULP * u * np.abs(v["out"])},
    "softmax_log_loss_forward": _softmax_log_loss,
    "lstm_forward": _lstm_forward,
    "lstm_backward": _lstm_backward,
    "gru_gates_forward": lambda v, u: {
        "gates": GATE * u * v["gates"],
        "rh": (GATE + 1) * u * np.abs(v["rh"]) + smallest(u) * np.abs(v["h_prev"]),
    },
    "gru_forward": _gru_forward,
    "squared_norm": lambda v, u: {"return": (v["g"].size + 2) * unit(np.float64) * float((v["g"] ** 2).sum())},
}


def chain_bound(operations: int, u: float, largest: float) -> float:
    """Of several kernels in turn: 8 times each operation's rounding, relative to the largest number on the way."""
    return 8 * operations * u * largest


def assert_within(actual: Any, true: Any, bound: Any, what: str) -> None:
    """Fail with the worst element if any lies further from the true value than its bound."""
    actual, true = np.asarray(actual), np.asarray(true)
    error = np.abs(actual.astype(true.dtype) - true)
    bound = np.broadcast_to(bound, error.shape)
    good = (error <= bound) | (np.isnan(actual) & np.isnan(true)) | (actual == true)
    if not np.all(good):
        i = np.unravel_index(np.argmax(np.where(good, -1, error)), error.shape)
        raise AssertionError(
            f"{what}{list(i)}: {actual[i]!r}, expected {true[i]!r}; error {error[i]:.3e}, allowed {bound[i]:.3e}"
        )
