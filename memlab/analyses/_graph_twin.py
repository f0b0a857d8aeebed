"""The algorithms of the heap graph in numpy and plain Python: what the C extension does, where it is missing.

Results are identical to the extension's, entry by entry. What is wide is done in whole-array passes, what is
narrow (a list of a million links, one after the other) in a plain loop over memoryviews of the same arrays.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memlab.records.heap_graph import NO_NODE

if TYPE_CHECKING:
    from memlab.records.columns import Bytes, Ints, Nodes

__all__ = ["breadth_first", "dominate", "retained_by_type", "reverse"]

_Mask = npt.NDArray[np.bool_]

_NARROW = 48
"""A level of fewer nodes than this is quicker in a plain loop than in a dozen calls of numpy."""


def reverse(starts: Nodes, edges: Nodes) -> tuple[Nodes, Nodes]:
    """Turn the references round: the holders of each node, ascending, once for each reference.

    >>> starts, holders = reverse(np.array([0, 2, 3], np.uint32), np.array([1, 1, 0], np.uint32))
    >>> starts.tolist(), holders.tolist()
    ([0, 1, 3], [1, 0, 0])
    """
    count = len(starts) - 1
    holders = _holders(starts)[np.argsort(edges, kind="stable")]
    return _starts(edges, count), holders


def breadth_first(starts: Nodes, edges: Nodes, seeds: Nodes, closed: Bytes) -> tuple[Nodes, Nodes]:
    """Walk from the seeds, first come, first served.

    Args:
        starts: see ``HeapGraph``.
        edges: see ``HeapGraph``.
        seeds: where to begin, in this order; repeats are skipped.
        closed: nodes that are never entered, not even as seeds, are not zero here.

    Returns:
        By whom each node was first reached (a seed by itself, ``NO_NODE`` for what was not), and the nodes
        reached, in order.
    """
    count = len(starts) - 1
    parent = np.full(count, NO_NODE, np.uint32)
    order = np.zeros(count, np.uint32)
    first = np.zeros(count, np.int64)  # scratch of _distinct
    level = _distinct(seeds[closed[seeds] == 0], first)
    parent[level] = level
    order[: len(level)] = level
    begin, end = 0, len(level)
    narrow = _NarrowWalk(starts, edges, closed, parent, order)
    while begin < end:
        if end - begin < _NARROW:
            begin, end = narrow.run(begin, end)
            continue
        level = order[begin:end]
        holders, held = _references(starts, edges, level)
        new = (parent[held] == NO_NODE) & (closed[held] == 0)
        holders, held = holders[new], held[new]
        at = _first_places(held, first)
        held = held[at]
        parent[held] = holders[at]
        begin, end = end, end + len(held)
        order[begin:end] = held
    return parent, order[:end].copy()


class _NarrowWalk:
    """The plain loop of a breadth-first walk: one node at a time until a level is wide again."""

    def __init__(self, starts: Nodes, edges: Nodes, closed: Bytes, parent: Nodes, order: Nodes) -> None:
        self._columns = [_view(column) for column in (starts, edges, closed)]
        self._parent, self._order = _view(parent), _view(order)

    def run(self, begin: int, end: int) -> tuple[int, int]:
        starts, edges, closed = self._columns
        parent, order = self._parent, self._order
        while begin < end and end - begin < _NARROW:
            for at in range(begin, end):
                node = order[at]
                low, high = starts[node], starts[node + 1]
                for held in edges[low:high]:
                    if parent[held] == NO_NODE and not closed[held]:
                        parent[held] = node
                        order[end] = held
                        end += 1
                begin += 1
                if end - begin >= _NARROW:
                    break
        return begin, end


def dominate(starts: Nodes, edges: Nodes, roots: Nodes, sizes: Ints) -> tuple[Nodes, Ints]:
    """Find immediate dominators and retained sizes.

    semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005), iterative.
    Before it, nodes that hold nothing and are held by one other only are taken off in rounds: that one is
    their dominator. Two thirds of a usual heap go that way.

    Args:
        starts: see ``HeapGraph``.
        edges: see ``HeapGraph``.
        roots: what the virtual root holds.
        sizes: bytes of each node.

    Returns:
        As ``Dominators`` has them: the virtual root is numbered one past the last node.
    """
    count = len(starts) - 1
    retained = sizes.astype(np.int64)
    parent = np.full(count, NO_NODE, np.uint32)
    reached, _ = breadth_first(starts, edges, roots, np.zeros(count, np.uint8))
    if not count or not len(roots):
        return parent, retained
    links = _distinct_links(starts, edges, roots, reached != NO_NODE)
    peeled = _peel(links, parent)
    for held in peeled:
        # One whose dominator is itself taken off later passes its sum on then.
        above = parent[held] != count
        np.add.at(retained, parent[held][above], retained[held][above])
    numbers, above_of = _semi_nca(links)
    parent[numbers[1:]] = numbers[above_of[1:]]
    _sum_up(retained, numbers, above_of)
    return parent, retained


@dataclasses.dataclass(slots=True, eq=False)
class _Links:
    """Distinct references, those of the virtual root ``top`` among them, sorted by holder."""

    top: int
    holders: Ints
    held: Ints


def _distinct_links(starts: Nodes, edges: Nodes, roots: Nodes, reached: _Mask) -> _Links:
    top = len(starts) - 1
    holders = _holders(starts).astype(np.int64)
    inside = reached[holders] & (holders != edges)
    width = top + 1
    keys = np.concatenate([holders[inside] * width + edges[inside], top * width + roots.astype(np.int64)])
    keys = np.unique(keys)
    return _Links(top, keys // width, keys % width)


def _peel(links: _Links, parent: Nodes) -> list[Ints]:
    """Take off nodes that hold nothing more and have one holder; return them, round by round."""
    rounds: list[Ints] = []
    while len(links.held):
        width = links.top + 1
        holds = np.bincount(links.holders, minlength=width)
        held_by = np.bincount(links.held, minlength=width)
        leaf = (holds[links.held] == 0) & (held_by[links.held] == 1)
        taken = links.held[leaf]
        if not len(taken):
            break
        parent[taken] = links.holders[leaf]
        rounds.append(taken)
        links.holders, links.held = links.holders[~leaf], links.held[~leaf]
        if len(taken) * 50 < len(links.held):
            break  # the end of a chain: one pass over everything for each link would never end
    return rounds


def _semi_nca(links: _Links) -> tuple[Ints, Ints]:
    """Return the nodes in preorder, the virtual root first, and each one's dominator as a preorder number."""
    numbers, parent, preorder = _depth_first(links)
    count = len(numbers)
    by_held = np.argsort(links.held, kind="stable")
    holder_at = preorder[links.holders[by_held]].tolist()
    held_at = preorder[links.held[by_held]]
    counts = np.zeros(count, np.int64)
    first = np.zeros(count, np.int64)
    new = np.flatnonzero(np.diff(held_at, prepend=-1))
    counts[held_at[new]] = np.diff(new, append=len(held_at))
    first[held_at[new]] = new
    lows, highs = first.tolist(), (first + counts).tolist()

    ancestor = list(parent)
    semi = list(range(count))
    best = list(range(count))  # the least semidominator on the compressed path above
    for at in range(count - 1, 0, -1):
        least = parent[at]
        for holder in holder_at[lows[at] : highs[at]]:
            # What is numbered lower is not linked yet and stands for itself.
            seen = holder if holder <= at else _least(holder, at, ancestor, best)
            least = min(least, seen)
        semi[at] = best[at] = least
    above = list(parent)
    for at in range(1, count):
        candidate, limit = above[at], semi[at]
        while candidate > limit:
            candidate = above[candidate]
        above[at] = candidate
    return numbers, np.array(above, np.int64)


