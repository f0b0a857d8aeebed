"""The least recently used goes first; with weak references, an entry goes when its value does.

A dying value's reference may call back at any moment, in any thread, while any lock is held. So it only notes
the entry's key; the note is worked off at once where the lock is free, and else by the next use of the cache.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from memlab._base.safety import instance_type_name, short_name
from memlab.errors import KindError, UsageError
from memlab.lab.caches.base import Cache, Entry, check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

__all__ = ["LRUCache"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class LRUCache(Cache[K, V]):
    """A cache of at most ``max_size`` entries; the least recently used is evicted first.

    Safe for threads; reading takes no lock.

    Args:
        max_size: number of entries.
        on_evict: called with key and value once for each entry that is evicted, after the lock was given
            back, so it may use the cache. Not called for what is deleted, cleared, replaced, or died of
            itself. What it raises is logged (logger ``memlab.cache``) and counted.
        use_weak_refs: hold values weakly: an entry goes when nothing else holds its value any more.
        trace: number of look-ups to remember for ``what_if``, some 40 bytes each; 0 for none.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> cache = LRUCache(2, on_evict=lambda key, value: print("evicted", key))
        >>> cache.put("a", 1); cache.put("b", 2); cache.get("a")
        1
        >>> cache.put("c", 3)
        evicted b
        >>> sorted(cache), cache.get("b", "gone"), cache.stats.hit_rate
        (['a', 'c'], 'gone', 0.5)
    """

    max_size: int
    _kind = "LRUCache"

    def __init__(
        self,
        max_size: int,
        on_evict: Callable[[K, V], object] | None = None,
        use_weak_refs: bool = False,
        *,
        trace: int = 0,
    ) -> None:
        check_size("max_size", max_size)
        if type(use_weak_refs) is not bool:
            raise UsageError(f"making a cache: use_weak_refs must be True or False, not {use_weak_refs!r}")
        super().__init__(max_size, on_evict, trace)
        self.use_weak_refs = use_weak_refs
        self._dead: deque[tuple[K, Any]] = deque()
        if use_weak_refs:
            setattr(self, "get", self._get_traced_weak if trace else self._get_weak)  # noqa: B010
            setattr(self, "put", self._put_weak)  # noqa: B010 - methods of one instance

    # -- weak values

    def _get_weak(self, key: K, default: Any = None) -> Any:
        entry = self._entries.get(key)
        if entry is None:
            self._count_miss()
            return default
        value = entry.value()
        if value is None:
            self._count_miss()
            return default
        entry.used = self._tick()
        return value

    def _get_traced_weak(self, key: K, default: Any = None) -> Any:
        keys = self._keys
        assert keys is not None
        keys.append(hash(key))
        return self._get_weak(key, default)

    def _put_weak(self, key: K, value: V) -> None:
        noting = weakref.WeakMethod(self._note_death)  # no reference of a value's keeps the cache alive

        def died(reference: Any) -> None:
            note = noting()
            if note is not None:
                note(key, reference)

        try:
            reference = weakref.ref(value, died)
        except TypeError:
            raise KindError(
                f"storing a value: a {short_name(instance_type_name(value))} cannot be referenced weakly;"
                " wrap it in an object of a class, or make the cache without use_weak_refs"
            ) from None
        self._work_off(wait=True)
        super().put(key, reference)  # type: ignore[arg-type]

    def _note_death(self, key: K, reference: Any) -> None:
        self._dead.append((key, reference))
        self._work_off(wait=False)

    def _work_off(self, *, wait: bool) -> None:
        """Remove the entries whose values died."""
        while self._dead:
            if not self._lock.acquire(blocking=wait):
                return
            try:
                key, reference = self._dead.popleft()
                entry = self._entries.get(key)
                if entry is not None and entry.value is reference:
                    del self._entries[key]
            except IndexError:
                return
            finally:
                self._lock.release()

    def _call_back(self, entry: Entry) -> None:
        if self.use_weak_refs:
            value = entry.value()
            if value is None:  # it died on its way out
                return
            strong = Entry()
            strong.key, strong.value, strong.used = entry.key, value, entry.used
            entry = strong
        super()._call_back(entry)

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is there; that is no use of it."""
        if not self.use_weak_refs:
            return key in self._entries
        entry = self._entries.get(key)  # type: ignore[arg-type]
        return entry is not None and entry.value() is not None

    def __len__(self) -> int:
        self._work_off(wait=True)
        return super().__len__()

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys that are there now, however the cache changes meanwhile; in no order."""
        self._work_off(wait=True)
        return super().__iter__()
