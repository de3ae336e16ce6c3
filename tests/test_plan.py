"""Whole-step training: the same numbers as layer by layer, and nothing that is not the model's own training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from chain_model import Chain

import scratchnet
from scratchnet import (
    SGD,
    AdaGrad,
    Adam,
    Affine,
    Momentum,
    MultiLayerNet,
    Nesterov,
    Relu,
    RMSprop,
    Sigmoid,
    Softmax,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
)

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

OPTIMIZERS = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam]


@pytest.fixture(scope="module")
def spiral():
    return scratchnet.dataset.spiral.load_data()


class ReadersNet(Chain):
    """As the notes write it, over scratchnet's layers."""

    def __init__(self, hidden=Sigmoid, dtype=np.float64):
        rng = np.random.default_rng(0)
        W1, b1 = rng.standard_normal((2, 10)).astype(dtype), np.zeros(10, dtype)
        W2, b2 = rng.standard_normal((10, 3)).astype(dtype), np.zeros(3, dtype)
        super().__init__([Affine(W1, b1), hidden(), Affine(W2, b2)], SoftmaxWithLoss())


def fit(model, optimizer, x, t, compile, **options):
    """Train from a seed; return the trainer and everything that training changes, in bits."""
    np.random.seed(5)
    trainer = Trainer(model, optimizer, compile=compile)
    trainer.fit(x, t, **{"max_epoch": 20, "batch_size": 30, "eval_interval": 3, "verbose": False, **options})
    state = [a.tobytes() for name in optimizer._state for a in getattr(optimizer, name)]
    result = (
        trainer.loss_list,
        trainer.history,
        [a.tobytes() for a in (*model.params, *model.grads)],
        state,
        getattr(optimizer, "iter", 0),
        np.random.rand(),
    )
    return trainer, result


# The same bits as layer by layer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("max_grad", [None, 0.05])
def test_every_optimizer_with_and_without_clipping(spiral, make, dtype, max_grad):
    results = []
    for compile, engine in ((None, "plan"), (False, "layers")):
        model = TwoLayerNet(2, 10, 3, 1.0, dtype=dtype, rng=0)
        trainer, result = fit(model, make(0.01), *spiral, compile, max_grad=max_grad)
        assert trainer.engine == engine
        results.append(result)
    assert results[0] == results[1]


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("hidden", [[], [1], [7], [33, 5], [10, 20, 30, 8]])
def test_chains_of_any_depth(spiral, hidden, activation):
    results = [
        fit(MultiLayerNet(2, hidden, 3, activation, "he", rng=1), SGD(0.1), *spiral, compile)[1]
        for compile in (None, False)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("batch_size", [1, 7, 32, 299, 300])
@pytest.mark.parametrize("eval_interval", [None, 1, 4, 1000])
def test_any_batch_size_and_interval(spiral, batch_size, eval_interval):
    options = {"batch_size": batch_size, "eval_interval": eval_interval, "max_epoch": 3}
    results = [
        fit(TwoLayerNet(2, 5, 3, rng=1), SGD(0.1), *spiral, compile, **options)[1] for compile in (None, False)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["plain", "every other row", "some columns"])
def test_data_of_any_dtype_is_cast_as_it_is_gathered(dtype, layout):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (100, 8)).astype(dtype)
    x = {"plain": x[:50, :6].copy(), "every other row": x[::2, :6], "some columns": x[:50, 1:7]}[layout]
    t = rng.integers(0, 4, 50)
    for net_dtype in (np.float32, np.float64):
        results = [
            fit(TwoLayerNet(6, 5, 4, 1.0, dtype=net_dtype, rng=1), SGD(0.1), x, t, compile)
            for compile in (None, False)
        ]
        assert results[0][0].engine == "plan" and results[0][1] == results[1][1]


