"""The quick paths of pools and caches in C beside their twins in Python, which do the same without them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest

from memlab import AdaptiveCache, LRUCache, ObjectPool, TTLCache, UsageError
from memlab.lab import _pool_quick
from memlab.lab.caches import quick

HERE = Path(__file__).parent
WITHOUT = """
import sys
sys.modules["memlab._native.quickpool"] = sys.modules["memlab._native.quickcache"] = None
import pytest
code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[1:]])
import memlab.lab._pool_quick, memlab.lab.caches.quick
assert not memlab.lab._pool_quick.is_native and not memlab.lab.caches.quick.is_native
sys.exit(code)
"""
native = pytest.mark.skipif(
    not (_pool_quick.is_native and quick.is_native), reason="the extension was not built"
)
if os.environ.get("MEMLAB_REQUIRE_NATIVE"):
    native = pytest.mark.parametrize((), [()])


@native
@pytest.mark.parametrize(
    ("name", "which"), [("test_pool", ""), ("test_caches", ""), ("test_adaptive_cache", "true_ones")]
)
def test_everything_holds_without_the_extension(name, which):
    """The same tests in a process that finds no extension; of the adaptive cache, those of its bytes."""
    child = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(HERE / f"{name}.py"), "-k", which],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=HERE.parent.parent,
    )
    assert child.returncode == 0, child.stdout[-3000:] + child.stderr[-2000:]
    assert " passed" in child.stdout


PAIRS = [
    (ObjectPool, "acquire"),
    (ObjectPool, "release"),
    (LRUCache, "get"),
    (LRUCache, "put"),
    (TTLCache, "get"),
    (TTLCache, "put"),
    (AdaptiveCache, "get"),
]


@native
@pytest.mark.parametrize(("kind", "name"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_the_calls_in_c_say_what_their_twins_say(kind, name):
    """The same name, words, parameters and defaults, whichever is there."""
    ours, twin = getattr(kind, name), getattr(kind, f"_{name}_in_python")
    assert ours is not twin
    assert not inspect.isfunction(ours)
    assert ours.__name__ == twin.__name__ == name
    assert inspect.getdoc(ours) == inspect.getdoc(twin)
    said = [(one.name, one.default) for one in inspect.signature(ours).parameters.values()]
    assert said == [(one.name, one.default) for one in inspect.signature(twin).parameters.values()]


@native
@pytest.mark.parametrize(("kind", "name"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_wrong_calls_are_type_errors_of_both(kind, name):
    """Too few, too many, twice, and by a name that there is not; and nothing was done or counted."""
    parameters = list(inspect.signature(getattr(kind, name)).parameters)[1:]
    wrong = [
        ((), {"stranger": 1}),
        ((1,) * (len(parameters) + 1), {}),
        ((1,) * len(parameters), {parameters[0]: 1}),
        ((1,), {parameters[0]: 1}),
    ]
    if name != "acquire":
        wrong.append(((), {}))
    made = {ObjectPool: lambda: ObjectPool(list), LRUCache: lambda: LRUCache(3)}
    for method in (name, f"_{name}_in_python"):
        one = made.get(kind, lambda: kind(3, 3))()
        before = str(one.stats)
        for args, named in wrong:
            with pytest.raises(TypeError, match=name):
                getattr(one, method)(*args, **named)
        assert str(one.stats) == before


@native
def test_all_may_be_named():
    """By name, in any order, the calls do what they do by place."""
    pool, lru, ttl = ObjectPool(list), LRUCache(3), TTLCache(60)
    item = pool.acquire(timeout=1)
    pool.release(obj=item)
    assert pool.acquire(None) is item
    lru.put(value=1, key="a")
    lru.put(key="a", value=2)
    ttl.put(ttl=5, value=1, key="a")
    ttl.put("a", ttl=None, value=2)
    assert lru.get(default=7, key="a") == ttl.get(default=7, key="a") == 2
    assert lru.get("b", default=7) == ttl.get("b", 7) == 7


@native
@pytest.mark.parametrize("kind", [ObjectPool, LRUCache, TTLCache])
def test_what_was_never_set_up_says_so(kind):
    """``__init__`` that a subclass left out is an AttributeError, not a crash."""
    one = kind.__new__(kind)
    for name, arguments in (("acquire", ()), ("release", (1,)), ("get", (1,)), ("put", (1, 2))):
        if hasattr(kind, name):
            with pytest.raises(AttributeError):
                getattr(one, name)(*arguments)


@native
def test_what_is_no_entry_is_an_error():
    """A stranger in the private dictionary is told, not followed."""
    for cache in (LRUCache(3), TTLCache(60)):
        cache._entries["a"] = [1, 2]
        with pytest.raises(TypeError, match="no entries"):
            cache.get("a")
        with pytest.raises(TypeError, match="no entries"):
            cache.put("a", 1)


class Shadowed(LRUCache):
    """A class attribute by the name of an instance's."""

    on_evict = None


