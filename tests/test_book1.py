"""Book 1's flavour: its layers, networks, optimizers, Trainer and helpers behave as the book's."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from differences import assert_gradient, central_differences

import scratchnet
from scratchnet import image_layers
from scratchnet.backends import reference_uses
from scratchnet.book1 import functions, gradient, layers, optimizer, util
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.book1.trainer import Trainer

rng = np.random.default_rng(7)


def normal(*shape):
    return rng.standard_normal(shape)


# Layers: gradients against central differences in float64


def conv(stride=1, pad=0):
    return layers.Convolution(normal(3, 2, 3, 2), normal(3), stride, pad)


LAYERS = {
    "Affine": (lambda: layers.Affine(normal(12, 4), normal(4)), (5, 12)),
    "Affine of images": (lambda: layers.Affine(normal(12, 4), normal(4)), (5, 3, 2, 2)),
    "Relu": (layers.Relu, (5, 4)),
    "Sigmoid": (layers.Sigmoid, (5, 4)),
    "BatchNormalization": (lambda: layers.BatchNormalization(normal(6), normal(6)), (7, 6)),
    "BatchNormalization of images": (lambda: layers.BatchNormalization(normal(8), normal(8)), (7, 2, 2, 2)),
    "Convolution": (conv, (3, 2, 6, 5)),
    "Convolution with stride and pad": (lambda: conv(2, 1), (3, 2, 6, 5)),
    "Convolution with much padding": (lambda: conv(3, 4), (2, 2, 4, 3)),
    "Pooling": (lambda: layers.Pooling(2, 2), (3, 2, 6, 5)),
    "Pooling that overlaps": (lambda: layers.Pooling(3, 2, stride=1), (3, 2, 6, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_agree_with_central_differences(name):
    make, shape = LAYERS[name]
    layer, x = make(), normal(*shape)
    weight = normal(*layer.forward(x).shape)
    arrays = {"x": x}
    arrays |= {n: getattr(layer, n) for n in ("W", "b", "gamma", "beta") if hasattr(layer, n)}
    dx = layer.backward(weight)
    grads = {"x": dx} | {n: getattr(layer, f"d{n}") for n in arrays if n != "x"}
    for n, array in arrays.items():
        assert_gradient(grads[n], central_differences(lambda: np.sum(layer.forward(x) * weight), array))


@pytest.mark.parametrize("shares", [[[1, 1], [0, 0]], [[0.5, 0.5], [0, 1]], [[2, 0], [0, 1]], [[0, 0], [1, 0]]])
def test_what_only_looks_one_hot_counts_as_shares(shares):
    layer, t = layers.SoftmaxWithLoss(), np.array(shares, float)
    layer.forward(np.array([[1.0, 2.0], [0.5, -1.0]]), t)
    np.testing.assert_allclose(layer.backward(), (layer.y - t) / 2, atol=1e-15)


def test_a_convolution_s_images_may_be_changed_before_backward():
    """As in the book, whose layer keeps the windows."""
    layer, same = (layers.Convolution(normal(3, 2, 3, 3), normal(3)) for _ in range(2))
    same.W, same.b = layer.W, layer.b
    x, dout = normal(2, 2, 6, 6), normal(2, 3, 4, 4)
    same.forward(x.copy())
    layer.forward(x)
    x += 1
    layer.backward(dout)
    same.backward(dout)
    np.testing.assert_array_equal(layer.dW, same.dW)


@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_of_the_loss(one_hot):
    layer, x, t = layers.SoftmaxWithLoss(), normal(4, 3), np.array([0, 2, 1, 1])
    layer.forward(x, np.eye(3)[t] if one_hot else t)
    onehot = np.eye(3)[t]
    np.testing.assert_allclose(layer.backward(), (layer.y - onehot) / 4, atol=1e-15)
    np.testing.assert_allclose(layer.backward(2), (layer.y - onehot) / 2, atol=1e-15)


def test_one_sample_and_none():
    layer, x = layers.SoftmaxWithLoss(), normal(3)
    layer.forward(x, np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(layer.backward(), layer.y - [0, 1, 0], atol=1e-15)
    assert layer.forward(normal(0, 3), np.zeros((0, 3))) == 0 and layer.backward().shape == (0, 3)


def test_soft_labels_give_a_true_gradient():
    layer, x, t = layers.SoftmaxWithLoss(), normal(4, 3), rng.dirichlet([1, 1, 1], 4)
    assert layer.forward(x, t) == layer.loss
    np.testing.assert_allclose(layer.backward(), (layer.y - t) / 4, rtol=1e-15)


def test_gradients_are_new_arrays_and_weights_are_read_at_every_call():
    layer, x = layers.Affine(normal(4, 3), normal(3)), normal(2, 4)
    assert layer.dW is None and layer.db is None
    layer.forward(x)
    layer.backward(np.ones((2, 3)))
    first = layer.dW
    layer.backward(np.ones((2, 3)))
    assert layer.dW is not first and np.array_equal(layer.dW, first)
    layer.W = W = normal(4, 3)
    np.testing.assert_allclose(layer.forward(x), x @ W + layer.b)
    convolution = conv()
    images = normal(1, 2, 5, 5)
    convolution.W = np.zeros_like(convolution.W)
    assert np.array_equal(convolution.forward(images)[0, :, 0, 0], convolution.b)


def test_affine_flattens_and_says_what_does_not_fit():
    layer = layers.Affine(normal(8, 3), normal(3))
    assert layer.forward(normal(2, 2, 2, 2)).shape == (2, 3)
    assert layer.backward(normal(2, 3)).shape == (2, 2, 2, 2)
    assert layer.forward(normal(0, 8)).shape == (0, 3)
    with pytest.raises(ValueError, match="Affine: x"):
        layer.forward(normal(5))
    with pytest.raises(ValueError, match=r"Affine: x is a scalar, expected rows"):
        layer.forward(1.0)


def test_relu_copies_passes_nan_and_leaves_dout_alone():
    layer, x = layers.Relu(), np.array([[-1.0, 0.0, np.nan, 2.0]])
    np.testing.assert_array_equal(layer.forward(x), [[0, 0, np.nan, 2]])
    dout = np.ones((1, 4))
    assert layer.backward(dout)[0, 1] == 0 and np.all(dout == 1) and x[0, 0] == -1


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_dropout_draws_from_numpy_s_stream():
    layer, x = layers.Dropout(0.3), normal(4, 5)
    np.random.seed(5)
    out = layer.forward(x)
    np.random.seed(5)
    mask = np.random.rand(4, 5) > 0.3
    np.testing.assert_array_equal(out, x * mask)
    np.testing.assert_array_equal(layer.backward(np.ones((4, 5))), mask)
    np.testing.assert_array_equal(layer.forward(x, False), x * 0.7)
    assert layer.forward(x.astype(np.float32)).dtype == np.float32


def test_batch_normalization_s_running_values():
    gamma, beta, x = normal(3), normal(3), normal(50, 3) * 2 + 1
    layer = layers.BatchNormalization(gamma, beta)
    np.testing.assert_allclose(layer.forward(x, False), gamma * (x / np.sqrt(1e-6)) + beta)  # before any training
    before = layer.running_mean
    out = layer.forward(x)
    np.testing.assert_allclose(out, gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-6) + beta, rtol=1e-12)
    assert layer.running_mean is not before and np.all(before == 0)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, 0.1 * x.var(0), rtol=1e-12)
    given = layers.BatchNormalization(gamma, beta, running_mean=x.mean(0), running_var=x.var(0))
    np.testing.assert_allclose(given.forward(x, train_flg=False), out, rtol=1e-10)
    with pytest.raises(ValueError, match="expected rows of 3 values"):
        layer.forward(normal(4, 2))


def test_pooling_floors_odd_sizes_takes_the_first_and_refuses_padding():
    layer = layers.Pooling(2, 2)
    x = np.zeros((1, 1, 5, 5))
    assert layer.forward(x).shape == (1, 1, 2, 2)
    assert layer.backward(np.ones((1, 1, 2, 2)))[0, 0, :2, :2].tolist() == [[1, 0], [0, 0]]
    with pytest.raises(ValueError, match="pad must be 0"):
        layers.Pooling(2, 2, 2, 1).forward(x)
    with pytest.raises(ValueError, match="does not fit"):
        layers.Pooling(7, 2).forward(x)
    with pytest.raises(ValueError, match=r"x has shape \(1, 5, 5\), expected \(N, C, H, W\)"):
        layer.forward(x[0])


def test_convolution_is_the_same_however_many_images_it_takes_at_a_time(monkeypatch):
    layer, x = conv(), normal(7, 2, 6, 5)
    results = []
    for size in (1, 1 << 30):
        monkeypatch.setattr(image_layers, "_BLOCK_BYTES", size)
        results.append([layer.forward(x), layer.backward(layer.forward(x)), layer.dW, layer.db])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_convolution_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"x has shape \(1, 3, 5, 5\), expected \(N, 2, H, W\)"):
        conv().forward(normal(1, 3, 5, 5))
    with pytest.raises(ValueError, match="does not fit"):
        conv().forward(normal(1, 2, 2, 5))
    with pytest.raises(ValueError, match="stride"):
        conv(0).forward(normal(1, 2, 5, 5))
    with pytest.raises(RuntimeError, match="before forward"):
        conv().backward(1)
    layer = conv()
    layer.b = np.zeros(len(layer.W) + 1)
    with pytest.raises(ValueError, match=r"Convolution: b has shape \(\d,\), expected .* one for each filter"):
        layer.forward(normal(1, 2, 5, 5))
    assert conv().forward(normal(0, 2, 5, 5)).shape == (0, 3, 3, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_weights_dtype_decides_and_the_kernels_run_compiled(dtype):
    before = reference_uses()
    W, b = normal(3, 2, 3, 2).astype(dtype), np.zeros(3)
    layer, pool = layers.Convolution(W, b), layers.Pooling(2, 2)
    out = pool.forward(layer.forward(normal(2, 2, 6, 5)))
    assert out.dtype == dtype and layer.backward(pool.backward(out)).dtype == dtype
    assert layer.dW.dtype == dtype and reference_uses() == before


@pytest.mark.thread_unsafe(reason="what is counted is the whole process's")
def test_float16_runs_through_the_reference_and_is_counted():
    before = reference_uses().get("im2col", 0)
    layer = layers.Convolution(normal(3, 2, 3, 2).astype(np.float16), np.zeros(3))
    assert layer.forward(normal(1, 2, 6, 5)).dtype == np.float16
    assert reference_uses()["im2col"] == before + 1


# Functions, gradients, helpers


def test_functions():
    x = np.array([-1.0, 0.0, 2.0])
    assert functions.relu_grad(x).tolist() == [0, 1, 1]
    np.testing.assert_allclose(functions.sigmoid_grad(0.0), 0.25)
    assert functions.step_function(x).tolist() == [0, 0, 1]
    scores, t = normal(3, 4), np.array([1, 0, 3])
    assert functions.softmax_loss(scores, t) == functions.cross_entropy_error(functions.softmax(scores), t)
    assert functions.cross_entropy_error(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(16.118095651)
    assert functions.mean_squared_error is functions.sum_squared_error is functions.sum_squares_error
    np.testing.assert_allclose(functions.softmax(normal(2, 3, 4)).sum(axis=-1), np.ones((2, 3)))
    assert functions.softmax([1, 1]).tolist() == [0.5, 0.5]


def test_numerical_gradients():
    def f(x):
        return np.sum(x**2)

    x = np.array([[3.0, 4.0], [0.0, 2.0]])
    np.testing.assert_allclose(gradient.numerical_gradient(f, x), 2 * x, atol=1e-9)
    np.testing.assert_allclose(gradient.numerical_gradient_2d(f, x), 2 * x, atol=1e-9)
    np.testing.assert_allclose(gradient.numerical_gradient_2d(f, x[0]), 2 * x[0], atol=1e-9)
    np.testing.assert_allclose(gradient._numerical_gradient_1d(f, x[0]), 2 * x[0], atol=1e-9)
    np.testing.assert_allclose(gradient.numerical_gradient(f, np.array([3, 4])), [6, 8], atol=1e-9)
    assert x.tolist() == [[3, 4], [0, 2]]


@pytest.mark.parametrize(
    "layer", [layers.Convolution(np.ones((1, 1, 2, 2)), 0, stride=1.0), layers.Pooling(2.0, 2)]
)
def test_a_window_and_its_places_are_whole_numbers(layer):
    with pytest.raises(ValueError, match=r"positive integer, got [12]\.0"):
        layer.forward(np.ones((1, 1, 4, 4)))


def test_windows_as_rows():
    x = normal(2, 3, 5, 4)
    col = util.im2col(x, 3, 2, 1, 1)
    assert col.shape == (2 * 5 * 5, 3 * 3 * 2)
    np.testing.assert_array_equal(util.im2col(x, 1, 1), x.transpose(0, 2, 3, 1).reshape(-1, 3))
    ones = util.col2im(np.ones_like(col), x.shape, 3, 2, 1, 1)
    assert ones.shape == x.shape and ones[0, 0, 2, 2] == 6 and ones[0, 0, 0, 0] == 4
    assert util.im2col(x.astype(np.float32), 2, 2).dtype == np.float32
    with pytest.raises(ValueError, match="expected"):
        util.col2im(col[1:], x.shape, 3, 2, 1, 1)
    with pytest.raises(ValueError, match="N, C, H, W"):
        util.im2col(x[0], 2, 2)
    with pytest.raises(ValueError, match="stride must be a positive integer"):
        util.im2col(x, 2, 2, 0)
    with pytest.raises(ValueError, match="pad must be a non-negative integer, got -1"):
        util.im2col(x, 2, 2, 1, -1)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_helpers():
    assert util.conv_output_size(28, 5) == 24.0 and util.conv_output_size(7, 2, 2) == 3.5
    x, t = np.arange(8).reshape(4, 2), np.arange(4)
    np.random.seed(1)
    order = np.random.permutation(4)
    np.random.seed(1)
    shuffled = util.shuffle_dataset(x, t)
    assert np.array_equal(shuffled[0], x[order]) and np.array_equal(shuffled[1], t[order])
    curve = util.smooth_curve(list(range(20)))
    assert curve.shape == (20,) and np.allclose(curve[6:-6], np.arange(20)[6:-6])
    assert np.allclose(util.smooth_curve([2.0] * 12), 2)
    with pytest.raises(ValueError, match="at least 11 numbers"):
        util.smooth_curve([1, 2])


# Optimizers on dictionaries


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_optimizers_take_dictionaries_of_arrays_and_of_numbers(name):
    ours, lists = getattr(optimizer, name)(), getattr(scratchnet, name)()
    params, grads = {"W": normal(3, 2), "b": normal(2), "x": -7.0}, {"b": normal(2), "x": 0.7, "W": normal(3, 2)}
    W = params["W"]
    expected = [params[k].copy() if k != "x" else -7.0 for k in params]
    for _ in range(3):
        ours.update(params, {**grads, "more": 1})
        lists.update(expected, [grads[k] for k in params])
    assert params["W"] is W and type(params["x"]) is float
    for got, wanted in zip(params.values(), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    with pytest.raises(ValueError, match=f"{name}: grads has no b, x"):
        ours.update(params, {"W": 1})


# Networks and the Trainer


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("settings", [{}, {"weight_decay_lambda": 0.1, "activation": "sigmoid"}])
@pytest.mark.parametrize(
    "make", [MultiLayerNet, MultiLayerNetExtend, lambda *a, **k: MultiLayerNetExtend(*a, use_batchnorm=True, **k)]
)
def test_networks_gradients(make, settings):
    np.random.seed(0)
    net = make(4, [5, 3], 3, weight_init_std=0.3, **settings)
    for name in ("b1", "b2"):
        net.params[name] += np.random.randn(*net.params[name].shape)  # no relu at 0, where it has no derivative
    x, t = np.random.randn(6, 4), np.array([0, 1, 2, 2, 1, 0])
    numerical, exact = net.numerical_gradient(x, t), net.gradient(x, t)
    assert set(exact) == set(net.params) and list(exact) == list(numerical)
    if "gamma1" in exact:
        assert list(exact)[:6] == ["W1", "b1", "gamma1", "beta1", "W2", "b2"]  # the order in which scripts print
    for name, expected in numerical.items():
        assert np.abs(exact[name] - expected).max() < 2e-5, name  # the loss has a 1e-7 that the gradient has not


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_networks_layers_and_first_weights():
    np.random.seed(0)
    net = MultiLayerNetExtend(4, [5, 3], 2, use_dropout=True, dropout_ration=0.2, use_batchnorm=True)
    assert list(net.layers) == [
        f"{name}{i}" for i in (1, 2) for name in ("Affine", "BatchNorm", "Activation_function", "Dropout")
    ] + ["Affine3"]
    assert list(net.params) == ["W1", "b1", "W2", "b2", "W3", "b3", "gamma1", "beta1", "gamma2", "beta2"]
    np.random.seed(0)
    np.testing.assert_array_equal(net.params["W1"], np.sqrt(2 / 4) * np.random.randn(4, 5))
    assert net.layers["Affine1"].W is net.params["W1"]
    assert MultiLayerNet(4, [5], 2, weight_init_std="xavier").params["W1"].std() < 2
    one_hot = np.eye(2)[[0, 1, 1]]
    x = normal(3, 4)
    assert net.accuracy(x, one_hot) == net.accuracy(x, one_hot.argmax(axis=1))
    for wrong in ({"activation": "tanh"}, {"weight_init_std": "large"}):
        with pytest.raises(ValueError, match="MultiLayerNet"):
            MultiLayerNet(4, [5], 2, **wrong)


def test_the_trainer_prints_the_book_s_lines_and_draws_as_it_does(capsys):
    x, t = normal(90, 4), rng.integers(0, 3, 90)
    np.random.seed(2)
    net = MultiLayerNet(4, [5], 3)
    trainer = Trainer(net, x, t, x[:20], t[:20], 2, 30, "rmsprop", evaluate_sample_num_per_epoch=10)
    assert trainer.iter_per_epoch == 3.0 and trainer.max_iter == 6
    state = np.random.get_state()
    trainer.train()
    drawn = np.random.get_state()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == [
        *("train loss", "=== epoch", "train loss", "train loss") * 2,
        "=============== Final Test Accuracy ===============",
        "test acc",
    ]
    assert printed[0] == f"train loss:{trainer.train_loss_list[0]}"
    assert printed[1] == (
        f"=== epoch:1, train acc:{trainer.train_acc_list[0]}, test acc:{trainer.test_acc_list[0]} ==="
    )
    assert trainer.current_epoch == 2 and trainer.current_iter == 6
    np.random.set_state(state)
    for _ in range(6):
        np.random.choice(90, 30)
    assert np.array_equal(np.random.get_state()[1], drawn[1])
    quiet = Trainer(net, x, t, x, t, 1, 30, verbose=False)
    quiet.train()
    assert capsys.readouterr().out == "" and type(quiet.optimizer) is optimizer.SGD
    with pytest.raises(ValueError, match="optimizer must be one of"):
        Trainer(net, x, t, x, t, optimizer="best")


def test_evaluation_only_where_the_step_is_a_multiple_of_a_fraction():
    x, t = normal(100, 4), rng.integers(0, 3, 100)
    trainer = Trainer(MultiLayerNet(4, [5], 3), x, t, x, t, 2, 40, verbose=False)
    trainer.train()
    assert trainer.iter_per_epoch == 2.5 and trainer.max_iter == 5 and len(trainer.test_acc_list) == 1


def test_star_imports_give_what_the_book_s_scripts_take():
    expected = {
        "functions": "np sigmoid softmax",
        "gradient": "np numerical_gradient",
        "layers": "np softmax cross_entropy_error im2col col2im Affine Relu",
        "optimizer": "np SGD Adam",
        "util": "np im2col smooth_curve",
    }
    for name, names in expected.items():
        module = importlib.import_module(f"scratchnet.book1.{name}")
        assert set(names.split()) <= set(module.__all__)
        assert all(hasattr(module, n) for n in module.__all__)
