"""Timelines as the columns that ``assets/timeline.js`` draws from, in a report as in the live widget.

A series is packed before it is embedded: thinned to a bounded number of readings that keep the first, least,
greatest and last of every stretch, then written as differences of whole numbers (times in fractions of a
second, values in the greatest step that divides them all, which for RSS is the page size). A million samples
take some tens of kilobytes and no peak is lost. Everything else (spans, pauses, marks, peak, limit) is a few
numbers and words. Text of the measured program passes ``printable``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.units import format_bytes, format_seconds
from memlab.analyses.decimation import extremes
from memlab.views import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memlab.records.capture import Capture, Mark, Peak, Span
    from memlab.records.columns import Floats, Ints
    from memlab.records.gc_pauses import GcPauses
    from memlab.records.timeline import Timeline

__all__ = [
    "POINTS",
    "Line",
    "bounds",
    "caption",
    "capture_lines",
    "mark_columns",
    "pack_lines",
    "pause_columns",
    "peak_columns",
    "peak_moment",
    "peak_place",
    "per_second",
    "span_columns",
    "timeline_columns",
]

POINTS = 20_000
"""Readings on a page, of all series together."""
_LEAST_POINTS = 800
_MOST_LINES = 12
_MOST_SPANS = 300
_MOST_PAUSES = 3_000
_MOST_MARKS = 300
_LONGEST_LABEL = 160
_HUES = 6
_SPAN_HUES = (1, 2, 0, 4)
_NEAR = 0.9
_NEAR_LIMIT = 1.5

_SHORT = {
    "rss_bytes": "RSS",
    "uss_bytes": "USS",
    "pss_bytes": "PSS",
    "traced_bytes": "traced",
    "allocated_blocks": "blocks",
    "family_pss_bytes": "with children (PSS)",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One series to be drawn.

    Attributes:
        key: its own name on the page.
        metric: what it is a series of; a name that ends in ``_bytes`` is in bytes.
        name: what a reader sees; ``short`` is that in a reading of several.
        time_s: shape ``(samples,)``.
        values: same shape.
        on: draw it before anybody asks.
    """

    key: str
    metric: str
    name: str
    short: str
    time_s: Floats
    values: Ints
    on: bool


def timeline_columns(
    timeline: Timeline, capture: Capture | None = None, points: int = POINTS
) -> dict[str, Any]:
    """Return what the script draws of a timeline, or of a whole recording.

    Args:
        timeline: what is drawn first.
        capture: the recording that it belongs to, with all that is to be seen of it.
        points: bound on readings, of all series together.
    """
    lines = capture_lines(capture) if capture is not None else _lines_of("timeline", timeline)
    spans = capture.spans if capture is not None else ()
    start, end = bounds(lines, spans)
    per = per_second(end - start)
    most = timeline.high_water_mark() or 0
    ceiling = capture.ceiling if capture is not None else None
    near = ceiling is not None and ceiling.value_bytes <= _NEAR_LIMIT * most
    return {
        "per_second": per,
        "start": start,
        "end": end,
        "series": pack_lines(lines, per, points),
        "spans": span_columns(spans),
        "pauses": pause_columns(capture.pauses if capture is not None else None, per),
        "marks": mark_columns(capture.marks if capture is not None else ()),
        "peak": _peak(capture) if capture is not None else None,
        "limit": {"value": ceiling.value_bytes, "label": f"limit {format_bytes(ceiling.value_bytes)}"}
        if ceiling is not None and near
        else None,
        "caption": caption(timeline),
    }


def capture_lines(capture: Capture, prefix: str = "") -> tuple[Line, ...]:
    """Return every series of a recording, RSS first and alone shown at once."""
    lines = [line for name, one in capture.timelines().items() for line in _lines_of(name, one, prefix)]
    for child in capture.children:
        values = child.timeline.metrics.get("rss_bytes")
        if values is not None and len(values):
            name = f"{prefix}Child {child.pid} (RSS)"
            lines.append(
                Line(
                    f"{prefix}child.{child.pid}",
                    "child_rss_bytes",
                    name,
                    name,
                    child.timeline.time_s,
                    values,
                    on=False,
                )
            )
    lines.sort(key=lambda line: line.metric != "rss_bytes")
    return tuple(lines[:_MOST_LINES])


def _lines_of(name: str, timeline: Timeline, prefix: str = "") -> tuple[Line, ...]:
    shown = [m for m, values in timeline.metrics.items() if len(values)]
    first = "rss_bytes" if "rss_bytes" in shown else next(iter(shown), "")
    return tuple(
        Line(
            f"{prefix}{name}.{metric}",
            metric,
            prefix + words.metric_name(metric),
            prefix + _SHORT.get(metric, words.metric_name(metric).lower()),
            timeline.time_s,
            timeline.metrics[metric],
            on=name == "timeline" and metric == first,
        )
        for metric in shown
    )[:_MOST_LINES]


def bounds(lines: Iterable[Line], spans: Iterable[Span] = ()) -> tuple[float, float]:
    """Return the first and last moment of all that is drawn."""
    starts = [float(line.time_s[0]) for line in lines if len(line.time_s)]
    ends = [float(line.time_s[-1]) for line in lines if len(line.time_s)]
    ends += [span.end_s for span in spans]
    return min(starts, default=0.0), max([*ends, *starts], default=0.0)


def per_second(lasted_s: float) -> int:
    """Return in which fraction of a second the times of a stretch are written: a millionth of it, or finer.

    >>> per_second(12.0), per_second(0.2), per_second(86_400.0)
    (100000, 1000000, 1000)
    """
    if lasted_s <= 0:
        return 1_000_000
    return int(10 ** min(6, max(3, math.ceil(6 - math.log10(lasted_s)))))


