"""Book 1's MultiLayerNetExtend: MultiLayerNet with dropout and batch normalization.

Source: *Deep Learning from Scratch* 1, `common/multi_layer_net_extend.py`.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import Array
from .._as_written import as_written
from . import layers
from .gradient import numerical_gradient
from .layers import *
from .multi_layer_net import MultiLayerNet

__all__ = ["MultiLayerNetExtend", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__


@as_written
class MultiLayerNetExtend(MultiLayerNet):
    """MultiLayerNet with batch normalization before each activation and dropout after it.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        As in `MultiLayerNet`.
    use_dropout : bool
        Whether there are layers Dropout1, ...
    dropout_ration : float
        Probability that they drop an element (the spelling is the book's).
    use_batchnorm : bool
        Whether there are layers BatchNorm1, ... with the parameters gamma1, beta1, ...

    Notes
    -----
    Source: book 1, ch. 6.3 and 6.4.

    Examples
    --------
    >>> network = MultiLayerNetExtend(784, [50], 10, use_batchnorm=True)
    >>> list(network.params)
    ['W1', 'b1', 'W2', 'b2', 'gamma1', 'beta1']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        self.use_dropout = use_dropout
        self.dropout_ration = dropout_ration
        self.use_batchnorm = use_batchnorm
        super().__init__(
            input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        )

    def _add_hidden(self, i: int, activation: str) -> None:
        if self.use_batchnorm:
            size = self.hidden_size_list[i - 1]
            self.params[f"gamma{i}"], self.params[f"beta{i}"] = np.ones(size), np.zeros(size)
            self.layers[f"BatchNorm{i}"] = BatchNormalization(self.params[f"gamma{i}"], self.params[f"beta{i}"])
        super()._add_hidden(i, activation)
        if self.use_dropout:
            self.layers[f"Dropout{i}"] = Dropout(self.dropout_ration)

    def predict(self, x: Any, train_flg: bool = False) -> Array:
        """Return the scores of x, of shape (N, output_size); `train_flg` as the layers take it."""
        for name, layer in self.layers.items():
            x = layer.forward(x, train_flg) if name.startswith(("Dropout", "BatchNorm")) else layer.forward(x)
        scores: Array = x
        return scores

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> float:
        """Return the mean loss of x against the labels t, with the penalty on the weights."""
        loss: float = self.last_layer.forward(self.predict(x, train_flg), t)
        return loss + self._penalty()

    def gradient(self, x: Any, t: Any) -> dict[str, Array]:
        """Return the gradients by backpropagation, by the parameters' names."""
        grads = super().gradient(x, t)
        for i in range(1, self.hidden_layer_num + 1) if self.use_batchnorm else ():
            grads[f"gamma{i}"] = self.layers[f"BatchNorm{i}"].dgamma
            grads[f"beta{i}"] = self.layers[f"BatchNorm{i}"].dbeta
        return {name: grads[name] for name in self._names()}

    def _names_of(self, i: int) -> list[str]:
        is_normalized = self.use_batchnorm and i <= self.hidden_layer_num
        return super()._names_of(i) + ([f"gamma{i}", f"beta{i}"] if is_normalized else [])

    def _training_loss(self, x: Any, t: Any) -> float:
        return self.loss(x, t, train_flg=True)
