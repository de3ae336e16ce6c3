"""The states of random streams as plain numbers for JSON, and back, checked: NumPy's setters check little.

A stream is a Generator, a RandomState, or None for NumPy's global one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# The largest value of an integer, where it is not the word of the generator: some index arrays, unchecked, in C.
_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "has_gauss": 1, "uinteger": 2**32 - 1}


def state_of(stream: Any) -> dict[str, Any]:
    """Return a stream's state, of dictionaries, lists and numbers."""
    state: dict[str, Any] = _plain(_raw_state(stream))
    return state


def checked_state(stream: Any, state: Any) -> dict[str, Any]:
    """Return a state that `state_of` gave, as the stream takes it.

    Raises
    ------
    ValueError
        It is of another kind of generator, or invalid.
    """
    raw = _raw_state(stream)
    name = state.get("bit_generator") if isinstance(state, dict) else None
    if name != raw["bit_generator"]:
        raise ValueError(f"it is the state of {name!r}, the stream is {raw['bit_generator']!r}")
    checked: dict[str, Any] = _like(raw, state, "state")
    return checked


def set_state(stream: Any, state: dict[str, Any]) -> None:
    """Set a stream's state to one that was checked."""
    if isinstance(stream, np.random.Generator):
        stream.bit_generator.state = state
    else:
        (stream or np.random).set_state(state)


def _raw_state(stream: Any) -> Any:
    if isinstance(stream, np.random.Generator):
        return stream.bit_generator.state
    return (stream or np.random).get_state(legacy=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _like(raw: Any, value: Any, name: str) -> Any:
    """Return a value of the kind of another; ValueError if it is not."""
    if isinstance(raw, dict) and isinstance(value, dict) and raw.keys() == value.keys():
        return {key: _like(raw[key], value[key], key) for key in raw}
    if isinstance(raw, np.ndarray) and isinstance(value, list) and len(value) == len(raw):
        largest = np.iinfo(raw.dtype).max
        if all(_is_whole(word, largest) for word in value):
            return np.array(value, raw.dtype)
    elif isinstance(raw, str) or (isinstance(raw, float) and isinstance(value, float)):
        if type(value) is type(raw):
            return value
    elif isinstance(raw, int | np.integer) and _is_whole(value, _LARGEST.get(name, 2**128 - 1)):
        return value
    raise ValueError(f"{name} of a random stream is not what NumPy gives")


def _is_whole(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest
