"""Book 2's `common.time_layers`: `scratchnet.time_layers`, and what the book's module re-exports: layers too."""

from .. import time_layers
from ..functions import cross_entropy_error, sigmoid, softmax
from ..time_layers import *
from . import layers
from ._lookup import looked_up
from .layers import *

__all__ = ["GPU", "cross_entropy_error", "np", "sigmoid", "softmax"]
__all__ += [name for name in layers.__all__ if name not in __all__]
__all__ += time_layers.__all__

__getattr__ = looked_up(__name__)
