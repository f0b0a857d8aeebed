"""The hit rate of an LRU cache at every size, from one sequence of keys and in one pass.

An LRU cache of n entries hits exactly when fewer than n other keys were used since the key's last use; that
number is the access's reuse distance (R. L. Mattson and others, "Evaluation techniques for storage
hierarchies", IBM Systems Journal 9, 1970). A Fenwick tree over the sequence counts them: log n steps for
each access.

A long sequence is sampled by key: a key is followed when its hash falls below a bound, and distances are
scaled by the share of keys that are followed (C. Waldspurger and others, "Efficient MRC construction with
SHARDS", FAST 2015, with its correction for the number of accesses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.errors import UsageError
from memlab.records.cache import HitCurve
from memlab.records.columns import floats, ints

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    import numpy.typing as npt

__all__ = ["hit_curve"]

_MODULUS = 1 << 24
_MIX = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
_POINTS = 64


def hit_curve(
    keys: Iterable[Hashable],
    sizes: Sequence[int] | None = None,
    *,
    current: int | None = None,
    most: int = 100_000,
) -> HitCurve:
    """Return the hit rate that an LRU cache of each size would have had on a sequence of keys.

    Every look-up is taken to be followed by a ``put`` when it misses. Not in it: lifetimes, deletions, and
    entries of different weight.

    Args:
        keys: the keys looked up, in order.
        sizes: numbers of entries to look at; None: up to 64, from 1 to the number of different keys.
        current: a size to look at in any case, and to mark.
        most: look-ups to follow; of a longer sequence keys are sampled.

    Raises:
        UsageError: when there are no keys, or a size is none.

    Example:
        >>> curve = hit_curve(["a", "b", "a", "c", "b", "a"])
        >>> curve.sizes.tolist(), [round(rate, 2) for rate in curve.hit_rate.tolist()]
        ([1, 2, 3], [0.0, 0.17, 0.5])
    """
    sequence = [hash(key) for key in keys]
    if not sequence:
        raise UsageError("asking what if: there are no keys; look some up first")
    if type(most) is not int or most < 1:
        raise UsageError(f"asking what if: most must be a number of look-ups from 1, not {most!r}")
    share = min(1.0, most / len(sequence))
    followed = sequence if share == 1.0 else _sample(sequence, share)
    distances = _distances(followed)
    scaled = np.sort(np.ceil(distances / share)) if share < 1.0 else np.sort(distances)
    distinct = len(followed) - len(distances)
    if share < 1.0:
        distinct = max(round(distinct / share), 1)
    chosen = _sizes(sizes, current, distinct)
    # The correction of SHARDS: what was followed too much or too little counts as the nearest of reuses.
    missing = len(sequence) * share - len(followed)
    hits = np.searchsorted(scaled, chosen, side="right") + (missing if share < 1.0 else 0.0)
    rates = np.clip(hits / (len(sequence) * share), 0.0, 1.0)
    coarse = (
        f"{share * 100:.2g} % of the keys were followed, {len(followed):,} look-ups; sizes below"
        f" {round(10 / share):,} entries are coarse."
    )
    return HitCurve(
        sizes=ints(chosen),
        hit_rate=floats(rates),
        accesses=len(sequence),
        distinct=distinct,
        sampled=share,
        current=current,
        notes=(coarse,) if share < 1.0 else (),
    )


def _sample(sequence: list[int], share: float) -> list[int]:
    """Keep all look-ups of about that share of the keys."""
    bound = share * _MODULUS
    return [key for key in sequence if ((key * _MIX & _WORD) >> 40) % _MODULUS < bound]


def _distances(sequence: list[int]) -> npt.NDArray[Any]:
    """Return for each look-up of a key seen before how many keys were used since, itself included."""
    count = len(sequence)
    tree = [0] * (count + 1)  # Fenwick: 1 at the last use of each key
    last: dict[int, int] = {}
    found = []
    for at, key in enumerate(sequence, 1):
        before = last.get(key)
        if before is not None:
            live = len(last)
            node = before
            while node:  # last uses up to and including the key's own
                live -= tree[node]
                node &= node - 1
            found.append(live + 1)
            node = before
            while node <= count:
                tree[node] -= 1
                node += node & -node
        node = at
        while node <= count:
            tree[node] += 1
            node += node & -node
        last[key] = at
    return np.array(found, dtype=np.float64)


def _sizes(sizes: Sequence[int] | None, current: int | None, distinct: int) -> npt.NDArray[Any]:
    if sizes is None:
        chosen = np.unique(np.round(np.geomspace(1, max(distinct, 1), _POINTS)).astype(np.int64))
    else:
        if not len(sizes) or any(type(size) is not int or size < 1 for size in sizes):
            raise UsageError("asking what if: sizes must be whole numbers of entries from 1")
        chosen = np.unique(np.array(sizes, dtype=np.int64))
    return np.union1d(chosen, [current]).astype(np.int64) if current is not None else chosen
