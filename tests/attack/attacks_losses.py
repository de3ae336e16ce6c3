"""Attacks on the loss layers of both books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attacks_functions import plain_softmax, rows_of, softmax_bound, stable_sigmoid
from attacks_layers import STAGES
from judge import Expected, Trial, bounds, least, rounding
from odd import Draw, Refused, float_dtype, plain, plain_labels, plain_number
from table import add, attack

from scratchnet import layers, time_layers
from scratchnet.book1 import layers as book1


def softmax_with_loss(
    cls: Any, *, delta: float, shares: bool = False, time: bool = False
) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        stage, layer, C = draw.pick(STAGES[1:]), cls(), draw.size(low=2)
        leading = (draw.size(), draw.size(high=3)) if time else (draw.size(),)
        rows = int(np.prod(leading))
        x = draw.array((*leading, C), calm=stage != "forward", extremes=False)
        t = draw.labels(rows, C, calm=stage != "forward")
        if shares and draw.chance(0.2) and C:
            t = draw.rng.dirichlet(np.ones(C), rows).reshape(*leading, C)

        def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
            own = float_dtype(x)
            a = plain(x, own)
            if a.ndim == 0:
                raise Refused("a single number")
            a = rows_of(a)
            return a, plain_softmax(a), plain_labels(t, *a.shape), own

        def expect_forward() -> list[Expected]:
            a, y, labels, own = numbers()
            with np.errstate(all="ignore"):
                p = y[np.arange(len(a)), labels]
                loss = -np.sum(np.log(p + delta)) / len(a) if len(a) else 0.0
                values = {"x": a, "y": y, "t": labels, "delta": delta, "clip": 0}
                bound = bounds("softmax_cross_entropy_forward", values, own)["return"]
            return [Expected(loss, bound + 1e-13)]

        if stage == "forward":
            return Trial(lambda: layer.forward(x, t), expect_forward, [x, t], [layer])
        layer.forward(x, t)
        dout = draw.number(1, 0.5, -2, np.float32(3), odd=0.4)

        def expect_backward() -> list[Expected]:
            a, y, labels, own = numbers()
            onehot = np.eye(a.shape[1])[labels] if a.shape[1] else np.zeros(a.shape)
            if shares and np.asarray(t).dtype.kind == "f":
                onehot = plain(t).reshape(a.shape)
            with np.errstate(all="ignore"):
                true = (y - onehot) * plain_number(dout) / max(len(a), 1)
                factor = abs(plain_number(dout)) / max(len(a), 1)
            bound = (softmax_bound(a, y, own) + 8 * rounding(own)) * factor + 8 * least(own)
            shape = np.shape(x)
            return [Expected(true.reshape(shape), np.broadcast_to(bound, a.shape).reshape(shape), own)]

        return Trial(lambda: layer.backward(dout), expect_backward, [x, t], [layer])

    return make


for _path, _cls, _options in (
    ("loss_layers.SoftmaxWithLoss", layers.SoftmaxWithLoss, dict(delta=1e-7)),
    ("book1.layers.SoftmaxWithLoss", book1.SoftmaxWithLoss, dict(delta=1e-7, shares=True)),
    (
        "time_layers.Simple_TimeSoftmaxWithLoss",
        time_layers.Simple_TimeSoftmaxWithLoss,
        dict(delta=1e-7, time=True),
    ),
):
    add(_path, softmax_with_loss(_cls, **_options), f"{_path}: forward backward", share=2)


def sigmoid_with_loss(cls: Any) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        stage, layer, shape = draw.pick(STAGES[1:]), cls(), draw.shape(least=1, most=2)
        x = draw.array(shape, calm=stage != "forward", extremes=False)
        rows = int(np.prod(shape))
        t = draw.labels(rows, 2, one_hot=False, calm=stage != "forward")
        if isinstance(t, np.ndarray) and t.shape == (rows,) and draw.chance(0.3):
            t = t.astype("f8").reshape(shape) if draw.chance(0.5) and t.dtype.kind in "iu" else t.reshape(shape)

        def numbers() -> tuple[np.ndarray, np.ndarray, Any]:
            own = float_dtype(x)
            a = plain(x, own)
            if isinstance(t, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(t)):
                raise Refused("a mask")
            whole = t
            if isinstance(t, np.ndarray) and t.dtype.kind == "f" and np.isin(t, (0, 1)).all():
                whole = np.asarray(t).astype(np.int64)
            return a, plain_labels(whole, a.size, 2, one_hot=False).reshape(a.shape), own

        def expect_forward() -> list[Expected]:
            a, labels, own = numbers()
            y = stable_sigmoid(a)
            with np.errstate(all="ignore"):
                loss = -np.sum(np.log(np.where(labels, y, 1 - y) + 1e-7)) / a.size if a.size else 0.0
                values = {"y": y.reshape(-1), "t": labels.reshape(-1), "delta": 1e-7, "clip": 0}
                bound = bounds("sigmoid_cross_entropy_forward", values, own)["return"]
            return [Expected(loss, bound)]

        if stage == "forward":
            return Trial(lambda: layer.forward(x, t), expect_forward, [x, t], [layer])
        layer.forward(x, t)
        dout = draw.number(1, 0.5, -2, np.float32(3), odd=0.4)

        def expect_backward() -> list[Expected]:
            a, labels, own = numbers()
            with np.errstate(all="ignore"):
                true = (stable_sigmoid(a) - labels) * plain_number(dout) / max(a.size, 1)
                bound = 16 * rounding(own) * abs(plain_number(dout)) / max(a.size, 1) + 8 * least(own)
            return [Expected(true, bound, own)]

        return Trial(lambda: layer.backward(dout), expect_backward, [x, t], [layer])

    return make


for _path, _cls in (
    ("loss_layers.SigmoidWithLoss", layers.SigmoidWithLoss),
    ("time_layers.TimeSigmoidWithLoss", time_layers.TimeSigmoidWithLoss),
):
    add(_path, sigmoid_with_loss(_cls), f"{_path}: forward backward", share=2)


@attack("loss_layers.IdentityWithLoss: forward backward", share=2)
def identity_with_loss(draw: Draw) -> Trial:
    stage, layer, shape = draw.pick(STAGES[1:]), layers.IdentityWithLoss(), draw.shape(least=1, most=3)
    x = draw.array(shape, calm=stage != "forward", extremes=False)
    t = draw.array(shape, calm=stage != "forward", extremes=False)

    def numbers() -> tuple[np.ndarray, np.ndarray, Any]:
        own = float_dtype(x)
        a, target = plain(x, own), plain(t, own)
        if not a.ndim or a.shape != target.shape:
            raise Refused("shapes")
        return a, target, own

    def expect_forward() -> list[Expected]:
        a, target, _ = numbers()
        rows = max(int(np.prod(a.shape[:-1])), 1)
        with np.errstate(all="ignore"):
            loss = 0.5 * np.sum((a - target) ** 2) / rows
            return [Expected(loss, (a.size + 8) * rounding("f8") * abs(loss))]

    if stage == "forward":
        return Trial(lambda: layer.forward(x, t), expect_forward, [x, t], [layer])
    layer.forward(x, t)
    dout = draw.number(1, 0.5, -2, np.float32(3), odd=0.4)

    def expect_backward() -> list[Expected]:
        a, target, own = numbers()
        with np.errstate(all="ignore"):
            factor = plain_number(dout) / max(int(np.prod(a.shape[:-1])), 1)
            bound = 8 * rounding(own) * np.abs(a - target) * abs(factor) + 8 * least(own)
            return [Expected((a - target) * factor, bound, own)]

    return Trial(lambda: layer.backward(dout), expect_backward, [x, t], [layer])
