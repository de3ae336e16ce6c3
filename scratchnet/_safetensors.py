"""Files of the safetensors format, through the library of that name: arrays and texts by name."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array
from ._npz import Header

_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


def dump(arrays: Mapping[str, Array], texts: Mapping[str, str]) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    ImportError
        The library is missing; says what to install.
    """
    _library()
    from safetensors.numpy import save

    little_endian = {name: np.asarray(a, a.dtype.newbyteorder("<"), order="C") for name, a in arrays.items()}
    written: bytes = save(little_endian, dict(texts))
    return written


class SafetensorsFile:
    """The arrays of a file, and those of its texts that are asked for: headers first, as in `_npz.Archive`.

    Raises
    ------
    ImportError
        The library is missing; says what to install.
    Exception
        It is not such a file, is damaged, or has arrays of other dtypes; the library has its own errors.
    """

    def __init__(self, path: Path, texts: Container[str]) -> None:
        self._file: Any = _library().safe_open(path, framework="numpy")
        found = self._file.metadata() or {}
        self._texts = {name: np.array(text) for name, text in found.items() if name in texts}
        self.headers = {name: Header((), text.dtype) for name, text in self._texts.items()}
        for name in [*self._file.keys()]:
            part = self._file.get_slice(name)
            if name in self.headers:
                raise ValueError(f"two entries have the name {name}")
            if part.get_dtype() not in _DTYPES:
                raise ValueError(f"{name} has dtype {part.get_dtype()}, expected {', '.join(_DTYPES)}")
            self.headers[name] = Header(tuple(part.get_shape()), np.dtype(_DTYPES[part.get_dtype()]))

    def read(self, name: str) -> Array:
        """Return an array, or a text in one."""
        return self._texts[name] if name in self._texts else np.array(self._file.get_tensor(name))


def _library() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            '.safetensors files require safetensors: pip install "scratchnet[safetensors]"; .npz files do not'
        ) from None
    return safetensors
