"""Book 2's `common.base_model`: `scratchnet.base_model`, and what the book's module re-exports."""

import os
import pickle
import sys

from ..base_model import BaseModel
from ..util import to_cpu, to_gpu
from ._lookup import looked_up

__all__ = ["GPU", "BaseModel", "np", "os", "pickle", "sys", "to_cpu", "to_gpu"]

__getattr__ = looked_up(__name__)
