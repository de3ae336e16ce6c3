"""Data sets: the books' spiral, sequences and Penn Treebank; MNIST or anything else in IDX files; tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import mnist, ptb, sequence, spiral, table

__all__ = ["mnist", "ptb", "sequence", "spiral", "table"]


def __getattr__(name: str) -> Any:
    """Import a data set's module on first use."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
