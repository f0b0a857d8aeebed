"""Watch the collector: every collection's pause, generation and yield, and a decorator that logs them.

The monitor is a subscription to the one owner of ``gc.callbacks`` (``collectors/gc_pauses.py``): while it
runs a collection costs about a microsecond more, and nothing is computed until somebody asks.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from memlab._base.units import format_bytes, format_seconds
from memlab.collectors import gc_pauses
from memlab.collectors.probe import Probe
from memlab.errors import KindError, UsageError
from memlab.records.gc_results import GcStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from pandas import DataFrame

    from memlab.records.gc_pauses import GcPauses

__all__ = ["GCMonitor", "gc_performance_monitor"]

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("memlab.gc")


class GCMonitor:
    """A watch over the collector of this process.

    The last 16,384 collections are kept; ``stats.dropped`` counts older ones. Several monitors may run at
    one time.

    Example:
        >>> import gc
        >>> with GCMonitor() as monitor:
        ...     unreachable = gc.collect()
        >>> stats = monitor.stats
        >>> stats.collections >= 1, stats.max_pause > 0, monitor.pauses.generation.tolist()[-1]
        (True, True, 2)
    """

    def __init__(self) -> None:
        self._subscription: gc_pauses.PauseSubscription | None = None

    def start(self) -> Self:
        """Begin to watch.

        Raises:
            UsageError: when it was started before, or the program replaced ``gc.callbacks``.
        """
        if self._subscription is not None:
            raise UsageError("watching the collector: this monitor was started before; make a new one")
        self._subscription = gc_pauses.subscribe()
        return self

    def stop(self) -> None:
        """End. What was seen can still be read; a second call does nothing."""
        if self._subscription is not None:
            self._subscription.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.stop()
        except BaseException:  # an interrupt on the way there
            self.stop()
            raise

    @property
    def record(self) -> GcPauses:
        """Every collection so far, as a value that can be shown, plotted over time and saved.

        Raises:
            UsageError: before it was started.
        """
        if self._subscription is None:
            raise UsageError("reading the collector's pauses: the monitor was not started")
        return self._subscription.read()

    @property
    def pauses(self) -> DataFrame:
        """Every collection so far as a table, one row each (needs pandas)."""
        return self.record.to_frame()

    @property
    def stats(self) -> GcStats:
        """The figures so far; its plot is a histogram of the pauses."""
        record = self.record
        return GcStats(
            pause_s=record.pause_s,
            generation=record.generation,
            collected=int(record.collected.sum()),
            uncollectable=int(record.uncollectable.sum()),
            lasted_s=record.lasted_s,
            dropped=record.dropped,
        )

    def plot_histogram(self, ax: Any = None) -> Any:
        """Draw how long pauses are, by generation, and return the axes (needs matplotlib)."""
        return self.stats.plot(ax)

    def plot_timeline(self, ax: Any = None) -> Any:
        """Draw when the pauses were, and return the axes (needs matplotlib)."""
        return self.record.plot(ax)


@overload
def gc_performance_monitor(func: Callable[P, R]) -> Callable[P, R]: ...
@overload
def gc_performance_monitor(
    func: None = None, *, logger: logging.Logger | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def gc_performance_monitor(func: Any = None, *, logger: logging.Logger | None = None) -> Any:
    """Log what the collector did during each call of a function or coroutine function.

    One line at level INFO on the logger ``memlab.gc``: collections by generation, pauses in all and the
    longest, objects collected, memory (RSS) before and after. Name, documentation, result and exceptions
    stay the function's own. What other threads and tasks cause meanwhile is in the figures too.

    Args:
        func: the function; left out when the decorator is called with options.
        logger: where to log instead.

    Raises:
        KindError: when what is decorated cannot be called.

    Example:
        >>> @gc_performance_monitor
        ... def work(n):
        ...     return [[] for _ in range(n)]
        >>> len(work(10)), work.__name__
        (10, 'work')
    """
    if func is None:
        return functools.partial(gc_performance_monitor, logger=logger)
    if not callable(func):
        raise KindError(f"watching a function's collections: a {type(func).__name__} cannot be called")
    name = getattr(func, "__qualname__", type(func).__name__)
    log = logger or _log
    if inspect.iscoroutinefunction(func):

        @functools.wraps(func)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with _Logged(name, log):
                return await func(*args, **kwargs)

        return coroutine

    @functools.wraps(func)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _Logged(name, log):
            return func(*args, **kwargs)

    return function


class _Logged:
    """One call: a monitor around it, and its line in the log."""

    __slots__ = ("_before", "_log", "_monitor", "_name")

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._name = name
        self._log = log
        self._monitor = GCMonitor()
        self._before: int | None = None

    def __enter__(self) -> None:
        self._before = _rss()
        self._monitor.start()

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._monitor.stop()
        if not self._log.isEnabledFor(logging.INFO):
            return
        stats, after = self._monitor.stats, _rss()
        self._log.info(
            "%s%s: collections %s, pauses %s in all, %s at most, %s objects collected, memory %s -> %s",
            self._name,
            f" (raised {kind.__name__})" if kind is not None else "",
            "/".join(str(count) for count in stats.by_generation.values()),
            format_seconds(stats.total_pause),
            format_seconds(stats.max_pause or 0.0),
            f"{stats.collected:,}",
            *(format_bytes(size) if size is not None else "not known" for size in (self._before, after)),
        )


def _rss() -> int | None:
    with Probe() as probe:
        return probe.value("rss_bytes")
