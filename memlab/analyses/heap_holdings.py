"""What the names of a notebook hold: what would be freed if all names of an object went together.

The notebook's own references (its namespace, ``Out``, the last results) are taken out of the graph, and for
each named object one node is put in that stands for its names and is a root. What that node dominates is
what the names alone keep; an object that a module holds too is not among it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import numpy as np

from memlab.analyses import _graph
from memlab.analyses.dominators import nearest_in
from memlab.analyses.heap_names import find_held
from memlab.records.chain import RootKind
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, HeapGraph
from memlab.records.heap_results import HeapHoldings, Holding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from memlab.records.columns import Ints, Nodes

__all__ = ["holdings"]

_OUTPUT = re.compile(r"Out\[(\d+)\]|_(\d+)")
_LAST_RESULT = re.compile(r"_{1,3}")
_EXCEPTION = re.compile(r"sys\.last_\w+|last exception")
_SPACES = ("module __main__", "Out", "IPython shell", "display hook")
_SYS = "module sys"
_SHELL = ("IPython", "ipykernel")
_DROP_EXCEPTION = "memlab.release('last exception')"


def holdings(graph: HeapGraph, namespaces: Sequence[int] = ()) -> HeapHoldings:
    """Return what each of the notebook's objects keeps by its names alone, greatest first.

    Args:
        graph: with the notebook's names.
        namespaces: nodes whose references to named objects are the names themselves, beside those that are
            known: the namespace of ``__main__`` and what has a root of the kind NOTEBOOK.
    """
    begun = time.perf_counter()
    users, of_user = np.unique(graph.user_node, return_inverse=True)
    names: list[list[str]] = [[] for _ in users]
    for name, at in zip(graph.user_name, of_user.tolist(), strict=True):
        names[at].append(name)
    parent, retained = _without_names(graph, users.astype(np.uint32), _spaces(graph, users, namespaces))
    count = len(graph)
    marked = np.zeros(len(parent), bool)
    marked[count:] = True
    owner = nearest_in(parent, marked)
    objects = np.bincount(owner[owner < len(parent)], minlength=len(parent))
    found = []
    for at, (node, known) in enumerate(zip(users.tolist(), names, strict=True)):
        kind, release = _kind(known)
        found.append(
            Holding(
                names=tuple(sorted(known, key=_by_worth)),
                kind=kind,
                type_name=graph.type_name(node),
                retained_bytes=int(retained[count + at]),
                objects=max(int(objects[count + at]) - 1, 0),  # the node that stands for the names is none
                shallow_bytes=int(graph.sizes_of(node)),
                release=release,
            )
        )
    found.sort(key=lambda row: (-row.retained_bytes, -row.shallow_bytes, row.names))
    return HeapHoldings(
        holdings=tuple(found),
        total_bytes=sum(row.retained_bytes for row in found),
        seconds=time.perf_counter() - begun,
        complete=graph.complete,
        notes=graph.notes,
    )


def _spaces(graph: HeapGraph, users: Nodes, given: Sequence[int]) -> Nodes:
    """Return the nodes whose references are the notebook's names."""
    spaces = set(given)
    for node, kind, label in zip(graph.root_node.tolist(), graph.root_kind, graph.root_label, strict=True):
        if label in _SPACES or (kind is RootKind.NOTEBOOK and node not in users):
            spaces.add(node)
    spaces.update(
        node for node, label in zip(graph.label_node.tolist(), graph.label, strict=True) if label in _SPACES
    )
    for node in list(spaces):
        inner = find_held(graph, node, ".__dict__")
        spaces.update([inner] if inner >= 0 else [])
    for node in list(spaces):
        spaces.update(held for name in ("._oh", ".Out") if (held := find_held(graph, node, name)) >= 0)
    return np.unique(np.concatenate([np.array(sorted(spaces), np.uint32), _shell(graph)]))


