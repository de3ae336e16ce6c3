"""The books' packages in plain NumPy, those that the tests run scripts with: both are called `common`."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

TESTS = Path(__file__).resolve().parents[1] / "tests"
MODULES = {1: ("layers", "optimizer"), 2: ("layers", "time_layers", "optimizer", "trainer", "util")}


@cache
def package(book: int) -> SimpleNamespace:
    """The modules of a book's `common`, by name; afterwards nothing called `common` stays imported."""
    path, folders = sys.path[:], [str(TESTS / "scripts" / f"book{book}"), str(TESTS)]
    finders = sys.meta_path[:]
    others = _taken_out()
    sys.path[:0] = folders
    # Not that of scratchnet.dropin, which gives scratchnet's modules where a script asks for `common`.
    sys.meta_path[:] = [f for f in finders if getattr(f, "__module__", "") != "scratchnet.dropin"]
    try:
        return SimpleNamespace(**{name: import_module(f"common.{name}") for name in MODULES[book]})
    finally:
        sys.path[:], sys.meta_path[:] = path, finders
        _taken_out()
        sys.modules.update(others)


def _taken_out() -> dict:
    names = [name for name in sys.modules if name.split(".")[0] == "common"]
    return {name: sys.modules.pop(name) for name in names}
