"""What `import scratchnet` costs, in a new interpreter each time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

from race import Target

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(module: str) -> float:
    """The import alone; the interpreter's own start, the same for both, would only flatter the ratio."""
    program = PROGRAM.format(module)
    child = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return float(child.stdout)


def test_import(benchmark, seconds):
    samples: dict[str, list[float]] = {"scratchnet": [], "numpy": []}

    def once(module: str) -> None:
        samples[module].append(import_seconds(module))

    for module in samples:
        import_seconds(module)  # compiles what is not compiled yet
    rounds = max(5, int(40 * seconds))
    benchmark.pedantic(once, args=("scratchnet",), setup=lambda: once("numpy"), rounds=rounds)
    benchmark.extra_info.update(
        table="import",
        work="import scratchnet",
        ours="scratchnet",
        by="best",
        best={module: min(times) for module, times in samples.items()},
        targets=[asdict(Target("numpy", most=1.3))],
        skipped={},
    )
