"""Why an object is alive: the shortest named chains from roots to it, each through another holder.

One forest of breadth-first walks serves all questions. It grows from the roots that say most: what modules,
threads and types hold; then what a notebook and the last exception keep for themselves; then running
frames; last what is held outside Python. What an earlier walk reached, a later one does not enter, so
whatever a module leads to is explained by that module, however near some frame holds it too.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_bytes, format_things
from memlab.analyses import _graph
from memlab.analyses._graph import kept
from memlab.analyses.heap_names import (
    node_name,
    resolve,
    root_links,
    root_of,
    roots_of,
    short_type,
    via_name,
    vias_of,
)
from memlab.collectors.notebook import notebook_remedy
from memlab.records.chain import Explanation, Link, ReferenceChain, RootKind
from memlab.records.heap_graph import NO_NODE, HeapGraph

if TYPE_CHECKING:
    from memlab.records.columns import Bytes, Nodes

__all__ = [
    "Forest",
    "chain_to",
    "chains_to",
    "explain",
    "forest",
    "grow",
    "held_in_words",
    "holders",
    "path_to",
]

_SHOWN = 16
_SPARE = 4
"""Looked at beyond those shown: some turn out to be the notebook's, or the same in words."""
_WINDOW = 24
"""Links looked at on either end of a long path: enough for those shown, however they fold."""
_FOLDED = ".__dict__"
_CELL, _IN_CELL = "builtins.cell", ".cell_contents"
_OUT, _SYS = "Out", "module sys"
_SPACES = ("module __main__", "the notebook's variables", "the shell's hidden names", _OUT)
_TURNS = (
    (RootKind.MODULE, RootKind.THREAD, RootKind.TYPE),
    (RootKind.NOTEBOOK, RootKind.LAST_EXCEPTION),
    (RootKind.FRAME,),
)
_USERS_OBJECT = re.compile(r"_{1,3}|_\d+|Out\[.*\]")
"""Labels of notebook roots that are objects of the user's; the others are the notebook's own books."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Shortest ways from the roots.

    Attributes:
        parent: who leads to each node, shape ``(nodes,)``; a root where a chain starts leads to itself, and
            ``NO_NODE`` stands at what no root reaches.
        rank: when each node was reached, shape ``(nodes,)``: lower is nearer to a better root.
    """

    parent: Nodes
    rank: Nodes


@kept
def forest(graph: HeapGraph) -> Forest:
    """Return the forest of a whole graph, grown once."""
    return grow(graph, graph.edges, np.zeros(len(graph), np.uint8))


@kept
def holders(graph: HeapGraph) -> tuple[Nodes, Nodes]:
    """Return the references backwards: offsets, and the holders of each node in ascending order."""
    return _graph.reverse(graph.starts, graph.edges)


def grow(graph: HeapGraph, edges: Nodes, closed: Bytes) -> Forest:
    """Grow a forest on other references (as many as the graph has), around closed nodes."""
    parent = np.full(len(graph), NO_NODE, np.uint32)
    rank = np.full(len(graph), NO_NODE, np.uint32)
    known = 0
    turns = _turns(graph)
    for number, seeds in enumerate(turns):
        if not len(seeds):
            continue
        shut = closed.copy()
        shut[parent != NO_NODE] = 1
        if number == 0:
            shut[_books(graph)] = 1  # Out is reached from the notebook's own root, not through __main__
        found, order = _graph.breadth_first(graph.starts, edges, seeds, shut)
        parent[order] = found[order]
        rank[order] = np.arange(known, known + len(order), dtype=np.uint32)
        known += len(order)
    return Forest(parent, rank)


def _turns(graph: HeapGraph) -> list[Nodes]:
    kinds = np.array([_turn(kind) for kind in graph.root_kind], np.int64)
    named = [graph.root_node[kinds == turn] for turn in range(len(_TURNS))]
    return [*named, graph.root_node[kinds == len(_TURNS)], graph.roots]


def _turn(kind: RootKind) -> int:
    return next((turn for turn, kinds in enumerate(_TURNS) if kind in kinds), len(_TURNS))


