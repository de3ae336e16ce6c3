"""The most memory that a fit takes above the data, in a new process each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path

sys.path.insert(0, {here!r})
import machine
machine.pin()
from data import digits
from peers import Job, {contestant}

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

x, t = digits()
{contestant}(Job((784, 8, 10), 100, x[:300], t[:300], lr=0.1)).fit(1)  # loads what is loaded at first use
before = status("VmRSS")
trained = {contestant}(Job((784, 50, 10), 100, x, t, lr=0.1))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
trained.fit(1)
print(status("VmHWM") - before)
"""

IMAGES, PIXELS, HIDDEN, CLASSES, BATCH = 60000, 784, 50, 10, 100


def peak(contestant: str) -> int:
    """Bytes above the data: parameters, gradients, activations, and whatever else there is."""
    program = PROGRAM.format(here=str(Path(__file__).parent), contestant=contestant)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from /proc")
def test_peak_memory(benchmark):
    contestants = {"scratchnet": "Scratchnet", "NumPy": "NumPy"}
    peaks = {}
    for name, contestant in list(contestants.items())[1:]:
        peaks[name] = peak(contestant)
    peaks["scratchnet"] = benchmark.pedantic(peak, args=("Scratchnet",), rounds=1)
    parameters = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
    activations = BATCH * (PIXELS + 2 * HIDDEN + 2 * CLASSES)  # each with its gradient, and the batch itself
    benchmark.extra_info.update(
        table="memory",
        work="784-50-10, one epoch of 60000 images",
        ours="scratchnet",
        peaks=peaks,
        data=4 * IMAGES * PIXELS,
        needed=4 * (2 * parameters + activations) + 8 * 2 * IMAGES,  # the last: the epoch's order and permutation
    )
