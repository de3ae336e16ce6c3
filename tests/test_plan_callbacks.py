"""Whatever a callback changes, whole steps train on as the model's own code would, layer by layer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from chain_model import Chain

import scratchnet
from scratchnet import (
    SGD,
    Adam,
    Affine,
    Dropout,
    Momentum,
    MultiLayerNet,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
)
from scratchnet.models import Network

X, T = scratchnet.dataset.spiral.load_data()


class HalfLoss(SoftmaxWithLoss):
    def backward(self, dout=1):
        return super().backward(0.5 * dout)


class Doubling(TwoLayerNet):
    def backward(self, dout=1):
        return super().backward(2 * dout)


class Lazy(SGD):
    def update(self, params, grads):
        super().update(params, [0.1 * g for g in grads])


def doubled(thing, name):
    """Put a method over the object's own that returns twice what that one does."""
    own = getattr(thing, name)
    setattr(thing, name, lambda *a: 2 * own(*a))


def doubled_class(cls, name):
    """Put such a method into a class; return what puts the old one back."""
    own = getattr(cls, name)
    here = vars(cls).get(name)

    def put_back():
        if here is None:
            delattr(cls, name)
        else:
            setattr(cls, name, here)

    setattr(cls, name, lambda self, *a: 2 * own(self, *a))
    return put_back


def halved_update(optimizer):
    own = optimizer.update
    optimizer.update = lambda params, grads: own(params, [0.5 * g for g in grads])


def new_array(*lists):
    changed = lists[0][0] * 0.5
    for arrays in lists:
        arrays[0] = changed


def twin(affine):
    """Return a layer with the same parameters, and gradients of its own."""
    return Affine(*affine.params)


def replace_model(trainer):
    trainer.model = TwoLayerNet(2, 4, 3, 1.0, rng=9)


def nested_fit(trainer):
    if len(trainer.history) < 4:
        trainer.fit(X[:60], T[:60], 1, 20, verbose=False, rng=3)


