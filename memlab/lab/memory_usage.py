"""``memory_usage``, with the arguments and the answers of memory_profiler's function of that name.

Other than there: a function runs exactly once, in this process and beside no fork; its exception passes
through and the caller's child processes live on; ``max_usage`` is the kernel's own mark where there is one.
All figures are in MiB, as people know them.
"""

from __future__ import annotations

import math
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from memlab.collectors.gauges import BACKENDS, TracedGauge
from memlab.collectors.high_water import Region
from memlab.collectors.others import Outside
from memlab.collectors.sampler import Sampler
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["memory_usage"]

_MIB = 1024 * 1024
_FINEST_S = 0.001
_MOST_SAMPLES = 1_000_000
_MOST_PARTS = 3
_FLUSH_EVERY = 50
_METRICS = {
    "psutil": "rss_bytes",
    "posix": "rss_bytes",
    "psutil_pss": "pss_bytes",
    "psutil_uss": "uss_bytes",
    "tracemalloc": "traced_bytes",
}


def memory_usage(  # noqa: PLR0917 - memory_profiler's signature
    proc: Any = -1,
    interval: float = 0.1,
    timeout: float | None = None,
    timestamps: bool = False,
    include_children: bool = False,
    multiprocess: bool = False,
    max_usage: bool = False,
    retval: bool = False,
    stream: Any = None,
    backend: str | None = None,
    max_iterations: int | None = None,  # noqa: ARG001 - memory_profiler's: a function runs once here
) -> Any:
    """Measure a function, this process, another process, or a program that was started, over time.

    Args:
        proc: what to measure. A function, or a tuple ``(f, args, kw)`` (``args`` and ``kw`` may be left
            out): it is called once. A process number, as int or text, or -1 for this process: one figure,
            or those of ``timeout`` seconds. A ``subprocess.Popen``: until it ends.
        interval: seconds between two figures.
        timeout: seconds after which measuring ends; a function goes on to its end.
        timestamps: give pairs of the figure and the time (``time.time()``).
        include_children: add all child processes; the sum counts shared pages in each.
        multiprocess: give for each moment a list: the process, then each of its children.
        max_usage: give the greatest figure alone: exact for this process and for a ``Popen`` where the
            kernel keeps a mark (Linux), else of the samples, a lower bound.
        retval: give a pair: the figures, and what the function returned.
        stream: write the figures there as mprof does (``MEM 12.345678 1700000000.1234``), and give None.
        backend: ``psutil`` (RSS; default), ``psutil_pss``, ``psutil_uss``, ``posix`` (RSS) or
            ``tracemalloc`` (Python's own allocations in this process, while a function runs).
        max_iterations: taken for compatibility. memory_profiler ran a quick function up to seven times.

    Returns:
        A list of figures in MiB. The first one of a function is from before it ran, the last from after.

    Raises:
        UsageError: for something that cannot be measured, or a number that makes no sense.
        UnavailableError: when there is no such process, or it cannot be read.

    Example:
        >>> used, total = memory_usage((sum, ([1, 2, 3],)), retval=True)
        >>> total, len(used) >= 2, used[0] > 1
        (6, True, True)
    """
    if not _is_positive(interval):
        raise UsageError(f"memory_usage: interval must be a number of seconds above 0, not {interval!r}")
    if timeout is not None and not _is_positive(timeout):
        raise UsageError(
            f"memory_usage: timeout must be a number of seconds above 0 or None, not {timeout!r}"
        )
    if backend not in (None, *BACKENDS):
        raise UsageError(f"memory_usage: no backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    metric = _METRICS[backend or "psutil"]
    timestamps = timestamps or stream is not None
    call = _as_call(proc)
    if call is not None:
        function = _Function(metric, interval, timeout, include_children)
        returned = function.run(*call)
        used = function.figures(timestamps, max_usage)
        if stream is not None:
            _write(stream, [used] if max_usage else used)
            used = None
        return (used, returned) if retval else used
    watch = _Watch(metric, interval, include_children, multiprocess and not max_usage, timestamps)
    is_program = isinstance(proc, subprocess.Popen)
    steps = watch.program(proc, timeout) if is_program else watch.process(_pid_of(proc), timeout)
    if max_usage:
        return watch.greatest(steps, proc if is_program else None)
    if stream is not None:
        _stream_out(steps, stream)
        return None
    return [figure for figure, _ in steps]


class _Function:
    """One call of a function, and its figures."""

    def __init__(self, metric: str, interval: float, timeout: float | None, children: bool) -> None:
        if metric == "traced_bytes" and children:
            raise UsageError("memory_usage: tracemalloc knows this process alone; leave out the children")
        self._metric = f"family_{metric}" if children else metric
        self._timeout = timeout
        self._interval = interval
        self._sampler = Sampler(interval, (self._metric,), _MOST_SAMPLES)
        # With children it is a lower bound: the process alone may have stood higher between two samples.
        self._region = Region(interval_s=min(interval, _FINEST_S)) if metric == "rss_bytes" else None
        self._traced_peak = 0
        self._began = 0.0

    def run(self, function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        """Call it once; what it raises passes through."""
        if self._metric == "traced_bytes":
            gauge = TracedGauge()
            gauge.start()
            try:
                gauge.read()
                return self._measured(function, args, keywords)
            finally:
                self._traced_peak = gauge.read()[1]
                gauge.stop()
        return self._measured(function, args, keywords)

    def figures(self, timestamps: bool, max_usage: bool) -> Any:
        """Return the figures in MiB."""
        timeline = self._sampler.timeline
        column = timeline.metrics.get(self._metric)
        if column is None:
            raise UnavailableError(f"memory_usage: {timeline.absent.get(self._metric, 'nothing was read')}")
        pairs = [
            (value / _MIB, self._began + at)
            for value, at in zip(column.tolist(), timeline.time_s.tolist(), strict=True)
            if self._timeout is None or at <= self._timeout or at == 0
        ]
        if not max_usage:
            return pairs if timestamps else [value for value, _ in pairs]
        greatest = max(pairs)
        region = self._region.peak if self._region is not None else None
        peak = (self._traced_peak if region is None else region.value_bytes) / _MIB
        if peak > greatest[0] and self._timeout is None:
            greatest = (peak, greatest[1])
        return greatest if timestamps else greatest[0]

    def _measured(self, function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        self._began = time.time()
        with self._sampler:
            if self._region is None:
                return function(*args, **keywords)
            with self._region:
                return function(*args, **keywords)


class _Watch:
    """Figures of a process from outside, or of this one between two moments."""

    def __init__(
        self, metric: str, interval: float, children: bool, each_child: bool, timestamps: bool
    ) -> None:
        if metric == "traced_bytes":
            raise UsageError("memory_usage: the backend tracemalloc measures a function; name one")
        self._metric = metric
        self._interval = interval
        self._children = children
        self._each_child = each_child
        self._timestamps = timestamps

    def process(self, pid: int, timeout: float | None) -> Iterator[tuple[Any, list[tuple[int, float]]]]:
        """Give one figure, or those of ``timeout`` seconds."""
        count = 1 if timeout is None else max(1, round(timeout / self._interval))
        with Outside(pid, self._metric) as outside:
            for number in range(count):
                if number:
                    time.sleep(self._interval)
                figure = self._figure(outside)
                if figure is None:
                    if not number:
                        raise UnavailableError(f"memory_usage: process {pid} has ended")
                    return
                yield figure

    def program(self, proc: Any, timeout: float | None) -> Iterator[tuple[Any, list[tuple[int, float]]]]:
        """Give figures until the program ends, or ``timeout`` seconds have passed."""
        count = math.inf if timeout is None else max(1, round(timeout / self._interval))
        number = 0
        with Outside(proc.pid, self._metric) as outside:
            while number < count and proc.poll() is None:
                figure = self._figure(outside)
                if figure is not None:  # else it ends just now
                    yield figure
                    number += 1
                _wait(proc, self._interval)

    def greatest(self, steps: Iterator[tuple[Any, Any]], program: Any) -> Any:
        """Return the greatest figure; -1 where there was none."""
        most: Any = -1
        pid = None if program is None or self._children or self._metric != "rss_bytes" else program.pid
        for figure, _ in steps:
            most = figure if most == -1 else max(most, figure)
            mark = Outside.high_water(pid) if pid is not None else None
            if mark is not None:  # its whole life is what was asked for
                known = most[0] if self._timestamps else most
                if mark / _MIB > known:
                    most = (mark / _MIB, most[1]) if self._timestamps else mark / _MIB
        return most

    def _figure(self, outside: Outside) -> tuple[Any, list[tuple[int, float]]] | None:
        value = outside.read(self._children)
        if value is None:
            return None
        figure: Any = value / _MIB
        if self._timestamps:
            figure = (figure, time.time())
        parts = [(pid, size / _MIB) for pid, size in outside.children()] if self._each_child else []
        if self._each_child and not self._timestamps:
            figure = [figure, *(size for _, size in parts)]
        return figure, parts


def _as_call(proc: Any) -> tuple[Callable[..., Any], Any, Any] | None:
    if callable(proc):
        return proc, (), {}
    if not isinstance(proc, (list, tuple)):
        return None
    if not 1 <= len(proc) <= _MOST_PARTS or not callable(proc[0]):
        raise UsageError(
            "memory_usage: give a function as (f, args, kw), of which args and kw may be left out"
        )
    args = proc[1] if len(proc) > 1 else ()
    keywords = proc[2] if len(proc) == _MOST_PARTS else {}
    return proc[0], args, keywords


def _pid_of(proc: Any) -> int:
    try:
        pid = int(proc) if isinstance(proc, str) else proc
    except ValueError:
        pid = None
    if type(pid) is not int or (pid < 1 and pid != -1):
        raise UsageError(
            "memory_usage: give a function, a process number (-1 is this process) or a subprocess.Popen, "
            f"not {proc!r}" if isinstance(proc, (int, str)) else
            "memory_usage: give a function, a process number (-1 is this process) or a subprocess.Popen, "
            f"not {type(proc).__name__}"
        )  # fmt: skip
    return os.getpid() if pid == -1 else pid


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _wait(program: Any, seconds: float) -> None:
    """Wait for the interval, or for the program's end."""
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _write(stream: Any, pairs: list[tuple[float, float]]) -> None:
    for value, moment in pairs:
        stream.write(f"MEM {value:.6f} {moment:.4f}\n")


def _stream_out(steps: Iterator[tuple[Any, list[tuple[int, float]]]], stream: Any) -> None:
    for number, (figure, parts) in enumerate(steps, 1):
        _write(stream, [figure])
        for pid, size in parts:
            stream.write(f"CHLD {pid} {size:.6f} {time.time():.4f}\n")
        if number % _FLUSH_EVERY == 0:
            stream.flush()
