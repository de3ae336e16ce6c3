"""Data sets: the books' spiral, sequences and Penn Treebank; MNIST or anything else in IDX files."""

from . import mnist, ptb, sequence, spiral

__all__ = ["mnist", "ptb", "sequence", "spiral"]
