"""The dtype in which layers compute: that of their weights, or always float32.

`scratchnet run --float32`, and SCRATCHNET_COMPUTE=float32, are for scripts whose weights are float64, as all of
book 1's are: products and what layers return are float32, while parameters, gradients, the optimizer's state and
losses keep their dtype. Layers pass the weights of a call through `computed`; whole steps (`plan.py`) compute in
the dtype of the weights.
"""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading.Lock, without half a millisecond of import
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

_FLOAT64 = np.dtype(np.float64)
_FLOAT32 = np.empty(0, np.float32)

in_float32 = False
"""Whether float64 arrays are computed with in float32."""

told: list[Callable[[bool], None]] = []
"""Called when that changes, and initially: the compiled operations keep a copy of it."""


_chosen = False
_in_full = 0  # contexts that are open, in all threads: the last that is left brings back what was chosen
_lock = allocate_lock()


def _tell() -> None:
    """Bring `in_float32` and the copies of it up to date; called with the lock held."""
    global in_float32
    in_float32 = _chosen and not _in_full
    for tell in told:
        tell(in_float32)


def choose(name: str | None) -> None:
    """Use the dtype that SCRATCHNET_COMPUTE names, "float32"; empty or None means the dtype of the weights."""
    if name not in (None, "", "float32"):
        raise ImportError(
            f"SCRATCHNET_COMPUTE is {name!r}, expected float32, or unset to compute in the dtype of the weights"
        )
    global _chosen
    with _lock:
        _chosen = name == "float32"
        _tell()


def computed(value: Any) -> Any:
    """Return an array in the dtype of computation: float64 is cast if `in_float32`, all else is unchanged."""
    if in_float32 and type(value) is np.ndarray and value.dtype == _FLOAT64:
        return value.astype(np.float32)
    return value


def like_computed(value: Any) -> Any:
    """Return an array of the dtype that `computed` gives; its values are not used."""
    is_cast = in_float32 and type(value) is np.ndarray and value.dtype == _FLOAT64
    return _FLOAT32 if is_cast else value


class in_full:
    """Within this context, layers compute in their weights' dtype: differences of a loss need the precision."""

    def __enter__(self) -> None:
        global _in_full
        with _lock:
            _in_full += 1
            _tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        global _in_full
        with _lock:
            _in_full -= 1
            _tell()


choose(os.environ.get("SCRATCHNET_COMPUTE"))
