"""The what-if curve: equal to a simulated cache at every size, and near it where keys are sampled."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlab import LRUCache, UsageError, hit_curve


def simulate(keys, size):
    """The share of hits of a real LRU of that size."""
    cache, hits = OrderedDict(), 0
    for key in keys:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            cache[key] = None
            if len(cache) > size:
                cache.popitem(last=False)
    return hits / len(keys)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80))
def test_it_is_what_a_cache_of_each_size_would_do(keys):
    """Equal to a simulation, size by size, to the last hit."""
    curve = hit_curve(keys, list(range(1, 15)))
    assert curve.hit_rate.tolist() == [simulate(keys, size) for size in range(1, 15)]
    assert (curve.accesses, curve.distinct, curve.sampled) == (len(keys), len(set(keys)), 1.0)


def test_it_is_what_our_own_cache_does():
    """The curve of a cache's own trace, at its own size, is its own hit rate."""
    chance = random.Random(3)
    cache = LRUCache(50, trace=10_000)
    for _ in range(5_000):
        key = min(int(chance.paretovariate(0.7)), 500)
        if cache.get(key) is None:
            cache.put(key, 1)
    assert cache.what_if().at(50) == cache.stats.hit_rate


def test_a_sample_of_the_keys_is_near_the_whole():
    """An eighth of the look-ups tells each hit rate within three hundredths."""
    chance = random.Random(9)
    keys = [min(int(chance.paretovariate(0.4)), 20_000) for _ in range(40_000)]
    sizes = [100, 500, 2000, 8000]
    whole, part = hit_curve(keys, sizes), hit_curve(keys, sizes, most=5_000)
    assert part.sampled == 0.125
    assert part.notes
    assert whole.hit_rate == pytest.approx([simulate(keys, size) for size in sizes])
    assert part.hit_rate == pytest.approx(whole.hit_rate, abs=0.03)
    assert part.distinct == pytest.approx(whole.distinct, rel=0.1)


def test_the_least_size_that_is_enough():
    """A loop over ten keys needs ten entries: none fewer hits at all."""
    curve = hit_curve([n % 10 for n in range(1000)], current=4)
    assert (curve.enough, curve.best, curve.at(9), curve.at(4)) == (10, 0.99, 0.0, 0.0)
    assert curve.at(10) == 0.99


@pytest.mark.parametrize(
    ("keys", "options"), [([], {}), ([1], {"sizes": []}), ([1], {"sizes": [0]}), ([1], {"most": 0})]
)
def test_what_makes_no_curve_is_refused(keys, options):
    """No keys, no sizes, no look-ups: one sentence each."""
    with pytest.raises(UsageError, match="what if"):
        hit_curve(keys, **options)
