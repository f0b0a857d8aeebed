"""Does pooling pay for this object? Both ways are measured in turn, and the ratio of each round is kept.

CPU time of this thread, so that other work on the machine counts less; calls per round are chosen so that a
round takes some milliseconds. The collector is left as it is: what it costs is part of making objects.
"""

from __future__ import annotations

import time
from itertools import repeat
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.errors import UsageError
from memlab.lab.pool import ObjectPool
from memlab.records.columns import floats
from memlab.records.pool import PoolWorth

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure_worth"]

_ROUND_NS = 3_000_000
_MOST_CALLS = 20_000


def measure_worth(
    factory: Callable[[], Any], *, rounds: int = 30, close: Callable[[Any], None] | None = None
) -> PoolWorth:
    """Measure; see ``ObjectPool.worth``."""
    if not callable(factory):
        raise UsageError(f"measuring a pool: factory must be callable, not {type(factory).__name__}")
    if type(rounds) is not int or rounds < 1:
        raise UsageError(f"measuring a pool: rounds must be a whole number from 1, not {rounds!r}")
    sample = factory()
    ends = close if close is not None else getattr(type(sample), "close", None)
    ends = ends if callable(ends) else None
    resets = callable(getattr(sample, "reset", None))
    calls = _calls(factory, ends)
    columns: dict[str, list[float]] = {"new": [], "pooled": [], "reset": []}
    with ObjectPool(factory, min_size=1, max_size=1) as pool:
        for _ in range(rounds):
            empty = _empty(calls)
            columns["new"].append(max(_make(factory, ends, calls) - empty, 1) / calls / 1e9)
            columns["pooled"].append(max(_take(pool, calls) - empty, 1) / calls / 1e9)
            columns["reset"].append(max(_reset(sample, calls) - empty, 0) / calls / 1e9 if resets else 0.0)
    if ends is not None:
        ends(sample)
    return PoolWorth(
        type_name=instance_type_name(sample),
        new_s=floats(columns["new"]),
        pooled_s=floats(columns["pooled"]),
        reset_s=floats(columns["reset"]),
        calls=calls,
        notes=() if resets else ("The object has no reset(): what its holders leave in it stays in it.",),
    )


def _calls(factory: Callable[[], Any], ends: Callable[[Any], None] | None) -> int:
    """Return how many calls make a round long enough to be timed."""
    calls = 1
    while calls < _MOST_CALLS and _make(factory, ends, calls) < _ROUND_NS:
        calls *= 2
    return calls


def _make(factory: Callable[[], Any], ends: Callable[[Any], None] | None, calls: int) -> int:
    began = time.thread_time_ns()
    if ends is None:
        for _ in repeat(None, calls):
            obj = factory()
    else:
        for _ in repeat(None, calls):
            obj = factory()
            ends(obj)
    took = time.thread_time_ns() - began
    del obj
    return took


def _take(pool: ObjectPool[Any], calls: int) -> int:
    began = time.thread_time_ns()
    for _ in repeat(None, calls):
        obj = pool.acquire()
        pool.release(obj)
    return time.thread_time_ns() - began


def _reset(obj: Any, calls: int) -> int:
    began = time.thread_time_ns()
    for _ in repeat(None, calls):
        obj.reset()
    return time.thread_time_ns() - began


def _empty(calls: int) -> int:
    began = time.thread_time_ns()
    for _ in repeat(None, calls):
        pass
    return time.thread_time_ns() - began
