"""Who holds an object: ``why`` for one, ``find_chains`` for many.

Forwards, not backwards: a breadth-first walk from named roots meets the object's holders and the shortest
way to each; only then are the references of the few chains to be shown given names. The walk goes first
from the roots that last (modules, threads, the notebook), then from running frames. An object that is not
reached is looked for among what no root reaches (``islands``): it is garbage in a cycle, or something
outside Python holds it. No user code is run, nothing is collected, and the result refers to no object.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections import Counter
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

from memlab._base.paths import PathLabels
from memlab._base.safety import instance_type_name
from memlab.collectors.chains import ChainWriter
from memlab.collectors.edges import own_namespace
from memlab.collectors.explanation import Evidence, immortal_verdict, summarise
from memlab.collectors.frames import RunningFrame, running_frames
from memlab.collectors.islands import Finding, Island, external_counts
from memlab.collectors.notebook import Bookkeeping
from memlab.collectors.roots import (
    Caller,
    Root,
    count_is,
    durable_roots,
    find_caller,
    own_slots,
    running_roots,
)
from memlab.collectors.walk import Walk, referents
from memlab.errors import UnavailableError, UsageError
from memlab.records.chain import Explanation, ReferenceChain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["MOST_OBJECTS", "find_chains", "why"]

MOST_OBJECTS = 5_000_000
_SPARE = 8  # holders followed beyond the chains asked for: some are the same place under two names


def why(
    obj: object,
    *,
    chains: int = 3,
    max_objects: int = MOST_OBJECTS,
    reveal_keys: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Explanation:
    """Explain why an object is still alive: the chains of references that hold it, and what frees it.

    The caller's own variables that hold the object are named in the verdict and are no chain. References
    from C code that the collector is not told about, and values in use on a thread's evaluation stack, can
    not be seen; an object held only so is said to be held outside Python. Weak references hold nothing and
    are not reported. Takes about a second for a million objects, and about 150 bytes of memory for each
    while it runs.

    Args:
        obj: the object.
        chains: show at most so many, shortest first.
        max_objects: stop the search after so many objects; the result's ``complete`` is then False.
        reveal_keys: show mapping keys that are plain strings or integers. By default ``[value]`` stands for
            them, since they may be data.
        aliases: labels for code files, e.g. a notebook cell's temporary file.

    Raises:
        UsageError: when ``chains`` or ``max_objects`` is no positive whole number.
        UnavailableError: on a free-threaded interpreter while other threads run.

    >>> from memlab.testing import known_leak
    >>> with known_leak(1) as leak:
    ...     print(why(leak[0]).chains[0])
    module memlab.testing -> ._leaked (list) -> [0] list -> [0] Leaked
    """
    refcount = sys.getrefcount(obj) - 2  # our parameter, and getrefcount's
    _check(max_objects=max_objects, chains=chains)
    fixed = immortal_verdict(obj, refcount)
    if fixed is not None:
        return Explanation(instance_type_name(obj), (), fixed)
    search = _Search(aliases, reveal_keys=reveal_keys)
    refcount -= count_is(own_slots(search.frames), obj)
    return search.explain(obj, refcount, chains, max_objects)


def find_chains(
    targets: Sequence[object],
    *,
    avoid: Collection[int] = (),
    aliases: Mapping[str, str] | None = None,
    max_objects: int = MOST_OBJECTS,
    reveal_keys: bool = False,
) -> list[ReferenceChain | None]:
    """Find a shortest chain to each of many objects in one walk.

    Args:
        targets: the objects.
        avoid: ids of containers, frames or other objects that are no explanation and are not passed, e.g.
            the lists in which the caller keeps the targets. ``targets`` itself is always passed over.
        aliases: labels for code files.
        max_objects: stop the search after so many objects.
        reveal_keys: show mapping keys that are plain strings or integers.

    Returns:
        One chain for each target, in order. None where nothing but what was to be avoided and memlab's own
        variables holds it, or where the search ended first.

    Raises:
        UsageError: when ``max_objects`` is no positive whole number.
        UnavailableError: on a free-threaded interpreter while other threads run.
    """
    _check(max_objects=max_objects, chains=1)
    wanted = list(targets)
    counts = [count - 1 for count in external_counts(wanted)]  # less the caller's sequence
    search = _Search(aliases, reveal_keys=reveal_keys)
    ours = {id(targets), id(wanted)}  # their references are left out of the counts already
    return search.chains_to(wanted, counts, frozenset(avoid) - ours, ours, max_objects)


class _Search:
    """One search: the frames as they stand, and how to write down what is found."""

    def __init__(self, aliases: Mapping[str, str] | None, *, reveal_keys: bool) -> None:
        # Less this frame and that of ``why`` or ``find_chains``: to hold a frame in which this search is a
        # local variable would make a cycle, which keeps all that the search holds until a collection.
        self.frames: list[RunningFrame] = running_frames()[2:]
        self.book = Bookkeeping()
        self.writer = ChainWriter(PathLabels(aliases), self.book, reveal_keys=reveal_keys)

    def explain(self, obj: object, refcount: int, most: int, limit: int) -> Explanation:
        """Find what holds one object, its caller's variables apart."""
        caller = self._caller(obj)
        walk = Walk([id(obj)], [id(obj)], limit)
        roots = self._walk(walk, caller, obj, ())
        holders = walk.holders()
        slots = _slots(roots, obj)
        evidence = Evidence(
            type_name=instance_type_name(obj),
            refcount=refcount,
            variables=caller.names,
            seen=_references(holders, obj, walk.array) + len(slots),
            searched=len(walk.seen) - 1,
            complete=walk.complete,
        )
        if caller.namespace is None:
            evidence.seen += len(caller.names)
        found = self._from_slots(slots, obj)
        paths = walk.paths(holders[: most + _SPARE])
        found += self._from_holders(roots, paths, obj, caller)
        if len(found) == 1 and most > 1 and paths and paths[0] is not None and len(paths[0]) > 1:
            found += self._other_ways(_pivot([*paths[0], obj]), most, limit)
        if not found and walk.complete:
            with Island(walk, [obj], Counter({id(obj): len(caller.names) - caller.cells}), ()) as island:
                evidence.complete = island.complete
                if island.complete:
                    evidence.finding = island.find(obj, refcount, caller.cells)
                    evidence.seen += evidence.finding.holders
                    found += self._unrooted(evidence.finding)
        return summarise(evidence, found, most)

    def chains_to(
        self, wanted: list[Any], counts: list[int], avoid: frozenset[int], ours: set[int], limit: int
    ) -> list[ReferenceChain | None]:
        """Find one chain to each object."""
        walk = Walk(map(id, wanted), avoid | ours, limit)
        roots = self._walk(walk, Caller(None), None, avoid)
        first = _by_held(roots)
        found = [index for index, obj in enumerate(wanted) if id(obj) in walk.where]
        chains: list[ReferenceChain | None] = [None] * len(wanted)
        paths = walk.paths([(wanted[index], walk.where[id(wanted[index])]) for index in found])
        for index, path in zip(found, paths, strict=True):
            if path is not None and id(path[0]) in first:
                chains[index] = self.writer.write(first[id(path[0])], path)[0]
        del paths
        missing = sorted({*range(len(wanted))}.difference(found))
        if missing and walk.complete:
            accounted = Counter(map(id, own_slots(self.frames)))
            with Island(walk, wanted, accounted, avoid) as island:
                for index in missing if island.complete else ():
                    unrooted = self._unrooted(island.find(wanted[index], counts[index]))
                    chains[index] = unrooted[0] if unrooted else None
        return chains

    def _walk(self, walk: Walk, caller: Caller, obj: object, avoid: Collection[int]) -> list[Root]:
        """Walk from the roots that last, then from running frames; return all of them."""
        everything = obj is not None
        lasting = durable_roots()
        walk.run([root.held for root in lasting], all_of_it=everything)
        if not everything and len(walk.where) == len(walk.targets):
            return lasting
        running = running_roots(self.frames, caller, obj, avoid)
        walk.run([root.held for root in running], all_of_it=everything)
        return lasting + running

    def _caller(self, obj: object) -> Caller:
        caller = find_caller(self.frames, obj)
        names = [n for n in caller.names if self.book.kind_of(caller.namespace, n) is None]
        return dataclasses.replace(caller, names=tuple(names))

    def _from_slots(self, slots: list[Root], obj: object) -> list[ReferenceChain]:
        found = []
        for root in slots:
            found += self.writer.write(root, [obj])
        return found

    def _from_holders(
        self, roots: list[Root], paths: list[list[Any] | None], obj: object, caller: Caller
    ) -> list[ReferenceChain]:
        first = _by_held(roots)
        found = []
        for path in paths:
            if path is None or id(path[0]) not in first:
                continue  # the reference vanished while the search ran
            own = caller.names if path[-1] is caller.namespace else ()
            if own and len(path) > 1:
                continue
            found += self.writer.write(first[id(path[0])], [*path, obj], skip=own)
        return found

    def _other_ways(self, end: list[Any], most: int, limit: int) -> list[ReferenceChain]:
        """Return the chains to an object's only holder.

        A list that a registry owns may also be in a variable; the shortest chain alone would show one.

        Args:
            end: the last part of the path: from the holder to the object.
            most: how many chains are wanted.
            limit: objects to be searched at most.
        """
        walk = Walk([id(end[0])], map(id, end), limit)
        roots = self._walk(walk, Caller(None), end[0], ())
        first = _by_held(roots)
        heads = self._from_slots(_slots(roots, end[0]), end[0])
        for path in walk.paths(walk.holders()[:most]):
            if path is not None and id(path[0]) in first:
                heads += self.writer.write(first[id(path[0])], [*path, end[0]])
        return [self.writer.extend(head, end) for head in heads[:most]]

    def _unrooted(self, finding: Finding) -> list[ReferenceChain]:
        return [] if finding.kind is None else [self.writer.write_unrooted(finding.kind, finding.path)]


