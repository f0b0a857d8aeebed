"""Timelines as they are drawn: packed without loss, thinned without losing a peak, compared."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import samples
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import memlab
from memlab.analyses.capture_compare import compare_captures, figure_pairs
from memlab.errors import UnavailableError, UsageError
from memlab.records.capture import Capture, Ceiling, Mark, Peak, Span
from memlab.records.columns import floats, ints
from memlab.records.gc_pauses import GcPauses
from memlab.records.timeline import Timeline
from memlab.views.html import build_page, render_page, render_timeline_picture
from memlab.views.pause_parts import pause_tables
from memlab.views.timeline_data import (
    Line,
    pack_lines,
    pause_columns,
    peak_moment,
    per_second,
    span_columns,
    timeline_columns,
)


def unpack(series, per):
    """Undo the packing, as the script does it."""
    return np.cumsum(series["t"]) / per, series["base"] + np.cumsum(series["v"]) * series["step"]


def line(time_s, values, metric="rss_bytes"):
    return Line("key", metric, "name", "short", floats(time_s), ints(values), on=True)


def long_capture(count=1_000_000):
    """A recording with as many samples as there may be, and one spike of a single sample."""
    rss = 500_000_000 + (np.cumsum(np.random.default_rng(7).integers(-3, 4, count)) * 4096)
    rss[count // 3] = 4_000_000_000
    timeline = Timeline(floats(np.arange(count) * 0.001), {"rss_bytes": ints(rss)}, {"rss_bytes": "statm"})
    blocks = Timeline(timeline.time_s, {"allocated_blocks": ints(rss // 64)}, {"allocated_blocks": "sys"})
    pauses = np.sort(np.random.default_rng(8).uniform(0, count * 0.001, 20_000))
    none = ints(np.zeros(20_000))
    return Capture(
        timeline=timeline,
        inside=blocks,
        marks=tuple(Mark(float(n), f"mark {n}") for n in range(900)),
        spans=tuple(Span(f"span {n % 7}", n * 0.3, n * 0.3 + 0.2) for n in range(1000)),
        peak=Peak(4_000_000_000, 500_000_000, "vmhwm"),
        pauses=GcPauses(floats(pauses), floats(pauses / 1e6), none, none, none, 1000.0),
    )


def test_a_short_series_is_packed_without_loss():
    """Times to the millionth of the whole, values exactly, in steps of the page size."""
    chance = np.random.default_rng(3)
    time_s = np.sort(chance.uniform(0, 9, 700))
    values = 4096 * chance.integers(1, 10**6, 700)
    per = per_second(9.0)
    (packed,) = pack_lines([line(time_s, values)], per)
    assert packed["step"] == 4096
    times, back = unpack(packed, per)
    assert back.tolist() == values.tolist()
    assert np.abs(times - time_s).max() <= 0.5 / per
    assert packed["samples"] == 700


@pytest.mark.parametrize("values", [[], [5], [7, 7, 7], [0, -3, 2**53]])
def test_small_and_strange_series_are_packed_too(values):
    """Nothing, one reading, a level line, and values that no memory has."""
    (packed,) = pack_lines([line(np.arange(len(values)), values)], 1000)
    assert unpack(packed, 1000)[1].tolist() == values
    json.dumps(packed)


def test_a_million_samples_fit_a_page_and_keep_their_peak():
    """Under 1 MiB, with the spike of one sample in it, and a sentence on what was left out."""
    capture = long_capture()
    page = render_page(capture)
    assert len(page.encode()) < 1_048_576
    (chart,) = build_page(capture).timecharts
    drawn = {series["metric"]: series for series in chart.data["series"]}
    assert len(drawn["rss_bytes"]["t"]) <= 20_000
    _, values = unpack(drawn["rss_bytes"], chart.data["per_second"])
    assert values.max() == 4_000_000_000
    assert "of 2,000,000 samples are on this page" in chart.legend
    still = chart.charts[0]
    assert min(y for _, y in still.line) < still.top + 40  # the still picture has it as well


def test_very_many_spans_and_pauses_are_cut_to_the_longest():
    """What is drawn is bounded, in order of time, and keeps the longest of each."""
    capture = long_capture(2_000)
    assert len(span_columns(capture.spans)) == 300
    pauses = pause_columns(capture.pauses, 1000)
    assert len(pauses["t"]) == 3_000
    assert max(pauses["d"]) == pytest.approx(float(capture.pauses.pause_s.max()), abs=1e-6)
    assert min(pauses["t"][1:]) >= 0


def test_the_moment_of_a_peak_is_told_where_it_is_known():
    """By the stack seen there, else by a sample that stood as high, else not at all."""
    capture = samples.capture()
    assert peak_moment(capture) == capture.peak_stack.time_s
    bare = dataclasses.replace(capture, peak_stack=None)
    assert peak_moment(bare) == 6.0
    missed = dataclasses.replace(bare, peak=Peak(900_000_000, 50_331_648, "vmhwm"))
    assert peak_moment(missed) is None
    data = timeline_columns(missed.timeline, missed)
    assert data["peak"]["label"].endswith("between two samples")
    assert peak_moment(dataclasses.replace(bare, peak=None)) is None


def test_the_page_of_a_capture_draws_all_that_was_recorded():
    """Every metric has its series; spans, pauses, marks and peak are there; only RSS is shown at first."""
    capture = samples.capture()
    data = timeline_columns(capture.timeline, capture)
    metrics = [series["metric"] for series in data["series"]]
    assert metrics[0] == "rss_bytes"
    assert {"threads", "allocated_blocks", "uss_bytes", "cgroup_bytes", "child_rss_bytes"} <= set(metrics)
    assert [series["on"] for series in data["series"]].count(True) == 1
    assert [span["name"] for span in data["spans"]] == ["train", "epoch 1", "evaluate"]
    assert data["spans"][1]["level"] == 1
    assert len(data["pauses"]["t"]) == 4
    assert [mark["label"] for mark in data["marks"]] == ["load", "train"]
    assert data["peak"]["where"] == "app/train.py:41 in epoch"
    assert data["limit"] is None  # far above: it would flatten the line
    near = dataclasses.replace(capture, ceiling=Ceiling(200_000_000, "cgroup v2 memory.max"))
    assert timeline_columns(near.timeline, near)["limit"]["label"] == "limit 191 MiB"


def test_pauses_are_counted_by_their_length():
    """Each pause in one row of the histogram, with its share of the time; the longest first."""
    lengths, longest = pause_tables(samples.gc_pauses())
    assert [row[1].text for row in lengths.rows] == ["0", "2", "1", "1", "0"]
    assert [row[3].text for row in lengths.rows] == ["0 %", "0.8 %", "6 %", "93.2 %", "0 %"]
    assert longest.rows[0][1].text == "31 ms"
    none = ints([])
    assert pause_tables(GcPauses(floats([]), floats([]), none, none, none)) == ()


def test_a_still_picture_is_svg_that_asks_for_nothing():
    """It has the line, the spans' names and the peak, and hostile labels stay text."""
    capture = dataclasses.replace(samples.capture(), marks=(Mark(1.0, "</svg><script>alert(1)</script>"),))
    picture = render_timeline_picture(capture)
    assert picture.startswith("<svg xmlns")
    assert "<script" not in picture
    assert "href" not in picture
    for said in ("train", "epoch 1", "peak 156 MiB (vmhwm)", "app/train.py:41 in epoch"):
        assert said in picture
    assert render_timeline_picture(Capture(Timeline(floats([]), {}))) == ""


