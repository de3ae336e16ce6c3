"""What bench/test_mpi.py starts under mpiexec: times of steps and of exchanges; rank 0 prints them as JSON.

One job has all contestants, in turns: rank 0 alone, with one thread and with as many as there are ranks, while the
others sleep; then all ranks, with a thread each. A time is the best of the rounds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import machine

machine.pin()

import numpy as np  # noqa: E402
from data import digits  # noqa: E402
from mpi4py import MPI  # noqa: E402

import scratchnet  # noqa: E402
from scratchnet._ranks import Ranks  # noqa: E402
from scratchnet.dataset import spiral  # noqa: E402
from scratchnet.layers import Affine, Convolution, Flatten, Pooling, Relu, SoftmaxWithLoss  # noqa: E402
from scratchnet.models import MultiLayerNet, Sequential  # noqa: E402
from scratchnet.optimizer import SGD  # noqa: E402
from scratchnet.trainer import Trainer  # noqa: E402

COMM = MPI.COMM_WORLD
SIZES = [2**k for k in range(8, 25, 2)]  # bytes


class Loop:
    """A communicator whose other rank sends what this one does, at once: what remains is our own code's time."""

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 2

    def Is_inter(self) -> bool:
        return False

    def Allgather(self, mine: Any, of_all: Any) -> None:
        of_all.reshape(2, -1)[...] = mine

    def bcast(self, value: Any) -> Any:
        return value

    def allgather(self, value: Any) -> list[Any]:
        return [value, value]


def convnet() -> Any:
    """Book 1's, chapter 7."""
    randn, zeros = np.random.randn, np.zeros
    f = np.float32
    layers = [
        Convolution(0.01 * randn(30, 1, 5, 5).astype(f), zeros(30, f)),
        Relu(),
        Pooling(2, 2, 2),
        Flatten(),
        Affine(0.01 * randn(30 * 144, 100).astype(f), zeros(100, f)),
        Relu(),
        Affine(0.01 * randn(100, 10).astype(f), zeros(10, f)),
    ]
    return Sequential(layers, SoftmaxWithLoss())


# Model, batch, steps of a turn
NETWORKS: dict[str, tuple[Callable[[], Any], int, int]] = {
    "2-10-3": (lambda: MultiLayerNet(2, [10], 3), 30, 200),
    "784-50-10": (lambda: MultiLayerNet(784, [50], 10), 100, 100),
    "784-1024-1024-10": (lambda: MultiLayerNet(784, [1024, 1024], 10, "relu", "he"), 256, 10),
    "convolutional, 28x28": (convnet, 100, 6),
}


def data_for(name: str, rows: int) -> tuple[Any, Any]:
    if name == "2-10-3":
        x, t = spiral.load_data()
        return np.tile(x, (rows // 300 + 1, 1))[:rows].astype(np.float32), np.tile(t, (rows // 300 + 1, 1))[:rows]
    x, t = digits()
    x, t = np.asarray(x[:rows], np.float32), t[:rows]
    return (x.reshape(-1, 1, 28, 28) if name.startswith("conv") else x), t


def sleep_until_all() -> None:
    """Wait for the other ranks without taking a processor from them."""
    request = COMM.Ibarrier()
    while not request.Test():
        time.sleep(1e-3)


def step_seconds(
    name: str, batch: int, comm: Any, threads: int = 1, clock: Callable[[], float] = time.perf_counter
) -> float:
    make, _, steps = NETWORKS[name]
    scratchnet.set_num_threads(threads)
    np.random.seed(0)
    x, t = data_for(name, batch * steps)
    trainer = Trainer(make(), SGD(0.01), comm=comm)
    trainer.fit(x[:batch], t[:batch], 1, batch, verbose=False)
    start = clock()
    trainer.fit(x, t, 1, batch, verbose=False)
    return (clock() - start) / steps


def best(found: dict[str, float], name: str, seconds: float) -> None:
    found[name] = min(seconds, found.get(name, seconds))


def steps_of(name: str, rounds: int) -> dict[str, float]:
    """Seconds a step: alone with a batch and parts of it, alone with more threads, and over the ranks.

    Those of parts, and of a loop, are of the processor, and others on the machine do not lengthen them.
    """
    batch, found, size = NETWORKS[name][1], {}, COMM.size
    for _ in range(rounds):
        sleep_until_all()
        if COMM.rank == 0:
            for part in (1, 2, 8):
                best(found, f"batch / {part}", step_seconds(name, batch // part, None, clock=time.thread_time))
            best(found, "loop", step_seconds(name, batch, Loop(), clock=time.thread_time))
            best(found, "alone", step_seconds(name, batch, None))
            best(found, "threads", step_seconds(name, batch, None, size))
        sleep_until_all()
        best(found, "ranks", step_seconds(name, batch, COMM))
    return found


def exchanges(rounds: int) -> dict[str, Any]:
    """Seconds of a header, of our sum and of MPI's Allreduce, by bytes."""
    ranks = Ranks(COMM)
    found: dict[str, Any] = {"header": {}, "ours": {}, "Allreduce": {}}

    def timed(what: str, size: int, call: Callable[[], Any]) -> None:
        calls = max(3, min(200, (1 << 22) // size))
        COMM.Barrier()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best(found[what], str(size), (time.perf_counter() - start) / calls)

    for size in SIZES:
        flat, out = np.ones(size // 4, np.float32), np.empty(size // 4, np.float32)
        for _ in range(rounds):
            timed("header", size, lambda: ranks.meet("trains a step"))
            timed("ours", size, lambda flat=flat: ranks.add_up(flat, 0.5))
            timed("Allreduce", size, lambda flat=flat, out=out: COMM.Allreduce(flat, out))
    return found


def main() -> None:
    rounds = int(sys.argv[1])
    found = {
        "ranks": COMM.size,
        "library": MPI.Get_library_version().splitlines()[0].strip("\0"),
        "exchanges": exchanges(rounds),
        "steps": {name: steps_of(name, rounds) for name in NETWORKS},
        "parameters": {name: sum(p.size for p in make().params) for name, (make, _, _) in NETWORKS.items()},
        "batches": {name: batch for name, (_, batch, _) in NETWORKS.items()},
        "load": os.getloadavg()[0],
    }
    if COMM.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
