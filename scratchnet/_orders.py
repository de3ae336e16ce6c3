"""The order of the samples in each epoch of a fit: permutations composed, as the book's `x = x[idx]` makes them.

NumPy's own `permutation`, of its global stream or of a RandomState, is reproduced in C with the same numbers,
several epochs per call; NumPy guarantees that stream (NEP 19). Any other `permutation` is called as it is: that of
a Generator, whose stream NumPy may change, of a subclass of RandomState, or a user's function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array
from .backends import shuffle_epochs

_BIT_GENERATORS = {
    np.random.MT19937,
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.Philox,
    np.random.SFC64,
}
_RandomState = np.random.RandomState


class Orders:
    """Draws the order of the samples, epoch after epoch, starting from the data's own or from a given one.

    Parameters
    ----------
    permutation
        Returns the first n integers in random order, for example `numpy.random.permutation`.
    rows : int
        Number of samples.
    order : array of int64, optional
        The samples' order in the epoch before the first one that is drawn; it may be overwritten.

    Attributes
    ----------
    order : array of int64
        The samples' order in the last epoch that was drawn.
    """

    def __init__(self, permutation: Callable[[int], Array], rows: int, order: Array | None = None) -> None:
        self._permutation = permutation
        self.order: Array = np.arange(rows, dtype=np.int64) if order is None else order
        owner = getattr(permutation, "__self__", None)
        numpys = owner.permutation if type(owner) is _RandomState else None
        self._owner = owner if type(permutation) is type(numpys) and permutation == numpys else None

    def draw(self, epochs: int, used: int) -> Array:
        """Draw the order of some epochs; return the first `used` rows of each, one epoch after the other."""
        rows = len(self.order)
        bit_generator: Any = getattr(self._owner, "_bit_generator", None)  # set_bit_generator may change it
        if type(bit_generator) in _BIT_GENERATORS:
            drawn = np.empty((epochs, used), np.int64)
            shuffle_epochs(bit_generator, self.order, drawn)
            return drawn.reshape(-1)
        parts = []
        for _ in range(epochs):
            self.order = self.order[self._permutation(rows)]
            parts.append(self.order[:used])
        return parts[0] if epochs == 1 else np.concatenate(parts)
