"""Caches: the contract for each kind, what is special of each, and a model of ten lines beside each."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections import OrderedDict

import pytest
from contracts import CacheContract
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from kit.everyline import interrupt_everywhere

from memlab import AdaptiveCache, KindError, LRUCache, MemlabError, TTLCache, UsageError


class Thing:
    """A value that can be referenced weakly."""


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class TestLRU(CacheContract):
    def make(self, max_size=None, **options):
        return LRUCache(max_size or 1000, **options)


class TestWeakLRU(CacheContract):
    things = [Thing() for _ in range(300)]

    def make(self, max_size=None, **options):
        return LRUCache(max_size or 1000, use_weak_refs=True, **options)

    @classmethod
    def value(cls, number):
        return cls.things[number]


class TestTTL(CacheContract):
    def make(self, max_size=None, **options):
        return TTLCache(1000, max_size or 1000, **options)


class TestAdaptive(CacheContract):
    def make(self, max_size=None, **options):
        return AdaptiveCache(max_size or 1000, 64, **options)


# -- arguments


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LRUCache(0), "max_size"),
        (lambda: LRUCache(None), "max_size"),
        (lambda: LRUCache(2.5), "max_size"),
        (lambda: LRUCache(True), "max_size"),
        (lambda: LRUCache(5, on_evict="x"), "on_evict"),
        (lambda: LRUCache(5, use_weak_refs="yes"), "use_weak_refs"),
        (lambda: LRUCache(5, trace=-1), "trace"),
        (lambda: TTLCache(0), "default_ttl"),
        (lambda: TTLCache(math.nan), "default_ttl"),
        (lambda: TTLCache("60"), "default_ttl"),
        (lambda: TTLCache(60, max_size=0), "max_size"),
        (lambda: TTLCache(60).put("a", 1, ttl=-1), "ttl"),
        (lambda: TTLCache(60).put("a", 1, ttl=math.nan), "ttl"),
        (lambda: AdaptiveCache(10, 0), "max_memory_mb"),
        (lambda: AdaptiveCache(10, math.inf), "max_memory_mb"),
        (lambda: AdaptiveCache(10, 1, 0), "eviction_batch_size"),
        (lambda: AdaptiveCache(10, 1, high_water=1.5), "high_water"),
        (lambda: AdaptiveCache(10, 1, monitor=3), "monitor"),
        (lambda: AdaptiveCache(10, 1, sizers={"x": len}), "sizers"),
        (lambda: AdaptiveCache(10, 1, ttl=0), "ttl"),
        (lambda: AdaptiveCache(10, 1).put("a", 1, ttl=0), "ttl"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make, named):
    """The message names the argument and what it must be; it is a ValueError and memlab's own."""
    with pytest.raises(UsageError, match=named) as caught:
        make()
    assert isinstance(caught.value, ValueError)
    assert "must" in str(caught.value)


def test_arguments_can_be_read_back():
    """Every constructor argument is an attribute of the same name."""
    lru = LRUCache(5, print, use_weak_refs=True, trace=7)
    assert (lru.max_size, lru.on_evict, lru.use_weak_refs, lru.trace) == (5, print, True, 7)
    ttl = TTLCache(60, 9)
    assert (ttl.default_ttl, ttl.max_size, ttl.on_evict) == (60, 9, None)
    adaptive = AdaptiveCache(10, 2, 3, high_water=0.8, ttl=5)
    assert (adaptive.max_size, adaptive.max_memory_mb, adaptive.eviction_batch_size) == (10, 2, 3)
    assert (adaptive.high_water, adaptive.ttl, adaptive.monitor) == (0.8, 5, None)


@pytest.mark.parametrize("make", [lambda: LRUCache(5), lambda: TTLCache(5), lambda: AdaptiveCache(5, 1)])
def test_a_stored_none_is_no_miss(make):
    """None can be stored, and the default tells it from a miss."""
    cache = make()
    cache.put("key", None)
    assert cache.get("key", "default") is None
    assert "key" in cache
    assert cache.stats.hits == 1


