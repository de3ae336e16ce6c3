"""What a model holds: its parameters and gradients, its layers and their statistics."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu
from .backends import address_of


def flatten(arrays: Any) -> list[Any]:
    """Return parameters or gradients as one list, even if a model keeps a list for every layer.

    The arrays themselves are not copied.

    Raises
    ------
    ValueError
        They are not in a list.
    """
    if not isinstance(arrays, list | tuple):
        raise ValueError(f"parameters and gradients must be lists of arrays, got {type(arrays).__name__}")
    return list(_flat(arrays))


def _flat(arrays: Any) -> Iterator[Any]:
    for entry in arrays:
        if isinstance(entry, list | tuple):
            yield from _flat(entry)
        else:
            yield entry


def named_params(params: Any) -> dict[str, Array]:
    """Return parameters by the books' names: W1, b1, W2, b2, ...

    A matrix (or an array of more axes) starts a new number; the vector after it is its bias; anything else is
    called p1, p2, ... by its position in the list. A dictionary, as book 1's networks have, has names already.
    """
    if isinstance(params, Mapping):
        return {str(name): array for name, array in params.items()}
    named: dict[str, Array] = {}
    layer = 0
    for place, array in enumerate(flatten(params), start=1):
        if np.ndim(array) >= 2:
            layer += 1
            named[f"W{layer}"] = array
        elif np.ndim(array) == 1 and layer and f"b{layer}" not in named:
            named[f"b{layer}"] = array
        else:
            named[f"p{place}"] = array
    return named


def named_buffers(model: Any) -> dict[str, tuple[Any, str]]:
    """Return the statistics that a model's layers keep, as (layer, attribute), by their names in a weights file.

    A layer declares the attributes in `buffers`; the names get a number, that of the layer among those with
    buffers.
    """
    layers = [layer for layer in reversed(layers_of(model)) if getattr(layer, "buffers", ())]  # in order
    return {f"{name}{k}": (layer, name) for k, layer in enumerate(layers, start=1) for name in layer.buffers}


def buffers_of(model: Any) -> list[tuple[Any, str]]:
    """Return the statistics that there are, as (layer, attribute): None is left out."""
    return [
        (layer, name) for layer, name in named_buffers(model).values() if getattr(layer, name, None) is not None
    ]


def has_classes(model: Any, t: Array) -> bool:
    """Whether a model's labels t are classes, so that it has an accuracy: not the numbers of a regression.

    A loss layer says so by its `has_classes`. Without one, a column of floating-point numbers is no class.
    """
    if not all(getattr(layer, "has_classes", True) for layer in layers_of(model)):
        return False
    return hasattr(model, "accuracy") or t.dtype.kind != "f" or (t.ndim > 1 and t.shape[-1] > 1)


def has_argument(function: Any, name: str) -> bool:
    """Whether a function has an argument of this name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a compiled one, say
        return False


_TAKES_TRAIN_FLG: dict[type, bool] = {}


def takes_train_flg(layer: Any) -> bool:
    """Whether the forward of a layer's class has an argument `train_flg`, as that of Dropout."""
    cls = type(layer)
    if cls not in _TAKES_TRAIN_FLG:
        _TAKES_TRAIN_FLG[cls] = has_argument(cls.forward, "train_flg")
    return _TAKES_TRAIN_FLG[cls]


def attributes_of(thing: Any) -> dict[str, Any]:
    """Return an object's attributes by name, from its dictionary and the slots of its classes."""
    held: dict[str, Any] = {}
    for cls in type(thing).__mro__:
        if "__slots__" in cls.__dict__:
            names = _listed(cls.__dict__["__slots__"])
            held |= {name: getattr(thing, name) for name in names if name != "__dict__" and hasattr(thing, name)}
    return held | getattr(thing, "__dict__", {})


def _listed(slots: Any) -> Sequence[str]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


_LEAVES = {type(None), bool, int, float, str, np.ndarray}  # most of what a model holds besides its layers


def layers_of(model: Any, *, nested: bool = False) -> list[Any]:
    """Return every object with forward and backward that a model holds, also in lists, tuples and dicts.

    If nested, also those that are within such objects.
    """
    found: dict[int, Any] = {}
    todo = list(attributes_of(model).values())
    while todo:
        value = todo.pop()
        if type(value) in _LEAVES or id(value) in found or (nested and value is model):
            continue
        if isinstance(value, list | tuple):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
        elif hasattr(value, "forward") and hasattr(value, "backward") and hasattr(value, "__dict__"):
            found[id(value)] = value
            if nested:
                todo += attributes_of(value).values()
    return list(found.values())


def remove_duplicate(
    params: Sequence[Any], grads: Sequence[Any], *, by_value: bool = False
) -> tuple[list[Any], list[Any]]:
    """Merge the parameters that several layers share, and add up their gradients.

    Parameters
    ----------
    params, grads
        Lists of arrays.
    by_value
        Also merge a matrix with one that equals its transpose, as the book does; this merges two zero matrices
        too. Otherwise transposes are merged only when they share memory.

    Returns
    -------
    (list, list)
        Every parameter once, in order, and its gradient; sums are written into the first one's gradient.

    Raises
    ------
    ValueError
        They are not lists of the same length.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, `common/trainer.py`; ch. 6.5.3 on weight tying.

    Examples
    --------
    >>> W, dW = np.ones(2), np.array([1.0, 2.0])
    >>> remove_duplicate([W, W], [dW, np.ones(2)])
    ([array([1., 1.])], [array([2., 3.])])
    """
    if not (isinstance(params, list | tuple) and isinstance(grads, list | tuple) and len(params) == len(grads)):
        raise ValueError("remove_duplicate: params and grads must be lists, with one gradient for each parameter")
    kept_params: list[Any] = []
    kept_grads: list[Any] = []
    for param, grad in zip(params, grads, strict=True):
        for i, kept in enumerate(kept_params):
            if _same_view(kept, param):
                kept_grads[i] += grad
                break
            if _same_view(kept, np.transpose(param)) or (by_value and _equal_transpose(kept, param)):
                kept_grads[i] += np.transpose(grad)
                break
        else:
            kept_params.append(param)
            kept_grads.append(grad)
    return kept_params, kept_grads


def _same_view(a: Any, b: Any) -> bool:
    """Whether two arrays are the same object, or have the same elements in the same memory."""
    on_gpu = is_on_gpu(a)
    if on_gpu != is_on_gpu(b) or not (on_gpu or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray))):
        return False
    if a is b or a.size == 0:
        return a is b
    return address_of(a) == address_of(b) and (a.shape, a.strides, a.dtype) == (b.shape, b.strides, b.dtype)


def _equal_transpose(a: Any, b: Any) -> bool:
    return np.ndim(a) == 2 and np.ndim(b) == 2 and np.shape(a) == np.shape(b)[::-1] and bool(np.all(a == b.T))
