"""What no root reaches: reference cycles that only the collector can free.

Strongly connected components (Tarjan, "Depth-first search and linear graph algorithms", 1972; iterative) of
the unreached part alone. A cycle that another cycle of the garbage leads to counts with that one, as its
contents: collecting the one frees the other. What hangs from a cycle alone is what it dominates.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.analyses import _graph
from memlab.analyses.dominators import nearest_in
from memlab.analyses.heap_census import contents_of, sums
from memlab.records.heap_graph import NO_NODE, HeapGraph
from memlab.records.heap_results import Cycle, HeapCycles

if TYPE_CHECKING:
    from memlab.records.columns import Ints, Nodes

__all__ = ["components", "cycles"]

_LISTED = 50
_LOOKED_AT = 500
_LINKS = 12


@dataclasses.dataclass(slots=True, eq=False)
class _Island:
    """The unreached part, numbered on its own; ``nodes`` are the numbers in the graph."""

    nodes: Nodes
    starts: Nodes
    edges: Nodes


def cycles(graph: HeapGraph) -> HeapCycles:
    """Return what no root reaches, greatest first, cycles of equal shape put together."""
    island = _island(graph)
    sizes = graph.sizes_of(island.nodes)
    found, counts, notes = _shapes(graph, island)
    return HeapCycles(
        cycles=found,
        counts=counts,
        objects=len(island.nodes),
        shallow_bytes=int(sizes.sum()),
        complete=graph.complete,
        notes=(*graph.notes, *notes),
    )


def _island(graph: HeapGraph) -> _Island:
    lost = graph.dominators.parent == NO_NODE
    nodes = np.flatnonzero(lost).astype(np.uint32)
    number = np.zeros(len(graph), np.uint32)
    number[nodes] = np.arange(len(nodes), dtype=np.uint32)
    holders = np.repeat(lost, np.diff(graph.starts))
    inside = holders & lost[graph.edges]
    before = np.concatenate([[0], inside.cumsum()])
    lengths = before[graph.starts[1:]] - before[graph.starts[:-1]]
    starts = np.concatenate([[0], lengths[lost].cumsum()]).astype(np.uint32)
    return _Island(nodes, starts, number[graph.edges[inside]])


def _shapes(graph: HeapGraph, island: _Island) -> tuple[tuple[Cycle, ...], tuple[int, ...], tuple[str, ...]]:
    if not len(island.nodes):
        return (), (), ()
    component, count = components(island.starts, island.edges)
    holders = np.repeat(np.arange(len(island.nodes)), np.diff(island.starts))
    loops = np.zeros(count, bool)
    loops[component[holders[holders == island.edges]]] = True
    members = np.bincount(component, minlength=count)
    cyclic = loops | (members > 1)
    entered = np.zeros(count, bool)
    across = component[holders] != component[island.edges]
    entered[component[island.edges[across]]] = True
    top = np.flatnonzero(~entered)
    first = np.zeros(count, np.int64)
    first[component[::-1]] = np.arange(len(component) - 1, -1, -1)
    # Each component that nothing enters is a root: its first node dominates it and what it alone leads to.
    roots = first[top].astype(np.uint32)
    sizes = graph.sizes_of(island.nodes)
    parent, kept = _graph.dominate(island.starts, island.edges, roots, sizes)
    shown = roots[cyclic[top]]
    marked = np.zeros(len(island.nodes), bool)
    marked[roots] = True
    owner = nearest_in(parent, marked)
    objects = np.bincount(owner[owner < len(island.nodes)], minlength=len(island.nodes))
    alike_types = _alike(graph, island, component, shown)
    alike_types.sort(key=lambda signature: -sum(int(kept[at]) for at in signature))
    by_shape: dict[tuple[str, ...], list[int]] = {}
    for signature in alike_types[:_LOOKED_AT]:
        # Members of one signature have the same types: one of them is looked at for all.
        greatest = max(signature, key=lambda at: (int(kept[at]), -at))
        shape = _ring(graph, island, component, greatest)
        by_shape.setdefault(shape, []).extend(signature)
    order = sorted(by_shape, key=lambda s: (-sum(int(kept[at]) for at in by_shape[s]), s))
    found, counts = [], []
    for shape in order[:_LISTED]:
        alike = by_shape[shape]
        at = max(alike, key=lambda one: (int(kept[one]), -one))
        inside = island.nodes[owner == at]
        found.append(Cycle(int(objects[at]), int(kept[at]), shape[:_LINKS], contents_of(graph, inside)))
        counts.append(len(alike))
    left = len(order) - len(found) + max(len(alike_types) - _LOOKED_AT, 0)
    return tuple(found), tuple(counts), _notes(left, owner, len(island.nodes))


def _notes(left: int, owner: Nodes, count: int) -> tuple[str, ...]:
    notes = []
    if left:
        notes.append(f"{left:,} shapes of cycles that keep less are not listed")
    shared = int((owner == count).sum())
    if shared:
        notes.append(f"{shared:,} objects hang from several cycles and are counted in the total alone")
    return tuple(notes)


def _alike(graph: HeapGraph, island: _Island, component: Ints, shown: Nodes) -> list[list[int]]:
    """Group cycles whose members have the same types, as often."""
    count = int(component.max()) + 1
    kinds = graph.type_of[island.nodes].astype(np.uint64)
    # A sum of mixed type numbers does not depend on the order of the members.
    mixed = (kinds + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    signature = sums(component, (mixed >> np.uint64(24)).astype(np.int64), count)
    groups: dict[int, list[int]] = {}
    for at, key in zip(shown.tolist(), signature[component[shown]].tolist(), strict=True):
        groups.setdefault(key, []).append(at)
    return list(groups.values())


def _ring(graph: HeapGraph, island: _Island, component: Ints, at: int) -> tuple[str, ...]:
    """Return the types of a short cycle in a component, in the order of its references.

    It starts at a type of the program's own where there is one, and reads the same whichever of its nodes
    was met first.
    """
    members = np.flatnonzero(component == component[at])
    names = [graph.type_name(int(island.nodes[node])) for node in members.tolist()]
    start = min(range(len(names)), key=lambda n: (names[n].startswith("builtins."), names[n], n))
    closed = (component != component[at]).astype(np.uint8)
    seed = members[start : start + 1].astype(np.uint32)
    parent, order = _graph.breadth_first(island.starts, island.edges, seed, closed)
    node = int(seed[0])
    for last in order.tolist():
        low, high = int(island.starts[last]), int(island.starts[last + 1])
        if bool((island.edges[low:high] == node).any()):
            break
    path = [last]
    while last != node:
        last = int(parent[last])
        path.append(last)
    ring = [graph.type_name(int(island.nodes[n])) for n in reversed(path)]
    turns = [tuple(ring[turn:] + ring[:turn]) for turn in range(min(len(ring), 100)) if ring[turn] == ring[0]]
    return min(turns)


def components(starts: Nodes, edges: Nodes) -> tuple[Ints, int]:  # noqa: C901 - one loop, unrolled from a recursion
    """Return the strongly connected component of each node, and how many there are.

    >>> component, count = components(np.array([0, 1, 2, 3], np.uint32), np.array([1, 0, 0], np.uint32))
    >>> bool(component[0] == component[1]), bool(component[1] == component[2]), count
    (True, False, 2)
    """
    count = len(starts) - 1
    begins, held = starts.tolist(), edges.tolist()
    number: list[int] = [-1] * count
    low = [0] * count
    component = [-1] * count
    open_nodes: list[int] = []
    found = reached = 0
    for seed in range(count):
        if number[seed] >= 0:
            continue
        work: list[Any] = [(seed, begins[seed])]
        number[seed] = low[seed] = reached
        reached += 1
        open_nodes.append(seed)
        while work:
            node, at = work.pop()
            end = begins[node + 1]
            while at < end:
                other = held[at]
                at += 1
                if number[other] < 0:
                    work += [(node, at), (other, begins[other])]
                    number[other] = low[other] = reached
                    reached += 1
                    open_nodes.append(other)
                    break
                if component[other] < 0:
                    low[node] = min(low[node], number[other])
            else:
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == number[node]:
                    while True:
                        member = open_nodes.pop()
                        component[member] = found
                        if member == node:
                            break
                    found += 1
    return np.array(component, np.int64), found
