"""Calls of the GPU's kernels on host arrays: what the tests of all backends need to run on a GPU too.

The memory behind the arrays goes to the device as a whole, and comes back as a whole: so overlaps, views and
what lies around an array are there as they are here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import wraps
from typing import Any

import emulator
import fake_cupy
import numpy as np
import pytest

from scratchnet.backends import cublas, cuda, gpu

CACHED = [gpu.load_cupy, cuda._source, cuda.module, cuda._function, cuda.null]


@contextlib.contextmanager
def blas(library: Any) -> Iterator[Any]:
    """cuBLAS is this library, or none; handles are made anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cublas, "load", lambda: library)
        patch.setattr(cublas, "_of_thread", threading.local())
        patch.setattr(cublas, "_idle", {})
        yield library


@contextlib.contextmanager
def emulated() -> Iterator[Any]:
    """The fake CuPy is `cupy`, for scratchnet too, and there is no cuBLAS: every kernel runs."""
    if reason := emulator.missing():
        pytest.skip(reason)
    with blas(None), fake_cupy.install() as cupy:
        forget()
        try:
            yield cupy
        finally:
            forget()


def forget() -> None:
    """Let scratchnet look for CuPy anew, and compile anew."""
    for function in CACHED:
        function.cache_clear()


class OnDevice:
    """A backend that takes host arrays and runs the GPU's kernels on copies of them."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy

    def __getattr__(self, kernel: str) -> Any:
        function = getattr(cuda, kernel)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            memory = _Memory(self.cupy, [*args, *kwargs.values()])
            try:
                result = function(
                    *(memory.on_device(a) for a in args),
                    **{name: memory.on_device(a) for name, a in kwargs.items()},
                )
            finally:
                memory.bring_back()
            if result is None:
                return None
            assert result.shape == () and result.dtype == np.float64
            return float(result)

        return call


class _Memory:
    """The memory of some host arrays and its copy on the device; NaN lies where none of the arrays does."""

    def __init__(self, cupy: Any, values: list[Any]) -> None:
        self.cupy = cupy
        self.copies: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray, Any]] = {}
        arrays = [v for v in values if _fits(v)]
        for array in arrays:
            root = _root(array)
            if id(root) in self.copies:
                continue
            inside = np.zeros(root.size, bool)
            for other in arrays:
                if _root(other) is root:
                    inside[_span(other)] = True
            filled = root.reshape(-1).copy()
            nowhere = {"f": np.nan, "b": True}.get(root.dtype.kind)
            filled[~inside] = np.iinfo(root.dtype).min if nowhere is None else nowhere
            self.copies[id(root)] = root, inside, filled, cupy.asarray(filled)

    def on_device(self, value: Any) -> Any:
        if not _fits(value):
            return value
        copy = self.copies[id(_root(value))][-1]
        return copy[_span(value)].reshape(value.shape)

    def bring_back(self) -> None:
        for root, inside, filled, copy in self.copies.values():
            now = self.cupy.asnumpy(copy)
            flat = root.reshape(-1)
            flat[inside] = now[inside]
            before, after = (a.view(np.uint8).reshape(a.size, a.itemsize) for a in (filled, now))
            strayed = ~inside & (before != after).any(axis=1)
            flat.view(np.uint8 if flat.dtype == bool else flat.dtype)[strayed] += (
                1  # what the fence's own check will see
            )


def _fits(value: Any) -> bool:
    """Whether a value can be laid out on the device as it is."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fib" and value.flags.c_contiguous


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray) and array.base.dtype == array.dtype:
        array = array.base
    return array


def _span(array: np.ndarray) -> slice:
    start = (array.ctypes.data - _root(array).ctypes.data) // array.itemsize
    return slice(start, start + array.size)
