"""Series as charts: one tested metric with its ratchet, or one metric of a timeline with marks and peak.

A tested metric is drawn as change since the first tested reading, since a slow leak on a large process would
be flat otherwise; the blocks' minima stand out as rising steps. A timeline is drawn as it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_seconds
from memlab.views import words
from memlab.views.geometry import Scale, pick, ratchet, round_ticks, tick_label
from memlab.views.page import Chart

if TYPE_CHECKING:
    from memlab.records.capture import Capture
    from memlab.records.columns import Floats, Ints
    from memlab.records.leak_report import GrowthTest
    from memlab.records.timeline import Timeline
    from memlab.views.geometry import Block

__all__ = ["growth_chart", "timeline_chart"]

_SMALL = (360, 190)
_WIDE = (960, 280)
_LEFT = 72
_RIGHT = 14
_TOP = 14
_BOTTOM = 34
_BUCKETS = 100
_DOTS_UP_TO = 80
_X_STEPS = 4
_FEW = 0.4
_MOST_MARKS = 40


def growth_chart(series: Timeline, test: GrowthTest, index: int) -> Chart | None:
    """Return the picture of one test's evidence, or None when its readings are not in the report."""
    values = series.metrics.get(test.metric)
    if values is None or not len(values):
        return None
    at = series.metrics.get("iteration")
    xs = at if at is not None else series.time_s
    unit = "iteration" if at is not None else "second"
    blocks = ratchet(values, test)
    base = int(values[blocks[0].lowest]) if blocks else int(values[0])
    change = values - base
    kept = pick(change, _BUCKETS)
    sizes = test.metric.endswith("_bytes")
    y_ticks = round_ticks(float(min(0, change.min())), float(max(0, change.max())), sizes=sizes)
    width, height = _SMALL
    x = Scale(float(xs[0]), float(xs[-1]), _LEFT, width - _RIGHT)
    y = Scale(y_ticks[0], y_ticks[-1], height - _BOTTOM, _TOP)
    rose = test.grew and test.sustained
    return Chart(
        id=f"chart-{index}",
        title=words.metric_name(test.metric),
        value=f"{words.growth(test.metric, test.per_iteration)} per iteration",
        tone="bad" if rose else "warn" if test.grew else "good",
        summary=_growth_summary(series, test, blocks),
        caption=words.sentence(f"it {words.test_sentence(test)}"),
        width=width,
        height=height,
        left=_LEFT,
        right=width - _RIGHT,
        top=_TOP,
        bottom=height - _BOTTOM,
        line=tuple((x(float(xs[i])), y(float(change[i]))) for i in kept),
        say=tuple(
            f"{unit} {xs[i]:,}: {words.amount(test.metric, int(values[i]))}"
            f" ({words.growth(test.metric, int(change[i]))})"
            for i in kept
        ),
        y_ticks=_labels(y_ticks, y, sizes=sizes, signed=True),
        x_ticks=_x_labels(float(xs[0]), float(xs[-1]), x),
        x_title=unit,
        dots=len(kept) <= _DOTS_UP_TO,
        bands=tuple(_band(block, xs, x) for block in blocks[::2]),
        steps=_steps(blocks, xs, change, x, y),
        minima=tuple((x(float(xs[b.lowest])), y(float(change[b.lowest]))) for b in blocks),
    )


