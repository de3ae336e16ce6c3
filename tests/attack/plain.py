"""The books' `common` packages in plain NumPy, which the tests hold as scripts: independent formulas."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).parent.parent / "scripts"


def _common(book: str, *names: str) -> list[ModuleType]:
    """Import modules of a book's `common`, and leave no `common` behind."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "common"}
    finders, sys.meta_path[:] = (
        sys.meta_path[:],
        [f for f in sys.meta_path if "scratchnet" not in type(f).__module__],
    )
    sys.path.insert(0, str(SCRIPTS / book))
    try:
        return [importlib.import_module(f"common.{name}") for name in names]
    finally:
        sys.path.remove(str(SCRIPTS / book))
        sys.meta_path[:] = finders
        for name in [name for name in sys.modules if name.split(".")[0] == "common"]:
            del sys.modules[name]
        sys.modules.update(kept)


functions1, gradient1, layers1, net1, util1, trainer1 = _common(
    "book1", "functions", "gradient", "layers", "multi_layer_net", "util", "trainer"
)
layers2, time_layers2, util2, trainer2 = _common("book2", "layers", "time_layers", "util", "trainer")
