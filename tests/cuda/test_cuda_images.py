"""Book 1's layers and networks on the GPU, against the CPU: over CuPy or a fake of it."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet import image_layers, models
from scratchnet import layers as lists
from scratchnet.book1.layers import Affine, BatchNormalization, Convolution, Pooling, SoftmaxWithLoss
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.book1.optimizer import Momentum
from scratchnet.book1.util import col2im, im2col

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32, sums in another order


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


IMAGES = randn(5, 3, 8, 7)
# (layer of weights that `upload` has put somewhere, input, the output's gradient, names of the weights' gradients)
LAYERS = {
    "Affine": (lambda up: Affine(up(randn(168, 4)), up(randn(4))), IMAGES, randn(5, 4), ("dW", "db")),
    "BatchNormalization": (
        lambda up: BatchNormalization(up(randn(168)), up(randn(168, seed=1))),
        IMAGES,
        randn(5, 3, 8, 7, seed=1),
        ("dgamma", "dbeta", "running_mean", "running_var"),
    ),
    "Convolution": (
        lambda up: Convolution(up(randn(4, 3, 3, 2)), up(randn(4)), stride=1, pad=1),
        IMAGES,
        randn(5, 4, 8, 8),
        ("dW", "db"),
    ),
    "Convolution with gaps": (
        lambda up: Convolution(up(randn(2, 3, 2, 2)), up(randn(2)), stride=3),
        IMAGES,
        randn(5, 2, 3, 2),
        ("dW", "db"),
    ),
    "Pooling": (lambda up: Pooling(2, 2), IMAGES, randn(5, 3, 4, 3), ()),
    "Pooling, windows that overlap": (lambda up: Pooling(3, 2, stride=1), IMAGES, randn(5, 3, 6, 6), ()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_what_it_gives_on_the_cpu(cupy, name, monkeypatch):
    monkeypatch.setattr(image_layers, "_BLOCK_BYTES_ON_GPU", 2000)  # some blocks
    make, x, dout, gradients = LAYERS[name]
    results = []
    for up in (np.copy, cupy.asarray):
        layer = make(up)
        out, dx = layer.forward(up(x)), layer.backward(up(dout))
        results.append([out, dx, *(getattr(layer, gradient) for gradient in gradients)])
        if name == "BatchNormalization":
            results[-1].append(layer.forward(up(x * 2), train_flg=False))
    for got, expected in zip(results[1], results[0], strict=True):
        assert isinstance(got, cupy.ndarray)
        np.testing.assert_allclose(cupy.asnumpy(got), expected, **CLOSE)


def test_labels_that_are_shares(cupy):
    scores, shares = randn(4, 3), np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5], [0, 1, 0]], np.float32)
    for labels in (shares, cupy.asarray(shares)):
        here, there = SoftmaxWithLoss(), SoftmaxWithLoss()
        loss = there.forward(cupy.asarray(scores), labels)
        np.testing.assert_allclose(float(loss), here.forward(scores, shares), rtol=1e-5)
        np.testing.assert_allclose(cupy.asnumpy(there.backward()), here.backward(), **CLOSE)


def test_images_become_windows_and_windows_images(cupy):
    there, expected = im2col(cupy.asarray(IMAGES), 3, 2, 2, 1), im2col(IMAGES, 3, 2, 2, 1)
    np.testing.assert_array_equal(cupy.asnumpy(there), expected)
    images = col2im(there, IMAGES.shape, 3, 2, 2, 1)
    np.testing.assert_array_equal(cupy.asnumpy(images), col2im(expected, IMAGES.shape, 3, 2, 2, 1))


def convolutional(loss_layer):
    affine = lists.Affine(randn(36, 3), randn(3))
    return models.Sequential(
        [
            lists.Convolution(randn(4, 3, 3, 2), randn(4), stride=2, pad=0),
            lists.BatchNormalization(randn(4), randn(4, seed=1)),
            lists.Tanh(),
            lists.Flatten(),
            affine,
        ],
        loss_layer,
        weight_decay=0.1,
    )


@pytest.mark.parametrize(
    "loss_layer, t", [(lists.SoftmaxWithLoss(), [0, 1, 2, 1, 0]), (lists.IdentityWithLoss(), None)]
)
def test_a_chain_moves_with_its_statistics_and_computes_there(cupy, loss_layer, t):
    here, t = convolutional(loss_layer), randn(5, 3, seed=7) if t is None else np.array(t)
    there = convolutional(type(loss_layer)()).to("cuda")
    assert isinstance(there.layers[1].running_mean, cupy.ndarray) and there.device == "cuda"
    for model in (here, there):
        model.gradient(IMAGES, t if model is here else cupy.asarray(t))
    pairs = list(zip(there.grads, here.grads, strict=True))
    pairs += [(getattr(there.layers[1], name), getattr(here.layers[1], name)) for name in here.layers[1].buffers]
    pairs += [(there.predict(IMAGES), here.predict(IMAGES))]
    for got, expected in pairs:
        np.testing.assert_allclose(cupy.asnumpy(got), expected, rtol=1e-3, atol=1e-4)
    there.to("cpu")
    np.testing.assert_allclose(there.layers[1].running_var, here.layers[1].running_var, rtol=1e-4)
    np.testing.assert_allclose(there.predict(IMAGES), here.predict(IMAGES), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "settings", [{}, {"use_batchnorm": True, "weight_decay_lambda": 0.1}], ids=["plain", "all"]
)
def test_book_1_s_networks_of_dictionaries_move_and_train_there(cupy, settings):
    x, t = randn(6, 4), np.array([0, 2, 1, 1, 0, 2])
    cls = MultiLayerNetExtend if settings else MultiLayerNet
    nets, optimizers = [], [Momentum(0.1), Momentum(0.1)]
    for _ in range(2):
        np.random.seed(3)
        nets.append(cls(4, [5, 5], 3, activation="sigmoid", **settings))
    here, there = nets
    params = there.params
    assert there.to("cuda") is there and there.params is params
    assert all(isinstance(p, cupy.ndarray) for p in params.values())
    data = [(x, t), (cupy.asarray(x), cupy.asarray(t))]
    for _ in range(3):
        for net, optimizer, given in zip(nets, optimizers, data, strict=True):
            optimizer.update(net.params, net.gradient(*given))
        np.testing.assert_allclose(float(there.loss(*data[1])), here.loss(*data[0]), rtol=1e-9)
    for back in (False, True):
        given = data[0] if back else data[1]
        if back:
            there.to("cpu")
        for name, p in here.params.items():
            np.testing.assert_allclose(
                params[name] if back else cupy.asnumpy(params[name]), p, rtol=1e-9, atol=1e-12
            )
        scores = there.predict(given[0])
        np.testing.assert_allclose(
            scores if back else cupy.asnumpy(scores), here.predict(x), rtol=1e-9, atol=1e-12
        )
        assert there.accuracy(*given) == here.accuracy(x, t)
