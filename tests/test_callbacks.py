"""The callbacks of `scratchnet.callbacks`, what a callback may have, and what validation and a metric add."""

from __future__ import annotations

import csv
import itertools
import math
import sys

import numpy as np
import pytest
from chain_model import Chain, dense_chain

from scratchnet import SGD, Adam, Trainer, TwoLayerNet, layers
from scratchnet.callbacks import Checkpoint, CSVLog, EarlyStopping, LearningRateSchedule
from scratchnet.dataset import spiral

X, T = spiral.load_data()


def trainer(lr=1.0, **options):
    return Trainer(TwoLayerNet(2, 5, 3, 1.0, rng=0), SGD(lr), **options)


def fitted(callbacks, max_epoch=6, trained=None, **options):
    trained = trained or trainer()
    trained.fit(X, T, max_epoch, 30, verbose=False, rng=0, callbacks=callbacks, **options)
    return trained


def bits(model):
    return [p.tobytes() for p in model.params]


class Numbers:
    """Puts numbers into the history, one an epoch, and keeps the parameters of each."""

    def __init__(self, *numbers, name="score_loss"):
        self.name, self.numbers, self.params = name, iter(numbers), []

    def __call__(self, trainer):
        trainer.history[-1][self.name] = next(self.numbers)
        self.params.append(bits(trainer.model))


# Early stopping

STOPS = {  # numbers, options, epochs trained, best epoch
    "no improvement": ((3, 2, 2, 2, 2, 2), dict(patience=2), 4, 2),
    "a late one counts": ((3, 2, 4, 1, 4, 4), dict(patience=2), 6, 4),
    "patience 1": ((3, 2, 4, 1), dict(patience=1), 3, 2),
    "patience 0 is 1": ((3, 2, 4, 1), dict(patience=0), 3, 2),
    "never": ((6, 5, 4, 3, 2, 1), dict(patience=1), 6, 6),
    "too small an improvement": ((3, 2.95, 2.91, 2), dict(patience=2, min_delta=0.1), 3, 1),
    "larger is better": ((1, 2, 1, 1, 5), dict(patience=2, mode="max"), 4, 2),
    "not a number": ((math.nan, 2, math.nan, math.nan), dict(patience=2), 4, 2),
    "never a number": ((math.nan,) * 6, dict(patience=3), 3, 0),
    "infinite at first": ((math.inf, 2, 3, 3), dict(patience=2), 4, 2),
}


