"""The one owner of ``gc.callbacks``: who wants to know of collections subscribes here.

There is one callback in the process, there while anyone is subscribed, and one ring of rows that were
allocated before. The callback stamps the clock and stores five numbers into the next row: no lock, no
logging, and nothing that could start another collection. It is in C (``_native/gcrows.c``) where that was
built and the clock is the kernel's monotonic one, and else the same in Python. A subscription remembers
where the ring stood when it began and reads from there when asked; rows that were overwritten meanwhile are
counted as dropped. The list of callbacks is replaced in one step at both ends, so that an interrupt leaves
it either way whole.

A forked child has its parent's ring and subscriptions, but its collections are its own: a hook at the fork
silences the callback there. (To ask for the process number in each collection would cost more than the rest.)
"""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from array import array
from typing import TYPE_CHECKING, Any, Literal, Self

from memlab.collectors.sampler_script import subtracted
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.records.gc_pauses import GcPauses

__all__ = ["PauseOwner", "PauseSubscription", "is_kernels_clock", "native", "subscribe"]

try:
    from memlab._native import gcrows

    native: Any = gcrows
except ImportError:  # no compiler when memlab was installed, or a free-threaded Python
    native = None

_FIELDS = 5
_ROWS = 16_384
_WRITTEN, _BEGAN, _FORKED = 0, 1, 2
_NS = 1e-9


