"""Data sets: the book's spiral, and MNIST or anything else in IDX files."""

from . import mnist, spiral

__all__ = ["mnist", "spiral"]
