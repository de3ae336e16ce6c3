"""What a definition is, but for what only its author sees: a digest of its syntax tree.

Left out are comments, spacing, docstrings, annotations, and the names of a function's locals, which are numbered
as they appear; the names of parameters and attributes, defaults and all constants count. The walk is our own:
`ast.dump` differs between versions of Python. Fields that are empty are passed over, so that a field that a later
version adds changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

_PASSED_OVER = {"annotation", "ctx", "kind", "returns", "type_comment", "type_ignores", "type_params"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_READERS = {"eval", "exec", "locals", "vars", "dir"}  # code that may see the names of locals


def fingerprint(node: ast.stmt) -> str:
    """Return the SHA-256 of a statement, in hexadecimal."""
    return hashlib.sha256("".join(_text(node, {})).encode()).hexdigest()


def file_digest(source: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal, whatever its ends of lines; a byte-order mark is left out."""
    plain = source.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return hashlib.sha256(plain).hexdigest()


def names_used(node: ast.AST) -> set[str]:
    """Return the names of its module, or of Python, that a statement reads; of a class also those in its body."""
    return set(_names(node, frozenset()))


def _text(value: Any, names: Mapping[str, str]) -> Iterator[str]:
    """Yield what a part of a tree is; `names` says how the parameters and locals around it are called."""
    if isinstance(value, list):
        yield "["
        for item in value:
            yield from _text(item, names)
            yield ","
        yield "]"
    elif isinstance(value, str):
        yield names.get(value, repr(value))
    elif isinstance(value, ast.Constant):
        yield f"({type(value.value).__name__} {value.value!r})"
    elif isinstance(value, ast.AST):
        yield from _text_of_node(value, names)
    else:
        yield repr(value)


def _text_of_node(node: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, ast.AnnAssign):
        if node.value is None:
            return  # only an annotation
        node = ast.Assign(targets=[node.target], value=node.value)
    if isinstance(node, ast.JoinedStr):  # Python 3.12.1 puts an empty string at the end of some
        filled = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        node = ast.JoinedStr(values=filled)
    yield f"({type(node).__name__}"
    inside = names
    if isinstance(node, _FUNCTIONS):
        parameters = _parameters(node)
        inside = {**names, **_numbered_locals(node, parameters, len(names)), **{p: repr(p) for p in parameters}}
    for field in node._fields:
        value = getattr(node, field, None)
        if field in _PASSED_OVER or value is None or value == []:
            continue
        yield f" {field}="
        if field == "body" and isinstance(value, list):
            yield from _text(_without_docstring(node, value), inside)
        elif field == "body":
            yield from _text(value, inside)
        elif isinstance(value, str) and not isinstance(node, (ast.Name, ast.ExceptHandler, *_FUNCTIONS)):
            yield repr(value)  # of an attribute, an argument, an import: not a local's name
        else:
            yield from _text(value, names)
    yield ")"


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
    bound: dict[str, str] = {}
    not_ours = set(parameters)
    for node in _own_nodes(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            not_ours.update(node.names)
        elif isinstance(node, ast.alias):
            not_ours.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ClassDef) or (isinstance(node, ast.Name) and node.id in _READERS):
            return {}
        elif (name := _bound_by(node)) is not None:
            bound.setdefault(name, f"local {depth} {len(bound)}")
    return {name: number for name, number in bound.items() if name not in not_ours}


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body in order; of a function or class in it only the node itself."""
    body = function.body if isinstance(function.body, list) else [function.body]  # type: ignore[attr-defined]
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield from _below(node)


def _below(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            yield from _below(child)


def _bound_by(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.id
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler):
        return node.name
    return None


def _names(node: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """Yield the names that a node reads and that the functions around it do not bind."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
        yield node.id
    if isinstance(node, ast.Global):
        yield from node.names
    inside = known
    if isinstance(node, _FUNCTIONS):
        parameters = _parameters(node)
        imported = {a.asname or a.name.partition(".")[0] for a in _own_nodes(node) if isinstance(a, ast.alias)}
        inside = known | parameters | imported | _numbered_locals(node, parameters, 0).keys()
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _names(child, inside if field == "body" else known)
