"""The books' networks: their weights, their numbers, and what they need of memory."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from numpy_books.functions import relu, sigmoid, softmax
from numpy_books.training import book_weights, loss_and_gradients, scores

from scratchnet import SGD, MultiLayerNet, TwoLayerNet
from scratchnet.gradient import numerical_gradient

# Three layers of a few numbers each: every product and sigmoid is rounded in another place than NumPy's.
CLOSE = {np.float16: 5e-3, np.float32: 2e-6, np.float64: 1e-14}
# Central differences with h = 1e-4 are off by h^2 / 6 times the third derivative.
DIFFERENCE = 1e-6

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ACTIVATIONS = {"sigmoid": sigmoid, "relu": relu}


def spread_out(net, seed=3):
    """Weights and biases of size 1, so that every part of the network shows in the scores."""
    rng = np.random.default_rng(seed)
    for p in net.params:
        p[...] = rng.normal(size=p.shape)
    return net


def points(rows=50, columns=2, dtype=np.float64):
    return np.random.default_rng(1).normal(size=(rows, columns)).astype(dtype)


# Weights


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@DTYPES
def test_a_seed_gives_the_books_weights(dtype):
    np.random.seed(0)
    net = TwoLayerNet(2, 10, 3, dtype=dtype)
    after = np.random.rand()
    np.random.seed(0)
    W1, W2 = 0.01 * np.random.randn(2, 10), 0.01 * np.random.randn(10, 3)
    assert np.random.rand() == after
    for p, expected in zip(net.params, [W1, np.zeros(10), W2, np.zeros(3)], strict=True):
        assert p.dtype == dtype
        np.testing.assert_array_equal(p, expected.astype(dtype))


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@DTYPES
@pytest.mark.parametrize(
    ("std", "scale"),
    [
        (0.01, lambda n: 0.01),
        (2, lambda n: 2.0),
        (0, lambda n: 0.0),
        ("he", lambda n: np.sqrt(2 / n)),
        ("relu", lambda n: np.sqrt(2 / n)),
        ("He", lambda n: np.sqrt(2 / n)),
        ("xavier", lambda n: np.sqrt(1 / n)),
        ("sigmoid", lambda n: np.sqrt(1 / n)),
    ],
)
@pytest.mark.parametrize("hidden", [[], [10], [7, 5, 4], (6, 6), np.array([3, 4])])
def test_scales_of_a_deeper_network(std, scale, hidden, dtype):
    np.random.seed(3)
    net = MultiLayerNet(4, hidden, 3, weight_init_std=std, dtype=dtype)
    np.random.seed(3)
    sizes = [4, *hidden, 3]
    for p, expected in zip(net.params, book_weights(sizes, [scale(n) for n in sizes[:-1]], dtype), strict=True):
        np.testing.assert_array_equal(p, expected)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize(
    "make", [lambda **k: TwoLayerNet(2, 5, 3, **k), lambda **k: MultiLayerNet(2, [5], 3, **k)]
)
@pytest.mark.parametrize("stream", [lambda: 7, lambda: np.random.default_rng(7), lambda: np.random.RandomState(7)])
def test_a_stream_of_its_own_is_reproducible_and_leaves_the_global_one_alone(make, stream):
    before = pickle.dumps(np.random.get_state())
    first, second = make(rng=stream()), make(rng=stream())
    assert pickle.dumps(np.random.get_state()) == before
    assert first.params[0].any()
    for a, b in zip(first.params, second.params, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_generator_goes_on_where_it_is():
    rng = np.random.default_rng(7)
    first, second = TwoLayerNet(2, 5, 3, rng=rng), TwoLayerNet(2, 5, 3, rng=rng)
    assert not np.array_equal(first.params[0], second.params[0])


def test_parameters_and_gradients_lie_in_one_buffer_each():
    net = MultiLayerNet(3, [4, 5], 2)
    for arrays in (net.params, net.grads):
        address = arrays[0].ctypes.data
        for a in arrays:
            assert a.ctypes.data == address and a.base is not None and a.flags.c_contiguous and a.flags.writeable
            address += a.nbytes
    assert not np.shares_memory(net.params[0].base, net.grads[0].base)


# Scores, loss, gradients


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[], [10], [6, 5]])
def test_predict_is_the_network_in_plain_numpy(dtype, activation, hidden):
    net = spread_out(MultiLayerNet(2, hidden, 3, activation, dtype=dtype))
    x = points(dtype=dtype)
    expected = scores([p.astype(np.float64) for p in net.params], x.astype(np.float64), ACTIVATIONS[activation])
    actual = net.predict(x)
    assert actual.dtype == dtype and actual.shape == (50, 3)
    np.testing.assert_allclose(actual, expected, atol=CLOSE[dtype] * np.abs(expected).max(), rtol=0)


@DTYPES
@pytest.mark.parametrize("labels", ["indices", "one-hot"])
def test_loss_and_gradients_are_those_of_plain_numpy(dtype, labels):
    net = spread_out(TwoLayerNet(2, 10, 3, dtype=dtype))
    x, onehot = points(), np.eye(3)[np.arange(50) % 3]
    t = onehot if labels == "one-hot" else np.arange(50) % 3
    loss, gradients = loss_and_gradients([p.astype(np.float64) for p in net.params], x.astype(dtype), onehot)
    assert net.gradient(x, t) is net.grads
    for actual, expected in zip(net.grads, gradients, strict=True):
        np.testing.assert_allclose(actual, expected, atol=CLOSE[dtype], rtol=0)
    for value in (net.forward(x, t), net.loss(x, t)):
        assert type(value) is np.float64 and value == pytest.approx(loss, rel=CLOSE[dtype])


def test_backward_returns_the_gradient_of_the_input_and_scales_with_dout():
    net = spread_out(TwoLayerNet(2, 10, 3, dtype=np.float64))
    x, t = points(4), [0, 1, 2, 0]
    net.forward(x, t)
    dx, once = net.backward(), [g.copy() for g in net.grads]

    def exact_loss(x):
        """Without the 1e-7 in the logarithm, which backward leaves out."""
        return -np.log(softmax(scores(net.params, x))[np.arange(4), t]).mean()

    np.testing.assert_allclose(dx, numerical_gradient(exact_loss, x), rtol=DIFFERENCE)
    net.forward(x, t)
    net.backward(2)
    for g, g1 in zip(net.grads, once, strict=True):
        np.testing.assert_array_equal(g, 2 * g1)


def test_parameters_and_gradients_stay_the_same_objects_through_training():
    net = TwoLayerNet(2, 5, 3)
    params, grads, optimizer = list(net.params), list(net.grads), SGD(1.0)
    before = [p.copy() for p in params]
    for _ in range(3):
        net.gradient(points(6), [0, 1, 2, 0, 1, 2])
        optimizer.update(net.params, net.grads)
    affine = [layer for layer in net.layers if layer.params]
    for own, now, of_layers in (
        (params, net.params, [p for layer in affine for p in layer.params]),
        (grads, net.grads, [g for layer in affine for g in layer.grads]),
    ):
        assert all(a is b is c for a, b, c in zip(own, now, of_layers, strict=True))
    assert not any(np.array_equal(p, b) for p, b in zip(params, before, strict=True))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 128, 1000])
@DTYPES
def test_large_inputs_in_blocks_give_the_bits_of_one_pass(rows, dtype):
    net = spread_out(TwoLayerNet(3, 4096, 2, dtype=dtype))  # so wide that a block is 64 rows
    seen = []
    first = net.layers[0].forward
    net.layers[0].forward = lambda x: seen.append(len(x)) or first(x)
    x = points(rows, 3)
    actual = net.predict(x)
    assert max(seen) <= 64 and sum(seen) == rows
    del net.layers[0].forward
    whole = x
    for layer in net.layers:
        whole = layer.forward(whole)
    np.testing.assert_array_equal(actual, whole)


@pytest.mark.thread_unsafe(reason="tracemalloc counts for the whole process")
def test_classifying_millions_of_points_takes_a_few_megabytes():
    net = TwoLayerNet(2, 10, 3, rng=0)
    x = np.zeros((4_900_000, 2))
    tracemalloc.start()
    out = net.predict(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.shape == (4_900_000, 3) and out.nbytes < peak < out.nbytes + 30e6


@pytest.mark.parametrize(
    "x",
    [
        points(5).astype(np.float16),
        np.arange(10, dtype=np.uint8).reshape(5, 2),
        np.arange(10).reshape(5, 2).tolist(),
        np.asfortranarray(points(5)),
        points(10)[::2],
        points(5) > 0,
    ],
)
@DTYPES
def test_inputs_of_any_dtype_and_layout_are_cast_to_the_parameters(x, dtype):
    net = spread_out(TwoLayerNet(2, 5, 3, dtype=dtype))
    np.testing.assert_array_equal(net.predict(x), net.predict(np.array(x, dtype)))
    assert net.predict(x).dtype == dtype


def test_one_sample_no_sample_and_more_axes():
    net = spread_out(TwoLayerNet(2, 5, 3))
    x = points(6)
    np.testing.assert_array_equal(net.predict(x[0]), net.predict(x[:1])[0])
    assert net.predict(x[:0]).shape == (0, 3)
    np.testing.assert_array_equal(net.predict(x.reshape(2, 3, 2)), net.predict(x).reshape(2, 3, 3))
    assert net.forward(x[0], 1) == net.forward(x[:1], [1])


@pytest.mark.parametrize("labels", ["indices", "one-hot", "list", "uint8"])
def test_accuracy_is_the_share_that_is_right(labels):
    net = spread_out(TwoLayerNet(2, 5, 3))
    x, t = points(50), np.arange(50) % 3
    given = {"indices": t, "one-hot": np.eye(3)[t], "list": t.tolist(), "uint8": t.astype(np.uint8)}[labels]
    assert net.accuracy(x, given) == np.mean(net.predict(x).argmax(axis=1) == t)
    assert net.accuracy(x, net.predict(x).argmax(axis=1)) == 1.0


def test_weights_are_read_at_every_call():
    net = TwoLayerNet(2, 5, 3)
    net.layers[-1].b = np.array([1, 2, 3], np.float32)
    net.layers[-1].W = np.zeros((5, 3), np.float32)
    assert net.predict(points(1)).tolist() == [[1, 2, 3]]


def test_a_subclass_that_overrides_predict_is_trained_and_judged_by_it():
    class Shifted(TwoLayerNet):
        def predict(self, x):
            return super().predict(x) + np.float32([0, 0, 100])

    net = Shifted(2, 5, 3)
    assert net.forward(points(4), [2, 2, 2, 2]) == pytest.approx(0, abs=1e-6)  # the 1e-7 in the logarithm
    assert net.forward(points(4), [0, 0, 0, 0]) > 10
    assert net.accuracy(points(4), [2, 2, 2, 0]) == 0.75


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_a_network_of_its_own(duplicate):
    net = spread_out(TwoLayerNet(2, 5, 3))
    twin = duplicate(net)
    x, t = points(6), [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(twin.predict(x), net.predict(x))
    before = net.predict(x)
    SGD(1.0).update(twin.params, twin.gradient(x, t))
    np.testing.assert_array_equal(net.predict(x), before)
    assert twin.forward(x, t) < net.forward(x, t)


def test_an_unknown_device_is_refused():
    net = TwoLayerNet(2, 5, 3)
    assert net.to("cpu") is net
    for device in ("gpu", "CPU", None):
        with pytest.raises(ValueError, match="'cpu' or 'cuda', got"):
            net.to(device)


# What is refused


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("size", [0, -1, 2.0, "3", None, True, [2], float("nan")])
@pytest.mark.parametrize("place", range(3))
def test_sizes_are_positive_whole_numbers(size, place):
    sizes = [2, 5, 3]
    sizes[place] = size
    state = pickle.dumps(np.random.get_state())
    for make in (
        lambda: TwoLayerNet(*sizes),
        lambda: MultiLayerNet(sizes[0], [sizes[1]], sizes[2]),
        lambda: MultiLayerNet(sizes[0], [sizes[1]], sizes[2], weight_init_std="he"),
    ):
        with pytest.raises(ValueError, match="each of sizes must be a positive integer"):
            make()
    assert pickle.dumps(np.random.get_state()) == state


def test_sizes_may_be_numpy_integers():
    assert TwoLayerNet(np.int64(2), np.uint8(5), np.int32(3)).params[0].shape == (2, 5)


@pytest.mark.parametrize("hidden", [10, None])
def test_a_hidden_size_that_is_no_list_is_refused_by_name(hidden):
    with pytest.raises((TypeError, ValueError), match="hidden_size_list"):
        MultiLayerNet(2, hidden, 3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("activation", "tanh"),
        ("activation", None),
        ("activation", ["relu"]),
        ("dtype", int),
        ("dtype", "complex64"),
        ("dtype", ">f4"),
        ("dtype", "S1"),
        ("dtype", None),
        ("weight_init_std", -1),
        ("weight_init_std", float("nan")),
        ("weight_init_std", float("inf")),
        ("weight_init_std", "glorot"),
        ("weight_init_std", None),
        ("weight_init_std", [1]),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda **k: TwoLayerNet(2, 5, 3, **k), lambda **k: MultiLayerNet(2, [5], 3, **k)]
)
def test_unknown_options_are_refused(make, option, value):
    with pytest.raises(ValueError, match=option):
        make(**{option: value})


def test_a_stream_that_is_none_is_refused():
    for rng in (-1, "text", 1.5):
        with pytest.raises((TypeError, ValueError)):
            TwoLayerNet(2, 5, 3, rng=rng)


@pytest.mark.parametrize("shape", [(4, 3), (3,), (4, 0), ()])
@pytest.mark.parametrize("rows", [None, 30_000])
def test_wrong_columns_are_refused_naming_the_shapes(shape, rows):
    if rows and len(shape) == 2:
        shape = (rows, shape[1])  # so many that they go through in blocks
    net = TwoLayerNet(2, 5, 3)
    with pytest.raises(ValueError, match=r"x has shape .*expected \(\.\.\., 2\), because W has shape \(2, 5\)"):
        net.predict(np.zeros(shape))


@pytest.mark.parametrize("x", ["text", None, [[1, 2], [3]], np.ones((2, 2)) * 1j])
def test_what_holds_no_real_numbers_is_refused(x):
    with pytest.raises(ValueError):
        TwoLayerNet(2, 5, 3).predict(x)


@pytest.mark.parametrize(
    ("t", "error"),
    [
        ([0], ValueError),
        ([0, 1, 2], ValueError),
        ([0.0, 1.0], ValueError),
        ([0, 3], IndexError),
        ([-1, 0], IndexError),
    ],
)
def test_wrong_labels_are_refused(t, error):
    net = TwoLayerNet(2, 5, 3)
    for judge in (net.forward, net.gradient, net.accuracy):
        with pytest.raises(error):
            judge(points(2), t)


def test_backward_needs_a_forward():
    with pytest.raises(RuntimeError, match="forward first"):
        TwoLayerNet(2, 5, 3).backward()
