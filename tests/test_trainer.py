"""The Trainer: the books' loss lists, and everything that a reader leans on around them."""

import copy
import pickle
import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from itertools import accumulate

import numpy as np
import pytest
from chain_model import Chain
from numpy_books.training import book_weights
from numpy_books.training import fit as plain_fit
from processes import PYTHON
from tolerances import FLOAT32_EPOCHS, FLOAT32_LOSSES, FLOAT64_EPOCHS, FLOAT64_LOSSES

from scratchnet import (
    SGD,
    Adam,
    Affine,
    Momentum,
    MultiLayerNet,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    _engines,
)
from scratchnet.backends import LossMeans
from scratchnet.dataset import spiral
from scratchnet.trainer import RnnlmTrainer, remove_duplicate

# Products of a few numbers, summed by a kernel and by NumPy in another order, in float64.
ROUNDING = 1e-12
# The mean over the batches is taken in another order than over all samples at once, in float32.
ROUNDING_FLOAT32 = 1e-5

WINDOWS = sys.platform == "win32"
X, T = spiral.load_data()
ROWS = len(X)


def net(seed=0, **options):
    return TwoLayerNet(2, 5, 3, 1.0, rng=seed, **options)


def trained(model=None, optimizer=None, x=X, t=T, *, rng=0, verbose=False, max_epoch=2, batch_size=30, **options):
    """The Trainer after a silent fit."""
    trainer = Trainer(model or net(), optimizer or SGD(1.0))
    trainer.fit(x, t, max_epoch, batch_size, rng=rng, verbose=verbose, **options)
    return trainer


def bits(model):
    return [np.asarray(p).tobytes() for p in model.params]


def stream():
    return pickle.dumps(np.random.get_state())


