"""Converts arguments to what kernels take: lists, integers, transposed and strided arrays, one-hot labels.

`as_array` is the single entry point: it decides what counts as an array. After it, everything is a plain array,
without the arithmetic of np.matrix, the column names of a table or a mask.

Arrays are on the CPU (NumPy's) or on the GPU (CuPy's). NumPy's functions `..._like` dispatch to CuPy for its
arrays, so that most code serves both. Only `to_side` moves data from one side to the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from math import prod
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from ._cut import current

Array = np.ndarray[Any, np.dtype[Any]]

_INF = float("inf")

LARGEST = 2**31 - 1  # stride, padding or window: no sum of them with a size overflows C's 63 bits


def is_on_gpu(value: Any) -> bool:
    """Whether a value is a CuPy array. Never imports CuPy: unless it is already imported, there cannot be any."""
    if type(value) is np.ndarray:
        return False
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, getattr(cupy, "ndarray", ()))


def as_array(value: Any, where: str = "the argument") -> Array:
    """Return a CuPy array as it is, anything else as a plain NumPy array, a view of the same data if possible.

    Parameters
    ----------
    value
        An array, possibly of a subclass such as np.matrix or np.memmap; a list; a number; or anything with
        `__array__`, such as pandas tables and PyTorch tensors on the CPU.
    where
        The argument's name, for the error.

    Raises
    ------
    ValueError
        A mask would be ignored, lists are of unequal lengths, or `__array__` fails.
    """
    if type(value) is np.ndarray or is_on_gpu(value):
        array: Array = value
        return array
    try:
        masked = _holds_a_mask(value)
        array = np.empty(0) if masked else np.asarray(value)
    except (
        ValueError,
        TypeError,
        RuntimeError,
        OverflowError,
    ) as error:  # a list of CuPy arrays; what needs a gradient
        raise ValueError(f"{where}: cannot be converted to an array: {error}") from None
    if masked:
        raise ValueError(
            f"{where} is a masked array, whose mask would be ignored; use .filled(...) or .compressed()"
        )
    return array


def _holds_a_mask(value: Any) -> bool:
    """Whether a value is a masked array, or a list with one in it."""
    if not isinstance(value, list | tuple):
        return isinstance(value, np.ma.MaskedArray)
    kinds = set(map(type, value))  # of a long list of numbers, one
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    return any(issubclass(kind, list | tuple) for kind in kinds) and any(map(_holds_a_mask, value))


def as_real_array(where: str, value: Any) -> Array:
    """Return real numbers as a plain array, keeping their dtype and device.

    Raises
    ------
    ValueError
        Complex numbers, text, dates, records or objects; or as `as_array`.
    """
    array = as_array(value, where)
    if array.dtype.kind not in "biuf":
        hint = "; .astype(float) may help" if array.dtype.kind == "O" else ""
        raise ValueError(f"{where} must contain real numbers, got dtype {array.dtype}{hint}")
    return array


def as_number(where: str, value: Any, least: float = -_INF, most: float = _INF) -> float:
    """Return a real number as a float: Python's, NumPy's, or the one that an array holds.

    Raises
    ------
    ValueError
        It is complex, text or not a number at all, there are several, or it overflows a float; or it is outside
        the bounds, or NaN if there are bounds.
    """
    number = value if type(value) is float else _number_in(where, value)
    if number is None or not (least <= number <= most or (number != number and (least, most) == (-_INF, _INF))):
        among = (
            f" from {least:g} to {most:g}" if most < _INF else "" if least == -_INF else f" of at least {least:g}"
        )
        raise ValueError(f"{where} must be a number{among}, got {described(value)}")
    return number


def as_scalar(where: str, value: Any) -> float:
    """Return a scalar as a float; a bool or an array with axes is rejected.

    Raises
    ------
    ValueError
        As `as_number`.
    """
    if isinstance(value, bool | np.bool_) or np.ndim(value):
        raise ValueError(f"{where} must be a number, got {described(value)}")
    return as_number(where, value)


def _number_in(where: str, value: Any) -> float | None:
    try:
        if isinstance(value, Real):
            return float(value)
        if hasattr(value, "__array__"):  # not lists: a list suggests that several numbers are allowed
            array = as_real_array(where, value)
            if array.size == 1:
                return float(array.item())
    except (ValueError, OverflowError, TypeError):  # a difference of dates is one of NumPy's integers
        pass
    return None


def check_integer(where: str, value: Any, least: int = 0, most: float = sys.maxsize) -> int:
    """Return an integer from `least` (0 or 1) to `most`, by default the most entries an array can have, as an int.

    Raises
    ------
    ValueError
        It is not an integer, or out of range.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        sign = "positive" if least else "non-negative"
        raise ValueError(f"{where} must be a {sign} integer, got {described(value)}")
    if number > most:
        raise ValueError(f"{where} must be at most {most}, got {described(value)}")
    return number


