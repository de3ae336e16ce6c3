"""Products by cuBLAS through a handle of our own: a captured graph may hold them, which CuPy's refuses.

The library is the one that CuPy uses, found by NVIDIA's cuda-pathfinder, which CuPy installs. cuBLAS reads
matrices column by column: row by row, out = a b is its out' = b' a'.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from functools import cache
from typing import Any

import numpy as np

Array = Any  # cupy.ndarray

WORKSPACE = 32 << 20  # bytes; what NVIDIA advises for its largest processors
NORMAL, TRANSPOSED = 0, 1
LONGEST = 2**31 - 1  # rows and columns are C's int
NUMBERS = {"f": ("cublasSgemm_v2", ctypes.c_float), "d": ("cublasDgemm_v2", ctypes.c_double)}


@cache
def load() -> Any | None:
    """Return cuBLAS as a library of ctypes, or None if it is not found: kernels of cuda.cu do its work then."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        path = load_nvidia_dynamic_lib("cublas").abs_path
        return None if path is None else ctypes.CDLL(path)
    except Exception:  # whatever is missing, there is another way
        return None


class Handle:
    """cuBLAS on the current device.

    Parameters
    ----------
    cupy
        The module.
    workspace
        Bytes of its own. Products that are captured in a graph need it, which nothing else may use while the
        graph runs; 0 leaves it to cuBLAS.
    """

    def __init__(self, cupy: Any, workspace: int = 0) -> None:
        found: Any = load()
        self._cupy, self._library = cupy, found
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._workspace = cupy.empty(workspace, np.uint8) if workspace else None
        weakref.finalize(self, found.cublasDestroy_v2, self._handle).atexit = False

    def matmul(self, a: Array, b: Array, out: Array, *, adds: bool = False) -> None:
        """Compute out[N,M] = a[N,K] b[K,M], or add it to out, on the current stream.

        a and b are C-contiguous or transposed views of arrays that are; all are of one float dtype.
        """
        (N, M), K = out.shape, a.shape[1]
        name, number = NUMBERS[out.dtype.char]
        self._call("cublasSetStream_v2", self._handle, _address(self._cupy.cuda.get_current_stream().ptr))
        if self._workspace is not None:
            size = ctypes.c_size_t(self._workspace.nbytes)
            self._call("cublasSetWorkspace_v2", self._handle, _address(self._workspace.data.ptr), size)
        one, kept = number(1), number(adds)
        self._call(
            name,
            self._handle,
            *(_operation(b), _operation(a)),
            *(M, N, K),
            ctypes.byref(one),
            *_matrix(b),
            *_matrix(a),
            ctypes.byref(kept),
            *_matrix(out),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"cuBLAS: {name} failed with status {status}")


def _address(pointer: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(pointer)


def _operation(matrix: Array) -> int:
    return NORMAL if matrix.flags.c_contiguous else TRANSPOSED


def _matrix(matrix: Array) -> tuple[ctypes.c_void_p, int]:
    """Return a matrix's address, and how far its rows, or its columns if it is a transposed view, lie apart."""
    return _address(matrix.data.ptr), max(matrix.shape[1 if matrix.flags.c_contiguous else 0], 1)


_of_thread = threading.local()
_idle: dict[int, list[Handle]] = {}  # with a workspace, by device


def handle(cupy: Any) -> Handle:
    """Return this thread's handle on the current device."""
    device = cupy.cuda.runtime.getDevice()
    handles: dict[int, Handle] = _of_thread.__dict__.setdefault("handles", {})
    if device not in handles:
        handles[device] = Handle(cupy)
    return handles[device]


def borrow(cupy: Any, owner: object) -> Handle:
    """Return a handle with a workspace, on the current device, that is the owner's alone while the owner lives."""
    idle = _idle.setdefault(cupy.cuda.runtime.getDevice(), [])
    try:
        lent = idle.pop()
    except IndexError:  # making one takes milliseconds
        lent = Handle(cupy, WORKSPACE)
    weakref.finalize(owner, idle.append, lent).atexit = False
    return lent