@pytest.mark.parametrize("make", [lambda: LRUCache(5), lambda: TTLCache(5), lambda: AdaptiveCache(5, 1)])
def test_a_key_without_a_hash_is_a_type_error(make):
    """As with a dictionary, and nothing is changed."""
    cache = make()
    cache.put("x", 1)
    for use in (cache.get, cache.delete, cache.__contains__, lambda key: cache.put(key, 1)):
        with pytest.raises(TypeError):
            use([])
    assert (len(cache), cache.stats.hits) == (1, 0)


# -- order


class Model(RuleBasedStateMachine):
    """An LRU cache against an OrderedDict, use by use."""

    keys = Bundle("keys")
    tells = True

    def __init__(self):
        super().__init__()
        self.told = []
        self.cache = LRUCache(5, on_evict=self.tell if self.tells else None)
        self.model = OrderedDict()
        self.gone = []
        self.hits = self.misses = 0

    def tell(self, key, value):
        self.told.append((key, value))

    @rule(target=keys, key=st.integers(0, 12) | st.text(max_size=1))
    def key(self, key):
        return key

    @rule(key=keys, value=st.integers())
    def put(self, key, value):
        self.cache.put(key, value)
        self.model[key] = value
        self.model.move_to_end(key)
        if len(self.model) > 5:
            self.gone.append(self.model.popitem(last=False))

    @rule()
    def put_a_pair(self):
        self.put((1, 2), 3)

    @rule(key=keys)
    def get(self, key):
        found = self.cache.get(key, "miss")
        assert found == self.model.get(key, "miss")
        if key in self.model:
            self.model.move_to_end(key)
            self.hits += 1
        else:
            self.misses += 1

    @rule(key=keys)
    def delete(self, key):
        assert self.cache.delete(key) == (self.model.pop(key, None) is not None)

    @rule()
    def clear(self):
        self.cache.clear()
        self.model.clear()

    @invariant()
    def agree(self):
        assert dict.fromkeys(self.cache) == dict.fromkeys(self.model)
        assert self.told == (self.gone if self.tells else [])
        stats = self.cache.stats
        assert (stats.hits, stats.misses, stats.evictions) == (self.hits, self.misses, len(self.gone))


class QuietModel(Model):
    """Nobody is called back: plain keys are stored and evicted in C, where that was built."""

    tells = False


class PlainModel(QuietModel):
    """And no other keys ever come."""

    def put_a_pair(self):
        """Not here."""


TestModel = Model.TestCase
TestQuietModel = QuietModel.TestCase
TestPlainModel = PlainModel.TestCase
for tests in (TestModel, TestQuietModel, TestPlainModel):
    tests.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


