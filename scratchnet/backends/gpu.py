"""The way to a GPU: CuPy, if there is one that works, and arrays from one side to the other."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = Any  # cupy.ndarray: CuPy may not be installed


class NoGPUError(RuntimeError):
    """No usable GPU; the message says what is missing and what to do."""


@cache
def load_cupy() -> Any:
    """Return the module cupy, or raise NoGPUError unless it has a usable GPU."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise NoGPUError(f"CuPy cannot be imported because module {error.name} is missing") from error
        raise NoGPUError(
            'Using the GPU requires CuPy, which is not installed: pip install "scratchnet[cuda12]", '
            "or [cuda13] if the driver supports CUDA 13"
        ) from None
    except Exception as error:  # its import creates a folder for compiled kernels, which may fail in any way
        advice = "; set CUPY_CACHE_DIR to a writable folder" if isinstance(error, OSError) else ""
        raise NoGPUError(f"CuPy is installed, but its import failed: {_in_a_line(error)}{advice}") from error
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own error class is in a separate module
        raise NoGPUError(
            f"CuPy finds no GPU: {_in_a_line(error)}. An NVIDIA GPU and its driver are required"
        ) from error
    if devices == 0:
        raise NoGPUError("CuPy finds no GPU: the driver is installed, but reports no device")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        raise NoGPUError(
            f"CuPy finds the GPU, but not NVIDIA's compiler: {_in_a_line(error)}. It comes with the CUDA toolkit, "
            'or with pip install "scratchnet[cuda12]" (or [cuda13])'
        ) from error
    return cupy


def _in_a_line(error: Exception) -> str:
    """Return an error's last line, where CuPy's long messages give the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip("= \n")]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def to_device(array: Any) -> Array:
    """Return an array as a C-contiguous CuPy array on the current device: itself if it is one."""
    return load_cupy().ascontiguousarray(load_cupy().asarray(array))


def to_host(array: Array) -> np.ndarray:
    """Return a CuPy array as a NumPy array; waits for the GPU."""
    host: np.ndarray = load_cupy().asnumpy(array)
    return host
