"""Which definitions of a reader's file are provably the books' own, so that compiled ones may take their place.

A definition is served if its fingerprint is in the table of editions, if nothing else in its file binds its name,
and if every name that it uses is Python's, a library's, or served itself, here or in the module it comes from.
Whatever else the file has runs as its author wrote it. `tools/build_editions.py` makes the table.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType

from .editions import HOMES, MODULES
from .fingerprint import file_digest, fingerprint, names_used

Locate = Callable[[str], Path | None]  # of a module of the reader's `common`, by its name

# What a module of `common` imports from its neighbours, in every edition that is in the table as a whole.
_NEIGHBOURS = {
    1: {
        "layers": {"functions", "util"},
        "functions": set(),
        "gradient": set(),
        "multi_layer_net": {"layers", "gradient", "functions", "util"},
        "multi_layer_net_extend": {"layers", "gradient", "functions", "util"},
        "optimizer": set(),
        "trainer": {"optimizer"},
        "util": set(),
    },
    2: {
        "base_model": {"np", "config", "util"},
        "config": set(),
        "functions": {"np", "config"},
        "layers": {"np", "config", "functions"},
        "np": {"config"},
        "optimizer": {"np", "config"},
        "time_layers": {"np", "config", "functions", "layers"},
        "trainer": {"np", "config", "util"},
        "util": {"np", "config"},
    },
}
KOREAN = "scratchnet.dropin.korean"  # serves the Korean edition's trainers
_LIBRARIES = {"numpy", "matplotlib", "cupy", "scipy", "sklearn"}


@cache
def _table() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return what serves a definition, by its fingerprint, and what serves a file, by its digest."""
    definitions: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in Path(__file__).with_name("editions.txt").read_text("utf-8").splitlines():
        digest, *targets = line.split()
        if targets[0].startswith("="):
            files[digest] = targets[0][1:]
        else:
            definitions[digest] = targets
    return definitions, files


@cache
def _served_names() -> frozenset[str]:
    return frozenset(target.rpartition(".")[2] for targets in _table()[0].values() for target in targets)


