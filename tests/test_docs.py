"""The pages that `make docs` writes beside the API: every layer and optimizer, with its kernels' C."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from scratchnet import layers, optimizer
from scratchnet.backends import KERNELS

SCRIPT = Path(__file__).parent.parent / "docs" / "side_by_side.py"


@pytest.fixture
def side_by_side():
    if not SCRIPT.exists():
        pytest.skip("no docs here: the tests run against an installed package")
    spec = importlib.util.spec_from_file_location("side_by_side", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_layer_and_optimizer_has_a_page_with_its_kernels(side_by_side, tmp_path):
    written = side_by_side.write(tmp_path)
    assert {"MatMul", "Affine", "Sigmoid", "Relu", "Softmax", "SoftmaxWithLoss", "Sum", "SGD"} <= set(written)
    index = (tmp_path / "index.html").read_text("utf-8")
    for name in written:
        cls = getattr(layers, name, None) or getattr(optimizer, name)
        text = (tmp_path / f"{name}.html").read_text("utf-8")
        assert f"{name}.html" in index and side_by_side.kernels_of(cls)
        for kernel in side_by_side.kernels_of(cls):
            assert f"def {kernel}(" in text and f"K({kernel})(" in text


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_s_loop_is_found_whole(side_by_side, name):
    loop, _ = side_by_side.c_source(name)
    assert loop.count("{") == loop.count("}") and f"K({name})(" in loop.rpartition("static ")[2]
    assert side_by_side.reference_source(name).startswith("def ")
