"""Attacks on the three trainers: every option of a fit, against the books' own trainers in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks_models import CLOSE, Plain
from chain_model import Chain
from judge import Expected, Trial, exactly
from numpy_books import book1, book2, rnnlm
from odd import Draw, Refused, plain, plain_labels, plain_number
from table import attack

from scratchnet import Adam, Momentum, RnnlmTrainer, Trainer, TwoLayerNet, optimizer
from scratchnet.book1 import multi_layer_net
from scratchnet.book1 import trainer as book1_trainer
from scratchnet.time_layers import TimeAffine, TimeEmbedding, TimeRNN, TimeSoftmaxWithLoss

# Every argument of the trainers is attacked below; test_calls.py compares these with the signatures.
FIT = ["x", "t", "max_epoch", "batch_size", "max_grad", "eval_interval", "validation", "verbose", "progress"]
FIT += ["rng", "callbacks", "metric", "checkpoint", "resume", "sample_weight", "drop_last", "sharded"]
TRAINER = ["model", "optimizer", "compile", "lang", "comm"]
RNNLM_FIT = ["xs", "ts", "max_epoch", "batch_size", "time_size", "max_grad", "eval_interval", "verbose"]
RNNLM_FIT += ["checkpoint", "resume"]
BOOK1_TRAINER = ["network", "x_train", "t_train", "x_test", "t_test", "epochs", "mini_batch_size", "optimizer"]
BOOK1_TRAINER += ["optimizer_param", "evaluate_sample_num_per_epoch", "verbose"]


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
        options["callbacks"] = draw.pick((5, [3], "ab"))
        draw.note("callbacks", legal=False)
    if draw.chance(0.2):
        options["validation"] = (draw.array((3, 2), extremes=False), draw.labels(3, 3))
    elif draw.chance(0.05):
        options["validation"] = draw.pick((5, (1,), [], "ab", (x,)))
        draw.note("validation", legal=False)
    elif draw.chance(0.05):
        name, odd = draw.pick(
            (
                ("metric", "ab"),
                ("metric", len),
                ("checkpoint", 5),
                ("checkpoint", ""),
                ("resume", 1),
                ("resume", True),
                (
                    "sample_weight",
                    draw.pick((-np.ones(N), np.zeros(N), np.full(N, np.nan), np.ones(N + 1), "ab", 2)),
                ),
                ("drop_last", draw.pick((5, "no", None))),
                ("sharded", draw.pick((5, "no", None))),
            )
        )
        options[name] = odd
        draw.note("files", legal=False)
    elif draw.chance(0.2):  # equal ones, which change nothing
        options["sample_weight"] = draw.pick((np.full(N, 3), [0.5] * N, np.ones(N, bool), np.ones(N, np.float16)))
    if draw.chance(0.2):
        for name in ("drop_last", "sharded"):
            options.setdefault(name, draw.chance(0.5))
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

    def expect() -> list[Expected] | None:
        if not is_whole(options["max_epoch"], 0) or not is_whole(options["batch_size"], 1):
            raise Refused("a number")
        if options["eval_interval"] is not None and not is_whole(options["eval_interval"], 1):
            raise Refused("eval_interval")
        if options["max_grad"] is not None and not plain_number(options["max_grad"]) > 0:
            raise Refused("max_grad")
        if options["max_epoch"] == 0:  # nothing happens, whatever the rest is
            return exactly(*start)
        if {"rng", "callbacks", "validation", "files"} & set(draw.notes):
            raise Refused("an option")
        a = plain(x, dtype)
        if a.shape[-1:] != (2,) or a.size != 2 * len(a):
            raise Refused("the data")
        a = a.reshape(len(a), 2)  # Affine takes any axes before the last
        if options["batch_size"] > len(a):
            raise Refused("the data")
        labels = plain_labels(t, len(a), 3)
        if options["validation"] is not None:
            v = plain(options["validation"][0], dtype)
            if v.shape[1:] != (2,) or not len(v):
                raise Refused("validation")
            plain_labels(options["validation"][1], len(v), 3)
        if not options.get("drop_last", True) and len(a) % int(options["batch_size"]):
            return None  # the book's trainer has no smaller last batch: tests/test_sample_weight.py
        epochs = int(options["max_epoch"])
        if any(callable(c) and c.__name__ == "<lambda>" and "current_epoch" in c.__code__.co_names
               for c in options["callbacks"]):  # fmt: skip
            epochs = min(epochs, 1)
        model = Plain(start, activation)
        model.params = [p.astype(np.float64) for p in start]
        plain_trainer = book2.trainer.Trainer(model, getattr(book2.optimizer, kind)(lr))
        np.random.seed(seed)
        interval = options["eval_interval"]
        plain_trainer.fit(
            a,
            labels,
            epochs,
            int(options["batch_size"]),
            options["max_grad"],
            10**9 if interval is None else int(interval),
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
    options = dict(
        compile=draw.pick((None, True, False, 5, "yes")),
        lang=draw.pick((None, "en", "ko", "jp", 5, ["en"])),
        comm=draw.pick((None, None, 5, "world", object())),
    )
    draw.note(repr((model, with_optimizer, options))[:300], legal=False)

    def expect() -> list[Any]:
        if not isinstance(model, TwoLayerNet) or not hasattr(with_optimizer, "lr"):
            raise Refused("an argument")
        if options["compile"] in (5, "yes") or options["lang"] not in (None, "en", "ko"):
            raise Refused("an option")
        if options["comm"] is not None:
            raise Refused("comm")
        return [True]

    return Trial(lambda: Trainer(model, with_optimizer, **options) is not None, expect)


class LanguageModel(Chain):
    """scratchnet's layers in a language model."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        embed, Wx, Wh, b, W, c = weights
        layers = [TimeEmbedding(embed), TimeRNN(Wx, Wh, b, stateful=True), TimeAffine(W, c)]
        super().__init__(layers, TimeSoftmaxWithLoss())


