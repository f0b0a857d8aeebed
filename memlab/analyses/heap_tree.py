"""The upper part of the dominator tree: best first by retained size, what is small put together by type.

A row is one object or a group of siblings of one type. Opening a row lists what its objects dominate: for a
group, of all its members together, so that a list of 100,000 equal records shows what records are made of.
Rows are opened greatest first until there are as many as were asked for.
"""

from __future__ import annotations

import dataclasses
import heapq
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import short_name
from memlab._base.units import format_things
from memlab.analyses.dominators import children
from memlab.analyses.heap_census import GARBAGE, sums
from memlab.analyses.heap_names import node_name, resolve, root_links, root_of, via_name
from memlab.analyses.heap_paths import forest
from memlab.records.columns import ints
from memlab.records.heap_graph import NO_NODE, HeapGraph
from memlab.records.heap_results import HeapTree

if TYPE_CHECKING:
    from memlab.records.columns import Ints, Nodes

    _Group = tuple[int, int, Nodes]  # a type, what its objects retain, and the objects

__all__ = ["dominator_tree", "shown_nodes"]

_SHOWN = 25
"""So many siblings are listed one by one, and so many groups of them."""
_DEEPEST = 64
_SMALL = 200
"""A child that keeps less than this part of what its parent keeps is put together with others."""
_OUTSTANDING = 4
"""Of many of one type, one that keeps so many times the mean is listed for itself."""
_FEW = 48
_FEW_TYPES = 2**16
"""So many siblings are sorted quicker as a list than as an array."""


@dataclasses.dataclass(slots=True, eq=False)
class _Row:
    parent: int
    members: Nodes | None  # None: ``node`` alone
    label: str
    type_name: str
    retained: int
    node: int = -1
    via: str = ""
    depth: int = 0
    children: int = 0
    shallow: int = 0

    @property
    def count(self) -> int:
        return 1 if self.members is None else len(self.members)


def dominator_tree(graph: HeapGraph, rows: int, under: object = None) -> HeapTree:
    """Return the dominator tree from the top, or from an object down, at most so many rows.

    Raises:
        UsageError: when the graph has no such object.
    """
    return _Tree(graph, max(rows, 1), None if under is None else resolve(graph, under)).result()


def shown_nodes(graph: HeapGraph, rows: int) -> Ints:
    """Return the nodes that a tree of so many rows shows, without a name for any."""
    tree = _Tree(graph, max(rows, 1), None, named=False)
    return ints([row.node for row in tree.rows if row.node >= 0])


