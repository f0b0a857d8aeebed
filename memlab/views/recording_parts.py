"""What a recording's page says beside its timelines: spans, pauses, lines at the peak, children, ending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count, format_seconds
from memlab.views import words
from memlab.views.page import Cell, Column, Facts, Figure, Page, Section, Table, Texts
from memlab.views.pause_parts import pause_tables

if TYPE_CHECKING:
    from memlab.records.capture import Capture, Child, Outcome, Peak, StackSample
    from memlab.records.gc_pauses import GcPauses
    from memlab.records.timeline import Timeline
    from memlab.views.page import Block

__all__ = [
    "child_peak",
    "fact_rows",
    "outcome_words",
    "pause_facts",
    "pauses_page",
    "peak_words",
    "recording_sections",
    "stack_lines",
]

_MOST_ROWS = 200
_MOST_FRAMES = 12


def outcome_words(outcome: Outcome) -> str:
    """Say how a program ended."""
    if outcome.signal:
        return f"ended by {outcome.signal}"
    if outcome.exit_code is None:
        return f"not known ({outcome.reason or 'not stated'})"
    return f"exit code {outcome.exit_code}" + (f", {outcome.error}" if outcome.error else "")


def peak_words(peak: Peak | None, reason: str) -> str:
    """Say a span's peak, or why there is none."""
    if peak is None:
        return f"not known ({reason or 'not stated'})"
    return f"{format_bytes(peak.value_bytes)} ({peak.source})"


def pause_facts(pauses: GcPauses) -> tuple[tuple[str, str], ...]:
    """Return what the collector did in all, as names and values."""
    longest = pauses.longest_s
    share = pauses.share
    by_generation = ", ".join(
        f"{int((pauses.generation == g).sum()):,} of generation {g}"
        for g in range(3)
        if bool((pauses.generation == g).any())
    )
    return (
        ("collections", f"{len(pauses):,}" + (f": {by_generation}" if by_generation else "")),
        (
            "time in them",
            format_seconds(pauses.total_s) + (f", {share:.1%} of the time" if share is not None else ""),
        ),
        ("longest pause", "none" if longest is None else format_seconds(longest)),
        ("objects freed", f"{int(pauses.collected.sum()):,}"),
        *((("not kept", f"{pauses.dropped:,} older ones"),) if pauses.dropped else ()),
    )


def stack_lines(stack: StackSample) -> list[str]:
    """Return a sampled stack as lines, most recent call first."""
    lines = [
        f"{frame}" + (f": {frame.source}" if frame.source else "") for frame in stack.frames[:_MOST_FRAMES]
    ]
    if len(stack.frames) > _MOST_FRAMES:
        lines.append(f"and {len(stack.frames) - _MOST_FRAMES} more")
    return lines


def child_peak(child: Child) -> str:
    """Return a child's greatest RSS, or why there is none."""
    top = child.timeline.high_water_mark()
    return "not read" if top is None else format_bytes(top)


def fact_rows(timeline: Timeline) -> list[tuple[str, str, str, str, str]]:
    """Return first, greatest and last of each metric with its source."""
    return [
        (
            words.metric_name(metric),
            words.amount(metric, int(values[0])),
            words.amount(metric, int(values.max())),
            words.amount(metric, int(values[-1])),
            timeline.sources.get(metric, "not stated"),
        )
        for metric, values in timeline.metrics.items()
        if len(values)
    ]


def recording_sections(capture: Capture) -> tuple[Section, ...]:
    """Return the sections of what a recording holds beside its samples and marks."""
    from memlab.views.site_history_views import sites_section

    sites = sites_section(capture.sites) if capture.sites is not None else None
    sections = [
        _spans(capture),
        _at_peak(capture),
        sites,
        _pauses(capture),
        _around(capture),
        _children(capture),
    ]
    return tuple(section for section in sections if section is not None)


def pauses_page(pauses: GcPauses) -> Page:
    """Return the page of what the collector did."""
    longest = pauses.longest_s
    columns = (
        Column("At", number=True),
        Column("Pause", number=True),
        Column("Generation", number=True),
        Column("Freed", number=True),
    )
    order = pauses.pause_s.argsort(kind="stable")[::-1][:_MOST_ROWS]
    rows = tuple(
        (
            Cell(format_seconds(float(pauses.start_s[i])), sort=float(pauses.start_s[i])),
            Cell(format_seconds(float(pauses.pause_s[i])), sort=float(pauses.pause_s[i])),
            Cell(f"{pauses.generation[i]}", sort=float(pauses.generation[i])),
            Cell(format_count(int(pauses.collected[i])), sort=float(pauses.collected[i])),
        )
        for i in order
    )
    table = Table("pauses", "Longest pauses", columns, rows, len(pauses))
    notes = (Section("notes", "Notes and limits", (Texts("", pauses.notes),)),) if pauses.notes else ()
    return Page(
        kind="collector",
        title="Pauses of the collector",
        headline=f"{len(pauses):,} collections, {format_seconds(pauses.total_s)} in all",
        lead="The interpreter runs nothing else in a pause.",
        badge=None,
        figures=(
            Figure("Collections", f"{len(pauses):,}"),
            Figure("Longest pause", format_seconds(longest))
            if longest is not None
            else Figure("Longest pause", None, "the collector did not run"),
            Figure("Share", f"{pauses.share:.1%}", "of the time watched")
            if pauses.share is not None
            else Figure("Share", None, "the time watched is not known"),
        ),
        next_steps=(),
        sections=(Section("all", "Pauses", (Facts(pause_facts(pauses)), table)), *notes),
        brief=Table("brief", table.caption, columns, rows[:10], len(pauses)),
        height=480,
    )


