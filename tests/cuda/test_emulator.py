"""The emulator runs right kernels right and refuses wrong ones; the fake CuPy is as strict as CuPy."""

from __future__ import annotations

import copy
import os
import pickle
import re

import emulator
import fake_cupy
import numpy as np
import pytest
from emulator import SCHEDULES, EmulatorError, RawModule
from processes import PYTHON, run

needs_compiler = pytest.mark.skipif(emulator.missing() is not None, reason=str(emulator.missing()))
schedules = pytest.mark.parametrize("order", SCHEDULES)

RIGHT = r"""
#ifndef SN_EMULATED
#define SN_DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif
#define KERNEL extern "C" __global__ void

template <class T> __device__ __forceinline__ T warp_sum(T x)
{
    for (int distance = warpSize / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

// With two barriers that can be left out.
template <class T> __device__ T block_sum(T x, T *sums, bool first, bool second)
{
    x = warp_sum(x);
    if (threadIdx.x % warpSize == 0)
        sums[threadIdx.x / warpSize] = x;
    if (first)
        __syncthreads();
    T total = 0;
    for (unsigned i = 0; i < blockDim.x / warpSize; i++)
        total += sums[i];
    if (second)
        __syncthreads();
    return total;
}

template <bool first, bool second> __device__ void sum_twice(const REAL *__restrict__ x, REAL *out, int n)
{
    __shared__ REAL sums[32]; // inside a template
    REAL a = 0, b = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        a += x[blockIdx.x * n + i];
        b += x[blockIdx.x * n + i] * 2;
    }
    a = block_sum(a, sums, first, second);
    b = block_sum(b, sums, first, true);
    if (threadIdx.x == 0)
        out[blockIdx.x] = a + b;
}

KERNEL __launch_bounds__(256) sums(const REAL *x, REAL *out, int n) { sum_twice<true, true>(x, out, n); }
KERNEL sums_no_first(const REAL *x, REAL *out, int n) { sum_twice<false, true>(x, out, n); }
KERNEL sums_no_second(const REAL *x, REAL *out, int n) { sum_twice<true, false>(x, out, n); }

KERNEL shuffles(int *out)
{
    const int lane = threadIdx.x;
    const unsigned all = 0xffffffffu;
    const int width = 8;
    out[lane] = __shfl_sync(all, lane, 3, width);
    out[32 + lane] = __shfl_up_sync(all, lane, 2);
    out[64 + lane] = __shfl_down_sync(all, lane, 2, width);
    out[96 + lane] = (int)__shfl_xor_sync(all, (double)lane, 5);
    out[128 + lane] = (int)__ballot_sync(all, lane < 4);
    out[160 + lane] = 2 * __any_sync(all, lane == 9) + __all_sync(all, lane == 9);
    if (lane < 4) // the lanes of a mask alone
        out[192 + lane] = __shfl_sync(0xfu, lane, 0);
    __syncwarp();
}

KERNEL reverse(const REAL *x, REAL *out, int n)
{
    SN_DYNAMIC_SHARED(REAL, held);
    held[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = held[n - 1 - threadIdx.x];
}

// Adds up what all blocks hold in shared memory, which they keep over a grid sync.
KERNEL gather(unsigned *arrivals, unsigned *count, REAL *parts, REAL *out)
{
    __shared__ REAL own;
    if (threadIdx.x == 0) {
        own = blockIdx.x + 1;
        parts[blockIdx.x] = own;
        atomicAdd(count, 1u);
    }
    SN_GRID_SYNC(arrivals);
    REAL total = own / 2;
    for (unsigned i = 0; i < gridDim.x; i++)
        total += parts[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}

KERNEL add(REAL *x, REAL term, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] += term;
}

KERNEL add_one_too_far(REAL *x, REAL term, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n)
        x[i] += term;
}

KERNEL double_from(const REAL *x, REAL *out, int first) { out[threadIdx.x] = 2 * x[first + threadIdx.x]; }

KERNEL reads_unwritten(REAL *out)
{
    __shared__ REAL held[32];
    if (threadIdx.x < 16)
        held[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = held[threadIdx.x];
}

KERNEL is_null(const void *x, int *out) { *out = x == nullptr; }

KERNEL place(int *out)
{
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

KERNEL arithmetic(REAL *out)
{
    const REAL x = REAL(0.1);
    out[0] = exp(x);
    out[1] = x * x - REAL(0.01);       // two roundings
    out[2] = fma(x, x, -REAL(0.01));   // one
    out[3] = fmax(-INFINITY, log(x));
}

template <class T> __global__ void twice(T *x) { x[threadIdx.x] *= 2; }
"""

