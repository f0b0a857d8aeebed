"""Where things stand in a picture: scales, round ticks, thinning that keeps every peak, and the ratchet.

Pure numbers, no markup: the page's SVG and matplotlib both draw from here. Thinning keeps, for each stretch
of time, its first, lowest, highest and last reading, so that no peak is ever lost however narrow.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from memlab.analyses.growth import COUNTS

if TYPE_CHECKING:
    from memlab.records.columns import Floats, Ints
    from memlab.records.leak_report import GrowthTest

__all__ = ["Block", "Scale", "pick", "ratchet", "round_ticks", "tick_label"]

_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value, rounded to a tenth."""
        span = self.high - self.low
        part = (value - self.low) / span if span else 0.5
        return round(self.start + part * (self.end - self.start), 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """A stretch of readings, ``start`` to ``stop`` (not in it), and the reading that is its minimum."""

    start: int
    stop: int
    lowest: int


def pick(values: Ints | Floats, buckets: int) -> Ints:
    """Return the indices of at most ``4 * buckets`` readings that keep the shape and every extreme.

    >>> import numpy as np
    >>> spike = np.zeros(1000); spike[617] = 9.0
    >>> 617 in pick(spike, 20), len(pick(spike, 20)) <= 80
    (True, True)
    """
    count = len(values)
    if count <= 4 * buckets:
        return np.arange(count, dtype=np.int64)
    kept: set[int] = set()
    edges = np.linspace(0, count, buckets + 1).astype(int).tolist()
    for start, stop in itertools.pairwise(edges):
        part = values[start:stop]
        kept.update((start, start + int(part.argmin()), start + int(part.argmax()), stop - 1))
    return np.array(sorted(kept), dtype=np.int64)


def ratchet(values: Ints, test: GrowthTest) -> tuple[Block, ...]:
    """Return the blocks that a test was made from, found again in its readings.

    The record keeps the minima, not the blocks' edges. Edges are taken only when they give these very
    minima; otherwise nothing is returned, so that a picture never shows what was not tested.
    """
    for dropped in dict.fromkeys((int(len(values) * COUNTS.warmup_share), 0)):
        tail = values[dropped:]
        if not test.minima or len(tail) < len(test.minima):
            continue
        edges = [dropped + int(e) for e in np.linspace(0, len(tail), len(test.minima) + 1)]
        blocks = tuple(
            Block(lo, hi, lo + int(np.argmin(values[lo:hi]))) for lo, hi in itertools.pairwise(edges)
        )
        first = int(values[blocks[0].lowest])
        if tuple(int(values[block.lowest]) - first for block in blocks) == test.minima:
            return blocks
    return ()


def round_ticks(
    low: float, high: float, *, sizes: bool, about: int = 4, whole: bool = True
) -> tuple[float, ...]:
    """Return evenly spaced round values that enclose ``low`` to ``high``.

    Args:
        low: least value shown.
        high: greatest value shown.
        sizes: round in powers of two (bytes) rather than of ten.
        about: number of steps aimed at.
        whole: never step by less than 1 (sizes and counts are whole numbers).

    >>> round_ticks(0, 46_137_344, sizes=True) == tuple(n * 2**24 for n in range(4))
    True
    >>> round_ticks(0, 97, sizes=False)
    (0.0, 50.0, 100.0)
    """
    span = high - low
    if span <= 0:
        pad = max(abs(low) * 0.05, 1.0)
        low, high, span = low - pad, high + pad, 2 * pad
    rough = span / about
    if sizes:
        step = 2.0 ** max(0, math.ceil(math.log2(rough)))
    else:
        base = 10.0 ** math.floor(math.log10(rough))
        step = base * next(f for f in (1, 2, 5, 10) if f * base >= rough * 0.999)
        step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(n * step for n in range(first, last + 1))


def tick_label(value: float, step: float, *, sizes: bool, signed: bool = False) -> str:
    """Write a tick in the unit of the distance between ticks, so that no two ticks read the same.

    >>> tick_label(3 * 2**20, 2**20, sizes=True), tick_label(2000, 500, sizes=False, signed=True)
    ('3 MiB', '+2,000')
    """
    unit = ""
    if sizes:
        power = min(int(math.log2(step) // 10), len(_UNITS) - 1) if step >= 1 else 0
        value, step, unit = value / _STEP**power, step / _STEP**power, f" {_UNITS[power]}"
    digits = 0 if step >= 1 else math.ceil(-math.log10(step))
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{value:,.{digits}f}{unit}"