@pytest.fixture(autouse=True)
def handler():
    """Every fit leaves Python's own handler for Ctrl-C in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


# The same numbers as the books' own code


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("eval_interval", [10, 1, 7])
@pytest.mark.parametrize(
    ("dtype", "epochs", "bound"),
    [(np.float64, FLOAT64_EPOCHS, FLOAT64_LOSSES), (np.float32, FLOAT32_EPOCHS, FLOAT32_LOSSES)],
)
def test_a_seed_gives_the_loss_list_of_plain_numpy(dtype, epochs, bound, eval_interval):
    if eval_interval != 10:
        epochs //= 10  # the windows are what differs, not how rounding grows
    np.random.seed(7)
    params = book_weights([2, 10, 3], [0.01, 0.01])
    expected = plain_fit(params, X, T, lr=1.0, max_epoch=epochs, eval_interval=eval_interval)
    after = stream()

    np.random.seed(7)
    trainer = Trainer(TwoLayerNet(2, 10, 3, dtype=dtype), SGD(lr=1.0))
    trainer.fit(X, T, max_epoch=epochs, batch_size=30, eval_interval=eval_interval, verbose=False)
    np.testing.assert_allclose(trainer.loss_list, expected, rtol=bound, atol=0)
    assert stream() == after
    assert all(type(loss) is float for loss in trainer.loss_list)
    if epochs == 300:
        assert trainer.loss_list[-1] < 0.2 < 1 < trainer.loss_list[0]  # it has learned something


class Recorder:
    """A model that learns nothing and notes the samples of every step."""

    def __init__(self):
        self.params, self.grads, self.seen, self.labels = [np.zeros(1)], [np.zeros(1)], [], []

    def forward(self, x, t):
        self.seen.append(x[:, 0].tolist())
        self.labels.append(t)
        return float(len(self.seen))

    def backward(self):
        for g in self.grads:
            g[...] = 0


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_an_epoch_draws_one_permutation_and_applies_it_to_the_last_ones_order():
    model, data = Recorder(), np.arange(10)[:, None]
    np.random.seed(3)
    trainer = Trainer(model, SGD())
    for epochs in (3, 2):  # a second fit begins with the data's own order again
        trainer.fit(data, np.arange(10), epochs, 4, verbose=False)
    after = stream()
    np.random.seed(3)
    expected = []
    for epochs in (3, 2):
        x = np.arange(10)
        for _ in range(epochs):
            x = x[np.random.permutation(10)]
            expected += [x[:4].tolist(), x[4:8].tolist()]
    assert model.seen == expected and stream() == after
    assert [t.tolist() for t in model.labels] == expected


def test_the_lists_of_a_run_and_of_the_next():
    model = Recorder()
    trainer = Trainer(model, SGD())
    assert (trainer.loss_list, trainer.current_epoch, trainer.history, trainer.engine) == ([], 0, [], "layers")
    assert trainer.model is model and isinstance(trainer.optimizer, SGD)
    trainer.fit(np.zeros((9, 1)), np.zeros(9), 2, 2, eval_interval=3, verbose=False)
    # four steps an epoch with losses 1, 2, ...; a line at steps 1 and 4, each with the mean since the line before
    assert trainer.loss_list == [1.0, 3.0, 5.0, 7.0]
    assert trainer.history == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 6.5}]
    assert trainer.current_epoch == 2 and trainer.eval_interval == 3
    trainer.fit(np.zeros((9, 1)), np.zeros(9), 1, 9, verbose=False)
    assert trainer.loss_list[4:] == [9.0]
    assert trainer.history[2:] == [{"epoch": 3, "loss": 9.0}]
    assert trainer.current_epoch == 3 and trainer.eval_interval == 20


@pytest.mark.parametrize("interval", [None, 1, 2, 3, 4, 10**30])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_means_of_losses_are_added_up_one_after_another(steps, interval):
    losses = np.random.default_rng(0).random(100).tolist()
    lines, epochs, since_line, of_epoch = [], [], [], []
    for i, loss in enumerate(losses):
        since_line.append(loss)
        of_epoch.append(loss)
        if interval and i % steps % interval == 0:
            lines.append((i % steps + 1, list(accumulate(since_line))[-1] / len(since_line)))
            since_line = []
        if i % steps == steps - 1:
            epochs.append(list(accumulate(of_epoch))[-1] / steps)
            of_epoch = []
    means = LossMeans(steps, interval)
    due = [due for start in range(0, 100, 7) for due in means.add(losses[start : start + 7])]
    assert [(step, line) for step, line, _ in due if line is not None] == lines
    assert [epoch for *_, epoch in due if epoch is not None] == epochs


def test_who_could_train_in_whole_steps_is_told_once(capsys):
    class Own(Chain):
        pass

    for verbose, is_told in ((False, False), (True, True), (True, False)):
        trained(Own(net().layers, SoftmaxWithLoss()), verbose=verbose, max_epoch=1)
        assert ("compile=True" in capsys.readouterr().err) is is_told
    trained(verbose=True, max_epoch=1)
    assert capsys.readouterr().err == ""


def test_without_an_interval_there_are_no_lines_and_no_losses(capsys):
    trainer = trained(eval_interval=None, verbose=True)
    assert trainer.loss_list == [] and trainer.current_epoch == 2 and len(trainer.history) == 2
    assert capsys.readouterr().out == ""


def test_no_epochs_do_nothing(capsys):
    model = net()
    before, state = bits(model), stream()
    trainer = Trainer(model, SGD(1.0))
    trainer.fit(X, T, max_epoch=0, validation=(X, T), callbacks=[pytest.fail])
    assert bits(model) == before and stream() == state
    assert trainer.loss_list == [] and trainer.history == [] and trainer.current_epoch == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("rng", [lambda: 5, lambda: np.random.default_rng(5), lambda: np.random.RandomState(5)])
def test_a_stream_of_its_own_is_reproducible_and_leaves_the_global_one_alone(rng):
    before = stream()
    first, second, other = trained(rng=rng()), trained(rng=rng()), trained(rng=6)
    assert stream() == before
    assert first.loss_list == second.loss_list and bits(first.model) == bits(second.model)
    assert first.loss_list != other.loss_list


# Data


@pytest.mark.parametrize(
    "labels",
    [
        T.argmax(axis=1),
        T.argmax(axis=1).astype(np.uint8),
        T.argmax(axis=1)[:, None],
        T.argmax(axis=1).tolist(),
        T.astype(np.float64),
        T.tolist(),
        np.asfortranarray(T),
    ],
)
def test_every_form_of_labels_trains_the_same(labels):
    assert bits(trained(t=labels).model) == bits(trained().model)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float16, bool])
@pytest.mark.parametrize("own", [np.float32, np.float64])
def test_data_of_any_dtype_is_cast_to_the_parameters(dtype, own):
    x = (255 * np.abs(X)).astype(dtype)
    scaled = SGD(0.01)  # these inputs are large
    assert bits(trained(net(dtype=own), scaled, x=x).model) == bits(
        trained(net(dtype=own), scaled, x=x.astype(own)).model
    )


def test_data_is_left_as_it_is_and_may_be_read_only_or_a_list():
    x, t = X.copy(), T.copy()
    x.flags.writeable = t.flags.writeable = False
    expected = bits(trained(x=x, t=t).model)
    assert np.array_equal(x, X) and np.array_equal(t, T)
    assert bits(trained(x=X.tolist(), t=T.tolist()).model) == expected


@pytest.mark.thread_unsafe(reason="tracemalloc counts for the whole process")
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_the_data_set_is_never_copied_whole(dtype):
    """40 MB of float32; uint8 numbers would be as much when cast."""
    x, t = np.ones((10_000, 1000), dtype), np.zeros(10_000, np.int64)
    model = TwoLayerNet(1000, 10, 3)
    tracemalloc.start()
    trained(model, x=x, t=t, max_epoch=1, batch_size=100, validation=(x, t))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x[:100].nbytes < peak < 6e6


# Clipping


def test_max_grad_bounds_the_step():
    free, clipped, loose = (net(dtype=np.float64) for _ in range(3))
    start = [p.copy() for p in free.params]
    for model, max_grad in ((free, None), (clipped, 0.01), (loose, 1e6)):
        trained(model, SGD(1.0), max_epoch=1, batch_size=ROWS, max_grad=max_grad)
    step, short = ([p - s for p, s in zip(m.params, start, strict=True)] for m in (free, clipped))
    norm, short_norm = (np.sqrt(sum((d**2).sum() for d in steps)) for steps in (step, short))
    assert short_norm <= 0.01 < norm
    for a, b in zip(short, step, strict=True):
        np.testing.assert_allclose(a, b * 0.01 / (norm + 1e-6), atol=ROUNDING)
    assert bits(loose) == bits(free)


# Shared weights


class Tied(Chain):
    """The first layer's weights are the last one's too, as they are or transposed, as in book 2's chapter 6."""

    def __init__(self, transposed):
        rng = np.random.default_rng(0)
        width = 5 if transposed else 3
        W, b1, b2 = rng.normal(size=(3, width)), rng.normal(size=width), rng.normal(size=3)
        super().__init__([Affine(W, b1), Sigmoid(), Affine(W.T if transposed else W, b2)], SoftmaxWithLoss())


