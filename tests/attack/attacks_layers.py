"""Attacks on book 2's layers that know no time, and on book 1's Affine and SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attacks_functions import plain_softmax, rows_of, softmax_bound, stable_sigmoid
from judge import Expected, Trial, bounds, least, rounding
from odd import Draw, Refused, float_dtype, parameter_dtype, plain, plain_number, plain_whole
from table import add, attack

from scratchnet import layers, time_layers
from scratchnet.book1 import layers as book1

STAGES = ("build", "forward", "backward")


def outcome(layer: Any, dx: Any) -> list[Any]:
    """All that backward gives: dx and the gradients, copied, because a test may look at them later."""
    return [dx, *[np.array(g) for g in layer.grads]]


def plain_dout(dout: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The gradient from above as layers take it: of the output's shape, or one number for all."""
    d = plain(dout, dtype)
    if d.ndim == 0:
        return np.full(shape, d)
    if d.shape != shape:
        raise Refused("a gradient of another shape")
    return d


def draw_dout(draw: Draw, shape: tuple[int, ...], *, calm: bool = False) -> Any:
    return draw.array(shape, calm=calm) if draw.chance(0.9) else draw.number(1, 0.5, -2.0, odd=0)


def as_bias(b: np.ndarray, size: int) -> np.ndarray:
    """A bias as a row: NumPy broadcasts it."""
    try:
        return np.broadcast_to(b, (1, size))[0].copy()
    except ValueError:
        raise Refused("a bias that does not fit") from None


# Products with weights


