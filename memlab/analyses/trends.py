"""Where a metric changed over many runs, and two runs beside each other.

A break is looked for by ranks (A. N. Pettitt, "A non-parametric approach to the change-point problem",
Applied Statistics 28, 1979): the place where what came before and what came after differ most, and the
probability that runs in random order differ so much (tried out up to 300 runs, his formula beyond). Found
one, both sides are searched in their turn. A single odd run moves one rank only, so it is no break. Where
most runs timed a reference loop, ratios to it are searched.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from memlab.analyses.regression import EXACT_ALLOWED, USUAL_ALLOWED, degradation_of
from memlab.errors import UsageError
from memlab.records.benchmark import ChangePoint, Regression, RegressionReport, RegressionVerdict

if TYPE_CHECKING:
    from memlab.records.benchmark import HistoryRun, MetricHistory, RunHistory
    from memlab.records.columns import Floats

__all__ = ["break_points", "compare_runs", "metric_changes", "with_changes"]

LEVEL = 0.01
_SIDE = 3
_LEAST = 8
_MOST_EXACT_RUNS = 300
_ORDERS = 2_000


def break_points(values: Floats, level: float = LEVEL) -> list[tuple[int, float]]:
    """Return the places where a series breaks, in order: index of the first new value, and its chance.

    >>> import numpy as np
    >>> [at for at, _ in break_points(np.array([1.0, 1.1, 0.9, 1, 1.1, 1, 2, 2.1, 1.9, 2, 2.2, 2.1]))]
    [6]
    """
    found: list[tuple[int, float]] = []
    stretches = [(0, len(values))]
    while stretches:
        start, stop = stretches.pop()
        part = values[start:stop]
        if len(part) < _LEAST:
            continue
        at, chance = _greatest_break(part)
        if at is None or chance >= level:
            continue
        found.append((start + at, chance))
        stretches += [(start, start + at), (start + at, stop)]
    return sorted(found)


def metric_changes(history: MetricHistory) -> list[ChangePoint]:
    """Return where a metric changed by more than half of what is usually allowed, newest first."""
    ratios = history.relative
    relative = not history.exact and np.isfinite(ratios).mean() > 0.9 if len(ratios) else False  # noqa: PLR2004
    values = ratios if relative else history.value
    usable = np.flatnonzero(np.isfinite(values))
    values, runs = values[usable], history.run[usable]
    margin = EXACT_ALLOWED if history.exact else USUAL_ALLOWED / 2
    breaks = _steps(values) if history.exact else break_points(values)
    edges = [0, *(at for at, _ in breaks), len(values)]
    changes = []
    for number, (at, chance) in enumerate(breaks, 1):
        before = float(np.median(values[edges[number - 1] : at]))
        after = float(np.median(values[at : edges[number + 1]]))
        became = degradation_of(before, after, history.better)
        if became is not None and abs(became) > margin:
            changes.append(ChangePoint(history.name, int(runs[at]), before, after, became, chance))
    return changes[::-1]


def with_changes(history: RunHistory) -> RunHistory:
    """Return a history with the breaks of its metrics, newest first."""
    changes = [change for metric in history.metrics for change in metric_changes(metric)]
    changes.sort(key=lambda change: (-change.run, -abs(change.degradation), change.metric))
    return dataclasses.replace(history, changes=tuple(changes))


def compare_runs(history: RunHistory, older: int, newer: int) -> RegressionReport:
    """Return two runs beside each other, see ``RunHistory.compare``."""
    known = {run.number: run for run in history.runs}
    for number in (older, newer):
        if number not in known:
            numbers = f"{min(known)} to {max(known)}" if known else "none"
            raise UsageError(f"comparing runs: there is no run {number!r} in this history; it has {numbers}")
    changes = []
    for metric in history.metrics:
        pair = [_value(metric, number) for number in (older, newer)]
        if pair == [None, None]:
            continue
        changes.append(_side_by_side(metric, *pair))
    changes.sort(key=lambda change: (-abs(change.degradation or 0.0), change.metric))
    return RegressionReport(
        changes=tuple(changes),
        machine=known[newer].machine,
        baseline_machine=known[older].machine,
        label=_label(known[newer]),
        baseline_label=_label(known[older]),
        notes=("Medians of two runs; the book has no samples, so only exact metrics are judged.",),
    )


def _side_by_side(metric: MetricHistory, old: float | None, new: float | None) -> Regression:
    became = degradation_of(old, new, metric.better) if old is not None and new is not None else None
    margin = EXACT_ALLOWED
    if old is None or new is None:
        verdict = RegressionVerdict.NEW if old is None else RegressionVerdict.MISSING
    elif not metric.exact or became is None:
        verdict = RegressionVerdict.NOT_COMPARED
    elif abs(became) <= margin:
        verdict = RegressionVerdict.UNCHANGED
    else:
        verdict = RegressionVerdict.REGRESSION if became > 0 else RegressionVerdict.IMPROVED
    return Regression(
        metric=metric.name,
        baseline=old,
        current=new,
        degradation=became,
        verdict=verdict,
        allowed=EXACT_ALLOWED if metric.exact else USUAL_ALLOWED,
        unit=metric.unit,
        better=metric.better,
        exact=metric.exact,
        reason="medians alone" if verdict is RegressionVerdict.NOT_COMPARED else "",
    )


def _value(metric: MetricHistory, number: int) -> float | None:
    at = np.flatnonzero(metric.run == number)
    return float(metric.value[at[0]]) if len(at) else None


def _label(run: HistoryRun) -> str:
    return f"run {run.number}" + (f" ({run.label})" if run.label else "")


def _steps(values: Floats) -> list[tuple[int, float]]:
    """Return where an exact metric steps and stays for two runs; no statistics: it does not vary."""
    margin = EXACT_ALLOWED
    steps = []
    level = float(values[0]) if len(values) else 0.0
    for at in range(1, len(values)):
        value = float(values[at])
        far = abs(value - level) > margin * abs(level)
        stays = at + 1 == len(values) or abs(float(values[at + 1]) - value) <= margin * abs(value)
        if far and stays:
            steps.append((at, 0.0))
            level = value
    return steps


def _greatest_break(values: Floats) -> tuple[int | None, float]:
    """Return Pettitt's break of a series and its approximate probability under no change."""
    n = len(values)
    ranks = np.searchsorted(np.sort(values), values, side="left") + np.searchsorted(
        np.sort(values), values, side="right"
    )
    # 2 * midrank - (n + 1), summed up to each place
    sums = np.abs(np.cumsum(ranks + 1 - (n + 1)))[: n - 1]
    inner = sums[_SIDE - 1 : n - _SIDE]
    if not len(inner):
        return None, 1.0
    at = int(np.argmax(inner)) + _SIDE
    k = float(inner.max())
    null = _null(min(n, _MOST_EXACT_RUNS))
    if n > _MOST_EXACT_RUNS:
        return at, min(1.0, 2 * math.exp(-6 * k * k / (n**3 + n**2)))
    return at, float(1 + (null >= k).sum()) / (len(null) + 1)


@functools.lru_cache(maxsize=_MOST_EXACT_RUNS)
def _null(n: int) -> Floats:
    """Return the greatest break of runs in random order, many times: it depends on their number alone."""
    draw = np.random.default_rng(19_790_201)
    ranks = draw.permuted(np.tile(np.arange(1, n + 1), (_ORDERS, 1)), axis=1)
    sums = np.abs(np.cumsum(2 * ranks - (n + 1), axis=1))[:, _SIDE - 1 : n - _SIDE]
    greatest: Floats = sums.max(axis=1).astype(np.float64)
    return greatest
