"""The table of editions: which definitions of readers' files, and which whole files, are served, and by what.

`editions.txt` has a line for each: a SHA-256, of a definition's syntax tree (`fingerprint`) with its names here
("1.layers.Affine", also more than one), or of a file, with `=` before its name. `tools/build_editions.py`
makes it, from versions that were tried and compute the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from .._paths import content

_HOMES = {"1": "scratchnet.book1", "2": "scratchnet.book2"}
_OTHERS = {  # each all in one module
    "1ch": "scratchnet.book1.simple_convnet",
    "2ch": "scratchnet.dropin.chapters",
    "2ko": "scratchnet.dropin.korean",
}


class KnownFile(NamedTuple):
    """A file of an edition.

    Its line has `=1.common.functions 10 relu_grad:25-29`: of ten definitions that in lines 25 to 29 is not the
    book's, and runs as it is written. `Trainer=2ko` is one that another edition's home serves.
    """

    name: str  # with its book: "1.common.functions"
    definitions: int  # how many
    kept: Mapping[str, tuple[int, int]]  # first and last lines
    elsewhere: Mapping[str, str]  # modules of scratchnet


@cache
def text() -> str:
    """Return the table, each line with a newline before and after it.

    It is searched for the few digests that a script asks for: to split all lines would take longer.
    """
    return "\n" + content(os.path.join(os.path.dirname(__file__), "editions.txt")).decode()


def words_of(digest: str) -> list[str]:
    """Return the words of a digest's line: none if it is not in the table."""
    _, found, rest = text().partition(f"\n{digest} ")
    return rest[: rest.index("\n")].split() if found else []


@cache
def served_names() -> frozenset[str]:
    """Return the names of all definitions in the table."""
    return frozenset(re.findall(r" \w+\.\w+\.(\w+)", text()))  # not of files, which have = before theirs


def homes_of(digest: str, name: str) -> list[tuple[int, str]]:
    """Return the books, and the modules of scratchnet, that have a definition of this fingerprint and name."""
    found = []
    for word in words_of(digest):
        edition, module, of = word.split(".")
        if of == name:
            found.append((int(edition[0]), _OTHERS.get(edition) or f"{_HOMES[edition]}.{module}"))
    return found


def known_file(digest: str) -> KnownFile | None:
    """Return what is known of the file with this digest."""
    words = words_of(digest)
    if not words:
        return None
    name, definitions, *rest = words
    pairs = [word.split(":") for word in rest if ":" in word]
    kept = {of: (int(first), int(last)) for of, (first, last) in ((of, at.split("-")) for of, at in pairs)}
    homes = dict(word.split("=") for word in rest if "=" in word)
    return KnownFile(name[1:], int(definitions), kept, {of: _OTHERS[edition] for of, edition in homes.items()})
