"""Which old object holds which new ones: known shapes, exact counts."""

import gc

from memlab.collectors.frontier import find_frontier


class Node:
    def __init__(self, *refs):
        self.refs = list(refs)


def groups(old, fresh, **kwargs):
    return find_frontier(fresh, old, frozenset(map(id, (old, fresh))), **kwargs).groups


def tracked(*roots):
    """The given objects with everything of theirs that the collector tracks, as a hunt lists them."""
    found, seen = [], set()
    todo = list(roots)
    while todo:
        item = todo.pop()
        if id(item) in seen or not gc.is_tracked(item) or isinstance(item, type):
            continue
        seen.add(id(item))
        found.append(item)
        todo.extend(gc.get_referents(item))
    return found


def test_new_objects_go_to_the_old_container_that_holds_them():
    """Ten nodes in a registry and four in another make two groups with their holders."""
    registry, other = [[]], [[]]
    registry += [Node() for _ in range(10)]
    other += [Node() for _ in range(4)]
    fresh = tracked(*registry[1:], *other[1:])
    first, second = groups([registry, other], fresh)
    assert first.holder is registry
    assert first.counts[f"{__name__}.Node"] == 10
    assert first.heads == {f"{__name__}.Node": 10}
    assert second.holder is other
    assert second.objects == 8 if len(fresh) == 28 else second.counts[f"{__name__}.Node"] == 4


def test_what_hangs_below_a_head_counts_with_its_holder():
    """A chain of a hundred under one head is one group of one head, reached without recursion."""
    registry = [[]]
    last = None
    for _ in range(100_000):
        last = Node(last) if last is not None else Node()
    registry.append(last)
    chain = []
    node = last
    while node is not None:
        chain.append(node)
        node = node.refs[0] if node.refs else None
    fresh = [part for n in chain for part in (n, n.refs)]
    (group,) = groups([registry], fresh)
    assert group.holder is registry
    assert group.heads.total() == 1
    assert group.counts[f"{__name__}.Node"] == 100_000
    while chain:  # freed one by one: the interpreter's own deallocation is recursive
        chain.pop().refs.clear()


def test_objects_that_no_old_one_holds_are_grouped_by_their_head():
    """Loose objects of one type form one group without a holder."""
    loose = [Node() for _ in range(20)]
    fresh = tracked(*loose)
    (group,) = groups([[]], fresh)
    assert group.holder is None
    assert group.heads == {f"{__name__}.Node": 20}
    assert group.counts[f"{__name__}.Node"] == 20


def test_a_cycle_that_nothing_holds_is_still_grouped():
    """In a ring nobody is the head; the objects are counted all the same."""
    a, b = Node(), Node()
    a.refs.append(b)
    b.refs.append(a)
    found = groups([[]], [a, b, a.refs, b.refs])
    assert sum(g.objects for g in found) == 4


def test_samples_are_those_whose_allocation_is_known():
    """Preferred objects are taken as samples where there are any."""
    registry = [[]] + [Node() for _ in range(50)]
    nodes = registry[1:]
    wanted = {id(nodes[7]), id(nodes[30])}
    (group,) = groups([registry], nodes, preferred=wanted)
    assert {id(n) for n in group.samples[f"{__name__}.Node"]} == wanted
    assert {id(n) for n in group.head_samples} == wanted


def test_memlabs_own_containers_hold_nothing():
    """A list of memlab's that refers to new objects is no holder."""
    mine = [[]] + [Node() for _ in range(5)]
    found = find_frontier(mine[1:], [mine], frozenset({id(mine)})).groups
    assert all(g.holder is None for g in found)


def test_sizes_include_leaves_that_nothing_else_holds():
    """An own string of 10,000 characters counts; a shared one does not."""
    shared = "s" * 5_000
    with_own = [[], "".join(["x"] * 10_000)]
    with_shared = [[], shared]
    registry = [[], with_own, with_shared]
    (group,) = groups([registry], [with_own, with_shared])
    assert 10_000 < group.shallow["builtins.list"] < 11_500
