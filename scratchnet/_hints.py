"""A word to whom it may save time: once for each class, on stderr, where a log is printed at all."""

from __future__ import annotations

import sys
from typing import Any

from ._as_written import is_as_written
from ._parts import layers_of

_CANNOT_BE_PROVED = {None, "dropout", "batch_normalization"}  # by running a step twice

_told: set[type] = set()


def hint_at_compile(model: Any) -> None:
    """Say that compile=True may train a model of the user's in whole steps, if its layers are of a plan's kind."""
    kind = type(model)
    if kind in _told or is_as_written(model):
        return
    layers = layers_of(model)
    roles = {getattr(layer, "step_role", None) if is_as_written(layer) else None for layer in layers}
    if "softmax_cross_entropy" in roles and not roles & _CANNOT_BE_PROVED:
        _told.add(kind)
        print(
            f"scratchnet: Trainer(..., compile=True) may train {kind.__name__} in whole steps, many times as fast "
            "if it is small; it proves that they are the same",
            file=sys.stderr,
        )
