"""compile=True: what is nearly a chain of layers is refused, or stopped, and never trained as if it were one."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from chain_model import Chain

import scratchnet
from scratchnet import SGD, Adam, Affine, Relu, Sigmoid, SoftmaxWithLoss, Trainer, TwoLayerNet
from scratchnet.util import clip_grads

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

X, T = scratchnet.dataset.spiral.load_data()
LABELS = T.argmax(axis=1)


class Net(Chain):
    def __init__(self, hidden=Sigmoid, dtype=np.float64):
        rng = np.random.default_rng(0)
        W1, b1 = rng.standard_normal((2, 10)).astype(dtype), np.zeros(10, dtype)
        W2, b2 = rng.standard_normal((10, 3)).astype(dtype), np.zeros(3, dtype)
        super().__init__([Affine(W1, b1), hidden(), Affine(W2, b2)], SoftmaxWithLoss())


class FirstLayerLeftOut(Net):
    def backward(self, dout=1):
        super().backward(dout)
        self.grads[0][...] = 0


class BiasesLeftOut(Net):
    def backward(self, dout=1):
        super().backward(dout)
        for g in self.grads[1::2]:
            g[...] = 0


class GradientThatIsNotWritten(Net):
    def backward(self, dout=1):
        kept = self.grads[1].copy()
        super().backward(dout)
        self.grads[1][...] = kept


class WeightDecay(Net):
    def backward(self, dout=1):
        super().backward(dout)
        for p, g in zip(self.params[::2], self.grads[::2], strict=True):
            g += p.dtype.type(1e-3) * p


class Noise(Net):
    def backward(self, dout=1):
        super().backward(dout)
        self.grads[0] += 1e-6 * np.random.randn(*self.grads[0].shape)


class NoiseOfPython(Net):
    def backward(self, dout=1):
        super().backward(dout)
        self.grads[0] += 1e-6 * random.random()


class NoiseOfItsOwn(Net):
    def __init__(self, *options):
        super().__init__(*options)
        self.rng = np.random.default_rng(0)

    def backward(self, dout=1):
        super().backward(dout)
        self.grads[0] += self.rng.normal(0, 1e-6, self.grads[0].shape)


class AlteredDout(Net):
    def backward(self, dout=1):
        return super().backward(1.001)


class AddedGradients(Net):
    def backward(self, dout=1):
        kept = [g.copy() for g in self.grads]
        super().backward(dout)
        for g, before in zip(self.grads, kept, strict=True):
            g += before


class Clipping(Net):
    def backward(self, dout=1):
        super().backward(dout)
        clip_grads(self.grads, 0.01)


class CountsSteps(Net):
    """Something else begins at the fifth step."""

    steps = 0

    def forward(self, x, t):
        self.steps += 1
        return super().forward(x, t)

    def backward(self, dout=1):
        return super().backward(0.5 if self.steps >= 5 else 1)


class CountsInItsClass(Net):
    steps = 0

    def backward(self, dout=1):
        type(self).steps += 1
        return super().backward(0.5 if self.steps >= 5 else 1)


class RateThatFalls(Net):
    def __init__(self, *options):
        super().__init__(*options)
        self.settings = {"rate": 1.0}

    def backward(self, dout=1):
        self.settings["rate"] *= 0.999
        return super().backward(self.settings["rate"])


class LossesInAList(Net):
    def __init__(self, *options):
        super().__init__(*options)
        self.losses = []

    def forward(self, x, t):
        self.losses.append(super().forward(x, t))
        return self.losses[-1]


class Average(Net):
    mean = 0.0

    def forward(self, x, t):
        loss = super().forward(x, t)
        self.mean = 0.9 * self.mean + 0.1 * loss
        return loss

    def backward(self, dout=1):
        return super().backward(min(1.0, self.mean))


class DependsOnTheBatch(Net):
    def forward(self, x, t):
        self.heavy = x[:, 0].mean() > 0
        return super().forward(x, t)

    def backward(self, dout=1):
        return super().backward(1.5 if self.heavy else 1)


class ClipsInForward(Net):
    def forward(self, x, t):
        for p in self.params:
            np.clip(p, -0.5, 0.5, out=p)
        return super().forward(x, t)


class ClipsWhatGrows(Net):
    """Weights are bounded where they are not yet at first."""

    def forward(self, x, t):
        for p in self.params:
            np.clip(p, -3, 3, out=p)
        return super().forward(x, t)


class UpdatesItself(Net):
    def backward(self, dout=1):
        super().backward(dout)
        for p, g in zip(self.params, self.grads, strict=True):
            p -= p.dtype.type(0.01) * g


class OtherLabels(Net):
    def forward(self, x, t):
        return super().forward(x, np.roll(t, 1))


class Frozen(Net):
    def __init__(self, *options):
        super().__init__(*options)
        self.params, self.grads = self.params[2:], self.grads[2:]


class DropsInputs(Net):
    def forward(self, x, t):
        return super().forward(x * (np.random.rand(*x.shape) > 0.2), t)


ALMOST = [
    FirstLayerLeftOut,
    BiasesLeftOut,
    GradientThatIsNotWritten,
    WeightDecay,
    Noise,
    NoiseOfPython,
    NoiseOfItsOwn,
    AlteredDout,
    AddedGradients,
    Clipping,
    CountsSteps,
    CountsInItsClass,
    RateThatFalls,
    LossesInAList,
    Average,
    DependsOnTheBatch,
    ClipsInForward,
    ClipsWhatGrows,
    UpdatesItself,
    OtherLabels,
    Frozen,
    DropsInputs,
]


def trained(model, optimizer, compile):
    """Return the trainer, the error, and all that was trained in bits."""
    np.random.seed(5)
    random.seed(5)
    trainer = Trainer(model, optimizer, compile=compile)
    error = None
    try:
        trainer.fit(X, LABELS, 6, 30, verbose=False, eval_interval=4)
    except (ValueError, RuntimeError) as raised:
        error = raised
    streams = np.random.rand(), random.random()
    return trainer, error, (trainer.loss_list, [p.tobytes() for p in model.params], streams)


QUICK = (Sigmoid, np.float32, 1e-6, SGD), (Relu, np.float64, 1.0, SGD)
WAYS = list(product((Sigmoid, Relu), (np.float32, np.float64), (1e-6, 0.1, 1.0), (SGD, Adam)))


@pytest.mark.parametrize(
    "cls, hidden, dtype, lr, optimizer",
    [
        pytest.param(cls, *way, marks=() if way in QUICK else pytest.mark.long)
        for cls, way in product(ALMOST, WAYS)
    ],
)
def test_almost_chains_are_never_trained_as_chains(cls, hidden, dtype, lr, optimizer):
    CountsInItsClass.steps = 0
    model = cls(hidden, dtype)
    before = [p.tobytes() for p in model.params]
    _, error, compiled = trained(model, optimizer(lr), True)
    if error is None:  # then it did what it does uncompiled: the weights never grew so far, for one
        CountsInItsClass.steps = 0
        _, _, own = trained(cls(hidden, dtype), optimizer(lr), False)
        assert compiled == own
    elif isinstance(error, ValueError):
        assert str(error).startswith("fit: compile=True, but ")
        assert [p.tobytes() for p in model.params] == before
    else:
        assert "fit: compile=True, but in epoch" in str(error) and "step" in str(error)


@pytest.mark.parametrize("cls", sorted(set(ALMOST) - {ClipsWhatGrows, DependsOnTheBatch}, key=ALMOST.index))
def test_almost_chains_are_refused_before_the_first_step(cls):
    CountsInItsClass.steps = 0
    trainer, error, _ = trained(cls(), SGD(0.1), True)
    assert isinstance(error, ValueError) == (cls is not CountsInItsClass) and trainer.current_epoch == 0, error


def test_what_begins_later_is_found_later_and_the_step_is_named():
    trainer, error, _ = trained(ClipsWhatGrows(), SGD(2.0), True)
    assert isinstance(error, RuntimeError) and f"in epoch {trainer.current_epoch + 1}, step " in str(error)
    assert trainer.current_epoch >= 1
    with pytest.raises(ValueError, match="compile=True, but"):  # now it is known at once
        trainer.fit(X, LABELS, 1, 30, verbose=False)
    own = Trainer(trainer.model, trainer.optimizer, compile=False)
    own.fit(X, LABELS, 1, 30, verbose=False)
    assert len(own.history) == 1 and np.isfinite(own.history[0]["loss"])


class Keeps(Net):
    """Keeps things of the last step, as readers do to look at them."""

    def forward(self, x, t):
        self.x, self.t, self.shape = x, t, {"batch": x.shape}
        self.loss = super().forward(x, t)
        return self.loss


class Slots:
    """Without a dictionary."""

    __slots__ = ("grads", "layers", "loss_layer", "params")

    def __init__(self):
        chain = Net()
        self.layers, self.loss_layer, self.params, self.grads = (
            chain.layers,
            chain.loss_layer,
            chain.params,
            chain.grads,
        )

    def forward(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss_layer.forward(x, t)

    def backward(self):
        dout = self.loss_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)


@pytest.mark.parametrize("cls", [Net, Keeps, Slots])
@pytest.mark.parametrize("optimizer", [lambda: SGD(0.5), lambda: Adam(0.01)])
def test_what_is_a_chain_is_compiled(cls, optimizer):
    results = [trained(cls(), optimizer(), compile) for compile in (True, False)]
    (planned, error, compiled), (layers, _, own) = results
    assert error is None and (planned.engine, layers.engine) == ("plan", "layers")
    assert compiled == own and planned.history == layers.history


class Copyless(Net):
    def __deepcopy__(self, memo):
        raise TypeError("this one is unique")


def test_a_model_that_cannot_be_copied_is_refused():
    _, error, _ = trained(Copyless(), SGD(0.1), True)
    assert isinstance(error, ValueError) and "cannot be copied" in str(error) and "unique" in str(error)


class Flagged(Net):
    slow = False

    def backward(self, dout=1):
        return super().backward(0.1 if self.slow else 1)


@pytest.mark.parametrize("change", ["flag", "class", "layer", "none"])
def test_after_a_callback_a_reader_s_model_is_looked_at_again(change):
    results, engines = [], []

    def callback(trainer):
        engines.append(trainer.engine)
        if trainer.current_epoch == 2 and change == "flag":
            trainer.model.slow = True
        if trainer.current_epoch == 2 and change == "class":
            trainer.model.__class__ = WeightDecay
        if trainer.current_epoch == 2 and change == "layer":
            trainer.model.layers[1] = Relu()
        if trainer.current_epoch == 4 and change == "flag":
            trainer.model.slow = False

    for compile in (True, False):
        np.random.seed(5)
        model = Flagged()
        trainer = Trainer(model, SGD(0.5), compile=compile)
        trainer.fit(X, LABELS, 6, 30, verbose=False, callbacks=[callback])
        results.append((trainer.history, [p.tobytes() for p in model.params]))
    assert results[0] == results[1]
    expected = {
        "flag": ["plan"] * 2 + ["layers"] * 2 + ["plan"] * 2,
        "class": ["plan"] * 2 + ["layers"] * 4,
        "layer": ["plan"] * 6,
        "none": ["plan"] * 6,
    }
    assert engines[:6] == expected[change]


def test_the_proof_leaves_the_random_streams_alone():
    """And so it does not matter how often it is made."""
    _, error, compiled = trained(Keeps(), SGD(0.1), True)
    _, _, own = trained(Keeps(), SGD(0.1), False)
    assert error is None and compiled[2] == own[2]


def test_scratchnets_own_models_need_no_proof(monkeypatch):
    monkeypatch.setattr(scratchnet._engines, "Proved", None)
    trainer = Trainer(TwoLayerNet(2, 5, 3, rng=0), SGD(), compile=True)
    trainer.fit(X, T, 1, 30, verbose=False)
    assert trainer.engine == "plan"
