"""The passes in which one call is measured. They are never mixed: each would disturb the other's figures.

First some calls that are not measured: caches fill, code is specialised. Then a few calls counted by the
allocators' own counters, a few traced by tracemalloc (peak, and what is left), one or two for a snapshot near
the peak, one under the kernel's high-water mark, and last, with nothing running beside it, the timed samples
in turn with a reference loop. Before each counted or traced call the collector runs, so that free lists and
generations are in the same state each time: counts and bytes of the same code come out the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes
from memlab.collectors import gc_pauses
from memlab.collectors.alloc_counts import ABSENT, AllocationCount, counting_allocations
from memlab.collectors.alloc_counts import native as counters
from memlab.collectors.high_water import region
from memlab.collectors.probe import Probe
from memlab.collectors.tracing import Tracing
from memlab.errors import UnavailableError
from memlab.lab.peak_snapshot import snapshot_near_peak
from memlab.lab.reference_loops import interleaved
from memlab.records.benchmark import BenchmarkResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memlab.records.snapshot import Snapshot

__all__ = [
    "SinglePass",
    "exact_pass",
    "exact_result",
    "rss_pass",
    "single_pass",
    "snapshot_pass",
    "time_pass",
]

_EXACT_REPEATS = 5
_VARIES = 0.005
_LONG_S = 2.0
_DEPTH = 15
_SEEN = 0.8
_LEAST_RETAINED = 1024
_LEAST_COUNT = 2
_BUSY_TRACER = "tracemalloc was running already, and its peak is its owner's"


def exact_pass(
    call: Callable[[], object], name: str, *, place: str = "", repeats: int = _EXACT_REPEATS
) -> list[BenchmarkResult]:
    """Return peak and retained bytes, allocations and allocated bytes of a call.

    Args:
        call: what is measured; it has been called before, so that it is warm.
        name: the benchmark's.
        place: where it stands.
        repeats: how often each is measured; once where a call lasts longer than two seconds.
    """
    began = time.perf_counter()
    blocks, sizes, reason = _counted(call, 1)
    if time.perf_counter() - began < _LONG_S:
        more = _counted(call, repeats - 1)
        blocks, sizes = blocks + more[0], sizes + more[1]
        peaks, kept, why = _traced(call, repeats)
    else:
        peaks, kept, why = _traced(call, 1)
    return [
        exact_result(f"{name}:peak_bytes", peaks, "bytes", place=place, note=why),
        exact_result(
            f"{name}:retained_bytes", kept, "bytes", place=place, note=why, least=_LEAST_RETAINED
        ),
        exact_result(f"{name}:allocations", blocks, "count", place=place, note=reason, least=_LEAST_COUNT),
        exact_result(f"{name}:allocated_bytes", sizes, "bytes", place=place, note=reason),
    ]  # fmt: skip


def exact_result(
    name: str, samples: list[int], unit: str, *, place: str = "", note: str = "", least: float = 0.0
) -> BenchmarkResult:
    """Return a result of bytes or counts: the least of its samples; exact when all of them agree.

    >>> exact_result("load:peak_bytes", [1000, 1001, 1000], "bytes").exact
    True
    """
    if not samples:
        return BenchmarkResult(name, None, unit, exact=True, place=place, note=note or "it was not measured")
    value = min(samples)
    exact = max(samples) - value <= max(_VARIES * abs(value), least)
    return BenchmarkResult(
        name,
        float(value),
        unit,
        exact=exact,
        samples=tuple(map(float, samples)),
        least=least,
        place=place,
        note="" if exact else "it varied from call to call, so it is judged like a time",
    )


def time_pass(
    call: Callable[[], object],
    name: str,
    *,
    loop: str = "containers/1",
    repeats: int = 10,
    clock: str = "cpu",
    process: int = 0,
    place: str = "",
) -> list[BenchmarkResult]:
    """Return the time of a call, and which part of it was the collector's.

    Args:
        call: what is measured, warm.
        name: the benchmark's.
        loop: the reference loop.
        repeats: samples.
        clock: ``cpu``, processor time of the process, or ``wall``.
        process: number of this process among those that measure.
        place: where it stands.
    """
    read = time.process_time if clock == "cpu" else time.perf_counter
    timed = interleaved(call, loop, clock=read)
    samples, reference = [], []
    for _ in range(repeats):
        gc.collect()
        value, beside = timed.sample()
        samples.append(value)
        reference.append(beside)
    shares = [_gc_share(call, timed.number) for _ in range(min(repeats, 3))]
    processes = (process,) * repeats
    seconds = statistics.median(samples)
    return [
        BenchmarkResult(
            f"{name}:time_s",
            seconds,
            "seconds",
            samples=tuple(samples),
            reference=tuple(reference) if all(reference) else (),
            process=processes,
            loop=loop if all(reference) else "",
            place=place,
            note="" if clock == "cpu" else "by the clock on the wall",
        ),
        BenchmarkResult(
            f"{name}:gc_share",
            sorted(shares)[len(shares) // 2],
            "ratio",
            samples=tuple(shares),
            process=(process,) * len(shares),
            gated=False,
            place=place,
        ),
    ]


def rss_pass(call: Callable[[], object], name: str, *, place: str = "") -> BenchmarkResult:
    """Return how far resident memory rose in one call: native memory is in it, and it is no exact figure."""
    gc.collect()
    with Probe() as probe:
        before = probe.value("rss_bytes")
    with region() as seen:
        call()
    peak = seen.peak
    label = f"{name}:rss_rise_bytes"
    if before is None or peak is None:
        return BenchmarkResult(
            label, None, "bytes", gated=False, place=place, note=seen.reason or "resident memory is not known"
        )
    rise = float(max(0, peak.value_bytes - before))
    return BenchmarkResult(
        label, rise, "bytes", samples=(rise,), gated=False, place=place, note=f"source: {peak.source}"
    )


def snapshot_pass(call: Callable[[], object], label: str, peak_bytes: float | None = None) -> Snapshot | None:
    """Return what is alive near the peak of a call; None where it cannot be traced.

    Args:
        call: what is looked at.
        label: the snapshot's.
        peak_bytes: the peak as it was measured; a snapshot far below it says so in its notes.
    """
    try:
        with Tracing(_DEPTH) as trace:
            taken = snapshot_near_peak(call, trace, label)
    except UnavailableError:
        return None
    if peak_bytes is not None and taken.total_bytes < _SEEN * peak_bytes:
        note = (
            f"the peak, {format_bytes(peak_bytes)}, lay inside a call of C code, where nobody can look: this "
            "is the highest moment between two lines"
        )
        return dataclasses.replace(taken, notes=(*taken.notes, note))
    return taken


def _counted(call: Callable[[], object], repeats: int) -> tuple[list[int], list[int], str]:
    if counters is None:
        return [], [], ABSENT
    blocks, sizes = [], []
    for _ in range(repeats):
        gc.collect()
        with counting_allocations() as count:
            call()
        assert count.blocks is not None
        assert count.size_bytes is not None
        blocks.append(count.blocks)
        sizes.append(count.size_bytes)
    return blocks, sizes, ""


def _traced(call: Callable[[], object], repeats: int) -> tuple[list[int], list[int], str]:
    if tracemalloc.is_tracing():
        return [], [], _BUSY_TRACER
    peaks, kept = [], []
    try:
        with Tracing(1):
            call()  # what tracing itself sets up
            for _ in range(repeats):
                gc.collect()
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                call()
                peak = tracemalloc.get_traced_memory()[1]
                gc.collect()
                after = tracemalloc.get_traced_memory()[0]
                peaks.append(peak - before)
                kept.append(after - before)
    except UnavailableError as error:
        return [], [], str(error)
    return peaks, kept, ""


def _gc_share(call: Callable[[], object], number: int) -> float:
    with contextlib.closing(gc_pauses.subscribe()) as pauses:
        began = time.perf_counter()
        for _ in range(number):
            call()
        lasted = time.perf_counter() - began
        return min(1.0, pauses.read().total_s / lasted) if lasted > 0 else 0.0


class SinglePass:
    """Code that runs once and only once, such as a test: its peak and its allocations in the same run.

    Attributes:
        results: ``peak_bytes``, ``allocations``, ``allocated_bytes`` and ``retained_bytes``, after ``stop``.
    """

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.place = place
        self.results: list[BenchmarkResult] = []
        self._ways = contextlib.ExitStack()
        self._tracing: Tracing | None = None
        self._count: AllocationCount | None = None
        self._before = 0

    def start(self) -> None:
        """Begin. A tracer that runs already is left alone: its peak is its owner's."""
        gc.collect()
        if not tracemalloc.is_tracing():
            with contextlib.suppress(UnavailableError):
                self._tracing = self._ways.enter_context(Tracing(1))
                tracemalloc.reset_peak()
                self._before = tracemalloc.get_traced_memory()[0]
        with contextlib.suppress(UnavailableError):
            self._count = self._ways.enter_context(counting_allocations())

    def stop(self) -> None:
        """End; does nothing the second time."""
        if self.results:
            return
        now, peak = tracemalloc.get_traced_memory() if self._tracing is not None else (0, 0)
        self._ways.close()
        traced = self._tracing is not None and not self._tracing.interrupted
        why = "" if traced else _BUSY_TRACER
        blocks = self._count.blocks if self._count is not None else None
        size = self._count.size_bytes if self._count is not None else None
        figures = (
            ("peak_bytes", max(0, peak - self._before) if traced else None, "bytes", why),
            ("retained_bytes", now - self._before if traced else None, "bytes", why),
            ("allocations", blocks, "count", ABSENT),
            ("allocated_bytes", size, "bytes", ABSENT),
        )
        self.results = [
            exact_result(
                f"{self.name}:{metric}", [] if value is None else [value], unit, place=self.place, note=note
            )
            for metric, value, unit, note in figures
        ]


@contextlib.contextmanager
def single_pass(name: str, *, place: str = "") -> Iterator[SinglePass]:
    """Measure a block that runs once.

    Args:
        name: what it is called in the results.
        place: where it stands.

    Example:
        >>> with single_pass("block") as taken:
        ...     kept = bytes(1_000_000)
        >>> 1_000_000 <= taken.results[0].value < 1_010_000
        True
    """
    taken = SinglePass(name, place)
    taken.start()
    try:
        yield taken
    finally:
        taken.stop()
