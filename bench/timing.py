"""Contests: everybody's result is checked, then they are timed in turns.

pytest-benchmark measures one test after another, and on a shared machine minutes lie between two tests: the ratio
of two such numbers says as much about the neighbours as about the code. So one test here is one contest. In every
round each rival has a turn and then the first contestant, ours, has its own, which is what pytest-benchmark
records; the times of all of them, by the same clock, go into the test's extra_info, and ratios are made of these.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import median
from typing import Any

import machine

# A sample is as many calls as take this long: far above the clock's resolution, and within a time slice.
SAMPLE_SECONDS = 2e-3
# After a turn of a library with threads of its own, they look for work for a while before they sleep.
SPIN_SECONDS = 0.05
ROUNDS = 5, 400


class Missing(Exception):
    """A contestant cannot take part; says why."""


@dataclass
class Contestant:
    """Who takes part: `make` returns what is compared (None for a roofline, which computes nothing) and what is
    timed; it raises `Missing` if that cannot be.
    """

    name: str
    make: Callable[[], tuple[Callable[[], Any] | None, Callable[[], Any]]]
    threads: int = 1


@dataclass
class Target:
    """How many times as fast as another (`least`), or at most how many times its time (`most`)."""

    against: str
    least: float | None = None
    most: float | None = None
    among: Sequence[str] = ()  # names of contestants, of whom the fastest counts; else the one named above
    by: str = ""  # "best", "median" or "p90"; else what the contest's ratios are made of
    of: str | None = None  # whose time it is about; else ours


class Race:
    """Contestants who passed, their turns and times.

    Parameters
    ----------
    contestants
        Ours first.
    close
        Called with a contestant's name and result; raises AssertionError if the result is not right.
    sample_seconds
        How long a sample takes at least.
    each
        Whether a sample is not the mean of its calls but every call's time.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        close: Callable[[str, Any], None],
        sample_seconds: float = SAMPLE_SECONDS,
        each: bool = False,
    ) -> None:
        self.ours = contestants[0].name
        self.each = each
        self.sample_seconds = sample_seconds
        self.skipped: dict[str, str] = {}  # why, by name
        self.calls: dict[str, int] = {}  # in one sample
        self.seconds: dict[str, list[float]] = {}  # of one call, a number for every sample, or for every call
        self._run: dict[str, Callable[[], Any]] = {}
        self._turn: dict[str, float] = {}  # seconds, about
        self._warms_up: dict[str, bool] = {}
        self._threads = {c.name: c.threads for c in contestants}
        self._threads_now = 0
        self._pause = SPIN_SECONDS if max(self._threads.values()) > 1 else 0.0
        for contestant in contestants:
            self._admit(contestant, close)
        if self.ours in self.skipped:
            raise Missing(self.skipped[self.ours])
        for name in self._run:
            self._calibrate(name)

    def _admit(self, contestant: Contestant, close: Callable[[str, Any], None]) -> None:
        self.set_threads(contestant.threads)
        try:
            result, run = contestant.make()
        except Missing as reason:
            self.skipped[contestant.name] = str(reason)
            return
        if result is not None:
            close(contestant.name, result())
        self._run[contestant.name] = run

    def _calibrate(self, name: str) -> None:
        self.set_threads(self._threads[name])
        run = self._run[name]
        run()
        once = _time(run, 1)
        for _ in range(2):  # the first few of many short calls are slow
            self.calls[name] = max(1, ceil(self.sample_seconds / max(once, 1e-9)))
            if self.calls[name] > 1:
                once = min(once, _time(run, self.calls[name]))
        self.seconds[name] = []
        length = once * self.calls[name]
        self._warms_up[name] = length < 0.1  # what takes longer warms the caches itself
        self._turn[name] = self._pause + length + (once if self._warms_up[name] else 0)

    def set_threads(self, n: int) -> None:
        if n != self._threads_now:
            machine.set_threads(n)
            self._threads_now = n

    def settle(self, name: str) -> None:
        """Make what is timed next independent of who was timed before."""
        self.set_threads(self._threads[name])
        time.sleep(self._pause)
        if self._warms_up[name]:
            self._run[name]()

    def sample(self, name: str) -> None:
        if self.each:
            self.seconds[name] += [_time(self._run[name], 1) for _ in range(self.calls[name])]
        else:
            self.seconds[name].append(_time(self._run[name], self.calls[name]))

    def rivals(self) -> None:
        for name in self._run:
            if name != self.ours:
                self.settle(name)
                self.sample(name)
        self.settle(self.ours)

    def rounds(self, seconds: float) -> int:
        fewest, most = ROUNDS
        return min(most, max(fewest, int(seconds / sum(self._turn.values()))))

    def best(self) -> dict[str, float]:
        return {name: min(samples) for name, samples in self.seconds.items()}

    def record(self) -> dict[str, Any]:
        """What the report needs."""
        return {
            "ours": self.ours,
            "best": self.best(),
            "median": {name: median(samples) for name, samples in self.seconds.items()},
            "p90": {name: _p90(samples) for name, samples in self.seconds.items()},
            "calls": self.calls,
            "skipped": self.skipped,
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        }


def contest(
    benchmark: Any,
    contestants: Sequence[Contestant],
    close: Callable[[str, Any], None],
    *,
    targets: Sequence[Target] = (),
    seconds: float = 5.0,
    by: str = "best",
    sample_seconds: float = SAMPLE_SECONDS,
    each: bool = False,
    **labels: Any,
) -> None:
    """Check and time the contestants, ours first, within about so many seconds.

    Parameters
    ----------
    benchmark
        pytest-benchmark's fixture.
    close, sample_seconds, each
        See `Race`.
    by
        "best", "median" or "p90": which of the times the ratios are made of.
    labels
        What the report calls this contest: table, work, and what else its table shows.
    """
    race = Race(contestants, close, sample_seconds, each)
    with _no_collection():
        # One sample a round, after everybody else's: what pytest-benchmark records is ours, `calls` calls long.
        benchmark.pedantic(race.sample, args=(race.ours,), setup=race.rivals, rounds=race.rounds(seconds))
    race.set_threads(1)
    benchmark.extra_info.update(labels, by=by, targets=[asdict(t) for t in targets], **race.record())


def _p90(samples: Sequence[float]) -> float:
    """The time that nine samples of ten keep to."""
    return sorted(samples)[ceil(0.9 * len(samples)) - 1]


def _time(run: Callable[[], Any], calls: int) -> float:
    """Seconds of one call, on average over so many in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


class _no_collection:
    """No garbage is collected while somebody is timed."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
