"""What every reader's notebook has: a seeded stream, English log lines until told otherwise, a canvas."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def fresh_notebook(monkeypatch):
    monkeypatch.delenv("SCRATCHNET_LANG", raising=False)
    np.random.seed(0)


@pytest.fixture
def plt():
    """pyplot on a canvas without a window; `plt.show()` warns there, so a library that calls it fails."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")
