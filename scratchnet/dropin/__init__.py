"""The books' `common` and `dataset` served by scratchnet, so that their scripts run unmodified.

`install()` puts a finder in front of Python's own; `scratchnet run` and `%load_ext scratchnet` do the same. From
then on `common.layers`, `dataset.mnist`, ... are scratchnet's, also under another root (`deep2.common.layers`),
but for what the reader has written: a file of the reader's is read first, and only what is provably the books'
in it is replaced.

`finder` decides what an import gets, `editions` finds out which book a script is, `runner` runs one, and `spawned`
runs it again in the processes that it starts. Of a reader's file, `bindings` says what it binds, `fingerprint`
what its definitions are, and `recognition` which of them are served, by `table`, which reads `editions.txt`.
`korean` has the trainers whose lines are in Korean, `chapters` what the books keep in the folders of chapters.
"""

from .editions import book_of
from .finder import install, load_extension, uninstall
from .runner import run_script

__all__ = ["book_of", "install", "load_extension", "run_script", "uninstall"]
