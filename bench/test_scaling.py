"""How the time of a step grows with the batch and with the width: curves, in which a cliff would show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data import digits
from peers import Job, NumPy, Scratchnet, Torch, made, reference_losses
from timing import Contestant, contest

CLOSE = 1e-4
KINDS = {"scratchnet": Scratchnet, "NumPy": NumPy, "PyTorch": Torch}
POINTS = [("batch", 2**k) for k in range(13)] + [("width", 2**k) for k in range(3, 13)]


@pytest.mark.parametrize(("what", "value"), POINTS, ids=[f"{what}-{value}" for what, value in POINTS])
def test_step(benchmark, seconds, what, value):
    batch, width = (value, 50) if what == "batch" else (100, value)
    steps = max(2, min(64, 2**24 // (batch * width * 64)))  # short runs of what takes long
    x, t = digits()
    job = Job((784, width, 10), batch, x[: batch * steps], t[: batch * steps], lr=0.01)
    checked = replace(job, x=job.x[: 2 * batch], t=job.t[: 2 * batch])
    np.random.seed(0)
    true = reference_losses(checked, 1)

    def close(name: str, losses: list[float]) -> None:
        np.testing.assert_allclose(losses, true, rtol=CLOSE, err_msg=name)

    def contestant(name: str) -> Contestant:
        def make():
            first_losses, _ = made(KINDS[name], checked, 1, 1)()
            _, run = made(KINDS[name], job, 1, 1)()
            return first_losses, run

        return Contestant(name, make)

    labels = dict(table="scaling", work=what, value=value, steps=steps, dtype="float32")
    contest(benchmark, [contestant(name) for name in KINDS], close, seconds=1.5 * seconds, **labels)