WRONG = r"""
#define KERNEL extern "C" __global__ void
#define LANE threadIdx.x

KERNEL barrier_in_branch(float *out)
{
    if (threadIdx.x < 32)
        __syncthreads(); // @barrier_in_branch
}

KERNEL barrier_after_end(float *out)
{
    if (threadIdx.x == 0)
        return;
    __syncthreads(); // @barrier_after_end
}

KERNEL two_barriers(float *out)
{
    if (threadIdx.x < 32)
        __syncthreads(); // @other_barrier
    else
        __syncthreads(); // @two_barriers
}

KERNEL never_meet(float *out)
{
    if (threadIdx.x == 0)
        __syncthreads(); // @never_meet
    else
        __syncwarp(); // @met_not
}

KERNEL caller_not_in_mask(float *out)
{
    __syncwarp(0x2u); // @caller_not_in_mask
}

KERNEL lanes_that_are_not(float *out)
{
    *out = __any_sync(0xffffffffu, 1); // @lanes_that_are_not
}

KERNEL lane_has_ended(float *out)
{
    if (LANE == 0)
        return;
    __syncwarp(); // @lane_has_ended
}

KERNEL lane_ends(float *out)
{
    if (LANE != 1)
        __syncwarp(); // @lane_ends
}

KERNEL different_operations(float *out)
{
    if (LANE < 16)
        *out = __shfl_sync(0xffffffffu, 1.0f, 0); // @other_lanes
    else
        *out = __shfl_down_sync(0xffffffffu, 1.0f, 1); // @different_operations
}

KERNEL different_masks(float *out)
{
    __syncwarp(LANE == 0 ? 0x3u : 0xffffffffu); // @different_masks
}

KERNEL outside_the_mask(float *out)
{
    if (LANE < 16)
        *out = __shfl_down_sync(0xffffu, 1.0f, 8); // @outside_the_mask
}

KERNEL odd_width(float *out)
{
    *out = __shfl_sync(0xffffffffu, 1.0f, 0, 12); // @odd_width
}

KERNEL too_far(float *out)
{
    *out = __shfl_xor_sync(0xffffffffu, 1.0f, 32); // @too_far
}

KERNEL grid_sync_alone(float *out)
{
    SN_GRID_SYNC(nullptr); // @grid_sync_alone
}

KERNEL block_misses_grid_sync(float *out)
{
    if (blockIdx.x == 1)
        SN_GRID_SYNC(nullptr); // @block_misses_grid_sync
}

KERNEL thread_misses_grid_sync(float *out)
{
    if (threadIdx.x != 1)
        SN_GRID_SYNC(nullptr); // @thread_misses_grid_sync
}

KERNEL behind_shared(float *out)
{
    SN_DYNAMIC_SHARED(float, held);
    held[threadIdx.x] = 0;
}

struct Pair { int a, b; };
KERNEL takes_struct(Pair pair) {}
"""

