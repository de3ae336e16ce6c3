"""NumPy's names, or CuPy's where `config.GPU` is True, as the books' modules import them.

`from scratchnet.np import *` gives `np` and `GPU`. The switch is looked at when a name is asked for.
"""

from typing import Any

import numpy

from . import config

__all__ = ["GPU", "np"]

GPU: bool
np: Any


def __getattr__(name: str) -> Any:
    if name == "GPU":
        return config.GPU
    chosen = numpy
    if config.GPU:
        from .backends import load_cupy

        chosen = load_cupy()
    return chosen if name == "np" else getattr(chosen, name)