@pytest.mark.parametrize("max_grad", [None, 0.1])
@pytest.mark.parametrize("transposed", [False, True])
def test_shared_weights_get_the_sum_of_their_gradients_once(transposed, max_grad):
    x, t = np.random.default_rng(1).normal(size=(6, 3)), np.arange(6) % 3
    model, twin, optimizer = Tied(transposed), Tied(transposed), Momentum(0.5)
    own = model.params[0]
    trained(model, optimizer, x, t, max_epoch=1, batch_size=6, max_grad=max_grad)
    twin.forward(x, t)
    twin.backward()
    dW1, db1, dW2, db2 = twin.grads
    summed = [dW1 + (dW2.T if transposed else dW2), db1, db2]
    norm = np.sqrt(sum((g**2).sum() for g in summed))
    rate = 1.0 if max_grad is None else max_grad / (norm + 1e-6)
    assert rate <= 1 and (rate < 1) == (max_grad is not None)
    W, b1, _, b2 = twin.params
    expected = [p - 0.5 * rate * g for p, g in zip([W, b1, b2], summed, strict=True)]
    for actual, e in zip([own, model.params[1], model.params[3]], expected, strict=True):
        np.testing.assert_allclose(actual, e, atol=ROUNDING)
    assert model.params[0] is own and np.shares_memory(model.params[2], own) and len(optimizer.v) == 3


def test_remove_duplicate_merges_by_value_only_when_asked():
    zeros = [np.zeros((3, 3)), np.zeros((3, 3))]
    ones = lambda: [np.ones((3, 3)), np.arange(9.0).reshape(3, 3)]  # noqa: E731
    params, grads = remove_duplicate(zeros, ones())
    assert len(params) == 2 and (grads[0] == 1).all()
    params, grads = remove_duplicate(zeros, ones(), by_value=True)
    assert len(params) == 1 and params[0] is zeros[0]
    np.testing.assert_array_equal(grads[0], 1 + np.arange(9.0).reshape(3, 3).T)


# Validation


