"""A trial and its verdict: NumPy's numbers, or a documented error after which nothing has changed."""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from odd import Draw, Refused
from tolerances import BOUNDS, chain_bound, unit

SECONDS, BYTES = 5.0, 100 << 20  # that reading a file of some kilobytes may take


@dataclass
class Expected:
    """What an array or a number must be: the true values, and how far from them it may lie."""

    true: Any
    bound: Any = 0.0
    dtype: Any = np.float64  # that it was computed in; beyond its range anything goes


@dataclass
class Trial:
    """One call.

    inputs are what it must leave alone; state (models, layers, optimizers, lists) what a refusal must leave alone.
    """

    call: Callable[[], Any]
    expect: Callable[[], Iterable[Any] | None] | None = None
    inputs: Sequence[Any] = ()
    state: Sequence[Any] = ()
    errors: tuple[type[Exception], ...] = (ValueError, IndexError)
    memory: bool = field(default=False)  # MemoryError is an answer too


def exactly(*values: Any) -> list[Expected]:
    return [Expected(v) for v in values]


def bounds(kernel: str, values: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """The kernel's bounds; twice, because plain NumPy rounds too."""
    with np.errstate(all="ignore"):
        bounded = BOUNDS[kernel](values, rounding(dtype))
        return {name: 2 * bound + 8 * least(dtype) for name, bound in bounded.items()}


def rounding(dtype: Any) -> float:
    """Half an ulp of 1 in the dtype or in float64, whichever is coarser: plain NumPy's numbers are float64."""
    return max(unit(np.dtype(dtype).newbyteorder("=")), unit(np.float64))


def least(dtype: Any) -> float:
    """The smallest number above 0 that the dtype and float64 have."""
    return max(float(np.finfo(np.dtype(dtype).newbyteorder("=")).smallest_subnormal), 5e-324)


def chained(true: Any, operations: int, dtype: Any, scale: float = 0.0) -> Expected:
    """What several kernels in turn give: so many roundings, each relative to the largest number on the way."""
    a = np.asarray(true, np.float64)
    largest = max(scale, np.abs(a[np.isfinite(a)]).max(initial=0.0))
    return Expected(a, chain_bound(operations, rounding(dtype), largest) + 8 * least(dtype), dtype)


def snapshot(value: Any, depth: int = 0) -> Any:
    """Everything that an object holds, to be compared with later."""
    if isinstance(value, np.ma.MaskedArray):
        return [snapshot(np.asarray(value)), snapshot(np.ma.getmaskarray(value))]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.char == "g":  # some of its bytes say nothing
        return snapshot(np.asarray(value).astype(str))
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes() if value.size else b"", value.flags.writeable)
    if isinstance(value, np.generic):
        return (str(value.dtype), value.tobytes())
    if isinstance(value, dict):
        return {repr(k): snapshot(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(v, depth + 1) for v in value]
    if depth < 6 and hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return {name: snapshot(v, depth + 1) for name, v in vars(value).items()}
    if isinstance(value, int | float | complex | str | bytes | bytearray | memoryview | type(None)):
        return (type(value).__name__, repr(value) if not isinstance(value, memoryview) else value.tobytes())
    return type(value).__name__


def changed(before: Any, after: Any, path: str = "") -> str | None:
    """Where two snapshots differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            if key not in before or key not in after:
                return f"{path}.{key}"
            if (where := changed(before[key], after[key], f"{path}.{key}")) is not None:
                return where
        return None
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (a, b) in enumerate(zip(before, after, strict=True)):
            if (where := changed(a, b, f"{path}[{i}]")) is not None:
                return where
        return None
    return None if before == after else path or "it"


def flat(result: Any) -> list[Any]:
    if isinstance(result, list | tuple):
        return [leaf for entry in result for leaf in flat(entry)]
    if isinstance(result, dict):
        return flat(list(result.values()))
    return [result]


def difference(got: Any, expected: Any) -> str | None:
    """What is wrong with a result, or None."""
    if not isinstance(expected, Expected):
        return (
            None
            if type(got) is type(expected) and got == expected
            else f"{got!r:.200}, expected {expected!r:.200}"
        )
    true = np.asarray(expected.true)
    if true.dtype.kind == "f":
        true = true.astype(np.float64)
    if got is None:
        return f"None, expected {true!r:.200}"
    got = np.asarray(got)
    if got.shape != true.shape:
        return f"shape {got.shape}, expected {true.shape}"
    if got.dtype.kind not in "biuf":
        return f"dtype {got.dtype}"
    got, true = (a.astype(np.int8) if a.dtype.kind == "b" else a for a in (got, true))
    with np.errstate(all="ignore"):
        if got.dtype.kind == "f":
            got = got.astype(np.float64)
        bound = np.broadcast_to(np.asarray(expected.bound, np.float64), true.shape)
        bound = np.where(np.isnan(bound), np.inf, bound)  # of a row that has a NaN elsewhere
        dtype = np.dtype(expected.dtype).newbyteorder("=")
        u, most = unit(dtype), float(np.finfo(dtype).max if dtype.itemsize <= 8 else np.finfo("f8").max)
        beyond = (bound >= u * most) | (np.abs(true) >= most)  # sums of such numbers overflow, in some order
        close = (np.abs(got - true) <= bound) | (got == true)
        same = np.where(np.isfinite(true), beyond | close, (np.isnan(got) & np.isnan(true)) | (got == true))
    if same.all():
        return None
    i = np.unravel_index(int(np.argmin(same)), true.shape)
    return f"[{', '.join(map(str, i))}] is {got[i]!r}, expected {true[i]!r} within {bound[i]:.2g} ({dtype})"


def verdict(attack: Callable[[Draw], Trial], draw: Draw) -> str | None:
    """Run one trial; return what is wrong, or None."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trial = attack(draw)
        before = snapshot(list(trial.inputs)), snapshot(list(trial.state))
        errors, result, refusal = np.geterr(), None, None
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = trial.call()
            except Exception as error:
                refusal = error
        if np.geterr() != errors:
            return "numpy.geterr() has changed"
        if where := changed(before[0], snapshot(list(trial.inputs))):
            return f"an argument has changed: {where} ({_outcome(result, refusal)})"
        if refusal is not None:
            if isinstance(refusal, MemoryError) and (draw.is_huge or trial.memory):
                return None
            if not isinstance(refusal, trial.errors) or isinstance(refusal, UnicodeError):
                return _outcome(result, refusal)
            if where := changed(before[1], snapshot(list(trial.state))):
                return f"a refusal has changed {where}: {_outcome(result, refusal)}"
            return f"what is documented was refused: {_outcome(result, refusal)}" if draw.is_legal else None
        if trial.expect is None or draw.is_huge:
            return None
        with warnings.catch_warnings(record=True) as expected_warnings:
            warnings.simplefilter("always")
            try:
                told = trial.expect()
                if told is None:  # nothing that plain NumPy says anything about
                    return None
                expected = list(told)
            except Refused as error:
                return f"was taken, expected an error: {error}; {_outcome(result, None)}"
    if more := {w.category for w in warned} - {w.category for w in expected_warnings}:
        text = next(str(w.message) for w in warned if w.category in more)
        return f"warns where NumPy does not: {text}"
    got = flat(result)
    if len(got) != len(expected):
        return f"{len(got)} results, expected {len(expected)}"
    for k, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        if wrong := difference(mine, theirs):
            return f"result {k}: {wrong}"
    return None


def _outcome(result: Any, refusal: Exception | None) -> str:
    if refusal is not None:
        return f"{type(refusal).__name__}: {str(refusal)[:300]}"
    return f"returned {result!r:.200}"


def outcome(load: Callable[[], Any], right: Callable[[], str | None], model: Any) -> str | None:
    """Load a changed file: what is wrong, or None."""
    before, began = snapshot(model), time.monotonic()
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load()
        refused = None
    except (ValueError, OSError) as error:
        refused = error
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    seconds = time.monotonic() - began
    if seconds > SECONDS or peak > BYTES:
        return f"took {seconds:.1f} s and {peak >> 20} MB"
    if refused is None:
        return right()
    where = changed(before, snapshot(model))
    return None if where is None else f"a refusal has changed {where}: {refused}"
