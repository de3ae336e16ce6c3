"""Book 2's `common` and `dataset`: scratchnet's modules with the names that the book's modules re-export.

For scripts that star-import: `from common.layers import *` becomes `from scratchnet.book2.layers import *`, which
gives `np`, `GPU`, `softmax`, ... as the book's module does. What a module re-exports is its `__all__`. Layers,
functions and trainers are those of `scratchnet.layers`, ...; only Nesterov is the book's own. `scratchnet run`
serves these modules to book 2's scripts as `common`.

Source: *Deep Learning from Scratch* 2.
"""

from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext scratchnet.book2`: serve book 2's `common` and `dataset` in a notebook; see `dropin`."""
    from .. import dropin

    dropin.load_extension(ipython, 2)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext scratchnet.book2`: stop serving them."""
    from .. import dropin

    dropin.uninstall()
