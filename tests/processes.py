"""Commands in processes of their own."""

from __future__ import annotations

import os
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
    environment = {name: value for name, value in {**os.environ, **settings}.items() if value is not None}
    result = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def fresh(code: str, *options: str, **settings: Any) -> str:
    """What a new interpreter prints."""
    return run(*PYTHON, *options, "-c", code, **settings).stdout
