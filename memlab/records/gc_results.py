"""What is said of the collector: its figures, what an optimizer decided, and a recommended setting."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths

__all__ = ["GcAdvice", "GcDecision", "GcDecisions", "GcStats", "GcTrial"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GcStats(Result):
    """Figures of the collector over the time it was watched. Durations are seconds.

    A figure can also be had as ``stats["mean_pause"]``. Not in a pause: the freeing of objects by their
    reference count, and what other callbacks of the program take.

    Attributes:
        pause_s: each pause, shape ``(collections,)``; ``generation``: which generation it was, same shape.
        collected, uncollectable: objects that were freed, and garbage that could not be.
        lasted_s: how long the collector was watched.
        dropped: older collections that are in no column, because the ring was full.
    """

    kind: ClassVar[str] = "gc stats"

    pause_s: Floats
    generation: Ints
    collected: int
    uncollectable: int
    lasted_s: float
    dropped: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths("gc stats", pause_s=self.pause_s, generation=self.generation)
        if not np.isfinite(self.pause_s).all() or bool((self.pause_s < 0).any()):
            raise ValueError("gc stats: pauses must be finite and not below 0")

    @property
    def collections(self) -> int:
        """How often the collector ran."""
        return len(self.pause_s) + self.dropped

    @property
    def total_pause(self) -> float:
        """Seconds in all pauses that are kept."""
        return float(self.pause_s.sum())

    @property
    def mean_pause(self) -> float | None:
        """Mean pause in seconds; None when there was none."""
        return float(self.pause_s.mean()) if len(self.pause_s) else None

    @property
    def median_pause(self) -> float | None:
        """Median pause in seconds; None when there was none."""
        return float(np.median(self.pause_s)) if len(self.pause_s) else None

    @property
    def p99_pause(self) -> float | None:
        """The pause that 99 of 100 do not exceed, in seconds; None when there was none."""
        return float(np.percentile(self.pause_s, 99)) if len(self.pause_s) else None

    @property
    def max_pause(self) -> float | None:
        """The longest pause in seconds; None when there was none."""
        return float(self.pause_s.max()) if len(self.pause_s) else None

    @property
    def share(self) -> float | None:
        """Pauses as a share of the time watched; None where that is not known."""
        return self.total_pause / self.lasted_s if self.lasted_s > 0 else None

    @property
    def by_generation(self) -> dict[int, int]:
        """How many of the collections that are kept were of each generation."""
        return {g: int((self.generation == g).sum()) for g in range(3)}

    def __getitem__(self, name: str) -> object:
        """Return a figure by its name."""
        if name.startswith("_") or not hasattr(self, name):
            raise KeyError(name)
        return getattr(self, name)


@dataclasses.dataclass(frozen=True, slots=True)
class GcDecision:
    """One thing that an optimizer did, or left, and why.

    Attributes:
        time_s: seconds since it began.
        action: ``raise``, ``lower``, ``keep``, ``freeze``, ``collect`` or ``restore``.
        before, after: the collector's thresholds.
        reason: with the figures that it rests on.
    """

    time_s: float
    action: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GcDecisions(Result):
    """What an optimizer decided, in order. Iterates over, counts and indexes its decisions."""

    kind: ClassVar[str] = "gc decisions"

    decisions: tuple[GcDecision, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.decisions)

    def __iter__(self) -> Iterator[GcDecision]:
        return iter(self.decisions)

    def __getitem__(self, at: int) -> GcDecision:
        return self.decisions[at]


@dataclasses.dataclass(frozen=True, slots=True)
class GcTrial:
    """One setting of the collector, tried on the workload; one figure a round in each column.

    Attributes:
        name: what the setting does.
        code: the lines that make it.
        cpu_s: processor time of the workload, all threads.
        wall_s: time by the clock.
        pause_s: all pauses together; ``p99_s`` and ``max_s``: the 99th percentile and the longest. All by the
            clock: they are longer where the machine is busy.
        collections: how often the collector ran.
        peak_bytes: greatest RSS of the child process; 0 where the system does not tell.
    """

    name: str
    code: str
    cpu_s: tuple[float, ...]
    wall_s: tuple[float, ...]
    pause_s: tuple[float, ...]
    p99_s: tuple[float, ...]
    max_s: tuple[float, ...]
    collections: tuple[int, ...]
    peak_bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        columns = (
            self.cpu_s,
            self.wall_s,
            self.pause_s,
            self.p99_s,
            self.max_s,
            self.collections,
            self.peak_bytes,
        )
        if not self.cpu_s or len(set(map(len, columns))) != 1:
            raise ValueError("gc trial: each column has one figure for each round, and there is a round")
        if not all(math.isfinite(value) and value >= 0 for column in columns for value in column):
            raise ValueError("gc trial: figures must be finite and not below 0")

    def middle(self, column: str) -> float:
        """Return the median of a column over the rounds."""
        return float(np.median(getattr(self, column)))

    def spread(self, column: str) -> tuple[float, float]:
        """Return the least and the greatest figure of a column."""
        values = getattr(self, column)
        return float(min(values)), float(max(values))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GcAdvice(Result):
    """Settings of the collector tried on a workload in turn, and which of them to take.

    Attributes:
        workload: what was run.
        collector: which collector this interpreter has, in a sentence.
        trials: one for each setting; the first is the interpreter's own.
        recommended: name of the setting to take, empty when none helps enough.
        reason: why, with the figures.
        code: the lines to put into the program; empty for none.
        prefer: ``balanced``, ``pause`` or ``throughput``: what was to get better.
        most_memory: how much more peak memory was allowed, as a factor.
        environment: versions it was measured with.
    """

    kind: ClassVar[str] = "gc advice"

    workload: str
    collector: str
    trials: tuple[GcTrial, ...]
    recommended: str
    reason: str
    code: str = ""
    prefer: str = "balanced"
    most_memory: float = 1.25
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def helps(self) -> bool:
        """Whether a setting is recommended."""
        return bool(self.recommended)

    def trial(self, name: str) -> GcTrial | None:
        """Return the trial of a setting by its name, None when there is none."""
        return next((trial for trial in self.trials if trial.name == name), None)
