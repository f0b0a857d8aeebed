"""The run behind ``--memlab-baseline``: measure each test, compare, find lines, report."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from memlab._base.atomic import write_text
from memlab._base.environment import describe_environment
from memlab._base.machine import machine_class
from memlab.errors import MemlabError
from memlab.faces.bench_runs import document_of
from memlab.faces.outputs import check_writable
from memlab.lab.bench_passes import single_pass
from memlab.lab.peak_snapshot import GrowthWatch
from memlab.lab.regression_suite import against, find_causes
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable, RegressionReport
from memlab.records.snapshot import Snapshot
from memlab.store.baseline import Baseline
from memlab.store.capture_file import load
from memlab.store.lab_book import LabBook

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BaselineRun", "watched"]

_DEPTH: Final = 15
_LEAST = {"peak_bytes": 4096.0, "allocations": 100.0}
_MOST_ARGUMENTS = 200


class BaselineRun:
    """Registered while a baseline is asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.baseline = Baseline(config.getoption("--memlab-baseline"))
        self.results: dict[str, list[BenchmarkResult]] = {}
        self.passed: set[str] = set()
        self.report: RegressionReport | None = None
        self.trouble = ""
        self.allowed = float(config.getoption("--memlab-allow"))
        if not 0 < self.allowed < 100:  # noqa: PLR2004 - NaN fails too
            raise pytest.UsageError("--memlab-allow takes a fraction above 0, for example 0.05")
        try:
            self.baseline.machines()
            for option in ("baseline", "json", "markdown", "html"):
                path = config.getoption(f"--memlab-{option}")
                if path is not None:
                    check_writable(path)
        except MemlabError as error:
            raise pytest.UsageError(str(error)) from None

    # -- measuring

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Measure the call of one test."""
        place = f"{item.location[0]}:{(item.location[1] or 0) + 1}"
        with single_pass(item.nodeid, place=place) as taken:
            try:
                result = yield
            finally:
                taken.stop()
        self.results[item.nodeid] = [self._with_limits(one) for one in taken.results]
        return result

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the figures of tests that passed; those of others mean nothing."""
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def _with_limits(self, result: BenchmarkResult) -> BenchmarkResult:
        return dataclasses.replace(
            result, allowed=self.allowed, least=_LEAST.get(result.metric, 0.0), gated=result.metric in _LEAST
        )

    # -- judging

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare, find the lines, write what was asked for; a regression fails the run."""
        try:
            self._finish(session)
        except MemlabError as error:
            self.trouble = str(error)
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _finish(self, session: pytest.Session) -> None:
        kept = [one for node in self.results if node in self.passed for one in self.results[node]]
        option = self.config.getoption
        label = str(option("--memlab-label"))
        table = BenchmarkTable(
            tuple(kept), machine=machine_class(), label=label, environment=describe_environment()
        )
        if option("--memlab-book"):
            LabBook(option("--memlab-book")).append(table, source="pytest")
        # Only tests that ran are compared: a part of the suite may have been chosen.
        report = against(self.baseline, table, missing=False)
        update = report.created or option("--memlab-update")
        nodes = self.passed if update else {change.benchmark for change in report.regressions}
        if nodes and not option("--memlab-no-lines"):
            table = dataclasses.replace(table, snapshots=self._lines(sorted(nodes)))
            machine = report.baseline_machine or table.machine
            report = find_causes(report, table, self.baseline, machine)
        if update:
            self.baseline.update(table)
        self.report = report
        self._write(report)
        if report.regressions and not update and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _lines(self, nodes: list[str]) -> dict[str, Snapshot]:
        """Run tests once more, watched, in a process of their own."""
        found = {}
        with tempfile.TemporaryDirectory(prefix="memlab-") as folder:
            for start in range(0, len(nodes), _MOST_ARGUMENTS):
                part = nodes[start : start + _MOST_ARGUMENTS]
                command = [
                    *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"),
                    *("--rootdir", str(self.config.rootpath), "--memlab-lines", folder),
                    *(["-c", str(self.config.inipath)] if self.config.inipath is not None else []),
                    *part,
                ]
                subprocess.run(  # noqa: S603 - pytest itself, on the user's own tests
                    command,
                    cwd=self.config.rootpath,
                    env={**os.environ, "PYTEST_ADDOPTS": ""},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            for node in nodes:
                with contextlib.suppress(MemlabError):
                    taken = load(Path(folder, _file_of(node)))
                    if isinstance(taken, Snapshot):
                        found[node] = taken
        return found

    def _write(self, report: RegressionReport) -> None:
        option = self.config.getoption
        if option("--memlab-json"):
            write_text(option("--memlab-json"), json.dumps(document_of(report), indent=2) + "\n")
        if option("--memlab-markdown"):
            write_text(option("--memlab-markdown"), report.to_markdown())
        if option("--memlab-html"):
            report.to_html(option("--memlab-html"))

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print what changed."""
        write = terminalreporter.write_line
        if self.trouble:
            terminalreporter.section("memlab baseline")
            write(f"memlab: {self.trouble}")
            return
        if self.report is None:
            return
        terminalreporter.section("memlab baseline")
        changed = tuple(c for c in self.report.changes if c.verdict.value in ("regression", "improved"))
        shown = dataclasses.replace(self.report, changes=changed if not self.report.created else ())
        from memlab.views import bench_words

        lines = str(shown).splitlines()
        write(bench_words.regression_headline(self.report))
        for line in lines[1:]:
            write(line)


@contextlib.contextmanager
def watched(node: str, folder: str) -> Iterator[None]:
    """Watch a test in its call, and write what was alive near its peak to a file in the folder."""
    from memlab.collectors.tracing import Tracing

    with Tracing(_DEPTH) as trace:
        watch = GrowthWatch(trace, node)
        with watch:
            yield
        # A test that needs next to nothing has a snapshot too: what grows later is held against it.
        taken = watch.taken if watch.taken is not None else trace.snapshot(node)
    taken.save(Path(folder, _file_of(node)))


def _file_of(node: str) -> str:
    return f"{hashlib.sha256(node.encode()).hexdigest()[:32]}.memlab"
