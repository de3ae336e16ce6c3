"""Book 1's network with batch normalization and dropout: `multi_layer_net` can do both."""

from .multi_layer_net import MultiLayerNet

MultiLayerNetExtend = MultiLayerNet
