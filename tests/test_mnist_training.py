"""The real digits: the accuracies that a reader's note shows, and prediction one by one and in batches."""

from __future__ import annotations

import os

import numpy as np
import pytest

from scratchnet import SGD, MultiLayerNet, Trainer, TwoLayerNet
from scratchnet.dataset.mnist import load_mnist

pytestmark = [
    pytest.mark.thread_unsafe(reason="seeds NumPy's global stream"),
    pytest.mark.skipif(
        "SCRATCHNET_DATA" not in os.environ, reason="SCRATCHNET_DATA does not name a folder with MNIST"
    ),
]


@pytest.fixture(scope="module")
def digits():
    return load_mnist()


@pytest.fixture(scope="module")
def sixteen_epochs(digits):
    """784-50-10, sigmoid, learning rate 0.1, batches of 100: book 1, ch. 4.5.3."""
    (x, t), _ = digits
    np.random.seed(0)
    model = TwoLayerNet(784, 50, 10)
    Trainer(model, SGD(lr=0.1)).fit(x, t, 16, 100, eval_interval=None)
    return model


def test_the_book_s_training_reaches_the_note_s_accuracy(sixteen_epochs, digits):
    _, (x_test, t_test) = digits
    assert sixteen_epochs.accuracy(x_test, t_test) >= 0.94


def test_a_better_learning_rate_reaches_the_note_s_best(digits):
    (x, t), (x_test, t_test) = digits
    np.random.seed(0)
    model = MultiLayerNet(784, [50], 10, weight_init_std="xavier")
    optimizer = SGD(lr=1.0)

    def slow_down(trainer):
        optimizer.lr *= 0.93

    trainer = Trainer(model, optimizer)
    trainer.fit(x, t, 20, 50, eval_interval=None, callbacks=[slow_down])
    assert model.accuracy(x_test, t_test) >= 0.975


def test_one_image_at_a_time_and_in_batches_give_the_same(sixteen_epochs, digits):
    _, (x, t) = digits
    one_by_one = [int(sixteen_epochs.predict(image).argmax()) for image in x]
    in_batches = np.concatenate(
        [sixteen_epochs.predict(x[i : i + 100]).argmax(axis=1) for i in range(0, len(x), 100)]
    )
    assert np.array_equal(one_by_one, in_batches)
    assert np.mean(in_batches == t) == sixteen_epochs.accuracy(x, t)


def test_sixteen_bits_lose_no_accuracy(sixteen_epochs, digits, tmp_path):
    _, (x, t) = digits
    other = TwoLayerNet(784, 50, 10)
    other.load_params(sixteen_epochs.save_params(tmp_path / "half", dtype=np.float16))
    assert abs(other.accuracy(x, t) - sixteen_epochs.accuracy(x, t)) <= 0.001  # ten images of ten thousand
