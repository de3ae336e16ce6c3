"""Makes a range of the trials of random calls, in a process of its own: a crash or a hang there is one finding.

Arguments: the seed, the number of all trials, the first and the step of those that are made here; and the file in
which it says what it is at, so that whoever started it can tell after a crash. A line of JSON on stdout for each
finding, and one for the end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback

import all_attacks
from judge import verdict
from odd import Draw

MEMORY = 3 << 30  # bytes of address space: a size that was misread fails here and not the machine


def plan(count: int) -> list[tuple[str, int]]:
    """The attack of every trial, and its number among this attack's: shares of the whole, dealt out in turn."""
    names = sorted(all_attacks.ATTACKS)
    shares = {name: all_attacks.ATTACKS[name].share for name in names}
    whole = sum(shares.values())
    counts = {name: int(count * share / whole) for name, share in shares.items()}
    for name in names[: count - sum(counts.values())]:
        counts[name] += 1
    trials = [(name, i, (i + 0.5) / n) for name, n in counts.items() for i in range(n)]
    return [(name, i) for name, i, _ in sorted(trials, key=lambda trial: (trial[2], trial[0]))]


def describe(name: str, draw: Draw) -> str:
    return f"{name} ({'; '.join(draw.notes) or 'nothing odd'})"


def run(seed: int, name: str, number: int) -> str | None:
    """Make one trial; return what is wrong, or None."""
    draw = Draw(seed, name, number)
    try:
        wrong = verdict(all_attacks.ATTACKS[name].make, draw)
    except Exception:
        wrong = "the trial itself failed: " + traceback.format_exc(limit=-4)
    return None if wrong is None else f"{describe(name, draw)}: {wrong}"


def main(seed: int, count: int, first: int, step: int, at: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trials = plan(count)
    place = os.open(at, os.O_WRONLY | os.O_CREAT)
    out = os.fdopen(os.dup(1), "w")
    for k in range(first, count, step):
        os.pwrite(place, b"%20d" % k, 0)
        name, number = trials[k]
        if wrong := run(seed, name, number):
            print(json.dumps({"trial": k, "attack": name, "number": number, "wrong": wrong}), file=out, flush=True)
    print(json.dumps({"end": True}), file=out, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), sys.argv[5])
