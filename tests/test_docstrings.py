"""The examples in the docstrings run, as typed; all layers, optimizers, functions and networks have one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchnet

PACKAGE = Path(scratchnet.__file__).parent
MODULES = [
    ".".join(("scratchnet", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]
# Whose public names all have an example
WHOLE = (
    "layers loss_layers image_layers batch_normalization time_layers optimizer functions gradient language "
    "callbacks weights book1.optimizer book1.util"
)


def examples_of(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(module, extraglobs={"np": np}) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "scratchnet.plotting":
        reason = "matplotlib, which the examples draw with, is not installed"
        pytest.importorskip("matplotlib", reason=reason).use("Agg")
    state = np.random.get_state()
    for test in examples_of(name):
        result = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, f"the example of {test.name} fails; pytest shows it above"
    np.random.set_state(state)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.mark.parametrize("name", WHOLE.split())
def test_every_public_name_has_an_example(name):
    module = importlib.import_module(f"scratchnet.{name}")
    own = [getattr(module, public) for public in module.__all__]
    own = [value for value in own if inspect.isclass(value) or inspect.isfunction(value)]
    assert own and [value.__name__ for value in own if ">>>" not in (value.__doc__ or "")] == []
