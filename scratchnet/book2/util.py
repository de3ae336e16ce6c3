"""Book 2's `common.util`: `scratchnet.util`, and what the book's module re-exports."""

import os
import sys

from .. import util
from ..util import *
from ._lookup import looked_up

__all__ = ["GPU", "np", "os", "sys"]
_OURS = {"NoGPUError", "RefusedPickleError", "accuracy", "load_pickle", "predict", "remove_duplicate"}
__all__ += [name for name in util.__all__ if name not in _OURS]  # a star must not hide what a script has

__getattr__ = looked_up(__name__)
