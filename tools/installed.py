"""Test what users install: the sdist in dist/, built and installed in a fresh environment of every Python.

Every CPython from 3.11 up that is on PATH or in ~/.pyenv/versions gets a wheel built from the sdist alone, with no
checkout near: the tests are the sdist's, unpacked into a folder that holds no package. The first Python runs all
but the long tests; the others, and each with the oldest NumPy that is allowed and has a wheel for it, the files of
QUICK.
Every warning is an error, in the tests' own processes too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("test_kernels", "test_accuracy", "test_layers", "test_plan", "test_threads", "test_architecture")
# the first with a wheel
OLDEST_NUMPY = {"3.11": "2.0.0", "3.12": "2.0.0", "3.13": "2.1.0", "3.14": "2.3.2", "3.15": "2.5.2"}

ABOUT = (
    "import json, sys, sysconfig; print(json.dumps([sys.implementation.name, sys.version_info[:2], sys.abiflags,"
    "sys.executable, sysconfig.get_path('include')]))"
)


def pythons() -> dict[str, str]:
    """Every usable Python, one of each version: {"3.12": executable}."""
    folders = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep)]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    found: dict[str, str] = {}
    for name in ("python3", *(f"python3.{minor}{t}" for minor in range(11, 20) for t in ("", "t"))):
        for folder in folders:
            if not (folder / name).exists():
                continue
            done = subprocess.run([folder / name, "-I", "-c", ABOUT], capture_output=True, text=True)
            if done.returncode:
                continue  # pyenv's shim of a version that is not switched on
            kind, (major, minor), abi, executable, include = json.loads(done.stdout)
            version = f"{major}.{minor}{abi}"
            if kind != "cpython" or (major, minor) < (3, 11) or version in found:
                continue
            if not (Path(include) / "Python.h").exists():
                print(f"-- skipped, no Python.h: {executable}")
                continue
            found[version] = executable
    return found


def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    """Run a command and stop at a failure."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-8000:]}")
    if "no:cacheprovider" in command:  # the tests' last line
        print("  ", done.stdout.strip().splitlines()[-1], flush=True)


def test(python: Path, room: Path, files: tuple[str, ...]) -> None:
    """Run tests in a folder that holds nothing but them, against the installed package; all in parallel."""
    parallel = () if files else ("-n", "auto", "--maxprocesses=4", "--dist=worksteal", "-p", "no:benchmark")
    where = "import scratchnet, sys; sys.exit(not scratchnet.__file__.startswith(sys.prefix))"
    run(python, "-P", "-c", where, cwd=room)
    run(python, "-P", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        *parallel, "-m", "not long", *(f"tests/{name}.py" for name in files),
        cwd=room, PYTHONSAFEPATH="1", PYTHONWARNINGS="error")  # fmt: skip


def tests_alone(sdist: Path, work: Path) -> Path:
    """Unpack the tests of an sdist, and no more, into a folder; return it."""
    room = work / "room"
    with tempfile.TemporaryDirectory(dir=work) as name:
        shutil.unpack_archive(sdist, name)
        (source,) = Path(name).iterdir()
        shutil.copytree(source / "tests", room / "tests")
        shutil.copytree(source / "bench", room / "bench")  # test_bench imports it
        shutil.copy(source / "pyproject.toml", room)  # pytest's settings
    return room


def main() -> None:
    """Build, install and test under every Python."""
    (sdist,) = (ROOT / "dist").glob("scratchnet-*.tar.gz")
    found = pythons()
    print("Pythons:", ", ".join(found) or "none", flush=True)
    if not found:
        sys.exit("no Python 3.11 or newer with headers")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        room = tests_alone(sdist, work)
        for number, (version, executable) in enumerate(found.items()):
            venv = work / version
            python = venv / "bin" / "python"
            print(f"== Python {version}", flush=True)
            run(executable, "-m", "venv", venv, cwd=work)
            run(python, "-m", "pip", "install", "-q", "-U", "pip", cwd=work)
            run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", work / f"{version}-wheel", sdist, cwd=work)
            (wheel,) = (work / f"{version}-wheel").glob("*.whl")
            needs = [f"{wheel}[bench]", "pytest-xdist"] if number == 0 else [wheel, "pytest", "hypothesis"]
            run(python, "-m", "pip", "install", "-q", *needs, cwd=work)
            test(python, room, () if number == 0 else QUICK)
            if oldest := OLDEST_NUMPY.get(version):
                print(f"   with NumPy {oldest}", flush=True)
                run(python, "-m", "pip", "install", "-q", "--only-binary=numpy", f"numpy=={oldest}", cwd=work)
                test(python, room, QUICK)


if __name__ == "__main__":
    main()
