"""What a version of one of the books' definitions is tried on: random inputs, and what comes of them.

A trial is a function of the definition and a generator: it uses the definition as the books' scripts do, and
returns everything that they could see of it, arrays, numbers, lines. `differences` compares two such results.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Trial = Callable[[Any, Rng], Any]

CLOSE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def differences(theirs: Any, ours: Any, where: str = "result", dtypes: bool = True) -> list[str]:
    """Return how two results differ: in kind, dtype, shape, or by more than rounding."""
    if isinstance(theirs, State) and isinstance(ours, State):
        ours = {k: ours.get(k) for k in theirs}
        theirs = dict(theirs)
    if isinstance(theirs, dict | list | tuple) and type(theirs) is type(ours) and len(theirs) == len(ours):
        if isinstance(theirs, dict):
            if theirs.keys() != ours.keys():
                return [f"{where}: keys {[*theirs]} and {[*ours]}"]
            pairs = [(f"{where}[{k!r}]", theirs[k], ours[k]) for k in theirs]
        else:
            pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(theirs, ours, strict=True))]
        return [d for place, a, b in pairs for d in differences(a, b, place, dtypes)]
    if isinstance(theirs, np.ndarray | np.generic | float | int) and not isinstance(theirs, bool):
        if not isinstance(ours, np.ndarray | np.generic | float | int):
            return [f"{where}: {type(theirs).__name__} and {type(ours).__name__}"]
        a, b = np.asarray(theirs), np.asarray(ours)
        if a.shape != b.shape:
            return [f"{where}: shapes {a.shape} and {b.shape}"]
        if dtypes and a.dtype != b.dtype and a.ndim:
            return [f"{where}: dtypes {a.dtype} and {b.dtype}"]
        if a.dtype.kind not in "fc" and b.dtype.kind not in "fc":
            return [] if np.array_equal(a, b) else [f"{where}: other numbers"]
        close = max(CLOSE.get(a.dtype, 1e-9), CLOSE.get(b.dtype, 1e-9))
        scale = np.max(np.abs(a), initial=0, where=np.isfinite(a))
        return (
            []
            if np.allclose(a, b, rtol=close, atol=close * scale, equal_nan=True)
            else [f"{where}: other numbers"]
        )
    if type(theirs) is type(ours) and theirs == ours:
        return []
    return [f"{where}: {theirs!r:.60} and {ours!r:.60}"]


def printed(function: Callable[[], Any]) -> str:
    """Return what a call prints, without times; numbers to six places, since the last digits may differ."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function()
    text = re.sub(r"(time|시간) \d+\[s\]", "", out.getvalue())
    return re.sub(r"\d+\.\d+(e[-+]\d+)?", lambda m: f"{float(m[0]):.6g}", text)


class State(dict[str, Any]):
    """Attributes of an object; ours may have more of them than theirs."""


def state_of(layer: Any, *names: str) -> State:
    """Return a layer's weights and gradients, and further attributes that scripts read."""
    found = State()
    for name in ("params", "grads", "dW", "db", "dgamma", "dbeta", *names):
        value = getattr(layer, name, None)
        if isinstance(value, np.ndarray):
            found[name] = value.copy()
        elif isinstance(value, list) and value:
            found[name] = [np.array(v) for v in value]
    return found


def layer(
    arguments: Callable[[Rng, np.dtype], tuple],
    shape: Callable[[Rng], tuple],
    *,
    names: tuple[str, ...] = (),
    flags: bool = False,
    whole: bool = False,
) -> Trial:
    """Return a trial of a layer of one input: forward, backward, twice; with a train_flg; of indices if whole."""

    def trial(kind: Any, rng: Rng) -> Any:
        results = []
        for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
            made = kind(*arguments(rng, dtype))
            for train in (True, False) if flags else (None,):
                for _ in range(2):
                    size = shape(rng)
                    x = rng.integers(0, 7, size) if whole else rng.standard_normal(size).astype(dtype)
                    np.random.seed(rng.integers(1000))
                    y = made.forward(x) if train is None else made.forward(x, train)
                    results.append((np.array(y), state_of(made, *names)))
                    if train is not False and callable(getattr(made, "backward", None)):
                        dx = made.backward(rng.standard_normal(y.shape).astype(y.dtype))
                        results.append((dx, state_of(made, *names)))
        return results

    return trial


