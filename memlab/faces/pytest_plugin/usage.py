"""What one test used: measured around it, and carried by its report, also from a worker of pytest-xdist."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from memlab.collectors.high_water import Following
from memlab.collectors.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

__all__ = ["Meter", "TestUse", "carried", "carry"]

_ATTRIBUTE = "memlab_use"


@dataclasses.dataclass(frozen=True, slots=True)
class TestUse:
    """One row of the table. Figures are of the process, from before the set-up to after the tear-down.

    Attributes:
        nodeid: the test.
        peak_bytes: how far RSS stood above the start at most; None where the kernel keeps no exact mark.
        growth_bytes: RSS after less RSS before; None where it cannot be read.
        blocks: growth of the number of blocks of Python's small-object allocator; garbage that waits for the
            collector is in it unless ``--memlab-collect`` is given.
        seconds: from the first reading to the last.
        absent: why a figure is None, by its name.
    """

    __test__ = False

    nodeid: str
    peak_bytes: int | None
    growth_bytes: int | None
    blocks: int | None
    seconds: float
    absent: dict[str, str] = dataclasses.field(default_factory=dict)


class Meter:
    """Reads before and after a test; one for a run.

    Args:
        collect: called before each reading, to collect garbage; None leaves the collector alone.
        probe: reader of the process. Default: one of its own, which ``close`` closes.
    """

    def __init__(self, collect: Callable[[], object] | None = None, probe: Probe | None = None) -> None:
        self._collect = collect
        self._probe = probe or Probe()
        self._following: Following | None = None
        self._before: tuple[int | None, int | None, float] = (None, None, 0.0)

    def begin(self) -> None:
        """Read before a test."""
        if self._collect is not None:
            self._collect()
        self._following = Following()
        self._following.start()
        self._before = self._read()

    def end(self, nodeid: str) -> TestUse | None:
        """Read after a test; None when ``begin`` was not called."""
        following, self._following = self._following, None
        if following is None:
            return None
        peak = following.stop()
        if self._collect is not None:
            self._collect()
        rss, blocks, seconds = self._read()
        rss_before, blocks_before, began = self._before
        absent = {}
        if peak is None:
            absent["peak_bytes"] = following.reason
        if rss is None or rss_before is None:
            absent["growth_bytes"] = "this platform does not tell a process its resident memory"
        if blocks is None or blocks_before is None:
            absent["blocks"] = "this interpreter does not count its blocks"
        return TestUse(
            nodeid,
            max(0, peak[0] - peak[1]) if peak is not None else None,
            rss - rss_before if rss is not None and rss_before is not None else None,
            blocks - blocks_before if blocks is not None and blocks_before is not None else None,
            round(seconds - began, 6),
            absent,
        )

    def close(self) -> None:
        """Close the reader."""
        self._probe.close()

    def _read(self) -> tuple[int | None, int | None, float]:
        probe = self._probe
        return probe.value("rss_bytes"), probe.value("allocated_blocks"), probe.clock()


def carry(report: pytest.TestReport, use: TestUse) -> None:
    """Let a report carry a row: plain values, which pytest-xdist brings from worker to controller."""
    setattr(report, _ATTRIBUTE, dataclasses.asdict(use))


def carried(report: pytest.TestReport) -> TestUse | None:
    """Return the row that a report carries, None when it carries none."""
    found: Any = getattr(report, _ATTRIBUTE, None)
    return TestUse(**found) if isinstance(found, dict) else None
