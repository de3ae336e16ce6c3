"""Calls of kernels and layers on arrays that NumPy makes for nothing: an axis of 2^40 beside one of 0.

A program: a loop over such an axis would hold the GIL for days, and no test could end it.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from scratchnet.backends import KERNELS, cpu, reference
from scratchnet.book1 import layers
from scratchnet.time_layers import TimeGRU, TimeLSTM, TimeRNN

HUGE = 2**40


def calls():
    """Calls of every kernel on arrays of which none has more than a few elements, in any mixture of axes."""
    for kernel in KERNELS.values():
        arrays = [a for a in kernel.arguments if a.is_array]
        letters = sorted({axis[-1] for a in arrays for axis in a.shape} - {"."})
        for lengths in product((0, HUGE), repeat=len(letters)):
            sizes = dict(zip(letters, lengths, strict=True))
            shapes = [
                (0, HUGE) if a.shape == ("...",) else tuple(int(s[:-1] or 1) * sizes[s[-1]] for s in a.shape)
                for a in arrays
            ]
            try:
                made = [np.zeros(shape, {"label": np.int64, "bool": np.bool_}.get(a.kind, np.float32))
                        for a, shape in zip(arrays, shapes, strict=True) if 0 in shape]  # fmt: skip
            except ValueError:  # more than NumPy makes
                continue
            if len(made) == len(arrays):
                rest = iter(made)
                yield kernel, sizes, [next(rest) if a.is_array else a.least or 1 for a in kernel.arguments]


def run_kernels() -> int:
    count = 0
    for kernel, sizes, values in calls():
        for backend in (cpu, reference):
            try:
                got = getattr(backend, kernel.name)(*values)
                assert got == (0.0 if kernel.returns_float else None), (kernel.name, sizes)
                count += 1
            except ValueError as error:  # windows that have other places
                assert "positions of a window" in str(error) or "spans" in str(error), (kernel.name, sizes, error)
    for backend in (cpu, reference):
        dx, none = np.ones((1, 1, 5, 5), np.float32), np.zeros((1, 1, HUGE, 1, 0, 5), np.float32)
        backend.col2im(none, 1, 0, dx)  # a window that has no place
        assert not dx.any()
        dW, db = np.ones((2, 3), np.float32), np.ones(2, np.float32)
        dout, col = np.zeros((HUGE, 2, 0), np.float32), np.zeros((HUGE, 3, 0), np.float32)
        backend.convolution_backward(dout, col, dW.copy(), col.copy(), dW, db)  # no places: nothing is added
        assert (dW == 1).all() and (db == 1).all()
        images = np.zeros((HUGE, 3, 0, 5), np.float32)
        backend.im2col(images, 1, 1, np.zeros((HUGE, 3, 1, 0, 2, 8), np.float32))
    return count


def run_layers() -> None:
    for dtype in (np.float32, np.float16):
        many, none = np.zeros((HUGE, 0), dtype), np.zeros((0, HUGE), dtype)
        for T in (TimeRNN, TimeLSTM, TimeGRU):
            gates = {TimeRNN: 1, TimeLSTM: 4, TimeGRU: 3}[T]
            for D, H, N in ((0, 0, 1), (2, 3, 0)):
                Wx, Wh = np.zeros((D, gates * H), dtype), np.zeros((H, gates * H), dtype)
                layer = T(Wx, Wh, np.zeros(gates * H, dtype))
                hs = layer.forward(np.zeros((N, HUGE, D), dtype))
                assert hs.shape == (N, HUGE, H) and layer.backward(hs).shape == (N, HUGE, D)
        affine = layers.Affine(many, np.zeros(0, dtype))
        assert affine.backward(affine.forward(none)).shape == none.shape
        for N, C, size, M in ((HUGE, 0, 3, 0), (HUGE, 1, 0, 0)):
            filters = layers.Convolution(np.zeros((M, C, 1, 1), dtype), np.zeros(M, dtype), pad=1)
            images = np.zeros((N, C, size, 3), dtype)
            assert filters.backward(filters.forward(images)).shape == images.shape


if __name__ == "__main__":
    run_layers()
    print(run_kernels())