def loss(shape: Callable[[Rng], tuple], labels: Callable[[Rng, tuple], list]) -> Trial:
    """Return a trial of a layer with loss: every kind of labels, and dout other than 1."""

    def trial(kind: Any, rng: Rng) -> Any:
        results = []
        for dtype in (np.float64, np.float32):
            size = shape(rng)
            for t in labels(rng, size):
                made = kind()
                x = rng.standard_normal(size).astype(dtype)
                value = made.forward(x.copy(), t)
                results.append((np.asarray(value, dtype), made.backward()))
                made.forward(x.copy(), t)
                results.append(made.backward(1))
        return results

    return trial


def function(*calls: Callable[[Rng], tuple]) -> Trial:
    """Return a trial of a function on these arguments."""
    return lambda f, rng: [f(*call(rng)) for call in calls for _ in range(3)]


def optimizer_trial(of_dicts: bool, **settings: float) -> Trial:
    def trial(kind: Any, rng: Rng) -> Any:
        results = []
        for given in ({}, settings):
            for dtype in (np.float64, np.float32):
                made = kind(**given)
                params = [rng.standard_normal(s).astype(dtype) for s in ((3, 4), (4,))]
                names = ["W1", "b1"]
                for _ in range(4):
                    grads = [rng.standard_normal(p.shape).astype(dtype) for p in params]
                    if of_dicts:
                        made.update(dict(zip(names, params, strict=True)), dict(zip(names, grads, strict=True)))
                    else:
                        made.update(params, grads)
                    results.append([p.copy() for p in params])
                states = {k: v for k, v in vars(made).items() if k in ("v", "h", "m", "lr", "iter", "momentum")}
                results.append({k: [*v.values()] if isinstance(v, dict) else v for k, v in states.items()})
        return results

    return trial


def n(*shape: int, dtype: Any = None) -> Callable[[Rng, np.dtype], tuple]:
    """Return arguments of a layer: one array of this shape."""
    return lambda rng, d: (rng.standard_normal(shape).astype(dtype or d),)


def both(*shapes: tuple[int, ...]) -> Callable[[Rng, np.dtype], tuple]:
    return lambda rng, d: tuple(rng.standard_normal(s).astype(d) for s in shapes)


def rows(*shape: int) -> Callable[[Rng], tuple]:
    return lambda rng: (int(rng.integers(1, 9)), *shape)


def class_labels(rng: Rng, size: tuple) -> list:
    t = rng.integers(0, size[-1], size[:-1])
    return [t, np.eye(size[-1])[t], np.eye(size[-1], dtype=int)[t]]


def yes_or_no(rng: Rng, size: tuple) -> list:
    return [rng.integers(0, 2, size[0])]


def only_indices(rng: Rng, size: tuple) -> list:
    return [rng.integers(0, size[-1], size[:-1])]


def cell(gates: int, states: int) -> Trial:
    """Return a trial of RNN, LSTM or GRU, a step of each."""

    def trial(kind: Any, rng: Rng) -> Any:
        results = []
        for dtype in (np.float64, np.float32):
            made = kind(*both((3, gates * 4), (4, gates * 4), (gates * 4,))(rng, np.dtype(dtype)))
            for _ in range(2):
                inputs = [rng.standard_normal(s).astype(dtype) for s in ((5, 3), *[(5, 4)] * states)]
                out = made.forward(*inputs)
                outs = out if isinstance(out, tuple) else (out,)
                back = made.backward(*(rng.standard_normal(o.shape).astype(dtype) for o in outs))
                results.append((outs, back, [*made.params, *made.grads]))
        return results

    return trial


def cells_in_time(gates: int, both_ways: bool = False) -> Trial:
    def trial(kind: Any, rng: Rng) -> Any:
        results = []
        for stateful in (False, True):
            shapes = ((3, gates * 4), (4, gates * 4), (gates * 4,)) * (2 if both_ways else 1)
            made = kind(*both(*shapes)(rng, np.dtype(np.float32)), stateful)
            for _ in range(3):
                hs = made.forward(rng.standard_normal((5, 6, 3)).astype(np.float32))
                dxs = made.backward(rng.standard_normal(hs.shape).astype(np.float32))
                state = {k: getattr(made, k, None) for k in ("h", "c", "dh", "stateful")}
                results.append((np.array(hs), np.array(dxs), state_of(made), state))
            if not both_ways:
                made.reset_state()
                results.append(getattr(made, "h", "none"))
        return results

    return trial


