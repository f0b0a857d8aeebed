"""What a pool of objects did, and whether pooling pays: figures of one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths
from memlab.records.timeline import Timeline

__all__ = ["PoolStats", "PoolWorth"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PoolStats(Result):
    """Figures of an object pool at one moment. A figure can also be had as ``stats["hits"]``.

    Attributes:
        objects_created: objects that the factory made, those of the start included.
        acquired: times an object was taken; None where the pool does not count.
        released: times one was given back, or closed on its way back; None where the pool does not count.
        hits: acquisitions served by an object that was there; None where the pool does not count.
        misses: acquisitions for which an object had to be made.
        idle: objects that lie ready.
        in_use: objects that are out, those that nobody will ever give back included.
        size: objects alive: idle, out, and just being made.
        high_water_mark: greatest ``size`` so far. Not the greatest number out at one time.
        expired: objects that lay idle for longer than the pool's ``ttl``.
        overflowed: times that more than ``max_size`` objects were asked for.
        closed: objects that were let go, the expired ones and those that failed included.
        failed: calls of ``reset`` or ``close`` that raised.
        min_size, max_size: the pool's own.
        time_s, sizes: when the pool's ``size`` changed and to what, seconds since it was made, shape
            ``(points,)``; every change until there are 2,048, then thinned.
        absent: figures that are not known, each with the reason.
    """

    kind: ClassVar[str] = "pool stats"

    objects_created: int
    acquired: int | None
    released: int | None
    hits: int | None
    misses: int
    idle: int
    in_use: int
    size: int
    high_water_mark: int
    expired: int
    overflowed: int
    closed: int
    failed: int
    min_size: int
    max_size: int
    time_s: Floats
    sizes: Ints
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths("pool stats", time_s=self.time_s, sizes=self.sizes)

    @property
    def timeline(self) -> Timeline:
        """The pool's size over time, as a timeline of the metric ``pool_objects``."""
        return Timeline(self.time_s, {"pool_objects": self.sizes}, {"pool_objects": "the pool"})

    @property
    def hit_rate(self) -> float | None:
        """Share of acquisitions served by an object that was there; None before the first one."""
        return self.hits / self.acquired if self.acquired and self.hits is not None else None

    def __getitem__(self, name: str) -> object:
        """Return a figure by its name."""
        if name.startswith("_") or not hasattr(self, name):
            raise KeyError(name)
        return getattr(self, name)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PoolWorth(Result):
    """Whether pooling pays for what a factory makes, from rounds of both ways in turn.

    CPU time of one thread. Not in it: what making an object costs others, such as a server, the collector or
    the allocator under load from more threads, and memory that a pool keeps.

    Attributes:
        type_name: what the factory makes.
        new_s: seconds to make and drop one object, one figure a round, shape ``(rounds,)``.
        pooled_s: seconds to take one from a pool and give it back, its reset included; same shape.
        reset_s: seconds of the object's own ``reset``; same shape; nought where it has none.
        calls: calls in each round.
    """

    kind: ClassVar[str] = "pool worth"

    type_name: str
    new_s: Floats
    pooled_s: Floats
    reset_s: Floats
    calls: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not check_lengths("pool worth", new=self.new_s, pooled=self.pooled_s, reset=self.reset_s):
            raise ValueError("pool worth: no round was measured")
        for column in (self.new_s, self.pooled_s, self.reset_s):
            if not np.isfinite(column).all() or bool((column < 0).any()):
                raise ValueError("pool worth: durations must be finite and not below 0")

    @property
    def speedup(self) -> float:
        """How many times quicker the pool is, median over the rounds; below 1 it is slower."""
        return _middle([new / max(pooled, 1e-12) for new, pooled in self._pairs()])

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of that ratio over the rounds."""
        ratios = sorted(new / max(pooled, 1e-12) for new, pooled in self._pairs())
        return ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]

    @property
    def pays(self) -> bool:
        """Whether pooling is quicker by a tenth or more, in three rounds of four."""
        return self.spread[0] >= 1.1  # noqa: PLR2004 - less is not worth a pool

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        name = self.type_name.rpartition(".")[2]
        if self.pays:
            return f"Pooling pays for {name}: {self.speedup:.1f} times as fast as making one anew"
        if self.spread[1] < 1:
            slower = 1 / self.speedup
            return f"Pooling does not pay for {name}: it takes {slower:.1f} times as long as making one anew"
        return f"Pooling does not pay for {name}: it gains nothing that could be told from noise"

    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self.new_s.tolist(), self.pooled_s.tolist(), strict=True))


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
