"""The rank-sum test of Mann and Whitney, exact for few samples, and the shift that goes with it.

H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the
other", Annals of Mathematical Statistics 18 (1947). Ties count half. Up to 400 pairs the distribution of the
statistic is counted out (without ties; with ties that is a little conservative), beyond it is the normal one
with the correction for ties. The shift is that of Hodges and Lehmann (1963): the median over all pairs.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from memlab.records.columns import Floats

__all__ = ["greater_chance", "greater_chances", "pair_interval"]

_EXACT_PAIRS = 400
_Z95 = 1.959963984540054


def greater_chance(newer: Floats, older: Floats) -> float:
    """Return the probability of ranks this much in favour of ``newer`` when both are alike (one-sided p).

    >>> import numpy as np
    >>> greater_chance(np.array([4.0, 5, 6]), np.array([1.0, 2, 3]))
    0.05
    """
    m, n = len(newer), len(older)
    if not m or not n:
        return 1.0
    statistic = _statistic(newer, older)
    if m * n <= _EXACT_PAIRS:
        counts = _counts(m, n)
        return float(sum(counts[math.floor(statistic) :])) / math.comb(m + n, m)
    return _normal_tail(statistic, m, n, _tie_term(np.concatenate((newer, older))))


def greater_chances(newer: Floats, older: Floats) -> Floats:
    """Return the same for many pairs of samples at once, shape ``(pairs, samples)`` each.

    >>> import numpy as np
    >>> greater_chances(np.array([[4.0, 5, 6]]), np.array([[1.0, 2, 3]])).tolist()
    [0.05]
    """
    m, n = newer.shape[1], older.shape[1]
    above = (newer[:, :, None] > older[:, None, :]).sum(axis=(1, 2))
    level = (newer[:, :, None] == older[:, None, :]).sum(axis=(1, 2))
    statistic = above + level / 2
    if m * n <= _EXACT_PAIRS:
        counts = np.array(_counts(m, n), dtype=float)
        tails = np.cumsum(counts[::-1])[::-1] / math.comb(m + n, m)
        found: Floats = tails[np.floor(statistic).astype(int)]
        return found
    return np.array([_normal_tail(float(s), m, n, 0.0) for s in statistic])


def pair_interval(newer: Floats, older: Floats) -> tuple[float, float, float]:
    """Return the median over all ratios of a newer to an older value, and its interval at 95 %.

    >>> import numpy as np
    >>> pair_interval(np.array([2.0, 2, 2, 2]), np.array([1.0, 1, 1, 1]))
    (2.0, 2.0, 2.0)
    """
    m, n = len(newer), len(older)
    ratios = np.sort((newer[:, None] / older[None, :]).ravel())
    out = round(m * n / 2 - _Z95 * math.sqrt(m * n * (m + n + 1) / 12))
    first = min(max(out, 0), (m * n - 1) // 2)
    return float(np.median(ratios)), float(ratios[first]), float(ratios[m * n - 1 - first])


def _statistic(newer: Floats, older: Floats) -> float:
    ordered = np.sort(older)
    below = np.searchsorted(ordered, newer, side="left").sum()
    up_to = np.searchsorted(ordered, newer, side="right").sum()
    return float(below + up_to) / 2


@functools.lru_cache(maxsize=64)
def _counts(m: int, n: int) -> tuple[int, ...]:
    """Return how many of the orders of m and n values give each value of the statistic.

    The coefficients of the Gaussian binomial: the product of (1 - q^(n+i)) over that of (1 - q^i).
    """
    counts = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for at in range(m * n, n + i - 1, -1):
            counts[at] -= counts[at - n - i]
        for at in range(i, m * n + 1):
            counts[at] += counts[at - i]
    return tuple(counts)


def _tie_term(values: Floats) -> float:
    _, together = np.unique(values, return_counts=True)
    return float((together.astype(float) ** 3 - together).sum())


def _normal_tail(statistic: float, m: int, n: int, ties: float) -> float:
    total = m + n
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:  # every value is the same
        return 1.0
    z = (statistic - m * n / 2 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))
