"""Reading the books' pickled weights without running anything that a file asks for.

A pickle is a small program: it names functions, and its reader calls them. Here only the names in
`_BUILDERS` exist, and each maps to a function of this module or a plain container.
"""

import io
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ._arrays import Array
from ._files import as_path, open_file

__all__ = ["RefusedPickleError", "load_pickle"]


class RefusedPickleError(pickle.UnpicklingError, ValueError):
    """A pickle contains, or asks for, something other than arrays and plain containers.

    Both an ``UnpicklingError``, as ``pickle`` raises, and a ``ValueError``, as `load_pickle` raises for a
    file that is not a complete pickle: ``except ValueError`` catches everything that can be wrong with a file.
    """


def load_pickle(path: str | bytes | os.PathLike[Any]) -> Any:
    """Read arrays and plain containers from a pickle file; reject everything else.

    Made for the books' files: a dict of arrays (book 1's ``sample_weight.pkl``, ``params.pkl`` and
    ``mnist.pkl``), a list of arrays (what book 2's ``BaseModel`` saves), vocabularies. Python 2 or 3 may
    have written them, with NumPy 1 or 2, in any protocol. Nothing that a file names is imported or called.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    object
        Any nesting of dict, OrderedDict, list, tuple, set, frozenset, str, bytes, int, float, bool and
        None, and of arrays, NumPy scalars and dtypes of a boolean, number or text type. Arrays are
        writable. Strings from Python 2 are returned as str, decoded as latin-1.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        The file cannot be read, or is not a regular file.
    RefusedPickleError
        The file asks for anything else, which the message names. Arrays of Python objects, of
        records and of dates are rejected too, and a file that asks for many times its own size.
    ValueError
        The file is damaged, truncated, or not a pickle at all, or the path is not a valid path.

    Notes
    -----
    Book 1, section 3.6.2; book 2, chapter 6.

    Examples
    --------
    >>> import pickle
    >>> from pathlib import Path
    >>> _ = Path("params.pkl").write_bytes(pickle.dumps({"b1": np.zeros(2)}))
    >>> load_pickle("params.pkl")
    {'b1': array([0., 0.])}
    """
    path = as_path("load_pickle", path)
    with open_file(path) as file:
        content = file.read()  # not in pieces: a forged length would allocate memory
    try:
        value = _Reader(content).load()
        _check(value)
    except RefusedPickleError as error:
        raise RefusedPickleError(
            f"{path}: expected arrays and plain containers only, got {error}. Nothing that "
            "it asks for was run. If you trust its source, read it with Python's pickle and save its arrays"
        ) from None
    except Exception as error:  # damaged bytes make the reader fail in nearly any way
        raise ValueError(
            f"{path}: expected a complete pickle file, got one that is damaged, truncated or of "
            f"another kind ({type(error).__name__}: {error}). Get an intact copy of it, or save it again"
        ) from error
    return value


def _refuse(what: str) -> NoReturn:
    raise RefusedPickleError(what)


def _dtype(code: str, align: object = False, copy: object = True) -> np.dtype[Any]:
    """A copy of our own, which BUILD may change; whatever the pickle says of `align` and `copy`."""
    dtype = np.dtype(str(code), False, True)
    if dtype.kind not in "biufcSU":
        _refuse(f"an array of dtype {dtype}")
    return dtype


def _set_byte_order(dtype: Any, state: Any) -> None:
    # Nothing but the byte order is taken from the file. NumPy would believe the rest too: with forged
    # flags it takes the values in an array for addresses of Python objects, and calls what is there.
    dtype.__setstate__(dtype.newbyteorder(state[1]).__reduce__()[2])


def _reconstruct(subtype: object, shape: object, typecode: object) -> Array:
    """The empty array that most pickled arrays start as, for BUILD to fill."""
    return np.empty(0)


def _fill(array: Any, state: Any) -> None:
    _, shape, dtype, fortran, data = state
    array.__setstate__((1, shape, dtype, fortran, _bytes(data)))  # NumPy checks the shape against the data


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """Creates arrays for protocol 5; `axes` is for those contiguous in neither C nor Fortran order."""
    if not isinstance(dtype, np.dtype):  # text would not have passed `_dtype`
        raise TypeError(f"expected a dtype, got {dtype!r}")
    data = _bytes(buffer)  # over bytes the array would be read-only, over a bytearray it is not
    flat: Array = np.frombuffer(data if isinstance(data, bytearray) else bytearray(data), dtype)
    return flat.reshape(shape, order=order) if axes is None else flat.reshape(shape).transpose(axes)


