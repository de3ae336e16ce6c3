"""Loads the compiled kernels before all else: what keeps them from it is an error of the command line, too.

`scratchnet ...` and `python -m scratchnet ...` import the package before `main` can catch anything.
"""

import os
import re
import sys
from contextlib import suppress


def say(text: str) -> None:
    """Print a message of the command, apart from its output."""
    with suppress(OSError):  # the reader is gone
        print(f"scratchnet: {text}", file=sys.stderr)


def _is_command() -> bool:
    """Whether this process runs the command, and no program that imports the package."""
    if sys.argv[0] == "-m":  # while Python is locating the module; its name precedes the arguments
        return re.fullmatch(r"(-\w*m)?scratchnet(\.__main__)?", sys.orig_argv[-len(sys.argv)]) is not None
    return os.path.splitext(os.path.basename(sys.argv[0]))[0] in ("scratchnet", "scratchnet-script")


try:
    from . import _compute as _compute
    from . import backends as backends
except ImportError as error:
    if not _is_command():
        raise
    if sys.stderr is not None:
        say(f"error: {error}")
    sys.exit(2)
