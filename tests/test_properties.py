"""What holds for every kernel and layer, whatever the shapes, layouts, dtypes and values: tried on drawn examples.

The examples are the same in every run (`derandomize`), so that a failure is one for everybody.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, is_possible, make_case, wide
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import BOUNDS, EXACT, assert_within, unit

from scratchnet import layers
from scratchnet.backends import KERNELS, cpu, reference, reference_uses

settings.register_profile("scratchnet", derandomize=True, deadline=None, max_examples=80, database=None)
drawn = settings.get_profile("scratchnet")

FLOATS = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.fixed_dictionaries(
    {**dict.fromkeys("NDMCB", st.integers(0, 40) | st.just(0) | st.integers(1, 3)), "n": st.integers(0, 150)}
)


def fill(array: np.ndarray, rng: np.random.Generator, span: float) -> None:
    """Numbers of both signs whose magnitudes spread over 10^-span to 10^span, with zeros among them."""
    values = rng.standard_normal(array.shape) * 10.0 ** rng.uniform(-span, span, array.shape)
    array[...] = np.where(rng.random(array.shape) < 0.1, 0, values)


def fill_with_extremes(array: np.ndarray, rng: np.random.Generator) -> None:
    """The ends of the type: largest and smallest numbers, subnormal ones, infinities, NaN, both zeros."""
    info = np.finfo(array.dtype)
    ends = [0.0, 1.0, info.max, info.tiny, info.smallest_subnormal, info.eps, np.inf, np.nan]
    array[...] = rng.choice(np.array([*ends, *(-np.array(ends))], array.dtype), array.shape)


def inputs(case: Case) -> list[np.ndarray]:
    """The real arrays that the kernel reads, made writeable for a test to fill."""
    arrays = [case.values[a.name] for a in case.kernel.arguments if a.kind == "real" and a.role != "out"]
    for array in arrays:
        array.flags.writeable = True
    return arrays


def apart(case: Case) -> Case:
    """The same call on arrays of its own."""
    values = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
    return Case(case.kernel, values, {})


@pytest.mark.parametrize("name", sorted(EXACT))
@drawn
@given(sizes=SIZES, dtype=FLOATS, seed=SEEDS, ordinary=st.booleans())
def test_exact_kernels_have_the_reference_s_bits_for_all_numbers(name, sizes, dtype, seed, ordinary):
    if not is_possible(name, sizes):
        return
    case, rng = make_case(name, sizes, dtype, seed), np.random.default_rng(seed)
    for array in inputs(case):
        if ordinary:
            fill(array, rng, 3)
        else:
            fill_with_extremes(array, rng)
    expected = apart(case)
    expected.call(reference)
    case.call(cpu)
    assert case.fences_hold()
    for output, values in case.outputs().items():
        np.testing.assert_array_equal(values, expected.values[output], err_msg=output)


@pytest.mark.parametrize("name", sorted(BOUNDS))
@drawn
@given(sizes=SIZES, dtype=FLOATS, seed=SEEDS, span=st.sampled_from([0, 1, 3, 8]))
def test_other_kernels_keep_their_bounds_for_numbers_of_all_sizes(name, sizes, dtype, seed, span):
    if not is_possible(name, sizes):
        return
    case, rng = make_case(name, sizes, dtype, seed), np.random.default_rng(seed)
    for array in inputs(case):
        if any(array is case.values.get(bounded) for bounded in ("std", "gates")):
            continue  # made as they can be: above 0, from 0 to 1
        if "cross_entropy" not in name or "softmax" in name or "sigmoid" in name:  # else y: probabilities
            fill(array, rng, span)
    expected = wide(apart(case))
    with np.errstate(all="ignore"):
        expected_return = expected.call(reference)
        bounds = BOUNDS[name](expected.values, unit(dtype))
    got = case.call(cpu)
    assert case.fences_hold()
    least = 4 * float(np.finfo(dtype).smallest_subnormal)  # what underflows has no relative error
    for output, values in case.outputs().items():
        assert_within(values, expected.values[output], bounds[output] + least, f"{name}: {output}")
    if case.kernel.returns_float:
        assert_within(got, expected_return, bounds["return"] + least, f"{name}: return value")


@pytest.mark.parametrize("name", KERNELS)
@drawn
@given(sizes=SIZES, dtype=FLOATS, seed=SEEDS)
def test_nan_comes_out_only_where_numpy_has_it(name, sizes, dtype, seed):
    if not is_possible(name, sizes):
        return
    case, rng = make_case(name, sizes, dtype, seed), np.random.default_rng(seed)
    for array in inputs(case):
        fill(array, rng, 1)
        if array.size:
            array.reshape(-1)[rng.integers(array.size)] = np.nan
    expected = apart(case)
    expected.call(reference)
    case.call(cpu)
    for output, values in case.outputs().items():
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected.values[output]), err_msg=output)


# Layers: what counts is the numbers, not how they lie in memory


LAYOUTS = {
    "as it is": lambda x: x,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "transposed": lambda x: x.T.copy().T,
    "read-only": lambda x: np.lib.stride_tricks.as_strided(x, writeable=False),
    "misaligned": lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "a list": lambda x: x.tolist(),
}
DTYPES = {
    "as it is": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "int8": lambda x: x.astype(np.int8),
    "bool": lambda x: x > 0,
}
LAYERS = ("MatMul", "Affine", "Sigmoid", "Relu", "Softmax", "SoftmaxWithLoss", "SigmoidWithLoss", "Repeat", "Sum")


def make_layer(name: str, D: int, dtype: type, layout: str, rng: np.random.Generator) -> layers.Layer:
    W, b = rng.standard_normal((D, 5)).astype(dtype), rng.standard_normal(5).astype(dtype)
    if name in ("MatMul", "Affine"):
        if layout in ("strided", "reversed", "transposed"):
            W = LAYOUTS[layout](W)
        return layers.Affine(W, b) if name == "Affine" else layers.MatMul(W)
    return layers.Repeat(3) if name == "Repeat" else getattr(layers, name)()


def both_ways(layer: layers.Layer, x, t, dout, change) -> list[np.ndarray]:
    """Forward and backward, the gradient laid out by `change` too: all numbers that the layer gives."""
    if t is not None:
        return [np.asarray(layer.forward(x, t)), layer.y, layer.backward(0.5)]
    out = layer.forward(x)
    return [out, layer.backward(change(dout[: out.size].reshape(out.shape).astype(out.dtype))), *layer.grads]


@pytest.mark.thread_unsafe(reason="what is counted is the whole process's")
@pytest.mark.parametrize("name", LAYERS)
@drawn
@given(
    N=st.integers(1, 9),
    D=st.integers(1, 20),
    dtype=FLOATS,
    kind=st.sampled_from(sorted(DTYPES)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=SEEDS,
)
def test_layers_give_the_same_bits_however_the_numbers_lie(name, N, D, dtype, kind, layout, seed):
    rng = np.random.default_rng(seed)
    x = DTYPES[kind](rng.integers(-8, 9, (1 if name == "Repeat" else N, D)).astype(dtype))
    if layout == "a list" and x.dtype.kind == "f":
        x = x.astype(np.float64)  # what a list of such numbers is
    t = None
    if name.endswith("Loss"):
        t = rng.integers(0, 2, x.shape) if name == "SigmoidWithLoss" else rng.integers(0, D, N)
    dout = rng.standard_normal(200)
    state = rng.bit_generator.state
    plain = both_ways(make_layer(name, D, dtype, "as it is", rng), x, t, dout, lambda d: d)
    rng.bit_generator.state = state
    odd = LAYOUTS[layout](x)
    before = np.array(odd)
    counted = reference_uses()
    change = LAYOUTS["as it is" if layout == "a list" else layout]
    given_odd = both_ways(make_layer(name, D, dtype, layout, rng), odd, t, dout, change)
    assert np.array_equal(odd, before), "the layer changed its input"
    if np.result_type(x) != np.float16:
        assert reference_uses() == counted, "uncompiled"
    for mine, expected in zip(given_odd, plain, strict=True):
        assert mine.dtype == expected.dtype and mine.shape == expected.shape
        assert mine.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["Sigmoid", "Relu", "Softmax", "SoftmaxWithLoss", "SigmoidWithLoss"])
@drawn
@given(N=st.integers(1, 6), D=st.integers(1, 12), dtype=FLOATS, seed=SEEDS)
def test_probabilities_and_activations_stay_in_their_range_for_every_finite_number(name, N, D, dtype, seed):
    rng = np.random.default_rng(seed)
    x = np.empty((N, D), dtype)
    fill_with_extremes(x, rng)
    x = np.clip(np.nan_to_num(x, nan=0.0), np.finfo(dtype).min / 4, np.finfo(dtype).max / 4)
    layer = getattr(layers, name)()
    if name.endswith("Loss"):
        t = rng.integers(0, 2, (N, D)) if name == "SigmoidWithLoss" else rng.integers(0, D, N)
        loss = layer.forward(x, t)
        assert 0 <= loss + 1e-6 <= 16.2
        out = layer.y
    else:
        out = layer.forward(x)
    assert np.isfinite(out).all() and (out >= 0).all()
    if name != "Relu":
        assert (out <= 1).all()
    if "Softmax" in name:
        np.testing.assert_allclose(out.sum(axis=1), 1, rtol=20 * np.finfo(dtype).eps)
