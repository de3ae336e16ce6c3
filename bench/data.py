"""The data sets of the benchmarks: the spiral, MNIST or something of its size, and scikit-learn's digits."""

from __future__ import annotations

import os
from functools import cache

import numpy as np

from scratchnet.dataset import mnist, spiral


@cache
def spiral_data() -> tuple[np.ndarray, np.ndarray]:
    """The book's spiral, float64, labels one-hot."""
    state = np.random.get_state()
    x, t = spiral.load_data()
    np.random.set_state(state)
    return x, t


MADE = "made images, as many and as dark as MNIST's"


def about_digits() -> str:
    """What `digits` returns, in words."""
    return "MNIST" if os.environ.get("SCRATCHNET_DATA") else MADE


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's training images if SCRATCHNET_DATA is set, else made ones: as many, as large, as dark.

    What is in a picture changes no time, but zeros could: four of five pixels of MNIST are black.
    """
    if os.environ.get("SCRATCHNET_DATA"):
        (x, t), _ = mnist.load_mnist()
        return x, t.astype(np.int64)
    rng = np.random.default_rng(0)
    n, classes = 60000, 10
    t = rng.integers(0, classes, n)
    likely = rng.random((classes, 784), dtype=np.float32) < 0.2  # the pixels that a digit of this class may have
    x = rng.random((n, 784), dtype=np.float32)
    x *= likely[t]
    return x, t


@cache
def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's digits, 8 x 8 pixels from 0 to 1; raises ImportError without it."""
    from sklearn.datasets import load_digits

    x, t = load_digits(return_X_y=True)
    return x / 16, t.astype(np.int64)
