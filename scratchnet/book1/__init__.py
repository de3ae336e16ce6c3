"""Book 1's `common` and `dataset`: the same layers and kernels with the conventions of that book.

Parameters and gradients are dictionaries, layers hold `W`, `b`, `dW` and `db`, and the Trainer draws its batches
at random. `scratchnet run` serves these modules to book 1's scripts as `common` and `dataset`.

Source: *Deep Learning from Scratch* 1.
"""

from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext scratchnet.book1`: serve book 1's `common` and `dataset` in a notebook; see `dropin`."""
    from .. import dropin

    dropin.load_extension(ipython, 1)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext scratchnet.book1`: stop serving them."""
    from .. import dropin

    dropin.uninstall()
