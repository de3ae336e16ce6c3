"""Checkpoints: a run that goes on from one ends as one without interruption, and what does not fit is refused."""

from __future__ import annotations

import copy
import errno
import io
import json
import os
import pickle
import re
import signal
import threading
import zipfile

import numpy as np
import pytest
from chain_model import Chain
from killed_fit import CASES, fit, language_model
from test_callbacks import Average, Numbers, with_buffer

from scratchnet import SGD, Adam, Momentum, RnnlmTrainer, Trainer, TwoLayerNet, _files, layers
from scratchnet._streams import checked_state, set_state, state_of
from scratchnet.callbacks import Checkpoint, EarlyStopping
from scratchnet.dataset import spiral
from scratchnet.models import Sequential

pytestmark = pytest.mark.thread_unsafe(
    reason="its files are a fixture's, and have the state of NumPy's global stream"
)

X, T = spiral.load_data()
WORDS = np.arange(800) % 7


def trainer(model=None, optimizer=None, **options):
    return Trainer(model or TwoLayerNet(2, 5, 3, 1.0, rng=0), optimizer or Adam(0.05), **options)


def fitted(trained, max_epoch, x=X, t=T, batch_size=30, **options):
    trained.fit(x, t, max_epoch, batch_size, eval_interval=4, **{"verbose": False, "rng": 0, **options})
    return trained


def bits(trained):
    """Everything that a run consists of."""
    state = trained.optimizer.state_dict()
    arrays = [*trained.model.params, *(a for value in state.values() if isinstance(value, list) for a in value)]
    lists = [getattr(trained, name) for name in trained._lists]
    numbers = {name: value for name, value in state.items() if not isinstance(value, list)}
    return [a.tobytes() for a in arrays], copy.deepcopy(lists), numbers, state_of(None)


@pytest.fixture
def path(tmp_path):
    """A checkpoint after three epochs of `trainer()`."""
    fitted(trainer(), 3, checkpoint=tmp_path / "run")
    return tmp_path / "run.npz"


class Stopped(Exception):
    pass


def stop_at(*epochs):
    def callback(trained):
        if trained.current_epoch in epochs:
            raise Stopped

    return callback


# The same end


