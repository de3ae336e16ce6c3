"""Layers of images and of regression, with lists as all layers have them: gradients, identity, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest
from differences import assert_gradient, central_differences

from scratchnet.backends import reference_uses
from scratchnet.book1 import layers as book1
from scratchnet.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    IdentityWithLoss,
    Pooling,
    Relu,
    Tanh,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def randn(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def conv(dtype=np.float64, stride=1, pad=0):
    return Convolution(randn(3, 2, 3, 2, dtype=dtype), randn(3, dtype=dtype), stride, pad)


def norm(size, dtype=np.float64):
    return BatchNormalization(randn(size, dtype=dtype), randn(size, seed=1, dtype=dtype))


LAYERS = {
    "Tanh": (Tanh, (5, 4)),
    "Tanh, three axes": (Tanh, (3, 5, 4)),
    "Flatten": (Flatten, (5, 2, 3)),
    "Flatten, rows": (Flatten, (5, 4)),
    "Convolution": (conv, (3, 2, 6, 5)),
    "Convolution with stride and pad": (lambda: conv(stride=2, pad=1), (3, 2, 6, 5)),
    "Pooling": (lambda: Pooling(2, 2), (3, 2, 6, 5)),
    "Pooling that overlaps": (lambda: Pooling(3, 2, stride=1), (3, 2, 6, 5)),
    "BatchNormalization": (lambda: norm(6), (7, 6)),
    "BatchNormalization per pixel": (lambda: norm(12), (7, 2, 3, 2)),
    "BatchNormalization per channel": (lambda: norm(2), (5, 2, 3, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_agree_with_central_differences(name):
    make, shape = LAYERS[name]
    layer, x = make(), randn(*shape, seed=2)
    weight = randn(*layer.forward(x).shape, seed=3)
    dx = layer.backward(weight)
    grads = [dx, *(g.copy() for g in layer.grads)]
    for grad, array in zip(grads, [x, *layer.params], strict=True):
        assert_gradient(grad, central_differences(lambda: np.sum(layer.forward(x) * weight), array))


def test_squared_error_s_gradient_and_formula():
    y, t, layer = randn(5, 3), randn(5, 3, seed=1), IdentityWithLoss()
    assert layer.forward(y, t) == pytest.approx(0.5 * np.sum((y - t) ** 2) / 5, rel=1e-14)
    assert_gradient(layer.backward(2.0), central_differences(lambda: 2 * layer.forward(y, t), y))
    assert layer.forward(y[0], t[0]) == pytest.approx(0.5 * np.sum((y[0] - t[0]) ** 2), rel=1e-14)
    assert layer.backward().shape == (3,)
    assert layer.forward(np.ones((0, 3)), np.ones((0, 3))) == 0
    assert type(layer.forward(y.astype(np.float32), t)) is np.float64


@pytest.mark.parametrize(
    "t, message",
    [
        (np.ones(5), r"t has shape \(5,\), expected \(5, 1\), the shape of the scores"),
        (["a"] * 5, "t"),
        (None, "t"),
    ],
)
def test_targets_of_another_shape_are_refused(t, message):
    with pytest.raises(ValueError, match=f"IdentityWithLoss: {message}"):
        IdentityWithLoss().forward(np.ones((5, 1)), t)
    with pytest.raises(RuntimeError, match="before forward"):
        IdentityWithLoss().backward()


@pytest.mark.parametrize("name", [name for name, (make, _) in LAYERS.items() if make().params])
@DTYPES
def test_gradients_are_overwritten_in_the_same_arrays_and_are_those_of_book_1(name, dtype):
    make, shape = LAYERS[name]
    layer, x = make(), randn(*shape, seed=2, dtype=dtype)
    for k, p in enumerate(layer.params):
        layer.params[k] = p.astype(dtype)
        layer.grads[k] = np.full_like(layer.params[k], np.nan)
    params, grads = list(layer.params), list(layer.grads)
    settings = {n: getattr(layer, n) for n in ("stride", "pad") if hasattr(layer, n)}
    other = getattr(book1, type(layer).__name__)(*(p.copy() for p in params), **settings)
    for _ in range(2):
        out, same = layer.forward(x), other.forward(x)
        dout = randn(*out.shape, seed=5, dtype=dtype)
        dx, same_dx = layer.backward(dout), other.backward(dout)
    assert all(a is b for a, b in zip((*params, *grads), (*layer.params, *layer.grads), strict=True))
    named = [getattr(other, f"d{n}") for n in (("W", "b") if hasattr(other, "W") else ("gamma", "beta"))]
    for a, b in zip((out, dx, *grads), (same, same_dx, *named), strict=True):
        assert a.dtype == dtype and a.tobytes() == b.tobytes()
    for a, b in zip(other.grads, named, strict=True):
        assert a.tobytes() == b.tobytes() and a is not b


@pytest.mark.parametrize("name", LAYERS)
@DTYPES
def test_the_kernels_run_compiled_and_outputs_are_new(name, dtype):
    make, shape = LAYERS[name]
    layer, x, before = make(), randn(*shape, dtype=dtype), dict(reference_uses())
    for k, p in enumerate(layer.params):
        layer.params[k], layer.grads[k] = p.astype(dtype), p.astype(dtype)
    first, second = layer.forward(x), layer.forward(x)
    dx = layer.backward(np.ones_like(second))
    assert first.dtype == dx.dtype == dtype and dict(reference_uses()) == before
    assert not any(np.shares_memory(a, b) for a, b in ((first, second), (first, x), (dx, x)))


def test_batch_normalization_s_statistics_stay_the_same_arrays():
    layer, x = norm(3), randn(4, 3, 2, 2)
    mean, var = layer.running_mean, layer.running_var
    assert layer.buffers == ("running_mean", "running_var") and not mean.any()
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    for _ in range(2):
        out = layer.forward(x)
    xhat = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-6)
    expected = (xhat * layer.gamma + layer.beta).reshape(4, 2, 2, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    assert layer.running_mean is mean and layer.running_var is var
    np.testing.assert_allclose(mean, 0.19 * rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(var, 0.19 * rows.var(axis=0), rtol=1e-12)
    kept = mean.copy()
    inferred = layer.forward(x, train_flg=False)
    expected = ((rows - mean) / np.sqrt(var + 1e-6) * layer.gamma + layer.beta).reshape(4, 2, 2, 3)
    np.testing.assert_allclose(inferred, expected.transpose(0, 3, 1, 2), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(layer.running_mean, kept)


def test_a_single_row_of_statistics_grows_with_the_columns():
    layer = BatchNormalization(np.ones(1), np.zeros(1))
    layer.forward(randn(4, 3))
    assert layer.running_mean.shape == (3,)


REFUSED = {
    "filters without four axes": (lambda: Convolution(np.ones((2, 3)), np.zeros(2)), "W must have 4 axes"),
    "a bias that does not fit": (lambda: Convolution(np.ones((2, 1, 2, 2)), np.zeros(3)), "b has shape"),
    "whole numbers": (lambda: Convolution(np.ones((2, 1, 2, 2), int), np.zeros(2)), "floating"),
    "a list": (lambda: BatchNormalization([1.0], np.zeros(1)), "gamma must be a NumPy array"),
    "other statistics": (
        lambda: BatchNormalization(np.ones(2), np.zeros(2), running_var=np.ones(3)),
        r"running_var has shape \(3,\), expected \(2,\)",
    ),
    "momentum": (lambda: BatchNormalization(np.ones(2), np.zeros(2), "high"), "momentum must be a number"),
    "channels": (lambda: norm(3).forward(randn(2, 2, 3, 3)), r"expected rows of 3 values"),
    "a padded pooling": (lambda: Pooling(2, 2, pad=1).forward(randn(1, 1, 4, 4)), "pad must be 0"),
    "a scalar": (lambda: Flatten().forward(1.0), "x is a scalar"),
    "another dout": (lambda: [f := Flatten(), f.forward(randn(2, 3, 2)), f.backward(np.ones((2, 5)))], "dout"),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("layer", [Tanh(), Flatten(), Pooling(1, 1), norm(2), conv()], ids=repr)
def test_backward_before_forward_is_refused(layer):
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(1)


@DTYPES
def test_no_rows(dtype):
    layers = [conv(dtype), norm(3, dtype), Tanh(), Relu(), Pooling(2, 2), Flatten()]
    x = np.ones((0, 2, 6, 5), dtype)
    for layer in layers:
        x = layer.forward(x)
    dout = np.ones(x.shape, dtype)
    for layer in reversed(layers):
        dout = layer.backward(dout)
    assert dout.shape == (0, 2, 6, 5) and not any(g.any() for layer in layers[:2] for g in layer.grads)


def test_a_scalar_bias_has_no_room_for_its_gradients():
    layer = Convolution(np.ones((2, 1, 2, 2)), 0.5)
    out = layer.forward(randn(1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"grads\[1\] has shape \(\), expected \(2,\)"):
        layer.backward(np.ones_like(out))


def test_the_layers_that_share_book_1_s_code_are_not_each_other():
    assert book1.Pooling is Pooling and book1.Dropout is Dropout
    assert not issubclass(book1.Convolution, Convolution) and not issubclass(book1.Affine, Affine)
