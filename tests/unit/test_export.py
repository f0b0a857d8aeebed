"""A notebook as one page that loads nothing."""

from __future__ import annotations

import json
import sys

import nbformat
import pytest

from memlab.errors import UsageError
from memlab.faces import export
from memlab.faces.export import CONTROL, WIDGET, export_notebook, static_outputs
from memlab.faces.loaded import loaded_by

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
    assert "<title>work</title>" in page


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
        '<script src="//example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<div style="background:url(https://example.org/x.png)"></div>',
        "<style>@import 'https://example.org/x.css';</style>",
        '<script type="module">import x from "https://example.org/x.js";</script>',
        '<script>fetch("https://example.org/x.json")</script>',
        '<iframe srcdoc="&lt;img src=&quot;https://example.org/x.png&quot;&gt;"></iframe>',
        '<img srcset="https://example.org/x.png 2x">',
        '<video poster="other.png"></video>',
    ],
)
def test_a_page_that_would_load_something_is_refused_and_not_written(notebook, tmp_path, html):
    """The result is checked, whatever an output brings with it; the reader may insist."""
    path = notebook(output(text__html=html))
    with pytest.raises(UsageError, match=r"would load .*--allow-network"):
        export_notebook(path, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    export_notebook(path, tmp_path / "out.html", allow_network=True)
    assert (tmp_path / "out.html").exists()


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


@pytest.mark.parametrize("module", ["nbconvert", "nbformat"])
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
