"""The product x W over 300 shapes, from one number to millions, against NumPy: a map, in which a cliff would show.

Rows, depth and columns are spread evenly by their logarithms; of all combinations the 300 that take the least time
are raced: the others would take longer than all of these together.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from timing import Contestant, Target, contest

from scratchnet.backends import cpu

SHAPES = 300
# Relative to the largest true value, as the products of test_limits.py are held to.
CLOSE = {"float32": 1e-5, "float64": 1e-12}
# Outputs of fewer numbers are held to a difference: a call's own cost is all of their time.
FEW = 64
LEAST = 0.95  # times as fast as NumPy
SLOWER = 6e-6  # seconds, for the few


def spread(most: int, n: int) -> list[int]:
    """So many numbers from 1 to the most, each about as many times the one before."""
    return [round(value) for value in np.geomspace(1, most, n)]


def time_of(shape: tuple[int, int, int]) -> int:
    """Of a product, about: its multiplications; to bring a number from memory or there takes as long as 64."""
    N, D, M = shape
    return N * D * M + 64 * (N * D + D * M + N * M)


def shapes() -> list[tuple[int, int, int]]:
    """Rows N, depth D, columns M."""
    every = product(spread(10000, 9), spread(4096, 6), spread(4096, 6))
    return sorted(every, key=time_of)[:SHAPES]


def contestants(x: np.ndarray, W: np.ndarray) -> list[Contestant]:
    def contestant(name: str, function: Callable[..., Any]) -> Contestant:
        def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
            out = np.empty((len(x), W.shape[1]), x.dtype)
            run = lambda: function(x, W, out)  # noqa: E731
            return lambda: (run(), out)[1], run

        return Contestant(name, make)

    return [
        contestant("scratchnet", lambda x, W, out: cpu.affine_forward(x, W, None, out)),
        contestant("NumPy", lambda x, W, out: np.matmul(x, W, out=out)),
    ]


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: "x".join(map(str, shape)))
def test_product(benchmark, seconds, shape, dtype):
    N, D, M = shape
    rng = np.random.default_rng(shape)
    x, W = (rng.random(s, dtype=dtype) - np.array(0.5, dtype) for s in ((N, D), (D, M)))
    true = x.astype(np.float64) @ W.astype(np.float64)
    bound = CLOSE[dtype] * max(true.max(), -true.min())

    def close(name: str, got: np.ndarray) -> None:
        assert np.abs(got - true).max() <= bound, name

    few = N * M < FEW
    contest(
        benchmark,
        contestants(x, W),
        close,
        targets=[] if few else [Target("NumPy", least=LEAST)],
        seconds=0.04 * seconds,
        sample_seconds=3e-4,
        table="grid",
        work="x W",
        sizes="x".join(map(str, shape)),
        shape=shape,
        slower=SLOWER if few else None,
        dtype=dtype,
    )
