"""The books' helpers that do not belong to one layer or model.

Source: *Deep Learning from Scratch* 2, `common/util.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_labels,
    as_number,
    as_operand,
    check_integer,
    check_labels,
    check_parameter,
    is_on_gpu,
    is_writable,
)
from ._unpickle import RefusedPickleError, load_pickle
from .backends import NoGPUError, address_of, backend_for, to_device, to_host
from .backends import load_cupy as load_cupy
from .evaluation import eval_perplexity, eval_seq2seq
from .evaluation import has_argument as has_argument
from .language import (
    analogy,
    convert_one_hot,
    cos_similarity,
    create_co_matrix,
    create_contexts_target,
    most_similar,
    normalize,
    ppmi,
    preprocess,
)

__all__ = [
    "NoGPUError",
    "RefusedPickleError",
    "accuracy",
    "analogy",
    "clip_grads",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "eval_perplexity",
    "eval_seq2seq",
    "load_pickle",
    "most_similar",
    "normalize",
    "ppmi",
    "predict",
    "preprocess",
    "remove_duplicate",
    "to_cpu",
    "to_gpu",
]


def to_gpu(x: Any) -> Any:
    """Return an array as a CuPy array on the GPU: itself if it is one.

    Parameters
    ----------
    x : array
        Of NumPy or CuPy.

    Raises
    ------
    NoGPUError
        CuPy or a GPU is missing; the message says what to do.

    Notes
    -----
    Source: book 2, `common/util.py`.
    """
    return to_device(x)


def to_cpu(x: Any) -> Array:
    """Return an array as a NumPy array: itself if it is one. Waits for the GPU.

    Source: book 2, `common/util.py`.

    Parameters
    ----------
    x : array
        Of NumPy or CuPy.

    Examples
    --------
    >>> to_cpu(np.ones(2))
    array([1., 1.])
    """
    return to_host(x) if is_on_gpu(x) else as_array(x, "to_cpu: x")


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


def random_stream(where: str, rng: Any) -> Any:
    """Return a random stream: NumPy's global one for None, a generator itself, or a new one from a seed.

    Raises
    ------
    ValueError
        rng is none of these.
    """
    if rng is None:
        return np.random
    if isinstance(rng, np.random.RandomState):
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where} must be None, a non-negative integer or a numpy.random.Generator, got {rng!r}: {error}"
        ) from None


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


def clip_grads(grads: Sequence[Any], max_norm: float) -> None:
    """Scale the gradients, in place, so that their common norm is at most max_norm.

    Parameters
    ----------
    grads
        List of arrays; lists of lists work too.
    max_norm
        Largest Euclidean norm of all the gradients taken together.

    Raises
    ------
    ValueError
        A gradient is not an array of a floating dtype, or is read-only; max_norm is negative or not a number.
        Then nothing is changed.

    Notes
    -----
    Every gradient is multiplied by max_norm / (norm + 1e-6) where that is below 1.
    Source: book 2, ch. 6.1.4.

    Examples
    --------
    >>> grads = [np.array([3.0, 4.0])]
    >>> clip_grads(grads, 1.0)
    >>> grads[0].round(3)
    array([0.6, 0.8])
    """
    largest = as_number("clip_grads: max_norm", max_norm, 0)
    arrays = [check_parameter(f"clip_grads: grads[{i}]", g) for i, g in enumerate(flatten(grads))]
    for i, g in enumerate(arrays):
        if not is_writable(g):
            raise ValueError(f"clip_grads: grads[{i}] is read-only; it is scaled in place")
    operands = [as_operand("clip_grads: grads", g, g) for g in arrays]
    squares: Any = 0.0
    for g in operands:  # not sum(), which since Python 3.12 rounds differently from the whole steps in C
        squares = squares + backend_for(g).squared_norm(g)
    rate = largest / (sqrt(squares) + 1e-6)  # waits for a GPU here, once
    if rate < 1:
        for array in arrays:
            g = as_operand("g", array, array)
            backend_for(g).scale(g, rate)
            if g is not array:
                array[...] = g


def class_indices(where: str, t: Any, classes: int, *, rows: int | None = None) -> Array:
    """Return labels as int64 class indices, one per sample, all in [0, classes).

    Parameters
    ----------
    where
        The argument's name, for the error.
    t
        Class indices (N,), or one-hot (N, C), distinguished by size.
    classes
        Number of classes, C.
    rows
        Number of samples, N; by default, the length of t.

    Raises
    ------
    ValueError
        The labels are neither.
    IndexError
        A label is outside [0, C); names its position.
    """
    t = as_array(t, where)
    if rows is None:
        if t.ndim == 0:
            raise ValueError(f"{where}: expected labels, one for each sample, got a scalar {t.dtype.name}")
        rows = len(t)
    labels = as_labels(where, t, rows, classes, on_gpu=is_on_gpu(t))
    check_labels(where, to_cpu(labels), classes)  # those on the GPU are read back here, once
    return labels


def predict(model: Any, x: Any, *, block_size: int = 1024) -> Array:
    """Return a model's scores for many samples, computed in blocks of rows.

    Parameters
    ----------
    model
        Anything with predict(x).
    x
        Samples, an array whose first axis counts them.
    block_size
        Samples given to the model at a time; bounds the memory used.

    Returns
    -------
    ndarray
        The result of model.predict(x), one row per sample, as a NumPy array.

    Raises
    ------
    ValueError
        The model does not return one row per sample, or block_size is not positive.

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> predict(TwoLayerNet(2, 10, 3), np.zeros((5, 2))).shape
    (5, 3)
    """
    x = _samples("predict", model, x)
    out: Array | None = None
    for block in row_blocks(max(len(x), 1), block_size):
        scores = to_cpu(model.predict(x[block]))
        if scores.ndim == 0 or len(scores) != len(x[block]):
            raise ValueError(f"predict returned an array of shape {scores.shape} for {len(x[block])} samples")
        if out is None:
            out = np.empty((len(x), *scores.shape[1:]), scores.dtype)
        out[block] = scores
    assert out is not None
    return out


def _samples(where: str, model: Any, x: Any) -> Array:
    """Return x as an array of samples for model.predict."""
    if not callable(getattr(model, "predict", None)):
        raise ValueError(f"{where}: the model, a {type(model).__name__}, has no predict(x)")
    samples = as_array(x, f"{where}: x")
    if samples.ndim == 0:
        raise ValueError(f"{where}: x is a scalar {samples.dtype.name}, expected an array of samples")
    return samples


def accuracy(model: Any, x: Any, t: Any, *, block_size: int = 1024) -> float:
    """Return the fraction of samples whose largest score is at their label.

    Parameters
    ----------
    model
        Anything with predict(x) -> scores (N, C).
    x, t
        Samples, and their class indices (N,) or one-hot labels (N, C).
    block_size
        Samples given to the model at a time; bounds the memory used.

    Raises
    ------
    ValueError
        There are no samples, not as many labels as samples, or labels are not integers.
    IndexError
        A label is outside [0, C).

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> 0 <= accuracy(TwoLayerNet(2, 10, 3), np.zeros((5, 2)), np.zeros(5, int)) <= 1
    True
    """
    x, t = _samples("accuracy", model, x), to_cpu(as_array(t, "accuracy: t"))
    if len(x) == 0:
        raise ValueError("accuracy: there are no samples, so it is undefined")
    correct, labels = 0, None
    for block in row_blocks(len(x), block_size):
        scores = to_cpu(model.predict(x[block]))
        if scores.ndim != 2 or len(scores) != len(x[block]):
            raise ValueError(
                f"accuracy: predict returned scores of shape {scores.shape}, expected ({len(x[block])}, C)"
            )
        if labels is None:
            labels = class_indices("accuracy: t", t, scores.shape[1], rows=len(x))
        correct += int(np.sum(scores.argmax(axis=1) == labels[block]))
    return correct / len(x)


def row_blocks(rows: int, size: int) -> Iterator[slice]:
    """Return slices of `size` rows, the last one possibly shorter."""
    size = check_integer("block_size", size, 1)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
