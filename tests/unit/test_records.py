"""The records: the contract of every kind, and the rules that types cannot say."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from captures import samples
from contracts import ResultContract

import memlab.records
from memlab.records._result import Result
from memlab.records.benchmark import BenchmarkTable, RegressionReport, RunHistory
from memlab.records.cache import CacheStats, HitCurve
from memlab.records.capture import Capture, Peak
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation, Link, ReferenceChain, RootKind
from memlab.records.columns import check_lengths, floats, ints
from memlab.records.fix_check import FixCheck
from memlab.records.flame import FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.gc_results import GcAdvice, GcDecisions, GcStats
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import (
    Freed,
    HeapCensus,
    HeapCycles,
    HeapDiff,
    HeapDuplicates,
    HeapHoldings,
    HeapOwners,
    HeapSuspects,
    HeapTree,
)
from memlab.records.leak_report import LeakReport, Verdict
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.pool import PoolStats, PoolWorth
from memlab.records.pressure import PostMortem, PressureRun
from memlab.records.site_timeline import SiteTimeline
from memlab.records.sites import Frame, Site
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.records.where import MemoryWhere
from memlab.store.kinds import KINDS

MIB = 1024 * 1024
SAMPLES = samples()


class _OfKind(ResultContract):
    kind = ""

    @pytest.fixture
    def result(self):
        return SAMPLES[self.kind]


class TestTimeline(_OfKind):
    kind = Timeline.kind


class TestCapture(_OfKind):
    kind = Capture.kind


class TestCaptureComparison(_OfKind):
    kind = "capture comparison"


class TestGcPauses(_OfKind):
    kind = GcPauses.kind


class TestGcStats(_OfKind):
    kind = GcStats.kind


class TestGcDecisions(_OfKind):
    kind = GcDecisions.kind


class TestGcAdvice(_OfKind):
    kind = GcAdvice.kind


class TestPoolStats(_OfKind):
    kind = PoolStats.kind


class TestPoolWorth(_OfKind):
    kind = PoolWorth.kind


class TestCacheStats(_OfKind):
    kind = CacheStats.kind


class TestHitCurve(_OfKind):
    kind = HitCurve.kind


class TestSnapshot(_OfKind):
    kind = Snapshot.kind
    test_has_no_instance_dict = None  # it has room for what follows from it


class TestSnapshotDiff(_OfKind):
    kind = SnapshotDiff.kind
    test_has_no_instance_dict = None  # it has room for what follows from it


class TestSnapshotTable(_OfKind):
    kind = SnapshotTable.kind
    test_has_no_instance_dict = None  # it has room for what follows from it


class TestFlameTree(_OfKind):
    kind = FlameTree.kind


class TestLeakReport(_OfKind):
    kind = LeakReport.kind


class TestExplanation(_OfKind):
    kind = Explanation.kind


class TestMemitResult(_OfKind):
    kind = MemitResult.kind


class TestLineProfile(_OfKind):
    kind = LineProfile.kind


class TestCellLedger(_OfKind):
    kind = CellLedger.kind


class TestHeapGraph(_OfKind):
    kind = HeapGraph.kind
    test_has_no_instance_dict = None  # it has room for what follows from it; there is one, not a million


class TestHeapTree(_OfKind):
    kind = HeapTree.kind


class TestHeapCensus(_OfKind):
    kind = HeapCensus.kind


class TestHeapSuspects(_OfKind):
    kind = HeapSuspects.kind


class TestHeapCycles(_OfKind):
    kind = HeapCycles.kind


class TestHeapDuplicates(_OfKind):
    kind = HeapDuplicates.kind


class TestHeapOwners(_OfKind):
    kind = HeapOwners.kind


class TestFreed(_OfKind):
    kind = Freed.kind


class TestHeapDiff(_OfKind):
    kind = HeapDiff.kind


class TestHeapHoldings(_OfKind):
    kind = HeapHoldings.kind


class TestPressureRun(_OfKind):
    kind = PressureRun.kind


class TestReport(_OfKind):
    kind = "report"


class TestPostMortem(_OfKind):
    kind = PostMortem.kind


class TestMemoryWhere(_OfKind):
    kind = MemoryWhere.kind


class TestFixCheck(_OfKind):
    kind = FixCheck.kind


class TestBenchmarkTable(_OfKind):
    kind = BenchmarkTable.kind


class TestRegressionReport(_OfKind):
    kind = RegressionReport.kind


class TestRunHistory(_OfKind):
    kind = RunHistory.kind


class TestSiteTimeline(_OfKind):
    kind = SiteTimeline.kind


def all_result_classes():
    found = set()
    for info in pkgutil.iter_modules(memlab.records.__path__, "memlab.records."):
        module = importlib.import_module(info.name)
        found |= {c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, Result)}
    return found - {Result}


def test_every_kind_is_registered():
    """The registry holds every result class of every record module, each under its own kind."""
    assert set(KINDS.values()) == all_result_classes()
    assert {kind: cls.kind for kind, cls in KINDS.items()} == {kind: kind for kind in KINDS}


def test_every_kind_is_under_the_contract():
    """Each registered kind has its contract class in this file."""
    assert {c.kind for c in _OfKind.__subclasses__()} == KINDS.keys()


def tiny_snapshot(**changes):
    columns = {
        "traceback": [0, 1],
        "domain": [0, 0],
        "size_bytes": [10, 20],
        "blocks": [1, 2],
        "starts": [0, 1, 3],
        "frame_of": [0, 1, 0],
        "frame_file": [0, 1],
        "frame_line": [7, 9],
    }
    narrow = ("hist_count", "hist_frames", "text_hash")
    changed = {
        name: np.array(values, np.uint32 if name in narrow else np.int64)
        for name, values in {**columns, **changes}.items()
        if name != "files"
    }
    return Snapshot(**changed, files=changes.get("files", ("a.py", "b.py")))


def test_snapshot_totals_and_frames():
    """Totals are sums over rows; a traceback's frames come most recent call first."""
    snapshot = tiny_snapshot()
    assert (len(snapshot), snapshot.total_bytes, snapshot.total_blocks) == (2, 30, 3)
    assert snapshot.frames(0) == (Frame("a.py", 7),)
    assert snapshot.frames(1) == (Frame("b.py", 9), Frame("a.py", 7))


