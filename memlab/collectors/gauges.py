"""Memory read again and again in small stretches: the value now, and how high it stood in between.

RSS comes from ``statm``. How high it stood in between is the kernel's high-water mark, read the cheap way:
``getrusage`` tells it in a microsecond, where ``/proc/self/status`` takes twenty. That call never falls
below what the process's parent used before it became this program, so where that is higher, ``status`` is
read instead, and only when a page was faulted in, without which RSS cannot rise. And the mark is set back
only when it stands above the present value, so that code which frees nothing pays for no reset. Marks are
shared with all open regions through their bookkeeper (``high_water``).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from memlab.collectors.high_water import process_wide_mark
from memlab.collectors.probe import Probe
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.collectors.high_water import HighWaterMark

__all__ = ["BACKENDS", "Gauge", "RssGauge", "TracedGauge", "ValueGauge", "make_gauge"]

BACKENDS = ("psutil", "psutil_pss", "psutil_uss", "posix", "tracemalloc")
"""memory_profiler's names. ``psutil`` and ``posix`` both mean RSS."""

_SLACK_BYTES = 128 * 1024
"""The kernel counts pages in batches: a mark this little above the value is no spike."""
_KIB = 1024


class Gauge(Protocol):
    """What a stretch of code is measured with.

    Attributes:
        metric: name of what is read, as a ``Probe`` has it.
        source: where it is read.
        peak_source: where the peak between two readings comes from; empty where there is none.
        reason: why there is no such peak.
    """

    metric: str
    source: str
    peak_source: str
    reason: str

    def start(self) -> None:
        """Begin."""

    def read(self) -> tuple[int, int]:
        """Return the value now, and its greatest since the last reading (itself, where that is not known)."""

    def stop(self) -> None:
        """End; a second call does nothing."""


class RssGauge:
    """RSS of the own process, and its exact peak between two readings where the kernel keeps one.

    Args:
        exact: use the kernel's mark; False leaves it alone.
        probe: the reader. Default: one of its own.
        bookkeeper: who shares the mark. Default: the process's.
    """

    metric = "rss_bytes"

    def __init__(
        self,
        exact: bool = True,
        probe: Probe | None = None,
        bookkeeper: Callable[[], HighWaterMark] = process_wide_mark,
    ) -> None:
        self.source = ""
        self.peak_source = ""
        self.reason = "" if exact else "exact=False was asked for"
        self._exact = exact
        self._probe = probe or Probe()
        self._bookkeeper = bookkeeper
        self._owner: HighWaterMark | None = None
        self._mark: Any = None
        self._last = 0
        self._faults = -1
        self._slack = _SLACK_BYTES
        self._floored = False
        self._rusage: Callable[[], tuple[int, int]] = _rusage()

    def start(self) -> None:
        """Begin.

        Raises:
            UnavailableError: when RSS cannot be read.
        """
        metric = self._probe.metric("rss_bytes")
        self.source = metric.source
        self._value = metric.read
        if self._exact:
            try:
                self._owner = self._bookkeeper()
                self._mark = self._owner.begin()
                self.peak_source = "vmhwm"
            except UnavailableError as error:
                self.reason = str(error)
        self._last = self._value()
        self._check_floor(self._last)

    def read(self) -> tuple[int, int]:
        """Return RSS and its greatest since the last reading."""
        try:
            value = self._last = self._value()
        except UnavailableError:  # the file was closed under our feet; the next reading opens it again
            return self._last, self._last
        if self._mark is None:
            return value, value
        mark, faults = self._rusage()
        if self._floored and faults != self._faults:
            self._faults = faults
            mark = self._peak_of_status()
        elif self._floored:
            mark = 0
        high = max(mark, self._mark.greatest)
        if high <= value + self._slack:
            return value, max(high, value)
        return value, self._set_back(value, high)

    def stop(self) -> None:
        """End."""
        self._mark = None  # the bookkeeper's reference is weak
        self._probe.close()

    def _set_back(self, value: int, high: int) -> int:
        assert self._owner is not None
        try:
            high = max(value, self._owner.restart(self._mark))
        except UnavailableError:
            self._mark = None
            self.peak_source = ""
            self.reason = "the kernel's high-water mark stopped answering"
            return high
        self._check_floor(value)
        return high

    def _check_floor(self, value: int) -> None:
        """Find out whether getrusage follows the mark down, and by how much the two differ at rest."""
        if self._mark is None:
            return
        mark, self._faults = self._rusage()
        self._floored = mark > value + 2 * _SLACK_BYTES
        self._slack = _SLACK_BYTES + (0 if self._floored else max(0, mark - value))

    def _peak_of_status(self) -> int:
        assert self._owner is not None
        try:
            return self._owner.current()
        except UnavailableError:
            return 0