class PauseOwner:
    """Owner of the one callback and its ring. ``subscribe()`` uses the process-wide one.

    Args:
        rows: collections that the ring holds; 40 bytes each.
        clock: monotonic, in nanoseconds.
        callbacks: the list to stand in. Default: ``gc.callbacks``.
    """

    def __init__(
        self,
        rows: int = _ROWS,
        clock: Callable[[], int] = time.perf_counter_ns,
        callbacks: list[Any] | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.rows = rows
        self.clock = clock
        # Re-entrant: a forgotten subscription may be collected while its thread is in here.
        self._lock = threading.RLock()
        self._callbacks = gc.callbacks if callbacks is None else callbacks
        self._subscribers: weakref.WeakSet[PauseSubscription] = weakref.WeakSet()
        self._ring = array("q")
        self._state = array("q", (0, 0, 0))
        self._callback: Callable[[str, dict[str, int]], None] | None = None

    @property
    def subscribers(self) -> int:
        """How many are subscribed."""
        return len(self._subscribers)

    def subscribe(self) -> PauseSubscription:
        """Begin to take part."""
        with self._lock:
            subscription = PauseSubscription(self)
            self._subscribers.add(subscription)
            if self._callback is None:
                self._ring = array("q", bytes(8 * _FIELDS * self.rows))
                self._state[_BEGAN] = 0
                self._callback = _callback_for(self._ring, self._state, self.rows, self.clock)
                _silence_forks(self._state)
            if not any(known is self._callback for known in self._callbacks):
                self._callbacks.append(self._callback)
        return subscription

    def unsubscribe(self, subscription: PauseSubscription) -> None:
        """Take no more part; the last one takes the callback away. Does nothing the second time."""
        with self._lock:
            self._subscribers.discard(subscription)
            if not self._subscribers:
                self.withdraw()

    def withdraw(self) -> None:
        """Take the callback out of the list, wherever it stands there now."""
        callback = self._callback
        # By identity: to compare would run the code of callbacks that are not ours.
        for at in range(len(self._callbacks) - 1, -1, -1):
            if callback is not None and self._callbacks[at] is callback:
                del self._callbacks[at]
        self._callback = None  # only now: interrupted before, it is withdrawn again

    @property
    def written(self) -> int:
        """How many collections were written since the owner was made."""
        return self._state[_WRITTEN]

    def rows_since(self, first: int) -> tuple[array[int], int]:
        """Return the rows written since number ``first``, five numbers each, and how many are lost."""
        last = self._state[_WRITTEN]
        from_row, to_row = max(first, last - self.rows) % self.rows, last % self.rows
        if max(first, last - self.rows) >= last:
            return array("q"), 0
        ring = self._ring  # each slice is one step: no callback comes within
        if from_row < to_row:
            rows = ring[from_row * _FIELDS : to_row * _FIELDS]
        else:
            rows = ring[from_row * _FIELDS :] + ring[: to_row * _FIELDS]
        oldest = max(first, self._state[_WRITTEN] - self.rows)  # what was written over meanwhile is no more
        whole = min(len(rows), max(0, last - oldest) * _FIELDS)
        return rows[len(rows) - whole :], min(oldest, last) - first


class PauseSubscription:
    """One reader of the collector's pauses. Made by ``subscribe()``; close it, or use it in ``with``.

    Attributes:
        origin_s: ``time.monotonic()`` when it began; the axis of ``read`` counts from here.
    """

    _owner: PauseOwner | None = None  # on the class: an interrupt may strike before __init__ has run

    def __init__(self, owner: PauseOwner) -> None:
        self.origin_s = time.monotonic()
        # The two clocks are one on Linux; elsewhere this is the difference between them.
        self._shift_s = self.origin_s - owner.clock() * _NS
        self._first = self._next = owner.written
        self._last: int | None = None
        self._ended_s: float | None = None
        self._owner = owner

    def read(self, origin_s: float | None = None) -> GcPauses:
        """Return all collections since it began, as far as the ring still has them.

        Args:
            origin_s: what the times count from, as ``time.monotonic()`` has it. Default: ``origin_s``.
        """
        return self._table(self._first, origin_s)

    def take(self, origin_s: float | None = None) -> GcPauses:
        """Return the collections since the last ``take``; who calls this often enough loses none."""
        pauses = self._table(self._next, origin_s)
        self._next += len(pauses) + pauses.dropped
        return pauses

    @property
    def dropped(self) -> int:
        """Collections since it began that the ring no longer has."""
        owner = self._owner
        return owner.rows_since(self._first)[1] if owner is not None else 0

    def close(self) -> None:
        """End. What was seen until now can still be read."""
        owner = self._owner
        if owner is not None and self._last is None:
            owner.unsubscribe(self)
            self._ended_s = time.monotonic()
            self._last = owner.written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def take_raw(self, origin_s: float | None = None) -> tuple[array[int], int]:
        """Return what ``take`` does as plain numbers, without numpy: five to a row, and the rows lost.

        Start (from ``origin_s``) and length in nanoseconds, generation, collected, uncollectable.
        """
        rows, dropped = self._raw(self._next)
        self._next += len(rows) // _FIELDS + dropped
        shift = round((self._shift_s - (self.origin_s if origin_s is None else origin_s)) / _NS)
        began = rows[::_FIELDS]
        rows[1::_FIELDS] = subtracted(rows[1::_FIELDS], began)
        rows[::_FIELDS] = subtracted(began, array("q", [-shift]) * len(began))
        return rows, dropped

    def _raw(self, first: int) -> tuple[array[int], int]:
        assert self._owner is not None
        rows, dropped = self._owner.rows_since(first)
        if self._last is not None:  # others may have gone on
            rows = rows[: max(0, self._last - first - dropped) * _FIELDS]
        return rows, dropped

    def _table(self, first: int, origin_s: float | None) -> GcPauses:
        origin = self.origin_s if origin_s is None else origin_s
        import numpy as np

        from memlab.records.columns import floats, ints
        from memlab.records.gc_pauses import GcPauses

        content, dropped = self._raw(first)
        rows = np.frombuffer(content, np.int64).reshape(-1, _FIELDS)
        ended = time.monotonic() if self._ended_s is None else self._ended_s
        return GcPauses(
            start_s=floats(rows[:, 0] * _NS + (self._shift_s - origin)),
            pause_s=floats((rows[:, 1] - rows[:, 0]) * _NS),
            generation=ints(rows[:, 2]),
            collected=ints(rows[:, 3]),
            uncollectable=ints(rows[:, 4]),
            lasted_s=max(0.0, ended - self.origin_s),
            dropped=dropped,
        )


def _callback_for(
    ring: array[int], state: array[int], size: int, clock: Callable[[], int]
) -> Callable[[str, dict[str, int]], None]:
    """Return the callback in C where it reads the clock that is asked for, else its twin."""
    if native is not None and clock is time.perf_counter_ns and is_kernels_clock("perf_counter"):
        made: Callable[[str, dict[str, int]], None] = native.recording(ring, state)
        return made
    return _recording(ring, state, size, clock)


def is_kernels_clock(name: Literal["monotonic", "perf_counter", "time"]) -> bool:
    """Tell whether a clock of the ``time`` module is the kernel's monotonic one, which C reads by itself.

    >>> is_kernels_clock("time")
    False
    """
    return time.get_clock_info(name).implementation == "clock_gettime(CLOCK_MONOTONIC)"


def _recording(
    ring: array[int], state: array[int], size: int, clock: Callable[[], int]
) -> Callable[[str, dict[str, int]], None]:
    """Return the callback in Python: closes over plain arrays, makes nothing that the collector tracks."""

    def on_collection(phase: str, info: dict[str, int]) -> None:
        now = clock()
        if state[_FORKED]:  # its collections are not ours
            return
        if phase == "start":
            state[_BEGAN] = clock()
            return
        began = state[_BEGAN]
        if not began:  # subscribed in the midst of a collection
            return
        state[_BEGAN] = 0
        at = state[_WRITTEN] % size * _FIELDS
        ring[at] = began
        ring[at + 1] = now
        ring[at + 2] = info["generation"]
        ring[at + 3] = info["collected"]
        ring[at + 4] = info["uncollectable"]
        state[_WRITTEN] += 1

    return on_collection


_states: dict[int, weakref.ref[array[int]]] = {}
_hooks: list[object] = []


def _silence_forks(state: array[int]) -> None:
    """Mark a state in every child that is forked from now on. One hook serves all: none can be taken back."""
    key = id(state)
    _states[key] = weakref.ref(state, lambda _: _states.pop(key, None) and None)
    if not _hooks and hasattr(os, "register_at_fork"):
        _hooks.append(True)
        os.register_at_fork(after_in_child=_mark_all)


def _mark_all() -> None:
    for known in tuple(_states.values()):
        state = known()
        if state is not None:
            state[_FORKED] = 1


def subscribe() -> PauseSubscription:
    """Watch the collector of this process from now on.

    A collection costs a microsecond more while anybody is subscribed, however many are; nearly all of it is
    the interpreter's, which makes a dictionary for each of its two calls. The ring holds the last 16,384
    collections; who wants more calls ``take`` in between. Without the C extension it is some two, and a
    Ctrl-C that strikes within the callback is lost, as in any callback in Python of the collector (it is
    given to ``sys.unraisablehook``).

    Raises:
        UsageError: when the program has put something else in the place of ``gc.callbacks``.

    Example:
        >>> import gc
        >>> with subscribe() as pauses:
        ...     unreachable = gc.collect()
        >>> table = pauses.read()
        >>> len(table) >= 1, int(table.generation[-1]), table.longest_s > 0
        (True, 2, True)
    """
    if type(gc.callbacks) is not list:
        raise UsageError("watching the collector: gc.callbacks is no list any more; something replaced it")
    return _process_wide().subscribe()


_owner: PauseOwner | None = None


def _process_wide() -> PauseOwner:
    """The list is the process's, so its owner is too; a forked child gets one of its own."""
    global _owner  # noqa: PLW0603 - one owner for a process-wide resource
    if _owner is not None and _owner.pid != os.getpid():
        _owner.withdraw()  # the parent's callback, which came along
        _owner = None
    if _owner is None:
        _owner = PauseOwner()
    return _owner
