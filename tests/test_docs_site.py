"""The site that `make docs` builds, walked link by link and, with Chromium installed, looked at in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

DOCS = Path(__file__).parent.parent / "docs"
if not DOCS.exists():
    pytest.skip("no docs here: the tests run against an installed package", allow_module_level=True)
pytest.importorskip("furo", reason="Sphinx and Furo are not installed: pip install --group docs")
matplotlib_image = pytest.importorskip("matplotlib.image")
pytestmark = pytest.mark.long

WIDTHS = {1280: "light", 390: "dark"}
LOOKED_AT = (
    "index",
    "estimators",
    "tour/spiral",
    "ko/tour/words",
    "layers/Affine",
    "layers/LSTM",
    "layers/Adam",
    "api/layers",
    "api/command-line",
    "ko/layers/LSTM",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; the build fails for any warning of Sphinx."""
    folder = tmp_path_factory.mktemp("pages") / "site"
    done = subprocess.run([sys.executable, DOCS / "build.py", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_folder_that_it_did_not_make_is_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    done = subprocess.run([sys.executable, DOCS / "build.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and str(tmp_path) in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


TOUR = ("spiral", "mnist", "own-class", "convnet", "words", "table")


def cells_of(site, language, name):
    """The cells of a notebook of the tour, as it was run."""
    path = site.parent / "docs-sources" / language / "tour" / f"{name}.ipynb"
    return json.loads(path.read_text("utf-8"))["cells"]


def code_of(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def printed_by(site, name):
    """What a notebook printed, a cell after another; skips if it could not be run, for want of MNIST."""
    cells = code_of(cells_of(site, "en", name))
    if name == "mnist" and not any(cell["outputs"] for cell in cells):
        pytest.skip("MNIST is missing: set SCRATCHNET_DATA to the folder of its four files")
    return ["".join("".join(o.get("text", "")) for o in cell["outputs"]) for cell in cells]


@pytest.mark.parametrize("name", TOUR)
def test_the_tour_s_notebooks_run_and_draw(site, name):
    printed_by(site, name)
    english, korean = (cells_of(site, language, name) for language in ("en", "ko"))
    pairs = [[(c["source"], c["outputs"]) for c in code_of(book)] for book in (english, korean)]
    assert pairs[0] == pairs[1]
    words = ["".join("".join(c["source"]) for c in book if c["cell_type"] != "code") for book in (english, korean)]
    hangul = [len(re.findall("[가-힣]", text)) for text in words]
    assert hangul[0] == 0 and hangul[1] > 300
    outputs = [output for cell in code_of(english) for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= (1 if name == "own-class" else 2)


@pytest.mark.parametrize("language", ["", "ko/"])
def test_the_tour_s_pictures_are_described(site, language):
    described = []
    for name in TOUR:
        images = re.findall(r"<img [^>]*>", (site / f"{language}tour/{name}.html").read_text("utf-8"))
        described += [re.search(r'alt="([^"]*)"', image)[1] for image in images if "png" in image]
    assert len(described) >= 14 and not [alt for alt in described if len(alt) < 15 or "/" in alt]
    assert len(set(described)) == len(described)


def test_the_tour_s_claims_hold(site):
    assert float(printed_by(site, "spiral")[1].split()[0]) > 0.94
    assert "plan" in printed_by(site, "spiral")[1]
    own = printed_by(site, "own-class")
    assert own[1].startswith("layers ") and own[2].startswith("plan ") and own[2].endswith("True\nTrue\n")
    assert own[-2] == "True\n" and "compile=True" in own[-1]
    stopped, interrupted, resumed = (printed_by(site, "convnet")[k] for k in (2, 3, 4))
    assert stopped.startswith("plan ") and float(stopped.split()[-1]) > 0.9
    assert interrupted == "interrupted after epoch 6\n"
    assert resumed.split() == [stopped.split()[1], "True", "True"]
    reached, grammar = (float(number) for number in re.findall(r"\d\.\d+", printed_by(site, "words")[3]))
    assert grammar - 0.05 < reached < 1.05 * grammar
    animals, people, across = (float(number) for number in re.findall(r"-?\d\.\d+", printed_by(site, "words")[5]))
    assert min(animals, people) > 0.7 > 0.2 > across
    table = printed_by(site, "table")
    assert float(table[1].split()[0]) > 0.92 and float(table[4].split()[-1]) < 1e-9


def test_mnist_is_learned_to_0_98(site):
    printed = printed_by(site, "mnist")
    assert float(printed[1].split()[0]) < 0.3 and float(printed[3]) > 0.98
    assert printed[-1] == "True\n"


def test_the_tour_is_linked_from_the_start_and_leads_on(site):
    for folder, other in ((site, "ko/tour"), (site / "ko", "../tour")):
        assert 'href="tour/index.html"' in (folder / "index.html").read_text("utf-8")
        assert 'href="estimators.html"' in (folder / "index.html").read_text("utf-8")
        for name, following in pairwise(TOUR):
            text = (folder / "tour" / f"{name}.html").read_text("utf-8")
            assert re.search(rf'class="next-page" href="{following}.html"', text)
            assert f'href="../{other}/{name}.html"' in text
            assert re.search(rf'href="\.\./_downloads/\w+/{name}\.ipynb" download', text)
        assert len(list((folder / "_downloads").rglob("*.ipynb"))) == len(TOUR)


class Page(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.anchors |= {own[name] for name in ("id", "name") if own.get(name)}
        self.targets += [own[name] for name in ("href", "src") if own.get(name) is not None]


def pages_of(site):
    return sorted(site.rglob("*.html"))


def test_no_link_and_no_anchor_is_dead(site):
    pages = {path.resolve(): Page(path) for path in pages_of(site)}
    assert len(pages) > 100
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or target.startswith("#svg-"):
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not there.exists() or (anchor and there in pages and anchor not in pages[there].anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {target}")
    assert not dead, dead[:20]


def test_nothing_that_a_page_loads_is_elsewhere(site):
    for path in pages_of(site):
        text = path.read_text("utf-8")
        for tag in ("<script", "<link", "<img", "<iframe"):
            for part in text.split(tag)[1:]:
                opening = part.partition(">")[0]
                assert 'rel="canonical"' in opening or "//" not in opening.replace("</", ""), opening


def test_every_page_of_layers_is_in_both_languages_and_leads_on(site):
    english = {path.name for path in (site / "layers").glob("*.html")}
    assert len(english) > 30 and english == {path.name for path in (site / "ko" / "layers").glob("*.html")}
    affine = (site / "layers" / "Affine.html").read_text("utf-8")
    assert (
        'class="next-page"' in affine
        and 'class="prev-page"' in affine
        and 'href="../ko/layers/Affine.html"' in affine
    )
    korean = (site / "ko" / "layers" / "Affine.html").read_text("utf-8")
    assert '<html class="no-js" lang="ko"' in korean and 'href="../../layers/Affine.html"' in korean
    assert 'href="../../api/layers.html#scratchnet.layers.Affine"' in korean


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright", reason="playwright is not installed: pip install --group docs")
    if not chromium():
        pytest.skip("Chromium is not installed: on Debian, apt-get install chromium fonts-noto-cjk")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=options)
        yield opened
        opened.close()


# What is wider than the window: the page itself, or an element that nothing around it scrolls
TOO_WIDE = """() => {
  document.querySelectorAll("details").forEach((d) => (d.open = true));
  const scrolls = (e) =>
    !e.matches("article, footer") &&
    (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const wide = [...document.querySelectorAll("article *, footer *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1) && !scrolls(e);
  });
  const page = document.documentElement.scrollWidth > innerWidth ? ["the page"] : [];
  return page.concat(wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)));
}"""
# Small pictures, or formulas that have not been set
NOT_SET = """() => [
  ...[...document.querySelectorAll("div.math, span.math")].filter((e) => !e.querySelector("svg, mjx-container")),
  ...[...document.querySelectorAll("mjx-merror, [data-mjx-error]")],
].map((e) => e.textContent.slice(0, 80))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_overflows_or_asks_for_anything_elsewhere(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=WIDTHS[width])
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    wrong = {}
    for path in pages_of(site):
        name = path.relative_to(site).with_suffix("").as_posix()
        if name.startswith("source") and path.name not in ("affine.inc.html", "scratchnet-layers.py.html"):
            continue  # they are alike
        page.goto(path.as_uri())
        page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
        found = page.evaluate(TOO_WIDE) + page.evaluate(NOT_SET)
        if found:
            wrong[name] = found
    page.close()
    assert not wrong
    assert not errors
    home = site.as_uri()
    assert len(requests) > 500 and all(url.startswith((home, "data:")) for url in requests)


def test_what_is_too_wide_is_seen(site, browser):
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto((site / "index.html").as_uri())
    assert page.evaluate(TOO_WIDE) == []
    page.evaluate("document.querySelector('article p').innerHTML = '<div style=\"width: 400px\">wide</div>'")
    assert any("wide" in found for found in page.evaluate(TOO_WIDE))
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_can_be_looked_at(site, browser, width, scheme):
    folder = Path(os.environ.get("SCRATCHNET_SCREENSHOTS", site.parent / "screenshots"))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name in LOOKED_AT:
        page.goto((site / f"{name}.html").as_uri())
        page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
        shot = folder / f"{name.replace('/', '-')}-{width}-{scheme}.png"
        page.screenshot(path=shot, full_page=True)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (luminance(background) > 0.5) == (scheme == "light")
        faint = [found for found in page.evaluate(INKS) if contrast(*found[:2]) < READABLE]
        assert not faint, (name, faint[:3])
        assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)"), name
        pixels = matplotlib_image.imread(shot)[..., :3]
        paper = np.abs(pixels - pixels[-1, -1]).max(axis=2) < 0.05
        assert pixels.shape[1] == width and 0.02 < 1 - paper.mean() < 0.9, name
    page.close()


# WCAG 2.1: text can be read from a contrast of 4.5 on
READABLE = 4.5
# The colour of each text, and the one that is behind it
INKS = """() => {
  const behind = (e) => {
    const colour = getComputedStyle(e).backgroundColor;
    return !e.parentElement || !/^rgba.* 0\\)$|transparent/.test(colour) ? colour : behind(e.parentElement);
  };
  return [...document.querySelectorAll("article p, article li, article h1, article h2, article a, article code")]
    .filter((e) => e.innerText && e.getBoundingClientRect().width)
    .map((e) => [getComputedStyle(e).color, behind(e), e.innerText.slice(0, 40)]);
}"""


def luminance(color):
    """The relative luminance of a colour of CSS, 0 to 1, as WCAG 2.1 defines it."""
    parts = [int(float(part)) / 255 for part in color.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(ink, paper):
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("start, word, found", [("index", "LSTM", "LSTM"), ("ko/index", "기울기", "Relu")])
def test_search_finds_pages_without_a_server(site, browser, start, word, found):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / f"{start}.html").as_uri())
    page.fill("input.sidebar-search", word)
    page.press("input.sidebar-search", "Enter")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(1500)
    assert found in " ".join(page.locator("#search-results li a").all_inner_texts())
    page.close()


def test_the_theme_can_be_switched(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto((site / "layers" / "LSTM.html").as_uri())
    seen = set()
    for _ in range(3):
        page.locator("button.theme-toggle").last.click()
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2
    page.close()
