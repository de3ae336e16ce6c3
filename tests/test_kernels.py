"""Every kernel of every backend against the reference, walked from the contract."""

from __future__ import annotations

import array
import inspect
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import EMPTY, LARGE, SMALL, Case, is_possible, make_case, wide
from tolerances import BOUNDS, DERIVED, EXACT, assert_within, unit

from scratchnet.backends import KERNELS, Argument, Kernel, cpu, reference

DTYPES = [np.float32, np.float64]
BACKENDS = [pytest.param(cpu, id="cpu"), pytest.param(reference, id="reference")]
kernels = pytest.mark.parametrize("name", KERNELS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
backends = pytest.mark.parametrize("backend", BACKENDS)


def test_every_kernel_has_exactly_one_tolerance():
    assert EXACT.isdisjoint(BOUNDS) and EXACT | set(BOUNDS) == set(KERNELS)
    assert set(DERIVED) == {name for name, kernel in KERNELS.items() if kernel.accuracy == "derived"}


@kernels
@backends
def test_signature_is_the_contract_s(backend, name):
    assert list(inspect.signature(getattr(backend, name)).parameters) == [a.name for a in KERNELS[name].arguments]
    assert getattr(backend, name).__doc__


def check_parity(case: Case, backend) -> None:
    """The backend's outputs are the true values, within the kernel's tolerance; nothing else changed."""
    name = case.kernel.name
    dtype = next(v.dtype for v in case.values.values() if getattr(v, "dtype", np.dtype(int)).kind == "f")
    expected = Case(
        case.kernel, {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}, {}
    )
    if name not in EXACT:
        expected = wide(expected)
    before = {k: v.tobytes() for k, v in case.values.items() if isinstance(v, np.ndarray)}
    expected_return = expected.call(reference)
    got = case.call(backend)
    assert case.fences_hold(), f"{name} wrote outside its arrays"
    for argument in case.kernel.arguments:
        if argument.is_array and not argument.is_written and case.values[argument.name] is not None:
            assert case.values[argument.name].tobytes() == before[argument.name], f"{name} changed {argument.name}"
    if name in EXACT:
        for output, values in case.outputs().items():
            np.testing.assert_array_equal(values, expected.values[output], err_msg=f"{name}: {output}")
        assert got is None
        return
    bounds = BOUNDS[name](expected.values, unit(dtype))
    for output, values in case.outputs().items():
        assert_within(values, expected.values[output], bounds[output], f"{name}: {output}")
    if case.kernel.returns_float:
        assert type(got) is float
        assert_within(got, expected_return, bounds["return"], f"{name}: return value")
    else:
        assert got is None


@dtypes
@kernels
@backends
def test_parity_at_odd_sizes(backend, name, dtype):
    for sizes in SMALL + EMPTY:
        if is_possible(name, sizes):
            check_parity(make_case(name, sizes, dtype), backend)


@dtypes
@kernels
def test_parity_at_large_sizes(name, dtype):
    for sizes in LARGE:
        check_parity(make_case(name, sizes, dtype), cpu)


@dtypes
@kernels
@backends
def test_parity_without_the_optional_arguments(backend, name, dtype):
    optional = tuple(a.name for a in KERNELS[name].arguments if a.optional)
    for absent in {optional, *((one,) for one in optional)} - {()}:
        for sizes in SMALL[::3] + EMPTY:
            check_parity(make_case(name, sizes, dtype, absent=absent), backend)


@dtypes
@backends
@pytest.mark.parametrize("delta, clip", [(0.0, 0.0), (0.0, 1e-7), (0.0, 0.25), (0.5, 0.125)])
def test_losses_with_other_deltas_and_clips(backend, delta, clip, dtype):
    """The books over time, scikit-learn's, and where every probability is clipped."""
    for name in (name for name, kernel in KERNELS.items() if any(a.name == "clip" for a in kernel.arguments)):
        for sizes in SMALL + EMPTY:
            if is_possible(name, sizes):
                case = make_case(name, sizes, dtype)
                case.values |= {"delta": delta, "clip": clip}
                check_parity(case, backend)


@dtypes
def test_product_at_every_tile_edge(dtype):
    for N in range(1, 10):
        for M in range(1, 20):
            for D in (0, 1, 2, 255, 256, 257):
                check_parity(make_case("affine_forward", dict(N=N, D=D, M=M), dtype), cpu)


@dtypes
def test_elementwise_kernels_at_every_length(dtype):
    for name in KERNELS:
        if KERNELS[name].arguments[0].shape in (("...",), ("n",)):
            for n in range(70):
                check_parity(make_case(name, dict(n=n), dtype), cpu)


@dtypes
@kernels
def test_same_bits_in_every_row_position_and_run(name, dtype):
    """Two runs agree to the bit, wherever the arrays begin in memory."""
    first, second = (make_case(name, LARGE[0], dtype) for _ in range(2))
    moved = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in second.values.items()}
    second = Case(second.kernel, moved, {})
    assert first.call(cpu) == second.call(cpu)
    for output, values in first.outputs().items():
        assert values.tobytes() == second.values[output].tobytes()


