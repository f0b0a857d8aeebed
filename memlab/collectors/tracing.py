"""tracemalloc as a shared resource: one owner for the process, who joins and never steals.

The first subscriber starts the tracer when nobody traces; the last one stops it, and only if it is still
the tracer that was started here, which an object allocated at that moment tells: tracemalloc knows where it
was made until someone stops, restarts or clears the tracer. A tracer that was found running is joined,
with the depth it has, and left running. One thing cannot be seen: someone who calls
``tracemalloc.start()`` while memlab already traces; his tracing ends with memlab's last subscriber.
"""

from __future__ import annotations

import os
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any, Self

from memlab._base.paths import PathLabels
from memlab.collectors.cell_names import cell_aliases
from memlab.collectors.interpreters import count_interpreters
from memlab.collectors.snapshot_maker import to_snapshot, warm_up
from memlab.collectors.trace_blocks import read_columns, without_collector
from memlab.collectors.trace_table import Frames, RawTraces, grown, read_traces, site_of
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.records.snapshot import Snapshot

__all__ = [
    "Frames",
    "RawTraces",
    "TracemallocOwner",
    "Tracing",
    "grown",
    "object_site",
    "snapshot",
    "take_raw",
    "tracing",
]

_DEPTH = 10
_DEEPEST = 65_535
_SOURCES = ("own", "all", "none")


class TracemallocOwner:
    """The owner of the tracer. There is one for the process; tests make others.

    Args:
        tracer: the module that traces. Default: ``tracemalloc``.
        interpreters: returns how many interpreters live in the process.
    """

    def __init__(self, tracer: Any = tracemalloc, interpreters: Callable[[], int] | None = None) -> None:
        self.tracer = tracer
        self._interpreters = interpreters or count_interpreters
        self._pid = os.getpid()
        # Re-entrant: a forgotten subscriber may be collected while its thread is in here.
        self._lock = threading.RLock()
        self._subscribers: set[int] = set()
        self._started = False
        self._witness: object = None

    @classmethod
    def subscribe(cls, depth: int = _DEPTH) -> Tracing:
        """Return a subscription to the process's tracer, to be used in ``with``."""
        return Tracing(depth)

    def enter(self, subscriber: int, depth: int) -> None:
        """Add a subscriber, and start the tracer when nobody traces.

        Raises:
            UnavailableError: when more than one interpreter lives: tracemalloc is not sound then.
        """
        with self._guard():
            self._subscribers.add(subscriber)
            if self.tracer.is_tracing():
                return
            if self._interpreters() > 1:
                raise UnavailableError(
                    "tracing allocations: tracemalloc is not sound with more than one interpreter in the "
                    "process; end the others first"
                )
            self._witness = None
            self._started = True
            self.tracer.start(depth)
            self._witness = object()

    def leave(self, subscriber: int) -> None:
        """Take a subscriber away, and stop the tracer after the last one if it is ours. Safe to repeat."""
        with self._guard():
            self._subscribers.discard(subscriber)
            if self._subscribers or not self._started:
                return
            if self.tracer.is_tracing() and self._is_ours():
                self.tracer.stop()
            self._started = False
            self._witness = None

    @property
    def subscribers(self) -> int:
        """Number of subscribers."""
        return len(self._subscribers)

    def _is_ours(self) -> bool:
        # Without a witness an interrupt struck right after the start.
        return self._witness is None or self.tracer.get_object_traceback(self._witness) is not None

    def _guard(self) -> threading.RLock:
        if self._pid != os.getpid():  # forked: another thread may have held the lock at that moment
            self._pid = os.getpid()
            self._lock = threading.RLock()
        return self._lock


