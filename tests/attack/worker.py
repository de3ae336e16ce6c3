"""Makes trials in a process of its own, where a crash or a hang is one finding; started by workers.py.

worker.py KIND SEED COUNT TRIAL            that trial alone, which prints what is wrong
worker.py KIND SEED COUNT FIRST STEP PLACE every STEP-th from FIRST; a line of JSON on stdout for each finding.
                                           PLACE is a file that says which trial is being made.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

if sys.platform != "win32":
    import resource

# What each kind of trials is made by: a module with prepare(seed, count) -> a function of a trial's number, which
# returns what is wrong or None; and how much memory the process may have beyond that at its start.
KINDS = {
    "calls": ("random_calls", 3 << 30),
    "files": ("changed_files", 1 << 29),
    "kills": ("kills", 3 << 30),
    "interrupts": ("interrupts", 3 << 30),
}


def bound_memory(more: int) -> None:
    """A size that was misread fails here, and not the machine."""
    if sys.platform == "linux":
        now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(kind: str, seed: int, count: int, first: int, step: int | None, place: str | None) -> None:
    module, memory = KINDS[kind]
    trial = import_module(module).prepare(seed, count)
    bound_memory(memory)
    out = os.fdopen(os.dup(1), "w")
    at = os.open(place or os.devnull, os.O_WRONLY)
    for k in range(first, count, step or count):
        os.pwrite(at, b"%20d" % k, 0)
        try:
            wrong = trial(k)
        except Exception:
            wrong = "the trial itself failed: " + traceback.format_exc(limit=-5)
        if wrong and step:
            print(json.dumps({"trial": k, "wrong": wrong}), file=out, flush=True)
        elif not step:
            print(wrong or "nothing is wrong", file=out)


if __name__ == "__main__":
    main(
        sys.argv[1],
        *map(int, sys.argv[2:5]),
        *([int(sys.argv[5]), sys.argv[6]] if len(sys.argv) > 5 else [None, None]),
    )
