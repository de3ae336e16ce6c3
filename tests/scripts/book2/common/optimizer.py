"""Book 2's optimizers in plain NumPy, in our own words."""

from optimizers_numpy import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop"]
