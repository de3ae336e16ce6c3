"""What people hand in, made fit for a kernel: lists, integers, transposed and strided arrays, one-hot labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_FLOAT64 = np.dtype(np.float64)


def as_operand(where: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return `value` as a C-contiguous array of a dtype: itself if it is one, else a copy.

    Parameters
    ----------
    where
        The argument's name, for the error.
    value
        Real numbers: an array of any real dtype and layout, a list, a number.
    dtype
        The floating dtype of the call, that of the parameters.

    Raises
    ------
    ValueError
        Complex numbers, text, or nested lists of unequal lengths.
    """
    if type(value) is np.ndarray and value.dtype == dtype and value.flags.c_contiguous and value.flags.aligned:
        return value
    array = _real_array(where, value)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes inf, as astype makes it
        return np.require(array, dtype, ["C", "A"])


def as_float_array(where: str, value: Any) -> Array:
    """Return `value` as a C-contiguous array in its own floating dtype; integers and lists become float64."""
    array = value if type(value) is np.ndarray else _real_array(where, value)
    return as_operand(where, array, array.dtype.newbyteorder("=") if array.dtype.kind == "f" else _FLOAT64)


def as_labels(where: str, t: Any, rows: int, classes: int, *, one_hot: bool = True) -> Array:
    """Return labels as int64 class indices, one a row.

    Parameters
    ----------
    where
        The argument's name, for the error.
    t
        `rows` class indices of any integer dtype and any shape, or one row of `classes` numbers for each
        (one-hot; the largest number's place is the label), told apart by the shape.
    rows, classes
        Shape of the scores.
    one_hot
        Whether one-hot labels are accepted.

    Raises
    ------
    ValueError
        The number of labels is neither, or indices are not whole numbers.
    IndexError
        An index does not fit in 63 bits. (The others outside [0, classes) are refused by the kernel.)
    """
    try:
        labels = t if type(t) is np.ndarray else np.asarray(t)
    except ValueError as error:
        raise ValueError(f"{where}: cannot be made an array: {error}") from None
    if labels.dtype == np.int64 and labels.shape == (rows,) and labels.flags.c_contiguous:
        return labels
    rows_of_classes = labels.size == rows * classes and labels.shape[-1:] == (classes,)
    if one_hot and classes > 1 and rows_of_classes and (labels.ndim > 1 or rows == 1):
        if labels.dtype.kind not in "biuf":
            raise ValueError(f"{where}: one-hot labels must be numbers, got dtype {labels.dtype}")
        return np.asarray(labels.reshape(rows, classes).argmax(axis=1))
    if labels.size != rows:
        other = f" or a one-hot array of shape ({rows}, {classes})" if one_hot else ""
        raise ValueError(f"{where}: expected {rows} class indices{other}, got an array of shape {labels.shape}")
    if labels.size == 0:
        return np.zeros(0, np.int64)
    if labels.dtype.kind not in "biu":
        raise ValueError(
            f"{where}: class indices must be whole numbers, got dtype {labels.dtype}; .astype(int) makes them so"
        )
    if labels.dtype == np.uint64:  # the largest do not survive the cast
        check_labels(where, labels.reshape(rows), classes)
    return np.require(labels.reshape(rows), np.int64, ["C", "A"])


def check_labels(where: str, labels: Array, classes: int) -> None:
    """Raise IndexError, naming the position, where a label is outside [0, classes)."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        i = int(wrong[0])
        among = f"a number from 0 to {classes - 1}" if classes else "none, for there are 0 to choose from"
        raise IndexError(f"{where}[{i}] is {labels[i]}, expected {among}")


def check_parameter(where: str, value: Any, ndim: int | None = None) -> Array:
    """Return a parameter array if it can be trained in place.

    Raises
    ------
    ValueError
        It is not a NumPy array of a real floating dtype, or has another number of axes.
    """
    if not isinstance(value, np.ndarray):
        raise ValueError(
            f"{where} must be a NumPy array, because it is trained in place; got {type(value).__name__}. "
            "Pass numpy.array(...) with a floating dtype"
        )
    if value.dtype.kind != "f":
        raise ValueError(
            f"{where} must have a floating dtype (float32 or float64), got {value.dtype}; "
            f"convert it with .astype(numpy.float32)"
        )
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{where} must have {ndim} axes, got shape {value.shape}")
    return value


def side_by_side(shapes: Sequence[tuple[int, ...]], dtype: np.dtype[Any]) -> list[Array]:
    """Return zeroed arrays that lie one after another in one buffer, so that one kernel call can update all."""
    sizes = [prod(shape) for shape in shapes]
    buffer = np.zeros(sum(sizes), dtype)
    ends = np.cumsum(sizes).tolist()
    return [buffer[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]


def _real_array(where: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{where} is a masked array, whose mask would be ignored; use .filled(...) or .compressed()"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{where}: cannot be made an array: {error}") from None
    if array.dtype.kind not in "biuf":
        hint = "; .astype(float) may help" if array.dtype.kind == "O" else ""
        raise ValueError(f"{where} must hold real numbers, got dtype {array.dtype}{hint}")
    return array
