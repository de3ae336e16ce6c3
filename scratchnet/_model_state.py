"""What a fit changes in a model, its gradients aside: parameters, buffers, and the states of stateful layers.

Besides, the settings that it does not change, but that are a part of the run. A layer declares the names
of its buffers, arrays that training changes without gradients, in `buffers`, for example ("running_mean",
"running_var"). A stateful layer of the books keeps h from batch to batch, an LSTM also c.
"""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu, is_writable, to_side
from ._parts import flatten, layers_of

Slot = tuple[Any, str]  # a layer, and the name of an attribute that is an array, or None as yet


def parameters(who: str, model: Any) -> list[Array]:
    """Return a model's parameters, arrays of floating-point numbers, in order; ValueError if one is not."""
    params = flatten(model.params)
    for i, p in enumerate(params):
        if not (isinstance(p, np.ndarray) or is_on_gpu(p)) or p.dtype.kind != "f" or not is_writable(p):
            raise ValueError(f"{who}: params[{i}] of {type(model).__name__} is not a writable array of floats")
    return params


def buffers(model: Any) -> list[Slot]:
    """Return where a model's buffers are: the same order for every model that is made by the same code."""
    return [
        (layer, str(name)) for layer in layers_of(model, nested=True) for name in getattr(layer, "buffers", ())
    ]


def states(model: Any) -> list[Slot]:
    """Return where the states of a model's stateful layers are."""
    stateful = [layer for layer in layers_of(model, nested=True) if getattr(layer, "stateful", False)]
    return [(layer, name) for layer in stateful for name in ("h", "c") if hasattr(layer, name)]


def settings(model: Any) -> dict[str, list[float]]:
    """Return the numbers of a model and its layers that decide how it trains, though no parameter tells them."""
    found: dict[str, list[float]] = {}
    for thing in (model, *reversed(layers_of(model, nested=True))):
        for name in ("weight_decay", "dropout_ratio", "momentum"):
            value = getattr(thing, name, None)
            if isinstance(value, Real):
                with suppress(OverflowError):  # Python's integers may be too large
                    found[name] = [*found.get(name, ()), float(value)]
    return found


def put_parameters(params: list[Array], values: list[Array]) -> None:
    """Write values of the parameters' shapes into them."""
    for param, value in zip(params, values, strict=True):
        param[...] = to_side(value, to_gpu=is_on_gpu(param))


def put(slot: Slot, value: Array | None, *, on_gpu: bool) -> None:
    """Give an attribute its value: into the array that is there, if it fits, as whole steps may hold it."""
    layer, name = slot
    now = getattr(layer, name)
    if value is None:
        setattr(layer, name, None)
    elif is_array(now) and is_writable(now) and (now.shape, now.dtype) == (value.shape, value.dtype):
        now[...] = to_side(value, to_gpu=is_on_gpu(now))
    else:
        setattr(layer, name, to_side(value, to_gpu=on_gpu).copy())


def on_cpu(value: Any) -> Any:
    """Return an array as NumPy's; None is itself."""
    return None if value is None else to_side(value, to_gpu=False)


def is_array(value: Any) -> bool:
    """Whether a value is an array of NumPy or CuPy."""
    return isinstance(value, np.ndarray) or is_on_gpu(value)