def described(value: Any) -> str:
    """Return a value as it is shown in an error: of limited length, and without ever failing."""
    try:
        text = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    except Exception:  # a half-initialised object's own, or Python's for an int of 5,000 digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:50]}..."


def to_side(array: Any, *, to_gpu: bool) -> Array:
    """Return an array on the GPU or on the CPU: itself if it is already there."""
    if is_on_gpu(array) == to_gpu:
        return as_array(array)
    cupy = sys.modules["cupy"]  # imported, because one of the two sides is its array
    if to_gpu and np.asarray(array).dtype == np.bool_:
        array = np.asarray(array).astype(np.uint8).view(np.bool_)  # any nonzero byte is true; GPU code expects 1
    there: Array = cupy.asarray(array) if to_gpu else cupy.asnumpy(array)
    return there


def uploaded(where: str, value: Any) -> Array:
    """Return real numbers as a CuPy array, checked as the CPU's operands are: itself if it is one."""
    if is_on_gpu(value):
        return as_array(value)
    array = as_real_array(where, value)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)  # GPUs have no wider floats
    return to_side(array, to_gpu=True)


def random_like(x: Array) -> Array:
    """Return random numbers from 0 to 1 of the shape and device of x, from NumPy's or CuPy's global stream.

    For a part of a batch they are drawn for all of it.
    """
    draw: Any = np.random.rand
    if is_on_gpu(x):
        draw = partial(sys.modules["cupy"].random.rand, dtype=x.dtype)
    cut = current()
    drawn = cut.drawn(x.shape, draw) if cut else draw(*x.shape)
    return drawn if x.ndim else as_array(drawn)  # for a 0-d shape NumPy returns a float


def is_carray(array: Array) -> bool:
    """Whether a kernel can write into an array in place: it is C-contiguous, aligned and writable."""
    return array.flags.c_contiguous if is_on_gpu(array) else array.flags.carray


def is_writable(array: Array) -> bool:
    """Whether an array is writable; every CuPy array is."""
    return is_on_gpu(array) or array.flags.writeable


def as_operand(where: str, value: Any, like: Array) -> Array:
    """Return `value` as a C-contiguous array of the dtype of `like`: itself if it is one, else a copy.

    Parameters
    ----------
    where
        The argument's name, for the error.
    value
        Real numbers: an array of any real dtype and layout, a list, a number.
    like
        The array that decides the dtype of the call, usually a parameter. All arrays of a call are on its device.

    Raises
    ------
    ValueError
        Complex numbers, text, or nested lists of unequal lengths; or an array on the other device.
    """
    dtype = like.dtype if like.dtype.isnative else like.dtype.newbyteorder("=")
    if type(value) is np.ndarray and type(like) is np.ndarray:
        if value.dtype == dtype and value.flags.c_contiguous and value.flags.aligned:
            return value
    elif is_on_gpu(like):
        if not is_on_gpu(value):
            raise ValueError(f"{where} is on the CPU, the parameters are on the GPU; scratchnet.to_gpu moves it")
        on_gpu: Array = as_real_array(where, value).astype(dtype, order="C", copy=False)
        return on_gpu
    elif is_on_gpu(value):
        raise ValueError(f"{where} is on the GPU, the parameters are on the CPU; scratchnet.to_cpu moves it")
    array = as_real_array(where, value)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes inf, as astype makes it
        return np.require(array, dtype, ["C", "A"])


def as_float_array(where: str, value: Any) -> Array:
    """Return `value` as a C-contiguous array in its own floating dtype; integers and lists become float64."""
    array = value if type(value) is np.ndarray else as_real_array(where, value)
    like = array if array.dtype.kind == "f" else np.empty_like(array, np.float64, shape=())
    return as_operand(where, array, like)


