"""The living timeline of a report in a real browser: read, zoomed, moved, switched, by mouse and by keys."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import random
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import samples
from test_report_page import status
from test_timelines import long_capture

from memlab.views.geometry import round_ticks, tick_label
from memlab.views.html import live_assets

pytestmark = pytest.mark.browser


def capture():
    """The sample recording without a stack, so that its peak stands at the spike of one sample."""
    return dataclasses.replace(samples.capture(), peak_stack=None)


def pad_of(page):
    return page.get_by_role("slider", name="Reading of memory over time")


def readout(page):
    return page.locator("#timeline .readout").text_content()


def ticks(page):
    """The moments that the time axis names."""
    at = page.locator("#timeline svg > text.tick[text-anchor=middle]").all_text_contents()
    return [float(text.removesuffix(" s")) for text in at]


def test_keys_read_zoom_move_and_come_back(visit):
    """The spike is among the readings; plus zooms around it, Shift moves, 0 shows the whole again."""
    page = visit(capture())
    pad = pad_of(page)
    resting = readout(page)
    pad.focus()
    page.keyboard.press("Home")
    assert readout(page).startswith("0.000 s: 48.0 MiB")
    for _ in range(400):
        page.keyboard.press("ArrowRight")
        if "150 MiB" in readout(page):
            break
    said = readout(page)
    assert said.startswith("6.000 s: 150 MiB")
    assert "in train" in said
    assert "collector ran 31.0 ms (generation 2)" in said
    assert pad.get_attribute("aria-valuetext") == said
    for _ in range(4):
        page.keyboard.press("+")
    assert status(page).startswith("Showing ")
    assert min(ticks(page)) > 5
    assert max(ticks(page)) < 7
    assert readout(page) == said  # the zoom keeps the place
    before = ticks(page)
    page.keyboard.press("Shift+ArrowRight")
    assert max(ticks(page)) > max(before)
    page.keyboard.press("0")
    assert status(page) == "Showing the whole"
    assert max(ticks(page)) == 10.0
    pad.blur()
    assert readout(page) == resting


def test_a_drag_zooms_and_a_click_reads(visit):
    """What was dragged over fills the picture; a double click shows the whole; the lower strip moves."""
    page = visit(capture())
    box = pad_of(page).bounding_box()
    y = box["y"] + 100
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    assert " s to " in readout(page)
    page.mouse.up()
    assert 4.5 < min(ticks(page)) < max(ticks(page)) < 7.5
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    assert re.match(r"[56]\.\d{3} s: ", readout(page))
    page.locator("#timeline .brush").click(position={"x": box["width"] * 0.9, "y": 10})
    page.wait_for_function(
        "() => [...document.querySelectorAll('#timeline text.tick[text-anchor=middle]')]"
        ".every(t => parseFloat(t.textContent) > 8)"
    )
    pad_of(page).dblclick(position={"x": 300, "y": 100})
    assert max(ticks(page)) == 10.0


def test_switches_show_and_hide_what_was_measured(visit):
    """Each metric has its switch; a count gets a panel of its own; the last one cannot be switched off."""
    page = visit(capture())
    lines = page.locator("#timeline path.series")
    assert lines.count() == 1
    threads = page.get_by_role("button", name="Threads")
    assert threads.get_attribute("aria-pressed") == "false"
    threads.click()
    page.get_by_role("button", name="Process memory (PSS)").press("Enter")
    assert lines.count() == 3
    pad_of(page).focus()
    assert readout(page).count("MiB") == 2
    assert "threads 2" in readout(page)
    rss = page.get_by_role("button", name="Process memory (RSS)")
    rss.click()
    threads.click()
    page.get_by_role("button", name="Process memory (PSS)").click()
    assert lines.count() == 1


def test_spans_marks_pauses_and_the_peak_are_drawn(visit):
    """Each with its name; the peak's flag says the line that was running."""
    page = visit(samples.capture())
    picture = page.locator("#timeline svg")
    assert picture.locator(".span .name").all_text_contents()[:2] == ["train", "epoch 1"]
    assert picture.locator(".mark-name").all_text_contents() == ["load", "train"]
    assert picture.locator("path.pauses").get_attribute("d").count("M") == 4
    assert picture.locator(".peak-name").all_text_contents() == [
        "peak 156 MiB (vmhwm)",
        "app/train.py:41 in epoch",
    ]
    title = picture.locator(".span title").first.text_content()
    assert title == "train: 6.0 s, peak 156 MiB (vmhwm)"


