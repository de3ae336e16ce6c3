"""Write the pages of the sources that others point into: the C and the Python; each line is an anchor."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import CLexer, PythonLexer
from sources import CSRC, ROOT

FILES = [*sorted(CSRC.glob("*.inc")), *sorted((ROOT / "scratchnet").rglob("*.py"))]


def page_name(path: Path) -> str:
    """The name of a file's page, without an ending: those of C by the file's name, Python's by the whole path."""
    return path.name if path.suffix == ".inc" else "-".join(path.relative_to(ROOT).parts)


def place_of(module: str, name: str) -> str | None:
    """Where a class, function or method is defined, from a page of the API; None if that is not in Python."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part, None) if inspect.isclass(found) else getattr(found, part, None)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(found)) or "")
        line = inspect.getsourcelines(inspect.unwrap(found))[1]
    except (TypeError, OSError):
        return None
    return f"../source/{page_name(path)}.html#L-{line}" if path in FILES else None


def write(folder: Path) -> None:
    """Write a page for each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in FILES:
        lexer = PythonLexer() if path.suffix == ".py" else CLexer()
        form = HtmlFormatter(cssclass="highlight", lineanchors="L", anchorlinenos=True, linenos="inline")
        text = highlight(path.read_text("utf-8"), lexer, form)
        page = f"---\norphan: true\n---\n# {path.relative_to(ROOT)}\n\n`````{{raw}} html\n{text}\n`````\n"
        (folder / f"{page_name(path)}.md").write_text(page, "utf-8")
