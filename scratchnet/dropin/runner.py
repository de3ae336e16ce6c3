"""Runs a script of the books as Python runs a script."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from .._compute import choose
from .._files import as_path
from .bindings import names_set_in_modules
from .editions import book_of, roots_of
from .finder import FINDER, install
from .recognition import may_have_some


def run_script(
    script: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    *,
    book: int | None = None,
    float32: bool = False,
    quiet: bool = False,
    keep_own: bool = False,
) -> None:
    """Run a script as `python script arguments` would, with `common` and `dataset` from scratchnet.

    It is `__main__`, its folder is the first on the path and its arguments are in `sys.argv`; its exceptions
    propagate, and Python shows them without the frames of scratchnet that led to the script.

    Parameters
    ----------
    script : path
        A Python file.
    arguments : sequence of str
        The script's arguments.
    book : 1 or 2, optional
        Which book it belongs to; by default `book_of` determines it.
    float32 : bool
        Whether layers compute in float32 if weights are float64: parameters, gradients, the optimizer's state
        and losses keep their dtype.
    quiet : bool
        Whether to say nothing, on stderr, of what was not compiled.
    keep_own : bool
        Whether definitions of the books in the script itself run as they are written; by default they are
        compiled as well.

    Raises
    ------
    OSError
        The script cannot be read.
    ValueError
        It is not a valid path.
    BaseException
        Whatever the script raises, SystemExit too.
    """
    path = os.path.abspath(as_path("run_script", script))
    source = Path(path).read_bytes()
    folder = os.path.dirname(os.path.realpath(path))
    install(book_of(path) if book is None else book, roots=roots_of(Path(path)))
    FINDER.folders = [folder, os.path.dirname(folder)]
    FINDER.is_quiet = quiet
    if sys.flags.safe_path:
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder  # instead of the command's own
    sys.argv = [os.fspath(script), *arguments]
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __cached__=None, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    if float32:
        choose("float32")
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):  # Python says it
        FINDER.replaced |= names_set_in_modules(ast.parse(source))
    code: CodeType | None = None
    try:
        code = _own_code(path, source) if not keep_own else None
        code = code or compile(source, path, "exec", dont_inherit=True)
        exec(code, vars(main))
    except SystemExit:
        raise
    except BaseException:
        _show_only(code)
        raise
    finally:
        if not FINDER.has_served:
            why = "" if FINDER.has_found else ": it imports neither common nor dataset"
            FINDER.say(f"nothing of {os.fspath(script)} was compiled{why}")


def _own_code(path: str, source: bytes) -> CodeType | None:
    """Return the script's code with compiled definitions in the place of the books'; None without any."""
    if not may_have_some(source):
        return None
    reading = FINDER.readings(None).script(Path(path))
    if not reading.served:
        return None
    FINDER.has_served = True
    FINDER.say(f"{os.path.basename(path)}: compiled, since the books have the same: {', '.join(reading.served)}")
    return reading.code()


def _show_only(code: CodeType | None) -> None:
    """Have an error shown from the script's first frame on."""
    show = sys.excepthook  # the script may have set its own

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        while frames is not None and frames.tb_frame.f_code is not code:
            frames = frames.tb_next
        error.__traceback__ = frames
        show(kind, error, frames)

    sys.excepthook = hook
