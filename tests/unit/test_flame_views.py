"""A flame tree shown: page, columns for the script, picture, text, table, plot, under hostile names too."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
import samples
from hostile import harmless, refill, strings
from hypothesis import given, settings
from stacks import make
from strategies import results

from memlab.analyses.flame import flame_tree
from memlab.errors import MissingExtraError, UsageError
from memlab.faces.ipython.flame_widget import explore
from memlab.records.flame import FlameTree
from memlab.records.sites import NATIVE
from memlab.records.snapshot import Snapshot
from memlab.views.flame_data import flame_columns, frame_label, package_hues, scales, tone, widths
from memlab.views.flame_map import flame_block, places_block
from memlab.views.flame_words import growth_headline, live_headline, own_lines
from memlab.views.html import build_page, flame_assets, render_flame, render_page, render_summary
from memlab.views.layout import WIDTH, cells
from memlab.views.page import Table, Treemap
from memlab.views.palette import LIGHT, tints, tones
from memlab.views.places import places
from memlab.views.text import render_text

KIB = 1024
OLD = [
    ((("app/db.py", 7), ("app/main.py", 3)), 0, 100 * KIB),
    ((("lib/json.py", 9), ("app/load.py", 5), ("app/main.py", 4)), 0, 40 * KIB),
    ((("lib/json.py", 2), ("lib/boot.py", 1)), 0, 8 * KIB),
]
NEW = [
    ((("app/db.py", 7), ("app/main.py", 3)), 0, 120 * KIB),
    ((("lib/json.py", 9), ("app/load.py", 5), ("app/main.py", 4)), 0, 10 * KIB),
    ((("lib/json.py", 2), ("lib/boot.py", 1)), 0, 8 * KIB),
    ((("app/new.py", 1),), 0, 1 * KIB),
]
OWN = ("app/db.py", "app/main.py", "app/load.py", "app/new.py")


def two():
    """Two snapshots: a line that grew by a fifth, one that shrank, one that appeared, one that stayed."""
    return make(NEW, OWN, label="after"), make(OLD, OWN, label="before")


def tree():
    newer, older = two()
    return flame_tree(newer, older)


def row_named(one, name):
    return next(row for row in range(len(one)) if frame_label(one, int(one.frame[row])) == name)


def test_a_difference_is_told_in_words():
    one = tree()
    assert growth_headline(one) == "-9.00 KiB between the two snapshots, most at lib/json.py:9: -30.0 KiB"
    same = flame_tree(two()[0], two()[0])
    assert growth_headline(same) == "Nothing changed between the two snapshots"
    assert live_headline(flame_tree(two()[0])) == "139 KiB live in 4 blocks, most at app/db.py:7: 120 KiB"


def test_native_code_without_symbols_is_called_that_in_the_headline():
    """``<native> <unknown> in <unknown>`` says nothing to a reader."""
    before = two()[0]
    nameless = tuple(NATIVE + "<unknown>" if file == "app/db.py" else file for file in before.files)
    one = flame_tree(dataclasses.replace(before, files=nameless))
    assert live_headline(one).endswith(", most in native code without symbols: 120 KiB")


def test_own_lines_get_the_stacks_that_they_lead_to_once():
    one = tree()
    said = [(frame_label(one, line.frame), line.now - line.was) for line in own_lines(one)]
    assert said == [
        ("app/load.py:5", -30 * KIB),
        ("app/db.py:7", 20 * KIB),
        ("app/new.py:1", KIB),
    ]
    assert sum(change for _, change in said) == one.total_diff_bytes  # what only libraries did is as before


def test_folded_bytes_count_for_the_line_they_are_folded_under():
    newer, older = two()
    cut = flame_tree(newer, older, rows=2)
    changes = {frame_label(cut, line.frame): line.now - line.was for line in own_lines(cut)}
    assert changes == {"app/main.py:3": 20 * KIB}


def test_a_tone_tells_direction_and_part():
    assert [tone(*pair) for pair in [(100, 100), (101, 100), (100, 95), (100, 80), (50, 100), (9, 0)]] == [
        "same",
        "same",
        "grew-2",
        "grew-3",
        "shrank-4",
        "grew-5",
    ]
    assert tone(0, 0) == "same"


def test_widths_are_what_they_say_and_their_parts_always_fit():
    one = tree()
    assert (widths(one, "now") == one.now.total_bytes).all()
    assert (widths(one, "most") == np.maximum(one.now.total_bytes, one.before.total_bytes)).all()
    assert widths(one, "change")[0] == 9 * KIB
    for mode in ("most", "now", "change"):
        scale, wide = scales(one, mode), widths(one, mode)
        room = [1.0] + [float(wide[row]) * scale[one.parent[row]] for row in range(1, len(one))]
        taken = np.zeros(len(one))
        np.add.at(taken, one.parent[1:], room[1:])
        assert (taken <= np.array(room) + 1e-9).all()
    first = {frame_label(one, int(one.frame[row])): row for row in np.flatnonzero(one.parent == 0)}
    assert scales(one, "change")[0] == pytest.approx(1 / (51 * KIB))  # 20 and 1 grew, 30 shrank: all are seen
    assert len(first) == 4


def test_the_columns_hold_every_byte_of_rows_and_of_places():
    newer, older = two()
    for one in (flame_tree(newer, older), flame_tree(newer, older, rows=4), flame_tree(newer)):
        data = flame_columns(one)
        assert sum(data["self"]) + sum(rest[2] for rest in data["rest"]) == one.total_bytes
        assert sum(data["sum"]) + sum(other[1] for other in data["other"]) == one.total_bytes
        assert sum(data["kids"]) == len(one) - 1
        assert ("was" in data) == (one.before is not None)
        json.dumps(data)


def test_frames_beyond_the_bound_are_summed_by_file(monkeypatch):
    monkeypatch.setattr("memlab.views.flame_data._MOST_FRAMES", 1)
    newer, older = two()
    data = flame_columns(flame_tree(newer, older, rows=1))
    assert len(data["file"]) == 1
    others = {data["files"][file]: (now, was) for file, now, _, was, _ in data["other"]}
    assert others["lib/json.py"] == (18 * KIB, 48 * KIB)


def test_own_code_has_the_first_hue_and_great_packages_the_next():
    one = tree()
    hues, legend = package_hues(one)
    assert legend == ("your code", "lib", "other packages")
    assert {one.files[file]: hue for file, hue in hues.items()} == dict.fromkeys(OWN, 1) | {
        "lib/boot.py": 2,
        "lib/json.py": 2,
    }


def test_places_go_from_package_to_line_without_idle_steps():
    whole = places(tree())
    titles = [kid.title for kid in whole.ordered()]
    assert titles == ["app", "lib/json.py"]
    assert [kid.title for kid in whole.kids["app"].ordered()] == ["db.py:7", "new.py:1"]
    assert [kid.title for kid in whole.kids["lib"].ordered()] == ["json.py:9", "json.py:2"]
    assert (whole.now, whole.was, whole.size) == (139 * KIB, 148 * KIB, 169 * KIB)


def test_the_drawn_icicle_has_each_frame_in_its_place():
    one = tree()
    block = flame_block(one)
    named = {cell.say.split(":")[0] + cell.say.split(":")[1][:2].rstrip(): cell for cell in block.cells}
    whole = 169 * KIB
    cell = named["app/db.py7"] if "app/db.py7" in named else next(c for c in block.cells if "db.py" in c.say)
    assert cell.width == pytest.approx(1000 * 120 * KIB / whole, abs=0.7)
    assert cell.tone == "grew-3"
    assert block.cells[0].width == pytest.approx(1000, abs=1)
    for cell in block.cells:
        assert cell.x >= 0
        assert cell.x + cell.width <= 1000.1


def test_the_page_of_a_difference_answers_in_order():
    newer, older = two()
    page = build_page(newer.diff(older))
    assert [section.id for section in page.sections] == ["yours", "stacks", "map", "changes-section", "notes"]
    assert page.lead == (
        "What changed from before to after. In your own code, app/load.py:5 leads to most of the change:"
        " -30.0 KiB."
    )
    blocks = [block for section in page.sections for block in section.blocks]
    assert sum(isinstance(block, Treemap) for block in blocks) == 2
    own = next(block for block in blocks if isinstance(block, Table) and block.id == "own")
    assert [row[0].copy for row in own.rows] == ["app/load.py:5", "app/db.py:7", "app/new.py:1"]
    assert page.flame is not None


def test_a_difference_without_stacks_still_has_its_table():
    page = build_page(samples.snapshot_diff())
    assert page.flame is None
    assert [section.id for section in page.sections] == ["changes-section", "notes"]
    assert "no flame graph" in page.sections[-1].blocks[0].texts[-1]


@given(results(Snapshot))
@settings(max_examples=25, deadline=None)
def test_any_snapshot_has_a_page(snapshot):
    """Whatever a file may hold: sizes below nought, sums beyond 64 bits, depths that are none."""
    assert render_page(snapshot).startswith("<!doctype html>")


@given(results(FlameTree))
@settings(max_examples=25, deadline=None)
def test_any_tree_has_all_views(one):
    assert render_page(one).startswith("<!doctype html>")
    assert render_flame(one).startswith("<svg")
    assert all(cells(line) <= WIDTH for line in render_text(one).splitlines())
    assert "<table>" in render_summary(one)


class Shape(HTMLParser):
    """Every tag and attribute name of a page, in order."""

    def __init__(self):
        super().__init__()
        self.parts, self.data = [], []

    def handle_starttag(self, tag, attrs):
        self.parts.append((tag, *sorted(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        self.parts.append((f"/{tag}",))


def shape(text):
    parser = Shape()
    parser.feed(text)
    return parser.parts


def hostile_trees(seed):
    one = samples.flame_tree()
    return refill(one, strings(seed))[0], refill(one, harmless())[0]


def fixed(text):
    """A shape without what depends on the room that a name needs."""
    return [part for part in shape(text) if part[0] not in {"text", "/text"}]


HOSTILE = 3000 if os.environ.get("MEMLAB_LONG") == "1" else 40


@pytest.mark.parametrize("seed", range(HOSTILE))
def test_hostile_names_never_change_the_parsed_shape(seed):
    hostile, plain = hostile_trees(seed)
    assert fixed(render_page(hostile)) == fixed(render_page(plain))
    picture = render_flame(hostile)
    assert fixed(picture) == fixed(render_flame(plain))
    assert not re.search(r"<script|<foreignObject|<image|href=|\son\w+=\"", picture)


def test_the_picture_is_well_formed_and_in_the_palette():
    import xml.etree.ElementTree as ET

    for one in (tree(), flame_tree(two()[0]), hostile_trees(5)[0]):
        picture = one.to_svg()
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        for fill in set(re.findall(r'fill="(#\w+)"', picture)):
            assert fill in {*tints(LIGHT), *tones(LIGHT).values(), LIGHT["ink"], LIGHT["surface"]}


def test_a_picture_is_written_to_a_file(tmp_path):
    path = tmp_path / "flame.svg"
    assert tree().to_svg(path) == path.read_text(encoding="utf-8")
    with pytest.raises(UsageError):
        tree().to_svg(tmp_path / "nowhere" / "flame.svg")


def test_the_script_makes_no_markup_and_asks_for_nothing():
    for name in ("flame.js", "treemap.js"):
        script = (resources.files("memlab.views") / "assets" / name).read_text(encoding="utf-8")
        assert not re.search(r"(inner|outer|insertAdjacent)HTML|document\.write|DOMParser|cssText", script)
        assert not re.search(r"https?:|\bimport\b|fetch\(|XMLHttp|WebSocket|eval\(|Function\(", script)
        assert '"style"' not in script
        assert "</" not in script
    script, style = flame_assets()
    assert len(script.encode()) < 48_000
    assert script.count("export default {") == 1
    assert not re.search(r"url\(|@import|https?:|</", style)


def test_the_text_is_indented_by_callers():
    said = render_text(tree()).splitlines()
    assert said[0].startswith("Flame tree before to after: -9.00 KiB")
    assert [line.split()[0] for line in said[4:7]] == ["app/main.py:3", "app/db.py:7", "app/main.py:4"]
    assert said[5].startswith("    app/db.py:7")


def test_the_table_has_one_row_a_row():
    frame = tree().to_frame()
    one = tree()
    assert len(frame) == len(one) - 1
    assert frame.total_diff_bytes[frame.level == 1].sum() == one.total_diff_bytes
    assert set(frame.file) == set(one.files)


def test_the_plot_draws_and_an_empty_tree_says_why():
    from matplotlib.figure import Figure

    axes = tree().plot(Figure().subplots())
    assert axes.get_title(loc="left").startswith("139 KiB live, -9.00 KiB") or "139 KiB" in axes.get_title()
    assert len(axes.patches) > 4
    from memlab.errors import UnavailableError

    with pytest.raises(UnavailableError, match="the tree is empty"):
        flame_tree(make([])).plot(Figure().subplots())


def test_a_widget_holds_columns_and_keeps_plain_views_beside_it():
    newer, older = two()
    widget = explore(newer.flame(older))
    assert widget.flame == flame_columns(tree())
    assert widget.heading.startswith("-9.00 KiB")
    bundle, _ = widget._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/svg+xml"} <= bundle.keys()
    assert bundle["image/svg+xml"] == render_flame(tree())
    widget.close()


def test_what_has_no_widget_is_told():
    with pytest.raises(UsageError, match="no widget for a memit"):
        explore(samples.memit_result())
    with pytest.raises(UsageError, match="no widget for a int"):
        explore(3)


def test_without_anywidget_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r"memlab\[notebook\]"):
        explore(tree())


def test_a_tree_without_its_older_side_is_one_snapshots():
    one = dataclasses.replace(samples.flame_tree(), before=None)
    assert one.total_diff_bytes == one.total_bytes
    assert "Growth" not in [figure.label for figure in build_page(one).figures]
    assert places_block(one).tones == ()
