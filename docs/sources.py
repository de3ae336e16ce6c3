"""What the pages show of the sources.

Which kernels a class runs is read from its code; a kernel's definition in NumPy from `reference.py`, its loop from
`csrc`; the books' classes in NumPy from `tests/numpy_books`.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from types import FunctionType

from scratchnet.backends import KERNELS, general, ops, reference

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
BOOKS = ROOT / "tests" / "numpy_books"


@cache
def code_of(cls: type) -> str:
    """The code that objects of a class run: each method as the class has it, what it calls by super(), helpers."""
    code = []
    for name in dir(cls):
        if name == "__doc__":  # its example makes layers, too
            continue
        for member in [vars(base)[name] for base in cls.__mro__ if name in vars(base)]:
            own = inspect.getsource(member) if inspect.isfunction(member) else f"{name} = {member!r}"
            code += [own, *(helpers_of(member) if inspect.isfunction(member) else [])]
            if f"super().{name}(" not in own:
                break
    return "\n".join(code)


def helpers_of(method: FunctionType) -> list[str]:
    """The functions of its own module that a method calls, and the general way of the operations that it names."""
    source = inspect.getsource(method)
    called = [method.__globals__.get(name) for name in re.findall(r"\b(\w+)\(", source)]
    own = [inspect.getsource(f) for f in called if inspect.isfunction(f) and f.__module__ == method.__module__]
    operations = re.findall(r"\bops\.(\w+)\(", "\n".join([source, *own]))
    return own + [inspect.getsource(getattr(general, name)) for name in operations if hasattr(general, name)]


@cache
def kernels_of(cls: type) -> list[str]:
    """The kernels that a class calls, or names as its own, in the contract's order."""
    code = code_of(cls)
    for operation in (name for name in vars(general) if name in ops.__all__):
        code = code.replace(
            f"ops.{operation}(", ""
        )  # its general way, which is in the code too, names the kernels
    return [name for name in KERNELS if re.search(rf"\.{name}\(|_kernel = '{name}'", code)]


def parts_of(cls: type) -> list[type]:
    """The layers that a class makes for itself."""
    module = sys.modules[cls.__module__]
    made = [vars(module).get(name) for name in re.findall(r"= (\w+)\(", code_of(cls))]
    return [c for c in dict.fromkeys(made) if inspect.isclass(c) and c.__module__ == cls.__module__]


@cache
def reference_source(kernel: str) -> str:
    """The definition in NumPy."""
    source = inspect.getsource(inspect.unwrap(getattr(reference, kernel)))
    return source.removeprefix("@_kernel\n").strip()


def function(name: str, text: str) -> str:
    """A function in C with the comment above it, or "" if the text has none of that name."""
    comment = r"(?:^/\*(?:(?!\*/).)*\*/\n)?"
    end = r"(?:[^\n]*{[^\n]*}$|.*?^})"  # on its line, or on one of its own
    match = re.search(rf"{comment}^static [^\n{{]*\bFN\({name}\)\({end}", text, re.MULTILINE | re.DOTALL)
    return match[0] if match else ""


@cache
def c_source(kernel: str) -> tuple[tuple[str, ...], str]:
    """The loop in C, below the functions of its file that it uses and that those use, and the file's name."""
    for path in sorted(CSRC.glob("*.inc")):
        text = path.read_text("utf-8")
        if function(kernel, text):
            return tuple(_with_what_it_uses(kernel, text, set())), path.name
    raise LookupError(f"no loop of {kernel} in csrc")


def _with_what_it_uses(name: str, text: str, seen: set[str]) -> list[str]:
    """A function and those of the same file that it names, each below those that it names itself."""
    seen.add(name)
    found = function(name, text)
    parts = []
    for used in re.findall(r"\bFN\((\w+)\)", found):
        if used not in seen:
            parts += _with_what_it_uses(used, text, seen)
    return [*parts, found] if found else []


@cache
def c_line(kernel: str) -> tuple[str, int]:
    """The file of a kernel's loop in C, and the line, from 1, that it starts in."""
    _, file = c_source(kernel)
    text = (CSRC / file).read_text("utf-8")
    start = re.search(rf"^static [^\n]*\bFN\({kernel}\)\(", text, re.MULTILINE)
    assert start, kernel
    return file, text.count("\n", 0, start.start()) + 1


def definition(path: Path, name: str) -> str:
    """The text of a class or function at the top level of a file."""
    text = path.read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(text, node) or ""
    raise LookupError(f"no {name} in {path}")


def book_source(name: str) -> tuple[str, str]:
    """A class of the books in NumPy, in our own words, and the book that it is from, "" for both.

    `name` is book, module and class, as "book2.layers.Affine", or an optimizer, which both books have.
    """
    if "." not in name:
        return definition(BOOKS / "optimizers.py", name), ""
    book, module, cls = name.split(".")
    return definition(BOOKS / book / "common" / f"{module}.py", cls), book[-1]


def kernel_in_numpy(kernel: str) -> str:
    """A kernel's work as the books would write it: for layers that are in no module of theirs."""
    return definition(ROOT / "bench" / "kernels_numpy.py", kernel)