def as_labels(where: str, t: Any, rows: int, classes: int, *, one_hot: bool = True, on_gpu: bool = False) -> Array:
    """Return labels as int64 class indices, one per row, all in [0, classes).

    Parameters
    ----------
    where
        The argument's name, for the error.
    t
        `rows` class indices of any integer dtype and any shape, or one row of `classes` numbers for each
        (one-hot; the position of the maximum is the label), distinguished by shape.
    rows, classes
        Shape of the scores.
    one_hot
        Whether one-hot labels are accepted.
    on_gpu
        Where the scores and the result are. Labels are checked before they are uploaded; those already on the GPU
        are not read back.

    Raises
    ------
    ValueError
        The number of labels is neither, or indices are not integers.
    IndexError
        An index does not fit in 63 bits, or is outside [0, classes) and is to be uploaded. (The kernel rejects the
        others.)
    """
    if is_on_gpu(t) and not on_gpu:
        raise ValueError(f"{where} is on the GPU, the scores are on the CPU; scratchnet.to_cpu moves it")
    indices = _class_indices(where, as_array(t, where), rows, classes, one_hot)
    if on_gpu and not is_on_gpu(indices):
        check_labels(where, indices, classes)
    return to_side(indices, to_gpu=on_gpu)


def _class_indices(where: str, labels: Array, rows: int, classes: int, one_hot: bool) -> Array:
    if labels.dtype == np.int64 and labels.shape == (rows,) and labels.flags.c_contiguous:
        return labels if is_on_gpu(labels) or labels.flags.aligned else np.require(labels, requirements="A")
    rows_of_classes = labels.size == rows * classes and labels.shape[-1:] == (classes,)
    if one_hot and classes > 1 and rows_of_classes and (labels.ndim > 1 or rows == 1):
        if labels.dtype.kind not in "biuf":
            raise ValueError(f"{where}: one-hot labels must be numbers, got dtype {labels.dtype}")
        largest: Array = labels.reshape(rows, classes).argmax(axis=1)
        return largest.astype(np.int64, copy=False)
    if labels.size != rows:
        other = f" or a one-hot array of shape ({rows}, {classes})" if one_hot else ""
        raise ValueError(f"{where}: expected {rows} class indices{other}, got an array of shape {labels.shape}")
    if labels.dtype == np.uint64 and not is_on_gpu(labels):
        check_labels(where, labels.reshape(rows), classes)
    return as_whole_numbers(where, labels.reshape(rows), "class indices")


def as_whole_numbers(where: str, value: Any, what: str) -> Array:
    """Return integers, class indices or word IDs, as a C-contiguous int64 array of their shape.

    Parameters
    ----------
    where, what
        The argument's name, and what its numbers are, for the error.
    value
        Numbers of any integer dtype; an empty array may have any dtype.

    Raises
    ------
    ValueError
        They are not integers.
    IndexError
        One does not fit in 63 bits.
    """
    if type(value) is np.ndarray and value.dtype == np.int64 and value.flags.carray:
        return value
    numbers = as_array(value, where)
    if numbers.size == 0:
        return np.zeros_like(numbers, np.int64, order="C")
    if numbers.dtype.kind not in "biu":
        is_text = isinstance(numbers.flat[0] if numbers.dtype.kind in "OSU" else None, str | bytes)
        hint = (
            "names, t = numpy.unique(t, return_inverse=True) makes numbers of names"
            if is_text and what == "class indices"
            else ".astype(int) converts them"
        )
        raise ValueError(f"{where}: {what} must be integers, got dtype {numbers.dtype}; {hint}")
    if is_on_gpu(numbers) or numbers.dtype != np.int64:
        if numbers.dtype == np.uint64 and not is_on_gpu(numbers):  # the largest would overflow in the cast
            check_labels(where, numbers, 2**63)
        return numbers.astype(np.int64, order="C")
    return np.require(numbers, requirements=["C", "A"])


def check_labels(where: str, labels: Array, classes: int) -> None:
    """Raise IndexError, naming the position, if a label is outside [0, classes)."""
    wide = labels if labels.dtype.itemsize == 8 else labels.astype(np.int64)
    wrong = wide.view(np.uint64) >= classes  # as unsigned, a negative label is larger than all others
    if np.count_nonzero(wrong):
        i = int(np.flatnonzero(wrong)[0])
        among = f"a number from 0 to {classes - 1}" if classes else "none, because there are no classes"
        raise IndexError(f"{where}[{i}] is {labels.reshape(-1)[i]}, expected {among}")


