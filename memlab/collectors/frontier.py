"""Find which old object holds which new ones: the frontier between what was there and what was made since.

Survivors of a step hang from something that was there before it: a registry, a cache, a callback list. Old
objects are asked for their referents in batches; those that refer to a new object are *holders*, and what
they refer to directly are *heads*. A breadth-first walk from all heads at once gives every new object to the
holder that reaches it first. New objects that no old object reaches hang from a running frame, or from
nothing that Python can see: they form groups without a holder. Only ``tp_traverse`` runs
(``gc.get_referents``), no user code; numbers leave here, objects only as samples for the search of names.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from memlab._base.safety import type_name
from memlab.collectors.census import native_size
from memlab.collectors.walk import askable

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Frontier", "Group", "find_frontier"]

_BATCH = 512
_SAMPLES = 6
_REACH_LIMIT = 50_000


@dataclasses.dataclass(slots=True)
class Group:
    """New objects under one holder. Lives only as long as the hunt: it refers to live objects.

    Attributes:
        holder: the old object, None when no old object refers to any of them.
        heads: how many new objects the holder refers to directly, by type name.
        counts: new objects under it, by type name, heads included.
        shallow: their shallow sizes in bytes, with untracked leaves that nothing else refers to.
        reach: new objects that one typical object of a type leads to, by type name.
        samples: a few objects of each type, oldest first.
        head_samples: a few heads.
    """

    holder: Any
    heads: Counter[str] = dataclasses.field(default_factory=Counter)
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    shallow: Counter[str] = dataclasses.field(default_factory=Counter)
    reach: dict[str, int] = dataclasses.field(default_factory=dict)
    samples: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    head_samples: list[Any] = dataclasses.field(default_factory=list)

    @property
    def objects(self) -> int:
        """New objects under this holder."""
        return self.counts.total()


@dataclasses.dataclass(slots=True)
class Frontier:
    """All groups, largest first, and the number of new objects in all."""

    groups: list[Group]
    fresh: int


def find_frontier(
    fresh: list[Any], old: list[Any], own: frozenset[int], preferred: Collection[int] = ()
) -> Frontier:
    """Group new objects by the old object that holds them.

    Args:
        fresh: objects made since the start and still alive.
        old: every other object that the collector tracks.
        own: addresses of memlab's own objects, which hold nothing of the user's.
        preferred: addresses of the objects that make the best samples: those whose allocation is known.
    """
    survivors = _Survivors(fresh, preferred)
    held = _outer_edges(old, survivors.index, own)
    owner, roots = _assign(len(fresh), survivors.edges, held)
    groups = survivors.collect(owner, roots, held)
    members: list[list[int]] = [[] for _ in groups]
    for number, place in enumerate(owner):
        members[place].append(number)
    for group, numbers in zip(groups, members, strict=True):
        survivors.sample(group, numbers)
    return Frontier(sorted(groups, key=lambda g: -g.objects), len(fresh))


class _TypeNames:
    """Type names by the type's address: asked for once a type, and no metaclass is consulted."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, obj: Any) -> str:
        cls = type(obj)
        name = self._known.get(id(cls))
        if name is None:
            name = self._known[id(cls)] = type_name(cls)
        return name


