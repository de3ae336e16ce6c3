"""Scripts of the books' kind under scratchnet, with replaced imports, and in plain NumPy: the same lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


def lines(*command, **settings):
    env = {**os.environ, "PYTHONSAFEPATH": "", **settings}  # else Python itself leaves the folder out
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def rounded(printed):
    """Lines with their numbers rounded to what different orders of addition leave equal."""
    return [re.sub(r"\d+\.\d+(e-\d+)?", lambda number: f"{float(number[0]):.6f}", line) for line in printed]


def check(tmp_path, name, book, packages, *arguments):
    """Run a script in the three ways; return the lines of plain NumPy."""
    script = SCRIPTS / "ch" / name
    plain = lines(sys.executable, script, *arguments, PYTHONPATH=str(SCRIPTS / book))
    ours = lines(sys.executable, "-P", "-m", "scratchnet", "run", script, *arguments)
    assert rounded(ours) == rounded(plain)
    text = script.read_text("utf-8")
    for old, new in packages.items():
        text = text.replace(f"from {old}", f"from {new}")
    replaced = tmp_path / name
    replaced.write_text(text, "utf-8")
    assert lines(sys.executable, replaced, *arguments) == ours
    return plain


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_book_1_s_convolutional_network(tmp_path, optimizer):
    plain = check(tmp_path, "convnet.py", "book1", {"common.": "scratchnet.book1."}, optimizer)
    assert plain[-2].startswith("test acc:") and plain[-1] == "15"


def test_book_2_s_own_loop_over_the_spiral(tmp_path):
    plain = check(
        tmp_path, "spiral_loop.py", "book2", {"common.": "scratchnet.", "dataset ": "scratchnet.dataset "}
    )
    assert len(plain) == 40 and plain[0].startswith("| epoch 1 | loss 1.1")
