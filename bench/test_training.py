"""Training: Trainer.fit and the reader's own loop, against the books' NumPy code and the peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from peers import NumPy, NumPyLoop, Scratchnet, ScratchnetLoop, Sklearn, Torch
from timing import Contestant, Target, contest
from workloads import CLOSE, JAX, ON_CPU, PEERS, TORCH, close_to_reference, contestant, data_of, job

TARGETS = {
    "2-10-3": (Target("NumPy", least=40), Target("best peer", least=6, among=tuple(PEERS))),
    "784-50-10": (Target("NumPy", least=3.3), Target("JAX", least=2.2, among=JAX)),
    "784-1024-1024-10": (Target("NumPy", least=1.5), Target("PyTorch", least=1.1, among=TORCH)),
}
NOT_SLOWER = (Target("NumPy", least=1),)  # in float64
DIGITS = {"float32": 7, "float64": 4}  # times as fast as scikit-learn on its own digits


def everybody(kinds: Mapping[str, Any], work: str, dtype: str, threads: int = 1) -> list[Contestant]:
    return [contestant(name, kind, work, dtype, threads) for name, kind in kinds.items()]


def train(
    benchmark: Any,
    contestants: Sequence[Contestant],
    work: str,
    dtype: str,
    seconds: float,
    targets: Sequence[Target] = (),
    **labels: Any,
) -> None:
    labels = dict(table="training", work=work, batch=job(work, dtype).batch, dtype=dtype) | data_of(work) | labels
    contest(benchmark, contestants, close_to_reference(work, dtype), targets=targets, seconds=seconds, **labels)


def engine(work: str, dtype: str) -> str:
    """What the Trainer runs, for the report."""
    trained = Scratchnet(job(work, dtype))
    trained.fit(1)
    return f"Trainer ({trained.engine})"


@pytest.mark.parametrize("work", ON_CPU)
def test_trainer(benchmark, seconds, work):
    contestants = everybody({"scratchnet": Scratchnet, "NumPy": NumPy, **PEERS}, work, "float32")
    how = engine(work, "float32")
    train(benchmark, contestants, work, "float32", 25 * seconds, TARGETS[work], how=how)


@pytest.mark.parametrize("work", ON_CPU)
def test_trainer_float64(benchmark, seconds, work):
    contestants = everybody({"scratchnet": Scratchnet, "NumPy": NumPy, "PyTorch": Torch}, work, "float64")
    train(benchmark, contestants, work, "float64", 8 * seconds, NOT_SLOWER, how=engine(work, "float64"))


@pytest.mark.parametrize("dtype", CLOSE)
def test_small_digits(benchmark, seconds, dtype):
    """As many epochs as scikit-learn's MLPClassifier in its ordinary setting, on its own digits."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed, whose digits these are")
    work = "64-100-10"
    contestants = everybody({"scratchnet": Scratchnet, "NumPy": NumPy, "scikit-learn": Sklearn}, work, dtype)
    targets = [Target("scikit-learn", least=DIGITS[dtype]), *NOT_SLOWER]
    train(benchmark, contestants, work, dtype, 8 * seconds, targets, how=f"Adam, {engine(work, dtype)}")


@pytest.mark.parametrize("dtype", CLOSE)
def test_own_loop(benchmark, seconds, dtype):
    contestants = everybody({"scratchnet": ScratchnetLoop, "NumPy": NumPyLoop}, "2-10-3", dtype)
    targets = [Target("NumPy", least=5)] if dtype == "float32" else NOT_SLOWER
    train(benchmark, contestants, "2-10-3", dtype, 5 * seconds, targets, how="own loop")


@pytest.mark.parametrize("work", ON_CPU)
def test_threads(benchmark, seconds, threads, work):
    """Everybody with several threads, and scratchnet with one."""
    kinds = {"scratchnet": Scratchnet, "NumPy": NumPy} | {name: PEERS[name] for name in (*TORCH, "JAX scan")}
    contestants = everybody(kinds, work, "float32", threads)
    contestants.append(contestant("scratchnet, 1 thread", Scratchnet, work, "float32"))
    targets: list[Target] = []
    if work == "784-1024-1024-10":
        targets += TARGETS[work]
        if threads == 2:
            targets.append(Target("scratchnet, 1 thread", least=1.8))
    how = engine(work, "float32")
    train(benchmark, contestants, work, "float32", 12 * seconds, targets, threads=threads, how=how)
