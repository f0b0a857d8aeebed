"""A recording's spans, pauses, lines at the peak, children and ending as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds
from memlab.views import words
from memlab.views.layout import columns, labelled, wrap
from memlab.views.recording_parts import (
    child_peak,
    fact_rows,
    outcome_words,
    pause_facts,
    peak_words,
    stack_lines,
)
from memlab.views.site_history_views import sites_text

if TYPE_CHECKING:
    from memlab.records.capture import Capture
    from memlab.records.gc_pauses import GcPauses

__all__ = ["pauses_text", "recording_text"]

_MOST_ROWS = 10
_LABELS = 16


def pauses_text(pauses: GcPauses) -> str:
    """Return what the collector did as text."""
    longest = "" if pauses.longest_s is None else f", the longest {format_seconds(pauses.longest_s)}"
    lines = wrap(
        f"Collector: {len(pauses):,} collections, {format_seconds(pauses.total_s)} in all{longest}", 0, 2
    )
    for label, value in pause_facts(pauses):
        lines += labelled(label, value, 2, _LABELS)
    lines += [line for note in pauses.notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join(lines)


def recording_text(capture: Capture) -> list[str]:
    """Return the lines of what a recording holds beside its samples and marks."""
    lines: list[str] = []
    if capture.outcome is not None:
        lines += wrap(f"The program: {words.printable(outcome_words(capture.outcome))}", 2, 4)
    return [
        *lines,
        *_spans(capture),
        *_stacks(capture),
        *(sites_text(capture.sites) if capture.sites is not None else []),
        *_pauses(capture),
        *_around(capture),
        *_children(capture),
    ]


def _spans(capture: Capture) -> list[str]:
    rows = [
        (
            words.printable(
                "  " * min(span.depth, 8) + span.label + ("" if span.complete else " (cut short)"), 60
            ),
            format_seconds(span.start_s),
            format_seconds(span.end_s - span.start_s),
            words.printable(peak_words(span.peak, span.reason), 60),
            format_bytes(span.peak.increment_bytes) if span.peak is not None else "",
        )
        for span in capture.spans[:_MOST_ROWS]
    ]
    if not rows:
        return []
    titles = ("span", "began", "lasted", "peak", "above start")
    return [
        *_heading("Spans", len(rows), len(capture.spans)),
        *columns(titles, rows, (False, True, True, True, True)),
    ]


def _stacks(capture: Capture) -> list[str]:
    lines: list[str] = []
    stack = capture.peak_stack
    if stack is not None:
        title = f"At the peak ({format_bytes(stack.value_bytes)} at {format_seconds(stack.time_s)}), sampled"
        lines += ["", words.printable(title)]
        lines += [line for text in stack_lines(stack)[:5] for line in wrap(words.printable(text), 2, 6)]
    rows = [
        (words.printable(str(hot.frame), 60), format_bytes(hot.rise_bytes), f"{hot.samples:,}")
        for hot in capture.hot[:_MOST_ROWS]
    ]
    if rows:
        lines += _heading("Lines while which memory rose", len(rows), len(capture.hot))
        lines += columns(("line", "rose by", "samples"), rows, (False, True, True))
    return lines


def _pauses(capture: Capture) -> list[str]:
    if capture.pauses is None:
        return []
    facts = [
        line for label, value in pause_facts(capture.pauses) for line in labelled(label, value, 2, _LABELS)
    ]
    return ["", "Collector", *facts]


def _around(capture: Capture) -> list[str]:
    rows: list[tuple[str, ...]] = []
    missing: list[str] = []
    for timeline in (capture.inside, capture.slow, capture.system):
        if timeline is not None:
            rows += [tuple(words.printable(text, 40) for text in row) for row in fact_rows(timeline)]
            missing += [f"{words.metric_name(name)}: {reason}" for name, reason in timeline.absent.items()]
    lines: list[str] = []
    if rows:
        titles = ("read less often", "first", "greatest", "last", "source")
        lines += ["", *columns(titles, rows, (False, True, True, True, False))]
    if capture.ceiling is not None:
        limit = f"{format_bytes(capture.ceiling.value_bytes)} ({capture.ceiling.source})"
        lines += labelled("limit", words.printable(limit, 80), 2, _LABELS)
    if missing:
        lines += ["", "Not read there"]
        lines += [line for item in missing for line in wrap(f"- {words.printable(item)}", 2, 4)]
    return lines


def _children(capture: Capture) -> list[str]:
    rows = [
        (
            f"{child.pid}",
            f"{child.depth}",
            child_peak(child),
            "ended" if child.ended else "",
        )
        for child in capture.children[:_MOST_ROWS]
    ]
    if not rows:
        return []
    head = _heading("Children (shared pages count in each)", len(rows), len(capture.children))
    return head + columns(("process", "depth", "greatest RSS", ""), rows, (True, True, True, False))


def _heading(title: str, shown: int, of: int) -> list[str]:
    return ["", f"{title} ({shown:,} of {of:,})" if shown < of else title]
