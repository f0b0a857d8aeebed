"""What holds an object that no root reaches: a cycle that waits for the collector, or what is not Python.

The collector's list, less all that the walk met, is the *island*. References within it are counted and set
against each object's reference count. Whoever has more references than the island shows is held from outside
Python (C code that keeps a reference without traversing it, or a value on some thread's evaluation stack),
and the chain starts there. Where every count is explained from within, nothing but the collector's next run
stands between the object and its end.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections import deque
from itertools import chain, filterfalse
from types import CellType
from typing import TYPE_CHECKING, Any, Self

from memlab.collectors.walk import Walk, referents
from memlab.records.chain import RootKind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

__all__ = ["Finding", "Island", "external_counts"]

IMMORTAL = 500_000_000
"""Counts from here on stand for objects that the interpreter never frees, whoever refers to them."""


def external_counts(objects: list[Any]) -> list[int]:
    """Return the reference count of each object, less that of the list and those of the count itself."""
    (own,) = map(sys.getrefcount, [object()])
    return [count - own for count in map(sys.getrefcount, objects)]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """Why an object lives that no root reaches. Lives only as long as a search.

    Attributes:
        kind: OUTSIDE or GARBAGE; None when only the references that were accounted for hold it.
        path: from what is held outside, or from a part of the garbage, to the object.
        of_itself: everything in the island that leads to the object is reached from it in turn.
        holders: references to the object from the island.
    """

    kind: RootKind | None
    path: list[Any]
    of_itself: bool
    holders: int


class Island:
    """The objects that no root reaches; to be used in a ``with`` block.

    No function here that holds a target has an inner function or comprehension over it: the cell in
    between would be one more holder.

    Args:
        walk: all that the roots reach; it is carried on over the island.
        targets: the objects asked about.
        accounted: references that are known to come from memlab, from its caller's variables or from what
            the caller wants to be passed over, by the id of what they refer to.
        avoid: ids of objects that are no explanation.

    Attributes:
        complete: False when the walk's limit ended the search; what is found then proves nothing.
    """

    def __init__(self, walk: Walk, targets: list[Any], accounted: Counter[int], avoid: Iterable[int]) -> None:
        self.accounted = accounted
        avoided = set(avoid)
        known = len(walk.levels)
        tracked = gc.get_objects()
        ours = (tracked, walk, walk.levels, walk.seen, targets, *walk.levels)
        walk.seen.update(map(id, ours))
        for item in tracked:
            if id(item) in avoided:
                accounted.update(map(id, referents([item], walk.array)))
            elif type(item) is Walk:  # another thread's search
                walk.seen.update((id(item), id(item.levels), id(item.seen), *map(id, item.levels)))
        walk.seen.difference_update(map(id, targets))
        walk.run(chain(targets, tracked), all_of_it=True)
        del tracked, ours
        self.nodes: list[Any] = list(chain.from_iterable(walk.levels[known:]))
        del walk.levels[known:]
        self.complete = walk.complete
        self.index = dict(zip(map(id, self.nodes), range(len(self.nodes)), strict=True))
        self.references: list[list[int]] = []
        self.referrers: list[list[int]] = [[] for _ in self.nodes]
        self._connect(walk.array)
        self.counts = external_counts(self.nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Among all that the collector tracks are objects of this very search: left alone, the list of them
        # would be part of a cycle.
        self.nodes.clear()

    def _connect(self, array: type | None) -> None:
        number_of = self.index.get
        for number, item in enumerate(self.nodes):
            inside = []
            for key in map(id, referents([item], array)):
                held = number_of(key)
                if held is not None:
                    inside.append(held)
                    self.referrers[held].append(number)
            self.references.append(inside)

    def find(self, target: Any, refcount: int, cells: int = 0) -> Finding:
        """Explain one of the targets.

        Args:
            target: the object.
            refcount: its count before memlab took references of its own.
            cells: how many cells that hold it are variables of the caller, and so no explanation.
        """
        start = self.index[id(target)]
        seen = len(self.referrers[start])
        if refcount > seen + self.accounted[id(target)]:
            return Finding(RootKind.OUTSIDE, [target], of_itself=False, holders=seen)
        holders = self.referrers[start]
        variables = self._cells_outside(holders)[:cells]
        self.referrers[start] = holders = sorted(set(holders).difference(variables))
        seen -= len(variables)
        toward: dict[int, int] = {}
        back: int | None = None  # where the shortest cycle through the target closes
        waiting = deque([start])
        while waiting:
            number = waiting.popleft()
            for holder in self.referrers[number]:
                if holder == start:
                    back = number if back is None else back
                elif holder not in toward:
                    toward[holder] = number
                    waiting.append(holder)
                    if self._excess(holder) > 0:
                        return Finding(
                            RootKind.OUTSIDE, self._path(holder, toward), of_itself=False, holders=seen
                        )
        if not seen:
            return Finding(None, [], of_itself=True, holders=0)
        below = self._reached_from(start)
        above = next(filterfalse(below.__contains__, toward), None)
        if above is not None:
            return Finding(RootKind.GARBAGE, self._path(above, toward), of_itself=False, holders=seen)
        cycle = [target, *self._path(back, toward)] if back not in (None, start) else [target, target]
        return Finding(RootKind.GARBAGE, cycle, of_itself=True, holders=seen)

    def _cells_outside(self, numbers: list[int]) -> list[int]:
        return [n for n in numbers if type(self.nodes[n]) is CellType and self._excess(n) > 0]

    def _excess(self, number: int) -> int:
        known = len(self.referrers[number]) + self.accounted[id(self.nodes[number])]
        return self.counts[number] - known

    def _path(self, number: int, toward: dict[int, int]) -> list[Any]:
        path = [self.nodes[number]]
        while number in toward:
            number = toward[number]
            path.append(self.nodes[number])
        return path

    def _reached_from(self, start: int) -> set[int]:
        reached = {start}
        waiting = [start]
        while waiting:
            for held in self.references[waiting.pop()]:
                if held not in reached:
                    reached.add(held)
                    waiting.append(held)
        return reached