class _Survivors:
    """The new objects by number: what each refers to among the others, and its size with its own leaves."""

    def __init__(self, fresh: list[Any], preferred: Collection[int]) -> None:
        self.fresh = fresh
        self.preferred = preferred
        self.index = {id(obj): number for number, obj in enumerate(fresh)}
        self.edges: list[list[int]] = []
        self.sizes: list[int] = []
        self.names = _TypeNames()
        known = self.index.get
        for obj in fresh:
            size = native_size(obj)
            targets = []
            referents = gc.get_referents(*askable([obj]))
            for referent in referents:
                number = known(id(referent))
                if number is not None:
                    targets.append(number)
                # One reference from the object, one from the list, one from the loop, one from the call.
                elif sys.getrefcount(referent) <= 4 and not gc.is_tracked(referent):  # noqa: PLR2004
                    size += native_size(referent)
            self.edges.append(targets)
            self.sizes.append(size)

    def collect(
        self, owner: list[int], roots: list[tuple[Any, int]], held: list[tuple[Any, list[int]]]
    ) -> list[Group]:
        """Make the groups, and turn ``owner`` into their indexes.

        Groups without a holder are put together by the type of their head.
        """
        groups: list[Group] = []
        place: dict[int, int] = {}
        loose: dict[str, int] = {}
        for number, label in enumerate(owner):
            if label not in place:
                place[label] = self._place(groups, loose, *roots[label])
            owner[number] = place[label]
            name = self.names.of(self.fresh[number])
            group = groups[place[label]]
            group.counts[name] += 1
            group.shallow[name] += self.sizes[number]
        by_holder = {id(g.holder): g for g in groups if g.holder is not None}
        for obj, heads in held:
            found = by_holder.get(id(obj))
            if found is not None:
                found.heads.update(self.names.of(self.fresh[head]) for head in heads)
                found.head_samples = self._some(heads)
        return groups

    def sample(self, group: Group, numbers: list[int]) -> None:
        """Keep a few objects of each type, and count what one typical object of it leads to."""
        by_type: dict[str, list[int]] = {}
        for number in numbers:
            by_type.setdefault(self.names.of(self.fresh[number]), []).append(number)
        for name, members in by_type.items():
            group.samples[name] = self._some(members)
            if not name.startswith("builtins."):
                group.reach[name] = _reach(members[len(members) // 2], self.edges)

    def _place(self, groups: list[Group], loose: dict[str, int], holder: Any, head: int) -> int:
        """Return the index of the group of a holder, or of the heads of one type without a holder."""
        if holder is not None:
            groups.append(Group(holder))
            return len(groups) - 1
        kind = self.names.of(self.fresh[head])
        if kind not in loose:
            loose[kind] = len(groups)
            groups.append(Group(None))
        group = groups[loose[kind]]
        group.heads[kind] += 1
        if len(group.head_samples) < _SAMPLES:
            group.head_samples.append(self.fresh[head])
        return loose[kind]

    def _some(self, numbers: list[int]) -> list[Any]:
        """Return a few of the objects, those preferred if there are any."""
        best = [n for n in numbers if id(self.fresh[n]) in self.preferred] or numbers
        return [self.fresh[n] for n in _spaced(best)]


def _outer_edges(old: list[Any], index: dict[int, int], own: frozenset[int]) -> list[tuple[Any, list[int]]]:
    """Return the old objects that refer to new ones, with the numbers of these."""
    found = []
    fresh_ids = index.keys()
    for start in range(0, len(old), _BATCH):
        batch = askable(old[start : start + _BATCH])
        if fresh_ids.isdisjoint(map(id, gc.get_referents(*batch))):
            continue
        for obj in batch:
            if id(obj) in own:
                continue
            heads = [index[i] for i in map(id, gc.get_referents(obj)) if i in index]
            if heads:
                found.append((obj, heads))
    return found


def _assign(
    count: int, edges: list[list[int]], held: list[tuple[Any, list[int]]]
) -> tuple[list[int], list[tuple[Any, int]]]:
    """Give each new object to the group that reaches it first; return each group's holder and first head."""
    owner = [-1] * count
    roots: list[tuple[Any, int]] = []
    queue: deque[int] = deque()
    for obj, heads in sorted(held, key=lambda pair: -len(pair[1])):
        mine = [h for h in heads if owner[h] < 0]
        if mine:
            for head in mine:
                owner[head] = len(roots)
            roots.append((obj, mine[0]))
            queue.extend(mine)
    _spread(queue, owner, edges)
    # What is left hangs from frames or from outside Python: start from what nothing new refers to.
    inner = [False] * count
    for number, targets in enumerate(edges):
        if owner[number] < 0:
            for target in targets:
                inner[target] = True
    for only_heads in (True, False):
        for number in range(count - 1, -1, -1):
            if owner[number] < 0 and not (only_heads and inner[number]):
                owner[number] = len(roots)
                roots.append((None, number))
                queue.append(number)
                _spread(queue, owner, edges)
    return owner, roots


def _spread(queue: deque[int], owner: list[int], edges: list[list[int]]) -> None:
    while queue:
        number = queue.popleft()
        for target in edges[number]:
            if owner[target] < 0:
                owner[target] = owner[number]
                queue.append(target)


def _spaced(numbers: list[int]) -> list[int]:
    """Return a few of the numbers, from all along the list."""
    if len(numbers) <= _SAMPLES:
        return list(numbers)
    return [numbers[i * (len(numbers) - 1) // (_SAMPLES - 1)] for i in range(_SAMPLES)]


def _reach(start: int, edges: list[list[int]]) -> int:
    seen = {start}
    queue = deque(seen)
    while queue and len(seen) < _REACH_LIMIT:
        for target in edges[queue.popleft()]:
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return len(seen)
