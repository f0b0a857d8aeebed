"""A finished recording: its timeline, its marks and spans, and the exact peak where the kernel gave one.

A recording holds several timelines, because what is read often costs little and what costs much is read
seldom. Each has a time column of its own, all of them count from the same moment, and a metric has values
only where it was read: nothing is filled in between.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memlab.records._result import Result
from memlab.records.gc_pauses import GcPauses
from memlab.records.site_timeline import SiteTimeline
from memlab.records.sites import Frame
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Capture", "Ceiling", "Child", "Mark", "Outcome", "Peak", "Span", "StackSample"]


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A named moment, ``time_s`` seconds after the recording began."""

    time_s: float
    label: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.time_s):
            raise ValueError("mark: it must stand at a finite time")


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


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A named stretch of a recording.

    Attributes:
        label: its name.
        start_s: when it began, in seconds on the recording's axis.
        end_s: when it ended; for one that was cut short, when it was last known to run.
        peak: greatest RSS within it; None where that could not be read.
        reason: why ``peak`` is None or only sampled; empty when it is exact.
        depth: how many spans of the same thread or task it stood in, 0 for an outermost.
        complete: False when the recording ended before it did.
    """

    label: str
    start_s: float
    end_s: float
    peak: Peak | None = None
    reason: str = ""
    depth: int = 0
    complete: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and self.start_s <= self.end_s < math.inf):
            raise ValueError("span: it must end after it began, at finite times")


@dataclasses.dataclass(frozen=True, slots=True)
class StackSample:
    """What a thread was running when memory stood high or had just risen.

    Sampled: the stack was looked at after RSS had been seen to rise, ``late_s`` later. A call into C that
    held the interpreter is still on the stack then, or the line after it is.

    Attributes:
        time_s: the moment of the stack, in seconds on the recording's axis.
        value_bytes: RSS at that moment.
        thread: the thread's name as Python has it; ``MainThread`` for the main one.
        frames: most recent call first; source text, redacted, only for the user's own files.
        user_frame: index of the first frame in the user's own code, -1 if every frame is a library's.
        rise_bytes: how far RSS rose while samples showed this line, in all of them together.
        samples: how many stacks showed this line; the fewer, the less it says.
        late_s: how long after the rise the stack was looked at, in seconds, at most.
        source: where it comes from: ``sampled``.
    """

    time_s: float
    value_bytes: int
    thread: str
    frames: tuple[Frame, ...]
    user_frame: int = -1
    rise_bytes: int = 0
    samples: int = 1
    late_s: float = 0.0
    source: str = "sampled"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.time_s) and math.isfinite(self.late_s)):
            raise ValueError("stack: it must stand at a finite time")

    @property
    def frame(self) -> Frame | None:
        """The line that speaks to the user: of their own code where there is one, else the innermost."""
        if not self.frames:
            return None
        return self.frames[self.user_frame] if 0 <= self.user_frame < len(self.frames) else self.frames[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """A process that the recorded one started, or one of its children did.

    Attributes:
        pid: its number while it lived.
        depth: 1 for a child, 2 for a grandchild ...
        timeline: ``rss_bytes`` on the recording's axis. Pages that it shares with others count in it; the
            sum without them is ``family_pss_bytes`` in ``Capture.slow``.
        ended: True when it was seen to end before the recording did.
    """

    pid: int
    depth: int
    timeline: Timeline
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a program that was watched ended.

    Attributes:
        exit_code: what it gave back; None when a signal ended it, or when it is not known.
        signal: the signal that ended it, e.g. ``SIGKILL``; empty when none did.
        error: the type of the exception that ended it; empty when none did.
        reason: why neither is known; empty when it is.
    """

    exit_code: int | None = None
    signal: str = ""
    error: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Ceiling:
    """The least limit on the process's memory when the recording began, and what sets it."""

    value_bytes: int
    source: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Capture(Result):
    """What ``memlab.record()`` gives back when it ends.

    Attributes:
        timeline: the samples that are taken often: ``rss_bytes``.
        marks: named moments, in order.
        peak: greatest RSS of the whole recording; None with a reason in ``timeline.absent``.
        environment: Python, platform and memlab version; never a path, a host name or an argument.
        complete: False when the recording was cut short.
        notes: what a reader must know to trust the figures.
        spans: named stretches, in the order in which they began.
        pauses: collections of the garbage collector; None where nobody was inside to see them.
        peak_stack: what was running nearest to the peak; None where no stack was sampled.
        hot: lines while which RSS rose, greatest rise first, one entry a line.
        inside: what only the process itself knows: ``allocated_blocks``, ``traced_bytes``, ``gc_count``.
        slow: what costs too much to be read often: ``uss_bytes``, ``pss_bytes``, ``swap_bytes``,
            ``family_pss_bytes`` (the process and all its descendants, shared pages counted once).
        system: what surrounds the process: ``cgroup_bytes``, ``available_bytes``, ``stall_us`` (time in
            which some task waited for memory, since the recording began) ...
        children: processes that it started, with their RSS.
        ceiling: the least limit on its memory; None where none is known.
        outcome: how a watched program ended; None for a block of code.
        sites: live memory by allocation site at several moments; None where it was not asked for.
    """

    kind: ClassVar[str] = "capture"

    timeline: Timeline
    marks: tuple[Mark, ...] = ()
    peak: Peak | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    complete: bool = True
    notes: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    pauses: GcPauses | None = None
    peak_stack: StackSample | None = None
    hot: tuple[StackSample, ...] = ()
    inside: Timeline | None = None
    slow: Timeline | None = None
    system: Timeline | None = None
    children: tuple[Child, ...] = ()
    ceiling: Ceiling | None = None
    outcome: Outcome | None = None
    sites: SiteTimeline | None = None

    def plot(self, ax: Axes | None = None, other: Capture | None = None, metric: str | None = None) -> Axes:
        """Draw the recording on ``ax``, or a new one, and return it (needs matplotlib).

        Spans are shaded, pauses of the collector stand at the foot, marks and the peak have their names. Long
        recordings are thinned to what can be seen; no peak is lost.

        Args:
            ax: where to draw; None makes a new figure.
            other: a later recording, laid over this one (``memlab.compare_captures`` aligns them at a mark).
            metric: what to draw; None for RSS.

        Raises:
            UnavailableError: when there is nothing of it to draw.
        """
        from memlab.views.plots import plot

        if other is None:
            return plot(self, ax, metric)
        from memlab.analyses.capture_compare import compare_captures

        return plot(compare_captures(self, other), ax, metric)

    def timelines(self) -> dict[str, Timeline]:
        """Return the timelines of the process and its surroundings by name, those that are there."""
        named = {"timeline": self.timeline, "inside": self.inside, "slow": self.slow, "system": self.system}
        return {name: line for name, line in named.items() if line is not None}

    @property
    def lasted_s(self) -> float:
        """Seconds from the first sample to the last."""
        time_s = self.timeline.time_s
        return float(time_s[-1] - time_s[0]) if len(time_s) else 0.0
