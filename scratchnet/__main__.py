"""The command line: `scratchnet train`, `predict`, `run`, `info`; also `python -m scratchnet`.

`run` starts without what only the other commands need: a script pays for what it imports.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import __version__
from ._start import say

if TYPE_CHECKING:
    import argparse


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    if sys.stderr is None:  # closed, by 2>&-; messages must not go to the output
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        arguments = sys.argv[1:] if argv is None else list(argv)
        options = _plain_run(arguments)
        if options is None:
            if arguments[:2] == ["train", "table"]:  # a command of its own: it has a file, and other settings
                arguments[:2] = ["train table"]
            options = _parser(only_run=arguments[:1] == ["run"]).parse_args(arguments)
        command: Callable[[Any], int] = options.run
        if command is not _run:
            return _in_words(command, options)
    finally:
        _let_go_of_output()
    return _run(options)  # outside the try above: a script's errors are its own


def _in_words(command: Callable[[Any], int], options: Any) -> int:
    """Run a command; say in one line what stops it."""
    try:
        if sys.stdout is None:
            raise OSError("the standard output is closed")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without Korean letters must not stop us
        code = command(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        say("stopped by Ctrl-C")
        return 130
    except (ValueError, IndexError, OverflowError, OSError, ImportError, MemoryError) as error:
        if not _is_reader_gone(error):
            say(f"error: {error or type(error).__name__}")
        return 1
    except RuntimeError as error:
        from .backends import NoGPUError

        is_missing = isinstance(error, NoGPUError) or type(error).__name__ == "RankError"
        if not is_missing and getattr(options, "device", "cpu") != "cuda":
            raise
        say(f"error: {'' if is_missing else 'the GPU failed: '}{error}")  # the latter is CuPy's
        return 1


def _is_reader_gone(error: Exception) -> bool:
    """Whether it says that the reader of our output, such as `head`, has exited.

    To Windows, output that leads nowhere is an invalid argument.
    """
    if isinstance(error, BrokenPipeError) or sys.platform != "win32":
        return isinstance(error, BrokenPipeError)
    return isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def _let_go_of_output() -> None:
    """Flush the output; drop what cannot be written, or Python would report an error at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _plain_run(arguments: Sequence[str]) -> Any:
    """Return the options of `run`, spelled out and right, else None: argparse takes as long as all the rest.

    It has the words for help and for what is wrong, and knows shortened options.
    """
    if arguments[:1] != ["run"]:
        return None
    options = SimpleNamespace(run=_run, book=None, float32=False, quiet=False, keep_own=False)
    rest = list(arguments[1:])
    while rest and rest[0].startswith("-"):
        if rest[0] in ("--float32", "--quiet", "--keep-own"):
            setattr(options, rest[0][2:].replace("-", "_"), True)
        elif rest[0] == "--book" and rest[1:2] in (["1"], ["2"]):
            options.book = int(rest.pop(1))
        else:
            return None
        del rest[0]
    if not rest:
        return None
    options.script, options.arguments = rest[0], rest[1:]
    return options


def _parser(*, only_run: bool) -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(prog="scratchnet", description="The books' networks on compiled kernels.")
    parser.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    if not only_run:
        from . import _commands, _predict_command, _table_command

        for module in (_commands, _table_command, _predict_command):
            module.add_to(commands)
    script = commands.add_parser(
        "run", help="run a script from the books, with common and dataset taken from scratchnet"
    )
    script.add_argument(
        "--book", type=int, choices=(1, 2), help="which book it is from (default: detected from its imports)"
    )
    script.add_argument(
        "--float32", action="store_true", help="compute in float32 whatever the dtype of the weights"
    )
    script.add_argument(
        "--quiet", action="store_true", help="say nothing of what is compiled and what is the script's own"
    )
    script.add_argument(
        "--keep-own", action="store_true", help="run the books' classes that the script itself defines as written"
    )
    script.add_argument("script", help="a Python file")
    script.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    script.set_defaults(run=_run)
    return parser


def _run(options: Any) -> int:
    from .dropin import run_script  # its import changes what `common` means

    if not os.path.isfile(options.script):
        say(f"error: there is no file {options.script}; expected a Python script")
        return 2
    run_script(
        options.script,
        options.arguments,
        book=options.book,
        float32=options.float32,
        quiet=options.quiet,
        keep_own=options.keep_own,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
