"""Book 2's `common.functions`: `scratchnet.functions`, and what the book's module re-exports."""

from ..functions import *
from ._lookup import looked_up

__all__ = ["GPU", "cross_entropy_error", "np", "relu", "sigmoid", "softmax"]

__getattr__ = looked_up(__name__)
