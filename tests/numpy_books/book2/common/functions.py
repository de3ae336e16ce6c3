"""Book 2's functions."""

from numpy_books.functions import sigmoid, softmax

__all__ = ["sigmoid", "softmax"]
