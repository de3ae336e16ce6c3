"""The layers as a reader of the books uses them: values, gradients, identities, and what they refuse."""

from __future__ import annotations

import inspect
import warnings
from functools import partial

import numpy as np
import pytest
from differences import assert_gradient, central_differences

import scratchnet
from scratchnet.layers import (
    Affine,
    Dropout,
    Embedding,
    MatMul,
    Relu,
    Repeat,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
    Sum,
    Tanh,
)
from scratchnet.time_layers import RNN


def randn(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


# Every layer against central differences

LAYERS = {
    "MatMul": (lambda: MatMul(randn(4, 3)), (5, 4)),
    "MatMul, three axes": (lambda: MatMul(randn(4, 3)), (2, 5, 4)),
    "Affine": (lambda: Affine(randn(4, 3), randn(3)), (5, 4)),
    "Affine, one sample": (lambda: Affine(randn(4, 3), randn(3)), (4,)),
    "Affine, three axes": (lambda: Affine(randn(4, 3), randn(3)), (2, 3, 4)),
    "Affine, transposed W": (lambda: Affine(randn(3, 4).T, randn(3)), (5, 4)),
    "Affine, strided W and b": (lambda: Affine(randn(8, 6)[::2, ::2], randn(6)[::2]), (5, 4)),
    "Sigmoid": (Sigmoid, (5, 4)),
    "Sigmoid, three axes": (Sigmoid, (2, 3, 4)),
    "Relu": (Relu, (5, 4)),
    "Softmax": (Softmax, (5, 4)),
    "Softmax, one sample": (Softmax, (4,)),
    "Softmax, three axes": (Softmax, (2, 3, 4)),
    "Repeat": (lambda: Repeat(6), (1, 4)),
    "Sum": (Sum, (5, 4)),
}


@pytest.mark.parametrize("make, shape", LAYERS.values(), ids=LAYERS)
def test_gradients_against_central_differences(make, shape):
    layer, x = make(), randn(*shape, seed=1)
    dout = randn(*layer.forward(x).shape, seed=2)

    def weighted_output():
        return float(np.sum(layer.forward(x) * dout))

    expected = [central_differences(weighted_output, a) for a in (x, *layer.params)]
    layer.forward(x)
    dx = layer.backward(dout)
    for analytic, numeric in zip((dx, *layer.grads), expected, strict=True):
        assert_gradient(analytic, numeric)


@pytest.mark.parametrize("dout", [1, 0.25])
def test_softmax_with_loss_s_gradient(dout):
    """Against the loss without its 1e-7, which is what the gradient differentiates."""
    layer, x, t = SoftmaxWithLoss(), randn(6, 5), np.array([0, 4, 2, 2, 1, 3])

    def exact_loss():
        layer.forward(x, t)
        return -np.log(layer.y[np.arange(6), t]).mean() * dout

    numeric = central_differences(exact_loss, x)
    layer.forward(x, t)
    assert_gradient(layer.backward(dout), numeric)


@pytest.mark.parametrize("shape", [(7,), (7, 1), (2, 3)])
def test_sigmoid_with_loss_s_gradient(shape):
    layer, x = SigmoidWithLoss(), randn(*shape)
    t = (randn(*shape, seed=3) > 0).astype(int)

    def exact_loss():
        layer.forward(x, t)
        return -np.log(np.where(t, layer.y, 1 - layer.y)).mean()

    numeric = central_differences(exact_loss, x)
    layer.forward(x, t)
    assert_gradient(layer.backward(), numeric)


# Values and shapes


def test_affine_is_the_book_s_formula():
    x, W, b = randn(30, 2), randn(2, 10), randn(10)
    layer = Affine(W, b)
    np.testing.assert_allclose(layer.forward(x), np.matmul(x, W) + b, rtol=1e-14, atol=1e-14)
    dout = randn(30, 10)
    np.testing.assert_allclose(layer.backward(dout), dout @ W.T, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(layer.grads[0], x.T @ dout, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(layer.grads[1], dout.sum(axis=0))


def test_losses_are_the_books_formulas():
    x, t = randn(8, 5), np.arange(8) % 5
    z = np.exp(x - x.max(axis=1, keepdims=True))
    y = z / z.sum(axis=1, keepdims=True)
    loss = SoftmaxWithLoss().forward(x, t)
    assert type(loss) is np.float64
    assert loss == pytest.approx(-np.mean(np.log(y[np.arange(8), t] + 1e-7)), rel=1e-14)
    s, answers = randn(8), np.arange(8) % 2
    p = 1 / (1 + np.exp(-s))
    loss = SigmoidWithLoss().forward(s, answers)
    assert type(loss) is np.float64
    assert loss == pytest.approx(-np.mean(np.log(np.where(answers, p, 1 - p) + 1e-7)), rel=1e-14)


def test_a_certain_mistake_costs_what_it_does_in_the_book():
    assert SoftmaxWithLoss().forward(np.array([[1000.0, -1000.0]]), [1]) == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0, 1],
        np.array([[2], [0], [1]]),
        np.array([2, 0, 1], np.uint8),
        np.array([2, 9, 0, 9, 1], np.int64)[::2],
        np.array([2, 0, 1], ">i8"),
        np.eye(3)[[2, 0, 1]],
        np.eye(3, dtype=bool)[[2, 0, 1]],
    ],
    ids=str,
)
def test_labels_in_every_form_give_the_same(labels):
    layer, x = SoftmaxWithLoss(), randn(3, 3)
    expected = SoftmaxWithLoss().forward(x, np.array([2, 0, 1]))
    assert layer.forward(x, labels) == expected
    np.testing.assert_array_equal(layer.t, [2, 0, 1])


