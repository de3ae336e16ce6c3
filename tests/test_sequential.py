"""Any chain of layers as a model: training, what is different after it, decay, losses, files and copies."""

from __future__ import annotations

import copy
import json
import math
import pickle
import zipfile

import numpy as np
import pytest
from chain_model import Chain
from differences import assert_gradient, central_differences
from tolerances import GRADIENT

from scratchnet import (
    SGD,
    Adam,
    MultiLayerNet,
    Trainer,
    TwoLayerNet,
    gradient_check,
    load_params,
    models,
    save_params,
)
from scratchnet.book1 import layers as book1
from scratchnet.book1.multi_layer_net import MultiLayerNet as Book1Net
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    IdentityWithLoss,
    MatMul,
    Pooling,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
)
from scratchnet.plotting import plot_decision_boundary

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

X, T = np.random.default_rng(0).standard_normal((12, 2, 6, 6)), np.arange(12) % 3
POINTS = X.reshape(12, -1)[:, :2]


def randn(*shape, seed=0, dtype=np.float64):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * 0.3).astype(dtype)


def network(loss_layer=None, outputs=3, dropout=0.3, dtype=np.float64, weight_decay=0.1):
    layers = [
        Convolution(randn(4, 2, 3, 3, dtype=dtype), randn(4, dtype=dtype), pad=1),
        BatchNormalization(1 + randn(4, dtype=dtype), randn(4, seed=1, dtype=dtype)),
        Relu(),
        Pooling(2, 2),
        Flatten(),
        Affine(randn(36, 5, dtype=dtype), randn(5, dtype=dtype)),
        Tanh(),
        Dropout(dropout),
        Affine(randn(5, outputs, dtype=dtype), randn(outputs, dtype=dtype)),
    ]
    return models.Sequential(layers, loss_layer or SoftmaxWithLoss(), weight_decay=weight_decay)


def fit(model, x=X, t=T, epochs=20, **options):
    trainer = Trainer(model, Adam(0.01))
    np.random.seed(3)
    trainer.fit(x, t, epochs, 4, verbose=False, **options)
    return trainer


def test_a_convolutional_network_learns():
    trainer = fit(network(), validation=(X, T))
    first, last = trainer.history[0], trainer.history[-1]
    assert last["loss"] < first["loss"] and last["val_accuracy"] == trainer.model.accuracy(X, T) > 0.6


def test_dropout_and_statistics_are_those_of_inference_but_in_training():
    model = network()
    before = np.random.get_state()[1].tobytes()
    scores, loss = model.predict(X), model.forward(X, T, train_flg=False)
    assert np.random.get_state()[1].tobytes() == before and not model.layers[1].running_mean.any()
    fit(model, validation=(X, T), epochs=1)
    assert model.layers[1].running_mean.any()
    kept = model.layers[1].running_mean.copy()
    assert not np.array_equal(model.predict(X), scores) and model.forward(X, T, train_flg=False) != loss
    assert (
        fit(network(), epochs=2).history[-1]["loss"]
        == fit(network(), epochs=2, validation=(X, T)).history[-1]["loss"]
    )
    np.testing.assert_array_equal(model.layers[1].running_mean, kept)


def test_a_large_input_goes_in_blocks(monkeypatch):
    model, expected = network(), network().predict(np.tile(X, (5, 1, 1, 1)))
    monkeypatch.setattr(models, "_BLOCK", 1000)
    seen, first = [], model.layers[0].forward
    model.layers[0].forward = lambda x: seen.append(len(x)) or first(x)
    np.testing.assert_array_equal(model.predict(np.tile(X, (5, 1, 1, 1))), expected)
    assert max(seen) == 1000 // (4 * 6 * 6) and sum(seen) == 61


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_weight_decay_is_of_weights_only_and_not_divided(decay):
    model = network(dropout=0.0, weight_decay=decay)
    plain = network(dropout=0.0, weight_decay=0.0)
    weights = [layer.W for layer in model.layers if hasattr(layer, "W")]
    penalty = 0.5 * decay * sum(np.sum(W**2) for W in weights)
    assert model.forward(X, T) == pytest.approx(plain.forward(X, T) + penalty, rel=1e-12)
    model.backward(), plain.backward()
    for p, g, without in zip(model.params, model.grads, plain.grads, strict=True):
        is_weight = any(p is W for W in weights)
        np.testing.assert_allclose(g, without + decay * p * is_weight, rtol=1e-12, atol=1e-15)
    errors = gradient_check(network(weight_decay=decay), X, T)
    assert max(errors.values()) < GRADIENT and len(errors) == len(model.params)


