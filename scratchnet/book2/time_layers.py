"""Book 2's `common.time_layers`: `scratchnet.time_layers`, and what the book's module re-exports: layers too."""

from .. import time_layers
from ..functions import sigmoid
from ..time_layers import *
from . import layers
from ._lookup import looked_up

__all__ = ["sigmoid"]
__all__ += layers.__all__
__all__ += time_layers.__all__

__getattr__ = looked_up(__name__, layers)
