"""`np` and `GPU`, which book 2's modules pass on by star imports, as `scratchnet.np` has them.

They are looked up when a script asks for them, because it sets `config.GPU` after scratchnet has been imported.
Inside the modules `np` stays NumPy, whose functions hand CuPy's arrays on to CuPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Passing(ModuleType):
    """A module whose `np` and `GPU`, seen from outside, are those of `scratchnet.np`."""

    @property
    def np(self) -> Any:
        from .np import np

        return np

    @property
    def GPU(self) -> bool:
        from .np import GPU

        return GPU

    def __reduce__(self) -> tuple[Any, ...]:
        # By name, as cloudpickle and others do it for modules whose class is Python's own.
        return import_module, (self.__name__,)


def pass_on_np(module: str) -> None:
    """Make a module's `np` and `GPU` those of `scratchnet.np`."""
    sys.modules[module].__class__ = _Passing