def test_the_gradient_check_leaves_statistics_and_weights_as_they_are():
    model = network(dtype=np.float32)
    model.forward(X, T)
    kept = [a.copy() for a in (*model.params, model.layers[1].running_mean, model.layers[1].running_var)]
    assert max(gradient_check(model, X, T).values()) < 1e-4
    for before, now in zip(
        kept, (*model.params, model.layers[1].running_mean, model.layers[1].running_var), strict=True
    ):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_losses_of_a_multi_layer_net(loss, dtype):
    layer = {"softmax": SoftmaxWithLoss, "sigmoid": SigmoidWithLoss, "identity": IdentityWithLoss}[loss]
    model = MultiLayerNet(2, [5], 3, weight_init_std=0.5, dtype=dtype, rng=1, loss=loss, weight_decay=0.2)
    t = {"softmax": T, "sigmoid": np.eye(3, dtype=int)[T], "identity": randn(12, 3, seed=4)}[loss]
    assert type(model.loss_layer) is layer
    chain = Chain(model.layers, layer())
    penalty = 0.1 * sum(np.sum(W.astype(float) ** 2) for W in model.params[::2])
    assert model.loss(POINTS, t) == pytest.approx(chain.forward(POINTS, t) + penalty, rel=1e-6)
    model = MultiLayerNet(2, [5], 3, weight_init_std=0.5, dtype=np.float64, rng=1, loss=loss, weight_decay=0.2)
    model.gradient(POINTS, t)
    grads = [g.copy() for g in model.grads]
    for grad, array in zip(grads, model.params, strict=True):
        numeric = central_differences(lambda: model.loss(POINTS, t) + model.loss_layer.what_delta_adds()
                                      if loss != "identity" else model.loss(POINTS, t), array)  # fmt: skip
        assert_gradient(grad, numeric)


def test_a_regression_s_validation_adds_its_loss_only():
    t = POINTS[:, :1] * POINTS[:, 1:]
    for model in (
        MultiLayerNet(2, [8], 1, weight_init_std="xavier", rng=0, loss="identity"),
        models.Sequential(
            [Affine(randn(2, 8), np.zeros(8)), Tanh(), Affine(randn(8, 1), np.zeros(1))], IdentityWithLoss()
        ),
        Chain([Affine(randn(2, 1), np.zeros(1))], IdentityWithLoss()),
    ):
        trainer = fit(model, POINTS, t, 30, validation=(POINTS, t))
        assert trainer.history[-1].keys() == {"epoch", "loss", "val_loss"}
        assert trainer.history[-1]["val_loss"] < trainer.history[0]["val_loss"]
        assert trainer.history[-1]["val_loss"] == pytest.approx(float(model.forward(POINTS, t)), rel=1e-5)
    with pytest.raises(ValueError, match="IdentityWithLoss has targets, not classes"):
        MultiLayerNet(2, [3], 1, loss="identity").accuracy(POINTS, t)
    with pytest.raises(ValueError, match=r"t has shape \(12,\), expected \(12, 1\)"):
        fit(MultiLayerNet(2, [3], 1, loss="identity"), POINTS, t[:, 0])


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_yes_and_no(shape):
    t = (POINTS[:, 0] > 0).astype(int).reshape(shape)
    model = MultiLayerNet(2, [4], 1, weight_init_std="xavier", rng=0, loss="sigmoid")
    trainer = fit(model, POINTS, t, 60, validation=(POINTS, t))
    assert trainer.history[-1]["val_accuracy"] > 0.9
    assert model.accuracy(POINTS, 1 - t) == pytest.approx(1 - trainer.history[-1]["accuracy"])
    with pytest.raises(IndexError, match=r"t\[0\] is 3"):
        fit(model, POINTS, t + 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((Affine(randn(2, 3), randn(3)), SoftmaxWithLoss()), "layers must be a list"),
        (([Relu], SoftmaxWithLoss()), "Relu is a class; call it"),
        (([Relu(), np.tanh], SoftmaxWithLoss()), "is no layer: it has no forward"),
        (([Relu()], None), "None is no layer"),
    ],
)
def test_what_is_no_chain_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Sequential: .*{message}"):
        models.Sequential(*arguments)


