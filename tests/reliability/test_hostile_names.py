"""No name changes a page's structure: thousands of hostile ones, through every template and every slot.

A page with hostile names (of files, types, labels, keys, functions, cells) is parsed as browsers parse it,
and must give the elements, attributes and classes, in order, that the same page with harmless names gives.
``make test`` takes 3,000 names and some, ``make test-long`` 100,000.
"""

from __future__ import annotations

import itertools
import os
import re
from importlib import resources

import html5lib
import nbformat
import pytest

from memlab.faces.export import export_all
from memlab.views.html import (
    render_flame,
    render_live_still,
    render_page,
    render_summary,
    render_timeline_picture,
    render_treemap,
)
from tests.unit import samples
from tests.unit.hostile import harmless, refill, strings

LONG = os.environ.get("MEMLAB_LONG") == "1"
NAMES = 100_000 if LONG else 3000
RESULTS = samples.all_results()


def asset(name):
    return (resources.files("memlab.views") / "assets" / name).read_text(encoding="utf-8")


def parse(page):
    """Parse as browsers do. Our own style and script are cut out first: they are the same on every page."""
    page = page.replace(asset("report.js"), "").replace(asset("report.css"), "")
    return html5lib.parse(page, namespaceHTMLElements=False)


def shape(page):
    """Every element with its attributes' names and its class, in order."""
    return [(str(e.tag), tuple(sorted(e.attrib)), e.get("class", "")) for e in parse(page).iter()]


def kinds_of_elements(page):
    """As ``shape`` without order and classes, for what is drawn in as much room as names need."""
    return {one[:2] for one in shape(page)}


# A report of several results has more slots than there are hostile names, so some packages in its graphs
# become one and have one colour; pictures leave out what has no room.
ALMOST = {"report": kinds_of_elements}


def check(kind, seed):
    """Compare one page; return how many names were in it."""
    plain, _ = refill(RESULTS[kind], harmless())
    hostile, used = refill(RESULTS[kind], strings(seed))
    as_compared = ALMOST.get(kind, shape)
    assert as_compared(render_page(hostile)) == as_compared(render_page(plain)), (kind, seed)
    return len(used)


@pytest.mark.timeout(3 * 3600 if LONG else 300)
def test_three_thousand_hostile_names_leave_every_page_as_it_is():
    """Each kind of result in turn, with other names each time."""
    seen = 0
    for seed in itertools.count(1):
        seen += sum(check(kind, seed) for kind in RESULTS)
        if seen >= NAMES:
            break
    print(f"{seen:,} hostile names, {seed} pages of each of {len(RESULTS)} kinds")


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_notebooks_summary_stays_as_it_is(kind):
    """What an untrusted notebook keeps, without the page in its frame."""
    plain, _ = refill(RESULTS[kind], harmless())
    hostile, used = refill(RESULTS[kind], strings(11))
    assert kinds_of_elements(render_summary(hostile)) == kinds_of_elements(render_summary(plain))
    assert used


@pytest.mark.parametrize("seed", range(100 if LONG else 3))
def test_still_pictures_stay_as_they_are(seed):
    """Those of a flame graph, a treemap, a timeline, and of a live view with its figures."""
    made = {
        "flame": (samples.flame_tree(), render_flame),
        "treemap": (samples.heap_tree(), render_treemap),
        "timeline": (samples.capture(), render_timeline_picture),
    }
    for name, (result, render) in made.items():
        plain, hostile = refill(result, harmless())[0], refill(result, strings(seed))[0]
        assert kinds_of_elements(render(hostile)) <= kinds_of_elements(render(plain)), name
        assert not re.search(r"<script|<foreignObject|<image|\son\w+=\"", render(hostile)), name
    names = strings(seed)
    told = ("rss", "peak", "growth", "pauses", "rss_note", "peak_note", "growth_note", "pauses_note", "state")
    words = lambda source: {name: next(source) for name in (*told, "alarm")}
    views = [
        render_live_still(refill(samples.capture(), source)[0], words(source), next(source))
        for source in (harmless(), names)
    ]
    assert kinds_of_elements(views[1]) <= kinds_of_elements(views[0])


def exported(folder, source):
    """Export a notebook whose every text is from ``source``; return its page and the list's."""
    folder.mkdir()
    code = nbformat.v4.new_code_cell(next(source), execution_count=1)
    code.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=next(source)),
        nbformat.v4.new_output("display_data", data={"text/plain": next(source)}),
        nbformat.v4.new_output(
            "error", ename=next(source), evalue=next(source), traceback=[next(source), next(source)]
        ),
    ]
    title = next(source)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), code])
    notebook.metadata["title"] = title
    name = re.sub(r"[/\x00\ud800-\udfff]", "_", next(source))[:40].strip(". ") or "x"
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    export_all([path], folder / "out")
    pages = {one.name: one.read_text(encoding="utf-8") for one in (folder / "out").iterdir()}
    index = pages.pop("index.html")
    return pages.popitem()[1], index


@pytest.mark.filterwarnings("ignore::UserWarning:nbformat")
@pytest.mark.parametrize("seed", range(100 if LONG else 4))
def test_hostile_cells_and_file_names_leave_an_exported_notebook_as_it_is(tmp_path, seed):
    """The text of a cell, what it printed, its error, and the name of the file, which stands in the list."""
    chosen = (name for name in strings(seed) if "\ud800" not in name)  # no file of JSON can hold it
    hostile = exported(tmp_path / "hostile", chosen)
    plain = exported(tmp_path / "plain", harmless())
    inert = {"span", "a", "br"}  # of the syntax highlighting, and what the terminal's colours become
    for page, wanted in zip(hostile, plain, strict=True):
        new = {one for one in kinds_of_elements(page) - kinds_of_elements(wanted) if one[0] not in inert}
        assert new == set()
        assert not re.search(r"<[^>]*\son(error|load|mouseover|focus)\s*=", page)
