"""Compare two snapshots: an outer join of their sites by content.

Both snapshots' frames become codes in one table (``axes``), lines of edited files those of the newer version
(``moved_lines``), so that the join itself is arithmetic on integer columns. Whole tracebacks are joined by a
64-bit hash of their codes, and the frames of what the hash joins are compared. Tracebacks of snapshots with
different depths are cut to the lesser one. Order is that of ``tracemalloc``'s ``compare_to``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.grouping import sums
from memlab._base.ragged import merge_equal, take_rows
from memlab.analyses.axes import axis_of, checked
from memlab.analyses.grouping import rank_tied, site_sums, traceback_totals
from memlab.analyses.moved_lines import moves_between
from memlab.errors import UsageError
from memlab.records.columns import ints, no_ints
from memlab.records.snapshot import SnapshotDiff

if TYPE_CHECKING:
    from memlab.analyses.axes import Axis
    from memlab.analyses.moved_lines import Moves
    from memlab.records.columns import Ints
    from memlab.records.snapshot import By, Cumulative, Sites, Snapshot

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
    moves = moves_between(newer, older)
    pair = (newer, moves.older)
    axis = axis_of(pair, by, (newer.frame_line, moves.lines), callers=bool(mode))
    if by == "traceback":
        codes, lengths, (size, old_size, blocks, old_blocks) = _by_traceback(pair, axis)
        firsts = lengths.cumsum() - lengths
        tie = None
    else:
        codes, (size, old_size, blocks, old_blocks) = _by_site(pair, axis, by, mode)
        lengths, firsts, tie = None, np.arange(len(codes)), -codes
    size_diff, blocks_diff = size - old_size, blocks - old_blocks
    keys = (np.abs(size_diff), size, np.abs(blocks_diff), blocks)
    order = np.flatnonzero((size_diff != 0) | (blocks_diff != 0)) if not unchanged else np.arange(len(size))
    order = order[
        np.lexsort(
            tuple(-key[order] for key in keys[::-1])
            if tie is None
            else (tie[order], *(-key[order] for key in keys[::-1]))
        )
    ]
    if lengths is not None:
        order = rank_tied(order, keys, codes, lengths)
    places = _places(axis, codes, lengths, order)
    moved = _moved_from(moves, axis, codes[firsts[order]]) if by in ("line", "traceback") else no_ints()
    return SnapshotDiff(
        by=by,
        places=places,
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
    if newer.measure != older.measure:
        raise UsageError(
            f"comparing snapshots: one holds {newer.measure} blocks, the other {older.measure} ones; take "
            "the same of both"
        )


def _by_site(
    pair: tuple[Snapshot, Snapshot], axis: Axis, by: By, mode: Cumulative
) -> tuple[Ints, tuple[Ints, Ints, Ints, Ints]]:
    """Return the codes of all sites, ascending, with newer and older sizes, newer and older blocks."""
    new_codes, new_size, new_blocks = site_sums(pair[0], axis.codes[0], by, mode)
    old_codes, old_size, old_blocks = site_sums(pair[1], axis.codes[1], by, mode)
    codes = np.union1d(new_codes, old_codes)
    columns = [np.zeros(len(codes), np.int64) for _ in range(4)]
    at_new, at_old = np.searchsorted(codes, new_codes), np.searchsorted(codes, old_codes)
    for column, at, values in zip(
        columns,
        (at_new, at_old, at_new, at_old),
        (new_size, old_size, new_blocks, old_blocks),
        strict=True,
    ):
        column[at] = values
    return codes, (columns[0], columns[1], columns[2], columns[3])


def _by_traceback(
    pair: tuple[Snapshot, Snapshot], axis: Axis
) -> tuple[Ints, Ints, tuple[Ints, Ints, Ints, Ints]]:
    """Return the codes of all tracebacks end to end, their lengths, and sizes and blocks as ``_by_site``."""
    depth = min(s.depth for s in pair)
    codes, lengths = [], []
    for snapshot, code in zip(pair, axis.codes, strict=True):
        whole = np.diff(snapshot.starts)
        entries = code[snapshot.frame_of]
        if int(whole.max(initial=0)) > depth:
            cut = np.minimum(whole, depth)
            position = np.arange(int(cut.sum())) - (cut.cumsum() - cut).repeat(cut)
            entries, whole = entries[snapshot.starts[:-1].repeat(cut) + position], cut
        codes.append(entries)
        lengths.append(whole)
    together, row_lengths = np.concatenate(codes), np.concatenate(lengths)
    first, site = merge_equal(together, row_lengths)
    split = len(lengths[0])
    totals = [traceback_totals(s) for s in pair]
    new, old, count = site[:split], site[split:], len(first)
    taken, taken_lengths = take_rows(together, row_lengths, first)
    return (
        taken,
        taken_lengths,
        (
            sums(new, totals[0][0], count),
            sums(old, totals[1][0], count),
            sums(new, totals[0][1], count),
            sums(old, totals[1][1], count),
        ),
    )


def _places(axis: Axis, codes: Ints, lengths: Ints | None, order: Ints) -> Sites:
    return axis.sites(codes[order]) if lengths is None else axis.sites(*take_rows(codes, lengths, order))


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
