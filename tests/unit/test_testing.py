"""The public helpers build what they say."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest

from memlab import errors, testing


def test_known_leak_keeps_exactly_its_objects_for_its_block():
    """So many objects of so many bytes live inside the block, and none after it."""
    with testing.known_leak(5, size=1000) as leak:
        assert [len(item.payload) for item in leak] == [1000] * 5
        finds = [weakref.ref(item) for item in leak]
        del leak
        assert all(find() is not None for find in finds)
    assert [find() for find in finds] == [None] * 5


def test_known_leaks_nest():
    """The end of one block frees its own objects and no other's."""
    with testing.known_leak(1) as outer:
        find = weakref.ref(outer[0])
        with testing.known_leak(1) as inner:
            inner_find = weakref.ref(inner[0])
            del inner, outer
        assert (find() is not None, inner_find()) == (True, None)
    assert find() is None


def test_known_leak_ends_with_an_exception():
    """An exception in the block frees the objects all the same."""
    finds = []
    with pytest.raises(KeyError), testing.known_leak(1) as leak:
        finds.append(weakref.ref(leak[0]))
        del leak
        raise KeyError
    assert finds[0]() is None


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_chain_has_n_nodes(n):
    """Following ``next`` passes n nodes and ends."""
    node, count = testing.chain(n), 0
    while node is not None:
        node, count = node.next, count + 1
    assert count == n


def test_long_chain_is_freed_without_recursion():
    """A chain of 200,000 nodes dies quietly."""
    first = testing.chain(200_000)
    last = first
    while last.next is not None:
        last = last.next
    find = weakref.ref(last)
    del first, last
    assert find() is None


@pytest.mark.parametrize("n", [1, 2, 50])
def test_cycle_needs_the_collector(n):
    """A ring survives its last outside reference and is freed by a collection."""
    gc.collect()
    gc.disable()
    try:
        node = testing.cycle(n)
        find = weakref.ref(node)
        at = node
        for _ in range(n):
            at = at.next
        assert at is node
        del node, at
        assert find() is not None
        gc.collect()
        assert find() is None
    finally:
        gc.enable()


def test_diamond_has_two_ways_down():
    """Both sides hold the bottom, and the top holds both sides."""
    top, left, right, bottom = testing.diamond()
    assert (top.next, top.other) == (left, right)
    assert left.next is right.next is bottom
    assert gc.get_referrers(bottom).count(left) == 1


@pytest.mark.parametrize(
    ("use", "counted"),
    [
        (lambda o: hash(o), "__hash__"),
        (lambda o: repr(o), "__repr__"),
        (lambda o: o == 1, "__eq__"),
        (lambda o: o.__sizeof__(), "__sizeof__"),
        (lambda o: o.anything, "__getattr__"),
        (lambda o: o.__class__, "__class__"),
        (lambda o: isinstance(o, int), "__class__"),
        (lambda o: isinstance(1, type(o)), "meta __instancecheck__"),
        (lambda o: type(o).__name__, "meta __name__"),
        (lambda o: hash(type(o)), "meta __hash__"),
        (lambda o: bool(o), "__bool__"),
    ],
)
def test_nosy_class_counts(use, counted):
    """Each way to run an object's or its class's code is counted under its name."""
    kind, calls = testing.nosy_class()
    nosy = kind()
    calls.clear()
    with contextlib.suppress(TypeError, AttributeError):
        use(nosy)
    assert calls[counted] >= 1


def test_looking_at_a_type_by_type_counts_nothing():
    """The safe ways are silent: type(), id() and gc.get_referents."""
    kind, calls = testing.nosy_class()
    nosy = kind()
    calls.clear()
    assert type(nosy) is kind
    assert id(nosy)
    gc.get_referents(nosy, kind)
    assert calls == {}


@pytest.mark.parametrize(
    "make", [lambda: testing.chain(0), lambda: testing.cycle(-1), lambda: testing.known_leak(-1).__enter__()]
)
def test_impossible_sizes_are_refused(make):
    """A chain needs at least one node, a leak no fewer than none."""
    with pytest.raises(errors.UsageError):
        make()
