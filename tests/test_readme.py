"""Every Python block of the two READMEs runs, in order, as a reader would type it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet import TwoLayerNet
from scratchnet.__main__ import main

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_examples_run(name, tmp_path, monkeypatch, capsys):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    monkeypatch.chdir(tmp_path)
    for optional in ("matplotlib", "tqdm", "IPython", "pooch", "onnx", "safetensors", "sklearn", "pandas"):
        monkeypatch.setitem(sys.modules, optional, None)  # `pip install .` alone does not bring it
    text = (ROOT / name).read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4 and "validation=(x, t)" not in text
    names: dict[str, object] = {}
    state = np.random.get_state()
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    np.random.set_state(state)
    printed = capsys.readouterr().out
    assert ("| epoch 300 |" if name == "README.md" else "| 에폭 300 |  반복 1 / 10 |") in printed
    assert names["model"].accuracy(names["x"], names["t"]) > 0.95
    assert names["network"].accuracy(names["x"], names["t"]) > 0.95
    assert "(10, 30, 12, 12)" in printed
    assert names["classifier"].accuracy(names["features"], names["table"].t) > 0.85
    assert names["watched"].history[-1].keys() >= {"val_loss", "val_metric"} and Path("log.csv").exists()
    np.random.seed(0)
    whole = names["Trainer"](names["TwoLayerNet"](2, 10, 3), names["SGD"](lr=1.0))
    whole.fit(names["x"], names["t"], 20, 30, verbose=False)
    np.random.set_state(state)
    assert names["resumed"].history == whole.history
    assert names["language"].ppl_list[0] > 7 and names["language"].ppl_list[-1] < 1.1


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_pictures_are_drawn(name, tmp_path, monkeypatch):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    reason = "matplotlib or tqdm is not installed: the README's pictures are not drawn"
    pytest.importorskip("matplotlib", reason=reason).use("Agg")
    pytest.importorskip("tqdm", reason=reason)
    from matplotlib import pyplot

    text = (ROOT / name).read_text("utf-8")
    (drawn,) = re.findall(r"```python plot\n(.*?)```", text, re.DOTALL)
    before = re.findall(r"```python\n(.*?)```", text[: text.index(drawn)], re.DOTALL)
    state = np.random.get_state()
    names = {"np": np}
    monkeypatch.chdir(tmp_path)
    for block in (before[0], before[-1], drawn):
        exec(compile(block, name, "exec"), names)
    np.random.set_state(state)
    assert len(pyplot.get_fignums()) == 2 and len(names["fresh"].history) == 120
    pyplot.close("all")


@pytest.mark.parametrize("package", ["torch", "onnxruntime"])
@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_examples_for_other_packages_give_the_model_s_scores(
    name, package, tmp_path, monkeypatch, capsys
):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    pytest.importorskip(package, reason=f"{package} is not installed: its example in the README is not run")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(rf"```python {package}\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    model = TwoLayerNet(2, 10, 3, weight_init_std=1.0, rng=0)
    model.save_params("weights.npz", dtype="float16")
    model.load_params("weights.npz")
    x = np.random.default_rng(0).standard_normal((5, 2))
    exec(compile(block, name, "exec"), {"np": np, "model": model, "x": x})
    printed = np.array(re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out), float).reshape(3, 3)
    np.testing.assert_allclose(printed, model.predict(x[:3]), atol=1e-3)


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_program_for_scikit_learn_prints_the_same_with_either_import(name, capsys):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: its example in the README is not run")
    text = (ROOT / name).read_text("utf-8")
    (program,) = re.findall(r"```python sklearn\n(.*?)```", text, re.DOTALL)
    before, after = re.findall(r"^    (from .* import MLPClassifier)", text, re.MULTILINE)
    assert after in program and "sklearn" in before
    printed = []
    for line in (before, after):
        with pytest.warns(UserWarning, match="Maximum iterations"):
            exec(compile(program.replace(after, line), name, "exec"), {})
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and printed[0].startswith("20 0.")


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_table_is_learned_and_predicted(name, tmp_path, monkeypatch, capsys):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text("utf-8")
    table = re.search(r"((?:    [\w.]+,.*\n)+)", text)[1]
    Path("flowers.csv").write_text(re.sub("(?m)^    ", "", table), "utf-8")
    for command in re.findall(r"^    scratchnet (.*flowers\.csv[^#]*)#", text, re.MULTILINE):
        assert main(command.split()) == 0
    kinds = capsys.readouterr().out.split("weights.npz")[1].split()[-6:]
    assert set(kinds) <= {"setosa", "versicolor", "virginica"} and kinds[:2] == ["setosa", "setosa"]


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_s_links_lead_somewhere(name):
    if not (ROOT / name).exists():
        pytest.skip("no README here: the tests run against an installed package")
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text("utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target
