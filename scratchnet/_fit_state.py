"""Where a fit is, besides what its model, its optimizer and its trainer's lists hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Self

from . import _streams
from ._arrays import Array

# Of the sizes those that say how a fit takes the data, with their values in files that do not have them.
_FLAGS = {"drop_last": 1, "has_weights": 0, "sharded": 0}
_LATER = {**_FLAGS, "ranks": 1}


class FitState:
    """Where a fit is: what a checkpoint holds besides the model, the optimizer and the trainer's lists.

    Attributes
    ----------
    sizes : dict
        The sizes that a resumed fit must have, too, by name, the data's length first; empty before the first fit.
    stream
        The fit's own stream: a Generator or a RandomState; None for NumPy's global one.
    live : list
        Callbacks of the running fit that have a state.
    own_stream, callbacks
        The states of these two, when they were last read.
    epochs : int
        Whole epochs of this fit, interruptions included.
    window : (float, int)
        Sum and number of the losses since the last log line.
    order : array of int64, or None
        The samples' order in the last epoch.
    is_stopped : bool
        Whether a callback has ended the fit.
    is_loaded : bool
        Whether it is from a file, and no fit has gone on from it yet.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        stream: Any = None,
        live: Sequence[Any] = (),
        *,
        own_stream: dict[str, Any] | None = None,
        callbacks: Sequence[dict[str, Any]] = (),
        epochs: int = 0,
        window: tuple[float, int] = (0.0, 0),
        order: Array | None = None,
        is_stopped: bool = False,
        is_loaded: bool = False,
    ) -> None:
        self.sizes, self.stream, self.live = sizes, stream, live
        self.own_stream, self.callbacks = own_stream, callbacks
        self.epochs, self.window, self.order = epochs, window, order
        self.is_stopped, self.is_loaded = is_stopped, is_loaded

    @property
    def steps(self) -> int:
        """Steps per epoch; 0 before the first fit."""
        length, *each = [size for name, size in self.sizes.items() if name not in _LATER] or (0,)
        whole = max(1, prod(each))
        return length // whole if self.sizes.get("drop_last", True) else -(-length // whole)

    def refresh(self) -> Self:
        """Read the states of the stream and the callbacks."""
        if self.stream is not None:
            self.own_stream = _streams.state_of(self.stream)
        if self.live:
            self.callbacks = [{"type": type(c).__name__, "state": c.state_dict()} for c in self.live]
        return self

    def settle(self) -> None:
        """At the end of a fit, keep the states and let go of the objects."""
        self.refresh()
        self.stream, self.live = None, ()

    def check_continues(self, sizes: dict[str, int], stream: Any, live: Sequence[Any]) -> dict[str, Any] | None:
        """Return the checked state of a resumed fit's own stream.

        Raises
        ------
        ValueError
            The fit has other sizes, another kind of stream, or other callbacks.
        """
        for name, size in sizes.items():
            before = self.sizes.get(name, _LATER.get(name))
            if before != size:
                pair: tuple[Any, Any] = (bool(size), bool(before)) if name in _FLAGS else (size, before)
                raise ValueError(
                    f"fit: {name} is {pair[0]}, but the run of the checkpoint has {pair[1]}, and goes on only "
                    "with the same; for another run make a new trainer"
                )
        if (stream is None) != (self.own_stream is None):
            theirs = "NumPy's global stream" if self.own_stream is None else "a stream of its own, given as rng"
            raise ValueError(f"fit: rng is {stream!r}, but the run of the checkpoint draws from {theirs}")
        types = [c["type"] for c in self.callbacks], [type(c).__name__ for c in live]
        if types[0] != types[1]:
            theirs, ours = (", ".join(part) or "none" for part in types)
            raise ValueError(f"fit: callbacks with a state are {ours}, but those of the checkpoint are {theirs}")
        try:
            return None if stream is None else _streams.checked_state(stream, self.own_stream)
        except ValueError as error:
            raise ValueError(f"fit: rng does not continue the checkpoint's stream: {error}") from None


def is_count(value: Any) -> bool:
    """Whether a value from JSON is a number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def is_interval(value: Any) -> bool:
    """Whether a value from JSON is an eval_interval."""
    return value is None or (is_count(value) and value > 0)


def are_entries(value: Any) -> bool:
    """Whether a value from JSON is a history."""
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def are_numbers(value: Any) -> bool:
    """Whether a value from JSON is a list of numbers."""
    return isinstance(value, list) and all(isinstance(entry, float | int) for entry in value)
