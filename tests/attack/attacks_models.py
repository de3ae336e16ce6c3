"""Attacks on the networks of `models` and on the trainers: their methods, and every option of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attacks_functions import plain_softmax, stable_sigmoid
from judge import Expected, Trial, exactly
from odd import Draw, Refused, plain, plain_labels, plain_number, plain_whole
from table import add, attack

from scratchnet import MultiLayerNet, TwoLayerNet
from scratchnet import plotting as drawing
from scratchnet.layers import SoftmaxWithLoss
from scratchnet.models import Sequential

CLOSE = {
    "f4": 2e-4,
    "f8": 1e-9,
}  # of scores, losses and gradients, relative to the largest number; see tolerances.py


class Plain:
    """The chain in plain NumPy: Affine, sigmoid or relu, ..., Affine, softmax with loss, and weight decay."""

    def __init__(self, params: list[np.ndarray], activation: str, decay: float = 0.0) -> None:
        self.decay = decay
        self.params = [np.array(p, np.float64) for p in params]
        self.activation = stable_sigmoid if activation == "sigmoid" else lambda x: np.maximum(x, 0)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.kept = [x]
        for W, b in zip(self.params[:-2:2], self.params[1:-2:2], strict=True):
            self.kept.append(self.activation(self.kept[-1] @ W + b))
        return self.kept[-1] @ self.params[-2] + self.params[-1]

    def forward(self, x: np.ndarray, t: np.ndarray) -> float:
        self.y, self.t = plain_softmax(self.predict(x)), t
        return float(-np.sum(np.log(self.y[np.arange(len(x)), t] + 1e-7)) / max(len(x), 1)) + self.penalty()

    def penalty(self) -> float:
        return float(0.5 * self.decay * sum(np.sum(W**2) for W in self.params[::2]))

    def backward(self, dout: float = 1) -> np.ndarray:
        d = self.y.copy()
        d[np.arange(len(d)), self.t] -= 1
        d *= dout / max(len(d), 1)
        self.grads = []
        for i in range(len(self.params) - 2, -1, -2):
            x = self.kept[i // 2]
            decayed = self.decay * dout * self.params[i] if self.decay else 0.0
            self.grads = [x.T @ d + decayed, d.sum(axis=0), *self.grads]
            d = d @ self.params[i].T
            if i:
                d = d * (1 - x) * x if self.activation is stable_sigmoid else np.where(x <= 0, 0, d)
        return d


def network(cls: Any) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        dtype, activation = draw.pick(("f4", "f8")), draw.pick(("sigmoid", "relu"))
        D, M, C, N = (int(draw.rng.integers(low, 7)) for low in (1, 1, 2, 1))
        options: dict[str, Any] = dict(activation=activation, dtype=dtype, rng=int(draw.rng.integers(99)))
        decay = 0.0 if cls is TwoLayerNet else draw.pick((0.0, 0.3))
        if cls is TwoLayerNet:
            net: Any = TwoLayerNet(D, M, C, 0.7, **options)
        else:
            net = MultiLayerNet(
                D,
                [M] * draw.pick((0, 1, 2)),
                C,
                weight_init_std=draw.pick(("he", 0.5)),
                weight_decay=decay,
                **options,
            )
        if cls is Sequential:
            net = Sequential(net.layers, net.loss_layer, weight_decay=decay)
        for p in net.params[1::2]:
            p[...] = draw.rng.standard_normal(p.shape)
        x, t = draw.array((N, D), extremes=False), draw.labels(N, C)
        dout = draw.number(1, 0.5, odd=0.2)
        method = draw.pick(
            ("predict", "forward", "loss", "gradient", "accuracy", "backward", "prepare_labels", "to")
        )

        def numbers() -> tuple[Plain, np.ndarray, np.ndarray]:
            a = plain(x, dtype)
            if a.ndim == 0 or a.shape[-1] != D:
                raise Refused("x")
            rows = a.reshape(int(np.prod(a.shape[:-1])), D)
            labels = plain_labels(t, len(rows), C) if method not in ("predict", "backward", "to") else None
            return Plain(net.params, activation, decay), rows, labels

        def close(*trues: Any) -> list[Expected]:
            scale = max(
                1.0,
                *(
                    float(np.abs(v).max(initial=0))
                    for v in (*trues, good if method == "backward" else plain(x, dtype))
                ),
            )
            return [Expected(v, CLOSE[dtype] * scale * scale, dtype) for v in trues]

        def call() -> Any:
            if method == "predict":
                return net.predict(x)
            if method == "prepare_labels":
                return net.prepare_labels(t)
            if method == "to":
                return net.to(draw_device) is net
            if method == "backward":
                return [net.backward(dout), *net.grads]
            result = getattr(net, method)(x, t)
            return [np.array(g) for g in result] if method == "gradient" else result

        def expect() -> list[Any]:
            if method == "prepare_labels":
                return exactly(plain_labels(t, len(np.atleast_1d(np.asarray(t))), C))
            if method == "to":
                if draw_device != "cpu":
                    raise Refused("the device")
                return [True]
            if method == "backward":
                p = Plain(net.params, activation, decay)
                p.forward(good, labels)
                return close(p.backward(plain_number(dout)), *p.grads)
            p, rows, indices = numbers()
            if method == "predict":
                return close(p.predict(rows).reshape(*np.shape(plain(x))[:-1], C))
            if method == "accuracy":
                if not len(rows) or np.ndim(plain(x)) != 2:
                    raise Refused("no samples")
                scores = p.predict(rows)
                best = np.sort(scores, axis=1)
                if len(best) and np.min(best[:, -1] - best[:, -2]) < 1e-3 * (1 + np.abs(scores).max()):
                    return [Expected(0.5, 1)]  # too near to call in float32
                return exactly(np.mean(scores.argmax(axis=1) == indices))
            loss = p.forward(rows, indices)
            if method == "gradient":
                p.backward()
                return close(*p.grads)
            return close(loss)

        draw_device: Any = "cpu"
        if method == "to":
            draw_device = draw.pick(("cpu", "cpu", "tpu", None, 5, "CPU"))
            draw.is_legal = draw_device == "cpu"
        good = draw.rng.standard_normal((3, D)).astype(dtype)
        labels = draw.rng.integers(0, C, 3)
        if method == "backward":
            net.forward(good, labels)
            draw.is_legal = "number" not in " ".join(draw.notes)
        if method == "prepare_labels" and not hasattr(t, "__len__"):
            draw.is_legal = False
        if method in ("predict", "to"):
            draw.is_legal &= method == "to" or not any(n.startswith("shape") for n in draw.notes)
        return Trial(call, expect, [x, t], [net.params])

    return make


_METHODS = "predict forward loss backward gradient accuracy prepare_labels to"
add("models.TwoLayerNet", network(TwoLayerNet), f"models.TwoLayerNet: {_METHODS}", share=3)
add("models.MultiLayerNet", network(MultiLayerNet), f"models.MultiLayerNet: {_METHODS}", share=3)
add("models.Sequential", network(Sequential), f"models.Sequential: {_METHODS}", share=3)


@attack("models with an odd weight decay", share=0.5)
def odd_decay(draw: Draw) -> Trial:
    net = draw.pick((TwoLayerNet(2, 3, 3), MultiLayerNet(2, [3], 3), Sequential([], SoftmaxWithLoss())))
    decay = draw.number(0.1, 0, 2, odd=0.7)

    def call() -> Any:
        if draw_late:
            net.weight_decay = decay
            return net.weight_decay
        return Sequential(net.layers, net.loss_layer, weight_decay=decay).weight_decay

    def expect() -> list[Any]:
        number = plain_number(decay)
        if not 0 <= number < np.inf:
            raise Refused("the decay")
        return [number]

    draw_late = draw.chance(0.5)
    return Trial(call, expect)


@attack("models with odd settings", share=1)
def odd_settings(draw: Draw) -> Trial:
    two = draw.chance(0.5)
    sizes = [draw.whole(2, 3, odd=0.15) for _ in range(3)]
    hidden = sizes[1] if two else draw.pick(([sizes[1]], (sizes[1],), "3", 3, None, [], [2, 2.5], np.array([3])))
    std = draw.number(0.1, 0, 1, odd=0.2) if two or draw.chance(0.7) else draw.pick(("he", "Xavier", "big", ""))
    activation = draw.pick(("sigmoid", "relu") * 4 + ("tanh", None, 3, ["relu"]))
    dtype = draw.pick(("f4", np.float64, np.float32) * 3 + ("i4", None, "c8", "g", "U3", "nonsense"))
    rng = draw.pick((None, 0, np.random.default_rng(0)) * 3 + (-1, "a", 1.5, [1, 2]))
    draw.note(repr((sizes, hidden, std, activation, dtype, rng))[:300], legal=False)

    def call() -> Any:
        if two:
            net = TwoLayerNet(sizes[0], hidden, sizes[2], std, activation=activation, dtype=dtype, rng=rng)
        else:
            net = MultiLayerNet(sizes[0], hidden, sizes[2], activation, std, dtype=dtype, rng=rng)
        return [tuple(p.shape) for p in net.params] and str(net.params[0].dtype)

    def expect() -> list[Any]:
        whole = [plain_whole(n) for n in (sizes[0], *([hidden] if two else hidden), sizes[2])]
        if isinstance(hidden, str) or min(whole) < 1 or activation not in ("sigmoid", "relu"):
            raise Refused("a setting")
        if isinstance(std, str):
            if std.lower() not in ("he", "xavier"):
                raise Refused("the scale")
        elif not 0 <= plain_number(std) < np.inf:
            raise Refused("the scale")
        if dtype not in ("f4", np.float64, np.float32):
            raise Refused("the dtype")
        if isinstance(rng, float | str) or rng == -1:
            raise Refused("the stream")
        return [str(np.dtype(dtype))]

    return Trial(call, expect, memory=True, errors=(ValueError, IndexError))


@attack("gradient.gradient_check", share=0.5)
def gradient_check(draw: Draw) -> Trial:
    from scratchnet.gradient import gradient_check as check

    net = TwoLayerNet(2, 3, 3, 1.0, rng=int(draw.rng.integers(99)), dtype=draw.pick(("f4", "f8")))
    net.params[1][...] = 0.5
    N = int(draw.rng.integers(1, 4))
    x, t = draw.array((N, 2), extremes=False, dtype="f8"), draw.labels(N, 3)

    def expect() -> list[Any]:
        a = plain(x, net.params[0].dtype)
        if a.ndim == 0 or a.shape[-1] != 2 or not a.size:
            raise Refused("x")
        plain_labels(t, a.size // 2, 3)
        return [True]

    def call() -> Any:
        errors = check(net, x, t)
        wild = not np.all(np.abs(plain(x)) < 10)
        return sorted(errors) == ["W1", "W2", "b1", "b2"] and (wild or max(errors.values()) < 1e-2)

    return Trial(call, expect, [x, t], [net.params])


class Regions:
    """Which of two half planes."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.stack((x[:, 0], x[:, 1]), axis=1)


