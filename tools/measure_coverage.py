"""Count which lines of the Python and Cython code the tests run. `make coverage` runs this.

The extension is built with line tracing in a copy of the sources, so that the one in use stays fast. Only one
process is counted: what the tests run in others (the command line, `scratchnet.np`) counts as not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from wheel import ROOT, copy_sources

TREE = ROOT / "build" / "coverage-tree"


def run(*arguments: str, **environment: str) -> None:
    """Run a Python module or script in the copy; stop where it fails."""
    environment = os.environ | {"PYTHONPATH": str(TREE)} | environment
    subprocess.run([sys.executable, "-P", *arguments], cwd=TREE, env=environment, check=True)


shutil.rmtree(TREE, ignore_errors=True)
copy_sources(TREE)
run("setup.py", "-q", "build_ext", "--inplace", SCRATCHNET_BUILD="coverage")
run("-m", "coverage", "run", "-m", "pytest", "-q")
run("-m", "coverage", "report", "--skip-covered")
