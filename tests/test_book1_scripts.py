"""A script of book 1's kind under scratchnet, with replaced imports, and in plain NumPy: the same lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


def lines(*command, cwd=None, **settings):
    result = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=cwd, env={**os.environ, **settings}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def rounded(printed):
    """Lines with their numbers rounded to what different orders of addition leave equal."""
    return [re.sub(r"\d+\.\d+(e-\d+)?", lambda number: f"{float(number[0]):.6f}", line) for line in printed]


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_a_convolutional_network_prints_the_same_lines(tmp_path, optimizer):
    script = SCRIPTS / "ch" / "convnet.py"
    plain = lines(sys.executable, script, optimizer, PYTHONPATH=str(SCRIPTS / "book1"))
    assert plain[-2].startswith("test acc:") and plain[-1] == "15"
    ours = lines(sys.executable, "-P", "-m", "scratchnet", "run", script, optimizer)
    assert rounded(ours) == rounded(plain)
    replaced = tmp_path / "replaced.py"
    replaced.write_text(script.read_text("utf-8").replace("from common.", "from scratchnet.book1."), "utf-8")
    assert lines(sys.executable, replaced, optimizer) == ours
