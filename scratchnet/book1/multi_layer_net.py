"""Book 1's MultiLayerNet: fully connected layers, its parameters in a dictionary.

Source: *Deep Learning from Scratch* 1, `common/multi_layer_net.py`.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from .._arrays import Array, check_integer
from .._as_written import as_written
from .._shown import shown
from . import layers
from ._network import DictionaryNet
from .gradient import numerical_gradient
from .layers import *

__all__ = ["MultiLayerNet", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__


ACTIVATIONS: dict[str, Any] = {"sigmoid": Sigmoid, "relu": Relu}
_GAINS = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}


@as_written
class MultiLayerNet(DictionaryNet):
    """A chain of Affine layers with an activation between them, for classification.

    Parameters
    ----------
    input_size, output_size : int
        Number of inputs; number of classes.
    hidden_size_list : sequence of int
        Units of the hidden layers.
    activation : "relu" or "sigmoid"
        Activation of the hidden layers.
    weight_init_std : float or str
        Standard deviation of the initial weights; "relu" or "he": sqrt(2 / n), "sigmoid" or "xavier": sqrt(1 / n),
        with n the number of inputs of the layer.
    weight_decay_lambda : float
        Weight of the penalty 0.5 sum of W^2 in the loss.

    Attributes
    ----------
    params : dict of str to ndarray
        W1, b1, W2, b2, ..., float64, drawn in this order by NumPy's `randn`; the layers hold the same arrays.
    layers : OrderedDict
        Affine1, Activation_function1, Affine2, ...
    last_layer
        The loss.

    Raises
    ------
    ValueError
        The activation or initial value is unknown, or a size is not a positive integer.

    Notes
    -----
    Source: book 1, ch. 6.

    Examples
    --------
    >>> network = MultiLayerNet(784, [50], 10)
    >>> list(network.params)
    ['W1', 'b1', 'W2', 'b2']
    >>> network.predict(np.zeros((5, 784))).shape
    (5, 10)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        who = type(self).__name__
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{who}: activation must be 'relu' or 'sigmoid', got {activation!r}")
        if not isinstance(hidden_size_list, Sequence | np.ndarray) or isinstance(hidden_size_list, str):
            raise ValueError(f"{who}: hidden_size_list must be a list of sizes, got {hidden_size_list!r}")
        for size in (input_size, *hidden_size_list, output_size):
            check_integer(f"{who}: a size", size, 1)
        if not isinstance(weight_decay_lambda, int | float | np.number):
            raise ValueError(f"{who}: weight_decay_lambda must be a number, got {weight_decay_lambda!r}")
        self.input_size, self.output_size = input_size, output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params: dict[str, Array] = {}
        sizes = [input_size, *hidden_size_list, output_size]
        for i, (n, m) in enumerate(pairwise(sizes), start=1):
            self.params[f"W{i}"] = _scale(weight_init_std, n) * np.random.randn(n, m)
            self.params[f"b{i}"] = np.zeros(m)
        self.layers: OrderedDict[str, Any] = OrderedDict()
        for i in range(1, self.hidden_layer_num + 1):
            self._add_affine(i)
            self._add_hidden(i, activation)
        self._add_affine(self.hidden_layer_num + 1)
        self.last_layer = SoftmaxWithLoss()

    def _add_affine(self, i: int) -> None:
        self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])

    def _add_hidden(self, i: int, activation: str) -> None:
        """Add what follows the i-th Affine layer, except the last."""
        self.layers[f"Activation_function{i}"] = ACTIVATIONS[activation]()

    def __repr__(self) -> str:
        return shown(self, ("layers", "last_layer", "weight_decay_lambda"))

    def decay(self) -> float:
        """Return the weight of the penalty 0.5 sum of W^2 in the loss."""
        return float(self.weight_decay_lambda)

    def loss(self, x: Any, t: Any) -> float:
        """Return the mean loss of x against the labels t, with the penalty on the weights."""
        return super().loss(x, t) + self._penalty()

    def _penalty(self) -> float:
        if self.weight_decay_lambda == 0:
            return 0.0
        matrices = (W for name, W in self.params.items() if name.startswith("W"))
        return sum(0.5 * self.weight_decay_lambda * float(np.sum(W**2)) for W in matrices)

    def accuracy(self, x: Any, t: Any) -> float:
        """Return the fraction of samples whose largest score is at their label; t indices or one-hot.

        Raises
        ------
        ValueError
            There are no samples, not as many labels as samples, or labels are not integers.
        IndexError
            A label is not a class of the model.
        """
        from ..util import accuracy  # with all that book 2 has there, which takes long to import

        return accuracy(self, x, t)

    def gradient(self, x: Any, t: Any) -> dict[str, Array]:
        """Return the gradients by backpropagation, by the parameters' names."""
        self._backpropagate(x, t)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{i}"]
            decay = self.weight_decay_lambda
            grads[f"W{i}"] = affine.dW + decay * affine.W if decay else affine.dW
            grads[f"b{i}"] = affine.db
        return grads

    def _names(self) -> list[str]:
        return [name for i in range(1, self.hidden_layer_num + 2) for name in self._names_of(i)]

    def _names_of(self, i: int) -> list[str]:
        return [f"W{i}", f"b{i}"]


def _scale(weight_init_std: float | str, inputs: int) -> float:
    if isinstance(weight_init_std, int | float | np.number) and np.isfinite(weight_init_std):
        return float(weight_init_std)
    if not isinstance(weight_init_std, str) or weight_init_std.lower() not in _GAINS:
        raise ValueError(
            f"MultiLayerNet: weight_init_std must be a number or one of {', '.join(_GAINS)}, "
            f"got {weight_init_std!r}"
        )
    return sqrt(_GAINS[weight_init_std.lower()] / inputs)
