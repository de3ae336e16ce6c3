"""What a definition is, but for what only its author sees: a digest of its syntax tree.

Left out are comments, spacing, docstrings, annotations, and the names of a function's locals, which are numbered
as they appear; the names of parameters and attributes, defaults and all constants count. The walk is our own:
`ast.dump` differs between versions of Python. Fields that are empty are passed over, so that a field that a later
version adds changes nothing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

_PASSED_OVER = {"annotation", "ctx", "kind", "returns", "type_comment", "type_ignores", "type_params"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_READERS = {"eval", "exec", "locals", "vars", "dir"}  # code that may see the names of locals


def fingerprint(node: ast.stmt) -> str:
    """Return the SHA-256 of a statement, in hexadecimal."""
    parts: list[str] = []
    _write(node, {}, parts)
    return _sha256("".join(parts).encode())


def file_digest(source: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal, whatever its ends of lines; a byte-order mark is left out."""
    plain = source.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _sha256(plain)


def _sha256(data: bytes) -> str:
    return str(_sha256_function()(data).hexdigest())


@cache
def _sha256_function() -> Any:
    """Return Python's own SHA-256: hashlib loads OpenSSL, which takes longer than all files."""
    with suppress(ImportError):  # a Python may be built without it
        return import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
    return import_module("hashlib").sha256


def names_used(node: ast.AST) -> set[str]:
    """Return the names of its module, or of Python, that a statement reads; of a class also those in its body."""
    return set(_names(node, frozenset()))


def _write(value: Any, names: Mapping[str, str], parts: list[str]) -> None:
    """Write what a part of a tree is; `names` says how the parameters and locals around it are called."""
    if isinstance(value, list):
        parts.append("[")
        for item in value:
            _write(item, names, parts)
            parts.append(",")
        parts.append("]")
    elif isinstance(value, str):
        parts.append(names.get(value) or repr(value))
    elif isinstance(value, ast.Constant):
        parts.append(f"({type(value.value).__name__} {value.value!r})")
    elif isinstance(value, ast.AST):
        _write_node(value, names, parts)
    else:
        parts.append(repr(value))


def _write_node(node: ast.AST, names: Mapping[str, str], parts: list[str]) -> None:
    if isinstance(node, ast.AnnAssign):
        if node.value is None:
            return  # only an annotation
        node = ast.Assign(targets=[node.target], value=node.value)
    elif isinstance(node, ast.JoinedStr):  # Python 3.12.1 puts an empty string at the end of some
        filled = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        node = ast.JoinedStr(values=filled)
    parts.append(f"({type(node).__name__}")
    inside = names
    if isinstance(node, _FUNCTIONS):
        parameters = _parameters(node)
        inside = {**names, **_numbered_locals(node, parameters, len(names)), **{p: repr(p) for p in parameters}}
    for field in node._fields:
        value = getattr(node, field, None)
        if field in _PASSED_OVER or value is None or value == []:
            continue
        parts.append(f" {field}=")
        if field == "body" and isinstance(value, list):
            _write(_without_docstring(node, value), inside, parts)
        elif field == "body":
            _write(value, inside, parts)
        elif isinstance(value, str) and not isinstance(node, (ast.Name, ast.ExceptHandler, *_FUNCTIONS)):
            parts.append(repr(value))  # of an attribute, an argument, an import: not a local's name
        else:
            _write(value, names, parts)
    parts.append(")")


def _parameters(function: ast.AST) -> set[str]:
    return {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}  # type: ignore[attr-defined]


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    if (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        body = body[1:]
    return body or [ast.Pass()]


def _numbered_locals(function: ast.AST, parameters: set[str], depth: int) -> dict[str, str]:
    """Return names for what a function binds, in the order of appearance: none where its code may see names."""
    own, foreign, _ = _bound_in(function)
    kept = [name for name in own if name not in foreign and name not in parameters]
    return {name: f"local {depth} {own[name]}" for name in kept}


def _bound_in(function: Any) -> tuple[dict[str, int], set[str], set[str]]:
    """Return what a function binds, with numbers; what is not its local, or keeps its name; what it imports."""
    if (known := getattr(function, "bound_in_it", None)) is not None:
        found: tuple[dict[str, int], set[str], set[str]] = known
        return found
    bound: dict[str, int] = {}
    foreign: set[str] = set()
    imported: set[str] = set()
    sees_names = False
    for node in _own_nodes(function):
        if isinstance(node, ast.Name):
            if node.id in _READERS:
                sees_names = True
            elif not isinstance(node.ctx, ast.Load):
                bound.setdefault(node.id, len(bound))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler):
            if node.name is not None:
                bound.setdefault(node.name, len(bound))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            foreign.update(node.names)
        elif isinstance(node, ast.alias):
            imported.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ClassDef):
            sees_names = True
    if sees_names:
        foreign.update(bound)
    function.bound_in_it = bound, foreign | imported, imported | (set(bound) - foreign)
    return _bound_in(function)


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body in order; of a function or class in it only the node itself."""
    body = function.body if isinstance(function.body, list) else [function.body]  # type: ignore[attr-defined]
    left = body[::-1]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _SCOPES):
            left += [*ast.iter_child_nodes(node)][::-1]


def _names(node: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """Yield the names that a node reads and that the functions around it do not bind."""
    left: list[tuple[ast.AST, frozenset[str]]] = [(node, known)]
    while left:
        node, known = left.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id not in known:
                yield node.id
            continue
        if isinstance(node, ast.Global):
            yield from node.names
        inside = known
        if isinstance(node, _FUNCTIONS):
            inside = known | _parameters(node) | _bound_in(node)[2]
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            scope = inside if field == "body" else known
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.AST):
                    left.append((child, scope))
