"""Compare two leak reports of one step: did the change mend it?

A metric that rose and rises no more is fixed. Where it rises in both, the 95 % intervals of the two rates
must lie apart, and the rates differ by a tenth, before it is called better or worse. The metric that decides
is the one that the first verdict rests on: objects or blocks for a leak, resident memory for a native one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_count
from memlab.records.fix_check import FixCheck, FixVerdict, RateChange
from memlab.records.leak_report import Verdict

if TYPE_CHECKING:
    from memlab.records.leak_report import GrowthTest, LeakReport, Suspect

__all__ = ["compare_reports"]

_LEAST_CHANGE = 0.1
_DECIDING = ("tracked_objects", "allocated_blocks", "rss_bytes")
_NATIVE = ("rss_bytes", "allocated_blocks", "tracked_objects")
_BOUNDED = (Verdict.WARMING_UP, Verdict.FRAGMENTATION)


def compare_reports(before: LeakReport, after: LeakReport) -> FixCheck:
    """Return what became of the leak of ``before`` in ``after``.

    Example:
        >>> from memlab import find_leaks
        >>> kept = []
        >>> leaking = find_leaks(lambda: kept.append([]), iterations=300, trace=False)
        >>> mended = find_leaks(lambda: [], iterations=300, trace=False)
        >>> str(compare_reports(leaking, mended).verdict), str(compare_reports(mended, leaking).verdict)
        ('fixed', 'worse')
    """
    metrics = dict.fromkeys(t.metric for report in (before, after) for t in report.tests)
    rates = tuple(_rate(metric, before.test(metric), after.test(metric)) for metric in metrics)
    verdict, reason = _judge(before, after, rates)
    olds, news = _suspects(before), _suspects(after)
    notes = []
    if before.environment != after.environment:
        notes.append("the two hunts ran under different versions of Python, memlab or the platform")
    if before.step != after.step:
        notes.append(f"the steps have different names: {before.step}, then {after.step}")
    return FixCheck(
        verdict=verdict,
        reason=reason,
        before=before,
        after=after,
        rates=rates,
        gone=tuple(name for name in olds if name not in news),
        left=tuple(name for name in olds if name in news),
        new=tuple(name for name in news if name not in olds),
        notes=tuple(notes),
    )


def _judge(before: LeakReport, after: LeakReport, rates: tuple[RateChange, ...]) -> tuple[FixVerdict, str]:
    for report, when in ((before, "before"), (after, "after")):
        if report.verdict is Verdict.INCONCLUSIVE:
            return FixVerdict.INCONCLUSIVE, f"the hunt {when} the change came to no verdict: {report.reason}"
    if not before.verdict.is_leak:
        if after.verdict.is_leak:
            return FixVerdict.WORSE, f"it leaks now, and was judged {before.verdict.value} before"
        return (
            FixVerdict.SAME,
            f"there was no leak to mend: {before.verdict.value}, then {after.verdict.value}",
        )
    if after.verdict is Verdict.NO_LEAK:
        return FixVerdict.FIXED, "nothing that was tested rises any more"
    if after.verdict in _BOUNDED:
        return FixVerdict.BETTER, f"what grows is bounded or kept by the allocator now: {after.verdict.value}"
    by_metric = {rate.metric: rate for rate in rates}
    order = _NATIVE if before.verdict is Verdict.NATIVE_LEAK else _DECIDING
    for metric in order:
        rate = by_metric.get(metric)
        if rate is not None and rate.before and rate.after is not None:
            return _verdict_of(rate), _words(rate)
    return FixVerdict.INCONCLUSIVE, "it leaks in both, and no metric was tested in both"


def _verdict_of(rate: RateChange) -> FixVerdict:
    # It still leaks: a deciding metric that is flat now is an improvement, and no proof that it is mended.
    return FixVerdict.BETTER if rate.change == "fixed" else FixVerdict(rate.change)


def _words(rate: RateChange) -> str:
    said = format_bytes if rate.metric.endswith("_bytes") else format_count
    name = rate.metric.removesuffix("_bytes").replace("_", " ")
    verb = {"same": "is not told apart from before", "better": "fell", "fixed": "fell", "worse": "rose"}
    return (
        f"it still leaks, and its growth per iteration {verb[rate.change]}: {name} "
        f"{said(rate.before or 0)} before, {said(rate.after or 0)} after"
    )


def _rate(metric: str, before: GrowthTest | None, after: GrowthTest | None) -> RateChange:
    old, new = _lasting(before), _lasting(after)
    change = ""
    if before is not None and after is not None and old is not None and new is not None:
        if old and not new:
            change = "fixed"
        elif new and not old:
            change = "worse"
        elif abs(new - old) <= _LEAST_CHANGE * abs(old):
            change = "same"
        elif after.high < before.low:
            change = "better"
        elif after.low > before.high:
            change = "worse"
        else:
            change = "same"
    return RateChange(
        metric,
        old,
        new,
        before.low if before is not None else 0.0,
        before.high if before is not None else 0.0,
        after.low if after is not None else 0.0,
        after.high if after is not None else 0.0,
        change,
    )


def _lasting(test: GrowthTest | None) -> float | None:
    if test is None:
        return None
    return test.per_iteration if test.grew and test.sustained else 0.0


def _suspects(report: LeakReport) -> dict[str, Suspect]:
    """Return suspects by type and holder; the place in the holder is left out: it differs in each run."""
    found: dict[str, Suspect] = {}
    for suspect in report.suspects:
        holder = suspect.container.name if suspect.container is not None else ""
        if not holder and suspect.chain is not None and suspect.chain.links:
            holder = suspect.chain.links[0].label
        found.setdefault(f"{suspect.type_name} in {holder}" if holder else suspect.type_name, suspect)
    return found