def in_time(arguments: Callable[[Rng, np.dtype], tuple], shape: tuple, *, whole: bool = False) -> Trial:
    def trial(kind: Any, rng: Rng) -> Any:
        made = kind(*arguments(rng, np.dtype(np.float32)))
        results = []
        for _ in range(2):
            x = rng.integers(0, 7, shape) if whole else rng.standard_normal(shape).astype(np.float32)
            np.random.seed(rng.integers(1000))
            y = made.forward(x)
            dx = made.backward(rng.standard_normal(y.shape).astype(np.float32))
            results.append((np.array(y), dx, state_of(made)))
        return results

    return trial


def time_dropout(kind: Any, rng: Rng) -> Any:
    made = kind(0.3)
    results = []
    for made.train_flg in (True, False):
        np.random.seed(3)
        x = rng.standard_normal((4, 5, 6)).astype(np.float32)
        results.append(made.forward(x))
        if made.train_flg:
            results.append(made.backward(np.ones_like(x)))
    return results


def time_loss(kind: Any, rng: Rng) -> Any:
    results = []
    for with_ignored in (False, True):
        made = kind()
        xs = rng.standard_normal((4, 5, 6)).astype(np.float32)
        ts = rng.integers(-1 if with_ignored else 0, 6, (4, 5))
        results += [np.float32(made.forward(xs, ts)), made.backward()]
    made = kind()
    results += [np.float32(made.forward(xs, np.eye(6, dtype=int)[np.abs(ts)])), made.backward(1)]
    return results


def time_sigmoid_loss(kind: Any, rng: Rng) -> Any:
    made = kind()
    xs, ts = rng.standard_normal((4, 5)).astype(np.float32), rng.integers(0, 2, (4, 5))
    return [np.float32(made.forward(xs, ts)), made.backward()]


def pooling(kind: Any, rng: Rng) -> Any:
    results = []
    for settings in ((2, 2), (2, 2, 2), (3, 3, 1), (2, 3, 2, 0)):
        made = kind(*settings)
        x = rng.standard_normal((2, 3, 7, 8))
        y = made.forward(x)
        results.append((np.array(y), np.array(made.backward(rng.standard_normal(y.shape)))))
        results.append([made.pool_h, made.pool_w, made.stride, made.pad])
    return results


def convolution(kind: Any, rng: Rng) -> Any:
    results = []
    for settings in ((), (1, 0), (2, 1)):
        made = kind(*both((4, 3, 3, 2), (4,))(rng, np.dtype(np.float64)), *settings)
        y = made.forward(rng.standard_normal((2, 3, 7, 8)))
        results.append((np.array(y), np.array(made.backward(rng.standard_normal(y.shape))), state_of(made)))
        results.append([made.stride, made.pad])
    return results


def batch_normalization(kind: Any, rng: Rng) -> Any:
    results = []
    for shape in ((6, 5), (4, 5, 1, 1)):
        made = kind(*both((5,), (5,))(rng, np.dtype(np.float64)))
        for train in (True, True, False):
            y = made.forward(rng.standard_normal(shape), train)
            results.append(np.array(y))
            if train:
                results.append((made.backward(rng.standard_normal(shape)), state_of(made)))
            results.append([np.array(made.running_mean), np.array(made.running_var)])
    return results


def image_windows(f: Any, rng: Rng) -> Any:
    x = rng.standard_normal((2, 3, 6, 7))
    return [f(x, 3, 2), f(x, 2, 2, 2), f(x, 3, 3, 1, 1), f(x, filter_h=2, filter_w=3, stride=1, pad=2)]


def images_back(f: Any, rng: Rng) -> Any:
    def call(H: int, W: int, P: int, Q: int, stride: int, pad: int) -> Any:
        Y, X = (H + 2 * pad - P) // stride + 1, (W + 2 * pad - Q) // stride + 1
        return np.array(f(rng.standard_normal((2 * Y * X, 3 * P * Q)), (2, 3, H, W), P, Q, stride, pad))

    return [call(6, 7, 3, 2, 1, 0), call(6, 6, 2, 2, 2, 0), call(5, 6, 3, 3, 1, 1)]


def numerical(f: Any, rng: Rng) -> Any:
    results = []
    for shape in ((3,), (2, 3)):
        x = rng.standard_normal(shape)
        results += [f(lambda v: np.sum(v**2) + np.prod(np.cos(v)), x), x]
    return results