def timeline_chart(
    timeline: Timeline,
    metric: str,
    index: int,
    capture: Capture | None = None,
    level: tuple[int, str] | None = None,
) -> Chart:
    """Return one metric of a timeline over time; a capture adds its marks and its exact peak.

    ``level`` is a value with its words, drawn as a line across in the place of the peak.
    """
    values, time = timeline.metrics[metric], timeline.time_s
    kept = pick(values, _BUCKETS * 2)
    sizes = metric.endswith("_bytes")
    peak = capture.peak if capture is not None and metric == "rss_bytes" else None
    low, high = float(values.min()), float(values.max())
    if peak is not None and level is None:
        level = peak.value_bytes, f"peak {words.amount(metric, peak.value_bytes)} ({peak.source})"
    if level is not None:
        high = max(high, float(level[0]))
    # Above nought only where the figure would be a flat line otherwise.
    ticks = round_ticks(0.0 if low < _FEW * high or low == high else low, high, sizes=sizes)
    width, height = _WIDE
    x = Scale(float(time[0]), float(time[-1]), _LEFT, width - _RIGHT)
    y = Scale(ticks[0], ticks[-1], height - _BOTTOM, _TOP)
    top = int(values.argmax())
    marks = capture.marks[:_MOST_MARKS] if capture is not None else ()
    summary = (
        f"{len(values):,} samples in {format_seconds(float(time[-1] - time[0]))}: from"
        f" {words.amount(metric, int(values[0]))} to {words.amount(metric, int(values[-1]))}, greatest"
        f" {words.amount(metric, int(values[top]))} at {format_seconds(float(time[top]))}."
    )
    return Chart(
        id=f"chart-{index}",
        title=words.metric_name(metric),
        value=f"greatest {words.amount(metric, int(values[top]))}",
        tone="plain",
        summary=summary,
        caption=summary,
        width=width,
        height=height,
        left=_LEFT,
        right=width - _RIGHT,
        top=_TOP,
        bottom=height - _BOTTOM,
        line=tuple((x(float(time[i])), y(float(values[i]))) for i in kept),
        say=tuple(f"{time[i]:.3f} s: {words.amount(metric, int(values[i]))}" for i in kept),
        y_ticks=_labels(ticks, y, sizes=sizes, signed=False),
        x_ticks=_x_labels(float(time[0]), float(time[-1]), x),
        x_title="seconds",
        dots=len(kept) == 1,
        minima=((x(float(time[top])), y(float(values[top]))),),
        marks=tuple((x(min(max(m.time_s, float(time[0])), float(time[-1]))), m.label) for m in marks),
        level=(y(float(level[0])), level[1]) if level is not None else None,
    )


def _growth_summary(series: Timeline, test: GrowthTest, blocks: tuple[Block, ...]) -> str:
    values = series.metrics[test.metric]
    first, last = (words.amount(test.metric, int(v)) for v in (values[0], values[-1]))
    steps = ", ".join(words.growth(test.metric, m) for m in test.minima)
    drawn = f" Block minima above the first: {steps}." if blocks else ""
    return f"{len(values):,} readings, from {first} to {last}. It {words.test_sentence(test)}.{drawn}"


def _labels(
    ticks: tuple[float, ...], scale: Scale, *, sizes: bool, signed: bool
) -> tuple[tuple[float, str], ...]:
    step = ticks[1] - ticks[0]
    return tuple((scale(t), tick_label(t, step, sizes=sizes, signed=signed)) for t in ticks)


def _x_labels(low: float, high: float, scale: Scale) -> tuple[tuple[float, str], ...]:
    if low == high:
        return ((scale(low), f"{low:g}"),)
    ticks = [t for t in round_ticks(low, high, sizes=False, about=_X_STEPS, whole=False) if low <= t <= high]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return tuple((scale(t), tick_label(t, step, sizes=False)) for t in ticks)


def _edges(block: Block, xs: Ints | Floats, x: Scale) -> tuple[float, float]:
    """Return where a block begins and ends: halfway to its neighbours."""
    places = [x(float(v)) for v in xs]
    before = places[max(block.start - 1, 0)]
    after = places[min(block.stop, len(places) - 1)]
    start = (places[block.start] + before) / 2 if block.start else places[0]
    stop = (places[block.stop - 1] + after) / 2
    return round(start, 1), round(stop, 1)


def _band(block: Block, xs: Ints | Floats, x: Scale) -> tuple[float, float]:
    start, stop = _edges(block, xs, x)
    return start, round(stop - start, 1)


def _steps(
    blocks: tuple[Block, ...], xs: Ints | Floats, change: Ints, x: Scale, y: Scale
) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    for block in blocks:
        start, stop = _edges(block, xs, x)
        level = y(float(change[block.lowest]))
        points += [(start, level), (stop, level)]
    return tuple(points)
