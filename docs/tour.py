"""The tour's notebooks: each is one text, `tour/NAME.md`, with the words in both languages and the code once.

The texts are MyST's notebooks, which jupytext reads: they can be reviewed line by line, as an .ipynb cannot, and a
cell of words says its language. nbclient runs them, MyST-NB shows them.
"""

from __future__ import annotations

import copy
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from layer_pages import WORDS, link
from nbclient import NotebookClient
from traitlets.config import Config

DOCS = Path(__file__).resolve().parent
NAMES = ["spiral", "mnist", "own-class", "convnet", "words", "table"]
# What a page leads to: pages of layers and optimizers, or at the top; modules of the API.
LEADS_TO = {
    "spiral": ("Affine Sigmoid SoftmaxWithLoss SGD", "models trainer plotting dataset.spiral"),
    "mnist": ("Affine Relu Dropout SoftmaxWithLoss SGD Adam", "models trainer callbacks dataset.mnist"),
    "own-class": ("Affine Sigmoid SoftmaxWithLoss SGD", "trainer"),
    "convnet": ("Convolution BatchNormalization Pooling Relu Flatten Dropout", "models callbacks checkpoint"),
    "words": ("TimeEmbedding TimeLSTM TimeAffine TimeSoftmaxWithLoss", "rnnlm_trainer time_layers util"),
    "table": ("estimators Affine Relu SoftmaxWithLoss Adam", "estimators dataset.table"),
}
NEEDS_MNIST = {"mnist"}
INLINE = "module://matplotlib_inline.backend_inline"  # `make` sets another
SECONDS = 300  # a cell at most: far more than any takes


def notebook(name: str, language: str) -> Any:
    """A notebook with the words of one language, not yet run.

    A cell's `alt-en` and `alt-ko` say what its pictures show, to those who cannot see them.
    """
    found = jupytext.reads((DOCS / "tour" / f"{name}.md").read_text("utf-8"), fmt="md:myst")
    found.cells = [cell for cell in found.cells if cell.metadata.get("lang", language) == language]
    for number, cell in enumerate(found.cells):
        cell.id = f"{name}-{number}"  # jupytext draws them at random
        said = {key: cell.metadata.pop(key) for key in ("lang", "alt-en", "alt-ko") if key in cell.metadata}
        if alt := said.get(f"alt-{language}"):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
    found.metadata.pop("jupytext", None)
    found.metadata.kernelspec["name"] = "python3"
    return found


def mnist_folder() -> Path | None:
    """Where MNIST is, without downloading it: what SCRATCHNET_DATA says, or beside the checkout; or None."""
    given = os.environ.get("SCRATCHNET_DATA")
    for folder in [Path(given)] if given else [DOCS.parents[1] / "shared" / "data" / "mnist"]:
        if folder.is_dir() and list(folder.rglob("train-images*")):
            return folder.resolve()
    return None


def run(unrun: Any) -> Any:
    """The notebook with its outputs, run in an empty folder; CellExecutionError if a cell raises."""
    ready = copy.deepcopy(unrun)
    environment = os.environ | {"SCRATCHNET_DATA": str(mnist_folder()), "MPLBACKEND": INLINE}
    environment.pop("SCRATCHNET_LANG", None)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "work"
        work.mkdir()
        # By files, which are ours: the ports of "tcp" are open to everybody on the machine.
        settings = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{name}/kernel.json"}})
        where = {"metadata": {"path": str(work)}}
        client = NotebookClient(ready, timeout=SECONDS, resources=where, config=settings)
        client.execute(env=environment)
    return ready


def write(folder: Path, languages: tuple[str, ...]) -> None:
    """Run the notebooks, two at a time, and write each in every language: `folder`/LANGUAGE/tour/NAME.ipynb.

    They end with links to other pages; those in tour/notebooks, which are downloaded, do not.
    A notebook that needs MNIST is shown without outputs where it is missing, and says what to do.
    """
    names = [name for name in NAMES if name not in NEEDS_MNIST or mnist_folder()]
    for name in set(NAMES) - set(names):
        print(f"MNIST is not here, so tour/{name} has no outputs: set SCRATCHNET_DATA to its folder", flush=True)
    with ThreadPoolExecutor(2) as pool:
        outputs = dict(zip(names, pool.map(run, [notebook(name, languages[0]) for name in names]), strict=True))
    for language in languages:
        place = folder / language / "tour"
        (place / "notebooks").mkdir(parents=True)
        for name in NAMES:
            shown = notebook(name, language)
            if name in outputs:
                give_outputs(shown, outputs[name])
            else:
                words = nbformat.v4.new_markdown_cell(WORDS[language]["no_mnist"], id=f"{name}-missing")
                shown.cells.insert(1, words)
            nbformat.write(shown, place / "notebooks" / f"{name}.ipynb")
            shown.cells.append(nbformat.v4.new_markdown_cell(leading_on(name, language), id=f"{name}-leads-to"))
            nbformat.write(shown, place / f"{name}.ipynb")


def leading_on(name: str, language: str) -> str:
    """The line of links at the end of a page."""
    pages, modules = (names.split() for names in LEADS_TO[name])
    api = "../api" if language == "en" else "../../api"  # it is in English
    return WORDS[language]["leads_to"].format(
        pages=", ".join(f"[{page}](../{page if page.islower() else 'layers/' + page}.md)" for page in pages),
        modules=", ".join(link(f"<code>{module}</code>", f"{api}/{module}.html") for module in modules),
    )


def give_outputs(shown: Any, ran: Any) -> None:
    """Copy the outputs of a notebook's cells of code to those of another language."""
    pairs = zip(*([c for c in book.cells if c.cell_type == "code"] for book in (shown, ran)), strict=True)
    for cell, done in pairs:
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