class ValueGauge:
    """Any metric of a probe, without peaks between readings.

    Args:
        metric: its name.
        probe: the reader. Default: one of its own.
        reason: why there are no peaks.
    """

    peak_source = ""

    def __init__(self, metric: str, probe: Probe | None = None, reason: str = "") -> None:
        self.metric = metric
        self.source = ""
        self.reason = reason or "the kernel keeps no high-water mark of this metric"
        self._probe = probe or Probe()
        self._last = 0

    def start(self) -> None:
        """Begin.

        Raises:
            UnavailableError: when the metric cannot be read.
        """
        metric = self._probe.metric(self.metric)
        self.source = metric.source
        self._value = metric.read
        self._last = self._value()

    def read(self) -> tuple[int, int]:
        """Return the value, twice."""
        with contextlib.suppress(UnavailableError):
            self._last = self._value()
        return self._last, self._last

    def stop(self) -> None:
        """End."""
        self._probe.close()


class TracedGauge:
    """What tracemalloc has on its books, and its peak where nobody else uses that.

    tracemalloc is started when nobody traces and stopped again. Its peak is set back at each reading, so
    it is left alone where somebody else started the tracer.
    """

    metric = "traced_bytes"
    source = "tracemalloc"

    def __init__(self) -> None:
        self.peak_source = ""
        self.reason = ""
        self._tracing: Any = None
        self._module: Any = None

    def start(self) -> None:
        """Begin.

        Raises:
            UnavailableError: when memory cannot be traced here.
        """
        import tracemalloc

        from memlab.collectors.tracing import tracing

        alone = not tracemalloc.is_tracing()
        self._module = tracemalloc
        self._tracing = tracing(1)
        self._tracing.start()
        if alone:
            self.peak_source = "tracemalloc"
        else:
            self.reason = "somebody else started tracemalloc, whose peak is theirs"

    def read(self) -> tuple[int, int]:
        """Return the traced bytes and their greatest since the last reading."""
        value, high = self._module.get_traced_memory()
        if not self.peak_source:
            return value, value
        self._module.reset_peak()
        return value, max(value, high)

    def stop(self) -> None:
        """End."""
        if self._tracing is not None:
            self._tracing.stop()


def make_gauge(backend: str | None = None, include_children: bool = False, exact: bool = True) -> Gauge:
    """Return the gauge that a backend of memory_profiler's names.

    Args:
        backend: one of ``BACKENDS``; None means RSS.
        include_children: add the memory of all child processes.
        exact: use the kernel's high-water mark for peaks.

    Raises:
        UsageError: for another name, or children with ``tracemalloc``.
    """
    if backend not in (None, *BACKENDS):
        raise UsageError(f"there is no backend {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "tracemalloc":
        if include_children:
            raise UsageError("tracemalloc knows this process alone: leave out the children, or the backend")
        return TracedGauge()
    kind = {"psutil_pss": "pss_bytes", "psutil_uss": "uss_bytes"}.get(backend or "", "rss_bytes")
    if include_children:
        return ValueGauge(
            f"family_{kind}", reason="with child processes there is no mark that holds all of them"
        )
    return RssGauge(exact) if kind == "rss_bytes" else ValueGauge(kind)


def _rusage() -> Callable[[], tuple[int, int]]:
    """Return what reads the greatest RSS in bytes and the number of page faults."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows, where there is no mark either
        return lambda: (0, 0)

    def read() -> tuple[int, int]:
        used = getrusage(RUSAGE_SELF)
        return used[2] * _KIB, used[6] + used[7]

    return read
