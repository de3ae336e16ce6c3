"""Book 1's data set: MNIST."""

from . import mnist

__all__ = ["mnist"]