# Kernel, its threads, the thread that is named, and what is said of it.
ERRORS = [
    ("barrier_in_branch", 64, 32, "the thread has ended, but others wait for it at this __syncthreads"),
    ("barrier_after_end", 64, 1, "__syncthreads after 1 threads of the block have ended"),
    ("two_barriers", 64, 32, "divergent __syncthreads: other threads wait at the one of line @other_barrier"),
    (
        "never_meet",
        32,
        0,
        "deadlock: waits at __syncthreads, and thread (1, 0, 0) at __syncwarp of line @met_not",
    ),
    ("caller_not_in_mask", 32, 0, "__syncwarp: the mask 0x00000002 does not name the calling lane 0"),
    ("lanes_that_are_not", 48, 32, "__any_sync: the mask 0xffffffff names lanes that do not exist"),
    ("lane_has_ended", 32, 1, "__syncwarp: the mask 0xffffffff names lanes that have ended: 0x00000001"),
    ("lane_ends", 32, 1, "the thread has ended, but lane 0 waits for it at this __syncwarp"),
    (
        "different_operations",
        32,
        31,
        "lanes meet at different warp operations: __shfl_down_sync, and __shfl_sync of line @other_lanes (lane 0)",
    ),
    ("different_masks", 32, 31, "__syncwarp: lane 31 has mask 0xffffffff, lane 0 has 0x00000003"),
    ("outside_the_mask", 32, 8, "__shfl_down_sync: lane 8 reads lane 16, which is outside the mask 0x0000ffff"),
    ("odd_width", 32, 0, "__shfl_sync: the width 12 is not a power of two up to 32"),
    ("too_far", 32, 0, "__shfl_xor_sync: no lane is 32 away"),
    ("grid_sync_alone", 32, 0, "grid sync outside a cooperative launch"),
]
GRID_ERRORS = [
    ("block_misses_grid_sync", 1, 0, "deadlock: waits at a grid sync, but 1 blocks have ended"),
    ("thread_misses_grid_sync", 0, 0, "divergent grid sync: thread (1, 0, 0) of the block has ended"),
]


def line_of(mark: str) -> int:
    return next(i for i, line in enumerate(WRONG.splitlines(), 1) if line.endswith(f"// @{mark}"))


def with_lines(text: str) -> str:
    return re.sub("@([a-z_]+)", lambda match: str(line_of(match[1])), text)


@pytest.fixture(autouse=True)
def fresh():
    emulator.launches.clear()
    with fake_cupy.install():
        yield


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="module")
def right(dtype):
    real = {"float32": "float", "float64": "double"}[dtype.name]
    options = (f"-DREAL={real}", "-fmad=false", "-std=c++17")
    names = ("twice<float>", "twice<unsigned>")
    return RawModule(RIGHT, options=options, name_expressions=names, enable_cooperative_groups=True)


@pytest.fixture(scope="module")
def wrong():
    return RawModule(WRONG)


def filled(shape, dtype):
    return fake_cupy.asarray(np.random.default_rng(0).random(shape).astype(dtype))


# ---- right kernels ---------------------------------------------------------------------------------------


@needs_compiler
@schedules
def test_reductions_are_right_in_every_order(right, dtype, order):
    x, out = filled((5, 300), dtype), fake_cupy.empty(5, dtype)
    with emulator.schedule(order, 7):
        right.get_function("sums")((5,), (128,), (x, out, np.int32(300)))
    np.testing.assert_allclose(out.get(), 3 * x.get().sum(axis=1), rtol=1e-5)
    assert emulator.launches == ["sums"]


@needs_compiler
@schedules
def test_shuffles_and_votes(right, order):
    out = fake_cupy.empty(196, np.int32)
    with emulator.schedule(order):
        right.get_function("shuffles")((1,), (32,), (out,))
    lane = np.arange(32)
    expected = [
        lane // 8 * 8 + 3,
        np.where(lane < 2, lane, lane - 2),
        np.where(lane % 8 < 6, lane + 2, lane),
        lane ^ 5,
        np.full(32, 0xF),
        np.full(32, 2),
        np.zeros(4),
    ]
    np.testing.assert_array_equal(out.get(), np.concatenate(expected))


@needs_compiler
@schedules
def test_dynamic_shared_memory_and_grid_sync(right, dtype, order):
    x, out = filled(100, dtype), fake_cupy.empty(100, dtype)
    arrivals, count = fake_cupy.zeros(1, np.uint32), fake_cupy.zeros(1, np.uint32)
    parts, totals = fake_cupy.empty(3, dtype), fake_cupy.empty(12, dtype)
    with emulator.schedule(order):
        right.get_function("reverse")((1,), (100,), (x, out, np.int32(100)), shared_mem=x.nbytes)
        right.get_function("gather")((3,), (4,), (arrivals, count, parts, totals))
    np.testing.assert_array_equal(out.get(), x.get()[::-1])
    np.testing.assert_array_equal(totals.get(), np.repeat([6.5, 7, 7.5], 4))
    assert int(count[0]) == 3


