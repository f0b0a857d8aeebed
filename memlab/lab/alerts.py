"""Alerts when memory crosses a line: one an occasion, to handlers that can not harm the watch or each other.

A tick reads how full the ceiling is and moves a small state machine (normal, warning, critical); only a
crossing makes an alert, and a level is left only some way below the line where it was entered. Alerts are put
into a queue of each handler's own, and a worker of each handler's own takes them out: a thread, or for a
coroutine function in an event loop a task. So a handler that raises, hangs, or calls memlab delays nobody.
Its failures are counted; after three in a row it is benched. One that overruns its time is fenced off: a
thread cannot be killed, so it is named, and gets nothing more until it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import inspect
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from memlab._base.safety import clean, instance_type_name
from memlab._base.units import format_bytes, parse_bytes
from memlab.errors import UsageError
from memlab.lab.memory_monitor import MemoryMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["MemoryAlertSystem"]

_IN_A_ROW = 3
_HEARTBEATS = 3
_LEAST_PATIENCE_S = 0.25
_GOODBYE_S = 1.0
_KEPT_ALERTS = 1000
_NORMAL, _WARNING, _CRITICAL = "normal", "warning", "critical"


class MemoryAlertSystem:
    """Calls handlers when memory crosses a threshold.

    Args:
        warning_threshold: fraction of the limit at which ``"warning"`` is raised.
        critical_threshold: likewise ``"critical"``.
        check_interval: seconds between two looks.
        limit_bytes: what the fractions are of, a number or ``"6 GiB"``. Against a limit of yours it is the
            resident memory of this process that counts. By default it is the real ceiling (see
            ``MemoryMonitor``), against which everything counts that uses it up, other processes too.
        hysteresis: how far below a threshold, as a fraction of the limit, memory must fall before the next
            crossing of it is an alert again.
        handler_timeout: seconds after which a handler that has not come back is fenced off.
        monitor: reads memory; by default one of its own.
        reader: returns the bytes that count, in place of the monitor; needs ``limit_bytes``.
        clock: monotonic, in seconds.

    Handlers are called as ``handler(alert_type, details)``. The type is ``"warning"``, ``"critical"`` or,
    when memory has fallen below the warning again, ``"recovered"``; a jump over both lines is two alerts.
    ``details`` is a dictionary of its own for each call: ``fraction``, ``used_bytes``, ``limit_bytes``,
    ``source`` (of the limit), ``threshold`` and ``time`` (ISO 8601, UTC).

    Plain handlers run in threads of their own; coroutine functions in the running loop, or without one in a
    loop of their thread. What rises and falls between two looks is not seen.

    Raises:
        UsageError: when a number makes no sense, or the thresholds are in the wrong order.

    Example:
        >>> used = iter([10, 75, 76, 90, 40])
        >>> alerts = MemoryAlertSystem(limit_bytes=100, reader=lambda: next(used))
        >>> [alerts.tick() for _ in range(5)]
        [(), ('warning',), (), ('critical',), ('recovered',)]
    """

    def __init__(
        self,
        warning_threshold: float = 0.7,
        critical_threshold: float = 0.85,
        check_interval: float = 1.0,
        limit_bytes: int | str | None = None,
        *,
        hysteresis: float = 0.05,
        handler_timeout: float = 5.0,
        monitor: MemoryMonitor | None = None,
        reader: Callable[[], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _fraction("warning_threshold", warning_threshold)
        _fraction("critical_threshold", critical_threshold)
        if warning_threshold >= critical_threshold:
            raise UsageError(
                f"memory alerts: warning_threshold ({warning_threshold}) must be below critical_threshold "
                f"({critical_threshold})"
            )
        for name, value in (("check_interval", check_interval), ("handler_timeout", handler_timeout)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise UsageError(f"memory alerts: {name} must be a number of seconds above 0, not {value!r}")
        if (
            isinstance(hysteresis, bool)
            or not isinstance(hysteresis, (int, float))
            or not 0 <= hysteresis < warning_threshold
        ):
            raise UsageError(
                f"memory alerts: hysteresis must be from 0 to below the warning, not {hysteresis!r}"
            )
        if reader is not None and limit_bytes is None:
            raise UsageError("memory alerts: a reader of your own needs limit_bytes to be held against")
        self.warning_threshold = warning_threshold
        self.critical_threshold = critical_threshold
        self.check_interval = check_interval
        self.hysteresis = hysteresis
        self.handler_timeout = handler_timeout
        self.limit_bytes = _limit(limit_bytes)
        self.monitor = monitor or MemoryMonitor()
        self.alerts: deque[dict[str, Any]] = deque(maxlen=_KEPT_ALERTS)
        """The last alerts, each a dictionary of ``alert`` and its details, oldest first."""
        self._owns_monitor = monitor is None
        self._reader = reader
        self._clock = clock
        self._handlers: list[_Handler] = []
        self._level = _NORMAL
        self._ticks = self._unread = 0
        self._last_tick: float | None = None
        self._reason = ""
        self._failure: BaseException | None = None
        self._last_fraction: float | None = None
        self._stopping: threading.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()

    # -- handlers

    def add_handler(self, handler: Callable[[str, dict[str, Any]], Any]) -> None:
        """Add a function or coroutine function; one that is there already is there twice.

        Raises:
            UsageError: when it cannot be called.
        """
        if not callable(handler):
            raise UsageError(f"memory alerts: a handler is a function, not {instance_type_name(handler)}")
        name = getattr(handler, "__qualname__", None)
        label = clean(name) if type(name) is str else instance_type_name(handler)
        with self._lock:
            taken = {h.label for h in self._handlers}
            number, free = 1, label
            while free in taken:
                number += 1
                free = f"{label} ({number})"
            self._handlers.append(_Handler(handler, free, self.handler_timeout))

    def remove_handler(self, handler: Callable[[str, dict[str, Any]], Any]) -> None:
        """Take a handler away again.

        Raises:
            UsageError: when it is not there.
        """
        with self._lock:
            found = next((h for h in self._handlers if h.function == handler), None)
            if found is None:
                raise UsageError("memory alerts: this handler was not added")
            self._handlers.remove(found)
        found.close()

    # -- looking

    def tick(self) -> tuple[str, ...]:
        """Look once, hand out what was crossed, and return its names.

        The monitoring does this by itself; a program with a loop of its own may call it instead.
        """
        self._ticks += 1
        self._last_tick = self._clock()
        used, limit, source = self._read()
        if used is None or not limit:
            self._unread += 1
            return ()
        fraction = self._last_fraction = used / limit
        crossed = self._crossed(fraction)
        for alert in crossed:
            details = {
                "fraction": fraction,
                "used_bytes": used,
                "limit_bytes": limit,
                "source": source,
                "threshold": self.critical_threshold if alert == _CRITICAL else self.warning_threshold,
                "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            }
            self.alerts.append({"alert": alert, **details})
            with self._lock:
                handlers = tuple(self._handlers)
            for handler in handlers:
                handler.give(alert, dict(details), self._loop)
        return tuple(crossed)

    def _read(self) -> tuple[int | None, int | None, str]:
        if self.limit_bytes is not None:
            try:
                used = self._reader() if self._reader is not None else self.monitor.rss_bytes()
            except Exception as error:  # noqa: BLE001 - a reader that fails once is asked again
                self._reason = f"the reader raised {instance_type_name(error)}"
                return None, None, ""
            if used is None:
                self._reason = "the memory of this process cannot be read"
            return used, self.limit_bytes, "limit_bytes"
        reading = self.monitor.read(uss=False)
        if reading.limit_bytes is None or reading.available_bytes is None:
            self._reason = reading.absent.get("limit_bytes", reading.absent.get("available_bytes", ""))
            return None, None, ""
        # Whoever uses up what would be met first: that is how far it is to the end.
        used = max(0, reading.limit_bytes - reading.available_bytes)
        return used, reading.limit_bytes, reading.sources.get("limit_bytes", "")

    def _crossed(self, fraction: float) -> list[str]:
        level, crossed = self._level, []
        if fraction >= self.critical_threshold and level != _CRITICAL:
            crossed = [_WARNING, _CRITICAL] if level == _NORMAL else [_CRITICAL]
            level = _CRITICAL
        elif fraction >= self.warning_threshold and level == _NORMAL:
            level, crossed = _WARNING, [_WARNING]
        elif fraction < self.warning_threshold - self.hysteresis and level != _NORMAL:
            level, crossed = _NORMAL, ["recovered"]
        elif level == _CRITICAL and fraction < self.critical_threshold - self.hysteresis:
            level = _WARNING
        self._level = level
        return crossed

    # -- monitoring

    async def start_monitoring(self) -> None:
        """Look every ``check_interval`` seconds until it is stopped or cancelled; run it as a task.

        Raises:
            UsageError: when it is monitoring already.

        >>> async def main():
        ...     alerts = MemoryAlertSystem(limit_bytes="1 TiB")
        ...     watch = asyncio.create_task(alerts.start_monitoring())
        ...     await asyncio.sleep(0.05)
        ...     await alerts.stop_monitoring()
        ...     await watch
        >>> asyncio.run(main())
        """
        self._refuse_second()
        stopping = self._begin()
        try:
            self._loop = asyncio.get_running_loop()
            self._wake = wake = asyncio.Event()
            due = self._clock()
            while not stopping.is_set():
                self.tick()
                due = max(due + self.check_interval, self._clock())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), max(0.0, due - self._clock()))
            with contextlib.suppress(asyncio.CancelledError):
                await self._drained()
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._finish(stopping)
            self._loop = self._wake = None

    def start_thread(self) -> Self:
        """Look every ``check_interval`` seconds from a daemon thread, for code without an event loop.

        Raises:
            UsageError: when it is monitoring already.
        """
        self._refuse_second()
        try:
            stopping = self._begin()
            self._thread = threading.Thread(
                target=self._run, args=(stopping,), name="memlab-alerts", daemon=True
            )
            self._thread.start()
        except BaseException:
            self.stop_monitoring()
            raise
        return self

    def stop_monitoring(self) -> _Stopped:
        """Stop. It takes effect at once; what is returned may be awaited, until the handlers are done.

        From a thread's monitoring it returns when that thread has ended, at most a second later, unless a
        handler calls it. A second call does nothing.
        """
        stopping, loop, wake, thread = self._stopping, self._loop, self._wake, self._thread
        if stopping is not None:
            stopping.set()
            if loop is not None and wake is not None:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(wake.set)
            if thread is not None and thread.ident is not None and not self._is_own_thread(thread):
                thread.join(_GOODBYE_S)
                self._say_goodbye()
        return _Stopped(self)

    @property
    def is_alive(self) -> bool:
        """Tell whether it looked within the last three intervals (at least 0.25 s)."""
        if self._stopping is None or self._stopping.is_set() or self._last_tick is None:
            return False
        patience = max(_HEARTBEATS * self.check_interval, _LEAST_PATIENCE_S)
        return self._clock() - self._last_tick <= patience

    def status(self) -> dict[str, Any]:
        """Return what is known of the watch and of each handler.

        ``handlers`` has for each its ``state`` (``ok``, ``hanging``, ``benched``), how many alerts it was
        given, has done, failed and missed, and the type of its last exception. ``sick`` names those that are
        not ``ok`` or failed last.
        """
        with self._lock:
            handlers = {handler.label: handler.status() for handler in self._handlers}
        monitoring = self._stopping is not None and not self._stopping.is_set()
        limit = format_bytes(self.limit_bytes) if self.limit_bytes is not None else "the real ceiling"
        return {
            "monitoring": monitoring,
            "alive": self.is_alive,
            "level": self._level,
            "fraction": self._last_fraction,
            "limit": limit,
            "ticks": self._ticks,
            "unread": self._unread,
            "reason": self._reason,
            "failure": instance_type_name(self._failure) if self._failure is not None else None,
            "handlers": handlers,
            "sick": [name for name, h in handlers.items() if h["state"] != "ok" or h["failing"]],
        }

    def close(self) -> None:
        """Stop, and let go of everything."""
        self.stop_monitoring()
        self._say_goodbye()
        with self._lock:
            handlers = tuple(self._handlers)
        for handler in handlers:  # what a slow one has not come to by now it does not get
            handler.close()
        if self._owns_monitor:
            self.monitor.close()

    def __enter__(self) -> Self:
        return self.start_thread()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.start_monitoring())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop_monitoring()
        task, self._task = self._task, None
        if task is not None:
            await task
        self.close()

    def _refuse_second(self) -> None:
        if self._stopping is not None and not self._stopping.is_set():
            raise UsageError("memory alerts: it is monitoring already; stop_monitoring() ends that")

    def _begin(self) -> threading.Event:
        self._failure = None
        self._stopping = stopping = threading.Event()
        return stopping

    def _run(self, stopping: threading.Event) -> None:
        due = self._clock()
        try:
            while not stopping.is_set():
                self.tick()
                due = max(due + self.check_interval, self._clock())
                stopping.wait(max(0.0, due - self._clock()))
        except Exception as error:  # noqa: BLE001 - kept for status(); never raised into the program
            error.__traceback__ = None
            self._failure = error
        finally:
            stopping.set()

    def _finish(self, stopping: threading.Event) -> None:
        stopping.set()
        self._say_goodbye(wait=False)

    def _is_own_thread(self, thread: threading.Thread) -> bool:
        current = threading.current_thread()
        return current is thread or any(handler.thread is current for handler in tuple(self._handlers))

    def _say_goodbye(self, wait: bool = True) -> None:
        with self._lock:
            handlers = tuple(self._handlers)
        for handler in handlers:
            handler.retire()
        deadline = time.monotonic() + _GOODBYE_S
        for handler in handlers if wait else ():
            handler.join(max(0.0, deadline - time.monotonic()))

    async def _drained(self) -> None:
        """Wait until each handler that is not hanging has had what it was given, at most a second."""
        deadline = self._clock() + _GOODBYE_S
        while self._clock() < deadline and any(h.is_busy for h in tuple(self._handlers)):  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class _Stopped:
    """May be awaited, and need not be."""

    def __init__(self, system: MemoryAlertSystem) -> None:
        self._system = system

    def __await__(self) -> Generator[Any, None, None]:
        return self._system._drained().__await__()  # noqa: SLF001 - one class in two parts


class _Handler:
    """One handler with its queue, its worker and its record."""

    def __init__(self, function: Callable[[str, dict[str, Any]], Any], label: str, timeout: float) -> None:
        self.function = function
        self.label = label
        self.thread: threading.Thread | None = None
        self._timeout = timeout
        self._is_coroutine = _is_coroutine_function(function)
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._condition = threading.Condition()
        self._begun: float | None = None
        self._given = self._done = self._failed = self._missed = self._in_a_row = 0
        self._last_error = ""
        self._benched = False
        self._retired = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_hanging(self) -> bool:
        """Whether it has not come back in time."""
        begun = self._begun
        return begun is not None and time.monotonic() - begun > self._timeout

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be done that can be expected to end."""
        return bool(self._waiting or self._begun is not None) and not self.is_hanging and not self._benched

    def give(self, alert: str, details: dict[str, Any], loop: asyncio.AbstractEventLoop | None) -> None:
        """Hand an alert over; return at once."""
        with self._condition:
            if self._benched or self.is_hanging:
                self._missed += 1
                return
            self._given += 1
            self._retired = False
            self._waiting.append((alert, details))
            if loop is not None and self._is_coroutine:
                if self._task is None or self._task.done():
                    self._task = loop.create_task(self._work_in_loop())
                return
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._work, name="memlab-alert-handler", daemon=True)
                try:
                    self.thread.start()
                except RuntimeError as error:  # the system gives no more threads
                    self.thread = None
                    self._waiting.clear()
                    self._count(error)
                return
            self._condition.notify()

    def status(self) -> dict[str, Any]:
        """Return its record as plain values."""
        with self._condition:
            state = "benched" if self._benched else "hanging" if self.is_hanging else "ok"
            return {
                "state": state,
                "given": self._given,
                "done": self._done,
                "failed": self._failed,
                "missed": self._missed,
                "failing": self._in_a_row > 0,
                "last_error": self._last_error,
            }

    def retire(self) -> None:
        """Let the worker end when its queue is empty."""
        with self._condition:
            self._retired = True
            self._condition.notify()

    def close(self) -> None:
        """Drop what waits, and let the worker end."""
        with self._condition:
            self._waiting.clear()
        self.retire()

    def join(self, seconds: float) -> None:
        """Wait for a worker that can be expected to end."""
        thread = self.thread
        if thread is None or thread is threading.current_thread():
            return
        deadline = time.monotonic() + seconds
        while thread.is_alive() and not self.is_hanging and time.monotonic() < deadline:
            thread.join(0.01)

    def _next(self) -> tuple[str, dict[str, Any]] | None:
        with self._condition:
            while not self._waiting:
                if self._retired:
                    self.thread = None
                    return None
                self._condition.wait()
            self._begun = time.monotonic()
            return self._waiting.popleft()

    def _work(self) -> None:
        while True:
            alert = self._next()
            if alert is None:
                return
            error: BaseException | None = None
            try:
                answer = self.function(*alert)
                if inspect.isawaitable(answer):
                    asyncio.run(_awaited(answer))
            except BaseException as raised:  # noqa: BLE001 - SystemExit too: a handler ends no thread of ours
                error = raised
            del alert
            with self._condition:
                self._count(error)
                error = None

    async def _work_in_loop(self) -> None:
        while self._waiting:
            alert = self._waiting.popleft()
            self._begun = time.monotonic()
            error: BaseException | None = None
            try:
                async with asyncio.timeout(self._timeout):
                    await self.function(*alert)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    self._begun = None
                    raise
                error = asyncio.CancelledError()
            except Exception as raised:  # noqa: BLE001 - a handler harms nobody else
                error = raised
            self._count(error)

    def _count(self, error: BaseException | None) -> None:
        """Note how a call ended; after three failures in a row the handler gets no more."""
        late = self.is_hanging
        self._begun = None
        if error is None and not late:
            self._done += 1
            self._in_a_row = 0
            return
        self._failed += 1
        self._in_a_row += 1
        self._last_error = (
            instance_type_name(error).removeprefix("builtins.") if error is not None else "too slow"
        )
        if self._in_a_row >= _IN_A_ROW:
            self._benched = True
            self._missed += len(self._waiting)
            self._waiting.clear()


async def _awaited(answer: Any) -> None:
    await answer


def _is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
    )


def _fraction(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise UsageError(f"memory alerts: {name} must be a fraction above 0 and at most 1, not {value!r}")


def _limit(value: int | str | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(
            f"memory alerts: limit_bytes is a number of bytes or text such as '6 GiB', not {value!r}"
        )
    size = parse_bytes(value)
    if size <= 0:
        raise UsageError(f"memory alerts: limit_bytes must be above 0, not {value!r}")
    return size
