"""Attacks on book 1's layers for images, batch normalization, helpers and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks_layers import STAGES, as_bias, draw_dout, plain_dout
from judge import Expected, Trial, bounds, chained, exactly, least, rounding
from numpy_books.book1 import layers as layers1
from numpy_books.book1 import multi_layer_net as net1
from numpy_books.book1 import util as util1
from odd import Draw, Refused, float_dtype, parameter_dtype, plain, plain_labels, plain_number, plain_whole
from table import add, attack

from scratchnet import layers as lists
from scratchnet.book1 import layers, util
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend

FEW = 10**6  # numbers that plain NumPy is asked for


def window(draw: Draw, stage_is_odd: bool) -> tuple[int, int, int, int, Any, Any]:
    """Height, width, window, stride and pad, so that the window fits; or odd numbers in their place."""
    P, Q = int(draw.rng.integers(1, 4)), int(draw.rng.integers(1, 4))
    H, W = P + int(draw.rng.integers(0, 5)), Q + int(draw.rng.integers(0, 5))
    odd = 0.25 * stage_is_odd
    return H, W, P, Q, draw.whole(1, 1, 2, 3, odd=odd), draw.whole(0, 0, 1, 2, odd=odd)


def places(H: int, W: int, P: Any, Q: Any, stride: Any, pad: Any) -> tuple[int, int, int, int]:
    """P, Q, stride and pad as whole numbers, if there is a place for the window."""
    P, Q, stride, pad = (plain_whole(n) for n in (P, Q, stride, pad))
    if P < 1 or Q < 1 or stride < 1 or pad < 0 or H + 2 * pad < P or W + 2 * pad < Q:
        raise Refused("the window")
    if (H + 2 * pad) * (W + 2 * pad) > FEW:
        raise Refused("too many for a plain trial")
    return P, Q, stride, pad


@attack("book1.layers.Convolution: forward backward", share=3)
def convolution(draw: Draw) -> Trial:
    return convolved(draw, layers.Convolution)


@attack("image_layers.Convolution: forward backward", share=3)
def convolution_with_lists(draw: Draw) -> Trial:
    return convolved(draw, lists.Convolution)


def gradients_of(layer: Any, *names: str) -> list[Any]:
    """What backward has left: book 1's in attributes, the others' in their lists, which change."""
    if type(layer).__module__ == layers.__name__:
        return [getattr(layer, name) for name in names]
    return [np.array(g) for g in layer.grads]


def convolved(draw: Draw, cls: Any) -> Trial:
    stage = draw.pick(STAGES)
    N, C, M = draw.size(), max(draw.size(high=3), 1), draw.size(high=4)
    H, W, P, Q, stride, pad = window(draw, stage == "build")
    filters = draw.parameter((M, C, P, Q), calm=stage != "build")
    scalar = draw.chance(0.1) and cls is layers.Convolution  # the others have no room for its gradients
    b = draw.pick((0, 0.5)) if scalar else draw.parameter((M,), calm=stage != "build")
    if cls is lists.Convolution and stage == "backward":
        b = b.astype(filters.dtype)  # whose gradient is in its dtype
    x = draw.array((N, C, H, W), calm=stage != "forward")

    def numbers() -> tuple[Any, Any, np.ndarray]:
        own = parameter_dtype(filters)
        w, a = plain(filters, own), plain(x, own)
        if w.ndim != 4 or a.ndim != 4 or a.shape[1] != w.shape[1]:
            raise Refused("axes")
        if not isinstance(b, int | float):
            parameter_dtype(b)
        bias = plain(b, own)
        if bias.size not in (1, len(w)):
            raise Refused("b")
        _, _, s, z = places(*a.shape[2:], *w.shape[2:], stride, pad)
        return own, layers1.Convolution(w, np.broadcast_to(bias.reshape(-1), len(w)), s, z), a

    def expect_forward() -> list[Expected]:
        own, layer, a = numbers()
        if not a.size or not layer.W.size:
            s, z = layer.stride, layer.pad
            sides = [(n + 2 * z - w) // s + 1 for n, w in zip(a.shape[2:], layer.W.shape[2:], strict=True)]
            return [Expected(np.broadcast_to(layer.b[:, None, None], (len(a), len(layer.W), *sides)))]
        with np.errstate(all="ignore"):
            out = layer.forward(a)
            size = layers1.Convolution(np.abs(layer.W), np.abs(layer.b), layer.stride, layer.pad).forward(
                np.abs(a)
            )
        return [Expected(out, 2 * (layer.W[0].size + 2) * rounding(own) * size + 8 * least(own), own)]

    if stage == "build":
        return Trial(lambda: cls(filters, b, stride, pad).forward(x), expect_forward, [filters, b, x])
    layer = cls(filters, b, stride, pad)
    if stage == "forward":
        return Trial(lambda: layer.forward(x), expect_forward, [filters, b, x], [layer])
    out = layer.forward(x)
    dout = draw_dout(draw, out.shape)

    def expect_backward() -> list[Expected]:
        own, plain_layer, a = numbers()
        d = plain_dout(dout, out.shape, own)
        if not a.size or not plain_layer.W.size:
            return [Expected(np.zeros(s)) for s in (a.shape, plain_layer.W.shape, len(plain_layer.W))]
        sizes = layers1.Convolution(np.abs(plain_layer.W), 0, plain_layer.stride, plain_layer.pad)
        with np.errstate(all="ignore"):
            plain_layer.forward(a), sizes.forward(np.abs(a))
            dx, size = plain_layer.backward(d), sizes.backward(np.abs(d))
        terms = 4 * (d.size + plain_layer.W.size + 8) * rounding(own)
        pairs = (dx, size), (plain_layer.dW, sizes.dW), (plain_layer.db, sizes.db)
        return [Expected(true, terms * bound + 8 * least(own), own) for true, bound in pairs]

    def backward() -> list[Any]:
        dx = layer.backward(dout)
        dW, db = gradients_of(layer, "dW", "db")
        return [dx, dW, np.reshape(db, -1)]

    return Trial(backward, expect_backward, [filters, b, x, dout], [layer])


@attack("image_layers.Pooling: forward backward", share=3)
def pooling(draw: Draw) -> Trial:
    stage, N, C = draw.pick(STAGES), draw.size(), draw.size(high=3)
    H, W, P, Q, stride, _ = window(draw, stage == "build")
    if stage == "build":
        P, Q = draw.whole(P, odd=0.2), draw.whole(Q, odd=0.2)
    x = draw.array((N, C, H, W), calm=stage != "forward")

    def plain_layer(a: np.ndarray) -> Any:
        if a.ndim != 4:
            raise Refused("axes")
        p, q, s, _ = places(*a.shape[2:], P, Q, stride, 0)
        return layers1.Pooling(p, q, s)

    def expect_forward() -> list[Expected]:
        a = plain(x, float_dtype(x))
        layer = plain_layer(a)
        if not a.size:
            Y, X = (
                (size - w) // layer.stride + 1
                for size, w in zip(a.shape[2:], (layer.pool_h, layer.pool_w), strict=True)
            )
            return [Expected(np.zeros((*a.shape[:2], Y, X)))]
        return [Expected(layer.forward(a), 0, float_dtype(x))]

    if stage == "build":
        return Trial(lambda: layers.Pooling(P, Q, stride).forward(x), expect_forward, [x])
    layer = layers.Pooling(P, Q, stride)
    if stage == "forward":
        return Trial(lambda: layer.forward(x), expect_forward, [x], [layer])
    out = layer.forward(x)
    dout = draw_dout(draw, out.shape)

    def expect_backward() -> list[Expected]:
        own = float_dtype(x)
        a, d = plain(x, own), plain_dout(dout, out.shape, own)
        pairs = []
        for dd in (d, np.abs(d)):
            plain_one = plain_layer(a)
            if not a.size:
                return [Expected(np.zeros(a.shape))]
            plain_one.forward(a)
            with np.errstate(all="ignore"):
                pairs.append(plain_one.backward(dd))
        return [Expected(pairs[0], 16 * rounding(own) * pairs[1], own)]

    return Trial(lambda: layer.backward(dout), expect_backward, [x, dout], [layer])


@attack("book1.layers.BatchNormalization: forward backward", share=2)
def batch_normalization(draw: Draw) -> Trial:
    return normalized(draw, layers.BatchNormalization)


@attack("batch_normalization.BatchNormalization: forward backward", share=2)
def batch_normalization_with_lists(draw: Draw) -> Trial:
    return normalized(draw, lists.BatchNormalization)


def normalized(draw: Draw, cls: Any) -> Trial:
    stage, N, D = draw.pick(STAGES), draw.size(low=2), max(draw.size(high=6), 1)
    gamma = draw.parameter((D,), calm=stage != "build")
    beta = draw.parameter((D,), calm=stage != "build")
    if cls is lists.BatchNormalization and stage == "backward":
        beta = beta.astype(gamma.dtype)  # whose gradient is in its dtype
    shape = (N, D) if draw.chance(0.7) or D % 2 or not D else (N, 2, 1, D // 2)
    x = draw.array(shape, calm=stage != "forward", extremes=False)
    training = stage == "backward" or draw.chance(0.7)
    calls = draw.pick((1, 1, 2))

    def numbers() -> tuple[Any, Any, np.ndarray]:
        own, other = parameter_dtype(gamma), parameter_dtype(beta)
        if not np.ndim(gamma) and other.itemsize < own.itemsize:  # a single number leaves the dtype to the other
            own = other
        a = plain(x, own)
        if a.ndim < 2:
            raise Refused("shapes")
        columns = int(np.prod(a.shape[1:])) or (a.shape[1] if a.ndim == 4 else 0)  # no pixels: one a channel
        g, b = (as_bias(plain(v, own), columns) for v in (gamma, beta))
        return own, layers1.BatchNormalization(g, b), a

    def forward(layer: Any) -> list[Any]:
        for _ in range(calls):
            out = layer.forward(x, training)
        return [out, layer.running_mean, layer.running_var]

    def expect_forward() -> list[Expected]:
        own, layer, a = numbers()
        if not len(a) or (a.ndim == 4 and not a.size) or not is_fit(layer.gamma, layer.beta):
            return [Expected(np.zeros(np.shape(v)), np.inf) for v in (a, layer.gamma, layer.gamma)]
        with np.errstate(all="ignore"):
            for _ in range(calls):
                out = layer.forward(a, training)
            rows = a.reshape(len(a), -1)
            values = {"x": rows, "gamma": layer.gamma, "beta": layer.beta, "mean": rows.mean(axis=0), "out": out}
            values |= {"var": rows.var(axis=0), "std": np.sqrt(rows.var(axis=0) + 10e-7)}
            values["xhat"] = (rows - values["mean"]) / values["std"]
            bound = bounds("batch_normalization_forward", values, own)
        if not training:
            terms = np.abs(layer.gamma * layer.running_mean) / np.sqrt(layer.running_var + 10e-7) + np.abs(
                layer.beta
            )
            bound["out"] = 32 * rounding(own) * (np.abs(out.reshape(rows.shape)) + terms)
        beta_terms = 8 * rounding(own) * np.abs(layer.beta)
        return [
            Expected(out, (bound["out"] + beta_terms).reshape(out.shape) * 2, own),
            Expected(layer.running_mean, 2 * bound["mean"] + 8 * rounding(own) * np.abs(layer.running_mean), own),
            Expected(layer.running_var, 2 * bound["var"] + 8 * rounding(own) * np.abs(layer.running_var), own),
        ]

    if stage == "build":
        return Trial(lambda: forward(cls(gamma, beta)), expect_forward, [gamma, beta, x])
    layer = cls(gamma, beta)
    if stage == "forward":
        return Trial(lambda: forward(layer), expect_forward, [gamma, beta, x], [layer])
    forward(layer)
    dout = draw_dout(draw, shape)

    def backward() -> list[Any]:
        dx = layer.backward(dout)
        return [dx, *gradients_of(layer, "dgamma", "dbeta")]

    def expect_backward() -> list[Expected]:
        own, plain_layer, a = numbers()
        d = plain_dout(dout, shape, own)
        if not len(a):
            return [Expected(np.zeros(np.shape(v)), np.inf) for v in (a, plain_layer.gamma, plain_layer.gamma)]
        with np.errstate(all="ignore"):
            plain_layer.forward(a)
            dx = plain_layer.backward(d)
        if own.itemsize < 4 or not is_fit(
            d
        ):  # the mean's error is that of the whole, divided by a small deviation
            return [Expected(np.zeros(np.shape(v)), np.inf) for v in (dx, plain_layer.dgamma, plain_layer.dbeta)]
        scale = float((np.abs(plain_layer.gamma) / plain_layer.std).max(initial=0))
        scale *= float(np.abs(d).sum()) * (1 + float((np.abs(a).max(initial=0) / plain_layer.std).max(initial=0)))
        largest = 1 + float((np.abs(a).max(initial=0) / plain_layer.std).max(initial=0))
        return [
            chained(dx, 8 * (N + 8), own, scale * largest**2),
            chained(plain_layer.dgamma, 8 * (N + 8), own, float(np.abs(d).sum()) * largest**2),
            chained(plain_layer.dbeta, N + 8, own, float(np.abs(d).sum())),
        ]

    return Trial(backward, expect_backward, [gamma, beta, x, dout], [layer])


def is_fit(*arrays: np.ndarray) -> bool:
    return all(bool(np.all(np.abs(a) < 1e3)) for a in arrays)


# Helpers


@attack("book1.util.im2col", share=2)
def im2col(draw: Draw) -> Trial:
    N, C = draw.size(), draw.size(high=3)
    H, W, P, Q, stride, pad = window(draw, True)
    P, Q = draw.whole(P, odd=0.1), draw.whole(Q, odd=0.1)
    x = draw.array((N, C, H, W))

    def expect() -> list[Expected]:
        a = plain(x, float_dtype(x))
        if a.ndim != 4:
            raise Refused("axes")
        p, q, s, z = (plain_whole(n) for n in (P, Q, stride, pad))
        if min(p, q, s) < 1 or z < 0 or a.shape[2] + 2 * z < p or a.shape[3] + 2 * z < q:
            return [Expected(np.zeros(np.shape(util.im2col(x, P, Q, stride, pad))), np.inf)]
        rows = a.shape[0] * ((a.shape[2] + 2 * z - p) // s + 1) * ((a.shape[3] + 2 * z - q) // s + 1)
        col = util1.im2col(a, p, q, s, z) if rows else np.zeros((0, a.shape[1] * p * q))
        return [Expected(col.reshape(rows, a.shape[1] * p * q), 0, float_dtype(x))]

    return Trial(lambda: util.im2col(x, P, Q, stride, pad), expect, [x])


@attack("book1.util.col2im", share=2)
def col2im(draw: Draw) -> Trial:
    N, C = draw.size(), draw.size(high=3)
    H, W, P, Q, stride, pad = window(draw, True)
    good = not draw.notes
    Y = (H + 2 * pad - P) // stride + 1 if good else 2
    X = (W + 2 * pad - Q) // stride + 1 if good else 2
    col = draw.array((N * Y * X, C * P * Q))
    shape = (N, C, H, W)

    def expect() -> list[Expected]:
        a = plain(col, float_dtype(col))
        p, q, s, z = places(H, W, P, Q, stride, pad)
        y, x = (H + 2 * z - p) // s + 1, (W + 2 * z - q) // s + 1
        if a.size != N * y * x * C * p * q:
            raise Refused("col")
        a = a.reshape(N * y * x, C * p * q)
        with np.errstate(all="ignore"):
            true, size = util1.col2im(a, shape, p, q, s, z), util1.col2im(np.abs(a), shape, p, q, s, z)
        return [Expected(true, 32 * rounding(float_dtype(col)) * size, float_dtype(col))]

    return Trial(lambda: util.col2im(col, shape, P, Q, stride, pad), expect, [col])


@attack("book1.util.conv_output_size", share=0.2)
def conv_output_size(draw: Draw) -> Trial:
    a, b, c, d = (int(n) for n in draw.rng.integers(1, 30, 4))
    return Trial(lambda: util.conv_output_size(a, b, c, d), lambda: [Expected((a + 2 * d - b) / c + 1)])


@attack("book1.util.smooth_curve")
def smooth_curve(draw: Draw) -> Trial:
    x = draw.array((draw.size(low=11, high=40),), extremes=False)

    def expect() -> list[Expected]:
        a = plain(x)
        if a.ndim != 1 or len(a) < 11:
            raise Refused("points")
        with np.errstate(all="ignore"):
            return [
                Expected(
                    util1.smooth_curve(a),
                    1e-3 * np.abs(a).max() if float_dtype(x).itemsize < 8 else 1e-12 * (1 + np.abs(a).max()),
                )
            ]

    return Trial(lambda: util.smooth_curve(x), expect, [x])


@attack("book1.util.shuffle_dataset", share=0.5)
def shuffle_dataset(draw: Draw) -> Trial:
    N, seed = draw.size(), int(draw.rng.integers(1000))
    x, t = draw.numbers((N, 2), "f8"), draw.rng.integers(0, 3, N)

    def call() -> Any:
        np.random.seed(seed)
        return util.shuffle_dataset(x, t)

    def expect() -> list[Expected]:
        np.random.seed(seed)
        order = np.random.permutation(N)
        return exactly(x[order], t[order])

    return Trial(call, expect, [x, t])


# Networks


def network(cls: Any, extended: bool) -> Any:
    def make(draw: Draw) -> Trial:
        seed, activation = int(draw.rng.integers(1000)), draw.pick(("relu", "sigmoid"))
        sizes = (
            draw.size(low=1, high=5),
            [draw.size(low=1, high=5) for _ in range(draw.pick((0, 1, 2)))],
            draw.size(2),
        )
        D, hidden, C = max(sizes[0], 1), [max(h, 1) for h in sizes[1]], max(sizes[2], 2)
        decay, scale = draw.pick((0, 0.1)), draw.pick(("relu", "xavier", 0.5))
        options: dict[str, Any] = dict(weight_decay_lambda=decay)
        if extended:
            options |= dict(use_batchnorm=draw.chance(0.5), use_dropout=draw.chance(0.3), dropout_ration=0.3)
        N = draw.size(low=2, high=5)
        x, t = draw.array((max(N, 2), D), extremes=False), draw.labels(max(N, 2), C)
        methods = ["predict", "loss", "accuracy", "gradient", "gradient"]
        if not options.get("use_dropout"):  # else its differences are those of the mask that is drawn
            methods.append("numerical_gradient")
        method = draw.pick(methods)

        def made(network_class: Any) -> Any:
            np.random.seed(seed)
            return network_class(D, hidden, C, activation, scale, **options)

        net = made(cls)

        def call() -> Any:
            np.random.seed(seed)
            got = getattr(net, method)(*(x,) if method == "predict" else (x, t))
            return {name: got[name] for name in sorted(got)} if isinstance(got, dict) else got

        def expect() -> list[Expected] | None:
            a = plain(x)
            if a.ndim < 1 or int(np.prod(a.shape[1:])) != D:
                raise Refused("x")
            if not len(a):
                return None
            labels = None if method == "predict" else plain_labels(t, len(a), C)
            plain_net = made(net1.MultiLayerNet)
            np.random.seed(seed)
            shares = labels
            if (
                isinstance(t, np.ndarray)
                and t.dtype.kind in "fb"
                and t.size == a.shape[0] * C
                and method != "accuracy"
            ):
                shares = plain(t).reshape(len(a), C)
            true = getattr(plain_net, method)(*(a,) if method == "predict" else (a, shares))
            close = 1e-4 if method == "numerical_gradient" else 1e-9
            if method == "numerical_gradient" and activation == "relu":
                close = np.inf  # an input at 0 has no derivative
            values = [true[name] for name in sorted(true)] if isinstance(true, dict) else [true]
            return [Expected(v, close * (1 + np.abs(v).max(initial=0) + np.abs(a).max())) for v in values]

        return Trial(call, expect, [x, t], [net.params])

    return make


_METHODS = "predict loss accuracy gradient numerical_gradient"
add(
    "book1.multi_layer_net.MultiLayerNet",
    network(MultiLayerNet, False),
    f"book1.multi_layer_net.MultiLayerNet: {_METHODS}",
    share=2,
)
add(
    "book1.multi_layer_net_extend.MultiLayerNetExtend",
    network(MultiLayerNetExtend, True),
    f"book1.multi_layer_net_extend.MultiLayerNetExtend: {_METHODS}",
    share=2,
)


@attack("book1 networks with odd settings", share=0.5)
def odd_settings(draw: Draw) -> Trial:
    cls = draw.pick((MultiLayerNet, MultiLayerNetExtend))
    given = dict(
        input_size=draw.whole(2, 3),
        hidden_size_list=draw.pick(([3], [draw.whole(2)], "3", 3, None, [2, 2.5])),
        output_size=draw.whole(2),
        activation=draw.pick(("relu", "sigmoid", "tanh", None, 3)),
        weight_init_std=draw.pick(("relu", "he", "big", draw.number(0.1))),
    )
    draw.note(repr(given)[:200], legal=False)

    def call() -> Any:
        net = cls(**given)
        net.predict(np.ones((1, given["input_size"])))
        return True

    def expect() -> list[Any]:
        D, M, C = (plain_whole(n) for n in (given["input_size"], *given["hidden_size_list"], given["output_size"]))
        if min(D, M, C) < 1 or given["activation"] not in ("relu", "sigmoid"):
            raise Refused("a setting")
        if given["weight_init_std"] not in ("relu", "he") and not plain_number(given["weight_init_std"]) >= 0:
            raise Refused("the scale")
        return [True]

    return Trial(call, expect)
