"""A pool of objects that are costly to make and cheap to make fit again.

Taking an object is a list's ``pop`` and a set's ``add``, giving it back the set's ``remove`` and the list's
``append``: each is one step for the interpreter, so the quick path has no lock, and two threads never get one
object. In the plain case these steps are in C (``_native/quickpool.c``) where that was built; what is written
here is its twin, and does what it leaves. Everything rare is in ``_pool_core``. Counters are derived:
``acquired`` is one C counter, and the others follow from it, from what lies idle, and from the rare events.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from memlab.errors import UsageError
from memlab.lab._pool_core import PoolCore
from memlab.lab._pool_quick import QuickPool, is_native

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from memlab.records.pool import PoolStats, PoolWorth

__all__ = ["ObjectPool", "PoolableObject"]

T = TypeVar("T")
_OVERFLOWS = ("create", "block", "raise")


@runtime_checkable
class PoolableObject(Protocol):
    """What a pool holds best. Nothing needs to derive from it: an object with these two methods is one.

    A pool also takes objects that lack one of them; the missing call is left out.
    """

    def reset(self) -> None:
        """Make the object fit for its next holder."""

    def close(self) -> None:
        """Free what the object holds."""


class ObjectPool(PoolCore[T]):
    """A pool of objects, for any number of threads.

    Pooling pays where making is dear and ``reset`` is cheap: ``ObjectPool.worth(factory)`` measures whether
    it does. It never pays for an object whose ``reset`` does again what its constructor does.

    ``max_size`` bounds what the pool *keeps*: never are more objects idle. Objects that are out are held by
    the pool too, so one that is never given back lives as long as the pool.

    Args:
        factory: makes one object; called without arguments, never under the pool's lock.
        min_size: objects that are there from the start.
        max_size: objects that are kept.
        ttl: seconds that an object may lie idle. One that lay longer is closed and replaced, never handed
            out; it is let go when the pool is next used. None: no limit.
        overflow: what happens when ``max_size`` objects are out and one more is asked for. ``create`` makes
            it, and closes an object when the pool has more than it keeps; ``block`` waits until one comes
            back, first come first served; ``raise`` refuses.
        timeout: seconds that ``block`` waits; None: without end.
        counters: count acquisitions. Without, a pair of calls is cheaper by a fifth where there is no C
            extension, by nothing where there is; and the figures that rest on that count are None.
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

    def __new__(cls, *_args: Any, counters: bool = True, **_options: Any) -> Self:
        """Make a pool of the kind whose ``acquire`` counts, or not: a question less in the quick path."""
        kind: Any = cls if counters or is_native or cls is not ObjectPool else _Uncounted
        return object.__new__(kind)  # type: ignore[no-any-return]

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
        _check(factory, min_size, max_size, ttl=ttl, overflow=overflow, timeout=timeout)
        super().__init__(
            factory, (min_size, max_size), ttl=ttl, overflow=overflow, timeout=timeout, clock=clock
        )
        self.counters = bool(counters)
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
        if self._alert or not self._resets:
            self._lay_down(obj)
            return
        try:
            obj.reset()  # type: ignore[attr-defined]
            self._idle.append(obj)
        except BaseException as error:  # noqa: BLE001 - told apart there
            self._discard(obj, error)
        if self._alert:
            self._settle()

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
        return self._figures()

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


class _Uncounted(ObjectPool[T]):
    """A pool that does not count acquisitions."""

    def acquire(self, timeout: float | None = None) -> T:
        """Take an object, and do not count it; see ``ObjectPool.acquire``."""
        try:
            obj: T = self._idle.pop()
        except IndexError:
            obj = self._more(timeout)
        self._out.add(obj)
        return obj


if is_native:  # what the calls in C leave to their twins they ask for by these names
    for _name in ("acquire", "release"):
        setattr(ObjectPool, f"_{_name}_in_python", getattr(ObjectPool, _name))
        setattr(ObjectPool, _name, getattr(QuickPool, _name))


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


def _check(factory: Any, min_size: Any, max_size: Any, *, ttl: Any, overflow: Any, timeout: Any) -> None:
    if not callable(factory):
        raise UsageError(f"making a pool: factory must be callable, not {type(factory).__name__}")
    if type(max_size) is not int or max_size < 1:
        raise UsageError(f"making a pool: max_size must be a whole number from 1, not {max_size!r}")
    if type(min_size) is not int or not 0 <= min_size <= max_size:
        raise UsageError(
            f"making a pool: min_size must be a whole number from 0 to max_size ({max_size:,}), not"
            f" {min_size!r}"
        )
    for name, value in (("ttl", ttl), ("timeout", timeout)):
        if value is not None and not (type(value) in (int, float) and value > 0 and math.isfinite(value)):
            raise UsageError(f"making a pool: {name} must be seconds above 0 or None, not {value!r}")
    if overflow not in _OVERFLOWS:
        raise UsageError(f"making a pool: overflow must be one of {', '.join(_OVERFLOWS)}, not {overflow!r}")
