"""How far a compiled kernel may lie from the true value: from the accuracy that contract.py declares.

u is half an ulp of 1 in the type: the relative error of one rounded operation.

exact       the same operations in the same order as the reference: the same bits
n ulp       a fixed number of rounded operations: relative to the true value
sum(K)      sums of products, added in any order: K u times the sum of the terms' magnitudes, which are what the
            reference makes of the arguments' magnitudes (N. Higham, Accuracy and Stability of Numerical
            Algorithms, 2002, ch. 3 and 4)
derived     a bound of its own, from the formula, below
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from scratchnet.backends import KERNELS, reference

EXACT = frozenset(name for name, kernel in KERNELS.items() if kernel.accuracy == "exact")
ULP = {
    name: int(kernel.accuracy.removesuffix(" ulp")) for name, kernel in KERNELS.items() if "ulp" in kernel.accuracy
}
SIGMOID_ULP = ULP["sigmoid_forward"]  # exp 1, the sum and the quotient half each, and what exp's error becomes
TANH_ULP = ULP["tanh_forward"]  # two ulp of exp's parts at most, the sum and the quotient half each
EXP_ULP = 1.1  # the last sum half, the term before it a quarter, the reduced argument a quarter, and a little

# Loss lists of the spiral, relative, against the float64 loop of numpy_books/training.py, for so many epochs. Both
# sides round products and exponentials differently, and training multiplies such differences. The bounds are
# promised to users, so no test or benchmark has its own.
FLOAT64_LOSSES, FLOAT64_EPOCHS = 1e-9, 300
FLOAT32_LOSSES, FLOAT32_EPOCHS = 1e-4, 100
# Backpropagation against central differences in float64, relative to the parameter's largest gradient.
GRADIENT = 1e-7


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


def _ulp(name: str, v: Values, u: float) -> dict[str, Any]:
    (output,) = (a.name for a in KERNELS[name].arguments if a.is_written)
    return {output: 2 * ULP[name] * u * np.abs(v[output])}


def _terms(name: str) -> dict[str, str]:
    """The number of terms that the contract gives each output, as a formula of the sizes."""
    outputs = [a.name for a in KERNELS[name].arguments if a.is_written]
    parts = re.findall(r"(\w+ )?sum\(([^)]*)\)", KERNELS[name].accuracy)
    return {output.strip() or outputs[0]: terms for output, terms in parts}


def _sum(name: str, v: Values, u: float) -> dict[str, Any]:
    """What is added to is known only after the call: before it, it was at most that and the sum's magnitude.

    An output that is not among the values gets its bound too.
    """
    kernel = KERNELS[name]
    sizes: dict[str, int] = {}
    size = {}
    for a in kernel.arguments:
        if a.name not in v and a.is_written:
            size[a.name] = np.zeros(tuple(sizes[axis] for axis in a.shape), next(iter(size.values())).dtype)
            continue
        value = v[a.name]
        if isinstance(value, np.ndarray):
            sizes |= dict(zip(a.shape, value.shape, strict=True))
            size[a.name] = np.zeros_like(value) if a.is_written else np.abs(value)
        else:
            size[a.name] = value
    getattr(reference, name)(*size.values())
    bounds = {}
    for output, terms in _terms(name).items():
        if size[output] is not None:
            is_added_to = next(a.role for a in kernel.arguments if a.name == output) == "inout"
            magnitude = 2 * size[output] + np.abs(v.get(output, 0)) if is_added_to else size[output]
            count = sum(prod(int(f) if f.isdigit() else sizes[f] for f in t.split("*")) for t in terms.split("+"))
            bounds[output] = count * u * magnitude
    return bounds


def _softmax_backward(v: Values, u: float) -> dict[str, Any]:
    d, y = np.abs(v["dout"]), np.abs(v["y"])
    return {"dx": y * (3 * u * d + (d.shape[1] + 4) * u * (d * y).sum(axis=1, keepdims=True))}


def _softmax(v: Values, u: float) -> Any:
    # x - max is rounded: an absolute error of u |x - max| in the exponent
    spread = np.abs(v["x"] - v["x"].max(axis=1, keepdims=True, initial=-np.inf)) if v["x"].size else v["x"]
    return (2 * softmax_ulp(v["x"].shape[1]) + 2 * spread.max(initial=0)) * u * v["y"]


def _clipped(p: Any, v: Values) -> Any:
    return np.clip(p, v["clip"], 1 - v["clip"]) if v["clip"] > 0 else p


def _mean_of_logs(p: Any, bound: Any, v: Values, u: float) -> Any:
    """Of the mean of -log(p + delta), p having an error of its own; the logarithms and the mean are in double."""
    if not len(p):
        return 0
    if v["delta"] == 0 and v["clip"] == 0 and p.min() < 2 * smallest(u):
        return np.inf  # in the type it is 0, and the loss infinite, as in the book
    p = _clipped(p, v) + v["delta"]
    return (bound / p).mean() + (len(p) + 4) * unit(np.float64) * max(np.abs(np.log(p)).max(), 1)


def _cancels(v: Values) -> float:
    """What the error of the weights' sum becomes, relative to that sum: 1 for weights of one sign."""
    total = abs(float(v["w"].sum()))
    return float(np.abs(v["w"]).sum()) / total if total else 1.0


