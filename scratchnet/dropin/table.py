"""The table of editions: which definitions of readers' files, and which whole files, are served, and by what.

`editions.txt` has a line for each: a SHA-256, of a definition's syntax tree (`fingerprint`) with its names here
("1.layers.Affine", also more than one), or of a file, with `=` before its name. `tools/build_editions.py`
makes it, from versions that were tried and compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
def lines() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the words of each line by its digest: the definitions', and the files'."""
    definitions: dict[str, list[str]] = {}
    files: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("editions.txt").read_text("utf-8").splitlines():
        digest, *words = line.split()
        (files if words[0].startswith("=") else definitions)[digest] = words
    return definitions, files


@cache
def served_names() -> frozenset[str]:
    """Return the names of all definitions in the table."""
    return frozenset(word.rpartition(".")[2] for words in lines()[0].values() for word in words)


def homes_of(digest: str, name: str) -> list[tuple[int, str]]:
    """Return the books, and the modules of scratchnet, that have a definition of this fingerprint and name."""
    found = []
    for word in lines()[0].get(digest, ()):
        edition, module, of = word.split(".")
        if of == name:
            found.append((int(edition[0]), _OTHERS.get(edition) or f"{_HOMES[edition]}.{module}"))
    return found


def known_file(digest: str) -> KnownFile | None:
    """Return what is known of the file with this digest."""
    words = lines()[1].get(digest)
    if words is None:
        return None
    name, definitions, *rest = words
    pairs = [word.split(":") for word in rest if ":" in word]
    kept = {of: (int(first), int(last)) for of, (first, last) in ((of, at.split("-")) for of, at in pairs)}
    homes = dict(word.split("=") for word in rest if "=" in word)
    return KnownFile(name[1:], int(definitions), kept, {of: _OTHERS[edition] for of, edition in homes.items()})
