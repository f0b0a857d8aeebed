"""What would be freed if an object or a reference went: reachability before and after, nothing estimated.

A cut object is closed to the walk, whoever holds it. A cut reference is replaced by a reference of its holder
to itself, which leads nowhere new. Several cuts are made together, so that an object held from two places
goes when both are cut.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.units import format_things
from memlab.analyses import _graph
from memlab.analyses.heap_census import contents_of
from memlab.analyses.heap_names import node_name, resolve, via_name
from memlab.analyses.heap_paths import chains_to, forest, grow
from memlab.errors import UsageError
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, NO_NODE, TRACKED, HeapGraph
from memlab.records.heap_results import Freed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.chain import ReferenceChain
    from memlab.records.columns import Bytes, Nodes

__all__ = ["cut_edges", "what_if"]

_CHAINS = 3


@dataclasses.dataclass(slots=True, eq=False)
class _Cuts:
    """What is cut, as nodes closed and a copy of the references with some taken out."""

    edges: Nodes
    closed: Bytes
    words: list[str]
    held: list[int]


def what_if(graph: HeapGraph, cut: Sequence[object], references: Sequence[tuple[object, object]]) -> Freed:
    """Return what would be freed by a cut, or by several made together.

    Raises:
        UsageError: when the graph has no such object or reference, or nothing is cut.
    """
    if not cut and not references:
        raise UsageError("asking what a cut would free: name an object, or references=[(holder, held)]")
    cuts = _Cuts(graph.edges, np.zeros(len(graph), np.uint8), [], [])
    for item in cut:
        node = resolve(graph, item)
        cuts.closed[node] = 1
        cuts.words.append(node_name(graph, node))
    for pair in references:
        if type(pair) is not tuple or len(pair) != 2:  # noqa: PLR2004 - holder and held
            raise UsageError("asking what a cut would free: references are pairs, [(holder, held), ...]")
        _cut_reference(graph, cuts, resolve(graph, pair[0]), resolve(graph, pair[1]))
    before = forest(graph).parent != NO_NODE
    after = grow(graph, cuts.edges, cuts.closed)
    freed = np.flatnonzero(before & (after.parent == NO_NODE)).astype(np.uint32)
    still = [node for node in dict.fromkeys(cuts.held) if int(after.parent[node]) != NO_NODE]
    notes = list(graph.notes)
    if not bool(before[np.flatnonzero(cuts.closed)].all()):
        notes.append("What was cut is garbage already: it waits for the collector and is not counted.")
    return Freed(
        objects=len(freed),
        freed_bytes=int(graph.sizes_of(freed).sum()),
        cut=tuple(cuts.words),
        contents=contents_of(graph, freed),
        still_held=tuple(chain for node in still for chain in _chains(graph, node, cuts)),
        complete=graph.complete,
        notes=tuple(notes),
    )


def cut_edges(graph: HeapGraph, edges: Nodes, words: Sequence[str]) -> Freed:
    """Return what would be freed if references went, given by their places in ``graph.edges``.

    One walk over the graph, after one for all cuts of it together: for graphs that nothing was named in.

    Args:
        graph: the heap.
        edges: places of the references.
        words: what is cut, as it shall be told.
    """
    before = _reached(graph)
    sources = np.searchsorted(graph.starts, edges, side="right") - 1
    cut = graph.edges.copy()
    held = np.unique(cut[edges])
    cut[edges] = sources  # a reference to itself leads nowhere new
    seeds = graph.roots
    after = _graph.breadth_first(graph.starts, cut, seeds)[0] != NO_NODE
    freed = np.flatnonzero(before & ~after).astype(np.uint32)
    notes = list(graph.notes)
    # Small numbers and the like, which the interpreter holds, are no news.
    flags = graph.flags[held]
    told = held[(flags & IMMORTAL == 0) & ((flags & EXTERNAL == 0) | (flags & TRACKED != 0))]
    stay = int(after[told].sum())
    if stay:
        notes.append(
            f"{stay:,} of {format_things(len(told), 'object')} that would be let go are held from elsewhere "
            "too, and would stay."
        )
    return Freed(
        objects=len(freed),
        freed_bytes=int(graph.sizes_of(freed).sum()),
        cut=tuple(words),
        contents=contents_of(graph, freed),
        complete=graph.complete,
        notes=tuple(notes),
    )


@_graph.kept
def _reached(graph: HeapGraph) -> Any:
    return _graph.breadth_first(graph.starts, graph.edges, graph.roots)[0] != NO_NODE


def _cut_reference(graph: HeapGraph, cuts: _Cuts, holder: int, held: int) -> None:
    """Take out all references from one object to another."""
    low, high = int(graph.starts[holder]), int(graph.starts[holder + 1])
    at = low + np.flatnonzero(graph.edges[low:high] == held)
    if not len(at):
        raise UsageError(
            f"asking what a cut would free: {node_name(graph, holder)} has no reference to "
            f"{node_name(graph, held)}; graph.why(...) shows who holds it"
        )
    if cuts.edges is graph.edges:
        cuts.edges = graph.edges.copy()
    cuts.edges[at] = holder
    via = via_name(graph, holder, held)
    cuts.words.append(f"{node_name(graph, holder)}{via or ' -> '}{'' if via else node_name(graph, held)}")
    cuts.held.append(held)


def _chains(graph: HeapGraph, node: int, cuts: _Cuts) -> list[ReferenceChain]:
    """Return what keeps a node alive all the same, by the references left."""
    closed = cuts.closed.copy()
    closed[node] = 1
    ways = grow(graph, cuts.edges, closed)
    return chains_to(graph, node, ways, _graph.reverse(graph.starts, cuts.edges), _CHAINS)
