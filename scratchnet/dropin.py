"""The books' `common` and `dataset` served by scratchnet, so that their scripts run unmodified.

Importing this module puts a finder in front of Python's own; `scratchnet run` and `%load_ext scratchnet` do the
same. From then on `common.layers`, `dataset.mnist`, ... are scratchnet's, also below another root
(`deep2.common.layers`). Which modules there are is looked up at each import:

1. a module that the book has under that name and scratchnet too: scratchnet's;
2. else the reader's own, from a folder `common` or `dataset` on the path, beside the script or above it;
3. else the other book's, which bears a name that this one does not have.

The `__init__.py` of the reader's own `common` and `dataset` is not run: the books' are empty.

The two books use the names for different packages. `book_of` says how the book is found out.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from ._compute import choose
from ._files import as_path

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # they take long to import, and would add nothing that an import calls
    Loader = MetaPathFinder = object

__all__ = ["book_of", "install", "run_script", "uninstall"]

# The modules of each book, below `common` and below `dataset`; where they are served from.
_BOTH = {"functions", "layers", "optimizer", "trainer", "util"}
_MODULES = {
    1: {"common": _BOTH | {"gradient", "multi_layer_net", "multi_layer_net_extend"}, "dataset": {"mnist"}},
    2: {
        "common": _BOTH | {"base_model", "config", "np", "time_layers"},
        "dataset": {"ptb", "sequence", "spiral"},
    },
}
_HOME = {1: "scratchnet.book1", 2: "scratchnet"}

# What modules of book 2 pass on beside their own names, and scripts take from them by star import; and a class of
# the optimizers that is the book's, not the published one.
_ALSO = {
    "functions": "np.np np.GPU",
    "layers": "np.np np.GPU functions.softmax functions.cross_entropy_error",
    "time_layers": "np.np np.GPU functions.sigmoid functions.softmax layers.*",
    "optimizer": "np.np np.GPU sys _velocity_first.Nesterov",
    "trainer": "np.np np.GPU numpy util.clip_grads sys time",
    "util": "np.np np.GPU sys os",
    "base_model": "np.np np.GPU os pickle util.to_cpu util.to_gpu sys",
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

# How a reader says which book it is.
_CHOICES = {
    1: "scratchnet run --book 1; in a notebook %load_ext scratchnet.book1",
    2: "scratchnet run --book 2; in a notebook %load_ext scratchnet",
}

_PACKAGE = re.compile(r"(?:(?P<root>\w+)\.)?(?P<package>common|dataset)(?:\.(?P<module>\w+))?")


class _Finder(MetaPathFinder):
    """Finds the books' packages and modules.

    Attributes
    ----------
    book : int
        Whose `common` and `dataset` are served, 1 or 2.
    roots : set of str
        Packages, there or not, below which the script imports `common` or `dataset`.
    folders : list of str
        Where the reader's own modules are looked for beside the path.
    others : set of str
        Packages of the books' names from elsewhere, of which the reader has been warned.
    """

    def __init__(self) -> None:
        self.book = 2
        self.roots: set[str] = set()
        self.folders: list[str] = []
        self.others: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module is loaded, or None where it is not the books'."""
        if fullname in self.roots:
            return PathFinder.find_spec(fullname) or ModuleSpec(fullname, _Package(), is_package=True)
        match = _PACKAGE.fullmatch(fullname)
        if not match:
            return None
        root, package, module = match["root"], match["package"], match["module"]
        if module is None:
            if root and root not in self.roots and not _is_books_folder(path or ()):
                return None
            return ModuleSpec(fullname, _Package(), is_package=True)
        if not _is_served(f"{root}.{package}" if root else package):
            return None  # `common` had been imported before from somewhere else
        above = sys.modules[root].__path__ if root else [*sys.path, *self.folders]
        own = [os.path.join(folder, package) for folder in above]
        return (
            _served(fullname, self.book, package, module)
            or PathFinder.find_spec(fullname, own)
            or _served(fullname, 3 - self.book, package, module)
        )


