"""Benchmarks and what became of them: results with their spread, regressions, the history of both."""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from memlab.records import codec
from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff

__all__ = [
    "BenchmarkResult",
    "BenchmarkTable",
    "ChangePoint",
    "HistoryRun",
    "MetricHistory",
    "Regression",
    "RegressionReport",
    "RegressionVerdict",
    "RunHistory",
]


@dataclasses.dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """One figure of one benchmark.

    Attributes:
        name: what was measured; for a benchmark of your own ``name[n=10]:metric``.
        value: the median of ``samples`` (a 99th percentile where the name says so); None where it could not
        be
            measured, and ``note`` says why.
        unit: ``bytes``, ``count``, ``seconds``, ``ratio``, ``objects/second`` or ``MB/second``.
        threshold: what the value is held against; None for none.
        passed: whether it holds; None without a threshold or a value.
        better: ``higher``, or else lower is.
        exact: the same code gives the same figure, to half a per cent: bytes and counts.
        samples: what was measured, in its order.
        reference: seconds of the reference loop that was timed just before each sample, or empty.
        process: which process each sample is from, counted from 0, or empty for one.
        loop: name of the reference loop.
        allowed: degradation that a regression suite is to find, a fraction; None for the suite's usual one.
        gated: whether a regression suite judges it; what is only for information is not.
        least: difference in ``unit`` that is never reported, however large it is as a fraction.
        place: file and line of what was measured.
    """

    name: str
    value: float | None
    unit: str
    threshold: float | None = None
    passed: bool | None = None
    better: str = "lower"
    exact: bool = False
    samples: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    process: tuple[int, ...] = ()
    loop: str = ""
    allowed: float | None = None
    gated: bool = True
    least: float = 0.0
    place: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for column in (self.reference, self.process):
            if len(column) not in (0, len(self.samples)):
                raise ValueError("benchmark result: a reference and a process for each sample, or for none")
        numbers = (
            *self.samples,
            *self.reference,
            *(v for v in (self.value, self.threshold) if v is not None),
        )
        if not all(map(math.isfinite, numbers)):
            raise ValueError("benchmark result: figures must be finite")

    @property
    def status(self) -> str:
        """``PASS``, ``FAIL``, or empty where there is no threshold."""
        return "" if self.passed is None else "PASS" if self.passed else "FAIL"

    @property
    def spread(self) -> tuple[float, float] | None:
        """Lower and upper quartile of the samples; None below two."""
        if len(self.samples) < 2:  # noqa: PLR2004 - a pair has a spread
            return None
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def benchmark(self) -> str:
        """The name without its metric."""
        return self.name.rpartition(":")[0] or self.name

    @property
    def metric(self) -> str:
        """What was measured of the benchmark: the name's part after its last colon."""
        return self.name.rpartition(":")[2]

    def to_dict(self) -> dict[str, Any]:
        """Return plain builtins, with ``status`` (PASS or FAIL) and the quartiles as ``low`` and ``high``."""
        low, high = self.spread or (None, None)
        return codec.to_plain(self) | {"status": self.status, "low": low, "high": high}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BenchmarkTable(Result):
    """The results of one run of benchmarks. Iterates over, counts and indexes them.

    Attributes:
        results: one for each figure.
        snapshots: for each benchmark whose memory was traced, what was alive near its peak.
        machine: class of the machine and interpreter, see ``BenchmarkResult`` for what may be compared.
        environment: versions.
    """

    kind: ClassVar[str] = "benchmarks"

    results: tuple[BenchmarkResult, ...] = ()
    snapshots: Mapping[str, Snapshot] = dataclasses.field(default_factory=dict)
    machine: str = ""
    label: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [result.name for result in self.results]
        if len(set(names)) < len(names):
            raise ValueError("benchmarks: each name stands for one result")

    @property
    def passed(self) -> bool:
        """Whether every result that has a threshold holds it."""
        return all(result.passed is not False for result in self.results) and all(
            result.passed is not None for result in self.results if result.threshold is not None
        )

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[BenchmarkResult]:
        return iter(self.results)

    def __getitem__(self, key: int | str) -> BenchmarkResult:
        """Return a result by its place or by its name."""
        if isinstance(key, str):
            for result in self.results:
                if result.name == key:
                    return result
            raise KeyError(key)
        return self.results[key]

    def to_markdown(self) -> str:
        """Return the table as Markdown, for a pull request's comment."""
        from memlab.views.markdown import to_markdown

        return to_markdown(self)


class RegressionVerdict(enum.StrEnum):
    """What is said of one metric."""

    REGRESSION = "regression"
    """Worse: an exact metric by more than is allowed, a noisy one by more than half of it beyond chance."""
    IMPROVED = "improved"
    """It became better by as much."""
    UNCHANGED = "no regression"
    """Nothing of that size was seen."""
    NEW = "new"
    """The baseline does not have it."""
    MISSING = "missing"
    """The baseline has it, and this run does not."""
    NOT_COMPARED = "not compared"
    """The reason says why: another machine, no value, too few samples."""