@needs_compiler
@schedules
def test_every_thread_of_every_block_runs_once(right, order):
    out = fake_cupy.empty(2 * 3 * 4 * 30, np.int32)
    with emulator.schedule(order):
        right.get_function("place")((2, 3, 4), (5, 3, 2), (out,))
    np.testing.assert_array_equal(out.get(), np.add.outer(1000 * np.arange(24), np.arange(30)).ravel())


@needs_compiler
def test_arithmetic_is_of_the_type_and_contracts_nothing(right, dtype):
    out = fake_cupy.empty(4, dtype)
    right.get_function("arithmetic")((1,), (1,), (out,))
    x, y = dtype.type(0.1), dtype.type(0.01)
    exact = np.longdouble(x) * np.longdouble(x) - np.longdouble(y)
    got = out.get()
    np.testing.assert_allclose(got[[0, 3]], [np.exp(x), np.log(x)], rtol=2 * np.finfo(dtype).eps)
    assert got[1] == x * x - y
    assert abs(got[2] - exact) <= abs(exact) * 1e-3


@needs_compiler
def test_names_of_templates(right):
    x = fake_cupy.ones(3, np.uint32)
    right.get_function("twice<unsigned>")((1,), (3,), (x,))
    assert x.tolist() == [2, 2, 2]
    with pytest.raises(AttributeError, match="there is no kernel 'thrice'"):
        right.get_function("thrice")


@needs_compiler
def test_portable_fibers():
    """What other processors than x86-64 use."""
    module = RawModule(RIGHT, options=("-DREAL=float", "-DEMULATOR_UCONTEXT"))
    x, out = filled((2, 64), np.float32), fake_cupy.empty(2, np.float32)
    module.get_function("sums")((2,), (64,), (x, out, np.int32(64)))
    np.testing.assert_allclose(out.get(), 3 * x.get().sum(axis=1), rtol=1e-5)


# ---- wrong kernels ---------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("name", "threads", "thread", "text"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors_name_kernel_block_thread_and_line(wrong, name, threads, thread, text):
    kernel, out = wrong.get_function(name), fake_cupy.empty(1, np.float32)
    with pytest.raises(EmulatorError) as caught:
        kernel((2,), (threads,), (out,))
    where = f"{name}, block (0, 0, 0), thread ({thread}, 0, 0), line {line_of(name)}: "
    assert str(caught.value).startswith(where + with_lines(text))
    for order in SCHEDULES[1:]:  # there another thread may be the first to see it
        with emulator.schedule(order, 3), pytest.raises(EmulatorError, match=rf"^{name}, block .*, line \d+: "):
            kernel((2,), (threads,), (out,))


@needs_compiler
@pytest.mark.parametrize(("name", "block", "thread", "text"), GRID_ERRORS, ids=[e[0] for e in GRID_ERRORS])
def test_errors_of_cooperative_launches(name, block, thread, text):
    module = RawModule(WRONG, enable_cooperative_groups=True)
    for order in SCHEDULES:
        with emulator.schedule(order), pytest.raises(EmulatorError) as caught:
            module.get_function(name)((2,), (8,), (fake_cupy.empty(1, np.float32),))
        where = f"{name}, block ({block}, 0, 0), thread ({thread}, 0, 0), line {line_of(name)}: "
        assert str(caught.value) == where + text


@needs_compiler
def test_writing_behind_dynamic_shared_memory(wrong):
    kernel, out = wrong.get_function("behind_shared"), fake_cupy.empty(1, np.float32)
    kernel((1,), (32,), (out,), shared_mem=128)
    with pytest.raises(EmulatorError, match="wrote behind the 124 bytes of dynamic shared memory"):
        kernel((1,), (32,), (out,), shared_mem=124)


@needs_compiler
@pytest.mark.parametrize("name", ["sums_no_first", "sums_no_second"])
def test_a_missing_barrier_shows_in_some_order(right, dtype, name):
    x = filled((4, 300), dtype)
    wrong_in = set()
    for order in SCHEDULES:
        out = fake_cupy.empty(4, dtype)
        with emulator.schedule(order, 1):
            right.get_function(name)((4,), (128,), (x, out, np.int32(300)))
        if not np.allclose(out.get(), 3 * x.get().sum(axis=1), rtol=1e-5):
            wrong_in.add(order)
    assert "warp ahead" in wrong_in


