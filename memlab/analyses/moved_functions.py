"""Which line of an older version of a file is which line of the newer one, where its source was not recorded.

The second level of a join: by file and function. All lines of a function that a snapshot knows move together
when something is inserted above it, so one shift for each function is looked for: the one that pairs all of
its lines, or else the one that pairs most of them, if that is at least two and at least half. A function
whose lines are the same in both has not moved.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.columns import Ints
    from memlab.records.snapshot import Snapshot

__all__ = ["moves_by_function", "shift_of"]

_LEAST = 2
_MOST_LINES = 2000


def moves_by_function(newer: Snapshot, file: int, older: Snapshot, was: int) -> tuple[Ints, Ints]:
    """Return the older snapshot's frames of one file that moved, and their lines in the newer version.

    Args:
        newer: the newer snapshot.
        file: the file there.
        older: the older one.
        was: the same file there.
    """
    lines, before = _lines_by_function(newer, file), _lines_by_function(older, was)
    frames, to = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for function, (old, of) in before.items():
        if function not in lines:
            continue
        new = np.unique(lines[function][0])
        shift = shift_of(np.unique(old).tolist(), new.tolist())
        if shift:
            moved = np.isin(old + shift, new)
            frames.append(of[moved])
            to.append(old[moved] + shift)
    return np.concatenate(frames), np.concatenate(to)


def shift_of(old: Sequence[int], new: Sequence[int]) -> int:
    """Return by how much a function's lines moved; 0 when they did not, or nothing can be said.

    >>> shift_of([10, 12, 15], [20, 22, 25]), shift_of([10, 12], [10, 13]), shift_of([10], [14])
    (10, 0, 4)
    >>> shift_of([10, 12, 15], [21, 22, 25, 30]), shift_of([1, 9], [3, 4])
    (10, 0)
    """
    if len(old) == len(new):
        shifts = {b - a for a, b in zip(old, new, strict=True)}
        if len(shifts) == 1:
            return shifts.pop()
    if max(len(old), len(new)) > _MOST_LINES:
        return 0
    pairs = Counter(b - a for a in old for b in new)
    most = max(pairs.values(), default=0)
    if most < _LEAST or 2 * most < min(len(old), len(new)):
        return 0
    return min((shift for shift, count in pairs.items() if count == most), key=abs)


def _lines_by_function(snapshot: Snapshot, file: int) -> dict[str, tuple[Ints, Ints]]:
    """Return, by function, the lines that a snapshot has of it, and their frames."""
    if not len(snapshot.frame_function):
        return {}
    frames = np.flatnonzero((snapshot.frame_file == file) & (snapshot.frame_function >= 0))
    frames = frames[snapshot.frame_line[frames] > 0]
    of = snapshot.frame_function[frames]
    return {
        snapshot.functions[number]: (snapshot.frame_line[at], at)
        for number in np.unique(of).tolist()
        for at in [frames[of == number]]
    }