@kept
def _books(graph: HeapGraph) -> Nodes:
    """Return roots that are the notebook's own or the last exception, and are in no better turn."""
    better = {n for n, k in zip(graph.root_node.tolist(), graph.root_kind, strict=True) if _turn(k) == 0}
    found = [
        node
        for node, kind, label in zip(graph.root_node.tolist(), graph.root_kind, graph.root_label, strict=True)
        if _turn(kind) == 1 and node not in better and not _USERS_OBJECT.fullmatch(label)
    ]
    return np.array(found, np.uint32)


def path_to(graph: HeapGraph, node: int, ways: Forest | None = None) -> list[int]:
    """Return the nodes from a root to a node; empty when no root reaches it."""
    parent = (ways or forest(graph)).parent
    if int(parent[node]) == NO_NODE:
        return []
    up = memoryview(parent)  # type: ignore[arg-type]  # a numpy array is a buffer
    path = [node]
    while up[node] != node:
        node = up[node]
        path.append(node)
    path.reverse()
    return path


def chain_to(graph: HeapGraph, node: int, ways: Forest | None = None) -> ReferenceChain | None:
    """Return the shortest named chain from a root to a node, or None when no root reaches it."""
    path = path_to(graph, node, ways)
    root = root_of(graph, path[0]) if path else None
    return _chain(graph, path, *root) if root is not None else None


def chains_to(
    graph: HeapGraph, node: int, ways: Forest, back: tuple[Nodes, Nodes], most: int
) -> list[ReferenceChain]:
    """Return chains to a node, each through another direct holder, best first.

    Args:
        graph: names come from here.
        node: the end of all chains.
        ways: a forest in which no way leads through the node.
        back: the references backwards, those that count.
        most: at most so many.
    """
    found: list[tuple[int, int, ReferenceChain]] = []
    for kind, label in roots_of(graph, node):
        turn = _turn(kind)
        found.append((turn, -1, ReferenceChain(kind, root_links(graph, node, label))))
    starts, all_holders = back
    direct = np.unique(all_holders[int(starts[node]) : int(starts[node + 1])])
    direct = direct[(ways.parent[direct] != NO_NODE) & (direct != node)]
    # The rank orders by turn first, then by distance.
    direct = direct[np.argsort(ways.rank[direct], kind="stable")]
    for holder in direct[: most + _SPARE].tolist():
        path = path_to(graph, holder, ways)
        root = root_of(graph, path[0])
        if root is not None:
            chain = _chain(graph, [*path, node], *root)
            found.append((_turn(chain.root), int(ways.rank[holder]), chain))
    # Of a cell's several names, Out[3] is the one that people know.
    found.sort(key=lambda item: (item[0], not item[2].links[0].label.startswith("Out["), item[1]))
    return list(dict.fromkeys(chain for _, _, chain in found))[:most]


def explain(graph: HeapGraph, target: object, chains: int) -> Explanation:
    """Return who holds an object: at most so many chains, and the finding in a sentence.

    Raises:
        UsageError: when the graph has no such object.
    """
    node = resolve(graph, target)
    starts, _ = holders(graph)
    references = int(starts[node + 1]) - int(starts[node])
    if int(forest(graph).parent[node]) == NO_NODE:
        found, verdict = _garbage(graph, node)
    else:
        # A way to one of its holders that leads through the object itself explains nothing.
        leaf = int(graph.starts[node]) == int(graph.starts[node + 1])
        ways = forest(graph) if leaf else grow(graph, graph.edges, _only(graph, node))
        found = chains_to(graph, node, ways, holders(graph), max(chains, 1))
        verdict = _verdict(found, references, graph, node)
    return Explanation(
        type_name=graph.type_name(node),
        chains=tuple(found[: max(chains, 0)]),
        verdict=verdict,
        holders=references,
        searched=len(graph),
        complete=graph.complete,
        notes=graph.notes,
    )


