"""What was alive when traced memory stood highest inside a call.

tracemalloc knows how high memory rose and not what it was made of at that moment. So the call is made twice
more, watched at each line, call and return: the first time to learn at which of these moments memory stood
highest, the second time to take a snapshot there. Between two such moments, inside one call of C code, nobody
can look: the snapshot is then of the moment before or after it. The watch is the interpreter's trace and
profile hooks; where somebody else has them (a debugger, coverage) or the call makes too many steps, the
snapshot is taken at the end of the call, while its result is still held.
"""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from memlab.collectors.tracing import Tracing
    from memlab.records.snapshot import Snapshot

__all__ = ["GrowthWatch", "snapshot_near_peak"]

_NEAR = 0.98
_MOST_STEPS = 1_000_000
_FIRST = 32 * 1024
_STEP = 1.25


class _Watch:
    """Steps of one call: where memory stood highest, or a snapshot as soon as it stands as high as it did."""

    def __init__(self, take: Callable[[], Snapshot], wanted: float | None) -> None:
        self.take = take
        self.wanted = wanted
        self.greatest = 0
        self.steps = 0
        self.taken: Snapshot | None = None
        self.done = False

    def hook(self, _frame: FrameType, _event: str, _argument: Any) -> Any:
        # The hooks stay until the call has ended: taking them away within one of their calls crashed 3.11.
        if self.done:
            return None
        self.steps += 1
        now = tracemalloc.get_traced_memory()[0]
        self.greatest = max(self.greatest, now)
        if self.wanted is not None and now >= self.wanted:
            self.done = True
            self.taken = self.take()
        self.done = self.done or self.steps > _MOST_STEPS
        return self.hook

    def run(self, call: Callable[[], object]) -> None:
        sys.setprofile(self.hook)
        sys.settrace(self.hook)
        try:
            result = call()
        finally:
            self.off()
        if self.wanted is not None and self.taken is None:
            self.taken = self.take()
        del result

    @staticmethod
    def off() -> None:
        sys.settrace(None)
        sys.setprofile(None)


class GrowthWatch:
    """For code that runs once: a snapshot each time memory stands a quarter higher than at the last one.

    The last one taken is then of a moment at which memory stood at four fifths of its peak or more. In a
    program whose memory doubles ten times that makes some thirty snapshots. Used in ``with``; does nothing
    where somebody else has the interpreter's hooks.

    Args:
        tracing: a subscription that has begun.
        label: the snapshot's.

    Attributes:
        taken: the last snapshot; None when memory never stood 32 KiB higher than at the start.
    """

    def __init__(self, tracing: Tracing, label: str = "") -> None:
        self.tracing = tracing
        self.label = label
        self.taken: Snapshot | None = None
        self._start = 0
        self._next = 0
        self._steps = 0
        self._on = False

    def __enter__(self) -> Self:
        if sys.gettrace() is None and sys.getprofile() is None:
            self._start = tracemalloc.get_traced_memory()[0]
            self._next = self._start + _FIRST
            self._on = True
            sys.setprofile(self._hook)
            sys.settrace(self._hook)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._on:
            _Watch.off()
            self._on = False

    def _hook(self, _frame: FrameType, _event: str, _argument: Any) -> Any:
        if self._steps > _MOST_STEPS:
            return None
        self._steps += 1
        if tracemalloc.get_traced_memory()[0] >= self._next:
            self.taken = self.tracing.snapshot(self.label)
            self._next = self._start + round((tracemalloc.get_traced_memory()[0] - self._start) * _STEP)
        return self._hook


def snapshot_near_peak(call: Callable[[], object], tracing: Tracing, label: str = "") -> Snapshot:
    """Make a call, and return what was alive when traced memory stood highest in it.

    Args:
        call: what is looked at, called two times, or once where nobody can watch.
        tracing: a subscription that has begun; its depth is the snapshot's.
        label: the snapshot's.

    Example:
        >>> from memlab.collectors.tracing import tracing
        >>> def work():
        ...     rows = [bytes(1000) for _ in range(1000)]
        ...     return len(rows)
        >>> with tracing(depth=2) as trace:
        ...     snapshot_near_peak(work, trace).total_bytes > 1_000_000
        True
    """

    def take() -> Snapshot:
        return tracing.snapshot(label)

    if sys.gettrace() is not None or sys.getprofile() is not None:
        result = call()
        taken = take()
        del result
        return taken
    scout = _Watch(take, None)
    scout.run(call)
    watch = _Watch(take, scout.greatest * _NEAR)
    watch.run(call)
    assert watch.taken is not None
    return watch.taken
