"""Accumulation points: where in the dominator tree the heap's weight comes together.

After the leak suspects of Eclipse MAT. From what the virtual root holds, the tree is descended while one
child keeps more than four fifths of what its parent does: where that ends, the weight spreads over many
objects, and this is the accumulation point. Modules and the like own everything and explain nothing: they
are passed through, each of their great children on its own. Siblings of one type that are great only
together are one suspect, under what dominates them all.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import short_name
from memlab._base.units import format_bytes, format_count
from memlab.analyses.dominators import children, children_of, subtree
from memlab.analyses.heap_census import contents_of, sums
from memlab.analyses.heap_names import node_name, short_type
from memlab.analyses.heap_paths import chain_to, held_in_words
from memlab.errors import UsageError
from memlab.records.chain import RootKind
from memlab.records.heap_results import HeapSuspect, HeapSuspects, TypeCount

if TYPE_CHECKING:
    from memlab.records.chain import ReferenceChain
    from memlab.records.columns import Nodes
    from memlab.records.heap_graph import HeapGraph

__all__ = ["suspects"]

_NAMELESS = ("", "[value]", "[key]", "[member]")
_DROP = 0.8
_MOST = 20
_MODULE = "builtins.module"
_MOST_MODULES = 20_000
_PATH = 256
_SAME = 8
_SHOWN_TYPES = 8
_LEVELS = 6
_SHARE_OF_CONTENTS = 0.5
_PLUMBING = frozenset(
    (
        "builtins.type",
        "builtins.code",
        "builtins.function",
        "builtins.module",
        "builtins.builtin_function_or_method",
        "builtins.getset_descriptor",
        "builtins.wrapper_descriptor",
        "builtins.method_descriptor",
        "builtins.classmethod_descriptor",
        "builtins.member_descriptor",
        "builtins.property",
        "builtins.staticmethod",
        "builtins.classmethod",
    )
)
"""What programs themselves are made of: many of them together are no suspect."""


@dataclasses.dataclass(slots=True, eq=False)
class _Found:
    """A place before it is put into words: one node, or members of one type below ``node``."""

    node: int
    retained: int
    members: Nodes | None = None
    linked: bool = False
    """The node is the first of a list of links."""


def suspects(graph: HeapGraph, share: float) -> HeapSuspects:
    """Return accumulation points that retain at least a share of the heap, greatest first.

    Raises:
        UsageError: when the share is not between 0 and 1.
    """
    if not 0 < share <= 1:
        raise UsageError(f"looking for leak suspects: share must be over 0 and at most 1, not {share!r}")
    total = graph.total_bytes
    found = _Search(graph, share * total).run() if total else []
    found.sort(key=lambda place: (-place.retained, place.node))
    return HeapSuspects(
        suspects=tuple(_in_words(graph, place) for place in found[:_MOST]),
        total_bytes=total,
        complete=graph.complete,
        notes=graph.notes,
    )


class _Search:
    """Walks down the dominator tree. Lives as long as one call."""

    def __init__(self, graph: HeapGraph, least: float) -> None:
        self.graph = graph
        self.least = least
        self.retained = graph.dominators.retained_bytes
        self.found: list[_Found] = []
        # Hundreds of modules are no finding: their namespaces, classes and functions.
        self.spaces = np.zeros(len(graph), bool)
        self.spaces[graph.owner_node] = True
        kinds = (RootKind.MODULE, RootKind.TYPE)
        rows = [at for at, kind in enumerate(graph.root_kind) if kind in kinds]
        self.spaces[graph.root_node[rows]] = True

    def run(self) -> list[_Found]:
        waiting = [len(self.graph)]  # the virtual root is passed through as modules are
        while waiting:
            node = waiting.pop()
            if node == len(self.graph) or self._is_namespace(node):
                waiting += self._great(node)
                continue
            whole = self._descend(node)
            path = self._before_repetition(whole)
            if self._is_namespace(path[-1]):
                waiting.append(path[-1])
            else:
                linked = len(path) < len(whole)
                self.found.append(_Found(path[-1], int(self.retained[path[-1]]), linked=linked))
            for above, heir in pairwise(path):
                waiting += [other for other in self._great(above) if other != heir]
        return self.found

    def _great(self, node: int) -> list[int]:
        """Return the children that are great by themselves; note types that are great together."""
        kids = children_of(self.graph, node)
        great = self.retained[kids] >= self.least
        self._groups(node, kids[~great])
        found: list[int] = kids[great].tolist()
        return found

    def _groups(self, namespace: int, kids: Nodes) -> None:
        """Find types whose members, each small, are great together."""
        graph = self.graph
        kids = kids[~self.spaces[kids]]
        kinds = graph.type_of[kids]
        weight = sums(kinds, self.retained[kids], len(graph.types))
        for kind in np.flatnonzero(weight >= self.least).tolist():
            if graph.types[kind] not in _PLUMBING:
                node = namespace if namespace < len(graph) else -1
                self.found.append(_Found(node, int(weight[kind]), kids[kinds == kind]))

    def _descend(self, node: int) -> list[int]:
        """Follow the child that keeps nearly all of what its parent keeps, as far as a namespace."""
        path = [node]
        while len(path) < _PATH and not self._is_namespace(path[-1]):
            kids = children_of(self.graph, path[-1])
            if not len(kids):
                break
            heir = int(kids[int(np.argmax(self.retained[kids]))])
            kept = self.retained[heir]
            if kept < self.least or kept <= _DROP * self.retained[path[-1]]:
                break
            path.append(heir)
        return path

    def _before_repetition(self, path: list[int]) -> list[int]:
        """Cut a descent along a list of links to its first: no link keeps the list more than the others."""
        lost = self.retained[path[-1]] < _DROP * self.retained[path[0]]
        if len(path) < _PATH and not lost:
            return path
        kinds = [int(self.graph.type_of[node]) for node in path]
        links = set(kinds[-_SAME:])
        if len(path) < _SAME or len(links) * 2 > _SAME:
            return path
        at = len(path) - 1
        while at > 0 and kinds[at - 1] in links:
            at -= 1
        return path[: at + 1]

    def _is_namespace(self, node: int) -> bool:
        """Tell whether a node is a module, its dictionary, or the table of all modules."""
        graph = self.graph
        if graph.type_name(node) == _MODULE or node_name(graph, node).startswith("module "):
            return True
        kids = children_of(graph, node)
        if graph.type_name(node) != "builtins.dict" or not 0 < len(kids) <= _MOST_MODULES:
            return False
        return 2 * sum(graph.type_name(kid) == _MODULE for kid in kids.tolist()) >= len(kids)


# -- in words


def _in_words(graph: HeapGraph, place: _Found) -> HeapSuspect:
    share = place.retained / graph.total_bytes
    much = f"{format_bytes(place.retained)}, {share:.0%} of the heap"
    if place.members is not None:
        return _group_in_words(graph, place, place.members, much, share)
    chain = chain_to(graph, place.node)
    below = children_of(graph, place.node)
    inside = subtree(graph, np.array([place.node], np.uint32))
    label = _label(graph, place.node, chain)
    if place.linked:
        contents = contents_of(graph, inside, _SHOWN_TYPES)
        links = int((graph.type_of[inside] == graph.type_of[place.node]).sum())
        made_of = f"{format_count(links)} {short_type(graph, place.node)}, each held by the one before"
    else:
        contents = _by_type(graph, below)
        made_of = _made_of(graph, below, contents)
    plain = label == short_type(graph, place.node)
    subject = f"{'An' if label[:1].lower() in 'aeiou' else 'A'} {label}" if plain else label
    finding = f"keeps {much}: {made_of}" if made_of else f"is {much} by itself"
    return HeapSuspect(
        label=label,
        type_name=graph.type_name(place.node),
        node=place.node,
        retained_bytes=place.retained,
        share=share,
        prose=f"{subject} {finding}.{_where(chain)}",
        chain=chain,
        contents=contents,
        objects=len(inside),
    )


def _group_in_words(graph: HeapGraph, place: _Found, members: Nodes, much: str, share: float) -> HeapSuspect:
    greatest = int(members[int(np.argmax(graph.dominators.retained_bytes[members]))])
    type_name = graph.type_name(greatest)
    label = f"{format_count(len(members))} {short_name(type_name)}"
    chain = chain_to(graph, place.node if place.node >= 0 else greatest)
    if place.node >= 0:
        where = f" All of them hang from {_label(graph, place.node, chain)}."
    else:
        where = " No single object holds them all."
        if chain is not None and len(chain.links) > 1:
            where += f" One of them is held by {held_in_words(chain)}."
    return HeapSuspect(
        label=label,
        type_name=type_name,
        node=place.node,
        retained_bytes=place.retained,
        share=share,
        prose=f"{label} together keep {much}.{where}",
        chain=chain,
        contents=_by_type(graph, members),
        objects=len(subtree(graph, members)),
    )


def _label(graph: HeapGraph, node: int, chain: ReferenceChain | None) -> str:
    """Name a place: by its own label, else by the name that its holder has for it."""
    if chain is not None:
        last = chain.links[-1]
        if last.label != short_type(graph, node) or last.via in _NAMELESS:
            return last.label
        return f"{last.via.removeprefix('.')} ({last.label})"
    return node_name(graph, node)


def _where(chain: ReferenceChain | None) -> str:
    if chain is None:
        return " No root was found that holds it."
    if len(chain.links) == 1:
        return ""
    if len(chain.links) == 2:  # noqa: PLR2004 - the root and the object
        return f" It is held by {chain.links[0].label}."
    return f" It is held by {held_in_words(chain)}."


def _by_type(graph: HeapGraph, nodes: Nodes) -> tuple[TypeCount, ...]:
    """Count siblings by type, with what they retain, greatest first."""
    count = len(graph.types)
    kinds = graph.type_of[nodes]
    objects = np.bincount(kinds, minlength=count)
    kept = sums(kinds, graph.dominators.retained_bytes[nodes], count)
    shallow = sums(kinds, graph.sizes_of(nodes), count)
    order = np.lexsort((-objects, -kept))[:_SHOWN_TYPES]
    return tuple(
        TypeCount(graph.types[i], int(objects[i]), int(shallow[i]), int(kept[i]))
        for i in order.tolist()
        if objects[i]
    )


def _made_of(graph: HeapGraph, below: Nodes, contents: tuple[TypeCount, ...]) -> str:
    """Say what a place is made of: the first type of the program's own under it, else its children's.

    A cache whose entries are tuples of a time and a session is made of sessions.
    """
    if not contents:
        return ""
    total = sum(row.retained_bytes for row in contents)
    level, rows = below, contents
    starts, edges = children(graph)
    for _ in range(_LEVELS):
        first = rows[0]
        if first.retained_bytes < _SHARE_OF_CONTENTS * total:
            break
        if not first.type_name.startswith(("builtins.", "collections.")):
            return _counted(first)
        kind = graph.types.index(first.type_name)
        members = level[graph.type_of[level] == kind]
        lengths = starts[members.astype(np.int64) + 1].astype(np.int64) - starts[members]
        shift = (starts[members].astype(np.int64) - (lengths.cumsum() - lengths)).repeat(lengths)
        level = edges[np.arange(int(lengths.sum())) + shift]
        rows = _by_type(graph, level)
        if not rows:
            break
    best = contents[0]
    words = _counted(best)
    if len(contents) > 1 and best.retained_bytes < _SHARE_OF_CONTENTS * total:
        words += f" and {_counted(contents[1])}"
    return words


def _counted(row: TypeCount) -> str:
    return f"{format_count(row.objects)} {short_name(row.type_name)}"
