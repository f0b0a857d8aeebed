"""The dominator tree of a heap graph, and what one asks of it: who is below, who is the nearest above.

An object's immediate dominator is the nearest one that every chain of references from a root to it goes
through; were that freed, it would be freed too. The tree is kept as parents; its children and subtrees are
found from them by walks over whole arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memlab.analyses import _graph
from memlab.analyses._graph import kept
from memlab.records.columns import Nodes, frozen
from memlab.records.heap_graph import NO_NODE, Dominators, HeapGraph

__all__ = ["children", "children_of", "dominators", "nearest", "nearest_in", "subtree"]


def dominators(graph: HeapGraph) -> Dominators:
    """Compute immediate dominators and retained sizes; ``graph.dominators`` keeps them."""
    parent, retained = _graph.dominate(graph.starts, graph.edges, graph.roots, graph.sizes)
    return Dominators(frozen(parent), frozen(retained))


@kept
def children(graph: HeapGraph) -> tuple[Nodes, Nodes]:
    """Return the tree's references downwards: offsets and nodes, as ``starts`` and ``edges``.

    Node ``len(graph)`` is the virtual root, the one after it holds what no root reaches.
    """
    count = len(graph)
    parent = graph.dominators.parent
    above = np.where(parent == NO_NODE, np.uint32(count + 1), parent)
    # One reference upwards for each node; turned round they are the tree, without sorting a million numbers.
    upwards = np.minimum(np.arange(count + 3, dtype=np.uint32), np.uint32(count))
    starts, below = _graph.reverse(upwards, above.astype(np.uint32, copy=False))
    return frozen(starts), frozen(below)


def children_of(graph: HeapGraph, node: int) -> Nodes:
    """Return what a node dominates immediately, ascending."""
    starts, below = children(graph)
    return below[int(starts[node]) : int(starts[node + 1])]


def subtree(graph: HeapGraph, tops: Nodes) -> Nodes:
    """Return the nodes and all that they dominate, each once."""
    starts, below = children(graph)
    closed = np.zeros(len(graph) + 2, np.uint8)
    return _graph.breadth_first(starts, below, tops, closed)[1]


def nearest(graph: HeapGraph, marked: npt.NDArray[np.bool_]) -> Nodes:
    """Return for each node the nearest marked one among itself and its dominators.

    ``len(graph)`` stands for none but the virtual root; ``NO_NODE`` for what no root reaches and is not
    marked itself.
    """
    return nearest_in(graph.dominators.parent, marked)


def nearest_in(parent: Nodes, marked: npt.NDArray[np.bool_]) -> Nodes:
    """Do what ``nearest`` does, on a dominator tree of its own."""
    count = len(parent)
    up = np.empty(count + 2, np.uint32)
    up[:count] = np.where(parent == NO_NODE, np.uint32(count + 1), parent)
    own = np.flatnonzero(marked)
    up[own] = own
    up[count:] = (count, count + 1)
    # Pointer jumping: each round halves what is left of every way up.
    while True:
        further = up[up]
        if bool((further == up).all()):
            break
        up = further
    found = up[:count]
    return np.where(found == count + 1, np.uint32(NO_NODE), found)
