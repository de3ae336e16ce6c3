"""Book 2's `common.trainer`: `scratchnet.trainer`, and what the book's module re-exports."""

import sys
import time
from typing import Any

import numpy

from .. import trainer
from ..trainer import *
from ..util import clip_grads
from ._lookup import looked_up

__all__ = ["GPU", "clip_grads", "np", "numpy", "sys", "time"]
__all__ += trainer.__all__

_look_up = looked_up(__name__)


def __getattr__(name: str) -> Any:
    if name == "plt":  # imported by the book's module; here only for scripts that use it
        from matplotlib import pyplot

        return pyplot
    return _look_up(name)
