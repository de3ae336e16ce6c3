"""The training runs that are timed: networks, data, how long, and when a result is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from data import about_digits, digits, small_digits, spiral_data
from peers import JaxScan, JaxStep, Job, Sklearn, Thinc, Torch, TorchCompiled, made, reference_losses
from timing import Contestant
from tolerances import FLOAT32_LOSSES, FLOAT64_LOSSES

PEERS = {
    "PyTorch": Torch,
    "PyTorch compiled": TorchCompiled,
    "JAX": JaxStep,
    "JAX scan": JaxScan,
    "scikit-learn": Sklearn,
    "Thinc": Thinc,
}
JAX = ("JAX", "JAX scan")
TORCH = ("PyTorch", "PyTorch compiled")

# For each network: the epochs that are checked, and the epochs in one call that is timed.
EPOCHS = {
    "2-10-3": (3, 100),
    "784-50-10": (1, 1),
    "784-1024-1024-10": (1, 1),
    "784-4096-4096-10": (1, 10),
    "64-100-10": (3, 20),
}
ON_CPU = ["2-10-3", "784-50-10", "784-1024-1024-10"]  # those with all peers

# Losses against the float64 reference, relative. The loss of the peers has no 1e-7 in its logarithm, which float64
# shows.
CLOSE = {"float32": FLOAT32_LOSSES, "float64": FLOAT64_LOSSES}
WITHOUT_DELTA = 1e-6


@cache
def job(work: str, dtype: str) -> Job:
    if work == "2-10-3":
        x, t = spiral_data()
        # In float32 the points are, too: else NumPy computes all of the network in float64.
        return Job((2, 10, 3), 30, x.astype(dtype), t, lr=1.0, dtype=np.dtype(dtype))
    if work == "64-100-10":
        x, t = small_digits()
        n = 1600  # whole batches: scikit-learn would train on a smaller last one, the books' Trainer leaves it out
        return Job(
            (64, 100, 10),
            200,
            x[:n].astype(dtype),
            t[:n],
            lr=0.001,
            activation="relu",
            dtype=np.dtype(dtype),
            optimizer="Adam",
        )
    x, t = digits()
    if work == "784-50-10":
        n = 20000  # a third of MNIST, far more than the caches hold: every contestant has many turns
        return Job((784, 50, 10), 100, x[:n], t[:n], lr=0.1, dtype=np.dtype(dtype))
    if work == "784-4096-4096-10":
        n = 4096
        return Job((784, 4096, 4096, 10), 1024, x[:n], t[:n], lr=0.1, activation="relu", dtype=np.dtype(dtype))
    assert work == "784-1024-1024-10"
    n = 2560
    return Job((784, 1024, 1024, 10), 256, x[:n], t[:n], lr=0.1, activation="relu", dtype=np.dtype(dtype))


def data_of(work: str) -> dict[str, str]:
    """What the report says of a work's data, where that is not the same everywhere."""
    return {"data": about_digits()} if work.startswith("784") else {}


@cache
def expected(work: str, dtype: str, shuffle: bool) -> list[float]:
    np.random.seed(0)
    return reference_losses(replace(job(work, dtype), shuffle=shuffle), EPOCHS[work][0])


def close_to_reference(work: str, dtype: str) -> Callable[[str, list[float]], None]:
    def close(name: str, losses: list[float]) -> None:
        true = expected(work, dtype, name != "scikit-learn")
        rtol = max(CLOSE[dtype], WITHOUT_DELTA) if name in PEERS else CLOSE[dtype]
        np.testing.assert_allclose(losses, true, rtol=rtol, atol=0, err_msg=f"{name}: losses")

    return close


def contestant(name: str, kind: Any, work: str, dtype: str, threads: int = 1) -> Contestant:
    return Contestant(name, made(kind, job(work, dtype), *EPOCHS[work], threads), threads)
