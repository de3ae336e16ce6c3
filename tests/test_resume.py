"""A process that trains is killed at random times and started again: it ends with the bits of one that was not."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import killed_fit
import numpy as np
import pytest
from processes import PYTHON

pytestmark = pytest.mark.thread_unsafe(reason="starts processes; compares the state of NumPy's global stream")

SCRIPT = Path(killed_fit.__file__)


def killed(case, epochs, kills, folder, seed):
    """Kill a fit a number of times, and start it again each time; return what each whole run ended with."""
    rng, ended = np.random.default_rng(seed), []
    longest = 0.007 * epochs  # seconds until it is killed
    path = os.pathsep.join(filter(None, [str(SCRIPT.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [*PYTHON, SCRIPT, case, str(epochs), folder]
    while kills >= 0:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout.readline() == "begins\n"
            if kills:
                time.sleep(longest * rng.random())
                process.kill()  # SIGKILL: nothing of the process runs after it
            out, _ = process.communicate(timeout=60)
        if out:
            ended.append(ast.literal_eval(out))
        if out and kills:  # it was faster: once more, from the start
            longest /= 2
            shutil.rmtree(folder)
            folder.mkdir()
        else:
            assert out or kills, process.returncode
            kills -= 1
    assert len(list(folder.glob("*.npz"))) == 1
    return ended


def compare(kills, epochs, folder):
    """Kill each case as often as is asked, two at a time."""
    expected = {}
    for case in {case for case, _ in kills}:
        whole = folder / f"{case}, whole"
        whole.mkdir()
        expected[case] = killed_fit.fit(case, epochs, whole)  # without checkpoints

    def trial(k):
        case, count = kills[k]
        own = folder / str(k)
        own.mkdir()
        return [(case, end) for end in killed(case, epochs, count, own, k)]

    with ThreadPoolExecutor(2) as pool:
        for case, end in [end for ends in pool.map(trial, range(len(kills))) for end in ends]:
            assert end == expected[case], case


def test_kills(tmp_path):
    compare([("Adam, callbacks", 3), ("language model", 3)], 30, tmp_path)


@pytest.mark.long
def test_many_kills(tmp_path):
    compare([(case, 5) for case in 2 * list(killed_fit.CASES)], 200, tmp_path)