@pytest.mark.parametrize(
    "damage",
    [
        {"traceback": [0, 2]},
        {"traceback": [-1, 0]},
        {"blocks": [1]},
        {"frame_of": [0, 1, 2]},
        {"frame_of": [0, -1, 0]},
        {"frame_file": [0, 2]},
        {"frame_line": [7]},
        {"starts": [0, 1, 2]},
        {"starts": [1, 2, 3]},
        {"starts": [0, 0, 3]},
        {"starts": []},
        {"starts": [0, 4, 3]},
        {"starts": [0, 2**63 - 1, -(2**63) + 9, 3]},
        {"files": ("a.py",)},
        {"thread": [0]},
        {"thread": [0, 0]},
        {"hist_starts": [0, 1, 2]},
        {"hist_starts": [0, 1], "hist_size": [4], "hist_count": [1], "hist_frames": [1]},
        {"hist_starts": [0, 2, 1], "hist_size": [4], "hist_count": [1], "hist_frames": [1]},
        {"hist_size": [4]},
        {"frame_function": [0, 0]},
        {"frame_function": [-2, -1]},
        {"file_order": [0, 2]},
        {"file_package": [0, 0]},
        {"file_bytes": [-2, 0]},
        {"file_bytes": [5]},
        {"text_starts": [0, 0]},
        {"text_starts": [0, 1, 1]},
        {"text_hash": [1]},
    ],
    ids=str,
)
def test_snapshot_refuses_indexes_outside_its_tables(damage):
    """No index of a snapshot can point outside its table, not even by an overflow."""
    with pytest.raises(ValueError, match="snapshot"):
        tiny_snapshot(**damage)