def test_validation_adds_what_the_model_makes_of_other_data():
    val_x, val_t = spiral.load_data(7)
    val_x, val_t = val_x[:100], val_t[:100]
    model, seen = net(), []

    def look(trainer):
        seen.append((model.accuracy(X, T), model.forward(val_x, val_t), model.accuracy(val_x, val_t)))

    trainer = trained(model, validation=(val_x, val_t), callbacks=[look], eval_interval=1)
    for k, (entry, (accuracy, val_loss, val_accuracy)) in enumerate(zip(trainer.history, seen, strict=True)):
        assert list(entry) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
        assert entry["epoch"] == k + 1
        assert entry["loss"] == pytest.approx(np.mean(trainer.loss_list[10 * k : 10 * k + 10]), rel=ROUNDING)
        assert (entry["accuracy"], entry["val_accuracy"]) == (accuracy, val_accuracy)
        assert entry["val_loss"] == pytest.approx(val_loss, rel=ROUNDING_FLOAT32)  # 100 is not a multiple of 30
        assert all(type(v) is float for v in list(entry.values())[1:])


def test_validation_does_not_change_the_training():
    assert bits(trained(validation=(X[:7], T[:7])).model) == bits(trained().model)


# Callbacks


def test_callbacks_are_called_with_the_trainer_after_every_epoch():
    seen = []
    trainer = trained(max_epoch=3, callbacks=[lambda tr: seen.append((tr, tr.current_epoch, len(tr.history)))])
    assert seen == [(trainer, k, k) for k in (1, 2, 3)]


@pytest.mark.parametrize("true", [True, np.True_], ids=["Python's", "NumPy's"])
def test_true_stops_after_every_callback_was_called(true):
    seen = []
    stop = [lambda tr: true if tr.current_epoch == 2 else None, lambda tr: seen.append(tr.current_epoch)]
    trainer = trained(max_epoch=9, callbacks=stop)
    assert trainer.current_epoch == 2 and seen == [1, 2]
    assert bits(trainer.model) == bits(trained(max_epoch=2).model)


@pytest.mark.parametrize("value", [None, False, 0, 1, "yes", [1]])
def test_nothing_but_true_stops(value):
    assert trained(max_epoch=2, callbacks=[lambda tr: value]).current_epoch == 2


def test_a_learning_rate_that_a_callback_sets_counts_from_the_next_step():
    after_one = trained(max_epoch=1)

    def freeze(trainer):
        trainer.optimizer.lr = 0.0

    assert bits(trained(max_epoch=3, callbacks=[freeze]).model) == bits(after_one.model)


def test_one_function_needs_no_list():
    seen = []
    trained(max_epoch=2, callbacks=lambda tr: seen.append(tr.current_epoch))
    assert seen == [1, 2]


def test_an_error_in_a_callback_comes_through():
    with pytest.raises(ZeroDivisionError):
        trained(callbacks=[lambda tr: 1 / 0])


# Long fits: how many steps one call makes