@dataclasses.dataclass(frozen=True, slots=True)
class Regression:
    """One metric against its baseline.

    Attributes:
        metric: its name.
        baseline, current: medians, in ``unit``; None where there is none.
        degradation: how much worse it became, a fraction; below 0 it became better. Of ratios to the
            reference loop where there is one, so that it need not be that of the two medians.
        low, high: interval of the degradation at 95 %; equal to it for an exact metric.
        allowed: degradation that is to be found; of a noisy metric half of it is passed over.
        chance: probability of such ranks when nothing changed but half of what is allowed; 0 for exact ones.
        samples: how many measurements it rests on, here and in the baseline.
        power: part of trials on these samples in which a degradation of ``allowed`` was found; None where
            it was not asked.
        enough: samples with which it would be found four times in five; None where it was not asked.
        reason: why it was not compared, or what makes the comparison weaker.
        place: the line that is to blame, where it is known.
    """

    metric: str
    baseline: float | None
    current: float | None
    degradation: float | None
    verdict: RegressionVerdict = RegressionVerdict.UNCHANGED
    low: float | None = None
    high: float | None = None
    allowed: float = 0.1
    chance: float | None = None
    unit: str = ""
    better: str = "lower"
    exact: bool = False
    samples: int = 0
    baseline_samples: int = 0
    power: float | None = None
    enough: int | None = None
    reason: str = ""
    place: str = ""

    @property
    def benchmark(self) -> str:
        """The name without its metric."""
        return self.metric.rpartition(":")[0] or self.metric

    def to_dict(self) -> dict[str, Any]:
        """Return plain builtins."""
        return codec.to_plain(self)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RegressionReport(Result):
    """Every metric of a run against a baseline, and what is to blame.

    Attributes:
        changes: one for each metric, regressions first.
        causes: for each benchmark that takes more memory, what grew since the baseline's snapshot.
        created: this run became the baseline; there was nothing to compare with.
        machine, baseline_machine: classes of the two runs.
        loops: for each reference loop how much slower it ran than for the baseline, a fraction.
    """

    kind: ClassVar[str] = "regression report"

    changes: tuple[Regression, ...] = ()
    causes: Mapping[str, SnapshotDiff] = dataclasses.field(default_factory=dict)
    created: bool = False
    machine: str = ""
    baseline_machine: str = ""
    label: str = ""
    baseline_label: str = ""
    loops: Mapping[str, float] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, verdict: RegressionVerdict) -> tuple[Regression, ...]:
        """Return the metrics of which this is said."""
        return tuple(change for change in self.changes if change.verdict is verdict)

    @property
    def regressions(self) -> tuple[Regression, ...]:
        """The metrics that became worse."""
        return self.of(RegressionVerdict.REGRESSION)

    @property
    def passed(self) -> bool:
        """Whether nothing became worse. See ``compared``: nothing compared is nothing found."""
        return not self.regressions

    @property
    def compared(self) -> int:
        """How many metrics could be compared."""
        done = (RegressionVerdict.REGRESSION, RegressionVerdict.IMPROVED, RegressionVerdict.UNCHANGED)
        return sum(change.verdict in done for change in self.changes)

    def __getitem__(self, metric: str) -> Regression:
        for change in self.changes:
            if change.metric == metric:
                return change
        raise KeyError(metric)

    def to_markdown(self) -> str:
        """Return the report as Markdown, for a pull request's comment."""
        from memlab.views.markdown import to_markdown

        return to_markdown(self)


@dataclasses.dataclass(frozen=True, slots=True)
class HistoryRun:
    """One run in the lab book.

    Attributes:
        number: counts up, and is never used again.
        timestamp: seconds since 1970 when it was recorded, by the clock on the wall.
        label: yours, for example a commit.
        source: which command recorded it: ``bench``, ``regress`` or ``pytest``.
    """

    number: int
    timestamp: float
    label: str = ""
    source: str = ""
    machine: str = ""
    memlab: str = ""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MetricHistory:
    """One metric over the runs.

    Attributes:
        run: the numbers of the runs that have it, rising, shape ``(values,)``.
        value: its medians. ``low``, ``high``: quartiles, NaN where there is no spread.
        relative: the value in units of the reference loop, NaN where there was none: free of how fast the
            machine was that day.
    """

    name: str
    unit: str
    better: str
    exact: bool
    run: Ints
    value: Floats
    low: Floats
    high: Floats
    relative: Floats

    def __post_init__(self) -> None:
        check_lengths(
            "metric history",
            run=self.run,
            value=self.value,
            low=self.low,
            high=self.high,
            relative=self.relative,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ChangePoint:
    """A run from which on a metric is another one.

    Attributes:
        run: number of the first run after the change.
        before, after: medians of the stretches on both sides, relative ones where those were judged.
        degradation: how much worse it became, a fraction.
        chance: probability that runs in random order show such a break.
    """

    metric: str
    run: int
    before: float
    after: float
    degradation: float
    chance: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RunHistory(Result):
    """What a lab book knows: runs, their metrics over time, and where a metric changed.

    Attributes:
        runs: oldest first.
        metrics: by name.
        changes: breaks in the metrics, newest first.
        dropped: runs that the book no longer has.
    """

    kind: ClassVar[str] = "history"

    runs: tuple[HistoryRun, ...] = ()
    metrics: tuple[MetricHistory, ...] = ()
    changes: tuple[ChangePoint, ...] = ()
    dropped: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    def metric(self, name: str) -> MetricHistory:
        """Return one metric over the runs.

        Raises:
            KeyError: when no run has it.
        """
        for found in self.metrics:
            if found.name == name:
                return found
        raise KeyError(name)

    def plot_trend(self, metric: str, ax: Any = None) -> Any:
        """Draw one metric over the runs with its change points, and return the axes (needs matplotlib)."""
        from memlab.views.bench_plots import draw_trend

        return draw_trend(self, metric, ax)

    def compare(self, older: int, newer: int) -> RegressionReport:
        """Return the metrics of two runs beside each other; medians only, so nothing is proved.

        Raises:
            UsageError: when there is no run of that number.
        """
        from memlab.analyses.trends import compare_runs

        return compare_runs(self, older, newer)

    def to_markdown(self) -> str:
        """Return the last runs and what changed as Markdown."""
        from memlab.views.markdown import to_markdown

        return to_markdown(self)
