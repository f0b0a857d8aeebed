"""Results as plain text for terminals, logs and screen readers: at most 100 columns, no colour, no drawing.

``render_text`` is one function with a case for each kind of record. The first line is always the answer.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count, format_seconds, format_signed_bytes
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation
from memlab.records.flame import FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.leak_report import LeakReport, Verdict
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.report import Report
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.views import (
    bench_views,
    fix_views,
    gc_views,
    heap_text,
    pool_views,
    pressure_text,
    site_history_views,
    where_views,
    words,
)
from memlab.views.comparison import comparison_text
from memlab.views.flame_text import flame_text
from memlab.views.layout import columns, labelled, wrap
from memlab.views.ledger_page import ledger_text
from memlab.views.line_text import line_text
from memlab.views.recording_text import pauses_text, recording_text
from memlab.views.report_page import report_text
from memlab.views.sites import top_lines
from memlab.views.snapshot_table import table_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memlab.records._result import Result
    from memlab.records.leak_report import Suspect, TypeGrowth
    from memlab.records.sites import Frame

__all__ = ["render_text"]

_MIB = 1024 * 1024
_MOST_SUSPECTS = 5
_MOST_ROWS = 10
_MOST_UNDER = 4
_LABELS = 16


@singledispatch
def render_text(result: Result) -> str:
    """Return a result as plain text of at most 100 columns, without a final line break.

    Args:
        result: any of memlab's results. Sizes show as KiB and MiB, durations in seconds.

    Raises:
        TypeError: when ``result`` is no result of memlab's.

    Example:
        >>> from memlab.records.memit import MemitResult
        >>> print(render_text(MemitResult((3 * 2**20,), 2**20)))
        peak memory: 3.00 MiB, increment: 2.00 MiB
    """
    raise TypeError(f"cannot show a {type(result).__name__}: it is no result of memlab's")


for _cases in (
    heap_text.RENDERERS,
    pool_views.RENDERERS,
    gc_views.RENDERERS,
    fix_views.RENDERERS,
    where_views.RENDERERS,
    site_history_views.RENDERERS,
    bench_views.RENDERERS,
):
    for _kind, _render in _cases.items():
        render_text.register(_kind, _render)
for _kind, _render in {**heap_text.RENDERERS, **pressure_text.RENDERERS}.items():
    render_text.register(_kind, _render)
render_text.register(CellLedger, ledger_text)
render_text.register(LineProfile, line_text)


@render_text.register
def _(report: Report) -> str:
    return report_text(report, render_text)


@render_text.register
def _(result: MemitResult) -> str:
    # memory_profiler's line to the letter: people's scripts read it.
    return (
        f"peak memory: {result.peak_bytes / _MIB:.2f} MiB, increment: {result.increment_bytes / _MIB:.2f} MiB"
    )


@render_text.register
def _(report: LeakReport) -> str:
    lines = wrap(f"{report.verdict.value.upper()}: {words.printable(words.headline(report))}", 0, 2)
    lines += wrap(words.printable(words.sentence(report.reason)), 2)
    if report.failure is not None and report.verdict is not Verdict.INCONCLUSIVE:
        lines += wrap(f"The step failed: {words.printable(words.failure_sentence(report.failure))}", 2)
    lines += _figures(report)
    shown = report.suspects[:_MOST_SUSPECTS]
    if shown:
        lines += _heading("Suspects", len(shown), len(report.suspects))
        for number, suspect in enumerate(shown, 1):
            lines += [*([""] if number > 1 else []), *_suspect(number, suspect)]
    elif report.types:
        lines += _types("What rose", report.types)
    lines += _tests(report)
    lines += _bullets("What to do next", words.next_steps(report))
    lines += _bullets("Notes", report.notes)
    return "\n".join(lines)


@render_text.register
def _(explanation: Explanation) -> str:
    lines = wrap(
        f"{words.printable(words.type_text(explanation.type_name))}: {words.printable(explanation.verdict)}",
        0,
        2,
    )
    for chain in explanation.chains:
        lines += ["", *wrap(words.printable(words.chain_text(chain)), 2, 6)]
        lines += wrap(f"root: {chain.root.value}; {words.root_sentence(chain.root)}", 6)
    if explanation.refcount is not None:
        counts = f"{explanation.refcount:,}, {explanation.holders:,} of them seen"
    else:
        counts = f"{explanation.holders:,} seen" if explanation.holders else "kept by no count"
    looked = "" if explanation.complete else "; the search stopped at its limit, so there may be more"
    lines += ["", *labelled("references", counts, 2, _LABELS)]
    lines += labelled("searched", f"{explanation.searched:,} objects{looked}", 2, _LABELS)
    lines += _bullets("Notes", explanation.notes)
    return "\n".join(lines)


@render_text.register
def _(snapshot: Snapshot) -> str:
    label = f" {words.printable(snapshot.label, 80)}" if snapshot.label else ""
    total = f"{format_bytes(snapshot.total_bytes)} in {snapshot.total_blocks:,} blocks"
    lines = wrap(f"Snapshot{label}: {total} ({words.printable(snapshot.engine, 40)})", 0, 2)
    every = top_lines(snapshot)
    rows = [
        (words.printable(words.place(line.frame)), format_bytes(line.size_bytes), f"{line.blocks:,}")
        for line in every[:_MOST_ROWS]
    ]
    if rows:
        lines += _heading("Lines that allocated most", len(rows), len(every))
        lines += columns(("line", "size", "blocks"), rows, (False, True, True))
    lines += _bullets("Notes", snapshot.notes)
    return "\n".join(lines)


@render_text.register
def _(diff: SnapshotDiff) -> str:
    names = [words.printable(name, 60) for name in (diff.older_label, diff.newer_label) if name]
    between = f" from {names[0]} to {names[1]}" if len(names) == 2 else ""  # noqa: PLR2004 - a pair
    blocks = words.growth("blocks", diff.total_diff_blocks)
    lines = wrap(f"Growth{between}: {format_signed_bytes(diff.total_diff_bytes)}, {blocks} blocks", 0, 2)
    if diff.per > 1:
        rate = format_signed_bytes(round(diff.total_diff_bytes / diff.per))
        lines += wrap(f"over {diff.per:,} iterations: {rate} each", 2)
    rows = [
        (
            words.printable(words.place(site.site.frame)),
            format_signed_bytes(site.size_diff_bytes),
            words.growth("blocks", site.blocks_diff),
            format_bytes(site.size_bytes),
            site.change.value,
        )
        for site in diff.sites[:_MOST_ROWS]
    ]
    if rows:
        lines += _heading(f"What changed, by {words.printable(diff.by, 20)}", len(rows), len(diff.sites))
        titles = ("site", "growth", "blocks", "size now", "change")
        lines += columns(titles, rows, (False, True, True, True, False))
    lines += _bullets("Notes", diff.notes)
    return "\n".join(lines)


@render_text.register
def _(table: SnapshotTable) -> str:
    return table_text(table)


@render_text.register
def _(tree: FlameTree) -> str:
    return flame_text(tree)


@render_text.register
def _(timeline: Timeline) -> str:
    lasted = float(timeline.time_s[-1] - timeline.time_s[0]) if len(timeline) else 0.0
    lines = wrap(f"Timeline: {len(timeline):,} samples in {format_seconds(lasted)}", 0, 2)
    return "\n".join([*lines, *_metrics(timeline)])


@render_text.register
def _(capture: Capture) -> str:
    timeline = capture.timeline
    if capture.peak is not None:
        source = "exact, the kernel's mark" if capture.peak.source == "vmhwm" else "sampled, a lower bound"
        first = (
            f"Peak: {format_bytes(capture.peak.value_bytes)},"
            f" {format_bytes(capture.peak.increment_bytes)} above the start ({source})"
        )
    else:
        first = f"Peak: not known ({_reason(timeline, 'peak')})"
    lines = wrap(words.printable(first), 0, 2)
    lasted = float(timeline.time_s[-1] - timeline.time_s[0]) if len(timeline) else 0.0
    ended = "" if capture.complete else "; the recording was cut short"
    samples = max(timeline.taken, len(timeline))
    lines += wrap(f"{samples:,} samples in {format_seconds(lasted)}{ended}", 2)
    lines += _metrics(timeline)
    if capture.marks:
        rows = [
            (words.printable(mark.label, 80), format_seconds(mark.time_s))
            for mark in capture.marks[:_MOST_ROWS]
        ]
        lines += _heading("Marks", len(rows), len(capture.marks))
        lines += columns(("mark", "at"), rows, (False, True))
    lines += recording_text(capture)
    lines += _bullets("Notes", capture.notes)
    return "\n".join(lines)


@render_text.register
def _(comparison: CaptureComparison) -> str:
    return comparison_text(comparison)


@render_text.register
def _(pauses: GcPauses) -> str:
    return pauses_text(pauses)


# -- parts of a leak report


def _figures(report: LeakReport) -> list[str]:
    lines = [""]
    objects = report.objects_per_iteration
    lines += labelled(
        "objects",
        f"{format_count(objects)} per iteration"
        if objects is not None
        else f"not known: {words.absent(report, 'objects')}",
        2,
        _LABELS,
    )
    size = report.bytes_per_iteration
    source = (
        f" ({words.printable(words.source_words(report.bytes_source), 60)})" if report.bytes_source else ""
    )
    lines += labelled(
        "memory",
        f"{format_bytes(size)} per iteration{source}"
        if size is not None
        else f"not known: {words.absent(report, 'bytes')}",
        2,
        _LABELS,
    )
    rss = report.test("rss_bytes")
    lines += labelled(
        "process (RSS)",
        f"{words.growth(rss.metric, rss.per_iteration)} per iteration, 95 % interval {words.interval(rss)}"
        if rss is not None
        else f"not known: {words.absent(report, 'rss_bytes')}",
        2,
        _LABELS,
    )
    return lines + labelled("iterations", words.protocol_sentence(report.protocol), 2, _LABELS)


def _suspect(number: int, suspect: Suspect) -> list[str]:
    indent, column = 5, 5 + _LABELS
    lines = wrap(
        f"{number}. {words.printable(words.type_text(suspect.type_name), 200)}:"
        f" {words.suspect_objects(suspect)},"
        f" {format_bytes(suspect.bytes_per_iteration)} per iteration"
        f" ({suspect.share * 100:.0f} % of what grows)",
        2,
        indent,
    )
    lines += wrap(words.printable(suspect.prose), indent)
    if suspect.site is None:
        lines += labelled(
            "made at", "not traced: a line is known only for traced allocations", indent, column
        )
    else:
        lines += _code("made at", suspect.site.frame, indent, column)
        user = suspect.site.user
        if user is not None and suspect.site.user_frame > 0:
            lines += _code("your line", user, indent, column)
    if suspect.entry is not None:
        lines += _code("entry made at", suspect.entry.frame, indent, column)
    holder = (
        words.printable(words.chain_text(suspect.chain))
        if suspect.chain is not None
        else "nothing in Python was seen to hold it"
    )
    lines += labelled("held by", holder, indent, column)
    grown = suspect.container
    if grown is not None:
        lengths = " -> ".join(f"{n:,}" for n in _ends(grown.lengths)) or "?"
        rate = words.growth("entries", grown.entries_per_iteration)
        text = (
            f"{grown.name} ({words.type_text(grown.type_name)}): {lengths} entries,"
            f" {rate} per iteration, {words.bound_sentence(grown)}"
        )
        lines += labelled("container", words.printable(text), indent, column)
    if suspect.types:
        under = [
            f"{format_count(t.objects_per_iteration)} {words.printable(words.type_text(t.type_name), 120)}"
            f" ({format_bytes(t.bytes_per_iteration)})"
            for t in suspect.types[:_MOST_UNDER]
        ]
        more = len(suspect.types) - len(under)
        text = ", ".join(under) + (f", and {more:,} more types" if more else "")
        lines += labelled("per iteration", text, indent, column)
    freed = words.freed_sentence(suspect)
    if freed:
        lines += labelled("if it let go", words.printable(freed, 400), indent, column)
    return lines


def _code(label: str, frame: Frame, indent: int, column: int) -> list[str]:
    lines = labelled(label, words.printable(words.place(frame)), indent, column)
    if frame.source:
        lines += wrap(words.printable(frame.source), column + 2, column + 4)
    return lines


def _tests(report: LeakReport) -> list[str]:
    if not report.tests:
        return _bullets("Tests", ("No metric could be tested in this run.",))
    rows = [
        (
            words.printable(words.metric_name(test.metric), 40),
            words.growth(test.metric, test.per_iteration),
            words.interval(test),
            "yes" if test.grew else "no",
            "yes" if test.grew and test.sustained else "no",
            words.chance(test.false_positive_bound),
        )
        for test in report.tests
    ]
    titles = ("metric", "per iteration", "95 % interval", "grew", "goes on", "by chance")
    return [*_heading("Tests"), *columns(titles, rows, (False, True, True, False, False, True))]


def _types(title: str, types: tuple[TypeGrowth, ...]) -> list[str]:
    rows = [
        (
            words.printable(words.type_text(t.type_name), 200),
            words.growth("objects", t.objects_per_iteration),
            format_signed_bytes(t.bytes_per_iteration),
        )
        for t in types[:_MOST_ROWS]
    ]
    head = _heading(title, len(rows), len(types))
    return head + columns(("type", "objects each", "bytes each"), rows, (False, True, True))


# -- parts of every kind


def _metrics(timeline: Timeline) -> list[str]:
    rows = []
    for metric, column in timeline.metrics.items():
        if not len(column):
            continue
        figures = [int(column[0]), int(column.min()), int(column.max()), int(column[-1])]
        name = words.printable(words.metric_name(metric), 40)
        source = words.printable(timeline.sources.get(metric, "not stated"), 30)
        rows.append((name, *(words.amount(metric, f) for f in figures), source))
    lines: list[str] = []
    if rows:
        titles = ("metric", "first", "least", "greatest", "last", "source")
        lines += ["", *columns(titles, rows, (False, True, True, True, True, False))]
    missing = [f"{words.metric_name(name)}: {reason}" for name, reason in timeline.absent.items()]
    return lines + _bullets("Not read", missing)


def _reason(timeline: Timeline, *names: str) -> str:
    known = [timeline.absent[n] for n in (*names, "rss_bytes") if n in timeline.absent]
    return known[0] if known else "this platform gives none"


def _heading(title: str, shown: int = 0, of: int = 0) -> list[str]:
    return ["", f"{title} ({shown:,} of {of:,})" if shown < of else title]


def _bullets(title: str, items: Iterable[str]) -> list[str]:
    lines = [line for item in items for line in wrap(f"- {words.printable(item)}", 2, 4)]
    return ["", title, *lines] if lines else []


def _ends(values: tuple[int, ...]) -> tuple[int, ...]:
    return values if len(values) <= 2 else (values[0], values[-1])  # noqa: PLR2004 - first and last
