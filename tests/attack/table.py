"""The attacks by name, and what each of them calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from judge import Trial
from odd import Draw


@dataclass(frozen=True)
class Attack:
    """One trial's recipe: `make` draws it, `targets` are the public callables that it is about."""

    make: Callable[[Draw], Trial]
    targets: tuple[str, ...]
    share: float  # of the trials, relative to the others


ATTACKS: dict[str, Attack] = {}


def attack(*targets: str, share: float = 1.0) -> Callable[[Callable[[Draw], Trial]], Callable[[Draw], Trial]]:
    """Enter a function that makes trials; "module.Class: a b" is short for two methods of a class."""

    def enter(make: Callable[[Draw], Trial]) -> Callable[[Draw], Trial]:
        add(targets[0].split(":")[0], make, *[t for t in targets if " " not in t.split(":")[0]], share=share)
        return make

    return enter


def add(name: str, make: Callable[[Draw], Trial], *targets: str, share: float = 1.0) -> None:
    assert name not in ATTACKS, name
    ATTACKS[name] = Attack(make, tuple(_spelt(targets)), share)


def _spelt(targets: tuple[str, ...]) -> list[str]:
    spelt = []
    for target in targets:
        owner, _, methods = target.partition(":")
        spelt += [f"scratchnet.{owner}"] + [f"scratchnet.{owner}.{method}" for method in methods.split()]
    return spelt