def test_a_single_sample_s_loss():
    x = randn(4)
    one, row = SoftmaxWithLoss(), SoftmaxWithLoss()
    assert one.forward(x, 2) == one.forward(x, [0, 0, 1, 0]) == row.forward(x[None], [2])
    assert one.backward().shape == (4,)


def test_repeat_and_sum_are_each_other_s_gradient():
    x, dout = randn(1, 8), randn(7, 8)
    repeat = Repeat(7)
    np.testing.assert_array_equal(repeat.forward(x), np.repeat(x, 7, axis=0))
    np.testing.assert_array_equal(repeat.backward(dout), np.sum(dout, axis=0, keepdims=True))
    node = Sum()
    np.testing.assert_array_equal(node.forward(dout), np.sum(dout, axis=0, keepdims=True))
    np.testing.assert_array_equal(node.backward(x), np.repeat(x, 7, axis=0))


def test_what_relu_returned_may_be_changed():
    """As in the book, whose layer keeps a mask: a residual is added in place, say."""
    layer = Relu()
    h = layer.forward(np.array([[-1.0, 2, -3, 0]]))
    h += 1
    assert layer.backward(np.ones((1, 4))).tolist() == [[0, 1, 0, 0]]
    assert layer.mask.tolist() == [[True, False, True, True]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 64, 100, 30_000])
