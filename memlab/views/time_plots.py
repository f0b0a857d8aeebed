"""What belongs to a recording, drawn onto a matplotlib axes: spans, pauses, marks, limit, and its peak.

The line itself is drawn by ``plots``, thinned without losing a peak. Colours are those of the HTML page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes
from memlab.analyses.decimation import extremes
from memlab.views import words
from memlab.views.palette import LIGHT
from memlab.views.timeline_data import peak_columns, peak_moment, peak_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from memlab.records.capture import Capture
    from memlab.records.capture_comparison import CaptureComparison

__all__ = ["decorate", "leave_room", "overlay"]

_BUCKETS = 500
_HUES = ("native", "good", "accent", "muted")
_MOST_SPANS = 60
_MOST_MARKS = 40
_NAME = 40
_LANE = 0.055
_LANES = 4
_GAP = 0.02
_NEAR_LIMIT = 1.5
_HALF = 0.5


def decorate(axes: Axes, capture: Capture, *, rss: bool) -> list[int]:
    """Add to a drawn timeline what the recording says of it; return the heights that must be in sight.

    Args:
        axes: where the timeline is drawn.
        capture: the recording.
        rss: RSS is drawn, so that peak and limit have their place.
    """
    _spans(axes, capture)
    _marks(axes, capture)
    _pauses(axes, capture)
    return [*_peak(axes, capture), *_limit(axes, capture)] if rss else []


def leave_room(axes: Axes, capture: Capture, height: int) -> None:
    """Raise the top until the names of spans and marks stand above ``height``, not in its dashed line."""
    lanes = min(_LANES, max((span.depth + 1 for span in capture.spans), default=0)) + bool(capture.marks)
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, low + (height - low) / (1 - (lanes * _LANE + _GAP))))


def overlay(axes: Axes, comparison: CaptureComparison, metric: str) -> tuple[int, int] | None:
    """Draw one metric of two recordings over each other; return its least and greatest value."""
    sides = (
        (comparison.first, comparison.first_label, comparison.first_s, LIGHT["muted"]),
        (comparison.second, comparison.second_label, comparison.second_s, LIGHT["accent"]),
    )
    seen: list[int] = []
    drawn = []
    for capture, label, shift, color in sides:
        found = (line for line in capture.timelines().values() if len(line.metrics.get(metric, ())))
        timeline = next(found, None)
        if timeline is None:
            continue
        values = timeline.metrics[metric]
        kept = extremes(timeline.time_s, values, _BUCKETS)
        (line,) = axes.plot(timeline.time_s[kept] - shift, values[kept], color=color, lw=1.6)
        drawn.append((line, words.printable(label, _NAME)))
        top = int(values.argmax())
        axes.plot([timeline.time_s[top] - shift], [values[top]], color=color, marker="o", mfc="white", ms=6)
        seen += [int(values.min()), int(values.max())]
    if comparison.aligned_at:
        axes.axvline(0, color=LIGHT["muted"], lw=1, ls=":")
    if drawn:
        legend = axes.legend(*zip(*drawn, strict=True), frameon=False)
        for said in legend.get_texts():
            said.set_parse_math(False)
    return (min(seen), max(seen)) if seen else None


def _spans(axes: Axes, capture: Capture) -> None:
    hues: dict[str, str] = {}
    for span in capture.spans[:_MOST_SPANS]:
        color = LIGHT[hues.setdefault(span.label, _HUES[len(hues) % len(_HUES)])]
        lane = min(span.depth, _LANES - 1)
        axes.axvspan(
            span.start_s, span.end_s, ymax=1 - lane * _LANE, facecolor=color, alpha=0.09, lw=0, zorder=0
        )
        _say(axes, span.label, span.start_s, 1 - lane * _LANE, color)


def _marks(axes: Axes, capture: Capture) -> None:
    lanes = min(_LANES, max((span.depth + 1 for span in capture.spans), default=0))
    for mark in capture.marks[:_MOST_MARKS]:
        axes.axvline(mark.time_s, color=LIGHT["muted"], lw=1, ls=":")
        _say(axes, mark.label, mark.time_s, 1 - lanes * _LANE, LIGHT["muted"])


def _say(axes: Axes, text: str, at: float, height: float, color: str) -> None:
    axes.annotate(
        _plain(text),
        (at, height),
        xycoords=("data", "axes fraction"),
        xytext=(3, -2),
        textcoords="offset points",
        va="top",
        fontsize="small",
        color=color,
        parse_math=False,
        annotation_clip=True,
    )


def _pauses(axes: Axes, capture: Capture) -> None:
    pauses = capture.pauses
    if pauses is None or not len(pauses):
        return
    most = pauses.longest_s or 1.0
    heights = 0.01 + 0.07 * (pauses.pause_s / most) ** _HALF
    transform = axes.get_xaxis_transform()
    label = f"collector, longest {most * 1000:.3g} ms"
    axes.vlines(pauses.start_s, 0, heights, color=LIGHT["warn"], lw=1.2, transform=transform, label=label)


def _peak(axes: Axes, capture: Capture) -> list[int]:
    at, place = peak_moment(capture), peak_place(capture)
    peak = peak_columns(capture.peak, at, place)
    if peak is None:
        return []
    height, color = int(peak["value"]), LIGHT["grew"]
    axes.axhline(height, color=color, lw=1, ls="--")
    if at is not None:
        axes.plot([at], [height], color=color, marker="o", mfc="white", mew=2, ms=7, ls="")
    ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    words_of = "\n".join(_plain(text) for text in (peak["label"], peak["where"]) if text)
    low, high = axes.get_xlim()
    leftward = at is None or at > (low + high) * _HALF
    options: dict[str, Any] = {"ha": "right" if leftward else "left", "va": "top", "fontsize": "small"}
    axes.annotate(
        words_of,
        (high if at is None else at, height),
        xytext=(-8 if leftward else 8, -5),
        textcoords="offset points",
        color=color,
        parse_math=False,
        bbox=ground,  # the line that rises to the peak goes behind its words
        **options,
    )
    return [height]


def _limit(axes: Axes, capture: Capture) -> list[int]:
    ceiling, top = capture.ceiling, capture.timeline.high_water_mark() or 0
    if ceiling is None or ceiling.value_bytes > _NEAR_LIMIT * top:
        return []
    label = f"limit {format_bytes(ceiling.value_bytes)}"
    axes.axhline(ceiling.value_bytes, color=LIGHT["grew"], lw=1.6, label=label)
    return [ceiling.value_bytes]


def _plain(text: str) -> str:
    return words.printable(text, _NAME)
