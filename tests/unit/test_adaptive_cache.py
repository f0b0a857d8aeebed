"""The adaptive cache: bytes as they really are, eviction in batches, and giving way to pressure."""

from __future__ import annotations

import dataclasses
import gc
import random
import sys
import tracemalloc
import types

import numpy as np
import pandas as pd
import pytest

from memlab import AdaptiveCache, MemoryMonitor
from memlab.collectors.deep_size import Sizer
from memlab.testing import nosy_class

MIB = 1024 * 1024
LIMIT = MIB


@dataclasses.dataclass(slots=True)
class Slotted:
    number: int
    name: str
    parts: list


@dataclasses.dataclass
class Plain:
    number: int
    name: str
    parts: list


COMMON = [bytes(20_000) for _ in range(8)]
KINDS = {
    "strings": lambda n: f"text {n} " * 400,
    "wide strings": lambda n: f"слово {n} " * 200,
    "short strings": lambda n: f"value {n}",
    "bytes": lambda n: n.to_bytes(4, "big") * 1000,
    "numbers": lambda n: n * 10**6,
    "arrays": lambda n: np.arange(1000) + n,
    "views of arrays": lambda n: (np.arange(1000) + n)[::2],
    "arrays of objects": lambda n: np.array([f"{n}.{i}" for i in range(50)], dtype=object),
    "data frames": lambda n: pd.DataFrame({"a": np.arange(200) + n, "b": [f"{n}-{i}" for i in range(200)]}),
    "dicts": lambda n: {f"key {n} {i}": n * i * 1000 for i in range(30)},
    "records": lambda n: {"name": f"n{n}", "age": n, "tags": ["a", "b", f"t{n}"]},
    "lists of lists": lambda n: [[n * 1000 + i * j for i in range(10)] for j in range(10)],
    "slotted dataclasses": lambda n: Slotted(n * 1000, f"name {n}", [n * i for i in range(10)]),
    "dataclasses": lambda n: Plain(n * 1000, f"name {n}", [n * i for i in range(10)]),
    "nested": lambda n: {
        "rows": [{"y": (n * 1000, {"z": f"{n},{i}"})} for i in range(20)],
        "s": {n, n + 0.5},
    },
    "shared parts": lambda n: [COMMON[n % 8], f"own {n} " * 20],
    "one value under many keys": lambda n: COMMON[n % 8],
    "frozen sets": lambda n: frozenset(f"{n}:{i}" for i in range(50)),
}


