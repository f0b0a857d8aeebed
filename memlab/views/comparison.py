"""Two recordings over each other: their page and their text, from the same pairs of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_count, format_seconds
from memlab.analyses.capture_compare import figure_pairs
from memlab.views import words
from memlab.views.layout import columns, wrap
from memlab.views.page import Cell, Column, Facts, Figure, Page, Section, Table, Texts, TimeChart
from memlab.views.recording_parts import stack_lines
from memlab.views.time_charts import overlaid_chart
from memlab.views.timeline_data import (
    Line,
    bounds,
    capture_lines,
    mark_columns,
    pack_lines,
    pause_columns,
    per_second,
    span_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memlab.analyses.capture_compare import FigurePair
    from memlab.records.capture import Capture
    from memlab.records.capture_comparison import CaptureComparison

__all__ = ["comparison_data", "comparison_headline", "comparison_page", "comparison_text", "pair_rows"]

_MOST_LINES = 12
_LEVELS = 2


def pair_rows(comparison: CaptureComparison) -> list[tuple[str, str, str, str, FigurePair]]:
    """Return each figure in words: its name, both values, the growth, and the pair itself."""
    return [
        (pair.name, _value(pair.unit, pair.first), _value(pair.unit, pair.second), _growth(pair), pair)
        for pair in figure_pairs(comparison)
        if pair.first is not None or pair.second is not None
    ]


def comparison_headline(comparison: CaptureComparison) -> str:
    """Return the answer: how far apart the peaks are."""
    peaks = figure_pairs(comparison)[0]
    first, second = comparison.first_label, comparison.second_label
    if peaks.growth is None or peaks.first is None or peaks.second is None:
        return f"{first} and {second}: the peak of one is not known"
    if not peaks.growth:
        return f"{second} peaks as high as {first}, at {format_bytes(peaks.first)}"
    share = f" ({100 * abs(peaks.growth) / peaks.first:.0f} %)" if peaks.first else ""
    way = "higher" if peaks.growth > 0 else "lower"
    return f"{second} peaks {format_bytes(abs(peaks.growth))}{share} {way} than {first}"


def comparison_text(comparison: CaptureComparison) -> str:
    """Return two recordings over each other as text."""
    lines = wrap(words.printable(comparison_headline(comparison)), 0, 2)
    lines += wrap(words.printable(_where(comparison)), 2)
    titles = ("", words.printable(comparison.first_label, 20), words.printable(comparison.second_label, 20))
    rows = [
        tuple(words.printable(text, 60) for text in (name, first, second, growth))
        for name, first, second, growth, _ in pair_rows(comparison)
    ]
    if rows:
        lines += ["", *columns((*titles, "growth"), rows, (False, True, True, True))]
    if comparison.notes:
        lines += ["", "Notes"]
        lines += [line for note in comparison.notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join(lines)


def comparison_page(comparison: CaptureComparison) -> Page:
    """Return the page of two recordings over each other."""
    rows = pair_rows(comparison)
    heads = (
        Column("Figure"),
        Column(comparison.first_label, number=True),
        Column(comparison.second_label, number=True),
        Column("Growth", number=True),
    )
    cells = tuple(_row(*row) for row in rows)
    table = Table("figures", "Figures side by side", heads, cells, len(cells))
    blocks: list[Any] = []
    if any(len(c.timeline.metrics.get("rss_bytes", ())) for c in (comparison.first, comparison.second)):
        data = comparison_data(comparison)
        pairs = [
            (comparison.first_label, comparison.first.timeline, comparison.first_s),
            (comparison.second_label, comparison.second.timeline, comparison.second_s),
        ]
        chart = overlaid_chart("Process memory (RSS)", pairs, "rss_bytes", 0, "the first is the solid line")
        legend = "Each line has its switch. Long recordings are thinned; no peak is lost."
        blocks.append(TimeChart("timeline", "memory over time", (chart,), legend, data))
    peaks = figure_pairs(comparison)[0]
    sections = [
        Section("time", "Over time", tuple(blocks), _where(comparison)),
        Section("figures-section", "Side by side", (table,)),
    ]
    sections += _sides(comparison)
    if comparison.notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", comparison.notes),)))
    return Page(
        kind="comparison",
        title="Two recordings",
        headline=comparison_headline(comparison),
        lead=_where(comparison),
        badge=None,
        figures=(
            _figure(f"Peak of {comparison.first_label}", peaks.first, comparison.first),
            _figure(f"Peak of {comparison.second_label}", peaks.second, comparison.second),
            Figure("Growth", _growth(peaks) if peaks.growth is not None else None, "of the peak")
            if peaks.growth is not None
            else Figure("Growth", None, "the peak of one is not known"),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=table,
        height=640,
    )


def _sides(comparison: CaptureComparison) -> list[Section]:
    """Return, for each recording, where it was made, what ran at its peak, and what its reader must know."""
    sections = []
    sides = ((comparison.first, comparison.first_label), (comparison.second, comparison.second_label))
    for number, (capture, label) in enumerate(sides, 1):
        facts = list(words.environment_facts(capture.environment))
        if capture.timeline.started_at:
            facts.append(("began", capture.timeline.started_at))
        facts += [(words.metric_name(m), f"read from {s}") for m, s in capture.timeline.sources.items()]
        blocks: list[Any] = [Facts(tuple(facts))] if facts else []
        if capture.peak_stack is not None:
            blocks.append(Texts("What ran at its peak", tuple(stack_lines(capture.peak_stack))))
        if capture.notes:
            blocks.append(Texts("Its notes", capture.notes))
        if blocks:
            sections.append(Section(f"side-{number}", label, tuple(blocks)))
    return sections


def comparison_data(comparison: CaptureComparison) -> dict[str, Any]:
    """Return what the script draws of two recordings."""
    sides = (
        (comparison.first, comparison.first_label, comparison.first_s),
        (comparison.second, comparison.second_label, comparison.second_s),
    )
    lines = [line for side in sides for line in _lines(*side)]
    lines.sort(key=lambda line: not line.on)
    lines = lines[:_MOST_LINES]
    spans: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for number, (capture, label, shift) in enumerate(sides):
        for span in span_columns(capture.spans, shift):
            name = words.printable(f"{label}: {span['name']}", 200)
            level = min(span["level"], _LEVELS - 1) + number * _LEVELS
            spans.append({**span, "name": name, "level": level, "say": f"{label}: {span['say']}"})
        marks += [
            {**mark, "label": f"{label}: {mark['label']}"} for mark in mark_columns(capture.marks, shift)
        ]
    start, end = bounds(lines)
    per = per_second(end - start)
    return {
        "per_second": per,
        "start": start,
        "end": end,
        "series": pack_lines(lines, per),
        "spans": spans,
        "pauses": pause_columns(None, per),
        "marks": marks,
        "peak": None,
        "limit": None,
        "caption": comparison_headline(comparison) + ".",
    }


def _lines(capture: Capture, label: str, shift_s: float) -> Iterable[Line]:
    for line in capture_lines(capture, f"{label}: "):
        yield Line(
            line.key, line.metric, line.name, line.short, line.time_s - shift_s, line.values, on=line.on
        )


def _where(comparison: CaptureComparison) -> str:
    where = f"the mark {comparison.aligned_at}" if comparison.aligned_at else "their starts"
    return f"{comparison.first_label} and {comparison.second_label}, laid over each other at {where}."


def _row(name: str, first: str, second: str, growth: str, pair: FigurePair) -> tuple[Cell, ...]:
    tone = "" if not pair.growth else "grew" if pair.growth > 0 else "shrank"
    return (
        Cell(name),
        Cell(first, sort=pair.first if pair.first is not None else -1.0),
        Cell(second, sort=pair.second if pair.second is not None else -1.0),
        Cell(growth, sort=pair.growth if pair.growth is not None else 0.0, tone=tone),
    )


def _figure(label: str, value: float | None, capture: Capture) -> Figure:
    if value is None or capture.peak is None:
        return Figure(label, None, capture.timeline.absent.get("peak", "no peak was read"))
    return Figure(label, format_bytes(value), capture.peak.source)


def _value(unit: str, value: float | None) -> str:
    if value is None:
        return "not known"
    if unit == "bytes":
        return format_bytes(value)
    return format_seconds(value) if unit == "seconds" else format_count(value)


def _growth(pair: FigurePair) -> str:
    growth = pair.growth
    if growth is None:
        return ""
    sign = "+" if growth > 0 else "-" if growth < 0 else ""
    return f"{sign}{_value(pair.unit, abs(growth))}"
