"""The books' helpers that do not belong to one layer or model.

Source: *Deep Learning from Scratch* 2, `common/util.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from ._parts import flatten, remove_duplicate
from ._unpickle import RefusedPickleError, load_pickle
from .backends import NoGPUError, backend_for, to_device, to_host
from .evaluation import eval_perplexity, eval_seq2seq
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

    Examples
    --------
    >>> to_gpu(np.ones(3))  # doctest: +SKIP
    array([1., 1., 1.])
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