def _spans(capture: Capture) -> Section | None:
    if not capture.spans:
        return None
    columns = (
        Column("Span"),
        Column("Began", number=True),
        Column("Lasted", number=True),
        Column("Peak", number=True),
        Column("Above its start", number=True),
    )
    rows = tuple(
        (
            Cell("· " * span.depth + span.label + ("" if span.complete else " (cut short)")),
            Cell(format_seconds(span.start_s), sort=span.start_s),
            Cell(format_seconds(span.end_s - span.start_s), sort=span.end_s - span.start_s),
            Cell(peak_words(span.peak, span.reason), sort=float(span.peak.value_bytes if span.peak else -1)),
            Cell(format_bytes(span.peak.increment_bytes), sort=float(span.peak.increment_bytes))
            if span.peak
            else Cell(""),
        )
        for span in capture.spans[:_MOST_ROWS]
    )
    return Section("spans", "Spans", (Table("span-table", "Spans", columns, rows, len(capture.spans)),))


def _at_peak(capture: Capture) -> Section | None:
    blocks: list[Block] = []
    if capture.peak_stack is not None:
        stack = capture.peak_stack
        title = f"{stack.thread} at {format_seconds(stack.time_s)}, {format_bytes(stack.value_bytes)}"
        blocks.append(Texts(title, tuple(stack_lines(stack))))
    if capture.hot:
        columns = (Column("Line"), Column("RSS rose by", number=True), Column("Samples", number=True))
        rows = tuple(
            (
                Cell(f"{stack.frame}", mono=True, under=stack.frame.source if stack.frame else ""),
                Cell(format_bytes(stack.rise_bytes), sort=float(stack.rise_bytes)),
                Cell(f"{stack.samples:,}", sort=float(stack.samples)),
            )
            for stack in capture.hot[:_MOST_ROWS]
        )
        blocks.append(Table("hot", "Lines while which memory rose", columns, rows, len(capture.hot)))
    if not blocks:
        return None
    intro = (
        "Sampled: the stack was looked at just after RSS had risen. The fewer samples, the less a line says."
    )
    return Section("at-peak", "What was running at the peak", tuple(blocks), intro)


def _pauses(capture: Capture) -> Section | None:
    if capture.pauses is None:
        return None
    blocks: list[Block] = [Facts(pause_facts(capture.pauses)), *pause_tables(capture.pauses)]
    return Section("pauses", "Pauses of the collector", tuple(blocks))


def _around(capture: Capture) -> Section | None:
    columns = (
        Column("Metric"),
        *(Column(title, number=True) for title in ("First", "Greatest", "Last")),
        Column("Read from"),
    )
    rows = []
    missing = []
    for timeline in (capture.inside, capture.slow, capture.system):
        if timeline is not None:
            rows += [tuple(Cell(text) for text in row) for row in fact_rows(timeline)]
            missing += [f"{words.metric_name(k)}: {why}" for k, why in timeline.absent.items()]
    blocks: list[Block] = []
    if rows:
        blocks.append(Table("around", "Read less often", columns, tuple(rows), len(rows)))
    if capture.ceiling is not None:
        limit = f"{format_bytes(capture.ceiling.value_bytes)} ({capture.ceiling.source})"
        blocks.append(Facts((("limit on memory", limit),)))
    if missing:
        blocks.append(Texts("Not read", tuple(missing)))
    return Section("around-section", "Inside and around the process", tuple(blocks)) if blocks else None


def _children(capture: Capture) -> Section | None:
    blocks: list[Block] = []
    if capture.outcome is not None:
        blocks.append(Facts((("how it ended", outcome_words(capture.outcome)),)))
    if capture.children:
        columns = (Column("Process"), Column("Depth", number=True), Column("Greatest RSS", number=True))
        rows = tuple(
            (
                Cell(f"{child.pid}" + (" (ended)" if child.ended else "")),
                Cell(f"{child.depth}", sort=float(child.depth)),
                Cell(child_peak(child), sort=float(child.timeline.high_water_mark() or 0)),
            )
            for child in capture.children[:_MOST_ROWS]
        )
        note = "Pages that processes share count in each."
        blocks.append(Table("children", "Children", columns, rows, len(capture.children), note))
    return Section("ending", "The program and its children", tuple(blocks)) if blocks else None
