"""The algorithms of the heap graph: in C where the extension was built, else its twin, with equal results.

An analysis asks here and never learns which it was. What several analyses of one graph share is computed
once and kept with the graph (``kept``).
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from memlab.analyses import _graph_twin as twin

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.records.columns import Bytes, Ints, Nodes
    from memlab.records.heap_graph import HeapGraph

_native: Any
try:
    _native = importlib.import_module("memlab._native.heapgraph")
except ImportError:  # no compiler where it was installed, or another interpreter's build
    _native = None

__all__ = ["breadth_first", "dominate", "kept", "native_available", "retained_by_type", "reverse"]

P = ParamSpec("P")
T = TypeVar("T")


def native_available() -> bool:
    """Tell whether the C extension was built for this interpreter."""
    return _native is not None


def reverse(starts: Nodes, edges: Nodes) -> tuple[Nodes, Nodes]:
    """Turn the references round: the holders of each node, ascending, once for each reference."""
    if _native is None:
        return twin.reverse(starts, edges)
    back_starts, holders = _native.reverse(_nodes(starts), _nodes(edges))
    return np.frombuffer(back_starts, np.uint32), np.frombuffer(holders, np.uint32)


def breadth_first(
    starts: Nodes, edges: Nodes, seeds: Nodes, closed: Bytes | None = None
) -> tuple[Nodes, Nodes]:
    """Walk from the seeds, in their order; see the twin for what comes back."""
    if closed is None:
        closed = np.zeros(len(starts) - 1, np.uint8)
    if _native is None:
        return twin.breadth_first(starts, edges, seeds, closed)
    shut = np.ascontiguousarray(closed, np.uint8)
    parent, order = _native.breadth_first(_nodes(starts), _nodes(edges), _nodes(seeds), shut)
    return np.frombuffer(parent, np.uint32), np.frombuffer(order, np.uint32)


def dominate(starts: Nodes, edges: Nodes, roots: Nodes, sizes: Ints) -> tuple[Nodes, Ints]:
    """Find immediate dominators and retained sizes, as ``Dominators`` has them."""
    if _native is None:
        return twin.dominate(starts, edges, roots, sizes)
    weights = np.ascontiguousarray(sizes, np.int64)
    parent, retained = _native.dominate(_nodes(starts), _nodes(edges), _nodes(roots), weights)
    return np.frombuffer(parent, np.uint32), np.frombuffer(retained, np.int64)


def retained_by_type(parent: Nodes, type_of: Nodes, sizes: Ints, types: int) -> Ints:
    """Sum, for each type, what its nodes retain that no other node of the type dominates.

    ``sizes`` are those of the nodes alone.
    """
    if _native is None:
        return twin.retained_by_type(parent, type_of, sizes, types)
    weights = np.ascontiguousarray(sizes, np.int64)
    return np.frombuffer(_native.retained_by_type(_nodes(parent), _nodes(type_of), weights, types), np.int64)


def kept(
    function: Callable[Concatenate[HeapGraph, P], T],
) -> Callable[Concatenate[HeapGraph, P], T]:
    """Compute an answer once for each graph (and further arguments), and keep it with the graph."""

    @functools.wraps(function)
    def answer(graph: HeapGraph, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = f"{function.__module__}.{function.__qualname__}{args or ''}{kwargs or ''}"
        known: dict[str, T] = graph.__dict__  # a graph is frozen, yet has room for what follows from it
        if key not in known:
            known[key] = function(graph, *args, **kwargs)
        return known[key]

    return answer


def _nodes(column: Nodes) -> Nodes:
    return np.ascontiguousarray(column, np.uint32)
