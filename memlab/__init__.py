"""memlab: a memory laboratory for Python, at home in Jupyter.

The public names are below; each is imported from its module on first use, so that ``import memlab`` costs
a process that is to be measured almost nothing (no numpy, pandas, matplotlib or IPython).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.version import VERSION
from memlab.errors import (
    BudgetError,
    CaptureError,
    KindError,
    MemlabError,
    MissingExtraError,
    PoolTimeoutError,
    StepError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    from memlab.analyses.capture_compare import compare_captures
    from memlab.analyses.reuse import hit_curve
    from memlab.collectors.high_water import region
    from memlab.collectors.references import why
    from memlab.collectors.tracing import snapshot, tracing
    from memlab.faces.ipython.flame_widget import explore
    from memlab.faces.ipython.live_widget import Live
    from memlab.faces.ipython.release import release
    from memlab.lab.alerts import MemoryAlertSystem
    from memlab.lab.attachment import attach
    from memlab.lab.benchmarks import MemoryBenchmarks
    from memlab.lab.caches.adaptive import AdaptiveCache
    from memlab.lab.caches.lru import LRUCache
    from memlab.lab.caches.ttl import TTLCache
    from memlab.lab.engines import EngineChoice, Trace, trace
    from memlab.lab.foreign_memray import import_memray
    from memlab.lab.foreign_snapshots import import_tracemalloc
    from memlab.lab.gc_monitor import GCMonitor, gc_performance_monitor
    from memlab.lab.gc_optimizer import GCOptimizer
    from memlab.lab.gc_schedule import GCSchedule
    from memlab.lab.gc_trials import recommend_gc
    from memlab.lab.guard import MemoryGuard, guard
    from memlab.lab.heap import HeapWindow, heap, heap_window
    from memlab.lab.heap_dump import HeapDumper, dump_heap
    from memlab.lab.holdings import holdings
    from memlab.lab.iterations import mark_iteration
    from memlab.lab.leak_detector import MemoryLeakDetector
    from memlab.lab.leak_hunt import LeakHunt, find_leaks
    from memlab.lab.line_profile import LineProfiler, profile
    from memlab.lab.memit import memit
    from memlab.lab.memory_monitor import MemoryMonitor
    from memlab.lab.memory_usage import memory_usage
    from memlab.lab.native_trace import NativeTrace
    from memlab.lab.pool import ObjectPool, PoolableObject
    from memlab.lab.pressure import MemoryPressureSimulator
    from memlab.lab.profiler import MemoryProfiler
    from memlab.lab.recorder import record
    from memlab.lab.regression_suite import MemoryRegressionSuite
    from memlab.lab.scenarios import PressureScenario, PressureStage
    from memlab.lab.user_benchmarks import benchmark
    from memlab.lab.verify_fix import verify_fix
    from memlab.lab.where import where
    from memlab.records.benchmark import (
        BenchmarkResult,
        BenchmarkTable,
        ChangePoint,
        Regression,
        RegressionReport,
        RegressionVerdict,
        RunHistory,
    )
    from memlab.records.cache import CacheStats, HitCurve
    from memlab.records.capture import Capture, Ceiling, Child, Mark, Outcome, Peak, Span, StackSample
    from memlab.records.capture_comparison import CaptureComparison
    from memlab.records.cell_ledger import CellLedger
    from memlab.records.chain import Explanation, Link, ReferenceChain, RootKind
    from memlab.records.fix_check import FixCheck
    from memlab.records.flame import FlameTree
    from memlab.records.gc_pauses import GcPauses
    from memlab.records.gc_results import GcAdvice, GcDecision, GcDecisions, GcStats, GcTrial
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
    from memlab.records.leak_report import LeakReport, Suspect, Verdict
    from memlab.records.line_profile import LineProfile
    from memlab.records.memit import MemitResult
    from memlab.records.pool import PoolStats, PoolWorth
    from memlab.records.pressure import MemoryReading, PostMortem, PressureOutcome, PressurePhase, PressureRun
    from memlab.records.report import Report, ReportPart, ReportTable
    from memlab.records.site_timeline import SiteTimeline
    from memlab.records.sites import Frame, Site
    from memlab.records.snapshot import Snapshot
    from memlab.records.snapshot_filter import SnapshotFilter
    from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
    from memlab.records.timeline import Timeline
    from memlab.records.where import MemoryWhere
    from memlab.store.baseline import Baseline
    from memlab.store.capture_file import load
    from memlab.store.lab_book import LabBook

__version__ = VERSION

__all__ = [
    "AdaptiveCache",
    "Baseline",
    "BenchmarkResult",
    "BenchmarkTable",
    "BudgetError",
    "CacheStats",
    "Capture",
    "CaptureComparison",
    "CaptureError",
    "Ceiling",
    "CellLedger",
    "ChangePoint",
    "Child",
    "EngineChoice",
    "Explanation",
    "FixCheck",
    "FlameTree",
    "Frame",
    "Freed",
    "GCMonitor",
    "GCOptimizer",
    "GCSchedule",
    "GcAdvice",
    "GcDecision",
    "GcDecisions",
    "GcPauses",
    "GcStats",
    "GcTrial",
    "HeapCensus",
    "HeapCycles",
    "HeapDiff",
    "HeapDumper",
    "HeapDuplicates",
    "HeapGraph",
    "HeapHoldings",
    "HeapOwners",
    "HeapSuspects",
    "HeapTree",
    "HeapWindow",
    "HitCurve",
    "KindError",
    "LRUCache",
    "LabBook",
    "LeakHunt",
    "LeakReport",
    "LineProfile",
    "LineProfiler",
    "Link",
    "Live",
    "Mark",
    "MemitResult",
    "MemlabError",
    "MemoryAlertSystem",
    "MemoryBenchmarks",
    "MemoryGuard",
    "MemoryLeakDetector",
    "MemoryMonitor",
    "MemoryPressureSimulator",
    "MemoryProfiler",
    "MemoryReading",
    "MemoryRegressionSuite",
    "MemoryWhere",
    "MissingExtraError",
    "NativeTrace",
    "ObjectPool",
    "Outcome",
    "Peak",
    "PoolStats",
    "PoolTimeoutError",
    "PoolWorth",
    "PoolableObject",
    "PostMortem",
    "PressureOutcome",
    "PressurePhase",
    "PressureRun",
    "PressureScenario",
    "PressureStage",
    "ReferenceChain",
    "Regression",
    "RegressionReport",
    "RegressionVerdict",
    "Report",
    "ReportPart",
    "ReportTable",
    "RootKind",
    "RunHistory",
    "Site",
    "SiteTimeline",
    "Snapshot",
    "SnapshotDiff",
    "SnapshotFilter",
    "SnapshotTable",
    "Span",
    "StackSample",
    "StepError",
    "Suspect",
    "TTLCache",
    "Timeline",
    "Trace",
    "UnavailableError",
    "UsageError",
    "Verdict",
    "__version__",
    "attach",
    "benchmark",
    "compare_captures",
    "dump_heap",
    "explore",
    "find_leaks",
    "gc_performance_monitor",
    "guard",
    "heap",
    "heap_window",
    "hit_curve",
    "holdings",
    "import_memray",
    "import_tracemalloc",
    "load",
    "mark_iteration",
    "memit",
    "memory_usage",
    "profile",
    "recommend_gc",
    "record",
    "region",
    "release",
    "snapshot",
    "trace",
    "tracing",
    "verify_fix",
    "where",
    "why",
]

_HOME = {
    "Baseline": "store.baseline",
    "LabBook": "store.lab_book",
    "MemoryBenchmarks": "lab.benchmarks",
    "MemoryRegressionSuite": "lab.regression_suite",
    "benchmark": "lab.user_benchmarks",
    "BenchmarkResult": "records.benchmark",
    "BenchmarkTable": "records.benchmark",
    "ChangePoint": "records.benchmark",
    "Regression": "records.benchmark",
    "RegressionReport": "records.benchmark",
    "RegressionVerdict": "records.benchmark",
    "RunHistory": "records.benchmark",
    "AdaptiveCache": "lab.caches.adaptive",
    "CacheStats": "records.cache",
    "Capture": "records.capture",
    "CaptureComparison": "records.capture_comparison",
    "Ceiling": "records.capture",
    "Child": "records.capture",
    "CellLedger": "records.cell_ledger",
    "EngineChoice": "lab.engines",
    "Explanation": "records.chain",
    "FixCheck": "records.fix_check",
    "FlameTree": "records.flame",
    "Frame": "records.sites",
    "Freed": "records.heap_results",
    "GCMonitor": "lab.gc_monitor",
    "GCOptimizer": "lab.gc_optimizer",
    "GCSchedule": "lab.gc_schedule",
    "GcAdvice": "records.gc_results",
    "GcDecision": "records.gc_results",
    "GcDecisions": "records.gc_results",
    "GcPauses": "records.gc_pauses",
    "GcStats": "records.gc_results",
    "GcTrial": "records.gc_results",
    "HeapCensus": "records.heap_results",
    "HeapCycles": "records.heap_results",
    "HeapDiff": "records.heap_results",
    "HeapDumper": "lab.heap_dump",
    "HeapDuplicates": "records.heap_results",
    "HeapGraph": "records.heap_graph",
    "HeapHoldings": "records.heap_results",
    "HeapOwners": "records.heap_results",
    "HeapSuspects": "records.heap_results",
    "HeapTree": "records.heap_results",
    "HeapWindow": "lab.heap",
    "HitCurve": "records.cache",
    "LRUCache": "lab.caches.lru",
    "LeakHunt": "lab.leak_hunt",
    "LeakReport": "records.leak_report",
    "LineProfile": "records.line_profile",
    "LineProfiler": "lab.line_profile",
    "Link": "records.chain",
    "Live": "faces.ipython.live_widget",
    "Mark": "records.capture",
    "MemitResult": "records.memit",
    "MemoryAlertSystem": "lab.alerts",
    "MemoryGuard": "lab.guard",
    "MemoryLeakDetector": "lab.leak_detector",
    "MemoryMonitor": "lab.memory_monitor",
    "MemoryPressureSimulator": "lab.pressure",
    "MemoryReading": "records.pressure",
    "MemoryWhere": "records.where",
    "NativeTrace": "lab.native_trace",
    "ObjectPool": "lab.pool",
    "MemoryProfiler": "lab.profiler",
    "Outcome": "records.capture",
    "Peak": "records.capture",
    "PoolStats": "records.pool",
    "PoolWorth": "records.pool",
    "PoolableObject": "lab.pool",
    "PostMortem": "records.pressure",
    "PressureOutcome": "records.pressure",
    "PressurePhase": "records.pressure",
    "PressureRun": "records.pressure",
    "PressureScenario": "lab.scenarios",
    "PressureStage": "lab.scenarios",
    "ReferenceChain": "records.chain",
    "Report": "records.report",
    "ReportPart": "records.report",
    "ReportTable": "records.report",
    "RootKind": "records.chain",
    "Site": "records.sites",
    "SiteTimeline": "records.site_timeline",
    "Snapshot": "records.snapshot",
    "SnapshotDiff": "records.snapshot_tables",
    "SnapshotFilter": "records.snapshot_filter",
    "SnapshotTable": "records.snapshot_tables",
    "Span": "records.capture",
    "StackSample": "records.capture",
    "Suspect": "records.leak_report",
    "TTLCache": "lab.caches.ttl",
    "Timeline": "records.timeline",
    "Trace": "lab.engines",
    "Verdict": "records.leak_report",
    "compare_captures": "analyses.capture_compare",
    "attach": "lab.attachment",
    "dump_heap": "lab.heap_dump",
    "explore": "faces.ipython.flame_widget",
    "find_leaks": "lab.leak_hunt",
    "gc_performance_monitor": "lab.gc_monitor",
    "guard": "lab.guard",
    "heap": "lab.heap",
    "heap_window": "lab.heap",
    "hit_curve": "analyses.reuse",
    "holdings": "lab.holdings",
    "import_memray": "lab.foreign_memray",
    "import_tracemalloc": "lab.foreign_snapshots",
    "load": "store.capture_file",
    "mark_iteration": "lab.iterations",
    "memit": "lab.memit",
    "recommend_gc": "lab.gc_trials",
    "memory_usage": "lab.memory_usage",
    "profile": "lab.line_profile",
    "record": "lab.recorder",
    "region": "collectors.high_water",
    "release": "faces.ipython.release",
    "snapshot": "collectors.tracing",
    "trace": "lab.engines",
    "tracing": "collectors.tracing",
    "verify_fix": "lab.verify_fix",
    "where": "lab.where",
    "why": "collectors.references",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'memlab' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"memlab.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics; IPython calls this for ``%load_ext memlab``."""
    from memlab.faces.ipython.magics import register

    register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take the magics away again and give back those that were there before."""
    from memlab.faces.ipython.magics import unregister

    unregister(ipython)
