"""The general way of an operation: what `ops` does where the arrays are not right for a compiled kernel.

Lists, integers, transposed and strided arrays, other dtypes, single samples, CuPy arrays: each function casts or
copies them, allocates the output and calls the kernel of the backend that the arrays belong to; or it raises an
error in the name of the owner.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._arrays import (
    Array,
    as_array,
    as_float_array,
    as_labels,
    as_loss,
    as_mask,
    as_number,
    as_operand,
    as_row,
    check_labels,
    check_parameter,
    empty,
    is_carray,
    is_on_gpu,
    rows_of,
    to_side,
)
from .._compute import computed
from . import backend_for

_BLOCK_ROWS = 256  # of x cast at a time: they stay in the cache


def where(owner: Any, text: str) -> str:
    """Return the start of an error message: the layer's class, or the function's name, and the text."""
    return f"{owner if isinstance(owner, str) else type(owner).__name__}: {text}"


def _as_computed(x: Any, owner: Any) -> Array:
    """Return x in the floating dtype that a layer computes in; a function computes in x's own."""
    return as_float_array(where(owner, "x"), x if isinstance(owner, str) else computed(x))


# Products


def is_transposed_view(W: Any) -> bool:
    """Whether it is W' whose memory a kernel takes as it is: W is another layer's weights, transposed."""
    is_array = type(W) is np.ndarray or is_on_gpu(W)
    return is_array and not is_carray(W) and is_carray(W.T) and W.dtype in (np.float32, np.float64)


def is_cast_in_blocks(x: Any, W: Any) -> bool:
    """Whether x is many rows of another dtype, which would take more time and memory cast as a whole."""
    return (
        type(x) is np.ndarray
        and type(W) is np.ndarray
        and x.ndim == 2
        and len(x) > 2 * _BLOCK_ROWS
        and x.dtype != W.dtype
        and x.dtype.kind in "biuf"
        and not is_transposed_view(W)
    )


def weights(W: Any, b: Any, owner: Any) -> tuple[Array, Array | None]:
    """Return W [D,M] and the bias [M] or None as the kernels need them."""
    W = computed(check_parameter(where(owner, "W"), W, ndim=2))
    W = W if is_transposed_view(W) else as_operand("W", W, W)
    if b is not None:
        b = as_row(where(owner, "b"), computed(b), W.shape[1], W, f", because W has shape {W.shape}")
    return W, b


