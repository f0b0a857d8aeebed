"""A finished recording: its timeline, its marks, and the exact peak where the kernel gave one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.timeline import Timeline

__all__ = ["Capture", "Mark", "Peak"]


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A named moment, ``time_s`` seconds after the recording began."""

    time_s: float
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class Peak:
    """A high-water mark with its source.

    Attributes:
        value_bytes: greatest RSS in the interval. It holds what the process had before the interval, and
            does not show memory taken again from the allocator's own cache, nor pages never touched.
        start_bytes: RSS when the interval began; ``increment_bytes`` is the difference.
        source: ``vmhwm`` (the kernel's own mark, exact) or ``sampled`` (a lower bound).
    """

    value_bytes: int
    start_bytes: int
    source: str

    @property
    def increment_bytes(self) -> int:
        """How far the peak stood above the start, never below 0."""
        return max(0, self.value_bytes - self.start_bytes)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Capture(Result):
    """What ``memlab.record()`` gives back when it ends.

    Attributes:
        timeline: the samples.
        marks: named moments, in order.
        peak: greatest RSS of the whole recording; None with a reason in ``timeline.absent``.
        environment: Python, platform and memlab version; never a path, a host name or an argument.
        complete: False when the recording was cut short.
        notes: what a reader must know to trust the figures.
    """

    kind: ClassVar[str] = "capture"

    timeline: Timeline
    marks: tuple[Mark, ...] = ()
    peak: Peak | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    complete: bool = True
    notes: tuple[str, ...] = ()
