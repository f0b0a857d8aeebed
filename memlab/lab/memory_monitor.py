"""How much memory this process has, how much it may have, and how much is left.

``MemoryMonitor`` joins the probe of the process, the ceilings above it and the kernel's count of time lost to
memory pressure into one reading, in which whatever could not be read is None with a reason.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from memlab.collectors.limits import Machine
from memlab.collectors.probe import Probe
from memlab.records.pressure import MemoryReading

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryMonitor"]


class MemoryMonitor:
    """Reads the memory of the own process against its real ceiling. Close it, or use it in ``with``.

    Args:
        machine: reads ceilings and stalls; by default those of this machine.
        probe: reads the process; by default one of its own.
        clock: monotonic, in seconds.

    Example:
        >>> with MemoryMonitor() as monitor:
        ...     reading = monitor.read()
        >>> reading.rss_bytes > 0, reading.limit_bytes >= reading.rss_bytes, reading.absent.get("rss_bytes")
        (True, True, None)
    """

    def __init__(
        self,
        machine: Machine | None = None,
        probe: Probe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.machine = machine or Machine()
        self._probe = probe or Probe()
        self._owns_probe = probe is None
        self._clock = clock
        self._before: tuple[float, float] | None = None

    def read(self, *, uss: bool = True) -> MemoryReading:
        """Read once.

        ``stall_share`` is the share of the time since the last reading in which some task waited for memory;
        the first reading has none. Reading USS makes the kernel walk every mapping (some 0.4 ms, and more
        for a large process); everything else takes some 0.2 ms.

        Args:
            uss: read USS as well.
        """
        names = ("rss_bytes", "uss_bytes") if uss else ("rss_bytes",)
        process = self._probe.read(*names)
        absent = dict(process.absent)
        sources = dict(process.sources)
        if not uss:
            absent["uss_bytes"] = "it was not asked for"
        ceilings = self.machine.ceilings()
        absent |= ceilings.absent
        real, tightest = ceilings.real, ceilings.tightest
        for name, ceiling in (("limit_bytes", real), ("available_bytes", tightest)):
            if ceiling is None:
                absent[name] = "no ceiling could be read: " + "; ".join(ceilings.absent.values())
            else:
                sources[name] = ceiling.source
        some, full, share = self._stalls(sources, absent)
        return MemoryReading(
            rss_bytes=process["rss_bytes"],
            uss_bytes=process["uss_bytes"] if uss else None,
            limit_bytes=real.limit_bytes if real is not None else None,
            available_bytes=tightest.room_bytes if tightest is not None else None,
            stall_some_s=some,
            stall_full_s=full,
            stall_share=share,
            ceilings={ceiling.source: ceiling.limit_bytes for ceiling in ceilings.found},
            sources=sources,
            absent=absent,
        )

    def rss_bytes(self) -> int | None:
        """Return the resident memory of the process alone, in some 2 µs; None where it cannot be read."""
        return self._probe.value("rss_bytes")

    def close(self) -> None:
        """Close what it keeps open; a later reading opens it again."""
        if self._owns_probe:
            self._probe.close()

    def _stalls(
        self, sources: dict[str, str], absent: dict[str, str]
    ) -> tuple[float | None, float | None, float | None]:
        now = self._clock()
        try:
            stalls = self.machine.stalls()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            for name in ("stall_some_s", "stall_full_s", "stall_share"):
                absent[name] = f"the kernel does not count time lost to memory pressure here: {reason}"
            return None, None, None
        sources["stall_some_s"] = stalls.source
        if stalls.full_s is None:
            absent["stall_full_s"] = "the kernel counts it for groups only"
        before, self._before = self._before, (now, stalls.some_s)
        if before is None or now <= before[0]:
            absent["stall_share"] = "a share needs an earlier reading"
            return stalls.some_s, stalls.full_s, None
        share = (stalls.some_s - before[1]) / (now - before[0])
        return stalls.some_s, stalls.full_s, min(1.0, max(0.0, share))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
