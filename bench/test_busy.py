"""Threads beside processes that keep a core busy: whoever waits for a thread that does not run loses here.

Every call's time counts, not the mean of several: the calls that wait are a part of all.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from data import digits
from peers import Job, Scratchnet, made, reference_losses
from timing import Contestant, Target, contest

import scratchnet
from scratchnet.backends import cpu

CLOSE = 1e-4  # relative to the largest true value
# Some steps in a call, so that there are many calls: the sizes, the batch, the samples, the activation.
NETS = {
    "784-50-10": ((784, 50, 10), 100, 1000, "sigmoid"),
    "784-1024-1024-10": ((784, 1024, 1024, 10), 256, 256, "relu"),
}


@contextmanager
def busy_processes(n: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def product() -> tuple[Any, Callable[[], Any]]:
    """What is right, and a call that returns it."""
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(shape).astype("f") for shape in ((256, 1024), (1024, 1024), 1024))
    out = np.empty((256, 1024), "f")

    def run() -> np.ndarray:
        cpu.affine_forward(x, W, b, out)
        return out

    return x @ W + b, run


def update() -> tuple[Any, Callable[[], Any]]:
    param, grad = np.ones(10**7, "f"), np.zeros(10**7, "f")  # called again and again, it stays what it is
    optimizer = scratchnet.SGD(0.1)

    def run() -> np.ndarray:
        optimizer.update([param], [grad])
        return param

    return param.copy(), run


KERNELS = {"product 256x1024x1024": product, "SGD of 10,000,000": update}


def kernel(work: str) -> tuple[Callable[[], Any], Callable[[str, Any], None]]:
    """What makes a contestant, and what holds its result against the right one."""
    right, run = KERNELS[work]()

    def close(name: str, got: Any) -> None:
        np.testing.assert_allclose(got, right, rtol=0, atol=CLOSE * np.abs(right).max(), err_msg=name)

    return lambda: (run, run), close


def training(work: str) -> tuple[Callable[[], Any], Callable[[str, Any], None]]:
    sizes, batch, n, activation = NETS[work]
    x, t = digits()
    job = Job(sizes, batch, x[:n], t[:n], lr=0.1, activation=activation)
    np.random.seed(0)
    right = reference_losses(job, 1)

    def close(name: str, losses: list[float]) -> None:
        np.testing.assert_allclose(losses, right, rtol=CLOSE, err_msg=name)

    return made(Scratchnet, job, 1, 1), close


@pytest.mark.parametrize("processes", [0, 1, 2])
@pytest.mark.parametrize("work", [*KERNELS, *NETS])
def test_beside_busy_processes(benchmark, seconds, threads, work, processes):
    make, close = (kernel if work in KERNELS else training)(work)
    against = "scratchnet, 1 thread"
    with busy_processes(processes):
        contest(
            benchmark,
            [Contestant("scratchnet", make, threads), Contestant(against, make)],
            close,
            targets=[Target(against, most=1.1), Target(against, most=1.1, by="p90")],
            seconds=4 * seconds,
            by="median",
            sample_seconds=0.25,  # many of the scheduler's time slices
            each=True,
            table="busy",
            work=work,
            busy=processes,
            dtype="float32",
            threads=threads,
        )
