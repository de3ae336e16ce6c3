"""The kernels: their contract as data, and the choice of the backend that runs them.

`contract` declares every kernel; `reference` defines them in NumPy; `cpu` runs them compiled, `cuda` on a GPU.
Layers, functions and optimizers import this package and never a member: they ask `backend_for(array)` and call.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _compute
from .._arrays import is_on_gpu
from .contract import CONTRACT, KERNELS, LARGEST, Argument, Kernel, check_arguments, window_places
from .gpu import NoGPUError, load_cupy, to_device, to_host

try:
    from .cpu import (
        LossMeans,
        PlanRunner,
        address,
        bias_corrected_rates,
        get_num_threads,
        isa,
        isas,
        op_update,
        place,
        set_num_threads,
        shuffle_epochs,
    )
except ModuleNotFoundError as error:
    if error.name != f"{__name__}.cpu":
        raise
    raise ImportError(
        "scratchnet's compiled kernels are missing: this looks like the source tree, not an installed package. "
        "Run `python -m pip install -e .` in it (a C compiler is needed), or start Python in another folder."
    ) from None

from . import cpu, ops  # after the error above, so that users see its message

_compute.told.append(cpu.compute_in_float32)
cpu.compute_in_float32(_compute.in_float32)

if TYPE_CHECKING:
    from . import cuda, reference

__all__ = [
    "CONTRACT",
    "KERNELS",
    "LARGEST",
    "Argument",
    "Kernel",
    "LossMeans",
    "NoGPUError",
    "address_of",
    "backend_for",
    "bias_corrected_rates",
    "check_arguments",
    "check_call",
    "cpu",
    "cuda",
    "get_num_threads",
    "isa",
    "isas",
    "load_cupy",
    "op_update",
    "ops",
    "place_of",
    "reference",
    "reference_uses",
    "run_checked",
    "runner_for",
    "set_num_threads",
    "shuffle_epochs",
    "to_device",
    "to_host",
    "window_places",
]


def __getattr__(name: str) -> Any:
    """Import rarely needed modules on first use."""
    if name in ("cuda", "reference"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CountedReference:
    """The reference kernels, with every use counted, so that uncompiled runs are visible."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()
        self._lock = Lock()

    def __getattr__(self, kernel: str) -> Any:
        from . import reference

        function = getattr(reference, kernel)
        with self._lock:
            self.uses[kernel] += 1
        return function


_counted_reference = _CountedReference()
_COMPILED = frozenset((np.dtype(np.float32), np.dtype(np.float64)))


def backend_for(array: np.ndarray) -> Any:
    """Return the backend whose kernels take arrays like this one.

    Parameters
    ----------
    array
        The array whose dtype decides: a layer's weights, an optimizer's parameter, an activation's input.

    Returns
    -------
    module
        `cuda` for a CuPy array; `cpu` for float32 and float64; for other floating dtypes the reference, whose
        uses are counted.
    """
    if is_on_gpu(array):
        from . import cuda

        return cuda
    return cpu if array.dtype in _COMPILED else _counted_reference


def check_call(kernel: str, first: np.ndarray, *rest: Any) -> None:
    """Check a kernel's arguments, arrays as returned by `as_operand`, before anything runs."""
    if is_on_gpu(first):
        from . import cuda

        cuda.check_call(kernel, first, *rest)
    else:
        check_arguments(KERNELS[kernel], [first, *rest], compiled=first.dtype in _COMPILED)


def run_checked(backend: Any, kernel: str, *arguments: Any) -> None:
    """Run a kernel on arguments that `check_call` has passed: on the GPU a second check would double the cost."""
    function = getattr(backend, kernel)
    getattr(function, "__wrapped__", function)(*arguments)


def address_of(array: Any) -> int:
    """Return where the memory of an array begins, on the CPU or the GPU."""
    return int(array.data.ptr) if is_on_gpu(array) else address(array)


def place_of(array: Any) -> tuple[Any, ...]:
    """Return an array's layout in memory, which NumPy allows to be changed: equal if nothing has changed."""
    return (address_of(array), array.shape, array.strides, array.dtype) if is_on_gpu(array) else place(array)


def runner_for(array: np.ndarray) -> Any:
    """Return the class that runs whole training steps with parameters like this array."""
    if is_on_gpu(array):
        from .cuda_steps import PlanRunner as PlanRunnerOnGPU

        return PlanRunnerOnGPU
    return PlanRunner


def reference_uses() -> dict[str, int]:
    """How often each kernel has run in the reference because there is no compiled one for the dtype."""
    return dict(_counted_reference.uses)
