"""Write the pages of the sources that others point into: the C and the reference; each line is an anchor."""

from __future__ import annotations

from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import CLexer, PythonLexer
from sources import CSRC, ROOT

FILES = [*sorted(CSRC.glob("*.inc")), ROOT / "scratchnet" / "backends" / "reference.py"]
FILES.append(ROOT / "scratchnet" / "backends" / "contract.py")


def write(folder: Path) -> None:
    """Write a page for each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in FILES:
        lexer = PythonLexer() if path.suffix == ".py" else CLexer()
        form = HtmlFormatter(cssclass="highlight", lineanchors="L", anchorlinenos=True, linenos="inline")
        text = highlight(path.read_text("utf-8"), lexer, form)
        name = path.relative_to(ROOT)
        page = f"---\norphan: true\n---\n# {name}\n\n`````{{raw}} html\n{text}\n`````\n"
        (folder / f"{path.name}.md").write_text(page, "utf-8")