def _only(graph: HeapGraph, node: int) -> Bytes:
    closed = np.zeros(len(graph), np.uint8)
    closed[node] = 1
    return closed


def held_in_words(chain: ReferenceChain) -> str:
    """Return who holds the end of a chain: ``_live (set), reached from module app.registry``."""
    root, last = chain.links[0].label, chain.links[-1]
    if len(chain.links) == 1:
        return root
    how = f" at {last.via}" if last.via.startswith("[") else f" ({last.via})" if last.via else ""
    how = {"[value]": "", "[member]": "", "[key]": " as a key"}.get(last.via, how)
    if len(chain.links) == 2:  # noqa: PLR2004 - the root and the object
        return f"{root}{how}"
    if chain.root is RootKind.OUTSIDE:
        return f"{chain.links[-2].label}{how}, which no name leads to ({root})"
    return f"{chain.links[-2].label}{how}, reached from {root}"


def _verdict(found: list[ReferenceChain], references: int, graph: HeapGraph, node: int) -> str:
    retained = int(graph.dominators.retained_bytes[node])
    frees = f" It retains {format_bytes(retained)}."
    if not found:
        return "Only references from inside what it holds lead to it." + frees
    if all(chain.root is RootKind.NOTEBOOK for chain in found):
        return f"Only the notebook's own records hold it. {notebook_remedy(found)}{frees}"
    best = found[0]
    if best.root is RootKind.OUTSIDE and len(best.links) <= 2:  # noqa: PLR2004 - the place, the object
        words = best.links[0].label
        code = (
            ": C code or a value in use on a thread's stack refers to it" if words == best.root.value else ""
        )
        return f"It is {words}{code}.{frees}"
    if len(best.links) == 1:
        return f"It is itself a root: {best.links[0].label}.{frees}"
    more = references - 1
    also = f" {format_things(more, 'more reference')} to it." if more > 0 else ""
    return f"It is held by {held_in_words(best)}.{also}{frees}"


# -- what no root reaches


def _garbage(graph: HeapGraph, node: int) -> tuple[list[ReferenceChain], str]:
    starts, back = holders(graph)
    direct = back[int(starts[node]) : int(starts[node + 1])]
    if not len(direct):
        return [], "No root reaches it and nothing in the graph holds it: it was about to be freed."
    seed = np.array([node], np.uint32)
    down, order = _graph.breadth_first(graph.starts, graph.edges, seed)
    below = np.zeros(len(graph), bool)
    below[order] = True
    in_cycle = direct[below[direct]]
    if len(in_cycle):
        rank = np.zeros(len(graph), np.int64)
        rank[order] = np.arange(len(order))
        nearest = int(in_cycle[np.argmin(rank[in_cycle])])
        path = [node] if nearest == node else path_to(graph, nearest, Forest(down, down))
        chain = _chain(graph, [*path, node], RootKind.GARBAGE, "")
        return [chain], (
            "No root reaches it. Nothing holds it but its own reference cycle: it waits for the collector; "
            "`gc.collect()` frees it."
        )
    up, order = _graph.breadth_first(starts, back, seed)
    top = int(order[-1])
    path = path_to(graph, top, Forest(up, up))[::-1]
    chain = _chain(graph, path, RootKind.GARBAGE, "")
    return [chain], "No root reaches it. Garbage in a reference cycle holds it: `gc.collect()` frees that."


# -- from a path of nodes to words


def _chain(graph: HeapGraph, path: list[int], kind: RootKind, label: str) -> ReferenceChain:
    """Write a path as a chain, cut in the middle when it is long. Only what is shown is named."""
    kind, label, path, name = _known_by(graph, path, kind, label)
    start = root_links(graph, path[0], label) if label else (_link(graph, "", path[0]),)
    if name:  # of several names in the notebook's namespace the user's own
        start, path = (*start, _link(graph, f".{name}", path[1])), path[1:]
    if len(path) <= 2 * _WINDOW:
        return _shortened(kind, [*start, *_steps(graph, path)], 0)
    before, after = _WINDOW, len(path) - _WINDOW
    while before > 1 and via_name(graph, path[before - 2], path[before - 1]) == _FOLDED:
        before -= 1  # the head must not end inside a step
    while after < len(path) - 2 and via_name(graph, path[after - 1], path[after]) == _FOLDED:
        after += 1  # nor the tail begin inside one
    between = np.array(path[before - 1 : after + 1], np.uint32)
    missing = sum(via != _FOLDED for via in vias_of(graph, between[:-1], between[1:]))
    head, tail = _steps(graph, path[:before]), _steps(graph, path[after:])
    return _shortened(kind, [*start, *head, *tail], missing)


