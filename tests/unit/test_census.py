"""Counts by type, container lengths, the frozen heap: exact numbers from known objects."""

import functools
import gc
import itertools
import sys
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest

from memlab.collectors.bounds import known_bound
from memlab.collectors.census import (
    FrozenHeap,
    addresses,
    grown_containers,
    latest_entries,
    native_size,
    take_census,
)

_NUMBERS = itertools.count()


class Thing:
    def __init__(self):
        self.items = []


class Hostile(dict):
    def __len__(self):
        raise AssertionError("user code ran")

    __iter__ = __getitem__ = __eq__ = __sizeof__ = __len__
    __hash__ = None


class Plain(dict):
    pass


class Meta(type):
    def __hash__(cls):
        raise AssertionError("user code ran")

    def __eq__(cls, other):
        raise AssertionError("user code ran")


class Odd(metaclass=Meta):
    pass


def test_counts_are_exact():
    """A thousand new objects are a thousand more in the census, their lists as well."""
    gc.collect()
    before = take_census()
    kept = [Thing() for _ in range(1000)]
    after = take_census()
    name = f"{__name__}.Thing"
    assert after.counts[name] - before.counts.get(name, 0) == 1000
    assert after.counts["builtins.list"] - before.counts["builtins.list"] == pytest.approx(1001, abs=40)
    del kept


def test_a_census_of_given_objects_counts_just_these():
    """Three objects are three objects."""
    things = [Thing(), Thing(), {}]
    assert take_census(things).counts == {f"{__name__}.Thing": 2, "builtins.dict": 1}


def test_no_user_code_runs_in_a_census():
    """Overridden lengths, hashes and equalities of objects and metaclasses are never called."""
    hostile = Hostile(a=1, b=2)
    odd = Odd()
    census = take_census([hostile, odd])
    assert census.counts == {f"{__name__}.Hostile": 1, f"{__name__}.Odd": 1}
    assert census.length.tolist() == [2]
    assert latest_entries(hostile) == [2, 1, "b", "a"]
    assert native_size(hostile) == sys.getsizeof(Plain(a=1, b=2))


def test_addresses_are_those_of_the_objects():
    """The pointer view gives id() of each, also for objects that offer a buffer or a length."""
    objects = [Hostile(), bytearray(3), np.arange(3), [1, 2], "text", memoryview(b"x")]
    assert addresses(objects).tolist() == list(map(id, objects))
    assert addresses([]).tolist() == []


@pytest.mark.parametrize(
    ("container", "add"),
    [
        ([], lambda c, n: c.append(n)),
        ({}, lambda c, n: c.__setitem__(n, n)),
        (set(), lambda c, n: c.add(n)),
        (deque(), lambda c, n: c.append(n)),
        (OrderedDict(), lambda c, n: c.__setitem__(n, n)),
        (defaultdict(list), lambda c, n: c[n]),
        (functools.lru_cache(maxsize=500)(abs), lambda c, n: c(next(_NUMBERS))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_container_that_gains_is_found_with_its_lengths(container, add):
    """Each kind of container is found by its address, with the length at every census."""
    others = [[] for _ in range(50)]
    objects = [container, *others]
    lengths = []
    censuses = []
    for _ in range(3):
        for step in range(10):
            add(container, len(lengths) * 10 + step)
        lengths.append(10 * (len(lengths) + 1))
        censuses.append(take_census(objects))
    (found,) = grown_containers(censuses, least=5)
    assert found.address == id(container)
    assert found.lengths == tuple(lengths) == (10, 20, 30)


def test_a_container_that_pauses_is_not_called_growing():
    """Growth must show from each census to the next."""
    kept = []
    censuses = []
    for add in (5, 5, 0, 5):
        kept.extend(range(add))
        censuses.append(take_census([kept]))
    assert grown_containers(censuses, least=1) == []


def test_the_frozen_heap_lists_only_what_is_new_and_gives_all_back():
    """Inside, gc.get_objects lists what was made since; after, the collector has everything again."""
    gc.collect()
    total = len(gc.get_objects())
    with FrozenHeap() as heap:
        assert heap.available
        kept = [Thing() for _ in range(100)]
        fresh = [o for o in gc.get_objects() if type(o) is Thing]
        assert len(fresh) == 100
        assert len(gc.get_objects()) < total / 2
        del fresh
    assert len(gc.get_objects()) >= total
    del kept


def test_a_heap_that_someone_else_froze_is_left_alone():
    """Memlab neither freezes nor thaws what is not its own."""
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with FrozenHeap() as heap:
            assert not heap.available
            assert gc.get_freeze_count() == count
        assert gc.get_freeze_count() == count
    finally:
        gc.unfreeze()


def test_native_sizes_are_those_of_sys_getsizeof():
    """For builtins the size is the interpreter's own."""
    for value in ([1, 2], {1: 2}, (1,), "text", 10**30, 1.5, {1}, b"bytes", deque([1])):
        assert native_size(value) == sys.getsizeof(value)


def test_bounds_are_read_without_running_code():
    """lru_cache, deque and plain integer attributes tell how much may come; a module or a lie does not."""

    @functools.lru_cache(maxsize=77)
    def cached(x):
        return x

    cached(1)
    inner = next(r for r in gc.get_referents(cached) if type(r) is dict and 1 in r)
    assert known_bound(inner, [cached]) == (77, "lru_cache maxsize")
    assert known_bound(deque(maxlen=5), []) == (5, "deque maxlen")

    class Cache:
        def __init__(self, maxsize):
            self.maxsize = maxsize
            self.data = {i: i for i in range(10)}

    assert known_bound((full := Cache(100)).data, [full]) == (100, "attribute maxsize")
    assert known_bound((small := Cache(3)).data, [small]) is None  # it holds more than that: no bound
    assert known_bound([], [sys]) is None

    @functools.cache
    def endless(x):
        return x

    endless(1)
    inner = next(r for r in gc.get_referents(endless) if type(r) is dict and 1 in r)
    assert known_bound(inner, [endless]) is None
