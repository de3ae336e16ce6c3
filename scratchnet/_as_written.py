"""Whether a class, or an object of it, still does what its source says.

Python allows functions of a class or an object to be replaced at any time. Whole-step training does not call those
functions, so it has to check.
"""

from __future__ import annotations

from itertools import repeat
from operator import is_
from types import FunctionType
from typing import Any, TypeVar

C = TypeVar("C", bound=type)

# Python looks for these in every class; without a definition it finds those of object.
_LOOKED_FOR = ("__getattribute__", "__setattr__")

_WRITTEN: dict[type, tuple[frozenset[str], tuple[str, ...], tuple[Any, ...]]] = {}


def as_written(cls: C) -> C:
    """Class decorator: remember the methods and properties of a class as its source defines them."""
    found = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("__")}
    kept = {name: value for name, value in found.items() if isinstance(value, FunctionType | property)}
    kept |= {name: getattr(cls, name) for name in _LOOKED_FOR}
    _WRITTEN[cls] = frozenset(kept), tuple(kept), tuple(kept.values())
    return cls


def is_as_written(thing: Any) -> bool:
    """Whether an object's own class was remembered, and the object does what the source of that class says."""
    cls = type(thing)
    if cls not in _WRITTEN:
        return False
    names, in_order, values = _WRITTEN[cls]
    try:
        now = map(getattr, repeat(cls), in_order)
        return names.isdisjoint(thing.__dict__) and all(map(is_, now, values)) and not hasattr(cls, "__getattr__")
    except AttributeError:  # a method has been deleted
        return False


def unmodified_chain(model: Any) -> list[Any] | None:
    """Return the layers of one of scratchnet's own networks; None if it is not one or was changed."""
    if not (is_as_written(model) and hasattr(model, "step_chain")):
        return None
    try:
        layers: list[Any] = model.step_chain()
    except (AttributeError, TypeError):  # the layers have been removed
        return None
    return layers if all(map(is_as_written, layers)) else None
