"""The accuracy that csrc/scratchnet.h states for the kernels built on exp, over the whole range of the type."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import EXP_ULP, SIGMOID_ULP, TANH_ULP, ULP, softmax_ulp

from scratchnet.backends import KERNELS, cpu, reference


def ulps(actual: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance in units of the last place of the true value (of the smallest denormal, at least)."""
    info = np.finfo(actual.dtype)
    true = true.astype(np.longdouble)
    place = np.exp2(np.floor(np.log2(np.maximum(true, info.tiny))) - info.nmant)
    return np.abs(actual.astype(np.longdouble) - true) / np.maximum(place, info.smallest_subnormal)


def true_sigmoid(x: np.ndarray) -> np.ndarray:
    z = np.exp(-np.abs(x.astype(np.longdouble)))
    return np.where(x < 0, z, 1) / (1 + z)


def every_kind_of(dtype: type, count: int) -> np.ndarray:
    """Finite numbers evenly spaced in their bit patterns: every exponent of both signs."""
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    x = np.arange(0, np.iinfo(bits).max, np.iinfo(bits).max // count, dtype=bits).view(dtype)
    return x[np.isfinite(x)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_s_ulp_over_the_whole_range(dtype):
    limit = -np.log(np.finfo(dtype).smallest_subnormal.astype(np.float64)) + 1
    x = np.concatenate([every_kind_of(dtype, 400_001), np.linspace(-limit, limit, 400_001).astype(dtype)])
    out = np.empty_like(x)
    cpu.sigmoid_forward(x, out)
    worst = ulps(out, true_sigmoid(x)).max()
    assert worst <= SIGMOID_ULP, f"{worst:.3f} ulp"
    assert out.min() == 0 and out.max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ULP))
def test_the_contract_s_ulp_over_the_whole_range(name, dtype):
    """Every kernel that claims so many: arrays of every exponent, combined in random order."""
    kernel, rng = KERNELS[name], np.random.default_rng(0)
    some = every_kind_of(dtype, 100_001)
    some = some[np.abs(some) >= np.finfo(dtype).tiny]  # below, the unit of the last place has no bits
    values, true = {}, {}
    for argument in kernel.arguments:
        assert argument.shape == ("...",), "a claim of ulp is for elementwise kernels"
        values[argument.name] = np.zeros_like(some) if argument.is_written else rng.permutation(some)
        true[argument.name] = values[argument.name].astype(np.longdouble)
    getattr(cpu, name)(*values.values())
    with np.errstate(all="ignore"):
        getattr(reference, name)(*true.values())
    for argument in kernel.arguments:
        if argument.is_written:
            got, exact = values[argument.name], true[argument.name]
            fits = np.isfinite(exact.astype(dtype))
            worst = ulps(np.abs(got[fits]), np.abs(exact[fits])).max()
            assert worst <= ULP[name], f"{argument.name}: {worst:.3f} ulp"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_s_ulp_down_to_denormals(dtype):
    """Far below zero the sigmoid is exp itself: 1 + exp(x) rounds to 1."""
    smallest = np.log(np.finfo(dtype).smallest_subnormal.astype(np.float64))
    x = np.linspace(smallest - 1, np.log(np.finfo(dtype).eps) - 2, 1_000_001).astype(dtype)
    out = np.empty_like(x)
    cpu.sigmoid_forward(x, out)
    worst = ulps(out, np.exp(x.astype(np.longdouble))).max()
    assert worst <= EXP_ULP, f"{worst:.3f} ulp"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_at_the_ends(dtype):
    big = np.finfo(dtype).max
    x = np.array([-np.inf, -big, -1e4, -0.0, 0.0, 1e4, big, np.inf, np.nan], dtype)
    out = np.empty_like(x)
    cpu.sigmoid_forward(x, out)
    np.testing.assert_array_equal(out, np.array([0, 0, 0, 0.5, 0.5, 1, 1, 1, np.nan], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_s_ulp_over_the_whole_range(dtype):
    x = np.concatenate([every_kind_of(dtype, 400_001), np.linspace(-25, 25, 1_000_001).astype(dtype)])
    x = x[np.abs(x) >= np.finfo(dtype).tiny]  # below, tanh(x) is x, and the unit of the last place has no bits
    out = np.empty_like(x)
    cpu.tanh_forward(x, out)
    worst = ulps(np.abs(out), np.abs(np.tanh(x.astype(np.longdouble)))).max()
    assert worst <= TANH_ULP, f"{worst:.3f} ulp"
    assert np.all(np.sign(out) == np.sign(x)) and np.abs(out).max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_at_the_ends(dtype):
    info = np.finfo(dtype)
    x = np.array([-np.inf, -info.max, -30, -0.0, 0.0, info.smallest_subnormal, 30, np.inf, np.nan], dtype)
    out = np.empty_like(x)
    cpu.tanh_forward(x, out)
    np.testing.assert_array_equal(out, np.array([-1, -1, -1, 0, 0, x[5], 1, 1, np.nan], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 17, 100])
def test_softmax_s_ulp_down_to_denormals(dtype, classes):
    """Scores that are whole numbers: their differences are exact, so that only the kernel's own error shows."""
    rng = np.random.default_rng(classes)
    span = int(-np.log(np.finfo(dtype).smallest_subnormal.astype(np.float64)))
    x = rng.integers(0, span, (500, classes)).astype(dtype)
    y = np.empty_like(x)
    cpu.softmax_forward(x, y)
    z = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True))
    worst = ulps(y, z / z.sum(axis=1, keepdims=True)).max()
    assert worst <= softmax_ulp(classes), f"{worst:.3f} ulp"


def test_the_process_keeps_its_denormals():
    """No part of the library may switch the processor to flush small numbers to zero."""
    tiny = np.finfo(np.float32).smallest_subnormal
    assert tiny * np.float32(1) == tiny and tiny > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_logarithm_in_the_losses(dtype):
    """As accurate as csrc/math.inc states, for probabilities of every size; for others what NumPy gives."""
    rows = np.concatenate([np.logspace(-7, 0, 2001), np.linspace(0.9, 1.1, 2001), [0, 1, 300, np.inf, -1, np.nan]])
    for y in rows.astype(dtype).reshape(-1, 1):
        with np.errstate(invalid="ignore"):
            true = -np.log(y[0].astype(np.float64) + 1e-7)
        loss = cpu.cross_entropy_forward(y.reshape(1, 1), np.zeros(1, np.int64), 1e-7, 0.0)
        np.testing.assert_allclose(loss, true, rtol=0, atol=3 * 2.0**-53 * max(abs(true), 1))
