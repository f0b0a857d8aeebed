"""Work timed in turn with fixed work, so that a slower machine is no regression.

Between two runs a machine may be a third slower: another clock, another neighbour on the same core. A loop
that never changes is slowed down alike, so the ratio of both stays. The closer in time the two are, the
better that holds: one sample is a dozen slices of about a millisecond, in each of which the loop runs before
and after the work, and the sample is the median of the slices' ratios. (Measured on a shared machine: the
spread of ratios was half of what it is when loop and work are timed in stretches of several milliseconds.)

Each loop stresses what the measured code does: making containers, moving memory, or looking things up. Its
name carries a version: times may only be compared with those of the same version, so a loop is never edited;
a better one gets another name.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import TYPE_CHECKING, Final

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["REFERENCES", "Interleaved", "interleaved", "reference_loop"]

_COPIED = bytes(3 * 1024 * 1024)
_TABLE = {f"key_{n}": n for n in range(1_000)}
SLICES = 12
_SLICE_S = 0.001
_SAMPLE_S = 0.03
_MOST_CALLS = 100_000
_MOST_LOOPS = 40


def _containers() -> None:
    for _ in range(4):
        kept = [{"n": n, "data": [0] * 20} for n in range(300)]
        del kept


def _copies() -> None:
    for _ in range(3):
        bytearray(_COPIED)


def _look_ups() -> None:
    for n in range(2_000):
        _TABLE.get(f"key_{n % 1_000}")


REFERENCES: Final[Mapping[str, Callable[[], None]]] = {
    "containers/1": _containers,
    "copies/1": _copies,
    "look-ups/1": _look_ups,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Interleaved:
    """How a piece of work is timed beside a loop.

    Attributes:
        work: what is timed; ``number`` calls make one slice.
        loop: the fixed work; it runs ``loops`` times before and as often after the work.
        slices: slices of one sample.
        clock: seconds. Processor time, so that what else runs on the machine is not in it.
        prepare: called before the work in each slice, and not timed.
    """

    work: Callable[[], object]
    loop: Callable[[], None]
    number: int
    loops: int
    slices: int
    clock: Callable[[], float] = time.thread_time
    prepare: Callable[[], object] | None = None

    def sample(self) -> tuple[float, float]:
        """Return seconds of one call of the work and, in the same moments, of one round of the loop."""
        works, ratios = [], []
        for _ in range(self.slices):
            if self.prepare is not None:
                self.prepare()
            before = self._looped()
            work = self._worked()
            loop = (before + self._looped()) / (2 * self.loops)
            works.append(work)
            ratios.append(work / loop if loop > 0 else 0.0)
        value, ratio = statistics.median(works), statistics.median(ratios)
        return value, value / ratio if ratio > 0 else 0.0

    def _worked(self) -> float:
        work, number, clock = self.work, self.number, self.clock
        began = clock()
        for _ in range(number):
            work()
        return (clock() - began) / number

    def _looped(self) -> float:
        loop, loops, clock = self.loop, self.loops, self.clock
        began = clock()
        for _ in range(loops):
            loop()
        return clock() - began


def interleaved(
    work: Callable[[], object],
    reference: str,
    *,
    number: int | None = None,
    clock: Callable[[], float] = time.thread_time,
) -> Interleaved:
    """Try out how often the work fits into a slice, and return how it is to be timed.

    Args:
        work: called without arguments.
        reference: name of a loop, one of ``REFERENCES``.
        number: calls in a slice. None: as many as last a millisecond.
        clock: seconds, of processor time by default.

    Raises:
        UsageError: for a name that is none.

    Example:
        >>> timed = interleaved(lambda: sorted(range(1000)), "containers/1")
        >>> seconds, loop = timed.sample()
        >>> 0 < seconds < 1 and 0 < loop < 1
        True
    """
    loop = reference_loop(reference)
    looped = _least(loop, clock)
    calls = number or 1
    took = _times(work, calls, clock)
    while number is None and took < _SLICE_S and calls < _MOST_CALLS:
        calls *= 2
        took = _times(work, calls, clock)
    loops = min(max(1, round(took / looped / 4)), _MOST_LOOPS)
    slices = round(_SAMPLE_S / (took + 2 * loops * looped))
    return Interleaved(work, loop, calls, loops, min(max(1, slices), SLICES), clock)


def reference_loop(name: str) -> Callable[[], None]:
    """Return a loop by its name.

    Raises:
        UsageError: for a name that is none.
    """
    if name not in REFERENCES:
        raise UsageError(f"reference loop: there is no {name!r}; there are {', '.join(REFERENCES)}")
    return REFERENCES[name]


def _least(loop: Callable[[], None], clock: Callable[[], float]) -> float:
    return max(min(_times(loop, 1, clock) for _ in range(3)), 1e-6)


def _times(work: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(calls):
        work()
    return clock() - began
