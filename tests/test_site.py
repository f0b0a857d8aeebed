"""The documentation as a folder of pages: whole, quiet, with every public name, and asking for nothing.

What costs a moment is looked at in each run: that every page and every name has its place, and that
docstrings are markup that parses. The pages themselves are made in ``make test-long`` (half a minute),
warnings being errors, and each is parsed.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from urllib.parse import unquote

import html5lib
import pytest

import memlab

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(tool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    tool.sources(folder)
    return folder


def test_every_public_name_has_one_entry_in_the_reference(sources):
    """Each name of ``memlab`` once; those of ``memlab.testing`` by their module."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in (sources / "reference").glob("*.rst"))
    entries = re.findall(r"^\.\. auto(?:class|function):: memlab\.(\w+)$", text, re.MULTILINE)
    assert sorted(entries) == sorted(set(memlab.__all__) - {"__version__"})
    assert ".. automodule:: memlab.testing" in text


def test_every_page_is_in_the_side_bar(sources):
    """A page that no list leads to is lost in the site."""
    listed = {"index", "decisions/index", "reference/index"}
    for page in sources.rglob("index.md"):
        folder = page.parent.relative_to(sources)
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(folder / name).as_posix() for name in names}
    pages = {p.relative_to(sources).with_suffix("").as_posix() for p in sources.rglob("*.[mr][ds]*")}
    assert sorted(pages - listed) == []


def test_docstrings_are_markup_that_parses():
    """Every public name has a docstring, and its text is sound reStructuredText for the reference."""
    from docutils.core import publish_doctree
    from docutils.parsers.rst import roles
    from sphinx.ext.napoleon import Config, GoogleDocstring

    roles.register_generic_role("meth", lambda *a, **k: None)
    for name in memlab.__all__:
        if name == "__version__":
            continue
        value = getattr(memlab, name)
        text = inspect.getdoc(value)
        assert text, name
        made = str(GoogleDocstring(text, Config(napoleon_use_rtype=False, napoleon_use_ivar=True)))
        made = re.sub(r":(?:class|func|exc|obj|meth):`", "`", made)
        publish_doctree(made, settings_overrides={"halt_level": 2, "report_level": 5})


def asked_for(page):
    """Give each address that a browser would fetch by itself to show a page."""
    for element in html5lib.parse(page, namespaceHTMLElements=False).iter():
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag == "link" and element.get("rel") not in ("author", "search", "index", "next", "prev", "top"):
            yield element.get("href")
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and element.get("src"):
            yield element.get("src")
        if tag == "object":
            yield element.get("data")


def dead_links(site):
    """Give each link to a page, or a place on a page, that is not there."""
    pages = sorted(site.rglob("*.html"))
    parsed = {p.resolve(): html5lib.parse(p.read_bytes(), namespaceHTMLElements=False) for p in pages}
    places = {p: {e.get("id") for e in page.iter() if e.get("id")} for p, page in parsed.items()}
    for path, page in parsed.items():
        for address in (e.get("href") for e in page.iter("a") if e.get("href")):
            if re.match(r"[a-z]+:", address):
                continue
            name, _, place = address.partition("#")
            target = (path.parent / unquote(name)).resolve() if name else path
            if not target.exists() or (place and unquote(place) not in places.get(target, {unquote(place)})):
                yield path.name, address


def test_a_dead_link_is_seen(tmp_path):
    """To a page that is missing, and to a place that is missing on one that is there."""
    (tmp_path / "a.html").write_text(
        "<a href='b.html'>x</a><a href='c.html'>x</a><a href='b.html#on'>x</a><a href='b.html#off'>x</a>"
        "<a href='https://x'>x</a><a href='#here' id='here'>x</a>"
    )
    (tmp_path / "b.html").write_text("<p id='on'>")
    assert list(dead_links(tmp_path)) == [("a.html", "c.html"), ("a.html", "b.html#off")]


@pytest.mark.long
@pytest.mark.timeout(900)
# How Sphinx and MyST call each other until Sphinx 11; warnings about the pages are errors by their own -W.
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_pages_are_made_without_a_warning_and_ask_for_nothing(tool, tmp_path):
    """Warnings are errors; no script, style, picture or font comes from another host; every name is there."""
    site = tmp_path / "site"
    assert tool.build(site) == 0
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert len(pages) > 45
    for path, page in pages.items():
        for address in asked_for(page):
            if address.startswith("data:"):
                continue
            assert not re.match(r"[a-z]+:|//", address), (path.name, address)
            assert (path.parent / address.partition("?")[0].partition("#")[0]).exists(), (path.name, address)
    for style in (*site.rglob("*.css"), *site.rglob("*.js")):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import\s|url\(\s*['\"]?(?:https?:)?//", text), style.name
        assert not re.search(r"(?:fetch|importScripts|XMLHttpRequest)\s*\(\s*['\"](?:https?:)?//", text), (
            style.name
        )
    assert list(dead_links(site)) == []
    named = set(re.findall(r'id="memlab\.(\w+)"', "".join(pages.values())))
    assert set(memlab.__all__) - {"__version__"} <= named


def test_the_search_for_addresses_can_find():
    """What would be fetched is seen; what a reader may click is not counted."""
    page = '<link rel="stylesheet" href="https://x/a.css"><script src="//x/b.js"></script><a href="https://x">x</a>'
    assert list(asked_for(page)) == ["https://x/a.css", "//x/b.js"]
