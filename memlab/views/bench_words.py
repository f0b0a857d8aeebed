"""Benchmarks, regressions and history in words: figures with their units, signed percentages, headlines."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count, format_seconds
from memlab.records.benchmark import BenchmarkResult, Regression, RegressionVerdict
from memlab.views import words

if TYPE_CHECKING:
    from memlab.records.benchmark import BenchmarkTable, RegressionReport, RunHistory

__all__ = [
    "amount",
    "bare_unit",
    "change_words",
    "history_headline",
    "interval_words",
    "percent",
    "regression_headline",
    "result_note",
    "run_stamp",
    "spread_words",
    "table_headline",
]


_MILLION = 1e6


def amount(value: float | None, unit: str) -> str:
    """Write a figure in its unit.

    >>> amount(1536, "bytes"), amount(2e6, "objects/second"), amount(None, "bytes")
    ('1.50 KiB', '2.00 M objects/s', 'absent')
    """
    if value is None or not math.isfinite(value):
        return "absent"
    if unit == "bytes":
        return format_bytes(value)
    if unit == "seconds":
        return format_seconds(value)
    if unit == "ratio":
        return f"{value:.4g}"
    if unit == "count":
        return format_count(value)
    text = f"{value / 1e6:.2f} M" if abs(value) >= _MILLION else f"{value:,.4g}"
    return f"{text} {words.printable(unit, 30).replace('/second', '/s')}".rstrip()


def percent(fraction: float | None, digits: int = 1) -> str:
    """Write a signed percentage.

    >>> percent(0.123), percent(-0.05), percent(None)
    ('+12.3 %', '-5.0 %', 'not known')
    """
    if fraction is None or not math.isfinite(fraction):
        return "not known"
    return f"{fraction * 100:+.{digits}f} %"


def bare_unit(unit: str) -> str:
    """Return a unit that stands beside its figure; a rate's is said once in a row."""
    return "" if "/" in unit else unit


def spread_words(result: BenchmarkResult) -> str:
    """Write the quartiles, and in parentheses how many samples they are of."""
    if result.exact and result.spread is not None:
        return f"the same ({len(result.samples)})"
    if result.spread is None:
        return "(1)" if result.samples else ""
    low, high = (amount(value, bare_unit(result.unit)) for value in result.spread)
    return f"{low} to {high} ({len(result.samples)})"


def result_note(result: BenchmarkResult) -> str:
    """Return what must be known of a figure."""
    return words.printable(result.note, 200)


def table_headline(table: BenchmarkTable) -> str:
    """Say how many hold their limits."""
    held = [result for result in table if result.threshold is not None]
    if not held:
        names = {result.benchmark for result in table}
        return f"{len(names):,} {'benchmark' if len(names) == 1 else 'benchmarks'}, {len(table):,} figures"
    failed = [result for result in held if not result.passed]
    if not failed:
        return f"PASS: {'both' if len(held) == 2 else f'all {len(held)}'} hold their limits"  # noqa: PLR2004
    return f"FAIL: {len(failed)} of {len(held)} miss their limit"


def regression_headline(report: RegressionReport) -> str:
    """Say what became worse."""
    if report.created:
        return f"BASELINE: {len(report.changes):,} metrics of this run are the baseline from now on"
    worse = report.regressions
    if worse:
        most = worse[0]
        by = percent(most.degradation) if most.degradation is not None else "from nothing"
        more = f", and {len(worse) - 1:,} more" if len(worse) > 1 else ""
        at = f" at {words.printable(most.place, 120)}" if most.place else ""
        return f"REGRESSION: {words.printable(most.metric, 120)} became worse by {by}{at}{more}"
    if not report.compared:
        return "NOTHING COMPARED: no metric of this run could be held against the baseline"
    better = len(report.of(RegressionVerdict.IMPROVED))
    also = f", {better:,} improved" if better else ""
    return f"NO REGRESSION: {report.compared:,} metrics compared{also}"


def interval_words(change: Regression) -> str:
    """Write the degradation with its interval."""
    if change.degradation is None:
        return "not known" if change.verdict is not RegressionVerdict.REGRESSION else "from nothing"
    if change.low is None or change.high is None or change.exact or change.low == change.high:
        return percent(change.degradation)
    return f"{percent(change.degradation)} ({percent(change.low)} to {percent(change.high)})"


def change_words(change: Regression) -> str:
    """Return the remark on a metric: why it was not compared, or what would be needed to be sure."""
    parts = [words.printable(change.reason, 200)] if change.reason else []
    if change.power is not None:
        enough = f"; {change.enough:,} samples would do" if change.enough else ""
        parts.append(
            f"with this noise {percent(change.allowed, 0)} is found {change.power * 100:.0f} times in 100"
            + enough
        )
    if change.place and change.verdict is RegressionVerdict.REGRESSION:
        parts.append(f"at {words.printable(change.place, 120)}")
    return "; ".join(parts)


def run_stamp(timestamp: float) -> str:
    """Write when a run was recorded, in UTC.

    >>> run_stamp(0)
    '1970-01-01 00:00'
    """
    try:
        return dt.datetime.fromtimestamp(timestamp, dt.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return "at no time known"


def history_headline(history: RunHistory) -> str:
    """Say how many runs there are, and what changed last."""
    runs = f"{len(history):,} {'run' if len(history) == 1 else 'runs'}, {len(history.metrics):,} metrics"
    worse = [change for change in history.changes if change.degradation > 0]
    if not worse:
        return f"{runs}; no metric became worse and stayed so"
    last = worse[0]
    name = words.printable(last.metric, 100)
    return f"{runs}; {name} is worse by {percent(last.degradation)} since run {last.run}"
