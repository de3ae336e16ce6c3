"""Calls of every kernel, made from the contract: the same cases serve parity tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from scratchnet.backends import KERNELS, Argument, Kernel
from scratchnet.backends.contract import axis_length, window_places

CANARY = 12345.678  # lies before and behind every array; a kernel that strays overwrites it
PAD = 8

NUMBERS = {
    "eps": 1e-6,
    "lr": 0.1,
    "momentum": 0.9,
    "decay_rate": 0.99,
    "beta1": 0.9,
    "beta2": 0.999,
    "dout": 0.75,
    "epsilon": 1e-7,
    "delta": 1e-7,
    "clip": 0.0,
    "factor": 0.3,
}

# Sizes by the contract's letters: every tail of the tiles and vectors, and depths that cross the panel of 256.
SMALL = [
    dict(zip("NDMCBn", sizes, strict=True))
    for sizes in (
        (1, 1, 1, 1, 1, 1),
        (2, 3, 4, 2, 3, 2),
        (3, 2, 5, 3, 1, 3),
        (4, 7, 8, 4, 9, 15),
        (5, 8, 9, 10, 4, 16),
        (6, 16, 3, 15, 2, 17),
        (7, 5, 16, 16, 7, 31),
        (8, 9, 17, 17, 5, 33),
        (30, 2, 10, 3, 30, 64),
        (33, 31, 15, 33, 8, 100),
    )
]
LARGE = [dict(N=65, D=300, M=39, C=130, B=70, n=5000), dict(N=100, D=784, M=50, C=1000, B=99, n=39760)]
EMPTY = [
    {**dict(N=3, D=4, M=5, C=3, B=2, n=7), **zero}
    for zero in (dict(N=0, B=0), dict(D=0), dict(M=0), dict(B=0), dict(n=0), dict(N=0, D=0, M=0, C=0, B=0, n=0))
]


def with_windows(sizes: dict[str, int]) -> dict[str, int]:
    """Add what images and windows need to the other sizes: small images, windows that overlap, gaps, padding."""
    size = {"N": 3, "D": 5, "M": 4, "C": 2, "n": 3, **sizes}
    images = {
        "H": min(size["D"], 12) + 2 * (size["D"] > 0),
        "W": min(size["M"], 10) + 3 * (size["M"] > 0),
        "P": 1 + size["n"] % 3,
        "Q": 1 + size["n"] % 2,
        "stride": 1 + size["N"] % 3,
        "pad": size["C"] % 3,
        "K": size["D"],
        "L": min(size["M"] + size["D"], 70),
    }
    return images | {"N": size["N"]} | sizes


def sizes_for(kernel: Kernel, sizes: dict[str, int]) -> dict[str, int]:
    """The sizes of a call by letter, those of windows included; few images where they are in planes."""
    letters = {letter for a in kernel.arguments for letter in a.shape}
    is_small = letters & {"H", "K"} and not sizes.keys() & {"H", "K"}
    sizes = {"C": 2} | with_windows(sizes)
    if is_small:
        sizes |= {"N": min(sizes["N"], 7), "C": min(sizes["C"], 5)}
    pad = sizes["pad"] if any(a.name == "pad" for a in kernel.arguments) else 0
    sizes["Y"] = window_places(sizes["H"], sizes["P"], sizes["stride"], pad)
    sizes["X"] = window_places(sizes["W"], sizes["Q"], sizes["stride"], pad)
    return sizes


@dataclass
class Case:
    """A kernel with its arguments by name, and the fenced buffers that hold the arrays."""

    kernel: Kernel
    values: dict[str, Any]
    fences: dict[str, np.ndarray]

    def call(self, backend: Any) -> Any:
        return getattr(backend, self.kernel.name)(*self.values.values())

    def outputs(self) -> dict[str, np.ndarray]:
        """The arrays that the kernel writes, those that are not None."""
        written = {a.name: self.values[a.name] for a in self.kernel.arguments if a.is_written}
        return {name: array for name, array in written.items() if array is not None}

    def fences_hold(self) -> bool:
        return all(
            np.all(f[:PAD] == f[0]) and np.all(f[-PAD:] == f[0]) and f[0] == f[-1] for f in self.fences.values()
        )


def fenced(shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """An array whose memory begins one element off any alignment, and the buffer round it."""
    size = int(np.prod(shape))
    buffer = np.full(size + 2 * PAD + 1, CANARY).astype(dtype)
    return buffer[PAD + 1 : PAD + 1 + size].reshape(shape), buffer


def make_case(name: str, sizes: dict[str, int], dtype: Any, seed: int = 0, absent: tuple[str, ...] = ()) -> Case:
    """Make a call of a kernel: random inputs, read-only; outputs poisoned with NaN.

    `absent` names the optional arguments that are None.
    """
    rng = np.random.default_rng([seed, *map(ord, name), *sizes.values()])
    kernel = KERNELS[name]
    sizes = sizes_for(kernel, sizes)
    values: dict[str, Any] = {}
    fences: dict[str, np.ndarray] = {}
    for a in kernel.arguments:
        if not a.is_array:
            values[a.name] = NUMBERS[a.name] if a.least is None else sizes[a.name]
            continue
        if a.name in absent:
            values[a.name] = None
            continue
        shape = (sizes["n"],) if a.shape == ("...",) else tuple(axis_length(axis, sizes) for axis in a.shape)
        array, fences[a.name] = fenced(shape, {"label": np.int64, "bool": np.bool_}.get(a.kind, dtype))
        values[a.name] = array
        if a.kind == "label":
            limit = limit_of(a, sizes)
            array[...] = -1 if a.is_written else rng.integers(0, limit, shape) if limit else 0
        elif a.kind == "bool":
            array[...] = rng.random(shape) < 0.5
        elif a.role == "out":
            array[...] = np.nan
        elif a.name in ("var", "std") or (a.name in ("h", "v") and "update" in name):
            array[...] = rng.random(shape) * 2
        elif a.name in ("y", "w"):
            array[...] = rng.random(shape)
        else:
            array[...] = rng.standard_normal(shape) * 2
        array.flags.writeable = a.is_written
    return Case(kernel, values, fences)


def wide(case: Case) -> Case:
    """The same call in a wider type, for the true values: float32 in float64, float64 in long double."""
    values = {
        name: v.astype({"f": np.float64, "d": np.longdouble}[v.dtype.char])
        if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        else v
        for name, v in case.values.items()
    }
    return Case(case.kernel, values, {})


def is_possible(name: str, sizes: dict[str, int]) -> bool:
    """Whether labels exist: there is none for rows without classes."""
    sizes = sizes_for(KERNELS[name], sizes)
    return all(
        a.limit is None or limit_of(a, sizes) > 0 or 0 in (sizes[letter] for letter in a.shape)
        for a in KERNELS[name].arguments
    )


def limit_of(argument: Argument, sizes: dict[str, int]) -> int:
    """The number that labels stay below."""
    return prod(int(size) if size.isdigit() else sizes[size] for size in argument.limit.split("*"))
