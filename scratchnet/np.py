"""NumPy's names, as the books' modules import them: `from scratchnet.np import *` gives `np` and `GPU`."""

from typing import Any

import numpy as np

from .config import GPU

__all__ = ["GPU", "np"]

if GPU:
    raise ImportError(
        "scratchnet.config.GPU is True, but this version of scratchnet has no GPU path; set it to False"
    )


def __getattr__(name: str) -> Any:
    return getattr(np, name)