class _Loader(Loader):
    """What importlib asks of all loaders."""

    def create_module(self, spec: ModuleSpec) -> None:
        """The module is of Python's own class."""


class _Package(_Loader):
    """Loads `common`, `dataset`, or a root above them: a package with nothing in it but its modules."""

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


class _Module(_Loader):
    """Loads a module of the books: scratchnet's, or one before it that passes on more names."""

    def __init__(self, home: str, name: str, also: str) -> None:
        self.home, self.name, self.also = home, name, also

    def exec_module(self, module: ModuleType) -> None:
        """Put scratchnet's module where the import looks for the new one."""
        real = import_module(self.name)
        if not self.also:
            sys.modules[module.__name__] = real
            return
        names = dict.fromkeys(_own_names(real))
        for name in self.also.split():
            source, _, what = name.rpartition(".")
            if not source:
                vars(module)[name] = import_module(name)
                names[name] = None
                continue
            other = import_module(f"{self.home}.{source}")
            for passed in _own_names(other) if what == "*" else [what]:
                vars(module)[passed] = getattr(other, passed)
                names[passed] = None
        vars(module).update(
            __doc__=real.__doc__,
            __all__=list(names),
            __getattr__=lambda name: _attribute(real, module.__name__, name),
            __dir__=lambda: sorted({*dir(real), *names}),
        )


def _attribute(real: ModuleType, name: str, attribute: str) -> Any:
    if attribute == "plt" and name.endswith(".trainer"):  # the books' trainer imports it; ours only when it draws
        return import_module("matplotlib.pyplot")
    try:
        return getattr(real, attribute)
    except AttributeError:
        other = 3 - _FINDER.book
        if attribute in _NAMES_OF[other]:  # an ImportError is what `from common.layers import ...` passes on
            raise ImportError(
                f"{name!r} has no {attribute!r}: it is book {other}'s, and what is served here is book "
                f"{_FINDER.book}'s ({_CHOICES[other]}, before the first import)",
                name=name,
            ) from None
        raise AttributeError(f"module {name!r} ({real.__name__}) has no attribute {attribute!r}") from None


