"""Entries with a lifetime. While the soonest end of all has not come, a hit costs one reading of the clock.

The ends stand in line beside the entries, as numbers and keys only, so nothing there keeps a value alive;
with one lifetime for all they come in order. An entry that is stored again keeps its place and is looked at
once for nothing. Any call after an end removes what has ended, a few entries at a time inside ``get``, so
that no single look-up pays for thousands of others.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from memlab.collectors.gc_pauses import is_kernels_clock
from memlab.errors import UsageError
from memlab.lab.caches.base import Cache, check_size
from memlab.lab.caches.quick import QuickTimedCache, TimedEntry, put_quick_path_in

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

__all__ = ["TTLCache", "TimedCache", "TimedEntry"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")
_A_FEW = 16
_SLACK = 64
_NEVER = math.inf
_due = attrgetter("due")


class TimedCache(QuickTimedCache, Cache[K, V]):
    """A cache whose entries may end. Make one of its subclasses."""

    def __init__(
        self,
        default_ttl: float,
        max_size: int | None,
        on_evict: Callable[[K, V], object] | None,
        trace: int,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(max_size, on_evict, trace)
        self._lifetime = float(default_ttl)
        self._clock = clock
        self._reads_kernel = clock is time.monotonic and is_kernels_clock("monotonic")
        self._soonest = _NEVER
        # When which key is to be looked at: in order as they came, those out of order on a heap.
        self._line: deque[tuple[float, int, K]] = deque()
        self._ends: list[tuple[float, int, K]] = []
        self._numbers = itertools.count()

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key, or the default when it is not there, and count it as used."""
        if self._soonest <= self._clock():
            return self._get_ending(key, default)
        entry = self._entries.get(key)
        if entry is None:
            self._count_miss()
            return default
        entry.used = self._tick()
        return entry.value

    def _get_ending(self, key: K, default: Any) -> Any:
        """Remove some entries that ended, and look a key up though others of them may still be there."""
        self._sweep(_A_FEW)
        entry = self._entries.get(key)
        if entry is None or entry.expires <= self._clock():
            self._count_miss()
            return default
        entry.used = self._tick()
        return entry.value

    def put(self, key: K, value: V, ttl: float | None = None) -> None:
        """Store a value, as the most recently used; what no longer fits is evicted, ended entries first.

        Args:
            key: the key.
            value: the value.
            ttl: seconds that it lives; None: the cache's own lifetime.

        Raises:
            UsageError: when ``ttl`` is no number of seconds above 0.
        """
        if ttl is None:
            ttl = self._lifetime
        elif not (type(ttl) in (int, float) and ttl > 0):
            raise UsageError(f"storing a value: ttl must be seconds above 0, not {ttl!r}")
        now = self._clock()
        expires = now + ttl
        entry = self._entries.get(key)
        self._count_put()
        if entry is None or entry.due > expires or self._soonest <= now:
            self._insert_timed(key, value, now, expires)
            return
        before = entry.value  # held to the end: it may have a finalizer
        entry.value = value
        entry.expires = expires  # after the value: who sees the new end sees the new value
        entry.used = self._tick()
        if self._entries.get(key) is not entry:  # it had ended, and was swept away meanwhile
            self._count_put()
            self._insert_timed(key, value, now, expires)
        del before

    def _insert_timed(self, key: K, value: V, now: float, expires: float) -> None:
        """Store what is not there, or ends sooner than what is, or comes while entries end."""
        entry = TimedEntry()
        entry.key, entry.value, entry.used = key, value, self._tick()
        entry.expires = entry.due = expires
        victims = None
        with self._lock:
            if self._soonest <= now:
                self._sweep(_A_FEW)
            before = self._entries.get(key)  # held until the lock is given back
            try:
                self._entries[key] = entry
                if expires < _NEVER:
                    self._note_end(entry)
                if len(self._entries) > self._bound:
                    if self._soonest <= now:
                        self._sweep(None)
                    victims = self._evict_over(entry)
            except BaseException:  # an interrupt: the bound holds without this one
                self._entries.pop(key, None)
                raise
        if self._owed:
            self._report()
        del before, victims

    def delete(self, key: K) -> bool:
        """Remove a key; tell whether it was there and had not ended. No callback is called."""
        self._sweep(None)
        return super().delete(key)

    def _note_end(self, entry: TimedEntry) -> None:
        """Under the lock: have an entry looked at when it is due; what is mostly stale is made anew."""
        due = entry.due
        if self._line and self._line[-1][0] > due:
            heapq.heappush(self._ends, (due, next(self._numbers), entry.key))
        else:
            self._line.append((due, 0, entry.key))  # the usual case: later than all before
        if due < self._soonest:  # noqa: PLR1730 - min() would be a call
            self._soonest = due
        if len(self._line) + len(self._ends) > 2 * len(self._entries) + _SLACK:
            live = sorted((one for one in self._entries.values() if one.due < _NEVER), key=_due)
            self._line = deque((one.due, 0, one.key) for one in live)
            self._ends = []

    def _sweep(self, most: int | None) -> None:
        """Remove entries that ended, at most so many; their values go after the lock is given back."""
        gone: list[TimedEntry] = []
        with self._lock:
            now = self._clock()
            left = -1 if most is None else most
            while left and (item := self._next_due(now)) is not None:
                left -= 1
                entry = self._entries.get(item[2])
                if entry is None or entry.due != item[0]:
                    continue  # removed, or in line elsewhere
                if entry.expires <= now:
                    del self._entries[item[2]]
                    if self._has_books:
                        self._forget(entry)
                    self._expirations += 1
                    gone.append(entry)
                else:  # stored again meanwhile
                    entry.due = entry.expires
                    if entry.due < _NEVER:
                        heapq.heappush(self._ends, (entry.due, next(self._numbers), entry.key))
            # No comprehension here: on 3.13 an interrupt inside one passed the lock's exit by.
            in_line = self._line[0][0] if self._line else _NEVER
            on_heap = self._ends[0][0] if self._ends else _NEVER
            self._soonest = min(in_line, on_heap)
        del gone

    def _next_due(self, now: float) -> tuple[float, int, K] | None:
        """Under the lock: take out what is due first, None when nothing is."""
        line, ends = self._line, self._ends
        if ends and ends[0][0] <= now and not (line and line[0][0] < ends[0][0]):
            return heapq.heappop(ends)
        return line.popleft() if line and line[0][0] <= now else None

    def _forget_all(self) -> None:
        self._line = deque()
        self._ends = []
        self._soonest = _NEVER

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is there; that is no use of it."""
        entry = self._entries.get(key)  # type: ignore[arg-type]
        return entry is not None and entry.expires > self._clock()

    def __len__(self) -> int:
        self._sweep(None)
        return super().__len__()

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys that are there now, however the cache changes meanwhile; in no order."""
        self._sweep(None)
        return super().__iter__()