@dtypes
def test_row_product_does_not_depend_on_the_batch(dtype):
    case = make_case("affine_forward", dict(N=13, D=300, M=21), dtype)
    case.call(cpu)
    x, W, b, out = case.values.values()
    for i in range(len(x)):
        row = np.empty((1, 21), dtype)
        cpu.affine_forward(x[i : i + 1], W, b, row)
        assert row[0].tobytes() == out[i].tobytes()


@dtypes
@kernels
@backends
def test_nan_and_inf_pass_as_in_numpy(backend, name, dtype):
    case = make_case(name, SMALL[4], dtype)
    for argument in case.kernel.arguments:
        values = case.values[argument.name]
        if argument.kind == "real" and argument.role != "out":
            values.flags.writeable = True
            values.reshape(-1)[: 3 if values.size > 3 else 1] = [np.nan, np.inf, -np.inf][
                : 3 if values.size > 3 else 1
            ]
    expected = Case(
        case.kernel, {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}, {}
    )
    expected_return, got = expected.call(reference), case.call(backend)
    for output, values in case.outputs().items():
        true = expected.values[output]
        if true.dtype == bool:
            np.testing.assert_array_equal(values, true)
            continue
        assert np.array_equal(np.isnan(values), np.isnan(true)), output
        assert np.array_equal(np.isinf(values), np.isinf(true)), output
        assert np.array_equal(np.sign(values[np.isinf(values)]), np.sign(true[np.isinf(true)])), output
    assert (got is None) == (expected_return is None)
    if got is not None:
        assert np.isnan(got) == np.isnan(expected_return) and np.isinf(got) == np.isinf(expected_return)


@dtypes
def test_windows_of_every_size_stride_and_padding(dtype):
    for name in ("im2col", "col2im", "max_pool_forward", "max_pool_backward"):
        for P, Q in ((1, 1), (2, 2), (3, 2), (2, 5), (5, 5)):
            for stride in (1, 2, 3, 7):
                for pad in (0, 1, 2, 6):
                    sizes = dict(N=2, C=2, H=6, W=5, P=P, Q=Q, stride=stride, pad=pad)
                    check_parity(make_case(name, sizes, dtype), cpu)


@dtypes
@backends
def test_pooling_takes_the_first_of_equals_and_any_nan(backend, dtype):
    nan, inf = np.nan, np.inf
    x = [[1, 1, 0, 5, 2, nan], [1, 1, 5, 5, 3, nan], [nan, 9, -inf, -inf, -1, -2], [9, nan, -inf, -inf, nan, 4]]
    out, argmax = np.empty((1, 1, 2, 3), dtype), np.empty((1, 1, 2, 3), np.int64)
    backend.max_pool_forward(np.array([[x]], dtype), 2, 2, 2, out, argmax)
    np.testing.assert_array_equal(out[0, 0], [[1, 5, nan], [nan, -inf, nan]])
    assert argmax[0, 0].tolist() == [[0, 3, 5], [12, 14, 22]]


@backends
def test_windows_that_do_not_fit_are_refused(backend):
    case = make_case("im2col", dict(N=2, C=2, H=6, W=5, P=3, Q=3, stride=1, pad=0), np.float32)
    case.values["stride"] = 2
    message = assert_refused(case, backend, ValueError, "places")
    assert (
        message == "im2col: Y is 4, expected 2, the number of positions of a window of 3 along 6, stride 2, pad 0"
    )
    for argument, wrong in (("stride", 0), ("stride", -1), ("pad", -1)):
        case.values.update({"stride": 1, "pad": 0, argument: wrong})
        assert f"im2col: {argument} must be" in assert_refused(case, backend, ValueError, argument)
    pool = make_case("max_pool_forward", dict(N=1, C=1, H=4, W=4, P=2, Q=2, stride=2), np.float32)
    pool.values["P"] = 0
    assert "P must be a positive integer, got 0" in assert_refused(pool, backend, ValueError, "P")
    pool.values["P"] = 2.5
    assert "P must be a positive integer, got 2.5" in assert_refused(pool, backend, ValueError, "P")


