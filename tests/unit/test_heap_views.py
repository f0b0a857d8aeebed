"""The heap's views: exact sentences, tables, pictures, tree, treemap, widget."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from importlib import resources

import numpy as np
import pytest
import samples
from hostile import refill, strings
from matplotlib.figure import Figure

from memlab.errors import MissingExtraError, UnavailableError, UsageError
from memlab.records.chain import Link
from memlab.records.columns import ints
from memlab.records.heap_results import (
    Freed,
    HeapCensus,
    HeapCycles,
    HeapDiff,
    HeapDuplicates,
    HeapHoldings,
    HeapOwners,
    HeapSuspects,
    HeapTree,
)
from memlab.views.heap_answers import heap_answers
from memlab.views.heap_frames import objects_frame
from memlab.views.heap_map import treemap_block
from memlab.views.html import build_page, heap_assets, render_page, render_summary, render_treemap
from memlab.views.layout import WIDTH, cells
from memlab.views.page import Tree, Treemap
from memlab.views.palette import HUES, LIGHT, STRENGTHS, tints
from memlab.views.plots import plot
from memlab.views.squarify import Rect, squarify
from memlab.views.tree_data import OTHERS, tree_columns

SMALL = {
    "heap tree": samples.heap_tree,
    "heap census": samples.heap_census,
    "heap suspects": samples.heap_suspects,
    "heap cycles": samples.heap_cycles,
    "heap duplicates": samples.heap_duplicates,
    "heap owners": samples.heap_owners,
    "freed": samples.freed,
    "heap diff": samples.heap_diff,
    "holdings": samples.heap_holdings,
}


def test_a_graphs_answers_are_asked_once_and_no_part_of_it():
    """What the views ask is kept with the graph, and is neither compared nor saved with it."""
    graph = samples.heap_graph()
    first = heap_answers(graph)
    assert heap_answers(graph) is first
    assert graph == samples.heap_graph()
    assert graph.to_dict() == samples.heap_graph().to_dict()


def empties():
    none = ints([])
    return {
        "tree": HeapTree(*(none for _ in range(6)), (), (), ()),
        "root alone": HeapTree(
            ints([-1]), ints([-1]), *(ints([0]) for _ in range(4)), ("whole heap",), ("",), ("",)
        ),
        "census": HeapCensus((), none, none, none),
        "suspects": HeapSuspects(()),
        "cycles": HeapCycles((), ()),
        "duplicates": HeapDuplicates(()),
        "owners": HeapOwners("module", (), none, none),
        "freed": Freed(0, 0, ()),
        "diff": HeapDiff((), (), exact=False, objects_diff=0, bytes_diff=0),
        "holdings": HeapHoldings(()),
    }


@pytest.mark.parametrize("name", sorted(empties()))
def test_an_empty_result_has_a_page_a_summary_a_text_and_a_table(name):
    """Nothing found is shown too; a picture of nothing is one clear error."""
    result = empties()[name]
    assert "<h1>" in render_page(result)
    assert render_summary(result)
    assert str(result).strip()
    assert len(result.to_frame()) == (1 if name == "root alone" else 0)
    with pytest.raises(UnavailableError, match="nothing to plot"):
        plot(result, Figure().subplots())


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_what_a_limit_cut_short_says_so_in_every_view(kind):
    """An incomplete result's text and page say that its figures are bounds; a complete one's do not."""
    whole = SMALL[kind]()
    cut = dataclasses.replace(whole, complete=False)
    said = "A limit ended the capture: all figures are bounds."
    assert said in " ".join(str(cut).split())
    assert said not in " ".join(str(whole).split())
    page = build_page(cut)
    assert page.badge.text == "incomplete: bounds only"
    assert said in page.lead
    assert build_page(whole).badge is None


# -- text


def test_the_text_of_a_tree_is_indented_by_level():
    assert str(samples.heap_tree()).splitlines()[:12] == [
        "954 MiB in 412,345 objects, by what keeps it",
        "",
        "Dominator tree",
        "  object               retained   share",
        "  module app.registry   496 MiB  52.0 %",
        "    ._live (set)        477 MiB  50.0 %",
        "      3,900 \N{MULTIPLICATION SIGN} Session   458 MiB  48.0 %",
        "      [value] Session  11.4 MiB   1.2 %",
        "    ._names (dict)     14.3 MiB   1.5 %",
        "  module app.cache      200 MiB  21.0 %",
        "    .pages (dict)       196 MiB  20.5 %",
        "      900 \N{MULTIPLICATION SIGN} bytes       195 MiB  20.4 %",
    ]


def test_the_text_of_suspects_is_prose_with_the_chain():
    assert str(samples.heap_suspects()).splitlines() == [
        "2 places keep much of the heap; the greatest keeps 477 MiB, 50 % of it",
        "",
        "  1. _live (set): 477 MiB (50 % of the heap)",
        "     The set app.registry._live keeps 477 MiB, 50 % of the heap, in 3,901 objects of",
        "     app.models.Session and what hangs from them.",
        "     held by         module app.registry -> ._live (set)",
        "     keeps           3,900 list (286 MiB), 3,901 app.models.Session (213 KiB)",
        "",
        "  2. ndarray: 114 MiB (12 % of the heap)",
        "     One array keeps 114 MiB.",
        "     held by         no root was found that reaches it",
        "",
        "Notes",
        "  - A place is named when it keeps a tenth of the heap.",
    ]


def test_the_text_of_a_difference_names_the_container_and_its_line():
    lines = str(samples.heap_diff()).splitlines()
    assert lines[:2] == [
        "Heap growth: +117 MiB, +4,998 objects",
        "  app.registry._live retains +117 MiB of it. Birth marks told new objects from old ones.",
    ]
    assert "  1. app.registry._live (set): +117 MiB, +5,000 objects; 4,000 references, +1,000" in lines
    assert "     allocated at    app/models.py:42 in Session.__init__" in lines
    assert "  tuple       -2     -160 B           10     800 B" in lines


def test_a_container_without_a_name_is_told_by_the_nearest_one_above_it():
    """``dict retains +117 MiB`` names nobody."""
    whole = samples.heap_diff()
    (first, *_) = whole.containers
    links = (*first.chain.links, Link("[value]", "dict", "builtins.dict"))
    nameless = dataclasses.replace(
        first, name="dict", type_name="builtins.dict", chain=dataclasses.replace(first.chain, links=links)
    )
    diff = dataclasses.replace(whole, containers=(nameless,))
    assert build_page(diff).lead.startswith("dict under _live (set) retains +117 MiB of it.")
    alone = dataclasses.replace(nameless, chain=None)
    assert build_page(dataclasses.replace(whole, containers=(alone,))).lead.startswith("dict retains +117")


def test_the_text_of_holdings_says_what_frees_each():
    lines = str(samples.heap_holdings()).splitlines()
    assert lines[0] == "frame, Out[3], _3 retains most: 763 MiB"
    assert lines[4].split()[-1] == "Out.pop(3)"
    assert lines[5].endswith("del model")
    assert lines[6].startswith("  (hidden) ")


def test_the_text_of_what_a_cut_frees_says_what_still_holds_it():
    lines = str(samples.freed()).splitlines()
    assert lines[0] == "477 MiB in 19,704 objects would be freed"
    assert "  Out[3] -> … 4 more … -> [value] list -> [7] Session" in lines


def test_a_graphs_text_has_figures_suspects_types_and_tree():
    text = str(samples.heap_graph())
    assert text.splitlines()[0] == "Heap: 5.00 GiB in 9 objects"
    for said in (
        "references 10",
        "unreachable 2 objects, 112 B, can only be freed by the collector",
        "python engine, CPython 3.11.2 in 812 ms",
        "Objects by type",
        "Dominator tree",
        "- 12 objects of the permanent generation are missing.",
    ):
        assert said in " ".join(text.split())


@pytest.mark.parametrize("kind", [*sorted(SMALL), "heap graph"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_line_of_a_hostile_text_is_too_wide_or_steers_a_terminal(kind, seed):
    result, _ = refill(samples.all_results()[kind], strings(seed))
    for line in str(result).splitlines():
        assert cells(line) <= WIDTH
        assert line.isprintable()


# -- pages


def test_a_graphs_page_is_composed_in_the_order_of_a_readers_questions():
    page = build_page(samples.heap_graph())
    assert [section.id for section in page.sections] == [
        "suspects",
        "map",
        "tree",
        "types",
        "packages",
        "twins",
        "garbage",
        "notes",
    ]
    assert [figure.label for figure in page.figures] == [
        "Objects",
        "Shallow sizes",
        "Roots",
        "Unreachable",
        "Capture",
    ]
    blocks = [block for section in page.sections for block in section.blocks]
    assert sum(isinstance(block, Tree) for block in blocks) == 1
    assert sum(isinstance(block, Treemap) for block in blocks) == 1


def test_the_tree_is_in_the_page_once_and_only_on_pages_that_show_it():
    page = render_page(samples.heap_tree())
    data = json.loads(re.search(r'id="memlab-data">(.*?)</script>', page).group(1))
    assert data["heap"] == tree_columns(samples.heap_tree())
    assert page.count("mountTreemap(host, ") == 2  # defined, and called
    assert "mountTreemap" not in render_page(samples.heap_census())


def long_tree(rows=3000):
    index = np.arange(rows)
    parent = (index - 1) // 3
    parent[0] = -1
    sizes = 10_000_000 // (index + 1)
    retained = sizes.copy()
    for row in range(rows - 1, 0, -1):
        retained[parent[row]] += retained[row]
    return HeapTree(
        ints(parent),
        ints(index),
        ints(np.ones(rows)),
        ints(sizes),
        ints(retained),
        ints(np.bincount(parent[1:], minlength=rows)),
        tuple(f"_a_name_of_some_length_{i} (dict)" for i in range(rows)),
        tuple(f"app.models.Kind{i % 40}" for i in range(rows)),
        tuple(f"._a_name_of_some_length_{i}" if i else "" for i in range(rows)),
        total_objects=rows,
        total_bytes=int(retained[0]),
    )


def test_a_page_of_three_thousand_rows_stays_small():
    assert len(render_page(long_tree()).encode()) < 500_000


def test_huge_and_negative_figures_of_a_foreign_file_are_shown():
    tree = samples.heap_tree(
        shallow_bytes=ints(np.full(14, 2**62)),
        retained_bytes=ints([-5, *[2**62] * 13]),
        children=ints([-3] * 14),
        objects=ints([2**62] * 14),
    )
    assert "TiB" in str(tree)
    assert "TiB" in render_page(tree)
    assert render_treemap(tree).startswith("<svg")
    diff = dataclasses.replace(samples.heap_diff(), bytes_diff=-(2**70))
    assert "TiB" in render_page(diff)
    odd = dataclasses.replace(samples.heap_suspects().suspects[0], share=float("nan"))
    assert "nan" in str(dataclasses.replace(samples.heap_suspects(), suspects=(odd,)))
    assert render_page(dataclasses.replace(samples.heap_suspects(), suspects=(odd,)))


def test_the_columns_of_a_tree_name_each_text_once_and_escape_it():
    columns = tree_columns(samples.heap_tree())
    assert len(columns["texts"]) == len(set(columns["texts"]))
    say = lambda column, row: columns["texts"][columns[column][row]]
    assert (say("via", 9), say("label", 9), say("type", 9)) == ("[value]", "Session", "app.models.Session")
    assert (say("via", 5), say("label", 5)) == ("", "._live (set)")  # a name that both parts say is said once
    assert say("label", 8) == "3,900 \N{MULTIPLICATION SIGN} Session"
    hostile = tree_columns(refill(samples.heap_tree(), strings(4))[0])
    assert all(text.isprintable() and len(text) <= 200 for text in hostile["texts"])


def test_hues_go_to_the_types_with_the_greatest_sizes_of_their_own():
    columns = tree_columns(samples.heap_tree())
    assert columns["legend"] == ["list", "dict", "bytes", "numpy.ndarray", OTHERS]
    hues = dict(zip(samples.heap_tree().type_name, columns["hue"], strict=True))
    assert (hues["builtins.list"], hues["builtins.dict"], hues["builtins.module"]) == (1, 2, 0)


# -- pictures


def test_squarified_areas_are_the_values_and_fill_the_room_without_overlap():
    values = [int(1e6 / (i + 1) ** 1.3) for i in range(60)]
    room = Rect(10, 20, 700, 300)
    boxes = squarify(values, room)
    total = sum(values)
    for value, box in zip(values, boxes, strict=True):
        assert box.width * box.height == pytest.approx(value / total * 210_000, rel=1e-9)
        assert box.x >= 10 - 1e-9
        assert box.x + box.width <= 710 + 1e-6
        assert box.y >= 20 - 1e-9
        assert box.y + box.height <= 320 + 1e-6
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            wide = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
            high = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
            assert wide < 1e-6 or high < 1e-6


def test_squarify_makes_squares_where_slices_would_be_thin():
    """The paper's own example: 6, 6, 4, 3, 2, 2, 1 in a room of 6 by 4."""
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], Rect(0, 0, 6, 4))
    assert (boxes[0].width, boxes[0].height) == (3, 2)
    assert (boxes[1].y, boxes[1].height) == (2, 2)
    assert boxes[2].width == pytest.approx(12 / 7)
    assert max(max(b.width / b.height, b.height / b.width) for b in boxes) < 2.8


