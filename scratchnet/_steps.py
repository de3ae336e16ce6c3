"""A chain of layers as C runs it: what each layer does, on how many numbers of a sample, with which arrays.

Layers declare their part in `step_role`; here is what the steps need to know of each role.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, takewhile
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array
from .backends import LARGEST, window_places
from .image_layers import images_at_once

LOSSES = frozenset(("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"))

_NEED_THEIR_OUTPUT = frozenset(("sigmoid", "relu", "tanh"))  # in backward, so that nothing may overwrite it


class Step(NamedTuple):
    """A layer's part of a step.

    Attributes
    ----------
    kind : str
        Its role.
    inputs, outputs : int
        Numbers of a sample that it takes and gives.
    arrays : tuple
        Weights, bias and their gradients, or gamma, beta, their gradients, the running mean and variance.
    sizes : tuple of int
        Of images and windows, as `backends/cpu_steps.pxi` takes them.
    in_place : bool
        Whether the output may replace the input.
    """

    kind: str
    inputs: int
    outputs: int
    arrays: tuple[Array, ...] = ()
    sizes: tuple[int, ...] = ()
    in_place: bool = False


class NoStepError(ValueError):
    """A layer has no part in whole steps; says why."""


Shape = tuple[int, ...]


def chain_steps(layers: Sequence[Any], roles: Sequence[str], shape: Shape, batch: int) -> list[Step]:
    """Return the steps of a chain without its loss, on samples of a shape.

    Raises
    ------
    NoStepError
        A layer does not take what the one before it gives, or has something that C does not know.
    """
    steps: list[Step] = []
    for layer, role in zip(layers, roles, strict=True):
        if not all(shape):
            raise NoStepError("the samples have no numbers")
        if role == "flatten":
            shape = (prod(shape),)
            continue
        if role not in _MAKERS:
            raise NoStepError(f"the layer {type(layer).__name__} cannot be part of a plan")
        made, given = _MAKERS[role](layer, shape, batch)
        before = steps[-1].kind if steps else None
        in_place = made.in_place and before not in _NEED_THEIR_OUTPUT
        steps.append(made._replace(kind=role, in_place=in_place))
        shape = given
    if not steps or roles[-1] != "affine":
        raise NoStepError("the loss does not follow an Affine layer")
    return steps


def computes_before_cast(steps: Sequence[Step]) -> bool:
    """Whether a layer computes with samples before one with weights casts them, so that their dtype counts."""
    before = (step.kind for step in takewhile(lambda step: not step.arrays, steps))
    return any(kind in ("sigmoid", "tanh", "dropout") for kind in before)


def draw_masks(batches: Sequence[int], sizes: Sequence[int], ratios: Sequence[float], dtype: Any) -> Array | None:
    """Draw what dropout keeps, in the order in which its layers would: step after step, layer after layer.

    Parameters
    ----------
    batches
        Samples of each step.
    sizes, ratios
        Of each dropout layer the numbers of a sample's mask, and the probability that one is dropped; without such
        a layer there is no mask.
    dtype
        That of the numbers, 0 or 1.
    """
    if not sizes:
        return None
    drawn = []
    for batch, steps in groupby(batches):
        numbers = np.random.rand(len(list(steps)), batch * sum(sizes))
        masks = np.empty(numbers.shape, dtype)
        end = 0
        for ratio, size in zip(ratios, sizes, strict=True):
            start, end = end, end + batch * size
            masks[:, start:end] = numbers[:, start:end] > ratio
        drawn.append(masks.reshape(-1))
    return drawn[0] if len(drawn) == 1 else np.concatenate(drawn)


def _pair(layer: Any) -> tuple[Array, Array, Array, Array]:
    """Return a layer's two parameters and their gradients."""
    lists = layer.params, layer.grads
    arrays = [a for given in lists if isinstance(given, list | tuple) for a in given]
    if len(arrays) != 4 or not all(isinstance(a, np.ndarray) for a in arrays):
        raise NoStepError(f"{type(layer).__name__} does not have two parameters and their gradients")
    first, second, dfirst, dsecond = arrays
    if (first.shape, second.shape) != (dfirst.shape, dsecond.shape):
        raise NoStepError(f"{type(layer).__name__} has gradients of other shapes than its parameters")
    return first, second, dfirst, dsecond


