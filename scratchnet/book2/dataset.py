"""Book 2's `dataset`: the modules of `scratchnet.dataset`."""

from ..dataset import ptb, sequence, spiral

__all__ = ["ptb", "sequence", "spiral"]
