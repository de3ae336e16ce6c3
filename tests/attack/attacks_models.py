"""Attacks on the networks of `models` and on the trainers: their methods, and every option of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import books2_numpy as books
import numpy as np
import optimizers_numpy
from attacks_functions import plain_softmax, stable_sigmoid
from judge import Expected, Trial, exactly
from odd import Draw, Refused, plain, plain_labels, plain_number, plain_whole
from plain import net1, trainer1, trainer2
from table import add, attack

from scratchnet import Adam, Momentum, MultiLayerNet, RnnlmTrainer, Trainer, TwoLayerNet, optimizer
from scratchnet import plotting as drawing
from scratchnet.book1 import multi_layer_net
from scratchnet.book1 import trainer as book1_trainer
from scratchnet.time_layers import TimeAffine, TimeEmbedding, TimeRNN, TimeSoftmaxWithLoss

CLOSE = {"f4": 2e-4, "f8": 1e-9}  # of scores, losses and gradients, relative to the largest number; see trajectory.py


class Plain:
    """The chain in plain NumPy: Affine, sigmoid or relu, ..., Affine, softmax with loss."""

    def __init__(self, params: list[np.ndarray], activation: str) -> None:
        self.params = [np.array(p, np.float64) for p in params]
        self.activation = stable_sigmoid if activation == "sigmoid" else lambda x: np.maximum(x, 0)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.kept = [x]
        for W, b in zip(self.params[:-2:2], self.params[1:-2:2], strict=True):
            self.kept.append(self.activation(self.kept[-1] @ W + b))
        return self.kept[-1] @ self.params[-2] + self.params[-1]

    def forward(self, x: np.ndarray, t: np.ndarray) -> float:
        self.y, self.t = plain_softmax(self.predict(x)), t
        return float(-np.sum(np.log(self.y[np.arange(len(x)), t] + 1e-7)) / len(x))

    def backward(self, dout: float = 1) -> np.ndarray:
        d = self.y.copy()
        d[np.arange(len(d)), self.t] -= 1
        d *= dout / len(d)
        self.grads = []
        for i in range(len(self.params) - 2, -1, -2):
            x = self.kept[i // 2]
            self.grads = [x.T @ d, d.sum(axis=0), *self.grads]
            d = d @ self.params[i].T
            if i:
                d = d * ((1 - x) * x if self.activation is stable_sigmoid else x > 0)
        return d


def network(cls: Any) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        dtype, activation = draw.pick(("f4", "f8")), draw.pick(("sigmoid", "relu"))
        D, M, C, N = (int(draw.rng.integers(low, 7)) for low in (1, 1, 2, 1))
        options: dict[str, Any] = dict(activation=activation, dtype=dtype, rng=int(draw.rng.integers(99)))
        if cls is TwoLayerNet:
            net = TwoLayerNet(D, M, C, 0.7, **options)
        else:
            net = MultiLayerNet(D, [M] * draw.pick((0, 1, 2)), C, weight_init_std=draw.pick(("he", 0.5)), **options)
        for p in net.params[1::2]:
            p[...] = draw.rng.standard_normal(p.shape)
        x, t = draw.array((N, D), extremes=False), draw.labels(N, C)
        dout = draw.number(1, 0.5, odd=0.2)
        method = draw.pick(("predict", "forward", "loss", "gradient", "accuracy", "backward", "prepare_labels", "to"))

        def numbers() -> tuple[Plain, np.ndarray, np.ndarray]:
            a = plain(x, dtype)
            if a.ndim == 0 or a.shape[-1] != D:
                raise Refused("x")
            rows = a.reshape(int(np.prod(a.shape[:-1])), D)
            labels = plain_labels(t, len(rows), C) if method not in ("predict", "backward", "to") else None
            return Plain(net.params, activation), rows, labels

        def close(*trues: Any) -> list[Expected]:
            scale = max(1.0, *(float(np.abs(v).max(initial=0)) for v in (*trues, plain(x, dtype))))
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
                p = Plain(net.params, activation)
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
            if not len(rows):
                return [Expected(0.0)] if method != "gradient" else exactly(*(np.zeros(g.shape) for g in net.grads))
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


# The trainers


FIT = (
    "x t max_epoch batch_size max_grad eval_interval validation verbose progress rng callbacks".split()
)  # every argument of Trainer.fit that is attacked below; test_names.py compares
TRAINER = "model optimizer compile lang".split()
RNNLM_FIT = "xs ts max_epoch batch_size time_size max_grad eval_interval verbose".split()
BOOK1_TRAINER = (
    "network x_train t_train x_test t_test epochs mini_batch_size optimizer optimizer_param "
    "evaluate_sample_num_per_epoch verbose"
).split()


def is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least


@attack("trainer.Trainer: fit", share=4)
def fit(draw: Draw) -> Trial:
    """A fit with any options against the book's own Trainer in plain NumPy."""
    dtype, activation, seed = draw.pick(("f4", "f8")), draw.pick(("sigmoid", "relu")), int(draw.rng.integers(999))
    kind = draw.pick(("SGD", "SGD", "Momentum", "AdaGrad", "Adam"))
    lr = 0.01
    N = int(draw.rng.integers(6, 20))
    net = TwoLayerNet(2, 3, 3, 0.7, activation=activation, dtype=dtype, rng=seed)
    for p in net.params[1::2]:
        p[...] = draw.rng.standard_normal(p.shape)  # no relu lies at 0
    x, t = draw.array((N, 2), extremes=False), draw.labels(N, 3)
    options: dict[str, Any] = dict(
        max_epoch=draw.whole(1, 2, 3, 0, odd=0.06),
        batch_size=draw.whole(1, 2, 5, odd=0.06),
        max_grad=draw.pick((None, None, 1.0, 0.1)) if draw.chance(0.9) else draw.number(1, odd=1),
        eval_interval=draw.pick((None, 1, 2, 20)) if draw.chance(0.9) else draw.whole(1, odd=1),
        verbose=draw.chance(0.3),
        progress=draw.chance(0.03),
        rng=draw.pick((None, np.random.RandomState(seed))) if draw.chance(0.9) else draw.pick(("a", -1, 1.5)),
        callbacks=draw.pick(((), [], [lambda tr: None], [lambda tr: tr.current_epoch == 1], (print,))),
        validation=None,
    )
    if isinstance(options["rng"], str | float | int):
        draw.note("rng", legal=False)
    if draw.chance(0.05):
        options["callbacks"] = draw.pick((5, [3], "ab", None, {}))
        draw.note("callbacks", legal=False)
    if draw.chance(0.2):
        options["validation"] = (draw.array((3, 2), extremes=False), draw.labels(3, 3))
    elif draw.chance(0.05):
        options["validation"] = draw.pick((5, (1,), [], "ab", (x,)))
        draw.note("validation", legal=False)
    if draw.is_huge:
        options |= dict(max_epoch=2, batch_size=2) if is_whole(options["max_epoch"], 0) else {}
    draw.is_huge = False
    engine = draw.pick((None, None, False, True))
    draw.is_legal &= not is_whole(options["batch_size"], N + 1) and engine is not True
    start = [p.copy() for p in net.params]
    trainer = Trainer(net, getattr(optimizer, kind)(lr), compile=engine)

    def call() -> Any:
        np.random.seed(seed)
        trainer.fit(x, t, **options)
        return [*trainer.loss_list, *[p.copy() for p in net.params]]

    def expect() -> list[Expected]:
        if not is_whole(options["max_epoch"], 0) or not is_whole(options["batch_size"], 1):
            raise Refused("a number")
        if options["eval_interval"] is not None and not is_whole(options["eval_interval"], 1):
            raise Refused("eval_interval")
        if options["max_grad"] is not None and not plain_number(options["max_grad"]) > 0:
            raise Refused("max_grad")
        if options["max_epoch"] == 0:  # nothing happens, whatever the rest is
            return exactly(*start)
        if "rng" in draw.notes or "callbacks" in draw.notes or "validation" in draw.notes:
            raise Refused("an option")
        a = plain(x, dtype)
        if a.shape[1:] != (2,) or options["batch_size"] > len(a):
            raise Refused("the data")
        labels = plain_labels(t, len(a), 3)
        if options["validation"] is not None:
            v = plain(options["validation"][0], dtype)
            if v.shape[1:] != (2,) or not len(v):
                raise Refused("validation")
            plain_labels(options["validation"][1], len(v), 3)
        epochs = int(options["max_epoch"])
        if any(callable(c) and c.__name__ == "<lambda>" and "current_epoch" in c.__code__.co_names
               for c in options["callbacks"]):  # fmt: skip
            epochs = min(epochs, 1)
        model = Plain(start, activation)
        model.params = [p.astype(np.float64) for p in start]
        plain_trainer = trainer2.Trainer(model, getattr(optimizers_numpy, kind)(lr))
        np.random.seed(seed)
        interval = options["eval_interval"]
        plain_trainer.fit(
            a, labels, epochs, int(options["batch_size"]), options["max_grad"], 10**9 if interval is None else int(interval)
        )
        losses = [] if interval is None else plain_trainer.loss_list
        if not np.all(np.abs(a) < 100) or not np.all(np.isfinite(losses)):
            return [Expected(np.zeros(np.shape(v)), np.inf) for v in (*losses, *start)]
        # Adam and AdaGrad divide by a gradient's size: what is rounding alone becomes a step of lr.
        close = {"f4": 2e-3, "f8": 1e-7}[dtype] * (1 + np.abs(a).max())
        steps = epochs * (len(a) // int(options["batch_size"]))
        drift = 2 * lr * steps if kind in ("AdaGrad", "Adam") and (dtype == "f4" or not a.any()) else 0.0
        return [Expected(v, close + drift) for v in (*losses, *model.params)]

    return Trial(call, expect, [x, t, options["validation"]], [net.params])


@attack("trainer.Trainer with odd arguments", share=0.3)
def trainer_with_odd_arguments(draw: Draw) -> Trial:
    model: Any = draw.pick((TwoLayerNet(2, 3, 3, rng=0), TwoLayerNet, None, 5, object()))
    with_optimizer: Any = draw.pick((Adam(), Momentum(), Adam, None, "Adam", lambda p, g: None))
    options = dict(compile=draw.pick((None, True, False, 5, "yes")), lang=draw.pick((None, "en", "ko", "jp", 5, ["en"])))
    draw.note(repr((model, with_optimizer, options))[:300], legal=False)

    def expect() -> list[Any]:
        if not isinstance(model, TwoLayerNet) or not hasattr(with_optimizer, "lr"):
            raise Refused("an argument")
        if options["compile"] in (5, "yes") or options["lang"] not in (None, "en", "ko"):
            raise Refused("an option")
        return [True]

    return Trial(lambda: Trainer(model, with_optimizer, **options) is not None, expect)


class LanguageModel:
    """scratchnet's layers in a language model."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        embed, Wx, Wh, b, W, c = weights
        self.layers = [TimeEmbedding(embed), TimeRNN(Wx, Wh, b, stateful=True), TimeAffine(W, c)]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    def forward(self, xs: Any, ts: Any) -> float:
        for layer in self.layers:
            xs = layer.forward(xs)
        return self.loss_layer.forward(xs, ts)

    def backward(self, dout: float = 1) -> None:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)


@attack("rnnlm_trainer.RnnlmTrainer: fit get_batch", share=1.5)
def rnnlm_fit(draw: Draw) -> Trial:
    V, dtype = 5, draw.pick(("f4", "f8"))
    weights = books.rnnlm_weights(V, 2, 3, gates=1, dtype=dtype, rng=int(draw.rng.integers(99)))
    corpus = draw.rng.integers(0, V, int(draw.rng.integers(14, 30)))
    xs: Any = corpus[:-1].astype(draw.pick(("i8", "i4", "u1")))
    ts: Any = corpus[1:].copy()
    if draw.chance(0.2):
        how = draw.pick(("type", "high", "length", "float"))
        draw.note(f"words: {how}", legal=False)
        if how == "type":
            xs = draw.array((len(ts),))
        elif how == "high":
            (xs if draw.chance(0.5) else ts)[draw.pick((0, -1))] = V
        elif how == "length":
            ts = ts[:-1]
        else:
            ts = ts.astype("f8")
    options: dict[str, Any] = dict(
        max_epoch=draw.whole(1, 2, 0, odd=0.06),
        batch_size=draw.whole(1, 2, odd=0.06),
        time_size=draw.whole(1, 3, 5, odd=0.06),
        max_grad=draw.pick((None, 1.0, 0.1)) if draw.chance(0.9) else draw.number(1, odd=1),
        eval_interval=draw.pick((None, 1, 3)) if draw.chance(0.9) else draw.whole(1, odd=1),
        verbose=draw.chance(0.2),
    )
    if draw.is_huge and is_whole(options["max_epoch"], 4):
        options["max_epoch"] = 2
    draw.is_huge = False
    model = LanguageModel([w.copy() for w in weights])
    trainer = RnnlmTrainer(model, optimizer.SGD(0.1), lang=draw.pick((None, "ko", "en")))

    def call() -> Any:
        trainer.fit(xs, ts, **options)
        return [*trainer.ppl_list, *[p.copy() for p in model.params]]

    def expect() -> list[Expected]:
        numbers = [(name, options[name]) for name in ("max_epoch", "batch_size", "time_size")]
        if not all(is_whole(n, 0 if name == "max_epoch" else 1) for name, n in numbers):
            raise Refused("a number")
        if options["eval_interval"] is not None and not is_whole(options["eval_interval"], 1):
            raise Refused("eval_interval")
        if options["max_grad"] is not None and not plain_number(options["max_grad"]) > 0:
            raise Refused("max_grad")
        if options["max_epoch"] == 0:
            return exactly(*weights)
        words = int(options["batch_size"]) * int(options["time_size"])
        if draw.notes and any(n.startswith("words") for n in draw.notes):
            raise Refused("the words")  # or taken, where the odd ones are in no batch: see below
        if len(corpus) - 1 < words:
            raise Refused("a short text")
        plain_model = books.Rnnlm([w.astype("f8") for w in weights], step=books.RNN)
        interval = options["eval_interval"]
        losses = books.fit(
            plain_model, corpus, lr=0.1, max_epoch=int(options["max_epoch"]), batch_size=int(options["batch_size"]),
            time_size=int(options["time_size"]), max_grad=options["max_grad"],
            eval_interval=10**9 if interval is None else int(interval),
        )  # fmt: skip
        losses = [] if interval is None else losses
        return [Expected(v, CLOSE[dtype] * 10 * (1 + np.abs(v))) for v in (*losses, *plain_model.params)]

    def taken_or_refused() -> Any:
        if any(n in ("words: high", "words: length") for n in draw.notes):
            try:
                call()
            except (ValueError, IndexError):
                raise
            raise IndexError("a word in no batch")
        return call()

    short = is_whole(options["batch_size"], 1) and is_whole(options["time_size"], 1)
    draw.is_legal &= short and int(options["batch_size"]) * int(options["time_size"]) <= len(corpus) - 1
    return Trial(taken_or_refused, expect, [xs, ts], [])


@attack("book1.trainer.Trainer: train train_step", share=1)
def book1_fit(draw: Draw) -> Trial:
    seed, N = int(draw.rng.integers(999)), int(draw.rng.integers(4, 12))
    x, t = draw.rng.standard_normal((N, 3)), draw.rng.integers(0, 3, N)
    options: dict[str, Any] = dict(
        epochs=draw.pick((1, 2)) if draw.chance(0.9) else draw.whole(1, odd=1),
        mini_batch_size=draw.pick((1, 3, 20)) if draw.chance(0.9) else draw.whole(1, odd=1),
        optimizer=draw.pick(("SGD", "momentum", "Nesterov", "AdaGrad", "rmsprop", "Adam"))
        if draw.chance(0.95)
        else draw.pick(("LBFGS", None, 5)),
        optimizer_param=draw.pick((None, {"lr": 0.01}, {"lr": 0.1}))
        if draw.chance(0.95)
        else draw.pick(({"lr": -1}, {"speed": 1}, 5)),
        evaluate_sample_num_per_epoch=draw.pick((None, 2, 1000)),
        verbose=draw.chance(0.3),
    )
    odd = not isinstance(options["optimizer"], str) or options["optimizer"] == "LBFGS"
    odd |= options["optimizer_param"] not in (None, {"lr": 0.01}, {"lr": 0.1})
    odd |= not is_whole(options["epochs"], 0) or not is_whole(options["mini_batch_size"], 1)
    if odd or draw.is_huge:
        draw.is_legal = False
        options["epochs"] = options["epochs"] if not is_whole(options["epochs"], 3) else 2
    if is_whole(options["mini_batch_size"], 10**6):
        options["mini_batch_size"] = 50
    draw.is_huge = False

    def made(net_class: Any, trainer_class: Any) -> Any:
        np.random.seed(seed)
        net = net_class(3, [4], 3)
        return trainer_class(net, x, t, x, t, **options)

    def call() -> Any:
        trainer = made(multi_layer_net.MultiLayerNet, book1_trainer.Trainer)
        trainer.train()
        return [*trainer.train_loss_list, *trainer.train_acc_list, *trainer.test_acc_list]

    def expect() -> list[Expected]:
        if odd:
            raise Refused("an option")
        trainer = made(net1.MultiLayerNet, trainer1.Trainer)
        trainer.train()
        shares = [*trainer.train_acc_list, *trainer.test_acc_list]
        return [Expected(v, 1e-7 * (1 + abs(v))) for v in trainer.train_loss_list] + [Expected(v, 1e-12) for v in shares]

    return Trial(call, expect, [x, t])


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
            if points.size and np.isfinite(points).all() and isinstance(h, int | float) and 0 < h < 1e-3 * (
                1 + np.abs(points).max()
            ):
                raise ValueError("so fine a grid is not tried")
            if isinstance(margin, int | float) and abs(margin) > 1e4:
                raise ValueError("so wide a margin is not tried")
        return drawing.decision_regions(Regions(), x, h=h, margin=margin)

    draw.is_legal = False
    return Trial(call, expect, [x], errors=(ValueError, IndexError, Refused))


