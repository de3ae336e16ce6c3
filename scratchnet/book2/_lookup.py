"""`np` and `GPU`, which book 2's modules re-export by star imports, with their current values in `scratchnet.np`.

A script sets `config.GPU` after scratchnet has been imported, so they cannot be the modules' own names.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import np


def looked_up(module: str, behind: ModuleType | None = None) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module of book 2; `behind` is one all of whose star import it re-exports."""

    def look_up(name: str) -> Any:
        if name in ("GPU", "np"):
            return getattr(np, name)
        if behind is not None and name in behind.__all__:
            return getattr(behind, name)
        from ..dropin.editions import check_not_of_the_other_book

        check_not_of_the_other_book(2, module, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return look_up
