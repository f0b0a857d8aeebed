"""What grew between two captures, and who holds the growth.

With birth marks, each new object is charged to its nearest dominator that is not new: the container which
keeps the growth. Without, types are compared by name, and containers by the names that lead to them from a
root. Nothing is ever matched by address: a freed object's address is the next one's. Captures and other
results of memlab that a program keeps, the older capture first of all, are no growth and are left out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_bytes
from memlab.analyses import _graph
from memlab.analyses._graph import kept
from memlab.analyses.dominators import nearest, subtree
from memlab.analyses.heap_census import contents_of, sums
from memlab.analyses.heap_names import find_held, node_name, root_of, vias_of
from memlab.analyses.heap_paths import chain_to, forest, path_to
from memlab.errors import UsageError
from memlab.records.heap_graph import BORN, BORN_UNKNOWN, NO_NODE, HeapGraph
from memlab.records.heap_results import ContainerDiff, HeapDiff, TypeCount, TypeDiff

if TYPE_CHECKING:
    import numpy.typing as npt

    from memlab.records.chain import ReferenceChain
    from memlab.records.columns import Ints, Nodes
    from memlab.records.sites import Site

    Mask = npt.NDArray[np.bool_]

__all__ = ["diff_heaps"]

_RESULTS = (
    *("memlab.records.heap_", "memlab.records.snapshot.", "memlab.records.snapshot_tables.Snapshot"),
    "memlab.records.capture.",
    "memlab.lab.heap.HeapWindow",
)
_LISTED = 30
_SITES = 3
_TYPES = 1_000
_NESTED = 0.8
_DEEPEST = 64

Place = tuple[str, ...]
"""How a container is found by names: the root's label, then the name of each step."""


def diff_heaps(newer: HeapGraph, older: HeapGraph) -> HeapDiff:
    """Return what changed from ``older`` to ``newer``, greatest growth first.

    Raises:
        UsageError: when ``older`` is no heap graph.
    """
    if not issubclass(type(older), HeapGraph):
        raise UsageError("comparing heap graphs: give the older one, what memlab.heap() returned before")
    exact = bool(newer.mark_id) and newer.mark_id == older.capture_id
    now, before = _program(newer), _program(older)
    born = ((newer.flags & BORN) != 0) & now.mask if exact else np.zeros(len(newer), bool)
    return HeapDiff(
        types=_types(newer, older, born if exact else None),
        containers=_keepers(newer, older, born) if exact else _places_that_grew(newer, older),
        exact=exact,
        objects_diff=int(now.mask.sum()) - int(before.mask.sum()),
        bytes_diff=int(newer.sizes[now.mask].sum()) - int(older.sizes[before.mask].sum()),
        born_objects=int(born.sum()) if exact else None,
        born_bytes=int(newer.sizes_of(born).sum()) if exact else None,
        complete=newer.complete and older.complete,
        notes=_notes(newer, older, exact),
    )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """A heap without memlab's own results: which nodes are the program's, and what each retains of them."""

    mask: Mask
    retained: Ints


@kept
def _program(graph: HeapGraph) -> _Program:
    ours = [kind for kind, name in enumerate(graph.types) if name.startswith(_RESULTS)]
    results = np.flatnonzero(np.isin(graph.type_of, ours)).astype(np.uint32)
    mask = np.ones(len(graph), bool)
    if not len(results):
        return _Program(mask, graph.dominators.retained_bytes)
    mask[results] = False
    mask[subtree(graph, results)] = False
    weights = np.where(mask, graph.sizes, 0)
    return _Program(mask, _graph.dominate(graph.starts, graph.edges, graph.roots, weights)[1])


def _notes(newer: HeapGraph, older: HeapGraph, exact: bool) -> tuple[str, ...]:
    notes = list(dict.fromkeys([*older.notes, *newer.notes]))
    ours = int(newer.sizes[~_program(newer).mask].sum())
    if ours:
        notes.append(
            f"{format_bytes(ours)} of memlab's own results, earlier captures among them, are left out."
        )
    if not exact:
        notes.append(
            "No birth marks join these captures: types are compared by name, containers by the names that "
            "lead to them. memlab.heap_window() tells new objects exactly."
        )
        return tuple(notes)
    notes.append("Birth marks told the new objects exactly.")
    unknown = int(((newer.flags & BORN_UNKNOWN) != 0).sum())
    if unknown:
        notes.append(
            f"Of {unknown:,} objects the marks can not tell whether they are new: not counted as new."
        )
    return tuple(notes)