def _least(node: int, linked: int, ancestor: list[int], best: list[int]) -> int:
    """Return the least semidominator from ``node`` up to the linked roots, compressing the path."""
    if ancestor[node] <= linked:
        return best[node]
    path = []
    while ancestor[node] > linked:
        path.append(node)
        node = ancestor[node]
    above, least = ancestor[node], best[node]
    while path:
        node = path.pop()
        ancestor[node] = above
        if least < best[node]:
            best[node] = least
        else:
            least = best[node]
    return best[node]


def _depth_first(links: _Links) -> tuple[Ints, list[int], Ints]:
    """Number what the virtual root reaches in preorder; return nodes, parents' numbers, number by node."""
    width = links.top + 1
    starts = _view(np.searchsorted(links.holders, np.arange(width + 1)))
    held = links.held.tolist()
    preorder = np.full(width, -1, np.int64)
    number = _view(preorder)
    nodes: list[int] = []
    parents: list[int] = []
    waiting = [(links.top, 0)]
    while waiting:
        node, parent = waiting.pop()
        if number[node] >= 0:
            continue
        number[node] = at = len(nodes)
        nodes.append(node)
        parents.append(parent)
        # Last in, first out: a node is entered from the latest of its holders, so this is a depth-first tree.
        waiting += [(other, at) for other in held[starts[node] : starts[node + 1]] if number[other] < 0]
    return np.array(nodes, np.int64), parents, preorder


