"""A tested metric as a chart with its ratchet.

It is drawn as change since the first tested reading, since a slow leak on a large process would be flat
otherwise; the blocks' minima stand out as rising steps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memlab.views import words
from memlab.views.geometry import Scale, pick, ratchet, round_ticks, tick_label
from memlab.views.page import Chart

if TYPE_CHECKING:
    from memlab.records.cache import HitCurve
    from memlab.records.columns import Floats, Ints
    from memlab.records.leak_report import GrowthTest
    from memlab.records.timeline import Timeline
    from memlab.views.geometry import Block

__all__ = ["curve_chart", "growth_chart", "x_labels", "y_labels"]

_SMALL = (360, 190)
_WIDE = (960, 280)
_LEFT = 72
_RIGHT = 14
_TOP = 14
_BOTTOM = 34
_BUCKETS = 100
_DOTS_UP_TO = 80
_X_STEPS = 4


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
        y_ticks=y_labels(y_ticks, y, sizes=sizes, signed=True),
        x_ticks=x_labels(float(xs[0]), float(xs[-1]), x),
        x_title=unit,
        dots=len(kept) <= _DOTS_UP_TO,
        bands=tuple(_band(block, xs, x) for block in blocks[::2]),
        steps=_steps(blocks, xs, change, x, y),
        minima=tuple((x(float(xs[b.lowest])), y(float(change[b.lowest]))) for b in blocks),
    )


def curve_chart(curve: HitCurve, index: int) -> Chart:
    """Return the hit rate over the size of the cache; sizes stand at their powers of ten."""
    sizes, rates = curve.sizes.tolist(), curve.hit_rate.tolist()
    width, height = _WIDE
    low, high = math.log10(max(sizes[0], 1)), math.log10(max(sizes[-1], 1))
    x = Scale(low, high, _LEFT, width - _RIGHT)
    y = Scale(0.0, 1.0, height - _BOTTOM, _TOP)
    places = [(x(math.log10(max(size, 1))), y(rate)) for size, rate in zip(sizes, rates, strict=True)]
    powers = range(math.ceil(low), math.floor(high) + 1)
    now = curve.at(curve.current) if curve.current is not None else None
    marked = [p for p, size in zip(places, sizes, strict=True) if now is not None and size == curve.current]
    summary = (
        f"Hit rate from {rates[0] * 100:.1f} % at {sizes[0]:,} entries to {rates[-1] * 100:.1f} % at"
        f" {sizes[-1]:,}."
    )
    return Chart(
        id=f"chart-{index}",
        title="Hit rate by number of entries",
        value=f"at most {curve.best * 100:.1f} %",
        tone="plain",
        summary=summary,
        caption=summary,
        width=width,
        height=height,
        left=_LEFT,
        right=width - _RIGHT,
        top=_TOP,
        bottom=height - _BOTTOM,
        line=tuple(places),
        say=tuple(f"{size:,} entries: {rate * 100:.1f} %" for size, rate in zip(sizes, rates, strict=True)),
        y_ticks=tuple((y(t / 4), f"{t * 25} %") for t in range(5)),
        x_ticks=tuple((x(float(p)), f"{10**p:,}") for p in powers) or ((x(low), f"{sizes[0]:,}"),),
        x_title="entries",
        dots=len(places) == 1,
        minima=tuple(marked),
    )


def _growth_summary(series: Timeline, test: GrowthTest, blocks: tuple[Block, ...]) -> str:
    values = series.metrics[test.metric]
    first, last = (words.amount(test.metric, int(v)) for v in (values[0], values[-1]))
    steps = ", ".join(words.growth(test.metric, m) for m in test.minima)
    drawn = f" Block minima above the first: {steps}." if blocks else ""
    return f"{len(values):,} readings, from {first} to {last}. It {words.test_sentence(test)}.{drawn}"


def y_labels(
    ticks: tuple[float, ...], scale: Scale, *, sizes: bool, signed: bool
) -> tuple[tuple[float, str], ...]:
    """Return the place and the text of each tick of an upright axis."""
    step = ticks[1] - ticks[0]
    return tuple((scale(t), tick_label(t, step, sizes=sizes, signed=signed)) for t in ticks)


def x_labels(low: float, high: float, scale: Scale) -> tuple[tuple[float, str], ...]:
    """Return the place and the text of round values of a lying axis."""
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
