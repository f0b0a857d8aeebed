"""The allocation sites of a snapshot, greatest first: rows grouped by the line that allocates.

A snapshot's rows are tracebacks; a reader wants lines. Sums are made in numpy over the interned frames, and
ties are broken by name, so that the order never depends on how the snapshot was taken.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab.records.sites import Frame

if TYPE_CHECKING:
    from memlab.records.snapshot import Snapshot

__all__ = ["LineTotal", "top_lines"]


@dataclasses.dataclass(frozen=True, slots=True)
class LineTotal:
    """Live memory that one line allocated."""

    frame: Frame
    size_bytes: int
    blocks: int


def top_lines(snapshot: Snapshot) -> tuple[LineTotal, ...]:
    """Return every allocating line with its total size in bytes and its number of blocks."""
    if not len(snapshot):
        return ()
    allocating = snapshot.allocating[snapshot.traceback]
    used, place = np.unique(allocating, return_inverse=True)
    sizes = np.zeros(len(used), np.int64)
    blocks = np.zeros(len(used), np.int64)
    np.add.at(sizes, place, snapshot.size_bytes)
    np.add.at(blocks, place, snapshot.blocks)
    totals: dict[tuple[str, int], tuple[int, int]] = {}
    for frame, size, count in zip(used.tolist(), sizes.tolist(), blocks.tolist(), strict=True):
        key = (snapshot.files[int(snapshot.frame_file[frame])], int(snapshot.frame_line[frame]))
        before = totals.get(key, (0, 0))
        totals[key] = (before[0] + size, before[1] + count)
    ordered = sorted(totals.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    return tuple(LineTotal(Frame(*key), size, count) for key, (size, count) in ordered)