def check_parameter(where: str, value: Any, ndim: int | None = None) -> Array:
    """Return a parameter array if it can be trained in place.

    Raises
    ------
    ValueError
        It is not a NumPy array of a real floating dtype, or has another number of axes.
    """
    if type(value) is not np.ndarray and not is_on_gpu(value):
        if not isinstance(value, np.ndarray):
            raise ValueError(
                f"{where} must be a NumPy array, because it is trained in place; got {type(value).__name__}. "
                "Pass numpy.array(...) with a floating dtype"
            )
        as_array(value, where)  # of a subclass: rejected if masked
    if value.dtype.kind != "f":
        raise ValueError(
            f"{where} must have a floating dtype (float32 or float64), got {value.dtype}; "
            f"convert it with .astype(numpy.float32)"
        )
    if is_on_gpu(value) and value.dtype.itemsize < 4:
        raise ValueError(f"{where} has dtype {value.dtype}; on the GPU it must be float32 or float64")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{where} must have {ndim} axes, got shape {value.shape}")
    parameter: Array = value
    return parameter


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """Return a new array of the dtype and device of `like`."""
    if type(like) is np.ndarray:
        return np.empty(shape, like.dtype)  # fast path, noticeable in small layers
    return np.empty_like(like, order="C", shape=shape)


def rows_of(array: Array) -> Array:
    """View an array [..., D] as [N, D]."""
    if array.ndim == 2:
        return array
    return array.reshape(prod(array.shape[:-1]), array.shape[-1])


def check_row(where: str, value: Any) -> Any:
    """Return a bias or scale for every row: a number, or an array that can be trained in place.

    Raises
    ------
    ValueError
        It is neither.
    """
    return value if isinstance(value, int | float | np.number) else check_parameter(where, value)


def as_row(where: str, value: Any, size: int, like: Array, why: str = "") -> Array:
    """Return what NumPy would broadcast along a row, [M], [1,M], [1] or a number, as an array [M] like another.

    `why` follows the expected shape in the message.

    Raises
    ------
    ValueError
        It has another shape, or does not hold real numbers.
    """
    if type(value) is np.ndarray and value.shape == (size,) and value.dtype.kind == "f":
        return as_operand(where, value, like)
    if isinstance(value, int | float | np.number):
        value = np.full_like(like, as_number(where, value), shape=())
    elif type(value) is not np.ndarray or value.dtype.kind != "f":
        check_parameter(where, value)
    row = as_operand(where, value, like)
    if row.shape == (size,):
        return row
    if row.size not in (1, size) or row.size != (row.shape or (1,))[-1]:
        raise ValueError(f"{where} has shape {row.shape}, expected ({size},){why}")
    whole = empty((size,), like)
    whole[...] = row.reshape(-1)
    return whole


def window_places(size: int, window: int, stride: int, pad: int = 0) -> int:
    """Return how many positions a window has along an axis: the contract's Y from H and P, X from W and Q.

    A window longer than the axis, with `pad` added at both ends, has none.
    """
    return max(0, (size + 2 * pad - window) // stride + 1)


def as_mask(where: str, value: Any) -> Array:
    """Return a mask, of elements kept or dropped, as an array of bool or of real factors.

    Raises
    ------
    ValueError
        It is not a mask: a subclass may have set it.
    """
    mask = as_array(value)
    if mask.dtype.kind not in "bf":
        raise ValueError(f"{where} must be an array of bool, got dtype {mask.dtype}")
    return mask


def as_loss(loss: Any) -> Any:
    """Return a loss as it is on the GPU, and on the CPU as NumPy's float, which has .round, .dtype and .item."""
    return np.float64(loss) if type(loss) is float else loss


def zeros_in_one_buffer(
    shapes: Sequence[tuple[int, ...]], dtype: np.dtype[Any], *, on_gpu: bool = False
) -> list[Array]:
    """Return zeroed arrays placed one after another in one buffer, so that one kernel call can update them all."""
    sizes = [prod(shape) for shape in shapes]
    buffer = sys.modules["cupy"].zeros(sum(sizes), dtype) if on_gpu else np.zeros(sum(sizes), dtype)
    ends = np.cumsum(sizes).tolist()
    return [buffer[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]
