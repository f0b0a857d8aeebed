"""What a pool is put together from: where idle objects lie, how those out are marked, who waits.

A pool's quick path is the same five steps for every pool: ``idle.pop()``, ``out.add(obj)`` and, on the way
back, ``out.remove(obj)``, ``obj.reset()``, ``idle.append(obj)``. In the plain case ``idle`` is a list and
``out`` a set, each call of which is one step for the interpreter and needs no lock. The classes here take
their places where a pool has a lifetime, or holds objects that do not hash by identity.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, mro_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Ageing", "Marks", "SizeHistory", "Waiter", "hashes_by_identity"]

_MOST_POINTS = 2048


def hashes_by_identity(kind: type) -> bool:
    """Tell whether objects of a type may be put into a set without running code of theirs.

    >>> hashes_by_identity(object), hashes_by_identity(list), hashes_by_identity(type("Own", (), {}))
    (True, False, True)
    """
    for name in ("__hash__", "__eq__"):
        owner = next(cls for cls in mro_of(kind) if name in class_dict(cls))
        if owner is not object:
            return False
    return True


class Marks:
    """The objects that are out, where some of them have an equality of their own, or no hash.

    Takes over from a plain set, which it goes on using for the objects that may be in one: an object that
    was marked a moment before, by another thread, stays marked.
    """

    __slots__ = ("_by_id", "_plain")

    def __init__(self, plain: set[Any]) -> None:
        self._plain = plain
        self._by_id: dict[int, Any] = {}

    def add(self, obj: Any) -> None:
        """Mark an object."""
        if hashes_by_identity(type(obj)):
            self._plain.add(obj)
        else:
            self._by_id[id(obj)] = obj

    def remove(self, obj: Any) -> None:
        """Take the mark away.

        Raises:
            KeyError: when it is not marked.
        """
        if hashes_by_identity(type(obj)):
            self._plain.remove(obj)
        else:
            del self._by_id[id(obj)]

    def __len__(self) -> int:
        return len(self._plain) + len(self._by_id)


class Ageing:
    """Idle objects with the moment at which each was given back; the newest goes out first.

    Args:
        ttl: seconds that one may lie here.
        clock: monotonic seconds.
        expire: called with the objects that lay here too long, which are then no longer here.
    """

    __slots__ = ("_clock", "_expire", "_items", "_ttl")

    def __init__(self, ttl: float, clock: Callable[[], float], expire: Callable[[list[Any]], None]) -> None:
        self._items: deque[tuple[float, Any]] = deque()
        self._ttl = ttl
        self._clock = clock
        self._expire = expire

    def append(self, obj: Any) -> None:
        """Lay an object down, and let go of those that lay here too long."""
        now = self._clock()
        self._items.append((now, obj))
        if self._items[0][0] + self._ttl < now:
            self.sweep()

    def pop(self) -> Any:
        """Return the newest object that is not too old.

        Raises:
            IndexError: when there is none.
        """
        given, obj = self._items.pop()
        if given + self._ttl >= self._clock():
            return obj
        self._expire([obj])
        self.sweep()
        return self.pop()

    def sweep(self) -> None:
        """Let go of every object that lay here too long."""
        oldest = self._clock() - self._ttl
        gone = []
        with contextlib.suppress(IndexError):
            while True:
                given, obj = self._items.popleft()
                if given >= oldest:
                    self._items.appendleft((given, obj))
                    break
                gone.append(obj)
        if gone:
            self._expire(gone)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter([obj for _, obj in list(self._items)])


class Waiter:
    """A caller that waits for an object. Everything but ``wait`` happens under the pool's lock.

    Attributes:
        given: the object it got; ``has_object`` tells whether it did.
        may_make: room became free: it makes an object of its own.
        closed: the pool was closed.
    """

    __slots__ = ("_gate", "closed", "given", "has_object", "may_make")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.given: Any = None
        self.has_object = False
        self.may_make = False
        self.closed = False

    def wait(self, timeout: float | None) -> None:
        """Wait until woken, or for so many seconds."""
        self._gate.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Let it go on."""
        self._gate.release()


class SizeHistory:
    """How many objects a pool had, and when; thinned by half whenever it is full."""

    __slots__ = ("_points", "_start", "_time")

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._start = time()
        self._points: list[tuple[float, int]] = [(0.0, 0)]

    def note(self, size: int) -> None:
        """Note a change."""
        self._points.append((self._time() - self._start, size))
        if len(self._points) > _MOST_POINTS:
            self._points = [*self._points[:-1:2], self._points[-1]]

    def until_now(self, size: int) -> tuple[list[float], list[int]]:
        """Return the times and the sizes of all points, and of one for now."""
        now = max(self._time() - self._start, self._points[-1][0])
        points = [*self._points, (now, size)]
        return [at for at, _ in points], [size for _, size in points]
