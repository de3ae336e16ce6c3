"""The kernels on a GPU: CuPy arrays in, kernels of cuda.cu, or cuBLAS, launched on the current stream.

Every function has the arguments, the order and the errors that `contract.py` declares; `reference.py` defines what
it computes. Nothing here waits for the GPU: functions that return a number return it as a 0-d CuPy array of
float64. For the same reason labels and row indices are not read back to check their range: check them once, where
they are uploaded. (cuda.cu says what a kernel does with an invalid one; it never accesses memory out of bounds.)

CuPy is imported, and cuda.cu compiled (with cuda_steps.cu behind it), on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature
from typing import Any, ParamSpec, TypeVar

import numpy as np

from . import cublas
from .contract import KERNELS, HostMemory, Kernel, check_arguments, checked
from .gpu import NoGPUError, load_cupy

Array = Any  # cupy.ndarray: CuPy may not be installed
P = ParamSpec("P")
R = TypeVar("R")

# As in cuda.cu
THREADS = 256
WARP = 32
ACTIVATIONS = {None: 0, "sigmoid": 1, "relu": 2, "tanh": 3}
ROW_PART = 128
OPTIMIZERS = {name: code for code, name in enumerate(k for k in KERNELS if k.endswith("_update"))}

# Choices among ways to the same result. Only cuBLAS's have been measured, on an H200.
MOST_BLOCKS = 2048  # of loops over elements: about two for each block slot of a large GPU
LARGE_TILES = 64  # from this many 64 x 64 tiles on, an output is computed in those, below in 32 x 32
WARP_CLASSES = 128  # up to this length a warp processes a row, beyond it a block
FILTER_BLOCKS = 256  # about this many sum the gradient of the filters, some images each
CUBLAS_OPERATIONS = 4e6  # a product of more operations (2 N D M) is cuBLAS's,
CUBLAS_TERMS = 64  # and one whose sums have more terms;
CUBLAS_LAUNCHES = 4  # of a backward pass, which is one of ours: so many times the operations, twice the terms

# The GPU


def is_available() -> bool:
    """Whether a usable GPU is available."""
    try:
        load_cupy()
    except NoGPUError:
        return False
    return True


def describe() -> dict[str, str]:
    """Return the GPU's name and the versions in use, or {"unavailable": the reason}."""
    try:
        cupy = load_cupy()
        runtime = cupy.cuda.runtime
        name = runtime.getDeviceProperties(runtime.getDevice())["name"]
        return {
            "device": name.decode() if isinstance(name, bytes) else str(name),
            "compute capability": str(cupy.cuda.Device().compute_capability),
            "cupy": str(cupy.__version__),
            "CUDA runtime": _version(runtime.runtimeGetVersion()),
            "CUDA driver": _version(runtime.driverGetVersion()),
        }
    except Exception as error:  # a broken driver may raise anything, and that is when this is called
        return {"unavailable": str(error)}


def _version(number: int) -> str:
    """Return 12090 as "12.9"."""
    return f"{number // 1000}.{number % 1000 // 10}"


# Compiled kernels


@cache
def _source() -> str:
    from importlib.resources import files  # not at import: it is slow to load

    return "\n".join(files(__package__).joinpath(name).read_text("utf-8") for name in ("cuda.cu", "cuda_steps.cu"))


def compiler_options(real: str) -> tuple[str, ...]:
    """Return NVRTC's options for numbers of C's type `real`: "float" or "double"."""
    return "-std=c++17", f"-DREAL={real}", "-fmad=false"


@cache
def module(dtype: np.dtype[Any], device: int) -> Any:
    """Return cuda.cu as CuPy's module, compiled for a dtype, float32 or float64, and the current device."""
    real = {"f": "float", "d": "double"}[dtype.char]
    return load_cupy().RawModule(code=_source(), options=compiler_options(real))


@cache
def _function(name: str, dtype: np.dtype[Any], device: int) -> Any:
    return module(dtype, device).get_function(name)


