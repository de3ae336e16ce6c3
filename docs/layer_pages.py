"""Write a page for each layer and optimizer, in English or Korean.

Text and chapters are in layers.toml, the pictures in graphs.py; formulas, NumPy, C, example and costs come from
the sources.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import charts
import sources
from graphs import GRAPHS

from scratchnet.backends import KERNELS

DOCS = Path(__file__).resolve().parent
LAYERS: dict[str, dict[str, Any]] = tomllib.loads((DOCS / "layers.toml").read_text("utf-8"))
FORMULAS: dict[str, list[str]] = tomllib.loads((DOCS / "formulas.toml").read_text("utf-8"))
KERNELS_INTRO = """What the C code computes, declared once in
<a href="source/scratchnet-backends-contract.py.html">contract.py</a>. The words on accuracy: exact is the bits of
the reference, 3 ulp at most so many units in the last place from the true value, sum(D+2) at most so many rounding
errors of the sum of the terms' magnitudes. The definitions in NumPy are in
<a href="source/scratchnet-backends-reference.py.html">reference.py</a>."""
WORDS: dict[str, dict[str, str]] = tomllib.loads((DOCS / "words.toml").read_text("utf-8"))
# What chapters have beside the layers of the pages: notebooks of the tour, modules of the API.
BESIDE = {
    ("book1", "3"): ("mnist", "functions"),
    ("book1", "4"): ("", "gradient functions"),
    ("book1", "7"): ("convnet", "book1.simple_convnet"),
    ("book2", "1"): ("spiral own-class", "models trainer dataset.spiral"),
    ("book2", "2"): ("words", "util"),
    ("book2", "3"): ("", "util"),
    ("book2", "5"): ("", "rnnlm_trainer dataset.ptb"),
    ("book2", "6"): ("words", "rnnlm_trainer"),
    ("book2", "7"): ("", "time_layers dataset.sequence evaluation"),
}
GROUPS = {
    "trained": "MatMul Affine Convolution Embedding BatchNormalization",
    "elementwise": "Sigmoid Relu Tanh Softmax Dropout",
    "losses": "SoftmaxWithLoss SigmoidWithLoss IdentityWithLoss",
    "shapes": "Pooling Flatten Repeat Sum",
    "recurrent": "RNN LSTM GRU TimeRNN TimeLSTM TimeGRU TimeBiLSTM",
    "time": "TimeEmbedding TimeAffine TimeDropout TimeSoftmaxWithLoss TimeSigmoidWithLoss",
    "optimizers": "SGD Momentum Nesterov AdaGrad RMSprop Adam",
}


class Page(NamedTuple):
    """One page: its name, and the classes that it is about."""

    name: str
    classes: tuple[type, ...]

    @property
    def entry(self) -> dict[str, Any]:
        """What layers.toml says of it."""
        return LAYERS[self.name]

    @property
    def file(self) -> str:
        """The name of its file, without an ending."""
        return f"layers/{self.name}"

    @property
    def kernels(self) -> list[str]:
        """The kernels that its classes run: what matters for the layer first."""
        runs = dict.fromkeys(name for cls in self.classes for name in sources.kernels_of(cls))
        return sorted(runs, key=lambda name: name not in self.entry.get("first", ()))


def pages() -> list[Page]:
    """All pages, in the order of the navigation."""
    found = []
    for name in " ".join(GROUPS.values()).split():
        classes = []
        for full in LAYERS[name]["classes"]:
            module, _, cls = full.rpartition(".")
            classes.append(getattr(importlib.import_module(f"scratchnet.{module}"), cls))
        found.append(Page(name, tuple(classes)))
    return found


def example(cls: type) -> str:
    """The example in a class's docstring, as typed at Python's prompt, below its imports."""
    found = doctest.DocTestParser().get_examples(inspect.cleandoc(cls.__doc__ or ""))
    lines = [">>> import numpy as np", f">>> from {home_of(cls)} import {cls.__name__}"]
    for part in found:
        first, *more = part.source.rstrip().split("\n")
        lines += [f">>> {first}", *(f"... {line}".rstrip() for line in more), *part.want.rstrip().splitlines()]
    return "\n".join(lines)


def link(text: str, target: str) -> str:
    """A link to a page that is not Markdown, or is in the other language's folder."""
    return f'<a class="reference internal" href="{target}">{text}</a>'


def c_link(kernel: str, up: str) -> str:
    """A link to a kernel's loop."""
    file, line = sources.c_line(kernel)
    return link(f"<code>{kernel}</code>, csrc/{file}", f"{up}source/{file}.html#L-{line}")


def fenced(code: str, language: str) -> str:
    """A block of code with colours."""
    return f"````{{code-block}} {language}\n{code}\n````\n"


def folded(title: str, body: str, *, is_open: bool = False) -> str:
    """A part of the page that a click opens."""
    return f":::::{{dropdown}} {title}\n:animate: fade-in\n{':open:' if is_open else ''}\n\n{body}\n:::::\n"