def _shell(graph: HeapGraph) -> Nodes:
    """Return the objects of the shell itself, with the dictionaries that are theirs alone.

    The display hook keeps the last results, the last execution its own: names of the notebook as well.
    """
    of_shell = np.array([name.partition(".")[0] in _SHELL for name in graph.type_modules], bool)
    is_dict = np.array([name == "builtins.dict" for name in graph.types], bool)
    chosen = of_shell[graph.type_of]
    parent = graph.dominators.parent
    dicts = np.flatnonzero(is_dict[graph.type_of] & (parent < len(graph)))
    dicts = dicts[chosen[parent[dicts]]]
    return np.concatenate([np.flatnonzero(chosen), dicts]).astype(np.uint32)


def _without_names(graph: HeapGraph, users: Nodes, spaces: Nodes) -> tuple[Nodes, Ints]:
    """Dominate the graph in which a node for each object's names takes the place of the names."""
    count = len(graph)
    named = np.zeros(count, bool)
    named[users] = True
    edges = graph.edges.copy()
    in_space = np.zeros(count, bool)
    in_space[spaces] = True
    holders = np.repeat(np.arange(count, dtype=np.uint32), np.diff(graph.starts))
    taken = in_space[holders] & named[edges]
    edges[taken] = holders[taken]  # a reference to itself leads nowhere new
    _drop_last_exception(graph, edges)
    more = len(users)
    starts = np.concatenate([graph.starts, len(edges) + np.arange(1, more + 1, dtype=np.uint32)])
    roots = np.concatenate([_other_roots(graph, named), np.arange(count, count + more, dtype=np.uint32)])
    sizes = np.concatenate([graph.sizes, np.zeros(more, np.int64)])
    all_edges = np.concatenate([edges, users]).astype(np.uint32)
    return _graph.dominate(starts.astype(np.uint32), all_edges, roots.astype(np.uint32), sizes)


def _drop_last_exception(graph: HeapGraph, edges: Nodes) -> None:
    """Take out what ``sys`` holds under the names of the last exception, and nothing else of it."""
    nodes = [n for n, name in zip(graph.user_node.tolist(), graph.user_name, strict=True) if _is_last(name)]
    spaces = [n for n, label in zip(graph.root_node.tolist(), graph.root_label, strict=True) if label == _SYS]
    for space in spaces:
        row = edges[int(graph.starts[space]) : int(graph.starts[space + 1])]
        row[np.isin(row, nodes)] = space


def _is_last(name: str) -> bool:
    return _EXCEPTION.fullmatch(name) is not None


def _other_roots(graph: HeapGraph, named: npt.NDArray[np.bool_]) -> Nodes:
    """Return the roots, less named objects that only the notebook's own records make roots."""
    held = (graph.flags & (EXTERNAL | IMMORTAL)) != 0
    own = (RootKind.NOTEBOOK, RootKind.LAST_EXCEPTION)
    for node, kind in zip(graph.root_node.tolist(), graph.root_kind, strict=True):
        held[node] |= kind not in own or not named[node]
    return np.flatnonzero(held).astype(np.uint32)


def _kind(names: list[str]) -> tuple[str, str]:
    """Return what sort of names an object has, and the statement that drops them all."""
    own = sorted(name for name in names if name.isidentifier() and not name.startswith("_"))
    outputs = [match for name in names if (match := _OUTPUT.fullmatch(name))]
    last = any(_LAST_RESULT.fullmatch(name) for name in names)
    if own:
        return "variable", f"%xdel {own[0]}" if outputs or last else ""
    if outputs:
        cell = outputs[0].group(1) or outputs[0].group(2)
        return "output", f"memlab.release('Out[{cell}]')"
    if any(map(_is_last, names)):
        return "last exception", _DROP_EXCEPTION
    if last:
        return "last result", f"memlab.release('{min(names, key=_by_worth)}')"
    return "hidden", ""


def _by_worth(name: str) -> tuple[int, str]:
    """Order names as people know them: variables, ``Out[3]``, then what begins with an underscore."""
    return (name.startswith("_") + (not name.isidentifier() or name.startswith("_")), name)