def launch(name: str, dtype: np.dtype[Any], blocks: int, *arguments: Any) -> None:
    """Launch a kernel of cuda.cu on the current stream; do nothing if there are no blocks.

    Python's integers and floats become the `long long` and `double` that every kernel takes, None becomes the
    NULL pointer to numbers of the dtype.
    """
    if blocks == 0:
        return
    device = load_cupy().cuda.runtime.getDevice()
    values = [null(dtype, device) if a is None else _as_argument(a) for a in arguments]
    _function(name, dtype, device)((blocks,), (THREADS,), tuple(values))


def _as_argument(value: Any) -> Any:
    if type(value) is int:
        return np.int64(value)
    return np.float64(value) if type(value) is float else value


@cache
def null(dtype: Any, device: int) -> Array:
    """Return what a kernel receives as NULL: an empty array.

    For None itself some versions of CuPy pass an arbitrary pointer: https://github.com/cupy/cupy/issues/9046.
    """
    with load_cupy().cuda.Device(device):
        return load_cupy().empty(0, dtype)


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def element_blocks(n: int) -> int:
    """Return the blocks of a loop over n elements."""
    return min(ceil_div(n, THREADS), MOST_BLOCKS)


def tile_of(*outputs: tuple[int, int], images: int = 1) -> tuple[int, int]:
    """Return the tile's side and the number of tiles for a launch that computes outputs of these shapes."""
    for side in (64, 32):
        tiles = images * sum(ceil_div(rows, side) * ceil_div(columns, side) for rows, columns in outputs)
        if tiles >= LARGE_TILES:
            break
    return side, tiles


# Checks


class _DeviceMemory(HostMemory):
    """CuPy's arrays as the checks see them."""

    checks_labels = False  # that would wait for the GPU

    def refusal(self, value: Any) -> str | None:
        """Reason to reject `value` as a CuPy array, or None."""
        if isinstance(value, load_cupy().ndarray):
            return None
        return (
            f"must be a CuPy array, got {'NumPy array' if isinstance(value, np.ndarray) else type(value).__name__}"
        )

    def plain(self, array: Any) -> Any:
        """CuPy's arrays are always plain."""
        return array

    def fault(self, array: Any) -> str | None:
        """Reason why a kernel cannot take an array in place, or None."""
        device = load_cupy().cuda.runtime.getDevice()
        if array.device.id != device:
            return f"is on device {array.device.id}, expected the current one, {device}"
        return None if array.flags.c_contiguous else "must be C-contiguous"

    def is_writeable(self, array: Any) -> bool:
        """All of CuPy's arrays are."""
        return True

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether two contiguous arrays share memory."""
        apart = a.data.ptr >= b.data.ptr + b.nbytes or b.data.ptr >= a.data.ptr + a.nbytes
        return bool(a.size > 0 and b.size > 0 and not apart)

    def is_same(self, a: Any, b: Any) -> bool:
        """Whether two contiguous arrays of one shape begin at one address."""
        return bool(a.data.ptr == b.data.ptr)


_DEVICE = _DeviceMemory()


def check_call(name: str, *values: Any) -> None:
    """Check a kernel's arguments, as `check_arguments` does for the host's."""
    check_arguments(KERNELS[name], values, compiled=True, memory=_DEVICE)


def _kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Check a call against the contract before the launch."""
    return checked(function, compiled=True, memory=_DEVICE)


# Products and sums over rows


def _is_cublas_s(operations: float, terms: int, longest: int) -> bool:
    """Whether products of so many operations, sums of so many terms, and such sizes are cuBLAS's work."""
    is_large = operations > CUBLAS_OPERATIONS or terms > CUBLAS_TERMS
    return is_large and operations != 0 and longest <= cublas.LONGEST and cublas.load() is not None


@_kernel
def affine_forward(x: Array, W: Array, b: Array | None, out: Array) -> None:
    launch_affine_forward(x, W, b, out, None)


