"""What would go if a suspect's holder let go: the heap's graph is taken once, and references in it are cut.

The search for names held every object that it looked at; the graph is taken when all of them were let go, so
that nothing of memlab's own holds what is cut. Until then a holder is known by its address, and is cut only
when an object of its type still lies there. Exact for the moment of the capture: other threads run on.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import short_name
from memlab.analyses.heap_cut import cut_edges
from memlab.collectors.heap import take_heap
from memlab.errors import UnavailableError
from memlab.records.chain import RootKind
from memlab.records.heap_graph import NO_NODE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab._base.paths import PathLabels
    from memlab.lab._suspects import Edge
    from memlab.records.columns import Ints, Nodes
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.leak_report import Suspect

__all__ = ["NO_HOLDER", "NO_TIME", "Cutter"]

NO_TIME = "the budget left no time for it: give the hunt a larger budget_s"
NO_HOLDER = "no Python object was seen to hold it, so there is no reference to cut"
_GONE = "its holder was gone when the heap was captured"
_WALK_SHARE = 0.3
"""Time for one walk over the graph, as part of the time that taking it took: more than was measured."""
_SPACES = (RootKind.MODULE, RootKind.TYPE, RootKind.FRAME)
_MOST_OBJECTS = 50_000_000


class Cutter:
    """Cuts the references that keep suspects.

    Args:
        fresh: addresses of what the second pass left behind.
        paths: labels of code files.
        seconds: time to spend; what does not fit is left out, last suspects first.
        clock: monotonic seconds.
    """

    def __init__(self, fresh: Ints, paths: PathLabels, seconds: float, clock: Callable[[], float]) -> None:
        self._fresh = fresh
        self._paths = paths
        self._seconds = seconds
        self._clock = clock

    def cut(self, suspects: Sequence[Suspect], edges: Sequence[Sequence[Edge]]) -> tuple[Suspect, ...]:
        """Return the suspects, each with what would be freed, or why that is not known.

        Args:
            suspects: greatest first.
            edges: for each, the references that keep it.
        """
        began = self._clock()
        why, heap, walk = NO_TIME, None, 0.0
        if any(edges) and self._seconds > 0:
            try:
                graph = take_heap(limit=_MOST_OBJECTS, seconds=self._seconds, paths=self._paths).graph
                walk = _WALK_SHARE * (self._clock() - began)
                heap = _Heap(graph, self._fresh) if graph.complete else None
            except UnavailableError as error:
                why = str(error)
        answers = []
        for suspect, held in zip(suspects, edges, strict=True):
            if not held:
                answers.append(_without(suspect, NO_HOLDER))
            elif heap is None or self._clock() + walk > began + self._seconds:
                answers.append(_without(suspect, why))
            else:
                answers.append(heap.cut(suspect, held))
        return tuple(answers)


def _without(suspect: Suspect, reason: str) -> Suspect:
    return dataclasses.replace(suspect, freed_absent=reason)


class _Heap:
    """The graph of the heap, and which of its nodes are new."""

    def __init__(self, graph: HeapGraph, fresh: Ints) -> None:
        self._graph = graph
        self._fresh = np.isin(graph.address, fresh.astype(np.uint64))
        spaces = np.zeros(len(graph), bool)
        # The namespaces of modules, and what is a root by itself, hold much that is no part of a leak.
        spaces[graph.owner_node] = True
        rows = [row for row, kind in enumerate(graph.root_kind) if kind in _SPACES]
        spaces[graph.root_node[rows]] = True
        self._spaces = spaces

    def cut(self, suspect: Suspect, held: Sequence[Edge]) -> Suspect:
        """Return the suspect with what would be freed."""
        places: list[Nodes] = []
        whole = True
        for edge in held:
            node = self._node(edge)
            if node == NO_NODE:
                continue
            found, all_of_them = self._places(node, whole=edge.whole)
            whole = whole and all_of_them
            places.append(found)
        if not places:
            return _without(suspect, _GONE)
        freed = cut_edges(self._graph, np.concatenate(places), (_words(suspect, held, whole=whole),))
        return dataclasses.replace(suspect, freed=freed, retained_bytes=freed.freed_bytes)

    def _places(self, node: int, *, whole: bool) -> tuple[Nodes, bool]:
        """Return the places of the references that are cut, and whether they are all that the holder has."""
        graph = self._graph
        low, high = int(graph.starts[node]), int(graph.starts[node + 1])
        places = np.arange(low, high, dtype=np.uint32)
        if whole and not self._spaces[node]:
            return places, True
        found = places[self._fresh[graph.edges[low:high]]]
        if not len(found):
            # An instance's attributes may have moved into a dictionary of their own since the search.
            dicts = [n for n in graph.edges[low:high].tolist() if graph.type_name(n) == "builtins.dict"]
            inner = [np.arange(graph.starts[n], graph.starts[n + 1], dtype=np.uint32) for n in dicts]
            places = np.concatenate([found, *inner])
            found = places[self._fresh[graph.edges[places]]]
        return found, False

    def _node(self, edge: Edge) -> int:
        at = np.flatnonzero(self._graph.address == np.uint64(edge.holder))
        node = int(at[0]) if len(at) else NO_NODE
        return node if node != NO_NODE and self._graph.type_name(node) == edge.type_name else NO_NODE


def _words(suspect: Suspect, held: Sequence[Edge], *, whole: bool) -> str:
    """Say what is cut: the entries of a container, or what an object has come to hold."""
    if suspect.container is not None and whole:
        return f"all entries of {suspect.container.name}"
    name = suspect.container.name if suspect.container is not None else f"the {short_name(held[0].type_name)}"
    if suspect.container is None and suspect.chain is not None and len(suspect.chain.links) > 1:
        name = suspect.chain.links[-2].label
    return f"what {name} has come to hold while it was traced"