def one_d(f: Any, rng: Rng) -> Any:
    return f(lambda v: np.sum(v**2), rng.standard_normal(4))


def two_d(f: Any, rng: Rng) -> Any:
    return [f(lambda v: np.sum(v**2), rng.standard_normal(s)) for s in ((3,), (2, 3))]


SENTENCE = "You say goodbye and I say hello. Then I go and you stay."


def preprocess(f: Any, rng: Rng) -> Any:
    corpus, word_to_id, id_to_word = f(SENTENCE)
    return [corpus, word_to_id, id_to_word]


def corpus(rng: Rng) -> np.ndarray:
    return rng.integers(0, 7, 40)


def ppmi_trial(f: Any, rng: Rng) -> Any:
    counts = np.rint(np.abs(rng.standard_normal((11, 11))) * 3).astype(np.int32)
    counts = counts + counts.T + 1
    return [f(counts), printed(lambda: f(counts, verbose=True))]


def words(rng: Rng) -> tuple[dict, dict, np.ndarray]:
    id_to_word = dict(enumerate(["you", "say", "goodbye", "and", "i", "hello", "."]))
    return {w: i for i, w in id_to_word.items()}, id_to_word, rng.standard_normal((7, 5))


def most_similar_trial(f: Any, rng: Rng) -> Any:
    w2i, i2w, matrix = words(rng)
    return [printed(lambda: f("you", w2i, i2w, matrix, top=3)), printed(lambda: f("none", w2i, i2w, matrix))]


def analogy_trial(f: Any, rng: Rng) -> Any:
    w2i, i2w, matrix = words(rng)
    return [
        printed(lambda: f("you", "say", "and", w2i, i2w, matrix, 3)),
        printed(lambda: f("you", "say", "and", w2i, i2w, matrix, 3, answer="hello")),
        printed(lambda: f("none", "say", "and", w2i, i2w, matrix)),
    ]


def clip(f: Any, rng: Rng) -> Any:
    results = []
    for most in (0.1, 100.0):
        grads = [rng.standard_normal(s).astype(np.float32) for s in ((3, 4), (4,))]
        results += [f(grads, most), grads]
    return results


def duplicates(f: Any, rng: Rng) -> Any:
    W, V = rng.standard_normal((3, 4)), rng.standard_normal((4,))
    grads = [rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal((3, 4))]
    params, left = f([W, V, W], [g.copy() for g in grads])
    tied, left_tied = f([W, W.T], [grads[0].copy(), grads[2].T.copy()])
    return [params, left, tied, left_tied]


def shuffled(f: Any, rng: Rng) -> Any:
    np.random.seed(int(rng.integers(100)))
    return [
        [*f(rng.standard_normal((5, 3)), rng.integers(0, 3, 5))],
        [*f(rng.standard_normal((5, 1, 2, 2)), rng.integers(0, 3, 5))],
    ]


class Model:
    """A model of book 2, for its trainers."""

    def __init__(self, layers: list[Any], loss_layer: Any) -> None:
        self.layers, self.loss_layer = layers, loss_layer
        self.params = [p for layer in layers for p in layer.params]
        self.grads = [g for layer in layers for g in layer.grads]

    def forward(self, x: Any, t: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss_layer.forward(x, t)

    def backward(self, dout: Any = 1) -> Any:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self) -> None:
        for layer in self.layers:
            if hasattr(layer, "reset_state"):
                layer.reset_state()


def small_net(rng: Rng) -> Model:
    from scratchnet.book2.layers import Affine, Sigmoid, SoftmaxWithLoss

    W1, b1, W2, b2 = (rng.standard_normal(s) for s in ((2, 6), (6,), (6, 3), (3,)))
    return Model([Affine(W1, b1), Sigmoid(), Affine(W2, b2)], SoftmaxWithLoss())


def trainer_2(kind: Any, rng: Rng) -> Any:
    from scratchnet.book2.optimizer import SGD

    results = []
    for more in ({}, {"max_grad": 0.3}):
        model = small_net(rng)
        x, t = rng.standard_normal((90, 2)), rng.integers(0, 3, 90)
        np.random.seed(4)
        trainer = kind(model, SGD(0.5))
        line = printed(
            lambda t=t, x=x, tr=trainer, m=more: tr.fit(x, t, max_epoch=3, batch_size=10, eval_interval=4, **m)
        )
        results += [line, trainer.loss_list, trainer.current_epoch, trainer.eval_interval, model.params]
    return results