class TimedModel(RuleBasedStateMachine):
    """A TTL cache against a dictionary of values and ends, with a clock of its own."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.cache = TTLCache(10, clock=self.clock)
        self.model = {}

    def live(self):
        return {key: value for key, (value, end) in self.model.items() if end > self.clock.now}

    @rule(key=st.integers(0, 8), value=st.integers(), ttl=st.sampled_from([None, 1, 5, 30, math.inf]))
    def put(self, key, value, ttl):
        self.cache.put(key, value, ttl)
        self.model[key] = (value, self.clock.now + (10 if ttl is None else ttl))

    @rule(key=st.integers(0, 8))
    def get(self, key):
        assert self.cache.get(key, "miss") == self.live().get(key, "miss")

    @rule(key=st.integers(0, 8))
    def delete(self, key):
        assert self.cache.delete(key) == (key in self.live())
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([0, 0.5, 1, 4, 9, 10, 31]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(key=st.integers(0, 8))
    def contains(self, key):
        assert (key in self.cache) == (key in self.live())

    @rule()
    def look(self):
        assert sorted(self.cache) == sorted(self.live())
        assert len(self.cache) == len(self.live())


TestTimedModel = TimedModel.TestCase
TestTimedModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_reads_alone_keep_nothing():
    """A million reads of a small cache leave no order, log or trace behind."""
    cache = LRUCache(10)
    for number in range(10):
        cache.put(number, number)
    before = len(cache._order)
    for _ in range(20_000):
        cache.get(3)
    assert len(cache._order) == before
    assert cache.stats.hits == 20_000


def test_what_is_deleted_or_replaced_is_freed_at_once():
    """Neither the order nor the table of ends keeps a value."""
    for cache in (LRUCache(100), TTLCache(100, 100), AdaptiveCache(100, 64)):
        things = [Thing() for _ in range(120)]
        alive = [weakref.ref(thing) for thing in things]
        for number, thing in enumerate(things):
            cache.put(number, thing)
        del things, thing
        cache.put(50, "other")
        cache.delete(60)
        assert [alive[n]() is None for n in (0, 19, 20, 50, 60, 119)] == [
            True,
            True,
            False,
            True,
            True,
            False,
        ]
        cache.clear()
        assert all(one() is None for one in alive)


def test_put_and_delete_of_one_key_for_ever_keeps_nothing():
    """The table of ends and the order do not grow with the number of calls."""
    cache = TTLCache(1000, max_size=10)
    for number in range(5_000):
        cache.put("same", number)
        cache.put(number, number)
        cache.delete(number)
    assert len(cache._ends) + len(cache._line) <= 200
    assert len(cache._order) <= 200


# -- lifetimes


def test_an_ended_entry_is_never_returned():
    """At its very end an entry is gone, whichever way it is asked for."""
    clock = Clock()
    cache = TTLCache(10, clock=clock)
    cache.put("short", 1, ttl=5)
    cache.put("long", 2)
    clock.now += 4.999
    assert cache.get("short") == 1
    clock.now += 0.001
    assert (cache.get("short"), "short" in cache, list(cache)) == (None, False, ["long"])
    assert (cache.stats.expirations, cache.stats.evictions, cache.stats.misses) == (1, 0, 1)


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.get("other"),
        len,
        lambda c: c.put("x", 1),
        list,
        lambda c: c.stats,
        lambda c: c.delete("y"),
    ],
)
def test_any_use_releases_what_ended(use):
    """The memory of an ended entry goes with the next call, though that names another key."""
    clock = Clock()
    cache = TTLCache(10, clock=clock)
    thing = Thing()
    alive = weakref.ref(thing)
    cache.put("key", thing)
    del thing
    clock.now += 11
    assert alive() is not None
    use(cache)
    assert alive() is None


def test_many_ends_at_once_are_worked_off_in_part_by_each_look_up():
    """No single ``get`` pays for a thousand ended entries, and none is ever returned."""
    clock = Clock()
    cache = TTLCache(10, clock=clock)
    for number in range(1000):
        cache.put(number, number)
    clock.now += 11
    assert cache.get(999) is None
    assert 900 < len(cache._entries) < 1000
    assert all(cache.get(number) is None for number in range(1000))
    assert len(cache._entries) == 0


def test_room_is_made_by_ended_entries_first():
    """A full cache evicts nobody while something in it has ended."""
    clock = Clock()
    cache = TTLCache(100, max_size=3, on_evict=lambda key, value: told.append(key), clock=clock)
    told = []
    cache.put("a", 1)
    cache.put("b", 2, ttl=1)
    cache.put("c", 3)
    clock.now += 2
    cache.put("d", 4)
    assert (sorted(cache), told) == (["a", "c", "d"], [])
    cache.put("e", 5)
    assert (sorted(cache), told) == (["c", "d", "e"], ["a"])


def test_a_real_clock_ends_entries():
    """With no clock given it is the monotonic one."""
    cache = TTLCache(0.02)
    cache.put("key", 1)
    assert cache.get("key") == 1
    threading.Event().wait(0.03)
    assert cache.get("key") is None


# -- weak values


def test_a_weak_entry_goes_when_its_value_does():
    """The entry is gone at once: not counted, not iterated over, and no eviction is told."""
    told = []
    cache = LRUCache(5, on_evict=lambda *entry: told.append(entry), use_weak_refs=True)
    kept, lost = Thing(), Thing()
    cache.put("kept", kept)
    cache.put("lost", lost)
    del lost
    assert (len(cache), list(cache), "lost" in cache, cache.get("lost", 0)) == (1, ["kept"], False, 0)
    assert cache.get("kept") is kept
    assert (told, cache.stats.evictions) == ([], 0)


def test_a_dying_value_does_not_take_its_successor_along():
    """An entry that was replaced before its old value died stays."""
    cache = LRUCache(5, use_weak_refs=True)
    old, new = Thing(), Thing()
    cache.put("key", old)
    cache.put("key", new)
    del old
    assert cache.get("key") is new
    assert len(cache) == 1


def test_a_value_that_dies_in_a_collection_goes_too():
    """A cycle's end is told by the collector, in the midst of whatever runs."""
    cache = LRUCache(50, use_weak_refs=True)
    for number in range(20):
        thing = Thing()
        thing.self = thing
        cache.put(number, thing)
    del thing
    gc.collect()
    assert len(cache) == 0


