"""The regression suite: measure, hold against the baseline, write into the lab book, name the cause.

The first run makes the baseline. Every run goes into the lab book. Where a benchmark takes more memory than
its baseline and both have a snapshot near the peak, the difference of the two is the cause: its first line
that grew is said beside the figure, and its stacks are the report's flame graph.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memlab._base.environment import describe_environment
from memlab._base.machine import machine_class
from memlab.analyses.regression import compare, unsettled
from memlab.analyses.trends import with_changes
from memlab.errors import MemlabError, UsageError
from memlab.lab.suite_metrics import ALLOWED, measure_here, measure_in_processes
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable, RegressionReport
from memlab.store.baseline import Baseline
from memlab.store.lab_book import LabBook

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from memlab.records.benchmark import Regression, RunHistory
    from memlab.records.snapshot_tables import SnapshotDiff

__all__ = ["BASELINE_NAME", "BOOK_NAME", "MemoryRegressionSuite", "against", "find_causes"]

BASELINE_NAME: Final = "memlab-baseline.json"
BOOK_NAME: Final = "memlab-book.db"
_MEMORY = ("peak_bytes", "retained_bytes", "allocated_bytes", "allocations")
_LEAST_SAMPLES = 5
_HIGHER = ("allocation_speed", "memory_efficiency", "cache_performance")


class MemoryRegressionSuite:
    """A folder with a baseline and a lab book, and the runs that are held against them.

    Args:
        directory: the folder; made when it is not there.
        thresholds: degradation to find, by metric, as a fraction. Default: ``allocation_speed`` 0.10,
            ``gc_pause_time`` 0.20, ``memory_efficiency`` 0.15, ``cache_performance`` 0.10; of other
            metrics 0.10 of times, 0.005 of bytes and counts.
        processes: fresh processes that measure; 0 measures in this one, and one process's layout of memory
            may then look like a change.
        samples: samples of each metric in each process. 25 times 2 are the 50 that a tenth takes on a
            shared machine.
        measure: returns a ``BenchmarkTable`` to judge instead of the four metrics: your own benchmarks.
        baseline: the baseline's file. Default: ``memlab-baseline.json`` in the folder.

    Attributes:
        directory, thresholds, processes, samples: as given.
        baseline: the baseline's file; ``book``: the lab book.

    Raises:
        UsageError: for a threshold or number that is none, or when the folder cannot be made.

    Example:
        >>> import tempfile
        >>> from memlab.records.benchmark import BenchmarkResult, BenchmarkTable
        >>> def run(peak):
        ...     return BenchmarkTable((BenchmarkResult("load:peak_bytes", peak, "bytes", exact=True),))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     suite = MemoryRegressionSuite(folder)
        ...     first = suite.judge(run(1_000_000))
        ...     second = suite.judge(run(1_020_000))
        >>> first.created, second.passed, second.regressions[0].degradation
        (True, False, 0.02)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] = ".",
        thresholds: Mapping[str, float] | None = None,
        *,
        processes: int = 25,
        samples: int = 2,
        measure: Callable[[], BenchmarkTable] | None = None,
        baseline: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, value in (thresholds or {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise UsageError(f"regression suite: the threshold of {name} must be above 0, not {value!r}")
        for what, number, least in (("processes", processes, 0), ("samples", samples, 1)):
            if type(number) is not int or number < least:
                raise UsageError(
                    f"regression suite: {what} must be a whole number from {least}, not {number!r}"
                )
        self.directory = Path(directory)
        self.thresholds = {**ALLOWED, **(thresholds or {})}
        self.processes = processes
        self.samples = samples
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"regression suite: cannot make {self.directory.name}: {error.strerror}"
            ) from None
        self.baseline = Baseline(self.directory / BASELINE_NAME if baseline is None else baseline)
        self.book = LabBook(self.directory / BOOK_NAME)
        self._measure = measure

    def run_regression_tests(self, progress: Callable[[str, float], None] | None = None) -> dict[str, Any]:
        """Measure, judge, record, and return what came of it.

        Returns:
            ``status`` (``baseline created``, ``passed`` or ``failed``), ``passed``, ``metrics`` (name to
            value), ``regressions`` (a dict each) and ``report`` (a ``RegressionReport``).

        Raises:
            CaptureError: when the baseline or the book that is there cannot be read.
        """
        table = self.settled(lambda: self.measure(progress))
        report = self.judge(table)
        status = "baseline created" if report.created else "passed" if report.passed else "failed"
        return {
            "status": status,
            "passed": report.passed,
            "metrics": {result.name: result.value for result in table},
            "regressions": [change.to_dict() for change in report.regressions],
            "report": report,
        }

    def measure(self, progress: Callable[[str, float], None] | None = None) -> BenchmarkTable:
        """Measure, without judging."""
        if self._measure is not None:
            return self._measure()
        if not self.processes:
            return measure_here(self.samples)
        return measure_in_processes(self.processes, self.samples, progress)

    def settled(self, measure: Callable[[], BenchmarkTable], tries: int = 3) -> BenchmarkTable:
        """Measure, and again while the machine is restless or its reference loop far from the baseline's.

        Args:
            measure: measures once.
            tries: how often at most; the last one counts, and its verdict says what it is worth.
        """
        older = self.baseline.read(machine_class())
        known = {result.name: result for result in older or ()}
        for attempt in range(1, tries + 1):
            table = measure()
            noisy = [r for r in table if r.gated and unsettled(r, known.get(r.name))]
            if not noisy or attempt == tries:
                break
        return table

    def judge(
        self, table: BenchmarkTable, *, update: bool = False, source: str = "regress", record: bool = True
    ) -> RegressionReport:
        """Hold a run against the baseline and write it into the book; the first run makes the baseline.

        Args:
            table: the run.
            update: make it the baseline afterwards, whatever was found.
            source: what made it, for the book.
            record: write it into the book.
        """
        report = against(self.baseline, table, self.thresholds)
        if record:
            self.book.append(table, source=source)
        if update or report.created:
            self.baseline.update(table)
        return report

    def check(self, metrics: Mapping[str, Any] | BenchmarkTable) -> list[Regression]:
        """Return what became worse than the baseline.

        Args:
            metrics: name to a value, or to five samples and more; or a run. A single value is held against
                the baseline's by its percentage alone: nothing tells it from noise.

        Raises:
            UsageError: when there is no baseline, or a value is no number.
        """
        table = metrics if isinstance(metrics, BenchmarkTable) else _table_of(metrics)
        older = self.baseline.read(table.machine)
        if older is None:
            raise UsageError("regression suite: there is no baseline yet; save_baseline(metrics) makes one")
        if not isinstance(metrics, BenchmarkTable):
            single = {result.name for result in table if result.exact}
            results = tuple(_as_value(r) if r.name in single else r for r in older)
            table = dataclasses.replace(table, results=tuple(_alike(r, older) for r in table))
            older = dataclasses.replace(older, results=results)
        report = compare(table, older, self.thresholds, missing=False)
        return list(find_causes(report, table, self.baseline, older.machine).regressions)

    def load_baseline(self) -> dict[str, float]:
        """Return the baseline's values for this machine's class by name; empty when there is none."""
        table = self.baseline.read(machine_class())
        return {r.name: r.value for r in table or () if r.value is not None}

    def save_baseline(self, metrics: Mapping[str, Any] | BenchmarkTable) -> None:
        """Put these metrics in the place of those of the same names; what else is there stays."""
        self.baseline.update(metrics if isinstance(metrics, BenchmarkTable) else _table_of(metrics))

    def record_history(self, metrics: Mapping[str, Any] | BenchmarkTable, label: str = "") -> int:
        """Write a run into the lab book and return its number."""
        table = metrics if isinstance(metrics, BenchmarkTable) else _table_of(metrics)
        return self.book.append(table, label=label, source="recorded")

    def load_history(self, last: int = 100) -> list[dict[str, Any]]:
        """Return the last runs, oldest first, each with ``timestamp``, ``metrics``, ``label`` and ``run``.

        Empty when there is no book yet.
        """
        if not self.book.path.exists():
            return []
        history = self.history(last)
        entries: dict[int, dict[str, Any]] = {
            run.number: {"run": run.number, "timestamp": run.timestamp, "label": run.label, "metrics": {}}
            for run in history.runs
        }
        for metric in history.metrics:
            for run, value in zip(metric.run.tolist(), metric.value.tolist(), strict=True):
                entries[run]["metrics"][metric.name] = value
        return list(entries.values())

    def history(self, last: int | None = 100) -> RunHistory:
        """Return the lab book's runs, metrics over time and change points; its page is the dashboard.

        Raises:
            CaptureError: when there is no book yet, or it cannot be read.
        """
        return with_changes(self.book.history(last))

    def plot_trend(self, metric: str, ax: Any = None) -> Any:
        """Draw one metric over the runs with its change points, and return the axes (needs matplotlib)."""
        return self.history().plot_trend(metric, ax)


def against(
    baseline: Baseline,
    table: BenchmarkTable,
    allowed: Mapping[str, float] | None = None,
    *,
    missing: bool = True,
) -> RegressionReport:
    """Hold a run against a baseline's part for its class, with the causes of what takes more memory."""
    older = baseline.read(table.machine)
    if older is None:
        known = baseline.machines()
        notes = (f"the baseline has parts for {'; '.join(known)}, none for {table.machine}",) if known else ()
        first = compare(table, BenchmarkTable(machine=table.machine))
        changes = tuple(dataclasses.replace(change, reason="") for change in first.changes)
        return dataclasses.replace(first, changes=changes, created=True, notes=notes)
    report = compare(table, older, allowed, missing=missing)
    return find_causes(report, table, baseline, older.machine)


def find_causes(
    report: RegressionReport, table: BenchmarkTable, baseline: Baseline, machine: str
) -> RegressionReport:
    """Add, to each regression of memory, what grew since the baseline's snapshot and at which line."""
    causes: dict[str, SnapshotDiff] = {}
    for name in dict.fromkeys(
        c.benchmark for c in report.regressions if c.metric.rpartition(":")[2] in _MEMORY
    ):
        newer, older = table.snapshots.get(name), baseline.snapshot(machine, name)
        if newer is None or older is None:
            continue
        try:
            causes[name] = newer.diff(older)
        except MemlabError:  # another engine: nothing to be said
            continue
    changes = tuple(
        dataclasses.replace(change, place=_line(causes[change.benchmark]) or change.place)
        if change in report.regressions and change.benchmark in causes
        else change
        for change in report.changes
    )
    return dataclasses.replace(report, changes=changes, causes=causes)


def _line(diff: SnapshotDiff) -> str:
    """Return the line that grew most; empty when none did."""
    grown = [site for site in diff.sites[:50] if site.size_diff_bytes > 0]
    if not grown:
        return ""
    frame = max(grown, key=lambda site: site.size_diff_bytes).site.frame
    return f"{frame.file}:{frame.line}"


def _table_of(metrics: Mapping[str, Any]) -> BenchmarkTable:
    results = []
    for name, given in metrics.items():
        values = list(given) if isinstance(given, list | tuple) else [given]
        if not values or not all(_is_number(value) for value in values):
            raise UsageError(f"regression suite: {name} must be a number or a list of them")
        single = len(values) < _LEAST_SAMPLES
        results.append(
            BenchmarkResult(
                name,
                sorted(map(float, values))[len(values) // 2],
                "",
                better="higher" if name in _HIGHER else "lower",
                exact=single,
                samples=tuple(map(float, values)),
            )
        )
    return BenchmarkTable(tuple(results), machine=machine_class(), environment=describe_environment())


def _as_value(result: BenchmarkResult) -> BenchmarkResult:
    return dataclasses.replace(result, exact=True, samples=(), reference=(), process=(), loop="")


def _alike(result: BenchmarkResult, table: BenchmarkTable) -> BenchmarkResult:
    """Give a bare number the unit and the direction that its baseline has."""
    for older in table:
        if older.name == result.name:
            return dataclasses.replace(result, unit=older.unit, better=older.better)
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