CHANGES = {
    "activation replaced": lambda tr: tr.model.layers.__setitem__(
        1, [Sigmoid(), Relu()][len(tr.model.layers) == 3]
    ),
    "layer inserted": lambda tr: tr.model.layers.insert(1, Sigmoid()),
    "layer deleted": lambda tr: tr.model.layers.pop(1),
    "layer that draws": lambda tr: tr.model.layers.insert(2, Dropout(0.5)),
    "layers reversed": lambda tr: tr.model.layers.reverse(),
    "layers a tuple": lambda tr: setattr(tr.model, "layers", tuple(tr.model.layers)),
    "layers of another list": lambda tr: setattr(
        tr.model, "layers", [twin(tr.model.layers[0]), *tr.model.layers[1:]]
    ),
    "no layers": lambda tr: setattr(tr.model, "layers", None),
    "a layer that is none": lambda tr: tr.model.layers.__setitem__(1, None),
    "loss replaced": lambda tr: setattr(tr.model, "loss_layer", HalfLoss()),
    "loss of the same class": lambda tr: setattr(tr.model, "loss_layer", SoftmaxWithLoss()),
    "model.forward": lambda tr: doubled(tr.model, "forward"),
    "model.backward": lambda tr: setattr(tr.model, "backward", lambda dout=1: Network.backward(tr.model, 2.0)),
    "model.predict": lambda tr: doubled(tr.model, "predict"),
    "layer.forward": lambda tr: doubled(tr.model.layers[0], "forward"),
    "layer.backward": lambda tr: doubled(tr.model.layers[1], "backward"),
    "loss.forward": lambda tr: doubled(tr.model.loss_layer, "forward"),
    "optimizer.update": lambda tr: halved_update(tr.optimizer),
    "Network.forward": lambda tr: doubled_class(Network, "forward"),
    "Network.backward": lambda tr: doubled_class(Network, "backward"),
    "the model's class": lambda tr: doubled_class(type(tr.model), "forward"),
    "Affine.forward": lambda tr: doubled_class(Affine, "forward"),
    "Affine.backward": lambda tr: doubled_class(Affine, "backward"),
    "Sigmoid.forward": lambda tr: doubled_class(Sigmoid, "forward"),
    "Relu.forward": lambda tr: doubled_class(Relu, "forward"),
    "SoftmaxWithLoss.forward": lambda tr: doubled_class(SoftmaxWithLoss, "forward"),
    "the optimizer's class": lambda tr: doubled_class(type(tr.optimizer), "_kernel_numbers"),
    "class of the model": lambda tr: setattr(tr.model, "__class__", Doubling),
    "class of a layer": lambda tr: setattr(tr.model.layers[1], "__class__", Dropout),
    "class of the optimizer": lambda tr: setattr(tr.optimizer, "__class__", Lazy),
    "another optimizer": lambda tr: setattr(tr, "optimizer", Momentum(0.3)),
    "no optimizer": lambda tr: setattr(tr, "optimizer", None),
    "another model": replace_model,
    "no model": lambda tr: setattr(tr, "model", None),
    "array in the model": lambda tr: new_array(tr.model.params),
    "array in the layer": lambda tr: new_array(tr.model.layers[0].params),
    "array in both": lambda tr: new_array(tr.model.params, tr.model.layers[0].params),
    "gradient in the layer": lambda tr: new_array(tr.model.layers[0].grads),
    "gradient in the model": lambda tr: new_array(tr.model.grads),
    "params reversed": lambda tr: tr.model.params.reverse(),
    "a parameter less": lambda tr: tr.model.params.pop(),
    "params none": lambda tr: setattr(tr.model, "params", None),
    "params of a layer none": lambda tr: setattr(tr.model.layers[0], "params", None),
    "params of a layer fewer": lambda tr: tr.model.layers[0].params.pop(),
    "read-only": lambda tr: setattr(tr.model.params[0].flags, "writeable", False),
    "another shape": lambda tr: tr.model.params[0].resize((tr.model.params[0].size, 1), refcheck=False),
    "numbers in place": lambda tr: tr.model.params[0].__imul__(0.5),
    "learning rate": lambda tr: setattr(tr.optimizer, "lr", 0.01),
    "learning rate NaN": lambda tr: setattr(tr.optimizer, "lr", float("nan")),
    "learning rate text": lambda tr: setattr(tr.optimizer, "lr", "0.1"),
    "state begun anew": lambda tr: [setattr(tr.optimizer, name, None) for name in tr.optimizer._state],
    "state in place": lambda tr: [
        a.fill(0.5) for name in tr.optimizer._state for a in getattr(tr.optimizer, name)
    ],
    "data in place": lambda tr: tr.data.__imul__(0.5),
    "a fit within": nested_fit,
    "an attribute that means nothing": lambda tr: setattr(tr.model, "training", False),
}
MODELS = {
    "two layers": lambda: TwoLayerNet(2, 10, 3, 1.0, rng=0),
    "ReLU": lambda: MultiLayerNet(2, [6, 5], 3, "relu", "he", dtype=np.float64, rng=0),
}
OPTIMIZERS = {"SGD": lambda: SGD(0.5), "Adam": lambda: Adam(0.01)}


def outcome(change, model, optimizer, compile):
    """Train, with the change made after the second epoch; return all that training changes, or the error."""
    x = X.copy()
    undo = []

    def callback(trainer):
        if trainer.current_epoch == 2 and not undo:
            undo.append(change(trainer))

    np.random.seed(1)
    trainer = Trainer(model, optimizer, compile=compile)
    trainer.data = x
    error = None
    try:
        trainer.fit(x, T, 5, 30, eval_interval=3, verbose=False, callbacks=[callback])
    except Exception as raised:
        error = type(raised), str(raised)
    finally:
        for put_back in undo:
            if callable(put_back):
                put_back()
    assert undo, "the change was not made"
    numbers = [np.asarray(p).tobytes() for p in model.params or []]
    return error, trainer.loss_list, trainer.history, numbers, np.random.rand()


