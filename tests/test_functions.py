"""The books' functions, against their formulas in plain NumPy."""

import numpy as np
import pytest

from scratchnet import functions, show_config
from scratchnet.functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    sigmoid,
    softmax,
    step_function,
    sum_squared_error,
    sum_squares_error,
)

# csrc/scratchnet.h promises 3 ulp for sigmoid and C + 6 for softmax; one more for rounding the formula itself.
SIGMOID_ULPS = 4
SOFTMAX_ULPS = 7
# A mean of at most some tens of logarithms, summed in double on both sides.
LOSS = 1e-14
WIDE = np.longdouble

FLOATS = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def same(actual, expected, dtype, ulps):
    limits = np.finfo(dtype)
    # float16 soon ends in subnormal numbers, whose last place is an absolute size
    np.testing.assert_allclose(actual, expected, rtol=ulps * limits.eps, atol=limits.smallest_subnormal)


def plain_softmax(x):
    z = np.exp(x - x.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def plain_cross_entropy(y, t):
    """-log(y_t + 1e-7), averaged, one row at a time."""
    return sum(-np.log(float(row[label]) + 1e-7) for row, label in zip(y, t, strict=True)) / len(y)


def probabilities(rows=7, classes=4):
    y = np.random.default_rng(3).uniform(0.01, 1, (rows, classes))
    return y / y.sum(axis=1, keepdims=True), np.arange(rows) % classes


# Sigmoid


@FLOATS
def test_sigmoid_is_its_formula(dtype):
    x = np.linspace(-8, 8, 1003).astype(dtype) if dtype == np.float16 else np.linspace(-30, 30, 1003).astype(dtype)
    y = sigmoid(x)
    assert y.dtype == dtype and y.shape == x.shape
    same(y, 1 / (1 + np.exp(-x.astype(WIDE))), dtype, SIGMOID_ULPS)


@FLOATS
@pytest.mark.parametrize("copies", [1, 19])
def test_sigmoid_at_the_ends_is_exact_and_silent(dtype, copies):
    x = np.repeat([-1e4, 1e4, -np.inf, np.inf, np.nan, 0], copies).astype(dtype)
    with np.errstate(all="raise"):
        y = sigmoid(x)
    np.testing.assert_array_equal(y, np.repeat([0, 1, 0, 1, np.nan, 0.5], copies))


@pytest.mark.parametrize("x", [0, 0.0, True, [-1, 2], [[1.5], [-2]], (), [[]], np.arange(5, dtype=np.uint8), 3.0])
def test_numbers_lists_and_integers_become_float64(x):
    y = sigmoid(x)
    assert y.dtype == np.float64 and y.shape == np.shape(x)
    same(y, 1 / (1 + np.exp(-np.asarray(x, WIDE))), np.float64, SIGMOID_ULPS)


def test_a_number_gives_a_number():
    assert all(isinstance(f(0.5), np.floating) for f in (sigmoid, relu))
    assert isinstance(step_function(0.5), np.integer)
    assert float(sigmoid(0)) == 0.5


# relu, step, identity


@FLOATS
def test_relu_passes_what_is_positive_and_nan(dtype):
    x = np.array([-2, -0.0, 0, 3, np.inf, -np.inf, np.nan] * 5, dtype)
    y = relu(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 3, np.inf, 0, np.nan] * 5, dtype))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_relu_keeps_integers(dtype):
    x = np.array([3, 0, 100], dtype) if dtype == np.uint8 else np.array([3, 0, -100], dtype)
    assert relu(x).dtype == dtype
    np.testing.assert_array_equal(relu(x), [max(v, 0) for v in x.tolist()])


def test_step_function_is_zero_or_one_in_whole_numbers():
    y = step_function(np.array([-1.0, 0.0, 1e-300, 2.0]))
    assert y.dtype.kind == "i" and y.tolist() == [0, 0, 1, 1]
    assert step_function(-3) == 0 and step_function([1, -1]).tolist() == [1, 0]


