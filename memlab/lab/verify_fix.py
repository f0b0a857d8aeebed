"""Run the mended step as the leaking one was run, and compare: ``report.verify(step_fixed)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.analyses.fix_check import compare_reports
from memlab.errors import UsageError
from memlab.lab.leak_hunt import find_leaks
from memlab.records.leak_report import LeakReport

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from memlab.records.fix_check import FixCheck

__all__ = ["load_report", "verify_fix"]


def verify_fix(
    before: LeakReport | str | os.PathLike[str],
    step: Callable[[], Any],
    setup: Callable[[], Any] | None = None,
    **options: Any,
) -> FixCheck:
    """Hunt in the mended step, and say whether the leak is fixed, better, the same or worse.

    Args:
        before: the report of the leaking step, or the file that it was saved to.
        step: the mended step; a hunt calls it without arguments again and again.
        setup: called once before.
        options: those of ``find_leaks``. Default: the time that the first hunt was given.

    Raises:
        UsageError: when ``before`` is no leak report.
        CaptureError: when its file cannot be read.

    Example:
        >>> import memlab
        >>> kept = []
        >>> report = memlab.find_leaks(lambda: kept.append({}), iterations=300, trace=False)
        >>> str(report.verify(lambda: {}, iterations=300, trace=False).verdict)
        'fixed'
    """
    report = before if isinstance(before, LeakReport) else load_report(before)
    if "iterations" not in options and "budget_s" not in options and report.protocol.budget_s > 0:
        options["budget_s"] = report.protocol.budget_s
    return compare_reports(report, find_leaks(step, setup, **options))


def load_report(path: str | os.PathLike[str]) -> LeakReport:
    """Load a saved leak report.

    Raises:
        UsageError: when the file holds something else.
        CaptureError: when it cannot be read.
    """
    from memlab.store.capture_file import load

    found = load(path)
    if not isinstance(found, LeakReport):
        raise UsageError(
            f"verifying a fix: {path} holds a {found.kind}, not a leak report; "
            "save one with report.save(), or with 'memlab leaks --save'"
        )
    return found