def _by_held(roots: list[Root]) -> dict[int, Root]:
    """Return the roots by the id of what they hold; the first of several wins."""
    return {id(root.held): root for root in reversed(roots)}


def _pivot(path: list[Any]) -> list[Any]:
    """Return the end of a path from the object's holder on.

    A dictionary of attributes or a closure's cell stands for the instance or function that owns it.
    """
    start = len(path) - 2
    if start > 1 and type(path[start]) is CellType and type(path[start - 2]) is FunctionType:
        return path[start - 2 :]
    if start > 0 and issubclass(type(path[start]), dict) and path[start] is own_namespace(path[start - 1]):
        start -= 1
    return path[start:]


def _slots(roots: list[Root], obj: object) -> list[Root]:
    return [root for root in roots if root.slot and root.held is obj]


def _references(holders: list[tuple[Any, int]], obj: object, array: type | None) -> int:
    """Count the references to an object from its holders; one may hold it several times."""
    return sum(count_is(referents([holder], array), obj) for holder, _ in holders)


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise UsageError(f"cannot search with {name}={number!r}: give a whole number of at least 1")
    has_gil = getattr(sys, "_is_gil_enabled", None)
    if has_gil is not None and not has_gil() and threading.active_count() > 1:
        raise UnavailableError(
            "cannot walk the heap of a free-threaded interpreter while other threads run: stop them first"
        )