@pytest.mark.parametrize("case", CASES)
def test_a_run_in_parts_ends_as_the_whole_one(case, tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        folder.mkdir()
    whole = fit(case, 7, folders[0])
    cls = RnnlmTrainer if CASES[case][0] is language_model else Trainer
    written = [0]

    def save(self, path, own=cls.save_checkpoint):
        own(self, path)
        written[0] += 1
        if written[0] in (1, 4):
            raise Stopped

    monkeypatch.setattr(cls, "save_checkpoint", save)
    for _ in range(2):
        with pytest.raises(Stopped):
            fit(case, 7, folders[1], checkpoint=folders[1] / "run", resume=True)
        np.random.seed(99)
    assert fit(case, 7, folders[1], checkpoint=folders[1] / "run", resume=True) == whole
    assert written[0] == 7


def test_saving_loading_and_fitting_is_the_same_as_resuming(tmp_path):
    whole = bits(fitted(trainer(), 7))
    first = fitted(trainer(), 3)
    assert first.save_checkpoint(str(tmp_path / "run")) == tmp_path / "run.npz"
    second = trainer()
    second.load_checkpoint(tmp_path / "run")
    assert bits(second) == bits(first)
    assert bits(fitted(second, 7)) == whole
    third = trainer()  # saved again before any fit, and after it has fitted
    third.load_checkpoint(tmp_path / "run.npz")
    third.save_checkpoint(tmp_path / "again")
    third.load_checkpoint(third.save_checkpoint(tmp_path / "again"))
    assert bits(fitted(third, 5)) != whole
    third.load_checkpoint(third.save_checkpoint(tmp_path / "again"))
    assert bits(fitted(third, 7)) == whole
    fitted(third, 2)  # another fit is a new one
    assert third.current_epoch == 9


def test_nothing_is_left_to_do(path):
    before = path.read_bytes()
    trained = fitted(trainer(), 3, checkpoint=path, resume=True)
    whole = bits(trained)
    for epochs in (0, 1, 3):
        assert bits(fitted(trainer(), epochs, checkpoint=path, resume=True)) == whole
    assert path.read_bytes() == before


def test_without_a_file_a_run_begins_and_without_resume_it_replaces_the_file(path):
    assert bits(fitted(trainer(), 4, checkpoint=path.with_name("new"), resume=True)) == bits(fitted(trainer(), 4))
    with pytest.raises(Stopped):
        fitted(trainer(), 4, checkpoint=path, callbacks=stop_at(1))
    other = trainer()
    other.load_checkpoint(path)
    assert other.current_epoch == 3  # not yet
    fitted(trainer(), 1, checkpoint=path)
    other.load_checkpoint(path)
    assert other.current_epoch == 1


def test_epochs_of_earlier_fits_do_not_count(tmp_path):
    def run(*stops):
        trained = fitted(trainer(), 2)
        return bits(fitted(trained, 5, checkpoint=tmp_path / "run", resume=True, callbacks=stop_at(*stops)))

    whole = bits(fitted(fitted(trainer(), 2), 5))
    with pytest.raises(Stopped):
        run(6)
    assert run() == whole


def test_whole_steps_go_on_as_whole_steps(path):
    """The optimizer's states are one buffer again, which is updated by one call."""
    trained = fitted(trainer(), 4, checkpoint=path, resume=True)
    assert trained.engine == "plan" and len({id(m.base) for m in trained.optimizer.m}) == 1


def test_a_run_that_a_callback_has_stopped_is_at_its_end(tmp_path):
    def run(numbers, patience=2, loads=False, **options):
        stop = EarlyStopping("score_loss", patience=patience)
        trained = trainer()
        if loads:
            trained.load_checkpoint(tmp_path / "run")
        fitted(trained, 9, callbacks=[Numbers(*numbers), stop], **options)
        return trained

    resumable = {"checkpoint": tmp_path / "run", "resume": True}
    first = run((3, 1, 2, 2))
    assert first.current_epoch == 4
    assert bits(run((3, 1, 2, 2), **resumable)) == bits(first)
    assert bits(run((), **resumable)) == bits(first)  # the best parameters are in the file, too
    assert run((0, 0, 0, 0), patience=3, loads=True).current_epoch == 8  # asked for explicitly, it goes on


def test_a_kill_between_the_best_epoch_and_the_stop(tmp_path):
    def run(numbers, *stops):
        callbacks = [Numbers(*numbers), stop_at(*stops), EarlyStopping("score_loss", patience=3)]
        options = {"checkpoint": tmp_path / "run", "resume": True} if numbers[0] != 9 or stops else {}
        return bits(fitted(trainer(), 9, callbacks=callbacks, **options))

    whole = run((9, 1, 2, 2, 2))
    with pytest.raises(Stopped):
        run((9, 1, 2, 2, 2), 4)
    assert run((2, 2)) == whole


def test_the_last_epochs_of_a_run_whose_best_was_earlier(tmp_path):
    """What goes on are the last epoch's parameters; what is put back at the end are the best ones."""
    whole = fitted(trainer(), 4, callbacks=[Numbers(1, 2, 3, 4), EarlyStopping("score_loss")])
    options = {"checkpoint": tmp_path / "run", "resume": True}
    fitted(trainer(), 2, callbacks=[Numbers(1, 2), EarlyStopping("score_loss")], **options)
    parts = fitted(trainer(), 4, callbacks=[Numbers(3, 4), EarlyStopping("score_loss")], **options)
    assert bits(parts) == bits(whole)
    assert bits(whole)[0][:4] == bits(fitted(trainer(), 1))[0][:4]


def test_the_checkpoint_callback_s_file_goes_on(tmp_path):
    whole = bits(fitted(trainer(), 6))
    with pytest.raises(Stopped):
        fitted(trainer(), 6, callbacks=[Checkpoint(tmp_path / "run", every=2), stop_at(5)])
    second = trainer()
    second.load_checkpoint(tmp_path / "run")
    assert second.current_epoch == 4 and bits(fitted(second, 6)) == whole


def test_ctrl_c_in_an_epoch_keeps_the_epochs_before_it(tmp_path):
    whole = bits(fitted(trainer(compile=False), 5))

    class Pressing(TwoLayerNet):
        steps = 0

        def forward(self, x, t):
            Pressing.steps += 1
            if Pressing.steps == 25:
                signal.raise_signal(signal.SIGINT)
            return super().forward(x, t)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for end in (KeyboardInterrupt, None):
            trained = trainer(Pressing(2, 5, 3, 1.0, rng=0))
            options = {"checkpoint": tmp_path / "run", "resume": True}
            if end:
                with pytest.raises(end):
                    fitted(trained, 5, **options)
                assert trained.current_epoch == 2
                with pytest.raises(KeyboardInterrupt):  # pressed while it writes: the file is whole
                    fitted(trainer(), 4, callbacks=lambda tr: signal.raise_signal(signal.SIGINT), **options)
                assert zipfile.ZipFile(tmp_path / "run.npz").testzip() is None
            else:
                fitted(trained, 5, **options)
    finally:
        signal.signal(signal.SIGINT, before)
    assert bits(trained) == whole


def test_an_interrupted_run_can_be_saved_and_goes_on_with_the_next_epoch(tmp_path):
    trained = trainer()
    with pytest.raises(Stopped):
        fitted(trained, 5, callbacks=stop_at(2))
    trained.save_checkpoint(tmp_path / "run")
    other = trainer()
    other.load_checkpoint(tmp_path / "run")
    assert bits(fitted(other, 5)) == bits(fitted(trainer(), 5))


def test_buffers_and_states_of_layers_are_kept(tmp_path):
    whole, first, second = (Trainer(with_buffer(), SGD(0.1)) for _ in range(3))
    fitted(whole, 4)
    fitted(first, 2).save_checkpoint(tmp_path / "run")
    second.load_checkpoint(tmp_path / "run")
    mean = second.model.layers[0].mean
    np.testing.assert_array_equal(mean, first.model.layers[0].mean)
    first.load_checkpoint(tmp_path / "run")
    fitted(second, 4)
    np.testing.assert_array_equal(second.model.layers[0].mean, whole.model.layers[0].mean)
    other = Trainer(with_buffer(), SGD())
    other.model.layers[0].buffers = ()
    with pytest.raises(ValueError, match="it has 1 buffers of layers; the model has 0"):
        other.load_checkpoint(tmp_path / "run")
    first.model.layers[0].mean = np.zeros(5)
    with pytest.raises(
        ValueError, match=r"it has a mean \(2,\) float64 of a layer; the model's Average has \(5,\)"
    ):
        first.load_checkpoint(tmp_path / "run")


def test_layers_within_layers_are_found(tmp_path):
    class Block(Chain):
        pass

    def nested():
        inner = Block([Average()], layers.SoftmaxWithLoss())
        return Trainer(
            Chain([inner, layers.Affine(np.ones((2, 3)), np.zeros(3))], layers.SoftmaxWithLoss()), SGD()
        )

    first, second = nested(), nested()
    first.model.layers[0].layers[0].mean = np.array([1.0, 2.0])
    second.load_checkpoint(first.save_checkpoint(tmp_path / "run"))
    assert second.model.layers[0].layers[0].mean.tolist() == [1.0, 2.0]


def test_a_trainer_that_was_not_fitted_can_be_saved(tmp_path):
    fresh, other = trainer(TwoLayerNet(2, 5, 3, rng=1)), trainer()
    other.load_checkpoint(fresh.save_checkpoint(tmp_path / "run"))
    assert bits(other) == bits(fresh)
    assert bits(fitted(other, 2)) == bits(fitted(fresh, 2))
    third = fitted(trainer(), 2, checkpoint=tmp_path / "run", resume=True)
    assert bits(third) == bits(fresh)


def test_a_copied_trainer_goes_on_too(tmp_path):
    trained = fitted(trainer(), 2, callbacks=EarlyStopping("loss"))
    for copied in (pickle.loads(pickle.dumps(trained)), copy.deepcopy(trained)):
        copied.save_checkpoint(tmp_path / "run")
        fitted(copied, 4, checkpoint=tmp_path / "run", resume=True, callbacks=EarlyStopping("loss"))
        assert bits(copied) == bits(fitted(trainer(), 4))


# What does not fit


def unchanged_by(action, trained, match, error=ValueError):
    before, order = bits(trained), trained._fit_state
    with pytest.raises(error, match=match):
        action()
    assert bits(trained) == before and trained._fit_state is order


@pytest.mark.parametrize(
    "other, match",
    [
        (lambda: trainer(TwoLayerNet(2, 6, 3)), r"it has parameters \(2, 5\) float32, .* the model has \(2, 6\)"),
        (lambda: trainer(TwoLayerNet(2, 5, 3, dtype="f8")), r"the model has \(2, 5\) float64"),
        (lambda: trainer(TwoLayerNet(2, 5, 3, activation="relu")), "the layers .*Sigmoid.*; this one has .*Relu"),
        (lambda: trainer(optimizer=SGD()), "SGD: the state is of 'Adam', expected 'SGD'"),
        (lambda: RnnlmTrainer(language_model(), SGD()), "it is of a Trainer, expected a RnnlmTrainer"),
    ],
)
def test_another_model_or_optimizer_is_refused(path, other, match):
    other = other()
    unchanged_by(lambda: other.load_checkpoint(path), other, match)
    if isinstance(other, Trainer):
        unchanged_by(lambda: fitted(other, 5, checkpoint=path, resume=True), other, match)


@pytest.mark.parametrize(
    "options, match",
    [
        (dict(x=X[:200], t=T[:200]), "fit: samples is 200, but the run of the checkpoint has 300"),
        (dict(batch_size=20), "fit: batch_size is 20, but the run of the checkpoint has 30"),
        (dict(rng=None), "fit: rng is None, but the run of the checkpoint draws from a stream of its own"),
        (dict(rng=np.random.Generator(np.random.MT19937())), "the state of 'PCG64', the stream is 'MT19937'"),
        (dict(callbacks=EarlyStopping("loss")), "are EarlyStopping, but those of the checkpoint are none"),
    ],
)
def test_another_fit_is_refused(path, options, match):
    resumed, loaded = trainer(), trainer()
    unchanged_by(lambda: fitted(resumed, 5, checkpoint=path, resume=True, **options), resumed, match)
    loaded.load_checkpoint(path)
    unchanged_by(lambda: fitted(loaded, 5, **options), loaded, match)
    assert bits(fitted(loaded, 5)) == bits(fitted(trainer(), 5))  # it still goes on


def test_a_fit_that_is_refused_for_another_reason_still_goes_on_afterwards(path):
    loaded = trainer()
    loaded.load_checkpoint(path)
    for wrong in (dict(t=np.full(300, 7)), dict(validation=(X, T[:-1])), dict(checkpoint=path / "run")):
        with pytest.raises((ValueError, IndexError, OSError)):
            fitted(loaded, 5, **wrong)
    assert bits(fitted(loaded, 5)) == bits(fitted(trainer(), 5))


def test_a_stream_of_its_own_is_asked_for(tmp_path):
    fitted(trainer(), 2, rng=None, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="but the run of the checkpoint draws from NumPy's global stream"):
        fitted(trainer(), 3, checkpoint=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "options, error, match",
    [
        (dict(resume=True), ValueError, "resume=True requires checkpoint="),
        (dict(checkpoint="run", resume=1), ValueError, "resume must be True or False, got 1"),
        (dict(checkpoint=5), ValueError, "fit: checkpoint: expected a path"),
        (dict(checkpoint=""), ValueError, "fit: checkpoint: expected the name of a file"),
        (dict(checkpoint="folder.npz"), IsADirectoryError, "expected a file, got a folder"),
        (dict(checkpoint="folder.npz", resume=True), IsADirectoryError, "expected a file, got a folder"),
        (dict(checkpoint="nowhere/run"), FileNotFoundError, "there is no folder nowhere"),
    ],
)
def test_checkpoints_that_cannot_be_are_refused_before_the_training(tmp_path, monkeypatch, options, error, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    for trained, data in ((trainer(), (X, T)), (RnnlmTrainer(language_model(), SGD()), (WORDS, WORDS))):
        before = [p.tobytes() for p in trained.model.params]
        with pytest.raises(error, match=match):
            trained.fit(*data, 2, verbose=False, **options)
        assert [p.tobytes() for p in trained.model.params] == before


def test_files_that_are_not_there_or_no_checkpoints(tmp_path):
    trained = trainer()
    unchanged_by(lambda: trained.load_checkpoint(tmp_path / "a"), trained, "there is no checkpoint .*a.npz",
                 FileNotFoundError)  # fmt: skip
    trained.model.save_params(tmp_path / "weights.npz")
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name, reason in (
        ("weights", "it has no entry 'format'"),
        ("text", "it is not an archive"),
        ("empty", "it"),
    ):
        match = f"{name}.npz is not a checkpoint, or is damaged: {reason}"
        unchanged_by(lambda name=name: trained.load_checkpoint(tmp_path / name), trained, match)
        options = {"checkpoint": tmp_path / name, "resume": True}
        unchanged_by(lambda options=options: fitted(trained, 2, **options), trained, match)


class PlainSGD:
    def update(self, params, grads):
        for p, g in zip(params, grads, strict=True):
            p -= 0.1 * g


def test_an_optimizer_without_a_state_is_named(tmp_path):
    trained = trainer(optimizer=PlainSGD())
    for action in (
        lambda: trained.save_checkpoint(tmp_path / "run"),
        lambda: trained.load_checkpoint(tmp_path / "run"),
        lambda: fitted(trained, 2, checkpoint=tmp_path / "run"),
    ):
        with pytest.raises(ValueError, match="the optimizer PlainSGD has no state_dict"):
            action()
    assert trained.current_epoch == 0 and not list(tmp_path.iterdir())


class Kept:
    """A callback that has any state."""

    def __init__(self, state):
        self.state = state

    def __call__(self, trainer):
        pass

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_the_states_of_callbacks(tmp_path):
    state = {
        "numbers": [1, 2.5, None, True, "네", np.longdouble(0.5)],
        "arrays": {"a": np.arange(3), "b": [np.ones((1, 2), bool)]},
        "not": float("nan"),
        "nothing": {},
    }
    fitted(trainer(), 1, callbacks=[Kept(state), EarlyStopping("loss")], checkpoint=tmp_path / "run")
    kept = Kept(None)
    fitted(trainer(), 1, callbacks=[kept, EarlyStopping("loss")], checkpoint=tmp_path / "run", resume=True)
    assert kept.state.keys() == state.keys() and np.isnan(kept.state["not"]) and kept.state["nothing"] == {}
    assert kept.state["numbers"] == [1, 2.5, None, True, "네", 0.5]
    assert kept.state["arrays"]["a"].dtype == np.int64 and kept.state["arrays"]["a"].tolist() == [0, 1, 2]
    assert kept.state["arrays"]["b"][0].tolist() == [[True, True]]
    for wrong, match in (
        ({1: 2}, "must be a dictionary of names"),
        ({"array": "params/0"}, "must be a dictionary of names"),
        ({"a": {2, 3}}, "what a checkpoint cannot hold: a set"),
        ({"a": np.array([None])}, "is an array of object, expected numbers"),
        (None, "state_dict of the callback Kept must return a dictionary, got None"),
        ([("a", 1)], r"must return a dictionary, got \[\('a', 1\)\]"),
    ):
        trained = trainer()
        with pytest.raises(ValueError, match=match):
            fitted(trained, 1, callbacks=Kept(wrong), checkpoint=tmp_path / "run")
        fitted(trained, 1)


class Counted:
    """A callback of one's own, which counts its calls in a list and takes no state without one."""

    def __init__(self, most=9):
        self.most, self.calls, self.is_loaded = most, [], False

    def __call__(self, trainer):
        self.calls.append(trainer.current_epoch)

    def state_dict(self):
        return {"calls": self.calls or None}

    def load_state_dict(self, state):
        self.is_loaded = True
        self.calls.extend(state["calls"])
        if len(self.calls) > self.most:
            raise ValueError(f"Counted: {len(self.calls)} calls are too many")


@pytest.mark.parametrize("refusing", [0, 1, 2])
def test_where_one_callback_s_state_is_refused_all_stay_as_they_were(tmp_path, refusing):
    """They may have counted in earlier fits, and change before they find that the state is wrong."""

    def callbacks():
        return [EarlyStopping("loss"), Counted(), Counted()]

    path = tmp_path / "run.npz"
    fitted(trainer(), 3, callbacks=callbacks(), checkpoint=path)
    for counted in ([], [7]):
        given = callbacks()
        given[1].calls[:] = counted
        for other in given[1:]:
            other.most = 9
        if refusing:
            given[refusing].most, match = 2, "calls are too many"
        else:
            given[0].monitor, match = "accuracy", "EarlyStopping: the state is of 'loss', expected 'accuracy'"
        before = [dict(vars(one)) for one in given]
        loaded = trainer()
        loaded.load_checkpoint(path)
        for trained, options in ((trainer(), dict(checkpoint=path, resume=True)), (loaded, {})):
            options["callbacks"] = given
            unchanged_by(lambda trained=trained, o=options: fitted(trained, 5, **o), trained, match)
            assert [dict(vars(one)) for one in given] == before and given[1].calls == counted
            assert given[1].calls is before[1]["calls"]


class Locked(Counted):
    """One that cannot be copied whole."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_a_callback_that_cannot_be_copied_is_loaded_once(tmp_path):
    path = tmp_path / "run.npz"
    fitted(trainer(), 2, callbacks=Locked(), checkpoint=path)
    resumed = Locked()
    fitted(trainer(), 4, callbacks=resumed, checkpoint=path, resume=True)
    assert resumed.calls == [1, 2, 3, 4]


# What is a part of the run, though no parameter tells it

SETTINGS = {
    "dropout": (dict(ratios=(0.3, 0.2)), "its model has dropout_ratio 0.5, 0.2; this one has 0.3, 0.2"),
    "the second dropout": (
        dict(ratios=(0.5, 0.25)),
        "its model has dropout_ratio 0.5, 0.2; this one has 0.5, 0.25",
    ),
    "decay": (dict(decay=0.0), "its model has weight_decay 0.001; this one has 0.0"),
    "momentum": (dict(momentum=0.8), "its model has momentum 0.9; this one has 0.8"),
}


def with_settings(ratios=(0.5, 0.2), decay=0.001, momentum=0.9):
    first, second = np.ones((2, 4)), np.ones((4, 3))
    made = [
        layers.Affine(first, np.zeros(4)),
        layers.BatchNormalization(np.ones(4), np.zeros(4), momentum=momentum),
    ]
    made += [layers.Dropout(ratio) for ratio in ratios] + [layers.Affine(second, np.zeros(3))]
    return trainer(Sequential(made, layers.SoftmaxWithLoss(), weight_decay=decay))


@pytest.mark.parametrize("other, message", SETTINGS.values(), ids=SETTINGS)
def test_other_settings_of_the_model_are_refused_by_name(tmp_path, other, message):
    options = {"checkpoint": tmp_path / "run.npz", "resume": True}
    np.random.seed(1)  # of the masks
    whole = bits(fitted(with_settings(), 4))
    np.random.seed(1)
    fitted(with_settings(), 2, **options)
    other = with_settings(**other)
    match = "run.npz does not fit: " + re.escape(message)
    unchanged_by(lambda: other.load_checkpoint(options["checkpoint"]), other, match)
    unchanged_by(lambda: fitted(other, 4, **options), other, match)
    assert bits(fitted(with_settings(), 4, **options)) == whole


def test_settings_of_a_language_model_and_of_a_class_of_one_s_own(tmp_path):
    def both(ratio):
        model = language_model()
        model.layers[1].dropout_ratio = ratio
        own = Chain([Average(), layers.Affine(np.ones((2, 3)), np.zeros(3))], layers.SoftmaxWithLoss())
        own.layers[0].dropout_ratio = ratio
        return RnnlmTrainer(model, SGD()), Trainer(own, SGD())

    for first, same, other in zip(both(0.2), both(np.float64(0.2)), both(0.25), strict=True):
        path = first.save_checkpoint(tmp_path / "run")
        same.load_checkpoint(path)
        with pytest.raises(ValueError, match=r"its model has dropout_ratio 0.2; this one has 0.25"):
            other.load_checkpoint(path)


def test_checkpoints_that_do_not_have_the_settings_still_load(tmp_path):
    path = fitted(with_settings(), 2).save_checkpoint(tmp_path / "run")

    def as_before(told):
        del told["settings"], told["sizes"]["drop_last"], told["sizes"]["has_weights"]

    rewritten(path, set_text("trainer", as_before))
    fitted(with_settings((0.3, 0.3)), 4, checkpoint=path, resume=True)


def test_the_optimizer_s_settings_are_those_of_the_checkpoint(path):
    """As with its state_dict; what is set after load_checkpoint holds."""
    resumed = fitted(trainer(optimizer=Adam(0.5, 0.5)), 5, checkpoint=path, resume=True)
    assert bits(resumed) == bits(fitted(trainer(), 5)) and resumed.optimizer.lr == 0.05
    loaded = trainer()
    loaded.load_checkpoint(path)
    loaded.optimizer.lr = 0.01
    assert bits(fitted(loaded, 6)) != bits(fitted(trainer(), 6)) and loaded.optimizer.lr == 0.01


# Damage: whatever is in a file, it is refused as a whole


def rewritten(path, change):
    """Write a file's entries again after `change` has had them."""
    with np.load(path) as archive:
        entries = {name: archive[name] for name in archive.files}
    change(entries)
    file = io.BytesIO()
    np.savez(file, **entries)
    path.write_bytes(file.getvalue())


def set_text(name, change):
    def changed(entries):
        value = json.loads(str(entries[name]))
        change(value)
        entries[name] = np.array(json.dumps(value))

    return changed


def set_entry(name, value):
    return lambda entries: entries.update({name: value(entries.get(name)) if callable(value) else value})


def set_stream(**values):
    def change(rng):
        for name, value in values.items():
            (rng["numpy"] if name in rng["numpy"] else rng["numpy"]["state"])[name] = value

    return set_text("rng", change)


DAMAGE = {
    "another format": (set_entry("format", np.array("scratchnet checkpoint 2")), "its format is 'scratchnet"),
    "a number for a text": (set_entry("trainer", np.zeros(3)), "trainer has dtype float64 and shape .* a text"),
    "no text": (set_entry("rng", np.array("no JSON")), "damaged"),
    "deep text": (set_entry("rng", np.array("[" * 100_000)), "damaged"),
    "an entry more": (set_entry("spare", np.zeros(3)), "nothing refers to its entries"),
    "a parameter more": (set_entry("params/9", np.zeros(3)), "damaged|fit"),
    "no order": (lambda entries: entries.pop("order"), "it has no order of the samples"),
    "a short order": (set_entry("order", np.arange(299)), "its order is not one of the samples"),
    "a row twice": (set_entry("order", np.zeros(300, int)), "its order is not one of the samples"),
    "a row of another data set": (set_entry("order", np.arange(300) + 1), "its order is not one of the samples"),
    "no state": (lambda entries: entries.pop("optimizer/m/1"), "damaged"),
    "a state of another shape": (set_entry("optimizer/m/1", np.zeros(6, "f4")), "m and v belong to different"),
    "a state of both": (set_text("optimizer", lambda o: o.pop("v")), "nothing refers to its entries"),
    "no momentum": (set_text("optimizer", lambda o: o.pop("beta1")), "Adam: the state has no beta1"),
    "a negative rate": (set_text("optimizer", lambda o: o.update(lr=-1)), "Adam: lr must be"),
    "a negative count": (set_text("optimizer", lambda o: o.update(iter=-1)), "Adam: iter"),
    "negative epochs": (set_text("trainer", lambda t: t.update(epochs=-1)), "its trainer's state is invalid"),
    "no number of epochs": (set_text("trainer", lambda t: t.pop("epochs")), "KeyError: 'epochs'"),
    "losses of texts": (set_text("trainer", lambda t: t.update(loss_list=["a"])), "its loss_list is invalid"),
    "a history of numbers": (set_text("trainer", lambda t: t.update(history=[1])), "its history is invalid"),
    "an interval of 0": (set_text("trainer", lambda t: t.update(eval_interval=0)), "its eval_interval is invalid"),
    "a key too short": (set_stream(key=[1] * 623), "key of a random stream is not what NumPy gives"),
    "a key of others": (set_stream(key=[-1] * 624), "key of a random stream is not what NumPy gives"),
    "a place beyond": (set_stream(pos=625), "pos of a random stream is not what NumPy gives"),
    "another stream": (set_stream(bit_generator="PCG64"), "it is the state of 'PCG64', the stream is 'MT19937'"),
    "settings of texts": (set_text("trainer", lambda t: t.update(settings={"momentum": "a"})), "damaged|fit"),
    "settings in a list": (set_text("trainer", lambda t: t.update(settings=[0.5])), "damaged|fit"),
    "callbacks of numbers": (set_entry("callbacks", np.array("[1]")), "damaged"),
    "objects": (set_entry("buffers/0", np.array([None])), "dtype object"),
}  # fmt: skip


@pytest.mark.parametrize("change, match", DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_is_not_right_is_refused_and_nothing_is_changed(path, change, match):
    rewritten(path, change)
    other = trainer()
    unchanged_by(lambda: other.load_checkpoint(path), other, match)
    unchanged_by(lambda: fitted(other, 5, checkpoint=path, resume=True), other, match)


def test_a_file_cut_anywhere_is_refused(path):
    data, other = path.read_bytes(), trainer()
    for end in range(0, len(data), len(data) // 30):
        path.write_bytes(data[:end])
        unchanged_by(lambda: other.load_checkpoint(path), other, "is damaged")


def test_small_files_with_large_entries_are_refused_before_they_take_memory(path):
    with np.load(path) as archive:
        entries = {name: archive[name] for name in archive.files}
    entries["order"] = np.zeros(4_000_000, np.int64)
    np.savez_compressed(path, **entries)
    assert path.stat().st_size < 1 << 17
    other = trainer()
    unchanged_by(lambda: other.load_checkpoint(path), other, "its entries have 32.* bytes")


def test_streams_of_every_kind_come_back():
    for kind in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64):
        for made in (np.random.Generator, np.random.RandomState):
            one, other = made(kind(3)), made(kind(4))
            one.standard_normal(3), one.permutation(5)
            state = json.loads(json.dumps(state_of(one)))
            set_state(other, checked_state(other, state))
            for draw in ("standard_normal", "permutation"):
                np.testing.assert_array_equal(getattr(one, draw)(9), getattr(other, draw)(9))
    state["state"]["state"] = [1] * 5
    with pytest.raises(ValueError, match="of a random stream is not what NumPy gives"):
        checked_state(other, state)


# The disk


def test_a_full_disk_leaves_the_training_and_the_older_file_as_they_are(path, monkeypatch):
    before, trained = path.read_bytes(), trainer()
    own = _files.whole_file

    def full(target):
        if trained.current_epoch == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return own(target)

    monkeypatch.setattr("scratchnet._checkpoint_file.whole_file", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        fitted(trained, 7, checkpoint=path, resume=True)
    assert trained.current_epoch == len(trained.history) == 5 and path.read_bytes() != before
    monkeypatch.undo()
    assert bits(fitted(trained, 7, checkpoint=path, resume=True)) == bits(fitted(trainer(), 7))


def test_every_entry_has_its_name(path):
    with np.load(path) as archive:
        names = {name.split("/")[0] for name in archive.files}
        assert names == {"format", "params", "optimizer", "order", "rng", "trainer", "callbacks"}
        assert [archive[f"params/{i}"].shape for i in range(4)] == [(2, 5), (5,), (5, 3), (3,)]
        assert json.loads(str(archive["rng"]))["numpy"]["bit_generator"] == "MT19937"
        assert json.loads(str(archive["trainer"]))["epochs"] == 3


def test_an_optimizer_s_other_settings_come_back_too(tmp_path):
    first = fitted(trainer(optimizer=Momentum(np.float32(0.1), 0.5)), 1)
    first.save_checkpoint(tmp_path / "run")
    other = trainer(optimizer=Momentum())
    other.load_checkpoint(tmp_path / "run")
    assert (other.optimizer.lr, other.optimizer.momentum) == (np.float32(0.1), 0.5)


def test_a_layer_s_setting_that_no_float_holds_is_left_out(tmp_path):
    class Huge(layers.Relu):
        momentum = 10**400

    model = Sequential([Huge(), layers.Affine(np.ones((2, 3)), np.zeros(3))], layers.SoftmaxWithLoss())
    fitted(Trainer(model, SGD(0.1)), 1, checkpoint=tmp_path / "run")
    fitted(Trainer(model, SGD(0.1)), 2, checkpoint=tmp_path / "run", resume=True)