class Clock:
    """Stands for time: reads what a test sets, and goes on by so many seconds at each look."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def perf_counter(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-3, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 10**4])
def test_the_steps_of_a_call_are_estimated_from_what_was_done(monkeypatch, seconds, rows):
    monkeypatch.setattr(_engines, "time", Clock(seconds))
    asked = []

    class Plan:
        is_on_gpu = draws = False

        def run(self, order, steps):
            asked.append(min(len(order), steps))
            return [0.0] * asked[-1]

    engine = _engines.Planned(Plan(), 1)
    order = np.arange(rows)
    for _ in range(1000):
        engine.train(order)
    assert engine._steps <= max(4 * rows, 1) and max(asked) <= rows
    assert engine.epochs_at_once(1) <= engine.MAX_ROWS
    if seconds == 1.0:
        assert set(asked) == {1}


@pytest.mark.parametrize("options", [{}, {"callbacks": [lambda tr: None]}, {"validation": (X[:1], T[:1])}])
@pytest.mark.parametrize("epochs", [2000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_long_fit_comes_to_its_end(options, epochs):
    trainer = trained(x=X[:4], t=T[:4], max_epoch=epochs, batch_size=4, **options)
    assert trainer.current_epoch == len(trainer.history) == epochs and trainer.engine == "plan"


# Lines

LINE = {
    "en": r"\| epoch {} \|  iter {} / 10 \| time \d+\[s\] \| loss {:.2f}",
    "ko": r"\| 에폭 {} \|  반복 {} / 10 \| 시간 \d+\[s\] \| 손실 {:.2f}",
}


@pytest.mark.parametrize(
    ("environment", "lang", "printed"),
    [
        (None, None, "en"),
        (None, "ko", "ko"),
        ("ko", None, "ko"),
        ("ko", "en", "en"),
        ("en", "ko", "ko"),
        ("", None, "en"),
    ],
)
def test_lines_are_those_that_the_book_prints(capfd, monkeypatch, environment, lang, printed):
    monkeypatch.delenv("SCRATCHNET_LANG", raising=False)
    if environment is not None:
        monkeypatch.setenv("SCRATCHNET_LANG", environment)
    trainer = Trainer(net(), SGD(1.0), lang=lang)
    trainer.fit(X, T, max_epoch=2, batch_size=30, eval_interval=4)
    out, err = capfd.readouterr()
    places = [(epoch, step) for epoch in (1, 2) for step in (1, 5, 9)]
    assert len(trainer.loss_list) == len(places) == len(out.splitlines())
    for line, (epoch, step), loss in zip(out.splitlines(), places, trainer.loss_list, strict=True):
        assert re.fullmatch(LINE[printed].format(epoch, step, loss), line), line
    assert err == ""


def test_a_second_fit_goes_on_counting_epochs_in_its_lines(capsys):
    trainer = Trainer(net(), SGD(1.0), lang="en")
    for _ in range(2):
        trainer.fit(X, T, max_epoch=1, batch_size=30)
    assert [line.split(" |")[0] for line in capsys.readouterr().out.splitlines()] == ["| epoch 1", "| epoch 2"]


def test_a_progress_bar_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = net()
    before = bits(model)
    with pytest.raises(ImportError, match=r'pip install "scratchnet\[progress\]"'):
        trained(model, progress=True)
    assert bits(model) == before


@pytest.mark.parametrize("progress", [False, True])
def test_quiet_prints_nothing_and_still_lists_the_losses(capfd, progress):
    if progress:
        pytest.importorskip("tqdm")
    assert trained(progress=progress).loss_list == trained().loss_list
    assert capfd.readouterr().out == ""


def test_an_unknown_language_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="'en', 'ko'"):
        Trainer(net(), SGD(), lang="jp")
    monkeypatch.setenv("SCRATCHNET_LANG", "jp")
    with pytest.raises(ValueError, match="SCRATCHNET_LANG"):
        Trainer(net(), SGD())


# Readers' own classes


class OwnNet:
    """In plain NumPy: a linear classifier with its parameters in a list for every layer."""

    def __init__(self):
        self.params = [[np.zeros((2, 3)), np.zeros(3)]]
        self.grads = [[np.zeros((2, 3)), np.zeros(3)]]

    def forward(self, x, t):
        z = np.exp(x @ self.params[0][0] + self.params[0][1])
        self.x, self.y, self.t = x, z / z.sum(axis=1, keepdims=True), t
        return -np.log(self.y[t == 1]).mean()

    def backward(self):
        d = (self.y - self.t) / len(self.x)
        self.grads[0][0][...], self.grads[0][1][...] = self.x.T @ d, d.sum(axis=0)


class OwnOptimizer:
    def update(self, params, grads):
        for p, g in zip(params, grads, strict=True):
            p -= 0.5 * g


@pytest.mark.parametrize("optimizer", [OwnOptimizer, lambda: SGD(0.5)])
def test_a_readers_model_and_optimizer(optimizer):
    model, twin = OwnNet(), OwnNet()
    own = list(model.params[0])
    trainer = trained(model, optimizer(), max_epoch=1, batch_size=ROWS)
    assert trainer.loss_list == [pytest.approx(np.log(3), rel=ROUNDING)]
    twin.forward(X, T)
    twin.backward()
    for p, q, g in zip(model.params[0], own, twin.grads[0], strict=True):
        assert p is q
        np.testing.assert_allclose(p, -0.5 * g, atol=ROUNDING)


class Numbers:
    """A model whose parameters are Python floats."""

    def __init__(self, params, grads):
        self.params, self.grads = params, grads

    def forward(self, x, t):
        return 0.0

    def backward(self):
        pass


@pytest.mark.parametrize(
    ("params", "grads", "after"),
    [
        ([1.0, 2.0], [1.0, 1.0], [0.0, 1.0]),
        ([1.0, 1.0], [1.0, 1.0], [0.0, 0.0]),
        ([[1.0, 2.0], [3.0]], [[1.0, 1.0], [1.0]], [[0.0, 1.0], [2.0]]),
    ],
    ids=["different", "equal", "nested"],
)
def test_parameters_that_are_python_floats_are_trained(params, grads, after):
    model = Numbers(copy.deepcopy(params), grads)  # trained in place
    trained(model, SGD(1.0), max_epoch=1, batch_size=ROWS)
    assert model.params == after


class SquaredError:
    def forward(self, y, t):
        self.d = y - t
        return 0.5 * float((self.d**2).sum()) / len(t)

    def backward(self, dout=1):
        return dout * self.d / len(self.d)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_subclass_with_another_loss_gets_its_targets_as_they_are(outputs):
    """Not every target is a class: this one is a number, and must not be made an index."""

    class Regression(TwoLayerNet):
        def __init__(self):
            super().__init__(2, 8, outputs, 1.0, dtype=np.float64, rng=0)
            self.loss_layer = SquaredError()

    target = np.sin(3 * X[:, :outputs])
    trainer = trained(Regression(), SGD(0.1), t=target, max_epoch=60)
    assert trainer.loss_list[-1] < 0.5 * trainer.loss_list[0]
    assert np.mean((trainer.model.predict(X) - target) ** 2) < 0.5 * np.mean(target**2)


@pytest.mark.parametrize("missing", ["forward", "backward", "params"])
def test_a_model_that_lacks_something_is_refused_by_name(missing):
    members = {name: None for name in ("forward", "backward", "params", "grads") if name != missing}
    with pytest.raises(ValueError, match=f"no {missing}"):
        Trainer(type("Model", (), members)(), SGD())


def test_parameters_without_gradients_are_refused():
    model = Recorder()
    model.grads = []
    with pytest.raises(ValueError, match="1 parameters and 0 gradients"):
        trained(model)


def test_an_optimizer_without_update_is_refused():
    with pytest.raises(ValueError, match="update"):
        Trainer(net(), object())


def test_a_class_in_place_of_an_object_is_refused():
    for model, optimizer in ((TwoLayerNet, SGD()), (net(), SGD), (Recorder, SGD())):
        with pytest.raises(ValueError):
            Trainer(model, optimizer)


# What is refused before anything changes

LABELS = T.argmax(axis=1)
REFUSED = {
    "batch larger than the data": ({"batch_size": ROWS + 1}, ValueError, "batch_size is 301.*only 300"),
    "batch 0": ({"batch_size": 0}, ValueError, "batch_size"),
    "batch -1": ({"batch_size": -1}, ValueError, "batch_size"),
    "batch 2.0": ({"batch_size": 2.0}, ValueError, "batch_size"),
    "batch True": ({"batch_size": True}, ValueError, "batch_size"),
    "epochs -1": ({"max_epoch": -1}, ValueError, "max_epoch"),
    "epochs 1.5": ({"max_epoch": 1.5}, ValueError, "max_epoch"),
    "epochs None": ({"max_epoch": None}, ValueError, "max_epoch"),
    "interval 0": ({"eval_interval": 0}, ValueError, "eval_interval"),
    "interval text": ({"eval_interval": "a"}, ValueError, "eval_interval"),
    "max_grad 0": ({"max_grad": 0}, ValueError, "max_grad"),
    "max_grad -1": ({"max_grad": -1}, ValueError, "max_grad"),
    "max_grad NaN": ({"max_grad": float("nan")}, ValueError, "max_grad"),
    "max_grad text": ({"max_grad": "1"}, (TypeError, ValueError), None),
    "fewer samples": ({"x": X[:5]}, ValueError, r"\(5, 2\).*\(300, 3\)"),
    "fewer labels": ({"t": T[:5]}, ValueError, r"\(300, 2\).*\(5, 3\)"),
    "no data": ({"x": None}, ValueError, None),
    "no labels": ({"t": None}, ValueError, None),
    "no samples": ({"x": X[:0], "t": T[:0]}, ValueError, "0 samples"),
    "label one past the end": ({"t": np.where(np.arange(ROWS) == 299, 3, LABELS)}, IndexError, r"t\[299\] is 3"),
    "negative label": ({"t": np.where(np.arange(ROWS) == 7, -1, LABELS)}, IndexError, r"t\[7\] is -1"),
    "float labels": ({"t": LABELS.astype(float)}, ValueError, "integers"),
    "columns of labels": ({"t": T[:, :2]}, ValueError, r"\(300, 3\).*\(300, 2\)"),
    "rng -1": ({"rng": -1}, ValueError, None),
    "rng text": ({"rng": "a"}, ValueError, "rng must be"),
    "validation no pair": ({"validation": 5}, ValueError, "pair"),
    "validation of three": ({"validation": (X, T, T)}, ValueError, "pair"),
    "validation of numbers": ({"validation": (3, 4)}, (TypeError, ValueError), None),
    "validation without labels": ({"validation": (X, None)}, (TypeError, ValueError), None),
    "validation lengths": ({"validation": (X, T[:5])}, ValueError, "300 samples and 5 labels"),
    "empty validation": ({"validation": (X[:0], T[:0])}, ValueError, "0 samples"),
    "validation labels": ({"validation": (X, np.full(ROWS, 3))}, IndexError, "is 3"),
    "validation columns": ({"validation": (X[:, :1], T)}, ValueError, r"\(2, 5\)"),
    "no callbacks": ({"callbacks": None}, (TypeError, ValueError), None),
    "callback that is none": ({"callbacks": [3]}, (TypeError, ValueError), None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_before_anything_changes(case, capsys):
    options, error, message = REFUSED[case]
    model, optimizer = net(), Adam()
    before, state = bits(model), stream()
    trainer = Trainer(model, optimizer)
    with pytest.raises(error, match=message):
        trainer.fit(**{"x": X, "t": T, "max_epoch": 2, **options})
    assert bits(model) == before and stream() == state and optimizer.iter == 0
    assert trainer.loss_list == [] and trainer.history == [] and trainer.current_epoch == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("x", [X[:, :1], X * 1j, ["text"] * ROWS])
def test_data_that_does_not_fit_the_model_leaves_the_model_alone(x):
    model = net()
    before = bits(model)
    with pytest.raises(ValueError):
        trained(model, x=x)
    assert bits(model) == before


def test_validation_needs_a_model_that_predicts():
    model = Recorder()
    with pytest.raises(ValueError, match="no predict"):
        trained(model, validation=(X, T))
    assert model.seen == []


def test_a_loss_that_is_no_number_is_refused_before_the_update():
    class Silent(Recorder):
        def forward(self, x, t):
            return None

    model = Silent()
    model.grads[0][...] = 1
    with pytest.raises((TypeError, ValueError)):
        trained(model)
    assert model.params[0] == 0


# Ctrl-C


def press():
    signal.raise_signal(signal.SIGINT)


class Pressed(TwoLayerNet):
    """Ctrl-C comes, once or more often, in the middle of a step."""

    def __init__(self, step, times=1):
        super().__init__(2, 5, 3, 1.0, rng=0)
        self.step, self.times, self.steps = step, times, 0

    def backward(self, dout=1):
        self.steps += 1
        if self.steps == self.step:
            for _ in range(self.times):
                press()
        return super().backward(dout)


@pytest.mark.thread_unsafe(reason="signals are the whole process's")
def test_ctrl_c_ends_the_step_and_training_can_go_on():
    model = Pressed(step=13)
    trainer = Trainer(model, SGD(1.0))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, T, 5, 30, rng=0, verbose=False)
    assert trainer.current_epoch == 1 and len(trainer.history) == 1 and model.steps == 13
    steps = Pressed(step=0)
    order = np.random.default_rng(0)
    first = order.permutation(ROWS)
    second = first[order.permutation(ROWS)]
    for batch in [*np.split(first, 10), *np.split(second, 10)[:3]]:  # thirteen whole steps, none cut short
        SGD(1.0).update(steps.params, steps.gradient(X[batch], T[batch]))
    assert bits(model) == bits(steps)
    trainer.fit(X, T, 2, 30, verbose=False)
    assert trainer.current_epoch == 3 and model.steps == 33


@pytest.mark.thread_unsafe(reason="signals are the whole process's")
def test_ctrl_c_after_the_last_step_is_not_lost():
    trainer = Trainer(net(), SGD(1.0))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, T, 2, 30, verbose=False, callbacks=[lambda tr: tr.current_epoch == 2 and press()])
    assert trainer.current_epoch == len(trainer.history) == 2


@pytest.mark.thread_unsafe(reason="signals are the whole process's")
def test_a_second_ctrl_c_goes_through_at_once():
    model = Pressed(step=1, times=2)
    before = bits(model)
    with pytest.raises(KeyboardInterrupt):
        trained(model)
    assert bits(model) == before and model.steps == 1


@pytest.mark.thread_unsafe(reason="signals are the whole process's")
def test_a_program_that_handles_the_signal_itself_keeps_doing_so():
    heard = []
    own = lambda *_: heard.append(1)  # noqa: E731
    signal.signal(signal.SIGINT, own)
    try:
        assert trained(Pressed(step=3)).current_epoch == 2
        assert heard == [1] and signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_after_an_error_the_handler_is_pythons_again():
    with pytest.raises(ZeroDivisionError):  # the fixture looks at the handler
        trained(callbacks=[lambda tr: 1 / 0])


def test_other_threads_train_too():
    results = {}

    def work(seed):
        results[seed] = trained(net(seed), rng=seed).loss_list

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {seed: trained(net(seed), rng=seed).loss_list for seed in range(3)}


SCRIPT = """
import signal
from scratchnet import SGD, Trainer, TwoLayerNet
from scratchnet.dataset import spiral

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background may ignore it
x, t = spiral.load_data()
trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(1.0))