def affine(cls: Any, *, bias: bool, flattens: bool = False) -> Callable[[Draw], Trial]:
    """A layer that multiplies by W and perhaps adds b; `flattens`: takes all axes of x but the first as one."""

    def make(draw: Draw) -> Trial:
        stage, D, M = draw.pick(STAGES), draw.size(), draw.size()
        leading = tuple(draw.size(high=4) for _ in range(draw.pick((1, 1, 1, 0, 2))))
        W = draw.parameter((D, M), calm=stage != "build")
        dtype = W.dtype if isinstance(W, np.ndarray) else None
        given = [W] + [draw.parameter((M,), calm=stage != "build")] * bias
        if flattens:
            leading = leading or (draw.size(),)
            split = next((k for k in (2, 3) if D and D % k == 0), 1)
            shape = (leading[0], split, D // split) if draw.chance(0.3) else (leading[0], D)
        else:
            shape = (*leading, D)
        x = draw.array(shape, calm=stage != "forward")

        def numbers() -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
            own = parameter_dtype(W)
            for p in given:
                parameter_dtype(p)
            w, a = plain(W, own), plain(x, own)
            if w.ndim != 2 or a.ndim == 0:
                raise Refused("shapes")
            b = as_bias(plain(given[1], own) if bias else np.zeros(1), w.shape[1])
            if flattens:
                a = a.reshape(len(a), int(np.prod(a.shape[1:])))
            if a.shape[-1] != len(w):
                raise Refused("shapes")
            return own, w, b.reshape(-1), a

        def expect_forward() -> list[Expected]:
            own, w, b, a = numbers()
            rows = rows_of(a)
            with np.errstate(all="ignore"):
                out = rows @ w + b
            bound = bounds("affine_forward", {"x": rows, "W": w, "b": b}, own)["out"]
            shape = (*a.shape[:-1], w.shape[1])
            return [Expected(out.reshape(shape), bound.reshape(shape), own)]

        if stage == "build":
            return Trial(lambda: cls(*given).forward(x), expect_forward, [*given, x])
        layer = cls(*given)
        if stage == "forward":
            return Trial(lambda: layer.forward(x), expect_forward, [*given, x], [layer])
        out = layer.forward(x)
        dout = draw_dout(draw, out.shape)

        def expect_backward() -> list[Expected]:
            own, w, _, a = numbers()
            d, rows = rows_of(plain_dout(dout, out.shape, own)), rows_of(a)
            with np.errstate(all="ignore"):
                true = {"dx": (d @ w.T).reshape(np.shape(plain(x))), "dW": rows.T @ d, "db": d.sum(axis=0)}
            bound = bounds("affine_backward", {"dout": d, "x": rows, "W": w}, own)
            bound["dx"] = bound["dx"].reshape(true["dx"].shape)
            if bias:
                true["db"] = true["db"].reshape(np.shape(given[1]))
                bound["db"] = bound["db"].reshape(np.shape(given[1]))
                narrow = parameter_dtype(given[1])
                true["db"].astype(own).astype(narrow)  # which warns where NumPy does
                bound["db"] = bound["db"] + np.abs(true["db"]) * rounding(narrow) + 8 * least(narrow)
            names = ("dx", "dW", "db")[: 2 + bias]
            return [
                Expected(true[n], bound[n], dtype if n != "db" else narrower(own, given[-1].dtype)) for n in names
            ]

        return Trial(lambda: outcome(layer, layer.backward(dout)), expect_backward, [*given, x, dout], [layer])

    return make


def narrower(*dtypes: Any) -> np.dtype[Any]:
    return min(map(np.dtype, dtypes), key=lambda d: d.itemsize)


for _path, _cls, _bias in (
    ("layers.MatMul", layers.MatMul, False),
    ("layers.Affine", layers.Affine, True),
    ("time_layers.TimeAffine", time_layers.TimeAffine, True),
    ("time_layers.Simple_TimeAffine", time_layers.Simple_TimeAffine, True),
):
    add(_path, affine(_cls, bias=_bias), f"{_path}: forward backward", share=3)
add(
    "book1.layers.Affine",
    affine(book1.Affine, bias=True, flattens=True),
    "book1.layers.Affine: forward backward",
    share=3,
)

# Element by element, and over rows


def masked(keep: np.ndarray, d: np.ndarray, dtype: Any) -> Expected:
    """The gradient where something passed; in its own dtype, or in that of the layer's input."""
    true = np.where(keep, d, 0)
    return Expected(true, rounding(dtype) * np.abs(true) + least(dtype), dtype)


def parameterless(
    cls: Any,
    forward: Callable[[np.ndarray, Any], Expected],
    backward: Callable[..., Expected],
    least_axes: int = 0,
    exact: Any = None,
) -> Callable[[Draw], Trial]:
    """A layer without weights: `forward` and `backward` are the formulas and their bounds."""

    def make(draw: Draw) -> Trial:
        stage, layer = draw.pick(STAGES[1:]), cls()
        x = draw.array(draw.shape(least=least_axes), calm=stage != "forward")

        def expect_forward() -> list[Expected]:
            return [forward(plain(x, float_dtype(x)), float_dtype(x))]

        if stage == "forward":
            return Trial(lambda: layer.forward(x), expect_forward, [x], [layer])
        out = np.array(layer.forward(x), np.float64)
        dout = draw_dout(draw, out.shape)

        def expect_backward() -> list[Expected]:
            own = float_dtype(x)
            with np.errstate(all="ignore"):
                return [backward(plain_dout(dout, out.shape, exact or own), plain(x, own), out, own)]

        return Trial(lambda: layer.backward(dout), expect_backward, [x, dout], [layer])

    return make


def sigmoid_forward(x: np.ndarray, dtype: Any) -> Expected:
    y = stable_sigmoid(x)
    return Expected(y, bounds("sigmoid_forward", {"out": y}, dtype)["out"], dtype)


def sigmoid_backward(d: np.ndarray, x: np.ndarray, y: np.ndarray, dtype: Any) -> Expected:
    true = d * (1.0 - y) * y
    return Expected(true, 8 * rounding(dtype) * np.abs(true) + 4 * least(dtype) * (1 + np.abs(d)), dtype)


def tanh_backward(d: np.ndarray, x: np.ndarray, y: np.ndarray, dtype: Any) -> Expected:
    true = d * (1.0 - y * y)
    return Expected(true, 8 * rounding(dtype) * np.abs(d) + 4 * least(dtype) * (1 + np.abs(d)), dtype)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def softmax_backward(d: np.ndarray, x: np.ndarray, y: np.ndarray, dtype: Any) -> Expected:
    true = y * (d - (d * y).sum(axis=-1, keepdims=True))
    bound = bounds("softmax_backward", {"dout": rows_of(d), "y": rows_of(y)}, dtype)["dx"]
    return Expected(true, bound.reshape(true.shape) + 8 * least(dtype), dtype)


add(
    "layers.Sigmoid",
    parameterless(layers.Sigmoid, sigmoid_forward, sigmoid_backward),
    "layers.Sigmoid: forward backward",
    share=2,
)
add(
    "layers.Tanh",
    parameterless(
        layers.Tanh,
        lambda x, dtype: Expected(np.tanh(x), bounds("tanh_forward", {"out": np.tanh(x)}, dtype)["out"], dtype),
        tanh_backward,
    ),
    "layers.Tanh: forward backward",
    share=2,
)
add(
    "image_layers.Flatten",
    parameterless(
        layers.Flatten,
        lambda x, dtype: Expected(flat(x), 0, dtype),
        lambda d, x, y, dtype: Expected(d.reshape(x.shape), 0, dtype),
        least_axes=1,
    ),
    "image_layers.Flatten: forward backward",
)
add(
    "layers.Relu",
    parameterless(
        layers.Relu,
        lambda x, dtype: Expected(np.where(x <= 0, 0, x), 0, dtype),
        lambda d, x, y, dtype: masked(~(x <= 0), d, dtype),
        exact="f8",
    ),
    "layers.Relu: forward backward",
    share=2,
)
add(
    "layers.Softmax",
    parameterless(
        layers.Softmax,
        lambda x, dtype: Expected(plain_softmax(x), softmax_bound(x, plain_softmax(x), dtype), dtype),
        softmax_backward,
        least_axes=1,
    ),
    "layers.Softmax: forward backward",
    share=2,
)


@attack("layers.Relu with changes between", share=0.5)
def relu_keeps_what_backward_needs(draw: Draw) -> Trial:
    """A caller may change what went in and what came out: the book keeps a mask."""
    layer, shape = layers.Relu(), draw.shape()
    x = draw.numbers(shape, draw.pick(("f4", "f8")))
    before = x.copy()
    out = layer.forward(x)
    draw.pick((x, out))[...] = 7
    dout = draw.array(shape, calm=True)
    return Trial(
        lambda: layer.backward(dout),
        lambda: [masked(~(before <= 0), plain(dout), x.dtype)],
        [dout],
    )


@attack("layers.Dropout: forward backward", share=2)
def dropout(draw: Draw) -> Trial:
    stage, seed = draw.pick(STAGES), int(draw.rng.integers(1000))
    ratio = draw.number(0, 0.3, 0.5, 1, np.float32(0.25), odd=0.4 * (stage == "build"))
    x, training = draw.array(draw.shape(), calm=stage != "forward"), draw.chance(0.7)

    def ratio_of() -> float:
        number = plain_number(ratio)
        if not 0 <= number <= 1:
            raise Refused("the ratio")
        return number

    def kept(shape: tuple[int, ...]) -> np.ndarray:
        np.random.seed(seed)
        return np.random.rand(*shape) > ratio_of()

    def forward(layer: Any) -> Any:
        np.random.seed(seed)
        return layer.forward(x, training)

    def expect_forward() -> list[Expected]:
        own = float_dtype(x)
        a = plain(x, own)
        with np.errstate(all="ignore"):
            true = a * kept(a.shape) if training else a * (1 - ratio_of())
        return [Expected(true, 4 * rounding(own) * np.abs(true) + 2 * least(own), own)]

    if stage == "build":
        return Trial(lambda: forward(layers.Dropout(ratio)), expect_forward, [x])
    layer = layers.Dropout(ratio)
    if stage == "forward":
        return Trial(lambda: forward(layer), expect_forward, [x], [layer])
    training = True
    out = forward(layer)
    dout = draw_dout(draw, np.shape(out))

    def expect_backward() -> list[Expected]:
        own = float_dtype(x)
        with np.errstate(all="ignore"):
            true = plain_dout(dout, np.shape(out), "f8") * kept(np.shape(out))
        return [Expected(true, rounding(own) * np.abs(true) + least(own), own)]

    return Trial(lambda: layer.backward(dout), expect_backward, [x, dout], [layer])


@attack("layers.Repeat: forward backward")
def repeat(draw: Draw) -> Trial:
    stage, D = draw.pick(STAGES), draw.size()
    n = draw.whole(0, 1, 3, 20, odd=0.5 * (stage == "build"))
    x = draw.array((1, D) if draw.chance(0.5) else (D,), calm=stage != "forward")

    def expect_forward() -> list[Expected]:
        if plain_whole(n) < 0:
            raise Refused("n")
        a = plain(x, float_dtype(x))
        if a.ndim not in (1, 2) or (a.ndim == 2 and len(a) != 1):
            raise Refused("no row")
        return [Expected(np.repeat(a.reshape(1, -1), plain_whole(n), axis=0), 0, float_dtype(x))]

    if stage == "build":
        return Trial(lambda: layers.Repeat(n).forward(x), expect_forward, [x])
    layer = layers.Repeat(n)
    if stage == "forward":
        return Trial(lambda: layer.forward(x), expect_forward, [x], [layer])
    layer.forward(x)
    dout = draw_dout(draw, (n, D))

    def expect_backward() -> list[Expected]:
        d = plain_dout(dout, (n, D), float_dtype(x))
        with np.errstate(all="ignore"):
            bound = bounds("sum_rows", {"x": d}, float_dtype(x))["out"]
            return [Expected(d.sum(axis=0).reshape(np.shape(x)), bound.reshape(np.shape(x)), float_dtype(x))]

    return Trial(lambda: layer.backward(dout), expect_backward, [x, dout], [layer])


@attack("layers.Sum: forward backward")
def sum_rows(draw: Draw) -> Trial:
    stage, layer, N, D = draw.pick(STAGES[1:]), layers.Sum(), draw.size(), draw.size()
    x = draw.array((N, D), calm=stage != "forward")

    def expect_forward() -> list[Expected]:
        a = plain(x, float_dtype(x))
        if a.ndim != 2:
            raise Refused("no rows")
        with np.errstate(all="ignore"):
            bound = bounds("sum_rows", {"x": a}, float_dtype(x))["out"]
            return [Expected(a.sum(axis=0)[None], bound, float_dtype(x))]

    if stage == "forward":
        return Trial(lambda: layer.forward(x), expect_forward, [x], [layer])
    layer.forward(x)
    dout = draw_dout(draw, (1, D))
    return Trial(
        lambda: layer.backward(dout),
        lambda: [Expected(np.repeat(plain_dout(dout, (1, D), float_dtype(x)), N, axis=0), 0, float_dtype(x))],
        [x, dout],
        [layer],
    )


# Rows by number


def embedding(cls: Any, *, time: bool) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        stage, V, D = draw.pick(STAGES), draw.size(low=2), draw.size()
        W = draw.parameter((V, D), calm=stage != "build")
        shape = (draw.size(high=4), draw.size(high=4)) if time else draw.shape(most=3)
        idx = draw_words(draw, shape, V, calm=stage != "forward")

        def words() -> np.ndarray:
            if isinstance(idx, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(idx)):
                raise Refused("a mask")
            try:
                a = np.asarray(idx)
            except Exception as error:
                raise Refused(str(error)) from None
            if a.dtype.kind not in "iu" and a.size:
                raise Refused("no whole numbers")
            flat = [int(i) for i in a.reshape(-1)]
            if not all(-len(W) <= i < len(W) for i in flat):
                raise Refused("a number out of range")
            return np.array(flat, np.int64).reshape(a.shape)

        def expect_forward() -> list[Expected]:
            w = plain(W, parameter_dtype(W))
            if w.ndim != 2:
                raise Refused("no matrix")
            return [Expected(w[words()], 0, W.dtype)]

        if stage == "build":
            return Trial(lambda: cls(W).forward(idx), expect_forward, [W, idx])
        layer = cls(W)
        if stage == "forward":
            return Trial(lambda: layer.forward(idx), expect_forward, [W, idx], [layer])
        layer.forward(idx)
        shape = (*np.shape(idx), D)
        dout = draw_dout(draw, shape)

        def backward() -> list[Any]:
            layer.backward(dout)
            return [np.array(layer.grads[0])]

        def expect_backward() -> list[Expected]:
            d = plain_dout(dout, shape, W.dtype)
            true, size = np.zeros((V, D)), np.zeros((V, D))
            with np.errstate(all="ignore"):
                np.add.at(true, words(), d)
                np.add.at(size, words(), np.abs(d))
            return [Expected(true, (d.size + 2) * rounding(W.dtype) * size, W.dtype)]

        return Trial(backward, expect_backward, [W, idx, dout], [layer])

    return make


def draw_words(draw: Draw, shape: tuple[int, ...], V: int, *, calm: bool) -> Any:
    idx = draw.rng.integers(-V if draw.chance(0.2) else 0, V, shape)
    if calm or draw.chance(0.6) or not idx.size:
        return idx if draw.chance(0.5) else idx.astype(draw.pick(("i8", "i4", "i1", ">i4")))
    how = draw.pick(("high", "low", "float", "bool", "unsigned", "type", "list"))
    draw.note(f"words: {how}", legal=how == "list")
    if how == "type":
        return draw.array(shape)
    if how == "list":
        return idx.tolist()
    if how == "unsigned":
        idx = np.abs(idx).astype(np.uint64)
        idx.reshape(-1)[0] = draw.pick((2**64 - 1, 2**63, 2**64 - V))
        return idx
    if how in ("float", "bool"):
        return idx.astype(how)
    idx.reshape(-1)[int(draw.rng.integers(idx.size))] = V if how == "high" else -V - 1
    return idx


add("layers.Embedding", embedding(layers.Embedding, time=False), "layers.Embedding: forward backward", share=2)
add(
    "time_layers.TimeEmbedding",
    embedding(time_layers.TimeEmbedding, time=True),
    "time_layers.TimeEmbedding: forward backward",
    share=2,
)


@attack("layers before forward", share=0.2)
def before_forward(draw: Draw) -> Trial:
    """A backward without a forward is a RuntimeError."""
    W, b = np.ones((2, 3)), np.ones(3)
    layer = draw.pick(
        (
            layers.MatMul(W),
            layers.Affine(W, b),
            layers.Sigmoid(),
            layers.Relu(),
            layers.Softmax(),
            layers.SoftmaxWithLoss(),
            layers.SigmoidWithLoss(),
            layers.IdentityWithLoss(),
            layers.Tanh(),
            layers.Flatten(),
            layers.BatchNormalization(b, b),
            layers.Convolution(np.ones((1, 1, 1, 1)), b[:1]),
            layers.Repeat(2),
            layers.Sum(),
            layers.Dropout(),
            layers.Embedding(W),
            book1.Affine(W, b),
            book1.SoftmaxWithLoss(),
            book1.BatchNormalization(b, b),
            book1.Convolution(np.ones((1, 1, 1, 1)), b[:1]),
            book1.Pooling(1, 1),
            time_layers.TimeAffine(W, b),
            time_layers.TimeSoftmaxWithLoss(),
            time_layers.TimeDropout(),
            time_layers.TimeRNN(np.ones((2, 2)), np.ones((2, 2)), np.ones(2)),
        )
    )
    draw.note(type(layer).__name__, legal=False)
    dout = draw.array((2, 3), calm=True)

    def never() -> Sequence[Expected]:
        raise Refused("no forward")

    return Trial(lambda: layer.backward(dout), never, [dout], [layer], errors=(RuntimeError,))