class Tracing:
    """A subscription to the tracer: traced from ``start`` to ``stop``, best used in ``with``.

    Args:
        depth: frames wanted for each block, 1 to 65,535. More frames cost more time.
        aliases: labels for code file names. Default: those of notebook cells.
        owner: who runs the tracer. Default: the process's owner.

    Attributes:
        depth: after the start, frames that the tracer really keeps.
        notes: what a reader must know: a smaller depth, an interruption.
    """

    def __init__(
        self,
        depth: int = _DEPTH,
        aliases: Mapping[str, str] | None = None,
        owner: TracemallocOwner | None = None,
    ) -> None:
        if type(depth) is not int or not 1 <= depth <= _DEEPEST:
            raise UsageError(
                f"tracing: depth must be a number of frames from 1 to {_DEEPEST:,}, not {depth!r}"
            )
        self.depth = depth
        self._asked = depth
        self._aliases = aliases
        self._owner = owner or _owner
        self._witness: object = None
        self._interrupted = False
        self._active = False

    def start(self) -> Self:
        """Begin; does nothing when it has begun.

        Raises:
            UnavailableError: when tracing cannot be started in this process.
        """
        if self._active:
            return self
        warm_up()
        try:
            self._active = True
            self._owner.enter(id(self), self._asked)
            self.depth = self._owner.tracer.get_traceback_limit()
            self._witness = object()
            self._interrupted = False
        except BaseException:
            self._release()
            raise
        return self

    def stop(self) -> None:
        """End; the tracer goes on if someone else needs it. A second call does nothing."""
        try:
            self._interrupted = self.interrupted
            self._release()
        finally:
            self._release()  # finishes what an interrupt cut short

    @property
    def interrupted(self) -> bool:
        """Tell whether someone stopped, restarted or cleared the tracer meanwhile: blocks are missing."""
        if self._active and self._witness is not None and not self._interrupted:
            tracer = self._owner.tracer
            known = tracer.is_tracing() and tracer.get_object_traceback(self._witness) is not None
            self._interrupted = not known
        return self._interrupted

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of these traces must know."""
        notes = []
        if self.depth < self._asked:
            notes.append(
                f"tracemalloc already ran with {self.depth} frames a block; {self._asked} were asked for"
            )
        if self.interrupted:
            notes.append("tracing was interrupted: someone stopped or cleared tracemalloc meanwhile")
        return tuple(notes)

    def take_raw(self, own_excluded: bool = True) -> RawTraces:
        """Read all live traces, file names unlabelled.

        Raises:
            UnavailableError: when nothing is traced.
        """
        return read_traces(own_excluded)

    def snapshot(self, label: str = "", depth: int | None = None, *, sources: str = "own") -> Snapshot:
        """Return the live traced memory by allocation site, see ``memlab.snapshot``."""
        return _snapshot(label, depth, self._aliases, self.notes, sources)

    def site_of(self, obj: object) -> Frames | None:
        """Return where a live object was allocated, most recent call first; None when it was not traced."""
        return site_of(obj)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_active", False):
            self._release()

    def _release(self) -> None:
        if self._active:
            self._owner.leave(id(self))
            self._active = False
            self._witness = None


def tracing(depth: int = _DEPTH, *, aliases: Mapping[str, str] | None = None) -> Tracing:
    """Trace the allocations of a block of code.

    Joins tracemalloc when it runs already and leaves it running; otherwise starts it and stops it.

    Args:
        depth: frames kept for each block of memory.
        aliases: labels for code file names. Default: those of notebook cells.

    Raises:
        UsageError: for a depth that is no number of frames.

    Example:
        >>> with tracing(depth=1) as trace:
        ...     before = trace.snapshot()
        ...     kept = bytearray(1_000_000)
        ...     growth = trace.snapshot().diff(before)
        >>> growth.sites[0].size_diff_bytes - 1_000_000 < 1_000
        True
    """
    return Tracing(depth, aliases)


def snapshot(
    label: str = "",
    depth: int | None = None,
    *,
    aliases: Mapping[str, str] | None = None,
    sources: str = "own",
) -> Snapshot:
    """Return the live traced memory by allocation site.

    In it: blocks that Python's allocators gave out while tracemalloc ran, sizes in bytes as they were asked
    for. Not in it: memory from before, memory that bypasses Python's allocators, and memlab's own lines.

    Args:
        label: your name for it.
        depth: frames kept of each traceback, the most recent ones. None: all that tracemalloc has.
        aliases: labels for code file names. Default: those of notebook cells.
        sources: of which source files functions and hashes of lines are recorded, so that two versions of a
            file can be compared later: your ``own`` (default), ``all``, or ``none``. The first snapshot
            reads them (about 10 ms a thousand lines), later ones only what changed.

    Raises:
        UnavailableError: when nothing is traced; the message says how to begin.
        UsageError: for a depth that is no number of frames.
    """
    return _snapshot(label, depth, aliases, (), sources)


def take_raw(own_excluded: bool = True) -> RawTraces:
    """Read all live traces, file names unlabelled.

    Raises:
        UnavailableError: when nothing is traced.
    """
    return read_traces(own_excluded)


def object_site(obj: object) -> Frames | None:
    """Return where a live object was allocated: ``(file name, line)``, most recent call first.

    None when it was allocated before the tracing began, or nothing is traced.
    """
    return site_of(obj)


def _snapshot(
    label: str,
    depth: int | None,
    aliases: Mapping[str, str] | None,
    notes: tuple[str, ...],
    sources: str,
) -> Snapshot:
    if depth is not None and (type(depth) is not int or depth < 1):
        raise UsageError(f"taking a snapshot: depth must be a number of frames from 1, not {depth!r}")
    if sources not in _SOURCES:
        raise UsageError(f"taking a snapshot: sources must be own, all or none, not {sources!r}")
    warm_up()
    # Cells run and files come: names are asked for anew at each snapshot.
    labels = PathLabels(cell_aliases() if aliases is None else aliases)
    return without_collector(lambda: _read_snapshot(label, depth, labels, notes, sources))


def _read_snapshot(
    label: str, depth: int | None, labels: PathLabels, notes: tuple[str, ...], sources: str
) -> Snapshot:
    raw = read_columns()
    if depth is not None and depth > raw.depth:
        notes = (*notes, f"tracemalloc keeps {raw.depth} frames a block; {depth} were asked for")
    if raw.source == "public":
        notes = (*notes, "read by tracemalloc's public, slower interface")
    return to_snapshot(raw, labels, label, depth, notes, sources=sources)


_owner = TracemallocOwner()
