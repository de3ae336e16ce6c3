"""The pages that `make docs` writes beside the API: every layer and optimizer, with its kernels' C."""

from __future__ import annotations

import html
import importlib.util
import inspect
from pathlib import Path

import pytest

from scratchnet import batch_normalization, image_layers, layers, loss_layers, optimizer, time_layers
from scratchnet.backends import KERNELS
from scratchnet.book1 import layers as book1_layers

SCRIPT = Path(__file__).parent.parent / "docs" / "layer_pages.py"


@pytest.fixture
def layer_pages():
    if not SCRIPT.exists():
        pytest.skip("no docs here: the tests run against an installed package")
    spec = importlib.util.spec_from_file_location("layer_pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Kernels that no layer and no optimizer calls: functions', whole steps', and that of clipping
ELSEWHERE = {"cross_entropy_forward", "relu_forward", "relu_backward", "squared_norm"}


def public_classes(module):
    found = [c for name, c in vars(module).items() if inspect.isclass(c) and not name.startswith("_")]
    return {c for c in found if c.__module__ == module.__name__}


@pytest.mark.long
def test_every_layer_and_optimizer_of_both_books_has_a_page_with_its_kernels(layer_pages, tmp_path):
    written = layer_pages.write(tmp_path)
    rooms = (layers, loss_layers, image_layers, batch_normalization, time_layers, book1_layers, optimizer)
    expected = [public_classes(module) for module in rooms]
    assert set(written) == set().union(*expected) - {optimizer.Optimizer, layers.Flatten}  # it runs no kernel
    index = (tmp_path / "index.html").read_text("utf-8")
    shown = set()
    for cls in written:
        file = layer_pages.file_name(cls)
        text = (tmp_path / file).read_text("utf-8")
        assert f"<h1>{cls.__name__}</h1>" in text and f"'{file}'" in index
        for kernel in layer_pages.kernels_of(cls):
            assert f"def {kernel}(" in text and f"FN({kernel})(" in text
            assert html.escape(KERNELS[kernel].formula) in text
        shown |= set(layer_pages.kernels_of(cls))
    assert shown == KERNELS.keys() - ELSEWHERE
    assert index.count("'layers.Relu.html'") == 2  # both books have it


@pytest.mark.parametrize(
    "cls, runs, leaves",
    [
        (layers.Embedding, "gather_rows scatter_add_rows", "affine_forward"),
        (layers.Dropout, "scale multiply_by_mask", "affine_forward"),
        (time_layers.TimeLSTM, "lstm_forward lstm_backward matmul_transposed", "tanh_forward"),  # by a helper
        (time_layers.TimeDropout, "multiply_by_mask", "scale"),  # Dropout's forward is not its own
        (time_layers.TimeSoftmaxWithLoss, "softmax_cross_entropy_forward", "affine_forward"),
        (book1_layers.Affine, "affine_forward affine_backward", "sigmoid_forward"),  # through super()
        (optimizer.Nesterov, "nesterov_update", "momentum_update"),  # it extends Momentum
    ],
)
def test_a_page_shows_the_kernels_that_the_class_runs(layer_pages, cls, runs, leaves):
    shown = layer_pages.kernels_of(cls)
    assert set(runs.split()) <= set(shown) and leaves not in shown


def test_a_layer_made_of_layers_leads_to_their_pages(layer_pages):
    text = layer_pages.page(time_layers.TimeBiLSTM)
    assert "<a href='time_layers.TimeLSTM.html'>TimeLSTM</a>" in text


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_s_loop_is_found_whole(layer_pages, name):
    loop, _ = layer_pages.c_source(name)
    assert loop.count("{") == loop.count("}") and f"FN({name})(" in loop.rpartition("static ")[2]
    assert layer_pages.reference_source(name).startswith("def ")
