"""Book 1's central differences."""

import numpy as np


def numerical_gradient(f, x):
    h, gradient = 1e-4, np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + h
        above = f(x)
        x[index] = kept - h
        gradient[index] = (above - f(x)) / (2 * h)
        x[index] = kept
    return gradient
