"""The spiral point by point, in our own words."""

import numpy as np


def load_data(seed=1984):
    np.random.seed(seed)
    x, t = np.zeros((300, 2)), np.zeros((300, 3), int)
    for i in range(300):
        arm, place = divmod(i, 100)
        radius = place / 100
        angle = arm * 4.0 + 4.0 * radius + np.random.randn() * 0.2
        x[i] = radius * np.sin(angle), radius * np.cos(angle)
        t[i, arm] = 1
    return x, t