def test_labels_in_every_form(spiral):
    x, t = spiral
    results = [
        fit(TwoLayerNet(2, 5, 3, rng=1), SGD(0.1), x, labels, None)[1]
        for labels in (t, t.argmax(axis=1), t.argmax(axis=1).astype(np.uint8), t.astype(float))
    ]
    assert all(result == results[0] for result in results)


def test_validation_callbacks_and_a_learning_rate_that_changes(spiral):
    results = []
    for compile in (None, False):
        optimizer = Momentum(1.0)

        def halve(trainer, optimizer=optimizer):
            optimizer.lr *= 0.5
            return trainer.current_epoch == 7

        model = TwoLayerNet(2, 10, 3, rng=1)
        trainer, result = fit(model, optimizer, *spiral, compile, validation=spiral, callbacks=[halve])
        assert trainer.current_epoch == 7
        results.append(result)
    assert results[0] == results[1]


def test_two_fits_go_on_where_one_would(spiral):
    results = []
    for compile in (None, False):
        model, optimizer = TwoLayerNet(2, 10, 3, rng=1), Adam()
        trainer = Trainer(model, optimizer, compile=compile)
        for epochs in (3, 4):
            trainer.fit(*spiral, epochs, 30, rng=epochs, verbose=False)
        results.append((trainer.loss_list, trainer.history, optimizer.iter, [p.tobytes() for p in model.params]))
    assert results[0] == results[1] and results[0][2] == 70


def test_a_long_epoch_is_run_in_pieces(monkeypatch):
    """No call takes longer than signals can wait: with no patience, every call is one step."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((500, 4)), rng.integers(0, 3, 500)
    calls = []
    run = scratchnet.plan.Plan.run
    monkeypatch.setattr(scratchnet.plan.Plan, "run", lambda *a: calls.append(run(*a)) or calls[-1])
    whole = fit(TwoLayerNet(4, 5, 3, rng=0), SGD(), x, t, None, batch_size=2, max_epoch=2)[1]
    steps = list(map(len, calls))
    assert steps[0] == 1 and 1 < max(steps) <= 250 and sum(steps) == 500
    monkeypatch.setattr(scratchnet._engines.Planned, "MAX_CHUNK_SECONDS", 0)
    assert fit(TwoLayerNet(4, 5, 3, rng=0), SGD(), x, t, None, batch_size=2, max_epoch=2)[1] == whole
    assert set(map(len, calls[-500:])) == {1}


# What a plan must not train


def engine_of(model, optimizer, x, t, compile=None):
    return fit(model, optimizer, x, t, compile, max_epoch=1)[0].engine


def test_a_changed_model_is_trained_by_its_own_code(spiral):
    class Overridden(TwoLayerNet):
        def forward(self, x, t):
            return 2 * super().forward(x, t)

    class Changed(Sigmoid):
        def forward(self, x):
            return super().forward(2 * np.asarray(x))

    def with_own_forward():
        model = TwoLayerNet(2, 5, 3, rng=0)
        model.forward = TwoLayerNet.forward.__get__(model)
        return model

    def with_changed_layer():
        model = TwoLayerNet(2, 5, 3, rng=0)
        model.layers[1] = Changed()
        return model

    def with_patched_layer():
        model = TwoLayerNet(2, 5, 3, rng=0)
        model.layers[1].forward = model.layers[1].forward
        return model

    for make in (lambda: Overridden(2, 5, 3, rng=0), with_own_forward, with_changed_layer, with_patched_layer):
        assert engine_of(make(), SGD(), *spiral) == "layers"


def test_an_optimizer_of_another_class_is_not_compiled(spiral):
    class Mine(SGD):
        def update(self, params, grads):
            super().update(params, [-g for g in grads])

    assert engine_of(TwoLayerNet(2, 5, 3, rng=0), Mine(), *spiral) == "layers"


def test_parameters_that_a_plan_cannot_use(spiral):
    def tied():
        model = MultiLayerNet(2, [4, 4], 3, rng=0)
        model.layers[4].params[0] = np.ones((4, 3), np.float32)
        W = model.params[2]
        model.layers[2].params[0] = W.T
        return model

    def fortran():
        model = TwoLayerNet(2, 5, 3, rng=0)
        model.params[0] = model.layers[0].params[0] = np.asfortranarray(np.ones((2, 5), np.float32))
        return model

    for make in (tied, fortran, lambda: TwoLayerNet(2, 5, 3, dtype=np.float16, rng=0)):
        assert engine_of(make(), SGD(), *spiral) == "layers"


@pytest.mark.parametrize(
    "samples", [lambda x: x.astype(">f8"), lambda x: x.astype(np.float16), lambda x: x.T.copy().T]
)
def test_samples_that_c_cannot_gather_train_layer_by_layer(spiral, samples):
    x, t = spiral
    plain = fit(TwoLayerNet(2, 5, 3, dtype=np.float64, rng=0), SGD(0.1), samples(x).astype(float).copy(), t, None)
    other = fit(TwoLayerNet(2, 5, 3, dtype=np.float64, rng=0), SGD(0.1), samples(x), t, None)
    assert (plain[0].engine, other[0].engine) == ("plan", "layers") and plain[1] == other[1]


def test_arrays_that_a_callback_puts_in_are_trained(spiral):
    """The plan looks whether its arrays are still the model's."""
    results = []
    for compile in (None, False):
        model = TwoLayerNet(2, 5, 3, rng=0)

        def replace(trainer):
            if trainer.current_epoch == 3:
                W = trainer.model.params[0].copy()
                trainer.model.params[0] = trainer.model.layers[0].params[0] = W

        results.append(fit(model, SGD(0.1), *spiral, compile, callbacks=[replace])[1])
    assert results[0] == results[1]


