"""The chapters' own scripts, whole: in plain NumPy and by `scratchnet run`, start and imports included.

Seconds are those of the processor that a process costs, the system's among them. The scripts are in our own words,
with the books' networks and fewer steps; what both print must agree before anybody's time counts.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial

import pytest
from children import Run, ours, plain, write_data
from printed import assert_same
from timing import Target

# How many times as fast, by default and with --float32; book 2's weights are float32, but for the spiral's.
TARGETS: dict[str, tuple[float, float | None]] = {
    "book1_ch04": (1, None),
    "book1_ch05": (2, 3),
    "book1_ch06_decay": (2, 3),
    "book1_ch06_dropout": (2, 3),
    "book1_ch07": (4, 6),
    "book1_ch08": (4, 6),
    "book2_ch01": (3, None),
    "book2_ch04": (1, None),
    "book2_ch06": (2.7, None),
    "book2_ch07": (2.2, None),
    "book2_ch08": (2.2, None),
}
# Numbers of the first steps, relative: API.md's bounds. A perplexity is the exponential of a loss, so its relative
# difference is the loss's own, and that is of the size of 10.
BOUNDS = {"book1": 1e-9, "book2": 1e-3, "book2_ch01": 1e-9, "--float32": 1e-4}
ROUNDS = 3

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="no process's time is known here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reader's folder with all data, and where it comes from."""
    made = tmp_path_factory.mktemp("scripts")
    return made, write_data(made)


def check(name: str, option: str, mine: Run, theirs: Run) -> None:
    bound = BOUNDS.get(option) or BOUNDS.get(name) or BOUNDS[name.split("_")[0]]
    assert_same(mine.lines, theirs.lines, bound, share=5e-3 if option else 0.0)


def race(name: str, made, *arguments: str, rounds: int = ROUNDS) -> dict[str, list[Run]]:
    """Run a script in turns; what it prints is compared the first time."""
    option = TARGETS[name][1] is not None
    runners = {"NumPy": plain, "scratchnet": ours}
    if option:
        runners["scratchnet --float32"] = partial(ours, options=["--float32"])
    runs: dict[str, list[Run]] = {who: [] for who in runners}
    for turn in range(rounds):
        for who, runner in runners.items():
            runs[who].append(runner(f"{name}.py", *arguments, folder=made, compiled=made / "compiled"))
            if turn == 0 and who != "NumPy":
                check(name, who.removeprefix("scratchnet").strip(), runs[who][0], runs["NumPy"][0])
    return runs


@pytest.mark.parametrize("name", TARGETS)
def test_script(benchmark, seconds, folder, name):
    made, digits = folder
    runs: dict[str, list[Run]] = {}
    rounds = max(1, round(ROUNDS * seconds))
    benchmark.pedantic(lambda: runs.update(race(name, made, rounds=rounds)), rounds=1)
    least, float32 = TARGETS[name]
    targets = [Target("NumPy", least=least)]
    if float32 is not None:
        targets.append(Target("NumPy", least=float32, of="scratchnet --float32"))
    benchmark.extra_info.update(
        table="scripts",
        work=name.replace("_", ", "),
        data=digits if name.startswith("book1") else "made text and numbers",
        ours="scratchnet",
        by="best",
        best={who: min(run.cpu for run in of) for who, of in runs.items()},
        wall={who: min(run.wall for run in of) for who, of in runs.items()},
        targets=[asdict(target) for target in targets],
        skipped={},
    )
