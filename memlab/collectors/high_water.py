"""The exact peak of a region, from the kernel's resettable high-water mark.

Linux keeps the greatest RSS of a process (``VmHWM``) and sets it back to the present RSS when 5 is written
to ``/proc/self/clear_refs``. One bookkeeper for the process makes this serve many regions at once: before
each reset it folds the mark into every region that is open, so that nested and parallel regions stay
exact. No spike is missed, however short, and whoever holds the GIL. Where the file cannot be written (some
containers, other systems) a sampler takes over, and the peak says ``sampled``.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Self

from memlab.collectors.probe import Files, Probe, ProcFiles, status_bytes
from memlab.collectors.sampler import Sampler
from memlab.errors import UnavailableError, UsageError
from memlab.records.capture import Peak

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HighWaterMark", "Region", "process_wide_mark", "region"]

_RESET_PEAK = b"5"
_SLACK_BYTES = 16 * 1024 * 1024
_FALLBACK_INTERVAL_S = 0.001


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


class Region:
    """A stretch of code whose peak is wanted. Made by ``region()``; begins in ``with`` or by ``start``.

    Attributes:
        reason: why the peak is sampled, or absent; empty when it is exact.
    """

    def __init__(
        self,
        exact: bool = True,
        interval_s: float = _FALLBACK_INTERVAL_S,
        bookkeeper: Callable[[], HighWaterMark] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.reason = "" if exact else "exact=False was asked for"
        self._exact = exact
        self._interval_s = interval_s
        self._bookkeeper = bookkeeper or process_wide_mark
        self._probe = probe
        self._owner: HighWaterMark | None = None
        self._mark: _Mark | None = None
        self._sampler: Sampler | None = None
        self._peak: Peak | None = None
        self._state = "new"

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
            if self._exact:
                self._start_exact()
            if self._mark is None:
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
                self._peak = self._stop_exact() if self._mark is not None else self._stop_sampled()
                self._state = "ended"
        finally:
            self.cancel()  # does nothing, unless an interrupt struck
        return self._peak

    def _start_exact(self) -> None:
        try:
            self._owner = self._bookkeeper()
            self._mark = self._owner.begin()
        except UnavailableError as error:
            self.reason = str(error)

    def _stop_exact(self) -> Peak | None:
        assert self._owner is not None
        assert self._mark is not None
        if self._owner.pid != os.getpid():
            self.reason = "the region was begun before a fork, by the parent process"
            return None
        try:
            greatest = self._owner.end(self._mark)
        except UnavailableError as error:
            self.reason = str(error)
            return None
        return Peak(greatest, self._mark.start, "vmhwm")

    def _stop_sampled(self) -> Peak | None:
        assert self._sampler is not None
        timeline = self._sampler.stop()
        column = timeline.metrics.get("rss_bytes")
        if column is None or not len(column):
            self.reason = timeline.absent.get("rss_bytes", "RSS was never read")
            return None
        return Peak(int(column.max()), int(column[0]), "sampled")

    def cancel(self) -> None:
        """Give the region up: it has no peak. Does nothing after ``stop``."""
        if self._state == "ended":
            return
        self._state = "ended"
        self.reason = "the region was cut short"
        self._mark = None  # the bookkeeper's reference is weak
        if self._sampler is not None:
            self._sampler.cancel()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def region(*, exact: bool = True, interval_s: float = _FALLBACK_INTERVAL_S) -> Region:
    """Measure the greatest RSS of a stretch of code.

    The peak holds what the process had before, and not: memory that the stretch took again from the
    allocator's own cache (malloc keeps freed blocks of up to 32 MiB), and pages that it never touched. The
    kernel counts pages in batches for each CPU, so a figure may be off by some 100 KiB. Setting the mark
    back lowers ``ru_maxrss`` and ``VmHWM`` for every other reader in the process.

    Args:
        exact: use the kernel's mark; False leaves it alone and samples.
        interval_s: seconds between two samples, where it is sampled.

    Example:
        >>> with region() as stretch:
        ...     block = bytes(8 * 1024 * 1024)
        >>> stretch.peak.source in ("vmhwm", "sampled"), stretch.peak.increment_bytes >= 0
        (True, True)
    """
    return Region(exact, interval_s)


_bookkeeper = HighWaterMark()


def process_wide_mark() -> HighWaterMark:
    """The mark is the process's, so its bookkeeper is too; a forked child gets one of its own."""
    global _bookkeeper  # noqa: PLW0603 - one owner for a process-wide resource
    if _bookkeeper.pid != os.getpid():
        _bookkeeper = HighWaterMark()
    return _bookkeeper
