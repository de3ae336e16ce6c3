"""Book 2's `common.util`: `scratchnet.util`, and what the book's module re-exports."""

import os
import sys

from .. import util
from ..util import *
from ._lookup import looked_up

__all__ = ["GPU", "np", "os", "sys"]
__all__ += util.__all__

__getattr__ = looked_up(__name__)
