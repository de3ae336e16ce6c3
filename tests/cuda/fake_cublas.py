"""A fake cuBLAS over host memory: the functions that scratchnet calls through ctypes, as strict as they are."""

from __future__ import annotations

import ctypes
from typing import Any

import fake_cupy
import numpy as np

SUCCESS, NOT_INITIALIZED, INVALID_VALUE = 0, 1, 7


class Library:
    """What ctypes.CDLL gives; `calls` has the names of the products that have run."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._handles: dict[int, dict[str, Any]] = {}

    def cublasCreate_v2(self, handle: Any) -> int:
        number = len(self._handles) + 1
        handle._obj.value = number
        self._handles[number] = {}
        return SUCCESS

    def cublasDestroy_v2(self, handle: ctypes.c_void_p) -> int:
        return SUCCESS if self._handles.pop(handle.value, None) is not None else NOT_INITIALIZED

    def cublasSetStream_v2(self, handle: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:
        if handle.value not in self._handles:
            return NOT_INITIALIZED
        self._handles[handle.value] = {"stream": stream.value or 0}  # the workspace is forgotten
        return SUCCESS

    def cublasSetWorkspace_v2(self, handle: ctypes.c_void_p, memory: ctypes.c_void_p, size: Any) -> int:
        if memory.value is None or size.value == 0 or memory.value % 8:
            return INVALID_VALUE
        self._handles[handle.value]["workspace"] = memory.value
        return SUCCESS

    def cublasSgemm_v2(self, *arguments: Any) -> int:
        return self._gemm("cublasSgemm_v2", ctypes.c_float, *arguments)

    def cublasDgemm_v2(self, *arguments: Any) -> int:
        return self._gemm("cublasDgemm_v2", ctypes.c_double, *arguments)

    def _gemm(self, name, number, handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) -> int:
        """C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C, all column by column."""
        state = self._handles.get(handle.value)
        if state is None:
            return NOT_INITIALIZED
        if state["stream"] != fake_cupy.current.ptr:
            raise RuntimeError("cuBLAS works on another stream than the current one")
        if fake_cupy.capturing is not None and "workspace" not in state:
            raise RuntimeError("a product without a workspace of its own is captured")
        shapes = ((k, m) if op_a else (m, k)), ((n, k) if op_b else (k, n)), (m, n)
        matrices = []
        for (rows, columns), pointer, ld in zip(shapes, (a, b, c), (lda, ldb, ldc), strict=True):
            if ld < max(1, rows) or not isinstance(pointer, ctypes.c_void_p):
                return INVALID_VALUE
            whole = (number * (ld * columns)).from_address(pointer.value or 0)
            matrices.append(np.ctypeslib.as_array(whole).reshape(columns, ld)[:, :rows].T)
        left, right, out = matrices
        one, kept = alpha._obj.value, beta._obj.value

        def work() -> None:
            self.calls.append(name)
            product = (left.T if op_a else left) @ (right.T if op_b else right)
            out[...] = one * product + (kept * out if kept else 0)

        fake_cupy._enqueue(work)
        return SUCCESS
