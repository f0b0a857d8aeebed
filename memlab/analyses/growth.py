"""Tell growth without end from noise, warm-up and filling: the block-minima ratchet.

The first quarter of the readings is dropped as warm-up and the rest split into equal blocks. Memory noise
is one-sided (spikes go up, a leak lifts the floor), so each block is represented by its minimum. A metric
*grew* when every block's minimum lies above the one before; if the readings merely came in random order,
that happens with probability at most 1/blocks!, whatever the noise looks like. It is *sustained* when the
second half grew at least a quarter as much as the first, which a filling cache and a saturating process do
not. A slope's t-test or Mann-Kendall's test on the same series calls 20 to 47 % of healthy programs leaks,
since nearly every healthy program has a trend somewhere.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from memlab.records.leak_report import GrowthTest

if TYPE_CHECKING:
    from memlab.records.columns import Floats, Ints

__all__ = ["BLOCKS", "COUNTS", "MALLOC", "RSS", "GrowthRule", "growth_test"]

_FEWEST_BLOCKS = 4  # 1 / 4! is the weakest bound worth a verdict

# Student's t, two-sided 95 %, for 1 .. 10 degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclasses.dataclass(frozen=True, slots=True)
class GrowthRule:
    """How one kind of metric is tested.

    Attributes:
        blocks: number of blocks; the bound on false positives is 1 / blocks!.
        warmup_share: part of the readings dropped from the start.
        sustain: least ratio of the second half's growth to the first half's.
        floor: least rise over all blocks, in the metric's unit.
        rising: least share of windows that rise (0: not asked). It separates a leak, which lifts the
            process a little in every window, from an allocator that keeps each new record peak.
        alike: least ratio of the slowest block's rise to the quickest one's that does instead (0: nothing
            does): a buffer that grows in great steps rises alike, while new records become rare.
        alike_from: least rate of which that is asked: the interpreter's own tables rise alike too, by some
            bytes a call.
        clear: least ratio of the rise to what these minima could have shown by chance (0: not asked).
        grain: steps in which the metric moves, in its unit; a window must be long enough for four.
    """

    blocks: int = 6
    warmup_share: float = 0.25
    sustain: float = 0.25
    floor: int = 0
    rising: float = 0.0
    alike: float = 0.0
    alike_from: float = 0.0
    grain: int = 4096
    clear: float = 0.0

    def for_few(self, readings: int) -> GrowthRule:
        """Return the rule for a run that growth itself ended soon: all readings count, in fewer blocks."""
        blocks = min(self.blocks, max(_FEWEST_BLOCKS, readings // 2))
        return dataclasses.replace(self, blocks=blocks, warmup_share=0.0)


COUNTS = GrowthRule()
"""For exact counts: tracked objects."""

BLOCKS = GrowthRule(floor=48, clear=0.6)
"""For allocated blocks, of which healthy programs gain one now and then: names, line tables, free lists."""

MALLOC = GrowthRule(sustain=0.5, floor=8192, rising=0.75, alike=0.4, alike_from=1024, grain=256, clear=0.6)
"""For what malloc has handed out, which each thread's cache blurs by some kilobytes."""

RSS = GrowthRule(sustain=0.5, floor=32 * 4096, rising=0.75)
"""For the resident set, which the allocator moves in pages and arenas."""


def growth_test(metric: str, values: Ints, iteration: Ints, rule: GrowthRule) -> GrowthTest | None:
    """Test one metric.

    Args:
        metric: its name, for the record.
        values: readings, shape ``(readings,)``.
        iteration: number of iterations done at each reading, shape ``(readings,)``, strictly increasing.
        rule: how to test.

    Returns:
        The test, or None when there are fewer than two readings a block after warm-up.
    """
    start = int(len(values) * rule.warmup_share)
    tail, at = values[start:], iteration[start:]
    if len(tail) < 2 * rule.blocks:
        return None
    minima, where = _block_minima(tail, at, rule.blocks)
    steps = np.diff(minima)
    rates = steps / np.diff(where)
    rate = float(minima[-1] - minima[0]) / float(where[-1] - where[0])
    margin = _T95[min(len(rates) - 2, len(_T95) - 1)] * float(np.std(rates, ddof=1)) / math.sqrt(len(rates))
    rise = int(minima[-1] - minima[0])
    half = rule.blocks // 2
    first, second = int(minima[half - 1] - minima[0]), int(minima[-1] - minima[half])
    least = _least(minima, at, rule)
    grew = bool((steps > 0).all()) and rise >= rule.floor and rate >= rule.clear * least
    return GrowthTest(
        metric=metric,
        grew=grew,
        sustained=grew
        and second >= rule.sustain * first
        and (_rising_share(tail, rule) >= rule.rising or _all_alike(rates, rule)),
        per_iteration=rate,
        low=rate - margin,
        high=rate + margin,
        minima=tuple(int(m - minima[0]) for m in minima),
        false_positive_bound=1.0 / math.factorial(rule.blocks),
        least=least,
    )


def _block_minima(tail: Ints, at: Ints, blocks: int) -> tuple[Ints, Ints]:
    """Return each block's minimum, and the iteration at which it was read."""
    edges = np.linspace(0, len(tail), blocks + 1).astype(int)
    lowest = [int(lo + np.argmin(tail[lo:hi])) for lo, hi in itertools.pairwise(edges)]
    return tail[lowest], at[lowest]


def _all_alike(rates: Floats, rule: GrowthRule) -> bool:
    plain = rule.alike > 0 and float(rates.mean()) >= rule.alike_from
    return plain and bool(rates.min() >= rule.alike * rates.max())


def _rising_share(tail: Ints, rule: GrowthRule) -> float:
    """Return the share of windows that rise, each long enough to hold a few floors' worth of growth."""
    if not rule.rising:
        return 1.0
    rise = float(tail[-1] - tail[0])
    if rise <= 0:
        return 0.0
    # At least four grains a window, and no more windows than readings can fill.
    windows = int(min(24, len(tail) // 2, max(4, rise // (4 * rule.grain))))
    points = tail[np.linspace(0, len(tail) - 1, windows + 1).astype(int)]
    return float((np.diff(points) > 0).mean())


def _least(minima: Ints, at: Ints, rule: GrowthRule) -> float:
    """Return the smallest growth per iteration that could have been told from this noise.

    From block to block it must outdo what the minima stray from their own straight line.
    """
    line = np.linspace(float(minima[0]), float(minima[-1]), len(minima))
    stray = float(np.ptp(minima - line))
    return max(float(rule.floor), rule.blocks * max(1.0, stray)) / float(at[-1] - at[0])