def formulas(page: Page, way: str, words: dict[str, str]) -> list[str]:
    """The formulas of a direction in TeX: the page's own, else those of its first kernels."""
    given = page.entry.get(way)
    if given is None:
        main = page.entry.get("first") or page.kernels
        given = [f"@{name}" for name in main if is_backward(name) == (way == "backward")]
    lines = [tex for item in given for tex in (FORMULAS[item[1:]][1:] if item.startswith("@") else [item])]
    return [
        re.sub(r"\\text{(.*?)}", lambda found: f"\\text{{{words.get(found[1], found[1])}}}", tex) for tex in lines
    ]


def is_backward(kernel: str) -> bool:
    """Whether a kernel belongs to a layer's backward."""
    return "_backward" in kernel or kernel in ("scatter_add_rows", "col2im")


def picture(page: Page, words: dict[str, str]) -> str:
    """The graph, or an optimizer's way downhill, as HTML."""
    if page.name in GRAPHS:
        graph = GRAPHS[page.name]()
        graph.description = words["graph"].format(name=page.name, description=graph.description)
        svg = graph.svg()
    else:
        rate = charts.RATES[page.name]
        svg = charts.valley(words["way_down"].format(page.name), page.classes[0](lr=rate))
    return f"```{{raw}} html\n<figure class='picture'>{svg}</figure>\n```\n"


def formula_columns(page: Page, words: dict[str, str]) -> str:
    """Forward and backward beside each other, below each other on a phone."""
    if page.name not in GRAPHS:
        ways = {"update": [tex for name in page.kernels for tex in FORMULAS[name][1:]]}
    else:
        ways = {way: formulas(page, way, words) for way in ("forward", "backward")}
    columns = []
    for way, lines in ways.items():
        math = "\n".join(f"```{{math}}\n{tex}\n```" for tex in lines)
        columns.append(f":::{{div}} way {way}\n**{words[way]}**\n\n{math}\n:::\n")
    return "::::{div} formulas\n" + "\n".join(columns) + "::::\n"


def code(page: Page, words: dict[str, str], up: str) -> str:
    """The books' NumPy, our reference, the C; each folded."""
    parts = []
    shown: set[str] = set()  # of the functions in C: kernels share them
    for name in page.entry.get("books", ()):
        text, book = sources.book_source(name)
        parts.append((words[f"book{book}"] + f": `{name.rpartition('.')[2]}`", fenced(text, "python")))
    if names := page.entry.get("kernels_numpy"):
        text = "\n\n\n".join(sources.kernel_in_numpy(name) for name in names)
        parts.append((words["book"], fenced(text, "python")))
    main = page.entry.get("first") or page.kernels
    for title, kernels in ((words["main"], main), (words["rest"], [n for n in page.kernels if n not in main])):
        if not kernels:
            continue
        reference = "\n\n\n".join(sources.reference_source(name) for name in kernels)
        parts.append((words["reference"].format(title), fenced(reference, "python")))
        loops = [words["c_intro"].format(gemm=link("gemm.inc", f"{up}source/gemm.inc.html")) + "\n"]
        for name in kernels:
            new = [part for part in sources.c_source(name)[0] if part not in shown]
            shown.update(new)
            loops += [f"{c_link(name, up)}\n", fenced("\n\n".join(new), "c")]
        parts.append((words["c"].format(title), "\n".join(loops)))
    return "\n".join(folded(title, body, is_open=i == 0) for i, (title, body) in enumerate(parts))


def places(page: Page, words: dict[str, str], up: str) -> str:
    """Where the books have it, its entry in the API, the sources of its kernels."""
    lines = []
    for book in ("book1", "book2"):
        if chapter := page.entry.get(book):
            lines.append(
                f"- [{words[book]}, {chapter_name(chapter, words)}](../chapters.md#{book}-{chapter_id(chapter)})"
            )
    for cls in page.classes:
        module = home_of(cls)
        entry = f"{module}.{cls.__name__}"
        target = f"{up}api/{module.removeprefix('scratchnet.')}.html#{entry}"
        lines.append(f"- API: {link(f'<code>{entry}</code>', target)}")
    lines += [f"- C: {c_link(name, up)}" for name in page.kernels]
    for part in dict.fromkeys(part for cls in page.classes for part in sources.parts_of(cls)):
        lines.append(f"- {words['made_of']} [{part.__name__}]({part.__name__}.md)")
    if cell := page.entry.get("cell"):
        lines.append(f"- {words['cell']} [{cell}]({cell}.md)")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def home_of(cls: type) -> str:
    """The module whose page of the API describes a class: where users import it from."""
    rooms = ("loss_layers", "image_layers", "batch_normalization")
    return "scratchnet.layers" if cls.__module__.rpartition(".")[2] in rooms else cls.__module__


def chapter_id(chapter: str) -> str:
    """The anchor of a chapter: that of its first number."""
    return chapter.partition(".")[0].lower()


def chapter_name(chapter: str, words: dict[str, str]) -> str:
    """A section as people name it."""
    return words["appendix" if chapter[0].isalpha() else "section"].format(chapter)