@pytest.mark.parametrize("when", ["before", "in a callback"])
def test_weight_decay_is_never_passed_over_by_whole_steps(when):
    """Set at any time, it trains as the layers' own code does."""
    trained = []
    for compile in (None, False):
        model = MultiLayerNet(2, [5], 3, weight_init_std=0.5, rng=1, weight_decay=0.5 * (when == "before"))

        def callback(trainer):
            trainer.model.weight_decay = 0.5

        trainer = Trainer(model, SGD(0.1), compile=compile)
        trainer.fit(POINTS, T, 3, 4, verbose=False, rng=0, callbacks=callback)
        trained.append([p.tobytes() for p in model.params] + [h["loss"] for h in trainer.history])
    assert trained[0] == trained[1]


@pytest.mark.parametrize("decay", [-1, np.nan, np.inf, "much", None])
def test_a_decay_that_is_none_is_refused(decay):
    for make in (lambda: models.Sequential([], SoftmaxWithLoss(), weight_decay=decay),
                 lambda: MultiLayerNet(2, [], 2, weight_decay=decay)):  # fmt: skip
        with pytest.raises(ValueError, match="weight_decay"):
            make()


NO_DECAYS = {"text": "0.1", "nothing": None, "negative": -1, "nan": math.nan, "inf": np.inf,
             "an array": np.ones(1), "a list": [0.1], "complex": 1j, "a bool": True,
             "a huge int": 10**400}  # fmt: skip


@pytest.mark.parametrize("decay", NO_DECAYS.values(), ids=NO_DECAYS)
def test_a_decay_that_is_none_is_refused_when_it_is_set_too(decay):
    for model, x in (
        (network(), X),
        (MultiLayerNet(2, [3], 3, weight_decay=0.1), POINTS),
        (TwoLayerNet(2, 3, 3), POINTS),
    ):
        before = model.weight_decay
        with pytest.raises(ValueError, match="weight_decay must be a finite, non-negative number, got "):
            model.weight_decay = decay
        assert model.weight_decay == before
        trainer = Trainer(model, SGD(0.1))
        with pytest.raises(ValueError, match="weight_decay must be"):  # in a fit it ends it, before the next step
            trainer.fit(x, T, 3, 4, verbose=False, callbacks=lambda tr: setattr(tr.model, "weight_decay", decay))
        assert trainer.current_epoch == 1 and model.weight_decay == before


@pytest.mark.parametrize("decay", [1, np.float32(0.5), np.float16(0.5), np.int64(2), np.array(0.5), 0, -0.0])
def test_a_decay_set_later_is_a_float_in_both_ways(decay):
    trained = []
    for compile in (None, False):
        model = MultiLayerNet(2, [5], 3, weight_init_std=0.5, rng=1)
        model.weight_decay = decay
        assert type(model.weight_decay) is float and model.weight_decay == decay
        Trainer(model, SGD(0.1), compile=compile).fit(POINTS, T, 2, 4, verbose=False, rng=0)
        trained.append([p.tobytes() for p in model.params])
    assert trained[0] == trained[1]
    for again in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.weight_decay == decay


def test_models_pickled_with_the_decay_as_an_attribute_still_open():
    model = MultiLayerNet(2, [5], 3, rng=1)
    state = model.__getstate__()
    state = {name: value for name, value in state.items() if "decay" not in name} | {"weight_decay": 0.25}
    other = MultiLayerNet.__new__(MultiLayerNet)
    other.__setstate__(state)
    assert other.weight_decay == 0.25


def test_layers_of_one_s_own_and_of_book_1_take_part():
    class Flagged:
        params = grads = ()

        def forward(self, x, train_flg=True):
            self.was = train_flg
            return x

        def backward(self, dout):
            return dout

    own = Flagged()
    layers = [book1.Convolution(randn(2, 2, 3, 3), np.zeros(2)), own, book1.Affine(randn(32, 3), np.zeros(3))]
    model = models.Sequential(layers, book1.SoftmaxWithLoss())
    same = models.Sequential(
        [Convolution(randn(2, 2, 3, 3), np.zeros(2)), Flatten(), Affine(randn(32, 3), np.zeros(3))],
        SoftmaxWithLoss(),
    )
    losses = [fit(m, epochs=3).history[-1]["loss"] for m in (model, same)]
    assert losses[0] == losses[1] and own.was is True
    model.predict(X)
    assert own.was is False
    assert max(gradient_check(model, X, T).values()) < GRADIENT


# Files and copies


def trained(**options):
    model = network(**options)
    fit(model, epochs=2)
    return model


