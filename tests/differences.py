"""Gradients by central differences in float64, which every layer's backward is held against."""

from __future__ import annotations

import numpy as np
from tolerances import GRADIENT


def central_differences(f, x, h=1e-5):
    """The gradient of the number f() at the array x, which f reads: changed in place, and put back."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + h
        above = f()
        x[index] = kept - h
        gradient[index] = (above - f()) / (2 * h)
        x[index] = kept
    return gradient


def assert_gradient(analytic, numeric):
    assert analytic.shape == numeric.shape
    assert np.abs(analytic - numeric).max() <= GRADIENT * np.abs(numeric).max()
