"""Which definitions of a reader's file are provably the books' own, so that compiled ones may take their place.

A definition is served if its fingerprint is in the table of editions, if nothing else in its file binds its name,
and if every name that it uses is Python's, a library's, or served itself, here or in the module it comes from.
Whatever else the file has runs as its author wrote it. A file of a known edition is not parsed: the table says
which of its definitions differ from the books'.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator, Set
from importlib import import_module
from types import CodeType, ModuleType
from typing import Any

from .._paths import content
from .bindings import Bindings, Definition, is_library_s, may_change_what_is_found
from .editions import HOMES, MODULES
from .fingerprint import file_digest, fingerprint, names_used
from .table import KnownFile, homes_of, known_file, served_names

_DEFINED = re.compile(rb"^(?:class|def)\s+(\w+)", re.MULTILINE | re.ASCII)

Locate = Callable[[str], str | os.PathLike[str] | None]  # of a module of the reader's `common`, by its name

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


class Reading:
    """A reader's file.

    Parameters
    ----------
    path
        The file.
    package, module
        What the books call it ("common", "layers"); None for a script.
    readings
        The reader's other modules.

    Attributes
    ----------
    whole : str or None
        The module of scratchnet that serves all of the file, but for what `known` names.
    known : KnownFile or None
        What the table says of the file if it is served as a whole.
    served : dict
        The module of scratchnet for each definition that is served, where the file was parsed.
    kept : dict
        For each other top-level definition, why it runs as it is written.
    """

    def __init__(
        self, path: str | os.PathLike[str], package: str | None, module: str | None, readings: Readings
    ) -> None:
        self.path, self._readings = os.fspath(path), readings
        self._replaced = {name for of, name in readings.replaced if of == module}
        self._is_script = package is None
        self._source = content(self.path)
        self.whole: str | None = None
        self.known: KnownFile | None = None
        self.served: dict[str, str] = {}
        self.kept: dict[str, str] = {}
        self._tree: ast.Module | None = None
        self._bindings = Bindings(ast.Module([], []), b"")
        self._is_being_examined = False
        self._asked: set[str] = set()
        if package is not None and module is not None:
            self.whole = self._whole(package, module)

    def _whole(self, package: str, module: str) -> str | None:
        """Return what serves the file, if it is one of the editions', and all of `common` that it uses."""
        known = known_file(file_digest(self._source))
        if known is None or self._replaced or known.name[1:] != f".{package}.{module}":
            return None
        book = int(known.name[0])
        for neighbour in _NEIGHBOURS[book].get(module, ()) if package == "common" else ():
            reading = self._readings.of(neighbour)
            if reading is None:
                continue
            if reading.known is None or reading.whole != f"{HOMES[book]['common']}.{neighbour}":
                return None
            if any(name.encode() in self._served_text(known) for name in reading.known.kept):
                return None
        self.known = known
        self.kept = {name: f"line {first}: not the book's" for name, (first, _) in known.kept.items()}
        return f"{HOMES[book][package]}.{module}"

    def _served_text(self, known: KnownFile) -> bytes:
        """Return the text of a known file without the definitions that run as they are written."""
        lines = self._source.splitlines()
        for first, last in known.kept.values():
            lines[first - 1 : last] = [b""] * (last - first + 1)
        return b"\n".join(lines)

    def fill(self, module: ModuleType) -> None:
        """Fill the module of a known file: with ours, with what it has from its neighbours, and with its own."""
        assert self.known is not None and self.whole is not None
        names, ours = vars(module), import_module(self.whole)
        names |= {name: value for name, value in vars(ours).items() if name not in names}
        names |= {name: getattr(ours, name) for name in ours.__all__}  # book 2's np and GPU are looked up
        names["__file__"] = self.path
        for neighbour in self._neighbours_that_differ():
            theirs = import_module(f"{self._readings.package}.{neighbour}".lstrip("."))
            names |= {name: value for name, value in vars(theirs).items() if name in names and name[:2] != "__"}
        names |= {name: getattr(import_module(home), name) for name, home in self.known.elsewhere.items()}
        lines = self._source.splitlines(keepends=True)
        for first, last in self.known.kept.values():
            text = b"\n" * (first - 1) + b"".join(lines[first - 1 : last])
            exec(compile(text, self.path, "exec", dont_inherit=True), names)
        if "__all__" in names:
            names["__all__"] = [*dict.fromkeys([*names["__all__"], *self.known.kept])]

    @property
    def is_as_served(self) -> bool:
        """Whether all of the file, and all that it has from its neighbours, is scratchnet's module."""
        known = self.known
        return known is not None and not (known.kept or known.elsewhere or self._neighbours_that_differ())

    def _neighbours_that_differ(self) -> list[str]:
        """Return the modules of `common` that the file imports from and that are not wholly scratchnet's."""
        assert self.known is not None
        _, package, module = self.known.name.split(".")
        neighbours = sorted(_NEIGHBOURS[int(self.known.name[0])].get(module, ())) if package == "common" else []
        readings = {name: self._readings.of(name) for name in neighbours}
        return [name for name, reading in readings.items() if reading is not None and not reading.is_as_served]

    def examine(self) -> Reading:
        """Find out what is served; nothing where the file is served as a whole, or is not Python's."""
        if self.whole is not None or self._tree is not None:
            return self
        try:
            self._tree = ast.parse(self._source)
        except (SyntaxError, ValueError, RecursionError):  # Python will say it
            self._tree = ast.Module([], [])
            self.kept["(the file)"] = "it cannot be parsed"
            return self
        self._bindings = Bindings(self._tree, self._source)
        strangers = [f"* from {s.module or '.'}" for s in self._bindings.stars if self._neighbour(s) is None]
        for name, node in self._bindings.definitions.items():
            target = self._target(name, node)
            if target is None:
                self.kept[name] = "new" if name not in served_names() else f"line {node.lineno}: not the book's"
            elif len(self._bindings.nodes[name]) > 1:
                self.kept[name] = f"line {node.lineno}: bound twice"
            elif name in self._replaced:
                self.kept[name] = "the script replaces it"
            elif strangers or self._bindings.is_dynamic:
                self.kept[name] = f"the file imports {strangers[0]}" if strangers else "the file sets names unseen"
            elif any(
                star.lineno > node.lineno and self._brings(star, name) is not None for star in self._bindings.stars
            ):
                self.kept[name] = f"line {node.lineno}: a later import * has it too"
            else:
                self.served[name] = target
        self._is_being_examined = True
        self._keep_what_leans_on_the_reader_s()
        self._is_being_examined = False
        return self

    def _keep_what_leans_on_the_reader_s(self) -> None:
        uses = {name: sorted(names_used(self._bindings.definitions[name])) for name in self.served}
        changed = True
        while changed:
            changed = False
            for name in [*self.served]:
                strange = next((used for used in uses[name] if self._means_the_books(used) is False), None)
                if strange is not None:
                    del self.served[name]
                    self.kept[name] = f"it uses your {strange}"
                    changed = True

    def _target(self, name: str, node: Definition) -> str | None:
        """Return the module of scratchnet that has this definition."""
        if name not in served_names() or node.decorator_list or self._has_doctests(node):
            return None
        try:
            digest = fingerprint(node)
        except (ValueError, RecursionError):  # numbers too long to write, expressions too deep
            return None
        found = sorted(homes_of(digest, name), key=lambda home: home[0] != self._readings.book)
        return found[0][1] if found else None

    def _has_doctests(self, node: Definition) -> bool:
        """Whether a definition's docstrings are run: ours has others."""
        texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant)) if b">>>" in self._source else ()
        return any(isinstance(text, str) and ">>>" in text for text in texts)

    def provides(self, name: str) -> bool | None:
        """Whether a name means in this module what it means in the books': None if the module does not bind it."""
        if self.whole is not None:
            if name in self.kept:
                return False
            return _has(self.whole, name)
        self.examine()
        if name in self._bindings.nodes and (self._is_being_examined or "__all__" in self._bindings.nodes):
            return False  # a circle of imports, whose end is not known yet; or a list of what a star brings
        return self._means_the_books(name)

    def _means_the_books(self, name: str) -> bool | None:
        """Whether a name means in the file itself what it means in the books."""
        if name in self.served:
            return True
        if name in self.kept or name in self._replaced or self._bindings.is_dynamic:
            return False
        if nodes := self._bindings.nodes.get(name):
            return all(self._is_books_import(node, name) for node in nodes)
        if name in self._asked:  # modules that star-import each other
            return None
        self._asked.add(name)
        try:
            brought = (self._brings(star, name) for star in reversed(self._bindings.stars))
            return next((found for found in brought if found is not None), None)
        finally:
            self._asked.remove(name)

    def _brings(self, star: ast.ImportFrom, name: str) -> bool | None:
        """Whether a name that a star import brings means what it means in the books'; None if it brings none."""
        neighbour = self._neighbour(star)
        if neighbour is None:
            return False
        reading = self._readings.of(neighbour)
        return _ours_has(self._readings.book, neighbour, name) if reading is None else reading.provides(name)

    def _is_books_import(self, node: ast.AST, name: str) -> bool:
        """Whether a statement binds a name to what the books bind it to."""
        if is_library_s(node, name):
            return True
        neighbour = self._neighbour(node) if isinstance(node, ast.ImportFrom) else None
        if neighbour is None or not any(a.name == name and a.asname in (None, name) for a in node.names):  # type: ignore[attr-defined]
            return False
        reading = self._readings.of(neighbour)
        return reading is None or reading.provides(name) is True

    def _neighbour(self, node: ast.ImportFrom) -> str | None:
        """Return which module of the reader's own `common` an import is from, by its name in the books.

        None also where it cannot be known: a script that changes the path may have another `common` by then.
        """
        if self._is_script and may_change_what_is_found(self._source, os.path.dirname(self.path)):
            return None
        package, _, module = (node.module or "").rpartition(".")
        here = (
            node.level == 1
            and not package
            and not self._is_script
            and os.path.basename(self.path) != "__init__.py"
        )
        if not here and (node.level or package != self._readings.package):
            return None
        return module if any(module in MODULES[b]["common"] for b in (1, 2)) else None

    def code(self) -> CodeType:
        """Return the file's code, with an import in the place of each definition that is served."""
        self.examine()
        if not self.served or self._tree is None:
            return compile(self._source, self.path, "exec", dont_inherit=True)
        body = [self._in_place_of(node) for node in self._tree.body]
        tree = ast.Module(body, self._tree.type_ignores)
        try:
            return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)
        except RecursionError:  # a deep tree is refused that as text is not
            return compile(self._source, self.path, "exec", dont_inherit=True)

    def _in_place_of(self, node: ast.stmt) -> ast.stmt:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name not in self.served:
            return node
        return ast.copy_location(ast.ImportFrom(self.served[node.name], [ast.alias(node.name)], 0), node)

    def served_things(self) -> Iterator[Any]:
        """Yield the classes and functions of scratchnet that are in the place of the file's."""
        if self.known is None:
            yield from (getattr(import_module(home), name) for name, home in self.served.items())
            return
        for name in {name.decode() for name in _DEFINED.findall(self._source)} - self.known.kept.keys():
            home = self.known.elsewhere.get(name) or self.whole
            yield getattr(import_module(str(home)), name, None)

    def line(self, name: str) -> str:
        """Return what is said of the file, under a name: nothing where all of it is served."""
        if not self.kept:
            return ""
        kept = ", ".join(f"{kept} ({why})" for kept, why in self.kept.items())
        of = len(self.served) + len(self.kept) if self.known is None else self.known.definitions
        return f"{name}: compiled {of - len(self.kept)} of {of}; yours: {kept}"


