"""Book 1's networks on the real digits: the accuracies that its readers see."""

from __future__ import annotations

import os

import numpy as np
import pytest

from scratchnet.book1.dataset.mnist import load_mnist
from scratchnet.book1.layers import Affine, Convolution, Pooling, Relu, SoftmaxWithLoss
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.optimizer import SGD, Adam

pytestmark = [
    pytest.mark.thread_unsafe(reason="seeds NumPy's global stream"),
    pytest.mark.skipif(
        "SCRATCHNET_DATA" not in os.environ, reason="SCRATCHNET_DATA does not name a folder with MNIST"
    ),
]


@pytest.mark.long
def test_two_layers_of_chapter_5():
    """784-50-10 with relu, learning rate 0.1, batches of 100, 10000 steps."""
    (x, t), (x_test, t_test) = load_mnist()
    np.random.seed(0)
    net, optimizer = MultiLayerNet(784, [50], 10, "relu", 0.01), SGD(0.1)
    for _ in range(10000):
        batch = np.random.choice(len(x), 100)
        optimizer.update(net.params, net.gradient(x[batch], t[batch]))
    assert net.accuracy(x_test, t_test) >= 0.97


@pytest.mark.long
def test_the_convolutional_network_of_chapter_7():
    """Convolution of 30 filters 5 x 5, pooling 2 x 2, two Affine layers, Adam: two epochs, in float32."""
    (x, t), (x_test, t_test) = load_mnist(flatten=False)
    np.random.seed(0)

    def weights(*shape, inputs):
        return (np.sqrt(2 / inputs) * np.random.randn(*shape)).astype(np.float32), np.zeros(shape[-1], np.float32)

    W = weights(30, 1, 5, 5, inputs=25)[0]
    layers = [Convolution(W, np.zeros(30, np.float32)), Relu(), Pooling(2, 2)]
    layers += [Affine(*weights(4320, 100, inputs=4320)), Relu(), Affine(*weights(100, 10, inputs=100))]
    loss, optimizer = SoftmaxWithLoss(), Adam()
    trained = [layer for layer in layers if hasattr(layer, "W")]
    params = {f"{name}{i}": getattr(layer, name) for i, layer in enumerate(trained) for name in ("W", "b")}

    def predict(x):
        for layer in layers:
            x = layer.forward(x)
        return x

    for _ in range(2 * 600):
        batch = np.random.choice(len(x), 100)
        loss.forward(predict(x[batch]), t[batch])
        dout = loss.backward()
        for layer in reversed(layers):
            dout = layer.backward(dout)
        grads = {
            f"{name}{i}": getattr(layer, f"d{name}") for i, layer in enumerate(trained) for name in ("W", "b")
        }
        optimizer.update(params, grads)
    right = [predict(x_test[i : i + 1000]).argmax(axis=1) == t_test[i : i + 1000] for i in range(0, 10000, 1000)]
    assert np.mean(right) >= 0.98