def multi_layer(kind: Any, rng: Rng) -> Any:
    results = []
    settings: list[dict[str, Any]] = [
        {},
        {"activation": "sigmoid", "weight_init_std": 0.1},
        {"weight_decay_lambda": 0.2},
    ]
    if "Extend" in kind.__name__:
        settings += [{"use_batchnorm": True}, {"use_dropout": True, "dropout_ration": 0.3}]
    x, t = rng.standard_normal((6, 5)), rng.integers(0, 3, 6)
    for given in settings:
        np.random.seed(2)
        net = kind(input_size=5, hidden_size_list=[4, 6], output_size=3, **given)
        results += [dict(net.params), net.predict(x), float(net.loss(x, t)), float(net.accuracy(x, t))]
        np.random.seed(3)
        results += [net.gradient(x, t), net.gradient(x, np.eye(3)[t]), [*net.layers]]
    return results


def trainer_1(kind: Any, rng: Rng) -> Any:
    from scratchnet.book1.multi_layer_net import MultiLayerNet

    results = []
    x, t = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)
    for optimizer in ("SGD", "momentum", "nesterov", "adagrad", "rmsprop", "adam"):
        np.random.seed(5)
        net = MultiLayerNet(5, [4], 3)
        made = kind(net, x, t, x[:20], t[:20], epochs=3, mini_batch_size=10, optimizer=optimizer,
                    optimizer_param={"lr": 0.1}, evaluate_sample_num_per_epoch=15)  # fmt: skip
        results.append(printed(made.train))
        results += [
            [*map(float, getattr(made, a))] for a in ("train_loss_list", "train_acc_list", "test_acc_list")
        ]
        results += [made.current_iter, made.current_epoch, dict(net.params)]
    return results


def scores(rng: Rng) -> tuple:
    return (rng.standard_normal((4, 5)) * 3,)


def vector(rng: Rng) -> tuple:
    return (rng.standard_normal(5) * 3,)


def probabilities(rng: Rng) -> np.ndarray:
    y = rng.random((4, 5))
    return y / y.sum(axis=1, keepdims=True)


CLASSES = (
    lambda rng: (probabilities(rng), rng.integers(0, 5, 4)),
    lambda rng: (probabilities(rng), np.eye(5)[rng.integers(0, 5, 4)]),
    lambda rng: (probabilities(rng)[0], np.eye(5)[int(rng.integers(0, 5))]),
)
SQUARES = (lambda rng: (rng.random(5), rng.random(5)), lambda rng: (rng.random((4, 5)), np.eye(5)[:4]))
SETTINGS = {
    "SGD": {"lr": 0.3},
    "Momentum": {"lr": 0.3, "momentum": 0.7},
    "Nesterov": {"lr": 0.3, "momentum": 0.7},
    "AdaGrad": {"lr": 0.3},
    "RMSprop": {"lr": 0.3, "decay_rate": 0.8},
    "Adam": {"lr": 0.3, "beta1": 0.8, "beta2": 0.9},
}

