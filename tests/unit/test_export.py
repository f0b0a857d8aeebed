"""A notebook as one page that loads nothing."""

from __future__ import annotations

import html
import json
import re
import sys

import html5lib
import nbformat
import pytest
import samples

from memlab.errors import UsageError
from memlab.faces import export
from memlab.faces.export import CONTROL, WIDGET, export_all, export_notebook, static_outputs
from memlab.faces.loaded import loaded_by
from memlab.views.html import render_page, render_summary

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def output(**data):
    return nbformat.v4.new_output("display_data", data={k.replace("__", "/"): v for k, v in data.items()})


def view(**data):
    shown = output(**data)
    shown.data[WIDGET] = {"model_id": "1", "version_major": 2, "version_minor": 0}
    return shown


@pytest.fixture
def notebook(tmp_path):
    def write(*outputs, markdown="# A title", source="secret_code = 1", **metadata):
        cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=1)
        document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(markdown), cell])
        document.metadata.update(metadata)
        path = tmp_path / "work.ipynb"
        nbformat.write(document, path)
        return path

    return write


def test_the_page_of_a_plain_notebook_loads_nothing_and_shows_its_outputs(notebook, tmp_path):
    """Nbconvert's own page asks three networks for scripts; ours none."""
    path = notebook(output(text__plain="some text"), output(image__png=PIXEL), source="hidden = 1")
    export_notebook(path, tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert loaded_by(page) == []
    assert "some text" in page
    assert PIXEL in page
    assert "hidden" in page
    assert "cdnjs" not in page
    assert "<title>A title · memlab</title>" in page


def test_the_stock_page_would_load_scripts(notebook):
    """The check is not blind: it finds the addresses that nbconvert puts in by default."""
    import warnings

    from nbconvert import HTMLExporter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page, _ = HTMLExporter(template_name="lab").from_filename(str(notebook(metadata={})))
    found = loaded_by(page)
    assert any("require" in address for address in found)
    assert any("mathjax" in address.lower() for address in found)


def test_a_widget_with_html_beside_it_shows_the_html(notebook, tmp_path):
    """Nbconvert prefers the widget's view, which a static page cannot draw."""
    path = notebook(view(text__html="<b>the fallback</b>", text__plain="plain"))
    export_notebook(path, tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "<b>the fallback</b>" in page
    assert "widget-view+json" not in page


def test_a_widget_without_html_shows_its_text_and_says_so(notebook, tmp_path):
    """A plain control cannot be silently absent."""
    path = notebook(view(text__plain="Button(description='go')"))
    export_notebook(path, tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "Button(description=" in page
    assert CONTROL in page


def test_the_state_of_widgets_is_left_out():
    """The state is only of use to a script that the page does not load."""
    document = nbformat.v4.new_notebook()
    document.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    assert "widgets" not in static_outputs(document).metadata


def test_no_input_leaves_the_code_out(notebook, tmp_path):
    """A reader of results need not see code."""
    export_notebook(notebook(output(text__plain="seen")), tmp_path / "out.html", show_input=False)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "seen" in page
    assert "secret_code" not in page


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://example.org/x.png">',
        '<iframe srcdoc="&lt;img src=&quot;https://example.org/x.png&quot;&gt;"></iframe>',
    ],
)
def test_a_page_that_would_load_something_is_refused_and_not_written(notebook, tmp_path, html):
    """The result is checked, whatever an output brings with it; the reader may insist."""
    path = notebook(output(text__html=html))
    with pytest.raises(UsageError, match=r"would load .*--allow-network"):
        export_notebook(path, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    export_notebook(path, tmp_path / "out.html", allow_network=True)
    assert "img-src data: http: https:;" in (tmp_path / "out.html").read_text(encoding="utf-8")


BAD = {
    "script": '<script src="//example.org/x.js"></script>',
    "link": '<link rel="stylesheet" href="https://example.org/x.css">',
    "background": '<div style="background:url(https://example.org/x.png);color:red">a</div>',
    "style": "<style>@import 'https://example.org/x.css';</style>",
    "module": '<script type="module">import x from "https://example.org/x.js";</script>',
    "fetch": '<script>fetch("https://example.org/x.json")</script>',
    "unclosed": "<script>steal()",
    "handler": '<b onclick="steal()" onmouseover=steal()>a</b>',
    "address": '<a href="javascript:steal()">a</a><a href="data:text/html,<script>steal()</script>">b</a>',
    "image set": '<img srcset="https://example.org/x.png 2x">',
    "video": '<video poster="https://example.org/p.png" src="https://example.org/v.mp4"></video>',
    "form": '<form action="https://example.org"><input name="a"><button>b</button></form>',
    "base": '<base href="https://example.org"><meta http-equiv="refresh" content="0;https://example.org">',
    "object": '<object data="https://example.org/x"><embed src="https://example.org/x"></object>',
    "frame": '<iframe src="https://example.org" sandbox="allow-same-origin allow-scripts"></iframe>',
    "svg": '<svg><script>steal()</script><image href="https://example.org/x"/><animate onbegin="a()"/></svg>',
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=steal()></style></mglyph></table></math>",
    "end": "</div></main></body><script>steal()</script>",
}


def parsed(page):
    """The page as a browser reads it, its own style and script left out."""
    return html5lib.parse(page, namespaceHTMLElements=False)


@pytest.mark.parametrize("way", ["output", "markdown", "markdown output"])
@pytest.mark.parametrize("name", sorted(BAD))
def test_what_runs_or_loads_is_cleaned_away(notebook, tmp_path, name, way):
    """Scripts, handlers, sheets, forms and frames of a foreign output or text do not reach the page."""
    text = f"<p>before</p>{BAD[name]}<p>after</p>"
    path = notebook(
        *([output(text__html=text)] if way == "output" else []),
        *([output(text__markdown=text)] if way == "markdown output" else []),
        markdown=text if way == "markdown" else "# A title",
    )
    export_notebook(path, tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    tree = parsed(page)
    assert [e.get("type") for e in tree.iter("script")] == ["application/json", "module"]
    assert len(list(tree.iter("style"))) == 1
    for element in tree.iter():
        assert element.tag not in ("form", "input", "object", "embed", "base", "video", "image", "animate")
        for key, value in element.attrib.items():
            assert not key.startswith("on")
            assert "example.org" not in value
            assert not value.startswith(("javascript:", "data:text"))
    for frame in tree.iter("iframe"):
        assert (frame.get("sandbox"), frame.get("srcdoc"), frame.get("src")) == ("allow-scripts", "", None)
    assert "before" in "".join(tree.itertext())
    assert len(list(tree.iter("main"))) == 1
    assert "".join(tree.find(".//footer").itertext()).startswith("Made by memlab")


def test_a_result_of_memlab_keeps_its_frame_and_the_policy_knows_its_script(notebook, tmp_path):
    """What memlab shows in a notebook is in the page as it was, sandboxed, and its script may run."""
    for result in (samples.leak_report(), samples.heap_graph(), samples.capture(), samples.report()):
        path = notebook(output(text__html=render_summary(result), text__plain=str(result)))
        export_notebook(path, tmp_path / "out.html")
        page = (tmp_path / "out.html").read_text(encoding="utf-8")
        frame = next(parsed(page).iter("iframe"))
        assert frame.get("srcdoc") == render_page(result)
        assert frame.get("sandbox") == "allow-scripts"
        inner = re.search(r"script-src '([^']+)'", html.unescape(render_page(result))).group(1)
        policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1))
        assert f"'{inner}'" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


FOLD = "No page below?"


def test_the_word_about_an_untrusted_notebook_is_left_out_where_the_page_is_there(notebook, tmp_path):
    """In a notebook that is not trusted the frame is missing, and the fold says why; a page has its frame."""
    results = (samples.leak_report(), samples.capture(), samples.memit_result())
    summaries = [render_summary(result) for result in results]
    assert all((FOLD in summary) == ("<iframe" in summary) for summary in summaries)
    assert sum(FOLD in summary for summary in summaries) >= 2
    export_notebook(notebook(*(output(text__html=summary) for summary in summaries)), tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert FOLD not in page
    assert "is not trusted" not in page
    # Only that is gone: the other folds and the frames are there.
    frames, folds = ("".join(summaries).count(tag) for tag in ("<iframe", "<details"))
    assert page.count("<iframe") == frames
    assert page.count("<details") == folds - sum(FOLD in summary for summary in summaries)


def test_a_fold_of_the_readers_own_stays(notebook, tmp_path):
    """Only the very words are memlab's, and nothing after the end of the fold goes with it."""
    own = "<details><summary>No page today</summary><p>kept one</p></details>"
    ours = f"<details><summary>{FOLD}</summary><p>gone</p></details>"
    after = "\n<p>kept two</p><details><p>kept three</p></details>"
    shown = output(text__html=own + ours + after)
    export_notebook(notebook(shown, markdown=f"# {FOLD}"), tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "gone" not in page
    assert all(f"kept {number}" in page for number in ("one", "two", "three"))
    assert f"{FOLD}</h1>" in page


def test_a_folder_of_notebooks_gets_a_list(tmp_path, notebook):
    """Each notebook becomes a page, and the index names all of them with their titles and first words."""
    first = notebook(markdown="# One\n\nThe *first* of [two](x.html).")
    second = tmp_path / "second.ipynb"
    second.write_bytes(first.read_bytes().replace(b"# One", b"# Two"))
    made = export_all([first, second], tmp_path / "out")
    assert [one.title for one in made] == ["One", "Two"]
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for said in ('href="work.html"', ">One<", 'href="second.html"', ">Two<", "The first of two."):
        assert said in index
    assert loaded_by(index) == []
    assert 'href="index.html"' in (tmp_path / "out" / "work.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="two pages would have the name work"):
        export_all([first, first], tmp_path / "out")


def test_texts_of_a_terminal_are_shown_plain(notebook, tmp_path):
    """Colours of a terminal go, a progress bar keeps its last state, a traceback stays whole."""
    said = nbformat.v4.new_output("stream", name="stderr", text="\x1b[31mred\x1b[0m\n 10 %\r 99 %\n")
    failed = nbformat.v4.new_output(
        "error", ename="KeyError", evalue="x", traceback=["\x1b[1mError\x1b[0m: <x>"]
    )
    export_notebook(notebook(said, failed), tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "<pre>red\n 99 %\n</pre>" in page
    assert "<pre>Error: &lt;x&gt;</pre>" in page


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://example.org">a link to click</a>',
        "<p>see https://example.org/x.js</p>",
        '<img src="data:image/png;base64,AA==">',
        '<script type="application/json">{"src": "https://example.org"}</script>',
        '<svg><use href="#part"></use></svg>',
        '<script>const text = "https://example.org";</script>',
        '<script src=""></script>',
    ],
)
def test_what_loads_nothing_is_not_counted(html):
    """Links, text, data and parts of the page itself are no requests."""
    assert loaded_by(html) == []


def test_an_image_beside_the_notebook_is_embedded(notebook, tmp_path):
    """A page that is moved elsewhere still has its pictures."""
    import base64

    (tmp_path / "picture.png").write_bytes(base64.b64decode(PIXEL))
    path = notebook(markdown="![a picture](picture.png)")
    export_notebook(path, tmp_path / "out.html")
    assert f"data:image/png;base64,{PIXEL}" in (tmp_path / "out.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{ not json", "is no notebook"),
        (b"\xff\xfe\x00\x01", "cannot read"),
        (b"[1, 2]", "is no notebook"),
        (b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "is no notebook"),
        (b"", "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, content, said):
    """Any bytes give one sentence."""
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        export_notebook(path, tmp_path / "out.html")
    assert "\n" not in str(caught.value)


def test_a_missing_notebook_is_named(tmp_path):
    """The name that was given is in the sentence."""
    with pytest.raises(UsageError, match=r"no file .*gone\.ipynb"):
        export_notebook(tmp_path / "gone.ipynb", tmp_path / "out.html")


def test_the_notebook_is_never_overwritten(notebook):
    """Even when it is named as the page."""
    path = notebook()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="overwrite the notebook"):
        export_notebook(path, path)
    assert path.read_bytes() == before


def test_an_unwritable_page_is_refused_before_anything_runs(notebook, tmp_path, monkeypatch):
    """Cells may run for minutes: that the page cannot be written is said first."""
    monkeypatch.setattr(export, "_execute", lambda *a: pytest.fail("the notebook ran"))
    with pytest.raises(UsageError, match="cannot write"):
        export_notebook(notebook(), tmp_path / "no folder" / "out.html", execute=True)


@pytest.mark.parametrize("module", ["bleach", "mistune", "nbformat"])
def test_without_nbconvert_the_error_is_the_command_that_installs_it(notebook, tmp_path, monkeypatch, module):
    """An optional part that is missing names its remedy."""
    path = notebook()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'memlab\[notebook\]'"):
        export_notebook(path, tmp_path / "out.html")


def test_an_old_notebook_is_read(tmp_path):
    """Format 3 had worksheets; nbformat brings it up to date."""
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {"metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, "source": "old"}]}
        ],
    }
    (tmp_path / "old.ipynb").write_text(json.dumps(old), encoding="utf-8")
    export_notebook(tmp_path / "old.ipynb", tmp_path / "out.html")
    assert "<p>old</p>" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_a_signal_that_nbclient_took_is_an_interrupt(notebook, tmp_path, monkeypatch):
    """The client ends its kernel on SIGINT and SIGTERM and then misses it: no bug, and nothing is written."""
    import nbclient

    def missed(client):
        assert client.km is not None

    monkeypatch.setattr(nbclient.NotebookClient, "execute", missed)
    with pytest.raises(KeyboardInterrupt):
        export_notebook(notebook(output(text__plain="1")), tmp_path / "out.html", execute=True)
    assert not (tmp_path / "out.html").exists()