@pytest.mark.parametrize("numbers, options, epochs, best", STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping_stops_and_puts_the_best_parameters_back(numbers, options, epochs, best, restore):
    source = Numbers(*numbers)
    stop = EarlyStopping("score_loss", restore_best=restore, **options)
    trained = fitted([source, stop])
    assert trained.current_epoch == epochs and stop.best_epoch == best
    assert bits(trained.model) == source.params[best - 1 if restore and best else -1]


def test_the_defaults_watch_the_validation_loss():
    stop = EarlyStopping()
    assert (stop.monitor, stop.patience, stop.min_delta, stop.restore_best) == ("val_loss", 10, 0.0, True)
    trained = fitted(stop, validation=(X, T))
    losses = [entry["val_loss"] for entry in trained.history]
    assert stop.best == min(losses) and stop.best_epoch == losses.index(min(losses)) + 1


def test_a_second_fit_and_another_model_begin_anew():
    stop = EarlyStopping("score_loss", patience=2)
    first = fitted([Numbers(1, 2, 3), stop])
    assert first.current_epoch == 3 and stop.best == 1
    fitted([Numbers(7, 6, 6, 6), stop], 3, first)
    assert first.current_epoch == 6 and stop.best == 6
    other = Trainer(TwoLayerNet(2, 9, 3, rng=0), SGD(1.0))
    fitted([Numbers(9, 9, 9), stop], 2, other)
    assert other.current_epoch == 2


class Average:
    """A layer with a buffer: the mean of all that it has seen."""

    buffers = ("mean",)

    def __init__(self):
        self.params, self.grads, self.mean = [], [], None

    def forward(self, x):
        seen = x.mean(axis=0)
        self.mean = seen if self.mean is None else 0.5 * (self.mean + seen)
        return x + self.mean

    def backward(self, dout):
        return dout


def with_buffer(seed=0):
    draw = np.random.default_rng(seed).standard_normal
    chain = [Average(), layers.Affine(draw((2, 3)), np.zeros(3))]
    return Chain(chain, layers.SoftmaxWithLoss())


def test_buffers_of_the_best_epoch_are_put_back_too():
    model = with_buffer()
    seen = []
    callbacks = [Numbers(3, 1, 2, 2), lambda tr: seen.append(model.layers[0].mean.copy())]
    stop = EarlyStopping("score_loss", patience=2)
    fitted([*callbacks, stop], trained=Trainer(model, SGD(0.1)))
    assert len(seen) == 4 and (seen[1] != seen[3]).all()
    np.testing.assert_array_equal(model.layers[0].mean, seen[1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((5,), "monitor must be a name in the history, got 5"),
        (("val_metric",), "is a smaller or a larger val_metric better"),
        (("loss", -1), "patience must be a non-negative integer, got -1"),
        (("loss", 1.5), "patience must be a non-negative integer, got 1.5"),
        (("loss", 1, -0.1), "min_delta must be a number of at least 0, got -0.1"),
        (("loss", 1, math.nan), "min_delta"),
        (("loss", 1, 0, "yes"), "restore_best must be True or False, got 'yes'"),
    ],
)
def test_early_stopping_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(*arguments)


def test_early_stopping_says_which_numbers_there_are():
    with pytest.raises(ValueError, match=r"no 'val_loss', only epoch, loss; fit needs validation=\(x, t\)"):
        fitted(EarlyStopping())
    with pytest.raises(ValueError, match="mode must be None, 'min' or 'max', got 'up'"):
        EarlyStopping("loss", mode="up")
    with pytest.raises(ValueError, match="EarlyStopping: loss2_loss must be a number"):
        fitted([Numbers("a", name="loss2_loss"), EarlyStopping("loss2_loss")])


def test_the_state_of_early_stopping_can_be_taken_elsewhere():
    stop, other = EarlyStopping("score_loss", patience=3), EarlyStopping("score_loss", patience=3)
    trained = fitted([Numbers(3, 1, 2), stop], 3)
    other.load_state_dict(stop.state_dict())
    assert (other.best, other.best_epoch) == (1, 2)
    trained.history[-1]["score_loss"] = 5
    assert not EarlyStopping("score_loss")(trained)
    assert not other(trained) and other(trained)  # 2, 3 and 3 again are three in a row
    assert bits(trained.model) == [p.tobytes() for p in stop.state_dict()["params"]]
    for state in (None, {}, {"monitor": "score_loss"}, {**stop.state_dict(), "params": [1]}):
        with pytest.raises(ValueError, match="EarlyStopping: the state is"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="the state is of 'score_loss', expected 'loss'"):
        EarlyStopping("loss").load_state_dict(stop.state_dict())
    assert (other.best, other.best_epoch) == (1, 2)
    with pytest.raises(ValueError, match="the model is another one than in its best epoch"):
        other.after_fit(Trainer(TwoLayerNet(2, 9, 3), SGD()))


# The others


def test_a_schedule_sets_the_rate_of_every_epoch():
    asked, rates = [], []

    def f(epoch):
        asked.append(epoch)
        return 1.0 / (1 + epoch)

    trained = trainer(lr=99.0)
    fitted([lambda tr: rates.append(tr.optimizer.lr), LearningRateSchedule(f)], 3, trained)
    assert asked == [0, 1, 2, 3] and rates == [1.0, 1 / 2, 1 / 3] and trained.optimizer.lr == 1 / 4
    other = trainer(lr=1.0)
    fitted([lambda tr: setattr(tr.optimizer, "lr", 1.0 / (1 + tr.current_epoch))], 3, other)
    assert bits(other.model) == bits(trained.model)


@pytest.mark.parametrize("rate", ["a", -1.0, math.nan, None, [1, 2]])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match=r"LearningRateSchedule: f\(0\) must be a number of at least 0"):
        fitted(LearningRateSchedule(lambda epoch: rate))
    with pytest.raises(ValueError, match="f must be a function, got"):
        LearningRateSchedule(0.1)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]


def test_the_log_is_the_history(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("older")
    lengths = []
    trained = fitted([CSVLog(path), lambda tr: lengths.append(len(read(path)))], 3, validation=(X, T))
    assert read(path) == trained.history and lengths == [1, 2, 3]
    fitted(CSVLog(str(path)), 2, trained)  # no validation: their cells are empty
    assert len(read(path)) == 5 and read(path)[4]["val_loss"] is None
    fitted([Numbers(*range(3)), CSVLog(path)], 3, trained)  # a new column
    assert read(path)[4]["score_loss"] is None and read(path)[7]["score_loss"] == 2
    assert [row["loss"] for row in read(path)] == [entry["loss"] for entry in trained.history]


def test_a_log_that_cannot_be_written_is_refused_before_the_training(tmp_path):
    trained = trainer()
    before = bits(trained.model)
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "no" / "log.csv", FileNotFoundError)):
        with pytest.raises(error):
            fitted(CSVLog(path), trained=trained)
    assert bits(trained.model) == before and trained.current_epoch == 0
    with pytest.raises(ValueError, match="CSVLog: path: expected a path"):
        CSVLog(5)