put_quick_path_in(TimedCache, QuickTimedCache)


class TTLCache(TimedCache[K, V]):
    """A cache whose entries end some seconds after they were stored.

    An ended entry is never returned. Its memory is released by the next call of any kind (``get`` of
    another key and ``len`` too); between calls nothing runs. Safe for threads; reading takes no lock while
    nothing ends.

    Args:
        default_ttl: seconds that an entry lives where ``put`` does not say.
        max_size: number of entries; ended ones go first, then the least recently used. None: no bound.
        on_evict: called with key and value once for each entry that is evicted for want of room (not for
            one that ended), after the lock was given back. What it raises is logged and counted.
        trace: number of look-ups to remember for ``what_if``; 0 for none.
        clock: monotonic seconds.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> cache = TTLCache(60, max_size=1000)
        >>> cache.put("token", "a1"); cache.put("once", "b2", ttl=0.001)
        >>> import time; time.sleep(0.01)
        >>> cache.get("token"), cache.get("once"), cache.stats.expirations
        ('a1', None, 1)
    """

    _kind = "TTLCache"

    def __init__(
        self,
        default_ttl: float,
        max_size: int | None = None,
        on_evict: Callable[[K, V], object] | None = None,
        *,
        trace: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (type(default_ttl) in (int, float) and default_ttl > 0):
            raise UsageError(f"making a cache: default_ttl must be seconds above 0, not {default_ttl!r}")
        check_size("max_size", max_size, none=True)
        super().__init__(default_ttl, max_size, on_evict, trace, clock)
        self.default_ttl = default_ttl