def test_a_copied_model_is_compiled_too(spiral):
    model = TwoLayerNet(2, 5, 3, rng=0)
    twin = copy.deepcopy(model)
    (one, first), (two, second) = fit(model, SGD(0.1), *spiral, None), fit(twin, SGD(0.1), *spiral, None)
    assert one.engine == two.engine == "plan" and first == second


# A reader's own class, compiled when asked


@pytest.mark.parametrize("hidden", [Sigmoid, Relu])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_reader_s_model_is_compiled_when_asked(spiral, hidden, dtype, make):
    (asked, compiled), (default, own) = (
        fit(ReadersNet(hidden, dtype), make(0.01), *spiral, compile, max_grad=0.5) for compile in (True, None)
    )
    assert (asked.engine, default.engine) == ("plan", "layers")
    assert compiled == own


class Named(ReadersNet):
    """The layers in a dictionary, as book 1 keeps them."""

    def __init__(self):
        super().__init__()
        self.layers = dict(zip(("Affine1", "Sigmoid1", "Affine2"), self.layers, strict=True))

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)


def test_layers_in_a_dictionary_are_found(spiral):
    (asked, compiled), (_, own) = (fit(Named(), SGD(0.1), *spiral, compile) for compile in (True, None))
    assert asked.engine == "plan" and compiled == own


class Decayed(ReadersNet):
    def backward(self, dout=1):
        super().backward(dout)
        self.grads[0] += 0.1 * self.params[0]


class Scaled(ReadersNet):
    def forward(self, x, t):
        return 3 * super().forward(x, t)


class Centred(ReadersNet):
    def forward(self, x, t):
        return super().forward(x - 1, t)


class Shortcut(ReadersNet):
    def predict(self, x):
        h = self.layers[0].forward(x)
        return self.layers[2].forward(self.layers[1].forward(h) + h)


class Twice(ReadersNet):
    def __init__(self):
        super().__init__()
        square = Affine(np.eye(10), np.zeros(10))
        self.layers[1:1] = [square, square]
        self.params[2:2], self.grads[2:2] = square.params, square.grads


