"""The peak of a callable, in the terms of memory_profiler's ``%memit``.

As there: garbage is collected first, the baseline is the RSS before the first run, and each run gives one
peak. Other than there: the callable runs exactly as often as asked, in this process, with no child that
watches it, and its peak is the kernel's own mark, so that short spikes count.
"""

from __future__ import annotations

import gc
import math
import time
from typing import TYPE_CHECKING, Any

from memlab.collectors.allocator import LITTLE_BYTES, allocator_cache, unseen
from memlab.collectors.high_water import Region
from memlab.collectors.probe import Probe
from memlab.collectors.sampler import Sampler
from memlab.errors import StepError, UnavailableError, UsageError
from memlab.records.memit import MemitResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["memit", "memit_awaited"]

_FINEST_S = 0.001
_CHILDREN_S = 0.01
_SHARED = "memory of child processes is a sum of RSS: pages that they share are counted in each of them"


def memit(
    func: Callable[[], object],
    *,
    repeat: int = 1,
    timeout: float | None = None,
    interval: float = 0.1,
    include_children: bool = False,
) -> MemitResult:
    """Measure the peak memory of a callable.

    Not in the peak: memory that the callable took again from the allocator's own cache (so that the first
    of several runs may show more than the others), and pages that it never touched.

    Args:
        func: called without arguments, once for each run. What it returns is dropped at once.
        repeat: number of runs.
        timeout: seconds after which no further run begins; one that runs is not stopped. None: no limit.
        interval: seconds between two samples, where the peak must be sampled; it is sampled finer where
            that costs little. It has no meaning where the kernel's mark can be used.
        include_children: add the RSS of all child processes, in the baseline too, sampled.

    Raises:
        StepError: when ``func`` cannot be called.
        UsageError: when a number makes no sense.
        UnavailableError: when this system does not tell the RSS.

    Example:
        >>> result = memit(lambda: bytearray(200_000_000), repeat=2)
        >>> len(result.peaks_bytes), result.increment_bytes > 100_000_000
        (2, True)
    """
    _check(func)
    measuring = _Measuring(repeat, timeout, interval, include_children)
    with measuring:
        for run in measuring.runs():
            with run:
                func()
    return measuring.result()


async def memit_awaited(
    func: Callable[[], Awaitable[object]],
    *,
    repeat: int = 1,
    timeout: float | None = None,  # noqa: ASYNC109 - no further run begins; none is cut short
    interval: float = 0.1,
    include_children: bool = False,
) -> MemitResult:
    """Measure what a function returns while it is awaited, as ``memit`` does.

    Tasks that run on the loop meanwhile are in the figure.

    Raises:
        StepError: when ``func`` cannot be called.
        UsageError: when a number makes no sense.
        UnavailableError: when this system does not tell the RSS.
    """
    _check(func)
    measuring = _Measuring(repeat, timeout, interval, include_children)
    with measuring:
        for run in measuring.runs():
            with run:
                await func()
    return measuring.result()


class _Measuring:
    """The runs of one ``memit``: a baseline, then a peak for each."""

    def __init__(self, repeat: Any, timeout: Any, interval: Any, include_children: bool) -> None:
        _check_numbers(repeat, timeout, interval)
        self._repeat = repeat
        self._timeout = timeout
        self._interval = interval
        self._children = include_children
        self._probe = Probe()
        self._baseline = 0
        self._cached: int | None = None
        self._peaks: list[int] = []
        self._sources: set[str] = set()
        self._notes: dict[str, None] = {}

    def __enter__(self) -> None:
        try:
            gc.collect()
            self._cached = allocator_cache()
            self._baseline = _rss(self._probe, self._children)
        except BaseException:
            self._probe.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self._probe.close()

    def runs(self) -> Iterator[_Run]:
        """Give a measuring block for each run."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        for number in range(self._repeat):
            if number and deadline is not None and time.monotonic() >= deadline:
                self._notes[
                    f"{number} of {self._repeat} runs: the timeout of {self._timeout:g} s had passed"
                ] = None
                break
            run = _Run(self._interval, self._children)
            yield run
            self._peaks.append(run.peak)
            self._sources.add(run.source)
            if run.reason:
                self._notes[run.reason] = None

    def result(self) -> MemitResult:
        """Return what was measured."""
        rise = max(self._peaks) - self._baseline
        if rise < LITTLE_BYTES:
            self._notes[unseen(self._cached)] = None
        notes = (*self._notes, _SHARED) if self._children else tuple(self._notes)
        return MemitResult(
            peaks_bytes=tuple(self._peaks),
            baseline_bytes=self._baseline,
            repeat=self._repeat,
            timeout=self._timeout,
            interval=self._interval,
            include_children=self._children,
            source="vmhwm" if self._sources == {"vmhwm"} else "sampled",
            notes=notes,
            cached_bytes=self._cached,
        )


class _Run:
    """Around one run: its peak, where that comes from, and why it is not exact."""

    def __init__(self, interval: float, include_children: bool) -> None:
        self.peak = 0
        self.source = ""
        self.reason = ""
        self._stretch = Region(interval_s=min(interval, _FINEST_S))
        self._family = (
            Sampler(min(interval, _CHILDREN_S), ("family_rss_bytes",)) if include_children else None
        )

    def __enter__(self) -> None:
        self._stretch.start()
        if self._family is not None:
            try:
                self._family.start()
            except BaseException:
                self._stretch.cancel()
                raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            together = self._family.stop() if self._family is not None else None
        finally:
            peak = self._stretch.stop()
        if kind is not None:
            return
        if peak is None:
            raise UnavailableError(f"memit: the peak cannot be read ({self._stretch.reason})")
        self.peak, self.source, self.reason = peak.value_bytes, peak.source, self._stretch.reason
        if together is not None:
            # The process alone may have stood higher between two samples of the family.
            self.peak = max(self.peak, together.high_water_mark("family_rss_bytes") or 0)
            self.source = "sampled"
            self.reason = self.reason or together.absent.get("family_rss_bytes", "")


def _check(func: Any) -> None:
    if not callable(func):
        raise StepError(f"memit: the first argument must be callable, not {type(func).__name__}")


def _check_numbers(repeat: Any, timeout: Any, interval: Any) -> None:
    if type(repeat) is not int or repeat < 1:
        raise UsageError(f"memit: repeat must be a number of runs from 1, not {repeat!r}")
    if timeout is not None and not _is_seconds(timeout):
        raise UsageError(f"memit: timeout must be a number of seconds above 0 or None, not {timeout!r}")
    if not _is_seconds(interval):
        raise UsageError(f"memit: interval must be a number of seconds above 0, not {interval!r}")


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _rss(probe: Probe, include_children: bool) -> int:
    reading = probe.read("rss_bytes")
    rss = reading["rss_bytes"]
    if rss is None:
        raise UnavailableError(
            f"memit: the memory of this process cannot be read ({reading.absent['rss_bytes']})"
        )
    return rss + (probe.value("children_rss_bytes") or 0) if include_children else rss
