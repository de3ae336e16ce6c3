"""Paths as text: what the start of a script needs of files, without pathlib, whose import is a sixth of it."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["content", "path_text"]


def path_text(where: str, path: Any) -> str:
    """Return a path given as a str or as an os.PathLike of str.

    Raises
    ------
    ValueError
        It is something else (bytes, a file descriptor), or cannot be a file name.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = path
    if not isinstance(text, str):
        raise ValueError(f"{where}: expected a path, a str or a pathlib.Path, got {path!r}")
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ValueError(f"{where}: {text!r} cannot be a file name")
    return text


def content(path: str) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with open(path, "rb") as file:
        return file.read()
