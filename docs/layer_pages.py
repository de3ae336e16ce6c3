"""Write a page for each layer and optimizer: the formula, the NumPy that defines it and the C that runs.

Everything is read from the sources: which kernels a class calls from its code, the formula from the contract, the
definition from `reference.py`, the loop from `csrc`. `make docs` runs this.
"""

from __future__ import annotations

import inspect
import re
import sys
from html import escape
from pathlib import Path
from types import FunctionType, ModuleType

from scratchnet import batch_normalization, image_layers, layers, loss_layers, optimizer, time_layers
from scratchnet.backends import KERNELS, general, ops, reference
from scratchnet.book1 import layers as book1_layers

CSRC = Path(__file__).resolve().parent.parent / "csrc"
SECTIONS = {
    "Layers": layers,
    "Layers over time, of book 2": time_layers,
    "Layers of book 1": book1_layers,
    "Optimizers": optimizer,
}

PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 100rem; margin: 2rem auto; padding: 0 1rem }}
.sides {{ display: flex; flex-wrap: wrap; gap: 1rem }}
.sides > div {{ flex: 1 1 30rem; min-width: 0 }}
pre {{ background: #f6f6f4; padding: 1rem; overflow-x: auto; font-size: 13px; line-height: 1.4 }}
h3 {{ font-size: 1rem }}
</style>
{body}
"""


def classes(module: ModuleType) -> list[type]:
    """The public classes of a module that run kernels, in its order; of the layers' module from all their rooms.

    Book 1's are also those that are the same as scratchnet's.
    """
    rooms = [home.__name__ for home in (layers, loss_layers, image_layers, batch_normalization)]
    homes = [module.__name__, *(rooms if module in (layers, book1_layers) else ())]
    found = [c for name, c in vars(module).items() if inspect.isclass(c) and not name.startswith("_")]
    return [c for c in found if c.__module__ in homes and (kernels_of(c) or parts_of(c))]


def code_of(cls: type) -> str:
    """The code that objects of a class run: each method as the class has it, what it calls by super(), helpers."""
    code = []
    for name in dir(cls):
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


def file_name(cls: type) -> str:
    """The name of a class's page: both books have an Affine."""
    return f"{cls.__module__.removeprefix('scratchnet.')}.{cls.__name__}.html"


def link(cls: type) -> str:
    """A link to the page of a class."""
    return f"<a href='{file_name(cls)}'>{cls.__name__}</a>"


def reference_source(kernel: str) -> str:
    """The definition in NumPy."""
    source = inspect.getsource(inspect.unwrap(getattr(reference, kernel)))
    return source.removeprefix("@_kernel\n").strip()


def function(name: str, text: str) -> str:
    """A function in C with the comment above it, or "" if the text has none of that name."""
    comment = r"(?:^/\*(?:(?!\*/).)*\*/\n)?"
    match = re.search(rf"{comment}^static [^\n]*\bFN\({name}\)\(.*?^}}", text, re.MULTILINE | re.DOTALL)
    return match[0] if match else ""


def c_source(kernel: str) -> tuple[str, str]:
    """The loop in C, below those of its file's functions that it calls, and the file's name."""
    for path in sorted(CSRC.glob("*.inc")):
        text = path.read_text("utf-8")
        if loop := function(kernel, text):
            called = [name for name in dict.fromkeys(re.findall(r"FN\((\w+)\)\(", loop)) if name != kernel]
            return "\n\n".join(filter(None, [*(function(name, text) for name in called), loop])), path.name
    raise LookupError(f"no loop of {kernel} in csrc")


def page(cls: type) -> str:
    """The page of one class."""
    body = [f"<p><a href='index.html'>all pages</a></p><h1>{cls.__name__}</h1>"]
    body.append(f"<pre>{escape(inspect.getdoc(cls) or '')}</pre>")
    if parts := parts_of(cls):
        body.append(f"<p>made of {', '.join(map(link, parts))}</p>")
    for name in kernels_of(cls):
        loop, file = c_source(name)
        declared = KERNELS[name].arguments
        arguments = ", ".join(a.name + (f"[{','.join(a.shape)}]" if a.shape else "") for a in declared)
        body.append(f"<h2>{name}</h2><p><code>{escape(arguments)}</code></p>")
        body.append(f"<p><strong>{escape(KERNELS[name].formula)}</strong></p><div class='sides'>")
        body.append(f"<div><h3>what it means: reference.py</h3><pre>{escape(reference_source(name))}</pre></div>")
        body.append(f"<div><h3>what runs: csrc/{file}</h3><pre>{escape(loop)}</pre></div></div>")
    return PAGE.format(title=f"scratchnet: {cls.__name__}", body="\n".join(body))


def write(folder: Path) -> list[type]:
    """Write all pages and their index; return the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    index = ["<h1>scratchnet</h1><p><a href='api/scratchnet.html'>the API</a></p>"]
    written: list[type] = []
    for title, module in SECTIONS.items():
        index.append(f"<h2>{title}: formula, NumPy and C side by side</h2><ul>")
        for cls in classes(module):
            (folder / file_name(cls)).write_text(page(cls), "utf-8")
            index.append(f"<li>{link(cls)}</li>")
            written.append(cls)
        index.append("</ul>")
    (folder / "index.html").write_text(PAGE.format(title="scratchnet", body="\n".join(index)), "utf-8")
    return list(dict.fromkeys(written))


if __name__ == "__main__":
    print(*(cls.__name__ for cls in write(Path(sys.argv[1]))), sep=", ")
