"""The machine's own limits, measured in the same races as the kernels: see roofline.c."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from timing import Contestant, Missing

PEAK, STREAM = "FMA peak", "stream"


@cache
def _library() -> ctypes.CDLL:
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        raise Missing("no C compiler to build it with")
    folder = tempfile.mkdtemp(prefix="scratchnet-bench-")
    target = Path(folder, "roofline.so")
    source = Path(__file__).with_name("roofline.c")
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
    try:
        built = subprocess.run([compiler, *flags, source, "-o", target], capture_output=True, text=True)
        if built.returncode:
            raise Missing(f"it does not compile: {built.stderr.strip().splitlines()[0]}")
        library = ctypes.CDLL(str(target))
    finally:
        shutil.rmtree(folder)  # a loaded library does not need its file any more
    library.peak_operations.restype = ctypes.c_long
    for name in ("peak_float32", "peak_float64"):
        getattr(library, name).restype = ctypes.c_double
        getattr(library, name).argtypes = [ctypes.c_long, ctypes.c_double, ctypes.c_double]
    return library


def peak(operations: int, dtype: np.dtype) -> Contestant:
    """As many multiplications and additions as a product has, in registers."""

    def make() -> tuple[None, Callable[[], object]]:
        library = _library()
        turns = max(1, round(operations / library.peak_operations(dtype.itemsize)))
        run = getattr(library, f"peak_{dtype}")
        # Two numbers from each of twelve chains, which begin at 1, 2, ... 12.
        assert run(1, 0.25, 0.5) == sum(2 * (c * 0.25 + 0.5) for c in range(1, 13))
        return None, lambda: run(turns, 0.5, 0.5)  # all go to 1: never a denormal number

    return Contestant(PEAK, make)


def stream(n: int, dtype: np.dtype) -> Contestant:
    """p += g over n numbers: what an update must read and write, and nothing more."""

    def make() -> tuple[None, Callable[[], object]]:
        library = _library()
        run = getattr(library, f"stream_{dtype}")
        p, g = np.zeros(n, dtype), np.full(n, 1e-3, dtype)
        arguments = ctypes.c_void_p(p.ctypes.data), ctypes.c_void_p(g.ctypes.data), ctypes.c_long(n)
        run(*arguments)
        assert np.array_equal(p, g)

        def timed(keep: tuple[np.ndarray, np.ndarray] = (p, g)) -> None:
            run(*arguments)

        return None, timed

    return Contestant(STREAM, make)
