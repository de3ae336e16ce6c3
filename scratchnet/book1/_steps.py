"""Whole steps of book 1's networks in C: gradient and update, without Python between the layers.

A step does what `network.gradient` and `optimizer.update` do, to the bit. Only networks, layers and optimizers of
this package take part, unchanged; others are trained by their own code.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import _compute
from .._arrays import Array, is_carray
from .._as_written import is_as_written
from .._steps import chain_steps, draw_masks
from ..backends import runner_for
from ..util import class_indices
from . import layers
from ._network import DictionaryNet

# Not their `step_role`: in another Trainer's chain, what these keep in dW and the axes that Affine flattens would
# be missed.
_ROLES: dict[type, str] = {
    layers.Affine: "affine",
    layers.BatchNormalization: "batch_normalization",
    layers.Convolution: "convolution",
    layers.Dropout: "dropout",
    layers.Pooling: "pooling",
    layers.Relu: "relu",
    layers.Sigmoid: "sigmoid",
}


class WholeSteps:
    """The steps of a training, prepared once; nothing else may change the network meanwhile.

    Parameters
    ----------
    network, optimizer
        After a step of their own, so that the states exist.
    x, t
        All samples and labels.
    batch_size : int
        Samples per step.

    Raises
    ------
    ValueError
        Something cannot be part of whole steps.
    """

    def __init__(self, network: Any, optimizer: Any, x: Array, t: Array, batch_size: int) -> None:
        chain = [*network.layers.values()] if isinstance(network, DictionaryNet) else []
        parts = [network, optimizer, getattr(network, "last_layer", None), *chain]
        if not all(map(is_as_written, parts)) or not all(type(layer) in _ROLES for layer in chain):
            raise ValueError("the network, a layer or the optimizer is not one of scratchnet's own, or is changed")
        if _compute.in_float32:
            raise ValueError("whole steps compute in the dtype of the weights")
        if len({*map(id, chain)}) != len(chain):
            raise ValueError("a layer is used twice")
        names = {id(array): name for name, array in network.params.items()}
        arrays = [array for layer in chain for array in layer.params]
        is_each_one_s = {*map(id, arrays)} == names.keys() and len(names) == len(arrays) == len(network.params)
        if type(network.last_layer) is not layers.SoftmaxWithLoss or not is_each_one_s:
            raise ValueError("the parameters are not those of the layers, or are shared")
        if not all(type(a) is np.ndarray and is_carray(a) for a in arrays):
            raise ValueError("a parameter is on the GPU, or is not contiguous")
        flat: list[Any] = []  # Affine takes the axes of an image as one
        for layer in chain:
            flat += [("flatten", None)] * (type(layer) is layers.Affine) + [(_ROLES[type(layer)], layer)]
        roles, steps_of = zip(*flat, strict=True)
        steps = chain_steps(steps_of, roles, x.shape[1:], batch_size)
        states = [getattr(optimizer, name) for name in optimizer._state]
        named = [
            (array, gradient, [state[names[id(array)]] for state in states])
            for layer in chain
            for array, gradient in zip(layer.params, layer.grads, strict=True)
        ]
        parameters = [(p.reshape(-1), g.reshape(-1), [s.reshape(-1) for s in rest]) for p, g, rest in named]
        self._runner = runner_for(arrays[0])(
            steps, "softmax_cross_entropy", parameters, optimizer._kernel, batch_size, None, network.decay()
        )
        samples = x.reshape(len(x), prod(x.shape[1:]))
        self._runner.set_data(samples, _labels(t, steps[-1].outputs), None, batch_size)
        self._optimizer, self._dtype, self._batch_size = optimizer, arrays[0].dtype, batch_size
        self._dropped = [layer for layer in chain if type(layer) is layers.Dropout]
        self._normalized = [layer for layer in chain if type(layer) is layers.BatchNormalization]

    def take(self, batch: Array) -> None:
        """Train on the samples of a batch."""
        numbers = self._optimizer.step_numbers(1)
        sizes = [size for _, size in self._runner.masks]
        masks = draw_masks([len(batch)], sizes, [layer._ratio() for layer in self._dropped], self._dtype)
        rows = batch.astype(np.int64, copy=False)  # NumPy draws C's `long`, which has 32 bits on Windows
        self._runner.run(rows, *numbers, masks, [layer._share() for layer in self._normalized])
        self._optimizer.count_steps(1)


def _labels(t: Array, classes: int) -> Array:
    """Return class indices; ValueError if t has probabilities, which the gradient of book 1's loss takes."""
    labels = class_indices("t", t, classes).copy()
    if t.size != len(t) and not np.array_equal(np.eye(classes)[labels], t.reshape(len(t), -1)):
        raise ValueError("the labels are probabilities")
    return labels