def test_checkpoints_are_written_every_few_epochs(tmp_path):
    path = tmp_path / "run"
    epochs = []

    def look(tr):
        if (tmp_path / "run.npz").exists():
            other = trainer()
            other.load_checkpoint(path)
            epochs.append(other.current_epoch)

    fitted([Checkpoint(path, every=2), look], 5)
    assert epochs == [2, 2, 4, 4]
    with pytest.raises(ValueError, match="every must be a positive integer, got 0"):
        Checkpoint(path, 0)
    with pytest.raises(ValueError, match="Checkpoint: path"):
        Checkpoint("")
    with pytest.raises(IsADirectoryError):
        (tmp_path / "folder.npz").mkdir()
        fitted(Checkpoint(tmp_path / "folder"))


def test_a_callback_may_be_told_of_beginning_and_end():
    said = []

    class Told:
        def before_fit(self, trainer):
            said.append(("before", trainer.current_epoch))

        def __call__(self, trainer):
            said.append(trainer.current_epoch)
            return trainer.current_epoch == 2

        def after_fit(self, trainer):
            said.append(("after", trainer.current_epoch))

    fitted(Told())
    assert said == [("before", 0), 1, 2, ("after", 2)]
    said.clear()
    with pytest.raises(ZeroDivisionError):
        fitted([Told(), lambda tr: 1 / 0])
    assert said == [("before", 0), 1]  # no end


# Validation and metric


def test_a_metric_is_added_to_the_history():
    given = []

    def metric(model, x, t):
        given.append((x.shape, t.shape))
        return np.float32(model.accuracy(x, t) / 2)

    trained = fitted([], 2, validation=(X[:90], T[:90]), metric=metric)
    assert given == [((90, 2), (90, 3))] * 2  # the caller's own labels
    for entry in trained.history:
        assert list(entry) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_metric"]
        assert type(entry["val_metric"]) is float
        assert entry["val_metric"] == pytest.approx(entry["val_accuracy"] / 2)


@pytest.mark.parametrize(
    "metric, validation, message",
    [
        (5, (X, T), "metric must be a function, got 5"),
        (lambda model, x, t: 0.0, None, r"metric requires validation=\(x, t\)"),
        (lambda model, x, t: "a", (X, T), "the metric's result must be a number, got 'a'"),
        (lambda model, x, t: model.predict(x), (X, T), "the metric's result must be a number"),
    ],
)
def test_a_metric_that_is_none_is_refused(metric, validation, message):
    with pytest.raises(ValueError, match=message):
        fitted([], 1, metric=metric, validation=validation)


class Regression:
    """A line, trained by the squared error; a reader's own class."""

    def __init__(self, outputs=1):
        self.affine = layers.Affine(np.zeros((2, outputs)), np.zeros(outputs))
        self.params, self.grads = self.affine.params, self.affine.grads

    def predict(self, x):
        return self.affine.forward(x)

    def forward(self, x, t):
        self.d = self.predict(x) - t.reshape(len(x), -1)
        return 0.5 * (self.d**2).sum() / len(x)

    def backward(self):
        self.affine.backward(self.d / len(self.d))


@pytest.mark.parametrize("outputs, dtype", [(1, "f8"), (1, "i8"), (3, "f8"), (3, "i8")])
def test_a_regression_has_a_validation_loss_and_no_accuracy(outputs, dtype):
    t = (10 * X @ np.ones((2, outputs)) + np.arange(outputs)).astype(dtype)
    trained = Trainer(Regression(outputs), SGD(0.5))
    for targets in (t, t[:, 0]) if outputs == 1 else (t,):
        trained.fit(X, targets, 20, 30, verbose=False, rng=0, validation=(X[:50], targets[:50]),
                    metric=lambda model, x, t: abs(model.predict(x) - t.reshape(len(x), -1)).max())  # fmt: skip
        last = trained.history[-1]
        assert list(last) == ["epoch", "loss", "val_loss", "val_metric"]
        assert last["val_loss"] == pytest.approx(trained.model.forward(X[:50], targets[:50]))
        assert last["val_metric"] < (0.1 if dtype == "f8" else 2)
    with pytest.raises(ValueError, match="validation has 50 samples and 49 labels"):
        trained.fit(X, t, 1, 30, validation=(X[:50], t[:49]))


