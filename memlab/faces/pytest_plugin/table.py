"""``--memlab``: each test is measured where it runs; the table is shown where the run is reported.

With pytest-xdist the workers measure and their controller shows. A test that is run again (by a plugin that
repeats failures) counts with its last run.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from memlab._base.atomic import write_text
from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.errors import MemlabError
from memlab.faces.pytest_plugin.options import collects, report_folder, rows_shown
from memlab.faces.pytest_plugin.repeated import is_repeating
from memlab.faces.pytest_plugin.usage import Meter, TestUse, carried, carry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Table", "table_lines"]

_FILE = "memlab-tests.json"


class Table:
    """The plugin that measures and shows.

    Attributes:
        rows: what each test used, by its id, in the order of the reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        if rows_shown(config) < 0:
            raise pytest.UsageError(f"--memlab-top must be 0 or a number of rows, not {rows_shown(config)}")
        self._config = config
        self._meter = Meter(_collector() if collects(config) else None)
        self.rows: dict[str, TestUse] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Read before a test."""
        self._meter.begin()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Read after the test's tear-down."""
        report = yield
        if call.when == "teardown" and not is_repeating(item):
            use = self._meter.end(item.nodeid)
            if use is not None:
                carry(report, use)
                self._meter.begin()  # for one that runs the test again in the same protocol
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take up a row."""
        use = carried(report)
        if use is not None:
            self.rows[use.nodeid] = use

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, and write it whole where reports were asked for."""
        if not self.rows:
            return
        terminalreporter.section("memlab: memory of each test")
        for line in table_lines(list(self.rows.values()), rows_shown(self._config), collects(self._config)):
            terminalreporter.write_line(line)
        folder = report_folder(self._config)
        if folder is None:
            return
        text = json.dumps({"tests": [dataclasses.asdict(row) for row in self.rows.values()]}, indent=1)
        try:
            write_text(folder / _FILE, text + "\n")
        except MemlabError as error:
            terminalreporter.write_line(f"memlab: {error}")

    def pytest_unconfigure(self) -> None:
        """Close the reader."""
        self._meter.close()


def table_lines(rows: list[TestUse], most: int = 20, collected: bool = False) -> list[str]:
    """Return the table's lines, greatest peak first.

    Args:
        rows: what each test used.
        most: rows to show; 0 shows all.
        collected: whether garbage was collected before each reading.
    """
    ordered = sorted(rows, key=lambda row: (-(row.peak_bytes or 0), -(row.growth_bytes or 0), row.nodeid))
    shown = ordered[:most] if most else ordered
    lines = [f"{'peak':>12} {'growth':>12} {'blocks':>9} {'time':>9}  test"]
    for row in shown:
        peak = "-" if row.peak_bytes is None else f"+{format_bytes(row.peak_bytes)}"
        growth = "-" if row.growth_bytes is None else format_signed_bytes(row.growth_bytes)
        blocks = "-" if row.blocks is None else f"{row.blocks:+,}"
        lines.append(f"{peak:>12} {growth:>12} {blocks:>9} {format_seconds(row.seconds):>9}  {row.nodeid}")
    if len(shown) < len(ordered):
        lines.append(f"and {len(ordered) - len(shown):,} more; --memlab-top 0 shows all")
    garbage = "" if collected else ", uncollected garbage included (--memlab-collect leaves it out)"
    lines.append(
        "peak: RSS above the test's start, the kernel's mark; growth: RSS and Python's blocks from before "
        f"the set-up to after the tear-down{garbage}"
    )
    reasons = {f"{name} not known: {why}" for row in rows for name, why in row.absent.items()}
    return [*lines, *sorted(reasons)]


def _collector() -> Callable[[], object]:
    from memlab.collectors.quiet import collect

    return collect
