"""Intervals of estimates: between which bounds a sampled site's bytes lie, for any way to group.

What the samples of a site are for certain, its sampled blocks, needs no estimate. The rest, what was not
sampled, is estimated by the sum ``y`` of ``s (1 - p) / p`` over samples of ``s`` bytes and chance ``p``,
whose variance is estimated by the sum ``v`` of ``s**2 (1 - p) / p**2``. For small blocks that is a sum of
Poisson counts times the mean gap ``T``, and the interval is the one for weighted sums of such: M. Fay and
E. Feuer, "Confidence intervals for directly standardized rates", Statistics in Medicine 16, 1997, with
``T`` for the weight of a sample that was not drawn. Blocks near ``T`` and above are few and come whole, so
the lower bound gives way by one block that was missed, of the size that such a block has on average. It
holds at least as often as it says.

The level is so high because tables are read by their greatest ten sites: all ten lie in their intervals 98
times of a hundred.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.grouping import sums
from memlab.records.columns import ints

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from memlab.records.columns import Ints
    from memlab.records.snapshot import Snapshot

__all__ = ["LEVEL", "bounds", "gamma_quantile", "unseen_bytes"]

LEVEL = 0.998
"""Share of intervals that hold the true value."""
_HALVINGS = 60
_LARGE = 400.0
_TERMS = 600


def unseen_bytes(snapshot: Snapshot) -> int:
    """Return how much a site without a sample holds at most, at the same level; 0 where all is recorded."""
    return math.ceil(-math.log((1 - LEVEL) / 2) * max(snapshot.sample_bytes, 0))


def bounds(snapshot: Snapshot, summed: Callable[[Snapshot], Ints]) -> tuple[Ints, Ints]:
    """Return the lower and the upper bound of each site's bytes.

    Args:
        snapshot: an estimated one, with the sizes of its samples.
        summed: sums up a snapshot's ``size_bytes`` by site.
    """
    columns = [summed(dataclasses.replace(snapshot, size_bytes=c)) for c in _parts(snapshot)]
    certain, rest, spread, missed, squared = (np.asarray(column, np.float64) for column in columns)
    gap = float(snapshot.sample_bytes)
    variance = spread * gap
    low = np.zeros(len(certain))
    some = (rest > 0) & (variance > 0)
    tail = (1 - LEVEL) / 2
    scale, shape = variance[some] / rest[some], rest[some] ** 2 / variance[some]
    one_block = squared[some] * gap / np.maximum(missed[some], 1.0)
    low[some] = np.maximum(scale * gamma_quantile(tail, shape) - one_block, 0.0)
    more, wider = rest + gap, variance + gap * gap
    high = wider / more * gamma_quantile(1 - tail, more**2 / wider)
    most = 2.0**62
    return tuple(  # type: ignore[return-value]
        ints(np.clip(np.nan_to_num(bound), 0, most))
        for bound in (np.floor(certain + low), np.ceil(certain + high))
    )


def _parts(snapshot: Snapshot) -> tuple[Ints, ...]:
    """Return for each row what is certain, what is estimated beyond it, and that one's variance over ``T``.

    Then the sums over samples of their size, and of its square over ``T``, times the chance to be missed.
    """
    rows = len(snapshot)
    gap = float(snapshot.sample_bytes)
    row = np.arange(rows).repeat(np.diff(snapshot.hist_starts)) if rows else np.zeros(0, np.int64)
    whole = np.maximum(snapshot.hist_size, 0)
    size, count = whole.astype(np.float64), snapshot.hist_count.astype(np.float64)
    chance = -np.expm1(-size / gap)
    missed = np.exp(-size / gap)
    chance[size == 0] = 1.0
    rest = count * size * missed / chance
    spread = count * (size / chance) ** 2 * missed / gap
    certain = sums(row, whole * snapshot.hist_count.astype(np.int64), rows)
    return (
        ints(certain),
        ints(np.rint(np.bincount(row, rest, rows))),
        ints(np.rint(np.bincount(row, spread, rows))),
        ints(np.rint(np.bincount(row, count * size * missed, rows))),
        ints(np.rint(np.bincount(row, count * size * size * missed / gap, rows))),
    )


def gamma_quantile(level: float, shape: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return quantiles of gamma distributions with scale 1.

    Large shapes by E. Wilson's and M. Hilferty's cube root (PNAS 17, 1931), others by halving.

    >>> [round(float(q), 3) for q in gamma_quantile(0.975, np.array([1.0, 10.0, 1000.0]))]
    [3.689, 17.085, 1062.922]
    """
    found = np.zeros(len(shape))
    large = shape > _LARGE
    root = shape[large]
    normal = _normal_quantile(level)
    found[large] = root * (1 - 1 / (9 * root) + normal / (3 * np.sqrt(root))) ** 3
    small = shape[~large]
    low, high = np.zeros(len(small)), small + 12 * np.sqrt(small) + 60
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = _gamma_below(small, middle) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found[~large] = (low + high) / 2
    return found


def _gamma_below(shape: npt.NDArray[np.float64], value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the regularised lower incomplete gamma function, by its series (DLMF 8.7.1)."""
    if not len(shape):
        return shape
    value = np.maximum(value, 1e-300)
    logarithm = np.array([math.lgamma(s + 1) for s in shape.tolist()])
    term = np.exp(shape * np.log(value) - value - logarithm)
    total = term.copy()
    for number in range(1, _TERMS * 3):
        term = term * value / (shape + number)
        total += term
        if bool((term <= total * 1e-13).all()):
            break
    below: npt.NDArray[np.float64] = np.minimum(total, 1.0)
    return below


def _normal_quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(level)
