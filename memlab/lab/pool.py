"""A pool of objects that are costly to make and cheap to make fit again.

Taking an object is a list's ``pop`` and a set's ``add``, giving it back the set's ``remove`` and the list's
``append``: each is one step for the interpreter, so the quick path has no lock, and two threads never get
one object. Everything rare (making, closing, waiting, what went wrong) happens under a lock, and no code of
the user's ever runs under it. Counters are derived: ``acquired`` is one C counter, and the others follow
from it, from what lies idle, and from the rare events.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from memlab._base.safety import instance_type_name, short_name
from memlab.errors import PoolTimeoutError, UnavailableError, UsageError
from memlab.lab._pool_parts import Ageing, Marks, SizeHistory, Waiter, hashes_by_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from memlab.records.pool import PoolStats, PoolWorth

__all__ = ["ObjectPool", "PoolableObject", "counter_value"]

T = TypeVar("T")
_OVERFLOWS = ("create", "block", "raise")
_log = logging.getLogger("memlab.pool")


@runtime_checkable
class PoolableObject(Protocol):
    """What a pool holds best. Nothing needs to derive from it: an object with these two methods is one.

    A pool also takes objects that lack one of them; the missing call is left out.
    """

    def reset(self) -> None:
        """Make the object fit for its next holder."""

    def close(self) -> None:
        """Free what the object holds."""


class ObjectPool(Generic[T]):
    """A pool of objects, for any number of threads.

    Pooling pays where making is dear and ``reset`` is cheap: ``ObjectPool.worth(factory)`` measures whether
    it does. It never pays for an object whose ``reset`` does again what its constructor does.

    ``max_size`` bounds what the pool *keeps*: never are more objects idle. Objects that are out are held by the
    pool too, so one that is never given back lives as long as the pool.

    Args:
        factory: makes one object; called without arguments, never under the pool's lock.
        min_size: objects that are there from the start.
        max_size: objects that are kept.
        ttl: seconds that an object may lie idle. One that lay longer is closed and replaced, never handed out; it
            is let go when the pool is next used. None: no limit.
        overflow: what happens when ``max_size`` objects are out and one more is asked for. ``create`` makes it, and
            closes an object when the pool has more than it keeps; ``block`` waits until one comes back, first come
            first served; ``raise`` refuses.
        timeout: seconds that ``block`` waits; None: without end.
        counters: count acquisitions. Without, a pair of calls is cheaper by a fifth, and the figures that rest on
            that count are None.
        clock: monotonic seconds, for ``ttl``.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> class Buffer:
        ...     def __init__(self):
        ...         self.data = bytearray(10_240)
        ...     def reset(self):
        ...         self.data[:8] = bytes(8)
        >>> with ObjectPool(Buffer, min_size=2, max_size=8) as pool:
        ...     with pool.borrow() as buffer:
        ...         buffer.data[0] = 7
        ...     again = pool.acquire()
        ...     print(again is buffer, again.data[0], pool.stats.hit_rate)
        ...     pool.release(again)
        True 0 1.0
    """

    def __init__(
        self,
        factory: Callable[[], T],
        min_size: int = 0,
        max_size: int = 128,
        ttl: float | None = None,
        overflow: str = "create",
        *,
        timeout: float | None = None,
        counters: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check(factory, min_size, max_size, ttl, overflow, timeout)
        self.factory = factory
        self.min_size = min_size
        self.max_size = max_size
        self.ttl = ttl
        self.overflow = overflow
        self.timeout = timeout
        self.counters = bool(counters)
        self._idle: Any = [] if ttl is None else Ageing(ttl, clock, self._expire)
        self._out: Any = set()
        self._plain = True  # every object so far hashes by identity
        self._resets = True  # and can be reset
        self._alert = False  # closed, too many objects, somebody waits, or some are to be closed
        self._closed = False
        self._taken = itertools.count()
        self._lock = threading.RLock()  # a finalizer may use the pool while this thread holds it
        self._waiters: deque[Waiter] = deque()
        self._gone: deque[T] = deque()  # too old, and not closed yet
        self._size = 0
        self._highest = 0
        self._created = self._missed = self._over = self._expired = self._ended = self._failed = 0
        self._history = SizeHistory(time.monotonic)
        if not counters:
            self.__dict__["acquire"] = self._acquire_uncounted
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    # -- the quick path

    def acquire(self, timeout: float | None = None) -> T:
        """Take an object.

        Args:
            timeout: seconds to wait where the pool blocks; None: the pool's own.

        Raises:
            PoolTimeoutError: when none came back in time (``overflow="block"``).
            UnavailableError: when all are out (``overflow="raise"``).
            UsageError: when the pool is closed.
        """
        try:
            obj: T = self._idle.pop()
        except IndexError:
            obj = self._more(timeout)
        self._out.add(obj)
        next(self._taken)
        return obj

    def release(self, obj: T) -> None:
        """Give an object back. It is reset once, before anybody else gets it.

        A ``reset`` that raises closes the object, is logged and counted, and is not raised here.

        Raises:
            UsageError: when the object is none of the pool's that are out: it was given back before, or is a
                stranger.
        """
        try:
            self._out.remove(obj)
        except (KeyError, TypeError):
            raise self._refusal(obj) from None
        if self._alert and self._is_too_many(obj):
            return
        try:
            if self._resets:
                obj.reset()  # type: ignore[attr-defined]
            else:
                _call(obj, "reset")
            self._idle.append(obj)
        except BaseException as error:  # noqa: BLE001 - told apart there
            self._discard(obj, error)
        if self._alert:
            self._settle()

    def _acquire_uncounted(self, timeout: float | None = None) -> T:
        try:
            obj: T = self._idle.pop()
        except IndexError:
            obj = self._more(timeout)
        self._out.add(obj)
        return obj

    # -- the rest of the public face

    def borrow(self, timeout: float | None = None) -> Borrowed[T]:
        """Return a context manager that takes an object and gives it back, however the block ends.

        Args:
            timeout: as for ``acquire``.
        """
        return Borrowed(self, timeout)

    def close(self) -> None:
        """Close every idle object now, and those that are out when they come back. Safe to call twice."""
        with self._lock:
            self._closed = self._alert = True
            while self._waiters:
                waiter = self._waiters.popleft()
                waiter.closed = True
                waiter.wake()
        self._settle()

    @property
    def stats(self) -> PoolStats:
        """The figures of this moment, as a value that can be shown, plotted and saved."""
        from memlab.lab._pool_stats import pool_stats

        return pool_stats(self)

    @staticmethod
    def worth(
        factory: Callable[[], Any], *, rounds: int = 30, close: Callable[[Any], None] | None = None
    ) -> PoolWorth:
        """Measure whether pooling pays for what a factory makes.

        Making anew and taking from a pool run in turn, in CPU time of this thread, and medians are compared.
        Not in it: what making costs other threads or processes (a connection's server, the collector).

        Args:
            factory: makes one object; called some thousand times.
            rounds: how many times both are measured.
            close: frees an object; default its own ``close``, where it has one.

        Raises:
            UsageError: when an argument makes no sense.

        Example:
            >>> verdict = ObjectPool.worth(object, rounds=5)
            >>> verdict.pays
            False
        """
        from memlab.lab.pool_worth import measure_worth

        return measure_worth(factory, rounds=rounds, close=close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- making

    def _more(self, timeout: float | None) -> T:
        """Return an object though none lay idle: one that just came back, a new one, or after a wait."""
        self._bury()
        with self._lock:
            self._check_open()
            try:
                found: T = self._idle.pop()
            except IndexError:
                pass
            else:
                return found
            makes = self._size < self.max_size
            if not makes:
                self._over += 1
                makes = self.overflow == "create"
            if makes:
                self._grow()
            elif self.overflow == "raise":
                raise UnavailableError(
                    f"taking an object: all {self.max_size:,} of this pool are out; give one back, or make"
                    " the pool larger or with overflow='block'"
                )
        if not makes:
            waiter = self._wait(self.timeout if timeout is None else timeout)
            if waiter.has_object:
                return waiter.given  # type: ignore[no-any-return]
        obj = self._make()
        with self._lock:
            self._missed += 1
        self._fill()
        return obj

    def _make(self) -> T:
        """Make an object for room that was reserved; give the room back if that fails."""
        try:
            obj = self.factory()
        except BaseException:
            self._shrink(1)
            raise
        with self._lock:
            self._created += 1
            if self._plain and not hashes_by_identity(type(obj)):
                self._out = Marks(self._out)
                self._plain = False
            if self._resets and not callable(getattr(obj, "reset", None)):
                self._resets = False
        return obj

    def _fill(self) -> None:
        """Make what lacks of ``min_size``."""
        while self._size < self.min_size:
            with self._lock:
                if self._closed or self._size >= self.min_size:
                    return
                self._grow()
            self._idle.append(self._make())
            if self._alert:
                self._settle()

    def _grow(self) -> None:
        self._size += 1
        self._highest = max(self._highest, self._size)
        self._history.note(self._size)
        self._look()

    def _shrink(self, count: int) -> None:
        """Take note that objects are gone, and tell those who wait of the room."""
        with self._lock:
            self._size -= count
            self._history.note(self._size)
            self._serve()

    def _look(self) -> None:
        self._alert = self._closed or self._size > self.max_size or bool(self._waiters or self._gone)

    # -- waiting

    def _wait(self, timeout: float | None) -> Waiter:
        waiter = Waiter()
        taken = False
        try:
            with self._lock:
                self._waiters.append(waiter)
                self._alert = True
                self._serve()  # one may have come back before anybody knew that we wait
            waiter.wait(timeout)
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                    self._look()
                if waiter.closed:
                    self._check_open()
                taken = waiter.has_object or waiter.may_make
        finally:
            if not taken:
                self._leave(waiter)
        if not taken:
            raise PoolTimeoutError(
                f"taking an object: all {self.max_size:,} of this pool are out, and none came back within"
                f" {timeout:g} s; give them back sooner, make the pool larger or wait longer"
            )
        return waiter

    def _leave(self, waiter: Waiter) -> None:
        """Undo a wait that ended by an interrupt or in vain; what came too late goes to the next."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.has_object:
                self._idle.append(waiter.given)
            if waiter.may_make:
                self._shrink(1)
            self._serve()

    def _serve(self) -> None:
        """Under the lock: give what there is to those who wait, in their order."""
        while self._waiters:
            try:
                obj = self._idle.pop()
            except IndexError:
                if self._size >= self.max_size:
                    break
                self._grow()
                self._waiters[0].may_make = True
            else:
                self._waiters[0].given = obj
                self._waiters[0].has_object = True
            self._waiters.popleft().wake()
        self._look()

    # -- closing

    def _is_too_many(self, obj: T) -> bool:
        """Close an object that came back to a closed pool, or to one that has more than it keeps."""
        with self._lock:
            if not self._closed and self._size <= self.max_size:
                return False
            self._ended += 1
        self._close_object(obj)
        self._shrink(1)
        return True

    def _settle(self) -> None:
        """Serve those who wait, close what is too old and, in a closed pool, what lies idle."""
        with self._lock:
            self._serve()
        self._bury()
        while self._closed:
            try:
                obj = self._idle.pop()
            except IndexError:
                break
            with self._lock:
                self._ended += 1
            self._close_object(obj)
            self._shrink(1)

    def _bury(self) -> None:
        """Close what lay idle too long."""
        while self._gone:
            try:
                obj = self._gone.popleft()
            except IndexError:
                break
            self._close_object(obj)
        if self._alert:
            with self._lock:
                self._look()

    def _discard(self, obj: T, error: BaseException) -> None:
        """Close an object whose ``reset`` raised; pass on what is no ordinary error."""
        if any(other is obj for other in self._idle):
            raise error  # an interrupt just after it was laid down
        with self._lock:
            self._ended += 1
            self._failed += 1
        if isinstance(error, Exception):
            _warn(obj, "reset", error)
        self._close_object(obj)
        self._shrink(1)
        if not isinstance(error, Exception):
            raise error

    def _expire(self, objects: list[T]) -> None:
        """Take note of objects that lay idle too long; they are closed outside of any lock."""
        with self._lock:
            self._expired += len(objects)
            self._ended += len(objects)
            self._size -= len(objects)
            self._history.note(self._size)
            self._gone.extend(objects)
            self._alert = True

    def _close_object(self, obj: T) -> None:
        try:
            _call(obj, "close")
        except Exception as error:  # noqa: BLE001 - one object's trouble is not its holder's
            with self._lock:
                self._failed += 1
            _warn(obj, "close", error)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("taking an object: this pool is closed")

    def _refusal(self, obj: object) -> UsageError:
        name = short_name(instance_type_name(obj))
        if any(other is obj for other in list(self._idle)):
            return UsageError(f"giving back an object: this {name} was given back before")
        return UsageError(
            f"giving back an object: this {name} is not out; it was given back before, or is not of this pool"
        )


class Borrowed(Generic[T]):
    """An object that goes back by itself: ``with pool.borrow() as obj``."""

    __slots__ = ("_obj", "_pool", "_timeout")

    def __init__(self, pool: ObjectPool[T], timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._obj: list[T] = []

    def __enter__(self) -> T:
        obj = self._pool.acquire(self._timeout)
        self._obj.append(obj)
        return obj

    def __exit__(self, *exc_info: object) -> None:
        self._pool.release(self._obj.pop())


def counter_value(counter: itertools.count[int]) -> int:
    """Return the next value of a counter without taking it.

    Its text is the only way to read it: copying one is on its way out of the language.

    >>> counter = itertools.count(5)
    >>> counter_value(counter), next(counter)
    (5, 5)
    """
    return int(repr(counter)[6:-1])


def _call(obj: object, name: str) -> None:
    method = getattr(obj, name, None)
    if callable(method):
        method()


def _warn(obj: object, method: str, error: Exception) -> None:
    what = f"{short_name(instance_type_name(obj))}.{method}()"
    _log.warning("%s raised %s; the object was dropped", what, type(error).__name__)


def _check(
    factory: Any, min_size: Any, max_size: Any, ttl: Any, overflow: Any, timeout: Any
) -> None:
    if not callable(factory):
        raise UsageError(f"making a pool: factory must be callable, not {type(factory).__name__}")
    if type(max_size) is not int or max_size < 1:
        raise UsageError(f"making a pool: max_size must be a whole number from 1, not {max_size!r}")
    if type(min_size) is not int or not 0 <= min_size <= max_size:
        raise UsageError(
            f"making a pool: min_size must be a whole number from 0 to max_size ({max_size:,}), not {min_size!r}"
        )
    for name, value in (("ttl", ttl), ("timeout", timeout)):
        if value is not None and not (type(value) in (int, float) and value > 0 and math.isfinite(value)):
            raise UsageError(f"making a pool: {name} must be seconds above 0 or None, not {value!r}")
    if overflow not in _OVERFLOWS:
        raise UsageError(f"making a pool: overflow must be one of {', '.join(_OVERFLOWS)}, not {overflow!r}")
