"""The rows of a batch that this process has, while others train on the rest of it (`_ranks.py`)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Cut:
    """A part of a batch; within its context the layers compute as they would with the whole batch.

    Parameters
    ----------
    start, rows, total : int
        The batch's row that is the first of the part, the number of the part's rows, and that of the batch's.
    is_counted : bool
        False where the part is of another rank, because there are fewer rows than ranks.
    scale : float
        How many of the batch's rows one is that the part's mean loss divides by: `total` times the share of the
        part's loss in the batch's. `total` if backward is given that share.
    summed : function
        Returns the sum of an array over all ranks.
    """

    def __init__(
        self,
        start: int,
        rows: int,
        total: int,
        is_counted: bool,
        scale: float,
        summed: Callable[[Array], Array],
    ) -> None:
        self.start, self.rows, self.total, self.scale = start, rows, total, scale
        self._is_counted, self._summed = is_counted, summed

    def __enter__(self) -> Cut:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        _current.reset(self._token)

    def times(self, rows: int) -> int:
        """Return how many rows a layer has for each sample.

        Raises
        ------
        ValueError
            They are not as many for each.
        """
        times, left = divmod(rows, self.rows)
        if left or not times:
            raise ValueError(
                f"an array has {rows} rows, expected some for each of this rank's {self.rows} samples"
            )
        return times

    def sum(self, array: Array) -> Array:
        """Return the sum of an array over all ranks."""
        return self._summed(array if self._is_counted else array * 0)

    def drawn(self, shape: tuple[int, ...], draw: Callable[..., Array]) -> Array:
        """Draw random numbers for the whole batch, and return those of an array of this rank."""
        times = self.times(shape[0] if shape else 0)
        first = self.start * times
        return draw(self.total * times, *shape[1:])[first : first + shape[0]]


_current: ContextVar[Cut | None] = ContextVar("cut", default=None)


def current() -> Cut | None:
    """Return the part of a batch that this process trains on; None if it trains on the whole."""
    return _current.get()
