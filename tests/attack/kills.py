"""A process that saves over and over is killed: the file is whole, the one before or the one after."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import MultiLayerNet
from scratchnet.base_model import BaseModel

SIZES = (64, 256, 10)  # some 20,000 numbers: a save takes about a millisecond


class Net(BaseModel):
    """A model of book 2, whose files are pickles."""

    def __init__(self) -> None:
        self.params = [np.zeros(SIZES[:2], np.float32), np.zeros(SIZES[1:], np.float32)]


def network() -> Any:
    return MultiLayerNet(SIZES[0], [SIZES[1]], SIZES[2], rng=0)


def fill(model: Any, number: int) -> None:
    for p in model.params:
        p[...] = number


def read(model: Any, path: Path) -> int | None:
    """The number that a file holds, all over; None where it holds several."""
    model.load_params(path)
    numbers = {int(n) for p in model.params for n in np.unique(p)}
    return numbers.pop() if len(numbers) == 1 else None


def save_for_ever(model: Any, path: Path, options: dict[str, Any], done: int) -> None:
    """In the process that will be killed: save 1, 2, 3, ..., and tell each that is done."""
    try:
        for number in range(1, 2000):
            fill(model, number)
            model.save_params(path, **options)
            os.write(done, number.to_bytes(2, "little"))
        time.sleep(60)
    finally:
        os._exit(1)


def prepare(seed: int, count: int) -> Callable[[int], str | None]:
    home = Path(tempfile.mkdtemp(dir="."))

    def trial(k: int) -> str | None:
        rng = np.random.default_rng([seed, k])
        pickled = rng.random() < 0.4
        make: Callable[[], Any] = Net if pickled else network
        options = {} if pickled or rng.random() < 0.5 else {"dtype": "float16"}
        folder = home / str(k)
        folder.mkdir()
        path = folder / ("w.pkl" if pickled else "w.npz")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            save_for_ever(make(), path, options, writing)
        os.close(writing)
        time.sleep(rng.random() * 0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = b""
        while part := os.read(reading, 1 << 16):
            told += part
        os.close(reading)
        done = len(told) // 2
        return verdict(make(), path, done, options)

    return trial


def verdict(model: Any, path: Path, done: int, options: dict[str, Any]) -> str | None:
    if path.exists():
        try:
            number = read(model, path)
        except (ValueError, OSError) as error:
            return f"after {done} saves the file is damaged: {error}"
        if number not in (done, done + 1):
            return f"after {done} saves the file holds {number}"
    elif done:
        return f"after {done} saves there is no file"
    left = sorted(p.name for p in path.parent.iterdir() if p != path)
    if len(left) > 1:
        return f"left behind: {left}"
    fill(model, 7)
    model.save_params(path, **options)
    if read(model, path) != 7:
        return "the next save is not there"
    left = sorted(p.name for p in path.parent.iterdir() if p != path)
    return f"the next save leaves {left}" if left else None
