"""Lay two recordings over each other and set their figures side by side."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison

if TYPE_CHECKING:
    from memlab.records.capture import Span

__all__ = ["FigurePair", "compare_captures", "figure_pairs"]

_MOST_SPANS = 40


@dataclasses.dataclass(frozen=True, slots=True)
class FigurePair:
    """One figure of both recordings; None where it is not known.

    Attributes:
        name: what it is.
        unit: ``bytes``, ``seconds`` or ``count``.
    """

    name: str
    unit: str
    first: float | None
    second: float | None

    @property
    def growth(self) -> float | None:
        """How much more it is in the second, None where one of them is not known."""
        return None if self.first is None or self.second is None else self.second - self.first


def compare_captures(
    first: Capture, second: Capture, at: str | None = None, *, labels: tuple[str, str] = ("first", "second")
) -> CaptureComparison:
    """Lay two recordings over each other.

    Args:
        first: the one to compare with.
        second: the other.
        at: a mark that both have; the first of that name is moment 0 of both. None: their starts are.
        labels: what to call them.

    Raises:
        UsageError: when one is no capture, lacks the mark, or both have the same label.

    Example:
        >>> import memlab
        >>> captures = []
        >>> for size in (1_000_000, 60_000_000):
        ...     with memlab.record() as recording:
        ...         recording.mark("go")
        ...         block = bytes(size)
        ...     captures.append(recording.capture)
        >>> comparison = compare_captures(*captures, at="go", labels=("small", "large"))
        >>> comparison.aligned_at, comparison.first_s == captures[0].marks[0].time_s
        ('go', True)
    """
    for one in (first, second):
        if not isinstance(one, Capture):
            raise UsageError(f"comparing recordings: two captures are needed, not a {type(one).__name__}")
    if len(labels) != 2 or labels[0] == labels[1] or not all(isinstance(n, str) and n for n in labels):  # noqa: PLR2004
        raise UsageError(f"comparing recordings: labels must be two different texts, not {labels!r}")
    notes = []
    sources = [c.peak.source if c.peak is not None else "not known" for c in (first, second)]
    if sources[0] != sources[1]:
        notes.append(f"the peaks are of different kinds: {sources[0]} in one, {sources[1]} in the other")
    if not (first.complete and second.complete):
        notes.append("one of them was cut short")
    return CaptureComparison(
        first,
        second,
        labels[0],
        labels[1],
        at or "",
        _moment(first, at, labels[0]),
        _moment(second, at, labels[1]),
        tuple(notes),
    )


def figure_pairs(comparison: CaptureComparison) -> tuple[FigurePair, ...]:
    """Return what can be told of both: peak, rise, end, duration, collector, and each span by its name."""
    one, two = comparison.first, comparison.second
    pairs = [
        FigurePair("Peak RSS", "bytes", *(_peak(c) for c in (one, two))),
        FigurePair("Peak above the start", "bytes", *(_rise(c) for c in (one, two))),
        FigurePair("RSS at the end", "bytes", *(_last(c) for c in (one, two))),
        FigurePair("Lasted", "seconds", one.lasted_s, two.lasted_s),
        FigurePair("Time in the collector", "seconds", *(_collector(c) for c in (one, two))),
        FigurePair("Collections", "count", *(_collections(c) for c in (one, two))),
    ]
    labels = list(dict.fromkeys(span.label for c in (one, two) for span in c.spans))
    for label in labels[:_MOST_SPANS]:
        spans = [[s for s in c.spans if s.label == label] for c in (one, two)]
        pairs.append(FigurePair(f"Span {label}: peak", "bytes", *(_span_peak(s) for s in spans)))
        pairs.append(FigurePair(f"Span {label}: lasted", "seconds", *(_span_time(s) for s in spans)))
    return tuple(pairs)


def _moment(capture: Capture, at: str | None, label: str) -> float:
    if at is None:
        return float(capture.timeline.time_s[0]) if len(capture.timeline) else 0.0
    found = next((mark.time_s for mark in capture.marks if mark.label == at), None)
    if found is None:
        known = ", ".join(dict.fromkeys(mark.label for mark in capture.marks)) or "none"
        raise UsageError(f"comparing recordings: the {label} one has no mark {at!r}; its marks: {known}")
    return found


def _peak(capture: Capture) -> float | None:
    return None if capture.peak is None else capture.peak.value_bytes


def _rise(capture: Capture) -> float | None:
    return None if capture.peak is None else capture.peak.increment_bytes


def _last(capture: Capture) -> float | None:
    values = capture.timeline.metrics.get("rss_bytes")
    return None if values is None or not len(values) else float(values[-1])


def _collector(capture: Capture) -> float | None:
    return None if capture.pauses is None else capture.pauses.total_s


def _collections(capture: Capture) -> float | None:
    return None if capture.pauses is None else len(capture.pauses)


def _span_peak(spans: list[Span]) -> float | None:
    peaks = [span.peak.value_bytes for span in spans if span.peak is not None]
    return max(peaks) if peaks else None


def _span_time(spans: list[Span]) -> float | None:
    return sum(span.end_s - span.start_s for span in spans) if spans else None