def say_once(trainer):
    if trainer.current_epoch == 1:
        print("training", flush=True)

try:
    trainer.fit(x, t, max_epoch=10**9, batch_size=30, verbose=False, callbacks=[say_once])
except KeyboardInterrupt:
    stopped = trainer.current_epoch
    print("stopped after", stopped, flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
trainer.fit(x, t, max_epoch=2, batch_size=30, verbose=False)
assert trainer.current_epoch == stopped + 2 == len(trainer.history)
assert len(trainer.loss_list) - trainer.current_epoch in (0, 1)
print("done", flush=True)
"""


@pytest.mark.skipif(WINDOWS, reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_from_outside():
    pipe = subprocess.PIPE
    with subprocess.Popen([*PYTHON, "-W", "error", "-c", SCRIPT], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout.readline() == "training\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert re.fullmatch(r"stopped after [1-9]\d*\ndone\n", out) and err == "" and process.returncode == 0


# plot


@pytest.fixture
def pyplot(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("there is no window to show"))
    yield pyplot
    pyplot.close("all")


def test_plot_draws_the_loss_list(pyplot):
    trainer = trained(eval_interval=3)
    axes = trainer.plot()
    (line,) = axes.lines
    assert list(line.get_ydata()) == trainer.loss_list
    own = pyplot.figure().add_subplot()
    assert trainer.plot((0, 2.5), ax=own) is own and own.get_ylim() == (0, 2.5)
    assert trainer.plot(ylim=(0, 1)).get_ylim() == (0, 1)


@pytest.mark.parametrize("window, shown", [("tk", 1), (None, 0)])
def test_a_picture_is_shown_where_there_is_a_window_unless_the_axes_are_the_caller_s(
    pyplot, monkeypatch, window, shown
):
    calls = []
    monkeypatch.setattr(pyplot, "show", lambda: calls.append("shown"))
    canvas = type(pyplot.figure().canvas)
    monkeypatch.setattr(canvas, "required_interactive_framework", window, raising=False)
    words = RnnlmTrainer(net(), SGD())
    words.ppl_list = [3.0, 2.0]
    for trainer in (trained(eval_interval=3), words):
        calls.clear()
        trainer.plot(ax=pyplot.figure().add_subplot())
        assert not calls
        trainer.plot()
        assert len(calls) == shown


def test_there_is_nothing_to_plot_before_a_fit(pyplot):
    with pytest.raises(ValueError, match="fit"):
        Trainer(net(), SGD()).plot()
    assert pyplot.get_fignums() == []


def test_a_deeper_network_learns_the_spiral():
    model = MultiLayerNet(2, [20, 20], 3, "relu", "he", rng=0)
    trainer = trained(model, Adam(0.01), max_epoch=100, validation=spiral.load_data(7))
    assert trainer.history[-1]["val_accuracy"] > 0.9


@pytest.mark.parametrize("kind", [Trainer, RnnlmTrainer])
def test_comm_must_be_a_communicator(kind):
    with pytest.raises(ValueError, match=r"comm must be an intracommunicator of mpi4py.*got 'MPI.COMM_WORLD'"):
        kind(TwoLayerNet(2, 3, 3), SGD(), comm="MPI.COMM_WORLD")


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_a_shard_without_other_ranks_is_all_the_data():
    x, t = spiral.load_data()
    losses = []
    for sharded in (False, True):
        np.random.seed(0)
        trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(1.0))
        trainer.fit(x, t, 2, 30, verbose=False, sharded=sharded)
        losses.append(trainer.history)
    assert losses[0] == losses[1] and trainer.rank == 0
    for wrong in ({"batch_size": 301}, {"sharded": "no"}):
        with pytest.raises(ValueError, match=r"batch_size is 301|sharded must be True or False"):
            trainer.fit(x, t, **{"sharded": True, **wrong})
