"""The algorithms of the heap graph against brute force, and the C extension against its twin."""

from __future__ import annotations

import itertools
import os
from collections import deque

import numpy as np
import pytest
from heaps import nodes, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab.analyses import _graph, _graph_twin
from memlab.records.heap_graph import NO_NODE

# Beside the 2,000 seeded graphs; make test-long tries more.
EXAMPLES = 400 if os.environ.get("MEMLAB_LONG") == "1" else 60

ENGINES = [
    pytest.param(_graph_twin, id="twin"),
    pytest.param(
        _graph,
        id="native",
        marks=pytest.mark.skipif(not _graph.native_available(), reason="the C extension was not built"),
    ),
]


@st.composite
def heaps(draw, most=14):
    """A small graph of any shape: loops, parallel references, several roots or none, islands."""
    count = draw(st.integers(1, most))
    node = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=3 * count))
    roots = draw(st.lists(node, max_size=4))
    sizes = draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count))
    return count, pairs, roots, sizes


def random_heap(seed, most=120):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, most))
    shape = seed % 4
    if shape == 0:  # anything
        pairs = rng.integers(0, count, (int(rng.integers(0, 3 * count + 1)), 2)).tolist()
    elif shape == 1:  # a tree with back links and a few shared leaves
        pairs = [(int(rng.integers(0, n)), n) for n in range(1, count)]
        pairs += [(b, a) for a, b in pairs if rng.random() < 0.4]
    elif shape == 2:  # lists whose links refer both ways, joined at places
        pairs = [(n, n + 1) for n in range(count - 1)] + [(n + 1, n) for n in range(count - 1)]
        pairs += rng.integers(0, count, (count // 8, 2)).tolist()
    else:  # forward only: many joins, no loop
        pairs = [sorted(p) for p in rng.integers(0, count, (2 * count, 2)).tolist()]
    roots = rng.integers(0, count, int(rng.integers(0, 5))).tolist()
    return count, pairs, roots, rng.integers(0, 1000, count).tolist()


def held_by(count, pairs):
    held = [[] for _ in range(count)]
    for a, b in pairs:
        held[a].append(b)
    return held


def reachable(held, seeds, closed=()):
    seen = set(seeds) - set(closed)
    waiting = list(seen)
    while waiting:
        for other in held[waiting.pop()]:
            if other not in seen and other not in closed:
                seen.add(other)
                waiting.append(other)
    return seen


def dominators_by_removal(count, pairs, roots, sizes):
    """The definition itself: v dominates w when w is lost without v."""
    held = held_by(count, pairs)
    all_reached = reachable(held, roots)
    below = {v: all_reached - reachable(held, roots, {v}) for v in all_reached}
    parent, retained = [NO_NODE] * count, list(sizes)
    for w in all_reached:
        above = [v for v in all_reached if v != w and w in below[v]]
        # the nearest of them dominates least
        parent[w] = min(above, key=lambda v: len(below[v]), default=count)
        retained[w] = sum(sizes[x] for x in below[w])
    return parent, retained


def first_come_first_served(count, pairs, seeds, closed):
    held = held_by(count, pairs)
    parent, order = [NO_NODE] * count, []
    waiting = deque()
    for seed in seeds:
        if parent[seed] == NO_NODE and seed not in closed:
            parent[seed] = seed
            waiting.append(seed)
    while waiting:
        node = waiting.popleft()
        order.append(node)
        for other in held[node]:
            if parent[other] == NO_NODE and other not in closed:
                parent[other] = node
                waiting.append(other)
    return parent, order


def topmost_by_type(parent, kinds, sizes, types):
    sums = [0] * types
    for node, kind in enumerate(kinds):
        above = parent[node]
        while above not in (NO_NODE, len(parent)) and kinds[above] != kind:
            above = parent[above]
        if above in (NO_NODE, len(parent)):
            sums[kind] += sizes[node]
    return sums


def check_dominators(heap, *engines):
    count, pairs, roots, sizes = heap
    starts, edges = rows_of(pairs, count)
    expected_parent, expected_retained = dominators_by_removal(*heap)
    for engine in engines:
        parent, retained = engine.dominate(starts, edges, nodes(roots), np.array(sizes, np.int64))
        assert parent.dtype == np.uint32
        assert retained.dtype == np.int64
        assert parent.tolist() == expected_parent
        assert retained.tolist() == expected_retained


def check_walk(engine, heap, closed):
    count, pairs, roots, _ = heap
    starts, edges = rows_of(pairs, count)
    shut = np.zeros(count, np.uint8)
    shut[list(closed)] = 1
    parent, order = engine.breadth_first(starts, edges, nodes(roots), shut)
    expected_parent, expected_order = first_come_first_served(count, pairs, roots, closed)
    assert (parent.dtype, order.dtype) == (np.uint32, np.uint32)
    assert parent.tolist() == expected_parent
    assert order.tolist() == expected_order


def test_dominators_and_retained_sizes_of_2000_random_graphs():
    """Whatever engines there are, against the definition, on graphs of four shapes with up to 40 nodes."""
    engines = [_graph_twin, _graph] if _graph.native_available() else [_graph_twin]
    for seed in range(2000):
        check_dominators(random_heap(seed, most=40), *engines)


@pytest.mark.parametrize("engine", ENGINES)
class TestAgainstBruteForce:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(heap=heaps())
    def test_dominators_are_what_removal_says(self, engine, heap):
        check_dominators(heap, engine)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(heap=heaps(), data=st.data())
    def test_the_walk_is_first_come_first_served(self, engine, heap, data):
        check_walk(engine, heap, data.draw(st.sets(st.integers(0, heap[0] - 1), max_size=3)))

    def test_the_walk_on_wide_and_narrow_levels(self, engine):
        for seed in range(60):
            rng = np.random.default_rng(seed)
            fans = [(n, m) for n in range(0, 600, 200) for m in range(n, n + 160)]
            chain = [(n, n + 1) for n in range(600, 800)]
            loose = rng.integers(0, 800, (400, 2)).tolist()
            heap = (801, rng.permutation([*fans, *chain, *loose]).tolist(), [0, 600, 0, 5], None)
            check_walk(engine, heap, set(rng.integers(0, 801, 20).tolist()) if seed % 2 else ())

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(heap=heaps())
    def test_reverse_lists_holders_in_order_once_for_each_reference(self, engine, heap):
        count, pairs, _, _ = heap
        starts, holders = engine.reverse(*rows_of(pairs, count))
        assert (starts.dtype, holders.dtype) == (np.uint32, np.uint32)
        got = [holders[a:b].tolist() for a, b in itertools.pairwise(starts.tolist())]
        assert got == [sorted(a for a, b in pairs if b == node) for node in range(count)]

    @settings(max_examples=300, deadline=None)
    @given(heap=heaps(), data=st.data())
    def test_retained_by_type_counts_topmost_ones(self, engine, heap, data):
        count, pairs, roots, sizes = heap
        kinds = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
        starts, edges = rows_of(pairs, count)
        weights = np.array(sizes, np.int64)
        parent, retained = engine.dominate(starts, edges, nodes(roots), weights)
        sums = engine.retained_by_type(parent, nodes(kinds), weights, 5)
        assert sums.dtype == np.int64
        assert sums.tolist() == topmost_by_type(parent.tolist(), kinds, retained.tolist(), 5)


@pytest.mark.parametrize("engine", ENGINES)
class TestShapes:
    def test_a_list_of_a_hundred_thousand_links(self, engine):
        count = 100_000
        pairs = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
        starts, edges = rows_of(pairs, count)
        parent, retained = engine.dominate(starts, edges, nodes([0]), np.ones(count, np.int64))
        assert parent.tolist() == [count, *range(count - 1)]
        assert retained.tolist() == list(range(count, 0, -1))
        _, order = engine.breadth_first(starts, edges, nodes([0]), np.zeros(count, np.uint8))
        assert order.tolist() == list(range(count))
        kinds = nodes(n % 2 for n in range(count))
        assert engine.retained_by_type(parent, kinds, np.ones(count, np.int64), 2).tolist() == [
            count,
            count - 1,
        ]

    def test_one_holder_of_a_million(self, engine):
        count = 1_000_001
        starts = np.full(count + 1, count - 1, np.uint32)
        starts[0] = 0
        edges = np.arange(1, count, dtype=np.uint32)
        parent, retained = engine.dominate(starts, edges, nodes([0]), np.ones(count, np.int64))
        assert parent[0] == count
        assert not parent[1:].any()
        assert retained[0] == count
        assert (retained[1:] == 1).all()

    def test_nothing_at_all(self, engine):
        starts, edges, none = np.zeros(1, np.uint32), nodes(), np.zeros(0, np.int64)
        parent, retained = engine.dominate(starts, edges, nodes(), none)
        assert (len(parent), len(retained)) == (0, 0)
        assert [len(a) for a in engine.reverse(starts, edges)] == [1, 0]
        assert [len(a) for a in engine.breadth_first(starts, edges, nodes(), np.zeros(0, np.uint8))] == [0, 0]
        assert engine.retained_by_type(nodes(), nodes(), none, 2).tolist() == [0, 0]

    def test_no_roots(self, engine):
        starts, edges = rows_of([(0, 1)], 2)
        parent, retained = engine.dominate(starts, edges, nodes(), np.array([3, 4], np.int64))
        assert parent.tolist() == [NO_NODE, NO_NODE]
        assert retained.tolist() == [3, 4]


def all_answers(engine, seed):
    count, pairs, roots, sizes = random_heap(seed, most=400)
    starts, edges = rows_of(pairs, count)
    shut = (np.random.default_rng(seed).random(count) < 0.1).astype(np.uint8)
    weights = np.array(sizes, np.int64)
    parent, retained = engine.dominate(starts, edges, nodes(roots), weights)
    return [
        *engine.reverse(starts, edges),
        *engine.breadth_first(starts, edges, nodes(roots), shut),
        parent,
        retained,
        engine.retained_by_type(parent, nodes(n % 7 for n in range(count)), weights, 7),
    ]


@pytest.mark.skipif(not _graph.native_available(), reason="the C extension was not built")
def test_the_extension_and_its_twin_agree_entry_by_entry():
    for seed in range(6 * EXAMPLES):
        for ours, theirs in zip(all_answers(_graph, seed), all_answers(_graph_twin, seed), strict=True):
            assert ours.dtype == theirs.dtype
            assert ours.tolist() == theirs.tolist(), seed
