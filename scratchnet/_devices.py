"""Moves a model's arrays between the CPU and the GPU: parameters, gradients and the layers' statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import Array, check_parameter, is_on_gpu, to_side, zeros_in_one_buffer
from ._parts import attributes_of, buffers_of, layers_of
from .backends import load_cupy


def move(model: Any, device: str) -> None:
    """Move a model's arrays to "cpu" or "cuda"; its lists and dictionaries remain the same objects.

    Raises
    ------
    ValueError
        The device is unknown, or a parameter cannot be moved: float16, or a view of another one. Then nothing
        is changed.
    NoGPUError
        CuPy or a GPU is missing; the message says what to do.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"to: device must be 'cpu' or 'cuda', got {device!r}")
    on_gpu = device == "cuda"
    layers = layers_of(model)
    holders = [model.params, getattr(model, "grads", ())]
    holders += [arrays for layer in layers for arrays in (layer.params, layer.grads)]
    holders.append([getattr(layer, name) for layer, name in buffers_of(model)])
    lists = [[a for a in (list(h.values()) if isinstance(h, dict) else h) if np.ndim(a)] for h in holders]
    if all(is_on_gpu(array) == on_gpu for arrays in lists for array in arrays):
        return
    if on_gpu:
        load_cupy()
    there: dict[int, Array] = {}
    for arrays in lists:  # everything is allocated before anything is changed: memory may run out
        _move(arrays, on_gpu, there)
    for holder in holders:
        if isinstance(holder, dict | list):
            for key, array in holder.items() if isinstance(holder, dict) else enumerate(holder):
                holder[key] = there.get(id(array), array)
    for layer in layers:  # book 1's hold their weights as attributes, all of them their statistics
        for name, value in attributes_of(layer).items():
            if id(value) in there:
                setattr(layer, name, there[id(value)])


def _move(arrays: Sequence[Array], on_gpu: bool, there: dict[int, Array]) -> None:
    """Add to `there` each array's counterpart on the other side, by id; shared memory stays shared."""
    todo = list({id(a): a for a in arrays if id(a) not in there}.values())
    kinds = {(a.dtype, is_on_gpu(a)) for a in todo}
    for array in todo:
        check_parameter("to: a parameter", array)
        if on_gpu and array.dtype not in (np.float32, np.float64):
            raise ValueError(f"to: the GPU computes in float32 and float64; a parameter has dtype {array.dtype}")
        if on_gpu and any(other is not array and np.shares_memory(array, other) for other in todo):
            raise ValueError("to: two parameters share memory without being one array; move such a model manually")
    if len(kinds) == 1:
        new = zeros_in_one_buffer([a.shape for a in todo], todo[0].dtype, on_gpu=on_gpu)
    else:
        new = [zeros_in_one_buffer([a.shape], a.dtype, on_gpu=on_gpu)[0] for a in todo]
    for array, counterpart in zip(todo, new, strict=True):
        counterpart[...] = to_side(array, to_gpu=on_gpu)
        there[id(array)] = counterpart
