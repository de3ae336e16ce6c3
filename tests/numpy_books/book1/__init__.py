"""Book 1: weights in a dictionary; an `Affine` keeps W, b, dW and db, and a layer without weights keeps none."""

from .common import functions, gradient, layers, multi_layer_net, optimizer, trainer, util

__all__ = ["functions", "gradient", "layers", "multi_layer_net", "optimizer", "trainer", "util"]