def text_of(page: Page, language: str) -> str:
    """The page in Markdown."""
    words = WORDS[language]
    up = "../" if language == "en" else "../../"
    name = f"*{page.entry['korean']}*\n" if language == "ko" else ""
    parts = [
        f"# {page.name}\n",
        name,
        page.entry[language] + "\n",
        picture(page, words),
        formula_columns(page, words),
    ]
    if page.name not in GRAPHS:
        parts.append(words["valley"].format(charts.RATES[page.name]) + "\n")
    parts += [f"## {words['example']}\n", fenced(example(page.classes[0]), "pycon")]
    if page.kernels or "books" in page.entry:
        parts += [f"## {words['code']}\n", words["code_intro"] + "\n", code(page, words, up)]
    parts += [f"## {words['cost']}\n", cost(page, words), f"## {words['places']}\n", places(page, words, up)]
    return "\n".join(part for part in parts if part)


def cost(page: Page, words: dict[str, str]) -> str:
    """The recorded times: the layer's, else those of its own kernels; else a word that there are none."""
    ways = {way: words[f"{way}_way"] for way in ("forward", "backward")}
    work = page.name if page.name in charts.RECORDED["times"] else f"book 1: {page.name}"
    rows = charts.bars(work, ways, words["ratio"])
    sizes = page.entry.get("sizes", "")
    if not rows:
        kernels = [n for n in page.kernels if n in charts.RECORDED["times"]]
        rows = "\n".join(f"<p><code>{n}</code></p>{charts.bars(n, ways, words['ratio'])}" for n in kernels)
        sizes = sizes or words["elements"]
    if not rows:
        return words["no_cost"] + "\n"
    machine = charts.RECORDED["machine"]
    intro = words["cost_intro"].format(sizes=sizes, **machine)
    return f"{intro}\n\n```{{raw}} html\n{rows}\n```\n"


def index(language: str) -> str:
    """The list of all pages by group, each with its first sentence."""
    words = WORDS[language]
    lines = [f"# {words['layers']}\n", words["layers_intro"] + "\n"]
    for group, names in GROUPS.items():
        lines.append(f"## {words[group]}\n")
        for name in names.split():
            lines.append(f"[{name}]({name}.md)\n: {LAYERS[name][language].partition('. ')[0].rstrip('.')}.\n")
        lines += ["```{toctree}", ":hidden:", "", *names.split(), "```\n"]
    return "\n".join(lines)


def chapters(language: str) -> str:
    """Both books' chapters, and the pages that belong to each."""
    words = WORDS[language]
    lines = [f"# {words['chapters']}\n", words["chapters_intro"] + "\n"]
    for book in ("book1", "book2"):
        lines.append(f"## {words[book]}\n")
        placed = sorted((p.entry[book], p) for p in pages() if book in p.entry)
        for chapter in sorted({chapter_id(c) for c, _ in placed} | {c for b, c in BESIDE if b == book}):
            lines += [f"({book}-{chapter})=", f"### {words[f'{book}_{chapter}']}\n"]
            for section, page in placed:
                if chapter_id(section) == chapter:
                    lines.append(f"- {chapter_name(section, words)}: [{page.name}]({page.file}.md)")
            lines += [*beside(book, chapter, language), ""]
    return "\n".join(lines)


def beside(book: str, chapter: str, language: str) -> list[str]:
    """The notebooks and modules that belong to a chapter, an entry each."""
    notebooks, modules = (names.split() for names in BESIDE.get((book, chapter), ("", "")))
    lines = []
    for name in notebooks:
        text = (DOCS / "tour" / f"{name}.md").read_text("utf-8")
        (title,) = re.findall(rf'^\+\+\+ {{"lang": "{language}"}}\n\n# \d+\. (.*)$', text, re.MULTILINE)
        lines.append(f"- {WORDS[language]['tour']}: [{title}](tour/{name}.ipynb)")
    up = "" if language == "en" else "../"
    return [
        *lines,
        *(f"- API: {link(f'<code>scratchnet.{name}</code>', f'{up}api/{name}.html')}" for name in modules),
    ]


def kernel_index(up: str) -> str:
    """All kernels: formula, accuracy, sources."""
    topics: dict[str, list[str]] = {}
    for name, kernel in KERNELS.items():
        math = "\n".join(f"```{{math}}\n{tex}\n```" for tex in FORMULAS[name][1:])
        topics.setdefault(kernel.topic.partition(":")[0], []).append(
            f"{c_link(name, up)}; {kernel.accuracy}\n\n{math}\n"
        )
    lines = ["# Kernels\n", KERNELS_INTRO + "\n"]
    for topic, entries in topics.items():
        lines += [f"## {topic}\n", *entries]
    return "\n".join(lines)


def write(folder: Path, language: str) -> list[Page]:
    """Write all pages of one language, their index and the chapters; return the pages."""
    (folder / "layers").mkdir(parents=True, exist_ok=True)
    written = pages()
    for page in written:
        (folder / f"{page.file}.md").write_text(text_of(page, language), "utf-8")
    (folder / "layers" / "index.md").write_text(index(language), "utf-8")
    (folder / "chapters.md").write_text(chapters(language), "utf-8")
    if language == "en":
        (folder / "kernels.md").write_text(kernel_index(""), "utf-8")
    return written
