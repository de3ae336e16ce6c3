"""Attacks on the optimizers of both books: their settings, updates and saved states."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from judge import Expected, Trial, rounding
from numpy_books import optimizers as books
from odd import Draw, Refused, parameter_dtype, plain, plain_number
from table import add

from scratchnet import optimizer
from scratchnet.book1 import optimizer as book1
from scratchnet.book2 import optimizer as book2

SETTINGS = {
    "SGD": {},
    "Momentum": {"momentum": (0.9, 0.5, 0)},
    "Nesterov": {"momentum": (0.9, 0.5, 0)},
    "AdaGrad": {},
    "RMSprop": {"decay_rate": (0.99, 0.5, 0, 1)},
    "Adam": {"beta1": (0.9, 0.0, 0.5), "beta2": (0.999, 0.0, 0.5)},
}


def settings(draw: Draw, kind: str, odd: float) -> dict[str, Any]:
    given = {"lr": draw.number(0.1, 0.01, 0, 1, np.float32(0.5), odd=odd)}
    return given | {name: draw.number(*good, odd=odd) for name, good in SETTINGS[kind].items()}


def plain_settings(given: dict[str, Any]) -> dict[str, float]:
    """The settings as numbers in their ranges."""
    numbers = {name: plain_number(value) for name, value in given.items()}
    for name, value in numbers.items():
        low, high = {"lr": (0, np.inf), "momentum": (-np.inf, np.inf), "decay_rate": (0, np.nextafter(1, 2))}.get(
            name, (0, 1)
        )
        if not low <= value < high or not np.isfinite(value):
            raise Refused(f"the setting {name}")
    return numbers


def parameters(draw: Draw, calm: bool) -> list[Any]:
    params: list[Any] = []
    for _ in range(draw.pick((1, 2, 2, 3))):
        if draw.chance(0.1):
            params.append(draw.pick((0.5, np.float64(-1.5), 2.0)))
            continue
        p = draw.parameter(draw.shape(most=2), calm=calm, dtype=draw.pick(("f4", "f8")))
        if isinstance(p, np.ndarray) and not p.flags.writeable:
            p = p.copy() if calm else p
            draw.is_legal &= calm
        params.append(p)
    return params


def gradients(draw: Draw, params: list[Any], calm: bool) -> list[Any]:
    given = [draw.array(np.shape(p), calm=calm) if isinstance(p, np.ndarray) else draw.number(0.5, -1, odd=0.1)
             for p in params]  # fmt: skip
    if not calm and draw.chance(0.1):
        how = draw.pick(("one less", "one more", "None"))
        draw.note(f"gradients: {how}", legal=False)
        if how == "None":
            given[int(draw.rng.integers(len(given)))] = None
        else:
            given = given[:-1] if how == "one less" else [*given, np.ones(2)]
    return given


def tangle(draw: Draw, params: list[Any], grads: list[Any]) -> bool:
    """Make two of the arrays lie in one memory; whether that was done."""
    arrays = [i for i, p in enumerate(params) if isinstance(p, np.ndarray) and p.ndim and p.dtype.kind == "f"]
    if not arrays or len(grads) != len(params):
        return False
    i, how = draw.pick(arrays), draw.pick(("the parameter", "reversed", "a view", "two parameters"))
    draw.note(f"in one memory: {how}", legal=False)
    if how == "two parameters":
        params.append(params[i][:1])
        grads.append(draw.numbers(params[-1].shape, "f8", extremes=False))
    else:
        grads[i] = {"the parameter": params[i], "reversed": params[i][::-1], "a view": params[i][:]}[how]
    return True


def plain_gradient(g: Any, dtype: Any) -> np.ndarray | Refused:
    """A gradient's numbers as they are now: it may lie in the parameter's memory."""
    try:
        return plain(g, dtype)
    except Refused as refused:
        return refused


def updates(module: ModuleType, kind: str) -> Callable[[Draw], Trial]:
    cls, on_dictionaries = getattr(module, kind), module is book1
    theirs = books.NesterovVelocityFirst if module is book2 else getattr(books, kind)

    def make(draw: Draw) -> Trial:
        calm = draw.chance(0.3)
        given = settings(draw, kind, 0.25 if draw.chance(0.3) else 0)
        own = None if draw.notes else cls(**given)
        params = parameters(draw, calm)
        rounds = [gradients(draw, params, calm) for _ in range(draw.pick((1, 1, 2, 3)))]
        tangled = not calm and draw.chance(0.15) and tangle(draw, params, rounds[0])
        rounds = rounds[:1] if tangled else rounds
        used_before = own is not None and not calm and draw.chance(0.1) and kind != "SGD"
        names = [f"W{i}" for i in range(max(len(params), max(map(len, rounds))))]

        def held(values: list[Any]) -> Any:
            return dict(zip(names, values, strict=False)) if on_dictionaries else values

        if used_before:
            own.update(held([np.ones((2, 2))]), held([np.ones((2, 2))]))
            draw.note("a state of other parameters", legal=False)
        container: Any = held(list(params))
        dtypes = [
            p.dtype.newbyteorder("=") if isinstance(p, np.ndarray) and p.dtype.kind == "f" else np.dtype("f8")
            for p in params
        ]
        before = [p.copy() if isinstance(p, np.ndarray) else p for p in params]
        plain_rounds = [
            [plain_gradient(g, dtype) for g, dtype in zip(grads, dtypes, strict=False)] for grads in rounds
        ]

        def call() -> Any:
            used = cls(**given) if own is None else own
            for grads in rounds:
                used.update(container, held(list(grads)))
            values = list(container.values()) if on_dictionaries else container
            return [np.array(v, dtype=np.float64) for v in values]

        def expect() -> list[Expected]:
            numbers = plain_settings(given)
            if used_before and [np.shape(p) for p in before] != [(2, 2)]:
                raise Refused("the state")
            if not all(
                len(params) == len(grads) or (on_dictionaries and len(params) < len(grads)) for grads in rounds
            ):
                raise Refused("not as many gradients")
            starts = [plain(p, parameter_dtype(p) if isinstance(p, np.ndarray) else "f8") for p in before]
            if tangled and len(starts) > 1 and "two parameters" in draw.notes[-1]:
                shared = [
                    i
                    for i, p in enumerate(params)
                    if isinstance(p, np.ndarray) and np.shares_memory(p, params[-1])
                ]
                starts[-1] = starts[shared[0]][:1] if shared else starts[-1]
            used = [theirs(**numbers) for _ in starts]
            sizes = [np.abs(p) for p in starts]
            for grads in plain_rounds:
                for i, (p, g) in enumerate(zip(starts, grads, strict=False)):
                    if isinstance(g, Refused):
                        raise g
                    if g.shape != p.shape:
                        raise Refused("a gradient's shape")
                    with np.errstate(all="ignore"):
                        used[i].update([p], [g])
                    sizes[i] = sizes[i] + np.abs(p)
            if used_before:
                return [Expected(np.zeros(p.shape), np.inf) for p in starts]
            return [
                judged(p, size, [grads[i] for grads in plain_rounds], numbers, dtype)
                for i, (p, size, dtype) in enumerate(zip(starts, sizes, dtypes, strict=True))
            ]

        watched = [] if tangled else [rounds]
        state = [container, own] if len(rounds) == 1 else []
        return Trial(call, expect, watched, state)

    return make


def judged(p: np.ndarray, size: np.ndarray, grads: list[Any], numbers: dict[str, float], dtype: Any) -> Expected:
    """Within the rounding of each update; squares and quotients of extreme numbers may be anything."""
    magnitudes = np.concatenate([np.abs(g).reshape(-1) for g in grads])
    if (
        max(map(abs, numbers.values())) > 1e6
        or not np.all(np.isfinite(size))
        or np.any(~(magnitudes < 1e15))
        or np.any((magnitudes > 0) & (magnitudes < 1e-10))
    ):
        return Expected(np.zeros(p.shape), np.inf, dtype)
    averages = {"beta2", "decay_rate"} & numbers.keys()
    if averages and magnitudes.max(initial=0) > 10 * magnitudes.min(initial=np.inf):
        return Expected(np.zeros(p.shape), np.inf, dtype)  # beside the square of the one, the other's is lost
    growth = (1 + abs(numbers.get("momentum", 0))) ** len(grads)
    added = 10 * abs(numbers["lr"]) * (1 + magnitudes.max(initial=0)) * growth
    return Expected(p, 64 * len(grads) * rounding(dtype) * (size + added) + 1e-40, dtype)


def states(module: ModuleType, kind: str) -> Callable[[Draw], Trial]:
    """state_dict to load_state_dict of a new one, and odd states."""
    cls, on_dictionaries = getattr(module, kind), module is book1

    def make(draw: Draw) -> Trial:
        own, other = cls(), cls()
        shape = draw.shape(least=1, most=2)
        p = draw.numbers(shape, draw.pick(("f4", "f8")), extremes=False)
        g = draw.numbers(shape, p.dtype, extremes=False)

        def held(a: np.ndarray) -> Any:
            return {"W": a} if on_dictionaries else [a]

        if draw.chance(0.8):
            own.update(held(p.copy()), held(g))
        saved: Any = own.state_dict()
        if draw.chance(0.6):
            name = draw.pick(sorted(saved))
            how = draw.pick(("missing", "type", "number", "shape", "NaN", "no dict"))
            draw.note(f"state: {how} {name}", legal=False)
            if how == "missing":
                del saved[name]
            elif how == "no dict":
                saved = draw.pick((None, [], "Adam", {}, {"optimizer": kind}, 5))
            elif how == "shape" and isinstance(saved[name], list):
                saved[name] = draw.pick(([], [np.ones(3)], [np.ones(3), np.ones(2)], [1.0], [[1.0]]))
            else:
                saved[name] = draw.pick((None, 5, -1, "a", [], [None], {"a": 1}, float("nan"), 1.5, 10**400))

        def call() -> Any:
            other.load_state_dict(saved)
            return [True]

        def expect() -> list[Any]:
            """The next updates are the same; the state of other parameters is refused by then."""
            mine, theirs = p.copy(), p.copy()
            own.update(held(mine), held(g))
            try:
                other.update(held(theirs), held(g))
            except ValueError:
                return [not draw.is_legal]
            return [not draw.is_legal or mine.tobytes() == theirs.tobytes()]

        return Trial(call, expect, [saved], [other])

    return make


for _module, _kind in [*((m, kind) for kind in SETTINGS for m in (optimizer, book1)), (book2, "Nesterov")]:
    _path = f"{_module.__name__.removeprefix('scratchnet.')}.{_kind}"
    add(_path, updates(_module, _kind), f"{_path}: update", share=1.5)
    add(f"{_path} states", states(_module, _kind), f"{_path}: state_dict load_state_dict", share=0.5)
