"""What `make docs` writes: every layer and optimizer has a page with the code that ships, in two languages."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet import batch_normalization, image_layers, layers, loss_layers, optimizer, time_layers
from scratchnet.backends import KERNELS
from scratchnet.book1 import layers as book1_layers

pytestmark = pytest.mark.thread_unsafe(
    reason="matplotlib draws in one thread only; doctest redirects the process's output"
)

DOCS = Path(__file__).parent.parent / "docs"
if not DOCS.exists():
    pytest.skip("no docs here: the tests run against an installed package", allow_module_level=True)
pytest.importorskip("matplotlib", reason="matplotlib, which sets the pictures' formulas, is not installed")

sys.path.insert(0, str(DOCS))
try:
    import api_pages
    import graphs
    import layer_pages
    import sources
finally:
    sys.path.remove(str(DOCS))

ROOMS = (layers, loss_layers, image_layers, batch_normalization, time_layers, book1_layers, optimizer)
PAGES = {page.name: page for page in layer_pages.pages()}
# Kernels that no layer and no optimizer calls: functions', whole steps', and that of clipping
ELSEWHERE = {"cross_entropy_forward", "relu_forward", "relu_backward", "squared_norm"}


def public_classes(module):
    found = [c for name, c in vars(module).items() if inspect.isclass(c) and not name.startswith("_")]
    return {c for c in found if c.__module__ == module.__name__}


def test_every_layer_and_optimizer_of_both_books_has_a_page():
    shown = [cls for page in PAGES.values() for cls in page.classes]
    assert len(shown) == len(set(shown))
    assert set(shown) == set().union(*map(public_classes, ROOMS)) - {optimizer.Optimizer}
    assert PAGES.keys() == layer_pages.LAYERS.keys()


@pytest.mark.parametrize("name", graphs.GRAPHS)
def test_a_page_has_formulas_of_both_directions(name):
    words = layer_pages.WORDS["en"]
    assert all(layer_pages.formulas(PAGES[name], way, words) for way in ("forward", "backward"))


@pytest.mark.parametrize("name", PAGES)
def test_times_are_of_sizes_that_are_said(name):
    words = layer_pages.WORDS["en"] | {"cost_intro": "<{sizes}>"}
    assert "<>" not in layer_pages.cost(PAGES[name], words)


def test_every_kernel_is_on_a_page():
    assert {name for page in PAGES.values() for name in page.kernels} == KERNELS.keys() - ELSEWHERE


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", ["Affine", "LSTM", "Repeat", "Adam", pytest.param("all", marks=pytest.mark.long)])
def test_a_page_shows_the_code_that_ships(name, language):
    for page in PAGES.values() if name == "all" else [PAGES[name]]:
        text = layer_pages.text_of(page, language)
        assert text.startswith(f"# {page.name}\n") and "<svg" in text
        for kernel in page.kernels:
            assert sources.reference_source(kernel) in text
            assert all(part in text for part in sources.c_source(kernel)[0])
        for cls in page.classes:
            assert f"{layer_pages.home_of(cls)}.{cls.__name__}</code>" in text
        for name in page.entry.get("books", ()):  # first, and unfolded
            assert (
                text.index(":open:")
                < text.index(sources.book_source(name)[0])
                < text.index(f"def {page.kernels[0]}(")
            )


def test_an_lstm_s_page_begins_with_its_gates():
    text = layer_pages.text_of(PAGES["LSTM"], "en")
    assert text.index("def lstm_forward(") < text.index("FN(lstm_forward)(") < text.index("def affine_forward(")
    assert PAGES["LSTM"].kernels[:2] == ["lstm_forward", "lstm_backward"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_does_in_two_sentences(name):
    entry = PAGES[name].entry
    assert len(re.findall(r"\.(?: |$)", entry["en"])) == 2
    assert len(re.findall(r"니다\.(?: |$)", entry["ko"])) == 2
    assert (name in graphs.GRAPHS) == (PAGES[name].classes[0] not in public_classes(optimizer))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_s_example_runs(name):
    state = np.random.get_state()
    for cls in PAGES[name].classes:
        test = doctest.DocTestParser().get_doctest(layer_pages.example(cls), {}, cls.__name__, None, None)
        assert len(test.examples) > 3, f"{cls} has no example"
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    np.random.set_state(state)


def test_the_formulas_are_the_contract_s():
    assert {name: lines[0] for name, lines in layer_pages.FORMULAS.items()} == {
        name: kernel.formula for name, kernel in KERNELS.items()
    }
    assert all(len(lines) > 1 for lines in layer_pages.FORMULAS.values())


def test_both_languages_say_the_same_things():
    assert layer_pages.WORDS["en"].keys() == layer_pages.WORDS["ko"].keys()
    for words in zip(*(w.values() for w in layer_pages.WORDS.values()), strict=True):
        places = [set(re.findall(r"{\w*(?::[^}]*)?}", text)) for text in words]
        assert places[0] == places[1] or places == [{"{description}"}, {"{name}"}]
    start = [(DOCS / "pages" / language / "index.md").read_text("utf-8") for language in ("en", "ko")]
    assert [len(re.findall(r"^## ", text, re.MULTILINE)) for text in start] == [2, 2]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_start_s_examples_run(language, capsys):
    text = (DOCS / "pages" / language / "index.md").read_text("utf-8")
    names: dict[str, object] = {}
    state = np.random.get_state()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, f"{language}/index.md", "exec"), names)
    np.random.set_state(state)
    assert names["model"].accuracy(names["x"], names["t"]) > 0.95
    assert ("| 에폭 300 |" if language == "ko" else "| epoch 300 |") in capsys.readouterr().out


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
def test_a_page_shows_the_kernels_that_the_class_runs(cls, runs, leaves):
    shown = sources.kernels_of(cls)
    assert set(runs.split()) <= set(shown) and leaves not in shown


def test_a_layer_made_of_layers_leads_to_their_pages():
    assert "[TimeLSTM](TimeLSTM.md)" in layer_pages.text_of(PAGES["TimeBiLSTM"], "en")


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_s_loop_is_found_whole(name):
    parts, file = sources.c_source(name)
    assert all(part.count("{") == part.count("}") for part in parts) and len(set(parts)) == len(parts)
    assert f"FN({name})(" in parts[-1].rpartition("static ")[2]
    assert sources.reference_source(name).startswith("def ")
    line = (sources.CSRC / file).read_text("utf-8").splitlines()[sources.c_line(name)[1] - 1]
    assert line.startswith("static ") and f"FN({name})(" in line


def test_the_api_has_every_public_module_and_the_command_line(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed, which one public module is for")
    api_pages.write(tmp_path)
    written = {path.stem for path in tmp_path.glob("*.rst")}
    assert set(api_pages.public_modules()) | {"scratchnet", "command-line"} <= written
    assert {"book1.layers", "book2.optimizer", "weights", "dropin", "dataset.table"} <= written
    command_line = (tmp_path / "command-line.rst").read_text("utf-8")
    for command in ("train", "train table", "predict", "run", "info"):
        assert f"\nscratchnet {command}\n" in command_line
    assert ".. option:: --float32" in command_line
    text = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.rst"))
    assert not re.search(r"\b(step_role|what_delta_adds|has_classes)\b", text)
    for public in ("layers.Affine", "book1.layers.Affine", "weights.save_params", "trainer.Trainer"):
        assert len(re.findall(rf"^\.\. auto\w+:: scratchnet\.{re.escape(public)}$", text, re.MULTILINE)) == 1


def test_no_module_s_own_names_are_missing_from_the_api(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed, which one public module is for")
    api_pages.write(tmp_path)
    text = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.rst"))
    for name in api_pages.public_modules():
        module = importlib.import_module(f"scratchnet.{name}")
        for public in api_pages.names_of(module):
            value = getattr(module, public, None)
            own = (getattr(value, "__module__", None), getattr(value, "__name__", None)) == (
                module.__name__,
                public,
            )
            if own and (inspect.isclass(value) or inspect.isfunction(value)):
                assert f":: scratchnet.{name}.{public}\n" in text
