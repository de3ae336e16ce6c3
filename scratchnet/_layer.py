"""What all layers share: their two lists, their errors, and where gradients are written."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .backends import as_number, as_operand, is_on_gpu, is_plain

Array = np.ndarray[Any, np.dtype[Any]]


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """Return a new array of the dtype of `like`, where it lies."""
    if type(like) is np.ndarray:
        return np.empty(shape, like.dtype)  # the short way: layers of a few numbers notice
    return np.empty_like(like, order="C", shape=shape)


def rows(array: Array) -> Array:
    """View an array [..., D] as [N, D]."""
    if array.ndim == 2:
        return array
    return array.reshape(prod(array.shape[:-1]), array.shape[-1])


class Layer:
    """What all layers have: two lists, empty where there is nothing to train.

    A layer that whole-step training knows (`plan.py`) says in `step_role` what it is in a chain, and is decorated
    `as_written`: a class that extends it may compute something else.
    """

    params: list[Any]
    grads: list[Any]

    def __init__(self) -> None:
        self.params, self.grads = [], []

    def _error(self, text: str) -> str:
        return f"{type(self).__name__}: {text}"

    def _after_forward(self, kept: Any) -> Any:
        """Return what forward kept for backward, or say that there was no forward."""
        if kept is None:
            raise RuntimeError(self._error("backward was called before forward; call forward first"))
        return kept

    def _as_dout(self, dout: Any, shape: tuple[int, ...], like: Array) -> Array:
        """Return the gradient from above as an array like the output; its shape must be the output's."""
        if isinstance(dout, int | float | np.number):
            return np.full_like(like, as_number(self._error("dout"), dout), order="C", shape=shape)
        d = as_operand(self._error("dout"), dout, like)
        if d.shape != shape:
            if d.ndim:
                raise ValueError(
                    self._error(f"dout has shape {d.shape}, expected {shape}, the shape of the output")
                )
            d = np.full_like(like, d, order="C", shape=shape)
        return d

    def _gradient(self, i: int, like: Array) -> Array:
        """Return the array that the kernel writes gradient i into: `grads[i]` itself if its layout fits."""
        grad: Array = self.grads[i]
        if is_on_gpu(grad) != is_on_gpu(like):
            raise ValueError(self._error(f"params[{i}] and grads[{i}] are not both on the CPU or both on the GPU"))
        if grad.shape == like.shape and grad.dtype == like.dtype and is_plain(grad):
            return grad
        if grad.size != like.size:
            raise ValueError(self._error(f"grads[{i}] has shape {grad.shape}, expected {like.shape}"))
        return empty(like.shape, like)

    def _keep_gradient(self, i: int, written: Array) -> None:
        if written is not self.grads[i]:
            self.grads[i][...] = written.reshape(self.grads[i].shape)
