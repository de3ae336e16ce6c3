"""The kernels: their contract as data, and the choice of the backend that runs them.

`contract` declares every kernel; `reference` defines them in NumPy; `cpu` runs them compiled, `cuda` on a GPU.
Layers, functions and optimizers import this package and never a member: they ask `backend_for(array)` and call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _compute
from .._arrays import LARGEST, is_on_gpu, window_places
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
    from .contract import CONTRACT, KERNELS, Argument, Kernel, check_arguments

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
    """Import rarely needed modules on first use, and the contract, whose table takes as long as all the rest."""
    if name in ("cuda", "reference"):
        return import_module(f"{__name__}.{name}")
    if name in ("CONTRACT", "KERNELS", "Argument", "Kernel", "check_arguments"):
        return getattr(import_module(f"{__name__}.contract"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    if array.dtype in _COMPILED:
        return cpu
    from .uncompiled import counted_reference

    return counted_reference


def check_call(kernel: str, first: np.ndarray, *rest: Any) -> None:
    """Check a kernel's arguments, arrays as returned by `as_operand`, before anything runs."""
    if is_on_gpu(first):
        from . import cuda

        cuda.check_call(kernel, first, *rest)
    else:
        from .contract import KERNELS, check_arguments

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
    from .uncompiled import counted_reference

    return dict(counted_reference.uses)
