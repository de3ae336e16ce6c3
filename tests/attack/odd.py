"""Odd arguments, drawn from a seed: what readers hand in by mistake or by right, and what NumPy makes of it."""

from __future__ import annotations

import array
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import prod
from typing import Any
from zlib import crc32

import numpy as np

REAL = ("f4", "f8", "f2", "g", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">i2", ">u4")
FLOATS = ("f4", "f8", "f2", "g", ">f8")
WHOLE = ("i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", ">i4")


class Refused(Exception):
    """Plain NumPy, or what is documented, gives no number for this."""


class Subclass(np.ndarray):
    """An array of a class that somebody made."""


class Giver:
    """No array, but something that gives one."""

    def __init__(self, given: np.ndarray) -> None:
        self.given = given

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.given, dtype)


def misaligned(a: np.ndarray) -> np.ndarray:
    raw = bytearray(b"." + a.tobytes())
    return np.frombuffer(raw, a.dtype, a.size, 1).reshape(a.shape)


def within(a: np.ndarray) -> np.ndarray:
    """A part of a larger array, apart from its neighbours."""
    part = np.zeros([2 * n + 1 for n in a.shape], a.dtype)[(*(slice(0, 2 * n, 2) for n in a.shape), ...)]
    part[...] = a
    return part


def read_only(a: np.ndarray) -> np.ndarray:
    b = a.copy()
    b.flags.writeable = False
    return b


# Arrays of the same numbers that lie otherwise in memory
LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran": lambda a: np.array(a, order="F"),
    "strided": within,
    "reversed": lambda a: a[::-1].copy()[::-1] if a.ndim else a,
    "read-only": read_only,
    "misaligned": misaligned,
    "subclass": lambda a: a.copy().view(Subclass),
}
# The same numbers, but no array
OTHERS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()) if a.ndim else a.item(),
    "giver": Giver,
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)) if a.dtype.isnative and a.ndim else a,
    "array.array": lambda a: array.array("qd"[a.dtype.kind == "f"], a.tolist()) if a.ndim == 1 else a,
}
# What holds no real numbers, or may be refused
WRONG: dict[str, Callable[[np.ndarray], Any]] = {
    "unmasked": lambda a: np.ma.masked_array(a.copy()),
    "masked": lambda a: np.ma.masked_array(a.copy(), np.arange(a.size).reshape(a.shape) % 2 == 0),
    "complex": lambda a: a.astype("c16") + 1j,
    "text": lambda a: a.astype(float).astype("U8"),
    "bytes": lambda a: a.astype(float).astype("S8"),
    "object": lambda a: a.astype(object),
    "dates": lambda a: np.zeros(a.shape, "M8[s]"),
    "spans": lambda a: np.zeros(a.shape, "m8[s]"),
    "records": lambda a: np.zeros(a.shape, [("x", "f4")]),
    "None": lambda a: None,
    "dict": lambda a: {"x": a},
    "set": lambda a: {1.0, 2.0},
    "ragged": lambda a: [[1.0, 2.0], [3.0]],
    "string": lambda a: "0.5",
    "class": lambda a: np.ndarray,
    "generator": lambda a: (x for x in ()),
}
NO_NUMBER = (None, "0.5", b"1", [], [1.0], {}, 1j, np.complex128(1), np.array([0.5, 0.5]), object(), np.ma.masked)
ODD_NUMBERS = (
    *(0, 1, -1, 0.5, -0.5, 2, 1e-30, 1e30, 1e300, float("nan"), float("inf"), -float("inf"), -0.0, True),
    *(np.float32(0.25), np.float64(0.25), np.float16(0.25), np.longdouble(0.25), np.int8(1), np.uint64(2)),
    *(np.array(0.5), np.bool_(True), Fraction(1, 4), Decimal("0.25"), 2**31, 2**63, 2**64, 10**400),
)
ODD_WHOLE = (
    *(0, 1, 2, 3, 7, -1, -(2**31), -(2**63), 2**31, 2**32 + 1, 2**62, 2**63 - 1, 2**63, 2**64, 2**70, 10**400),
    *(np.int8(1), np.int64(2), np.uint64(2**64 - 1), np.uint8(2), True, np.bool_(True), np.array(2)),
    *(1.0, 1.5, float("nan"), float("inf"), "2", None, [2], 1j, np.float64(2.0), Fraction(2), Decimal(2)),
)


