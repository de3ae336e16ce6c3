"""Attacks on the kernels, compiled and plain, and on the short cuts that layers take: walked from the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case, is_possible, make_case, wide
from judge import Expected, Trial, bounds
from odd import ODD_NUMBERS, ODD_WHOLE, WRONG, Draw, Refused
from table import add, attack
from tolerances import EXACT

from scratchnet.backends import KERNELS, cpu, reference

# What a contract's call refuses: numbers that are none may be a TypeError, as Python's own functions say it.
ERRORS = (ValueError, IndexError, TypeError)


def sizes(draw: Draw) -> dict[str, int]:
    drawn = {letter: draw.size() for letter in "NDMCB"}
    return drawn | {"n": draw.size(high=40)}


def spoil(draw: Draw, case: Case) -> None:
    """Put something wrong, or other, in the place of one argument."""
    kernel = case.kernel
    argument = draw.pick(kernel.arguments)
    value, name = case.values[argument.name], argument.name
    if not argument.is_array:
        odd = draw.pick(ODD_NUMBERS if argument.least is None else ODD_WHOLE)
        draw.note(f"{name} = {odd!r:.40}", legal=False)
        draw.is_huge |= isinstance(odd, int) and abs(odd) > 1000
        case.values[name] = odd
        return
    if value is None:
        return
    how = draw.pick(
        ("dtype", "shape", "strided", "read-only", "swapped", "type", "overlap", "label", "reshaped", "huge")
    )
    draw.note(f"{name}: {how}", legal=False)
    if how == "dtype":
        with np.errstate(all="ignore"):
            case.values[name] = value.astype(draw.pick(("f2", "g", "i4", "c8", "?", "f4", "f8", "i8", "u8")))
    elif how == "shape":
        shape = list(value.shape)
        if shape:
            shape[int(draw.rng.integers(len(shape)))] += draw.pick((1, 1, 7))
        case.values[name] = np.zeros(shape, value.dtype)
    elif how == "strided" and value.ndim:
        case.values[name] = np.repeat(value, 2, axis=-1)[..., ::2]
    elif how == "read-only":
        value.flags.writeable = False
    elif how == "swapped":
        case.values[name] = value.astype(value.dtype.newbyteorder())
    elif how == "type":
        case.values[name] = WRONG[draw.pick(list(WRONG))](np.zeros(value.shape))
    elif how == "overlap":
        others = [
            v for k, v in case.values.items() if k != name and isinstance(v, np.ndarray) and v.dtype == value.dtype
        ]
        if others and value.size:
            other = draw.pick(others)
            memory = np.zeros(value.size + other.size, value.dtype)
            case.values[name] = memory[: value.size].reshape(value.shape)
            for k, v in case.values.items():
                if v is other:
                    case.values[k] = memory[value.size // 2 :][: other.size].reshape(other.shape)
                    case.values[k][...] = other
    elif how == "label" and argument.kind == "label" and value.size:
        case.values[name] = value.copy()
        case.values[name].reshape(-1)[-1] = draw.pick((-1, 2**62, -(2**63), 10**6))
    elif how == "reshaped":
        case.values[name] = value.reshape((*value.shape, 1)) if draw.chance(0.5) else value.reshape(-1)
    elif how == "huge" and value.ndim > 1:
        draw.is_huge = True
        case.values[name] = np.zeros((0,) * (value.ndim - 1) + (draw.pick((2**28, 2**40)),), value.dtype)


def floating(case: Case) -> np.dtype[Any]:
    return next(v.dtype for v in case.values.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f")


def kernel_attack(name: str) -> Callable[[Draw], Trial]:
    def make(draw: Draw) -> Trial:
        drawn = sizes(draw)
        while not is_possible(name, drawn):
            drawn = sizes(draw)
        backend, dtype = draw.pick((cpu, cpu, cpu, reference)), draw.pick((np.float32, np.float64))
        optional = [a.name for a in KERNELS[name].arguments if a.optional and draw.chance(0.2)]
        case = make_case(name, drawn, dtype, int(draw.rng.integers(2**31)), tuple(optional))
        values = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
        expected = Case(case.kernel, values, {})
        spoiled = draw.chance(0.5)
        if spoiled:
            spoil(draw, case)
        copies = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
        written = [a.name for a in case.kernel.arguments if a.is_written]

        def call() -> Any:
            result = case.call(backend)
            return [
                *(case.values[n] for n in written if case.values[n] is not None),
                *([result] if result is not None else []),
            ]

        def expect() -> list[Expected]:
            inputs = expected
            if spoiled:  # taken all the same: then by the reference's formula, if it has one for it
                inputs = Case(case.kernel, copies, {})
                for n in written:
                    if isinstance(copies[n], np.ndarray):
                        copies[n].flags.writeable = True
            own = floating(inputs)
            true = inputs if spoiled or name in EXACT else wide(inputs)
            try:
                returned = true.call(reference)
            except ERRORS as error:
                raise Refused(str(error)) from None
            if spoiled and name not in EXACT:
                return [
                    Expected(np.zeros(np.shape(case.values[n])), np.inf)
                    for n in written
                    if case.values[n] is not None
                ] + [Expected(0.0, np.inf)] * case.kernel.returns_float
            bound = {} if name in EXACT else bounds(name, true.values, own)
            arrays = [
                Expected(true.values[n], bound.get(n, 0.0), own) for n in written if true.values[n] is not None
            ]
            return arrays + ([Expected(returned, bound.get("return", 0.0))] if case.kernel.returns_float else [])

        inputs = [case.values[a.name] for a in case.kernel.arguments if not a.is_written]
        return Trial(
            call, expect, [] if any("overlap" in n for n in draw.notes) else inputs, list(case.values.values()),
            errors=ERRORS if any("=" in n or "type" in n for n in draw.notes) else ERRORS[:2],
        )  # fmt: skip

    return make


for _name in KERNELS:
    add(
        f"backends.cpu.{_name}",
        kernel_attack(_name),
        f"backends.cpu.{_name}",
        f"backends.reference.{_name}",
        share=1,
    )


@attack("backends.cpu.op_update")
def op_update(draw: Draw) -> Trial:
    """All parameters of an optimizer at once, or none."""
    name = draw.pick([n for n in KERNELS if n.endswith("_update")])
    cases = [make_case(name, {"n": draw.size(high=40)}, draw.pick((np.float32, np.float64)), k) for k in range(2)]
    if draw.chance(0.5):
        spoil(draw, cases[1])
    names = [a.name for a in KERNELS[name].arguments if a.is_array]
    numbers = tuple(cases[0].values[a.name] for a in KERNELS[name].arguments if not a.is_array)
    columns = [[case.values[n] for case in cases] for n in names]
    expected = [
        Case(c.kernel, {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in c.values.items()}, {})
        for c in cases
    ]
    odd = any("=" in note for note in draw.notes)

    def call() -> Any:
        if odd or not cpu.op_update(name, columns[0], columns[1], columns[2:], numbers):
            raise ValueError("not taken")
        return [case.values[n] for case in cases for n in names if n != "g"]

    def expect() -> list[Expected]:
        for case in expected:
            try:
                case.kernel and getattr(reference, name)(*(case.values[n] for n in names), *numbers)
            except ERRORS as error:
                raise Refused(str(error)) from None
        return [Expected(case.values[n], 0, floating(case)) for case in expected for n in names if n != "g"]

    draw.is_legal = False
    return Trial(call, expect, [] if any("overlap" in n for n in draw.notes) else [columns[1]], [columns])