def arrays_of(model):
    return [*model.params, model.layers[1].running_mean, model.layers[1].running_var]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_makes_the_network_again(tmp_path, dtype):
    model = trained(dtype=dtype)
    path = model.save_params(tmp_path / "w")
    again = models.load(tmp_path / "w")
    assert type(again) is models.Sequential and repr(again) == repr(model)
    for a, b in zip(arrays_of(model), arrays_of(again), strict=True):
        assert a.tobytes() == b.tobytes()
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert fit(again, epochs=2).loss_list == fit(model, epochs=2).loss_list
    with np.load(path) as file:
        assert {"running_mean1", "running_var1", "architecture"} <= set(file)
    other = network(dtype=dtype)
    other.load_params(path)
    assert (arrays_of(other)[-1].tobytes() == path and False) or arrays_of(other)[0].tobytes() != b""


NETS = {
    "two layers": lambda: TwoLayerNet(2, 4, 3, 0.5, activation="relu", rng=0),
    "linear": lambda: MultiLayerNet(2, [], 3, "relu", 0.5, rng=0),
    "deep": lambda: MultiLayerNet(
        2, [4, 5], 1, "relu", 0.5, rng=0, dtype=np.float64, loss="identity", weight_decay=0.3
    ),
}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
@pytest.mark.parametrize("dtype", [None, np.float16])
def test_the_books_networks_come_back_as_they_were(tmp_path, make, dtype):
    model = make()
    model.save_params(tmp_path / "w.npz", dtype)
    again = models.load(tmp_path / "w.npz")
    assert type(again) is type(model) and again.architecture() == model.architecture()
    assert again.params[0].base is again.params[-1].base is not None
    if dtype is None:
        assert again.predict(POINTS).tobytes() == model.predict(POINTS).tobytes()


def test_changed_layers_and_shared_arrays_are_kept(tmp_path):
    model = MultiLayerNet(2, [4], 3, rng=0)
    model.layers.insert(2, Dropout(0.1))
    model.save_params(tmp_path / "w")
    assert [type(layer) for layer in models.load(tmp_path / "w").layers] == [Affine, Sigmoid, Dropout, Affine]
    W = randn(4, 4)
    models.Sequential([MatMul(W), MatMul(W)], SoftmaxWithLoss()).save_params(tmp_path / "tied")
    again = models.load(tmp_path / "tied")
    assert again.params[0] is again.params[1]
    transposed = models.Sequential([MatMul(W), MatMul(W.T)], SoftmaxWithLoss())
    assert transposed.architecture() is None


class Own(MultiLayerNet):
    pass


def test_what_a_file_does_not_say_is_not_guessed(tmp_path):
    Own(2, [3], 2, rng=0).save_params(tmp_path / "own")
    save_params(Chain([Affine(randn(2, 3), randn(3))], SoftmaxWithLoss()), tmp_path / "chain")
    assert type(models.load(tmp_path / "own")) is MultiLayerNet  # it says its activation, as files always did
    with pytest.raises(ValueError, match=r"chain: it does not say what network it is of"):
        models.load(tmp_path / "chain")


def altered(tmp_path, change):
    """The file of a network whose architecture is another text."""
    path = network().save_params(tmp_path / "w.npz")
    with np.load(path) as file:
        arrays = dict(file)
    text = json.loads(str(arrays["architecture"]))
    arrays["architecture"] = np.array(change(text))
    np.savez(path, **arrays)
    return path


def entry(place, /, **changes):
    return lambda text: json.dumps(
        text | {"layers": [e | changes if k == place else e for k, e in enumerate(text["layers"])]}
    )


ALTERED = {
    "no JSON": (lambda text: "{", "not JSON"),
    "deep": (lambda text: "[" * 100_000, "not JSON"),
    "a list": (lambda text: "[]", "does not name a model"),
    "an unknown model": (lambda text: json.dumps(text | {"model": "os"}), "unknown model 'os'"),
    "another model": (lambda text: json.dumps(text | {"model": "TwoLayerNet"}), "chain of fully connected layers"),
    "an unknown loss": (lambda text: json.dumps(text | {"loss": "mean"}), "loss must be one of"),
    "no decay": (lambda text: json.dumps(text | {"weight_decay": "x"}), "weight_decay must be a number"),
    "a negative decay": (lambda text: json.dumps(text | {"weight_decay": -1.0}), "weight_decay must be"),
    "no layers": (lambda text: json.dumps(text | {"layers": None}), "must have a list"),
    "many layers": (lambda text: json.dumps(text | {"layers": [{}] * 1001}), "must have a list"),
    "an unknown layer": (entry(0, layer="Repeat"), "unknown layer 'Repeat'"),
    "a wrong setting": (entry(0, stride="2"), "must have stride, of type int"),
    "a missing array": (entry(0, params=["W1", "b9"]), "needs an array 'b9'"),
    "an array too few": (entry(0, params=["W1"]), "Convolution"),
    "an array too many": (entry(2, params=["W1"]), "cannot have 1 params"),
    "another array": (entry(5, params=["W1", "b1"]), "W must have 2 axes"),
    "a buffer of another": (entry(0, buffers={"running_mean": "b1"}), "buffers by name"),
    "the statistics' size": (entry(1, buffers={"running_mean": "b2"}), "running_mean has shape"),
}


