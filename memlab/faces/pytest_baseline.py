"""A baseline for a test suite: peak and allocations of each test, and the line that is to blame.

Off until ``--memlab-baseline`` is given; until then this module adds its options and imports nothing else of
memlab. Each test is measured in its one run, in its call alone: setup and teardown are not in the figures.
That run has only counters beside it. Which line a regression comes from needs a closer look, which would
change the figures: so the tests that became worse run once more, in a process of their own, watched line by
line; and so do all tests when the baseline is written, so that there is something to compare with.
``--memlab-no-lines`` leaves that out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each is off by default."""
    group = parser.getgroup("memlab baseline", "hold the memory of each test against a baseline")
    add = group.addoption
    add(
        "--memlab-baseline",
        metavar="FILE",
        help="hold each test's peak and allocations against this baseline",
    )
    add("--memlab-update", action="store_true", help="write this run into the baseline, whatever is found")
    add(
        "--memlab-allow",
        metavar="FRACTION",
        type=float,
        default=0.05,
        help="growth that is passed over, of a test that runs once (default 0.05)",
    )
    add("--memlab-json", metavar="FILE", help="write the comparison as JSON")
    add(
        "--memlab-markdown",
        metavar="FILE",
        help="write the comparison as Markdown, for a pull request's comment",
    )
    add("--memlab-html", metavar="FILE", help="write the comparison as one HTML page, with the flame graph")
    add("--memlab-book", metavar="FILE", help="write the run into this lab book")
    add("--memlab-label", metavar="TEXT", default="", help="your name for the run, e.g. a commit")
    add("--memlab-no-lines", action="store_true", help="do not run tests again to find lines")
    add("--memlab-lines", metavar="FOLDER", help="watch each test and leave snapshots here (used by memlab)")


def pytest_configure(config: pytest.Config) -> None:
    """Switch on what an option asks for."""
    lines = config.getoption("--memlab-lines")
    if lines is not None:
        config.pluginmanager.register(_Lines(lines), "memlab-lines")
        return
    if config.getoption("--memlab-baseline") is None:
        for name in (
            "--memlab-update",
            "--memlab-json",
            "--memlab-markdown",
            "--memlab-html",
            "--memlab-book",
        ):
            if config.getoption(name):
                raise pytest.UsageError(f"{name} needs --memlab-baseline FILE")
        return
    if hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--memlab-baseline measures one test at a time: leave -n out")
    from memlab.faces.pytest_baseline_run import BaselineRun

    config.pluginmanager.register(BaselineRun(config), "memlab-baseline-run")


class _Lines:
    """In the second process: each test under a watch, its snapshot near the peak into a file."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        from memlab.faces.pytest_baseline_run import watched

        with watched(item.nodeid, self.folder):
            return (yield)
