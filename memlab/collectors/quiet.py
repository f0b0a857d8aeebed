"""A collection, for the floors that may not touch the collector themselves."""

from __future__ import annotations

import gc

__all__ = ["collect"]


def collect() -> int:
    """Collect all generations, and return the number of objects found.

    >>> collect() >= 0
    True
    """
    return gc.collect()