@needs_compiler
def test_shared_memory_that_nobody_wrote_is_nan(right, dtype):
    out = fake_cupy.empty(32, dtype)
    right.get_function("reads_unwritten")((2,), (32,), (out,))
    assert np.isnan(out.get()).tolist() == [False] * 16 + [True] * 16


@needs_compiler
def test_a_guard_that_is_off_by_one_shows_behind_the_array(right, dtype):
    for name, behind in (("add", 0), ("add_one_too_far", 1)):
        buffer = fake_cupy.zeros(50, dtype)
        right.get_function(name)((2,), (32,), (buffer[8:48], dtype.type(1), np.int32(40)))
        np.testing.assert_array_equal(buffer.get(), [0] * 8 + [1] * 40 + [behind, 0])


@needs_compiler
def test_every_array_lies_between_fences(right, dtype):
    stray, one = right.get_function("add_one_too_far"), dtype.type(1)
    for x in (
        fake_cupy.zeros(40, dtype),
        fake_cupy.asarray(np.zeros(40, dtype)),
        fake_cupy.zeros(40, dtype) * one,
    ):
        stray((2,), (32,), (x, one, np.int32(39)))
        with pytest.raises(EmulatorError, match="add_one_too_far: wrote outside the memory of an array"):
            stray((2,), (32,), (x, one, np.int32(40)))
    x, out = filled(40, dtype), fake_cupy.empty(40, dtype)
    right.get_function("double_from")((1,), (39,), (x, out, np.int32(1)))
    with pytest.raises(EmulatorError, match="double_from: read outside the memory of an array"):
        right.get_function("double_from")((1,), (40,), (x, out, np.int32(1)))


# ---- wrong calls -----------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("grid", "block", "shared_mem", "text"),
    [
        ((0,), (32,), 0, "illegal launch: grid (0,)"),
        ((1, 65536), (32,), 0, "illegal launch: grid (1, 65536)"),
        ((1, 1, 65536), (32,), 0, "illegal launch: grid (1, 1, 65536)"),
        ((1,), (1025,), 0, "illegal launch: block (1025,)"),
        ((1,), (1, 1, 65), 0, "illegal launch: block (1, 1, 65)"),
        ((1,), (64, 32), 0, "illegal launch: 2048 threads in a block"),
        ((1, 1, 1, 1), (32,), 0, "illegal launch: grid (1, 1, 1, 1)"),
        ((1,), (32,), 48 * 1024 + 1, "illegal launch: 49153 bytes of dynamic shared memory"),
    ],
)
def test_illegal_launches(right, dtype, grid, block, shared_mem, text):
    arguments = (fake_cupy.zeros(4, dtype), dtype.type(1), np.int32(4))
    with pytest.raises(EmulatorError, match=re.escape(f"add: {text}")):
        right.get_function("add")(grid, block, arguments, shared_mem=shared_mem)
    with pytest.raises(TypeError, match="must be a tuple"):
        right.get_function("add")([1], block, arguments)


@needs_compiler
def test_wrong_arguments(right, wrong, dtype):
    add, x, term, n = right.get_function("add"), fake_cupy.zeros((4, 4), dtype), dtype.type(1), np.int32(16)
    other = fake_cupy.zeros((4, 4), np.float16)
    for arguments, text in [
        ((x, term), "2 arguments for 3 parameters"),
        ((other, term, n), f"argument 0: float16 array for a pointer to {dtype}"),
        ((x.T, term, n), "argument 0: the array is not C-contiguous"),
        ((term, term, n), "argument 0: the parameter is a pointer, got float"),
        ((x, 1.0, n), f"argument 1: the parameter needs np.{dtype} by value, got float"),
        ((x, term, 16), "argument 2: the parameter needs np.int32 by value, got int"),
        ((x, term, np.int64(16)), "argument 2: the parameter needs np.int32 by value, got int64"),
        ((x, x.sum(), n), f"argument 1: the parameter needs np.{dtype} by value, got ndarray"),
    ]:
        with pytest.raises(EmulatorError, match=re.escape(f"add: {text}")):
            add((1,), (32,), arguments)
    with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy\.ndarray'>"):
        add((1,), (32,), (x.get(), term, n))
    with pytest.raises(EmulatorError, match="takes_struct: argument 0: a parameter of this type cannot be passed"):
        wrong.get_function("takes_struct")((1,), (1,), (n,))
    assert emulator.launches == []