# By book, module and name; a name that is not here is never served in a reader's place.
TRIALS: dict[tuple[int, str, str], Trial] = {
    **{(b, "optimizer", name): optimizer_trial(b == 1, **s) for b in (1, 2) for name, s in SETTINGS.items()},
    **{(b, "functions", "sigmoid"): function(scores, vector) for b in (1, 2)},
    **{(b, "functions", "relu"): function(scores, vector) for b in (1, 2)},
    **{(b, "functions", "softmax"): function(scores, vector) for b in (1, 2)},
    **{(b, "functions", "cross_entropy_error"): function(*CLASSES) for b in (1, 2)},
    **{(1, "functions", n): function(scores, vector) for n in ("identity_function", "sigmoid_grad", "relu_grad")},
    (1, "functions", "step_function"): function(vector),
    (1, "functions", "softmax_loss"): function(lambda r: (*scores(r), r.integers(0, 5, 4))),
    **{(1, "functions", n): function(*SQUARES) for n in ("mean_squared_error", "sum_squared_error")},
    (1, "functions", "sum_squares_error"): function(*SQUARES),
    (1, "gradient", "numerical_gradient"): numerical,
    (1, "gradient", "numerical_gradient_2d"): two_d,
    (1, "gradient", "_numerical_gradient_1d"): one_d,
    (1, "layers", "Affine"): layer(both((12, 3), (3,)), lambda r: [(5, 12), (2, 3, 2, 2)][int(r.integers(2))]),
    (1, "layers", "Relu"): layer(lambda r, d: (), rows(4)),
    (1, "layers", "Sigmoid"): layer(lambda r, d: (), rows(4)),
    (1, "layers", "Dropout"): layer(lambda r, d: (0.3,), rows(4), flags=True),
    (1, "layers", "SoftmaxWithLoss"): loss(rows(5), class_labels),
    (1, "layers", "BatchNormalization"): batch_normalization,
    (1, "layers", "Convolution"): convolution,
    (1, "layers", "Pooling"): pooling,
    (1, "util", "im2col"): image_windows,
    (1, "util", "col2im"): images_back,
    (1, "util", "smooth_curve"): function(lambda r: (r.standard_normal(60),)),
    (1, "util", "shuffle_dataset"): shuffled,
    (1, "util", "conv_output_size"): function(lambda r: (9, 3), lambda r: (9, 3, 2, 1)),
    (1, "multi_layer_net", "MultiLayerNet"): multi_layer,
    (1, "multi_layer_net_extend", "MultiLayerNetExtend"): multi_layer,
    (1, "trainer", "Trainer"): trainer_1,
    (2, "layers", "MatMul"): layer(n(4, 3), rows(4)),
    (2, "layers", "Affine"): layer(both((4, 3), (3,)), rows(4)),
    (2, "layers", "Softmax"): layer(lambda r, d: (), rows(4)),
    (2, "layers", "Sigmoid"): layer(lambda r, d: (), rows(4)),
    (2, "layers", "Dropout"): layer(lambda r, d: (0.3,), rows(4), flags=True),
    (2, "layers", "Embedding"): layer(n(7, 3), rows(), whole=True),
    (2, "layers", "SoftmaxWithLoss"): loss(rows(5), class_labels),
    (2, "layers", "SigmoidWithLoss"): loss(rows(), yes_or_no),
    (2, "time_layers", "RNN"): cell(1, 1),
    (2, "time_layers", "LSTM"): cell(4, 2),
    (2, "time_layers", "GRU"): cell(3, 1),
    (2, "time_layers", "TimeRNN"): cells_in_time(1),
    (2, "time_layers", "TimeLSTM"): cells_in_time(4),
    (2, "time_layers", "TimeGRU"): cells_in_time(3),
    (2, "time_layers", "TimeBiLSTM"): cells_in_time(4, both_ways=True),
    (2, "time_layers", "TimeEmbedding"): in_time(n(7, 3), (4, 5), whole=True),
    (2, "time_layers", "TimeAffine"): in_time(both((6, 3), (3,)), (4, 5, 6)),
    (2, "time_layers", "TimeDropout"): time_dropout,
    (2, "time_layers", "TimeSoftmaxWithLoss"): time_loss,
    (2, "time_layers", "TimeSigmoidWithLoss"): time_sigmoid_loss,
    (2, "trainer", "Trainer"): trainer_2,
    (2, "trainer", "remove_duplicate"): duplicates,
    (2, "util", "preprocess"): preprocess,
    (2, "util", "cos_similarity"): function(lambda r: (r.standard_normal(5), r.standard_normal(5))),
    (2, "util", "most_similar"): most_similar_trial,
    (2, "util", "analogy"): analogy_trial,
    (2, "util", "convert_one_hot"): function(lambda r: (corpus(r), 7), lambda r: (corpus(r).reshape(20, 2), 7)),
    (2, "util", "create_co_matrix"): function(lambda r: (corpus(r), 7), lambda r: (corpus(r), 7, 3)),
    (2, "util", "create_contexts_target"): function(lambda r: (corpus(r),), lambda r: (corpus(r), 2)),
    (2, "util", "ppmi"): ppmi_trial,
    (2, "util", "clip_grads"): clip,
    (2, "util", "normalize"): function(lambda r: (r.standard_normal((4, 5)),), vector),
    (2, "util", "to_cpu"): function(vector),
}
# Dtypes that differ on purpose, where the book has fixed ones: see the README.
OWN_DTYPES = {
    "RNN",
    "LSTM",
    "GRU",
    "TimeRNN",
    "TimeLSTM",
    "TimeGRU",
    "TimeBiLSTM",
    "Adam",
    "TimeEmbedding",
    "Dropout",
    "SoftmaxWithLoss",
    "SigmoidWithLoss",
    "dataset.spiral",  # an older np.int: as long as the platform's
}


