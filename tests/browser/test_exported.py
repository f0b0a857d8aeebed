"""Exported pages in a real browser with no network: nothing is asked for, nothing complains."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import samples
from browser.accessible import findings
from test_export import BAD, PIXEL, output

from memlab.faces.export import export_all
from memlab.views.html import render_summary

pytestmark = pytest.mark.browser

PANDAS = """<div><style scoped>.dataframe tbody tr th {vertical-align: top}</style>
<table border='1' class='dataframe'><thead><tr style='text-align: right;'><th></th><th>bytes</th></tr></thead>
<tbody><tr><th>0</th><td>12</td></tr></tbody></table></div>"""
CODE = """import memlab  # a comment


def step(n=3):
    return f'{n:,}' if n else None


%memit step()"""
PROSE = """# A title

Some `code`, [a link](https://example.org).

| a | b |
|---|---|
| 1 | 2 |

```python
x = 1
```"""
PART = "## Part {}\n\n1. one\n2. two\n\n### Deeper\n\n> said"
FRAME = """<iframe srcdoc="&lt;script&gt;parent.document.title='stolen';alert(1)&lt;/script&gt;"
sandbox='allow-scripts allow-same-origin'></iframe>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A notebook with an output of every kind, one with everything that is bad, and their list."""
    folder = tmp_path_factory.mktemp("export")
    results = (samples.leak_report(), samples.heap_graph(), samples.snapshot_diff(), samples.capture())
    good = [
        *(output(text__html=render_summary(one), text__plain=str(one)) for one in results),
        output(text__html=PANDAS, text__plain="table"),
        output(image__png=PIXEL, text__plain="<Figure size 1x1>"),
        nbformat.v4.new_output("stream", name="stdout", text="a line\n" * 40),
        nbformat.v4.new_output("stream", name="stderr", text="x" * 400),
        nbformat.v4.new_output("error", ename="E", evalue="e", traceback=["Traceback", "E: e"]),
    ]
    cells = [
        nbformat.v4.new_markdown_cell(PROSE),
        nbformat.v4.new_code_cell(CODE, outputs=good, execution_count=1),
        *(nbformat.v4.new_markdown_cell(PART.format(n)) for n in range(3)),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "good.ipynb")
    steal = "<script>document.title='stolen'</script><b onclick='x()'>b</b>"
    outputs = [output(text__html=html) for html in (*BAD.values(), steal, FRAME)]
    texts = [nbformat.v4.new_markdown_cell(html) for html in BAD.values()]
    bad = nbformat.v4.new_notebook(cells=[*texts, nbformat.v4.new_code_cell("1", outputs=outputs)])
    nbformat.write(bad, folder / "bad.ipynb")
    export_all([folder / "good.ipynb", folder / "bad.ipynb"], folder / "out")
    names = ("good", "bad", "index")
    return {name: (folder / "out" / f"{name}.html").read_text(encoding="utf-8") for name in names}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_exported_notebook_is_quiet_accessible_and_alive(visit, pages, scheme):
    """Every kind of output: no request, no complaint, no serious finding, and the frames' pages live."""
    page = visit(pages["good"], color_scheme=scheme)
    for number in range(4):
        page.frame_locator("iframe").nth(number).locator("html[data-ready=yes]").wait_for(state="attached")
    assert findings(page) == []
    frame = page.frame_locator("iframe").first
    frame.locator("#types").get_by_role("button", name="Objects").click()
    assert frame.locator("#status").text_content() == "Sorted by Objects, descending"
    page.get_by_role("navigation").get_by_role("link", name="Part 1").click()
    assert page.evaluate("document.activeElement.textContent") == "Part 1"


def test_the_list_of_notebooks_is_quiet_and_accessible(visit, pages):
    """The index is a page like the others."""
    page = visit(pages["index"])
    assert findings(page) == []
    assert page.get_by_role("link", name="A title").get_attribute("href") == "good.html"


def test_a_hostile_notebook_does_nothing(visit, pages):
    """What its outputs and its text bring neither runs nor loads, in frames as outside them."""
    page = visit(pages["bad"])
    page.wait_for_timeout(200)
    assert page.title() == "bad · memlab"
    assert page.locator("footer").is_visible()
    assert page.locator("main").count() == 1


@pytest.mark.parametrize("width", [360, 600, 2400])
def test_an_exported_notebook_fits_narrow_and_wide_windows(visit, pages, width):
    """The page never scrolls sideways; wide outputs do so in their own box."""
    page = visit(pages["good"], viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