@attack("rnnlm_trainer.RnnlmTrainer: fit get_batch", share=1.5)
def rnnlm_fit(draw: Draw) -> Trial:
    V, dtype = 5, draw.pick(("f4", "f8"))
    weights = rnnlm.weights(V, 2, 3, gates=1, dtype=dtype, rng=int(draw.rng.integers(99)))
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
    if draw.chance(0.05):
        options |= draw.pick(({"checkpoint": 5}, {"checkpoint": ""}, {"resume": 1}, {"resume": True}))
        draw.note("files", legal=False)
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
        if "files" in draw.notes:
            raise Refused("an option")
        words = int(options["batch_size"]) * int(options["time_size"])
        if draw.notes and any(n.startswith("words") for n in draw.notes):
            raise Refused("the words")  # or taken, where the odd ones are in no batch: see below
        if len(corpus) - 1 < words:
            raise Refused("a short text")
        plain_model = rnnlm.Rnnlm([w.astype("f8") for w in weights], step=book2.time_layers.RNN)
        interval = options["eval_interval"]
        whole = {name: int(n) for name, n in numbers}
        every = 10**9 if interval is None else int(interval)
        losses = rnnlm.fit(plain_model, corpus, lr=0.1, max_grad=options["max_grad"], eval_interval=every, **whole)
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
        optimizer_param=draw.pick((None, {"lr": 0.01}, {"lr": 0.1})) if draw.chance(0.95) else {"lr": -1},
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
        trainer = made(book1.multi_layer_net.MultiLayerNet, book1.trainer.Trainer)
        trainer.train()
        shares = [*trainer.train_acc_list, *trainer.test_acc_list]
        return [Expected(v, 1e-7 * (1 + abs(v))) for v in trainer.train_loss_list] + [
            Expected(v, 1e-12) for v in shares
        ]

    return Trial(call, expect, [x, t])