def _own_names(module: ModuleType) -> list[str]:
    """Return the public names that a module defines itself."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _served(fullname: str, book: int, package: str, module: str) -> ModuleSpec | None:
    """Return how scratchnet serves a module of a book, or None where one of them does not have it."""
    if module not in _MODULES[book][package]:
        return None
    name = f"{_HOME[book]}.{module}" if package == "common" else f"{_HOME[book]}.dataset.{module}"
    try:
        if find_spec(name) is None:
            return None
    except ModuleNotFoundError:  # the package that would hold it
        return None
    also = _ALSO.get(module, "") if book == 2 and package == "common" else ""
    return ModuleSpec(fullname, _Module(_HOME[book], name, also))


def _spec_of(name: str) -> ModuleSpec | None:
    return getattr(sys.modules.get(name), "__spec__", None)


def _is_books_folder(folders: Sequence[str]) -> bool:
    """Whether a reader's folder holds the books' `common`, and is no installed package."""
    return any(
        not _is_installed(folder)
        and all(Path(folder, "common", f"{name}.py").is_file() for name in ("functions", "layers"))
        for folder in folders
    )


def _is_installed(path: str) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(path).parts)


_FINDER = _Finder()


def install(book: int | None = None, *, roots: Sequence[str] = ()) -> None:
    """Serve the books' `common` and `dataset` from now on.

    Parameters
    ----------
    book : 1 or 2, optional
        Whose; left out, that whose folder `common` lies in the current folder or above it, else book 2's.
    roots : sequence of str
        Packages below which they are imported as well ("deep2" for `deep2.common.layers`); needed only where
        there is no such folder with the book's files in it.

    Raises
    ------
    ValueError
        There is no such book.

    Warns
    -----
    UserWarning
        `common` or `dataset` had been imported before, from elsewhere: it stays what it is.

    Notes
    -----
    Where the other book's were served before, the next import gets this book's; names that a script took from them
    stay what they are.
    """
    if book is None:
        book = _book_by_folder(Path.cwd()) or 2
    if book not in _MODULES:
        raise ValueError(f"install: book must be 1 or 2, got {book!r}")
    if book != _FINDER.book:
        _forget_served()
    _FINDER.book = book
    _warn_of_others()
    _FINDER.roots.update(roots)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Serve the books' `common` and `dataset` no longer; names that a script took from them stay what they are."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    _FINDER.others.clear()
    _forget_served()


def load_extension(ipython: Any, book: int | None) -> None:
    """Do what `%load_ext` does for a book's extension; None: the one that the folder tells, else book 2's."""
    install(book)
    manager = getattr(ipython, "extension_manager", None)
    # The other one is no longer loaded, so that it can be again: IPython skips what it has loaded.
    getattr(manager, "loaded", set()).discard("scratchnet" if book == 1 else "scratchnet.book1")


def _forget_served() -> None:
    """Take the served packages, and all modules below them, out of what has been imported."""
    for package in [name for name in sys.modules if _is_package(name) and _is_served(name)]:
        root, _, name = package.rpartition(".")
        vars(sys.modules.get(root, ModuleType(root))).pop(name, None)
        for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
            del sys.modules[module]


def _warn_of_others() -> None:
    """Warn, once, of packages of the books' names that had been imported from elsewhere."""
    others = {name for name in sys.modules if _is_package(name) and _is_another(name)} - _FINDER.others
    _FINDER.others |= others
    for name in sorted(others):
        module = sys.modules[name]
        place = next(iter(getattr(module, "__path__", ())), getattr(module, "__file__", "elsewhere"))
        warnings.warn(
            f"{name!r} had been imported before, from {place}, and stays that: scratchnet does not serve it. "
            "Restart Python (in a notebook, the kernel), and load scratchnet before its first import",
            stacklevel=3,
        )


def _is_another(name: str) -> bool:
    root = name.rpartition(".")[0]
    return not _is_served(name) and (not root or _is_books_folder(getattr(sys.modules.get(root), "__path__", ())))


def _is_package(name: str) -> bool:
    match = _PACKAGE.fullmatch(name)
    return match is not None and match["module"] is None


def _is_served(name: str) -> bool:
    return isinstance(getattr(_spec_of(name), "loader", None), _Package)


def book_of(script: str | os.PathLike[str]) -> int:
    """Find out which book a script belongs to.

    Each import of a module, or of a name, that only one book has counts for that book (`common.gradient`,
    `dataset.mnist`, `from common.layers import Convolution`: book 1; `common.time_layers`, `dataset.spiral`,
    `from common.util import clip_grads`: book 2). After a star import the names that are used count as if they had
    been imported, and so do the attributes dW and db (book 1) and grads (book 2). The first of these that is not
    even decides:

    1. the imports of the script;
    2. the imports of the modules beside it that it imports, and of those that they import;
    3. a folder `common` beside the script or above it, book 1's with `multi_layer_net.py` in it, book 2's with
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
        That is no path.
    """
    script = as_path("book_of", script)
    seen = {script.resolve()}
    names = list(_imports(script))
    for source in (names, _neighbours_imports(names, script.resolve().parent, seen)):
        votes = Counter(book for name in source for book in (1, 2) if _is_only_in(book, name))
        if votes[1] != votes[2]:
            return 1 if votes[1] > votes[2] else 2
    return _book_by_folder(script.resolve().parent) or 2


def _book_by_folder(folder: Path) -> int | None:
    for place in (folder, folder.parent):
        for book, module in ((1, "multi_layer_net"), (2, "time_layers")):
            if (place / "common" / f"{module}.py").is_file():
                return book
    return None