@needs_compiler
def test_empty_arrays_are_null_pointers_and_none_is_refused(right):
    out = fake_cupy.empty(1, np.int32)
    with pytest.raises(EmulatorError, match="is_null: argument 0: some versions of CuPy pass None"):
        right.get_function("is_null")((1,), (1,), (None, out))
    for argument, expected in ((fake_cupy.empty((3, 0)), 1), (fake_cupy.empty(1, np.int8), 0)):
        right.get_function("is_null")((1,), (1,), (argument, out))
        assert int(out[0]) == expected


@needs_compiler
def test_modules_are_built_once(monkeypatch, wrong):
    monkeypatch.setattr(emulator, "_run", lambda *command: pytest.fail("compiled again"))
    assert RawModule(WRONG).numbers == wrong.numbers


@needs_compiler
@pytest.mark.parametrize(
    ("body", "text"), [("atomicAdd(x, 1.0f);", "no matching function"), ("*x = y;", r"kernels\.cu:2:")]
)
def test_what_does_not_compile(body, text):
    with pytest.raises(EmulatorError, match=text):
        RawModule(f'extern "C" __global__ void k(float *x)\n{{ {body} }}')


def test_options_are_nvrtc_s():
    with pytest.raises(EmulatorError, match="unknown options"):
        RawModule(WRONG, options=("-fmad=false", "--fast"))
    with pytest.raises(TypeError, match="options must be a tuple"):
        RawModule(WRONG, options=["-DREAL=float"])


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(emulator, "compiler", lambda: None)
    with pytest.raises(EmulatorError, match="the CUDA emulator"):
        RawModule(WRONG)


@needs_compiler
def test_undefined_behaviour_can_be_asked_for():
    """EMULATOR_SANITIZE builds with the compiler's checks; the process stops at the first error."""
    script = (
        "import numpy as np, fake_cupy\n"
        "from emulator import RawModule\n"
        "code = 'extern \"C\" __global__ void k(int *x, int i) { __shared__ int s[4]; s[i] = 1; *x = s[i]; }'\n"
        "RawModule(code).get_function('k')((1,), (1,), (fake_cupy.zeros(1, np.int32), np.int32(5)))\n"
    )
    settings = dict(EMULATOR_SANITIZE="1", PYTHONPATH=os.path.dirname(emulator.__file__))
    result = run(*PYTHON, "-c", script, check=False, **settings)
    if "cannot find" in result.stderr or "undefined symbol" in result.stderr:
        pytest.skip("the compiler has no sanitizer for shared libraries")
    assert result.returncode and "index 5 out of bounds" in result.stderr


# ---- the fake CuPy ----------------------------------------------------------------------------------------


def test_arrays_of_host_and_device_do_not_mix():
    import cupy as cp

    host = np.ones((2, 3))
    device = cp.asarray(host)
    for mix in (
        lambda: device + host,
        lambda: host + device,
        lambda: cp.maximum(device, host),
        lambda: np.add(host, 1, out=device),
        lambda: np.concatenate([device, host]),
        lambda: device * [1, 2, 3],
        lambda: device.__setitem__(0, host[0]),
    ):
        with pytest.raises(TypeError, match="Unsupported type"):
            mix()
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(device)
    with pytest.raises(IndexError, match="must lie on the device"):
        device[np.array([0])]
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cp.asarray(np.ones(3, np.longdouble))