@pytest.mark.parametrize("name", [k.name for k in KERNELS.values() if any(a.alias for a in k.arguments)])
@backends
def test_in_place_where_the_contract_allows_it(backend, name):
    apart, together = (make_case(name, dict(n=100), np.float32) for _ in range(2))
    output = next(a for a in KERNELS[name].arguments if a.alias)
    together.values[output.alias].flags.writeable = True
    together.values[output.name] = together.values[output.alias]
    apart.call(backend)
    together.call(backend)
    np.testing.assert_array_equal(together.values[output.name], apart.values[output.name])


# Bad arguments: refused by every backend, in the same words, before the first write


def wrong_arrays(value: np.ndarray, compiled: bool):
    """Arrays that a kernel must not take in place of this one."""
    yield "an axis more", value[None].copy()
    yield (
        "a number",
        value.reshape(-1)[0].copy() if value.ndim == 2 else value.reshape(-1)[:1].reshape(1, 1).copy(),
    )
    for axis in range(value.ndim):
        yield f"axis {axis} longer", np.concatenate([value, value.take([0], axis)], axis)
    yield "complex", value.astype(complex)
    yield "integers", np.zeros(value.shape, np.int32)
    yield "text", value.astype(str)
    yield "objects", value.astype(object)
    yield "a list", value.tolist()
    yield "None", None
    if value.dtype.kind == "f":
        yield "another float", value.astype({"f": np.float64, "d": np.float32}[value.dtype.char])
    if compiled:
        yield "strided", np.repeat(value, 2, axis=-1)[..., ::2]
        if value.ndim == 2:
            yield "Fortran order", np.asfortranarray(value)
    if compiled and value.dtype.itemsize > 1:
        yield "swapped bytes", value.astype(value.dtype.newbyteorder())
        raw = np.zeros(value.nbytes + 1, np.uint8)[1:].view(value.dtype).reshape(value.shape)
        yield "misaligned", raw


def is_free(kernel: Kernel, argument: Argument, what: str) -> bool:
    """Whether the contract leaves this open: nothing else in the call fixes the size or the dtype."""
    arrays = [a for a in kernel.arguments if a.is_array]
    letters = Counter(axis.lstrip("0123456789") for a in arrays for axis in a.shape)
    if what.startswith("axis"):
        return letters[argument.shape[min(int(what[5]), len(argument.shape) - 1)].lstrip("0123456789")] == 1
    if what in ("an axis more", "a number"):
        return argument.shape == ("...",) and letters["..."] == 1
    if what == "another float":
        return sum(a.kind == "real" for a in arrays) == 1
    return what == "None" and argument.optional


def assert_refused(case: Case, backend, error: type[Exception], what: str) -> str:
    before = {k: v.tobytes() for k, v in case.outputs().items() if isinstance(v, np.ndarray)}
    with pytest.raises(error) as raised:
        case.call(backend)
    for output, values in case.outputs().items():
        if isinstance(values, np.ndarray):
            assert values.tobytes() == before[output], f"{what}: {output} was written"
    return str(raised.value)


@dtypes
@kernels
@backends
def test_wrong_arrays_are_refused_before_a_write(backend, name, dtype):
    sizes = dict(N=5, D=3, M=4, C=6, B=7, n=8)
    alike = [a for a in KERNELS[name].arguments if a.is_array]
    for argument in alike:
        for what, wrong in wrong_arrays(make_case(name, sizes, dtype).values[argument.name], backend is cpu):
            if is_free(KERNELS[name], argument, what):
                continue
            case = make_case(name, sizes, dtype)
            if isinstance(wrong, np.ndarray) and argument.is_written:
                wrong.flags.writeable = True
            case.values[argument.name] = wrong
            message = assert_refused(case, backend, ValueError, what)
            assert name in message, (what, message)
            if len(alike) > 1 and argument.shape != ("...",) and not what.startswith(("axis", "another")):
                assert f": {argument.name}" in message, (what, message)