QUICK = (("two layers", "SGD"), ("ReLU", "Adam"))
TRIALS = [
    pytest.param(*trial, marks=() if trial[1:] in QUICK else pytest.mark.long)
    for trial in product(CHANGES, MODELS, OPTIMIZERS)
]


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("change, model, optimizer", TRIALS)
def test_whatever_a_callback_changes(change, model, optimizer):
    results = [
        outcome(CHANGES[change], MODELS[model](), OPTIMIZERS[optimizer](), compile) for compile in (None, False)
    ]
    assert results[0] == results[1]


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize(
    "cls, name", [(Sigmoid, "forward"), (Affine, "backward"), (Network, "forward"), (SGD, "update")]
)
def test_classes_that_were_changed_before_the_fit(cls, name):
    put_back = doubled_class(cls, name) if cls is not SGD else None
    if cls is SGD:
        own, SGD.update = SGD.update, lambda self, params, grads: None
        put_back = lambda: setattr(SGD, "update", own)  # noqa: E731
    try:
        results = [outcome(lambda tr: None, TwoLayerNet(2, 5, 3, 1.0, rng=0), SGD(0.5), c) for c in (None, False)]
    finally:
        put_back()
    assert results[0] == results[1] and results[0][0] is None
    assert results[0] != outcome(lambda tr: None, TwoLayerNet(2, 5, 3, 1.0, rng=0), SGD(0.5), None)


def test_a_changed_and_mended_model_is_compiled_again():
    engines = []

    def change(trainer):
        engines.append(trainer.engine)
        if trainer.current_epoch == 1:
            trainer.model.backward = lambda dout=1: Network.backward(trainer.model, dout)
        if trainer.current_epoch == 3:
            del trainer.model.backward

    Trainer(TwoLayerNet(2, 5, 3, rng=0), SGD()).fit(X, T, 5, 30, verbose=False, callbacks=change)
    assert engines == ["plan", "layers", "layers", "plan", "plan"]


# Data that a callback changes

ONE_HOT = T
INDICES = T.argmax(axis=1).astype(np.int64)
RELABELS = {
    "other classes": lambda t: np.copyto(t, np.roll(t, 7, axis=0)),
    "one past the end": lambda t: t.fill(3),
    "far outside": lambda t: t.fill(10**9),
    "below": lambda t: t.fill(-1),
}


@pytest.mark.parametrize("relabel", RELABELS)
@pytest.mark.parametrize("labels", [INDICES, INDICES.astype(np.int32), ONE_HOT], ids=["int64", "int32", "one-hot"])
@pytest.mark.parametrize("own", [True, False], ids=["own model", "reader's"])
def test_labels_that_a_callback_changes_are_checked_again(relabel, labels, own):
    results = []
    for compile in (not own or None, False):
        t = labels.copy()
        model = TwoLayerNet(2, 5, 3, 1.0, rng=0) if own else readers()
        trainer, error = Trainer(model, SGD(0.5), compile=compile), None
        try:
            trainer.fit(X, t, 4, 30, verbose=False, rng=0, callbacks=lambda tr: RELABELS[relabel](t))  # noqa: B023
        except IndexError as raised:
            error = str(raised)
        results.append((error, trainer.history, [p.tobytes() for p in model.params]))
    assert results[0] == results[1]
    assert (results[0][0] is None) == (relabel == "other classes" or labels is ONE_HOT)


def readers():
    rng = np.random.default_rng(0)
    layers = [
        Affine(rng.standard_normal((2, 5)), np.zeros(5)),
        Sigmoid(),
        Affine(rng.standard_normal((5, 3)), np.zeros(3)),
    ]
    return Chain(layers, SoftmaxWithLoss())


@pytest.mark.parametrize(
    "change", [lambda x: x.resize((10, 2), refcheck=False), lambda x: x.resize((2, 300), refcheck=False)]
)
def test_samples_that_a_callback_takes_away_are_missed(change):
    for compile in (None, False):
        x = X.copy()
        with pytest.raises((IndexError, ValueError)):
            Trainer(TwoLayerNet(2, 5, 3, rng=0), SGD(), compile=compile).fit(
                x,
                T,
                3,
                30,
                verbose=False,
                callbacks=lambda tr: change(x),  # noqa: B023
            )


def test_a_closure_over_the_model_goes_on_layer_by_layer():
    results = []

    def halve(trainer):
        model = trainer.model
        if trainer.current_epoch == 2:
            own = model.backward

            def backward(dout=1):
                own(dout)
                model.grads[0] *= 0.5

            model.backward = backward

    for compile in (True, False):
        model = readers()
        trainer = Trainer(model, SGD(0.5), compile=compile)
        trainer.fit(X, INDICES, 4, 30, verbose=False, rng=0, callbacks=halve)
        results.append((trainer.history, [p.tobytes() for p in model.params]))
    assert results[0] == results[1]
