"""What a cache did, and what it would have done at other sizes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths

__all__ = ["CacheStats", "HitCurve"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CacheStats(Result):
    """Figures of a cache at one moment. A figure can also be had as ``stats["hits"]``.

    Attributes:
        cache: the kind of cache.
        hits: look-ups by ``get`` that found an entry; ``misses``: that did not. ``in`` counts as neither.
        evictions: entries that went for want of room.
        expirations: entries that went because their lifetime had ended.
        size, max_size: entries there are, and may be; None for no bound.
        failed_callbacks: calls of ``on_evict`` that raised.
        refused: values that were larger than the whole cache may be, and were not stored.
        memory_bytes: what keys, values and entries take by the cache's own count; None where it counts none.
        limit_bytes: the memory limit in force now; ``full_limit_bytes`` the one it was made with.
        estimated: entries whose size is an estimate, because they hold more objects than were looked at.
        shrinks, grows: times the limit was lowered for pressure, and raised again.
        notes: what to know about the figures.
    """

    kind: ClassVar[str] = "cache stats"

    cache: str
    hits: int
    misses: int
    evictions: int
    expirations: int
    size: int
    max_size: int | None
    failed_callbacks: int = 0
    refused: int = 0
    memory_bytes: int | None = None
    limit_bytes: int | None = None
    full_limit_bytes: int | None = None
    estimated: int = 0
    shrinks: int = 0
    grows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def hit_rate(self) -> float | None:
        """Share of look-ups that found an entry; None before the first look-up."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    def __getitem__(self, name: str) -> object:
        """Return a figure by its name."""
        if name.startswith("_") or not hasattr(self, name):
            raise KeyError(name)
        return getattr(self, name)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HitCurve(Result):
    """The hit rate that an LRU cache of each size would have had on one sequence of keys.

    Each key's first look-up is a miss at every size, so the curve ends below 1. Not in it: lifetimes,
    deletions, entries of different weight.

    Attributes:
        sizes: numbers of entries, ascending, shape ``(sizes,)``.
        hit_rate: share of look-ups that would hit, same shape, never falling.
        accesses: look-ups in the sequence.
        distinct: different keys among them; an estimate where keys were sampled.
        sampled: share of the keys that was followed; 1.0 for all.
        current: size of the cache that the keys were recorded at; None for none.
        notes: what to know about the figures.
    """

    kind: ClassVar[str] = "hit curve"

    sizes: Ints
    hit_rate: Floats
    accesses: int
    distinct: int
    sampled: float = 1.0
    current: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths("hit curve", sizes=self.sizes, hit_rate=self.hit_rate)
        if len(self.sizes) and bool((self.sizes[1:] <= self.sizes[:-1]).any()):
            raise ValueError("hit curve: sizes must ascend")
        if not np.isfinite(self.hit_rate).all():
            raise ValueError("hit curve: rates must be finite")

    def at(self, size: int) -> float | None:
        """Return the hit rate of the greatest size listed that is not above ``size``; None below all."""
        below = int((self.sizes <= size).sum())
        return float(self.hit_rate[below - 1]) if below else None

    @property
    def best(self) -> float:
        """The hit rate without any bound."""
        return float(self.hit_rate[-1]) if len(self.hit_rate) else 0.0

    @property
    def enough(self) -> int | None:
        """The least size listed that comes within a hundredth of the best hit rate; None without any."""
        for size, rate in zip(self.sizes.tolist(), self.hit_rate.tolist(), strict=True):
            if rate >= self.best - 0.01:
                return int(size)
        return None
