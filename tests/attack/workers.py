"""Starts the processes that make trials, and goes on behind a trial that one of them did not survive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 20  # seconds that one trial may take


class Worker:
    """A process that makes every n-th trial of a kind."""

    def __init__(self, kind: str, seed: int, count: int, first: int, step: int, folder: Path) -> None:
        self.kind, self.seed, self.count, self.step, self.folder = kind, seed, count, step, folder
        self.place, self.out = folder / f"at{first}", folder / f"out{first}"
        self.lost: list[str] = []
        self.has_ended = False
        self.start(first)

    def start(self, first: int) -> None:
        self.place.write_text(f"{first:20d}")
        self.at, self.since = first, time.monotonic()
        numbers = [str(n) for n in (self.seed, self.count, first, self.step)]
        with open(self.out, "ab") as out, open(self.out.with_suffix(".err"), "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(HERE / "worker.py"), self.kind, *numbers, str(self.place)],
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent)))},
            )

    def is_done(self) -> bool:
        """Look at the process; after a crash or a hang note the trial and go on behind it."""
        if self.has_ended:
            return True
        code, at = self.process.poll(), int(self.place.read_text() or 0)
        if at != self.at:
            self.at, self.since = at, time.monotonic()
        if code == 0:
            self.has_ended = True
            return True
        if code is None:
            if time.monotonic() - self.since < PATIENCE:
                return False
            self.stop()
            self.lost.append(f"trial {self.at} took longer than {PATIENCE} s")
        else:
            text = self.out.with_suffix(".err").read_text(errors="replace")[-1000:]
            self.lost.append(f"in trial {self.at}, or shortly before, the process ended with {code}: {text}")
        self.has_ended = self.at + self.step >= self.count
        if self.has_ended:
            return True
        self.start(self.at + self.step)
        return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def findings(self) -> list[str]:
        lines = [json.loads(line) for line in self.out.read_text().splitlines()]
        return [f"trial {line['trial']}: {line['wrong']}" for line in lines] + self.lost


def findings(kind: str, seed: int, count: int, folder: Path) -> list[str]:
    """Make all trials of a kind, in two processes at once; return what is wrong."""
    step = min(2, os.cpu_count() or 1, count)
    workers = [Worker(kind, seed, count, first, step, folder) for first in range(step)]
    try:
        while [worker for worker in workers if not worker.is_done()]:  # each is looked at, every time
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.stop()
    return [finding for worker in workers for finding in worker.findings()]


def report(kind: str, seed: int, count: int, found: list[str]) -> str:
    again = f"one again: python -P tests/attack/worker.py {kind} {seed} {count} TRIAL"
    return "\n".join([f"{len(found)} of {count} trials; {again}", *found])
