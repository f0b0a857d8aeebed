"""Hypothesis strategies for records, made from their own type hints: a new field is tried by itself.

Only what a type cannot say (equal lengths, indexes into tables) is written out by hand.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from memlab.records.benchmark import BenchmarkResult, BenchmarkTable, MetricHistory
from memlab.records.cache import HitCurve
from memlab.records.capture import Mark, Peak, Span, StackSample
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger, CellRow
from memlab.records.chain import RootKind
from memlab.records.columns import floats, ints
from memlab.records.flame import FlameSide, FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.gc_results import GcStats, GcTrial
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import HeapCensus, HeapOwners, HeapTree
from memlab.records.line_profile import LineProfile, ProfiledFunction, Stretch
from memlab.records.memit import MemitResult
from memlab.records.pool import PoolStats, PoolWorth
from memlab.records.pressure import PressurePhase
from memlab.records.report import Report, ReportPart, ReportTable
from memlab.records.site_timeline import SiteTimeline
from memlab.records.sites import Frame, Site, Sites
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def results(cls):
    """Return a strategy for a record class."""
    return _from_hint(cls)


def _from_hint(hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(st.none(), *(_from_hint(a) for a in arguments if a is not type(None)))
    if origin is tuple:
        return st.lists(_from_hint(arguments[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, _from_hint(arguments[1]), max_size=2)
    if hint in BY_HAND:
        return BY_HAND[hint]()
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        given = {f.name: _from_hint(hints[f.name]) for f in dataclasses.fields(hint)}
        return st.builds(hint, **given | dict.fromkeys(FINITE_FIELDS.get(hint, ()), FINITE))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return {int: INT64, float: st.floats(), str: TEXT, bool: st.booleans()}[hint]


def _column(length, elements=INT64):
    return st.lists(elements, min_size=length, max_size=length).map(ints)


@st.composite
def _timelines(draw):
    length = draw(st.integers(0, 4))
    times = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=length, max_size=length)
    names = st.dictionaries(TEXT.filter(lambda name: name != "time_s"), _column(length), max_size=3)
    labels = st.dictionaries(TEXT, TEXT, max_size=2)
    return Timeline(
        floats(sorted(draw(times))), draw(names), draw(labels), draw(labels), draw(TEXT), draw(INT64)
    )


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FINITE_FIELDS = {Mark: ("time_s",), StackSample: ("time_s", "late_s"), PressurePhase: ("start_s", "end_s")}


@st.composite
def _benchmark_results(draw):
    length = draw(st.integers(0, 3))
    beside = length if draw(st.booleans()) else 0
    column = lambda count, of=FINITE: tuple(draw(st.lists(of, min_size=count, max_size=count)))
    return BenchmarkResult(
        draw(TEXT), draw(st.none() | FINITE), draw(TEXT), draw(st.none() | FINITE),
        draw(st.none() | st.booleans()),
        draw(TEXT), draw(st.booleans()), column(length), column(beside), column(beside, INT64), draw(TEXT),
        draw(st.none() | st.floats()), draw(st.booleans()), draw(st.floats()), draw(TEXT), draw(TEXT),
    )  # fmt: skip


@st.composite
def _benchmark_tables(draw):
    results = draw(st.lists(_benchmark_results(), max_size=2, unique_by=lambda result: result.name))
    words = st.dictionaries(TEXT, TEXT, max_size=2)
    snapshots = draw(st.dictionaries(TEXT.filter(lambda name: "/" not in name), _snapshots(), max_size=1))
    notes = tuple(draw(st.lists(TEXT, max_size=2)))
    return BenchmarkTable(tuple(results), snapshots, draw(TEXT), draw(TEXT), draw(words), notes)


@st.composite
def _metric_histories(draw):
    length = draw(st.integers(0, 3))
    column = lambda: floats(draw(st.lists(st.floats(), min_size=length, max_size=length)))
    words = [draw(TEXT) for _ in range(3)]
    return MetricHistory(*words, draw(st.booleans()), draw(_column(length)), *[column() for _ in range(4)])


@st.composite
def _gc_pauses(draw):
    length = draw(st.integers(0, 4))
    times = st.floats(0, 1e9)
    column = lambda: draw(st.lists(times, min_size=length, max_size=length))
    counts = [draw(_column(length)) for _ in range(3)]
    notes = tuple(draw(st.lists(TEXT, max_size=2)))
    return GcPauses(
        floats(sorted(column())), floats(column()), *counts, draw(st.floats()), draw(INT64), notes
    )


@st.composite
def _line_profiles(draw):
    functions = draw(st.lists(_from_hint(ProfiledFunction), max_size=2).map(tuple))
    rows = draw(st.integers(0, 4)) if functions else 0
    which = sorted(draw(st.lists(st.integers(0, max(len(functions) - 1, 0)), min_size=rows, max_size=rows)))
    columns = [draw(_column(rows)) for _ in range(4)]
    rise = draw(_column(rows)) if draw(st.booleans()) else ints([])
    labels = st.dictionaries(TEXT, TEXT, max_size=2)
    stretches = draw(st.lists(_from_hint(Stretch), max_size=2).map(tuple))
    return LineProfile(
        functions, ints(which), *columns, rise, draw(_texts(rows)), draw(TEXT), draw(labels), draw(labels),
        stretches, draw(st.booleans()), tuple(draw(st.lists(TEXT, max_size=2))),
    )  # fmt: skip


@st.composite
def _cell_ledgers(draw):
    cells = tuple(draw(st.lists(_from_hint(CellRow), max_size=3)))
    counts = draw(st.lists(st.integers(0, 3), min_size=len(cells), max_size=len(cells)))
    samples = sum(counts)
    times = draw(st.lists(st.floats(), min_size=samples, max_size=samples))
    return CellLedger(
        cells, ints(np.cumsum([0, *counts])), floats(times), draw(_column(samples)), draw(st.floats()),
        draw(INT64), tuple(draw(st.lists(TEXT, max_size=2))),
    )  # fmt: skip


@st.composite
def _spans(draw):
    start, end = sorted(draw(st.tuples(*[st.floats(-1e9, 1e9)] * 2)))
    peak = draw(st.none() | _from_hint(Peak))
    return Span(draw(TEXT), start, end, peak, draw(TEXT), draw(INT64), draw(st.booleans()))


@st.composite
def _sites(draw):
    frames = tuple(draw(st.lists(_from_hint(Frame), min_size=1, max_size=3)))
    return Site(frames, draw(st.integers(-1, len(frames) - 1)))


@st.composite
def _site_columns(draw, rows=None):
    least, most = (0, 3) if rows is None else (rows, rows)
    return Sites.of(draw(st.lists(_sites(), min_size=least, max_size=most)))


@st.composite
def _reports(draw):
    columns = draw(st.integers(0, 3))
    rows = tuple(draw(st.lists(_texts(columns), max_size=2)))
    numbers = tuple(draw(st.lists(st.booleans(), min_size=columns, max_size=columns)))
    table = ReportTable(draw(_texts(columns)), rows, numbers, len(rows) + draw(st.integers(0, 2)))
    held = st.one_of(st.none(), _from_hint(MemitResult), _timelines(), _snapshot_tables())
    part = st.builds(ReportPart, TEXT, TEXT, held, st.none() | st.just(table))
    return Report(draw(TEXT.filter(str.strip)), tuple(draw(st.lists(part, max_size=3))))


@st.composite
def _snapshot_tables(draw):
    rows = draw(st.integers(0, 3))
    return SnapshotTable(
        by=draw(TEXT),
        places=draw(_site_columns(rows)),
        size_bytes=draw(_column(rows)),
        blocks=draw(_column(rows)),
        total_bytes=draw(INT64),
        total_blocks=draw(INT64),
        cumulative=draw(TEXT),
        label=draw(TEXT),
        measure=draw(TEXT),
        notes=draw(_texts(1)),
    )


@st.composite
def _snapshot_diffs(draw):
    rows = draw(st.integers(0, 3))
    return SnapshotDiff(
        by=draw(TEXT),
        places=draw(_site_columns(rows)),
        **{name: draw(_column(rows)) for name in ("size_bytes", "size_diff_bytes", "blocks", "blocks_diff")},
        total_diff_bytes=draw(INT64),
        total_diff_blocks=draw(INT64),
        per=draw(st.integers(1, 2**40)),
        moved_from=draw(_column(rows)) if draw(st.booleans()) else ints([]),
        older_label=draw(TEXT),
        engine=draw(TEXT),
        notes=draw(_texts(1)),
    )


@st.composite
def _snapshots(draw):
    files = tuple(draw(st.lists(TEXT, min_size=1, max_size=3)))
    frames, depths = draw(st.integers(1, 4)), draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    rows, entries = draw(st.integers(0, 5)), sum(depths)
    return Snapshot(
        traceback=draw(_column(rows, st.integers(0, len(depths) - 1))),
        domain=draw(_column(rows)),
        size_bytes=draw(_column(rows)),
        blocks=draw(_column(rows)),
        starts=ints([0, *np.cumsum(depths)]),
        frame_of=draw(_column(entries, st.integers(0, frames - 1))),
        frame_file=draw(_column(frames, st.integers(0, len(files) - 1))),
        frame_line=draw(_column(frames)),
        files=files,
        engine=draw(TEXT),
        depth=draw(INT64),
        label=draw(TEXT),
        notes=tuple(draw(st.lists(TEXT, max_size=2))),
        **(draw(_optional_columns(rows, frames, len(files))) if draw(st.booleans()) else {}),
    )


@st.composite
def _site_timelines(draw):
    looks, rows, frames = draw(st.integers(0, 3)), draw(st.integers(0, 3)), 2
    changes = draw(st.integers(0, 4)) if looks and rows else 0
    depths = [draw(st.integers(1, 2)) for _ in range(rows)]
    ticks = sorted(draw(st.lists(st.integers(0, max(looks - 1, 0)), min_size=changes, max_size=changes)))
    return SiteTimeline(
        time_s=np.array(draw(st.lists(FINITE, min_size=looks, max_size=looks)), np.float64),
        tick=ints(ticks),
        row=draw(_column(changes, st.integers(0, max(rows - 1, 0)))),
        size=draw(_column(changes, st.integers(0, 2**40))),
        count=draw(_column(changes, st.integers(0, 2**32 - 1))),
        row_domain=draw(_column(rows)),
        row_thread=draw(_column(rows, st.integers(0, 1))),
        starts=ints(np.cumsum([0, *depths])),
        frame_of=draw(_column(sum(depths), st.integers(0, frames - 1))),
        frame_file=draw(_column(frames, st.integers(0, 1))),
        frame_line=draw(_column(frames)),
        frame_function=draw(_column(frames, st.integers(0, 1))),
        files=draw(_texts(2)),
        functions=draw(_texts(2)),
        threads=draw(_texts(2)),
        own_files=draw(st.sampled_from([(), (0,), (1, 0)])),
        sample_bytes=draw(st.integers(1, 2**40)),
        depth=draw(INT64),
        notes=tuple(draw(st.lists(TEXT, max_size=2))),
    )


@st.composite
def _optional_columns(draw, rows, frames, files):
    """What a snapshot may have beyond the bare table: threads, single sizes, functions, packages, lines."""
    sizes = [draw(st.integers(0, 2)) for _ in range(rows)]
    lines = [draw(st.integers(0, 3)) for _ in range(files)]
    return {
        "measure": draw(TEXT),
        "sample_bytes": draw(INT64),
        "thread": draw(_column(rows, st.integers(0, 1))),
        "threads": draw(_texts(2)),
        "hist_starts": ints(np.cumsum([0, *sizes])),
        "hist_size": draw(_column(sum(sizes))),
        "hist_count": draw(_narrow(sum(sizes), np.uint32)),
        "hist_frames": draw(_narrow(sum(sizes), np.uint32)),
        "frame_function": draw(_column(frames, st.integers(-1, 1))),
        "functions": draw(_texts(2)),
        "file_order": draw(_column(files, st.integers(0, files - 1))),
        "file_package": draw(_column(files, st.integers(0, 1))),
        "packages": draw(_texts(2)),
        "file_bytes": draw(_column(files, st.integers(-1, 2**40))),
        "text_starts": ints(np.cumsum([0, *lines])),
        "text_hash": draw(_narrow(sum(lines), np.uint32)),
    }


def _texts(length):
    return st.lists(TEXT, min_size=length, max_size=length).map(tuple)


def _narrow(length, dtype, least=0, greatest=None):
    """A column of unsigned numbers."""
    top = np.iinfo(dtype).max if greatest is None else greatest
    # No list of what cannot be: an index into an empty table.
    elements = st.integers(least, max(top, least))
    return st.lists(elements, min_size=length, max_size=length).map(lambda v: np.array(v, dtype))


@st.composite
def _heap_graphs(draw):
    types = draw(st.integers(1, 3))
    count = draw(st.integers(0, 5))
    degrees = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    starts = np.cumsum([0, *degrees]).astype(np.uint32)

    def some(most=3):
        return draw(st.integers(0, most)) if count else 0

    def nodes(length):
        return draw(_narrow(length, np.uint32, 0, count - 1))

    def ascending():
        places = st.integers(0, max(count - 1, 0))
        return np.array(sorted(draw(st.sets(places, max_size=some()))) if count else [], np.uint32)

    roots, via, owners, twins, names, made = (some() for _ in range(6))
    labelled, huge, sites = ascending(), ascending(), tuple(draw(st.lists(_sites(), min_size=1, max_size=2)))
    modules = draw(_texts(2))
    return HeapGraph(
        address=draw(_narrow(count, np.uint64)),
        type_of=draw(_narrow(count, np.uint32, 0, types - 1)),
        size=draw(_narrow(count, np.uint32)),
        flags=draw(_narrow(count, np.uint8)),
        starts=starts,
        edges=nodes(int(starts[-1])),
        types=draw(_texts(types)),
        type_modules=draw(_texts(types)),
        huge_node=huge,
        huge_size=draw(_column(len(huge), st.integers(2**32, 2**40))),
        root_node=nodes(roots),
        root_kind=tuple(draw(st.lists(st.sampled_from(RootKind), min_size=roots, max_size=roots))),
        root_label=draw(_texts(roots)),
        label_node=labelled,
        label=draw(_texts(len(labelled))),
        via_holder=nodes(via),
        via_held=nodes(via),
        via=draw(_texts(via)),
        owner_node=nodes(owners),
        owner_module=draw(_narrow(owners, np.uint32, 0, 1)),
        modules=modules,
        twin_node=nodes(twins),
        twin_count=draw(_column(twins, st.integers(0, 2**40))),
        user_name=draw(_texts(names)),
        user_node=nodes(names),
        site_node=nodes(made),
        site_of=draw(_narrow(made, np.uint32, 0, len(sites) - 1)),
        sites=sites,
        engine=draw(TEXT),
        capture_id=draw(TEXT),
        mark_id=draw(TEXT),
        frozen=draw(INT64),
        complete=draw(st.booleans()),
        seconds=draw(st.floats()),
        title=draw(TEXT),
        notes=draw(_texts(1)),
    )


@st.composite
def _flame_trees(draw):
    rows, frames = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    files, functions, packages = (tuple(draw(st.lists(TEXT, min_size=1, max_size=3))) for _ in range(3))
    parent = [-1]
    for row in range(1, rows):
        parent.append(draw(st.integers(max(parent[-1], 0), row - 1)))
    hints = typing.get_type_hints(FlameTree)
    given = {
        "parent": ints(parent),
        "frame": ints([-1, *draw(_column(rows - 1, st.integers(0, frames - 1)))]),
        "folded": draw(_column(rows, st.integers(0, 2**40))),
        "repeats": draw(_column(rows, st.integers(1, 2**40))),
        "now": draw(_flame_sides(parent, frames)),
        "before": draw(st.none() | _flame_sides(parent, frames)),
        "frame_file": draw(_column(frames, st.integers(0, len(files) - 1))),
        "frame_line": draw(_column(frames)),
        "frame_function": draw(_column(frames, st.integers(0, len(functions) - 1))),
        "files": files,
        "functions": functions,
        "file_package": draw(_column(len(files), st.integers(0, len(packages) - 1))),
        "packages": packages,
        "own_files": tuple(draw(st.lists(st.integers(0, len(files) - 1), max_size=2))),
        "source_frame": ints([0]),
        "sources": draw(_texts(1)),
    }
    others = {
        f.name: draw(_from_hint(hints[f.name])) for f in dataclasses.fields(FlameTree) if f.name not in given
    }
    return FlameTree(**given, **others)


@st.composite
def _flame_sides(draw, parent, frames):
    columns = []
    for _ in range(2):  # bytes, blocks
        own = draw(_column(len(parent), st.integers(0, 2**40)))
        total = (own + draw(_column(len(parent), st.sampled_from([0, 0, 7])))).tolist()
        for row in range(len(parent) - 1, 0, -1):
            total[parent[row]] += total[row]
        columns += [own, ints(total)]
    by_frame = [draw(_column(frames, st.integers(0, 2**40))) for _ in range(2)]
    return FlameSide(*columns, *by_frame)


def _table(cls, names, columns):
    """Return a maker of a record whose rows are texts and columns of one length."""

    @st.composite
    def made(draw):
        rows = draw(st.integers(0, 3))
        hints = typing.get_type_hints(cls)
        given = {name: draw(_texts(rows)) for name in names} | {c: draw(_column(rows)) for c in columns}
        others = {
            f.name: draw(_from_hint(hints[f.name])) for f in dataclasses.fields(cls) if f.name not in given
        }
        if cls is HeapTree:
            given["parent"] = ints([draw(st.integers(0, i - 1)) if i else -1 for i in range(rows)])
        return cls(**given, **others)

    return made


POSITIVE = st.floats(0, 1e9)


def _columns(cls, floats_, ints_, least=0):
    """Return a maker of a record with columns of one length, of durations and of numbers."""

    @st.composite
    def made(draw):
        rows = draw(st.integers(least, 3))
        hints = typing.get_type_hints(cls)
        given = {f: floats(draw(st.lists(POSITIVE, min_size=rows, max_size=rows))) for f in floats_}
        given |= {name: draw(_column(rows)) for name in ints_}
        if cls is HitCurve:
            given["sizes"] = ints(sorted(draw(st.sets(INT64, min_size=rows, max_size=rows))))
        others = {
            f.name: draw(_from_hint(hints[f.name])) for f in dataclasses.fields(cls) if f.name not in given
        }
        return cls(**given, **others)

    return made


@st.composite
def _gc_trials(draw):
    rounds = draw(st.integers(1, 3))
    times = [tuple(draw(st.lists(POSITIVE, min_size=rounds, max_size=rounds))) for _ in range(5)]
    counts = st.lists(st.integers(0, 2**50), min_size=rounds, max_size=rounds).map(tuple)
    return GcTrial(draw(TEXT), draw(TEXT), *times, draw(counts), draw(counts))


@st.composite
def _capture_comparisons(draw):
    hints = typing.get_type_hints(CaptureComparison)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    by_name = {f.name: _from_hint(hints[f.name]) for f in dataclasses.fields(CaptureComparison)}
    by_name |= {"first_s": finite, "second_s": finite}
    by_name["second"] = st.just(draw(by_name["first"]))  # one capture is much to draw already
    return draw(st.builds(CaptureComparison, **by_name))


BY_HAND = {
    CaptureComparison: _capture_comparisons,
    GcStats: _columns(GcStats, ("pause_s",), ("generation",)),
    GcTrial: _gc_trials,
    HitCurve: _columns(HitCurve, ("hit_rate",), ("sizes",)),
    PoolStats: _columns(PoolStats, ("time_s",), ("sizes",)),
    PoolWorth: _columns(PoolWorth, ("new_s", "pooled_s", "reset_s"), (), 1),
    LineProfile: _line_profiles,
    CellLedger: _cell_ledgers,
    GcPauses: _gc_pauses,
    Span: _spans,
    Timeline: _timelines,
    BenchmarkResult: _benchmark_results,
    BenchmarkTable: _benchmark_tables,
    MetricHistory: _metric_histories,
    Site: _sites,
    Sites: _site_columns,
    Report: _reports,
    Snapshot: _snapshots,
    SiteTimeline: _site_timelines,
    SnapshotDiff: _snapshot_diffs,
    SnapshotTable: _snapshot_tables,
    HeapGraph: _heap_graphs,
    FlameTree: _flame_trees,
    HeapCensus: _table(HeapCensus, ("types",), ("objects", "shallow_bytes", "retained_bytes")),
    HeapOwners: _table(HeapOwners, ("owners",), ("objects", "shallow_bytes")),
    HeapTree: _table(
        HeapTree,
        ("label", "type_name", "via"),
        ("parent", "node", "objects", "shallow_bytes", "retained_bytes", "children"),
    ),
}
