"""Whole steps of book 1's networks: bit for bit what their own gradient and the optimizer's update give."""

from __future__ import annotations

import contextlib
import io
import pickle

import numpy as np
import pytest

from scratchnet import _compute
from scratchnet.book1.layers import Dropout, Relu
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.book1.simple_convnet import SimpleConvNet
from scratchnet.book1.trainer import Trainer

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

ROWS = 40
SHAPES = {(4, 2): (2, 4, 4), (4, 1): (1, 6, 6)}  # of images, by axes of W1 and channels
OPTIMIZERS = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam")
SMALL = {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 1}
NETS = {
    "plain": lambda: MultiLayerNet(6, [5, 4], 3),
    "sigmoid, decay": lambda: MultiLayerNet(6, [5], 3, "sigmoid", weight_decay_lambda=0.1),
    "no hidden layer": lambda: MultiLayerNet(6, [], 3),
    "batch normalization": lambda: MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True),
    "dropout": lambda: MultiLayerNetExtend(6, [5, 4], 3, use_dropout=True, dropout_ration=0.3),
    "all": lambda: MultiLayerNetExtend(6, [5, 4], 3, "sigmoid", 0.5, 0.1, True, 0.2, True),
    "convolution": lambda: SimpleConvNet((2, 4, 4), SMALL, 5, 3, 0.3),
    "convolution without padding": lambda: SimpleConvNet((1, 6, 6), SMALL | {"pad": 0}, 5, 3, 0.3),
}


class Stepwise(Trainer):
    """Every step by the network's own code."""

    def train_step(self):
        super().train_step()


def data(net, dtype=np.float64):
    shape = SHAPES[len(net.params["W1"].shape), net.params["W1"].shape[1]] if "Conv1" in net.layers else (6,)
    rng = np.random.default_rng(3)
    return (rng.standard_normal((ROWS, *shape)) * 3).astype(dtype), rng.integers(0, 3, ROWS)


def trained(cls, make, x=None, t=None, optimizer="SGD", change=lambda net: None, **options):
    np.random.seed(5)
    net = make()
    change(net)
    own_x, own_t = data(net)
    x, t = own_x if x is None else x, own_t if t is None else t
    settings = {"lr": 0.1}
    options = {"epochs": 3, "mini_batch_size": 7} | options
    trainer = cls(net, x, t, x[:9], t[:9], optimizer=optimizer, optimizer_param=settings, **options)
    with contextlib.redirect_stdout(io.StringIO()) as lines:
        trainer.train()
    bits = [p.tobytes() for p in net.params.values()]
    bits += [
        getattr(layer, name).tobytes() for layer in net.layers.values() for name in getattr(layer, "buffers", ())
    ]
    lists = trainer.train_loss_list, trainer.train_acc_list, trainer.test_acc_list, trainer.current_iter
    return trainer.engine, (lines.getvalue(), bits, lists, np.random.rand())


def both(*arguments, **options):
    engine, whole = trained(Trainer, *arguments, **options)
    layers, stepwise = trained(Stepwise, *arguments, **options)
    assert layers == "layers" and whole == stepwise
    return engine


@pytest.mark.parametrize("name", NETS)
def test_every_network(name):
    assert both(NETS[name]) == "plan"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["all", "convolution"])
def test_every_optimizer(name, optimizer):
    assert both(NETS[name], optimizer=optimizer) == "plan"


def test_a_batch_of_more_samples_than_there_are():
    """It is drawn with replacement."""
    assert both(NETS["all"], mini_batch_size=ROWS + 7) == "plan"


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_samples_of_other_dtypes_and_labels_one_hot(dtype):
    x, t = data(NETS["all"](), dtype)
    assert both(NETS["all"], x, np.eye(3)[t]) == "plan"
    assert both(NETS["plain"], x, np.eye(3, dtype=int)[t]) == "plan"


def test_a_network_in_float32():
    def change(net):
        for name, layer in net.layers.items():
            if name.startswith("Affine"):
                layer.W, layer.b = layer.W.astype(np.float32), layer.b.astype(np.float32)
                net.params[f"W{name[-1]}"], net.params[f"b{name[-1]}"] = layer.W, layer.b

    assert both(NETS["plain"], change=change) == "plan"


class OwnRelu(Relu):
    def forward(self, x):
        return super().forward(2 * np.asarray(x))


def share(net):
    net.layers["Affine2"].W = net.params["W2"] = net.layers["Affine1"].W