class _Tree:
    """Opens rows, greatest first. Lives as long as one call."""

    def __init__(self, graph: HeapGraph, limit: int, under: int | None, *, named: bool = True) -> None:
        self.graph = graph
        self.named = named
        self.limit = limit
        self.starts, self.below = children(graph)
        self.retained = graph.dominators.retained_bytes
        self.grouped = self.deep = 0
        self.unopened = 0
        self.whole = under is None
        top = np.array([len(graph) if under is None else under], np.uint32)
        if under is None:
            first = _Row(-1, top, "whole heap", "", graph.total_bytes)
        else:
            first = self._single(-1, under)
        first.children = self._child_count(first)
        self.rows = [first]
        self.waiting = [(-first.retained, 0)]
        self._open_all()

    def _open_all(self) -> None:
        while self.waiting:
            _, at = heapq.heappop(self.waiting)
            row = self.rows[at]
            if row.depth >= _DEEPEST:
                self.deep += 1
                continue
            found = self._open(at)
            room = self.limit - len(self.rows)
            if len(found) > room:
                self.unopened += 1
            for new in found[:room]:
                self._measure(new)
                if new.children:
                    heapq.heappush(self.waiting, (-new.retained, len(self.rows)))
                self.rows.append(new)
            if len(self.rows) >= self.limit:
                self.unopened += len(self.waiting)
                return

    def _open(self, at: int) -> list[_Row]:
        """Return what a row's objects dominate, greatest first."""
        row = self.rows[at]
        kids = self._kids(row)
        sort = self._sort_few if len(kids) <= _FEW else self._sort_many
        singles, groups = sort(row, kids) if len(kids) else ([], [])
        found = [self._single(at, node) for node in singles]
        found += self._groups(at, groups)
        if at == 0 and self.whole:
            found += self._garbage()
        found.sort(key=lambda new: (-new.retained, new.node, new.type_name))
        return found

    def _sort_many(self, row: _Row, kids: Nodes) -> tuple[list[int], list[_Group]]:
        """Return what is listed for itself, and the others by type, the heaviest type first."""
        kept, kinds = self.retained[kids], self.graph.type_of[kids]
        count = len(self.graph.types)
        number, weight = np.bincount(kinds, minlength=count), sums(kinds, kept, count)
        alone = number[kinds] == 1
        if self._names_its_own(row):
            mean = weight[kinds] / number[kinds]
            alone |= (kept * _SMALL >= row.retained) & (
                (number[kinds] <= _SHOWN) | (kept >= _OUTSTANDING * mean)
            )
        listed = np.flatnonzero(alone)
        listed = listed[np.lexsort((kids[listed], -kept[listed]))][:_SHOWN]
        rest = np.delete(kids, listed)
        if not len(rest):
            return kids[listed].tolist(), []
        kinds = self.graph.type_of[rest]
        narrow = np.uint16 if count < _FEW_TYPES else np.uint32  # numpy sorts 16 bits by radix
        order = np.argsort(kinds.astype(narrow, copy=False), kind="stable")
        rest, kinds = rest[order], kinds[order]
        bounds = np.flatnonzero(np.diff(kinds.astype(np.int64), prepend=-1, append=count))
        weight = np.add.reduceat(self.retained[rest], bounds[:-1])
        groups = [
            (int(kinds[bounds[place]]), int(weight[place]), rest[bounds[place] : bounds[place + 1]])
            for place in np.lexsort((kinds[bounds[:-1]], -weight)).tolist()
        ]
        return kids[listed].tolist(), groups

    def _sort_few(self, row: _Row, kids: Nodes) -> tuple[list[int], list[_Group]]:
        """Do the same as ``_sort_many``, in a tenth of its time where there are few."""
        kinds = self.graph.type_of[kids].tolist()
        siblings = list(zip(kids.tolist(), self.retained[kids].tolist(), kinds, strict=True))
        number: dict[int, int] = {}
        weight: dict[int, int] = {}
        for _, kept, kind in siblings:
            number[kind] = number.get(kind, 0) + 1
            weight[kind] = weight.get(kind, 0) + kept
        own = self._names_its_own(row)
        alone = [
            (-kept, node)
            for node, kept, kind in siblings
            if number[kind] == 1
            or (
                own
                and kept * _SMALL >= row.retained
                and (number[kind] <= _SHOWN or kept >= _OUTSTANDING * (weight[kind] / number[kind]))
            )
        ]
        singles = [node for _, node in sorted(alone)[:_SHOWN]]
        listed = set(singles)
        rest: dict[int, list[tuple[int, int]]] = {}
        for node, kept, kind in siblings:
            if node not in listed:
                rest.setdefault(kind, []).append((node, kept))
        groups = [
            (kind, sum(kept for _, kept in members), np.array([node for node, _ in members], np.uint32))
            for kind, members in rest.items()
        ]
        groups.sort(key=lambda group: (-group[1], group[0]))
        return singles, groups

    def _names_its_own(self, row: _Row) -> bool:
        """Tell whether what a row holds may be listed one by one: members of a group have no names."""
        return row.members is None or len(row.members) == 1

    def _kids(self, row: _Row) -> Nodes:
        if row.members is None:
            return self.below[self.starts.item(row.node) : self.starts.item(row.node + 1)]
        low = self.starts[row.members].astype(np.int64)
        lengths = self.starts[row.members.astype(np.int64) + 1].astype(np.int64) - low
        shift = (low - (lengths.cumsum() - lengths)).repeat(lengths)
        found: Nodes = self.below[np.arange(int(lengths.sum())) + shift]
        return found

    def _child_count(self, row: _Row) -> int:
        if row.members is None:
            return self.starts.item(row.node + 1) - self.starts.item(row.node)
        upper = self.starts[row.members.astype(np.int64) + 1].astype(np.int64)
        return int((upper - self.starts[row.members]).sum())

    def _single(self, at: int, node: int) -> _Row:
        graph = self.graph
        if not self.named:
            return _Row(at, None, "", graph.type_name(node), self.retained.item(node), node)
        above = int(forest(graph).parent[node])
        holder = int(graph.dominators.parent[node])
        via = via_name(graph, holder, node) if holder < len(graph) else ""
        if not via and above not in (node, NO_NODE):
            via = via_name(graph, above, node)
        name = node_name(graph, node)
        root = root_of(graph, node) if at <= 0 and above == node else None
        if root is not None and root[1] != name and not via and len(root_links(graph, node, root[1])) > 1:
            via = root[1]
        return _Row(at, None, name, graph.type_name(node), self.retained.item(node), node, via)

    def _groups(self, at: int, groups: list[_Group]) -> list[_Row]:
        """Return a row for each type of siblings; the lesser types go into one last row."""
        found: list[_Row] = []
        for kind, weight, members in groups[:_SHOWN]:
            if len(members) == 1:
                found.append(self._single(at, members.item(0)))
                continue
            name = self.graph.types[kind]
            found.append(_Row(at, members, short_name(name), name, weight))
            self.grouped += len(members)
        lesser = groups[_SHOWN:]
        if lesser:
            members = np.concatenate([members for _, _, members in lesser])
            label = f"objects of {format_things(len(lesser), 'other type')}"
            found.append(_Row(at, members, label, "", sum(weight for _, weight, _ in lesser)))
            self.grouped += len(members)
        return found

    def _garbage(self) -> list[_Row]:
        node = np.array([len(self.graph) + 1], np.uint32)
        members = self._kids(_Row(0, node, "", "", 0))
        if not len(members):
            return []
        size = int(self.graph.sizes_of(members).sum())
        return [_Row(0, members, GARBAGE, "", size, via="waits for the collector")]

    def _measure(self, row: _Row) -> None:
        row.depth = self.rows[row.parent].depth + 1
        if self.named and row.members is not None:
            row.shallow = int(self.graph.sizes_of(row.members).sum())
        row.children = self._child_count(row)

    def result(self) -> HeapTree:
        rows = self.rows
        single = [row for row in rows if row.members is None]
        sizes = self.graph.sizes_of(np.array([row.node for row in single], np.uint32)).tolist()
        for row, size in zip(single, sizes, strict=True):
            row.shallow = size
        return HeapTree(
            parent=ints([row.parent for row in rows]),
            node=ints([row.node for row in rows]),
            objects=ints([0 if self.whole and at == 0 else row.count for at, row in enumerate(rows)]),
            shallow_bytes=ints([row.shallow for row in rows]),
            retained_bytes=ints([row.retained for row in rows]),
            children=ints([row.children for row in rows]),
            label=tuple(row.label for row in rows),
            type_name=tuple(row.type_name for row in rows),
            via=tuple(row.via for row in rows),
            total_objects=len(self.graph),
            total_bytes=self.graph.total_bytes,
            cut=self._cut(),
            complete=self.graph.complete,
            notes=self.graph.notes,
        )

    def _cut(self) -> str:
        parts = []
        if self.grouped:
            parts.append(f"{format_things(self.grouped, 'object')} put together by type with siblings")
        if self.unopened:
            parts.append(f"{format_things(self.unopened, 'row')} not opened in full for want of room")
        if self.deep:
            parts.append(f"{format_things(self.deep, 'row')} not followed below level {_DEEPEST}")
        return "; ".join(parts).capitalize() + "." if parts else ""
