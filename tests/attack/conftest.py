"""The attack's seed, and how many trials each part made: printed at the end of a run.

SCRATCHNET_ATTACK_SEED is the seed of all trials (1 where it is not set), SCRATCHNET_ATTACK_SHARE the share of them
that is made (1 is all).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import pytest

SEED = int(os.environ.get("SCRATCHNET_ATTACK_SEED", "1"))
SHARE = float(os.environ.get("SCRATCHNET_ATTACK_SHARE", "1"))


@dataclass
class Trials:
    """The seed for a part of the attack, and where it tells how many trials it made."""

    seed: int = SEED
    counts: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    began: float = 0.0

    def scaled(self, count: int) -> int:
        """So many trials, or the share of them that this run makes, but one at least."""
        return max(1, round(count * SHARE))

    def made(self, part: str, count: int, wrong: int) -> None:
        """Tell that so many trials were made, and how many of them went wrong."""
        before = self.counts.get(part, (0, 0, 0.0))
        now = time.monotonic()
        self.counts[part] = before[0] + count, before[1] + wrong, before[2] + now - self.began
        self.began = now


_trials = Trials()


@pytest.fixture
def trials() -> Trials:
    _trials.began = time.monotonic()
    return _trials


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was tried and how often."""
    if _trials.counts:
        terminalreporter.section(f"attack, seed {_trials.seed}")
        for part, (count, wrong, seconds) in _trials.counts.items():
            terminalreporter.write_line(f"{part:<50} {count:>7} trials, {wrong} wrong, {seconds:.0f} s")
