"""The quick paths of pools and caches in C beside their twins in Python, which do the same without them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memlab import AdaptiveCache, LRUCache, ObjectPool, TTLCache
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
    ours, twin = getattr(kind, name), getattr(kind, f"_{name}")
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
    for method in (name, f"_{name}"):
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