def launch_affine_forward(
    x: Array, W: Array, b: Array | None, out: Array, activation: str | None, captured: cublas.Handle | None = None
) -> None:
    """Launch out = activation(x W + b); in a graph that is captured with its own handle of cuBLAS."""
    (N, D), M = x.shape, W.shape[1]
    if not _is_cublas_s(2 * N * D * M, D, max(N, D, M)):
        side, tiles = tile_of((N, M))
        launch(f"affine_forward_{side}", x.dtype, tiles, x, W, b, out, N, D, M, ACTIVATIONS[activation])
        return
    (captured or cublas.handle(load_cupy())).matmul(x, W, out)
    if b is not None or activation is not None:
        launch("add_bias_and_activate", x.dtype, element_blocks(N * M), out, b, N * M, M, ACTIVATIONS[activation])


@_kernel
def affine_backward(dout: Array, x: Array, W: Array, dx: Array | None, dW: Array, db: Array | None) -> None:
    launch_affine_backward(dout, x, W, dx, dW, db, None)


def launch_affine_backward(
    dout: Array,
    x: Array,
    W: Array,
    dx: Array | None,
    dW: Array,
    db: Array | None,
    activation: str | None,
    captured: cublas.Handle | None = None,
) -> None:
    """Launch dx = dout W', or the gradient before the activation whose output x is; dW = x' dout; db."""
    (N, D), M = x.shape, W.shape[1]
    if not _is_cublas_s(2 * N * D * M / CUBLAS_LAUNCHES, max(N, M) // 2, max(N, D, M)):
        side, tiles = tile_of((0 if dx is None else N, D), (D + (db is not None), M))
        sizes = N, D, M, ACTIVATIONS[activation]
        launch(f"affine_backward_{side}", x.dtype, tiles, dout, x, W, dx, dW, db, *sizes)
        return
    blas = captured or cublas.handle(load_cupy())
    blas.matmul(x.T, dout, dW)
    if db is not None:
        _sum_rows(dout, db)
    if dx is not None:
        blas.matmul(dout, W.T, dx)
        if activation is not None:
            _activate_back(activation, dx, x, dx)


@_kernel
def matmul_accumulate(x: Array, W: Array, out: Array) -> None:
    (N, D), M = x.shape, W.shape[1]
    if _is_cublas_s(2 * N * D * M, D, max(N, D, M)):
        cublas.handle(load_cupy()).matmul(x, W, out, adds=True)
        return
    side, tiles = tile_of((N, M))
    launch(f"matmul_{side}", W.dtype, tiles, x, W, M, 1, out, N, D, M, 1)


@_kernel
def matmul_transposed(dout: Array, W: Array, dx: Array) -> None:
    (N, M), D = dout.shape, len(W)
    if _is_cublas_s(2 * N * D * M, M, max(N, D, M)):
        cublas.handle(load_cupy()).matmul(dout, W.T, dx)
        return
    side, tiles = tile_of((N, D))
    launch(f"matmul_{side}", W.dtype, tiles, dout, W, 1, M, dx, N, M, D, 0)


@_kernel
def sum_rows(x: Array, out: Array) -> None:
    _sum_rows(x, out)


def _sum_rows(x: Array, out: Array) -> None:
    N, D = x.shape
    launch("sum_rows", x.dtype, ceil_div(D, WARP), x, out, N, D)


@_kernel
def scatter_add_rows(dout: Array, index: Array, out: Array) -> None:
    (B, D), N = dout.shape, len(out)
    blocks = ceil_div(N * ceil_div(D, ROW_PART), THREADS // WARP)
    launch("scatter_add_rows", out.dtype, blocks, dout, index, out, N, B, D)


# Activations


def _activate(activation: str, x: Array, out: Array) -> None:
    launch("activation_forward", x.dtype, element_blocks(x.size), x, out, x.size, ACTIVATIONS[activation])


def _activate_back(activation: str, dout: Array, y: Array, dx: Array) -> None:
    launch("activation_backward", y.dtype, element_blocks(y.size), dout, y, dx, y.size, ACTIVATIONS[activation])


@_kernel
def sigmoid_forward(x: Array, out: Array) -> None:
    _activate("sigmoid", x, out)


@_kernel
def sigmoid_backward(dout: Array, y: Array, dx: Array) -> None:
    _activate_back("sigmoid", dout, y, dx)


@_kernel
def relu_forward(x: Array, out: Array) -> None:
    _activate("relu", x, out)


@_kernel
def relu_backward(dout: Array, y: Array, dx: Array) -> None:
    _activate_back("relu", dout, y, dx)


@_kernel
def tanh_forward(x: Array, out: Array) -> None:
    _activate("tanh", x, out)


@_kernel
def tanh_backward(dout: Array, y: Array, dx: Array) -> None:
    _activate_back("tanh", dout, y, dx)


def row_kernel(name: str, N: int, C: int) -> tuple[str, int]:
    """Return the name and the blocks of a kernel over rows of C numbers."""
    if C == 0:
        return name, 0
    return (f"{name}_warp", ceil_div(N, THREADS // WARP)) if C <= WARP_CLASSES else (f"{name}_block", N)


@_kernel
def softmax_forward(x: Array, y: Array) -> None:
    _softmax(x, null(np.int64, x.device.id), 0.0, 0.0, y, null(np.float64, x.device.id))


def _softmax(x: Array, t: Array, delta: float, clip: float, y: Array, terms: Array) -> None:
    """Launch y = softmax(x), and terms = each row's loss, -log(p + delta) of its clipped y_t, unless t is NULL."""
    N, C = x.shape
    name, blocks = row_kernel("softmax_forward", N, C)
    launch(name, x.dtype, blocks, x, t, float(delta), float(clip), y, terms, N, C)


@_kernel
def softmax_backward(dout: Array, y: Array, dx: Array) -> None:
    N, C = y.shape
    name, blocks = row_kernel("softmax_backward", N, C)
    launch(name, y.dtype, blocks, dout, y, dx, N, C)


# Losses


def _sum_of(terms: Array, dtype: np.dtype[Any], divisor: int) -> Array:
    """Return the sum of terms / divisor, a 0-d array."""
    total = load_cupy().empty((), np.float64)
    launch("sum_terms", dtype, 1, terms, terms.size, float(divisor), total)
    return total


def _mean_of(terms: Array, dtype: np.dtype[Any]) -> Array:
    return _sum_of(terms, dtype, max(terms.size, 1))


@_kernel
def cross_entropy_forward(y: Array, t: Array, delta: float, clip: float) -> Array:
    N, C = y.shape
    terms = load_cupy().empty(N, np.float64)
    launch("cross_entropy_terms", y.dtype, element_blocks(N), y, t, float(delta), float(clip), terms, N, C)
    return _mean_of(terms, y.dtype)


@_kernel
def softmax_cross_entropy_forward(x: Array, t: Array, delta: float, clip: float, y: Array) -> Array:
    terms = load_cupy().full(len(t), np.nan)  # the result if there are no classes
    _softmax(x, t, delta, clip, y, terms)
    return _mean_of(terms, x.dtype)


@_kernel
def sigmoid_cross_entropy_forward(x: Array, t: Array, delta: float, clip: float, y: Array) -> Array:
    terms = load_cupy().empty(x.size, np.float64)
    numbers = float(delta), float(clip)
    launch("sigmoid_cross_entropy_forward", x.dtype, element_blocks(x.size), x, t, *numbers, y, terms, x.size)
    return _mean_of(terms, x.dtype)


@_kernel
def squared_error_forward(y: Array, t: Array) -> Array:
    blocks = element_blocks(y.size)
    parts = load_cupy().empty(blocks, np.float64)
    launch("squared_error_parts", y.dtype, blocks, y, t, parts, y.size)
    return _sum_of(parts, y.dtype, 2 * max(len(y), 1))


def _weighted_mean(terms: Array, w: Array, divisor: int) -> Array:
    """Return the mean by weights [N] of the rows' sums of terms [N,C], divided by the divisor."""
    mean = load_cupy().empty((), np.float64)
    launch("weighted_sum_of_terms", w.dtype, 1, terms, w, float(divisor), mean, *terms.shape)
    return mean


@_kernel
def weighted_cross_entropy_forward(y: Array, t: Array, w: Array, delta: float, clip: float) -> Array:
    N, C = y.shape
    terms = load_cupy().empty((N, 1), np.float64)
    launch("cross_entropy_terms", y.dtype, element_blocks(N), y, t, float(delta), float(clip), terms, N, C)
    return _weighted_mean(terms, w, 1)


@_kernel
def weighted_binary_cross_entropy_forward(y: Array, t: Array, w: Array, delta: float, clip: float) -> Array:
    terms = load_cupy().empty(y.shape, np.float64)
    numbers = float(delta), float(clip)
    launch("binary_cross_entropy_terms", y.dtype, element_blocks(y.size), y, t, *numbers, terms, y.size)
    return _weighted_mean(terms, w, max(y.shape[1], 1))


@_kernel
def weighted_squared_error_forward(y: Array, t: Array, w: Array) -> Array:
    terms = load_cupy().empty(y.shape, np.float64)
    launch("squared_error_terms", y.dtype, element_blocks(y.size), y, t, terms, y.size)
    return _weighted_mean(terms, w, 2)


# Images


def _windows(planes: Array, of_windows: tuple[int, ...], stride: int, pad: int) -> tuple[int, ...]:
    """Return the arguments of im2col and col2im for images [N,C,H,W] and windows [N,C,P,Q,Y,X]."""
    N, C, H, W = planes.shape
    return N * C, H, W, *of_windows[2:], stride, pad


@_kernel
def im2col(x: Array, stride: int, pad: int, col: Array) -> None:
    launch("im2col", x.dtype, element_blocks(col.size), x, col, *_windows(x, col.shape, stride, pad))


@_kernel
def col2im(col: Array, stride: int, pad: int, dx: Array) -> None:
    launch("col2im", dx.dtype, element_blocks(dx.size), col, dx, *_windows(dx, col.shape, stride, pad))


@_kernel
def convolution_forward(col: Array, W: Array, b: Array, out: Array) -> None:
    (N, K, L), M = col.shape, len(W)
    side, tiles = tile_of((M, L), images=N)
    launch(f"convolve_{side}", W.dtype, tiles, W, K, 1, col, b, out, M, K, L)


@_kernel
def convolution_backward(dout: Array, col: Array, W: Array, dcol: Array, dW: Array, db: Array) -> None:
    (N, K, L), M = col.shape, len(W)
    side, tiles = tile_of((K, L), images=N)
    launch(f"convolve_{side}", W.dtype, tiles, W, 1, K, dout, None, dcol, K, M, L)
    of_part = ceil_div(K + 1, 32) * ceil_div(M, 32)
    if N == 0 or M == 0:
        return
    each = ceil_div(N, min(N, max(1, FILTER_BLOCKS // of_part)))
    count = ceil_div(N, each)
    parts = load_cupy().empty((count, K + 1, M), W.dtype)
    launch("filter_gradient_parts", W.dtype, count * of_part, dout, col, parts, N, M, K, L, each)
    launch("add_filter_gradient_parts", W.dtype, element_blocks((K + 1) * M), parts, dW, db, count, M, K)


@_kernel
def max_pool_forward(x: Array, P: int, Q: int, stride: int, out: Array, argmax: Array) -> None:
    (N, C, H, W), (Y, X) = x.shape, out.shape[2:]
    sizes = N * C, H, W, P, Q, Y, X, stride
    launch("max_pool_forward", x.dtype, element_blocks(out.size), x, out, argmax, *sizes)


@_kernel
def max_pool_backward(dout: Array, argmax: Array, dx: Array) -> None:
    (N, C, H, W), (Y, X) = dx.shape, dout.shape[2:]
    launch("max_pool_backward", dx.dtype, ceil_div(N * C, THREADS // WARP), dout, argmax, dx, N * C, Y * X, H * W)


# Batch normalization


@_kernel
def batch_normalization_forward(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    mean: Array,
    var: Array,
    std: Array,
    xhat: Array,
    out: Array,
) -> None:
    N, D = x.shape
    arrays = x, gamma, beta, float(eps), mean, var, std, xhat, out
    launch("batch_normalization_forward", x.dtype, ceil_div(D, WARP), *arrays, N, D)


@_kernel
def batch_normalization_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, out: Array
) -> None:
    N, D = x.shape
    across = ceil_div(D, WARP)
    shares = min(ceil_div(N, THREADS // WARP), max(1, MOST_BLOCKS // max(across, 1)))
    arrays = x, gamma, beta, mean, var, float(eps), out
    launch("batch_normalization_inference", x.dtype, across * shares, *arrays, N, D)


@_kernel
def batch_normalization_backward(
    dout: Array, xhat: Array, gamma: Array, std: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    N, D = dout.shape
    arrays = dout, xhat, gamma, std, dx, dgamma, dbeta
    launch("batch_normalization_backward", dx.dtype, ceil_div(D, WARP), *arrays, N, D)


# Optimizers


def _update(kernel: str, p: Array, g: Array, states: tuple[Array, ...], *numbers: float) -> None:
    first, second = (*states, None, None)[:2]
    four = (*map(float, numbers), 0.0, 0.0, 0.0)[:4]
    launch("update", p.dtype, element_blocks(p.size), p, g, first, second, p.size, OPTIMIZERS[kernel], *four)


@_kernel
def sgd_update(p: Array, g: Array, lr: float) -> None:
    _update("sgd_update", p, g, (), lr)


@_kernel
def momentum_update(p: Array, g: Array, v: Array, lr: float, momentum: float) -> None:
    _update("momentum_update", p, g, (v,), lr, momentum)


@_kernel
def nesterov_update(p: Array, g: Array, v: Array, lr: float, momentum: float) -> None:
    _update("nesterov_update", p, g, (v,), lr, momentum)


@_kernel
def adagrad_update(p: Array, g: Array, h: Array, lr: float) -> None:
    _update("adagrad_update", p, g, (h,), lr)


@_kernel
def rmsprop_update(p: Array, g: Array, h: Array, lr: float, decay_rate: float) -> None:
    _update("rmsprop_update", p, g, (h,), lr, decay_rate)


@_kernel
def adam_update(
    p: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, epsilon: float
) -> None:
    _update("adam_update", p, g, (m, v), lr, beta1, beta2, epsilon)


@_kernel
def squared_norm(g: Array) -> Array:
    blocks = element_blocks(g.size)
    parts = load_cupy().empty(blocks, np.float64)
    launch("squared_norm_parts", g.dtype, blocks, g, parts, g.size)
    return _sum_of(parts, g.dtype, 1)


# All other kernels: a loop over the elements of what they write


def _elementwise(kernel: Kernel) -> Callable[..., None]:
    """Return the launcher of a kernel of cuda.cu that has the contract's name, arguments and, behind them, sizes.

    Its threads go through as many elements as its smallest output has.
    """
    signature = Signature([Parameter(a.name, Parameter.POSITIONAL_OR_KEYWORD) for a in kernel.arguments])

    def launcher(*given: Any, **named: Any) -> None:
        arguments = signature.bind(*given, **named).args
        sizes: dict[str, int] = {}
        outputs: list[int] = []
        real = next(v.dtype for a, v in zip(kernel.arguments, arguments, strict=True) if a.kind == "real")
        for argument, value in zip(kernel.arguments, arguments, strict=True):
            if argument.is_array:
                shape = (value.size,) if argument.shape == ("...",) else value.shape
                letters = ("n",) if argument.shape == ("...",) else argument.shape
                sizes |= {letter: n for letter, n in zip(letters, shape, strict=True) if letter.isalpha()}
                outputs += [value.size] * argument.is_written
        values = [v if a.is_array else float(v) for a, v in zip(kernel.arguments, arguments, strict=True)]
        launch(kernel.name, real, element_blocks(min(outputs)), *values, *(sizes[k] for k in kernel.letters))

    launcher.__name__ = kernel.name
    launcher.__signature__ = signature  # type: ignore[attr-defined]
    return _kernel(launcher)


for _declared in KERNELS.values():
    if _declared.name not in globals():
        globals()[_declared.name] = _elementwise(_declared)