def _sum_up(retained: Ints, numbers: Ints, above: Ints) -> None:
    sums = [0, *retained[numbers[1:]].tolist()]
    up = above.tolist()
    for at in range(len(sums) - 1, 0, -1):
        sums[up[at]] += sums[at]
    retained[numbers[1:]] = sums[1:]


def retained_by_type(parent: Nodes, type_of: Nodes, sizes: Ints, types: int) -> Ints:
    """Sum, for each type, what its nodes retain that no other node of the type dominates.

    What no root reaches counts with its own size.

    Args:
        parent: immediate dominators.
        type_of: type of each node.
        sizes: bytes of each node alone.
        types: how many types there are.
    """
    count = len(parent)
    reached = np.flatnonzero(parent != NO_NODE)
    first, end = _intervals(parent, count)
    in_order = np.zeros(count + 1, np.int64)
    in_order[first[reached] + 1] = sizes[reached]
    up_to = in_order.cumsum()
    retained = up_to[end] - up_to[first]
    order = reached[np.lexsort((first[reached], type_of[reached]))]
    kind = type_of[order].astype(np.int64)
    # Intervals of a tree nest or lie apart, so the furthest end so far tells whether one is inside another.
    base = kind * (count + 1)
    furthest = np.maximum.accumulate(base + end[order]) if len(order) else base
    topmost = np.ones(len(order), bool)
    topmost[1:] = (kind[1:] != kind[:-1]) | (base[1:] + first[order[1:]] >= furthest[:-1])
    sums = np.zeros(types, np.int64)
    np.add.at(sums, type_of[order[topmost]], retained[order[topmost]])
    garbage = np.flatnonzero(parent == NO_NODE)
    np.add.at(sums, type_of[garbage], sizes[garbage])
    return sums


def _intervals(parent: Nodes, count: int) -> tuple[Ints, Ints]:
    """Return for each node of a tree its number in preorder, and one past the last number below it."""
    # The virtual root has its own number; what no root reaches hangs from one past it and is not walked.
    tree = np.where(parent == NO_NODE, count + 1, parent).astype(np.uint32)
    children = np.argsort(tree, kind="stable").astype(np.uint32)
    starts = _starts(tree, count + 2)
    _, order = breadth_first(starts, children, np.array([count], np.uint32), np.zeros(count + 2, np.uint8))
    below = [1] * (count + 2)
    up = tree.tolist()
    walked = order[1:].tolist()
    for node in reversed(walked):
        below[up[node]] += below[node]
    following = [0] * (count + 2)
    first = [0] * count
    for node in walked:
        above = up[node]
        first[node] = place = following[above]
        following[node] = place + 1
        following[above] = place + below[node]
    begin = np.array(first, np.int64)
    return begin, np.minimum(begin + np.array(below[:count], np.int64), count)


# -- shared by the above


def _view(column: Any) -> Any:
    """Return a column as Python's own numbers, quicker one by one than numpy's."""
    contiguous: Any = np.ascontiguousarray(column)
    return memoryview(contiguous)


def _holders(starts: Nodes) -> Nodes:
    return np.repeat(np.arange(len(starts) - 1, dtype=np.uint32), np.diff(starts))


def _starts(held: Nodes, count: int) -> Nodes:
    starts = np.zeros(count + 1, np.uint32)
    starts[1:] = np.bincount(held, minlength=count).cumsum()
    return starts


def _references(starts: Nodes, edges: Nodes, level: Nodes) -> tuple[Nodes, Nodes]:
    """Return the references of some nodes, end to end, as holders and held."""
    low = starts[level].astype(np.int64)
    lengths = starts[level.astype(np.int64) + 1].astype(np.int64) - low
    position = np.arange(int(lengths.sum())) + (low - (lengths.cumsum() - lengths)).repeat(lengths)
    return level.repeat(lengths), edges[position]


def _first_places(nodes: Nodes, scratch: Ints) -> Ints:
    """Return where each distinct node stands first, ascending."""
    # Of several values assigned to one place the last stays.
    scratch[nodes[::-1]] = np.arange(len(nodes) - 1, -1, -1)
    return np.flatnonzero(scratch[nodes] == np.arange(len(nodes)))


def _distinct(nodes: Nodes, scratch: Ints) -> Nodes:
    return nodes[_first_places(nodes, scratch)]
