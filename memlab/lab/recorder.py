"""Record memory over a stretch of code: samples, marks, and the exact peak.

A ``Recorder`` is live; what it gives back when it ends is a ``Capture``, a value. It joins a sampler and a
region of the high-water mark, and adds nothing to the measured thread but ``mark``.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Self

from memlab._base.environment import describe_environment
from memlab._base.safety import clean
from memlab.collectors.high_water import Region
from memlab.collectors.sampler import Sampler
from memlab.errors import UsageError
from memlab.records.capture import Capture, Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.records.timeline import Timeline

__all__ = ["Recorder", "record"]

_METRICS = ("rss_bytes", "allocated_blocks", "traced_bytes")
_INTERVAL_S = 0.01


class Recorder:
    """A recording that runs. Made by ``record()``; begins in ``with`` or by ``start``.

    Args:
        interval_s: seconds between two samples.
        exact: use the kernel's high-water mark for the peak.
        max_samples: bound on samples kept; a longer recording is thinned, peaks excepted.
        sampler: makes the sampler, from interval, metrics and bound.
    """

    def __init__(
        self,
        interval_s: float = _INTERVAL_S,
        exact: bool = True,
        max_samples: int = 100_000,
        sampler: Callable[[float, tuple[str, ...], int], Sampler] = Sampler,
    ) -> None:
        self._sampler = sampler(interval_s, _METRICS, max_samples)
        self._region = Region(exact)
        self._marks: list[Mark] = []
        self._capture: Capture | None = None
        self._started = False
        self._pid = os.getpid()

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it has begun before.
        """
        if self._started:
            raise UsageError("recording: this recorder was started before; make a new one")
        try:
            self._started = True
            self._pid = os.getpid()
            self._sampler.start()
            self._region.start()
        except BaseException:
            self._cancel()
            raise
        return self

    def mark(self, label: str) -> None:
        """Name this moment.

        Raises:
            UsageError: when the recording does not run, or the label is no text.
        """
        if not self._started or self._capture is not None:
            raise UsageError("marking a moment: the recording does not run")
        if not isinstance(label, str):
            raise UsageError(f"marking a moment: the label must be text, not {type(label).__name__}")
        self._marks.append(Mark(self._sampler.now_s, clean(label)))

    def stop(self) -> Capture:
        """End, and return what was recorded. A second call returns the same.

        Raises:
            UsageError: when it has not begun.
        """
        if not self._started:
            raise UsageError("recording: not started")
        try:
            if self._capture is None:
                self._capture = self._finished()
        finally:
            if self._capture is None:  # interrupted
                self._cancel()
        return self._capture

    @property
    def capture(self) -> Capture:
        """What was recorded.

        Raises:
            UsageError: while the recording runs.
        """
        if self._capture is None:
            raise UsageError("reading a recording: the capture is there when the recording has ended")
        return self._capture

    @property
    def is_alive(self) -> bool:
        """Tell whether samples are being taken."""
        return self._sampler.is_alive

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _finished(self) -> Capture:
        peak = self._region.stop()
        timeline = self._sampler.stop()
        notes = []
        if self._region.reason and peak is not None:
            notes.append(f"the peak is sampled and may be too low: {self._region.reason}")
        failure = self._sampler.failure
        if failure is not None:
            notes.append(f"sampling ended early: {type(failure).__name__}")
        inherited = os.getpid() != self._pid
        if inherited:
            notes.append("recorded by the parent process; this is a fork of it and holds what came before")
        return Capture(
            timeline=timeline if peak is not None else _without_peak(timeline, self._region.reason),
            marks=tuple(self._marks),
            peak=peak,
            environment=describe_environment(),
            complete=failure is None and not inherited,
            notes=tuple(notes),
        )

    def _cancel(self) -> None:
        self._region.cancel()
        self._sampler.cancel()


def record(interval_s: float = _INTERVAL_S, *, exact: bool = True, max_samples: int = 100_000) -> Recorder:
    """Record the memory of a block of code.

    The samples come from a thread: while C code holds the GIL there are none. The peak does not depend on
    them where the kernel keeps a mark (``capture.peak.source == "vmhwm"``).

    Args:
        interval_s: seconds between two samples.
        exact: use the kernel's high-water mark for the peak; it lowers ``ru_maxrss`` for other readers.
        max_samples: bound on samples kept; a longer recording is thinned, peaks excepted.

    Raises:
        UsageError: when a number makes no sense.

    Example:
        >>> with record() as recording:
        ...     block = bytearray(100_000_000)
        ...     recording.mark("allocated")
        >>> capture = recording.capture
        >>> capture.marks[0].label, capture.peak.increment_bytes > 20_000_000
        ('allocated', True)
    """
    return Recorder(interval_s, exact, max_samples)


def _without_peak(timeline: Timeline, reason: str) -> Timeline:
    return dataclasses.replace(timeline, absent={**timeline.absent, "peak": reason})