def test_squarify_of_nothing_is_nothing():
    assert squarify([], Rect(0, 0, 1, 1)) == []
    assert [b.width for b in squarify([0, -1], Rect(0, 0, 1, 1))] == [0, 0]
    assert [b.width for b in squarify([1], Rect(0, 0, 0, 1))] == [0]
    zero = squarify([5, 0], Rect(0, 0, 2, 2))
    assert zero[0].width * zero[0].height == pytest.approx(4)


def test_the_static_treemap_gives_each_cell_its_share_of_the_picture():
    block = treemap_block(samples.heap_tree())
    outer = [cell for cell in block.cells if not cell.inner]
    parts = [cell.width * cell.height / (block.width * block.height) for cell in outer]
    assert parts == pytest.approx([0.52, 0.21, 0.12, 0.096, 0.054], abs=0.002)
    assert outer[0].say == "module app.registry: 496 MiB, 52.0 %"
    assert outer[-1].hue == -1  # what is not listed


def test_the_picture_of_a_tree_is_one_inert_svg():
    picture = render_treemap(refill(samples.heap_tree(), strings(9))[0])
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert not re.search(r"<script|<foreignObject|<image|href=|\son\w+=\"", picture)
    for fill in set(re.findall(r'fill="(#\w+)"', picture)):
        assert fill in {*tints(LIGHT), LIGHT["ink"], LIGHT["surface"]}


