"""What a file binds at its top level, seen without running it; what cannot be seen counts as bound to anything."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator

Definition = ast.FunctionDef | ast.ClassDef

# Names and attributes by which code reaches names that it does not spell.
_DYNAMIC = {
    "globals",
    "exec",
    "eval",
    "setattr",
    "vars",
    "locals",
    "__import__",
    "__dict__",
    "modules",
    "__globals__",
}
# Compiled on use, as most scripts do not need them.
_ADDS_THE_FOLDER_ABOVE = rb"sys\.path\.append\(\s*(?:'\.\.'|\"\.\.\"|os\.pardir)\s*\)"
_IMPORTS_A_MODULE = rb"(?m)^\s*(?:import\s[^\n#]*\bcommon\b|from\s+(?:\w+\.)?common\s+import\b)"
# What the books import, and the names that they give it.
_LIBRARIES = {"np": {"numpy", "cupy"}, "plt": {"matplotlib.pyplot"}}
_FROM_LIBRARIES = {("collections", "OrderedDict")}


class Bindings:
    """The top-level bindings of a file.

    Parameters
    ----------
    tree, source
        The file; what its text does not mention need not be looked for in the tree.

    Attributes
    ----------
    definitions : dict
        Functions and classes that stand at the top level themselves, by name.
    nodes : dict
        For each name all statements that may bind it, in order.
    stars : list
        The star imports.
    is_dynamic : bool
        Whether there is code that may bind names in ways that cannot be seen.
    """

    def __init__(self, tree: ast.Module, source: bytes) -> None:
        self.definitions: dict[str, Definition] = {}
        self.nodes: dict[str, list[ast.AST]] = {}
        self.stars: list[ast.ImportFrom] = []
        self.is_dynamic = any(word.encode() in source for word in _DYNAMIC) and any(
            (isinstance(node, ast.Name) and node.id in _DYNAMIC)
            or (isinstance(node, ast.Attribute) and node.attr in _DYNAMIC)
            for node in ast.walk(tree)
        )
        may_bind_from_within = b"global" in source or b":=" in source
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.definitions[node.name] = node
                self._add(node.name, node)
                for inner in ast.walk(node) if may_bind_from_within else ():
                    if isinstance(inner, ast.Global | ast.NamedExpr):
                        self._bind(inner)
            else:
                for inner in ast.walk(node):
                    self._bind(inner)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    assert isinstance(node, ast.ImportFrom)
                    self.stars.append(node)
                else:
                    self._add(_bound_name(alias), node)
        for name in _names_bound_by(node):
            self._add(name, node)

    def _add(self, name: str, node: ast.AST) -> None:
        self.nodes.setdefault(name, []).append(node)


def _names_bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        if isinstance(node.value, ast.Name):  # a class, or a module, that is changed is another
            yield node.value.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        yield node.rest


def _bound_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def is_library_s(node: ast.AST, name: str) -> bool:
    """Whether an import binds a name to what the books bind it to: numpy, pyplot, a module of Python's own."""
    if isinstance(node, ast.Import):
        bound = {a.name for a in node.names if _bound_name(a) == name}
        return bound <= _LIBRARIES.get(name, {name} if _is_python_s(name) else set())
    if isinstance(node, ast.ImportFrom) and not node.level:
        originals = {a.name for a in node.names if _bound_name(a) == name}
        return originals == {name} and (node.module, name) in _FROM_LIBRARIES
    return False


def _is_python_s(module: str) -> bool:
    return module in sys.stdlib_module_names or module == "numpy"


def names_set_in_modules(tree: ast.Module) -> set[tuple[str, str]]:
    """Return the attributes that a file sets in modules of `common`: ("layers", "softmax")."""
    nodes = [*ast.walk(tree)]
    modules: dict[str, str] = {}  # of any package, by how the file calls them
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {_bound_name(a): f"{node.module}.{a.name}" for a in node.names}
    modules = {called: module for called, module in modules.items() if module.split(".")[-2:-1] == ["common"]}
    if not modules:
        return set()
    set_in = ((modules.get(called), name) for node in nodes for called, name in _attributes_set_by(node))
    return {(module.rpartition(".")[2], name) for module, name in set_in if module}


def _attributes_set_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the attributes that a statement sets: of what, and which; by assignment, or by setattr and its kin."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        yield ast.unparse(node.value), node.attr
    elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        function = ast.unparse(node.func).rpartition(".")[2]  # also mock's and pytest's
        if function in ("setattr", "delattr"):
            yield ast.unparse(node.args[0]), str(node.args[1].value)


def may_set_names(source: bytes) -> bool:
    """Whether a file imports a module of `common`, and not only names from it: quickly."""
    return re.search(_IMPORTS_A_MODULE, source) is not None


def may_change_what_is_found(source: bytes, folder: str) -> bool:
    """Whether a script in a folder changes the path, so that another `common` may be found than before it ran.

    The books' scripts add the folder above, which is searched anyway: that changes nothing, unless they run in
    another folder with a `common` above that one.
    """
    if source.count(b"sys.path") > len(re.findall(_ADDS_THE_FOLDER_ABOVE, source)):
        return True
    # realpath: on Windows the present folder has the capitals with which it was typed
    above, here = (os.path.dirname(os.path.realpath(place)) for place in (folder, os.getcwd()))
    return b"sys.path" in source and above != here and os.path.exists(os.path.join(here, "common"))