def two_layers(kind: Any, rng: Rng) -> Any:
    from scratchnet.book2.optimizer import SGD
    from scratchnet.book2.trainer import Trainer

    np.random.seed(int(rng.integers(100)))
    net = kind(input_size=2, hidden_size=7, output_size=3)
    x, t = rng.standard_normal((60, 2)), rng.integers(0, 3, 60)
    results = [[p.copy() for p in net.params], net.predict(x), net.forward(x, np.eye(3)[t])]
    net.backward()
    results += [[g.copy() for g in net.grads], [type(layer).__name__ for layer in (*net.layers, net.loss_layer)]]
    trainer = Trainer(net, SGD(1.0))
    results += [printed(lambda: trainer.fit(x, t, max_epoch=5, batch_size=10, eval_interval=3)), net.params]
    return results


def simple_convnet(kind: Any, rng: Rng) -> Any:
    from scratchnet.book1.trainer import Trainer

    np.random.seed(int(rng.integers(100)))
    side, stride, pad = int(rng.integers(3, 5)), int(rng.integers(1, 3)), int(rng.integers(0, 2))
    height = side + stride * (2 * int(rng.integers(1, 4)) - 1) - 2 * pad
    settings = {"filter_num": 3, "filter_size": side, "pad": pad, "stride": stride}
    net = kind((2, height, height), settings, hidden_size=7, output_size=4, weight_init_std=0.3)
    x, t = rng.standard_normal((30, 2, height, height)), rng.integers(0, 4, 30)
    results = [{name: p.copy() for name, p in net.params.items()}, net.predict(x), net.loss(x, np.eye(4)[t])]
    results += [net.accuracy(x, t, batch_size=7), net.accuracy(x, np.eye(4)[t], 10), net.accuracy(x, t)]
    results += [net.gradient(x, t), net.numerical_gradient(x[:2], t[:2]) if height < 5 else {}]
    results += [[(name, type(layer).__name__) for name, layer in net.layers.items()]]
    options = {"epochs": 2, "mini_batch_size": 10, "optimizer": "Adam", "optimizer_param": {"lr": 0.01}}
    trainer = Trainer(net, x, t, x[:9], t[:9], **options)
    results += [printed(trainer.train), trainer.train_loss_list, net.params]
    with tempfile.TemporaryDirectory() as folder:
        net.save_params(f"{folder}/params.pkl")
        net.params["W3"] = net.params["W3"] * 0
        net.load_params(f"{folder}/params.pkl")
    return [*results, net.params, net.layers["Affine2"].W is net.params["W3"], net.predict(x)]


TRIALS[1, "simple_convnet", "SimpleConvNet"] = simple_convnet
TRIALS[2, "two_layer_net", "TwoLayerNet"] = two_layers
TRIALS[2, "time_layers", "Simple_TimeAffine"] = in_time(both((6, 3), (3,)), (4, 5, 6))


def small_language_model(rng: Rng) -> Model:
    from scratchnet.book2.time_layers import TimeAffine, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss

    shapes = ((11, 6), (6, 20), (5, 20), (20,), (5, 11), (11,))
    V, Wx, Wh, b, W, c = (rng.standard_normal(s).astype("f") for s in shapes)
    layers = [TimeEmbedding(V), TimeLSTM(Wx, Wh, b, stateful=True), TimeAffine(W, c)]
    return Model(layers, TimeSoftmaxWithLoss())


def language_trainer(kind: Any, rng: Rng) -> Any:
    from scratchnet.book2.optimizer import SGD

    results = []
    for more in ({}, {"max_grad": 0.25}):
        model = small_language_model(rng)
        text = rng.integers(0, 11, 400)
        trainer = kind(model, SGD(1.0))
        line = printed(
            lambda tr=trainer, t=text, m=more: tr.fit(
                t[:-1], t[1:], max_epoch=2, batch_size=4, time_size=5, eval_interval=3, **m
            )
        )
        results += [
            line,
            [*map(np.float32, trainer.ppl_list)],
            trainer.current_epoch,
            trainer.time_idx,
            model.params,
        ]
    return results


