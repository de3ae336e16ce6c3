"""Two threads while another process keeps a core busy: whoever waits by spinning loses here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from peers import NumPy, Scratchnet
from race import Target, contest
from works import ON_CPU, close_to_reference, contestant


@pytest.fixture
def busy_core() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("work", ON_CPU)
def test_beside_a_busy_process(benchmark, seconds, threads, busy_core, work):
    contestants = [
        contestant("scratchnet", Scratchnet, work, "float32", threads),
        contestant("scratchnet, 1 thread", Scratchnet, work, "float32"),
        contestant("NumPy", NumPy, work, "float32", threads),
        contestant("NumPy, 1 thread", NumPy, work, "float32"),
    ]
    contest(
        benchmark,
        contestants,
        close_to_reference(work, "float32"),
        targets=[Target("scratchnet, 1 thread", most=1.1)],
        seconds=12 * seconds,
        # The best of many would be a moment in which the other process did not run: so the median, and of samples
        # that are longer than the scheduler's time slices.
        by="median",
        sample_seconds=0.05,
        table="busy",
        work=work,
        dtype="float32",
        threads=threads,
    )
