"""Whether a change mended a leak: two reports of a step, before and after, and what became of each figure."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.leak_report import LeakReport

__all__ = ["FixCheck", "FixVerdict", "RateChange"]


class FixVerdict(enum.StrEnum):
    """What became of a leak."""

    FIXED = "fixed"
    """It leaked, and nothing that was tested rises any more."""
    BETTER = "better"
    """It still grows, but by less than before: the intervals of the two rates lie apart."""
    SAME = "same"
    """The rates are not told apart, or there was no leak and is none."""
    WORSE = "worse"
    """It grows by more than before, or it leaks now and did not."""
    INCONCLUSIVE = "inconclusive"
    """One of the two hunts came to no verdict, or they cannot be compared."""


@dataclasses.dataclass(frozen=True, slots=True)
class RateChange:
    """A metric's growth per iteration before and after.

    Attributes:
        metric: a column of the reports' series.
        before, after: growth per iteration that lasted; 0 where the metric was tested and did not rise; None
            where it was not tested.
        before_low, before_high, after_low, after_high: 95 % intervals.
        change: ``fixed``, ``better``, ``same``, ``worse``, or empty where it cannot be told.
    """

    metric: str
    before: float | None
    after: float | None
    before_low: float = 0.0
    before_high: float = 0.0
    after_low: float = 0.0
    after_high: float = 0.0
    change: str = ""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FixCheck(Result):
    """What ``report.verify(step_fixed)`` gives back.

    Attributes:
        verdict, reason: the conclusion, and why in one sentence.
        before, after: the two reports, whole.
        rates: each metric that either of them tested.
        gone, left, new: suspects by type and holder, as text: in the first only, in both, in the second only.
        notes: what a reader must know.
    """

    kind: ClassVar[str] = "fix check"

    verdict: FixVerdict
    reason: str
    before: LeakReport
    after: LeakReport
    rates: tuple[RateChange, ...] = ()
    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