def test_two_recordings_lie_over_each_other(visit):
    """Two lines from the start, with a switch each, and the mark at 0."""
    page = visit(samples.capture_comparison())
    assert page.locator("#timeline path.series").count() == 2
    assert 0.0 in ticks(page)
    assert ticks(page)[0] < 0
    page.get_by_role("button", name="after: Process memory (RSS)").click()
    assert page.locator("#timeline path.series").count() == 1
    assert page.locator("#figures tbody tr").first.text_content().split()[:2] == ["Peak", "RSS"]


def test_a_million_samples_are_ready_and_zoomed_quickly(visit):
    """Up within a second of processor-bound work, each of 30 zooms within a tenth, the spike still there."""
    page = visit(long_capture())
    took = page.evaluate(
        """() => { const entry = performance.getEntriesByType("navigation")[0];
                   return entry.domContentLoadedEventEnd - entry.responseEnd; }"""
    )
    print(f"ready after {took:.0f} ms")
    pad = pad_of(page)
    pad.focus()
    assert "3.73 GiB" in page.locator("#timeline .peak-name").first.text_content()
    spent = page.evaluate(
        """() => { const pad = document.querySelector('#timeline .pad'); const began = performance.now();
          for (let i = 0; i < 30; i += 1) {
            pad.dispatchEvent(new KeyboardEvent('keydown', { key: i < 15 ? '+' : '-', bubbles: true }));
          }
          return (performance.now() - began) / 30; }"""
    )
    print(f"a zoom takes {spent:.1f} ms")
    page.keyboard.press("0")
    assert page.locator("#timeline path.series").count() == 1


def test_without_scripts_and_on_paper_there_is_a_picture(visit):
    """The still twin has the same line, spans and peak, and no control."""
    page = visit(samples.capture(), java_script_enabled=False)
    picture = page.get_by_role("img", name="Process memory (RSS)")
    assert picture.is_visible()
    for said in ("train", "epoch 1", "peak 156 MiB (vmhwm)", "app/train.py:41 in epoch"):
        assert said in picture.text_content()
    assert page.locator("button:visible").count() == 0
    page = visit(samples.capture())
    page.emulate_media(media="print")
    assert page.locator("#timeline svg").is_visible()
    assert page.locator("#timeline button:visible, #timeline .keys:visible").count() == 0


