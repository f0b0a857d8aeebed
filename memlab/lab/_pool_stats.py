"""The figures of a pool at one moment, derived from one counter, what lies idle, and the rare events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.lab._pool_parts import Ageing
from memlab.records.columns import floats, ints
from memlab.records.pool import PoolStats
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from memlab.lab.pool import ObjectPool

__all__ = ["pool_stats"]

_NOT_COUNTED = "this pool was made with counters=False"


def pool_stats(pool: ObjectPool[Any]) -> PoolStats:
    """Return the figures of a pool. Objects too old are closed first."""
    from memlab.lab.pool import counter_value

    if isinstance(pool._idle, Ageing):
        pool._idle.sweep()
        pool._bury()
    with pool._lock:
        out = len(pool._out)
        taken = counter_value(pool._taken) if pool.counters else None
        points = pool._history.until_now(pool._size)
        return PoolStats(
            objects_created=pool._created,
            acquired=taken,
            released=None if taken is None else max(taken - out, 0),
            hits=None if taken is None else max(taken - pool._missed, 0),
            misses=pool._missed,
            idle=len(pool._idle),
            in_use=out,
            size=pool._size,
            high_water_mark=pool._highest,
            expired=pool._expired,
            overflowed=pool._over,
            closed=pool._ended,
            failed=pool._failed,
            min_size=pool.min_size,
            max_size=pool.max_size,
            timeline=Timeline(
                time_s=floats([at for at, _ in points]),
                metrics={"pool_objects": ints([size for _, size in points])},
                sources={"pool_objects": "the pool"},
            ),
            absent={} if pool.counters else dict.fromkeys(("acquired", "released", "hits"), _NOT_COUNTED),
        )
