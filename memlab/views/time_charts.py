"""Timelines as still pictures: what a page shows of a recording where no script runs, and on paper.

One chart a metric, drawn as it was read. RSS carries what belongs to the whole recording: spans as bands with
their names in lanes above, the collector's pauses as ticks, marks, and the peak with the line that ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.analyses.decimation import extremes
from memlab.views import words
from memlab.views.charts import x_labels, y_labels
from memlab.views.geometry import Scale, round_ticks
from memlab.views.page import Chart
from memlab.views.timeline_data import caption, peak_columns, peak_moment, peak_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.capture import Capture, Span
    from memlab.records.gc_pauses import GcPauses
    from memlab.records.timeline import Timeline

__all__ = ["overlaid_chart", "timeline_chart"]

_WIDTH = 960
_PLOT = 232
_LEFT = 72
_RIGHT = 14
_TOP = 14
_BOTTOM = 34
_LANE = 17
_LANES = 4
_BUCKETS = 150
_FEW = 0.4
_MOST_MARKS = 40
_MOST_SPANS = 60
_MOST_PAUSES = 400
_LETTER = 6.3
_PAUSE_HEIGHT = 22.0


def timeline_chart(
    timeline: Timeline,
    metric: str,
    index: int,
    capture: Capture | None = None,
    level: tuple[int, str] | None = None,
) -> Chart:
    """Return one metric of a timeline over time; a capture adds its spans, pauses, marks and peak.

    ``level`` is a value with its words, drawn as a line across in the place of the peak.
    """
    values, time = timeline.metrics[metric], timeline.time_s
    kept = extremes(time, values, _BUCKETS)
    top = int(values.argmax())
    whole = capture if metric == "rss_bytes" else None
    peak = whole.peak if whole is not None else None
    spans = whole.spans[:_MOST_SPANS] if whole is not None else ()
    lanes = min(_LANES, max((span.depth + 1 for span in spans), default=0))
    above = _TOP + lanes * _LANE
    bottom = above + _PLOT
    seen = [float(values.max()), float(peak.value_bytes if peak else 0), float(level[0] if level else 0)]
    low, high = float(values.min()), max(seen)
    ticks = _ticks(low, high, metric)
    first, last = float(time[0]), max([float(time[-1]), *(span.end_s for span in spans)])
    x = Scale(first, last, _LEFT, _WIDTH - _RIGHT)
    y = Scale(ticks[0], ticks[-1], bottom, above)
    flag, across = _peak_place(whole if level is None else None, x, y)
    if level is not None:
        across = y(float(level[0])), level[1]
    said = caption(timeline, metric)
    return Chart(
        id=f"chart-{index}",
        title=words.metric_name(metric),
        value=f"greatest {words.amount(metric, int(values[top]))}",
        tone="plain",
        summary=said,
        caption=said,
        width=_WIDTH,
        height=bottom + _BOTTOM,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=above,
        bottom=bottom,
        line=tuple((x(float(time[i])), y(float(values[i]))) for i in kept),
        say=tuple(f"{time[i]:.3f} s: {words.amount(metric, int(values[i]))}" for i in kept),
        y_ticks=y_labels(ticks, y, sizes=metric.endswith("_bytes"), signed=False),
        x_ticks=x_labels(first, last, x),
        x_title="seconds",
        dots=len(kept) == 1,
        minima=((x(float(time[top])), y(float(values[top]))),) if flag is None else (),
        marks=tuple(
            (x(min(max(m.time_s, first), last)), m.label)
            for m in (capture.marks[:_MOST_MARKS] if capture is not None else ())
        ),
        level=across,
        spans=_bands(spans, x, lanes),
        lanes=lanes,
        pauses=_pauses(whole.pauses if whole is not None else None, x),
        flag=flag,
        flag_left=flag is not None and flag[0] > _WIDTH / 2,
    )


def overlaid_chart(
    title: str, lines: Sequence[tuple[str, Timeline, float]], metric: str, index: int, value: str
) -> Chart:
    """Return one metric of several timelines in one picture, each moved left by its shift in seconds."""
    shown = [(name, one, shift) for name, one, shift in lines if len(one.metrics.get(metric, ()))]
    moments = [float(one.time_s[i]) - shift for _, one, shift in shown for i in (0, -1)]
    columns = [one.metrics[metric] for _, one, _ in shown]
    first, last = min(moments), max(moments)
    ticks = _ticks(
        float(min(int(c.min()) for c in columns)), float(max(int(c.max()) for c in columns)), metric
    )
    x = Scale(first, last, _LEFT, _WIDTH - _RIGHT)
    y = Scale(ticks[0], ticks[-1], _TOP + _PLOT, _TOP)
    drawn = [
        tuple(
            (x(float(one.time_s[i]) - shift), y(float(values[i])))
            for i in extremes(one.time_s, values, _BUCKETS)
        )
        for (_, one, shift), values in zip(shown, columns, strict=True)
    ]
    said = " ".join(f"{name}: {caption(one, metric)}" for name, one, _ in shown)
    return Chart(
        id=f"chart-{index}",
        title=title,
        value=value,
        tone="plain",
        summary=said,
        caption=said,
        width=_WIDTH,
        height=_TOP + _PLOT + _BOTTOM,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_TOP + _PLOT,
        line=drawn[0],
        say=(),
        y_ticks=y_labels(ticks, y, sizes=metric.endswith("_bytes"), signed=False),
        x_ticks=x_labels(first, last, x),
        x_title="seconds",
        others=tuple(drawn[1:]),
    )


def _ticks(low: float, high: float, metric: str) -> tuple[float, ...]:
    # Above nought only where the figure would be a flat line otherwise.
    start = 0.0 if low < _FEW * high or low == high else low
    return round_ticks(start, high, sizes=metric.endswith("_bytes"))


def _peak_place(
    capture: Capture | None, x: Scale, y: Scale
) -> tuple[tuple[float, float, tuple[str, ...]] | None, tuple[float, str] | None]:
    """Return the flag of a peak whose moment is known, or else the level of one whose moment is not."""
    if capture is None:
        return None, None
    at = peak_moment(capture)
    peak = peak_columns(capture.peak, at, peak_place(capture))
    if peak is None:
        return None, None
    if at is None:
        return None, (y(float(peak["value"])), peak["label"])
    lines = tuple(text for text in (peak["label"], peak["where"]) if text)
    return (x(min(max(at, x.low), x.high)), y(float(peak["value"])), lines), None


def _bands(spans: Sequence[Span], x: Scale, lanes: int) -> tuple[tuple[float, float, int, str], ...]:
    made = []
    for span in spans:
        start = x(min(max(span.start_s, x.low), x.high))
        width = max(1.5, round(x(min(max(span.end_s, x.low), x.high)) - start, 1))
        letters = int((width - 8) / _LETTER)
        name = words.printable(span.label, max(letters, 1)) if letters > 1 else ""
        made.append((start, width, min(span.depth, lanes - 1), name))
    return tuple(made)


def _pauses(pauses: GcPauses | None, x: Scale) -> tuple[tuple[float, float], ...]:
    """Return the longest pauses as ticks whose heights tell their lengths: a pixel gets its longest."""
    if pauses is None or not len(pauses):
        return ()
    most = float(pauses.pause_s.max()) or 1.0
    longest = (-pauses.pause_s).argsort(kind="stable")[:_MOST_PAUSES]
    tallest: dict[float, float] = {}
    for i in longest.tolist():
        at = float(pauses.start_s[i])
        if x.low <= at <= x.high:
            height = round(3.0 + _PAUSE_HEIGHT * (float(pauses.pause_s[i]) / most) ** 0.5, 1)
            place = float(round(x(at)))
            tallest[place] = max(tallest.get(place, 0.0), height)
    return tuple(sorted(tallest.items()))
