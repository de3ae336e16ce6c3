"""Where book 2's scripts take NumPy from."""

import numpy as np

from .config import GPU

__all__ = ["GPU", "np"]
