"""Count objects by type while a program runs: one look at the collector's list, in one step of C.

A thread that held the list of all objects, however briefly, could be the last to hold one of them, and that
object's finalizer would then run in the wrong thread. So the list is made, asked for its types and dropped
within one call into C, between whose steps no other thread runs. What is kept are the types, and no object.
Costs grow with the number of objects (a million: 50 ms in that one step, 90 ms in all), so ``TypeWatch``
looks at most so often that it stays within its share of the time, and not at all where one look would take
too long.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import type_name
from memlab.collectors.census import addresses

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TypeGain", "TypeWatch", "count_types"]

_BLOCK_S = 90e-9
_LEAST_GAP_S = 2.0
_ROWS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class TypeGain:
    """Objects of one type now, and how many more than at the first look."""

    name: str
    objects: int
    gained: int


def count_types() -> tuple[list[type], list[int]]:
    """Return the types of all objects that the collector tracks, and how many there are of each.

    Not counted: what it does not track (numbers, strings, arrays, most tuples of them).

    Example:
        >>> kept = [[] for _ in range(1000)]
        >>> types, counts = count_types()
        >>> counts[types.index(list)] >= 1000
        True
    """
    types = list(map(type, itertools.chain.from_iterable(map(gc.get_objects, (None,)))))
    _, first, totals = np.unique(addresses(types), return_index=True, return_counts=True)
    return [types[at] for at in first.tolist()], totals.tolist()


class TypeWatch:
    """Which types gained most since the first look, within a share of the time.

    Args:
        share: of one processor, at most.
        longest_s: a look that takes longer is the last; where one is known to, there is none.
        clock: processor time of the calling thread, in seconds.
        count: what counts.
        blocks: how many blocks of memory the interpreter has given out, from which the first look's cost
            is guessed.

    Attributes:
        reason: why there are no more looks; empty while there are.
    """

    def __init__(
        self,
        share: float = 0.002,
        longest_s: float = 0.1,
        clock: Callable[[], float] = time.thread_time,
        count: Callable[[], tuple[list[type], list[int]]] = count_types,
        blocks: Callable[[], int] = sys.getallocatedblocks,
    ) -> None:
        self.reason = ""
        self._share = share
        self._longest_s = longest_s
        self._clock = clock
        self._count = count
        self._blocks = blocks
        self._next_s = 0.0
        self._base: dict[int, int] | None = None

    def look(self, now_s: float) -> tuple[TypeGain, ...] | None:
        """Return the types that gained most, or None when it is not time for a look.

        Args:
            now_s: the present, on any clock that the caller keeps to.
        """
        if self.reason or now_s < self._next_s:
            return None
        guessed = self._blocks() * _BLOCK_S
        if guessed > self._longest_s:
            self._end(guessed)
            return None
        began = self._clock()
        types, counts = self._count()
        now = {id(cls): count for cls, count in zip(types, counts, strict=True)}
        if self._base is None:
            self._base = now
        gains = [now[key] - self._base.get(key, 0) for key in now]
        order = sorted(range(len(gains)), key=lambda at: -gains[at])[: 2 * _ROWS]
        # Names are asked only for what is shown, while the types are held: an address alone may be reused.
        rows = (TypeGain(type_name(types[at]), counts[at], gains[at]) for at in order if gains[at] > 0)
        found = tuple(row for row in rows if not row.name.startswith("memlab."))[:_ROWS]
        took = self._clock() - began
        if took > self._longest_s:
            self._end(took)
        self._next_s = now_s + max(_LEAST_GAP_S, took / self._share)
        return found

    def _end(self, took_s: float) -> None:
        self.reason = (
            f"counting the objects takes about {took_s * 1000:.0f} ms, more than"
            f" {self._longest_s * 1000:.0f} ms, in which nothing else runs"
        )