def pack_lines(lines: Sequence[Line], per: int, points: int = POINTS) -> list[dict[str, Any]]:
    """Return series as the script reads them back, ``points`` readings in all at most.

    Args:
        lines: what to draw, in order.
        per: the fraction of a second that times are written in.
        points: bound on readings of all of them; each keeps some hundreds.
    """
    share = max(_LEAST_POINTS, points // max(1, len(lines))) // 4
    return [_packed(line, per, share, number) for number, line in enumerate(lines)]


def _packed(line: Line, per: int, buckets: int, number: int) -> dict[str, Any]:
    kept = extremes(line.time_s, line.values, buckets)
    times = np.rint(line.time_s[kept] * per).astype(np.int64)
    values = line.values[kept]
    base = int(values[0]) if len(values) else 0
    steps = np.diff(values)
    step = int(np.gcd.reduce(steps)) if len(steps) else 1
    step = step or 1
    return {
        "key": line.key,
        "metric": line.metric,
        "name": words.printable(line.name, _LONGEST_LABEL),
        "short": words.printable(line.short, _LONGEST_LABEL),
        "unit": "bytes" if line.metric.endswith("_bytes") else "count",
        "hue": number % _HUES,
        "on": line.on,
        "samples": len(line.values),
        "base": base,
        "step": step,
        "t": np.diff(times, prepend=0).tolist(),
        "v": [0, *(steps // step).tolist()] if len(values) else [],
    }


def span_columns(spans: Sequence[Span], shift_s: float = 0.0) -> list[dict[str, Any]]:
    """Return spans as bands: the longest, when there are very many, in their order."""
    longest = sorted(range(len(spans)), key=lambda i: spans[i].start_s - spans[i].end_s)[:_MOST_SPANS]
    hues: dict[str, int] = {}
    shown = []
    for i in sorted(longest):
        span = spans[i]
        hue = hues.setdefault(span.label, _SPAN_HUES[len(hues) % len(_SPAN_HUES)])
        peak = span.peak
        height = (
            f"peak {format_bytes(peak.value_bytes)} ({peak.source})" if peak is not None else "peak not known"
        )
        name = words.printable(span.label, _LONGEST_LABEL)
        shown.append(
            {
                "name": name,
                "from": span.start_s - shift_s,
                "to": span.end_s - shift_s,
                "level": span.depth,
                "hue": hue,
                "say": f"{name}: {format_seconds(span.end_s - span.start_s)}, {height}",
            }
        )
    return shown


def pause_columns(pauses: GcPauses | None, per: int) -> dict[str, list[Any]]:
    """Return the collector's pauses, the longest when there are very many, in order of time."""
    if pauses is None:
        return {"t": [], "d": [], "g": []}
    longest = np.sort(np.argsort(-pauses.pause_s, kind="stable")[:_MOST_PAUSES])
    times = np.rint(pauses.start_s[longest] * per).astype(np.int64)
    return {
        "t": np.diff(times, prepend=0).tolist(),
        "d": [round(d, 6) for d in pauses.pause_s[longest].tolist()],
        "g": pauses.generation[longest].tolist(),
    }


def mark_columns(marks: Sequence[Mark], shift_s: float = 0.0) -> list[dict[str, Any]]:
    """Return named moments."""
    return [
        {"at": mark.time_s - shift_s, "label": words.printable(mark.label, _LONGEST_LABEL)}
        for mark in marks[:_MOST_MARKS]
    ]


def peak_moment(capture: Capture) -> float | None:
    """Return when memory stood highest, as far as it is known.

    The kernel's mark has no time. The moment is that of the stack that was seen there, or of the greatest
    sample where that is the mark or nearly so; None where the spike fell between two samples.
    """
    peak = capture.peak
    if peak is None:
        return None
    if capture.peak_stack is not None:
        return capture.peak_stack.time_s
    values = capture.timeline.metrics.get("rss_bytes")
    if values is None or not len(values):
        return None
    top = int(values.argmax())
    rose = int(values[top]) - peak.start_bytes
    near = peak.source == "sampled" or rose >= _NEAR * peak.increment_bytes
    return float(capture.timeline.time_s[top]) if near else None


def _peak(capture: Capture) -> Mapping[str, Any] | None:
    return peak_columns(capture.peak, peak_moment(capture), peak_place(capture))


def peak_place(capture: Capture) -> str:
    """Return the line that was running at the peak, empty where no stack was seen."""
    stack = capture.peak_stack
    return words.place(stack.frame) if stack is not None and stack.frame is not None else ""


def peak_columns(peak: Peak | None, at: float | None, where: str) -> dict[str, Any] | None:
    """Return the peak's flag: its height, its moment where that is known, and the line that was running."""
    if peak is None:
        return None
    between = "" if at is not None else ", between two samples"
    return {
        "value": peak.value_bytes,
        "at": at,
        "label": f"peak {format_bytes(peak.value_bytes)} ({peak.source}){between}",
        "where": words.printable(where, _LONGEST_LABEL),
    }


def caption(timeline: Timeline, metric: str = "") -> str:
    """Return a metric of a timeline in one sentence; by default RSS, or else the first there is."""
    metric = metric or ("rss_bytes" if "rss_bytes" in timeline.metrics else next(iter(timeline.metrics), ""))
    values = timeline.metrics.get(metric)
    if values is None or not len(values):
        return "No sample was taken."
    time = timeline.time_s
    top = int(values.argmax())
    return (
        f"{len(values):,} samples in {format_seconds(float(time[-1] - time[0]))}: from"
        f" {words.amount(metric, int(values[0]))} to {words.amount(metric, int(values[-1]))}, greatest"
        f" {words.amount(metric, int(values[top]))} at {format_seconds(float(time[top]))}."
    )