def _scalar(dtype: Any, data: Any) -> Any:
    return _frombuffer(data, dtype, (), "C")[()]


def _bytes(data: Any) -> bytes | bytearray:
    """Python 2 keeps an array's bytes in a string, which the reader has decoded as latin-1."""
    if isinstance(data, str):
        return data.encode("latin1")
    if isinstance(data, bytes | bytearray):
        return data
    raise TypeError(f"expected the bytes of an array, got {type(data).__name__}")


def _encode(text: str, encoding: str) -> bytes:
    """Decodes the form in which Python 3 writes bytes in text-only protocols."""
    if encoding != "latin1":
        _refuse(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


_NDARRAY = object()  # placeholder for the type numpy.ndarray, so that a file cannot call it
_BUILDERS: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}
for _module in ("__builtin__", "builtins"):  # Python 2, 3
    _BUILDERS |= {(_module, "set"): set, (_module, "frozenset"): frozenset}
    _BUILDERS[_module, "bytes"] = lambda: b""  # old protocols write b"" as a call of bytes()
for _module in ("numpy.core", "numpy._core"):  # NumPy 1, 2
    _BUILDERS[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    _BUILDERS[f"{_module}.multiarray", "scalar"] = _scalar
    _BUILDERS[f"{_module}.numeric", "_frombuffer"] = _frombuffer


_MOST_EXPANDED = 100  # times the file's size; an empty set takes 43 times the 5 bytes that request it


def _paid(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make an opcode that builds something count its size: of one text a file may ask for any number of copies."""

    def load_and_count(reader: Any) -> None:
        load(reader)
        made = reader.stack[-1]
        reader.left -= sys.getsizeof(made) + (made.nbytes if isinstance(made, np.ndarray) else 0)
        if reader.left < 0:
            _refuse(f"objects of more than {_MOST_EXPANDED} times the file's size")

    return load_and_count


def _build(reader: Any) -> None:
    """Replaces the opcode BUILD, which hands a state from the file to any object that takes one."""
    state = reader.stack.pop()
    target = reader.stack[-1]
    if isinstance(target, np.dtype):
        _set_byte_order(target, state)
    elif isinstance(target, np.ndarray):
        _fill(target, state)
    else:
        _refuse(f"attributes for an object of type {type(target).__name__}")


def _bytearray(reader: Any) -> None:
    """Replaces BYTEARRAY8, which takes as much memory as a file claims to fill before it reads on."""
    size = int.from_bytes(reader.read(8), "little")
    reader.append(bytearray(reader.read(size)))


def _extension(reader: Any) -> None:
    """Replaces EXT: Python looks these up in a table of the process, which may hold anything."""
    _refuse("an object registered as an extension (copyreg)")


def _persistent(reader: Any) -> None:
    _refuse("a persistent id, which refers to an object outside the file (or the file is not a pickle)")


_OPCODES = dict(pickle._Unpickler.dispatch)
for _opcode in (pickle.REDUCE, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX):
    _OPCODES[_opcode[0]] = _paid(_OPCODES[_opcode[0]])
for _opcode in (pickle.EXT1, pickle.EXT2, pickle.EXT4):
    _OPCODES[_opcode[0]] = _extension
for _opcode in (pickle.PERSID, pickle.BINPERSID):
    _OPCODES[_opcode[0]] = _persistent
_OPCODES |= {pickle.BUILD[0]: _paid(_build), pickle.BYTEARRAY8[0]: _bytearray}


class _Reader(pickle._Unpickler):
    """Python's own unpickler, restricted; the one in C does not allow opcodes to be replaced."""

    dispatch = _OPCODES

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.left = _MOST_EXPANDED * len(content)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _BUILDERS:
            _refuse(f"{module}.{name}")
        return _BUILDERS[module, name]


_LEAVES = (type(None), bool, int, float, str, bytes, np.ndarray, np.generic, np.dtype)


def _check(value: Any) -> None:
    """Reject placeholders left in the result, such as a function that is never called."""
    seen, waiting = set(), [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _LEAVES) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        else:
            _refuse(f"an object of type {type(item).__name__}")
