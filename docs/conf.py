"""Sphinx's settings for both languages: `build.py` says which, and where the sources lie that it wrote."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import sphinx.search
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

import scratchnet

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
from source_pages import place_of  # noqa: E402

project, author, release = "scratchnet", "the scratchnet authors", scratchnet.__version__
copyright = "the scratchnet authors, MIT license"
language = os.environ.get("DOCS_LANGUAGE", "en")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "sphinx_design",
    "sphinx_copybutton",
]
if language != "en":
    extensions.remove("sphinx.ext.linkcode")  # the API's pages are English

source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}
exclude_patterns = ["tour/notebooks"]  # pages offer them
nb_execution_mode = "off"  # build.py has run them
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline", "deflist"]
myst_heading_anchors = 3
default_role = "literal"
smartquotes = False  # two dashes of an option stay two
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # a list, as Parameters
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["myst.xref_missing"] if language != "en" else []

mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"svg": {"fontCache": "none"}, "options": {"enableMenu": False}}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "scratchnet"
html_static_path = [str(DOCS / "static")]
templates_path = [str(DOCS / "templates")]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = html_domain_indices = False  # the search finds more
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
html_context = {"other_language": "ko" if language == "en" else "en"}


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return where the source of an entry of the API is, for Sphinx."""
    return place_of(info["module"], info["fullname"]) if domain == "py" and info["module"] else None


class KoreanSearch(sphinx.search.SearchLanguage):
    """Words, and what is left of a word without its last letters: particles follow Korean nouns."""

    lang, language_name = "ko", "Korean"

    def split(self, input: str) -> list[str]:
        """Return the words of a text, the Korean ones with every beginning of two letters or more."""
        words = re.findall(r"\w+", input)
        starts = [w[:n] for w in words if "가" <= w[0] <= "힣" for n in range(2, min(len(w), 6))]
        return words + starts


sphinx.search.languages["ko"] = KoreanSearch


def _copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        home = Path(importlib.import_module("sphinx-mathjax-offline").__file__ or "").parent
        copy_asset(home / "static" / "mathjax" / "tex-svg.js", app.outdir / "_static" / "mathjax")


_KOREAN = {
    "Download notebook": "노트북 내려받기",
    "Next": "다음",
    "Previous": "이전",
    "Home": "처음",
    "Back to top": "맨 위로",
    "Search": "검색",
    "On this page": "이 페이지에서",
    "Contents": "목차",
    "Skip to content": "본문으로 건너뛰기",
    "Toggle site navigation sidebar": "전체 목차 열고 닫기",
    "Toggle table of contents sidebar": "이 페이지의 목차 열고 닫기",
    "Toggle Light / Dark / Auto color theme": "밝게, 어둡게, 자동",
}


def _in_korean(text: str) -> str:
    return _KOREAN.get(text, text)


def _other_forms(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the template where the same page is in the other language and as a notebook, if there is one."""
    up = "../" * page.count("/")
    if page in ("index", "chapters", "estimators") or page.startswith(("layers/", "tour/")):
        context["other_page"] = f"{up}ko/{page}.html" if language == "en" else f"{up}../{page}.html"
    places = {Path(file): place for file, (_, place) in app.env.dlfiles.items()}
    if place := places.get(Path(f"{page.replace('/', '/notebooks/')}.ipynb")):
        context["notebook"] = f"{up}_downloads/{place}"
    if language == "ko":  # Furo has no Korean words
        context["_"] = context["gettext"] = _in_korean


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("build-finished", _copy_mathjax)
    app.connect("html-page-context", _other_forms)
