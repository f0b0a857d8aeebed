import threading
from collections.abc import Callable
from typing import Any

class Entry:
    key: Any
    value: Any
    used: int

class TimedEntry(Entry):
    expires: float
    due: float

class QuickCache:
    _entries: dict[Any, Any]
    _order: list[Any]
    _lock: threading.RLock
    _sorted: int
    _evictions: int
    _bound: int
    @property
    def _ticks(self) -> int: ...
    @property
    def _puts(self) -> int: ...
    @property
    def _missed(self) -> int: ...
    def _tick(self) -> int: ...
    def _count_put(self) -> object: ...
    def _count_miss(self) -> object: ...
    def get(self, key: Any, default: Any = None) -> Any: ...
    def put(self, key: Any, value: Any) -> None: ...

class QuickTimedCache(QuickCache):
    _clock: Callable[[], float]
    _reads_kernel: bool
    _soonest: float
    _lifetime: float
    def get(self, key: Any, default: Any = None) -> Any: ...
    def put(self, key: Any, value: Any, ttl: float | None = None) -> None: ...
