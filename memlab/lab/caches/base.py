"""What every cache here is: a dictionary of entries, each with the moment of its last use.

A hit is a look-up, a tick of one C counter and a return: three steps that are safe for threads by themselves,
so reading takes no lock. The tick is both the entry's place in the order of use and the count of accesses.
The order itself is made only when something must go: all keys are sorted by their last use once, and taken
from the old end; an entry that was used since the sorting is passed over, because everything used later is
younger than everything that was not. So the order is exact, and what an access costs for it is put off until
an eviction; over time that is one place in one sorting for each access.

Where the extension was built, these steps are in C (``_native/quickcache.c``), and so is storing a plain key
where nobody is called back; the ``get`` and ``put`` that are written here are its twins.

A value that replaces one is set in its entry, without a lock. Storing a new key and removing one take the
lock, and the bound holds again before anybody can see that it did not.
No code of the user's runs under the lock but the hash and equality of keys; callbacks run after it is given
back, so they may use the cache. The lock is re-entrant: a finalizer that the collector runs in the middle
of a write may use the cache too.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from memlab.errors import UsageError
from memlab.lab.caches.quick import Entry, QuickCache, put_quick_path_in

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from memlab.records.cache import CacheStats, HitCurve

__all__ = ["Cache", "Entry", "check_callback", "check_size"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")
_log = logging.getLogger("memlab.cache")
_used = attrgetter("used")
_SLACK = 64
_DEEPEST = 20


class Cache(QuickCache, Generic[K, V]):
    """The part that all caches share. Make one of its subclasses."""

    max_size: int | None
    on_evict: Callable[[K, V], object] | None
    _kind = "cache"
    _has_books = False  # whether ``_forget`` does anything

    def __init__(self, max_size: int | None, on_evict: Callable[[K, V], object] | None, trace: int) -> None:
        check_callback(on_evict)
        if type(trace) is not int or trace < 0:
            raise UsageError(f"making a cache: trace must be a number of look-ups from 0, not {trace!r}")
        self.max_size = max_size
        self.on_evict = on_evict
        self.trace = trace
        self._bound = sys.maxsize if max_size is None else min(max_size, sys.maxsize)
        self._entries: dict[K, Any] = {}
        self._sorts = 0
        self._evictions = self._expirations = self._failed = self._refused = 0
        self._order: list[K] = []  # keys, the longest unused last, as they were at the tick ``_sorted``
        self._sorted = -1
        self._lock = threading.RLock()
        self._owed: deque[Any] = deque()  # evicted entries whose callback could not be called yet
        self._depth = threading.local()
        self._keys: deque[int] | None = deque(maxlen=trace) if trace else None
        if trace:
            setattr(self, "get", self._get_traced)  # noqa: B010 - a method of one instance

    # -- reading

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key, or the default when it is not there, and count it as used."""
        entry = self._entries.get(key)
        if entry is None:
            self._count_miss()
            return default
        entry.used = self._tick()
        return entry.value

    def _get_traced(self, key: K, default: Any = None) -> Any:
        keys = self._keys
        assert keys is not None
        keys.append(hash(key))
        return type(self).get(self, key, default)

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is there; that is no use of it."""
        return key in self._entries

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys that are there now, however the cache changes meanwhile; in no order."""
        with self._lock:
            return iter(list(self._entries))

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self)

    # -- writing

    def put(self, key: K, value: V) -> None:
        """Store a value, as the most recently used; what no longer fits is evicted."""
        entry = self._entries.get(key)
        self._count_put()
        if entry is not None:
            before = entry.value  # held to the end: it may have a finalizer
            entry.value = value
            entry.used = self._tick()
            del before
            return
        self._insert_in_python(key, value)

    def _insert_in_python(self, key: K, value: V) -> None:
        """Store a value under a key that is not there."""
        entry: Any = Entry()
        entry.key = key
        entry.value = value
        entry.used = self._tick()
        victims = None
        with self._lock:
            entries = self._entries
            try:
                there = entries.setdefault(key, entry)
                if there is not entry:  # another thread was quicker
                    there.value, entry.value = value, there.value
                    there.used = entry.used
                elif len(entries) > self._bound:
                    victims = self._evict_over(entry)
            except BaseException:  # an interrupt: the bound holds without this one
                entries.pop(key, None)
                raise
        if self._owed:
            self._report()
        del victims

    def delete(self, key: K) -> bool:
        """Remove a key; tell whether it was there. That is no eviction: no callback is called."""
        with self._lock:
            gone = self._entries.pop(key, None)
            if gone is not None:
                self._forget(gone)
            if len(self._order) > 2 * len(self._entries) + _SLACK:
                self._order = []  # its keys would live on
        return gone is not None

    def clear(self) -> None:
        """Remove everything. That is no eviction; the counters stay."""
        with self._lock:
            gone = self._entries.copy()
            self._entries.clear()
            self._order = []
            self._forget_all()
        del gone

    # -- figures

    @property
    def stats(self) -> CacheStats:
        """The figures of this moment, as a value that can be shown and saved."""
        from memlab.records.cache import CacheStats

        with self._lock:
            return CacheStats(
                cache=self._kind,
                hits=max(self._ticks - self._puts - self._sorts, 0),
                misses=self._missed,
                evictions=self._evictions,
                expirations=self._expirations,
                size=len(self),
                max_size=self.max_size,
                failed_callbacks=self._failed,
                **self._more_stats(),
            )

    def what_if(self, sizes: tuple[int, ...] | None = None) -> HitCurve:
        """Return the hit rate that this cache would have had at other sizes, for the look-ups it remembers.

        The cache must have been made with ``trace``: the number of look-ups it remembers, as one hash each.
        Lifetimes, deletions and byte limits are not in the curve.

        Args:
            sizes: numbers of entries to look at; None: chosen from the trace.

        Raises:
            UsageError: when the cache remembers none.
        """
        from memlab.analyses.reuse import hit_curve

        keys = self._keys
        if keys is None:
            raise UsageError("asking what if: this cache keeps no trace; make it with trace=100_000")
        return hit_curve(list(keys), sizes, current=self.max_size)

    def _more_stats(self) -> dict[str, Any]:
        return {"refused": self._refused}

    # -- eviction

    def _evict_over(self, newest: Any) -> list[Any]:
        """Under the lock: evict until the bound holds, and return what went. ``newest`` was just stored."""
        if self.on_evict is not None and getattr(self._depth, "now", 0) >= _DEEPEST:
            del self._entries[newest.key]
            self._forget(newest)
            raise UsageError(
                "storing a value: on_evict stores in its own cache, which evicts, which calls on_evict, and"
                f" so on {_DEEPEST} deep; this value was not stored"
            )
        # Counted before: a key's equality may write meanwhile, and evicts what is then too much itself.
        too_many = len(self._entries) - self._bound
        if too_many == 1:
            return [self._evict_oldest()]
        return [self._evict_oldest() for _ in range(too_many)]

    def _evict_oldest(self, spared: object = None) -> Any:
        """Under the lock: remove and return the entry that was unused longest, never the one ``spared``."""
        entries = self._entries
        while True:
            # What the collector or a signal calls between two steps may store, and evict what is looked at.
            try:
                key = self._order.pop()
            except IndexError:
                self._sort()
                continue
            entry = entries.get(key)
            if entry is None or entry.used > self._sorted or entry is spared:
                continue
            entry = entries.pop(key, None)
            if entry is None:
                continue
            self._evictions += 1
            if self._has_books:
                self._forget(entry)
            if self.on_evict is not None:
                self._owed.append(entry)
            return entry

    def _sort(self) -> None:
        self._sorted = self._tick()
        self._sorts += 1
        by_use = sorted(self._entries.values(), key=_used, reverse=True)
        self._order = [entry.key for entry in by_use]

    def _forget(self, entry: Any) -> None:
        """Under the lock: an entry was taken out or replaced; subclasses take it off their books."""

    def _forget_all(self) -> None:
        """Under the lock: all were taken out."""

    def _report(self) -> None:
        """Call the callback once for each entry that was evicted. The lock is not held.

        What a callback raises is logged and counted. Those that an interrupt left over are called by the next
        eviction.
        """
        depth = getattr(self._depth, "now", 0)
        self._depth.now = depth + 1
        try:
            while self._owed:
                try:
                    entry = self._owed.popleft()
                except IndexError:
                    break
                self._call_back(entry)
        finally:
            self._depth.now = depth

    def _call_back(self, entry: Any) -> None:
        callback = self.on_evict
        if callback is None:
            return
        try:
            callback(entry.key, entry.value)
        except Exception as error:  # noqa: BLE001 - an entry's callback is not the writer's business
            with self._lock:
                self._failed += 1
            _log.warning("on_evict raised %s; the entry is evicted all the same", type(error).__name__)


put_quick_path_in(Cache, QuickCache)


def check_size(what: str, value: Any, *, none: bool = False) -> None:
    """Refuse what is no number of entries.

    Raises:
        UsageError: when it is none.
    """
    if none and value is None:
        return
    if type(value) is not int or value < 1:
        also = " or None" if none else ""
        raise UsageError(f"making a cache: {what} must be a whole number from 1{also}, not {value!r}")


def check_callback(callback: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        UsageError: when it can not.
    """
    if callback is not None and not callable(callback):
        raise UsageError(
            f"making a cache: on_evict must be called with key and value; {type(callback).__name__} cannot be"
        )
