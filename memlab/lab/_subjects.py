"""What is put under pressure inside a cage: a step, a cache or a pool, each behind one ``call``.

A subject counts what it can be asked for and gives -1 for what it cannot. The default trace of keys is drawn
once, with a fixed seed, from a Zipf-like distribution: a few keys are asked for often, most of them seldom,
as in real traffic. Only the standard library is imported.
"""

from __future__ import annotations

import inspect
import itertools
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["UNKNOWN", "CacheSubject", "PoolSubject", "StepSubject", "Subject", "default_keys"]

UNKNOWN = -1
_DRAWN = 20_000
_SEED = 7
_MISSING = object()


def default_keys(count: int) -> Iterable[str]:
    """Return an endless trace over ``count`` keys, the nth asked for about 1/n as often as the first."""
    chance = random.Random(_SEED)  # noqa: S311 - traffic, not secrets
    keys = [f"key-{number}" for number in range(count)]
    weights = [1 / (number + 1) for number in range(count)]
    return itertools.cycle(chance.choices(keys, weights, k=_DRAWN))


class Subject:
    """What a cage calls again and again.

    Attributes:
        kind: ``step``, ``cache`` or ``pool``.
        hits, misses, evictions, entries: running figures; -1 where the subject has none.
    """

    kind = "step"
    hits = misses = evictions = entries = UNKNOWN

    def call(self) -> None:
        """Do one unit of work."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Bring the figures up to date that are asked for rather than counted."""


class StepSubject(Subject):
    """A function without arguments, called for its latency; what it returns is dropped.

    A coroutine function is awaited, on one event loop for the whole run.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        if inspect.iscoroutinefunction(function):
            import asyncio

            run = asyncio.Runner().run
            self.call = lambda: run(function())  # type: ignore[method-assign]
        else:
            self.call = function  # type: ignore[method-assign]  # no call of ours between


class CacheSubject(Subject):
    """A cache, asked for keys in turn; a miss puts a new value of ``value_bytes``.

    Any object with ``get(key, default)`` and either ``put(key, value)`` or item assignment is a cache.
    """

    kind = "cache"

    def __init__(self, cache: Any, keys: Iterable[Any], value_bytes: int) -> None:
        self.hits = self.misses = self.evictions = self.entries = 0
        self._cache = cache
        self._get = cache.get
        self._put = cache.put if hasattr(cache, "put") else cache.__setitem__
        self._next = iter(keys).__next__
        self._value_bytes = value_bytes

    def call(self) -> None:
        """Look one key up, and put a value where there was none."""
        key = self._next()
        if self._get(key, _MISSING) is _MISSING:
            self.misses += 1
            self._put(key, bytearray(self._value_bytes))
        else:
            self.hits += 1

    def refresh(self) -> None:
        """Ask for the number of entries, and for evictions where the cache counts them itself."""
        self.entries = len(self._cache)
        told = getattr(getattr(self._cache, "stats", None), "evictions", None)
        # Each miss puts one entry: what is no longer there has been evicted, or has expired.
        self.evictions = told if type(told) is int else max(0, self.misses - self.entries)


class PoolSubject(Subject):
    """A pool, from which one object is taken and given back a call."""

    kind = "pool"

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._acquire, self._release = pool.acquire, pool.release

    def call(self) -> None:
        """Hold one object."""
        self._release(self._acquire())

    def refresh(self) -> None:
        """Take the pool's own figures."""
        stats = getattr(self._pool, "stats", None)
        for mine, its in (("hits", "hits"), ("misses", "misses"), ("entries", "size")):
            value = getattr(stats, its, None)
            if type(value) is int:
                setattr(self, mine, value)
