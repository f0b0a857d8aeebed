"""A breadth-first walk over the heap from chosen seeds, in level batches at C speed.

``gc.get_referents`` is asked for thousands of objects at once and everything between two calls is a C-level
pipeline over ids, so a million objects take about a second. The walk keeps the objects of each level and the
ids of all; a shortest path is then found backwards, level by level, by asking each level again which of its
objects refers to the one wanted. No recursion and no limit on depth. Only ``tp_traverse`` runs: nothing is
compared, hashed or iterated. Frozen objects (``gc.freeze``) are found like any other, since the collector's
lists are never read here.

While a walk lives it holds every object that it met: what another thread drops meanwhile is freed with it.
Memory: about 150 bytes at most for each object met, given back at the end.
"""

from __future__ import annotations

import gc
import sys
from itertools import filterfalse
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Walk", "array_type", "askable", "referents"]

# Small enough that other threads get their turn between two C calls, large enough to make calls cheap.
_BATCH = 4096


def askable(objects: Sequence[Any]) -> Sequence[Any]:
    """Return the objects that may be asked for their referents: all but one module of Python 3.12.

    The ``_asyncio`` module of 3.12 shows the dead iterators of its freelist. A reference to one brings it to
    life; when it goes, it enters the freelist a second time, and the next collection runs round the list for
    ever. Its namespace is walked in its stead, as every module's is.
    """
    module = sys.modules.get("_asyncio") if sys.version_info[:2] == (3, 12) else None
    return objects if module is None else [item for item in objects if item is not module]


def array_type() -> type | None:
    """Return numpy's array type if numpy is imported; without it there are no arrays to look into."""
    numpy = sys.modules.get("numpy")
    kind = vars(numpy).get("ndarray") if type(numpy) is type(sys) else None
    return kind if type(kind) is type else None


def referents(objects: Sequence[Any], array: type | None = None) -> list[Any]:
    """Return what the objects refer to, once for each reference.

    Code objects and arrays of objects have no ``tp_traverse``; their constants, elements and base are added
    by hand, arrays only when ``array`` is numpy's type. Subclasses of arrays are left alone: asking them for
    their elements may run their own code.
    """
    found = gc.get_referents(*askable(objects))
    # Types are told apart by id: a metaclass may define __hash__ and __eq__.
    kinds = set(map(id, map(type, objects)))
    if id(CodeType) in kinds:
        for code in objects:
            if type(code) is CodeType:
                found += (code.co_consts, code.co_names)
    if array is not None and id(array) in kinds:
        for item in objects:
            if type(item) is array:
                found += _array_referents(item)
    return found


def _array_referents(item: Any) -> list[Any]:
    if item.base is not None:
        return [item.base]
    return list(item.flat) if item.dtype.kind == "O" else []


class Walk:
    """Everything reachable from the seeds given so far, level by level.

    Args:
        targets: ids to look out for.
        blocked: ids that the walk never enters nor passes.
        limit: stop after this many objects; ``complete`` is then False.

    Attributes:
        levels: objects by distance; a new set of seeds starts a new level that has no parent level.
        seen: ids of all objects met, the blocked ones included.
        where: level of each target that was met and not blocked.
        hits: ``(level, first index)`` of each batch that refers to a target.
    """

    __slots__ = ("array", "complete", "hits", "levels", "limit", "seed_levels", "seen", "targets", "where")

    def __init__(self, targets: Iterable[int], blocked: Iterable[int], limit: int) -> None:
        self.targets = frozenset(targets)
        self.seen: set[int] = set(blocked)
        self.limit = limit
        self.levels: list[list[Any]] = []
        self.seed_levels: set[int] = set()
        self.where: dict[int, int] = {}
        self.hits: list[tuple[int, int]] = []
        self.complete = True
        self.array = array_type()

    def run(self, seeds: Iterable[Any], *, all_of_it: bool) -> None:
        """Walk from the seeds to what was not met before.

        Args:
            seeds: where to start; those met before are skipped.
            all_of_it: walk on when every target was met.
        """
        level = self._start(list(seeds))
        while level and self.complete and (all_of_it or len(self.where) < len(self.targets)):
            number = len(self.levels) - 1
            below: list[Any] = []
            for start in range(0, len(level), _BATCH):
                if self._enter(referents(level[start : start + _BATCH], self.array), below):
                    self.hits.append((number, start))
                if len(self.seen) > self.limit:
                    self.complete = False
                    break
            if below:
                self.levels.append(below)
            level = below

    def holders(self) -> list[tuple[Any, int]]:
        """Return each object met that refers to a target, and its level; nearest to the seeds first."""
        found: list[tuple[Any, int]] = []
        for level, start in self.hits:
            batch = self.levels[level][start : start + _BATCH]
            found += ((item, level) for item in batch if self._refers(item))
        return found

    def _refers(self, item: Any) -> bool:
        return not self.targets.isdisjoint(map(id, referents([item], self.array)))

    def paths(self, ends: Sequence[tuple[Any, int]]) -> list[list[Any] | None]:
        """Return for each ``(object, level)`` a shortest path: a seed first, the object last.

        None where a reference vanished while the walk ran. One pass over the levels serves all.
        """
        paths: list[list[Any] | None] = [[item] for item, _ in ends]
        starting: dict[int, list[int]] = {}
        for index, (_, level) in enumerate(ends):
            starting.setdefault(level, []).append(index)
        climbing: list[int] = []
        for level in range(max(starting, default=-1), -1, -1):
            climbing += starting.get(level, ())
            if level in self.seed_levels:
                climbing = []
            if not climbing:
                continue
            tips = {index: id(path[-1]) for index in climbing if (path := paths[index]) is not None}
            parents = self._parents(level - 1, set(tips.values()))
            for index, tip in tips.items():
                path = paths[index]
                if tip in parents and path is not None:
                    path.append(parents[tip])
                else:
                    paths[index] = None
            climbing = [index for index in climbing if paths[index] is not None]
        for path in paths:
            if path is not None:
                path.reverse()
        return paths

    def _parents(self, level: int, wanted: set[int]) -> dict[int, Any]:
        """Return for each wanted id the first object of the level that refers to it."""
        parents: dict[int, Any] = {}
        objects = self.levels[level]
        for start in range(0, len(objects), _BATCH):
            batch = objects[start : start + _BATCH]
            if not wanted.intersection(map(id, referents(batch, self.array))):
                continue
            for item in batch:
                for key in wanted.intersection(map(id, referents([item], self.array))):
                    parents[key] = item
                    wanted.discard(key)
            if not wanted:
                break
        return parents

    def _start(self, seeds: list[Any]) -> list[Any]:
        first: list[Any] = []
        self.seed_levels.add(len(self.levels))
        self._enter(seeds, first)
        self.levels.append(first)
        return first

    def _enter(self, objects: list[Any], level: list[Any]) -> bool:
        """Put the new ones on the level that comes next; tell whether a target is among them all."""
        found = dict(zip(map(id, objects), objects, strict=True))
        fresh = list(filterfalse(self.seen.__contains__, found))
        self.seen.update(fresh)
        level.extend(map(found.__getitem__, fresh))
        if found.keys().isdisjoint(self.targets):
            return False
        for key in self.targets.intersection(fresh):
            self.where[key] = len(self.levels)
        return True
