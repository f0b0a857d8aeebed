"""Compare two snapshots: an outer join of their sites by content.

Both snapshots' frames become codes in one table (``axes``), lines of edited files those of the newer version
(``moved_lines``), so that the join itself is arithmetic on integer columns. Whole tracebacks are joined by a
64-bit hash of their codes, and the frames of what the hash joins are compared. Tracebacks of snapshots with
different depths are cut to the lesser one. Order is that of ``tracemalloc``'s ``compare_to``.
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.grouping import sums
from memlab._base.ragged import merge_equal, take_rows
from memlab._base.units import format_bytes
from memlab.analyses.axes import axis_of, checked
from memlab.analyses.grouping import rank_tied, site_sums, traceback_totals
from memlab.analyses.moved_lines import Moves, moves_between
from memlab.errors import UsageError
from memlab.records.columns import ints, no_ints
from memlab.records.snapshot_tables import SnapshotDiff

if TYPE_CHECKING:
    from memlab.analyses.axes import Axis
    from memlab.records.columns import Ints
    from memlab.records.sites import By, Cumulative, Sites
    from memlab.records.snapshot import Snapshot

__all__ = ["check_comparable", "diff_snapshots"]


def diff_snapshots(
    newer: Snapshot,
    older: Snapshot,
    by: By = "line",
    *,
    cumulative: bool | Cumulative = False,
    per: int = 1,
    unchanged: bool = False,
) -> SnapshotDiff:
    """Return what changed from ``older`` to ``newer``, greatest absolute growth first.

    Sites that did not change are left out, unless ``unchanged`` asks for them.

    Raises:
        UsageError: when the two come from different engines or measure different things, ``by`` is no way to
            group, or ``per`` no number of iterations.
    """
    by, mode = checked(by, cumulative, "comparing snapshots")
    check_comparable(newer, older)
    if type(per) is not int or per < 1:
        raise UsageError(f"comparing snapshots: per must be a number of iterations from 1, not {per!r}")
    moves, axis = _aligned(newer, older, by, callers=bool(mode))
    pair = (newer, moves.older)
    joined = _by_traceback(pair, axis) if by == "traceback" else _by_site(pair, axis, by, mode)
    size, blocks = joined.size, joined.blocks
    size_diff, blocks_diff = size - joined.old_size, blocks - joined.old_blocks
    keys = (np.abs(size_diff), size, np.abs(blocks_diff), blocks)
    order = np.flatnonzero((size_diff != 0) | (blocks_diff != 0)) if not unchanged else np.arange(len(size))
    order = joined.sorted(order, keys)
    moved = _moved_from(moves, axis, joined.firsts(order)) if by in ("line", "traceback") else no_ints()
    return SnapshotDiff(
        by=by,
        places=joined.places(axis, order),
        size_bytes=ints(size[order]),
        size_diff_bytes=ints(size_diff[order]),
        blocks=ints(blocks[order]),
        blocks_diff=ints(blocks_diff[order]),
        total_diff_bytes=newer.total_bytes - older.total_bytes,
        total_diff_blocks=newer.total_blocks - older.total_blocks,
        per=per,
        cumulative=mode,
        moved_from=moved,
        older_label=older.label,
        newer_label=newer.label,
        engine=newer.engine,
        measure=newer.measure,
        notes=_notes(newer, older, by, moves),
        older=older,
        newer=newer,
    )


def _aligned(newer: Snapshot, older: Snapshot, by: By, *, callers: bool) -> tuple[Moves, Axis]:
    """Return what became of the older one's lines, and both one's codes; kept for the next question.

    The newer snapshot keeps them for the one it was last compared with, which it does not keep alive.
    """
    known: _Kept | None = newer.kept.get("compared")
    if known is None or known.older() is not older:
        moves = moves_between(newer, older)
        if moves.older is not older:  # some of its files have other names now: a snapshot of its own
            return moves, axis_of((newer, moves.older), by, (newer.frame_line, moves.lines), callers=callers)
        known = newer.kept["compared"] = _Kept(weakref.ref(older), moves.lines, moves.notes, moves.edited, {})
    moves = Moves(older, known.lines, known.notes, known.edited)
    axis = known.axes.get((by, callers))
    if axis is None:
        axis = axis_of((newer, older), by, (newer.frame_line, moves.lines), callers=callers)
        known.axes[by, callers] = axis
    return moves, axis


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What a comparison found: see ``Moves`` and ``Axis``."""

    older: weakref.ref[Snapshot]
    lines: Ints
    notes: tuple[str, ...]
    edited: bool
    axes: dict[tuple[By, bool], Axis]


