"""Book 1's optimizers in plain NumPy, in our own words."""

import numpy as np
from optimizers_numpy import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]
