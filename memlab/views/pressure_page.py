"""Pressure runs and post-mortems as pages: how it ended, over time, phase by phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.records.capture import Capture, Mark
from memlab.views import words
from memlab.views.heap_blocks import release_text
from memlab.views.page import (
    Badge,
    Cell,
    Charts,
    Column,
    Facts,
    Figure,
    Page,
    Section,
    Table,
    Texts,
    type_cell,
)
from memlab.views.pressure_rows import DASH, TONES, duration, end_sentence, percent, rates
from memlab.views.time_charts import timeline_chart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.records.pressure import PostMortem, PressurePhase, PressureRun
    from memlab.views.page import Block, Chart

__all__ = ["post_mortem_page", "pressure_page"]

_MOST_ROWS = 200
_MOST_MARKS = 12
_LEAST_GAP = 0.07


def pressure_page(run: PressureRun) -> Page:
    """Return the page of a run in a cage."""
    table = _phase_table(run)
    counts = [
        *_count_table("failures", "Exceptions of the subject", run.failures),
        *_count_table("points", "What became of the failed allocations", run.failure_points),
    ]
    sections = [Section("time", "Over time", _charts(run), _how_to_read(run))]
    sections += [Section("phases-section", "Phase by phase", (table,))] if run.phases else []
    sections += [Section("counts", "What failed", tuple(counts))] if counts else []
    sections += _rest(run.absent, run.notes, run.environment)
    return Page(
        kind="pressure run",
        title=f"Pressure: {run.scenario}",
        headline=f"{words.sentence(run.scenario).rstrip('.')}{f' on {run.subject}' if run.subject else ''}",
        lead=run.reason,
        badge=Badge(run.outcome.value, TONES[run.outcome]),
        figures=_figures(run),
        next_steps=(),
        sections=tuple(sections),
        brief=table if run.phases else None,
        height=680,
    )


def post_mortem_page(found: PostMortem) -> Page:
    """Return the page of what the out-of-memory guard saw."""
    holdings, growth = _holdings_table(found), _growth_table(found)
    blocks: tuple[Block, ...] = ()
    chart = _post_mortem_chart(found)
    if chart is not None:
        blocks = (Charts((chart,), "Read from outside the process.", wide=True),)
    sections = [Section("time", "The last stretch", blocks, "" if blocks else "No sample was taken.")]
    sections += [Section("held", "What retains most now", (holdings,))] if found.holdings else []
    sections += (
        [Section("grew", "What grew since the guard was switched on", (growth,))] if found.growth else []
    )
    sections += _rest(found.absent, found.notes, found.environment)
    return Page(
        kind="post-mortem",
        title="Post-mortem",
        headline="The process died" if found.trigger == "death" else "Interrupted before memory ran out",
        lead=found.reason,
        badge=Badge(
            "died" if found.trigger == "death" else "interrupted",
            "bad" if found.trigger == "death" else "warn",
        ),
        figures=(
            _size(
                "Resident",
                found.rss_bytes,
                "when the guard acted" if found.trigger != "death" else "last read",
            ),
            _size("Greatest", found.peak_rss_bytes, "resident memory that was read"),
            Figure("Limit", format_bytes(found.limit_bytes), "of the guard")
            if found.limit_bytes is not None
            else Figure("Limit", None, "none was given: the machine's reserve was watched"),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=holdings if found.holdings else growth if found.growth else None,
        height=640,
    )


# -- parts of a run


def _figures(run: PressureRun) -> tuple[Figure, ...]:
    figures = [
        Figure("Budget", format_bytes(run.budget_bytes), "of the whole cage"),
        _size("Peak", run.peak_rss_bytes, f"resident memory ({run.peak_source})"),
        Figure("At the end", format_bytes(run.end_rss_bytes), end_sentence(run))
        if run.end_rss_bytes is not None
        else Figure("At the end", None, end_sentence(run)),
    ]
    if run.subject:
        figures.append(Figure("Calls", f"{run.calls:,}", f"of a {run.subject_kind}"))
        figures.append(
            Figure("Recovered", format_seconds(run.recovery_s), "after the release")
            if run.recovery_s is not None
            else Figure("Recovered", None, run.absent.get("recovery_s", "it was not measured"))
        )
    return tuple(figures)


def _charts(run: PressureRun) -> tuple[Block, ...]:
    charts: list[Chart] = []
    marks = _marks(run)
    budget = (run.budget_bytes, f"budget {format_bytes(run.budget_bytes)}")
    timeline = run.timeline
    if len(timeline):
        if "rss_bytes" in timeline.metrics:
            charts.append(timeline_chart(timeline, "rss_bytes", 0, Capture(timeline, marks), budget))
        if "ballast_bytes" in timeline.metrics:
            charts.append(timeline_chart(timeline, "ballast_bytes", 1, Capture(timeline, marks)))
        derived = rates(run)
        for number, metric in enumerate(derived.metrics, 2):
            charts.append(timeline_chart(derived, metric, number, Capture(derived, marks)))
    missing = tuple(f"{words.metric_name(k)}: {why}" for k, why in timeline.absent.items())
    blocks: list[Block] = [Charts((chart,), wide=True) for chart in charts]
    return (*blocks, *((Texts("Not read", missing),) if missing else ()))


def _marks(run: PressureRun) -> tuple[Mark, ...]:
    """Return where phases begin, less those whose names would stand in each other."""
    span = float(run.timeline.time_s[-1]) if len(run.timeline) else 0.0
    marks: list[Mark] = []
    for phase in reversed(run.phases):
        if not marks or marks[-1].time_s - phase.start_s >= span * _LEAST_GAP:
            marks.append(Mark(phase.start_s, phase.name))
    return tuple(reversed(marks[:_MOST_MARKS]))


def _how_to_read(run: PressureRun) -> str:
    if not len(run.timeline):
        return "No sample was taken."
    return "Resident memory is read from outside the cage; the rest is as the cage told it, every 10 ms."


def _phase_table(run: PressureRun) -> Table:
    has_hits = any(p.hit_rate is not None for p in run.phases)
    columns: list[tuple[Column, Callable[[PressurePhase], Cell]]] = [
        (Column("Phase"), lambda p: Cell(p.name)),
        (
            Column("Lasted", number=True),
            lambda p: Cell(duration(p.end_s - p.start_s), sort=_sort(p.end_s - p.start_s)),
        ),
        (Column("Ballast", number=True), lambda p: _size_cell(p.ballast_bytes)),
        (Column("Peak RSS", number=True), lambda p: _size_cell(p.peak_rss_bytes)),
    ]
    if run.subject:
        columns += [
            (Column("Calls", number=True), lambda p: Cell(f"{p.calls:,}", sort=float(p.calls))),
            (
                Column("p50", number=True),
                lambda p: Cell(duration(p.latency_p50_s), sort=_sort(p.latency_p50_s)),
            ),
            (
                Column("p99", number=True),
                lambda p: Cell(duration(p.latency_p99_s), sort=_sort(p.latency_p99_s)),
            ),
            (
                Column("Longest", number=True),
                lambda p: Cell(duration(p.latency_max_s), sort=_sort(p.latency_max_s)),
            ),
        ]
    if any(p.failures for p in run.phases):
        columns += [
            (Column("Failed", number=True), lambda p: Cell(f"{p.failures:,}", sort=float(p.failures)))
        ]
    if has_hits:
        columns += [
            (Column("Hit rate", number=True), lambda p: Cell(percent(p), sort=_sort(p.hit_rate))),
            (Column("Evicted", number=True), lambda p: _count_cell(p.evictions)),
            (Column("Entries", number=True), lambda p: _count_cell(p.entries)),
        ]
    rows = tuple(tuple(cell(p) for _, cell in columns) for p in run.phases[:_MOST_ROWS])
    return Table("phases", "Phases", tuple(column for column, _ in columns), rows, len(run.phases))


def _count_table(name: str, caption: str, counts: Mapping[str, int]) -> tuple[Table, ...]:
    if not counts:
        return ()
    rows = tuple((Cell(what, mono=True), Cell(f"{n:,}", sort=float(n))) for what, n in counts.items())
    return (
        Table(name, caption, (Column("What"), Column("Times", number=True)), rows[:_MOST_ROWS], len(rows)),
    )


# -- parts of a post-mortem


def _post_mortem_chart(found: PostMortem) -> Chart | None:
    timeline = found.timeline
    if not len(timeline) or "rss_bytes" not in timeline.metrics:
        return None
    level = (
        (found.limit_bytes, f"limit {format_bytes(found.limit_bytes)}")
        if found.limit_bytes is not None
        else None
    )
    return timeline_chart(timeline, "rss_bytes", 0, None, level)


def _holdings_table(found: PostMortem) -> Table:
    rows = tuple(
        (
            Cell(", ".join(h.names) or DASH, mono=True),
            Cell(h.kind),
            type_cell(h.type_name),
            _size_cell(h.retained_bytes),
            Cell(f"{h.objects:,}", sort=float(h.objects)),
            Cell(release_text(h), mono=True) if h.kind != "accumulation point" else Cell(DASH),
        )
        for h in found.holdings[:_MOST_ROWS]
    )
    columns = (
        Column("Held by"),
        Column("Kind"),
        Column("Type"),
        Column("Retained", number=True),
        Column("Objects", number=True),
        Column("What frees it"),
    )
    return Table("held-table", "By what would be freed with it", columns, rows, len(found.holdings))


def _growth_table(found: PostMortem) -> Table:
    rows = tuple(
        (
            type_cell(t.type_name),
            Cell(
                format_signed_bytes(t.bytes_diff),
                sort=float(t.bytes_diff),
                tone="grew" if t.bytes_diff > 0 else "",
            ),
            Cell(f"{t.objects_diff:+,}", sort=float(t.objects_diff)),
            _size_cell(t.shallow_bytes),
            Cell(f"{t.objects:,}", sort=float(t.objects)),
        )
        for t in found.growth[:_MOST_ROWS]
    )
    columns = (
        Column("Type"),
        Column("Growth", number=True),
        Column("More objects", number=True),
        Column("Size now", number=True),
        Column("Objects now", number=True),
    )
    return Table("grew-table", "Types by growth in shallow size", columns, rows, len(found.growth))


# -- parts of both


def _rest(absent: Mapping[str, str], notes: tuple[str, ...], environment: Mapping[str, str]) -> list[Section]:
    sections = []
    if absent:
        missing = tuple(f"{words.metric_name(name)}: {reason}" for name, reason in absent.items())
        sections.append(Section("absent", "Not known, and why", (Texts("", missing),)))
    if notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", notes),)))
    if environment:
        facts = Facts(words.environment_facts(environment))
        sections.append(Section("run", "Where it was recorded", (facts,)))
    return sections


def _size(label: str, size: int | None, note: str) -> Figure:
    return (
        Figure(label, format_bytes(size), note)
        if size is not None
        else Figure(label, None, "it was never read")
    )


def _size_cell(size: int | None) -> Cell:
    return Cell(format_bytes(size), sort=float(size)) if size is not None else Cell(DASH)


def _count_cell(count: int | None) -> Cell:
    return Cell(f"{count:,}", sort=float(count)) if count is not None else Cell(DASH)


def _sort(value: Any) -> float | None:
    return float(value) if value is not None and value == value and abs(value) != float("inf") else None  # noqa: PLR0124
