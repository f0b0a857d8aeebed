"""Collections of the cyclic garbage collector, one row each, in the order in which they began."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths

__all__ = ["GcPauses"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GcPauses(Result):
    """What the collector did while somebody watched, column by column.

    A pause is the time from the collector's first callback to its last: the interpreter runs nothing else
    then, in any thread that needs the GIL. Not in it: what other callbacks of the program take, and the
    freeing of objects by their reference count.

    Attributes:
        start_s: when each collection began, in seconds on the axis of the capture (or since the watching
            began, where there is no capture), never decreasing.
        pause_s: how long each took, in seconds.
        generation: which generation was collected, 0 to 2.
        collected: objects that were freed.
        uncollectable: objects that were garbage and could not be freed.
        lasted_s: how long it was watched, in seconds; the share of pauses is of this.
        dropped: the oldest collections that no longer fit in the ring, and stand in no row.
        notes: what a reader must know to trust the figures.
    """

    kind: ClassVar[str] = "gc pauses"

    start_s: Floats
    pause_s: Floats
    generation: Ints
    collected: Ints
    uncollectable: Ints
    lasted_s: float = 0.0
    dropped: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths(
            "gc pauses",
            start_s=self.start_s,
            pause_s=self.pause_s,
            generation=self.generation,
            collected=self.collected,
            uncollectable=self.uncollectable,
        )
        if not (np.isfinite(self.start_s).all() and np.isfinite(self.pause_s).all()):
            raise ValueError("gc pauses: times must be finite")
        if bool((self.start_s[1:] < self.start_s[:-1]).any()) or bool((self.pause_s < 0).any()):
            raise ValueError("gc pauses: starts must never decrease, and no pause lies below 0")

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def total_s(self) -> float:
        """Sum of all pauses in seconds."""
        return float(self.pause_s.sum())

    @property
    def longest_s(self) -> float | None:
        """The longest pause in seconds, None when there was none."""
        return float(self.pause_s.max()) if len(self.pause_s) else None

    @property
    def share(self) -> float | None:
        """Pauses as a fraction of the time watched, None where that is not known."""
        return self.total_s / self.lasted_s if self.lasted_s > 0 else None
