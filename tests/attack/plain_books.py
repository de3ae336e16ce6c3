"""The books' `common` packages in plain NumPy, which the tests hold as scripts: independent formulas."""

from pathlib import Path

from books2_numpy import book

SCRIPTS = Path(__file__).parent.parent / "scripts"

functions1, gradient1, layers1, net1, util1, trainer1 = (
    book(1, module) for module in ("functions", "gradient", "layers", "multi_layer_net", "util", "trainer")
)
util2, trainer2 = book(2, "util"), book(2, "trainer")
