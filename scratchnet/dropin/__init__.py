"""The books' `common` and `dataset` served by scratchnet, so that their scripts run unmodified.

`install()` puts a finder in front of Python's own; `scratchnet run` and `%load_ext scratchnet` do the same. From
then on `common.layers`, `dataset.mnist`, ... are scratchnet's, also under another root (`deep2.common.layers`).

`finder` decides what an import gets, `editions` finds out which book a script is, `runner` runs one.
"""

from .editions import book_of
from .finder import install, load_extension, uninstall
from .runner import run_script

__all__ = ["book_of", "install", "load_extension", "run_script", "uninstall"]
