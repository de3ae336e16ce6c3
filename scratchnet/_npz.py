"""Reading NumPy's .npz archives whose content is not trusted: headers first, then only what was asked for."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ._arrays import Array

_MOST_HEADER = 10_000  # bytes of NumPy's header before an array's data


class Header(NamedTuple):
    """What an entry says about its array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an open .npz file: their headers are read at once, their data on request.

    Raises
    ------
    Exception
        It is not such a file, or is damaged, here or in `read`: zipfile, zlib and NumPy have their own errors.
    """

    def __init__(self, file: BinaryIO) -> None:
        from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile  # not at import: it is slow to load

        try:
            self._archive = ZipFile(file)
        except BadZipFile:
            raise ValueError("it is not an archive of arrays (.npz)") from None
        entries = self._archive.infolist()
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        if len(self._entries) < len(entries):
            raise ValueError("two entries have the same name")
        self.headers: dict[str, Header] = {}
        for name, entry in self._entries.items():
            if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others allocate what the file says
                raise ValueError(f"{name} uses a compression method that NumPy does not write")
            with self._archive.open(entry) as stream:
                head = BytesIO(stream.read(_MOST_HEADER))  # compressed data may have any length
            version = np.lib.format.read_magic(head)
            read = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(head)
            if dtype.kind not in "biufcU":
                raise ValueError(f"{name} has dtype {dtype}")
            self.headers[name] = Header(shape, dtype)

    def read(self, name: str) -> Array:
        """Return an array."""
        with self._archive.open(self._entries[name]) as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read(1)  # at the end, this verifies the checksum
        return array
