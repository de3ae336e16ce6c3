"""The note on chapters 3 and 4 of book 1: digits by a given network, losses, numerical gradients, descent."""

import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnet import gradient, models, plotting, util
from scratchnet.dataset import mnist
from scratchnet.functions import cross_entropy_error, sigmoid, softmax, sum_squares_error
from scratchnet.optimizer import Adam
from scratchnet.trainer import Trainer

needs_mnist = pytest.mark.skipif(
    "SCRATCHNET_DATA" not in os.environ, reason="SCRATCHNET_DATA names no folder with the MNIST files"
)


def predict(network, x):
    W1, W2, W3 = network["W1"], network["W2"], network["W3"]
    b1, b2, b3 = network["b1"], network["b2"], network["b3"]
    z1 = sigmoid(np.dot(x, W1) + b1)
    z2 = sigmoid(np.dot(z1, W2) + b2)
    return softmax(np.dot(z2, W3) + b3)


def own_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def own_sigmoid_without_overflow(x):
    return np.exp(-np.logaddexp(0, -x))


def function_2(x):
    return x[0] ** 2 + x[1] ** 2


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The test images, normalized and raw, and weights in a .pkl as the book hands them out.

    With the MNIST files the weights are learned in two epochs; without, images and weights are random.
    """
    np.random.seed(0)
    model = models.MultiLayerNet(784, [50, 100], 10, weight_init_std="xavier")
    learned = "SCRATCHNET_DATA" in os.environ
    if learned:
        (x_train, t_train), (x, t) = mnist.load_mnist(normalize=True, flatten=True, one_hot_label=False)
        raw = mnist.load_mnist(normalize=False)[1][0]
        Trainer(model, Adam()).fit(x_train, t_train, 2, 100, verbose=False)
    else:
        raw = np.random.randint(256, size=(1000, 784)).astype(np.uint8)
        x, t = raw.astype("f") / 255, np.random.randint(10, size=1000)

    path = tmp_path_factory.mktemp("book") / "sample_weight.pkl"
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]
    path.write_bytes(pickle.dumps(dict(zip(names, model.params, strict=True))))
    return SimpleNamespace(path=path, x=x, raw=raw, t=t, model=model, learned=learned)


def classes_one_by_one(network, x):
    return np.array([np.argmax(predict(network, x[i])) for i in range(len(x))])


def classes_by_hundreds(network, x):
    batches = [np.argmax(predict(network, x[i : i + 100]), axis=1) for i in range(0, len(x), 100)]
    return np.concatenate(batches)


def test_the_weights_file_comes_back_as_it_was_written(digits):
    network = util.load_pickle(digits.path)
    assert sorted(network) == ["W1", "W2", "W3", "b1", "b2", "b3"]
    assert [network[name].shape for name in ("W1", "W2", "W3")] == [(784, 50), (50, 100), (100, 10)]
    for name, p in zip(["W1", "b1", "W2", "b2", "W3", "b3"], digits.model.params, strict=True):
        np.testing.assert_array_equal(network[name], p)


@pytest.mark.parametrize("pixels", ["normalized", "raw"])
def test_one_image_at_a_time_and_a_hundred_give_the_same_accuracy(digits, pixels):
    # Every warning is an error in this suite: an overflow like the one that the reader saw would fail here.
    network = util.load_pickle(digits.path)
    x = digits.raw if pixels == "raw" else digits.x
    singles, batches = classes_one_by_one(network, x), classes_by_hundreds(network, x)
    assert np.sum(singles == digits.t) == np.sum(batches == digits.t)
    assert np.mean(singles == batches) > 0.999
    if digits.learned and pixels == "normalized":
        assert np.mean(batches == digits.t) > 0.9


def test_one_row_of_probabilities_for_each_image(digits):
    network = util.load_pickle(digits.path)
    single, batch = predict(network, digits.x[0]), predict(network, digits.x[:100])
    assert (single.shape, batch.shape) == ((10,), (100, 10))
    np.testing.assert_allclose(batch.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(single, batch[0], rtol=1e-4)


def test_the_library_net_ranks_the_digits_as_the_dict_of_weights_does(digits):
    by_dict = predict(util.load_pickle(digits.path), digits.x[:1000])
    by_model = softmax(digits.model.predict(digits.x[:1000]))
    np.testing.assert_allclose(by_model, by_dict, rtol=1e-4, atol=1e-6)


def test_the_sum_that_overflows_in_the_plain_formula_does_not_in_ours(digits):
    network = util.load_pickle(digits.path)
    a1 = 100 * (np.dot(digits.raw[:100], network["W1"]) + network["b1"])
    with pytest.warns(RuntimeWarning, match="overflow"):
        plain = own_sigmoid(a1)
    np.testing.assert_allclose(sigmoid(a1), plain, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize(("dtype", "rtol", "tiny"), [("f", 2e-5, 1e-37), ("d", 1e-12, 1e-300)])
def test_the_readers_remedy_gives_the_values_of_our_sigmoid(dtype, rtol, tiny):
    # The remedy rounds x once more before exp, so its error grows with x; below `tiny` both are denormal.
    x = np.concatenate([np.linspace(-800, 800, 1601), np.linspace(-10, 10, 2001)]).astype(dtype)
    y = sigmoid(x)
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_allclose(y, own_sigmoid_without_overflow(x), rtol=rtol, atol=tiny)


@needs_mnist
def test_the_three_switches_of_load_mnist():
    (x_train, t_train), (x, t) = mnist.load_mnist(flatten=True, normalize=False)
    assert (x_train.shape, t_train.shape) == ((60000, 784), (60000,))
    assert (x.shape, x.dtype, x.max(), t.shape) == ((10000, 784), np.uint8, 255, (10000,))
    (_, _), (pictures, onehot) = mnist.load_mnist(normalize=True, flatten=False, one_hot_label=True)
    assert (pictures.shape, pictures.dtype, pictures.max()) == ((10000, 1, 28, 28), np.float32, 1.0)
    np.testing.assert_allclose(pictures.reshape(10000, 784), x / 255.0, rtol=1e-6)
    assert onehot.shape == (10000, 10)
    np.testing.assert_array_equal(onehot.argmax(axis=1), t)
    assert onehot.sum() == 10000


LABEL = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
SURE = [0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]
WRONG = [0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0]


@pytest.mark.parametrize(("y", "printed"), [(SURE, 0.09750000000000003), (WRONG, 0.5975)])
def test_sum_of_squares_for_a_good_and_a_bad_guess(y, printed):
    assert sum_squares_error(np.array(y), np.array(LABEL)) == pytest.approx(printed, rel=1e-14)


@pytest.mark.parametrize(("y", "printed"), [(SURE, 0.510825457099338), (WRONG, 2.302584092994546)])
def test_cross_entropy_for_a_good_and_a_bad_guess(y, printed):
    assert cross_entropy_error(np.array(y), np.array(LABEL)) == pytest.approx(printed, rel=1e-14)


def test_numerical_diff_of_a_square():
    assert gradient.numerical_diff(lambda x: x**2, 3.0) == pytest.approx(6, rel=1e-9)
    slopes = gradient.numerical_diff(np.sin, np.array([0.0, 1.0]))
    np.testing.assert_allclose(slopes, np.cos([0.0, 1.0]), rtol=1e-8)


def test_numerical_gradient_prints_6_and_8():
    x = np.array([3.0, 4.0])
    assert str(gradient.numerical_gradient(function_2, x)) == "[6. 8.]"
    assert x.tolist() == [3.0, 4.0]


def test_descent_ends_at_zero_and_moves_the_readers_own_array():
    init_x = np.array([-3.0, 4.0])
    end = gradient.gradient_descent(function_2, init_x=init_x, lr=0.1, step_num=100)
    assert end is init_x
    np.testing.assert_allclose(end, [-6.11110793e-10, 8.14814391e-10], rtol=1e-5)


def descend(lr):
    return gradient.gradient_descent(function_2, np.array([-3.0, 4.0]), lr=lr, step_num=100, return_path=True)


def test_a_second_descent_goes_on_where_the_first_one_ended():
    init_x = np.array([-3.0, 4.0])
    first = gradient.gradient_descent(function_2, init_x, lr=0.1, step_num=10).copy()
    second = gradient.gradient_descent(function_2, init_x, lr=0.1, step_num=10)
    np.testing.assert_allclose(second, first * 0.8**10, rtol=1e-6)


def test_three_learning_rates_arrive_fly_off_and_crawl():
    (good, good_path), (_, wild_path), (slow, slow_path) = descend(0.1), descend(10.0), descend(0.01)
    for path in (good_path, wild_path, slow_path):
        np.testing.assert_array_equal(path[0], [-3.0, 4.0])
    np.testing.assert_array_equal(good_path[-1], good)

    assert np.abs(good).max() < 1e-8
    assert np.abs(wild_path).max() > 1e10
    np.testing.assert_allclose(slow, np.array([-3.0, 4.0]) * 0.98**100, rtol=1e-6)
    assert (np.diff(np.linalg.norm(slow_path, axis=1)) < 0).all()


def points_drawn(axes):
    return [np.c_[line.get_data()] for line in axes.get_lines()]


@pytest.mark.parametrize("lr", [0.1, 0.01])
def test_the_picture_of_a_descent_shows_every_step(lr, plt):
    _, path = descend(lr)
    plt.figure()
    axes = plotting.plot_descent(path)
    assert axes is plt.gca()
    assert any(np.array_equal(drawn, path) for drawn in points_drawn(axes))


def test_the_picture_of_the_descent_that_flies_off_still_shows_its_start(plt):
    _, path = descend(10.0)
    axes = plotting.plot_descent(path, ax=plt.figure().add_subplot())
    assert any(np.array_equal(drawn[:2], path[:2]) for drawn in points_drawn(axes))
    assert np.abs(axes.axis()).max() < 1e4
