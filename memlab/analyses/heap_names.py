"""Nodes of a heap graph in words, and from live objects back to nodes.

Everything said was read at capture and lies in the graph's short tables; nothing here looks into an object.
A live object is found by its address and its type's name, both of which are read without running its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.safety import instance_type_name, short_name
from memlab.analyses._graph import kept
from memlab.errors import UsageError
from memlab.records.chain import Link, RootKind
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, HeapGraph

if TYPE_CHECKING:
    from memlab.records.columns import Ints, Nodes, Words

__all__ = [
    "find_held",
    "node_name",
    "node_of",
    "place_name",
    "resolve",
    "root_links",
    "root_of",
    "roots_of",
    "short_type",
    "via_name",
    "vias_of",
]

_OUTSIDE = RootKind.OUTSIDE.value
_THEMSELVES = (
    *("module ", "class ", "thread ", "frame ", "globals ", "body "),
    *("IPython shell", "display hook", "the notebook's variables", "the shell's hidden names"),
)
"""Words that a root's label begins with when it names the object itself, not the place that holds it."""


def node_name(graph: HeapGraph, node: int) -> str:
    """Return the label read at capture, else the type's short name; a module's dictionary is the module."""
    at = int(np.searchsorted(graph.label_node, np.uint32(node)))
    known = at < len(graph.label_node) and int(graph.label_node[at]) == node
    name, plain = graph.label[at] if known else "", short_type(graph, node)
    if not name or name == plain:
        labels = (label for _, label in _named_roots(graph, node))
        name = next((label for label in labels if label.startswith(_THEMSELVES)), name)
    return name or plain


def short_type(graph: HeapGraph, node: int) -> str:
    """Return a node's type without its module."""
    return short_name(graph.type_name(node))


def via_name(graph: HeapGraph, holder: int, held: int) -> str:
    """Return how one object holds another (``.cache``, ``[3]``); empty where that was not read."""
    keys, rows = _via_index(graph)
    key = np.uint64((holder << 32) | held)
    at = int(np.searchsorted(keys, key))
    return graph.via[int(rows[at])] if at < len(keys) and keys[at] == key else ""


def vias_of(graph: HeapGraph, holders: Nodes, held: Nodes) -> list[str]:
    """Return ``via_name`` for many references at once."""
    keys, rows = _via_index(graph)
    if not len(keys):
        return [""] * len(holders)
    asked = _keys(holders, held)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    known = keys[at] == asked
    return [graph.via[row] if ok else "" for row, ok in zip(rows[at].tolist(), known.tolist(), strict=True)]


def find_held(graph: HeapGraph, holder: int, via: str) -> int:
    """Return what an object holds under a name, or -1."""
    keys, rows = _via_index(graph)
    low, high = np.searchsorted(keys, np.array([holder << 32, (holder + 1) << 32], np.uint64))
    for row in rows[low:high].tolist():
        if graph.via[row] == via:
            return int(graph.via_held[row])
    return -1


def place_name(graph: HeapGraph, holder: int, node: int) -> str:
    """Return a node in words, a nameless container with the name that a holder has for it.

    The form is that of chains: ``_live (set)``.
    """
    name = node_name(graph, node)
    via = via_name(graph, holder, node).removeprefix(".")
    return f"{via} ({name})" if via and via != "__dict__" and name == short_type(graph, node) else name


def node_of(graph: HeapGraph, obj: object) -> int:
    """Return the number of a live object in the graph.

    Raises:
        UsageError: when no node has the object's address and type.
    """
    addresses, order = _address_index(graph)
    wanted = np.uint64(id(obj))
    kind = instance_type_name(obj)
    low, high = np.searchsorted(addresses, wanted, "left"), np.searchsorted(addresses, wanted, "right")
    for node in order[low:high].tolist():
        if graph.type_name(node) == kind:
            return int(node)
    raise UsageError(
        f"asking a heap graph about an object: this {short_name(kind)} is not in it. Capture again with "
        "memlab.heap() while the object is alive, in the process that holds it"
    )


def resolve(graph: HeapGraph, target: object) -> int:
    """Return the node that a caller means: a numpy integer is a node's number, all else a live object.

    Raises:
        UsageError: when the graph has no such node or object.
    """
    if not issubclass(type(target), np.integer):
        return node_of(graph, target)
    node = int(target)  # type: ignore[call-overload]  # by its type a numpy integer
    if not 0 <= node < len(graph):
        raise UsageError(
            f"asking a heap graph about node {node}: its nodes are numbered 0 to {len(graph) - 1:,}"
        )
    return int(node)


# -- roots


def roots_of(graph: HeapGraph, node: int) -> list[tuple[RootKind, str]]:
    """Return every way in which something outside the graph holds a node, best first."""
    found = _named_roots(graph, node)
    if found:
        return found
    flags = int(graph.flags[node])
    if flags & IMMORTAL:
        if node_name(graph, node).startswith("class ") or graph.type_name(node) == "builtins.type":
            return [(RootKind.TYPE, node_name(graph, node))]
        return [(RootKind.OUTSIDE, "never freed by the interpreter")]
    return [(RootKind.OUTSIDE, _OUTSIDE)] if flags & EXTERNAL else []


def root_of(graph: HeapGraph, node: int) -> tuple[RootKind, str] | None:
    """Return the kind and label of a root; the first named one where there are several, None for no root."""
    found = roots_of(graph, node)
    return found[0] if found else None


def root_links(graph: HeapGraph, node: int, label: str) -> tuple[Link, ...]:
    """Return the beginning of a chain: the root itself, or the place that holds it and then the object."""
    type_name = graph.type_name(node)
    if label.startswith(_THEMSELVES) or label == node_name(graph, node):
        return (Link("", label, type_name),)
    return Link("", label, ""), Link("", node_name(graph, node), type_name)


# -- indexes, made when first asked


@kept
def _via_index(graph: HeapGraph) -> tuple[Words, Ints]:
    keys = _keys(graph.via_holder, graph.via_held)
    distinct, rows = np.unique(keys, return_index=True)
    return distinct, rows


def _keys(holders: Nodes, held: Nodes) -> Words:
    return (holders.astype(np.uint64) << np.uint64(32)) | held


@kept
def _address_index(graph: HeapGraph) -> tuple[Words, Ints]:
    order = np.argsort(graph.address, kind="stable")
    return graph.address[order], order


@kept
def _root_index(graph: HeapGraph) -> tuple[Nodes, Ints]:
    order = np.argsort(graph.root_node, kind="stable")
    return graph.root_node[order], order


def _named_roots(graph: HeapGraph, node: int) -> list[tuple[RootKind, str]]:
    nodes, order = _root_index(graph)
    wanted = np.uint32(node)
    low, high = np.searchsorted(nodes, wanted, "left"), np.searchsorted(nodes, wanted, "right")
    return [(graph.root_kind[row], graph.root_label[row]) for row in sorted(order[low:high].tolist())]