def affine_forward(x: Any, W: Any, b: Any, owner: Any) -> Array:
    """Return x W + b."""
    W, b = weights(W, b, owner)
    in_blocks = is_cast_in_blocks(x, W)
    operand = x if in_blocks else as_operand(where(owner, "x"), x, W)
    if operand.ndim == 0 or operand.shape[-1] != W.shape[0]:
        expected = f"expected (..., {W.shape[0]}), because W has shape {W.shape}"
        if operand.ndim > 2 and prod(operand.shape[1:]) == W.shape[0]:
            expected += f"; put a Flatten() before it, which makes {W.shape[0]} numbers of each sample"
        raise ValueError(where(owner, f"x has shape {operand.shape}, {expected}"))
    out = empty((*operand.shape[:-1], W.shape[1]), W)
    k = backend_for(W)
    if in_blocks:
        for start in range(0, len(x), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            k.affine_forward(as_operand("x", x[block], W), W, b, out[block])
    elif is_transposed_view(W):
        k.matmul_transposed(rows_of(operand), W.T, rows_of(out))
        if b is not None:
            out += b
    else:
        k.affine_forward(rows_of(operand), W, b, rows_of(out))
    return out


def affine_backward(dout: Any, x: Any, W: Any, grads: Any, owner: Any) -> Array:
    """Return dx, with the gradients [dW] or [dW, db] written."""
    W, _ = weights(W, None, owner)
    x = as_operand(where(owner, "x"), owner._after_forward(x), W)
    d = owner._as_dout(dout, (*x.shape[:-1], W.shape[1]), W)
    dx = empty(x.shape, W)
    dW = _weight_gradient(grads, W, owner)
    db = owner._gradient(grads, 1, empty((W.shape[1],), W)) if len(grads) > 1 and grads[1] is not None else None
    k = backend_for(W)
    if is_transposed_view(W):
        k.affine_forward(rows_of(d), W.T, None, rows_of(dx))
        k.affine_backward(rows_of(x), rows_of(d), W.T, None, dW.T, None)  # dW' = dout' x
        if db is not None:
            k.sum_rows(rows_of(d), db)
    else:
        k.affine_backward(rows_of(d), rows_of(x), W, rows_of(dx), dW, db)
    owner._keep_gradient(grads, 0, dW)
    if db is not None:
        owner._keep_gradient(grads, 1, db)
    return dx


def _weight_gradient(grads: Any, W: Array, owner: Any) -> Array:
    """Return the array that dW is written into: it is laid out as W is."""
    dW, grad = owner._gradient(grads, 0, W), grads[0]
    if not is_transposed_view(W):
        return dW  # type: ignore[no-any-return]
    fits = is_transposed_view(grad) and grad.shape == W.shape and grad.dtype == W.dtype
    return grad if fits else empty(W.T.shape, W).T


def rnn_forward(x: Any, h_prev: Any, owner: Any) -> Array:
    """Return the next state: that of a sequence of one."""
    state: Array = owner._forward_step(x, h_prev)[0]
    return state


def rnn_backward(dh_next: Any, owner: Any) -> Any:
    """Return dx and dh_prev, with the gradients written."""
    return owner._backward_step(dh_next)


# Rows selected by index


def _indices(index: Any, W: Array, owner: Any) -> Array:
    """Return row indices as 1-d int64, on the device of W; negative ones count from the end.

    They are in [0, N), except those already on the GPU, which are not read back.
    """
    rows, array = len(W), as_array(index, where(owner, "idx"))
    if array.dtype.kind not in "iu" and array.size:
        raise IndexError(where(owner, f"idx must contain integers, got dtype {array.dtype}"))
    if is_on_gpu(array):
        if not is_on_gpu(W):
            raise ValueError(where(owner, "idx is on the GPU, W is on the CPU; scratchnet.to_cpu moves it"))
        if array.dtype == np.uint64:  # the largest values would become negative
            array = np.minimum(array, array.dtype.type(rows))
        there = array.reshape(-1).astype(np.int64, copy=False)
        chosen: Array = np.where(there < 0, there + rows, there)
        return chosen
    if array.dtype == np.uint64:
        check_labels(where(owner, "idx"), array.reshape(-1), rows)
    numbers = np.require(array.reshape(-1), np.int64, ["C", "A"])
    if numbers.size and numbers.min() < 0:
        if numbers.min() < -rows:
            i = int(np.flatnonzero(numbers < -rows)[0])
            raise IndexError(where(owner, f"idx[{i}] is {numbers[i]}, expected at least {-rows}"))
        numbers = np.where(numbers < 0, numbers + rows, numbers)
    check_labels(where(owner, "idx"), numbers, rows)
    return to_side(numbers, to_gpu=is_on_gpu(W))


def gather_rows(W: Any, index: Any, owner: Any) -> Array:
    """Return the rows of W selected by index; a view of W for a scalar."""
    W = check_parameter(where(owner, "W"), W, ndim=2)
    numbers = _indices(index, W, owner)
    shape = as_array(index).shape
    if not shape:
        return computed(W[numbers[0]])  # type: ignore[no-any-return]
    operand = as_operand("W", W, W)
    out = empty((*shape, W.shape[1]), operand)
    backend_for(operand).gather_rows(operand, numbers, rows_of(out))
    return computed(out)  # type: ignore[no-any-return]


def scatter_add_rows(dout: Any, index: Any, W: Any, grads: Any, owner: Any) -> None:
    """Write the gradient [dW] of gather_rows."""
    W = as_operand("W", W, W)
    numbers = _indices(owner._after_forward(index), W, owner)
    d = owner._as_dout(dout, (*as_array(index).shape, W.shape[1]), W)
    dW = owner._gradient(grads, 0, W)
    backend_for(W).scatter_add_rows(rows_of(d), numbers, dW)
    owner._keep_gradient(grads, 0, dW)


# Activations


def elementwise_forward(kernel: str, x: Any, owner: Any) -> Array:
    """Apply a kernel to every element of x, in x's floating dtype; integers become float64."""
    x = _as_computed(x, owner)
    out = empty(x.shape, x)
    getattr(backend_for(x), kernel)(x, out)
    return out


def elementwise_backward(kernel: str, dout: Any, y: Any, owner: Any) -> Array:
    """Return the gradient of an activation's input from that of its output y."""
    y = as_float_array(where(owner, "out"), owner._after_forward(y))
    dx = empty(y.shape, y)
    getattr(backend_for(y), kernel)(owner._as_dout(dout, y.shape, y), y, dx)
    return dx


def relu_forward(x: Any, owner: Any) -> tuple[Array, Array]:
    """Return x where it is positive, else 0, and the mask: where x <= 0."""
    x = _as_computed(x, owner)
    out, mask = empty(x.shape, x), empty(x.shape, x <= 0)
    backend_for(x).relu_forward_with_mask(x, out, mask)
    return out, mask


def relu_backward(dout: Any, mask: Any, owner: Any) -> Array:
    """Return dout where the mask is 0, else 0."""
    mask = as_mask(where(owner, "mask"), owner._after_forward(mask))
    d = owner._as_dout(dout, mask.shape, mask)
    dx = empty(d.shape, d)
    is_set = empty(mask.shape, mask != 0)  # in C's order, whatever the mask's is
    is_set[...] = mask != 0
    backend_for(d).relu_backward_by_mask(d, to_side(is_set, to_gpu=is_on_gpu(d)), dx)
    return dx


def multiply_by_mask(x: Any, mask: Any, owner: Any) -> Array:
    """Return x mask: of what a layer is given, or of the gradient from above."""
    mask = as_mask(where(owner, "mask"), owner._after_forward(mask))
    x = owner._as_dout(x, mask.shape, mask)
    out = empty(x.shape, x)
    backend_for(x).multiply_by_mask(x, as_operand(where(owner, "mask"), mask, x), out)
    return out


def softmax_forward(x: Any, owner: Any) -> Array:
    """Return the softmax of x [...,C] over its last axis."""
    x = _as_computed(x, owner)
    if x.ndim == 0:
        raise ValueError(where(owner, "x is a scalar, expected an array of scores (..., C)"))
    y = empty(x.shape, x)
    backend_for(x).softmax_forward(rows_of(x), rows_of(y))
    return y


def softmax_backward(dout: Any, y: Any, owner: Any) -> Array:
    """Return y (dout - sum of dout y over the last axis)."""
    y = as_float_array(where(owner, "out"), owner._after_forward(y))
    dx = empty(y.shape, y)
    backend_for(y).softmax_backward(rows_of(owner._as_dout(dout, y.shape, y)), rows_of(y), rows_of(dx))
    return dx


# The loss


def labels_of(
    t: Any, rows: int, classes: int, x: Array, owner: Any, *, one_hot: bool = True, name: str = "t"
) -> Array:
    """Return class indices on the device of the scores x, checked unless they were already on the GPU."""
    labels = as_labels(where(owner, name), t, rows, classes, one_hot=one_hot, on_gpu=is_on_gpu(x))
    if not is_on_gpu(labels):
        check_labels(where(owner, name), labels, classes)
    return labels


def softmax_cross_entropy_forward(x: Any, t: Any, delta: float, owner: Any) -> tuple[Any, Array, Array]:
    """Return the loss, the probabilities, and the labels as class indices."""
    x = as_float_array(where(owner, "x"), x)
    if x.ndim == 0:
        raise ValueError(where(owner, "x is a scalar, expected scores of shape (N, C)"))
    rows = rows_of(x)
    labels = labels_of(t, rows.shape[0], rows.shape[1], x, owner)
    y = empty(x.shape, x)
    delta = as_number(where(owner, "delta"), delta)
    loss = backend_for(x).softmax_cross_entropy_forward(rows, labels, delta, 0.0, rows_of(y))
    return as_loss(loss), y, labels


def softmax_cross_entropy_backward(y: Any, t: Any, dout: float, owner: Any) -> Array:
    """Return (y - onehot(t)) dout / N."""
    y = as_float_array(where(owner, "y"), y)
    rows, dx = rows_of(y), empty(y.shape, y)
    backend_for(y).softmax_cross_entropy_backward(rows, owner._class_indices(rows), dout, rows_of(dx))
    return dx
