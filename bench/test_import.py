"""What `import scratchnet` costs beside `import numpy`, and `scratchnet run` beside Python: processor time."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import pytest
from children import run
from timing import Target

ROUNDS = 40
MOST_MORE = 0.03  # seconds that `scratchnet run` may take on top of Python's

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="no process's time is known here")


def starts(benchmark, seconds, folder, commands):
    """Run the commands in turns; return each one's least seconds."""
    samples: dict[str, list[float]] = {name: [] for name in commands}

    def once() -> None:
        for name, command in commands.items():
            samples[name].append(run(command, folder, [], folder / "compiled").cpu)

    once()  # compiles what is not compiled yet
    benchmark.pedantic(once, rounds=max(5, int(ROUNDS * seconds)))
    return {name: min(times) for name, times in samples.items()}


def record(benchmark, work, best, target):
    benchmark.extra_info.update(
        table="import", work=work, ours="scratchnet", by="best", best=best, targets=[asdict(target)], skipped={}
    )


def test_import(benchmark, seconds, tmp_path):
    """The import alone: the interpreter's own start, the same for both, would only flatter the ratio."""
    programs = {"start": "pass", "numpy": "import numpy", "scratchnet": "import scratchnet"}
    commands = {name: [sys.executable, "-P", "-c", program] for name, program in programs.items()}
    best = starts(benchmark, seconds, tmp_path, commands)
    start = best.pop("start")
    best = {name: time - start for name, time in best.items()}
    record(benchmark, "import scratchnet", best, Target("numpy", most=1.15))


def test_run(benchmark, seconds, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import numpy\n")
    python = [sys.executable, "-P"]
    commands = {
        "Python": [*python, str(script)],
        "scratchnet": [*python, "-m", "scratchnet", "run", str(script)],
    }
    best = starts(benchmark, seconds, tmp_path, commands)
    record(benchmark, "scratchnet run", best, Target("Python", most=round(1 + MOST_MORE / best["Python"], 3)))
