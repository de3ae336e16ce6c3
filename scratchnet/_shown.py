"""How an object is printed: its class, the shapes of its arrays and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MOST = 8  # entries of a list that are shown
_LENGTH = 80  # of one value's text


def shown(thing: Any, names: Iterable[str]) -> str:
    """Return the repr of an object: `Affine(W=(784, 50), b=(50,), dtype=float32)`.

    Parameters
    ----------
    thing
        The object; it may be incompletely initialised, or of a subclass.
    names
        The attributes to show, in order; those that are missing, or fail, are omitted. Arrays are shown by their
        shape, lists of arrays by their shapes, followed by the dtype of them all.
    """
    dtypes: dict[str, None] = {}
    parts = []
    for name in names:
        try:
            parts.append(f"{name}={_text(getattr(thing, name), dtypes)}")
        except Exception:  # a failing repr would hide the actual error
            continue
    if dtypes:
        parts.append(f"dtype={'/'.join(dtypes)}")
    return f"{type(thing).__name__}({', '.join(parts)})"


def _text(value: Any, dtypes: dict[str, None]) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and shape and dtype is not None:
        dtypes[str(dtype)] = None
        return str(shape)
    if isinstance(value, list | tuple):
        inner = [_text(entry, dtypes) for entry in value[:_MOST]] + ["..."] * (len(value) > _MOST)
        return f"[{', '.join(inner)}]"
    if isinstance(value, Mapping):
        inner = [f"{key}: {_text(value[key], dtypes)}" for key in [*value][:_MOST]]
        return f"{{{', '.join(inner + ['...'] * (len(value) > _MOST))}}}"
    text = repr(value.item() if shape == () and dtype is not None else value)  # 0.5, not np.float64(0.5)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."
