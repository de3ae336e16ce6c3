"""A Trainer keeps its plan for the next fit, and that one trains what it would have trained without."""

import copy
import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest

from scratchnet import SGD, Adam, Momentum, Trainer, TwoLayerNet, _engines, layers

X = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
T = np.arange(30) % 3


def make(compile=None, optimizer=Adam):
    return Trainer(TwoLayerNet(2, 4, 3, rng=0), optimizer(0.1), compile=compile)


def fit(trainer, x=X, t=T, batch_size=5, **options):
    trainer.fit(x, t, 1, batch_size, verbose=False, rng=np.random.RandomState(3), **options)


def state_of(trainer):
    arrays = [*trainer.model.params, *trainer.model.grads]
    state = trainer.optimizer.state_dict()
    return [a.tobytes() for a in arrays], trainer.loss_list, trainer.history, str(state)


def plans(monkeypatch):
    """Return a list that gets an entry for every plan that is made."""
    made = []
    Plan = _engines.Plan
    monkeypatch.setattr(_engines, "Plan", lambda *a: made.append(a[0]) or Plan(*a))
    return made


def new_weights(trainer):
    model = trainer.model
    model.params[0] = model.layers[0].params[0] = model.params[0] * 2


def patched(trainer):
    forward = trainer.model.layers[1].forward
    trainer.model.layers[1].forward = lambda x: forward(x) * 0.5


def other_layer(trainer):
    trainer.model.layers[1] = layers.Relu()


def other_optimizer(trainer):
    trainer.optimizer = Momentum(0.1)


def other_model(trainer):
    trainer.model = TwoLayerNet(2, 4, 3, rng=1)


def moved_rows(trainer):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # NumPy 2.5's, of a set shape
        trainer.model.params[2].shape = (2, 6)
        trainer.model.params[2].shape = (4, 3)


def reset_state(trainer):
    trainer.optimizer.m = None


def another_rate(trainer):
    trainer.optimizer.lr = 0.01


def predicted(trainer):
    trainer.model.predict(X)


CHANGES = [
    new_weights,
    patched,
    other_layer,
    other_optimizer,
    other_model,
    moved_rows,
    reset_state,
    another_rate,
    predicted,
    fit,
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_between_two_fits(change):
    results = []
    for compile in (None, False):
        trainer = make(compile)
        fit(trainer)
        change(trainer)
        fit(trainer)
        results.append(state_of(trainer))
    assert results[0] == results[1]


OTHERS = [
    dict(x=X * 2),
    dict(x=X[:20], t=T[:20]),
    dict(x=X.astype(np.float64)),
    dict(x=(X * 9).astype(np.int8)),
    dict(x=X[::-1]),
    dict(x=X.T.copy().T),  # C cannot gather its rows
    dict(t=(T + 1) % 3),
    dict(t=np.eye(3, dtype=np.int8)[T]),
    dict(batch_size=7),
    dict(max_grad=0.01),
]


@pytest.mark.parametrize("other", OTHERS, ids=[" ".join(other) for other in OTHERS])
def test_other_data_and_options(other):
    results = []
    for compile in (None, False):
        trainer = make(compile)
        for options in ({}, other, {}):
            fit(trainer, **options)
        results.append(state_of(trainer))
    assert results[0] == results[1]


def test_one_plan_serves_all_fits_of_a_trainer(monkeypatch):
    made = plans(monkeypatch)
    trainer = make()
    for x in (X, X.astype(np.float64), X[::2]):
        fit(trainer, x, T[: len(x)])
    assert len(made) == 1 and trainer.engine == "plan"
    labels = T.copy()
    fit(trainer, t=labels)
    labels[3] = 7
    with pytest.raises(IndexError, match=r"t\[3\] is 7"):
        fit(trainer, t=labels)
    fit(trainer, batch_size=6)
    assert len(made) == 2


def test_a_large_plan_is_made_anew(monkeypatch):
    made = plans(monkeypatch)
    monkeypatch.setattr(_engines.Planned, "MAX_KEPT_BYTES", 100)
    trainer = make()
    for _ in range(2):
        fit(trainer)
    assert len(made) == 2


def test_the_data_are_let_go():
    trainer, x = make(), X.copy()
    fit(trainer, x)
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copied_trainer_goes_on_as_the_first(copied):
    results = []
    for compile in (None, False):
        first = make(compile, SGD)
        fit(first)
        second = copied(first)
        fit(second)
        results.append(state_of(second))
    assert results[0] == results[1]


def test_two_trainers_of_one_plan_do_not_share_their_data(monkeypatch):
    """A shallow copy holds what the first one keeps; its fit, in the first one's callback, makes its own."""
    results = []
    for compile in (None, False):
        first = make(compile, SGD)
        fit(first)
        second = copy.copy(first)
        other = X[::-1].copy()
        first.fit(X, T, 3, 5, verbose=False, rng=np.random.RandomState(4), callbacks=lambda _: fit(second, other))  # noqa: B023
        results.append(state_of(first))
    assert results[0] == results[1]