def test_relu_s_mask_for_every_number(dtype, n):
    tiny = np.finfo(dtype).smallest_subnormal
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny], dtype)
    x, dout, layer = np.append(odd, randn(n, dtype=dtype))[:n], randn(n, seed=1, dtype=dtype), Relu()
    np.testing.assert_array_equal(layer.forward(x), np.where(x <= 0, 0, x))
    np.testing.assert_array_equal(layer.mask, x <= 0)
    np.testing.assert_array_equal(layer.backward(dout), np.where(x <= 0, 0, dout))
    x[...] = 1
    np.testing.assert_array_equal(layer.backward(dout[::-1]), np.where(layer.mask, 0, dout[::-1]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_yes_and_no_may_be_given_as_real_numbers(dtype):
    scores, answers = randn(2, 3), np.array([[0, 1, 1], [1, 0, 0]])
    layer, same = SigmoidWithLoss(), SigmoidWithLoss()
    assert layer.forward(scores, answers.astype(dtype)) == same.forward(scores, answers)
    np.testing.assert_array_equal(layer.backward(), same.backward())
    with pytest.raises(ValueError, match="integers"):
        layer.forward(scores, answers * 0.95)


def test_relu_leaves_the_caller_s_dout_and_lets_nan_pass():
    layer, dout = Relu(), np.ones(3)
    np.testing.assert_array_equal(layer.forward(np.array([-1.0, np.nan, 2.0])), [0, np.nan, 2])
    np.testing.assert_array_equal(layer.backward(dout), [0, 1, 1])
    np.testing.assert_array_equal(dout, 1)


# Any layout and dtype that a user may hold


def layouts(x):
    yield "lists", x.tolist()
    yield "Fortran order", np.asfortranarray(x)
    yield "strided", np.repeat(x, 2, axis=1)[:, ::2]
    yield "reversed", x[::-1, ::-1].copy()[::-1, ::-1]
    yield "transposed", x.T.copy().T
    yield "read-only", _read_only(x)
    yield "swapped bytes", x.astype(x.dtype.newbyteorder())
    yield "misaligned", _misaligned(x)
    yield "subclass", x.view(np.recarray)


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def _misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    return raw


@pytest.mark.parametrize(
    "make", [lambda: Affine(randn(4, 4), randn(4)), Sigmoid, Relu, Softmax, Sum], ids=lambda make: make.__name__
)
def test_any_layout_gives_the_same_numbers(make):
    x, dout = randn(4, 4), randn(4, 4, seed=5)
    plain = make()
    out = plain.forward(x)
    dout = dout[: out.shape[0]]
    dx = plain.backward(dout)
    for what, held in layouts(x):
        other = make()
        np.testing.assert_array_equal(other.forward(held), out, err_msg=what)
        np.testing.assert_array_equal(other.backward(dout), dx, err_msg=what)
    for what, held in layouts(dout):
        if np.shape(held) == dout.shape:
            other = make()
            other.forward(x)
            np.testing.assert_array_equal(other.backward(held), dx, err_msg=what)


@pytest.mark.parametrize("layout", ["T", "strided", "read-only"])
def test_weights_in_any_layout(layout):
    W, b = randn(4, 3), randn(3)
    held = {"T": W.T.copy().T, "strided": np.repeat(W, 2, axis=1)[:, ::2], "read-only": _read_only(W)}[layout]
    x, dout = randn(5, 4), randn(5, 3)
    plain, other = Affine(W, b), Affine(held, b)
    np.testing.assert_array_equal(other.forward(x), plain.forward(x))
    np.testing.assert_array_equal(other.backward(dout), plain.backward(dout))
    np.testing.assert_array_equal(other.grads[0], plain.grads[0])
    assert other.params[0] is held


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_weights_dtype_decides(dtype):
    layer = Affine(randn(2, 3, dtype=dtype), np.zeros(3, np.float64))
    for x in (randn(4, 2), randn(4, 2, dtype=np.float32), np.arange(8, dtype=np.uint8).reshape(4, 2), [[1, 2]]):
        out = layer.forward(x)
        assert out.dtype == dtype
        assert layer.backward(np.ones(out.shape)).dtype == dtype
        assert layer.x is x


def test_activations_keep_a_floating_dtype_and_make_float64_of_integers():
    for make in (Sigmoid, Relu, Softmax):
        for given, expected in ((np.float32, np.float32), (np.float64, np.float64), (np.int32, np.float64)):
            assert make().forward(np.ones((2, 2), given)).dtype == expected


@pytest.mark.thread_unsafe(reason="what is counted is the whole process's")
def test_float16_runs_in_the_reference_and_is_counted():
    def uses():
        return scratchnet.show_config("dicts")["reference used in place of a kernel"]

    before = uses().get("affine_forward", 0)
    layer = Affine(np.ones((2, 3), np.float16), np.zeros(3, np.float16))
    assert layer.forward(np.ones((4, 2))).dtype == np.float16
    assert uses()["affine_forward"] == before + 1


def test_float32_and_float64_never_run_in_the_reference():
    before = scratchnet.show_config("dicts")["reference used in place of a kernel"]
    for dtype in (np.float32, np.float64):
        x = np.asfortranarray(randn(6, 4, dtype=dtype))
        layers = [Affine(randn(3, 4, dtype=dtype).T, np.zeros(3, dtype)), Sigmoid(), Relu(), Softmax()]
        loss = SoftmaxWithLoss()
        for layer in layers:
            x = layer.forward(x)
        loss.forward(x, np.zeros(6, int))
        d = loss.backward()
        for layer in reversed(layers):
            d = layer.backward(d)
    assert scratchnet.show_config("dicts")["reference used in place of a kernel"] == before


# What the books' scripts rely on


def test_gradients_are_overwritten_in_the_same_arrays():
    layer = Affine(randn(2, 3), randn(3))
    collected = list(layer.grads)
    for _ in range(2):
        layer.forward(np.ones((4, 2)))
        layer.backward(np.ones((4, 3)))
    assert all(kept is now for kept, now in zip(collected, layer.grads, strict=True))
    np.testing.assert_array_equal(layer.grads[0], 4)
    np.testing.assert_array_equal(layer.grads[1], 4)


def test_forward_returns_a_new_array_every_time():
    for layer in (Affine(randn(4, 4), randn(4)), Sigmoid(), Relu(), Softmax()):
        x = randn(3, 4)
        first = layer.forward(x)
        kept = first.copy()
        second = layer.forward(-x)
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, kept)


def test_weights_may_be_rebound():
    layer, x = Affine(np.zeros((2, 3)), np.zeros(3)), np.ones((1, 2))
    layer.forward(x)
    layer.params[0] = np.ones((2, 3))
    np.testing.assert_array_equal(layer.forward(x), 2)
    layer.W, layer.b = np.ones((2, 4)), np.ones(4)
    np.testing.assert_array_equal(layer.forward(x), 3)
    assert layer.params[0] is layer.W and layer.params[1] is layer.b
    with pytest.raises(ValueError, match=r"grads\[0\] has shape \(2, 3\), expected \(2, 4\)"):
        layer.backward(np.ones((1, 4)))


def test_x_changed_after_forward_changes_the_gradient():
    """The layer keeps the caller's object, as in the book."""
    layer, x = MatMul(np.ones((2, 2))), np.ones((1, 2))
    layer.forward(x)
    x *= 3
    layer.backward(np.ones((1, 2)))
    np.testing.assert_array_equal(layer.grads[0], 3)


def test_two_layers_may_hold_one_matrix_and_its_transpose():
    W = randn(4, 3)
    embed, affine = MatMul(W), Affine(W.T, np.zeros(4))
    x = randn(5, 4)
    out = affine.forward(embed.forward(x))
    np.testing.assert_allclose(out, x @ W @ W.T, atol=1e-14)
    embed.backward(affine.backward(np.ones((5, 4))))
    assert affine.grads[0].shape == (3, 4) and embed.grads[0].shape == (4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("grads", ["as W lies", "row by row", "another dtype"])
def test_a_transposed_matrix_works_as_its_copy_does(dtype, grads):
    """To the bit, but for the bias, which is added in another place: each sum is one chain in both."""
    W, x, dout = randn(3, 4, dtype=dtype), randn(5, 2, 4, dtype=dtype), randn(5, 2, 3, dtype=dtype)
    tied, copied = Affine(W.T, np.zeros(3, dtype)), Affine(W.T.copy(), np.zeros(3, dtype))
    if grads != "as W lies":
        tied.grads[0] = np.empty((4, 3), dtype if grads == "row by row" else np.float16)
    kept = tied.grads[0]
    np.testing.assert_array_equal(tied.forward(x), copied.forward(x))
    np.testing.assert_array_equal(tied.backward(dout), copied.backward(dout))
    assert tied.grads[0] is kept
    for mine, wanted in zip(tied.grads, copied.grads, strict=True):
        np.testing.assert_array_equal(mine, wanted.astype(mine.dtype))


# Sizes of zero


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_rows(dtype):
    layer = Affine(np.ones((2, 3), dtype), np.ones(3, dtype))
    for g in layer.grads:
        g[...] = 7
    assert layer.forward(np.ones((0, 2), dtype)).shape == (0, 3)
    assert layer.backward(np.ones((0, 3), dtype)).shape == (0, 2)
    assert not layer.grads[0].any() and not layer.grads[1].any()
    loss = SoftmaxWithLoss()
    assert loss.forward(np.ones((0, 3), dtype), []) == 0.0
    assert loss.backward().shape == (0, 3)


def test_no_columns():
    layer = Affine(np.ones((0, 3)), np.arange(3.0))
    np.testing.assert_array_equal(layer.forward(np.ones((2, 0))), [[0, 1, 2]] * 2)
    assert layer.backward(np.ones((2, 3))).shape == (2, 0)
    np.testing.assert_array_equal(layer.grads[1], 2)


# NaN, infinity and what must be refused


def test_nan_and_inf_pass_without_a_warning():
    x = np.array([[np.nan, 1.0], [np.inf, -np.inf], [1e308, 1e308]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Affine(np.ones((2, 2)), np.ones(2)).forward(x)
        assert np.isnan(Sigmoid().forward(x)[0, 0])
        assert np.isnan(Softmax().forward(x)[0]).all()
        assert np.isnan(SoftmaxWithLoss().forward(x, [0, 0, 0]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_bias_in_a_row_is_taken_as_numpy_would(dtype):
    W, b, x, dout = (randn(*shape, dtype=dtype) for shape in ((4, 3), (1, 3), (5, 4), (5, 3)))
    row, plain = Affine(W, b), Affine(W, b[0])
    np.testing.assert_array_equal(row.forward(x), plain.forward(x))
    np.testing.assert_array_equal(row.backward(dout), plain.backward(dout))
    assert row.params[1] is b and row.grads[1].shape == (1, 3)
    np.testing.assert_array_equal(row.grads[1][0], plain.grads[1])


BAD = {
    "wrong columns": (
        lambda: Affine(np.ones((2, 3)), np.ones(3)).forward(np.ones((4, 5))),
        r"x has shape \(4, 5\)",
    ),
    "a number for x": (lambda: Affine(np.ones((2, 3)), np.ones(3)).forward(1.0), r"x has shape \(\)"),
    "wrong bias": (lambda: Affine(np.ones((2, 3)), np.ones(4)), r"b has shape \(4,\), expected \(3,\)"),
    "W a vector": (lambda: MatMul(np.ones(3)), "W must have 2 axes"),
    "W integers": (lambda: MatMul(np.ones((2, 2), int)), "W must have a floating dtype"),
    "W complex": (lambda: MatMul(np.ones((2, 2), complex)), "W must have a floating dtype"),
    "W text": (lambda: MatMul(np.array([["a"]])), "W must have a floating dtype"),
    "W a list": (lambda: MatMul([[1.0]]), "W must be a NumPy array"),
    "b integers": (lambda: Affine(np.ones((2, 2)), np.ones(2, int)), "b must have a floating dtype"),
    "x text": (lambda: MatMul(np.ones((2, 2))).forward([["a", "b"]]), "x must contain real numbers"),
    "x complex": (lambda: Sigmoid().forward(np.ones(2, complex)), "x must contain real numbers"),
    "x ragged": (lambda: Sigmoid().forward([[1], [1, 2]]), "cannot be converted to an array"),
    "x None": (lambda: Relu().forward(None), "x must contain real numbers"),
    "softmax of a number": (lambda: Softmax().forward(1.0), "is a scalar"),
    "loss of a number": (lambda: SoftmaxWithLoss().forward(1.0, [0]), "is a scalar"),
    "too many labels": (lambda: SoftmaxWithLoss().forward(np.ones((2, 3)), [0, 1, 2]), "expected 2 class indices"),
    "labels with fractions": (lambda: SoftmaxWithLoss().forward(np.ones((2, 3)), [0.0, 1.0]), "integers"),
    "labels of text": (lambda: SoftmaxWithLoss().forward(np.ones((2, 3)), ["a", "b"]), "integers"),
    "labels None": (lambda: SoftmaxWithLoss().forward(np.ones((2, 3)), None), "class indices"),
    "too few answers": (lambda: SigmoidWithLoss().forward(np.ones(3), [1]), "expected 3"),
    "repeat of a matrix": (lambda: Repeat(3).forward(np.ones((2, 3))), r"expected \(1, D\)"),
    "repeat a negative number of times": (lambda: Repeat(-1), "non-negative"),
    "sum of a vector": (lambda: Sum().forward(np.ones(3)), r"expected \(N, D\)"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("label", [3, -1, 10**12, 2**63 + 1])
def test_labels_out_of_range_are_named(label):
    t = np.array([0, label], np.uint64 if label > 2**62 else np.int64)
    with pytest.raises(IndexError, match=f"{label}.*expected a number from 0 to 2"):
        SoftmaxWithLoss().forward(np.ones((2, 3)), t)
    with pytest.raises(IndexError, match=f"{label}.*from 0 to 1"):
        SigmoidWithLoss().forward(np.ones(2), t)


@pytest.mark.parametrize(
    "layer",
    [MatMul(randn(2, 3)), Sigmoid(), Relu(), Softmax(), SoftmaxWithLoss(), SigmoidWithLoss(), Repeat(2), Sum()],
    ids=lambda layer: type(layer).__name__,
)
def test_backward_before_forward_is_refused(layer):
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(np.ones((2, 3)))


@pytest.mark.parametrize(
    "make", [lambda: Affine(randn(4, 4), randn(4)), Sigmoid, Relu, Softmax, Sum], ids=lambda make: make.__name__
)
def test_a_dout_of_another_shape_is_refused(make):
    layer = make()
    layer.forward(randn(3, 4))
    with pytest.raises(ValueError, match=r"dout has shape \(7, 4\), expected"):
        layer.backward(np.ones((7, 4)))
    with pytest.raises(ValueError, match="dout must contain real numbers"):
        layer.backward("gradient")


def test_dout_of_a_loss_must_be_a_number():
    layer = SoftmaxWithLoss()
    layer.forward(np.ones((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="dout must be a number"):
        layer.backward(np.ones((2, 3)))


def test_read_only_gradients_are_refused():
    layer = MatMul(randn(2, 2))
    layer.grads[0].flags.writeable = False
    layer.forward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="read-only"):
        layer.backward(np.ones((1, 2)))


def test_no_input_is_ever_changed():
    x, dout, t = randn(5, 4), randn(5, 4, seed=9), np.arange(5) % 4
    kept = [a.copy() for a in (x, dout, t)]
    for layer in (Affine(randn(4, 4), randn(4)), Sigmoid(), Relu(), Softmax()):
        layer.forward(x)
        layer.backward(dout)
    loss = SoftmaxWithLoss()
    loss.forward(x, t)
    loss.backward()
    for before, now in zip(kept, (x, dout, t), strict=True):
        np.testing.assert_array_equal(before, now)


# An operation's compiled way and its general way


def test_both_ways_of_an_operation_give_the_same_bits(monkeypatch):
    from scratchnet.backends import general, ops

    x, dout, t = randn(6, 4), randn(6, 3, seed=2), np.arange(6) % 3

    def run():
        results = []
        activations = Sigmoid(), Relu(), Tanh(), Softmax()
        for layer in (Affine(randn(4, 3), randn(3)), MatMul(randn(4, 3)), *activations):
            out = layer.forward(x)
            results += [out, layer.backward(dout if out.shape == dout.shape else x), *layer.grads]
        embedding = Embedding(randn(4, 3))
        results.append(embedding.forward(t))
        embedding.backward(dout)
        results += embedding.grads
        np.random.seed(0)
        dropout = Dropout()
        results += [dropout.forward(x), dropout.backward(x)]
        rnn = RNN(randn(4, 3), randn(3, 3, seed=1), randn(3, seed=2))
        results += [rnn.forward(x, dout), *rnn.backward(dout), *rnn.grads]
        for labels in (t, np.eye(3)[t], np.eye(3, dtype=np.int32)[t]):
            loss = SoftmaxWithLoss()
            results += [np.float64(loss.forward(dout, labels)), loss.backward(0.5), loss.y, loss.t]
        return [r.tobytes() for r in results]

    compiled, used = run(), []

    def general_way(name):
        function = getattr(general, name, None)
        if function is None:  # one for all activations of its kind
            function = partial(getattr(general, f"elementwise_{name.rpartition('_')[2]}"), name)
        keep = {"rnn_forward": (0, 1, 5), "rnn_backward": (0, 5)}.get(name)  # the owner has the others
        return lambda *given: (used.append(name), function(*([given[i] for i in keep] if keep else given)))[1]

    for name in set(ops.__all__) - {"are_rows_like"}:
        monkeypatch.setattr(ops, name, general_way(name))
    assert run() == compiled
    assert set(used) == set(ops.__all__) - {"are_rows_like"}


def test_right_arrays_take_the_compiled_way(monkeypatch):
    """A reader's own loop depends on it: nothing of the general way may be touched."""
    from scratchnet.backends import general

    chains = [[Affine(np.ones((4, 3), d), np.ones(3, d)), Sigmoid(), Relu()] for d in (np.float32, np.float64)]
    for name, value in vars(general).items():
        if inspect.isfunction(value) and value.__module__ == general.__name__:
            monkeypatch.setattr(general, name, lambda *a: pytest.fail("the general way was taken"))
    for layers, dtype in zip(chains, (np.float32, np.float64), strict=True):
        x = np.ones((6, 4), dtype)
        for layer in layers:
            x = layer.forward(x)
        loss = SoftmaxWithLoss()
        loss.forward(x, np.eye(3, dtype=np.int32)[[0, 1, 2, 0, 1, 2]])
        d = loss.backward()
        for layer in reversed(layers):
            d = layer.backward(d)


@pytest.mark.parametrize(
    "labels, scores",
    [
        (np.arange(12) % 3, (4, 3)),
        (np.eye(4)[:3], (4, 3)),
        (np.eye(3)[[0, 1]], (4, 3)),
        (np.full((4, 3), "a"), (4, 3)),
        ([[0], [1, 2]], (4, 3)),
    ],
    ids=["flat one-hot", "transposed one-hot", "too few rows", "text", "ragged"],
)
def test_labels_of_another_shape_are_refused(labels, scores):
    with pytest.raises(ValueError, match="SoftmaxWithLoss: t"):
        SoftmaxWithLoss().forward(np.zeros(scores), labels)


def test_sigmoid_with_loss_takes_a_label_a_score():
    for labels, scores in (([0, 1, 1, 0, 1, 1, 0, 1], np.ones(4)), ([0, 1], np.ones(1)), (np.eye(2), np.ones(2))):
        with pytest.raises(ValueError, match="SigmoidWithLoss: t: expected"):
            SigmoidWithLoss().forward(scores, labels)


def test_one_class_has_one_label():
    assert SoftmaxWithLoss().forward(np.ones((2, 1)), [0, 0]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(IndexError):
        SoftmaxWithLoss().forward(np.ones((1, 1)), [[1]])


def test_a_masked_array_is_refused():
    with pytest.raises(ValueError, match="masked"):
        Sigmoid().forward(np.ma.masked_array([1.0, 2.0], [True, False]))


def test_copies_of_nothing_take_no_time():
    assert Repeat(2**40).forward(np.empty((1, 0))).shape == (2**40, 0)


@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_that_a_script_has_replaced(kind):
    layer, embedding, dout = Affine(randn(4, 3), randn(3)), Embedding(randn(4, 3)), randn(2, 3, seed=1)
    for made, given in ((layer, randn(2, 4)), (embedding, np.array([1, 3]))):
        made.forward(given)
        made.backward(dout)
        expected = [g.copy() for g in made.grads]
        made.params, made.grads = kind(made.params), kind(np.full_like(g, np.nan) for g in made.grads)
        made.forward(given)
        made.backward(dout)
        for mine, true in zip(made.grads, expected, strict=True):
            np.testing.assert_array_equal(mine, true)
