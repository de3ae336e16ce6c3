"""Commands in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = (sys.executable, "-P")


def run(
    *command: Any,
    cwd: Path | None = None,
    check: bool = True,
    timeout: float | None = None,
    **settings: str | None,
) -> subprocess.CompletedProcess[str]:
    """Run a command; `settings` are environment variables to set, or, with None, to remove."""
    utf_8 = {"PYTHONIOENCODING": "utf-8"}  # what is printed, whatever this machine's own encoding
    environment = {name: value for name, value in {**os.environ, **utf_8, **settings}.items() if value is not None}
    result = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def _ctrl_c_as_usual() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# As `preexec_fn`: in the background of a script SIGINT is ignored, and a child would inherit that.
ctrl_c_as_usual = None if sys.platform == "win32" else _ctrl_c_as_usual


def fresh(code: str, *options: str, **settings: Any) -> str:
    """What a new interpreter prints."""
    return run(*PYTHON, *options, "-c", code, **settings).stdout
