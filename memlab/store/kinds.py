"""Which class a stored kind is read as. A literal table: no name in a file ever picks what is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from memlab.records.benchmark import BenchmarkTable, RegressionReport, RunHistory
from memlab.records.cache import CacheStats, HitCurve
from memlab.records.capture import Capture
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import CellLedger
from memlab.records.chain import Explanation
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
from memlab.records.leak_report import LeakReport
from memlab.records.line_profile import LineProfile
from memlab.records.memit import MemitResult
from memlab.records.pool import PoolStats, PoolWorth
from memlab.records.pressure import PostMortem, PressureRun
from memlab.records.report import Report
from memlab.records.site_timeline import SiteTimeline
from memlab.records.snapshot import Snapshot, SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.records.where import MemoryWhere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records._result import Result

__all__ = ["KINDS"]

KINDS: Final[Mapping[str, type[Result]]] = {
    "benchmarks": BenchmarkTable,
    "history": RunHistory,
    "regression report": RegressionReport,
    "cache stats": CacheStats,
    "capture": Capture,
    "cell ledger": CellLedger,
    "capture comparison": CaptureComparison,
    "explanation": Explanation,
    "fix check": FixCheck,
    "flame tree": FlameTree,
    "freed": Freed,
    "gc advice": GcAdvice,
    "gc decisions": GcDecisions,
    "gc pauses": GcPauses,
    "gc stats": GcStats,
    "heap census": HeapCensus,
    "heap cycles": HeapCycles,
    "heap diff": HeapDiff,
    "heap duplicates": HeapDuplicates,
    "heap graph": HeapGraph,
    "heap owners": HeapOwners,
    "heap suspects": HeapSuspects,
    "heap tree": HeapTree,
    "hit curve": HitCurve,
    "holdings": HeapHoldings,
    "leak report": LeakReport,
    "line profile": LineProfile,
    "memit": MemitResult,
    "pool stats": PoolStats,
    "pool worth": PoolWorth,
    "post-mortem": PostMortem,
    "pressure run": PressureRun,
    "report": Report,
    "site timeline": SiteTimeline,
    "snapshot": Snapshot,
    "snapshot diff": SnapshotDiff,
    "snapshot table": SnapshotTable,
    "timeline": Timeline,
    "where": MemoryWhere,
}
