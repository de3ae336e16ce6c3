"""Build the site: write the pages that come from the sources, then run Sphinx for each language.

    python docs/build.py build/docs

English is at the top of the folder, Korean in its folder `ko`. The folder must be new, or one that this made.

Sphinx, because it reads the docstrings, searches without a server and fails at a dead reference; MyST, because the
texts are Markdown, as all others here; Furo, because it is good to read on a phone, light and dark, and loads
nothing from elsewhere. MathJax comes from a package, too. MyST-NB shows the notebooks of the tour with the outputs
of their run (`tour.py`), so that words and code are in the same Markdown as the other pages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import api_pages
import layer_pages
import source_pages
import tour

DOCS = Path(__file__).resolve().parent
READMES = {"en": "README.md", "ko": "README.ko.md"}
MADE_HERE = ".made-by-docs-build"  # a file in each folder that may be emptied


def empty(folder: Path) -> None:
    """Make a new folder, in place of one that this made before; SystemExit for any other that is not empty."""
    if folder.exists() and not (folder / MADE_HERE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        sys.exit(f"{folder} was not made by docs/build.py, and would be lost: name another folder, or remove it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MADE_HERE).touch()


def write_sources(folder: Path) -> None:
    """Write what Sphinx reads: the pages by hand beside those from the sources, a folder a language."""
    print("Running the notebooks of the tour: about a minute and a half.", flush=True)
    tour.write(folder, tuple(READMES))
    for language, readme in READMES.items():
        shutil.copytree(DOCS / "pages" / language, folder / language, dirs_exist_ok=True)
        layer_pages.write(folder / language, language)
        shutil.copy(DOCS.parent / ".github" / "decision_boundary.png", folder / language)
        shutil.copy(DOCS.parent / readme, folder / language / "readme.txt")  # pages include parts of it
    api_pages.write(folder / "en" / "api")
    source_pages.write(folder / "en" / "source")


def build(site: Path) -> int:
    """Build both languages into a folder; return Sphinx's exit code, not 0 if it had anything to warn of."""
    sources = site.parent / "docs-sources"
    for folder in (site, site.with_name(f"{site.name}-ko"), sources):
        empty(folder)
    write_sources(sources)
    print("Sphinx makes the pages, in two languages at a time: about a minute and a half.", flush=True)
    runs = []
    for language, out in (("en", site), ("ko", site.with_name(f"{site.name}-ko"))):
        command = ["-b", "html", "-q", "-W", "--keep-going", "-c", str(DOCS)]
        command += ["-d", str(site.parent / "docs-cache" / language), str(sources / language), str(out)]
        environment = os.environ | {"DOCS_LANGUAGE": language}
        runs.append(subprocess.Popen([sys.executable, "-P", "-m", "sphinx", *command], env=environment))
    codes = [run.wait() for run in runs]
    shutil.move(site.with_name(f"{site.name}-ko"), site / "ko")
    if not any(codes):
        print(f"Open {site / 'index.html'}, or, for a search with excerpts, http://localhost:8000 after\n"
              f"    {Path(sys.executable).name} -m http.server -d {site}", flush=True)  # fmt: skip
    return max(codes)


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