def saved_model(kind: Any, rng: Rng) -> Any:
    class Model(kind):
        def __init__(self) -> None:
            self.params = [rng.standard_normal((3, 4)).astype("f"), rng.standard_normal(4).astype("f")]
            self.grads: list[Any] = []

    results: list[Any] = []
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name in (None, "weights.pkl"):
                model = Model()
                model.save_params(name) if name else model.save_params()
                results += [sorted(os.listdir()), [p.astype("f2") for p in model.params]]
                other = Model()
                other.load_params(name) if name else other.load_params()
                results.append(other.params)
        finally:
            os.chdir(here)
    return results


TRIALS[2, "trainer", "RnnlmTrainer"] = language_trainer
TRIALS[2, "base_model", "BaseModel"] = saved_model


def perplexity(f: Any, rng: Rng) -> Any:
    model = small_language_model(rng)
    text = rng.integers(0, 11, 300)
    found: list[Any] = []
    line = printed(lambda: found.append(np.float32(f(model, text, batch_size=4, time_size=5))))
    return [found, line]


def simple_time_loss(kind: Any, rng: Rng) -> Any:
    made = kind()
    xs, ts = rng.standard_normal((4, 5, 6)).astype(np.float32), rng.integers(0, 6, (4, 5))
    return [np.float32(made.forward(xs, ts)), made.backward()]


def sequences(f: Any, rng: Rng) -> Any:
    class Model:
        def generate(self, question: Any, start: int, length: int) -> list[int]:
            return [int((q + start) % 9) for q in question[0][:length]]

    names = {i: "0123456789"[i] for i in range(10)}
    question, correct = rng.integers(0, 9, (1, 5)), rng.integers(0, 9, (1, 4))
    results: list[Any] = []
    for values in ((False, False), (True, False), (True, True)):
        line = printed(lambda v=values: results.append(f(Model(), question, correct, names, *v)))
        results.append(line)
    return results


TRIALS[2, "util", "eval_perplexity"] = perplexity
TRIALS[2, "util", "eval_seq2seq"] = sequences
TRIALS[2, "time_layers", "Simple_TimeSoftmaxWithLoss"] = simple_time_loss


def files_of(folder: Path, rng: Rng) -> None:
    """Write small files of the books' data sets: MNIST's, the Penn Treebank's and the sums'."""
    for part, n in (("train", 12), ("t10k", 11)):
        images, labels = rng.integers(0, 256, (n, 28, 28)), rng.permutation(n) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            packed = gzip.compress(head + array.astype(np.uint8).tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    vocabulary = ["you", "say", "goodbye", "<unk>", "n't"]
    for part in ("train", "valid", "test"):
        words = [*rng.permutation(vocabulary), *rng.choice(vocabulary, 40)]
        (folder / f"ptb.{part}.txt").write_text(f" {' '.join(words[:20])} \n {' '.join(words[20:])} \n")
    sums = [(int(a), int(b)) for a, b in rng.integers(0, 999, (20, 2))]
    (folder / "addition.txt").write_text("".join(f"{f'{a}+{b}':<7}{f'_{a + b}':<5}\n" for a, b in sums))


def mnist(module: Any, rng: Rng) -> Any:
    flags = [(n, f, o) for n in (True, False) for f in (True, False) for o in (True, False)]
    named = {"normalize": False, "one_hot_label": True}
    return [module.load_mnist(*f) for f in flags] + [module.load_mnist(), module.load_mnist(**named)]


def ptb(module: Any, rng: Rng) -> Any:
    return [[*module.load_data(part)] for part in ("train", "test")] + [
        [*module.load_vocab()],
        [*module.load_data()],
    ]


def sequence(module: Any, rng: Rng) -> Any:
    module.char_to_id.clear()  # what files loaded before have left
    module.id_to_char.clear()
    (x, t), (x_test, t_test) = module.load_data("addition.txt", seed=int(rng.integers(99)))
    return [x, t, x_test, t_test, [*module.get_vocab()]]


def spiral(module: Any, rng: Rng) -> Any:
    return [[*module.load_data()], [*module.load_data(int(rng.integers(99)))], np.random.rand()]


def plain_names(module: Any, rng: Rng) -> Any:
    return [getattr(module, "GPU", False), getattr(module, "np", np).array([1.0, 2.0])]


# Of modules that are served as a whole or not at all.
MODULE_TRIALS: dict[str, Trial] = {
    "dataset.mnist": mnist,
    "dataset.ptb": ptb,
    "dataset.sequence": sequence,
    "dataset.spiral": spiral,
    "common.config": plain_names,
    "common.np": plain_names,
}
