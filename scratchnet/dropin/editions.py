"""The two books that share the names `common` and `dataset`: what is whose, and which book a script belongs to."""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder

from .._paths import content, path_text

# The modules of each book, under `common` and under `dataset`, and where they are served from.
_BOTH = {"functions", "layers", "optimizer", "trainer", "util"}
MODULES = {
    1: {"common": _BOTH | {"gradient", "multi_layer_net", "multi_layer_net_extend"}, "dataset": {"mnist"}},
    2: {
        "common": _BOTH | {"base_model", "config", "np", "time_layers"},
        "dataset": {"ptb", "sequence", "spiral"},
    },
}
HOMES = {
    1: {"common": "scratchnet.book1", "dataset": "scratchnet.book1.dataset"},
    2: {"common": "scratchnet.book2", "dataset": "scratchnet.dataset"},
}

# Names that only one book has, in modules that both have, and attributes of its layers.
_NAMES_OF = {
    1: {
        *(".dW", ".db"),
        *("Convolution", "Pooling", "BatchNormalization", "Relu"),
        *("identity_function", "step_function", "sigmoid_grad", "relu_grad", "softmax_loss"),
        *("sum_squared_error", "mean_squared_error", "sum_squares_error"),
        *("smooth_curve", "shuffle_dataset", "conv_output_size", "im2col", "col2im"),
    },
    2: {
        ".grads",
        *("MatMul", "Softmax", "SigmoidWithLoss", "Embedding", "RnnlmTrainer", "remove_duplicate"),
        *("preprocess", "cos_similarity", "most_similar", "convert_one_hot", "create_co_matrix", "ppmi"),
        *("create_contexts_target", "to_cpu", "to_gpu", "clip_grads", "eval_perplexity", "eval_seq2seq"),
        *("analogy", "normalize"),
    },
}


def place_of(name: str) -> tuple[str | None, str, str | None] | None:
    """Return root, package and module of a name such as deep2.common.layers; None if it is none of the books'."""
    root, _, rest = name.partition(".")
    package, _, module = rest.partition(".")
    if package not in ("common", "dataset"):
        root, package, module = "", root, rest
    if package not in ("common", "dataset") or "." in module:
        return None
    return root or None, package, module or None


def check_not_of_the_other_book(book: int, module: str, name: str) -> None:
    """Raise an error if a name that a module of this book lacks is one of the other book.

    Raises
    ------
    ImportError
        It is the other book's: `from module import name` keeps its message, unlike an AttributeError's.
    """
    other = 3 - book
    if name in _NAMES_OF[other]:
        raise ImportError(
            f"{module!r} has no {name!r}: it is from book {other} (scratchnet.book{other}; scratchnet run --book "
            f"{other}; in a notebook %load_ext scratchnet.book{other}, before the first import)",
            name=module,
        )


def book_of(script: str | os.PathLike[str]) -> int:
    """Find out which book a script belongs to.

    Each import of a module, or of a name, that only one book has counts for that book (`common.gradient`,
    `dataset.mnist`, `from common.layers import Convolution`: book 1; `common.time_layers`, `dataset.spiral`,
    `from common.util import clip_grads`: book 2). After a star import the names that are used count as if they had
    been imported, and so do the attributes dW and db (book 1) and grads (book 2). The first of these without
    a tie decides:

    1. the imports of the script;
    2. the imports of the modules next to it that it imports, and of those that they import;
    3. a folder `common` next to the script or above it, book 1's with `multi_layer_net.py` in it, book 2's with
       `time_layers.py`.

    If none does, it is book 2.

    Parameters
    ----------
    script : path
        The script.

    Returns
    -------
    int
        1 or 2.

    Raises
    ------
    OSError
        The script cannot be read.
    ValueError
        It is not a valid path.
    """
    path = path_text("book_of", script)
    return book_by_imports(path, list(imports_in(parsed(content(path)))))


def book_by_imports(script: str, names: Sequence[str]) -> int:
    """Return what `book_of` does of a script that imports these."""
    script = os.path.realpath(script)
    folder = os.path.dirname(script)
    for source in (names, _neighbours_imports(names, folder, {script})):
        votes = Counter(book for name in source for book in (1, 2) if _is_only_in(book, name))
        if votes[1] != votes[2]:
            return 1 if votes[1] > votes[2] else 2
    return book_by_folder(folder) or 2


def book_by_folder(folder: str) -> int | None:
    """Return which book's `common` is in a folder or in the one above it; None if neither has one."""
    for place in (folder, os.path.dirname(folder)):
        for book, module in ((1, "multi_layer_net"), (2, "time_layers")):
            if os.path.isfile(os.path.join(place, "common", f"{module}.py")):
                return book
    return None


def roots_in(names: Sequence[str]) -> list[str]:
    """Return packages, not installed, under which the books' are imported: deep2 for `deep2.common.layers`."""
    places = [place_of(name.partition(":")[0]) for name in names]
    roots = dict.fromkeys(place[0] for place in places if place and place[0])
    specs = {root: PathFinder.find_spec(root) for root in roots}
    return [root for root, spec in specs.items() if not (spec and spec.origin and is_installed(spec.origin))]


def is_installed(path: str) -> bool:
    """Whether a path belongs to an installed package."""
    return not {"site-packages", "dist-packages"}.isdisjoint(os.path.normpath(path).split(os.sep))


def parsed(source: bytes) -> ast.Module:
    """Return a file's tree: an empty one if it is broken, which Python will report at run time."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def imports_in(tree: ast.Module) -> Iterator[str]:
    """Yield what a file imports: "a.b" for a module, "a.b:c" for a name from it.

    For a star import these are the names that the file uses and does not define, and likewise attributes, ".c".
    """
    stars: list[str] = []
    nodes = [*ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}:{alias.name}" for alias in node.names if alias.name != "*")
            stars += [node.module for alias in node.names if alias.name == "*"]
    if stars:
        used = _used_names(nodes)
        yield from (f"{module}:{name}" for module in stars for name in used)


def _used_names(nodes: Sequence[ast.AST]) -> set[str]:
    """Return the names, and the attributes with a dot before them, that are used but never set."""
    used: set[str] = set()
    made: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.Attribute):
            (used if isinstance(node.ctx, ast.Load) else made).add(f".{node.attr}")
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            made.add(node.name)
    return used - made


def neighbours(names: Sequence[str], folder: str) -> Iterator[str]:
    """Yield the files in a script's folder that it imports."""
    for name in names:
        if ":" not in name:
            path = os.path.join(folder, f"{name.replace('.', os.sep)}.py")
            if os.path.isfile(path):
                yield path


def _neighbours_imports(names: Sequence[str], folder: str, seen: set[str]) -> Iterator[str]:
    for path in map(os.path.realpath, neighbours(names, folder)):
        if path not in seen:
            seen.add(path)
            inner = list(imports_in(parsed(content(path))))
            yield from inner
            yield from _neighbours_imports(inner, folder, seen)


def _is_only_in(book: int, name: str) -> bool:
    module, _, what = name.partition(":")
    place = place_of(module)
    if place is None:
        return False
    _, package, module_of_it = place
    modules = MODULES[book][package] - MODULES[3 - book][package]
    if module_of_it is None:  # from dataset import mnist
        return what in modules
    if what:
        return package == "common" and what in _NAMES_OF[book]
    return module_of_it in modules
