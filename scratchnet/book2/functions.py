"""Book 2's `common.functions`: `scratchnet.functions`, and what the book's module re-exports."""

from .. import functions
from ..functions import *
from ._lookup import looked_up

__all__ = ["GPU", "np"]
__all__ += functions.__all__

__getattr__ = looked_up(__name__)
