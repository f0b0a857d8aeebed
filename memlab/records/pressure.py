"""What memory pressure did: a reading of memory against its ceiling, a run in a cage, and a post-mortem."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.heap_results import Holding, TypeDiff
from memlab.records.timeline import Timeline

__all__ = [
    "MemoryReading",
    "PostMortem",
    "PressureOutcome",
    "PressurePhase",
    "PressureRun",
]


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryReading:
    """The memory of one process against its real ceiling, at one moment. Sizes in bytes, times in seconds.

    Attributes:
        rss_bytes: resident memory of the process, shared pages included.
        uss_bytes: pages that only this process has: what would be freed if it ended.
        limit_bytes: the real ceiling: the least of cgroup limits, the process's own limits and physical
            memory. Swap is no part of it.
        available_bytes: what is left under the ceiling that would be met first. That need not be the lowest
            one: other processes use up the machine's memory too.
        stall_some_s: time in which some task waited for memory, since the kernel began to count.
        stall_full_s: time in which all of them did.
        stall_share: share of the time since the monitor's last reading in which some task waited, 0 to 1.
        ceilings: every ceiling that was found, by its source.
        sources: where each figure was read.
        absent: why a figure is None.
    """

    rss_bytes: int | None
    uss_bytes: int | None
    limit_bytes: int | None
    available_bytes: int | None
    stall_some_s: float | None
    stall_full_s: float | None
    stall_share: float | None
    ceilings: Mapping[str, int] = dataclasses.field(default_factory=dict)
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fraction(self) -> float | None:
        """How full it is, 0 to 1: the ceiling less what is left, over the ceiling; None where not known."""
        if not self.limit_bytes or self.available_bytes is None:
            return None
        return min(1.0, max(0.0, 1.0 - self.available_bytes / self.limit_bytes))


class PressureOutcome(enum.StrEnum):
    """How a run in a cage ended."""

    FINISHED = "finished"
    """Every phase ran, and nothing was refused or raised."""
    STOPPED = "stopped below the limit"
    """The next step would have passed the line that the scenario draws below its budget."""
    FAILED = "the subject failed"
    """Every phase ran, and calls of the subject raised."""
    OUT_OF_MEMORY = "out of memory"
    """The wall of the cage was met: an allocation was refused."""
    DEADLINE = "deadline"
    """It took longer than it was given, and was ended."""
    KILLED = "killed by the watchdog"
    """It passed its budget, or the machine fell under its reserve."""
    DIED = "died"
    """The process ended by itself or by somebody else's signal."""
    INTERRUPTED = "interrupted"
    """The caller was interrupted, and the cage was ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class PressurePhase:
    """One stretch of a scenario, and what the subject did in it.

    Attributes:
        name: as the scenario has it.
        start_s, end_s: seconds since the run began.
        target_bytes: ballast that was to stand at its end.
        ballast_bytes: ballast that stood at its end.
        peak_rss_bytes: greatest resident memory of the cage in it; None when no sample fell into it.
        calls: calls of the subject that ended in it; 0 without a subject.
        failures: those that raised.
        latency_p50_s, latency_p99_s, latency_max_s: of the calls that did not raise; None without any. Of
            more than 20,000 calls in a phase the quantiles are those of a uniform sample.
        hits, misses: lookups of a cache, or acquisitions of a pool; None for any other subject.
        evictions: entries that left the cache without having been deleted; None where it counts none.
        entries: entries that the cache, or objects that the pool, held at the end; None for any other.
    """

    name: str
    start_s: float
    end_s: float
    target_bytes: int
    ballast_bytes: int
    peak_rss_bytes: int | None = None
    calls: int = 0
    failures: int = 0
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    latency_max_s: float | None = None
    hits: int | None = None
    misses: int | None = None
    evictions: int | None = None
    entries: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise ValueError("phase: it must begin and end at finite times")

    @property
    def hit_rate(self) -> float | None:
        """Hits among lookups, 0 to 1; None without lookups."""
        if self.hits is None or self.misses is None or not self.hits + self.misses:
            return None
        return self.hits / (self.hits + self.misses)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PressureRun(Result):
    """What happened in a cage.

    Attributes:
        scenario: its name.
        subject: what was put under pressure, ``module:function`` or a type's name; empty for ballast alone.
        subject_kind: ``none``, ``step``, ``cache`` or ``pool``.
        outcome: how it ended; ``reason`` says it in a sentence.
        budget_bytes: what the cage might take in all, interpreter and subject included.
        base_rss_bytes: resident memory of the cage before the first step; None when it did not get so far.
        peak_rss_bytes: greatest resident memory of the cage, by the kernel's mark where ``peak_source`` says
            ``vmhwm``, else the greatest sample.
        end_rss_bytes: resident memory when all ballast had been released, the subject still there.
        timeline: sampled from outside the cage: ``rss_bytes``, and as the cage last told
            ``ballast_bytes`` and, where there is a subject, running totals: ``calls``, ``failures``,
            ``hits``, ``misses``, ``evictions``, ``entries`` (which is no total), ``busy_ns``.
        phases: one for each stretch that began.
        recovery_s: seconds from the release of the pressure until the subject's hit rate, or its median
            latency, was again within a tenth of that of the first phase; None with a reason in ``absent``.
        failures: exceptions of the subject by type, and how many of each.
        failure_points: allocations that were made to fail, by what became of the failure; empty when no
            injection was asked for.
        absent: why a figure is None.
        elapsed_s: from the start of the process to its end.
    """

    kind: ClassVar[str] = "pressure run"

    scenario: str
    subject: str
    subject_kind: str
    outcome: PressureOutcome
    reason: str
    budget_bytes: int
    timeline: Timeline
    phases: tuple[PressurePhase, ...] = ()
    base_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    peak_source: str = ""
    end_rss_bytes: int | None = None
    recovery_s: float | None = None
    failures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    failure_points: Mapping[str, int] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Calls of the subject in all phases."""
        return sum(phase.calls for phase in self.phases)

    @property
    def returned_share(self) -> float | None:
        """Share of the growth up to the peak that was given back by the end, 0 to 1; None where not known.

        Only of ballast alone: a subject keeps what it has made.
        """
        base, peak, end = self.base_rss_bytes, self.peak_rss_bytes, self.end_rss_bytes
        if self.subject or base is None or peak is None or end is None or peak <= base:
            return None
        return min(1.0, max(0.0, (peak - end) / (peak - base)))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PostMortem(Result):
    """What the out-of-memory guard saw, and what held the memory.

    Attributes:
        trigger: ``limit`` (the process passed the guard's limit), ``machine`` (what is left under the real
            ceiling fell under the guard's reserve) or ``death`` (the process ended without a word).
        reason: the same in a sentence, with its figures.
        limit_bytes: the guard's limit.
        rss_bytes: resident memory when the guard acted, or the last that was read of a process that died.
        peak_rss_bytes: greatest that was read.
        timeline: the last stretch before, read by the watcher from outside: ``rss_bytes`` and, where known,
            ``room_bytes``, what was left under the tightest ceiling.
        acted_s: when the interrupt was sent, on the timeline's clock; None when none was.
        holdings: what the notebook's names, or the greatest accumulation points, retained afterwards,
            greatest first.
        growth: types that grew most since the guard was switched on, by shallow size.
        absent: why a part is missing.
    """

    kind: ClassVar[str] = "post-mortem"

    trigger: str
    reason: str
    limit_bytes: int | None
    rss_bytes: int | None
    peak_rss_bytes: int | None
    timeline: Timeline
    acted_s: float | None = None
    holdings: tuple[Holding, ...] = ()
    growth: tuple[TypeDiff, ...] = ()
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