class OwnLoss(ReadersNet):
    def forward(self, x, t):
        return float(np.mean((self.predict(x) - t) ** 2))


class Rounded(ReadersNet):
    def __init__(self):
        super().__init__()
        self.layers[0].params[1] = self.params[1] = np.zeros(10, np.float32)


class Listed(ReadersNet):
    def __init__(self):
        super().__init__()
        self.params = self.params[::-1]


def a_layer_with_a_forward_of_its_own():
    model = ReadersNet()
    model.layers[1].forward = model.layers[1].forward
    return model


def chain(*hidden):
    return Chain([Affine(np.ones((2, 3)), np.zeros(3)), *(layer() for layer in hidden)], SoftmaxWithLoss())


class NoLayers:
    params, grads = [np.zeros(2)], [np.zeros(2)]

    def forward(self, x, t):
        return 0.0

    def backward(self):
        pass


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ReadersNet(Softmax), "the layer Softmax cannot be part"),
        (Decayed, r"grads\[0\] differs"),
        (Scaled, "own loss is"),
        (Centred, "Affine does not accept the samples as they are"),
        (Shortcut, "Affine does not accept the output of the layer before it"),
        (Twice, "used twice"),
        (OwnLoss, "does not end with SoftmaxWithLoss"),
        (Rounded, "dtypes .*float32.*, expected only float32 or only float64"),
        (Listed, "params are not those of its layers, in order"),
        (a_layer_with_a_forward_of_its_own, "the layer Sigmoid has a forward of its own"),
        (lambda: chain(Sigmoid, Relu), "SoftmaxWithLoss does not follow an Affine layer"),
        (lambda: chain(Relu), "SoftmaxWithLoss does not follow an Affine layer"),
        (NoLayers, "none of scratchnet's layers"),
    ],
)
def test_what_is_no_chain_is_refused_by_name_and_left_as_it_was(spiral, make, message):
    model = make()
    before = [p.copy() for p in model.params]
    with pytest.raises(ValueError, match=f"compile=True, but .*{message}"):
        Trainer(model, SGD(0.1), compile=True).fit(*spiral, 2, 30)
    for kept, now in zip(before, model.params, strict=True):
        np.testing.assert_array_equal(kept, now)
    if isinstance(model, ReadersNet) and make is not a_layer_with_a_forward_of_its_own:
        assert not any("forward" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize("compile", ["yes", 2])
def test_compile_is_none_false_or_true(compile):
    with pytest.raises(ValueError, match="compile must be"):
        Trainer(TwoLayerNet(2, 3, 2, rng=0), SGD(), compile=compile)


# The compiled steps themselves refuse what would lead C astray


def test_steps_refuse_what_does_not_fit(spiral):
    x, t = spiral
    labels = t.argmax(axis=1).astype(np.int64)
    model = TwoLayerNet(2, 5, 3, dtype=np.float64, rng=0)
    plan = scratchnet.plan.Plan(scratchnet.plan.Job(model, SGD(0.1), x, labels, 30, None))
    steps, order, rates = plan._runner, np.arange(300), [0.1] * 10
    before = [p.copy() for p in model.params]
    for data in (x[:, :1].copy(), np.zeros((300, 3)), x[:200], x.astype(np.complex128), x[0]):
        with pytest.raises(ValueError):
            steps.set_data(data, labels)
    for wrong in (-1, 300, 2**40):
        with pytest.raises(IndexError):
            steps.run(np.where(order == 17, wrong, order), rates, ())
    with pytest.raises(ValueError):
        steps.run(order.astype(np.int32), rates, ())
    with pytest.raises(ValueError, match="9 learning rates for 10 steps"):
        steps.run(order, rates[1:], ())
    assert steps.run(order[:29], rates, ()) == []
    for kept, now in zip(before, model.params, strict=True):
        np.testing.assert_array_equal(kept, now)
