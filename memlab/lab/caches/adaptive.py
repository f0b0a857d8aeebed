"""A cache that is bounded by what it really holds, and gives way when memory gets short.

Each entry is weighed when it is stored: key, value and all that the value holds. What others hold too
(another entry, the program) is charged once, for as long as one entry holds it: such objects have more
references than were met inside the value, and only they are remembered, by address. The cache's own
dictionaries and entries are in the sum.
"""

from __future__ import annotations

import math
import sys
import time
from array import array
from typing import TYPE_CHECKING, Any, TypeVar

from memlab.collectors.deep_size import Sizer
from memlab.errors import UsageError
from memlab.lab.caches.base import check_size
from memlab.lab.caches.pressure import check_source, share_in_use
from memlab.lab.caches.quick import TimedEntry, is_native
from memlab.lab.caches.ttl import TimedCache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from memlab.lab.caches.pressure import MemoryReader

__all__ = ["AdaptiveCache"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")
_MIB = 1024 * 1024
_MOST_OF_ALL = 8  # a batch is at most an eighth of the entries
_TOO_SMALL_TO_SHARE = 128  # telling whether two entries share a key or value costs about as much
_COUNT_BITS = 24
_COUNT = (1 << _COUNT_BITS) - 1
_LEAST_SHARE = 0.05
_SHRINK, _GROW = 0.5, 1.25
_SMALL_INTS = 256  # the interpreter has one object for each


class WeighedEntry(TimedEntry):
    """An entry with what it weighs in bytes."""

    __slots__ = ("shared", "weight")
    shared: Any
    weight: int


_INT = 32  # a whole number with its padding, up to 2**60
# With its end and its last use, which are numbers in the entry itself where that is in C.
_ENTRY = sys.getsizeof(WeighedEntry()) + (0 if is_native else sys.getsizeof(0.0) + _INT)
_CHARGED = 2 * _INT  # an address, and what is charged for it


class AdaptiveCache(TimedCache[K, V]):
    """A cache bounded by the bytes it holds, which shrinks when memory gets short and grows back.

    A value is measured when it is stored: a list that grows afterwards is not measured again. Memory that
    native code holds past what its type tells (``sys.getsizeof``) is not seen: declare a sizer for such
    types. A value that alone would pass the high-water mark is not stored (``stats.refused``); what was
    stored under its key is gone then.

    Args:
        max_size: number of entries at most.
        max_memory_mb: MiB (1024 * 1024 bytes) that keys, values and entries may take together.
        eviction_batch_size: entries that are evicted at a time, the least recently used first; never more
            than an eighth of all, and never the newest.
        on_evict: called with key and value once for each evicted entry, after the lock was given back.
        high_water: share of the limit above which a ``put`` evicts.
        sizers: by type, a function that returns the bytes of such an object with all it holds. Of exactly
            that type.
        size_budget: objects looked at in one value; what is beyond is estimated.
        ttl: seconds that an entry lives where ``put`` does not say; None: no end.
        monitor: a ``MemoryMonitor``, anything with ``read()``, or a callable that returns the share of
            memory in use. It is read by ``put``, at most every ``check_interval`` seconds.
        pressure_threshold: share in use from which the limit is halved at each check; below it by a tenth,
            the limit grows by a quarter at each check until it is whole again. It never falls below a
            twentieth.
        check_interval: seconds between two checks.
        trace: number of look-ups to remember for ``what_if``; 0 for none.
        clock: monotonic seconds.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> cache = AdaptiveCache(max_size=1000, max_memory_mb=1)
        >>> for number in range(100):
        ...     cache.put(number, bytes(10_240))
        >>> len(cache) < 100, cache.memory_usage < 1024 * 1024, all(n in cache for n in range(90, 100))
        (True, True, True)
    """

    max_size: int
    _kind = "AdaptiveCache"
    _has_books = True

    def __init__(
        self,
        max_size: int,
        max_memory_mb: float,
        eviction_batch_size: int = 10,
        on_evict: Callable[[K, V], object] | None = None,
        *,
        high_water: float = 0.9,
        sizers: Mapping[type, Callable[[Any], int]] | None = None,
        size_budget: int = 10_000,
        ttl: float | None = None,
        monitor: MemoryReader | Callable[[], float | None] | None = None,
        pressure_threshold: float = 0.85,
        check_interval: float = 1.0,
        trace: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_size("max_size", max_size)
        check_size("eviction_batch_size", eviction_batch_size)
        check_size("size_budget", size_budget)
        _check_numbers(
            max_memory_mb=max_memory_mb, ttl=math.inf if ttl is None else ttl, check_interval=check_interval
        )
        _check_shares(high_water=high_water, pressure_threshold=pressure_threshold)
        _check_sizers(sizers)
        check_source(monitor)
        super().__init__(math.inf if ttl is None else ttl, max_size, on_evict, trace, clock)
        self.max_memory_mb = max_memory_mb
        self.eviction_batch_size = eviction_batch_size
        self.high_water = high_water
        self.sizers = dict(sizers or {})
        self.size_budget = size_budget
        self.ttl = ttl
        self.monitor = monitor
        self.pressure_threshold = pressure_threshold
        self.check_interval = check_interval
        self._sizer = Sizer(size_budget, self.sizers)
        self._full = int(max_memory_mb * _MIB)
        self._limit = self._full
        self._weight = 0
        self._charged: dict[
            int, int
        ] = {}  # address of a shared object: its size and, in 24 bits, its entries
        self._estimated = self._shrinks = self._grows = 0
        self._next_check = -math.inf

    # -- storing

    def put(self, key: K, value: V, ttl: float | None = None) -> None:
        """Store a value, as the most recently used; evict in batches what would pass the high-water mark.

        Args:
            key: the key.
            value: the value; measured now.
            ttl: seconds that it lives; None: the cache's own lifetime.

        Raises:
            UsageError: when ``ttl`` is no number of seconds above 0.
        """
        if ttl is None:
            ttl = self._lifetime
        elif not (type(ttl) in (int, float) and ttl > 0):
            raise UsageError(f"storing a value: ttl must be seconds above 0, not {ttl!r}")
        now = self._clock()
        if self.monitor is not None and now >= self._next_check:
            self.check_pressure()
        entry = WeighedEntry()
        entry.key, entry.value, entry.used = key, value, self._tick()
        self._count_put()
        entry.expires = entry.due = now + ttl
        total = self._weigh(entry)
        with self._lock, _Audited(self):
            before = self._entries.pop(key, None)  # held until the lock is given back
            if before is not None:
                self._forget(before)
            victims = self._store(entry, total, now)
        if self._owed:
            self._report()
        del before, victims

    def _store(self, entry: WeighedEntry, total: int, now: float) -> list[Any]:
        """Under the lock: put a weighed entry in its place, and return what had to go for it."""
        if self._soonest <= now:
            self._sweep(None)
        if total > self._limit * self.high_water:
            self._refused += 1
            return []
        try:
            self._charge(entry)
            self._entries[entry.key] = entry
            if entry.expires < math.inf:
                self._note_end(entry)
            return self._evict_over(entry)
        except BaseException:  # an interrupt: the bound holds without this one
            self._entries.pop(entry.key, None)
            raise

    def delete(self, key: K) -> bool:
        """Remove a key; tell whether it was there and had not ended. No callback is called."""
        with self._lock, _Audited(self):
            return super().delete(key)

    def clear(self) -> None:
        """Remove everything. That is no eviction; the counters stay."""
        with self._lock, _Audited(self):
            super().clear()

    def _weigh(self, entry: WeighedEntry) -> int:
        """Measure an entry's key and value; return what it would take alone."""
        own = _ENTRY
        shared: list[tuple[int, int]] = []
        for part in (entry.key, entry.value):
            leaf = self._sizer.leaf(part)
            if leaf is not None:
                if leaf < _TOO_SMALL_TO_SHARE:
                    own += leaf
                else:
                    shared.append((id(part), leaf))
                continue
            size = self._sizer.measure(part)
            own += size.own_bytes
            for address, amount in size.shared:
                if address == id(part) and amount < _TOO_SMALL_TO_SHARE:
                    own += amount
                else:
                    shared.append((address, amount))
            if not size.complete:
                with self._lock:
                    self._estimated += 1
        entry.shared = shared  # addresses alone once they are charged
        entry.weight = own
        return own + sum(amount for _, amount in shared)

    def _charge(self, entry: WeighedEntry) -> None:
        """Under the lock: put an entry on the books; what another entry has charged is not charged again."""
        addresses = []
        for address, amount in entry.shared:
            charged = self._charged.get(address)
            if charged is None:
                self._charged[address] = amount << _COUNT_BITS | 1
                self._weight += amount + _CHARGED
            else:
                self._charged[address] = charged + 1
            addresses.append(address)
        entry.shared = array("Q", addresses) if addresses else ()
        if addresses:
            entry.weight += sys.getsizeof(entry.shared)
        if entry.weight > _SMALL_INTS:
            entry.weight += _INT
        self._weight += entry.weight

    def _forget(self, entry: WeighedEntry) -> None:
        self._weight -= entry.weight
        for address in entry.shared:
            charged = self._charged[address] - 1
            if charged & _COUNT:
                self._charged[address] = charged
            else:
                del self._charged[address]
                self._weight -= (charged >> _COUNT_BITS) + _CHARGED

    def _audit(self) -> None:
        """Under the lock: make the books anew from the entries that are there."""
        weight, counts = 0, dict[int, int]()
        for entry in self._entries.values():
            weight += entry.weight
            for address in entry.shared:
                counts[address] = counts.get(address, 0) + 1
        sizes = {address: self._charged.get(address, 0) >> _COUNT_BITS for address in counts}
        self._charged = {address: sizes[address] << _COUNT_BITS | counts[address] for address in counts}
        self._weight = weight + sum(sizes.values()) + _CHARGED * len(sizes)

    def _forget_all(self) -> None:
        super()._forget_all()
        self._charged.clear()
        self._weight = 0

    def _evict_over(self, newest: Any) -> list[Any]:
        victims = super()._evict_over(newest)
        return victims + self._evict_to(self._limit * self.high_water, spared=newest)

    def _evict_to(self, mark: float, spared: object = None) -> list[Any]:
        """Under the lock: evict in batches until the mark holds or one entry is left."""
        victims: list[Any] = []
        for _ in range(len(self._entries)):  # a key's equality may write meanwhile: this ends all the same
            if len(self._entries) <= 1 or self._usage() <= mark:
                break
            batch = min(self.eviction_batch_size, max(1, len(self._entries) // _MOST_OF_ALL))
            victims += [self._evict_oldest(spared) for _ in range(min(batch, len(self._entries) - 1))]
        return victims

    def _usage(self) -> int:
        own = (self._entries, self._charged, self._order, self._line, self._ends)
        return self._weight + sum(map(sys.getsizeof, own))

    @property
    def memory_usage(self) -> int:
        """Bytes that keys, values and the cache's own books take now."""
        with self._lock:
            return self._usage()

    @property
    def limit_bytes(self) -> int:
        """The limit in force: less than the full one while memory is short."""
        return self._limit

    # -- pressure

    def check_pressure(self) -> float | None:
        """Read the monitor, adapt the limit, and return the share of memory in use.

        None where that is not known. What the monitor raises is passed on.
        """
        self._next_check = self._clock() + self.check_interval
        share = share_in_use(self.monitor) if self.monitor is not None else None
        if share is None:
            return None
        if share >= self.pressure_threshold:
            self._set_limit(self._limit * _SHRINK)
        elif share < self.pressure_threshold - 0.1:
            self._set_limit(self._limit * _GROW)
        return share

    def on_pressure(self, alert_type: str, details: object = None) -> None:  # noqa: ARG002 - a handler's form
        """Take an alert: halve the limit at a warning, go to the least at critical, be whole when recovered.

        A handler for ``MemoryAlertSystem.add_handler``.
        """
        if alert_type == "critical":
            self._set_limit(0)
        elif alert_type == "warning":
            self._set_limit(self._limit * _SHRINK)
        elif alert_type == "recovered":
            self._set_limit(self._full)

    def _set_limit(self, limit: float) -> None:
        wanted = int(min(max(limit, self._full * _LEAST_SHARE), self._full))
        with self._lock:
            if wanted < self._limit:
                self._shrinks += 1
            elif wanted > self._limit:
                self._grows += 1
            self._limit = wanted
            with _Audited(self):
                self._sweep(None)
                victims = self._evict_to(wanted * self.high_water)
        if self._owed:
            self._report()
        del victims

    def _more_stats(self) -> dict[str, Any]:
        return {
            "refused": self._refused,
            "memory_bytes": self._usage(),
            "limit_bytes": self._limit,
            "full_limit_bytes": self._full,
            "estimated": self._estimated,
            "shrinks": self._shrinks,
            "grows": self._grows,
        }


class _Audited:
    """Makes a cache's books anew when a write was cut short, by Ctrl-C or an error in a key's own code."""

    __slots__ = ("_cache",)

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            self._cache._audit()  # noqa: SLF001 - a part of it


def _check_numbers(**numbers: Any) -> None:
    for name, value in numbers.items():
        if type(value) not in (int, float) or not value > 0 or (name != "ttl" and not math.isfinite(value)):
            raise UsageError(f"making a cache: {name} must be a number above 0, not {value!r}")


def _check_shares(**shares: Any) -> None:
    for name, value in shares.items():
        if type(value) not in (int, float) or not 0 < value <= 1:
            raise UsageError(f"making a cache: {name} must be a share above 0, up to 1, not {value!r}")


def _check_sizers(sizers: Any) -> None:
    for kind, sizer in dict(sizers or {}).items():
        if not isinstance(kind, type) or not callable(sizer):
            raise UsageError(
                "making a cache: sizers must name types, each with a function that returns bytes"
            )
