"""The site that `make docs` builds, walked link by link and, with Chromium installed, looked at in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

DOCS = Path(__file__).parent.parent / "docs"
if not DOCS.exists():
    pytest.skip("no docs here: the tests run against an installed package", allow_module_level=True)
pytest.importorskip("furo", reason="Sphinx and Furo are not installed: pip install --group docs")
pytestmark = pytest.mark.long

WIDTHS = {1280: "light", 390: "dark"}
LOOKED_AT = (
    "index",
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
        ink = page.evaluate("getComputedStyle(document.querySelector('article h1')).color")
        assert (brightness(background) > brightness(ink)) == (scheme == "light")
        assert shot.stat().st_size > 20_000
    page.close()


def brightness(color):
    return sum(int(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3])


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