# -- two recordings


def test_figures_of_two_recordings_stand_side_by_side():
    """Each figure of both, the growth of those known in both, spans found by their names."""
    pairs = {p.name: p for p in figure_pairs(samples.capture_comparison())}
    assert pairs["Peak RSS"].growth == 70_000_000 - 163_577_856
    assert pairs["Span train: lasted"].first == 6.0
    assert pairs["Span train: lasted"].second == 4.5
    assert pairs["Collections"].second is None
    assert pairs["Collections"].growth is None
    assert pairs["Span evaluate: peak"].first is None


def test_recordings_are_aligned_at_a_mark():
    """Moment 0 of both is the mark; without one it is their starts."""
    one, two = samples.capture(), samples.capture_comparison().second
    assert compare_captures(one, two, at="load").first_s == 2.0
    assert compare_captures(one, two, at="load").second_s == 1.5
    assert compare_captures(one, two).second_s == 0.0
    data = build_page(compare_captures(one, two, at="load")).timecharts[0].data
    assert data["start"] == -2.0
    assert [mark["at"] for mark in data["marks"]] == [0.0, 6.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"at": "nowhere"}, "the first one has no mark 'nowhere'; its marks: load, train"),
        ({"labels": ("a", "a")}, "labels must be two different texts"),
        ({"labels": ("a",)}, "labels must be two different texts"),
        ({"second": samples.timeline()}, "two captures are needed, not a Timeline"),
    ],
)
def test_what_cannot_be_compared_says_so(arguments, said):
    """One sentence that names what is missing."""
    given = {"first": samples.capture(), "second": samples.capture()} | arguments
    with pytest.raises(UsageError, match=said):
        memlab.compare_captures(**given)


