"""A metric over the runs of the lab book, as a chart of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab.views import bench_words as say
from memlab.views.charts import y_labels
from memlab.views.geometry import Scale, pick, round_ticks
from memlab.views.page import Chart

if TYPE_CHECKING:
    from memlab.records.benchmark import MetricHistory, RunHistory

__all__ = ["trend_chart"]

_SIZE = (360, 190)
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 48, 14, 34
_BUCKETS = 100
_DOTS_UP_TO = 80


def trend_chart(metric: MetricHistory, history: RunHistory, index: int) -> Chart | None:
    """Return the picture of a metric over its runs, its changes marked; None when it has no value."""
    usable = np.flatnonzero(np.isfinite(metric.value))
    if not len(usable):
        return None
    runs, values = metric.run[usable], metric.value[usable]
    changes = [change for change in history.changes if change.metric == metric.name][::-1]
    kept = pick(values, _BUCKETS)
    sizes = metric.unit == "bytes"
    top = float(np.abs(values).max())
    factor = 1.0 if sizes or not top else 10.0 ** -np.floor(np.log10(top))
    ticks = round_ticks(
        float(values.min()) * factor, float(values.max()) * factor, sizes=sizes, whole=False
    )  # fmt: skip
    width, height = _SIZE
    places = np.arange(len(runs), dtype=float)
    x = Scale(0.0, max(float(len(runs) - 1), 1.0), _LEFT, width - _RIGHT)
    y = Scale(ticks[0], ticks[-1], height - _BOTTOM, _TOP)
    labels = (
        y_labels(ticks, y, sizes=True, signed=False)
        if sizes
        else tuple((y(tick), say.amount(tick / factor, say.bare_unit(metric.unit))) for tick in ticks)
    )
    marks = tuple(
        (x(float(places[runs == change.run][0])), f"run {change.run}")
        for change in changes
        if change.run in runs
    )
    worse = any(change.degradation > 0 for change in changes)
    told = "; ".join(f"worse by {say.percent(c.degradation)} from run {c.run} on" for c in changes)
    first, last = (say.amount(float(values[at]), metric.unit) for at in (0, -1))
    return Chart(
        id=f"chart-{index}",
        title=metric.name,
        value=f"{last} in run {runs[-1]:,}",
        tone="bad" if worse else "good" if changes else "plain",
        summary=f"{metric.name}: {len(values):,} runs, from {first} to {last}. {told or 'No change seen'}.",
        caption=(told or "no change that stayed") + ".",
        width=width,
        height=height,
        left=_LEFT,
        right=width - _RIGHT,
        top=_TOP,
        bottom=height - _BOTTOM,
        line=tuple((x(float(places[i])), y(float(values[i]) * factor)) for i in kept),
        say=tuple(f"run {runs[i]:,}: {say.amount(float(values[i]), metric.unit)}" for i in kept),
        y_ticks=labels,
        x_ticks=_run_ticks(runs.tolist(), x),
        x_title="run",
        dots=len(kept) <= _DOTS_UP_TO,
        marks=marks,
    )


def _run_ticks(runs: list[int], x: Scale) -> tuple[tuple[float, str], ...]:
    at = sorted({0, len(runs) // 2, len(runs) - 1})
    return tuple((x(float(i)), f"{runs[i]:,}") for i in at)
