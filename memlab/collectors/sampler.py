"""Memory over time, read by a daemon thread into columns.

The thread takes a reading at each multiple of the interval and writes it into arrays that were allocated
before. When the bound on samples is reached, each four rows become two that hold every column's least and
greatest value, and from then on each two readings go in as such a pair: resolution halves, no peak is lost,
and a recording of any length fits. The thread holds no reference to its Sampler, so one that is forgotten
ends. A thread samples nothing while C code holds the GIL; a reader that must see that takes the place of
``Sampler`` behind the same three names: ``start``, ``stop``, ``is_alive``.
"""

from __future__ import annotations

import atexit
import datetime as dt
import math
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from memlab.collectors.probe import Probe
from memlab.errors import UnavailableError, UsageError
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.collectors.probe import Metric
    from memlab.records.columns import Floats, Ints

__all__ = ["Columns", "Sampler", "envelope"]

_FIRST_ROWS = 1024
_GROUP = 4
_PATIENCE_S = 0.25
_INTERVALS = 3
_JOIN_S = 10.0
_EXIT_S = 1.0


class Sampler:
    """Samples the own process from a thread. Use it in ``with``, or call ``start`` and ``stop``.

    Args:
        interval_s: seconds between two readings.
        metrics: what to read, see ``Probe``. The first decides which moments are kept when samples are
            thinned. One that cannot be read is in ``Timeline.absent`` with the reason.
        max_samples: bound on rows kept, at least 16.
        probe: the reader. Default: one of its own, closed when sampling stops.

    Attributes:
        failure: what ended the sampling early, None while all is well. Never raised into the program.

    Example:
        >>> with Sampler(interval_s=0.001) as sampler:
        ...     squares = [n * n for n in range(10_000)]
        >>> timeline = sampler.timeline
        >>> timeline.high_water_mark("rss_bytes") > 0, len(timeline) >= 2
        (True, True)
    """

    def __init__(
        self,
        interval_s: float = 0.01,
        metrics: Sequence[str] = ("rss_bytes", "allocated_blocks"),
        max_samples: int = 100_000,
        probe: Probe | None = None,
    ) -> None:
        if not (math.isfinite(interval_s) and interval_s > 0):
            raise UsageError(f"sampling: interval_s must be a number of seconds above 0, not {interval_s!r}")
        if max_samples < 4 * _GROUP:
            raise UsageError(f"sampling: max_samples must be at least {4 * _GROUP}, not {max_samples!r}")
        self.interval_s = float(interval_s)
        self._metrics = tuple(metrics)
        self._max_samples = max_samples
        self._given = probe
        self._worker: _Worker | None = None
        self._timeline: Timeline | None = None

    def start(self) -> Self:
        """Take the first sample and begin.

        Raises:
            UsageError: when it has been started before.
        """
        if self._worker is not None:
            raise UsageError("sampling: this sampler was started before; make a new one")
        try:
            self._worker = _Worker(
                self.interval_s, self._metrics, self._max_samples, self._given or Probe(), self._given is None
            )
            self._worker.begin()
        except BaseException:
            self.cancel()
            raise
        return self

    def stop(self) -> Timeline:
        """Take the last sample, end the thread and return all samples. A second call returns the same.

        In a forked child, which has no such thread, this returns what was sampled before the fork.

        Raises:
            UsageError: when it has never been started.
        """
        worker = self._worker
        if worker is None:
            raise UsageError("sampling: not started")
        try:
            if self._timeline is None:
                worker.end()
                self._timeline = worker.timeline()
        finally:
            worker.end()  # finishes what an interrupt cut short
        return self._timeline

    @property
    def timeline(self) -> Timeline:
        """What was sampled.

        Raises:
            UsageError: while it is still sampling.
        """
        if self._timeline is None:
            raise UsageError("sampling: the timeline is there after stop()")
        return self._timeline

    @property
    def is_alive(self) -> bool:
        """Tell whether a reading was taken within the last three intervals (at least 0.25 s)."""
        return self._worker is not None and self._worker.ticks()

    @property
    def now_s(self) -> float:
        """Seconds since the first sample, by the sampler's clock."""
        return self._worker.now_s() if self._worker is not None else 0.0

    @property
    def failure(self) -> BaseException | None:
        """What ended the sampling early."""
        return self._worker.failure if self._worker is not None else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.stop()
        finally:
            self.cancel()

    def __del__(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Ask the thread to end, without waiting for it; does nothing after ``stop``."""
        worker = getattr(self, "_worker", None)
        if worker is not None:
            worker.abandon()


class _Worker:
    """What the thread needs, without the Sampler, so that a forgotten Sampler can end it."""

    def __init__(
        self, interval_s: float, metrics: Sequence[str], max_samples: int, probe: Probe, owns_probe: bool
    ) -> None:
        self.interval_s = interval_s
        self.failure: BaseException | None = None
        self._probe = probe
        self._owns_probe = owns_probe
        self._clock = probe.clock
        self._pid = os.getpid()
        self._stopping = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._absent: dict[str, str] = {}
        self._columns: Columns
        self._metrics: list[Metric] = self._answering(metrics)
        self._columns = Columns(len(self._metrics), max_samples)
        self._started_at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._origin = self._last_tick = self._clock()

    def _answering(self, names: Sequence[str]) -> list[Metric]:
        found = []
        for name in names:
            try:
                found.append(self._probe.metric(name))
            except UnavailableError as error:
                self._absent[name] = str(error)
        return found

    def begin(self) -> None:
        self._read(self._origin)
        _end_at_exit(self)
        self._thread = threading.Thread(target=self._run, name="memlab-sampler", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system gives no more threads: the program goes on without us
            self.failure = error

    def end(self) -> None:
        """End the thread and take a last sample; does nothing the second time, or in a forked child."""
        if self._ended or os.getpid() != self._pid:
            return
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        if self.failure is None and not (thread is not None and thread.is_alive()):
            self._guarded_read()
        self._ended = True
        self._let_go()

    def abandon(self) -> None:
        """Ask the thread to end, without waiting for it; the thread itself does the rest."""
        if os.getpid() == self._pid and not self._ended:
            self._stopping.set()
            if self._thread is None or not self._thread.is_alive():
                self._let_go()

    def end_before_exit(self) -> None:
        """End the thread, without a last sample: there is nobody to read it."""
        self.abandon()
        if os.getpid() == self._pid and self._thread is not None and self._thread.ident is not None:
            self._thread.join(_EXIT_S)

    def ticks(self) -> bool:
        thread = self._thread
        patience = max(_INTERVALS * self.interval_s, _PATIENCE_S)
        return (
            os.getpid() == self._pid
            and self.failure is None
            and thread is not None
            and thread.is_alive()
            and self._clock() - self._last_tick <= patience
        )

    def now_s(self) -> float:
        return max(0.0, self._clock() - self._origin)

    def timeline(self) -> Timeline:
        times, columns = self._columns.finished()
        return Timeline(
            time_s=times,
            metrics={m.name: column for m, column in zip(self._metrics, columns, strict=True)},
            sources={m.name: m.source for m in self._metrics},
            absent=dict(self._absent),
            started_at=self._started_at,
        )

    def _run(self) -> None:
        due = self._origin
        while True:
            # A reading that came late moves the schedule on: there is no burst to catch up.
            due = max(due + self.interval_s, self._clock())
            if self._stopping.wait(max(0.0, due - self._clock())):
                break
            if not self._guarded_read():
                break
        if self._stopping.is_set():
            self._let_go()

    def _guarded_read(self) -> bool:
        try:
            self._read(self._clock())
        except Exception as error:  # noqa: BLE001 - kept for the owner, never raised into the program
            error.__traceback__ = None
            self.failure = error
            return False
        return True

    def _read(self, now: float) -> None:
        values: list[int] = []
        for metric in tuple(self._metrics):
            try:
                values.append(metric.read())
            except UnavailableError as error:
                self._drop(metric, f"stopped answering after {now - self._origin:.3f} s: {error}")
        self._columns.append(now - self._origin, values)
        self._last_tick = now

    def _drop(self, metric: Metric, reason: str) -> None:
        # A column with a hole would have to be filled with something that was never read.
        self._columns.drop(self._metrics.index(metric))
        self._metrics.remove(metric)
        self._absent[metric.name] = reason

    def _let_go(self) -> None:
        if self._owns_probe:
            self._probe.close()


_running: weakref.WeakSet[_Worker] = weakref.WeakSet()
_hooks: list[object] = []


def _end_at_exit(worker: _Worker) -> None:
    """End the thread before the interpreter does. One hook serves all: a hook taken back leaves its slot."""
    _running.add(worker)
    if not _hooks:
        _hooks.append(atexit.register(_end_all))


def _end_all() -> None:
    for worker in tuple(_running):
        worker.end_before_exit()


class Columns:
    """Growing columns with a bound, thinned by ``envelope`` when it is reached."""

    def __init__(self, width: int, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows = 0
        self._readings_per_pair = 1
        self._pending = 0
        capacity = min(_FIRST_ROWS, max_rows)
        self._times = np.zeros(capacity, dtype=np.float64)
        self._values = np.zeros((width, capacity), dtype=np.int64)
        self._pending_times = np.zeros(2, dtype=np.float64)
        self._pending_values = np.zeros((width, 2), dtype=np.int64)

    def append(self, time_s: float, values: Sequence[int]) -> None:
        """Add a reading."""
        if self._readings_per_pair == 1:
            self._put(time_s, values)
            return
        at = self._pending
        self._pending_times[at] = time_s
        self._pending_values[:, at] = values
        self._pending = at + 1
        if self._pending == len(self._pending_times):
            self._flush()

    def drop(self, column: int) -> None:
        """Leave a column out from now on."""
        self._values = np.delete(self._values, column, axis=0)
        self._pending_values = np.delete(self._pending_values, column, axis=0)

    def finished(self) -> tuple[Floats, list[Ints]]:
        """Return the time column and the value columns, without the unused space."""
        self._flush()
        rows = self._rows
        return floats(self._times[:rows]), [ints(column[:rows]) for column in self._values]

    def _put(self, time_s: float, values: Any) -> None:
        if self._rows == len(self._times):
            self._make_room()
        self._times[self._rows] = time_s
        self._values[:, self._rows] = values
        self._rows += 1

    def _make_room(self) -> None:
        capacity = len(self._times)
        if capacity < self._max_rows:
            more = min(capacity, self._max_rows - capacity)
            self._times = np.concatenate([self._times, np.zeros(more)])
            extra = np.zeros((len(self._values), more), dtype=np.int64)
            self._values = np.concatenate([self._values, extra], axis=1)
            return
        times, values = envelope(self._times, self._values, _GROUP)
        self._rows = len(times)
        self._times[: self._rows] = times
        self._values[:, : self._rows] = values
        self._readings_per_pair *= 2
        self._pending = 0
        self._pending_times = np.zeros(2 * self._readings_per_pair, dtype=np.float64)
        self._pending_values = np.zeros((len(values), 2 * self._readings_per_pair), dtype=np.int64)

    def _flush(self) -> None:
        pending, self._pending = self._pending, 0
        if not pending:
            return
        times, values = self._pending_times[:pending], self._pending_values[:, :pending]
        times, values = envelope(times, values, max(pending, 2), keep_first=False)
        for at, moment in enumerate(times):
            self._put(float(moment), values[:, at])


def envelope(times: Floats, values: Ints, group: int, keep_first: bool = True) -> tuple[Floats, Ints]:
    """Thin rows: each ``group`` of them becomes two, which hold every column's least and greatest value.

    Each column keeps its pair in the order in which the two came. The moments kept are those of the first
    column's pair; a value of another column may have been read anywhere in its group. The very first row
    stays as it is, and so do the last rows that fill no group.

    Args:
        times: shape ``(rows,)``, seconds, never decreasing.
        values: shape ``(columns, rows)``.
        group: rows in a group, at least 2.
        keep_first: False groups the first row as well.
    """
    head = 1 if keep_first else 0
    groups = (len(times) - head) // group
    tail = head + groups * group
    if not groups:
        return times, values
    blocks = values[:, head:tail].reshape(len(values), groups, group)
    low, high = blocks.argmin(axis=2), group - 1 - blocks[:, :, ::-1].argmax(axis=2)
    pairs = np.sort(np.stack([low, high], axis=2), axis=2)
    thinned = np.take_along_axis(blocks, pairs, axis=2).reshape(len(values), 2 * groups)
    moments = times[head:tail].reshape(groups, group)
    chosen = pairs[0] if len(values) else np.tile([0, group - 1], (groups, 1))
    kept = np.take_along_axis(moments, chosen, axis=1).reshape(2 * groups)
    return (
        np.concatenate([times[:head], kept, times[tail:]]),
        np.concatenate([values[:, :head], thinned, values[:, tail:]], axis=1),
    )