def _affine(layer: Any, shape: Shape, batch: int) -> tuple[Step, Shape]:
    arrays = _pair(layer)
    W, b = arrays[:2]
    if W.ndim != 2 or shape != (W.shape[0],) or b.shape != (W.shape[1],):
        raise NoStepError(
            f"{type(layer).__name__} does not take samples of shape {shape} with a bias for each output"
        )
    return Step("", W.shape[0], W.shape[1], arrays), (W.shape[1],)


def _elementwise(layer: Any, shape: Shape, batch: int) -> tuple[Step, Shape]:
    return Step("", prod(shape), prod(shape), in_place=True), shape


def _whole(layer: Any, *numbers: Any) -> list[int]:
    if not all(type(n) is int and 0 <= n <= LARGEST for n in numbers):
        raise NoStepError(f"{type(layer).__name__} has a setting that is not an integer")
    return list(numbers)


def _windows(layer: Any, shape: Shape, window: Shape) -> tuple[list[int], Shape]:
    """Return stride and pad, and the numbers of places of a window down and across."""
    stride, pad, *sides = _whole(layer, layer.stride, layer.pad, *window)
    if (
        len(shape) != 3
        or stride < 1
        or min(sides) < 1
        or any(n + 2 * pad < w for n, w in zip(shape[1:], sides, strict=True))
    ):
        raise NoStepError(f"the window of {type(layer).__name__} does not fit samples of shape {shape}")
    return [stride, pad], tuple(window_places(n, w, stride, pad) for n, w in zip(shape[1:], sides, strict=True))


def _convolution(layer: Any, shape: Shape, batch: int) -> tuple[Step, Shape]:
    arrays = _pair(layer)
    W, b = arrays[:2]
    if W.ndim != 4 or len(shape) != 3 or W.shape[1] != shape[0] or b.shape != (len(W),) or not W.size:
        raise NoStepError(f"{type(layer).__name__} does not take samples of shape {shape}")
    settings, places = _windows(layer, shape, W.shape[2:])
    at_once = images_at_once(batch, (*W.shape[1:], *places), W)
    sizes = (*shape, len(W), *W.shape[2:], *places, *settings, at_once)
    return Step("", prod(shape), len(W) * prod(places), arrays, sizes), (len(W), *places)


def _pooling(layer: Any, shape: Shape, batch: int) -> tuple[Step, Shape]:
    settings, places = _windows(layer, shape, (layer.pool_h, layer.pool_w))
    if settings[1] != 0:
        raise NoStepError("Pooling has a pad")
    sizes = (*shape, layer.pool_h, layer.pool_w, *places, settings[0])
    return Step("", prod(shape), shape[0] * prod(places), (), sizes), (shape[0], *places)


def _batch_normalization(layer: Any, shape: Shape, batch: int) -> tuple[Step, Shape]:
    arrays = (*_pair(layer), layer.running_mean, layer.running_var)
    columns, L = arrays[0].size, 1
    if len(shape) == 3 and columns == shape[0]:
        L = prod(shape[1:])
    if columns * L != prod(shape) or any(type(a) is not np.ndarray or a.shape != (columns,) for a in arrays):
        raise NoStepError(f"{type(layer).__name__} does not take samples of shape {shape}")
    return Step("", prod(shape), prod(shape), arrays, (columns, L)), shape


_MAKERS: dict[str, Callable[[Any, Shape, int], tuple[Step, Shape]]] = {
    "affine": _affine,
    "sigmoid": _elementwise,
    "relu": _elementwise,
    "tanh": _elementwise,
    "dropout": _elementwise,
    "convolution": _convolution,
    "pooling": _pooling,
    "batch_normalization": _batch_normalization,
}
