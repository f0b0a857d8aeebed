"""Results as pandas tables: one row a thing, sizes in bytes, durations in seconds, names as text.

pandas is imported only here and only when asked for. A result with nothing to list gives an empty table with
the same columns, so that code written for one report works on the next.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from memlab.analyses.capture_compare import figure_pairs
from memlab.errors import MissingExtraError, UsageError
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation
from memlab.records.flame import FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.heap_graph import HeapGraph
from memlab.records.leak_report import LeakReport
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.pressure import PostMortem, PressureRun
from memlab.records.report import Report
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.views import flame_text, words
from memlab.views.bench_views import ROWS as BENCH_ROWS
from memlab.views.fix_views import ROWS as FIX_ROWS
from memlab.views.gc_views import ROWS as GC_ROWS
from memlab.views.heap_rows import ROWS
from memlab.views.ledger_page import ledger_rows
from memlab.views.line_page import line_rows
from memlab.views.pool_views import ROWS as POOL_ROWS
from memlab.views.pressure_rows import holding_rows, phase_rows
from memlab.views.report_page import part_rows
from memlab.views.site_history_views import ROWS as SITE_ROWS
from memlab.views.snapshot_table import COLUMNS, table_rows
from memlab.views.where_views import ROWS as WHERE_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pandas import DataFrame

    from memlab.records._result import Result
    from memlab.records.sites import Site

__all__ = ["table_of", "to_frame"]

Row = tuple[Any, ...]


def to_frame(result: Result, table: str | None = None) -> DataFrame:
    """Return the table that matters most in a result, or another one of a leak report's.

    Columns, with what each does not include in the record's own documentation:

    - leak report: ``suspects`` (default), ``tests``, ``types``, ``sites``, ``containers``, ``freed``
      (what would go with each suspect's holder, by type), ``series``.
      Columns that end in ``_per_iteration`` are rates, ``bytes`` in bytes, others in counts.
    - explanation: one row a link: ``chain``, ``step``, ``root``, ``via``, ``label``, ``type``.
    - snapshot: one row a traceback and domain, greatest first: ``file``, ``line``, ``size_bytes``,
      ``blocks``, ``domain``, ``traceback`` (most recent call first).
    - snapshot by site: ``file``, ``line``, ``function``, ``size_bytes``, ``blocks``, ``traceback``. By
      package, module or thread, ``file`` is that name and ``line`` 0.
    - snapshot difference: ``file``, ``line``, ``function``, ``size_diff_bytes``, ``blocks_diff``,
      ``size_bytes``, ``blocks``, ``change``.
    - flame tree: one row a row of the tree, its root left out: ``parent`` (a row of the tree, 0 for its
      root), ``level``, ``file``, ``line``, ``function``, ``self_bytes``, ``total_bytes``, ``total_blocks``,
      their differences, ``folded``, ``repeats``.
      ``size_bytes``, ``blocks``, ``change``, ``moved_from`` (line in the older snapshot, 0 when it is the
      same); with ``per`` also ``bytes_per_iteration``, ``blocks_per_iteration``.
      ``size_bytes``, ``blocks``, ``change``.
    - two captures: one row a figure: ``figure``, ``unit``, ``first``, ``second``, ``growth``.
    - capture and timeline: one column a metric, indexed by ``time_s``.
    - statement (``%memit``): ``repeat``, ``peak_bytes``, ``increment_bytes``, ``source``.
    - heap graph: its objects, greatest retained size first, as ``HeapGraph.query`` gives them.
    - heap census: ``type``, ``objects``, ``shallow_bytes``, ``retained_bytes``.
    - heap tree: one row of the tree: ``label``, ``type``, ``via``, ``parent`` (a row's number, -1 for the
      whole), ``node``, ``objects``, ``shallow_bytes``, ``retained_bytes``, ``children``.
    - heap suspects: ``label``, ``type``, ``node``, ``retained_bytes``, ``share``, ``objects``, ``held_by``,
      ``prose``.
    - cycles: ``types``, ``cycles`` (of that shape), ``objects`` and ``shallow_bytes`` of one.
    - duplicates: ``type``, ``objects``, ``size_bytes`` (of one), ``wasted_bytes``, ``holder``.
    - owners: ``owner``, ``objects``, ``shallow_bytes``. What a cut frees: ``type``, ``objects``,
      ``shallow_bytes``.
    - heap difference: ``type``, ``objects_diff``, ``bytes_diff``, ``objects``, ``shallow_bytes``, ``born``.
    - holdings: ``names``, ``kind``, ``type``, ``retained_bytes``, ``objects``, ``shallow_bytes``,
      ``release``.
    - pool and cache figures: ``figure``, ``value``. Whether pooling pays: ``round``, ``new_s``, ``pooled_s``,
      ``reset_s``. Hit rate by size: ``size``, ``hit_rate``.
    - collector's figures: ``generation``, ``pause_s``. Decisions: ``time_s``, ``action``, ``before``,
      ``after``, ``reason``. Advice: ``setting``, medians of ``cpu_s`` .. ``peak_bytes``, ``recommended``,
      ``code``.
    - pressure run: one row a phase: ``phase``, ``start_s``, ``end_s``, ``target_bytes``, ``ballast_bytes``,
      ``peak_rss_bytes``, ``calls``, ``failures``, ``latency_p50_s``, ``latency_p99_s``, ``latency_max_s``,
      ``hits``, ``misses``, ``hit_rate``, ``evictions``, ``entries``. Its ``timeline`` has a table of its own.
    - report: one row a part: ``part``, ``kind``, ``says``. The results in it have tables of their own.
    - post-mortem: what retained most: ``names``, ``kind``, ``type``, ``retained_bytes``, ``objects``,
      ``release``.

    - line profile: one row a line: ``function``, ``file``, ``line``, ``occurrences``, ``increment_bytes``,
      ``usage_bytes``, ``rise_bytes`` (None where it is not known), ``source``.

    - cell ledger: one row a cell: ``cell``, ``label``, ``depth``, ``outcome``, ``seconds``,
      ``start_bytes``, ``end_bytes``, ``diff_bytes``, ``peak_bytes``, ``peak_source``, ``gc_seconds``,
      ``collections``, ``objects_diff``, ``survivors``, ``variables``.

    - benchmarks: one row a figure: ``name``, ``value``, ``unit``, ``threshold``, ``status``, ``better``,
      ``exact``, ``low``, ``high`` (quartiles), ``samples`` (their number), ``note``. Regression report: one
      row a metric: ``metric``, ``verdict``, ``baseline``, ``current``, ``unit``, ``degradation``, ``low``,
      ``high``, ``allowed``, ``chance`` and more. History: one row a figure of a run: ``run``, ``timestamp``,
      ``label``, ``metric``, ``value``, ``low``, ``high``, ``relative``, ``unit``.

    Args:
        result: any of memlab's results.
        table: a leak report's table; None for the default.

    Raises:
        MissingExtraError: when pandas is not installed.
        UsageError: when the result has no table of that name.

    Example:
        >>> from memlab.records.memit import MemitResult
        >>> to_frame(MemitResult((3 * 2**20,), 2**20)).peak_bytes.tolist()
        [3145728]
    """
    if table is not None:
        if isinstance(result, LeakReport) and table in _TABLES:
            return table_of(*_TABLES[table](result))
        if isinstance(result, LeakReport) and table == "series":
            return _frame(result.series)
        raise UsageError(f"no table {table!r}: a leak report has {', '.join(_TABLES)} and series")
    return _frame(result)


def table_of(columns: tuple[str, ...], rows: Iterable[Row]) -> DataFrame:
    """Return rows as a pandas table; none give an empty one of the same columns."""
    pandas = _pandas()
    return pandas.DataFrame.from_records(list(rows), columns=list(columns))  # type: ignore[no-any-return]


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError.needs("a table", "pandas", "notebook") from None
    return pd


@singledispatch
def _frame(result: Result) -> DataFrame:
    raise TypeError(f"cannot tabulate a {type(result).__name__}: it is no result of memlab's")


@_frame.register(LeakReport)
def _leakreport_frame(report: LeakReport) -> DataFrame:
    return table_of(*_suspects(report))


@_frame.register(Explanation)
def _explanation_frame(explanation: Explanation) -> DataFrame:
    return table_of(
        ("chain", "step", "root", "via", "label", "type"),
        (
            (number, step, chain.root.value, link.via, link.label, link.type_name)
            for number, chain in enumerate(explanation.chains)
            for step, link in enumerate(chain.links)
        ),
    )


@_frame.register(Snapshot)
def _snapshot_frame(snapshot: Snapshot) -> DataFrame:
    rows = []
    for traceback, domain, size, blocks in zip(
        snapshot.traceback.tolist(),
        snapshot.domain.tolist(),
        snapshot.size_bytes.tolist(),
        snapshot.blocks.tolist(),
        strict=True,
    ):
        frames = snapshot.frames(traceback)
        stack = " <- ".join(words.place(frame) for frame in frames)
        rows.append((frames[0].file, frames[0].line, size, blocks, domain, stack))
    rows.sort(key=lambda row: (-row[2], -row[3], row[:2], row[5], row[4]))
    return table_of(("file", "line", "size_bytes", "blocks", "domain", "traceback"), rows)


@_frame.register(SnapshotTable)
def _snapshottable_frame(table: SnapshotTable) -> DataFrame:
    return table_of(COLUMNS, table_rows(table))


@_frame.register(FlameTree)
def _flame_frame(tree: FlameTree) -> DataFrame:
    return table_of(flame_text.COLUMNS, flame_text.flame_rows(tree))


@_frame.register(SnapshotDiff)
def _snapshotdiff_frame(diff: SnapshotDiff) -> DataFrame:
    columns = (
        "file",
        "line",
        "function",
        "size_diff_bytes",
        "blocks_diff",
        "size_bytes",
        "blocks",
        "change",
        "moved_from",
        *(("bytes_per_iteration", "blocks_per_iteration") if diff.per > 1 else ()),
    )
    return table_of(
        columns,
        (
            (
                s.site.frame.file,
                s.site.frame.line,
                s.site.frame.function,
                s.size_diff_bytes,
                s.blocks_diff,
                s.size_bytes,
                s.blocks,
                s.change.value,
                s.moved_from,
                *((s.size_diff_bytes / diff.per, s.blocks_diff / diff.per) if diff.per > 1 else ()),
            )
            for s in diff.sites
        ),
    )


@_frame.register(Timeline)
def _timeline_frame(timeline: Timeline) -> DataFrame:
    pandas = _pandas()
    index = pandas.Index(timeline.time_s.copy(), name="time_s")
    columns = {name: column.copy() for name, column in timeline.metrics.items()}
    return pandas.DataFrame(columns, index=index)  # type: ignore[no-any-return]


@_frame.register(Capture)
def _capture_frame(capture: Capture) -> DataFrame:
    return _frame(capture.timeline)


@_frame.register(GcPauses)
def _gcpauses_frame(pauses: GcPauses) -> DataFrame:
    pandas = _pandas()
    index = pandas.Index(pauses.start_s.copy(), name="start_s")
    names = ("pause_s", "generation", "collected", "uncollectable")
    return pandas.DataFrame({n: getattr(pauses, n).copy() for n in names}, index=index)  # type: ignore[no-any-return]


@_frame.register(CaptureComparison)
def _comparison_frame(comparison: CaptureComparison) -> DataFrame:
    rows = ((p.name, p.unit, p.first, p.second, p.growth) for p in figure_pairs(comparison))
    return table_of(("figure", "unit", "first", "second", "growth"), rows)


@_frame.register(MemitResult)
def _memitresult_frame(result: MemitResult) -> DataFrame:
    return table_of(
        ("repeat", "peak_bytes", "increment_bytes", "source"),
        (
            (number, peak, peak - result.baseline_bytes, result.source)
            for number, peak in enumerate(result.peaks_bytes, 1)
        ),
    )


@_frame.register(CellLedger)
def _cellledger_frame(ledger: CellLedger) -> DataFrame:
    return table_of(*ledger_rows(ledger))


@_frame.register(LineProfile)
def _lineprofile_frame(profile: LineProfile) -> DataFrame:
    return table_of(*line_rows(profile))


@_frame.register(HeapGraph)
def _heapgraph_frame(graph: HeapGraph) -> DataFrame:
    return graph.query()


def _heap_frame(result: Result) -> DataFrame:
    return table_of(*ROWS[type(result)](result))


for _kind in ROWS:
    _frame.register(_kind, _heap_frame)


_TUNING_ROWS = {**POOL_ROWS, **GC_ROWS, **WHERE_ROWS, **SITE_ROWS, **FIX_ROWS, **BENCH_ROWS}


def _tuning_frame(result: Result) -> DataFrame:
    return table_of(*_TUNING_ROWS[type(result)](result))


for _tuning_kind in _TUNING_ROWS:
    _frame.register(_tuning_kind, _tuning_frame)


@_frame.register(PressureRun)
def _pressurerun_frame(run: PressureRun) -> DataFrame:
    return table_of(*phase_rows(run))


@_frame.register(PostMortem)
def _postmortem_frame(found: PostMortem) -> DataFrame:
    return table_of(*holding_rows(found))


@_frame.register(Report)
def _report_frame(report: Report) -> DataFrame:
    from memlab.views.html import build_page

    return table_of(("part", "kind", "says"), part_rows(report, build_page))


# -- a leak report's tables


def _suspects(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = (
        "type",
        "objects_per_iteration",
        "bytes_per_iteration",
        "share",
        "made_at",
        "source",
        "your_line",
        "entry_made_at",
        "held_by",
        "container",
        "entries_per_iteration",
        "retained_bytes",
        "retained_objects",
        "retained_absent",
    )
    rows = (
        (
            s.type_name,
            s.objects_per_iteration,
            s.bytes_per_iteration,
            s.share,
            *_places(s.site),
            _places(s.entry)[0],
            words.chain_text(s.chain) if s.chain is not None else None,
            s.container.name if s.container is not None else None,
            s.container.entries_per_iteration if s.container is not None else None,
            s.retained_bytes,
            s.freed.objects if s.freed is not None else None,
            s.freed_absent or None,
        )
        for s in report.suspects
    )
    return columns, rows


def _places(site: Site | None) -> tuple[str | None, str | None, str | None]:
    """Return the allocating line, its source, and the user's line; None where it is not known."""
    if site is None:
        return None, None, None
    user = words.place(site.user) if site.user is not None else None
    return words.place(site.frame), site.frame.source or None, user


def _tests(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = (
        "metric",
        "grew",
        "sustained",
        "per_iteration",
        "low",
        "high",
        "false_positive_bound",
        "least",
    )
    rows = (
        (t.metric, t.grew, t.sustained, t.per_iteration, t.low, t.high, t.false_positive_bound, t.least)
        for t in report.tests
    )
    return columns, rows


def _types(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = ("type", "objects_per_iteration", "bytes_per_iteration")
    return columns, ((t.type_name, t.objects_per_iteration, t.bytes_per_iteration) for t in report.types)


def _sites(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = ("made_at", "source", "your_line", "bytes_per_iteration", "blocks_per_iteration")
    rows = ((*_places(s.site), s.bytes_per_iteration, s.blocks_per_iteration) for s in report.sites)
    return columns, rows


def _containers(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = ("container", "type", "entries", "entries_per_iteration", "bound", "bound_source")
    rows = (
        (
            c.name,
            c.type_name,
            c.lengths[-1] if c.lengths else None,
            c.entries_per_iteration,
            c.bound,
            c.bound_source or None,
        )
        for c in report.containers
    )
    return columns, rows


def _freed(report: LeakReport) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = ("suspect", "cut", "type", "objects", "shallow_bytes")
    rows = (
        (number, " and ".join(s.freed.cut), row.type_name, row.objects, row.shallow_bytes)
        for number, s in enumerate(report.suspects)
        if s.freed is not None
        for row in s.freed.contents
    )
    return columns, rows


_TABLES: dict[str, Callable[[LeakReport], tuple[tuple[str, ...], Iterable[Row]]]] = {
    "suspects": _suspects,
    "tests": _tests,
    "types": _types,
    "sites": _sites,
    "containers": _containers,
    "freed": _freed,
}