def _known_by(
    graph: HeapGraph, path: list[int], kind: RootKind, label: str
) -> tuple[RootKind, str, list[int], str]:
    """Let a chain begin where people would: at ``Out[3]``, not at a dictionary of outputs.

    Returns:
        The root's kind and label, the path from it, and the user's own name for what the path goes on to.
    """
    if len(path) == 1 or label not in (*_SPACES, _SYS):
        return kind, label, path, ""
    names = [graph.user_name[row] for row in np.flatnonzero(graph.user_node == path[1]).tolist()]
    if label == _SYS:
        last = next((name for name in names if name.startswith("sys.last_")), "")
        if last:
            return RootKind.LAST_EXCEPTION, last, path[1:], ""
        if graph.type_name(path[1]).endswith("DisplayHook") and len(path) > 2:  # noqa: PLR2004 - it holds on
            return RootKind.NOTEBOOK, "display hook", path[1:], ""
        return kind, label, path, ""
    own = sorted(name for name in names if name.isidentifier() and not name.startswith("_"))
    if own and label != _OUT:
        return kind, label, path, own[0]
    cells = sorted(name for name in names if name.startswith("Out[")) or sorted(names)
    if cells and (label == _OUT or not own):
        return RootKind.NOTEBOOK, cells[0], path[1:], ""
    return kind, label, path, ""


def _steps(graph: HeapGraph, path: list[int]) -> list[Link]:
    """Name each step but the first node.

    An instance's ``__dict__`` on the way to a value is no step, nor are a function's cells.
    """
    links: list[Link] = []
    for at in range(1, len(path)):
        holder, held = path[at - 1], path[at]
        via = via_name(graph, holder, held)
        if at + 1 < len(path) and (via == _FOLDED or _leads_to_cell(graph, path, at)):
            continue
        if via == _IN_CELL:
            way = via_name(graph, path[at - 2], holder) if at > 1 else ""
            via = way if way.startswith("closure ") else "cell"
        links.append(_link(graph, via, held))
    return links


def _leads_to_cell(graph: HeapGraph, path: list[int], at: int) -> bool:
    """Tell whether a node is a closure's tuple or its cell, on the way to what the cell holds."""
    kind = graph.type_name(path[at])
    if kind == "builtins.tuple":
        return at + 2 < len(path) and graph.type_name(path[at + 1]) == _CELL
    return kind == _CELL and via_name(graph, path[at], path[at + 1]) == _IN_CELL


def _link(graph: HeapGraph, via: str, node: int) -> Link:
    name, plain = node_name(graph, node), short_type(graph, node)
    if via == "cell" or via.startswith("closure "):
        name = name if not name.startswith(f"{_IN_CELL[1:]} (") else plain
    elif name == plain and graph.type_name(node).startswith(("builtins.", "collections.")):
        bare = via.removeprefix(".")
        # A container's type alone says little: it carries the name that it is held under.
        name = f"{bare} ({name})" if via.startswith(".") and bare.isidentifier() and via != _FOLDED else name
    return Link(via, name, graph.type_name(node))


def _shortened(kind: RootKind, links: list[Link], missing: int) -> ReferenceChain:
    if len(links) <= _SHOWN and not missing:
        return ReferenceChain(kind, tuple(links))
    half = _SHOWN // 2
    left_out = len(links) - 2 * half
    return ReferenceChain(kind, (*links[:half], *links[-half:]), left_out + missing)
