"""The dominator tree's rows: few siblings are sorted as a list, many as an array, with one result."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from heaps import graph_of

import memlab
from memlab.analyses import heap_tree


def shuffled(seed):
    """A heap of many types and sizes, wide in places and deep in others."""
    chance = np.random.default_rng(seed)
    count = 600
    edges = [(int(chance.integers(max(0, n - 90), n)), n) for n in range(1, count)]
    edges += [(0, int(n)) for n in chance.integers(1, count, 60)]
    kinds = [f"app.Kind{int(n)}" for n in chance.zipf(1.5, count) % 70]
    return graph_of(
        edges, sizes=(16 * chance.zipf(1.4, count).clip(1, 10**6)).tolist(), roots=[0], types=kinds
    )


def trees(graph, monkeypatch, **how):
    found = []
    for few in (0, 48, sys.maxsize):
        monkeypatch.setattr(heap_tree, "_FEW", few)
        found.append(heap_tree.dominator_tree(graph, 400, **how))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_lists_and_arrays_sort_alike(seed, monkeypatch):
    """Rows, order, groups and figures do not depend on how siblings were sorted."""
    graph = shuffled(seed)
    as_array, mixed, as_list = trees(graph, monkeypatch)
    assert as_array == mixed == as_list
    assert len(as_array.label) > 50
    assert int(as_array.retained_bytes[0]) == graph.total_bytes


def test_lists_and_arrays_sort_a_real_heap_alike(monkeypatch):
    """The same, with this process as the heap, and below one of its objects."""
    kept = [{"n": n, "text": str(n)} for n in range(300)]
    graph = memlab.heap()
    as_array, mixed, as_list = trees(graph, monkeypatch)
    assert as_array == mixed == as_list
    under_array, _, under_list = trees(graph, monkeypatch, under=kept)
    assert under_array == under_list
    assert int(under_array.children[0]) >= 300
