"""What a network is made of, as text: layers with their settings and the names of their arrays in a weights file.

A file says nothing that is run, and no sizes: those are the stored arrays' own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ._arrays import Array
from ._parts import named_buffers, named_params
from .layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    IdentityWithLoss,
    Layer,
    MatMul,
    Pooling,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
    Tanh,
)

LOSSES: dict[str, type[Layer]] = {
    "softmax": SoftmaxWithLoss,
    "sigmoid": SigmoidWithLoss,
    "identity": IdentityWithLoss,
}
# The layers by class, with the settings that they are made with besides their arrays, and each one's type.
_LAYERS: dict[type[Layer], dict[str, type]] = {
    Affine: {},
    BatchNormalization: {"momentum": float},
    Convolution: {"stride": int, "pad": int},
    Dropout: {"dropout_ratio": float},
    Embedding: {},
    Flatten: {},
    MatMul: {},
    Pooling: {"pool_h": int, "pool_w": int, "stride": int, "pad": int},
    Relu: {},
    Sigmoid: {},
    Softmax: {},
    Tanh: {},
}
_BY_NAME = {cls.__name__: cls for cls in _LAYERS}
_MOST_LAYERS = 1000


def describe(model: Any) -> dict[str, Any] | None:
    """Return a network's layers and loss as `chain` reads them; None if a file cannot say what they are.

    They may be of a class of one's own, or share memory in another way than as the same array.
    """
    losses = {cls: name for name, cls in LOSSES.items()}
    if type(model.loss_layer) not in losses or any(type(layer) not in _LAYERS for layer in model.layers):
        return None
    names: dict[int, str] = {}
    for name, array in named_params(model.params).items():
        names.setdefault(id(array), name)  # of a shared array the first
    arrays = list({id(p): p for p in model.params}.values())
    if not all(type(p) is np.ndarray for p in arrays):
        arrays = []  # on the GPU, where `to` accepts no views of parameters
    if any(np.may_share_memory(a, b) for a, b in combinations(arrays, 2)):
        return None
    buffers = {(id(layer), name): stored for stored, (layer, name) in named_buffers(model).items()}
    layers = []
    for layer in model.layers:
        settings = {name: kind(getattr(layer, name)) for name, kind in _LAYERS[type(layer)].items()}
        if any(id(p) not in names for p in layer.params):
            return None
        entry = {"layer": type(layer).__name__, "params": [names[id(p)] for p in layer.params], **settings}
        kept = {name: buffers[id(layer), name] for name in layer.buffers if getattr(layer, name) is not None}
        layers.append(entry | ({"buffers": kept} if kept else {}))
    return {"layers": layers, "loss": losses[type(model.loss_layer)], "weight_decay": float(model.weight_decay)}


def as_dict(text: str) -> dict[str, Any]:
    """Return an architecture's text as a dictionary.

    Raises
    ------
    ValueError
        It is not the text of one.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its architecture is not JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("model"), str):
        raise ValueError("its architecture does not name a model")
    return found


def chain(described: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[list[Layer], str, float]:
    """Return the layers that `describe` described, made with these arrays by name, the loss, and the weight decay.

    Raises
    ------
    ValueError
        A layer is unknown, its settings or arrays are missing or do not suit it.
    """
    entries = described.get("layers")
    if not isinstance(entries, list) or len(entries) > _MOST_LAYERS:
        raise ValueError(f"its architecture must have a list of at most {_MOST_LAYERS} layers")
    loss, decay = described.get("loss"), described.get("weight_decay")
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(f"its loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    if type(decay) is not float:
        raise ValueError(f"its weight_decay must be a number, got {decay!r}")
    return [_layer(entry, arrays) for entry in entries], loss, decay


def _layer(entry: Any, arrays: Mapping[str, Array]) -> Layer:
    kind = entry.get("layer") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _BY_NAME:
        raise ValueError(f"its architecture has an unknown layer {kind!r}")
    cls = _BY_NAME[kind]
    settings = {}
    for name, type_of in _LAYERS[cls].items():
        settings[name] = entry.get(name)
        if type(settings[name]) is not type_of:
            raise ValueError(f"its layer {kind} must have {name}, of type {type_of.__name__}")
    names, buffers = entry.get("params"), entry.get("buffers", {})
    if not isinstance(names, list) or not isinstance(buffers, dict) or set(buffers) - set(cls.buffers):
        raise ValueError(f"its layer {kind} must list the names of its params, and its buffers by name")
    missing = [name for name in (*names, *buffers.values()) if not isinstance(name, str) or name not in arrays]
    if missing:
        raise ValueError(f"its layer {kind} needs an array {missing[0]!r}, which is not there")
    try:
        return cls(*(arrays[n] for n in names), **settings, **{k: arrays[n] for k, n in buffers.items()})
    except TypeError:
        raise ValueError(f"its layer {kind} cannot have {len(names)} params") from None
