"""Whether a metric became worse than its baseline: exact ones by their value, noisy ones by ranks.

A deterministic metric (bytes, counts) is compared as it is, with a tolerance of half a per cent where nothing
else is allowed. A noisy one is first divided by the time of the reference loop that ran just
before each sample, so that a slower machine cancels out. Then what the same process measured, if it is more
than a pair, is drawn together to its median: a process has a layout of its own, its samples are no
independent ones. Last, the rank-sum test asks whether the new values lie above the baseline's *after the
baseline was made worse by half of what is allowed*, and by half of what the reference loop itself moved
beyond 5 %: nothing smaller than that is ever reported, and what is allowed is found with the most power that
any of the rules has that were tried (docs/regressions.md has the table). Where half of the samples lie more
than a fifth
apart, something else had
the machine, and nothing is said but that.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.machine import same_interpreter
from memlab.analyses.rank_test import greater_chance, greater_chances, pair_interval
from memlab.records.benchmark import BenchmarkTable, Regression, RegressionReport, RegressionVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.benchmark import BenchmarkResult
    from memlab.records.columns import Floats

__all__ = [
    "EXACT_ALLOWED",
    "LEVEL",
    "USUAL_ALLOWED",
    "compare",
    "degradation_of",
    "judge",
    "restless",
    "units_of",
    "unsettled",
]

LEVEL = 0.01
USUAL_ALLOWED = 0.10
EXACT_ALLOWED = 0.005
_LEAST_UNITS = 5
_SLOWER = 0.15
_RESTLESS = 0.20
_TRUSTED = 0.10
_MISTRUST = 0.5
_TRIALS = 300
_POWER = 0.8
_MOST_SAMPLES = 10_000
_ORDER = list(RegressionVerdict)


def compare(
    current: BenchmarkTable,
    baseline: BenchmarkTable,
    allowed: Mapping[str, float] | None = None,
    *,
    missing: bool = True,
) -> RegressionReport:
    """Compare a run with a baseline, metric by metric, regressions first.

    Args:
        current: the run.
        baseline: what it is held against.
        allowed: degradation to find by name of a metric, or of its last part. Default: 10 %, or what the
            result itself says; of exact metrics more than half a per cent is too much.
        missing: list what the baseline has and the run has not.

    Example:
        >>> from memlab.records.benchmark import BenchmarkResult
        >>> def run(peak):
        ...     return BenchmarkTable((BenchmarkResult("load:peak_bytes", peak, "bytes", exact=True),))
        >>> [change] = compare(run(1_010_000), run(1_000_000)).changes
        >>> change.verdict.value, change.degradation
        ('regression', 0.01)
    """
    known = {result.name: result for result in baseline if result.gated}
    changes = []
    for result in current:
        if not result.gated:
            continue
        limit = _allowed(result, allowed or {})
        older = known.pop(result.name, None)
        if older is None:
            changes.append(_bare(result, limit, RegressionVerdict.NEW, "the baseline does not have it"))
            continue
        refusal = _refusal(result, older, current.machine, baseline.machine)
        changes.append(
            judge(result, older, limit)
            if not refusal
            else _bare(result, limit, RegressionVerdict.NOT_COMPARED, refusal, older)
        )
    if missing:
        changes += [_gone(older, _allowed(older, allowed or {})) for older in known.values()]
    changes.sort(key=lambda c: (_ORDER.index(c.verdict), -(c.degradation or 0.0), c.metric))
    loops = _loops(current, baseline)
    return RegressionReport(
        changes=tuple(changes),
        machine=current.machine,
        baseline_machine=baseline.machine,
        label=current.label,
        baseline_label=baseline.label,
        loops=loops,
        environment=current.environment,
        notes=(*current.notes, *_loop_notes(loops)),
    )


def judge(
    current: BenchmarkResult, baseline: BenchmarkResult, allowed: float, *, ask_power: bool = True
) -> Regression:
    """Compare one metric with its baseline. Both are of the same name, unit and direction.

    Args:
        current: the newer result.
        baseline: the older one.
        allowed: degradation that is to be found, a fraction.
        ask_power: tell how often it would be found in samples like these, where the verdict leaves it open.
    """
    if current.exact and baseline.exact:
        return _judge_exact(current, baseline, allowed)
    newer, older = units_of(current), units_of(baseline)
    bare = _bare(current, allowed, RegressionVerdict.UNCHANGED, "", baseline)
    if min(len(newer), len(older)) < _LEAST_UNITS:
        reason = f"{min(len(newer), len(older))} samples; at least {_LEAST_UNITS} are needed on both sides"
        return dataclasses.replace(bare, verdict=RegressionVerdict.NOT_COMPARED, reason=reason)
    if min(newer.min(), older.min()) <= 0:
        reason = "a sample is 0, so there is no ratio"
        return dataclasses.replace(bare, verdict=RegressionVerdict.NOT_COMPARED, reason=reason)
    if restless(current) or restless(baseline):
        where = "now" if restless(current) else "for the baseline"
        reason = f"the machine was too restless {where}: samples lie more than 20 % apart; measure again"
        return dataclasses.replace(bare, verdict=RegressionVerdict.NOT_COMPARED, reason=reason)
    margin = allowed / 2 + _MISTRUST * max(0.0, _loop_shift(current, baseline) - _TRUSTED)
    worse, better = _chances(newer, older, margin, current.better)
    middle, low, high = pair_interval(newer, older)
    degradations = sorted(_degradation(ratio, current.better) for ratio in (low, high))
    verdict = (
        RegressionVerdict.REGRESSION
        if worse < LEVEL
        else RegressionVerdict.IMPROVED
        if better < LEVEL
        else RegressionVerdict.UNCHANGED
    )
    judged = dataclasses.replace(
        bare,
        verdict=verdict,
        degradation=_degradation(middle, current.better),
        low=degradations[0],
        high=degradations[1],
        chance=min(worse, better) if verdict is RegressionVerdict.IMPROVED else worse,
        reason=_weaker(current, baseline),
    )
    if ask_power and verdict is RegressionVerdict.UNCHANGED and degradations[1] > allowed:
        power, enough = _power(older, len(newer), len(current.samples), allowed)
        return dataclasses.replace(judged, power=power, enough=enough)
    return judged


def units_of(result: BenchmarkResult) -> Floats:
    """Return what is compared of a result: medians of its processes, in units of the reference loop."""
    if result.exact:  # beside one that varies: it would have been the same in every sample
        return np.full(_LEAST_UNITS, result.value, dtype=np.float64)
    values = np.array(result.samples, dtype=np.float64)
    if len(result.reference):
        loop = np.array(result.reference, dtype=np.float64)
        values = values / loop if result.better == "lower" else values * loop
    processes = np.array(result.process, dtype=np.int64)
    known = np.unique(processes)
    if len(known) < _LEAST_UNITS or len(values) <= 2 * len(known):
        return values
    return np.array([np.median(values[processes == one]) for one in known])


def restless(result: BenchmarkResult) -> bool:
    """Tell whether samples are so far apart that no ratio can be trusted: something else had the machine.

    >>> from memlab.records.benchmark import BenchmarkResult
    >>> restless(BenchmarkResult("a:time_s", 1.0, "seconds", samples=(1.0, 1.1, 1.0, 1.6, 1.7, 1.0)))
    True
    """
    if result.exact or result.spread is None or len(result.samples) < _LEAST_UNITS:
        return False
    low, high = result.spread
    return low > 0 and high / low - 1 > _RESTLESS


def unsettled(current: BenchmarkResult, baseline: BenchmarkResult | None) -> bool:
    """Tell whether a noisy result should be measured again: restless, or its loop moved."""
    if current.exact:
        return False
    return restless(current) or (baseline is not None and _loop_shift(current, baseline) > _SLOWER)


def _loop_shift(current: BenchmarkResult, baseline: BenchmarkResult) -> float:
    """Return how far the reference loop moved between the two, a fraction in either direction."""
    if not (len(current.reference) and len(baseline.reference)):
        return 0.0
    ratio = float(np.median(current.reference) / np.median(baseline.reference))
    return max(ratio, 1 / ratio) - 1


def degradation_of(baseline: float, current: float, better: str) -> float | None:
    """Return how much worse a value became, a fraction; None when the baseline is 0 and the value is not.

    >>> degradation_of(100, 90, "higher"), degradation_of(100, 90, "lower"), degradation_of(0, 0, "lower")
    (0.1, -0.1, 0.0)
    """
    if current == baseline:
        return 0.0
    if baseline == 0:
        return None
    change = (current - baseline) / abs(baseline)
    return round(change if better == "lower" else -change, 12)


def _degradation(ratio: float, better: str) -> float:
    return ratio - 1 if better == "lower" else 1 - ratio


def _chances(newer: Floats, older: Floats, margin: float, better: str) -> tuple[float, float]:
    """Return the chance that it did not become worse by more than ``margin``, and that not better."""
    if better == "lower":
        return greater_chance(newer, older * (1 + margin)), greater_chance(older, newer * (1 + margin))
    return greater_chance(older * (1 - margin), newer), greater_chance(newer * (1 - margin), older)


def _judge_exact(current: BenchmarkResult, baseline: BenchmarkResult, allowed: float) -> Regression:
    assert current.value is not None
    assert baseline.value is not None
    degradation = degradation_of(baseline.value, current.value, current.better)
    became = math.inf if degradation is None else degradation
    if abs(current.value - baseline.value) <= max(current.least, baseline.least):
        became = 0.0
    verdict = (
        RegressionVerdict.REGRESSION
        if became > allowed
        else RegressionVerdict.IMPROVED
        if became < -allowed
        else RegressionVerdict.UNCHANGED
    )
    return dataclasses.replace(
        _bare(current, allowed, verdict, "" if degradation is not None else "it was 0 before", baseline),
        degradation=degradation,
        low=degradation,
        high=degradation,
        chance=0.0,
    )


def _power(older: Floats, units: int, samples: int, allowed: float) -> tuple[float, int | None]:
    """Return how often ``allowed`` would be found in samples like the baseline's, and how many would do.

    Both sides are drawn from the baseline with replacement, one of them made worse. The generator has a fixed
    seed: the same samples get the same answer.
    """
    draw = np.random.default_rng(20_180_913)
    first, enough, count = 0.0, None, units
    while count * samples // units <= _MOST_SAMPLES and count**2 * _TRIALS < 2e8:  # noqa: PLR2004 - bytes
        one = draw.choice(older, (_TRIALS, count)) * (1 + allowed)
        other = draw.choice(older, (_TRIALS, count)) * (1 + allowed / 2)
        found = float((greater_chances(one, other) < LEVEL).mean())
        if count == units:
            first = found
        if found >= _POWER:
            enough = count * samples // units
            break
        count = math.ceil(count * 1.5)
    return first, enough


def _weaker(current: BenchmarkResult, baseline: BenchmarkResult) -> str:
    if not (len(current.reference) and len(baseline.reference)):
        return "no reference loop ran beside it: a slower machine looks like a regression"
    if min(len(set(current.process)), len(set(baseline.process))) < _LEAST_UNITS:
        return f"from fewer than {_LEAST_UNITS} processes: what differs from process to process is not seen"
    return ""


def _refusal(current: BenchmarkResult, baseline: BenchmarkResult, machine: str, other: str) -> str:
    if current.value is None or baseline.value is None:
        here = current if current.value is None else baseline
        where = "here" if current.value is None else "in the baseline"
        return f"it has no value {where}: {here.note or 'no reason given'}"
    if (current.unit, current.better) != (baseline.unit, baseline.better):
        return "it is measured in another way than in the baseline; make a new one"
    if machine == other:
        pass
    elif not same_interpreter(machine, other):
        return f"the baseline is of {other}, this is {machine}"
    elif not current.exact:
        return f"the baseline is of another class of machine ({other}); only bytes and counts are compared"
    if not (current.exact and baseline.exact) and current.loop != baseline.loop:
        return f"the baseline has another reference loop ({baseline.loop or 'none'})"
    return ""


def _allowed(result: BenchmarkResult, allowed: Mapping[str, float]) -> float:
    for name in (result.name, result.metric):
        if name in allowed:
            return allowed[name]
    if result.allowed is not None:
        return result.allowed
    return EXACT_ALLOWED if result.exact else USUAL_ALLOWED


def _bare(
    result: BenchmarkResult,
    allowed: float,
    verdict: RegressionVerdict,
    reason: str,
    older: BenchmarkResult | None = None,
) -> Regression:
    return Regression(
        metric=result.name,
        baseline=older.value if older is not None else None,
        current=result.value,
        degradation=None,
        verdict=verdict,
        allowed=allowed,
        unit=result.unit,
        better=result.better,
        exact=result.exact,
        samples=len(result.samples),
        baseline_samples=len(older.samples) if older is not None else 0,
        reason=reason,
        place=result.place,
    )


def _gone(older: BenchmarkResult, allowed: float) -> Regression:
    gone = _bare(older, allowed, RegressionVerdict.MISSING, "this run does not have it", older)
    return dataclasses.replace(gone, current=None, samples=0)


def _loops(current: BenchmarkTable, baseline: BenchmarkTable) -> dict[str, float]:
    """Return how much slower each reference loop ran than for the baseline."""
    times: list[dict[str, list[float]]] = [{}, {}]
    for table, found in zip((current, baseline), times, strict=True):
        for result in table:
            if result.loop and result.reference:
                found.setdefault(result.loop, []).extend(result.reference)
    newer, older = ({name: float(np.median(values)) for name, values in side.items()} for side in times)
    return {name: newer[name] / older[name] - 1 for name in sorted(newer.keys() & older.keys())}


def _loop_notes(loops: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(
        f"the reference loop {name} took {abs(slower) * 100:.0f} % {'more' if slower > 0 else 'less'} time "
        "than for the baseline: another machine, or a busy one; ratios to it were compared"
        for name, slower in loops.items()
        if abs(slower) > _SLOWER
    )