def check_comparable(newer: Snapshot, older: Snapshot) -> None:
    """Refuse snapshots whose figures are no like quantities.

    Raises:
        UsageError: when the two come from different engines, or measure different things.
    """
    if newer.engine != older.engine:
        raise UsageError(
            f"comparing snapshots: one was recorded by {newer.engine}, the other by {older.engine}; they "
            "count different things, so take both with the same engine"
        )
    if newer.sample_bytes != older.sample_bytes:
        each = [format_bytes(s.sample_bytes) for s in (newer, older)]
        raise UsageError(
            f"comparing snapshots: one has a sample each {each[0]}, the other each {each[1]}; what the one "
            "lists the other may have missed, so take both with the same sample"
        )
    if newer.measure != older.measure:
        raise UsageError(
            f"comparing snapshots: one holds {newer.measure} blocks, the other {older.measure} ones; take "
            "the same of both"
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """Sites of both snapshots: each a code, or, with ``lengths``, several places in the table of codes."""

    codes: Ints
    size: Ints
    old_size: Ints
    blocks: Ints
    old_blocks: Ints
    entries: Ints | None = None
    lengths: Ints | None = None

    def sorted(self, rows: Ints, keys: tuple[Ints, ...]) -> Ints:
        """Sort rows by the keys, falling, then by name."""
        falling = [-key[rows] for key in keys[::-1]]
        if self.entries is None or self.lengths is None:
            return rows[np.lexsort((-self.codes[rows], *falling))]
        return rank_tied(rows[np.lexsort(falling)], keys, self.entries, self.lengths)

    def firsts(self, rows: Ints) -> Ints:
        """Return the code of each row's most recent frame."""
        if self.entries is None or self.lengths is None:
            return self.codes[rows]
        return self.codes[self.entries[(self.lengths.cumsum() - self.lengths)[rows]]]

    def places(self, axis: Axis, rows: Ints) -> Sites:
        """Return the sites of some rows."""
        if self.entries is None or self.lengths is None:
            return axis.sites(self.codes[rows])
        return axis.stacks(self.codes, *take_rows(self.entries, self.lengths, rows))


def _by_site(pair: tuple[Snapshot, Snapshot], axis: Axis, by: By, mode: Cumulative) -> _Joined:
    new, old = (site_sums(s, codes, by, mode) for s, codes in zip(pair, axis.codes, strict=True))
    codes = np.union1d(new[0], old[0])

    def spread(sites: Ints, values: Ints) -> Ints:
        column = np.zeros(len(codes), np.int64)
        column[np.searchsorted(codes, sites)] = values
        return column

    return _Joined(codes, spread(*new[:2]), spread(*old[:2]), spread(new[0], new[2]), spread(old[0], old[2]))


def _by_traceback(pair: tuple[Snapshot, Snapshot], axis: Axis) -> _Joined:
    depth = min(s.depth for s in pair)
    used, place = np.unique(np.concatenate(axis.codes), return_inverse=True)
    places = np.split(place, [len(axis.codes[0])])
    entries, lengths = [], []
    for snapshot, of_frame in zip(pair, places, strict=True):
        whole, stacks = np.diff(snapshot.starts), of_frame[snapshot.frame_of]
        if int(whole.max(initial=0)) > depth:
            cut = np.minimum(whole, depth)
            position = np.arange(int(cut.sum())) - (cut.cumsum() - cut).repeat(cut)
            stacks, whole = stacks[snapshot.starts[:-1].repeat(cut) + position], cut
        entries.append(stacks)
        lengths.append(whole)
    together, row_lengths = np.concatenate(entries), np.concatenate(lengths)
    first, site = merge_equal(together, row_lengths)
    new, old, count = site[: len(lengths[0])], site[len(lengths[0]) :], len(first)
    (size, blocks), (old_size, old_blocks) = (traceback_totals(s) for s in pair)
    return _Joined(
        used,
        sums(new, size, count),
        sums(old, old_size, count),
        sums(new, blocks, count),
        sums(old, old_blocks, count),
        *take_rows(together, row_lengths, first),
    )


def _moved_from(moves: Moves, axis: Axis, firsts: Ints) -> Ints:
    """Return where the older snapshot has the line of each site's first frame; 0 where it did not move."""
    if not moves.edited:
        return no_ints()
    moved = np.flatnonzero(moves.lines != moves.older.frame_line)
    codes, one = np.unique(axis.codes[1][moved], return_index=True)
    if not len(codes):
        return no_ints()
    lines = moves.older.frame_line[moved][one]
    at = np.minimum(np.searchsorted(codes, firsts), len(codes) - 1)
    gone = moves.lines[moved][one] >= 1 << 32
    return ints(np.where((codes[at] == firsts) & ~gone[at], lines[at], 0))


def _notes(newer: Snapshot, older: Snapshot, by: By, moves: Moves) -> tuple[str, ...]:
    notes = list(dict.fromkeys([*older.notes, *newer.notes, *moves.notes]))
    if by == "traceback" and newer.depth != older.depth:
        notes.append(f"compared by the most recent {min(newer.depth, older.depth)} frames, which both have")
    if newer.sample_bytes or older.sample_bytes:
        notes.append("sizes are estimates from a sample of all blocks; small differences may be chance")
    return tuple(notes)