class Draw:
    """The choices of one trial, from its seed, its attack's name and its number alone."""

    def __init__(self, seed: int, name: str, number: int) -> None:
        self.rng = np.random.default_rng([seed, crc32(name.encode()), number])
        self.is_legal = True  # what was drawn so far is what the documentation asks for
        self.is_huge = False  # a size was drawn that memory or time may not suffice for
        self.notes: list[str] = []

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def note(self, text: str, *, legal: bool) -> None:
        self.notes.append(text)
        self.is_legal &= legal

    def size(self, low: int = 1, high: int = 7) -> int:
        """A length: small most often, sometimes 0 or past the edges of vectors and tiles."""
        if self.chance(0.04) and low <= 1:
            return 0
        if self.chance(0.05):
            return int(self.rng.integers(15, 40))
        return int(self.rng.integers(low, high + 1))

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        return tuple(self.size(high=5) for _ in range(int(self.rng.integers(least, most + 1))))

    def numbers(self, shape: tuple[int, ...], dtype: Any, *, extremes: bool = True) -> np.ndarray:
        """Numbers of a dtype: ordinary, whole, zero, large, small, and with NaN and infinities among them."""
        dtype, rng = np.dtype(dtype), self.rng
        kind = self.pick(("ordinary",) * 5 + ("whole", "zero") + ("large", "small", "nan", "end") * extremes)
        if dtype.kind in "iub":
            low, high = (0, 2) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            near = rng.integers(max(low, -8), min(high, 9), shape)
            return np.asarray(near).astype(dtype)
        values = np.asarray(rng.standard_normal(shape))
        if kind == "whole":
            values = np.round(4 * values)
        elif kind == "zero":
            values = 0 * values
        elif kind in ("large", "small"):
            top = np.log10(float(np.finfo(dtype.newbyteorder("=")).max if dtype.kind != "g" else 1e300))
            values = values * 10.0 ** ((0.4 if kind == "large" else -0.4) * min(top, 300))
        elif kind == "nan":
            values = np.where(rng.random(shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf]), values)
        elif kind == "end":
            info = np.finfo("f8" if dtype.itemsize > 8 else dtype.newbyteorder("="))
            ends = [0.0, 1.0, float(info.tiny), float(info.smallest_subnormal), float(info.eps), np.inf, np.nan]
            values = rng.choice([*ends, *(-np.array(ends))], shape)
        return np.asarray(values).astype(dtype)

    def array(
        self, shape: tuple[int, ...], *, dtype: Any = None, calm: bool = False, extremes: bool = True,
        others: bool = True, written: bool = False,
    ) -> Any:  # fmt: skip
        """An array of real numbers of this shape, or something odd in its place.

        calm: what is documented; others: lists and the like too; written: the call changes it in place.
        """
        if not calm and self.chance(0.25):
            return self._wrong(shape, others)
        a = self.numbers(shape, dtype or self.pick(REAL if self.chance(0.4) else ("f4", "f8")), extremes=extremes)
        return self._laid(a, others, written)

    def _laid(self, a: np.ndarray, others: bool = True, written: bool = False) -> Any:
        if self.chance(0.5):
            return a
        layouts = LAYOUTS | OTHERS if others else LAYOUTS
        layout = self.pick(list(layouts))
        if not a.size and (layout in OTHERS or max(a.shape) > 1000):  # a list of nothing would have lost its shape
            return a
        self.note(layout, legal=not (written and layout == "read-only"))
        return layouts[layout](a)

    def _wrong(self, shape: tuple[int, ...], others: bool) -> Any:
        kind = self.pick(("type", "shape", "shape", "bools", "empty"))
        if kind == "shape":
            changed = list(shape)
            where = int(self.rng.integers(len(shape) + 1))
            how = self.pick(("longer", "shorter", "one", "none", "axis", "no axis"))
            if how == "axis" or where == len(shape):
                changed.insert(where, self.pick((1, 1, 2, 0)))
            elif how == "no axis":
                del changed[where]
            else:
                changed[where] = {"longer": shape[where] + 1, "shorter": max(0, shape[where] - 1), "one": 1}.get(
                    how, 0
                )
            if tuple(changed) != shape:
                self.note(f"shape {tuple(changed)}", legal=False)
            return self._laid(self.numbers(tuple(changed), self.pick(("f4", "f8"))), others)
        if kind == "bools":
            self.note("bools above 1", legal=False)
            return self.rng.integers(0, 200, shape, dtype=np.uint8).view(bool)
        if kind == "empty" and shape and self.chance(0.3):
            huge = [int(self.pick((2**28, 2**40))), *([0] * (len(shape) - 1))]
            huge = huge[::-1] if others and self.chance(0.5) else huge  # of no weight: (0, M) makes outputs of M
            if prod(huge) == 0:
                self.is_huge = True
                self.note(f"shape {tuple(huge)}", legal=False)
                return np.zeros(huge, self.pick(("f4", "f8")))
        what = self.pick(list(WRONG))
        self.note(what, legal=False)
        return WRONG[what](self.numbers(shape, "f8"))

    def parameter(self, shape: tuple[int, ...], *, calm: bool = False, dtype: Any = None) -> Any:
        """An array that a layer trains: NumPy's, of a floating dtype; or something odd."""
        if not calm and self.chance(0.2):
            if self.chance(0.3):
                self.note("whole numbers as a parameter", legal=False)
                return self.numbers(shape, self.pick(WHOLE), extremes=False)
            return self._wrong(shape, False)
        dtype = dtype or (self.pick(FLOATS) if self.chance(0.3) else self.pick(("f4", "f8")))
        return self._laid(self.numbers(shape, dtype, extremes=not calm), others=False)

    def labels(self, rows: int, classes: int, *, one_hot: bool = True, calm: bool = False) -> Any:
        """Class indices or one-hot rows; or odd ones."""
        t = self.rng.integers(0, max(classes, 1), rows)
        self.is_legal &= classes > 0 or not rows
        if one_hot and classes > 1 and self.chance(0.3):
            onehot = np.eye(classes)[t].astype(self.pick(("i4", "f4", "f8", "?", "u1")))
            return self._laid(onehot)
        if not calm and self.chance(0.3):
            how = self.pick(("high", "low", "float", "short", "type", "unsigned", "far", "bool"))
            self.note(f"labels: {how}", legal=False)
            if how == "type":
                return WRONG[self.pick(list(WRONG))](t)
            if how == "short":
                return t[1:] if self.chance(0.5) else np.append(t, 0)
            if how == "bool":
                return t.astype(bool)
            if how == "float":
                return t.astype("f8") + self.pick((0.0, 0.5))
            if rows:
                t[int(self.rng.integers(rows))] = {"high": classes, "low": -1 - self.size()}.get(how, 0)
            if how == "unsigned" and rows:
                t = t.astype(np.uint64)
                t[0] = 2**64 - 1
            if how == "far" and rows:
                t[0] = self.pick((2**63 - 1, -(2**63), 2**32))
            return t
        dtype = self.pick(WHOLE if classes < 100 else ("i8", "i4", "u8"))
        if self.chance(0.2):
            t = t.reshape(rows, 1)
        return self._laid(t.astype(dtype))

    def number(self, *good: Any, odd: float = 0.3) -> Any:
        """One of the good numbers, or something odd in its place."""
        if not self.chance(odd):
            return self.pick(good)
        value = self.pick(ODD_NUMBERS + NO_NUMBER)
        self.note(f"number {value!r:.40}", legal=False)
        return value

    def whole(self, *good: Any, odd: float = 0.3) -> Any:
        """One of the good whole numbers, or something odd in its place."""
        if not self.chance(odd):
            return self.pick(good)
        value = self.pick(ODD_WHOLE)
        self.note(f"whole number {value!r:.40}", legal=False)
        self.is_huge |= isinstance(value, int | np.integer) and abs(int(value)) > 1000
        return value


