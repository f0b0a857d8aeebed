"""Sums over a heap graph: by type, by owning module, by groups of equal strings.

All are passes over whole columns. An object's module is that of the nearest module namespace, class or
function among its dominators, so it is found by pointer jumping in the dominator tree.
"""

from __future__ import annotations

import difflib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import type_name
from memlab.analyses import _graph
from memlab.analyses._graph import kept
from memlab.analyses.dominators import nearest
from memlab.analyses.heap_names import place_name, resolve, short_type
from memlab.analyses.heap_paths import path_to
from memlab.errors import UsageError
from memlab.records.chain import RootKind
from memlab.records.columns import ints
from memlab.records.heap_graph import NO_NODE, HeapGraph
from memlab.records.heap_results import (
    DuplicateGroup,
    HeapCensus,
    HeapDuplicates,
    HeapOwners,
    TypeCount,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from memlab.records.columns import Ints, Nodes

__all__ = [
    "census",
    "contents_of",
    "duplicates",
    "module_of",
    "owners",
    "retained_size",
    "sums",
    "types_named",
]

_LISTED = 1_000
_NEAR = 8
_RETAINED_NOTE = (
    "Retained sizes add up what single objects retain. What only several of a type hold together is not in "
    "them: retained_size(type) counts it too."
)
SHARED, RUNNING, GARBAGE = "(shared)", "(running)", "(garbage)"


def sums(keys: npt.NDArray[np.unsignedinteger | np.signedinteger], values: Ints, count: int) -> Ints:
    """Sum values by key, exactly (no float weights), shape ``(count,)``."""
    total = np.zeros(count, np.int64)
    np.add.at(total, keys, values)
    return total


def census(graph: HeapGraph) -> HeapCensus:
    """Count objects by type."""
    count = len(graph.types)
    objects = np.bincount(graph.type_of, minlength=count).astype(np.int64)
    shallow = sums(graph.type_of, graph.sizes, count)
    retained = _graph.retained_by_type(graph.dominators.parent, graph.type_of, graph.sizes, count)
    present = np.flatnonzero(objects)
    rank = np.argsort(np.array(graph.types, object), kind="stable").argsort(kind="stable")
    order = present[np.lexsort((rank[present], -objects[present], -shallow[present]))]
    return HeapCensus(
        types=tuple(graph.types[i] for i in order.tolist()),
        objects=ints(objects[order]),
        shallow_bytes=ints(shallow[order]),
        retained_bytes=ints(retained[order]),
        total_objects=len(graph),
        total_bytes=graph.total_bytes,
        complete=graph.complete,
        notes=(*graph.notes, _RETAINED_NOTE),
    )


def contents_of(graph: HeapGraph, nodes: Nodes, most: int = 10) -> tuple[TypeCount, ...]:
    """Count some nodes by type, greatest shallow size first, at most so many types."""
    count = len(graph.types)
    kinds = graph.type_of[nodes]
    objects = np.bincount(kinds, minlength=count)
    shallow = sums(kinds, graph.sizes_of(nodes), count)
    order = np.lexsort((-objects, -shallow))[:most]
    return tuple(
        TypeCount(graph.types[i], int(objects[i]), int(shallow[i])) for i in order.tolist() if objects[i]
    )


def duplicates(graph: HeapGraph) -> HeapDuplicates:
    """Return groups of equal strings and bytes, greatest waste first."""
    size = graph.sizes_of(graph.twin_node)
    wasted = np.maximum(graph.twin_count - 1, 0) * size
    order = np.lexsort((graph.twin_node, -wasted))
    order = order[graph.twin_count[order] > 1]
    groups = tuple(
        DuplicateGroup(
            type_name=graph.type_name(int(graph.twin_node[at])),
            objects=int(graph.twin_count[at]),
            size_bytes=int(size[at]),
            wasted_bytes=int(wasted[at]),
            holder=_holder(graph, int(graph.twin_node[at])),
        )
        for at in order[:_LISTED].tolist()
    )
    left = len(order) - len(groups)
    return HeapDuplicates(
        groups=groups,
        wasted_bytes=int(wasted.sum()),
        complete=graph.complete,
        notes=(*graph.notes, *([f"{left:,} groups with less waste are not listed"] if left else [])),
    )


def _holder(graph: HeapGraph, node: int) -> str:
    """Return the nearest holder in words; where that is a bare container, also the nearest with a name."""
    path = path_to(graph, node)[-_NEAR:-1]
    if not path:
        return ""
    names = [place_name(graph, above, holder) for above, holder in pairwise([path[0], *path])]
    last = names.pop()
    if last != short_type(graph, path[-1]):
        return last
    # from the holder upwards
    known = (
        name for name, at in zip(names[::-1], path[-2::-1], strict=True) if name != short_type(graph, at)
    )
    outer = next(known, "")
    return f"{last} in {outer}" if outer else last


# -- owners


def owners(graph: HeapGraph, by: str) -> HeapOwners:
    """Sum what each module or package owns.

    Raises:
        UsageError: when ``by`` is neither.
    """
    if by not in ("module", "package"):
        raise UsageError(f"summing a heap by owner: by must be 'module' or 'package', not {by!r}")
    of_node, names = module_of(graph)
    if by == "package":
        packages = [name if name.startswith("(") else name.partition(".")[0] for name in names]
        table = {name: at for at, name in enumerate(dict.fromkeys(packages))}
        of_node, names = np.array([table[name] for name in packages])[of_node], tuple(table)
    objects = np.bincount(of_node, minlength=len(names)).astype(np.int64)
    shallow = sums(of_node, graph.sizes, len(names))
    order = sorted(np.flatnonzero(objects).tolist(), key=lambda at: (-int(shallow[at]), names[at]))
    return HeapOwners(
        by=by,
        owners=tuple(names[at] for at in order),
        objects=ints(objects[order]),
        shallow_bytes=ints(shallow[order]),
        complete=graph.complete,
        notes=graph.notes,
    )


@kept
def module_of(graph: HeapGraph) -> tuple[Ints, tuple[str, ...]]:
    """Return the owner of each node as an index, and the owners' names: modules, and three in brackets."""
    modules = len(graph.modules)
    shared, running, garbage = modules, modules + 1, modules + 2
    own = np.full(len(graph) + 1, shared, np.int64)
    marked = np.zeros(len(graph), bool)
    frames = [at for at, kind in enumerate(graph.root_kind) if kind is RootKind.FRAME]
    for nodes, owner in ((graph.root_node[frames], running), (graph.owner_node, graph.owner_module)):
        own[nodes] = owner
        marked[nodes] = True
    above = nearest(graph, marked)
    lost = graph.dominators.parent == NO_NODE
    found = own[np.where(lost, len(graph), above)]
    found[lost] = garbage
    return found, (*graph.modules, SHARED, RUNNING, GARBAGE)


# -- retained sizes


def retained_size(graph: HeapGraph, target: object) -> int:
    """Return in bytes what would be freed if an object went, or all objects of a type together.

    Raises:
        UsageError: when the graph has no such object or type.
    """
    if type(target) is str:
        return _retained_by_all(graph, types_named(graph, target))
    if issubclass(type(target), type):
        return _retained_by_all(graph, types_named(graph, type_name(target)))  # type: ignore[arg-type]
    return int(graph.dominators.retained_bytes[resolve(graph, target)])


def types_named(graph: HeapGraph, name: str) -> list[int]:
    """Return the types of that full name, as indexes.

    Raises:
        UsageError: when the graph has objects of no such type.
    """
    found = [at for at, known in enumerate(graph.types) if known == name]
    if not found:
        near = difflib.get_close_matches(name, graph.types, 1) or [
            known for known in graph.types if known.endswith(f".{name}")
        ]
        hint = f"; there is {near[0]!r}" if near else ""
        raise UsageError(f"asking a heap graph about a type: it has no objects of type {name!r}{hint}")
    return found


def _retained_by_all(graph: HeapGraph, kinds: list[int]) -> int:
    """Close all nodes of some types and walk again: what several of them hold together counts too."""
    closed = np.isin(graph.type_of, kinds)
    after, _ = _graph.breadth_first(graph.starts, graph.edges, graph.roots, closed.astype(np.uint8))
    before = graph.dominators.parent != NO_NODE
    freed = (before & (after == NO_NODE)) | closed
    return int(graph.sizes_of(freed).sum())