class Reading:
    """A reader's file.

    Parameters
    ----------
    path
        The file.
    package, module
        What the books call it ("common", "layers"); None for a script.
    book : int
        Whose definitions are preferred where both books have the same.
    locate
        Finds the reader's other modules of `common`; see `Readings`.

    Attributes
    ----------
    whole : str or None
        The module of scratchnet that serves all of the file.
    served : dict
        The module of scratchnet for each definition that is served.
    kept : dict
        For each other top-level definition, why it runs as it is written.
    """

    def __init__(self, path: Path, package: str | None, module: str | None, book: int, readings: Readings) -> None:
        self.path, self.module, self._book, self._readings = path, module, book, readings
        self._source = path.read_bytes()
        self.whole: str | None = None
        self.served: dict[str, str] = {}
        self.kept: dict[str, str] = {}
        self._tree: ast.Module | None = None
        self._bindings: dict[str, list[ast.stmt]] = {}
        self._stars: list[ast.ImportFrom] = []
        self._asked: set[str] = set()
        if package is not None and module is not None:
            self.whole = self._whole(package, module)

    def _whole(self, package: str, module: str) -> str | None:
        """Return what serves the file, if it is one of the editions', and all of `common` that it imports."""
        name = _table()[1].get(file_digest(self._source))
        if name is None:
            return None
        book = int(name[0])
        if name != f"{book}.{package}.{module}":
            return None
        for neighbour in _NEIGHBOURS[book].get(module, ()) if package == "common" else ():
            reading = self._readings.of(neighbour)
            if reading is not None and reading.whole != f"{HOMES[book]['common']}.{neighbour}":
                return None
        return f"{HOMES[book][package]}.{module}"

    def examine(self) -> Reading:
        """Find out what is served; nothing where the file is served as a whole, or is not Python's."""
        if self.whole is not None or self._tree is not None:
            return self
        try:
            self._tree = ast.parse(self._source)
        except (SyntaxError, ValueError):  # Python will say it
            self._tree = ast.Module([], [])
            self.kept["(the file)"] = "it cannot be parsed"
            return self
        for node in self._tree.body:
            self._bind(node)
        definitions = {n.name: n for n in self._tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        for name, node in definitions.items():
            target = self._target(name, node)
            if target is None:
                self.kept[name] = "new" if self._is_new(name) else f"line {node.lineno}: not the book's"
            elif len(self._bindings[name]) > 1:
                self.kept[name] = f"line {node.lineno}: defined twice"
            else:
                self.served[name] = target
        uses = {name: names_used(definitions[name]) for name in self.served}
        changed = True
        while changed:
            changed = False
            for name in [*self.served]:
                strange = next((used for used in sorted(uses[name]) if self.provides(used) is False), None)
                if strange is not None:
                    del self.served[name]
                    self.kept[name] = f"it uses your {strange}"
                    changed = True
        return self

    def _target(self, name: str, node: ast.FunctionDef | ast.ClassDef) -> str | None:
        """Return the module of scratchnet that has this definition."""
        if name not in _served_names() or node.decorator_list:
            return None
        found = [t for t in _table()[0].get(fingerprint(node), ()) if t.rpartition(".")[2] == name]
        for target in sorted(found, key=lambda target: target[0] != str(self._book)):
            edition, module, _ = target.split(".")
            return KOREAN if edition == "2ko" else f"{HOMES[int(edition)]['common']}.{module}"
        return None

    def _is_new(self, name: str) -> bool:
        """Whether neither book has a definition of this name."""
        return name not in _served_names()

    def _bind(self, node: ast.AST) -> None:
        """Note which names a top-level statement binds, with those in its branches."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._bindings.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    assert isinstance(node, ast.ImportFrom)
                    self._stars.append(node)
                else:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._bindings.setdefault(name, []).append(node)
        else:
            for inner in ast.iter_child_nodes(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del):
                    self._bindings.setdefault(inner.id, []).append(ast.Pass())
                self._bind(inner)

    def provides(self, name: str) -> bool | None:
        """Whether a name means in this module what it means in the books': None if the module does not bind it."""
        if self.whole is not None:
            return True if hasattr(import_module(self.whole), name) else None
        self.examine()
        if name in self.served:
            return True
        if name in self.kept:
            return False
        if nodes := self._bindings.get(name):
            return all(self._is_books_import(node, name) for node in nodes)
        if name in self._asked:  # modules that star-import each other
            return None
        self._asked.add(name)
        try:
            return self._by_star(name)
        finally:
            self._asked.remove(name)

    def _by_star(self, name: str) -> bool | None:
        """Whether a name that comes by a star import means what it means in the books'; None if none brings it."""
        for star in reversed(self._stars):
            neighbour = self._neighbour(star.module or "")
            if neighbour is None:
                if not _is_library(star.module or ""):
                    return None if hasattr(builtins, name) else False
                continue
            reading = self._readings.of(neighbour)
            found = _has(self._book, neighbour, name) if reading is None else reading.provides(name)
            if found is not None:
                return found
        return None

    def _is_books_import(self, node: ast.stmt, name: str) -> bool:
        """Whether an import binds a name to a library's, or to what a served module has."""
        if isinstance(node, ast.Import):
            return all(_is_library(a.name) for a in node.names if (a.asname or a.name.partition(".")[0]) == name)
        if not isinstance(node, ast.ImportFrom):
            return False
        (original,) = {a.name for a in node.names if (a.asname or a.name) == name}
        neighbour = self._neighbour(node.module or "", node.level)
        if neighbour is None:
            return _is_library(node.module or "") and original == name
        reading = self._readings.of(neighbour)
        return original == name and (reading is None or reading.provides(name) is True)

    def _neighbour(self, module: str, level: int = 0) -> str | None:
        """Return which of the books' modules this is: "layers" for common.layers, deep2.common.layers, .layers."""
        package, _, last = module.rpartition(".")
        if package.rpartition(".")[2] == "common" or (level and not package):
            return last if any(last in MODULES[b]["common"] for b in (1, 2)) else None
        return None

    def code(self) -> CodeType:
        """Return the file's code, with an import in the place of each definition that is served."""
        self.examine()
        if not self.served or self._tree is None:
            return compile(self._source, self.path, "exec", dont_inherit=True)
        body = [self._in_place_of(node) for node in self._tree.body]
        tree = ast.Module(body, self._tree.type_ignores)
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)

    def _in_place_of(self, node: ast.stmt) -> ast.stmt:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name not in self.served:
            return node
        return ast.copy_location(ast.ImportFrom(self.served[node.name], [ast.alias(node.name)], 0), node)

    def line(self, name: str) -> str:
        """Return what is said of the file, under a name: nothing where all of it is served."""
        if self.whole is not None or not self.kept:
            return ""
        kept = ", ".join(f"{kept} ({why})" for kept, why in self.kept.items())
        of = len(self.served) + len(self.kept)
        return f"{name}: compiled {len(self.served)} of {of}; yours: {kept}"


class Readings:
    """The reader's modules of `common`, each read once.

    Parameters
    ----------
    locate
        Returns the file of one of them, by its name in the book, or None.
    book : int
        The book that is served.
    """

    def __init__(self, locate: Locate, book: int) -> None:
        self._locate, self._book = locate, book
        self._read: dict[str, Reading | None] = {}

    def of(self, module: str, package: str = "common") -> Reading | None:
        """Return the reading of a module; None if the reader has none."""
        key = f"{package}.{module}"
        if key not in self._read:
            self._read[key] = None  # while it is read, a circle of imports gets ours
            path = self._locate(key)
            if path is not None:
                self._read[key] = Reading(path, package, module, self._book, self)
        return self._read[key]

    def script(self, path: Path) -> Reading:
        """Return the reading of a script."""
        return Reading(path, None, None, self._book, self).examine()


def _is_library(module: str) -> bool:
    root = module.partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names


def _has(book: int, module: str, name: str) -> bool | None:
    """Whether our module of a book has a name: None if not."""
    for b in (book, 3 - book):
        if module in MODULES[b]["common"]:
            return True if hasattr(import_module(f"{HOMES[b]['common']}.{module}"), name) else None
    return None


def names_in(source: bytes) -> Iterator[str]:
    """Yield the names that a source may define and that are in the table; quickly, and some too many."""
    words = set(source.decode("utf-8", "replace").replace("(", " ").replace(":", " ").split())
    yield from words & _served_names()