@pytest.mark.parametrize("value", [5, "text", (1, 2), None, {}])
def test_a_value_without_weak_references_is_refused(value):
    """The error is a TypeError that says what to do; the cache is as it was."""
    cache = LRUCache(5, use_weak_refs=True)
    with pytest.raises(KindError, match="cannot be referenced weakly") as caught:
        cache.put("key", value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, MemlabError)
    assert len(cache) == 0


def test_a_weak_cache_can_itself_be_freed():
    """References of values do not keep the cache, and outlive it in peace."""
    cache = LRUCache(5, use_weak_refs=True)
    thing = Thing()
    cache.put("key", thing)
    alive = weakref.ref(cache)
    del cache
    gc.collect()
    assert alive() is None
    del thing


# -- keys and values with code of their own


class Nosy:
    """A key whose equality uses the cache it is in."""

    cache = None

    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return 1

    def __eq__(self, other):
        if Nosy.cache is not None:
            Nosy.cache.get("inner")
            Nosy.cache.put("inner", 1)
        return isinstance(other, Nosy) and self.name == other.name


@pytest.mark.parametrize("make", [lambda: LRUCache(4), lambda: TTLCache(9, 4), lambda: AdaptiveCache(4, 1)])
def test_keys_that_use_the_cache_do_not_break_it(make):
    """An equality that reads and writes the same cache neither hangs it nor breaks its bound."""
    cache = make()
    keys = [Nosy(number) for number in range(8)]
    try:
        Nosy.cache = cache
        for number, key in enumerate(keys * 3):
            cache.put(key, number)
            cache.get(keys[number % 3])
            assert len(cache) <= 4
    finally:
        Nosy.cache = None


class Last:
    """A value whose end uses the cache it was in."""

    def __init__(self, cache):
        self.cache = cache
        self.cycle = self

    def __del__(self):
        self.cache.put("from the end", 1)
        self.cache.get("from the end")


@pytest.mark.parametrize("make", [lambda: LRUCache(8), lambda: TTLCache(9, 8), lambda: AdaptiveCache(8, 1)])
def test_finalizers_that_use_the_cache_do_not_hang_it(make):
    """The collector may run them in the midst of a write of the same thread."""
    cache = make()
    before = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        for number in range(300):
            cache.put(number, Last(cache))
            assert len(cache) <= 8
    finally:
        gc.set_threshold(*before)
        cache.clear()
        gc.collect()


@pytest.mark.parametrize("make", [lambda: LRUCache(3), lambda: TTLCache(9, 3), lambda: AdaptiveCache(3, 1)])
def test_an_interrupt_at_any_line_leaves_a_whole_cache(make):
    """Wherever Ctrl-C strikes, the lock is given back and the next write finds the bound again."""
    cache = make()

    def use():
        for key in (0, 1, "two", (3,), (4,)):  # plain keys, and such as Python's part stores
            cache.put(key, bytes(2000))
        cache.get((4,))
        cache.delete((4,))

    def state():
        cache.put("after", 1)
        cache.put("again", 2)
        with_lock = threading.Thread(target=lambda: (len(cache), cache.stats))
        with_lock.start()
        with_lock.join(5)
        assert not with_lock.is_alive()
        assert len(cache) <= 3
        return {"found": cache.get("again")}

    lines, residue = interrupt_everywhere(use, state)
    assert lines > 50
    assert residue == []
