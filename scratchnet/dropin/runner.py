"""Runs a script of the books as Python runs a script."""

from __future__ import annotations

import ast
import os
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import NamedTuple

from .. import _compute
from .._paths import content, path_text
from .bindings import may_set_names, names_set_in_modules
from .editions import book_by_imports, imports_in, neighbours, parsed, roots_in
from .finder import FINDER, install
from .recognition import may_have_some

STARTED = "SCRATCHNET_STARTED"  # in the environment of the processes that a script starts
SPAWNED = "scratchnet.dropin.spawned"
WORTH_A_HINT = 20  # seconds that a script took


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
    path = os.path.abspath(path_text("run_script", script))
    source = content(path)
    folder = os.path.dirname(os.path.realpath(path))
    tree = parsed(source)
    names = list(imports_in(tree))
    book = book_by_imports(path, names) if book is None else book
    started = Started(path, book, roots_in(names), float32, quiet, keep_own)
    os.environ[STARTED] = repr(tuple(started))
    if sys.flags.safe_path:
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder  # instead of the command's own
    sys.argv = [os.fspath(script), *arguments]
    main = ModuleType("__main__")
    main.__spec__ = ModuleSpec(SPAWNED, None)  # what multiprocessing runs in a new process, instead of the file
    vars(main).update(__file__=path, __cached__=None, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    code: CodeType | None = None
    begin = time.monotonic()
    try:
        code = prepare(started, source, tree, names)
        exec(code, vars(main))
    except SystemExit as error:
        _end_others(error)
        raise
    except BaseException as error:
        _end_others(error)
        if isinstance(error, Exception):
            _explain(error)
        _show_only(code)
        raise
    finally:
        say_if_nothing_was_served(os.fspath(script))
        if book == 1 and FINDER.has_served and not _compute.in_float32 and time.monotonic() - begin > WORTH_A_HINT:
            FINDER.say("it computed in float64, as book 1's code does; `scratchnet run --float32` may be faster")


class Started(NamedTuple):
    """How a script was started."""

    path: str
    book: int
    roots: list[str]
    float32: bool
    quiet: bool
    keep_own: bool


def prepare(started: Started, source: bytes, tree: ast.Module, names: Sequence[str]) -> CodeType:
    """Serve what a script imports, and return its code with compiled definitions in the place of the books'."""
    folder = os.path.dirname(os.path.realpath(started.path))
    install(started.book, roots=started.roots)
    FINDER.folders = [folder, os.path.dirname(folder)]
    FINDER.is_quiet = started.quiet
    if started.float32:
        _compute.choose("float32")
    FINDER.replaced |= names_set_in_modules(tree)
    for neighbour in neighbours(names, folder):
        text = content(neighbour)
        if may_set_names(text):
            FINDER.replaced |= names_set_in_modules(parsed(text))
    if not started.keep_own and may_have_some(source):
        reading = FINDER.read_script(started.path)
        if reading is not None:
            FINDER.name_as_the_readers("__main__", reading)
            return reading.code()
    return compile(source, started.path, "exec", dont_inherit=True)


def say_if_nothing_was_served(script: str) -> None:
    """Say, at a script's end, that scratchnet had no part in it."""
    if not FINDER.has_served:
        why = "" if FINDER.has_found else ": it imports neither common nor dataset"
        FINDER.say(f"nothing of {script} was compiled{why}")


def _explain(error: Exception) -> None:
    """Add to an error that was raised in a served definition in whose file's place it is."""
    inside, frames = False, error.__traceback__
    while frames is not None:
        was_inside, inside = inside, _is_ours(frames.tb_frame)
        if inside and not was_inside:
            entered = frames.tb_frame
        frames = frames.tb_next
    if not inside:
        return
    own = entered.f_locals.get("self")
    name = entered.f_code.co_name if own is None else type(own).__name__
    for module, path in FINDER.places.items():
        served = getattr(sys.modules.get(module), name, None)
        if served is not None and (served is type(own) or getattr(served, "__code__", None) is entered.f_code):
            error.add_note(f"scratchnet: {module}.{name} is compiled, in the place of the book's in {path}")
            return


def _end_others(error: BaseException) -> None:
    """Have MPI, if the script uses it, end the other ranks with this one, for which they may wait."""
    if "mpi4py.MPI" in sys.modules and not getattr(error, "is_told", False):
        from mpi4py.run import set_abort_status

        set_abort_status(error)


def _is_ours(frame: FrameType) -> bool:
    package = os.path.dirname(os.path.dirname(__file__)) + os.sep
    return frame.f_code.co_filename.startswith((package, "scratchnet/backends/"))  # the latter are compiled


def _show_only(code: CodeType | None) -> None:
    """Have an error shown from the script's first frame on."""
    show = sys.excepthook  # the script may have set its own

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        while frames is not None and frames.tb_frame.f_code is not code:
            frames = frames.tb_next
        error.__traceback__ = frames
        show(kind, error, frames)

    sys.excepthook = hook