class Readings:
    """The reader's modules of `common`, each read once.

    Parameters
    ----------
    locate
        Returns the file of one of them, by its name in the book ("common.layers"), or None.
    book : int
        The book whose definitions are preferred where both have the same.
    package : str
        How the modules import each other: "common", "deep2.common"; "" where their folder is on the path itself.
    replaced : set of (str, str)
        Modules and names in them that the script sets from outside.
    """

    def __init__(
        self, locate: Locate, book: int, package: str = "common", replaced: Set[tuple[str, str]] = frozenset()
    ) -> None:
        self.book, self.package, self.replaced = book, package, replaced
        self._locate = locate
        self._read: dict[str, Reading | None] = {}

    def of(self, module: str, package: str = "common") -> Reading | None:
        """Return the reading of a module; None if the reader has none."""
        key = f"{package}.{module}"
        if key not in self._read:
            self._read[key] = None  # while it is read, a circle of imports gets ours
            path = self._locate(key)
            if path is not None:
                self._read[key] = Reading(path, package, module, self)
        return self._read[key]

    def script(self, path: str | os.PathLike[str]) -> Reading:
        """Return the reading of a script."""
        return Reading(path, None, None, self).examine()


def _ours_has(book: int, module: str, name: str) -> bool | None:
    """Whether our module of a book has a name: None if not."""
    for b in (book, 3 - book):
        if module in MODULES[b]["common"]:
            return _has(f"{HOMES[b]['common']}.{module}", name)
    return None


def _has(module: str, name: str) -> bool | None:
    """Whether a module of scratchnet has a name of its own: None if not; `np` would look up any of NumPy's."""
    ours = import_module(module)
    return True if name in vars(ours) or name in ours.__all__ else None


def may_have_some(source: bytes) -> bool:
    """Whether a source may define something that is in the table: quickly, by names."""
    names = {name.decode() for name in _DEFINED.findall(source)}
    return bool(names) and not served_names().isdisjoint(names)
