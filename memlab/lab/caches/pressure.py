"""How a cache hears of memory pressure: anything that can be read, or any alert that calls back.

A source is an object with ``read()``, whose answer has ``limit_bytes``, ``available_bytes`` and
``rss_bytes`` (any of them may be None), or a callable that returns the share of memory in use, from 0 to 1.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

from memlab.errors import UsageError
from memlab.lab.memory_monitor import MemoryMonitor

__all__ = ["MemoryReader", "check_source", "share_in_use"]


@runtime_checkable
class MemoryReader(Protocol):
    """What a cache can be told to watch; ``MemoryMonitor`` is one."""

    def read(self) -> Any:
        """Return a reading of memory."""


def share_in_use(source: Any) -> float | None:
    """Return the share of memory in use, from 0 to 1; None where the source cannot tell.

    Of two figures the worse one counts: the process's own size against the limit, and what is no longer
    available under it.

    >>> import types
    >>> share_in_use(types.SimpleNamespace(read=lambda: types.SimpleNamespace(
    ...     limit_bytes=1000, available_bytes=100, rss_bytes=300)))
    0.9
    >>> share_in_use(lambda: 0.25)
    0.25
    """
    if isinstance(source, MemoryMonitor):
        reading: Any = source.read(uss=False)  # which walks every page of the process
    else:
        reading = source.read() if hasattr(source, "read") else source()
    if reading is None:
        return None
    if isinstance(reading, (int, float)):
        return float(reading) if math.isfinite(reading) else None
    limit = getattr(reading, "limit_bytes", None)
    if not limit:
        return None
    available, rss = getattr(reading, "available_bytes", None), getattr(reading, "rss_bytes", None)
    shares = []
    if available is not None:
        shares.append(1 - available / limit)
    if rss is not None:
        shares.append(rss / limit)
    return min(max(*shares, 0.0), 1.0) if shares else None


def check_source(source: Any) -> None:
    """Refuse what cannot be read.

    Raises:
        UsageError: when it can not.
    """
    if source is not None and not callable(getattr(source, "read", source)):
        raise UsageError(
            "making a cache: monitor must have a method read(), as MemoryMonitor has, or be a callable that"
            f" returns the share of memory in use; {type(source).__name__} is neither"
        )
