"""Training over MPI: what an exchange costs, what steps gain here, and what a model says of networks.

`pytest bench/test_mpi.py -s` prints it; it goes to bench-results/mpi.md as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from math import ceil, log2
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
MPIEXEC = which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
# Latency in seconds and bytes a second of a network, as its users measure them
NETWORKS = {"10 Gbit Ethernet": (30e-6, 1.1e9), "100 Gbit InfiniBand": (2e-6, 11e9)}
RANKS = (2, 8, 64)
SMALL = 1 << 16  # as in scratchnet/_ranks.py


def exchange_seconds(nbytes: float, ranks: int, latency: float, rate: float) -> float:
    """A step's exchanges: a header; then an Allgather, or an Alltoall and an Allgather of parts of the sum.

    R. Thakur, R. Rabenseifner and W. Gropp, *Optimization of collective communication operations in MPICH*, 2005.
    """
    rounds = ceil(log2(ranks))
    header = rounds * latency
    if ranks == 2 or ranks * nbytes <= SMALL:
        return header + rounds * latency + (ranks - 1) * nbytes / rate
    return header + (ranks - 1 + rounds) * latency + 2 * (ranks - 1) / ranks * nbytes / rate


def fitted(steps: dict[str, float]) -> tuple[float, float]:
    """Seconds of a step that its rows take, and those that it takes whatever their number."""
    parts = np.array([1.0, 1 / 2, 1 / 8])
    times = np.array([steps["batch / 1"], steps["batch / 2"], steps["batch / 8"]])
    ((by_rows, fixed), *_) = np.linalg.lstsq(
        np.stack([parts, np.ones(3)], 1) / times[:, None], np.ones(3), rcond=None
    )
    return float(by_rows), max(float(fixed), 0.0)


def speedup(found: dict[str, Any], name: str, ranks: int, exchange: float) -> float:
    """How many times as fast a step of one batch is, if the exchange takes so many seconds."""
    by_rows, fixed = fitted(found["steps"][name])
    batch = found["batches"][name]
    return (by_rows + fixed) / (by_rows * ceil(batch / ranks) / batch + fixed + exchange)


def software(found: dict[str, Any]) -> float:
    """Seconds that a step over ranks takes beside its rows and what MPI does: those of the smallest network."""
    return float(min(steps["loop"] - steps["batch / 2"] for steps in found["steps"].values()))


def exchange_here(found: dict[str, Any], nbytes: float) -> float:
    """Seconds of a step's exchanges between the ranks that were measured."""
    exchanges = found["exchanges"]
    sizes = sorted(map(int, exchanges["ours"]))
    sums = [exchanges["ours"][str(size)] for size in sizes]
    return float(min(exchanges["header"].values()) + np.interp(nbytes, sizes, sums))


def report(found: dict[str, Any]) -> str:
    lines = [f"{found['library']}, {found['ranks']} ranks, load {found['load']:.1f}; best of all rounds", ""]
    lines += ["| bytes | header, µs | our sum, µs | MPI's Allreduce, µs |", "|---|---|---|---|"]
    exchanges = found["exchanges"]
    for size in exchanges["ours"]:
        cells = [f"{1e6 * exchanges[what][size]:.0f}" for what in ("header", "ours", "Allreduce")]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    heading = ["network, batch", "parameters", "one thread, ms", "threads", "ranks", "ranks by the model"]
    heading += [f"{ranks} over {name}" for name in NETWORKS for ranks in RANKS]
    lines += ["", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for name, steps in found["steps"].items():
        parameters = found["parameters"][name]
        cells = [f"{name}, {found['batches'][name]}", f"{parameters:,}", f"{1e3 * steps['batch / 1']:.3f}"]
        cells += [f"{steps['alone'] / steps[what]:.2f}" for what in ("threads", "ranks")]
        seconds = exchange_here(found, 4 * parameters) + software(found)
        cells.append(f"{speedup(found, name, found['ranks'], seconds):.2f}")
        for network in NETWORKS.values():
            for ranks in RANKS:
                seconds = exchange_seconds(4 * parameters, ranks, *network)
                cells.append(f"{speedup(found, name, ranks, seconds + software(found)):.2g}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_ranks(benchmark, seconds):
    if find_spec("mpi4py") is None or MPIEXEC is None:
        pytest.skip("mpi4py or mpiexec is missing: pip install mpich mpi4py")
    rounds = max(1, round(5 * seconds))
    command = [MPIEXEC, "-n", "2", sys.executable, "-P", str(HERE / "mpi_steps.py"), str(rounds)]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = benchmark.pedantic(
        lambda: subprocess.run(command, env=environment, capture_output=True, text=True), rounds=1
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    text = report(found)
    print(f"\n{text}")
    benchmark.extra_info["mpi"] = found
    results = HERE.parent / "bench-results"
    results.mkdir(exist_ok=True)
    (results / "mpi.md").write_text(text + "\n")
    (results / "mpi.json").write_text(json.dumps(found))