def test_the_style_sheet_and_the_pictures_mix_the_same_colours():
    style = heap_assets()[1]
    assert re.findall(r"\.hue-(\d)[^{]*\{ --hue: var\(--(\w+)\)", style)[: len(HUES)] == [
        (str(i), name) for i, name in enumerate(HUES)
    ]
    assert "var(--hue) var(--tint, 26%)" in style
    steps = re.findall(r"\.grew-\d, \.shrank-\d \{ --tint: (\d+)%", style)
    assert [int(step) / 100 for step in steps] == list(STRENGTHS)
    assert not re.search(r"url\(|@import|https?:|</", style)


def test_the_script_makes_no_markup_and_asks_for_nothing():
    script = (resources.files("memlab.views") / "assets" / "heap.js").read_text(encoding="utf-8")
    assert not re.search(r"(inner|outer|insertAdjacent)HTML|document\.write|DOMParser|cssText", script)
    assert '"style"' not in script
    assert not re.search(r"https?:|\bimport\b|fetch\(|XMLHttp|WebSocket|eval\(|Function\(", script)
    assert len(script.encode()) < 24_000
    assert "</" not in script


@pytest.mark.parametrize("kind", ["heap tree", "heap graph"])
def test_a_tree_is_plotted_as_a_treemap(kind):
    axes = plot(samples.all_results()[kind], Figure().subplots())
    assert len(axes.patches) >= 3
    assert axes.get_title().endswith("areas are retained sizes")


