"""Book 2's functions in plain NumPy."""

from books2_numpy import sigmoid, softmax

__all__ = ["sigmoid", "softmax"]
