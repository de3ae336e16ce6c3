"""A refused call changes nothing: a script may catch the error and go on from what the layer kept before."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from scratchnet import layers as layers2
from scratchnet import time_layers
from scratchnet.book1 import layers as layers1

N, T, D, H, V = 3, 4, 5, 6, 7


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def weights(gates, seed=0):
    return randn(D, gates * H, seed=seed), randn(H, gates * H, seed=seed), randn(gates * H, seed=seed)


def state(value):
    """Everything that a layer holds: which objects, and what numbers are in them."""
    if isinstance(value, np.ndarray):
        return id(value), value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [state(entry) for entry in value]
    if isinstance(value, dict):
        return {name: state(entry) for name, entry in value.items()}
    return state(vars(value)) if isinstance(value, layers2.Layer) else repr(value)


LABELS = np.array([[0, -1, 2, 3]] * N)
WORDS = np.array([[1, 2], [3, 1]])
# A layer, and what its forward takes.
LAYERS = {
    "MatMul": (lambda: layers2.MatMul(randn(D, H)), (randn(N, D),)),
    "Affine": (lambda: layers2.Affine(randn(D, H), randn(H)), (randn(N, D),)),
    "Affine of a transposed W": (lambda: layers2.Affine(randn(H, D).T, randn(H)), (randn(N, D),)),
    "book1.Affine": (lambda: layers1.Affine(randn(D, H), randn(H)), (randn(N, D),)),
    "book1.Affine of images": (lambda: layers1.Affine(randn(8, H), randn(H)), (randn(N, 2, 2, 2),)),
    "Sigmoid": (layers2.Sigmoid, (randn(N, D),)),
    "Relu": (layers2.Relu, (randn(N, D),)),
    "Softmax": (layers2.Softmax, (randn(N, D),)),
    "SoftmaxWithLoss": (layers2.SoftmaxWithLoss, (randn(N, D), np.arange(N))),
    "book1.SoftmaxWithLoss": (layers1.SoftmaxWithLoss, (randn(N, D), np.arange(N))),
    "SigmoidWithLoss": (layers2.SigmoidWithLoss, (randn(N), np.array([0, 1, 1]))),
    "Repeat": (lambda: layers2.Repeat(3), (randn(D),)),
    "Sum": (layers2.Sum, (randn(N, D),)),
    "Dropout": (layers2.Dropout, (randn(N, D),)),
    "Embedding": (lambda: layers2.Embedding(randn(V, D)), (WORDS,)),
    "Embedding of a strided W": (lambda: layers2.Embedding(randn(V, 2 * D)[:, ::2]), (WORDS,)),
    "BatchNormalization": (lambda: layers1.BatchNormalization(randn(D), randn(D)), (randn(N, D),)),
    "Convolution": (lambda: layers1.Convolution(randn(2, 2, 2, 2), randn(2)), (randn(N, 2, 4, 4),)),
    "Pooling": (lambda: layers1.Pooling(2, 2), (randn(N, 2, 4, 4),)),
    "RNN": (lambda: time_layers.RNN(*weights(1)), (randn(N, D), randn(N, H))),
    "GRU": (lambda: time_layers.GRU(*weights(3)), (randn(N, D), randn(N, H))),
    "LSTM": (lambda: time_layers.LSTM(*weights(4)), (randn(N, D), randn(N, H), randn(N, H))),
    "TimeRNN": (lambda: time_layers.TimeRNN(*weights(1), True), (randn(N, T, D),)),
    "TimeGRU": (lambda: time_layers.TimeGRU(*weights(3), True), (randn(N, T, D),)),
    "TimeLSTM": (lambda: time_layers.TimeLSTM(*weights(4), True), (randn(N, T, D),)),
    "TimeBiLSTM": (lambda: time_layers.TimeBiLSTM(*weights(4), *weights(4, 1)), (randn(N, T, D),)),
    "TimeEmbedding": (lambda: time_layers.TimeEmbedding(randn(V, D)), (WORDS,)),
    "TimeAffine": (lambda: time_layers.TimeAffine(randn(D, H), randn(H)), (randn(N, T, D),)),
    "Simple_TimeAffine": (lambda: time_layers.Simple_TimeAffine(randn(D, H), randn(H)), (randn(N, T, D),)),
    "TimeDropout": (time_layers.TimeDropout, (randn(N, T, D),)),
    "TimeSoftmaxWithLoss": (time_layers.TimeSoftmaxWithLoss, (randn(N, T, D), LABELS)),
    "Simple_TimeSoftmaxWithLoss": (time_layers.Simple_TimeSoftmaxWithLoss, (randn(N, T, D), abs(LABELS))),
    "TimeSigmoidWithLoss": (time_layers.TimeSigmoidWithLoss, (randn(N, T), LABELS % 2)),
}


def wrong(right):
    """Values that are refused in place of an array, by this layer or that."""
    right = np.asarray(right)
    yield from ("text", 1j, [[1], [1, 2]], np.ndarray, randn(2, 2, 2, 2, 2), randn(N + 1, D + 1))
    if right.ndim:
        yield from (np.concatenate([right, right]), right[..., :-1], right[..., None], right.reshape(-1))
        yield from (right.astype(complex), np.full(right.shape, 99), np.full(right.shape, -99))


def calls(made):
    """A layer that has run forward and backward, and each wrong argument in the place of each right one."""
    make, arguments = made
    layer = make()
    out = layer.forward(*arguments)
    douts = [np.ones_like(o) for o in out] if isinstance(out, tuple) else [np.ones_like(out)]
    for method, right in (("forward", arguments), ("backward", douts)):
        for i in range(len(right)):
            for value in wrong(right[i]):
                layer = make()
                layer.forward(*arguments)
                layer.backward(*douts)
                yield layer, method, (*right[:i], value, *right[i + 1 :])


@pytest.mark.parametrize("made", LAYERS.values(), ids=LAYERS)
def test_a_refused_call_changes_nothing(made):
    refused = 0
    for layer, method, arguments in calls(made):
        before = state(layer)
        try:
            getattr(layer, method)(*arguments)
        except (ValueError, IndexError):
            refused += 1
            assert state(layer) == before, (method, arguments)
    assert refused > 3


def assert_refused(call, layer, match):
    before = state(layer)
    with pytest.raises(ValueError, match=match):
        call()
    assert state(layer) == before


def test_settings_that_are_refused_change_nothing():
    """What a script has put into an attribute is looked at before anything is kept."""
    x = randn(N, D)
    layer = layers1.BatchNormalization(np.ones(D), np.zeros(D))
    layer.forward(x)
    layer.momentum = "much"
    assert_refused(lambda: layer.forward(x[:2]), layer, "momentum must be a number")
    layer.momentum, layer.running_mean = 0.9, np.zeros(D + 1)
    assert_refused(lambda: layer.forward(x[:2], False), layer, "running_mean has shape")
    assert_refused(lambda: layer.forward(x[:2]), layer, "shape")


def test_gradients_that_are_read_only_are_refused_before_others_are_written():
    layer, x, dout = layers2.Affine(randn(D, H), randn(H)), randn(N, D), randn(N, H)
    layer.forward(x)
    layer.grads[1].flags.writeable = False
    assert_refused(lambda: layer.backward(dout), layer, r"grads\[1\] is read-only; backward writes into it")


def test_a_loss_is_differentiated_as_its_last_forward_left_it():
    layer, x = time_layers.TimeSoftmaxWithLoss(), randn(N, T, D)
    layer.forward(x, LABELS)
    expected = layer.backward()
    with pytest.raises(IndexError):
        layer.forward(x, np.full((N, T), D))
    np.testing.assert_array_equal(layer.backward(), expected)


@pytest.mark.parametrize(
    "kind", [time_layers.TimeSoftmaxWithLoss, layers2.SoftmaxWithLoss, layers2.SigmoidWithLoss]
)
def test_that_there_was_no_forward_is_told_before_what_is_wrong_with_dout(kind):
    with pytest.raises(RuntimeError, match="call forward first"):
        kind().backward("text")


def test_the_cache_of_a_subclass_is_not_taken_over_by_a_refused_backward():
    loss = time_layers.TimeSoftmaxWithLoss()
    loss.forward(randn(N, T, D), LABELS)
    loss.cache = np.zeros(2, int), np.full((2, 4), 0.25), np.ones(2, bool), (1, 2, 4)
    assert_refused(lambda: loss.backward("text"), loss, "dout must be a number")
    step = time_layers.GRU(*weights(3))
    step.forward(randn(N, D), randn(N, H))
    step.cache = randn(2, D), *(randn(2, H, seed=i) for i in range(4))
    assert_refused(lambda: step.backward(randn(N, H)), step, "dout has shape")
    pool = layers1.Pooling(2, 2)
    pool.forward(randn(N, 2, 4, 4))
    pool.arg_max = np.zeros(N * 2 * 4, int)
    assert_refused(lambda: pool.backward(randn(N, H)), pool, "dout has shape")


@pytest.mark.parametrize("stateful", [False, True])
def test_what_the_second_lstm_refuses_the_first_has_not_taken(stateful):
    layer, xs = time_layers.TimeBiLSTM(*weights(4), *weights(4, 1), stateful), randn(N, T, D)
    out = layer.forward(xs)
    layer.params[3] = randn(D + 1, 4 * H)
    assert_refused(lambda: layer.forward(xs[:, :2]), layer, "x has 5 values per time step, expected 6")
    layer.params[3] = weights(4, 1)[0]
    assert_refused(lambda: layer.backward(randn(N, T, H)), layer, r"has shape \(3, 4, 6\), expected \(N, T, 12\)")
    assert_refused(lambda: layer.backward(1.0), layer, r"dhs has shape \(\), expected \(N, T, 12\)")
    assert layer.backward(np.ones_like(out)).shape == xs.shape


# What was refused without need, or with an error of Python's


@pytest.mark.parametrize("W", [randn(V, 0), randn(V, 2 * D)[:, ::2]], ids=["no columns", "strided"])
@pytest.mark.parametrize("shape", [(2, 0), (0, 2), (0,), (2, 3)])
def test_words_or_rows_without_numbers(W, shape):
    layer = layers2.Embedding(W)
    out = layer.forward(np.zeros(shape, int))
    assert out.shape == (*shape, W.shape[1])
    expected = np.zeros_like(W)
    expected[:1] = np.prod(shape)
    for dout in (1.0, np.ones_like(out)):
        layer.backward(dout)
        np.testing.assert_array_equal(layer.grads[0], expected)


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.uint64])
def test_short_integers_as_sizes_of_windows(integer):
    """NumPy computes with them in their own width: 2 * int8(100) is below 0."""
    images = randn(1, 1, 150, 150)
    W, b = randn(1, 1, 3, 3), randn(1)
    pairs = [
        (layers1.Convolution(W, b, 2, 100), layers1.Convolution(W, b, integer(2), integer(100))),
        (layers1.Pooling(3, 3, 2), layers1.Pooling(integer(3), integer(3), integer(2))),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plain, short in pairs:
            out = plain.forward(images)
            np.testing.assert_array_equal(short.forward(images), out)
            np.testing.assert_array_equal(short.backward(out), plain.backward(out))
    (convolution, same), (pool, other) = pairs
    np.testing.assert_array_equal(same.col, convolution.col)
    np.testing.assert_array_equal(other.arg_max, pool.arg_max)
    other.arg_max = pool.arg_max  # as a subclass may
    np.testing.assert_array_equal(other.backward(out), pool.backward(out))


@pytest.mark.parametrize("kind", [layers2.Relu, layers2.Dropout])
def test_a_class_is_no_gradient(kind):
    layer = kind()
    layer.forward(randn(N, D))
    with pytest.raises(ValueError, match=f"{kind.__name__}: dout must contain real numbers"):
        layer.backward(np.ndarray)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("x", [np.float64(1), 1.0, np.array(1.0)])
def test_dropout_of_a_number(x):
    """The book's Dropout takes it; so does TimeDropout here."""
    for layer in (layers2.Dropout(0.5), time_layers.TimeDropout(0.5)):
        np.random.seed(0)
        passes = np.random.rand() > 0.5
        np.random.seed(0)
        out = layer.forward(x)
        expected = passes * (2.0 if isinstance(layer, time_layers.TimeDropout) else 1.0)
        assert out.shape == () and out == expected == layer.backward(1.0)