def test_bars_have_the_lengths_of_the_record():
    axes = plot(samples.heap_diff(), Figure().subplots())
    assert [bar.get_width() for bar in axes.patches] == [75_000_000, -160]
    axes = plot(samples.heap_holdings(), Figure().subplots())
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "frame, Out[3], _3",
        "model",
        "last exception",
    ]


# -- tables


def test_a_census_and_a_difference_are_tables_of_their_columns():
    census = samples.heap_census().to_frame()
    assert list(census.columns) == ["type", "objects", "shallow_bytes", "retained_bytes"]
    assert census.iloc[0].tolist() == ["builtins.dict", 20_120, 360_000_000, 800_000_000]
    diff = samples.heap_diff().to_frame()
    assert diff.bytes_diff.tolist() == [75_000_000, -160]
    assert samples.heap_suspects().to_frame().held_by.tolist()[0] == "module app.registry -> ._live (set)"
    assert samples.heap_tree().to_frame().parent.tolist() == samples.heap_tree().parent.tolist()
    assert samples.heap_holdings().to_frame().names.tolist() == ["frame, Out[3], _3", "model", ""]
    assert samples.heap_cycles().to_frame().cycles.tolist() == [40, 7]
    assert samples.heap_owners().to_frame().owner.tolist() == ["app", "numpy", "(shared)", "(garbage)"]
    assert samples.heap_duplicates().to_frame().wasted_bytes.sum() == samples.heap_duplicates().wasted_bytes
    assert samples.freed().to_frame().objects.tolist() == [3_900, 3_901]


