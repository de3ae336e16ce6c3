"""The GPU's kernels against the reference: the tests of all backends, and what only a GPU can do wrong.

They run in the emulator, under its schedules, and on a GPU where there is one.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import emulator
import numpy as np
import on_device
import pytest
import test_kernels as every_backend
from cases import EMPTY, LARGE, SMALL, is_possible, make_case

from scratchnet.backends import KERNELS, cuda, gpu, reference
from scratchnet.backends import cublas as real_cublas

DTYPES = [np.float32, np.float64]
# Lengths and widths about the edges of warps, blocks and tiles, beyond those that all backends share.
EDGES = [
    dict(zip("NDMCBn", sizes, strict=True))
    for sizes in (
        (32, 32, 32, 32, 32, 256),
        (64, 33, 65, 128, 31, 257),
        (257, 64, 31, 129, 65, 1000),
        (9, 257, 300, 260, 3, 513),
    )
]
PRODUCTS = ("affine_forward", "affine_backward", "matmul_accumulate", "matmul_transposed")
PRODUCTS += ("convolution_forward", "convolution_backward")
kernels = pytest.mark.parametrize("name", KERNELS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
schedules = pytest.mark.parametrize(
    "schedule",
    [pytest.param(s, marks=() if s in ("forward", "shuffled") else pytest.mark.long) for s in emulator.SCHEDULES],
)


@pytest.fixture
def device(cupy):
    return on_device.OnDevice(cupy)


@dtypes
@kernels
@schedules
def test_parity_under_every_schedule(device, name, dtype, schedule):
    with emulator.schedule(schedule, seed=len(name)):
        for sizes in SMALL + EMPTY + EDGES[:2]:
            if is_possible(name, sizes):
                every_backend.check_parity(make_case(name, sizes, dtype), device)


@dtypes
@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.long if k.startswith("convolution") else ()) for k in KERNELS]
)
def test_parity_at_large_sizes(device, name, dtype):
    for sizes in EDGES[2:] + LARGE:
        every_backend.check_parity(make_case(name, sizes, dtype), device)


@dtypes
@kernels
def test_parity_without_the_optional_arguments(device, name, dtype):
    every_backend.test_parity_without_the_optional_arguments(device, name, dtype)


@dtypes
def test_product_at_every_tile_edge(device, dtype):
    for N, D, M in ((31, 32, 33), (33, 31, 64), (64, 65, 1), (1, 33, 65), (65, 1, 32)):
        for name in PRODUCTS[:4]:
            every_backend.check_parity(make_case(name, dict(N=N, D=D, M=M), dtype), device)


@pytest.mark.long
@pytest.mark.parametrize("side", [32, 64])
@dtypes
def test_both_sizes_of_tiles(device, dtype, side, monkeypatch):
    monkeypatch.setattr(cuda, "LARGE_TILES", 0 if side == 64 else 10**9)
    assert cuda.tile_of((1, 1))[0] == side
    for sizes in (*SMALL, *EDGES, dict(N=130, D=70, M=129)):
        for name in PRODUCTS:
            every_backend.check_parity(make_case(name, sizes, dtype), device)


@pytest.mark.parametrize("blocks", [1, 2, 10**6])
@dtypes
def test_gradient_of_filters_in_one_part_and_in_many(device, dtype, blocks, monkeypatch):
    monkeypatch.setattr(cuda, "FILTER_BLOCKS", blocks)
    for N in (1, 2, 5, 7):
        case = make_case("convolution_backward", dict(N=N, K=33, L=35, M=34), dtype)
        every_backend.check_parity(case, device)


@dtypes
def test_windows_of_every_size_stride_and_padding(device, dtype):
    for name in ("im2col", "col2im", "max_pool_forward", "max_pool_backward"):
        for P, Q in ((1, 1), (3, 2), (2, 5), (5, 5)):
            for stride in (1, 2, 7):
                for pad in (0, 2, 6):
                    sizes = dict(N=2, C=2, H=6, W=5, P=P, Q=Q, stride=stride, pad=pad)
                    every_backend.check_parity(make_case(name, sizes, dtype), device)


@dtypes
def test_pooling_takes_the_first_of_equals_and_any_nan(device, dtype):
    every_backend.test_pooling_takes_the_first_of_equals_and_any_nan(device, dtype)


@dtypes
def test_windows_that_share_their_largest_are_added_in_order(device, dtype):
    check_shared_largest(device, dtype)


def check_shared_largest(device, dtype):
    """More windows than a warp has lanes, most of which point to few places; and some that point to none."""
    dout = np.random.default_rng(0).standard_normal((2, 3, 10, 9)).astype(dtype)
    argmax = np.random.default_rng(1).integers(0, 5, dout.shape)
    dx, expected = np.full((2, 3, 5, 4), np.nan, dtype), np.empty((2, 3, 5, 4), dtype)
    reference.max_pool_backward(dout, argmax, expected)
    device.max_pool_backward(dout, argmax, dx)
    np.testing.assert_array_equal(dx, expected)
    for wrong in (-1, 20, 2**40):
        device.max_pool_backward(dout, np.where(argmax == 4, wrong, argmax), dx)
        np.testing.assert_array_equal(dx.reshape(6, 20)[:, :4], expected.reshape(6, 20)[:, :4])
        assert not dx.reshape(6, 20)[:, 4:].any()


BY_CUBLAS = (
    ("affine_forward", ()),
    ("affine_forward", ("b",)),
    ("affine_backward", ()),
    ("affine_backward", ("dx", "db")),
    ("matmul_accumulate", ()),
    ("matmul_transposed", ()),
)


@dtypes
def test_large_products_by_cublas(device, cublas, dtype):
    for sizes in SMALL[::3]:
        for name, absent in BY_CUBLAS:
            every_backend.check_parity(make_case(name, sizes, dtype, absent=absent), device)
    if device.cupy.__name__ == "fake_cupy":
        assert set(cublas.calls) == {"cublasSgemm_v2" if dtype is np.float32 else "cublasDgemm_v2"}


@dtypes
@pytest.mark.usefixtures("no_cublas")
def test_large_products_without_cublas(device, dtype):
    for sizes in EDGES:
        for name, absent in BY_CUBLAS:
            every_backend.check_parity(make_case(name, sizes, dtype, absent=absent), device)


def test_a_thread_has_a_handle_of_cublas_of_its_own(cupy, cublas):
    mine = real_cublas.handle(cupy)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(real_cublas.handle, cupy).result()
    assert real_cublas.handle(cupy) is mine is not other


def test_a_handle_with_a_workspace_has_one_owner_at_a_time(cupy, cublas):
    class Owner:
        pass

    one, other = Owner(), Owner()
    first, second = real_cublas.borrow(cupy, one), real_cublas.borrow(cupy, other)
    assert first is not second
    del one
    gc.collect()
    assert real_cublas.borrow(cupy, other) is first


def test_what_cublas_refuses_is_said(cupy, cublas):
    handle = real_cublas.Handle(cupy)
    handle._handle = ctypes.c_void_p()
    with pytest.raises(RuntimeError, match="cuBLAS: cublasSetStream_v2 failed with status 1"):
        handle.matmul(*(cupy.ones((2, 2), np.float32) for _ in range(3)))


def test_more_elements_than_threads(device, monkeypatch):
    """Loops over elements go round: with few blocks the same results."""
    monkeypatch.setattr(cuda, "MOST_BLOCKS", 2)
    for name in KERNELS:
        every_backend.check_parity(make_case(name, LARGE[0], np.float32), device)


@dtypes
@kernels
def test_same_bits_in_every_run(device, name, dtype):
    first, second = (make_case(name, LARGE[0], dtype) for _ in range(2))
    results = []
    for case, schedule in ((first, "forward"), (second, "shuffled")):
        with emulator.schedule(schedule, 3):
            results.append(case.call(device))
    assert results[0] == results[1]
    for output, values in first.outputs().items():
        assert values.tobytes() == second.values[output].tobytes()


@dtypes
@pytest.mark.usefixtures("no_cublas")
def test_row_product_does_not_depend_on_the_batch(device, dtype):
    case = make_case("affine_forward", dict(N=70, D=100, M=21), dtype)
    case.call(device)
    x, W, b, out = case.values.values()
    for i in (0, 33, 69):
        row = np.empty((1, 21), dtype)
        device.affine_forward(x[i : i + 1].copy(), W, b, row)
        assert row[0].tobytes() == out[i].tobytes()


@dtypes
def test_softmax_of_large_scores(device, dtype):
    check_softmax_of_large_scores(device, dtype)


def check_softmax_of_large_scores(device, dtype):
    for C in (10, 300):
        case = make_case("softmax_forward", dict(N=5, C=C), dtype)
        case.values["x"].flags.writeable = True
        case.values["x"][...] += 1000
        every_backend.check_parity(case, device)


@dtypes
@kernels
def test_nan_and_inf_pass_as_in_numpy(device, name, dtype):
    every_backend.test_nan_and_inf_pass_as_in_numpy(device, name, dtype)


@pytest.mark.parametrize("name", [k.name for k in KERNELS.values() if any(a.alias for a in k.arguments)])
def test_in_place_where_the_contract_allows_it(device, name):
    every_backend.test_in_place_where_the_contract_allows_it(device, name)


@kernels
def test_arguments_may_be_named(device, name):
    every_backend.test_arguments_may_be_named(device, name)


@kernels
def test_signature_is_the_contract_s(name):
    every_backend.test_signature_is_the_contract_s(cuda, name)


# Labels that nobody has checked


@dtypes
@pytest.mark.parametrize("wrong", [-1, 6, 2**40, -(2**40), np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_labels_out_of_range_stray_nowhere_and_spoil_the_loss(device, dtype, wrong):
    sizes = dict(N=8, C=6, n=8, B=6, D=3)
    for C in (6, 200):
        case = make_case("softmax_cross_entropy_forward", {**sizes, "C": C}, dtype)
        t, y = case.values["t"], case.values["y"]
        t.flags.writeable = True
        t[4] = wrong if wrong != 6 else C
        assert np.isnan(case.call(device)) and case.fences_hold()
        assert np.allclose(y.sum(axis=1), 1)
        dx = np.full_like(y, np.nan)
        device.softmax_cross_entropy_backward(y, t, 8.0, dx)  # dout / N is 1
        assert np.array_equal(dx[4], y[4]) and not np.array_equal(dx[3], y[3])
        assert np.isnan(device.cross_entropy_forward(y, t, 1e-7, 0.0))
    for name in ("sigmoid_cross_entropy_forward", "softmax_cross_entropy_forward"):
        case = make_case(name, sizes, dtype)
        case.values["delta"] = 0.0
        case.values["t"].flags.writeable = True
        case.values["t"][4] = wrong
        assert np.isnan(case.call(device)) and case.fences_hold()


def test_an_index_out_of_range_gives_a_row_of_nan(cupy):
    check_index_out_of_range(cupy)


def check_index_out_of_range(cupy):
    """With numbers on both sides of x: what lies there must not come out."""
    for wrong in (-1, 3):
        x, out = cupy.asarray(np.ones((9, 4), np.float32))[3:6], cupy.zeros((3, 4), np.float32)
        cuda.gather_rows(x, cupy.asarray(np.array([2, wrong, 0])), out)
        assert np.isnan(gpu.to_host(out)[1]).all() and (gpu.to_host(out)[[0, 2]] == 1).all()


def test_an_index_out_of_range_adds_to_no_row(cupy):
    check_rows_are_added_only_where_they_belong(cupy)


def check_rows_are_added_only_where_they_belong(cupy):
    """Other indices and rows lie on both sides: none of them may count."""
    for wrong in (-1, 3, 2**40):
        index = cupy.asarray(np.array([1, 1, 2, wrong, 2, 0, 0]))[2:5]
        dout = cupy.asarray(np.full((9, 4), 1, np.float32))[3:6]
        out = cupy.full((5, 4), 7, np.float32)
        cuda.scatter_add_rows(dout, index, out[1:4])
        np.testing.assert_array_equal(gpu.to_host(out), np.repeat([[7], [0], [0], [2], [7]], 4, axis=1))


@dtypes
def test_many_words_in_one_row_are_added_in_order(device, dtype):
    """More than a warp looks at in one go, and more columns than one warp has."""
    dout = np.random.default_rng(0).standard_normal((150, 300)).astype(dtype)
    index = np.random.default_rng(1).integers(0, 3, 150)
    out, expected = np.full((5, 300), np.nan, dtype), np.zeros((5, 300), dtype)
    np.add.at(expected, index, dout)
    device.scatter_add_rows(dout, index, out)
    np.testing.assert_array_equal(out, expected)


@dtypes
def test_over_time_a_probability_of_0_costs_infinity(device, dtype):
    for C in (2, 200):
        x, t = np.zeros((3, C), dtype), np.zeros(3, np.int64)
        x[1, 0] = -2000
        assert device.softmax_cross_entropy_forward(x, t, 0.0, 0.0, np.empty_like(x)) == np.inf


def test_rows_without_classes_have_no_loss(device):
    x, t = np.zeros((3, 0), np.float32), np.zeros(3, np.int64)
    for delta in (1e-7, 0.0):
        assert np.isnan(device.softmax_cross_entropy_forward(x, t, delta, 0.0, np.empty_like(x)))


# Bad arguments


@dtypes
@kernels
def test_wrong_arrays_are_refused_before_a_write(device, name, dtype):
    every_backend.test_wrong_arrays_are_refused_before_a_write(device, name, dtype)


@kernels
def test_overlapping_outputs_are_refused(device, name):
    every_backend.test_overlapping_outputs_are_refused(device, name)


@kernels
def test_text_for_a_number_is_refused(device, name):
    every_backend.test_text_for_a_number_is_refused(device, name)


@kernels
def test_too_few_and_unknown_arguments_are_python_s_own_error(device, name):
    every_backend.test_too_few_and_unknown_arguments_are_python_s_own_error(device, name)


def test_arrays_of_the_host_are_refused(cupy):
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="relu_forward: out must be a CuPy array, got NumPy array"):
        cuda.relu_forward(cupy.asarray(x), x)
    with pytest.raises(ValueError, match="relu_forward: x must be a CuPy array, got list"):
        cuda.relu_forward([1.0], cupy.asarray(x))


@kernels
def test_arrays_that_are_not_contiguous_are_refused(cupy, name):
    for argument in KERNELS[name].arguments:
        if not argument.is_array:
            continue
        case = make_case(name, dict(N=5, D=3, M=4, C=6, B=7, n=8), np.float32)
        values = {k: cupy.asarray(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
        doubled = np.repeat(case.values[argument.name], 2, axis=-1)
        values[argument.name] = cupy.asarray(doubled)[..., ::2]
        with pytest.raises(ValueError, match=f"{name}: {argument.name} must be C-contiguous"):
            getattr(cuda, name)(**values)


def test_arrays_of_another_device_are_refused(cupy, monkeypatch):
    x = cupy.zeros(3, np.float32)
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 1)
    with pytest.raises(ValueError, match="relu_forward: x is on device 0, expected the current one, 1"):
        cuda.relu_forward(x, x)


# The GPU itself


def test_to_and_from_the_device(cupy):
    for dtype in (np.float32, np.float64, np.uint8, np.int64):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        there = gpu.to_device(array)
        assert isinstance(there, cupy.ndarray) and there.dtype == dtype
        assert gpu.to_device(there) is there
        back = gpu.to_host(there)
        assert type(back) is np.ndarray
        np.testing.assert_array_equal(back, array)
    assert gpu.to_device(np.ones((2, 3), order="F")).flags.c_contiguous


def test_description(cupy):
    assert cuda.is_available()
    description = cuda.describe()
    assert description.keys() == {"device", "compute capability", "cupy", "CUDA runtime", "CUDA driver"}
    assert all(type(value) is str for value in description.values())
    if cupy.__name__ == "fake_cupy":
        assert description["device"] == "emulated" and description["CUDA runtime"] == "12.9"


def test_nothing_synchronises(cupy):
    """Every kernel can be captured: no copy to the host, no wait."""
    if cupy.__name__ != "fake_cupy":
        pytest.skip("CuPy refuses allocations in some captures; the fake CuPy tells copies from them")
    for name in KERNELS:
        case = make_case(name, SMALL[4], np.float32)
        values = {k: cupy.asarray(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cupy, "_refuse_in_capture", lambda name=name: pytest.fail(f"{name} synchronises"))
            getattr(cuda, name)(**values)


def refused(monkeypatch, **modules):
    on_device.forget()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    try:
        with pytest.raises(gpu.NoGPUError) as raised:
            gpu.to_device(np.ones(1))
        assert not cuda.is_available()
        assert cuda.describe() == {"unavailable": str(raised.value)}
    finally:
        on_device.forget()
    return str(raised.value)


def test_without_cupy_the_error_says_what_to_install(monkeypatch):
    message = refused(monkeypatch, cupy=None)
    assert 'pip install "scratchnet[cuda12]"' in message and "[cuda13]" in message


def test_without_a_device_the_error_says_what_cupy_reported(monkeypatch):
    with on_device.emulated() as cupy:
        cupy.available = False
        assert re.match(r"CuPy finds no GPU: \w+: cudaErrorNoDevice", refused(monkeypatch))


def test_a_failing_import_is_told_with_its_reason(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise PermissionError(13, 'Permission denied', '/nowhere/.cupy')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    message = refused(monkeypatch)
    assert "PermissionError" in message and "/nowhere/.cupy" in message and "CUPY_CACHE_DIR" in message
    (tmp_path / "cupy.py").write_text("import a_module_that_is_missing")
    assert "a_module_that_is_missing" in refused(monkeypatch)