def _weighted(of_rows: Any, v: Values) -> float:
    """The error of a mean by weights, from those of the rows."""
    total = abs(float(v["w"].sum()))
    return float((np.abs(v["w"]) * of_rows).sum()) / total * _cancels(v) if total else 0.0


def _weighted_logs(p: Any, v: Values, bound: Any = 0) -> float:
    """Of the weighted mean of the rows' means of -log(p + delta); the logarithms and the sums are in double."""
    if not p.size:
        return 0.0
    p = _clipped(p, v) + v["delta"]
    logs = (p.size + 8) * unit(np.float64) * np.maximum(np.abs(np.log(p)), 1)
    return _weighted((logs + bound / p).mean(axis=1), v)


def _softmax_loss(v: Values, u: float) -> dict[str, Any]:
    bound, rows = _softmax(v, u), np.arange(len(v["t"]))
    return {"y": bound, "return": _mean_of_logs(v["y"][rows, v["t"]], bound[rows, v["t"]], v, u)}


def _sigmoid_loss(v: Values, u: float) -> dict[str, Any]:
    p = np.where(v["t"] == 1, v["y"], 1 - v["y"])
    bound = 2 * SIGMOID_ULP * u * v["y"]
    return {"y": bound, "return": _mean_of_logs(p, bound + u, v, u)}


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


GATE = 2 * max(SIGMOID_ULP, TANH_ULP)  # times u: the relative error of a gate


def _lstm_forward(v: Values, u: float) -> dict[str, Any]:
    f, g, i, o = np.split(np.abs(v["gates"]), 4, axis=1)
    underflow = smallest(u) * np.abs(v["c_prev"])  # of a gate that forgets all
    c = (2 * GATE + 3) * u * (f * np.abs(v["c_prev"]) + g * i) + underflow
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


DERIVED: dict[str, Bound] = {
    "softmax_forward": lambda v, u: {"y": _softmax(v, u)},
    "softmax_backward": _softmax_backward,
    "cross_entropy_forward": lambda v, u: {
        "return": _mean_of_logs(v["y"][np.arange(len(v["t"])), v["t"]], 0 * v["t"], v, u)
    },
    "softmax_cross_entropy_forward": _softmax_loss,
    "sigmoid_cross_entropy_forward": _sigmoid_loss,
    # a difference and a square of each, their sum, the half and the mean, all in double
    "squared_error_forward": lambda v, u: {
        "return": (v["y"].size + 8)
        * unit(np.float64)
        * float(((v["y"] - v["t"]) ** 2).sum())
        / max(len(v["y"]), 1)
    },
    "weighted_cross_entropy_forward": lambda v, u: {
        "return": _weighted_logs(v["y"][np.arange(len(v["t"])), v["t"]][:, np.newaxis], v)
    },
    "weighted_binary_cross_entropy_forward": lambda v, u: {
        # 1 - y is rounded in the type
        "return": _weighted_logs(np.where(v["t"] == 1, v["y"], 1 - v["y"]), v, u * (v["t"] != 1))
    },
    "weighted_squared_error_forward": lambda v, u: {
        "return": (sum(v["y"].shape) + 10) * unit(np.float64) * _weighted(((v["y"] - v["t"]) ** 2).sum(axis=1), v)
    },
    # the factor in double, rounded to the type, and the product
    "weight_rows": lambda v, u: {
        "dx": (3 * u + (len(v["w"]) + 4) * unit(np.float64) * _cancels(v)) * np.abs(v["dx"])
    },
    "batch_normalization_forward": _batch_normalization_forward,
    "batch_normalization_backward": _batch_normalization_backward,
    "lstm_forward": _lstm_forward,
    "lstm_backward": _lstm_backward,
    "gru_gates_forward": lambda v, u: {
        "gates": GATE * u * v["gates"],
        "rh": (GATE + 1) * u * np.abs(v["rh"]) + smallest(u) * np.abs(v["h_prev"]),
    },
    "gru_forward": _gru_forward,
    "squared_norm": lambda v, u: {"return": (v["g"].size + 2) * unit(np.float64) * float((v["g"] ** 2).sum())},
}

BOUNDS: dict[str, Bound] = {  # of every kernel that is not exact
    **{name: partial(_ulp, name) for name in ULP},
    **{name: partial(_sum, name) for name, kernel in KERNELS.items() if "sum(" in kernel.accuracy},
    **DERIVED,
}


def chain_bound(operations: int, u: float, largest: float) -> float:
    """Of several kernels in turn: 8 times each operation's rounding, relative to the largest number on the way."""
    return 8 * operations * u * largest


def assert_within(actual: Any, true: Any, bound: Any, what: str) -> None:
    """Fail with the worst element if any lies further from the true value than its bound."""
    actual, true = np.asarray(actual), np.asarray(true)
    if true.dtype == bool:
        actual, true = actual.astype(np.float32), true.astype(np.float32)
    error = np.abs(actual.astype(true.dtype) - true)
    bound = np.broadcast_to(bound, error.shape)
    good = (error <= bound) | (np.isnan(actual) & np.isnan(true)) | (actual == true)
    if not np.all(good):
        i = np.unravel_index(np.argmax(np.where(good, -1, error)), error.shape)
        raise AssertionError(
            f"{what}{list(i)}: {actual[i]!r}, expected {true[i]!r}; error {error[i]:.3e}, allowed {bound[i]:.3e}"
        )
