"""The first pass of a hunt: run the step with nothing switched on, and read the process between rounds.

A round is one or more calls of the step; after it the collector runs and figures are read: resident memory,
what malloc has handed out and what it holds free, blocks of Python's small-object allocator, objects that the
collector tracks. The readings go into
columns made beforehand, so that reading adds nothing to what is read. How long a round must be is not
known in advance: when the columns are full every second reading is dropped and rounds become twice as long,
so a step of a microsecond and one of a second both end with 64 to 128 readings over the time they are given.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from typing import TYPE_CHECKING

import numpy as np

from memlab.collectors.allocator import malloc_state
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.lab.steps import Step

__all__ = ["BarePass", "Stop"]

ROWS = 128
MOST_OBJECTS = 400_000
"""New objects after which growth is plain and more of it only costs time."""

_PART = 64
"""Calls, or parts of a round, between two looks at the memory that the step eats."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """When the pass ends.

    Attributes:
        least_rounds: readings before time may end it.
        until: value of the clock at which it ends.
        iterations: calls after which it ends, None for no such limit.
        growth_bytes: resident growth at which it ends whatever else: the step must not eat the machine.
    """

    least_rounds: int
    until: float
    iterations: int | None
    growth_bytes: int


class BarePass:
    """Rounds of the step, and a reading after each.

    Args:
        step: what to run.
        read_rss: resident memory in bytes, None where it cannot be read.
        clock: monotonic seconds.
        per_round: calls in the first rounds.
        adapt: whether rounds may become longer.
    """

    def __init__(
        self,
        step: Step,
        read_rss: Callable[[], int | None],
        clock: Callable[[], float],
        per_round: int = 1,
        adapt: bool = True,
    ) -> None:
        self.step = step
        self.per_round = per_round
        self.rounds = 0
        self.stopped_by_growth = False
        self.stopped_by_objects = False
        self._adapt = adapt
        self._read_rss = read_rss
        self._clock = clock
        self._began = clock()
        rows = ROWS if adapt else 4 * ROWS
        self._iteration = np.zeros(rows, dtype=np.int64)
        self._time = np.zeros(rows, dtype=np.float64)
        self._rss = np.zeros(rows, dtype=np.int64)
        self._blocks = np.zeros(rows, dtype=np.int64)
        self._objects = np.zeros(rows, dtype=np.int64)
        self._malloc = np.zeros(rows, dtype=np.int64)
        self._free = np.zeros(rows, dtype=np.int64)
        self.has_rss = True
        self.has_malloc = True

    def run(self, stop: Stop, progress: Callable[[float], None]) -> None:
        """Run rounds until ``stop`` says so; may be called again to go on."""
        began = self._clock()
        while not self._ended(stop):
            if self.rounds == len(self._iteration):
                self._thin()
            self._read(self._run_round(stop))
            progress((self._clock() - began) / max(stop.until - began, 1e-9))

    @property
    def objects(self) -> int:
        """Objects that the last reading found more than the first."""
        return int(self._objects[self.rounds - 1] - self._objects[0]) if self.rounds else 0

    def series(self, started_at: str) -> Timeline:
        """Return the readings so far."""
        kept = slice(0, self.rounds)
        metrics = {
            "iteration": ints(self._iteration[kept]),
            "allocated_blocks": ints(self._blocks[kept]),
            "tracked_objects": ints(self._objects[kept]),
        }
        sources = {
            "iteration": "calls of the step",
            "allocated_blocks": "sys.getallocatedblocks",
            "tracked_objects": "gc.get_objects, those made since the start",
        }
        absent = {}
        if self.has_malloc:
            metrics["malloc_bytes"] = ints(self._malloc[kept])
            metrics["malloc_free_bytes"] = ints(self._free[kept])
            sources["malloc_bytes"] = sources["malloc_free_bytes"] = "mallinfo2"
        else:
            absent["malloc_bytes"] = "this system's C library does not tell what malloc has handed out"
        if self.has_rss:
            metrics["rss_bytes"] = ints(self._rss[kept])
            sources["rss_bytes"] = "resident memory of the process"
        else:
            absent["rss_bytes"] = "this platform does not tell a process its resident memory"
        return Timeline(floats(self._time[kept]), metrics, sources, absent, started_at)

    def free_rate(self) -> float | None:
        """Return by how many bytes an iteration what malloc holds free rose; None where unknown."""
        first = self.rounds // 4
        span = int(self._iteration[self.rounds - 1] - self._iteration[first]) if self.rounds else 0
        if not self.has_malloc or span <= 0:
            return None
        return float(self._free[self.rounds - 1] - self._free[first]) / span

    def _ended(self, stop: Stop) -> bool:
        if self.rounds and self._grown(stop):
            self.stopped_by_growth = True
            return True
        if stop.iterations is not None:
            done = int(self._iteration[self.rounds - 1]) if self.rounds else 0
            return done >= stop.iterations
        if self.rounds < stop.least_rounds:
            return False
        return self._clock() >= stop.until

    def _run_round(self, stop: Stop) -> int:
        """Run a round, and return its calls: fewer when the step suddenly eats the machine."""
        left = self.per_round
        part = max(_PART, self.per_round // _PART)
        before = self.step.calls
        while left:
            calls = min(left, part)
            self.step.run(calls)
            left -= calls
            if left and self.rounds and self.has_rss:
                now = self._read_rss()
                if now is not None and now - int(self._rss[0]) > stop.growth_bytes:
                    break
        return self.step.calls - before  # a program that runs by itself may have done more

    def _grown(self, stop: Stop) -> bool:
        """Tell whether the step has left so much behind that the next rounds would only cost."""
        last = self.rounds - 1
        if self.has_rss and int(self._rss[last] - self._rss[0]) > stop.growth_bytes:
            return True
        if self.rounds >= ROWS // 2 and int(self._objects[last] - self._objects[0]) > MOST_OBJECTS:
            self.stopped_by_objects = True
            return True
        return False

    def _read(self, calls: int) -> None:
        gc.collect()
        row = self.rounds
        rss = self._read_rss()
        self._blocks[row] = sys.getallocatedblocks()
        state = malloc_state()
        if state is None:
            self.has_malloc = False
        else:
            self._malloc[row], self._free[row] = state
        del state
        if rss is None:
            self.has_rss = False
        else:
            self._rss[row] = rss
        self._objects[row] = len(gc.get_objects())
        previous = self._iteration[row - 1] if row else 0
        self._iteration[row] = previous + calls
        self._time[row] = self._clock() - self._began
        self.rounds = row + 1

    def _thin(self) -> None:
        """Keep every second reading, the newest among them, and make rounds twice as long."""
        half = self.rounds // 2
        columns = (self._iteration, self._time, self._rss, self._blocks, self._objects)
        for column in (*columns, self._malloc, self._free):
            column[:half] = column[1 : 2 * half : 2].copy()
        self.rounds = half
        self.per_round *= 2
