"""Rows of different lengths that lie end to end in one array: equal rows found without a Python loop.

A row's hash mixes each entry with its position; rows of equal hash are then compared entry by entry, so the
answer never rests on the hash. Should two different rows ever share one, a plain dictionary decides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memlab._base.grouping import group_keys

__all__ = ["merge_equal", "take_rows"]

_Ints = npt.NDArray[np.int64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def merge_equal(entries: _Ints, lengths: _Ints) -> tuple[_Ints, _Ints]:
    """Group equal rows.

    Args:
        entries: all rows, end to end.
        lengths: length of each row, at least 1.

    Returns:
        For each distinct row the index of one that equals it, and for each row its distinct row.

    Example:
        >>> first, group = merge_equal(np.array([7, 8, 7, 8, 8]), np.array([2, 2, 1]))
        >>> len(first), bool(group[0] == group[1]), bool(group[1] == group[2])
        (2, True, False)
    """
    if not len(lengths):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = lengths.cumsum() - lengths
    position = np.arange(len(entries)) - starts.repeat(lengths)
    hashes = np.add.reduceat(_hashes(entries, position, int(lengths.max())), starts)
    first, group = group_keys(hashes.view(np.int64))
    like = first[group]
    if bool((lengths == lengths[like]).all()):
        expected = entries[starts[like].repeat(lengths) + position]
        if bool((entries == expected).all()):
            return first, group
    return _merge_by_dictionary(entries, starts, lengths)


def take_rows(entries: _Ints, lengths: _Ints, rows: _Ints) -> tuple[_Ints, _Ints]:
    """Return the entries of some rows, end to end, and the lengths of these rows.

    >>> taken, lengths = take_rows(np.array([1, 2, 3, 4]), np.array([1, 2, 1]), np.array([2, 1]))
    >>> taken.tolist(), lengths.tolist()
    ([4, 2, 3], [1, 2])
    """
    starts = lengths.cumsum() - lengths
    taken = lengths[rows]
    position = np.arange(int(taken.sum())) - (taken.cumsum() - taken).repeat(taken)
    return entries[starts[rows].repeat(taken) + position], taken


def _hashes(entries: _Ints, position: _Ints, deepest: int) -> npt.NDArray[np.uint64]:
    """Mix each entry, times an odd number for its position. Entries that are dense are mixed once each."""
    count = int(entries.max()) + 1
    if int(entries.min()) >= 0 and count <= len(entries):
        mixed = _mixed(np.arange(1, count + 1))[entries]
    else:
        mixed = _mixed(entries)
    mixed *= (_mixed(np.arange(1, deepest + 1)) | np.uint64(1))[position]
    return mixed


def _mixed(numbers: _Ints) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed: npt.NDArray[np.uint64] = numbers.astype(np.uint64) * _GOLDEN
    for shift, factor in zip(_SHIFTS, _MIX, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    mixed ^= mixed >> _SHIFTS[2]
    return mixed


def _merge_by_dictionary(entries: _Ints, starts: _Ints, lengths: _Ints) -> tuple[_Ints, _Ints]:
    index: dict[bytes, int] = {}
    first: list[int] = []
    group = np.zeros(len(lengths), np.int64)
    for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        group[row] = at = index.setdefault(entries[start : start + length].tobytes(), len(first))
        if at == len(first):
            first.append(row)
    return np.array(first, np.int64), group
