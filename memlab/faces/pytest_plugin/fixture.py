"""What the fixture ``memlab`` gives a test: hunts and limits for a part of it; it fails as the markers do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from memlab.faces.pytest_plugin.failures import Failures
from memlab.faces.pytest_plugin.options import budget_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memlab.lab.peak_watch import PeakWatch
    from memlab.records.leak_report import LeakReport

__all__ = ["TestLab"]


class TestLab:
    """memlab for one test.

    Args:
        item: the test.
    """

    __test__ = False

    def __init__(self, item: Any) -> None:
        self._item = item
        self._failures = Failures(item.config)

    def find_leaks(
        self, step: Callable[[], Any], setup: Callable[[], Any] | None = None, **options: Any
    ) -> LeakReport:
        """Hunt, and return the report: ``memlab.find_leaks``, for 5 seconds unless told otherwise.

        Args:
            step: called without arguments again and again; a coroutine function is awaited, but not in a
                test that is itself one: there, ``await asyncio.to_thread(memlab.find_leaks, step)``.
            setup: called once before.
            options: those of ``memlab.find_leaks``.
        """
        from memlab.lab.leak_hunt import find_leaks

        if "iterations" not in options:
            options.setdefault("budget_s", budget_s(self._item.config))
        return find_leaks(step, setup, **options)

    def assert_no_leak(
        self,
        step: Callable[[], Any],
        setup: Callable[[], Any] | None = None,
        *,
        strict: bool = False,
        **options: Any,
    ) -> LeakReport:
        """Fail the test if ``step`` leaks; the message says line and holder.

        Args:
            step: called without arguments again and again.
            setup: called once before.
            strict: fail without a verdict, too.
            options: those of ``memlab.find_leaks``.
        """
        from memlab.views.leak_brief import leak_brief

        report = self.find_leaks(step, setup, **options)
        if report.verdict.is_leak or (strict and report.verdict != "no leak"):
            what = "leak" if report.verdict.is_leak else "no verdict"
            text = f"memlab: {leak_brief(report)}"
            where = self._failures.write(self._item, text, report, what)
            pytest.fail(text + "".join(f"\n  report: {path}" for path in where), pytrace=False)
        return report

    @contextlib.contextmanager
    def peak(self, limit: float | str) -> Iterator[PeakWatch]:
        """Fail the test if the block needs more memory above its start than ``limit``, e.g. ``"24 MiB"``.

        An exception of the block passes, and is not followed by this failure.
        """
        from memlab.faces.pytest_plugin.checks import peak_text
        from memlab.lab.peak_watch import PeakWatch

        with PeakWatch(limit, self._item.nodeid) as watch:
            yield watch
        if not watch.seen.within:
            text = peak_text(watch.seen)
            where = self._failures.write(self._item, text, watch.seen.lines, "peak")
            pytest.fail(text + "".join(f"\n  report: {path}" for path in where), pytrace=False)
