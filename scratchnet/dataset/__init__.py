"""Data sets: the book's spiral, and MNIST or anything else in IDX files."""

from scratchnet.dataset import mnist, spiral

__all__ = ["mnist", "spiral"]
