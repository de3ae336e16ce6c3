"""NumPy's names, or CuPy's where `config.GPU` is True, as the books' modules import them.

`from scratchnet.np import *` gives `np` and `GPU`.
"""

from typing import Any

import numpy

from .backends import load_cupy
from .config import GPU

__all__ = ["GPU", "np"]

np: Any = load_cupy() if GPU else numpy


def __getattr__(name: str) -> Any:
    return getattr(np, name)
