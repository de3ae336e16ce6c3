"""Book 2's `common.layers`: `scratchnet.layers`, and what the book's module re-exports."""

from .. import layers
from ..functions import cross_entropy_error, softmax
from ..layers import *
from ._lookup import looked_up

__all__ = ["GPU", "cross_entropy_error", "np", "softmax"]
__all__ += layers.__all__

__getattr__ = looked_up(__name__)