def test_arrays_compute_as_numpy_s():
    import cupy as cp

    host = np.arange(6.0).reshape(2, 3)
    x = cp.asarray(host)
    np.testing.assert_array_equal((2 * x - np.float64(1)).get(), 2 * host - 1)
    np.testing.assert_array_equal(np.sqrt(x).get(), np.sqrt(host))
    np.testing.assert_array_equal(np.sum(x, axis=0).get(), host.sum(axis=0))
    np.testing.assert_array_equal(cp.dot(x, x.T).get(), host @ host.T)
    np.testing.assert_array_equal(x[cp.arange(2), cp.argmax(x, axis=1)].get(), [2, 5])
    assert isinstance(x.sum(), cp.ndarray) and x.sum().shape == () and float(x.sum()) == 15
    assert isinstance(x[0, 0], cp.ndarray) and x[0, 0].base is x
    assert x.T.base is x and x.base is None and (x + 1).base is None
    assert x.T.flags.f_contiguous and not x.T.flags.c_contiguous and not hasattr(x.flags, "writeable")
    assert cp.get_array_module(x) is cp and cp.get_array_module(host) is np
    assert cp.asarray(x) is x and cp.array(x) is not x
    assert pickle.loads(pickle.dumps(x)).tolist() == copy.deepcopy(x).tolist() == host.tolist()
    before = x
    x += 1
    assert x is before and x.tolist() == (host + 1).tolist()
    x[0] = 7
    x.set(x.get() * 2)
    assert x[0].tolist() == [14, 14, 14]


def test_new_arrays_are_poisoned():
    import cupy as cp

    assert np.isnan(cp.empty(3).get()).all() and np.isnan(cp.empty_like(cp.zeros((2, 2)).T).get()).all()
    assert cp.empty(2, np.int32).tolist() == [2**31 - 1] * 2


@needs_compiler
def test_capture_records_and_replays(right, dtype):
    import cupy as cp

    add, one, n = right.get_function("add"), dtype.type(1), np.int32(8)
    x, y = cp.zeros(8, dtype), cp.zeros(8, dtype)
    with cp.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        add((1,), (32,), (x, one, n))
        y[...] = x.reshape(2, 4).reshape(8)
        np.add(y, y, out=y)
        graph = stream.end_capture()
    assert x.tolist() == y.tolist() == [0] * 8 and emulator.launches == []
    graph.upload()
    graph.launch()
    graph.launch()
    assert x.tolist() == [2] * 8 and y.tolist() == [4] * 8 and emulator.launches == ["add"] * 2


@needs_compiler
def test_a_graph_does_not_keep_its_arrays(right, dtype):
    x, stream = fake_cupy.zeros(8, dtype), fake_cupy.cuda.Stream()
    with stream:
        stream.begin_capture()
        right.get_function("add")((1,), (32,), (x, dtype.type(1), np.int32(8)))
        graph = stream.end_capture()
    del x
    with pytest.raises(EmulatorError, match="add: an array of the recorded launch has been freed"):
        graph.launch()


@needs_compiler
def test_what_a_capture_refuses(right, dtype):
    import cupy as cp

    x, arguments = cp.zeros((2, 2), dtype), (cp.zeros(4, dtype), dtype.type(1), np.int32(4))
    stream = cp.cuda.Stream(non_blocking=True)
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="null stream"):
        cp.cuda.Stream.null.begin_capture()
    with stream:
        stream.begin_capture()
        cp.empty(3)
        for synchronous in (
            x.get,
            lambda: cp.asnumpy(x),
            lambda: float(x[0, 0]),
            lambda: x[0, 0].item(),
            lambda: cp.asarray(np.ones(3)),
            lambda: x.set(np.zeros((2, 2), dtype)),
            stream.synchronize,
            cp.cuda.Device().synchronize,
        ):
            with pytest.raises(RuntimeError, match="synchronous API calls are disallowed"):
                synchronous()
        for refused in (lambda: cp.dot(x, x), lambda: x @ x, lambda: cp.random.permutation(3), lambda: x + 1):
            with pytest.raises(NotImplementedError):
                refused()
        with cp.cuda.Stream.null, pytest.raises(RuntimeError, match="another stream"):
            right.get_function("add")((1,), (32,), arguments)
        with pytest.raises(RuntimeError, match="another stream"):
            right.get_function("add")((1,), (32,), arguments, stream=cp.cuda.Stream())
        assert stream.is_capturing()
        stream.end_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="does not capture"):
        stream.end_capture()


def test_the_device_can_be_missing():
    import cupy as cp

    assert cp.is_available() and cp.cuda.runtime.getDeviceCount() == 1
    assert cp.cuda.Device().compute_capability == "90"
    assert cp.cuda.runtime.getDeviceProperties(0)["name"] == b"emulated"
    cp.available = False
    assert not cp.cuda.is_available()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        cp.cuda.runtime.getDeviceCount()
