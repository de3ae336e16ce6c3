"""Random calls of every public function, layer, optimizer, network and trainer with odd arguments, against NumPy."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import all_attacks
import attacks_models
import names
import pytest
from call_worker import describe, plan
from odd import Draw

from scratchnet import RnnlmTrainer, Trainer
from scratchnet.book1 import trainer as book1_trainer

pytestmark = pytest.mark.long

CALLS = 20_000
PATIENCE = 30  # seconds that one call may take
HERE = Path(__file__).parent


def test_everything_public_is_attacked_or_excused():
    public = set(names.public())
    attacked = {target for attack in all_attacks.ATTACKS.values() for target in attack.targets}
    assert attacked <= public, f"attacked, but not public: {sorted(attacked - public)}"
    forgotten = {name for name in public - attacked if not names.is_excused(name)}
    assert not forgotten, f"neither attacked nor excused in names.py: {sorted(forgotten)}"


def test_no_excuse_is_left_over():
    attacked = {target for attack in all_attacks.ATTACKS.values() for target in attack.targets}
    excused = set(names.public()) - attacked
    for pattern in names.NOT_CALLED:
        assert any(names.matches(name, pattern) for name in excused), pattern


@pytest.mark.parametrize(
    "function, attacked",
    [
        (Trainer.fit, attacks_models.FIT),
        (Trainer.__init__, attacks_models.TRAINER),
        (RnnlmTrainer.fit, attacks_models.RNNLM_FIT),
        (book1_trainer.Trainer.__init__, attacks_models.BOOK1_TRAINER),
    ],
)
def test_every_option_of_a_trainer_is_attacked(function, attacked):
    assert list(inspect.signature(function).parameters)[1:] == attacked


class Worker:
    """A process that makes every n-th trial; started again behind a trial that it did not survive."""

    def __init__(self, seed: int, count: int, first: int, step: int, folder: Path) -> None:
        self.seed, self.count, self.step = seed, count, step
        self.place, self.out = folder / f"at{first}", folder / f"out{first}"
        self.findings: list[str] = []
        self.start(first)

    def start(self, first: int) -> None:
        self.place.write_text(f"{first:20d}")
        self.at, self.since = first, time.monotonic()
        command = [sys.executable, "-P", str(HERE / "call_worker.py")]
        arguments = [str(n) for n in (self.seed, self.count, first, self.step)]
        path = os.pathsep.join((str(HERE), str(HERE.parent)))
        with open(self.out, "ab") as out, open(self.out.with_suffix(".err"), "wb") as err:
            self.process = subprocess.Popen(
                [*command, *arguments, str(self.place)], stdout=out, stderr=err, env=os.environ | {"PYTHONPATH": path}
            )

    def is_done(self) -> bool:
        """Look at the process; after a crash or a hang note the trial and go on behind it."""
        code, at = self.process.poll(), int(self.place.read_text() or 0)
        if at != self.at:
            self.at, self.since = at, time.monotonic()
        if code == 0:
            return True
        if code is None:
            if time.monotonic() - self.since < PATIENCE:
                return False
            self.process.kill()
            self.process.wait()
            self.lost(f"took longer than {PATIENCE} s")
        else:
            self.lost(f"the process ended with {code}: {self.out.with_suffix('.err').read_text()[-500:]}")
        if self.at + self.step >= self.count:
            return True
        self.start(self.at + self.step)
        return False

    def lost(self, what: str) -> None:
        name, number = plan(self.count)[self.at]
        draw = Draw(self.seed, name, number)
        self.findings.append(f"{name} {number}: {describe(name, draw)}: {what}")

    def results(self) -> list[str]:
        lines = [json.loads(line) for line in self.out.read_text().splitlines()]
        return [f"{line['attack']} {line['number']}: {line['wrong']}" for line in lines if "wrong" in line] + self.findings


def test_random_calls(trials, tmp_path):
    count = trials.scaled(CALLS)
    step = min(2, os.cpu_count() or 1)
    workers = [Worker(trials.seed, count, first, step, tmp_path) for first in range(step)]
    try:
        while not all([worker.is_done() for worker in workers]):
            time.sleep(0.2)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    findings = [finding for worker in workers for finding in worker.results()]
    trials.made("random calls", count, len(findings))
    again = f"make one again: python -P tests/attack/try_one.py {trials.seed} NAME NUMBER"
    assert not findings, "\n".join([f"{len(findings)} of {count} calls; {again}", *sorted(findings)])