def plain(value: Any, dtype: Any = np.float64) -> np.ndarray:
    """The numbers of a value as NumPy reads them, after a cast to a layer's dtype, in float64."""
    if isinstance(value, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(value)):
        raise Refused("a mask")
    try:
        a = np.asarray(value)
    except Exception as error:
        raise Refused(str(error)) from None
    if a.dtype.kind not in "biuf":
        raise Refused(f"dtype {a.dtype}")
    if a.dtype.kind == "b":
        a = np.asarray(a.view(np.uint8) != 0)
    with np.errstate(all="ignore"):
        return np.array(a.astype(np.dtype(dtype).newbyteorder("=")), np.float64)


def float_dtype(value: Any) -> np.dtype[Any]:
    """The dtype that a function without parameters computes in: the value's own floating one, else float64."""
    a = np.asarray(value) if not isinstance(value, np.ndarray) else value
    return a.dtype.newbyteorder("=") if a.dtype.kind == "f" else np.dtype(np.float64)


def parameter_dtype(value: Any) -> np.dtype[Any]:
    """The dtype of a parameter, if it can be one."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise Refused("a parameter that is no floating array")
    return value.dtype.newbyteorder("=")


def plain_number(value: Any) -> float:
    """A number as Python reads it."""
    if isinstance(value, str | bytes | complex | np.complexfloating) or value is np.ma.masked or np.ndim(value):
        raise Refused("no number")
    try:
        return float(value)
    except Exception as error:
        raise Refused(str(error)) from None


def plain_whole(value: Any) -> int:
    """A whole number as Python reads it where it counts."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise Refused(str(error)) from None


def plain_labels(t: Any, rows: int, classes: int, *, one_hot: bool = True) -> np.ndarray:
    """Labels as class indices in range, told apart from one-hot rows by the shape."""
    if isinstance(t, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(t)):
        raise Refused("a mask")
    try:
        a = np.asarray(t)
    except Exception as error:
        raise Refused(str(error)) from None
    if (
        one_hot
        and classes > 1
        and a.size == rows * classes
        and a.shape[-1:] == (classes,)
        and (a.ndim > 1 or rows == 1)
    ):
        return plain(a).reshape(rows, classes).argmax(axis=1)
    if a.size != rows or (rows and a.dtype.kind not in "biu"):
        raise Refused("no labels")
    flat = [int(i) for i in a.reshape(-1)]
    if not all(0 <= i < classes for i in flat):
        raise Refused("a label out of range")
    return np.array(flat, np.int64).reshape(rows)
