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

from memlab.collectors.high_water import Region
from memlab.collectors.probe import Probe
from memlab.collectors.sampler import Sampler
from memlab.errors import StepError, UnavailableError, UsageError
from memlab.records.memit import MemitResult

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["memit"]

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
    _check(func, repeat, timeout, interval)
    with Probe() as probe:
        gc.collect()
        baseline = _rss(probe, include_children)
        deadline = None if timeout is None else time.monotonic() + timeout
        peaks: list[int] = []
        sources: set[str] = set()
        notes: dict[str, None] = {}
        for run in range(repeat):
            if run and deadline is not None and time.monotonic() >= deadline:
                notes[f"{run} of {repeat} runs: the timeout of {timeout:g} s had passed"] = None
                break
            peak, source, reason = _one_run(func, interval, include_children)
            peaks.append(peak)
            sources.add(source)
            if reason:
                notes[reason] = None
    return MemitResult(
        peaks_bytes=tuple(peaks),
        baseline_bytes=baseline,
        repeat=repeat,
        timeout=timeout,
        interval=interval,
        include_children=include_children,
        source="vmhwm" if sources == {"vmhwm"} else "sampled",
        notes=(*notes, _SHARED) if include_children else tuple(notes),
    )


def _check(func: Any, repeat: Any, timeout: Any, interval: Any) -> None:
    if not callable(func):
        raise StepError(f"memit: the first argument must be callable, not {type(func).__name__}")
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


def _one_run(func: Callable[[], object], interval: float, include_children: bool) -> tuple[int, str, str]:
    """Run once; return the peak, its source, and why it is not exact."""
    stretch = Region(interval_s=min(interval, _FINEST_S))
    family = Sampler(min(interval, _CHILDREN_S), ("family_rss_bytes",)) if include_children else None
    with stretch:
        if family is None:
            func()
        else:
            with family:
                func()
    peak = stretch.peak
    if peak is None:
        raise UnavailableError(f"memit: the peak cannot be read ({stretch.reason})")
    if family is None:
        return peak.value_bytes, peak.source, stretch.reason
    together = family.timeline.high_water_mark("family_rss_bytes")
    reason = stretch.reason or family.timeline.absent.get("family_rss_bytes", "")
    # The process alone may have stood higher between two samples of the family.
    return max(peak.value_bytes, together or 0), "sampled", reason