def _types(newer: HeapGraph, older: HeapGraph, born: Mask | None) -> tuple[TypeDiff, ...]:
    now, before = _by_name(newer, _program(newer).mask), _by_name(older, _program(older).mask)
    fresh = _by_name(newer, born) if born is not None else {}
    found = []
    for name in now.keys() | before.keys():
        objects, size = now.get(name, (0, 0))
        old_objects, old_size = before.get(name, (0, 0))
        new = fresh.get(name, (0, 0))[0] if born is not None else None
        if objects != old_objects or size != old_size or new:
            found.append(TypeDiff(name, objects, objects - old_objects, size, size - old_size, new))
    found.sort(key=lambda row: (-row.bytes_diff, -row.objects_diff, row.type_name))
    return tuple(found if len(found) <= _TYPES else [*found[: _TYPES // 2], *found[-_TYPES // 2 :]])


def _by_name(graph: HeapGraph, chosen: Mask | Nodes | None) -> dict[str, tuple[int, int]]:
    kinds = graph.type_of if chosen is None else graph.type_of[chosen]
    sizes = graph.sizes if chosen is None else graph.sizes_of(chosen)
    count = len(graph.types)
    objects, size = np.bincount(kinds, minlength=count), sums(kinds, sizes, count)
    by_name: dict[str, tuple[int, int]] = {}
    for kind in np.flatnonzero(objects).tolist():  # two classes may bear one name
        known = by_name.get(graph.types[kind], (0, 0))
        by_name[graph.types[kind]] = (known[0] + int(objects[kind]), known[1] + int(size[kind]))
    return by_name


# -- with birth marks


def _keepers(newer: HeapGraph, older: HeapGraph, born: Mask) -> tuple[ContainerDiff, ...]:
    """Charge each new object to its nearest dominator that was there before."""
    count = len(newer)
    doubtful = (newer.flags & BORN_UNKNOWN) != 0
    keeper = nearest(newer, ~(born | doubtful))
    fresh = np.flatnonzero(born & (keeper != NO_NODE)).astype(np.uint32)
    kept_by = keeper[fresh]
    weight = sums(kept_by, newer.sizes_of(fresh), count + 1)
    objects = np.bincount(kept_by, minlength=count + 1)
    order = np.lexsort((-objects, -weight))
    order = order[objects[order] > 0][:_LISTED]
    return tuple(_keeper(newer, older, born, int(node), fresh[kept_by == node]) for node in order.tolist())


def _keeper(newer: HeapGraph, older: HeapGraph, born: Mask, node: int, fresh: Nodes) -> ContainerDiff:
    weight = int(newer.sizes_of(fresh).sum())
    contents = contents_of(newer, fresh)
    if node == len(newer):
        return ContainerDiff("several holders", "", 0, 0, weight, len(fresh), contents)
    held = newer.edges[int(newer.starts[node]) : int(newer.starts[node + 1])]
    grown = int(born[held].sum())
    place = _place_of(newer, node)
    before = _find_place(older, place) if place else -1
    if before >= 0 and older.type_name(before) == newer.type_name(node):
        grown = len(held) - _entries(older, before)
    chain = chain_to(newer, node)
    name = _name(newer, node, chain)
    kind = newer.type_name(node)
    sites = _sites(newer, fresh)
    return ContainerDiff(name, kind, len(held), grown, weight, len(fresh), contents, chain, sites)


def _sites(graph: HeapGraph, fresh: Nodes) -> tuple[Site, ...]:
    """Return the lines that made most of these objects, in bytes, where tracemalloc had seen it."""
    rows = np.isin(graph.site_node, fresh)
    if not rows.any():
        return ()
    weight = sums(graph.site_of[rows], graph.sizes_of(graph.site_node[rows]), len(graph.sites))
    order = np.argsort(-weight, kind="stable")[:_SITES]
    return tuple(graph.sites[at] for at in order.tolist() if weight[at] > 0)


def _name(graph: HeapGraph, node: int, chain: ReferenceChain | None) -> str:
    return chain.links[-1].label if chain is not None else node_name(graph, node)


def _entries(graph: HeapGraph, node: int) -> int:
    return int(graph.starts[node + 1]) - int(graph.starts[node])


# -- places with names


def _place_of(graph: HeapGraph, node: int) -> Place:
    """Return the names that lead to a node; empty when a step has none."""
    path = path_to(graph, node)
    root = root_of(graph, path[0]) if path else None
    if root is None or not root[1] or len(path) > _DEEPEST or root[1] == root[0].value:
        return ()
    steps = np.array(path, np.uint32)
    names = vias_of(graph, steps[:-1], steps[1:])
    return (root[1], *names) if all(names) else ()


def _find_place(graph: HeapGraph, place: Place) -> int:
    """Follow names from a root; -1 where they lead nowhere."""
    for node, label in zip(graph.root_node.tolist(), graph.root_label, strict=True):
        if label != place[0]:
            continue
        for name in place[1:]:
            node = find_held(graph, node, name)  # noqa: PLW2901 - one step further
            if node < 0:
                break
        else:
            return int(node)
    return -1


def _named_places(graph: HeapGraph) -> dict[Place, int]:
    """Return every node that names alone lead to along the forest of shortest ways."""
    parent = forest(graph).parent
    places: dict[int, Place] = {}
    for node in dict.fromkeys(graph.root_node.tolist()):
        root = root_of(graph, node)
        if int(parent[node]) == node and root is not None:
            places[node] = (root[1],)
    # A reference counts where it is the shortest way to what it holds.
    by_way = parent[graph.via_held] == graph.via_holder
    below: dict[int, list[tuple[int, str]]] = {}
    for row in np.flatnonzero(by_way).tolist():
        holder, held = int(graph.via_holder[row]), int(graph.via_held[row])
        if holder != held:
            below.setdefault(holder, []).append((held, graph.via[row]))
    waiting = list(places)
    while waiting:
        node = waiting.pop()
        place = places[node]
        if len(place) >= _DEEPEST:
            continue
        for held, name in below.get(node, ()):
            if held not in places:
                places[held] = (*place, name)
                waiting.append(held)
    found: dict[Place, int] = {}
    for node, place in places.items():
        found.setdefault(place, node)
    return found


def _places_that_grew(newer: HeapGraph, older: HeapGraph) -> tuple[ContainerDiff, ...]:
    """Compare what is found under equal names; of places inside each other keep the one that grew."""
    now, before = _named_places(newer), _named_places(older)
    growth: dict[int, int] = {}
    old_node: dict[int, int] = {}
    for place in now.keys() & before.keys():
        node, old = now[place], before[place]
        if newer.type_name(node) == older.type_name(old):
            growth[node] = int(_program(newer).retained[node] - _program(older).retained[old])
            old_node[node] = old
    outer = _only_around_another(newer, growth)
    chosen = [node for node, diff in growth.items() if node not in outer and diff > 0]
    chosen.sort(key=lambda node: (-growth[node], node))
    return tuple(_grown(newer, older, node, old_node[node], growth[node]) for node in chosen[:_LISTED])


def _only_around_another(graph: HeapGraph, growth: dict[int, int]) -> set[int]:
    """Return places whose growth is nearly all that of a place inside them."""
    marked = np.zeros(len(graph), bool)
    marked[list(growth)] = True
    above = nearest(graph, marked)
    parent = graph.dominators.parent
    outer = set()
    for node, diff in growth.items():
        up = int(parent[node])
        while diff > 0 and up < len(graph):
            holder = int(above[up])
            if holder >= len(graph) or diff < _NESTED * growth[holder]:
                break
            outer.add(holder)
            up = int(parent[holder])
    return outer


def _grown(newer: HeapGraph, older: HeapGraph, node: int, old: int, diff: int) -> ContainerDiff:
    entries = _entries(newer, node)
    chain = chain_to(newer, node)
    now, before = _retained_types(newer, node), _retained_types(older, old)
    contents = []
    for name, (objects, size) in now.items():
        old_objects, old_size = before.get(name, (0, 0))
        if size > old_size:
            contents.append(TypeCount(name, objects - old_objects, size - old_size))
    contents.sort(key=lambda row: (-row.shallow_bytes, row.type_name))
    objects_diff = sum(n for n, _ in now.values()) - sum(n for n, _ in before.values())
    return ContainerDiff(
        _name(newer, node, chain),
        newer.type_name(node),
        entries,
        entries - _entries(older, old),
        diff,
        objects_diff,
        tuple(contents[:10]),
        chain,
    )


def _retained_types(graph: HeapGraph, node: int) -> dict[str, tuple[int, int]]:
    chosen = subtree(graph, np.array([node], np.uint32))
    return _by_name(graph, chosen[_program(graph).mask[chosen]])