@pytest.mark.parametrize("kind", [LRUCache, Shadowed])
def test_a_callback_that_is_set_later_is_called(kind):
    """``on_evict`` is an attribute like any other: set, shadowed, patched and put back."""
    told, cache = [], kind(1, on_evict=lambda key, _value: told.append(key))
    for key in "abc":
        cache.put(key, key)
    assert told == ["a", "b"]
    with mock.patch.object(cache, "on_evict", None):
        cache.put("d", 1)
    cache.put("e", 1)
    assert told == ["a", "b", "d"]
    assert cache.stats.evictions == 4


def test_a_bound_beyond_every_machine_is_none():
    """More entries than there are addresses."""
    for cache in (LRUCache(2**70), TTLCache(60, 2**70)):
        cache.put("a", 1)
        assert (cache.get("a"), cache.max_size) == (1, 2**70)


@pytest.mark.parametrize("make", [lambda: LRUCache(3), lambda: TTLCache(60)])
def test_what_fails_is_not_counted(make):
    """A key that cannot be hashed changes no figure."""
    cache = make()
    cache.put("a", 1)
    cache.get("a")
    for call in (lambda: cache.put([], 1), lambda: cache.get([])):
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert (cache.stats.hits, cache.stats.misses) == (1, 0)


def test_a_lock_that_answers_one_is_given_back(monkeypatch):
    """Python's own RLock says 1, not True, where it is held already."""
    cache = LRUCache(3)
    cache._lock = threading._PyRLock()
    with cache._lock:
        cache.put("a", 1)
    free = []
    thread = threading.Thread(target=lambda: free.append(cache._lock.acquire(timeout=5)))
    thread.start()
    thread.join()
    assert free == [True]


def test_a_class_that_gets_a_hash_later_is_still_handed_out_once():
    """Its hash runs in the middle of an acquisition, and acquires too."""

    class Item:
        def reset(self):
            pass

    pool, inner = ObjectPool(Item, min_size=2), []

    def hash_of(self):
        if not inner:
            inner.append(None)
            inner[0] = pool.acquire()
        return id(self) >> 4

    Item.__hash__ = hash_of
    assert pool.acquire() is not inner[0]
    assert pool.stats.in_use == 2


class Pooled(ObjectPool):
    """A subclass with short private names of its own."""

    def _acquire(self):
        raise AssertionError

    def _release(self, obj):
        self.release(obj)


class Cached(LRUCache):
    """The same of a cache."""

    def _get(self):
        raise AssertionError

    _put = _insert = _get


def test_a_subclass_may_have_names_of_its_own():
    """What the calls in C ask for are names that nobody else takes."""
    pool = Pooled(list)
    item = pool.acquire()
    pool.release(item)
    with pytest.raises(UsageError, match="given back before"):
        pool.release(item)
    cache = Cached(2)
    for key in (1, (2,), "three"):
        cache.put(key, 0)
    assert (cache.get((2,)), cache.get(1)) == (0, None)