def _imports(path: Path) -> Iterator[str]:
    """Yield what a file imports: "a.b" for a module, "a.b:c" for a name from it; nothing for a broken file.

    For a star import these are the names that the file uses and does not define, and likewise attributes, ".c".
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # Python will say so when it runs
        return
    stars: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}:{alias.name}" for alias in node.names if alias.name != "*")
            stars += [node.module for alias in node.names if alias.name == "*"]
    if stars:
        used = _used_names(tree)
        yield from (f"{module}:{name}" for module in stars for name in used)


def _used_names(tree: ast.AST) -> set[str]:
    """Return the names, and the attributes with a dot before them, that are used and set nowhere."""
    used: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else f".{node.attr}"
            (used if isinstance(node.ctx, ast.Load) else made).add(name)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            made.add(node.name)
    return used - made


def _neighbours_imports(names: Sequence[str], folder: Path, seen: set[Path]) -> Iterator[str]:
    for name in names:
        path = folder / f"{name.replace('.', '/')}.py"
        if ":" not in name and path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            inner = list(_imports(path))
            yield from inner
            yield from _neighbours_imports(inner, folder, seen)


def _is_only_in(book: int, name: str) -> bool:
    module, _, what = name.partition(":")
    match = _PACKAGE.fullmatch(module)
    if not match:
        return False
    if match["module"] is None:  # from dataset import mnist
        modules = _MODULES[book][match["package"]] - _MODULES[3 - book][match["package"]]
        return what in modules
    if what:
        return match["package"] == "common" and what in _NAMES_OF[book]
    return match["module"] in _MODULES[book][match["package"]] - _MODULES[3 - book][match["package"]]


def run_script(
    script: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    *,
    book: int | None = None,
    float32: bool = False,
) -> None:
    """Run a script as `python script arguments` would, with `common` and `dataset` from scratchnet.

    It is `__main__`, its folder is the first on the path and its arguments are in `sys.argv`; what it raises
    comes out of this call, and Python shows it without the frames of scratchnet that led to the script.

    Parameters
    ----------
    script : path
        A Python file.
    arguments : sequence of str
        The script's own.
    book : 1 or 2, optional
        Which book it belongs to; left out, `book_of` finds out.
    float32 : bool
        Whether layers compute in float32 where weights are float64: parameters, gradients, the optimizer's state
        and losses keep their dtype.

    Raises
    ------
    OSError
        The script cannot be read.
    ValueError
        That is no path.
    BaseException
        Whatever the script raises, SystemExit too.
    """
    path = os.path.abspath(as_path("run_script", script))
    source = Path(path).read_bytes()
    folder = os.path.dirname(os.path.realpath(path))
    install(
        book_of(path) if book is None else book,
        roots=[match["root"] for name in _imports(Path(path)) if (match := _below_a_root(name))],
    )
    _FINDER.folders = [folder, os.path.dirname(folder)]
    if sys.flags.safe_path:
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder  # in place of the command's own
    sys.argv = [os.fspath(script), *arguments]
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __cached__=None, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    if float32:
        choose("float32")
    code: CodeType | None = None
    try:
        code = compile(source, path, "exec", dont_inherit=True)
        exec(code, vars(main))
    except SystemExit:
        raise
    except BaseException:
        _show_only(code)
        raise


def _below_a_root(name: str) -> re.Match[str] | None:
    """Match `deep2.common.layers` where deep2 is no installed package."""
    match = _PACKAGE.fullmatch(name.partition(":")[0])
    if not match or not match["root"]:
        return None
    spec = PathFinder.find_spec(match["root"])
    return None if spec and spec.origin and _is_installed(spec.origin) else match


def _show_only(code: CodeType | None) -> None:
    """Have an error shown from the script's first frame on."""
    show = sys.excepthook  # the script may have put its own here

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        while frames is not None and frames.tb_frame.f_code is not code:
            frames = frames.tb_next
        error.__traceback__ = frames
        show(kind, error, frames)

    sys.excepthook = hook


install()
