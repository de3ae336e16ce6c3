"""Build twice, in two folders and with two umasks, and compare the files by their hashes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WHEEL = Path(__file__).with_name("wheel.py")


def hashes(out: Path) -> dict[str, str]:
    """Build into a folder, with temporary files in a folder beside it; the hash of each file."""
    work = out.with_name(f"{out.name}-work")
    work.mkdir()
    command = [sys.executable, "-P", str(WHEEL), "--out", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"TMPDIR": str(work)}, stdout=subprocess.DEVNULL)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


with tempfile.TemporaryDirectory() as name:
    first = hashes(Path(name) / "first")
    os.umask(0o077)
    second = hashes(Path(name) / "the-second-somewhere-else")
for file in first.keys() | second.keys():
    if first.get(file) != second.get(file):
        sys.exit(f"{file} differs between two builds: {first.get(file)}, {second.get(file)}")
    print(f"{first[file]}  {file}")