def test_the_picture_follows_the_window(visit):
    """A narrow window gets a narrow picture whose letters keep their size, and nothing sticks out."""
    page = visit(samples.capture())
    wide = page.locator("#timeline svg").bounding_box()["width"]
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_function(
        "() => document.querySelector('#timeline svg').getBoundingClientRect().width < 390"
    )
    assert wide > 900
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_in_the_picture_can_be_read(visit, scheme):
    """Each text of the picture has at least 4.5 to 1 on the page's surface."""
    page = visit(samples.capture(), color_scheme=scheme)
    colors, ground = page.evaluate(
        """() => { const read = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const box = document.querySelector('#timeline');
          const texts = [...box.querySelectorAll('svg text')].map(t => read(getComputedStyle(t).fill));
          return [texts, read(getComputedStyle(box).backgroundColor)]; }"""
    )

    def light(color):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (p / 255 for p in color)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert colors
    for color in colors:
        high, low = sorted((light(color), light(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def run_module(visit, expression):
    """Return what an expression over the script's own exports gives, as the policy of a page allows it."""
    script, _ = live_assets()
    script = (
        script.replace("export default", "const widget =")
        + f"\ndocument.title = JSON.stringify({expression});"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'"
    page = visit(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script type="module">{script}</script>'
    )
    page.wait_for_function("document.title !== ''")
    return json.loads(page.title())


def test_python_and_script_draw_the_same_ticks(visit):
    """Round values and their texts, for sizes and for counts, near and far from nought."""
    chance = random.Random(5)
    cases = [(0.0, 46_137_344.0, True), (0.0, 97.0, False), (5.0, 5.0, False), (0.0, 1.0, True)]
    for _ in range(150):
        low = chance.choice((0.0, 10 ** chance.uniform(0, 12)))
        cases.append((low, low + 10 ** chance.uniform(0, 12), chance.random() < 0.6))
    made = run_module(
        visit,
        f"{json.dumps(cases)}.map(([low, high, sizes]) => {{ const t = roundTicks(low, high, sizes);"
        " return [t, t.map(one => tickLabel(one, t[1] - t[0], sizes))]; })",
    )
    for (low, high, sizes), (values, labels) in zip(cases, made, strict=True):
        right = round_ticks(low, high, sizes=sizes)
        assert values == pytest.approx(right)
        step = right[1] - right[0]
        assert labels == [tick_label(tick, step, sizes=sizes) for tick in right]


THIN = """(() => {
  const n = 50000, t = new Float64Array(n), v = new Float64Array(n);
  let seed = 9;
  for (let i = 0; i < n; i += 1) { seed = (seed * 16807) % 2147483647; t[i] = i / 100; v[i] = seed; }
  return [[0, 500], [100, 101], [123.4, 340], [499, 500]].map(([from, to]) => {
    const within = (i) => t[i] >= from && t[i] <= to;
    const kept = thin(t, v, from, to, 200);
    const all = [...t.keys()].filter(within).map((i) => v[i]);
    const drawn = kept.filter(within).map((i) => v[i]);
    return [
      kept.length, Math.max(...all) === Math.max(...drawn), Math.min(...all) === Math.min(...drawn),
      kept.every((one, i) => i === 0 || kept[i - 1] < one),
    ];
  });
})()"""

GROW = """(() => {
  const line = { key: 'k', metric: 'rss_bytes', name: 'RSS', unit: 'bytes', hue: 0, on: true };
  const model = growing({
    per_second: 1000, start: 0, end: 0, taken: [1], caption: '', spans: [], marks: [],
    peak: null, limit: null,
    pauses: { t: [], d: [], g: [] }, series: [{ ...line, base: 5, step: 1, t: [0], v: [0] }],
  });
  const column = (values) => new DataView(Float64Array.from(values).buffer);
  const send = (first, values) => grow(
    model,
    {
      tracks: [{ names: ['rss_bytes'], first, rows: values.length }],
      pauses: [[first, 0.01, 0]], marks: [], peak: null, caption: '',
    },
    [column(values.map((_, i) => first + i)), column(values)],
  );
  const whole = [send(1, [6, 7]), send(1, [6, 7]), send(5, [9])];
  const short = [...model.series[0].v];
  const many = Array.from({ length: 30000 }, (_, i) => i % 100);
  many[12345] = 1e9;
  send(6, many);
  const { v } = model.series[0];
  return [whole, short, v.length, Math.max(...v), model.end, model.pauses.t];
})()"""


def test_thinning_keeps_each_columns_least_and_greatest(visit):
    """Whatever the window, the drawn readings have the extremes of all that are in it."""
    for kept, most, least, rising in run_module(visit, THIN):
        assert kept <= 4 * 202
        assert (most, least, rising) == (True, True, True)


def test_a_growing_view_halves_what_is_too_long_without_losing_a_peak(visit):
    """Updates go behind what is there, once each; a gap is told; long series keep their extremes."""
    whole, short, length, most, end, pauses = run_module(visit, GROW)
    assert whole == [True, True, False]
    assert short == [5, 6, 7, 9]
    assert length < 20_000
    assert most == 1e9
    assert end == 30_005
    assert pauses == [1, 5, 6]