def test_labels_of_classes_give_accuracies_in_any_form():
    draw = np.random.default_rng(0).standard_normal
    weights = [draw((2, 4)), np.zeros(4), draw((4, 3)), np.zeros(3)]
    for labels in (T, T.argmax(axis=1), T.astype(float), T.argmax(axis=1).astype("u1"), 0.9 * T + 0.03):
        trained = Trainer(dense_chain(layers, weights), Adam())
        trained.fit(X, labels, 1, 30, verbose=False, validation=(X, labels))
        assert trained.history[0].keys() >= {"accuracy", "val_accuracy"}


def test_a_model_s_own_accuracy_is_used_whatever_its_labels_are():
    model = Regression()
    model.accuracy = lambda x, t: 0.25
    trained = Trainer(model, SGD(0.5))
    trained.fit(X, X[:, 0], 1, 30, verbose=False, validation=(X, X[:, 0]))
    assert trained.history[0]["val_accuracy"] == 0.25


def test_several_labels_at_once_have_no_accuracy():
    """Sigmoid with loss over outputs of which any number are true: the largest score says nothing."""
    draw = np.random.default_rng(0).standard_normal
    t = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)

    class Many(Chain):
        def forward(self, x, t):
            return self.loss_layer.forward(self.predict(x), t)

    trained = Trainer(Many([layers.Affine(draw((2, 2)), np.zeros(2))], layers.SigmoidWithLoss()), SGD(1.0))
    trained.fit(X, t, 2, 30, verbose=False, validation=(X, t))
    assert list(trained.history[-1]) == ["epoch", "loss", "val_loss"]


def test_a_loss_of_numbers_says_so_itself():
    model = dense_chain(layers, [np.ones((2, 4)), np.zeros(4), np.ones((4, 3)), np.zeros(3)])
    model.loss_layer.has_classes = False
    trained = Trainer(model, SGD(0.1))
    trained.fit(X, T, 1, 30, verbose=False, validation=(X, T))
    assert list(trained.history[-1]) == ["epoch", "loss", "val_loss"]


def test_validation_is_no_training():
    flags = []

    class Flagged(Chain):
        def forward(self, x, t, train_flg=True):
            flags.append(train_flg)
            return super().forward(x, t)

    model = Flagged([layers.Affine(np.zeros((2, 3)), np.zeros(3))], layers.SoftmaxWithLoss())
    Trainer(model, SGD(0.1)).fit(X, T, 1, 300, verbose=False, validation=(X, T))
    assert flags == [True, False]


def test_the_order_of_callbacks_is_theirs():
    said = []
    fitted([lambda tr, n=n: said.append(n) for n in range(3)], 2)
    assert said == list(itertools.chain(range(3), range(3)))


# What goes wrong, and is said


def test_a_class_is_no_callback():
    for given in (EarlyStopping, [CSVLog]):
        with pytest.raises(ValueError, match=r"fit: the callback \w+ is a class; call it to create one"):
            fitted(given)


def test_a_schedule_for_an_optimizer_without_a_learning_rate_is_refused():
    class Own:
        def update(self, params, grads):
            pass

    with pytest.raises(ValueError, match="LearningRateSchedule: the optimizer Own has no lr"):
        fitted(LearningRateSchedule(lambda epoch: 0.1), trained=Trainer(TwoLayerNet(2, 5, 3), Own()))


def test_a_history_that_another_callback_has_emptied(tmp_path):
    for callback in (EarlyStopping("loss"), CSVLog(tmp_path / "log.csv")):
        with pytest.raises(ValueError, match=f"{type(callback).__name__}: the history is empty"):
            fitted([lambda trained: trained.history.clear(), callback])


def test_a_log_that_was_removed_is_written_whole_again(tmp_path):
    path = tmp_path / "log.csv"
    fitted([lambda trained: path.unlink() if trained.current_epoch == 2 else None, CSVLog(path)], 3)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", "1", "2", "3"]


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere an open file can be written to")
def test_rows_wait_while_a_spreadsheet_has_the_log_open(tmp_path):
    winapi = pytest.importorskip("_winapi")
    path, lengths, held = tmp_path / "log.csv", [], []

    def opened_after(*epochs):
        def change(trained):
            while held:
                winapi.CloseHandle(held.pop())
            if trained.current_epoch in epochs:  # to read, and others may only read
                held.append(winapi.CreateFile(str(path), 0x80000000, 1, 0, winapi.OPEN_EXISTING, 0, 0))

        return change

    log = CSVLog(path)
    trained = fitted([log, lambda tr: lengths.append(len(read(path))), opened_after(1, 2)], 5)
    assert read(path) == trained.history and lengths == [1, 1, 1, 4, 5]
    with pytest.raises(PermissionError, match=r"log\.csv"):  # still open at the end
        fitted([opened_after(7), log], 2, trained)
    winapi.CloseHandle(held.pop())
    assert len(read(path)) == 6
