"""The exact peak of a region, from the kernel's resettable high-water mark.

Linux keeps the greatest RSS of a process (``VmHWM``) and sets it back to the present RSS when 5 is written
to ``/proc/self/clear_refs``. One bookkeeper for the process makes this serve many regions at once: before
each reset it folds the mark into every region that is open, so that nested and parallel regions stay
exact. No spike is missed, however short, and whoever holds the GIL. Where the file cannot be written (some
containers, other systems) a sampler takes over, and the peak says ``sampled``.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from memlab._base.units import format_bytes
from memlab.collectors.probe import Files, Probe, ProcFiles, status_bytes
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.collectors.sampler import Sampler
    from memlab.records.capture import Peak

__all__ = ["Following", "HighWaterMark", "Measured", "Region", "process_wide_mark", "region", "unseen"]

Params = ParamSpec("Params")
Returned = TypeVar("Returned")

_RESET_PEAK = b"5"
_SLACK_BYTES = 16 * 1024 * 1024
_FALLBACK_INTERVAL_S = 0.001
_LEAST_SEEN = 1024 * 1024
_MOST_PEAKS = 1000


class HighWaterMark:
    """The bookkeeper of the process's one mark. ``region()`` uses the process-wide one.

    Args:
        files: the process's files. Default: ``/proc/self``.
    """

    def __init__(self, files: Files | None = None) -> None:
        self.pid = os.getpid()
        self._files = files or ProcFiles()
        # Re-entrant: a forgotten region may be collected while its thread is in here.
        self._lock = threading.RLock()
        self._open: weakref.WeakSet[_Mark] = weakref.WeakSet()
        self._greatest = 0

    def begin(self) -> _Mark:
        """Set the mark back and follow it for a new region.

        Raises:
            UnavailableError: when the mark cannot be read or set back here.
        """
        with self._lock:
            try:
                self._fold()
                self._files.write("clear_refs", _RESET_PEAK)
                status = self._files.read("status")
                rss, mark = status_bytes(status, b"VmRSS"), status_bytes(status, b"VmHWM")
            except (OSError, ValueError, IndexError) as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
                raise UnavailableError(f"the kernel's high-water mark cannot be set back: {reason}") from None
            if mark > rss + _SLACK_BYTES:
                raise UnavailableError("the kernel's high-water mark does not follow when it is set back")
            opened = _Mark(rss)
            self._open.add(opened)
            return opened

    def end(self, opened: _Mark) -> int:
        """Return the greatest RSS since ``begin`` in bytes, and follow it no longer.

        Raises:
            UnavailableError: when the mark cannot be read any more.
        """
        with self._lock:
            try:
                self._fold()
            except (OSError, ValueError, IndexError) as error:
                raise UnavailableError(f"the kernel's high-water mark cannot be read: {error}") from None
            finally:
                self._open.discard(opened)
            return opened.greatest

    def so_far(self, opened: _Mark) -> int:
        """Return the greatest RSS since ``begin`` in bytes, and go on following it.

        Raises:
            UnavailableError: when the mark cannot be read any more.
        """
        with self._lock:
            try:
                self._fold()
            except (OSError, ValueError, IndexError) as error:
                raise UnavailableError(f"the kernel's high-water mark cannot be read: {error}") from None
            return opened.greatest

    def restart(self, opened: _Mark) -> int:
        """Return the greatest RSS since the last restart in bytes, set the mark back and go on from there.

        Raises:
            UnavailableError: when the mark cannot be read or set back any more.
        """
        with self._lock:
            try:
                self._fold()
                self._files.write("clear_refs", _RESET_PEAK)
            except (OSError, ValueError, IndexError) as error:
                raise UnavailableError(f"the kernel's high-water mark cannot be set back: {error}") from None
            greatest, opened.greatest = opened.greatest, 0
            return greatest

    def current(self) -> int:
        """Return the mark in bytes as the kernel has it, since whoever set it back last.

        Raises:
            UnavailableError: when it cannot be read.
        """
        try:
            return status_bytes(self._files.read("status"), b"VmHWM")
        except (OSError, ValueError, IndexError) as error:
            raise UnavailableError(f"the kernel's high-water mark cannot be read: {error}") from None

    def process_peak(self) -> int:
        """Return the greatest RSS of the process in bytes, resets notwithstanding."""
        with self._lock:
            self._fold()
            return self._greatest

    @property
    def open_regions(self) -> int:
        """Number of regions that are followed."""
        return len(self._open)

    def _fold(self) -> None:
        mark = status_bytes(self._files.read("status"), b"VmHWM")
        self._greatest = max(self._greatest, mark)
        for opened in tuple(self._open):
            opened.greatest = max(opened.greatest, mark)


class _Mark:
    """Greatest RSS seen for one region. The bookkeeper refers to it weakly: a forgotten one vanishes."""

    __slots__ = ("__weakref__", "greatest", "start")

    def __init__(self, start: int) -> None:
        self.start = self.greatest = start


class Following:
    """The exact peak of a stretch, as plain numbers: what ``Region`` and a recording's spans are made of.

    Attributes:
        reason: why there is no exact peak; empty when there is one.
        note: what the peak does not show, where that is known to matter; else empty.
    """

    def __init__(self, exact: bool = True, bookkeeper: Callable[[], HighWaterMark] | None = None) -> None:
        self.reason = "" if exact else "exact=False was asked for"
        self.note = ""
        self._exact = exact
        self._bookkeeper = bookkeeper or process_wide_mark
        self._owner: HighWaterMark | None = None
        self._mark: _Mark | None = None
        self._traced = (0, 0)

    def start(self) -> bool:
        """Begin; tell whether the peak will be exact."""
        self._traced = _traced_memory()
        if self._exact:
            try:
                self._owner = self._bookkeeper()
                self._mark = self._owner.begin()
            except UnavailableError as error:
                self.reason = str(error)
        return self._mark is not None

    def stop(self) -> tuple[int, int] | None:
        """End, and return the greatest RSS and that at the start, in bytes; None where it is not exact."""
        owner, mark = self._owner, self._mark
        if owner is None or mark is None:
            return None
        if owner.pid != os.getpid():
            self.reason = "the region was begun before a fork, by the parent process"
            return None
        try:
            greatest = owner.end(mark)
        except UnavailableError as error:
            self.reason = str(error)
            return None
        finally:
            self._mark = None
        self.note = unseen(greatest - mark.start, self._traced, _traced_memory())
        return greatest, mark.start

    def so_far(self) -> tuple[int, int] | None:
        """Return the greatest RSS until now and that at the start, and go on; None where it is not exact."""
        owner, mark = self._owner, self._mark
        if owner is None or mark is None or owner.pid != os.getpid():
            return None
        try:
            return owner.so_far(mark), mark.start
        except UnavailableError:
            return None

    def cancel(self) -> None:
        """Follow it no longer."""
        self._mark = None  # the bookkeeper's reference is weak


def unseen(increment: int, before: tuple[int, int], after: tuple[int, int]) -> str:
    """Say what an increment of RSS does not show; empty where nothing is known to be missing.

    Args:
        increment: how far RSS rose, in bytes.
        before: traced memory and its peak when the stretch began, (0, 0) when nothing was traced.
        after: the same when it ended.

    >>> unseen(30_000_000, (0, 0), (0, 0))
    ''
    >>> unseen(0, (1_000_000, 1_000_000), (1_000_000, 51_000_000)).split(":")[0]
    'tracemalloc saw 47.7 MiB more at once than RSS rose'
    """
    rose = after[1] - before[0] if after[1] > before[1] else 0
    hidden = "memory came again from the allocator's own cache, or its pages were never touched"
    if rose > increment + _LEAST_SEEN:
        return (
            f"tracemalloc saw {format_bytes(rose - max(0, increment))} more at once than RSS rose: {hidden}"
        )
    if increment < _LEAST_SEEN:
        return (
            f"RSS rose by less than {format_bytes(_LEAST_SEEN)}: what was taken again from the allocator's "
            "own cache does not show in it, nor do pages that were never touched"
        )
    return ""


def _traced_memory() -> tuple[int, int]:
    tracer = sys.modules.get("tracemalloc")
    return tracer.get_traced_memory() if tracer is not None and tracer.is_tracing() else (0, 0)


class Region:
    """A stretch of code whose peak is wanted. Made by ``region()``; begins in ``with`` or by ``start``.

    In ``with``, by ``start`` and ``stop``, by ``call``, or as a decorator, which measures each call anew.
    """

    def __init__(
        self,
        exact: bool = True,
        interval_s: float = _FALLBACK_INTERVAL_S,
        bookkeeper: Callable[[], HighWaterMark] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self._exact = exact
        self._interval_s = interval_s
        self._following = Following(exact, bookkeeper)
        self._probe = probe
        self._sampler: Sampler | None = None
        self._peak: Peak | None = None
        self._state = "new"
        self._why = ""

    @property
    def reason(self) -> str:
        """Why the peak is sampled, or absent; empty when it is exact."""
        return self._why or self._following.reason

    @property
    def note(self) -> str:
        """What the peak does not show, where that is known to matter; else empty."""
        return self._following.note

    @property
    def peak(self) -> Peak | None:
        """The peak, after the region has ended; None when it could not be read (see ``reason``).

        Raises:
            UsageError: while the region has not ended.
        """
        if self._state != "ended":
            raise UsageError("reading a peak: the region has not ended yet")
        return self._peak

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it has begun before.
        """
        if self._state != "new":
            raise UsageError("starting a region: this one has begun before; make a new one")
        try:
            self._state = "open"
            if not self._following.start():
                from memlab.collectors.sampler import Sampler

                self._sampler = Sampler(self._interval_s, ("rss_bytes",), probe=self._probe)
                self._sampler.start()
        except BaseException:
            self.cancel()
            raise
        return self

    def stop(self) -> Peak | None:
        """End, and return the peak. A second call returns the same.

        Raises:
            UsageError: when it has not begun.
        """
        if self._state == "new":
            raise UsageError("ending a region: it has not begun")
        try:
            if self._state == "open":
                self._peak = self._stop_exact() if self._sampler is None else self._stop_sampled()
                self._state = "ended"
        finally:
            self.cancel()  # does nothing, unless an interrupt struck
        return self._peak

    def _stop_exact(self) -> Peak | None:
        found = self._following.stop()
        if found is None:
            return None
        from memlab.records.capture import Peak  # only now: this brings numpy, which is not the region's

        return Peak(*found, "vmhwm")

    def _stop_sampled(self) -> Peak | None:
        assert self._sampler is not None
        timeline = self._sampler.stop()
        column = timeline.metrics.get("rss_bytes")
        if column is None or not len(column):
            self._why = timeline.absent.get("rss_bytes", "RSS was never read")
            return None
        from memlab.records.capture import Peak

        return Peak(int(column.max()), int(column[0]), "sampled")

    def cancel(self) -> None:
        """Give the region up: it has no peak. Does nothing after ``stop``."""
        if self._state == "ended":
            return
        self._state = "ended"
        self._why = "the region was cut short"
        self._following.cancel()
        if self._sampler is not None:
            self._sampler.cancel()

    def call(self, func: Callable[Params, Returned], *args: Params.args, **kwargs: Params.kwargs) -> Returned:
        """Call once, within the region, and return what it returns; the peak is then in ``peak``."""
        with self:
            return func(*args, **kwargs)

    def __call__(self, func: Callable[Params, Returned]) -> Measured[Params, Returned]:
        """Decorate a function or coroutine function: each call is measured, see ``Measured``.

        Raises:
            UsageError: for a generator function, whose call runs none of its code.
        """
        if self._state != "new":
            raise UsageError("decorating a function: this region has begun before; make a new one")
        return Measured(func, self._exact, self._interval_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class Measured(Generic[Params, Returned]):
    """A function whose calls are measured. It takes, returns and raises what the function does.

    Attributes:
        peaks: the peaks of the last 1,000 calls, oldest first; None for one that could not be read.
    """

    def __init__(self, func: Callable[Params, Returned], exact: bool, interval_s: float) -> None:
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise UsageError(
                "measuring a function: a generator's call runs none of its code; measure its user"
            )
        if not callable(func):
            raise UsageError(f"measuring a function: needs a function, not {type(func).__name__}")
        functools.update_wrapper(self, func)
        self._func = func
        self._exact = exact
        self._interval_s = interval_s
        self.peaks: deque[Peak | None] = deque(maxlen=_MOST_PEAKS)
        if inspect.iscoroutinefunction(func):
            mark = getattr(inspect, "markcoroutinefunction", None)  # 3.12 and later
            if mark is not None:
                mark(self)

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Returned:
        """Call the function once, and keep the peak of the call."""
        if inspect.iscoroutinefunction(self._func):
            return self._awaited(*args, **kwargs)  # type: ignore[return-value]
        stretch = Region(self._exact, self._interval_s)
        try:
            with stretch:
                return self._func(*args, **kwargs)
        finally:
            self.peaks.append(stretch.peak)

    async def _awaited(self, *args: Params.args, **kwargs: Params.kwargs) -> Any:
        stretch = Region(self._exact, self._interval_s)
        try:
            with stretch:
                return await self._func(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.peaks.append(stretch.peak)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)  # type: ignore[arg-type]


def region(*, exact: bool = True, interval_s: float = _FALLBACK_INTERVAL_S) -> Region:
    """Measure the greatest RSS of a stretch of code.

    The peak holds what the process had before, and not: memory that the stretch took again from the
    allocator's own cache (malloc keeps freed blocks of up to 32 MiB), and pages that it never touched. The
    kernel counts pages in batches for each CPU, so a figure may be off by some 100 KiB. Setting the mark
    back lowers ``ru_maxrss`` and ``VmHWM`` for every other reader in the process. What the peak is known not
    to show stands in ``note``, e.g. when nothing rose although tracemalloc saw memory being taken.

    Args:
        exact: use the kernel's mark; False leaves it alone and samples.
        interval_s: seconds between two samples, where it is sampled.

    Example:
        >>> with region() as stretch:
        ...     block = bytes(8 * 1024 * 1024)
        >>> stretch.peak.source in ("vmhwm", "sampled"), stretch.peak.increment_bytes >= 0
        (True, True)
        >>> @region()
        ... def load(size):
        ...     return bytes(size)
        >>> len(load(1000)), len(load(2000)), len(load.peaks)
        (1000, 2000, 2)
    """
    return Region(exact, interval_s)


_bookkeeper = HighWaterMark()


def process_wide_mark() -> HighWaterMark:
    """The mark is the process's, so its bookkeeper is too; a forked child gets one of its own."""
    global _bookkeeper  # noqa: PLW0603 - one owner for a process-wide resource
    if _bookkeeper.pid != os.getpid():
        _bookkeeper = HighWaterMark()
    return _bookkeeper