def test_identity_function_returns_the_object_itself():
    x = np.ones(3)
    assert identity_function(x) is x


# Softmax


@FLOATS
@pytest.mark.parametrize("shape", [(5,), (1, 1), (3, 4), (2, 3, 4), (2, 1, 3, 10), (40, 17)])
def test_softmax_is_its_formula_over_the_last_axis(dtype, shape):
    x = np.random.default_rng(0).normal(0, 3, shape).astype(dtype)
    y = softmax(x)
    assert y.dtype == dtype and y.shape == shape
    same(y, plain_softmax(x.astype(WIDE)), dtype, SOFTMAX_ULPS + shape[-1])


@pytest.mark.parametrize("x", [[0.3, 2.9, 4.0], [[1, 2], [3, 5]], [[[1, 2, 3]]]])
def test_softmax_of_lists(x):
    same(softmax(x), plain_softmax(np.array(x, WIDE)), np.float64, SOFTMAX_ULPS + 3)


@FLOATS
def test_softmax_does_not_overflow(dtype):
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(softmax(np.array([[1e4, -1e4], [-1e4, -1e4]], dtype)), [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("function", [sigmoid, relu, softmax])
def test_nothing_in_nothing_out(function, shape):
    assert function(np.zeros(shape, np.float32)).shape == shape
    assert function(np.zeros(shape, np.float32)).dtype == np.float32


def test_one_number_is_neither_scores_nor_probabilities():
    with pytest.raises(ValueError, match="softmax: x is a scalar"):
        softmax(3.0)
    with pytest.raises(ValueError, match="cross_entropy_error: y is a scalar"):
        cross_entropy_error(0.5, 0)


# Losses


@FLOATS
@pytest.mark.parametrize("labels", ["indices", "one-hot", "uint8", "list", "column", "float one-hot"])
def test_cross_entropy_of_every_form_of_labels(dtype, labels):
    y, t = probabilities()
    y = y.astype(dtype)
    given = {
        "indices": t,
        "one-hot": np.eye(4, dtype=np.int32)[t],
        "uint8": t.astype(np.uint8),
        "list": t.tolist(),
        "column": t[:, None],
        "float one-hot": np.eye(4)[t],
    }[labels]
    loss = cross_entropy_error(y, given)
    assert type(loss) is np.float64  # as NumPy's own sums are: it has round, item, dtype
    assert loss == pytest.approx(plain_cross_entropy(y, t), rel=LOSS)


@pytest.mark.parametrize("t", [2, [2], [0, 0, 1]])
def test_cross_entropy_of_one_sample(t):
    y = [0.1, 0.3, 0.6]
    assert cross_entropy_error(np.array(y), t) == pytest.approx(-np.log(0.6 + 1e-7), rel=LOSS)
    assert cross_entropy_error(y, t) == cross_entropy_error(np.array([y]), t)


def test_cross_entropy_counts_every_leading_axis_as_samples():
    y, t = probabilities(6, 4)
    expected = pytest.approx(plain_cross_entropy(y, t), rel=LOSS)
    assert cross_entropy_error(y.reshape(2, 3, 4), t.reshape(2, 3)) == expected


def test_a_probability_of_zero_costs_what_the_books_print():
    assert f"{cross_entropy_error(np.array([[1.0, 0.0]]), [1]):.9f}" == "16.118095651"
    assert cross_entropy_error(np.zeros((0, 3)), np.zeros(0, int)) == 0.0


@pytest.mark.parametrize("shape", [(4,), (3, 2), (4, 3, 2), ()])
def test_the_wrong_number_of_labels_is_refused(shape):
    with pytest.raises(ValueError, match=r"3 class indices.*\(3, 4\)"):
        cross_entropy_error(np.full((3, 4), 0.25), np.zeros(shape, int))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize(
    ("label", "label_dtype"),
    [(4, np.int32), (4, np.uint8), (-1, np.int64), (10**12, np.int64), (2**63, np.uint64)],
)
def test_a_label_out_of_range_is_named_with_its_position(dtype, label, label_dtype):
    t = np.array([0, 3, 1, 2, label, 0], label_dtype)
    with pytest.raises(IndexError, match=rf"t\[4\] is {label}.* from 0 to 3"):
        cross_entropy_error(np.full((6, 4), 0.25, dtype), t)


def test_labels_must_be_whole_numbers():
    with pytest.raises(ValueError, match="integers"):
        cross_entropy_error(np.full((2, 3), 0.5), [0.0, 1.0])


@pytest.mark.parametrize("shape", [(10,), (3, 4), (0,), ()])
def test_sum_squared_error_is_half_the_sum_of_squares(shape):
    rng = np.random.default_rng(1)
    y, t = rng.normal(size=shape), rng.normal(size=shape)
    loss = sum_squared_error(y, t)
    assert type(loss) is np.float64  # as NumPy's own sums are: it has round, item, dtype
    assert loss == pytest.approx(sum((a - b) ** 2 for a, b in zip(y.flat, t.flat, strict=True)) / 2, rel=LOSS)


def test_sum_squared_error_prints_what_the_book_prints():
    y = [0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]
    t = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert sum_squared_error(np.array(y), np.array(t)) == pytest.approx(0.0975, rel=LOSS)
    assert sum_squared_error(y, t) == sum_squared_error(np.array(y), np.array(t))
    assert sum_squared_error(np.uint8([1]), np.uint8([2])) == 0.5
    assert sum_squares_error is sum_squared_error and mean_squared_error is sum_squared_error
    assert functions.sum_squared_error is sum_squared_error


def test_shapes_are_never_broadcast_into_a_wrong_sum():
    with pytest.raises(ValueError, match=r"\(2, 1\).*\(2,\)"):
        sum_squared_error([1, 2], [[1], [2]])


# What all have in common


def calls():
    y, t = probabilities()
    x = np.random.default_rng(2).normal(size=(5, 6))
    return {
        "sigmoid": (sigmoid, x),
        "relu": (relu, x),
        "relu of integers": (relu, (10 * x).astype(int)),
        "softmax": (softmax, x),
        "step_function": (step_function, x),
        "cross_entropy_error": (cross_entropy_error, y, t),
        "one-hot": (cross_entropy_error, y, np.eye(4)[t]),
        "sum_squared_error": (sum_squared_error, y, y * 2),
    }


@pytest.mark.parametrize("name", calls())
def test_inputs_stay_as_they_are_and_outputs_are_new(name):
    function, *given = calls()[name]
    before = [a.copy() for a in given]
    result = function(*given)
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, result)
    for a in given:
        a.flags.writeable = False
    np.testing.assert_array_equal(function(*given), result)


@pytest.mark.parametrize("name", calls())
@pytest.mark.parametrize(
    "lay",
    [np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a.astype(a.dtype.newbyteorder(">"))],
)
def test_any_memory_layout_gives_the_same_bits(name, lay):
    function, *given = calls()[name]
    np.testing.assert_array_equal(function(*map(lay, given)), function(*given))


@pytest.mark.parametrize("function", [sigmoid, relu, softmax, lambda x: cross_entropy_error(x, [0, 0])])
@pytest.mark.parametrize("x", [["a", "b"], [1j, 2], None, [[1, 2], [3]]])
def test_what_holds_no_real_numbers_is_refused(function, x):
    with pytest.raises(ValueError):
        function(x)


@pytest.mark.thread_unsafe(reason="what is counted is the whole process's")
def test_float16_runs_in_the_reference_and_is_counted():
    def used():
        return show_config("dicts")["reference used in place of a kernel"].get("sigmoid_forward", 0)

    before = used()
    sigmoid(np.ones(3, np.float32))
    sigmoid(np.ones(3))
    assert used() == before
    sigmoid(np.ones(3, np.float16))
    assert used() == before + 1
