"""Benchmarks, regressions and the lab book in every view: text, page, rows. The pictures: ``bench_plots``."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.records.benchmark import BenchmarkTable, RegressionReport, RegressionVerdict, RunHistory
from memlab.views import bench_words as say
from memlab.views import words
from memlab.views.bench_charts import trend_chart
from memlab.views.flame_page import diff_page
from memlab.views.layout import columns, labelled, wrap
from memlab.views.page import Badge, Cell, Charts, Choice, Column, Facts, Figure, Page, Section, Table, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.records._result import Result
    from memlab.records.benchmark import MetricHistory, Regression
    from memlab.records.snapshot_tables import SnapshotDiff

__all__ = ["PAGES", "RENDERERS", "ROWS", "cells_of"]

_MOST = 40
_MOST_ROWS = 500
_MOST_CHARTS = 12
_MOST_CAUSES = 3
_MOST_LINES = 20
_MOST_PAIRED = 8
_MOST_PAIR_ROWS = 2000
_LABELS = 14
_TONES = {
    RegressionVerdict.REGRESSION: "bad",
    RegressionVerdict.IMPROVED: "good",
    RegressionVerdict.NOT_COMPARED: "warn",
    RegressionVerdict.MISSING: "warn",
}


Cells = tuple[tuple[str, ...], list[tuple[str, ...]], tuple[bool, ...]]


def cells_of(result: Result) -> Cells:
    """Return the one table that says most, as texts: titles, rows, and which columns are numbers."""
    if isinstance(result, BenchmarkTable):
        return _table_cells(result)
    if isinstance(result, RegressionReport):
        return _change_cells(result.changes)
    assert isinstance(result, RunHistory)
    return _trend_cells(result)


def _table_cells(table: BenchmarkTable) -> Cells:
    held = any(result.threshold is not None for result in table)
    titles: tuple[str, ...] = (
        "benchmark",
        "median",
        *(("limit", "status") if held else ()),
        "spread",
        "note",
    )
    rows = []
    for result in table:
        limit = ""
        if result.threshold is not None:
            sign = "at least" if result.better == "higher" else "at most"
            limit = f"{sign} {say.amount(result.threshold, say.bare_unit(result.unit))}"
        rows.append(
            (
                words.printable(result.name, 200),
                say.amount(result.value, result.unit),
                *((limit, result.status) if held else ()),
                say.spread_words(result),
                say.result_note(result),
            )
        )
    if not any(row[-1] for row in rows):
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    return titles, rows, tuple(title == "median" for title in titles)


def _change_cells(changes: Sequence[Regression]) -> Cells:
    rows: list[tuple[str, ...]] = [
        (
            words.printable(change.metric, 200),
            change.verdict.value,
            say.amount(change.baseline, change.unit),
            say.amount(change.current, change.unit),
            say.interval_words(change),
            say.change_words(change),
        )
        for change in changes
    ]
    titles = ("metric", "verdict", "baseline", "now", "worse by", "note")
    return titles, rows, (False, False, True, True, True, False)


def _trend_cells(history: RunHistory) -> Cells:
    rows: list[tuple[str, ...]] = []
    for metric in history.metrics:
        last = [change for change in history.changes if change.metric == metric.name]
        changed = f"{say.percent(last[0].degradation)} since run {last[0].run}" if last else "none seen"
        rows.append(
            (
                words.printable(metric.name, 200),
                f"{len(metric.run):,}",
                say.amount(float(metric.value[0]), say.bare_unit(metric.unit))
                if len(metric.value)
                else "absent",
                say.amount(float(np.median(metric.value)), say.bare_unit(metric.unit))
                if len(metric.value)
                else "absent",
                say.amount(float(metric.value[-1]), metric.unit) if len(metric.value) else "absent",
                changed,
            )
        )
    titles = ("metric", "runs", "first", "median", "last", "worse by")
    return titles, rows, (False, True, True, True, True, False)


# -- text


def _listing(result: Result, headline: str, most: int = _MOST) -> list[str]:
    titles, rows, numbers = cells_of(result)
    # The last column is a remark: under its row, where it does not narrow the others.
    notes = titles[-1] == "note"
    shown = [row[:-1] if notes else row for row in rows[:most]]
    lines = wrap(headline, 0, 2)
    if shown:
        head = titles[:-1] if notes else titles
        table = columns(head, shown, numbers[: len(head)])
        lines += ["", table[0]]
        for line, row in zip(table[1:], rows[:most], strict=True):
            lines.append(line)
            if notes and row[-1]:
                lines += wrap(row[-1], 6, 8)
    if len(rows) > most:
        lines.append(f"  and {len(rows) - most:,} more")
    return lines


def _notes(notes: Sequence[str]) -> list[str]:
    lines = [line for note in notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return ["", "Notes", *lines] if lines else []


def _table_text(table: BenchmarkTable) -> str:
    lines = _listing(table, words.printable(say.table_headline(table)))
    if table.machine:
        lines += ["", *labelled("machine", words.printable(table.machine, 120), 2, _LABELS)]
    return "\n".join(lines + _notes(table.notes))


def _report_text(report: RegressionReport) -> str:
    lines = _listing(report, say.regression_headline(report))
    for name, diff in list(report.causes.items())[:_MOST_CAUSES]:
        lines += ["", f"What grew in {words.printable(name, 80)}"]
        rows = [
            (words.printable(words.place(site.site.frame)), say.amount(site.size_bytes, "bytes"),
             f"{'+' if site.size_diff_bytes > 0 else ''}{site.size_diff_bytes:,} B")
            for site in diff.sites[:5]
        ]  # fmt: skip
        lines += columns(("line", "now", "growth"), rows, (False, True, True))
    if report.machine:
        lines += ["", *labelled("machine", words.printable(report.machine, 120), 2, _LABELS)]
    return "\n".join(lines + _notes(report.notes))


def _history_text(history: RunHistory) -> str:
    lines = _listing(history, say.history_headline(history))
    if history.runs:
        first, last = history.runs[0], history.runs[-1]
        span = f"run {first.number}, {say.run_stamp(first.timestamp)} to run {last.number}, "
        lines += ["", *labelled("runs", span + say.run_stamp(last.timestamp), 2, _LABELS)]
    if history.dropped:
        lines += labelled("dropped", f"{history.dropped:,} older runs made room", 2, _LABELS)
    return "\n".join(lines + _notes(history.notes))


# -- pages


def _page_table(id_: str, caption: str, result: Result, tones: Sequence[str] = ()) -> Table:
    titles, rows, numbers = cells_of(result)
    sorts = _sorts(result)
    cells = tuple(
        tuple(
            Cell(
                text,
                sort=sorts[at].get(column),
                tone=tones[at] if tones and titles[column] in ("verdict", "status") else "",
                mono=column == 0,
            )
            for column, text in enumerate(row)
        )
        for at, row in enumerate(rows[:_MOST_ROWS])
    )
    heads = tuple(Column(t.capitalize(), number=n) for t, n in zip(titles, numbers, strict=True))
    return Table(id_, caption, heads, cells, len(rows))


def _sorts(result: Result) -> list[dict[int, float]]:
    """Return the number that each cell of a number sorts by."""
    if isinstance(result, BenchmarkTable):
        every = [{1: r.value} for r in result]
    elif isinstance(result, RegressionReport):
        every = [{2: c.baseline, 3: c.current, 4: c.degradation} for c in result.changes]
    else:
        assert isinstance(result, RunHistory)
        every = [{1: float(len(m.run))} for m in result.metrics]
    return [{k: v for k, v in row.items() if v is not None and math.isfinite(v)} for row in every]


def _table_page(table: BenchmarkTable) -> Page:
    tones = ["bad" if r.passed is False else "good" if r.passed else "" for r in table]
    block = _page_table("results", "Results", table, tones)
    held = any(r.threshold is not None for r in table)
    badge = None
    if held:
        badge = Badge("pass", "good") if table.passed else Badge("fail", "bad")
    facts = [("class of machine", table.machine or "not said"), *words.environment_facts(table.environment)]
    sections = [
        Section("results-section", "What was measured", (block,)),
        Section("run", "How it was measured", (Facts(tuple(facts)),)),
    ]
    return Page(
        kind="benchmarks",
        title=words.printable(table.label, 60) or "Benchmarks",
        headline=say.table_headline(table),
        lead="Medians, with the quartiles of their samples. Bytes and counts are the least of their calls.",
        badge=badge,
        figures=(
            Figure("Figures", f"{len(table):,}", ""),
            Figure("Snapshots", f"{len(table.snapshots):,}", "taken near a peak, for a regression's cause"),
        ),
        next_steps=(),
        sections=_with_notes(sections, table.notes),
        brief=block,
        height=420,
    )


def _report_page(report: RegressionReport) -> Page:
    tones = [_TONES.get(change.verdict, "") for change in report.changes]
    block = _page_table("changes", "Each metric against its baseline", report, tones)
    badge = (
        Badge("baseline", "plain")
        if report.created
        else Badge("regression", "bad")
        if report.regressions
        else Badge("no regression", "good")
        if report.compared
        else Badge("nothing compared", "warn")
    )
    sections = [Section("changes-section", "Metric by metric", (block,))]
    causes = list(report.causes.items())[:_MOST_CAUSES]
    for number, (name, diff) in enumerate(causes):
        intro = "Traced memory near the peak, now and for the baseline."
        sections.append(Section(f"cause-{number}", f"What grew in {name}", (_grown(diff, number),), intro))
    flame = None
    if causes:  # the page has room for the stacks of one
        stacks = diff_page(causes[0][1])
        flame = stacks.flame
        sections += [section for section in stacks.sections if section.id in ("stacks", "map")]
    facts = [("class of machine", report.machine or "not said")]
    facts.append(("the baseline's", report.baseline_machine or "none"))
    facts += [(f"loop {name}", f"{say.percent(slower, 0)} time") for name, slower in report.loops.items()]
    facts += words.environment_facts(report.environment)
    sections.append(Section("run", "How it was compared", (Facts(tuple(facts)),)))
    counts = {verdict: len(report.of(verdict)) for verdict in RegressionVerdict}
    labels = [label for label in (report.baseline_label, report.label) if label]
    return Page(
        kind="regression check",
        title="Against the baseline" + (f": {words.printable(' to '.join(labels), 80)}" if labels else ""),
        headline=say.regression_headline(report),
        lead="Bytes and counts are compared as they are; times as ratios to a reference loop, by ranks.",
        badge=badge,
        figures=(
            Figure("Compared", f"{report.compared:,}", ""),
            Figure("Worse", f"{counts[RegressionVerdict.REGRESSION]:,}", ""),
            Figure("Better", f"{counts[RegressionVerdict.IMPROVED]:,}", ""),
            Figure(
                "Not compared",
                f"{len(report.changes) - report.compared:,}",
                "new, missing, or of another machine",
            ),
        ),
        next_steps=_next_steps(report),
        sections=_with_notes(sections, report.notes),
        brief=block,
        height=520,
        flame=flame,
    )  # fmt: skip


def _grown(diff: SnapshotDiff, number: int) -> Table:
    rows = tuple(
        (
            Cell(words.place(site.site.frame), mono=True, under=site.site.frame.source),
            Cell(f"{site.size_diff_bytes:+,} B", sort=float(site.size_diff_bytes)),
            Cell(say.amount(site.size_bytes, "bytes"), sort=float(site.size_bytes)),
            Cell(f"{site.blocks_diff:+,}", sort=float(site.blocks_diff)),
        )
        for site in diff.sites[:_MOST_LINES]
    )
    titles = ("Line", "Growth", "Now", "Blocks")
    heads = tuple(Column(title, number=at > 0) for at, title in enumerate(titles))
    return Table(f"grown-{number}", "Lines whose live memory changed", heads, rows, len(diff))


def _next_steps(report: RegressionReport) -> tuple[str, ...]:
    if report.regressions:
        place = report.regressions[0].place
        look = f"Look at {place}." if place else "Look at the code that the metric is of."
        return (
            look,
            "If it is meant to be so, make this run the baseline: --update, or --memlab-update in pytest.",
        )
    if not report.created and not report.compared:
        return ("Make a baseline on this class of machine: --update.",)
    return ()


def _history_page(history: RunHistory) -> Page:
    changed = {change.metric for change in history.changes}
    drawn = sorted(history.metrics, key=lambda m: (m.name not in changed, m.name))[:_MOST_CHARTS]
    charts = tuple(
        chart for n, m in enumerate(drawn) if (chart := trend_chart(m, history, n)) is not None
    )  # fmt: skip
    table = _page_table("metrics", "Metrics over the runs", history)
    sections = [Section("metrics-section", "Metrics", (table,), "Click a title to sort; type to filter.")]
    if charts:
        cut = len(history.metrics) - len(charts)
        more = f" {cut:,} more metrics are not drawn." if cut > 0 else ""
        legend = "Medians over the runs; where a metric changed and stayed so, a mark." + more
        sections.insert(0, Section("trends", "Trends", (Charts(charts, legend),)))
    if history.changes:
        sections.append(Section("changes", "Where something changed", (_changes_table(history),)))
    if len(history) > 1:
        sections.append(_pairs(history))
    sections.append(Section("runs", "Runs", (_runs_table(history),), "Newest first."))
    worse = any(change.degradation > 0 for change in history.changes)
    gone = f"{history.dropped:,} older ones made room" if history.dropped else ""
    return Page(
        kind="lab book",
        title="The lab book",
        headline=say.history_headline(history),
        lead="Every run that was recorded: its metrics over time, and where one changed for good.",
        badge=Badge("changed", "warn") if worse else None,
        figures=(
            Figure("Runs", f"{len(history):,}", gone),
            Figure("Metrics", f"{len(history.metrics):,}", ""),
            Figure("Changes", f"{len(history.changes):,}", "in either direction"),
        ),
        next_steps=(),
        sections=_with_notes(sections, history.notes),
        brief=table,
        height=560,
    )  # fmt: skip


def _changes_table(history: RunHistory) -> Table:
    units = {metric.name: metric for metric in history.metrics}
    rows = []
    for change in history.changes[:_MOST_ROWS]:
        metric = units.get(change.metric)
        unit = metric.unit if metric is not None and metric.exact else ""
        rows.append(
            (
                Cell(change.metric, mono=True),
                Cell(f"run {change.run}", sort=float(change.run)),
                Cell(say.amount(change.before, unit), sort=change.before),
                Cell(say.amount(change.after, unit), sort=change.after),
                Cell(
                    say.percent(change.degradation),
                    sort=change.degradation,
                    tone="bad" if change.degradation > 0 else "good",
                ),
                Cell(f"{change.chance:.2g}" if change.chance else "exact", sort=change.chance),
            )
        )
    titles = ("Metric", "Since", "Before", "After", "Worse by", "By chance")
    heads = tuple(Column(title, number=at > 1) for at, title in enumerate(titles))
    note = "Times are in units of their reference loop where there is one."
    return Table("changes-table", "Changes", heads, tuple(rows), len(history.changes), note)


def _pairs(history: RunHistory) -> Section:
    """Return the newest runs, each beside each, as many as a page has room for."""
    many = 2
    while many < min(len(history), _MOST_PAIRED) and _rows_of(many + 1, history) <= _MOST_PAIR_ROWS:
        many += 1
    runs = history.runs[-many:]
    tables = []
    for older, newer in itertools.combinations(runs, 2):
        report = history.compare(older.number, newer.number)
        tones = [_TONES.get(change.verdict, "") for change in report.changes]
        caption = f"Run {older.number} and run {newer.number}"
        name = f"pair-{older.number}-{newer.number}"
        tables.append((str(older.number), str(newer.number), _page_table(name, caption, report, tones)))
    names = tuple(
        (str(run.number), " · ".join(filter(None, (str(run.number), words.printable(run.label, 40)))))
        for run in runs
    )
    which = "The last two runs" if many == 2 else f"The last {many} runs"  # noqa: PLR2004 - a pair
    intro = f"{which}, medians beside each other. Any other two: memlab history --compare A B."
    return Section("compare", "Two runs", (Choice("pairs", "run", names, tuple(tables)),), intro)


def _rows_of(runs: int, history: RunHistory) -> int:
    return math.comb(runs, 2) * len(history.metrics)


def _runs_table(history: RunHistory) -> Table:
    counts: dict[int, int] = {}
    for metric in history.metrics:
        for run in metric.run.tolist():
            counts[run] = counts.get(run, 0) + 1
    rows = tuple(
        (
            Cell(f"{run.number}", sort=float(run.number)),
            Cell(say.run_stamp(run.timestamp), sort=run.timestamp),
            Cell(run.label),
            Cell(run.source),
            Cell(run.machine),
            Cell(f"{counts.get(run.number, 0):,}", sort=float(counts.get(run.number, 0))),
        )
        for run in reversed(history.runs[-_MOST_ROWS:])
    )
    titles = ("Run", "When (UTC)", "Label", "By", "Class of machine", "Metrics")
    heads = tuple(Column(title, number=title in ("Run", "Metrics")) for title in titles)
    return Table("runs-table", "Runs", heads, rows, len(history))


def _with_notes(sections: list[Section], notes: Sequence[str]) -> tuple[Section, ...]:
    if notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", tuple(notes)),)))
    return tuple(sections)


# -- rows


def _table_rows(table: BenchmarkTable) -> Any:
    names = (
        "name",
        "value",
        "unit",
        "threshold",
        "status",
        "better",
        "exact",
        "low",
        "high",
        "samples",
        "note",
    )
    rows = []
    for r in table:
        low, high = r.spread or (None, None)
        rows.append(
            (
                r.name,
                r.value,
                r.unit,
                r.threshold,
                r.status,
                r.better,
                r.exact,
                low,
                high,
                len(r.samples),
                r.note,
            )
        )
    return names, rows


def _change_rows(report: RegressionReport) -> Any:
    names = (
        "metric", "verdict", "baseline", "current", "unit", "degradation", "low", "high", "allowed", "chance",
        "exact", "samples", "baseline_samples", "power", "enough", "place", "reason",
    )  # fmt: skip
    return names, [
        tuple(c.verdict.value if name == "verdict" else getattr(c, name) for name in names)
        for c in report.changes
    ]


def _history_rows(history: RunHistory) -> Any:
    names = ("run", "timestamp", "label", "metric", "value", "low", "high", "relative", "unit")
    runs = {run.number: run for run in history.runs}
    return names, [
        (run, runs[run].timestamp, runs[run].label, metric.name, value, low, high, relative, metric.unit)
        for metric in history.metrics
        for run, value, low, high, relative in _figures(metric)
        if run in runs
    ]


def _figures(metric: MetricHistory) -> Any:
    columns_ = (metric.run, metric.value, metric.low, metric.high, metric.relative)
    return zip(*(column.tolist() for column in columns_), strict=True)


RENDERERS: dict[type[Result], Callable[[Any], str]] = {
    BenchmarkTable: _table_text,
    RegressionReport: _report_text,
    RunHistory: _history_text,
}
PAGES: dict[type[Result], Callable[[Any], Page]] = {
    BenchmarkTable: _table_page,
    RegressionReport: _report_page,
    RunHistory: _history_page,
}
ROWS: dict[type[Result], Callable[[Any], Any]] = {
    BenchmarkTable: _table_rows,
    RegressionReport: _change_rows,
    RunHistory: _history_rows,
}