def test_the_objects_of_a_graph_come_greatest_retained_first():
    frame = samples.heap_graph().query()
    assert list(frame.columns) == [
        "node",
        "name",
        "type",
        "shallow_bytes",
        "retained_bytes",
        "references",
        "holders",
        "module",
    ]
    assert len(frame) == 9
    by_node = frame.set_index("node")
    assert by_node.loc[6, "shallow_bytes"] == 5 * 2**30
    assert by_node.loc[2, ["references", "holders"]].tolist() == [3, 1]
    assert by_node.loc[3, ["references", "holders"]].tolist() == [2, 2]  # the set refers to it twice
    # the session's own 56 bytes: its log is shared, its buffer immortal
    assert by_node.loc[3, "retained_bytes"] == 56
    assert by_node.loc[2, "retained_bytes"] == 728 + 56 + 56 + 88
    assert by_node.loc[2, "module"] == "app.registry"
    assert by_node.loc[7, "module"] == "(garbage)"
    assert frame.retained_bytes.is_monotonic_decreasing


def test_objects_are_asked_for_by_type_module_size_and_number():
    graph = samples.heap_graph()
    nodes = lambda **wanted: sorted(objects_frame(graph, **wanted).node)
    assert nodes(kind="app.models.Session") == nodes(kind="Session") == nodes(kind="*Sess*") == [3, 4]
    assert nodes(kind="app.*") == [3, 4, 7, 8]
    assert nodes(kind="NoSuch") == []
    assert nodes(module="app") == nodes(module="app.registry") == [0, 1, 2, 3, 4, 5]
    assert nodes(module="app.reg") == []
    assert nodes(min_retained="1 GiB") == [6]
    assert len(nodes(limit=2)) == 2
    assert nodes(limit=0) == []


@pytest.mark.parametrize(
    "wanted", [{"limit": -1}, {"limit": "3"}, {"limit": True}, {"kind": 3}, {"min_retained": "many"}]
)
def test_a_question_that_can_not_be_read_is_a_usage_error(wanted):
    with pytest.raises(UsageError):
        objects_frame(samples.heap_graph(), **wanted)


# -- the widget


@pytest.fixture
def widget():
    pytest.importorskip("anywidget")
    from memlab.faces.ipython.heap_widget import heap_widget

    made = []

    def opened(heap):
        made.append(heap_widget(heap))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.mark.parametrize("kind", ["heap tree", "heap graph"])
def test_a_widget_has_its_data_and_script_in_its_state(widget, kind):
    heap = samples.all_results()[kind]
    state = widget(heap).get_state()
    tree = heap if kind == "heap tree" else heap.dominator_tree()
    assert state["heap"] == tree_columns(tree)
    assert json.loads(json.dumps(state["heap"])) == state["heap"]
    assert "export default" in state["_esm"]
    assert "https:" not in state["_esm"] + state["_css"]


def test_a_widget_is_never_the_only_view(widget):
    bundle, _ = widget(samples.heap_tree())._repr_mimebundle_()
    assert bundle["text/plain"] == str(samples.heap_tree())
    assert bundle["text/html"] == render_summary(samples.heap_tree())
    assert bundle["image/svg+xml"] == render_treemap(samples.heap_tree())
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_missing_widget_library_is_told_with_its_remedy(monkeypatch):
    from memlab.faces.ipython.heap_widget import heap_widget

    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'memlab\[notebook\]'"):
        heap_widget(samples.heap_tree())