def fill_until_it_evicts(make, times, cache=None):
    cache = AdaptiveCache(10**6, LIMIT // MIB) if cache is None else cache
    number = 0
    while cache.stats.evictions < times:
        for _ in range(20):
            cache.put(number, make(number))
            number += 1


@pytest.mark.parametrize("kind", KINDS)
def test_its_bytes_are_the_true_ones(kind):
    """A full cache's own count is within 5 % of its limit of what the allocators gave out for it."""
    make = KINDS[kind]
    fill_until_it_evicts(make, 1)  # what is loaded on first use, by us or by pandas, is not the values'
    gc.collect()
    tracemalloc.start()
    try:
        cache = AdaptiveCache(10**6, LIMIT // MIB)
        before = tracemalloc.get_traced_memory()[0]
        fill_until_it_evicts(make, 20, cache)
        gc.collect()
        true = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    if kind in ("shared parts", "one value under many keys"):
        true += sum(map(sys.getsizeof, COMMON))  # made before the tracing began
    assert true <= LIMIT
    assert abs(cache.memory_usage - true) <= 0.05 * LIMIT
    assert cache.memory_usage <= 0.9 * LIMIT
    assert cache.stats.estimated == 0


def test_a_hundred_entries_of_ten_kib_under_one_mib():
    """Fewer than all are kept, under the limit, and the newest ten are all there."""
    cache = AdaptiveCache(max_size=1000, max_memory_mb=1)
    for number in range(100):
        cache.put(f"key {number}", b"x" * 10_240)
    assert 75 < len(cache) < 100
    assert cache.memory_usage < MIB
    assert all(f"key {number}" in cache for number in range(90, 100))


def test_eviction_comes_in_batches():
    """One put over the mark evicts ``eviction_batch_size`` entries, the oldest, each told once."""
    told = []
    cache = AdaptiveCache(1000, 1, eviction_batch_size=7, on_evict=lambda key, value: told.append(key))
    number = 0
    while not told:
        cache.put(number, bytes(10_000))
        number += 1
    assert told == list(range(7))
    assert len(cache) == number - 7


def test_a_batch_never_empties_a_cache_of_few():
    """With four large entries one goes, not all."""
    cache = AdaptiveCache(1000, 1, eviction_batch_size=50)
    for number in range(20):
        cache.put(number, bytes(200_000))
    assert sorted(cache) == [16, 17, 18, 19]


def test_what_alone_is_too_large_is_not_stored():
    """It is counted as refused, evicts nobody, and the old value of its key is gone."""
    cache = AdaptiveCache(1000, 1)
    cache.put("other", 1)
    cache.put("key", "old")
    cache.put("key", bytes(2 * MIB))
    assert (sorted(cache), cache.get("key")) == (["other"], None)
    assert (cache.stats.refused, cache.stats.evictions) == (1, 0)


def test_the_books_are_balanced():
    """After any mixture of calls an empty cache weighs nothing but itself."""
    cache = AdaptiveCache(50, 1, ttl=1000)
    empty = cache.memory_usage
    chance = random.Random(5)
    for number in range(2000):
        key = chance.randrange(80)
        if chance.random() < 0.2:
            cache.delete(key)
        else:
            cache.put(key, [COMMON[number % 8], bytes(chance.randrange(100, 9000)), "name"])
    while len(cache):
        cache.delete(next(iter(cache)))
    assert cache._weight == 0
    assert cache._charged == {}
    cache.clear()
    assert cache.memory_usage <= empty + 8192  # a dictionary keeps its table


def test_shared_parts_are_charged_once_and_to_the_end():
    """While one entry holds it a shared object is charged; with the last it goes off the books."""
    common = bytes(50_000)
    cache = AdaptiveCache(100, 1)
    for number in range(3):
        cache.put(number, [common])
    assert 50_000 < cache.memory_usage < 60_000
    cache.delete(0)
    cache.delete(2)
    assert cache.memory_usage > 50_000
    cache.delete(1)
    assert cache.memory_usage < 5_000


def test_a_declared_sizer_is_believed():
    """A type with a sizer is not looked into; others are."""
    cache = AdaptiveCache(100, 1, sizers={Plain: lambda value: 100_000})
    cache.put("declared", Plain(1, "x", []))
    cache.put("inside", [Plain(2, "y", [])])
    assert 200_000 < cache.memory_usage < 204_000


def test_a_value_beyond_the_budget_is_estimated():
    """A long list of equal parts is told within a fifth from its first thousand objects, and marked."""
    rows = [{"number": n + 1000, "text": f"row {n:06}"} for n in range(20_000)]
    whole = Sizer(10**7).measure(rows)
    part = Sizer(1000).measure(rows)
    assert whole.complete
    assert not part.complete
    assert part.objects <= 1000
    cache = AdaptiveCache(10, 64, size_budget=1000)
    cache.put("rows", rows)
    assert cache.stats.estimated == 1
    assert 0.5 < part.total_bytes / whole.total_bytes < 2


def test_nothing_of_a_values_own_code_runs():
    """Measuring asks no value, no class and no metaclass anything."""
    kind, calls = nosy_class()
    nosy = kind()
    calls.clear()
    size = Sizer().measure([nosy, {"key": nosy}, (nosy,), kind])
    assert dict(calls) == {}
    assert size.objects >= 4


# -- pressure


class Monitor:
    """Stands for a MemoryMonitor."""

    def __init__(self):
        self.available = 900

    def read(self):
        return types.SimpleNamespace(limit_bytes=1000, available_bytes=self.available, rss_bytes=None)


def test_it_shrinks_under_pressure_and_grows_back():
    """Each check under pressure halves the limit and evicts; later it grows by quarters until it is whole."""
    monitor, now = Monitor(), [0.0]
    cache = AdaptiveCache(1000, 1, monitor=monitor, check_interval=1, clock=lambda: now[0])
    for number in range(80):
        cache.put(number, bytes(10_000))
    assert (cache.limit_bytes, len(cache)) == (MIB, 80)
    monitor.available = 100
    limits = []
    for number in range(80, 86):
        now[0] += 1
        cache.put(number, bytes(10_000))
        limits.append(cache.limit_bytes / MIB)
        assert cache.memory_usage <= cache.limit_bytes
        assert number in cache
    assert limits[:4] == [0.5, 0.25, 0.125, 0.0625]
    assert limits[-1] == pytest.approx(0.05, abs=1e-5)
    monitor.available = 200  # neither short nor ample: it stays as it is
    now[0] += 1
    cache.put(90, 1)
    assert cache.limit_bytes / MIB == pytest.approx(0.05, abs=1e-5)
    monitor.available = 900
    for number in range(20):
        now[0] += 1
        cache.put(number, 1)
    assert cache.limit_bytes == MIB
    assert (cache.stats.shrinks, cache.stats.grows) == (5, 14)


def test_it_does_not_read_the_monitor_at_every_put():
    """Between two checks lies the interval."""
    reads = []
    now = [0.0]
    cache = AdaptiveCache(10, 1, monitor=lambda: reads.append(1), check_interval=2, clock=lambda: now[0])
    for _ in range(100):
        now[0] += 0.1
        cache.put("key", 1)
    assert len(reads) == 5


def test_the_real_monitor_is_one():
    """A MemoryMonitor tells the share of memory in use, and the cache follows it."""
    with MemoryMonitor() as monitor:
        cache = AdaptiveCache(10, 1, monitor=monitor, pressure_threshold=1.0)
        share = cache.check_pressure()
        assert 0 < share < 1
        eager = AdaptiveCache(10, 1, monitor=monitor, pressure_threshold=share / 2)
        eager.check_pressure()
    assert (cache.limit_bytes, eager.limit_bytes) == (MIB, MIB // 2)


def test_alerts_steer_it():
    """As a handler of alerts it halves at a warning, goes to the least at critical, and recovers."""
    cache = AdaptiveCache(1000, 1)
    for number in range(80):
        cache.put(number, bytes(10_000))
    cache.on_pressure("warning", {})
    assert (cache.limit_bytes, cache.memory_usage < MIB // 2) == (MIB // 2, True)
    cache.on_pressure("critical", {})
    assert cache.limit_bytes == MIB // 20
    assert 79 in cache
    cache.on_pressure("recovered", {})
    assert cache.limit_bytes == MIB


def test_a_monitor_that_cannot_tell_changes_nothing():
    """Absent figures are no pressure."""
    cache = AdaptiveCache(10, 1, monitor=lambda: None)
    assert cache.check_pressure() is None
    nothing = types.SimpleNamespace(limit_bytes=None, available_bytes=None, rss_bytes=5)
    cache = AdaptiveCache(10, 1, monitor=types.SimpleNamespace(read=lambda: nothing))
    assert cache.check_pressure() is None
    assert cache.limit_bytes == MIB


def test_lifetimes_callbacks_and_bytes_hold_together():
    """One cache with per-entry lifetimes, callbacks, byte limits and a bound on entries."""
    now, told = [0.0], []
    cache = AdaptiveCache(5, 1, on_evict=lambda key, value: told.append(key), ttl=10, clock=lambda: now[0])
    for number in range(6):
        cache.put(number, bytes(1000))
    cache.put("short", bytes(1000), ttl=1)
    assert told == [0, 1]
    now[0] = 2
    assert cache.get("short") is None
    assert cache.memory_usage < 7000
    now[0] = 11
    assert (len(cache), cache.stats.expirations, told) == (0, 5, [0, 1])
