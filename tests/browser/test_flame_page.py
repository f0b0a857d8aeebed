"""Flame graph and treemap of places in a real browser: by mouse and keys, with and without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import samples
from hostile import refill, strings
from planted import Program
from stacks import make
from test_report_page import status

from memlab.analyses.flame import flame_tree
from memlab.records.columns import ints
from memlab.records.flame import FlameSide, FlameTree
from memlab.views.flame_data import flame_columns, frame_label, scales, tone, widths
from memlab.views.flame_map import legend_of
from memlab.views.html import flame_assets, render_page
from memlab.views.places import places

pytestmark = pytest.mark.browser


def stacks(count, seed, depth=14, lines=900):
    """Stacks as a program has them: few beginnings, ever more ways on; heavy tails of sizes."""
    chance = random.Random(seed)
    ways, found = {}, {}
    while len(found) < count:
        path = ()
        for _ in range(chance.randint(4, depth)):
            known = ways.setdefault(path[-3:], [])
            if len(known) < 2 or chance.random() < 0.2:
                line = chance.randrange(lines)
                package = ("app", "pandas", "numpy", "lib")[line % 4]
                known.append((f"{package}/m{line % 23}/f{line % 61}.py", line))
            path = (*path, chance.choice(known))
        found[path[::-1]] = int(chance.paretovariate(1.1) * 500)
    return found


def pair(count=600, seed=3):
    """Two snapshots of one program: some stacks grew, shrank, vanished or appeared."""
    chance, old = random.Random(seed), stacks(count, seed)
    new = {}
    for frames, size in old.items():
        fate = chance.random()
        if fate < 0.08:
            continue
        new[frames] = int(size * chance.uniform(0.3, 2.5)) if fate < 0.3 else size
    new |= stacks(count // 12, seed + 1)
    rows = [[(frames, 0, size) for frames, size in side.items()] for side in (new, old)]
    own = tuple(
        {file for side in rows for frames, _, _ in side for file, _ in frames if file.startswith("app/")}
    )
    return tuple(
        make(side, own, depth=20, label=label) for side, label in zip(rows, ("after", "before"), strict=True)
    )


def wide_tree(rows=100_000):
    """A flame tree as large as they come: 30 levels, each row in its place, two moments."""
    chance = np.random.default_rng(5)
    parent, level_start = [-1], 0
    while len(parent) < rows:
        first, stop = level_start, len(parent)
        level_start = stop
        kids = chance.integers(0, 3, stop - first) if stop > 2_000 else np.full(stop - first, 3)
        if not kids.any():
            kids[0] = 3
        parent += np.repeat(np.arange(first, stop), kids).tolist()
    parent = parent[:rows]
    frames = 5_000
    sides = []
    for _ in range(2):
        own = (chance.pareto(1.0, rows) * 300).astype(np.int64) % (1 << 30)
        own[0] = 0
        total = own.tolist()
        for row in range(rows - 1, 0, -1):
            total[parent[row]] += total[row]
        by_frame = np.bincount(np.arange(rows) % frames, own, frames).astype(np.int64)
        one = np.ones(rows, np.int64)
        count = one.tolist()
        for row in range(rows - 1, 0, -1):
            count[parent[row]] += count[row]
        sides.append(
            FlameSide(ints(own), ints(total), ints(one), ints(count), ints(by_frame), ints(np.ones(frames)))
        )
    frame = np.arange(rows) % frames
    frame[0] = -1
    files = tuple(f"pkg{i % 20}/part{i % 7}/file{i}.py" for i in range(250))
    return FlameTree(
        parent=ints(parent),
        frame=ints(frame),
        folded=ints(np.zeros(rows)),
        repeats=ints(np.ones(rows)),
        now=sides[0],
        before=sides[1],
        frame_file=ints(np.arange(frames) % 250),
        frame_line=ints(np.arange(frames) // 250 * 9 + 1),
        frame_function=ints(np.zeros(frames)),
        files=files,
        functions=("",),
        file_package=ints([i % 20 for i in range(250)]),
        packages=tuple(f"pkg{i}" for i in range(20)),
        own_files=(0, 20, 40),
        depth=30,
    )


def frames_of(page):
    return page.locator(".flame-room .frame")


def frame(page, text):
    return page.locator(f'.flame-room .frame[aria-label^="{text}"]')


def readout(page):
    return page.locator(".flame > .readout").text_content()


def on(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_a_click_goes_into_a_frame_and_a_click_above_goes_out(visit):
    page = visit(samples.flame_tree())
    whole = page.locator(".flame-room").bounding_box()["width"]
    handle = frame(page, "app/service.py:88 in handle")
    assert handle.bounding_box()["width"] < whole - 5
    handle.click()
    page.wait_for_timeout(250)  # it grows for 180 ms
    assert handle.bounding_box()["width"] == pytest.approx(whole, abs=1)
    assert status(page).startswith(
        "Zoomed to app/service.py:88 in handle, 8.09 MiB now, 4.00 MiB before, +4.09 MiB"
    )
    assert frame(page, "app/service.py:91").count() == 0
    frame(page, "all stacks").click()
    assert frame(page, "app/service.py:91").count() == 1
    assert page.get_by_role("button", name="Zoom out").is_disabled()


def test_keys_walk_zoom_and_come_back(visit):
    page = visit(samples.flame_tree())
    frames_of(page).first.focus()
    page.keyboard.press("ArrowDown")
    assert on(page).startswith("app/service.py:88 in handle")
    page.keyboard.press("ArrowRight")
    assert on(page).startswith("app/service.py:91 in handle")
    page.keyboard.press("ArrowDown")
    assert on(page).startswith("json/decoder.py:340, 64.0 KiB now")
    assert "recurs up to 4 times, merged" in on(page)
    page.keyboard.press("Enter")
    assert status(page).startswith("Zoomed to json/decoder.py:340")
    assert on(page).startswith("json/decoder.py:340")
    page.keyboard.press("Escape")
    assert status(page).startswith("Zoomed to app/service.py:91")
    page.keyboard.press("Backspace")
    assert status(page).startswith("Showing all stacks")
    page.keyboard.press("Home")
    assert on(page).startswith("all stacks")
    assert page.locator('.flame-room [tabindex="0"]').count() == 1
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_the_root_can_be_at_the_bottom_and_arrows_follow(visit):
    page = visit(samples.flame_tree())
    page.get_by_role("button", name="Root at the bottom").click()
    boxes = [frame(page, name).bounding_box()["y"] for name in ("all stacks", "app/service.py:88")]
    assert boxes[0] > boxes[1]
    frame(page, "all stacks").focus()
    page.keyboard.press("ArrowUp")
    assert on(page).startswith("app/service.py:88")


def test_a_tree_says_what_a_screen_reader_needs(visit):
    page = visit(samples.flame_tree())
    tree = page.get_by_role("tree", name="Flame graph")
    item = tree.get_by_role("treeitem", name="app/models.py:42 in Session.__init__")
    said = {name: item.get_attribute(f"aria-{name}") for name in ("level", "posinset", "setsize", "selected")}
    assert said == {"level": "3", "posinset": "1", "setsize": "2", "selected": "false"}
    unnamed = page.locator('.flame-room [role="treeitem"]:not([aria-label])')
    assert unnamed.count() == 0
    for control in page.locator(".flame-bar input, .flame-bar select, .flame-bar button").all():
        assert control.evaluate(
            "c => (c.labels && c.labels.length ? c.labels[0].textContent : c.textContent).trim()"
        )


def test_search_finds_text_and_patterns_and_sums_each_stack_once(visit):
    page = visit(samples.flame_tree())
    box = page.get_by_role("searchbox", name="Find")
    found = page.locator(".flame-found")
    box.fill("handle")
    assert found.text_content() == "2 frames, 8.17 MiB (100.0 %), +4.05 MiB (+98 %)"
    assert page.locator(".flame-room .frame.hit").count() == 2
    box.fill(r"/models\.py:\d+|waiters/")
    assert found.text_content() == "2 frames, 8.09 MiB (99.1 %), +4.09 MiB (+102 %)"
    assert status(page) == found.text_content()
    box.press("Enter")
    assert on(page).startswith("app/models.py:42")
    box.fill("/(/")
    assert found.text_content() == "not a regular expression"
    assert box.get_attribute("aria-invalid") == "true"
    box.fill("no such frame")
    assert found.text_content() == "0 frames, 0 B (0.0 %), as before"
    box.fill("")
    assert page.locator(".flame-room .hit, .flame-room .miss").count() == 0


def test_widths_can_be_the_greater_the_newer_or_the_change(visit):
    page = visit(samples.flame_tree())
    tree = samples.flame_tree()
    whole = page.locator(".flame-room").bounding_box()["width"]
    for title, mode in (("after", "now"), ("change", "change"), ("greater of before and after", "most")):
        page.get_by_label("Width").select_option(label=title)
        page.wait_for_timeout(220)
        share = int(widths(tree, mode)[1]) * scales(tree, mode)[0]
        assert frame(page, "app/service.py:88").bounding_box()["width"] / whole == pytest.approx(
            share, abs=0.002
        )


def test_grown_and_shrunken_frames_differ_by_more_than_colour(visit):
    page = visit(samples.flame_tree())
    assert "grew-4" in frame(page, "app/models.py:42").get_attribute("class")
    less = frame(page, "app/service.py:91")
    assert "shrank-3" in less.get_attribute("class")
    assert frame(page, "app/models.py:42").locator(".size").text_content() == "+4.00 MiB"
    assert less.get_attribute("aria-label").endswith("-44.1 KiB")


def test_folded_frames_are_told_where_they_are(visit):
    page = visit(samples.flame_tree())
    assert readout(page).endswith("5 smaller frames are folded")
    frame(page, "app/service.py:91").hover()
    assert readout(page).endswith("3 smaller frames are folded")
    frame(page, "app/service.py:91").click()
    strip = page.locator(".flame-room .strip.folded")
    assert strip.get_attribute("title") == "3 smaller frames, folded: -12.1 KiB (-51 %)"


def test_a_path_is_copied(visit):
    page = visit(samples.flame_tree())
    frame(page, "app/models.py:42").click()
    page.get_by_role("button", name="Copy path").click()
    page.locator("#status", has_text="Copied 2 frames").wait_for(state="attached")
    box = page.get_by_role("searchbox", name="Find")
    box.focus()
    page.keyboard.press("ControlOrMeta+v")
    assert box.input_value() == "app/service.py:88 in handle app/models.py:42 in Session.__init__"


def test_a_place_in_a_table_is_shown_in_the_graph(visit):
    page = visit(samples.flame_tree())
    page.get_by_role("button", name="Show app/waiters.py:17 in the flame graph").first.click()
    assert page.get_by_role("searchbox", name="Find").input_value() == "app/waiters.py:17"
    assert on(page).startswith("app/waiters.py:17")


def run_module(visit, expression, data):
    """Return what an expression over the script's own functions gives, as the policy of a page allows it."""
    script, _ = flame_assets()
    script = script.replace("export default", "const widget =")
    held = json.dumps(data).replace("<", "\\u003c")
    script += (
        f"\nconst data = {held};\ndocument.title = 'ran'; globalThis.made = JSON.stringify({expression});"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'"
    page = visit(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script type="module">{script}</script>'
    )
    page.wait_for_function("globalThis.made !== undefined")
    return json.loads(page.evaluate("globalThis.made"))


WALK = """(() => {
  const tree = TREE;
  const named = readFrames(data);
  const out = [];
  for (let row = 0; row < tree.size(); row += 1) {
    tree.open(row);
    const path = [];
    for (let up = row; up > 0; up = tree.parent[up]) path.unshift(named(tree.frame[up], true).label);
    out.push([path, tree.now[row], tree.was[row], tree.blocks[row], tree.wasBlocks[row]]);
  }
  return out;
})()"""


def told(tree):
    """What Python says of each row, in order."""
    out = []
    for row in range(len(tree)):
        path, up = [], row
        while up > 0:
            path.insert(0, frame_label(tree, int(tree.frame[up])))
            up = int(tree.parent[up])
        before = tree.before or tree.now
        sums = (tree.now.total_bytes, before.total_bytes, tree.now.total_blocks, before.total_blocks)
        out.append([path, *(int(column[row]) for column in sums)])
    return out


def test_python_and_script_sum_alike_folded_or_not(visit):
    newer, older = pair(120)
    for rows in (10_000, 60):
        tree = flame_tree(newer, older, rows=rows)
        assert run_module(visit, WALK.replace("TREE", "readFlame(data)"), flame_columns(tree)) == told(tree)


def test_python_and_script_turn_a_tree_round_alike(visit):
    newer, older = pair(120)
    upright, inverted = (flame_tree(newer, older, inverted=way) for way in (False, True))
    for one, other in ((upright, inverted), (inverted, upright)):
        made = run_module(visit, WALK.replace("TREE", "invertFlame(readFlame(data))"), flame_columns(one))
        key = lambda row: row[0]
        assert sorted(made, key=key) == sorted(told(other), key=key)


def test_python_and_script_lay_out_alike(visit):
    newer, older = pair(300)
    tree = flame_tree(newer, older, rows=400)
    for mode in ("most", "now", "change"):
        lay = f"layFlame(readFlame(data), 0, '{mode}', 1000).drawn.filter((one) => one.row >= 0)"
        made = run_module(
            visit, f"{lay}.map((one) => [one.row, one.x, one.wide, one.level])", flame_columns(tree)
        )
        scale, wide = scales(tree, mode), widths(tree, mode)
        at, place = [0.0] * len(tree), {0: (0.0, 1.0)}
        for row in range(1, len(tree)):
            parent = int(tree.parent[row])
            room = float(wide[row]) * scale[parent]
            place[row] = (at[parent], room)
            at[row], at[parent] = at[parent], at[parent] + room
        assert {row: pytest.approx(place[row], abs=1e-9) for row, *_ in made} == {
            row: (x, room) for row, x, room, _ in made
        }
        seen = {row for row, (_, room) in place.items() if room * 1000 >= 3.001}
        assert seen <= {row for row, *_ in made}


def test_python_and_script_choose_the_same_tones(visit):
    chance = random.Random(2)
    pairs = [(0, 0), (5, 0), (0, 5), (101, 100), (105, 100)]
    pairs += [(chance.randrange(2000), chance.randrange(2000)) for _ in range(300)]
    made = run_module(visit, "data.map(([now, was]) => toneOf(now, was))", pairs)
    assert made == [tone(now, was) for now, was in pairs]


def test_python_and_script_make_the_same_places(visit):
    newer, older = pair(200)
    tree = flame_tree(newer, older)
    made = run_module(
        visit,
        """(() => { const t = placesOf(data, "most", "package");
             const dig = (row) => [t.title(row), t.size[row], t.kids[row].map(dig)]; return dig(0); })()""",
        flame_columns(tree),
    )
    dig = lambda place: [place.title, place.size, [dig(kid) for kid in place.ordered()]]
    assert made == dig(places(tree))


def test_the_treemap_goes_from_packages_to_lines(visit):
    page = visit(samples.flame_tree())
    cells = page.locator("#places .map-room > button")
    assert cells.first.get_attribute("aria-label").startswith("app, 8.09 MiB now, 4.00 MiB before, +4.09 MiB")
    cells.first.click()
    path = page.get_by_role("navigation", name="Path in the treemap").get_by_role("button")
    assert path.all_text_contents() == ["everything", "app"]
    assert cells.first.locator(".title .name").text_content() == "models.py:42"
    page.get_by_label("Group by").select_option(label="lines")
    assert cells.count() == 5


def test_the_planted_change_is_the_widest_red_frame(visit):
    """As a reader does it: allocating line first, widths the change; the widest red frame is that line."""
    newer, older, (file, line) = Program(10).both()
    page = visit(newer.diff(older))
    page.get_by_role("button", name="Allocating line first").click()
    page.get_by_label("Width").select_option(label="change")
    page.wait_for_timeout(220)
    label = page.evaluate(
        """() => [...document.querySelectorAll('.flame-room .frame[aria-level="2"][class*="grew"]')]
                 .sort((a, b) => b.getBoundingClientRect().width - a.getBoundingClientRect().width)[0]
                 .getAttribute("aria-label")"""
    )
    assert label.startswith((f"{file}:{line} in ", f"{file}:{line},"))


def test_without_scripts_both_pictures_are_drawn(visit):
    page = visit(samples.flame_tree(), java_script_enabled=False)
    graph = page.get_by_role("img", name="Differential flame graph")
    assert graph.is_visible()
    assert graph.locator("rect").count() == 7
    assert page.get_by_role("img", name="Treemap of places").is_visible()
    assert page.locator("button:visible, input:visible").count() == 0


def test_a_hundred_thousand_frames_are_smooth(visit):
    """Only what can be seen is made: some hundred elements; each act is done within two frames' work."""
    page = visit(wide_tree())
    assert page.locator("html").get_attribute("data-flame") == "ready"
    assert 100 < frames_of(page).count() <= 3000
    acts = {
        "zoom": "document.querySelectorAll('.flame-room .frame')[2].click()",
        "out": "[...document.querySelectorAll('.flame-buttons button')].at(-1).click()",
        "turn": "document.querySelector('.flame-buttons button').click()",
    }
    took = {
        name: page.evaluate(f"() => {{ const t = performance.now(); {act}; return performance.now() - t; }}")
        for name, act in acts.items()
    }
    # Far above what they take (docs/benchmarks.md), so that a busy machine decides nothing.
    assert max(took.values()) < 5000, took
    assert frames_of(page).count() <= 3000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_every_tone_can_be_read(visit, scheme):
    """Each frame's and cell's text has at least 4.5 to 1 on its ground, in the light and in the dark page."""
    newer, older = pair()
    page = visit(newer.diff(older), color_scheme=scheme)
    pairs = page.evaluate(
        """() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const read = (color) => {
            canvas.fillStyle = color;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
          };
          return [...document.querySelectorAll(".frame, #places .cell:not(.others)")].map((cell) => {
            const style = getComputedStyle(cell);
            return [read(style.color), read(style.backgroundColor)];
          });
        }"""
    )

    def light(color):
        parts = [part / 255 for part in color]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    assert len({tuple(under) for _, under in pairs}) >= 6
    for ink, under in pairs:
        high, low = sorted((light(ink), light(under)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_narrow_page_at_twice_the_size_needs_no_sideways_scrolling(visit):
    newer, older = pair(200)
    page = visit(newer.diff(older), viewport={"width": 360, "height": 700}, device_scale_factor=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = frames_of(page).count()
    page.set_viewport_size({"width": 1200, "height": 700})
    page.wait_for_function(f"document.querySelectorAll('.flame-room .frame').length > {wide}")


def test_on_paper_the_graph_stands_and_controls_are_gone(visit):
    newer, older = pair(200)
    page = visit(newer.diff(older), color_scheme="dark")
    page.emulate_media(media="print")
    assert frames_of(page).first.is_visible()
    assert page.locator(".flame-bar:visible").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF-")


def test_with_forced_colours_frames_keep_their_edges(visit):
    page = visit(samples.flame_tree(), forced_colors="active")
    style = "e => getComputedStyle(e).borderTopStyle"
    assert frame(page, "app/service.py:91").evaluate(style) == "dashed"
    assert frame(page, "all stacks").evaluate(style) == "solid"


def test_no_motion_where_none_is_wanted(visit):
    page = visit(samples.flame_tree(), reduced_motion="reduce")
    frame(page, "app/service.py:88").click()
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("seed", range(3))
def test_hostile_names_do_nothing_when_everything_is_used(visit, seed):
    page = visit(refill(samples.flame_tree(), strings(seed))[0], viewport={"width": 380, "height": 700})
    for item in frames_of(page).all()[:4]:
        item.hover()
        item.click(force=True)
        page.keyboard.press("Escape")
    page.locator(".flame-buttons button").first.click()
    page.get_by_label("Group by").select_option(label="lines")
    page.locator("#places .map-room > button").first.click()
    assert page.locator("img, iframe, script:not([type])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_the_page_of_a_large_difference_is_small_quick_and_quiet(visit):
    """Below 1 MiB whatever was compared; nothing is asked for, nothing is logged (``visit`` sees to that)."""
    newer, older = pair(9_000, seed=8)
    text = render_page(newer.diff(older))
    assert len(text.encode()) < 1024 * 1024
    page = visit(text)
    assert page.locator("html").get_attribute("data-flame") == "ready"
    took = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert took < 10_000  # 2 s on a quiet machine: benchmarks/flame_page.py measures it


def test_the_widget_draws_from_its_state_alone(visit):
    from memlab.faces.ipython.heap_widget import style_sheet

    tree = samples.flame_tree()
    script, style = flame_assets()
    held = {"flame": flame_columns(tree), "legend": legend_of(tree), "heading": "+4.05 MiB"}
    state = json.dumps(held).replace("<", "\\u003c")
    run = f"""
      const state = {state};
      const model = {{ get: (name) => state[name], on: () => {{}}, off: () => {{}} }};
      const el = document.createElement("div");
      document.body.append(el);
      widget.render({{ model, el }});
      document.title = "ready";
    """
    page = visit(
        f'<!doctype html><meta charset="utf-8"><style>{style_sheet(style)}</style><body'
        f' data-jp-theme-light="false"><script type="module">'
        f"{script.replace('export default {', 'const widget = {')}{run}</script>"
    )
    page.wait_for_function("document.title === 'ready'")
    assert page.locator(".memlab-flame .heading").text_content() == "+4.05 MiB"
    frame(page, "app/models.py:42").click()
    assert readout(page).startswith("app/models.py:42 in Session.__init__")
    assert page.locator(".memlab-flame .hues li").count() == 7
    assert page.locator(".memlab-flame .map-room > button").count() == 2
