"""The rare events of a pool: making, closing, waiting, and what went wrong.

They happen under the pool's lock, but no code of the user's does: the factory, ``reset`` and ``close`` are
called when it is not held. ``pool`` has the quick path, which takes no lock; the two meet in ``_alert``,
which is set while somebody waits, something is to be closed, or there are more objects than are kept. A
giver-back looks at it after the object was laid down, and who waits says so before looking a last time, so
one sees the other.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from memlab._base.safety import instance_type_name, short_name
from memlab.errors import PoolTimeoutError, UnavailableError, UsageError
from memlab.lab._pool_parts import Ageing, Marks, SizeHistory, Waiter, hashes_by_identity
from memlab.lab._pool_quick import QuickPool
from memlab.records.columns import floats, ints
from memlab.records.pool import PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PoolCore", "call", "counter_value"]

T = TypeVar("T")
_NOT_COUNTED = "this pool was made with counters=False"
_log = logging.getLogger("memlab.pool")


class PoolCore(QuickPool, Generic[T]):
    """What a pool knows, and what it does when the quick path does not do."""

    def __init__(
        self,
        factory: Callable[[], T],
        sizes: tuple[int, int],
        *,
        ttl: float | None,
        overflow: str,
        timeout: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.factory = factory
        self.min_size, self.max_size = sizes
        self.ttl = ttl
        self.overflow = overflow
        self.timeout = timeout
        self.counters = True
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
        try:
            self._fill()
        except Exception as error:  # noqa: BLE001 - the caller has an object; the next one tries again
            _log.warning("the factory raised %s; the pool is below its min_size", type(error).__name__)
        except BaseException:
            self._idle.append(obj)
            raise
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

    def _lay_down(self, obj: T) -> None:
        """Reset an object whose mark is gone and lay it down, where there is more to it than that."""
        if self._alert and self._is_too_many(obj):
            return
        try:
            call(obj, "reset")
            self._idle.append(obj)
        except BaseException as error:  # noqa: BLE001 - told apart there
            self._discard(obj, error)
        if self._alert:
            self._settle()

    def _is_too_many(self, obj: T) -> bool:
        """Close an object that came back to a closed pool, or to one that has more than it keeps."""
        with self._lock:
            if not self._closed and self._size <= self.max_size:
                return False
            self._ended += 1
            self._shrink(1)  # in here: another one that comes back now may be kept
        self._close_object(obj)
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
            call(obj, "close")
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

    def _figures(self) -> PoolStats:
        """Return the figures of this moment. Objects too old are closed first."""
        if isinstance(self._idle, Ageing):
            self._idle.sweep()
            self._bury()
        with self._lock:
            out = len(self._out)
            taken = self._taken_in_c + counter_value(self._taken) if self.counters else None
            times, sizes = self._history.until_now(self._size)
            return PoolStats(
                objects_created=self._created,
                acquired=taken,
                released=None if taken is None else max(taken - out, 0),
                hits=None if taken is None else max(taken - self._missed, 0),
                misses=self._missed,
                idle=len(self._idle),
                in_use=out,
                size=self._size,
                high_water_mark=self._highest,
                expired=self._expired,
                overflowed=self._over,
                closed=self._ended,
                failed=self._failed,
                min_size=self.min_size,
                max_size=self.max_size,
                time_s=floats(times),
                sizes=ints(sizes),
                absent={} if self.counters else dict.fromkeys(("acquired", "released", "hits"), _NOT_COUNTED),
            )


def counter_value(counter: itertools.count[int]) -> int:
    """Return the next value of a counter without taking it.

    Its text is the only way to read it: copying one is on its way out of the language.

    >>> counter = itertools.count(5)
    >>> counter_value(counter), next(counter)
    (5, 5)
    """
    return int(repr(counter)[6:-1])


def call(obj: object, name: str) -> None:
    """Call a method of an object if it has one."""
    method = getattr(obj, name, None)
    if callable(method):
        method()


def _warn(obj: object, method: str, error: Exception) -> None:
    what = f"{short_name(instance_type_name(obj))}.{method}()"
    _log.warning("%s raised %s; the object was dropped", what, type(error).__name__)
