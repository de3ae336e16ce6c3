"""The trials of random calls: which attack each of them is."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from all_attacks import ATTACKS
from judge import verdict
from odd import Draw


def plan(count: int) -> list[tuple[str, int]]:
    """The attack of every trial, and its number among this attack's: shares of the whole, dealt out in turn."""
    names = sorted(ATTACKS)
    whole = sum(ATTACKS[name].share for name in names)
    counts = {name: int(count * ATTACKS[name].share / whole) for name in names}
    for name in names[: count - sum(counts.values())]:
        counts[name] += 1
    trials = [(name, i, (i + 0.5) / n) for name, n in counts.items() for i in range(n)]
    return [(name, i) for name, i, _ in sorted(trials, key=lambda trial: (trial[2], trial[0]))]


def prepare(seed: int, count: int) -> Callable[[int], str | None]:
    trials = plan(count)

    def trial(k: int) -> str | None:
        name, number = trials[k]
        draw = Draw(seed, name, number)
        try:
            wrong = verdict(ATTACKS[name].make, draw)
        except Exception:
            wrong = f"failed itself: {traceback.format_exc(limit=-4)}"
        return wrong and f"{name} ({'; '.join(draw.notes) or 'nothing odd'}): {wrong}"

    return trial
