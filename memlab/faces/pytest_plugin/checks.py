"""The checks of marked tests: a hunt after the test has passed, a limit on what its call needs.

Both happen in the call phase, outside all other plugins' part in it, so that a failure is the test's own:
xfail, rerun and the report see it as any other. A test that fails by itself is not hunted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memlab._base.units import format_bytes
from memlab.faces.pytest_plugin.failures import Failures
from memlab.faces.pytest_plugin.markers import NoLeak, no_leak_of, peak_of
from memlab.faces.pytest_plugin.options import NO_LEAK
from memlab.faces.pytest_plugin.repeated import Repeated, can_repeat, is_repeating

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from memlab.lab.peak_watch import PeakSeen
    from memlab.records.leak_report import LeakReport

__all__ = ["Checks", "check_markers", "peak_text"]


def check_markers(items: Iterable[pytest.Item]) -> None:
    """Read each test's markers.

    Raises:
        pytest.UsageError: for the first that makes no sense.
    """
    for item in items:
        peak_of(item)
        if no_leak_of(item) is not None and not can_repeat(item):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {NO_LEAK} needs a test that can be run again; "
                f"a {type(item).__name__} can not"
            )


class Checks:
    """The plugin that runs marked tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._failures = Failures(config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run the test, and then what its markers ask for."""
        if is_repeating(item):
            return (yield)
        limit = peak_of(item)
        if limit is None:
            result = yield
        else:
            from memlab.lab.peak_watch import PeakWatch

            with PeakWatch(limit, item.nodeid) as watch:
                result = yield
            if not watch.seen.within:
                self._fail(item, peak_text(watch.seen), watch.seen.lines, "peak")
        asked = no_leak_of(item)
        if asked is not None and not getattr(item, "_excinfo", None):
            self._hunt(item, asked)
        return result

    def _hunt(self, item: pytest.Item, asked: NoLeak) -> None:
        from memlab.lab.leak_hunt import LeakHunt
        from memlab.views.leak_brief import leak_brief, verdict_line

        step = Repeated(item)
        hunt = LeakHunt(step, label=item.nodeid, **asked.hunt)
        try:
            with step.repeating():
                report = hunt.run()
        except BaseException as error:
            seen = hunt.report
            if seen is not None and seen.failure is not None:
                error.add_note(
                    f"memlab: the test passed once, and raised this in iteration {seen.failure.iteration:,} "
                    f"of the hunt that {NO_LEAK} asks for; it must be fit to be repeated"
                )
            raise
        if report.verdict.is_leak:
            self._fail(item, f"memlab: {leak_brief(report)}", report, "leak")
        if report.verdict != "no leak":
            text = f"memlab: {verdict_line(report)} ({report.reason})"
            if asked.strict:
                self._fail(item, f"{text}\n  strict=True asks for a verdict", report, "no verdict")
            item.add_report_section("call", "memlab", text)

    def _fail(self, item: pytest.Item, text: str, result: LeakReport | Any, what: str) -> None:
        where = self._failures.write(item, text, result, what)
        pytest.fail(text + "".join(f"\n  report: {path}" for path in where), pytrace=False)


def peak_text(seen: PeakSeen) -> str:
    """Return the message of a peak above its limit."""
    from memlab.views.leak_brief import lines_brief

    over = seen.peak_bytes - seen.limit_bytes
    rss = "not read" if seen.rss_bytes is None else f"+{format_bytes(seen.rss_bytes)}"
    lines = [
        (
            f"memlab: the peak is {format_bytes(seen.peak_bytes)} above the start, {format_bytes(over)} over "
            f"the limit of {format_bytes(seen.limit_bytes)} "
            f"(traced +{format_bytes(seen.traced_bytes or 0)}, RSS {rss})"
        )
    ]
    if seen.lines is not None:
        lines.append(f"  what held it when {format_bytes(seen.lines_bytes)} stood above the start:")
        lines += [f"  {line}" for line in lines_brief(seen.lines)]
    elif seen.source == "traced":
        lines.append("  it stood that high too briefly to see which lines held it")
    else:
        lines.append("  Python's own allocators do not account for it: native code took it")
    return "\n".join(lines)
