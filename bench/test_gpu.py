"""Training on a GPU: scratchnet against the books' code over CuPy and against PyTorch."""

from __future__ import annotations

import pytest
from gpu_peers import PlainCuPy, ScratchnetLayers, ScratchnetPlan, TorchCompiledOnGPU, TorchEager, TorchGraphs
from timing import Target, contest
from workloads import EPOCHS, close_to_reference, contestant, job

from scratchnet.backends import cuda

KINDS = {
    "scratchnet": ScratchnetPlan,
    "scratchnet, layer by layer": ScratchnetLayers,
    "CuPy": PlainCuPy,
    "PyTorch": TorchEager,
    "PyTorch compiled": TorchCompiledOnGPU,
    "PyTorch, graphs": TorchGraphs,
}
TARGETS = {
    "2-10-3": (Target("CuPy", least=10), Target("PyTorch, graphs", least=1)),
    "784-50-10": (Target("CuPy", least=10), Target("PyTorch, graphs", least=1)),
    "784-4096-4096-10": (Target("PyTorch, graphs", least=1),),
}


@pytest.mark.gpu
@pytest.mark.parametrize("work", TARGETS)
def test_training(benchmark, seconds, work):
    if not cuda.is_available():
        pytest.skip(cuda.describe()["unavailable"])
    contestants = [contestant(name, kind, work, "float32") for name, kind in KINDS.items()]
    the_job = job(work, "float32")
    contest(
        benchmark,
        contestants,
        close_to_reference(work, "float32"),
        targets=TARGETS[work],
        seconds=20 * seconds,
        table="gpu",
        work=work,
        batch=the_job.batch,
        dtype="float32",
        steps=EPOCHS[work][1] * (len(the_job.x) // the_job.batch),
        gpu=cuda.describe(),
    )