@kernels
@backends
def test_read_only_outputs_are_refused(backend, name):
    for argument in KERNELS[name].arguments:
        if argument.is_written:
            case = make_case(name, SMALL[3], np.float32)
            case.values[argument.name].flags.writeable = False
            assert f"{argument.name} is read-only" in assert_refused(case, backend, ValueError, "read-only")


@kernels
@backends
def test_overlapping_outputs_are_refused(backend, name):
    arguments = [a for a in KERNELS[name].arguments if a.kind == "real"]
    for output in arguments:
        for other in arguments:
            if not output.is_written or other is output:
                continue
            case = make_case(name, dict(N=3, D=3, M=3, C=3, B=3, n=9), np.float32)
            target, source = case.values[output.name], case.values[other.name]
            memory = np.ones(target.size + source.size, np.float32)
            case.values[output.name] = memory[: target.size].reshape(target.shape)
            case.values[other.name] = memory[target.size - 1 : -1].reshape(source.shape)
            assert "overlaps" in assert_refused(case, backend, ValueError, f"{output.name} over {other.name}")


@kernels
@backends
def test_labels_out_of_range_are_refused(backend, name):
    for argument in KERNELS[name].arguments:
        if argument.limit is None or argument.is_written:
            continue
        beyond = 2 if argument.limit == "2" else 6 if len(argument.limit) == 1 else 10**6
        for wrong in (-1, beyond, 2**40, -(2**40), np.iinfo(np.int64).max):
            case = make_case(name, dict(N=6, D=3, C=6, B=9, n=9), np.float32)
            case.values[argument.name].flags.writeable = True
            case.values[argument.name].reshape(-1)[4] = wrong
            message = assert_refused(case, backend, IndexError, f"label {wrong}")
            assert f"{argument.name}[4] is {wrong}" in message


@kernels
@backends
def test_text_for_a_number_is_refused(backend, name):
    for argument in KERNELS[name].arguments:
        if not argument.is_array:
            case = make_case(name, SMALL[3], np.float32)
            case.values[argument.name] = "much"
            assert_refused(case, backend, (TypeError, ValueError), "text")


@kernels
@backends
def test_too_few_and_unknown_arguments_are_python_s_own_error(backend, name):
    case = make_case(name, SMALL[3], np.float32)
    with pytest.raises(TypeError):
        getattr(backend, name)(*list(case.values.values())[:-1])
    with pytest.raises(TypeError):
        getattr(backend, name)(**case.values, unknown=1)


@kernels
@backends
def test_arguments_may_be_named(backend, name):
    positional, named = (make_case(name, SMALL[5], np.float64) for _ in range(2))
    assert positional.call(backend) == getattr(backend, name)(**named.values)
    for output, values in positional.outputs().items():
        np.testing.assert_array_equal(values, named.values[output])


def test_any_buffer_is_taken_as_it_lies():
    """array.array, memoryview and ctypes hold the same memory: the kernel writes into it."""
    x = array.array("f", [1, -2, 3])
    out = array.array("f", [9, 9, 9])
    cpu.relu_forward(x, out)
    assert list(out) == [1, 0, 3]
    W = memoryview(np.arange(6, dtype=np.float32).reshape(3, 2))
    target = np.empty((1, 2), np.float32)
    cpu.affine_forward(memoryview(np.ones((1, 3), np.float32)), W, None, memoryview(target))
    assert target.tolist() == [[6, 9]]
    with pytest.raises(ValueError, match="out is read-only"):
        cpu.relu_forward(x, bytes(12) and memoryview(bytes(12)).cast("f"))


def test_the_reference_takes_any_layout_and_float_dtype():
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        x = np.arange(24, dtype=dtype).reshape(4, 6)[::2, ::3]
        W = np.asfortranarray(np.arange(6, dtype=dtype).reshape(2, 3))
        out = np.empty((3, 2), dtype).T
        reference.affine_forward(x, W, None, out)
        np.testing.assert_array_equal(out, np.asarray(x) @ W)


def test_many_threads_on_shared_inputs():
    """Kernels keep no state: concurrent calls on the same inputs give the bits of a lone call."""
    case = make_case("affine_backward", LARGE[1], np.float32)
    case.call(cpu)
    dout, x, W, dx, dW, db = case.values.values()

    def run(_: int) -> bool:
        outputs = [np.empty_like(a) for a in (dx, dW, db)]
        cpu.affine_backward(dout, x, W, *outputs)
        return all(mine.tobytes() == a.tobytes() for mine, a in zip(outputs, (dx, dW, db), strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(64)))
