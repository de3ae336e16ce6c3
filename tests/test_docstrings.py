"""The examples in the docstrings run, as typed; all layers, optimizers, functions and networks have one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
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
# Modules whose names are not for users to call, or have no example for another reason
NO_EXAMPLES = {
    "backends": "kernels and their launchers: contract.py has their formulas, docs/ their pages",
    "checkpoint": "what the trainers have in common; they show it",
    "dropin": "what `scratchnet run` does with a reader's files",
    "plan": "what the Trainer runs",
    "book1": "IPython calls what its package has: %load_ext; the modules are of the books, which explain them",
    "book2": "as book1",
}
# The same for single names
NO_EXAMPLE = {
    "scratchnet.dataset.table.Table": "read_table makes it, and shows it",
    "scratchnet._network.Network": "what the models have in common; they show it",
}
NEEDS = {
    "scratchnet.plotting": "matplotlib",
    "scratchnet._curves": "matplotlib",
    "scratchnet.export": "onnx",
    "scratchnet.estimators": "sklearn",
}
# Whose public names all have an example: all that the user is to call
WHOLE = [
    info.name.removeprefix("scratchnet.")
    for info in pkgutil.walk_packages(scratchnet.__path__, "scratchnet.")
    if not any(part.startswith("_") for part in info.name.split("."))
    and info.name.split(".")[1] not in NO_EXAMPLES
    and not info.ispkg
] + ["book1.optimizer", "book1.util", "book1.simple_convnet"]


def examples_of(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(module, extraglobs={"np": np}) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if needed := NEEDS.get(name):
        module = pytest.importorskip(needed, reason=f"{needed}, which the examples need, is not installed")
        if needed == "matplotlib":
            module.use("Agg")
    state = np.random.get_state()
    for test in examples_of(name):
        result = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, f"the example of {test.name} fails; pytest shows it above"
    np.random.set_state(state)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.mark.parametrize("name", WHOLE)
def test_every_public_name_has_an_example(name):
    if needed := NEEDS.get(f"scratchnet.{name}"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: {name} cannot be imported")
    module = importlib.import_module(f"scratchnet.{name}")
    defined = [
        n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__ and n[0] != "_"
    ]
    own = [getattr(module, public) for public in getattr(module, "__all__", defined) if public in vars(module)]
    own = [value for value in own if inspect.isfunction(value) or inspect.isclass(value)]
    own = [value for value in own if not (inspect.isclass(value) and issubclass(value, Exception))]
    missing = [f"{v.__module__}.{v.__name__}" for v in own if ">>>" not in (v.__doc__ or "")]
    assert [full for full in missing if full not in NO_EXAMPLE] == []


def test_the_package_s_own_function_has_an_example():
    assert ">>>" in scratchnet.show_config.__doc__