CHANGES = {
    "probabilities as labels": ({"t": np.random.default_rng(0).dirichlet([1, 1, 1], ROWS)}, lambda net: None),
    "an own layer": ({}, lambda net: net.layers.update(Activation_function1=OwnRelu())),
    "a patched gradient": ({}, lambda net: setattr(net, "gradient", type(net).gradient.__get__(net))),
    "a parameter of no layer": ({}, lambda net: net.params.update(W1=net.params["W1"].copy())),
    "a shared parameter": ({"optimizer": "Momentum"}, share),
    "dropout at the end": ({}, lambda net: net.layers.update(Dropout9=Dropout(0.3))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_trained_by_its_own_code(name):
    options, change = CHANGES[name]
    assert both(lambda: MultiLayerNet(6, [6, 6], 3), change=change, **options) == "layers"


def test_under_float32_the_layers_run():
    _compute.choose("float32")
    try:
        assert both(NETS["all"]) == "layers"
    finally:
        _compute.choose(None)


def test_a_decay_that_the_network_does_not_know():
    assert both(NETS["convolution"], change=lambda net: setattr(net, "weight_decay_lambda", 0.5)) == "plan"


def test_a_second_training_and_single_steps_go_on():
    def run(cls):
        np.random.seed(1)
        net = NETS["all"]()
        x, t = data(net)
        trainer = cls(net, x, t, x, t, epochs=2, mini_batch_size=8, verbose=False)
        trainer.train()
        trainer.train_step()
        net.gradient(x, t)
        trainer.train()
        return [p.tobytes() for p in net.params.values()], trainer.train_loss_list

    assert run(Trainer) == run(Stepwise)


def test_the_convolutional_network_saves_and_loads_its_parameters(tmp_path):
    np.random.seed(0)
    net, other = NETS["convolution"](), NETS["convolution"]()
    x, t = data(net)
    net.save_params(tmp_path / "params.pkl")
    other.load_params(tmp_path / "params.pkl")
    assert np.array_equal(net.predict(x), other.predict(x)) and other.loss(x, t) == net.loss(x, t)
    assert other.layers["Affine2"].W is other.params["W3"]
    assert net.accuracy(x, t, batch_size=10) == np.mean(net.predict(x).argmax(axis=1) == t)
    assert net.accuracy(x, np.eye(3)[t], batch_size=30) * ROWS <= 30  # the rest counts as wrong, as in the book
    net.last_layer.delta = 0.0  # which the gradient ignores
    ours, differences = net.gradient(x[:3], t[:3]), net.numerical_gradient(x[:3], t[:3])
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, differences[name], rtol=2e-5, atol=2e-7)
    for wrong in ({"t": t[:-1]}, {"batch_size": 0}, {"x": x[:0], "t": t[:0]}):
        with pytest.raises(ValueError, match="accuracy: "):
            net.accuracy(**{"x": x, "t": t} | wrong)
    before = net.params["W1"].copy()
    for wrong in (
        [1.0],
        "a",
        {n: a.tolist() for n, a in net.params.items()},
        net.params | {"b1": np.full(3, "x")},
    ):
        (tmp_path / "wrong.pkl").write_bytes(pickle.dumps(wrong))
        with pytest.raises(ValueError, match="does not contain the arrays"):
            net.load_params(tmp_path / "wrong.pkl")
    assert np.array_equal(net.params["W1"], before)
    with pytest.raises(ValueError, match="does not contain the arrays"):
        SimpleConvNet((1, 6, 6), SMALL, 5, 3).load_params(tmp_path / "params.pkl")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"conv_param": {"filter_num": 3}}, "conv_param must have filter_num, filter_size, pad, stride"),
        ({"conv_param": SMALL | {"filter_num": 0}}, "filter_num"),
        ({"input_dim": 28}, "input_dim must be channels, height and width, got 28"),
        ({"input_dim": (1, 0, 0)}, "input_dim"),
        ({"input_dim": (1, 28)}, "input_dim must be channels, height and width"),
        ({"input_dim": (1, 28, 20)}, "image of 28 x 20, expected square images"),
        ({"input_dim": (1, 2, 2), "conv_param": SMALL | {"filter_size": 9}}, "expected square images and an even"),
        ({"conv_param": SMALL | {"pad": 0, "filter_size": 4}}, "have 25 places"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"weight_init_std": "he"}, "weight_init_std"),
    ],
)
def test_a_convolutional_network_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        SimpleConvNet(**arguments)
