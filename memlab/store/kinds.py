"""Which class a stored kind is read as. A literal table: no name in a file ever picks what is imported.

The classes are imported when they are asked for: a program that is recorded shall not pay for forty kinds of
records when the one of its recording is written.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memlab.records._result import Result

__all__ = ["KINDS", "kind_of"]

_WHERE: Final[Mapping[str, tuple[str, str]]] = {
    "benchmarks": ("benchmark", "BenchmarkTable"),
    "history": ("benchmark", "RunHistory"),
    "regression report": ("benchmark", "RegressionReport"),
    "cache stats": ("cache", "CacheStats"),
    "capture": ("capture", "Capture"),
    "cell ledger": ("cell_ledger", "CellLedger"),
    "capture comparison": ("capture_comparison", "CaptureComparison"),
    "explanation": ("chain", "Explanation"),
    "fix check": ("fix_check", "FixCheck"),
    "flame tree": ("flame", "FlameTree"),
    "freed": ("heap_results", "Freed"),
    "gc advice": ("gc_results", "GcAdvice"),
    "gc decisions": ("gc_results", "GcDecisions"),
    "gc pauses": ("gc_pauses", "GcPauses"),
    "gc stats": ("gc_results", "GcStats"),
    "heap census": ("heap_results", "HeapCensus"),
    "heap cycles": ("heap_results", "HeapCycles"),
    "heap diff": ("heap_results", "HeapDiff"),
    "heap duplicates": ("heap_results", "HeapDuplicates"),
    "heap graph": ("heap_graph", "HeapGraph"),
    "heap owners": ("heap_results", "HeapOwners"),
    "heap suspects": ("heap_results", "HeapSuspects"),
    "heap tree": ("heap_results", "HeapTree"),
    "hit curve": ("cache", "HitCurve"),
    "holdings": ("heap_results", "HeapHoldings"),
    "leak report": ("leak_report", "LeakReport"),
    "line profile": ("line_profile", "LineProfile"),
    "memit": ("memit", "MemitResult"),
    "pool stats": ("pool", "PoolStats"),
    "pool worth": ("pool", "PoolWorth"),
    "post-mortem": ("pressure", "PostMortem"),
    "pressure run": ("pressure", "PressureRun"),
    "report": ("report", "Report"),
    "site timeline": ("site_timeline", "SiteTimeline"),
    "snapshot": ("snapshot", "Snapshot"),
    "snapshot diff": ("snapshot_tables", "SnapshotDiff"),
    "snapshot table": ("snapshot_tables", "SnapshotTable"),
    "timeline": ("timeline", "Timeline"),
    "where": ("where", "MemoryWhere"),
}


class _Kinds(Mapping[str, "type[Result]"]):
    """The table, each class imported on first use."""

    def __getitem__(self, kind: str) -> type[Result]:
        module, name = _WHERE[kind]
        found: type[Result] = getattr(importlib.import_module(f"memlab.records.{module}"), name)
        return found

    def __contains__(self, kind: object) -> bool:
        return kind in _WHERE

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


KINDS: Final[Mapping[str, type[Result]]] = _Kinds()


def kind_of(result: object) -> str | None:
    """Return the kind that a result is stored as; None for what is none of memlab's.

    >>> kind_of("text") is None
    True
    """
    kind = getattr(type(result), "kind", None)
    return kind if isinstance(kind, str) and kind in KINDS and KINDS[kind] is type(result) else None