# -- matplotlib


@pytest.fixture(scope="module", autouse=True)
def _fonts():
    """Matplotlib opens its fonts when it first draws, and keeps them."""
    drawn(samples.capture())


def drawn(result, **options):
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    assert result.plot(axes, **options) is axes
    figure.canvas.draw()
    return axes


def texts(axes):
    return " ".join(text.get_text() for text in axes.texts)


def test_a_captures_plot_names_spans_marks_and_the_line_at_the_peak():
    """Three shades, their names, two marks, the pauses, and the line that was running."""
    axes = drawn(samples.capture())
    assert len(axes.patches) == 3
    for said in ("train", "epoch 1", "evaluate", "load", "peak 156 MiB", "app/train.py:41 in epoch"):
        assert said in texts(axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["collector, longest 31 ms"]
    assert len(axes.collections[0].get_segments()) == 4
    assert 163_577_856 in [line.get_ydata()[0] for line in axes.lines]


def test_a_captures_plot_never_loses_a_peak():
    """The spike of one sample among a million is drawn, in few points."""
    axes = drawn(dataclasses.replace(long_capture(50_000), spans=(), marks=()))
    assert 4_000_000_000 in axes.lines[0].get_ydata()
    assert len(axes.lines[0].get_ydata()) <= 2_000


def test_another_metric_of_a_capture_can_be_plotted():
    """Wherever in the recording it was read; the peak of RSS has no place there."""
    axes = drawn(samples.capture(), metric="uss_bytes")
    assert axes.lines[0].get_ydata().tolist() == [40_000_000, 120_000_000]
    assert "peak" not in texts(axes)
    with pytest.raises(UnavailableError, match="no samples of nonsense"):
        samples.capture().plot(Figure().subplots(), metric="nonsense")


def test_two_captures_lie_in_one_picture():
    """Both lines, each with its name, aligned; ``plot(other=...)`` is the short way."""
    comparison = samples.capture_comparison()
    axes = drawn(comparison)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "after"]
    assert axes.lines[0].get_xdata()[0] == -2.0
    assert axes.get_xlabel() == "seconds since load"
    axes = drawn(comparison.first, other=comparison.second)
    assert axes.get_xlabel() == "seconds since the start"
    with pytest.raises(UsageError, match="two captures are needed"):
        comparison.first.plot(other=3)
    empty = Capture(Timeline(floats([]), {}))
    with pytest.raises(UnavailableError, match="neither recording has samples of rss_bytes"):
        empty.plot(other=empty)
