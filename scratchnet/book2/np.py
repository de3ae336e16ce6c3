"""Book 2's `common.np`: `scratchnet.np`."""

from ..np import __getattr__ as __getattr__

__all__ = ["GPU", "np"]
