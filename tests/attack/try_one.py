"""Make some trials of an attack again, from a finding: python -P tests/attack/try_one.py SEED NAME NUMBER [COUNT]."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from call_worker import run

if __name__ == "__main__":
    seed, name, first, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int((*sys.argv, 1)[4])
    for number in range(first, first + count):
        if wrong := run(seed, name, number):
            print(f"{number}: {wrong}")
