"""What the checks of other platforms have in common: a time for all, and two ways to end early.

What cannot be had here is said and skipped; what failed is an error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any

APT = Lock()
MINUTES = 20
ENDS = time.monotonic() + MINUTES * 60
SAFE = {"PYTHONSAFEPATH": "1", "MPLBACKEND": "Agg"}


class NotHadError(Exception):
    """Something is not to be had here; the text says what and why."""


class FailedError(Exception):
    """A build or a test failed; the text is what it printed."""


def run(
    *command: str | Path, cwd: Path | None = None, error: type[Exception] = NotHadError, **settings: str
) -> str:
    """Run a command in namespaces for its processes and mounts; return what it printed."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SCRATCHNET"))} | settings
    try:
        done = subprocess.run([str(c) for c in (*alone, *command)], cwd=cwd, env=environment, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=max(ENDS - time.monotonic(), 0))  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotHadError(f"{MINUTES} minutes are over") from None
    if done.returncode:
        raise error(f"{' '.join(map(str, command[:3]))} ... failed:\n{done.stdout[-6000:].strip()}")
    return done.stdout


def download(url: str, sha256: str, path: Path) -> Path:
    """Download a file that must be the known one."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        raise NotHadError(f"{url}: {error}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NotHadError(f"{url} is another file than it was")
    path.write_bytes(content)
    return path


def get_tools(packages: dict[str, str]) -> None:
    """Install the tools that are missing, {command: Debian's package}, where apt and the right are there."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise NotHadError("made for Linux on x86-64")
    if os.geteuid() or shutil.which("apt-get") is None or shutil.which("unshare") is None:
        raise NotHadError("needs root, on a Debian or Ubuntu")
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if missing:
        with APT:
            run("apt-get", "-q", "update")
            run("apt-get", "-q", "install", "-y", "--no-install-recommends", *missing)


def mirror() -> str:
    """The Debian mirror that apt uses."""
    sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()
    return next((site for site in sites if site.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")


def pytest(files: Iterable[str], chosen: str = "") -> tuple[str, ...]:
    """The end of a command that runs tests in the folder that has them."""
    return ("-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "--ignore=tests/cuda",
            "-m", "not long", "-k", chosen, *(f"tests/{name}.py" for name in files))  # fmt: skip


def print_end(name: str, said: str) -> None:
    """Print the last line of tests that passed, and when."""
    minutes = MINUTES - (ENDS - time.monotonic()) / 60
    print(f"   {minutes:4.1f} min  {name}: {said.strip().splitlines()[-1]}", flush=True)


def attempt(name: str, step: Callable, *arguments: Any) -> bool:
    """Take a step; say what could not be had. Return whether nothing failed."""
    try:
        step(*arguments)
    except NotHadError as reason:
        print(f"-- skipped, {name}: {reason}", flush=True)
    except FailedError as error:
        print(f"== failed, {name}: {error}", flush=True)
        return False
    return True