@pytest.mark.parametrize("change, message", ALTERED.values(), ids=ALTERED)
def test_a_changed_architecture_is_refused_in_words(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        models.load(altered(tmp_path, change))


def test_what_a_file_claims_is_bounded_before_it_is_read(tmp_path):
    path = network().save_params(tmp_path / "w.npz")
    with zipfile.ZipFile(path, "a") as archive, archive.open("big.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    with pytest.raises(ValueError, match="cannot contain weights of"):
        models.load(path)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_carry_the_statistics_and_train_alike(duplicate):
    model = trained()
    other = duplicate(model)
    assert (
        other.params[0] is other.layers[0].W and other.layers[1].running_mean is not model.layers[1].running_mean
    )
    for a, b in zip(arrays_of(model), arrays_of(other), strict=True):
        assert a.tobytes() == b.tobytes()
    assert fit(other, epochs=2).loss_list == fit(model, epochs=2).loss_list


# Book 1's networks, with their dictionaries


@pytest.mark.parametrize("batchnorm", [False, True])
def test_book_1_s_networks_are_checked_saved_and_drawn(tmp_path, batchnorm):
    pytest.importorskip("matplotlib", reason="it is drawn, too")
    np.random.seed(0)
    made = [MultiLayerNetExtend(2, [5, 4], 3, weight_decay_lambda=0.1, use_batchnorm=batchnorm) for _ in range(2)]
    model, other = made if batchnorm else (Book1Net(2, [5], 3), Book1Net(2, [5], 3))
    errors = gradient_check(model, POINTS, T)
    assert errors.keys() == model.params.keys() and max(errors.values()) < GRADIENT
    assert plot_decision_boundary(model, POINTS, T)
    save_params(model, tmp_path / "w")
    load_params(other, tmp_path / "w")
    assert other.predict(POINTS).tobytes() == model.predict(POINTS).tobytes()
    with np.load(tmp_path / "w.npz") as file:
        assert set(model.params) <= set(file) and ("running_mean1" in file) == batchnorm
    with pytest.raises(ValueError, match="does not fit the model"):
        load_params(Book1Net(2, [6], 3), tmp_path / "w")
    with pytest.raises(ValueError, match="does not say what network"):
        models.load(tmp_path / "w")


def test_a_dictionary_network_whose_gradient_is_wrong_is_found():
    class Wrong(Book1Net):
        def gradient(self, x, t):
            return {name: g * (1.01 if name == "b1" else 1) for name, g in super().gradient(x, t).items()}

    errors = gradient_check(Wrong(2, [5], 3), POINTS, T)
    assert errors.pop("b1") > 0.005 and max(errors.values()) < GRADIENT


def test_names_that_a_file_keeps_for_itself_are_refused(tmp_path):
    model = Book1Net(2, [5], 3)
    model.params["activation"] = np.ones(2)
    with pytest.raises(ValueError, match="'activation' cannot be the name of a parameter"):
        save_params(model, tmp_path / "w")
    with pytest.raises(ValueError, match="the model has no gradient"):
        gradient_check(type("Net", (), {"params": {}, "loss": None})(), POINTS, T)


def test_momentum_of_sgd_updates_a_dictionary_network_s_layers():
    model = models.Sequential([book1.Affine(randn(2, 3), np.zeros(3))], SoftmaxWithLoss())
    W = model.layers[0].W
    before = W.copy()
    Trainer(model, SGD(0.5)).fit(POINTS, T, 1, 4, verbose=False)
    assert model.params[0] is W is model.layers[0].W and not np.array_equal(before, W)


def test_a_file_whose_weights_do_not_follow_each_other_makes_no_network(tmp_path):
    """Sizes from rows alone would ask for the product of two of the file's numbers: gigabytes for this one."""
    W = np.zeros((20_000, 1), np.float32)
    np.savez(tmp_path / "a.npz", activation=np.array("relu"), W1=W, W2=W, W3=W)
    with pytest.raises(ValueError, match="chain of fully connected layers"):
        models.load(tmp_path / "a.npz")
