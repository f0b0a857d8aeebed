"""Heap graphs made by hand, for tests that know the right answer."""

from __future__ import annotations

import numpy as np

from memlab.records.chain import RootKind
from memlab.records.heap_graph import BORN, EXTERNAL, IMMORTAL, TRACKED, HeapGraph


def nodes(values=()):
    return np.array(list(values), np.uint32)


def rows_of(edges, count):
    """Return ``starts`` and ``edges`` of references given as pairs or as ``{holder: [held, ...]}``.

    Pairs of one holder keep their order.
    """
    pairs = [(a, b) for a, held in edges.items() for b in held] if isinstance(edges, dict) else list(edges)
    table = np.array(pairs, np.int64).reshape(-1, 2)
    table = table[np.argsort(table[:, 0], kind="stable")]
    starts = np.concatenate([[0], np.bincount(table[:, 0], minlength=count).cumsum()])
    return starts.astype(np.uint32), table[:, 1].astype(np.uint32)


def graph_of(
    edges,
    sizes=None,
    roots=(),
    types=None,
    *,
    labels=None,
    vias=None,
    external=(),
    immortal=(),
    born=(),
    owners=None,
    names=(),
    twins=None,
    addresses=None,
    **others,
):
    """Make a heap graph.

    Args:
        edges: pairs ``(holder, held)``, or ``{holder: [held, ...]}``.
        sizes: bytes of each node (100 each when left out); how many there are is how many nodes there are,
            else the greatest node named anywhere plus one.
        roots: nodes, or ``(node, kind, label)``; a bare node becomes the module ``app``.
        types: full type name of each node, or ``{node: name}``; ``builtins.object`` when left out.
        labels: ``{node: label}``.
        vias: ``{(holder, held): via}``.
        external: nodes with the flag ``EXTERNAL``.
        immortal: nodes with the flag ``IMMORTAL``.
        born: nodes with the flag ``BORN``.
        owners: ``{node: module}``.
        names: the notebook's names as ``(name, node)``.
        twins: ``{node: how many equal it}``.
        addresses: where each node lay.
        others: further fields of ``HeapGraph``.
    """
    named = [r if isinstance(r, tuple) else (r, RootKind.MODULE, "module app") for r in roots]
    pairs = [(a, b) for a, held in edges.items() for b in held] if isinstance(edges, dict) else list(edges)
    listed = types if types is not None and not isinstance(types, dict) else ()
    mentioned = [n for pair in pairs for n in pair] + [r[0] for r in named] + [*external, *immortal, *born]
    count = max([len(sizes or ()), len(listed), 1 + max(mentioned, default=-1)])
    sizes = list(sizes) if sizes is not None else [100] * count
    type_names = [*listed, *["builtins.object"] * (count - len(listed))]
    if isinstance(types, dict):
        for node, name in types.items():
            type_names[node] = name
    table = list(dict.fromkeys(type_names))
    starts, held = rows_of(pairs, count)
    flags = np.full(count, TRACKED, np.uint8)
    for chosen, bit in ((external, EXTERNAL), (immortal, IMMORTAL), (born, BORN)):
        flags[list(chosen)] |= bit
    labels = dict(sorted((labels or {}).items()))
    vias, owners, twins = vias or {}, owners or {}, twins or {}
    modules = tuple(dict.fromkeys(owners.values()))
    huge = [n for n, size in enumerate(sizes) if size >= 2**32]
    return HeapGraph(
        address=np.array(
            addresses if addresses is not None else range(4096, 4096 + 16 * count, 16), np.uint64
        ),
        type_of=nodes(table.index(name) for name in type_names),
        size=nodes(min(size, 2**32 - 1) for size in sizes),
        flags=flags,
        starts=starts,
        edges=held,
        types=tuple(table),
        type_modules=tuple(name.rpartition(".")[0] for name in table),
        huge_node=nodes(huge),
        huge_size=np.array([sizes[n] for n in huge], np.int64),
        root_node=nodes(r[0] for r in named),
        root_kind=tuple(r[1] for r in named),
        root_label=tuple(r[2] for r in named),
        label_node=nodes(labels),
        label=tuple(labels.values()),
        via_holder=nodes(pair[0] for pair in vias),
        via_held=nodes(pair[1] for pair in vias),
        via=tuple(vias.values()),
        owner_node=nodes(owners),
        owner_module=nodes(modules.index(name) for name in owners.values()),
        modules=modules,
        twin_node=nodes(twins),
        twin_count=np.array(list(twins.values()), np.int64),
        user_name=tuple(name for name, _ in names),
        user_node=nodes(node for _, node in names),
        **{"engine": "python", **others},
    )
