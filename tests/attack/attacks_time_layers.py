"""Attacks on book 2's recurrent layers and on the layers over time that are no others' namesakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attacks_functions import plain_softmax, rows_of, softmax_bound
from attacks_layers import STAGES, as_bias, draw_dout, outcome, plain_dout
from judge import Expected, Trial, bounds, chained, least, rounding
from numpy_books import book2
from odd import Draw, Refused, float_dtype, parameter_dtype, plain, plain_labels, plain_number
from table import add, attack

from scratchnet import time_layers

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def draw_weights(draw: Draw, gates: int, D: int, H: int, *, calm: bool) -> list[Any]:
    """Wx, Wh and b, ordinary numbers of one dtype; or something odd."""
    dtype = draw.pick(("f4", "f8"))
    shapes = (D, gates * H), (H, gates * H), (gates * H,)
    if calm or draw.chance(0.5):
        return [draw.numbers(shape, dtype, extremes=False) * 0.7 for shape in shapes]
    return [draw.parameter(shape) for shape in shapes]


def plain_weights(weights: list[Any], gates: int) -> tuple[Any, list[np.ndarray]]:
    own = parameter_dtype(weights[0])
    if weights[2] is None:  # no bias
        weights = [*weights[:2], np.zeros(1)]
    for w in weights:
        parameter_dtype(w)
    Wx, Wh, b = (plain(w, own) for w in weights)
    if Wx.ndim != 2 or Wh.ndim != 2:
        raise Refused("axes")
    width = gates * len(Wh)
    if Wx.shape[1:] != (width,) or Wh.shape[1:] != (width,):
        raise Refused("shapes")
    return own, [Wx, Wh, as_bias(b, width)]


def is_ordinary(*arrays: np.ndarray) -> bool:
    return all(np.all(np.abs(a) < 1e3) for a in arrays)  # NaN is not


def expected(trues: list[np.ndarray], steps: int, own: Any, *given: np.ndarray) -> list[Expected]:
    """Within the rounding of so many steps, if no number given is extreme; else only the shapes count."""
    if not is_ordinary(*given):
        return [Expected(np.zeros(np.shape(t)), np.inf, own) for t in trues]
    scale = max([1.0, *(float(np.abs(t).max(initial=0)) for t in [*trues, *given])])
    return [chained(t, 32 * (steps + 1), own, scale * scale) for t in trues]


def step(kind: str) -> Callable[[Draw], Trial]:
    """RNN, LSTM or GRU: one time step."""
    cls, book, gates = getattr(time_layers, kind), getattr(book2.time_layers, kind), GATES[kind]
    states = 2 if kind == "LSTM" else 1

    def make(draw: Draw) -> Trial:
        stage, N, D, H = draw.pick(STAGES), draw.size(), draw.size(), draw.size()
        weights = draw_weights(draw, gates, D, H, calm=stage != "build")
        given = [
            draw.array(shape, calm=stage != "forward", extremes=False) for shape in [(N, D)] + [(N, H)] * states
        ]

        def numbers() -> tuple[Any, Any, list[np.ndarray], list[np.ndarray]]:
            own, ws = plain_weights(weights, gates)
            if given[0] is None:
                raise Refused("x")
            zeros = np.zeros((len(plain(given[0])), len(ws[1])))  # what None stands for
            xs = [zeros if a is None else plain(a, own) for a in given]
            if xs[0].ndim != 2 or xs[0].shape[1] != len(ws[0]):
                raise Refused("x")
            if any(s.shape != (len(xs[0]), len(ws[1])) for s in xs[1:]):
                raise Refused("a state")
            return own, book(*ws), ws, xs

        def expect_forward() -> list[Expected]:
            own, layer, ws, xs = numbers()
            return expected(list(layer.forward(*xs)), D + H, own, *ws, *xs)

        if stage == "build":
            return Trial(lambda: cls(*weights).forward(*given), expect_forward, [*weights, *given])
        layer = cls(*weights)
        if stage == "forward":
            return Trial(lambda: layer.forward(*given), expect_forward, [*weights, *given], [layer])
        layer.forward(*given)
        douts = [draw_dout(draw, (N, H)) for _ in range(states)]

        def expect_backward() -> list[Expected]:
            own, plain_layer, ws, xs = numbers()
            ds = [plain_dout(d, (N, H), own) for d in (douts[0], *(0 if d is None else d for d in douts[1:]))]
            plain_layer.forward(*xs)
            trues = [*plain_layer.backward(*ds), *plain_layer.grads]
            return expected(trues, D + H + N, own, *ws, *xs, *ds)

        # Of the two gradients of an LSTM's states, None stands for zeros; of h alone there is none.
        return Trial(
            lambda: outcome(layer, layer.backward(*douts)), expect_backward, [*weights, *given, *douts], [layer],
            errors=(ValueError, IndexError, *((TypeError,) if douts[0] is None else ())),
        )  # fmt: skip

    return make


def sequence(kind: str) -> Callable[[Draw], Trial]:
    """TimeRNN, TimeLSTM or TimeGRU: all time steps, with states that are kept, set or forgotten."""
    cls, book, gates = getattr(time_layers, "Time" + kind), getattr(book2.time_layers, kind), GATES[kind]

    def make(draw: Draw) -> Trial:
        stage = draw.pick(STAGES)
        N, T, D, H = draw.size(), int(draw.rng.integers(stage != "forward", 6)), draw.size(), draw.size()
        weights = draw_weights(draw, gates, D, H, calm=stage != "build")
        xs = draw.array((N, T, D), calm=stage != "forward", extremes=False)
        stateful = draw.chance(0.5)
        first = None
        if stateful and draw.chance(0.5):
            first = draw.array((N, H), calm=stage != "forward", extremes=False)

        def numbers() -> tuple[Any, Any, list[np.ndarray], np.ndarray]:
            own, ws = plain_weights(weights, gates)
            a = plain(xs, own)
            if a.ndim != 3 or a.shape[2] != len(ws[0]):
                raise Refused("xs")
            layer = book2.time_layers.Time(book, *ws, stateful)
            if first is not None:
                h = plain(first, own)
                if h.shape != (len(a), len(ws[1])):
                    raise Refused("a state")
                layer.states = (h, np.zeros_like(h))[: 1 + (kind == "LSTM")]
            return own, layer, ws, a

        def expect_forward() -> list[Expected]:
            own, layer, ws, a = numbers()
            hs = layer.forward(a)
            return expected([hs], a.shape[1] * (D + H), own, *ws, a)

        def forward(layer: Any) -> Any:
            if first is not None:
                layer.set_state(first)
            return layer.forward(xs)

        inputs = [*weights, xs, first]
        if stage == "build":
            return Trial(lambda: forward(cls(*weights, stateful)), expect_forward, inputs)
        layer = cls(*weights, stateful)
        if draw.chance(0.3):
            layer.forward(np.ones((2, 3, D)))
            layer.reset_state()
        if stage == "forward":
            if first is not None:
                layer.set_state(first)
            return Trial(lambda: layer.forward(xs), expect_forward, inputs, [layer])
        forward(layer)
        dhs = draw_dout(draw, (N, T, H))

        def backward() -> list[Any]:
            dxs = layer.backward(dhs)
            return [*outcome(layer, dxs), layer.dh]

        def expect_backward() -> list[Expected]:
            own, plain_layer, ws, a = numbers()
            ds = plain_dout(dhs, (N, T, H), own)
            plain_layer.forward(a)
            dxs = plain_layer.backward(ds)
            return expected([dxs, *plain_layer.grads, plain_layer.dh], T * (D + H + N), own, *ws, a, ds)

        return Trial(backward, expect_backward, [*inputs, dhs], [layer])

    return make


for _kind in GATES:
    add(f"time_layers.{_kind}", step(_kind), f"time_layers.{_kind}: forward backward", share=2)
    add(
        f"time_layers.Time{_kind}",
        sequence(_kind),
        f"time_layers.Time{_kind}: forward backward set_state reset_state",
        share=2,
    )


@attack("time_layers.TimeBiLSTM: forward backward", share=2)
def bidirectional(draw: Draw) -> Trial:
    stage = draw.pick(STAGES)
    N, T, D, H = draw.size(), int(draw.rng.integers(stage != "forward", 5)), draw.size(), draw.size()
    dtype = draw.pick(("f4", "f8"))
    shapes = [(D, 4 * H), (H, 4 * H), (4 * H,)] * 2
    weights: list[Any] = [draw.numbers(shape, dtype, extremes=False) for shape in shapes]
    if stage == "build":
        weights = [*draw_weights(draw, 4, D, H, calm=False), *weights[3:]]
    xs = draw.array((N, T, D), calm=stage != "forward", extremes=False)

    def numbers() -> tuple[Any, list[Any], list[np.ndarray], np.ndarray]:
        own, ahead = plain_weights(weights[:3], 4)
        back_own, back = plain_weights(weights[3:], 4)
        a = plain(xs, own)
        if a.ndim != 3 or a.shape[2] != len(ahead[0]) or len(ahead[0]) != len(back[0]):
            raise Refused("xs")
        coarser = own if own.itemsize < back_own.itemsize else back_own
        return (
            coarser,
            [book2.time_layers.TimeLSTM(*w) for w in (ahead, back)],
            [*ahead, *back],
            a,
        )

    def expect_forward() -> list[Expected]:
        own, (ahead, back), ws, a = numbers()
        hs = np.concatenate((ahead.forward(a), back.forward(a[:, ::-1])[:, ::-1]), axis=2)
        return expected([hs], T * (D + H), own, *ws, a)

    if stage == "build":
        return Trial(lambda: time_layers.TimeBiLSTM(*weights).forward(xs), expect_forward, [*weights, xs])
    layer = time_layers.TimeBiLSTM(*weights)
    if stage == "forward":
        return Trial(lambda: layer.forward(xs), expect_forward, [*weights, xs], [layer])
    layer.forward(xs)
    dhs = draw.array((N, T, 2 * H))

    def expect_backward() -> list[Expected]:
        own, (ahead, back), ws, a = numbers()
        ds = plain(dhs, own)
        if ds.shape != (N, T, 2 * H):
            raise Refused("dhs")
        ahead.forward(a), back.forward(a[:, ::-1])
        dxs = ahead.backward(ds[:, :, :H]) + back.backward(ds[:, ::-1, H:])[:, ::-1]
        return expected([dxs, *ahead.grads, *back.grads], T * (D + H + N), own, *ws, a, ds)

    return Trial(lambda: outcome(layer, layer.backward(dhs)), expect_backward, [*weights, xs, dhs], [layer])


@attack("time_layers.TimeSoftmaxWithLoss: forward backward", share=2)
def time_softmax_with_loss(draw: Draw) -> Trial:
    """The loss without its 1e-7, with steps that do not count."""
    stage, layer = draw.pick(STAGES[1:]), time_layers.TimeSoftmaxWithLoss()
    N, T, V = draw.size(), draw.size(high=4), draw.size(low=2)
    xs = draw.array((N, T, V), calm=stage != "forward", extremes=False)
    ts = draw.labels(N * T, V, calm=stage != "forward")
    ignored = isinstance(ts, np.ndarray) and ts.size == N * T > 0 and ts.dtype.kind == "i" and draw.chance(0.4)
    if ignored:
        ts = np.array(ts)
        ts.reshape(-1)[draw.rng.random(N * T) < draw.pick((0.3, 1.0))] = -1

    def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        own = float_dtype(xs)
        a = plain(xs, own)
        if a.ndim == 0:
            raise Refused("a single number")
        rows = rows_of(a)
        t, counts = ts, np.ones(len(rows), bool)
        if isinstance(ts, np.ma.MaskedArray):
            raise Refused("a mask")
        try:
            whole = np.asarray(ts)
        except Exception as error:
            raise Refused(str(error)) from None
        if whole.size == len(rows) and whole.dtype.kind == "i":
            counts = whole.reshape(-1) != -1
            t = np.where(counts, whole.reshape(-1), 0)
        return rows, plain_labels(t, *rows.shape), counts, own

    def expect_forward() -> list[Expected]:
        rows, labels, counts, own = numbers()
        rows, labels = rows[counts], labels[counts]
        y = plain_softmax(rows)
        with np.errstate(all="ignore"):
            p = y[np.arange(len(rows)), labels]
            loss = -np.sum(np.log(p)) / len(rows) if len(rows) else 0.0
            values = {"x": rows, "y": y, "t": labels, "delta": 0, "clip": 0}
            bound = bounds("softmax_cross_entropy_forward", values, own)["return"]
            if len(p) and p.min() < 4 * least(own) / rounding(
                own
            ):  # so near to 0 it may be 0, and the loss infinite
                bound = np.inf
        return [Expected(loss, bound + 1e-13 if np.isfinite(loss) else np.inf)]

    if stage == "forward":
        return Trial(lambda: layer.forward(xs, ts), expect_forward, [xs, ts], [layer])
    layer.forward(xs, ts)
    dout = draw.number(1, 0.5, -2, np.float32(3), odd=0.3)

    def expect_backward() -> list[Expected]:
        rows, labels, counts, own = numbers()
        y, count = plain_softmax(rows), max(int(counts.sum()), 1)
        onehot = np.eye(rows.shape[1])[labels] if rows.shape[1] else np.zeros(rows.shape)
        with np.errstate(all="ignore"):
            true = np.where(counts[:, None], (y - onehot) * plain_number(dout) / count, 0)
            factor = abs(plain_number(dout)) / count
        bound = (softmax_bound(rows, y, own) + 8 * rounding(own)) * factor + 8 * least(own)
        shape = np.shape(xs)
        return [Expected(true.reshape(shape), np.broadcast_to(bound, rows.shape).reshape(shape), own)]

    return Trial(lambda: layer.backward(dout), expect_backward, [xs, ts], [layer])


@attack("time_layers.TimeDropout: forward backward", share=2)
def time_dropout(draw: Draw) -> Trial:
    stage, seed = draw.pick(STAGES), int(draw.rng.integers(1000))
    ratio = draw.number(0, 0.3, 0.5, np.float32(0.25), odd=0.4 * (stage == "build"))
    xs = draw.array(draw.shape(least=1), calm=stage != "forward")
    training = draw.pick((True, None)) if stage == "backward" else draw.pick((True, False, None))

    def scale() -> float:
        number = plain_number(ratio)
        if not 0 <= number < 1:
            raise Refused("the ratio")
        return 1 / (1 - number)

    def scaled() -> float:
        """The scale's own rounding, where the ratio is a number of NumPy's: it may be reckoned in its dtype."""
        return rounding(ratio.dtype) if isinstance(ratio, np.floating) else 0.0

    def mask(shape: tuple[int, ...]) -> np.ndarray:
        np.random.seed(seed)
        return (np.random.rand(*shape) > plain_number(ratio)) * scale()

    def forward(layer: Any) -> Any:
        np.random.seed(seed)
        return layer.forward(xs, training)

    def expect_forward() -> list[Any]:
        scale()
        if training is False:
            return [True]
        own = float_dtype(xs)
        a = plain(xs, own)
        with np.errstate(all="ignore"):
            true = a * mask(a.shape)
        return [Expected(true, 4 * (rounding(own) + scaled()) * np.abs(true) + 4 * least(own), own)]

    def same_or_dropped(layer: Any) -> Any:
        out = forward(layer)
        return out is xs if training is False else out

    if stage == "build":
        return Trial(lambda: same_or_dropped(time_layers.TimeDropout(ratio)), expect_forward, [xs])
    layer = time_layers.TimeDropout(ratio)
    if stage == "forward":
        return Trial(lambda: same_or_dropped(layer), expect_forward, [xs], [layer])
    out = forward(layer)
    dout = draw_dout(draw, np.shape(out))

    def expect_backward() -> list[Expected]:
        own = float_dtype(xs)
        d = plain_dout(dout, np.shape(out), own)
        with np.errstate(all="ignore"):
            true = d * mask(np.shape(out))
        return [Expected(true, 4 * (rounding(own) + scaled()) * np.abs(true) + 4 * least(own), own)]

    return Trial(lambda: layer.backward(dout), expect_backward, [xs, dout], [layer])
