"""Arrays that belong together stay together when what holds them is copied or pickled, by whatever library.

A model's list of parameters and its layers hold the same arrays; tied weights are views of one memory;
scratchnet's networks and optimizers keep their arrays in one buffer. Pickling and copying lose some of this: NumPy
turns each view into an array of its own, and joblib each reference. So the pickled state records which arrays
share memory, and where; what was lost is restored afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ._arrays import Array

Path = tuple[Any, ...]  # attributes, keys and indices that lead from the owner to an array

_KEY = "_scratchnet_links"
_LEAVES = {type(None), bool, int, float, str, bytes}  # what long lists and vocabularies contain


class _Part(NamedTuple):
    """An array in a memory: where it is held, and its layout (offset and strides in bytes)."""

    paths: list[Path]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]


class _Memory(NamedTuple):
    """Arrays that share one memory, adjacent or overlapping."""

    parts: list[_Part]
    nbytes: int
    is_private: bool  # only the owner held the arrays, so that others may replace them


class Linked:
    """Base of objects that restore shared arrays and shared memory after unpickling or copying.

    It looks for arrays in its attributes, in lists and dictionaries, and in layers there. A shallow copy holds the
    same lists, layers and arrays as the original: nothing is lost, so nothing is changed.
    """

    def __getstate__(self) -> Any:
        memories = list(_memories(self))  # first: the state would be one more that holds arrays
        state: Any = super().__getstate__()
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        if memories:
            plain = [([tuple(part) for part in parts], *rest) for parts, *rest in memories]
            attributes = {**attributes, _KEY: plain}  # of Python's own types: it opens anywhere
        return attributes if slots is None else (attributes, slots)

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        named = {**(attributes or {}), **(slots or {})}
        memories = named.pop(_KEY, ())
        for name, value in named.items():
            setattr(self, name, value)  # what a layer of the book's keeps may be an entry of a list here
        for parts, *rest in memories:
            _restore(self, _Memory([_Part(*part) for part in parts], *rest))


def _entries(holder: Any, owner: Any = None) -> Any:
    """Return an object's content by name, key or index: the object itself if it is a list, tuple or dictionary."""
    if isinstance(holder, list | tuple | dict):
        return holder
    is_layer = hasattr(holder, "forward") and hasattr(holder, "backward")
    if holder is owner or isinstance(holder, Linked) or (is_layer and not isinstance(holder, type)):
        return getattr(holder, "__dict__", ())
    return ()


def _places(owner: Any) -> Iterator[Path]:
    """Yield the paths to all arrays that can be replaced."""
    seen: set[int] = set()
    todo: list[tuple[Path, Any]] = [((), owner)]
    while todo:
        path, holder = todo.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        entries = _entries(holder, owner)
        for key, entry in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if type(entry) is np.ndarray:
                if not isinstance(entries, tuple) and not entry.dtype.hasobject:
                    yield (*path, key)
            elif type(entry) not in _LEAVES:
                todo.append(((*path, key), entry))


def _memories(owner: Any) -> Iterator[_Memory]:
    """Yield the memories of an owner's arrays in which there is something to restore."""
    paths: dict[int, list[Path]] = {}
    arrays: list[Array] = []
    for path in _places(owner):
        array = _at(owner, path)
        if id(array) not in paths:
            arrays.append(array)
        paths.setdefault(id(array), []).append(path)
        del array
    # Held by the list above, by the call and by the owner: does anything else hold it?
    shared = {i for i in range(len(arrays)) if sys.getrefcount(arrays[i]) > 2 + len(paths[id(arrays[i])])}
    touching: list[list[int]] = []
    reach, root = 0, None
    for i in sorted(range(len(arrays)), key=lambda i: (id(_root(arrays[i])), byte_bounds(arrays[i]))):
        low, high = byte_bounds(arrays[i])
        if not touching or _root(arrays[i]) is not root or low > reach:
            touching.append([])
            reach, root = high, _root(arrays[i])
        touching[-1].append(i)
        reach = max(reach, high)
    for places in sorted(touching, key=min):  # not by address: the same model gives the same pickle
        start = min(byte_bounds(arrays[i])[0] for i in places)
        nbytes = max(byte_bounds(arrays[i])[1] for i in places) - start
        parts = [
            _Part(paths[id(a)], _address(a) - start, a.shape, a.strides, a.dtype)
            for a in (arrays[i] for i in places)
        ]
        if sum(len(part.paths) for part in parts) > 1:
            yield _Memory(parts, nbytes, not shared.intersection(places))


def _root(array: Array) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _at(owner: Any, path: Path) -> Any:
    """Return what is at the end of a path."""
    for key in path:
        owner = _entries(owner, owner)[key]
    return owner


def _restore(owner: Any, memory: _Memory) -> None:
    """Make arrays identical, or share memory, as before; those that still are remain unchanged."""
    try:
        held = [[_at(owner, path) for path in part.paths] for part in memory.parts]
    except (KeyError, IndexError, TypeError):
        return  # a class that left something out of its state
    for part, same in zip(memory.parts, held, strict=True):
        if any(not isinstance(a, np.ndarray) or (a.shape, a.dtype) != (part.shape, part.dtype) for a in same):
            return
    are_one = all(a is same[0] for same in held for a in same)
    arrays = [same[0] for same in held]
    if len(arrays) > 1 and not _lie_as_they_did(memory, arrays):
        # Arrays that were only adjacent are left in place if they are in a file, or are still one buffer and
        # something else may hold them too.
        in_memory = all(type(array) is np.ndarray for array in arrays)
        if _overlap(memory) or (in_memory and (memory.is_private or not are_one)):
            arrays = _rebuilt(memory, arrays)
    elif are_one:
        return
    for part, array in zip(memory.parts, arrays, strict=True):
        for path in part.paths:
            holder = _at(owner, path[:-1])
            _entries(holder, holder)[path[-1]] = array


def _lie_as_they_did(memory: _Memory, arrays: list[Array]) -> bool:
    pairs = list(zip(memory.parts, arrays, strict=True))
    starts = {_address(array) - part.offset for part, array in pairs}
    return len(starts) == 1 and all(array.strides == part.strides for part, array in pairs)


def _overlap(memory: _Memory) -> bool:
    return sum(map(_nbytes, memory.parts)) > memory.nbytes


def _nbytes(part: _Part) -> int:
    return prod(part.shape) * part.dtype.itemsize


def _rebuilt(memory: _Memory, arrays: list[Array]) -> list[Array]:
    """Return arrays of the same values in one memory: that of one of them if it fills it, else a new one."""
    for part, array in zip(memory.parts, arrays, strict=True):
        fits = type(array) is np.ndarray and array.flags.carray and array.strides == part.strides
        if fits and _nbytes(part) == memory.nbytes:
            buffer = array
            break
    else:
        dtypes = {part.dtype for part in memory.parts}
        dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.uint8)
        buffer = np.zeros(-(-memory.nbytes // dtype.itemsize), dtype)
    rebuilt = []
    for part, array in zip(memory.parts, arrays, strict=True):
        if array is not buffer:
            view: Array = np.ndarray(part.shape, part.dtype, buffer, part.offset, part.strides)
            view[...] = array
            array = view
        rebuilt.append(array)
    return rebuilt
