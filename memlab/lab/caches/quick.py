"""What the quick path of a cache reads and writes; where there is the extension, also that path.

``_native/quickcache.c`` does what ``Cache.get`` and ``put`` and ``TimedCache``'s do in Python, for keys that
are there, and for plain keys that are not where nothing else is to be done. Without it those stand as they
are written. ``put_quick_path_in`` puts the C calls there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from memlab.lab._pool_core import counter_value

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Self

    from memlab._native.quickcache import Entry, QuickCache, QuickTimedCache, TimedEntry

__all__ = ["Entry", "QuickCache", "QuickTimedCache", "TimedEntry", "is_native", "put_quick_path_in"]

try:
    from memlab._native import quickcache

    Entry, TimedEntry = quickcache.Entry, quickcache.TimedEntry  # type: ignore[misc]
    QuickCache, QuickTimedCache = quickcache.QuickCache, quickcache.QuickTimedCache  # type: ignore[misc]
    is_native = True
except ImportError:
    is_native = False

    class Entry:  # type: ignore[no-redef]
        """One entry: its key, its value, and the tick of its last use."""

        # No constructor: setting three slots costs half of calling one that does it.
        __slots__ = ("key", "used", "value")
        key: Any
        value: Any
        used: int

    class TimedEntry(Entry):  # type: ignore[no-redef]
        """An entry with its end, on the cache's clock."""

        __slots__ = ("due", "expires")
        expires: float
        due: float  # when the entry is looked at for its end: not after it

    class QuickCache:  # type: ignore[no-redef]
        """The same fields and counters, of a cache that is in Python. Each count is one step."""

        _entries: dict[Any, Any]
        _order: list[Any]
        _lock: threading.RLock
        _sorted: int
        _evictions: int
        _bound: int

        def __new__(cls, *_args: Any, **_options: Any) -> Self:
            """Make a cache whose counters stand at 0."""
            self: Any = object.__new__(cls)
            self._counters = [itertools.count() for _ in range(3)]
            self._tick, self._count_put, self._count_miss = [each.__next__ for each in self._counters]
            return self  # type: ignore[no-any-return]

        _counters: list[itertools.count[int]]
        _tick: Callable[[], int]
        _count_put: Callable[[], object]
        _count_miss: Callable[[], object]
        _ticks = property(lambda self: counter_value(self._counters[0]))
        _puts = property(lambda self: counter_value(self._counters[1]))
        _missed = property(lambda self: counter_value(self._counters[2]))

    class QuickTimedCache(QuickCache):  # type: ignore[no-redef]
        """The same of a cache whose entries end."""

        _clock: Callable[[], float]
        _reads_kernel: bool
        _soonest: float
        _lifetime: float


def put_quick_path_in(kind: type, quick: type) -> None:
    """Let a kind of cache use the calls in C; their twins are ``_get_in_python`` and ``_put_in_python``."""
    if is_native:
        for name in ("get", "put"):
            setattr(kind, f"_{name}_in_python", getattr(kind, name))
            setattr(kind, name, getattr(quick, name))
