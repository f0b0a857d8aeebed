"""How much memory a stretch of code needs at most, and which lines held it.

Two figures, both lower bounds of the need: how far the process's resident memory rose (the kernel's mark,
exact, but blind to memory that the allocators had kept free), and how far the traced memory rose (every
block that Python's allocators gave out, to the byte, but nothing of native code). The greater one counts.
While the stretch runs, a thread looks at the traced memory; once it stands above the limit, the thread takes
a snapshot, so that the lines are known although the memory is gone when the stretch ends.
"""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from typing import TYPE_CHECKING, Self

from memlab._base.units import format_bytes, parse_bytes
from memlab.collectors.high_water import Region
from memlab.collectors.tracing import tracing
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from memlab.records.snapshot import Snapshot

__all__ = ["PeakSeen", "PeakWatch"]

_DEPTH = 12
_LOOK_EVERY_S = 0.002
_HIGHER = 1.25
_MOST_SNAPSHOTS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class PeakSeen:
    """What a stretch needed.

    Attributes:
        limit_bytes: what it was allowed.
        peak_bytes: the greater of the two figures below.
        source: where it comes from: ``traced``, ``vmhwm`` or ``sampled``.
        traced_bytes: how far traced memory rose above the start; None where it could not be traced.
        rss_bytes: how far RSS rose above the start; None where it could not be read.
        lines: the traced memory by line, taken while it stood above the limit; None when it never did, or
            too briefly to be caught.
        lines_bytes: how far traced memory stood above the start at that moment.
        notes: what a reader must know.
    """

    limit_bytes: int
    peak_bytes: int
    source: str
    traced_bytes: int | None
    rss_bytes: int | None
    lines: Snapshot | None = None
    lines_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Whether it kept to its limit."""
        return self.peak_bytes <= self.limit_bytes


class PeakWatch:
    """Watches a stretch against a limit. Used in ``with``; afterwards ``seen`` says what it needed.

    Args:
        limit: what it may need above what there was at the start, in bytes or like ``"24 MiB"``.
        label: its name in the snapshot.

    Raises:
        UsageError: when the limit is no size.

    Example:
        >>> with PeakWatch("1 MiB") as watch:
        ...     size = len(bytearray(3_000_000))
        >>> watch.seen.within, watch.seen.peak_bytes >= 3_000_000
        (False, True)
    """

    def __init__(self, limit: float | str, label: str = "") -> None:
        self.limit_bytes = parse_bytes(limit)
        self._label = label
        self._region = Region()
        self._tracing = tracing(_DEPTH)
        self._seen: PeakSeen | None = None
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._alone = False
        self._start = self._peak_at_start = self._greatest = 0
        self._lines: Snapshot | None = None
        self._lines_bytes = 0
        self._notes: list[str] = []

    @property
    def seen(self) -> PeakSeen:
        """What the stretch needed.

        Raises:
            UsageError: while it has not ended.
        """
        if self._seen is None:
            raise UsageError("reading a peak: the block that is watched has not ended yet")
        return self._seen

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise UsageError("watching a peak: this watch has run before; make a new one")
        self._alone = not tracemalloc.is_tracing()
        try:
            self._tracing.start()
            # What the thread needs is imported and made before anything is read.
            self._tracing.snapshot("", sources="none")
            self._thread = threading.Thread(target=self._look, name="memlab-peak", daemon=True)
            self._thread.start()
            self._region.start()
            if self._alone:
                tracemalloc.reset_peak()
            self._start, self._peak_at_start = tracemalloc.get_traced_memory()
            self._greatest = self._start
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._fold()
            peak = self._region.stop()
        finally:
            self._end()
        rss = peak.increment_bytes if peak is not None else None
        traced = max(0, self._greatest - self._start)
        if not self._alone:
            self._notes.append("somebody else was tracing already: the traced peak is a lower bound")
        by_rss = rss is not None and peak is not None and rss > traced
        self._seen = PeakSeen(
            limit_bytes=self.limit_bytes,
            peak_bytes=rss if by_rss and rss is not None else traced,
            source=peak.source if by_rss and peak is not None else "traced",
            traced_bytes=traced,
            rss_bytes=rss,
            lines=self._lines,
            lines_bytes=self._lines_bytes,
            notes=tuple(self._notes),
        )

    def _fold(self) -> None:
        """Remember how high traced memory stood, before memlab's own reading adds to it."""
        now, peak = tracemalloc.get_traced_memory()
        known = peak if self._alone or peak > self._peak_at_start else now
        self._greatest = max(self._greatest, known)

    def _end(self) -> None:
        self._done.set()
        try:
            if self._thread is not None and self._thread.ident is not None:
                self._thread.join()
        finally:
            self._region.cancel()
            self._tracing.stop()

    def _look(self) -> None:
        snapshots, next_at = 0, 0
        while not self._done.wait(_LOOK_EVERY_S) and snapshots < _MOST_SNAPSHOTS:
            above = tracemalloc.get_traced_memory()[0] - self._start if self._start else 0
            if above <= max(self.limit_bytes, next_at):
                continue
            snapshots += 1
            next_at = int(above * _HIGHER)
            self._take(above)

    def _take(self, above: int) -> None:
        self._fold()
        try:
            lines = self._tracing.snapshot(f"{self._label} at {format_bytes(above)}".strip(), sources="none")
        except UnavailableError:  # somebody stopped the tracer meanwhile
            return
        self._lines, self._lines_bytes = lines, above
        if snapshots_note not in self._notes:
            self._notes.append(snapshots_note)
        if self._alone and not self._done.is_set():
            tracemalloc.reset_peak()


snapshots_note = (
    "a snapshot was taken while the limit was passed: RSS after that moment holds some of memlab's own"
)
