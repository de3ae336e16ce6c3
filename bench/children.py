"""Whole scripts as processes of their own: what they print, and the seconds that they cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import about_digits

from scratchnet.dataset import mnist, sequence

BENCH = Path(__file__).resolve().parent
TESTS = BENCH.parent / "tests"
SCRIPTS = BENCH / "scripts"
SHARED = (BENCH, TESTS / "scripts")  # where the scripts have their networks from


@dataclass
class Run:
    """What a process printed, and its seconds: of the processor (its own and the system's), and on the clock."""

    lines: list[str]
    cpu: float
    wall: float


def run(command: Sequence[str], folder: Path, path: Sequence[Path], compiled: Path, **settings: str) -> Run:
    """Run a command in a folder, its modules on a path and their compiled form in a folder of its own.

    Raises
    ------
    AssertionError
        It failed.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **settings}
    environment |= {"PYTHONPYCACHEPREFIX": str(compiled), "PYTHONSAFEPATH": "", "SCRATCHNET_LANG": ""}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile again
    printed = folder / "printed.txt"
    with printed.open("w") as file:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.PIPE)
        assert child.stderr is not None
        with child.stderr:
            errors = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, errors.decode()
    return Run(printed.read_text().splitlines(), used.ru_utime + used.ru_stime, wall)


def plain(script: str, *arguments: str, folder: Path, compiled: Path) -> Run:
    """Run a script with its book's package in plain NumPy."""
    package = TESTS / "numpy_books" / script.split("_")[0]
    return run([sys.executable, str(SCRIPTS / script), *arguments], folder, [package, TESTS, *SHARED], compiled)


def ours(script: str, *arguments: str, folder: Path, compiled: Path, options: Sequence[str] = ()) -> Run:
    """Run a script by `scratchnet run`."""
    command = [sys.executable, "-P", "-m", "scratchnet", "run", *options, str(SCRIPTS / script), *arguments]
    return run(command, folder, SHARED, compiled, SCRATCHNET_DATA=str(folder / "dataset"))


def write_data(folder: Path, words: int = 10000) -> str:
    """Write what the scripts read into `dataset` of a folder; return where the digits come from."""
    (folder / "dataset").mkdir()
    _write_digits(folder / "dataset")
    rng = np.random.default_rng(0)
    # As frequent as the words of a language, and every one at least once.
    text = np.concatenate([rng.zipf(1.2, 6 * words) % words, np.arange(words)])
    for part in ("train", "valid"):
        (folder / "dataset" / f"ptb.{part}.txt").write_text(" ".join(f"w{i}" for i in text))
    for name in ("addition.txt", "date.txt"):
        (x, t), _ = sequence.load_data(name)
        chars = sequence.get_vocab()[1]
        lines = ("".join(chars[i] for i in row) for row in np.hstack((x, t))[:words].tolist())
        (folder / "dataset" / name).write_text("\n".join(lines))
    return about_digits()


def _write_digits(folder: Path) -> None:
    if os.environ.get("SCRATCHNET_DATA"):
        data = mnist.load_mnist(normalize=False)
    else:
        rng = np.random.default_rng(0)
        likely = rng.random((10, 784)) < 0.2  # the pixels that a digit of this class may have
        labels = [rng.integers(0, 10, n, dtype=np.uint8) for n in (60000, 10000)]
        data = [(rng.integers(0, 256, (len(t), 784), dtype=np.uint8) * likely[t], t) for t in labels]
    for part, (x, t) in zip(("train", "t10k"), data, strict=True):
        for kind, array in (("images-idx3", x.reshape(-1, 28, 28)), ("labels-idx1", t)):
            sizes = np.array(array.shape, ">u4").tobytes()
            head = bytes([0, 0, 8, array.ndim]) + sizes
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
