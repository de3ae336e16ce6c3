"""The order of the samples in each epoch of a fit: permutations composed, as the book's `x = x[idx]` makes them.

NumPy's own `permutation` of its global stream, and of a RandomState, is drawn in C, in the same numbers: several
epochs in one call. They are NumPy's for ever (NEP 19). What else is called `permutation` draws as it does: that of
a Generator, whose stream NumPy may change, of a class that extends RandomState, or a function of the reader's.
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
    """Draws the order of the samples, epoch after epoch, from the data's own on.

    Parameters
    ----------
    permutation
        Returns so many numbers from 0 on in a random order: `numpy.random.permutation`, say.
    rows : int
        Samples.
    """

    def __init__(self, permutation: Callable[[int], Array], rows: int) -> None:
        self._permutation = permutation
        self._order: Array = np.arange(rows, dtype=np.int64)
        owner = getattr(permutation, "__self__", None)
        numpys = owner.permutation if type(owner) is _RandomState else None
        self._owner = owner if type(permutation) is type(numpys) and permutation == numpys else None

    def draw(self, epochs: int, used: int) -> Array:
        """Draw the order of some epochs; return the first `used` rows of each, one epoch after the other."""
        rows = len(self._order)
        bit_generator: Any = getattr(self._owner, "_bit_generator", None)  # set_bit_generator may change it
        if type(bit_generator) in _BIT_GENERATORS:
            drawn = np.empty((epochs, used), np.int64)
            shuffle_epochs(bit_generator, self._order, drawn)
            return drawn.reshape(-1)
        parts = []
        for _ in range(epochs):
            self._order = self._order[self._permutation(rows)]
            parts.append(self._order[:used])
        return parts[0] if epochs == 1 else np.concatenate(parts)
