"""Every Python block of the two READMEs runs, in order, as a reader would type it."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_examples_run(name, tmp_path, monkeypatch, capsys):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    state = np.random.get_state()
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    np.random.set_state(state)
    pyplot.close("all")
    printed = capsys.readouterr().out
    assert ("| epoch 300 |" if name == "README.md" else "| 에폭 300 |  반복 1 / 10 |") in printed
    assert names["model"].accuracy(names["x"], names["t"]) > 0.95
    assert names["network"].accuracy(names["x"], names["t"]) > 0.95
    assert "(10, 30, 12, 12)" in printed
    assert names["watched"].history[-1].keys() >= {"val_loss", "val_metric"} and Path("log.csv").exists()
    np.random.seed(0)
    whole = names["Trainer"](names["TwoLayerNet"](2, 10, 3), names["SGD"](lr=1.0))
    whole.fit(names["x"], names["t"], 20, 30, verbose=False)
    np.random.set_state(state)
    assert names["resumed"].history == whole.history
    assert names["language"].ppl_list[0] > 7 and names["language"].ppl_list[-1] < 1.1


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_links_lead_somewhere(name):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text("utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target
