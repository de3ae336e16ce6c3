"""Book 2: weights in lists; every layer has `params`, `grads`, `forward` and `backward`."""

from .common import layers, optimizer, time_layers, trainer, util

__all__ = ["layers", "optimizer", "time_layers", "trainer", "util"]