@attack("plotting.decision_regions", share=0.3)
def decision_regions(draw: Draw) -> Trial:
    x = draw.array((draw.size(low=1), 2), extremes=False)
    margin = draw.number(0.1, 1, odd=0.2)
    h = draw.number(0.5, 1.0, odd=0.2)

    def expect() -> list[Expected]:
        a, m, step = plain(x), plain_number(margin), plain_number(h)
        if a.ndim != 2 or a.shape[1] != 2 or not len(a) or not np.isfinite(a).all() or not m >= 0 or not step > 0:
            raise Refused("the points")
        if not np.isfinite(m) or not np.isfinite(step):
            raise Refused("a number")
        low, high = a.min(axis=0) - m, a.max(axis=0) + m
        if not (low < high).all():
            raise Refused("no area")
        xx, yy = np.arange(low[0], high[0], step), np.arange(low[1], high[1], step)
        return exactly(xx, yy, (xx[None, :] < yy[:, None]).astype(int))

    def call() -> Any:
        with np.errstate(all="ignore"):
            points = plain(x)
            if (
                points.size
                and np.isfinite(points).all()
                and isinstance(h, int | float)
                and 0 < h < 1e-3 * (1 + np.abs(points).max())
            ):
                raise ValueError("so fine a grid is not tried")
            if isinstance(margin, int | float) and abs(margin) > 1e4:
                raise ValueError("so wide a margin is not tried")
        return drawing.decision_regions(Regions(), x, h=h, margin=margin)

    draw.is_legal = False
    return Trial(call, expect, [x], errors=(ValueError, IndexError, Refused))
