"""Build the site: write the pages that come from the sources, then run Sphinx for each language.

    python docs/build.py build/docs

English is at the top of the folder, Korean in its folder `ko`.

Sphinx, because it reads the docstrings, searches without a server and fails at a dead reference; MyST, because the
texts are Markdown, as all others here; Furo, because it is good to read on a phone, light and dark, and loads
nothing from elsewhere. MathJax comes from a package, too.
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

DOCS = Path(__file__).resolve().parent


def write_sources(folder: Path) -> None:
    """Write what Sphinx reads: the pages by hand beside those from the sources, a folder a language."""
    shutil.rmtree(folder, ignore_errors=True)
    for language in ("en", "ko"):
        shutil.copytree(DOCS / "pages" / language, folder / language)
        layer_pages.write(folder / language, language)
        shutil.copy(DOCS.parent / ".github" / "decision_boundary.png", folder / language)
    api_pages.write(folder / "en" / "api")
    source_pages.write(folder / "en" / "source")


def build(site: Path) -> int:
    """Build both languages into a folder; return Sphinx's exit code, not 0 if it had anything to warn of."""
    sources = site.parent / "docs-sources"
    write_sources(sources)
    for folder in (site, site.with_name(f"{site.name}-ko")):
        shutil.rmtree(folder, ignore_errors=True)
    runs = []
    for language, out in (("en", site), ("ko", site.with_name(f"{site.name}-ko"))):
        command = ["-b", "html", "-q", "-W", "--keep-going", "-c", str(DOCS)]
        command += ["-d", str(site.parent / "docs-cache" / language), str(sources / language), str(out)]
        environment = os.environ | {"DOCS_LANGUAGE": language}
        runs.append(subprocess.Popen([sys.executable, "-P", "-m", "sphinx", *command], env=environment))
    codes = [run.wait() for run in runs]
    shutil.move(site.with_name(f"{site.name}-ko"), site / "ko")
    return max(codes)


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
