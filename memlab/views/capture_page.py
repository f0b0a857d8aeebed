"""A recording as a page: its living timeline, then spans, pauses, what ran at the peak, children, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds
from memlab.views import words
from memlab.views.leak_page import MOST_ROWS
from memlab.views.page import Cell, Column, Facts, Figure, Page, Section, Table, Texts, TimeChart
from memlab.views.recording_parts import recording_sections
from memlab.views.time_charts import timeline_chart
from memlab.views.timeline_data import timeline_columns

if TYPE_CHECKING:
    from memlab.records.capture import Capture, Peak
    from memlab.records.timeline import Timeline
    from memlab.views.page import Block

__all__ = ["capture_page", "timeline_page"]

_MOST_CHARTS = 6


def capture_page(capture: Capture) -> Page:
    """Return the page of a recording."""
    timeline, peak = capture.timeline, capture.peak
    sections = list(_timeline_sections(timeline, capture))
    if capture.marks:
        columns = (Column("Mark"), Column("At", number=True))
        rows = tuple(
            (Cell(mark.label), Cell(format_seconds(mark.time_s), sort=mark.time_s))
            for mark in capture.marks[:MOST_ROWS]
        )
        table = Table("marks", "Named moments", columns, rows, len(capture.marks))
        sections.append(Section("marks-section", "Marks", (table,)))
    sections += recording_sections(capture)
    if capture.notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", capture.notes),)))
    if capture.environment:
        facts = Facts(words.environment_facts(capture.environment))
        sections.append(Section("run", "Where it was recorded", (facts,)))
    return Page(
        kind="recording",
        title="Recording",
        headline=f"Peak {format_bytes(peak.value_bytes)}" if peak is not None else "Peak not known",
        lead=_peak_sentence(peak) + ("" if capture.complete else " The recording was cut short."),
        badge=None,
        figures=_timeline_figures(timeline, peak),
        next_steps=(),
        sections=tuple(sections),
        brief=_metrics_table(timeline),
        height=640,
    )


def timeline_page(timeline: Timeline) -> Page:
    """Return the page of a timeline."""
    top = timeline.high_water_mark()
    return Page(
        kind="timeline",
        title="Timeline",
        headline=f"Greatest sampled RSS {format_bytes(top)}" if top is not None else "RSS was not sampled",
        lead="What rose and fell between two samples is not seen.",
        badge=None,
        figures=_timeline_figures(timeline, None),
        next_steps=(),
        sections=_timeline_sections(timeline, None),
        brief=_metrics_table(timeline),
        height=640,
    )


def _timeline_figures(timeline: Timeline, peak: Peak | None) -> tuple[Figure, ...]:
    figures = []
    if peak is not None:
        note = "the kernel's own mark" if peak.source == "vmhwm" else "sampled: a lower bound"
        figures.append(Figure("Peak RSS", format_bytes(peak.value_bytes), note))
        figures.append(Figure("Above the start", format_bytes(peak.increment_bytes)))
    top = timeline.high_water_mark()
    figures.append(
        Figure("Greatest sample", format_bytes(top), "of RSS")
        if top is not None
        else Figure("Greatest sample", None, timeline.absent.get("rss_bytes", "RSS was not read"))
    )
    lasted = float(timeline.time_s[-1] - timeline.time_s[0]) if len(timeline) else 0.0
    figures.append(Figure("Samples", f"{len(timeline):,}", f"in {format_seconds(lasted)}"))
    return tuple(figures)


def _timeline_sections(timeline: Timeline, capture: Capture | None) -> tuple[Section, ...]:
    blocks: list[Block] = []
    if len(timeline):
        shown = list(timeline.metrics)[:_MOST_CHARTS]
        charts = tuple(timeline_chart(timeline, m, i, capture) for i, m in enumerate(shown))
        if charts:
            data = timeline_columns(timeline, capture)
            blocks.append(TimeChart("timeline", "memory over time", charts, _legend(data), data))
        table = _metrics_table(timeline)
        if table is not None:
            blocks.append(table)
    missing = tuple(f"{words.metric_name(k)}: {why}" for k, why in timeline.absent.items())
    if missing:
        blocks.append(Texts("Not read", missing))
    began = f"Began {timeline.started_at}." if timeline.started_at else ""
    intro = began if len(timeline) else "No sample was taken."
    return (Section("time", "Over time", tuple(blocks), intro),)


def _legend(data: dict[str, Any]) -> str:
    """Say what of the samples is on the page."""
    there = sum(series["samples"] for series in data["series"])
    drawn = sum(len(series["t"]) for series in data["series"])
    if drawn == there:
        return "Every sample is on this page."
    return (
        f"{drawn:,} of {there:,} samples are on this page: of each stretch its first, least, greatest and"
        " last one, so that no peak is lost. The capture file has all of them."
    )


def _metrics_table(timeline: Timeline) -> Table | None:
    if not len(timeline) or not timeline.metrics:
        return None
    columns = (
        Column("Metric"),
        *(Column(title, number=True) for title in ("First", "Least", "Greatest", "Last")),
        Column("Read from"),
    )
    rows = []
    for metric, values in timeline.metrics.items():
        figures = [int(values[0]), int(values.min()), int(values.max()), int(values[-1])]
        numbers = (Cell(words.amount(metric, f), sort=float(f)) for f in figures)
        source = Cell(timeline.sources.get(metric, "not stated"))
        rows.append((Cell(words.metric_name(metric)), *numbers, source))
    return Table("metrics", "Metrics", columns, tuple(rows[:MOST_ROWS]), len(rows))


def _peak_sentence(peak: Peak | None) -> str:
    if peak is None:
        return "This platform gives no exact mark, and none was sampled."
    source = (
        "It is the kernel's own mark: no spike is missed."
        if peak.source == "vmhwm"
        else "It was sampled: a lower bound."
    )
    start = format_bytes(peak.start_bytes)
    return f"{format_bytes(peak.increment_bytes)} above the {start} at the start. {source}"