@pytest.mark.parametrize("times", [[1.0, 0.5], [0.0, float("nan")], [float("inf")], [1e308, -1e308]], ids=str)
def test_timeline_refuses_time_that_runs_back(times):
    """Time is finite and never decreases."""
    with pytest.raises(ValueError, match="time must be finite and never decrease"):
        Timeline(floats(times), {})


def test_timeline_refuses_columns_of_other_lengths():
    """The odd column is named."""
    with pytest.raises(ValueError, match="column what has 1 rows, the others 2"):
        Timeline(floats([0, 1]), {"what": ints([1])})


def test_high_water_mark_is_the_greatest_sample_or_absent():
    """An empty or missing metric has no mark: None, never 0."""
    timeline = Timeline(floats([0, 1, 2]), {"rss_bytes": ints([5, 9, 7])})
    assert timeline.high_water_mark() == 9
    assert timeline.high_water_mark("uss_bytes") is None
    assert Timeline(floats([]), {"rss_bytes": ints([])}).high_water_mark() is None


@pytest.mark.parametrize(("frames", "user"), [((), -1), ((Frame("a.py", 1),), 1), ((Frame("a.py", 1),), -2)])
def test_site_refuses_a_user_frame_that_it_has_not(frames, user):
    """A site has a frame, and its user frame is one of its frames."""
    with pytest.raises(ValueError, match="site"):
        Site(frames, user)


def test_site_names_the_allocating_and_the_users_line():
    """The first frame allocates; the user's frame is the one named, or none."""
    inner, outer = Frame("json/decoder.py", 353), Frame("app.py", 4, "load")
    assert Site((inner, outer), 1).frame is inner
    assert Site((inner, outer), 1).user is outer
    assert Site((inner, outer)).user is None
    assert (str(inner), str(outer)) == ("json/decoder.py:353", "app.py:4 in load")


def test_chain_reads_from_root_to_object():
    """The text is the chain, with what was cut out of its middle."""
    links = (
        Link("", "module app", "module"),
        Link("._live", "set", "set"),
        Link("", "Session", "app.Session"),
    )
    assert str(ReferenceChain(RootKind.MODULE, links)) == "module app -> ._live set -> Session"
    assert (
        str(ReferenceChain(RootKind.MODULE, links, cut=1200))
        == "module app -> … 1,200 more … -> ._live set -> Session"
    )


def test_peak_increment_is_never_below_nought():
    """A high-water mark under its start is an increment of 0."""
    assert Peak(10, 4, "vmhwm").increment_bytes == 6
    assert Peak(3, 4, "sampled").increment_bytes == 0


def test_memit_keeps_memory_profilers_names_in_mib():
    """``mem_usage`` and ``baseline`` are MiB; memlab's own are bytes."""
    result = MemitResult(peaks_bytes=(3 * MIB, 5 * MIB), baseline_bytes=2 * MIB)
    assert (result.peak_bytes, result.increment_bytes) == (5 * MIB, 3 * MIB)
    assert (result.mem_usage, result.baseline) == ([3.0, 5.0], 2.0)
    assert MemitResult(peaks_bytes=(), baseline_bytes=7).peak_bytes == 7


def test_only_the_two_leaks_are_leaks():
    """Fragmentation, warm-up and doubt are no leak."""
    assert {v for v in Verdict if v.is_leak} == {Verdict.LEAK, Verdict.NATIVE_LEAK}


def test_columns_are_read_only_copies():
    """A column neither changes with its source nor can be written to."""
    source = np.array([1, 2])
    column = ints(source)
    source[0] = 9
    assert column.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 3
    assert (ints([1]).dtype, floats([1]).dtype) == (np.int64, np.float64)


def test_check_lengths_returns_the_common_length():
    """No column at all has length 0."""
    assert check_lengths("x", a=ints([1, 2]), b=floats([1, 2])) == 2
    assert check_lengths("x") == 0


def test_nan_equals_nan_in_a_record():
    """Two records with NaN in the same place are the same value; a different number is another."""
    one = MemitResult(peaks_bytes=(1,), baseline_bytes=1, timeout=float("nan"))
    assert one == dataclasses.replace(one)
    assert one != dataclasses.replace(one, timeout=1.0)
