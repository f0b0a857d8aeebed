"""Sum a snapshot by site: by line, file, function, module, package, traceback or thread.

Rows are summed by traceback once; every grouping is then a sum over some thousand tracebacks, or over their
frames where callers count too. Order is that of ``tracemalloc``: size, number of blocks, then the traceback,
all falling. Every table is kept with its snapshot, so asking again is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.grouping import group_keys, pack_keys, sums
from memlab._base.ragged import take_rows
from memlab.analyses.axes import axis_of, checked
from memlab.collectors.function_names import UNKNOWN
from memlab.records.columns import ints
from memlab.records.snapshot_tables import SnapshotTable

if TYPE_CHECKING:
    from memlab.records.columns import Ints
    from memlab.records.sites import By, Cumulative, Sites
    from memlab.records.snapshot import Snapshot

__all__ = ["rank_tied", "site_sums", "statistics", "traceback_rows", "traceback_totals"]


def statistics(snapshot: Snapshot, by: By = "line", cumulative: bool | Cumulative = False) -> SnapshotTable:
    """Return sizes and numbers of blocks by site, see ``Snapshot.statistics``.

    Raises:
        UsageError: for a grouping that is not known, or that this snapshot cannot be grouped by.
    """
    by, mode = checked(by, cumulative, "grouping a snapshot")
    kept = snapshot.kept.get(("statistics", by, mode))
    if kept is None:
        kept = snapshot.kept["statistics", by, mode] = _table(snapshot, by, mode)
    table: SnapshotTable = kept
    return table


def _table(snapshot: Snapshot, by: By, mode: Cumulative) -> SnapshotTable:
    axis = axis_of([snapshot], by, callers=bool(mode))
    codes = axis.codes[0]
    if by == "traceback":
        size, blocks = traceback_totals(snapshot)
        lengths = np.diff(snapshot.starts)
        used, place = np.unique(codes, return_inverse=True)
        entries = place[snapshot.frame_of]
        order = traceback_rows(snapshot)
        order = order[np.lexsort((-blocks[order], -size[order]))]
        order = rank_tied(order, (size, blocks), entries, lengths)
        places = axis.stacks(used, *take_rows(entries, lengths, order))
    else:
        sites, size, blocks = site_sums(snapshot, codes, by, mode)
        order = np.lexsort((-sites, -blocks, -size))
        places = axis.sites(sites[order])
    return SnapshotTable(
        by=by,
        places=places,
        size_bytes=ints(size[order]),
        blocks=ints(blocks[order]),
        total_bytes=snapshot.total_bytes,
        total_blocks=snapshot.total_blocks,
        cumulative=mode,
        label=snapshot.label,
        engine=snapshot.engine,
        measure=snapshot.measure,
        notes=(*snapshot.notes, *_notes(places)),
        sample_bytes=snapshot.sample_bytes,
        **_bounds(snapshot, codes, by, mode, order),
    )


def _bounds(snapshot: Snapshot, codes: Ints, by: By, mode: Cumulative, order: Ints) -> dict[str, Ints]:
    """Return the interval of each site where sizes are estimates and the samples behind them were kept."""
    if snapshot.sample_bytes <= 0 or not len(snapshot.hist_starts) or mode == "stdlib":
        return {}
    from memlab.analyses.estimates import bounds

    def summed(part: Snapshot) -> Ints:
        return traceback_totals(part)[0] if by == "traceback" else site_sums(part, codes, by, mode)[1]

    low, high = bounds(snapshot, summed)
    return {"low_bytes": ints(low[order]), "high_bytes": ints(high[order])}


def _notes(places: Sites) -> tuple[str, ...]:
    unknown = [i for i, name in enumerate(places.functions) if name == UNKNOWN]
    if not unknown or not bool((places.frame_function == unknown[0]).any()):
        return ()
    where = "functions are unknown where the source is not there, or is not of the size it had at capture"
    return (f"{where}: generated code, compiled code, another version of a library",)


def traceback_totals(snapshot: Snapshot) -> tuple[Ints, Ints]:
    """Return bytes and blocks by traceback, domains and threads together."""
    kept = snapshot.kept.get("totals")
    if kept is None:
        count = len(snapshot.starts) - 1
        kept = snapshot.kept["totals"] = (
            sums(snapshot.traceback, snapshot.size_bytes, count),
            sums(snapshot.traceback, snapshot.blocks, count),
        )
    totals: tuple[Ints, Ints] = kept
    return totals


def traceback_rows(snapshot: Snapshot) -> Ints:
    """Return the tracebacks that some row has, ascending; one that none has is no site."""
    kept = snapshot.kept.get("rows")
    if kept is None:
        present = np.bincount(snapshot.traceback, minlength=len(snapshot.starts) - 1) > 0
        kept = snapshot.kept["rows"] = np.flatnonzero(present)
    rows: Ints = kept
    return rows


def site_sums(snapshot: Snapshot, codes: Ints, by: By, mode: Cumulative) -> tuple[Ints, Ints, Ints]:
    """Return the codes of sites, ascending, and what each holds.

    Args:
        snapshot: its rows are summed.
        codes: frame -> code, or row -> code by thread.
        by: how to group, a traceback excepted.
        mode: where a block counts.
    """
    if by == "thread":
        sites, place = np.unique(codes, return_inverse=True)
        return (
            sites,
            sums(place, snapshot.size_bytes, len(sites)),
            sums(place, snapshot.blocks, len(sites)),
        )
    size, blocks = traceback_totals(snapshot)
    used, frame_site = np.unique(codes, return_inverse=True)
    if not mode:
        rows = traceback_rows(snapshot)
        place = frame_site[snapshot.allocating[rows]]
        size, blocks = size[rows], blocks[rows]
    else:
        owner = np.arange(len(size)).repeat(np.diff(snapshot.starts))
        present = (np.bincount(snapshot.traceback, minlength=len(size)) > 0)[owner]
        owner, place = owner[present], frame_site[snapshot.frame_of][present]
        if mode == "inclusive":  # a recursive frame is on the traceback once
            once, _ = group_keys(pack_keys(owner, place))
            owner, place = owner[once], place[once]
        size, blocks = size[owner], blocks[owner]
    total, number = sums(place, size, len(used)), sums(place, blocks, len(used))
    there = np.zeros(len(used), np.bool_)
    there[place] = True
    return used[there], total[there], number[there]


def rank_tied(order: Ints, keys: tuple[Ints, ...], entries: Ints, lengths: Ints) -> Ints:
    """Order rows that are equal in all keys by their tracebacks, falling, compared from the oldest call on.

    Args:
        order: rows, sorted by the keys.
        keys: what they were sorted by.
        entries: frames by their place in the order of codes, rows end to end, most recent call first.
        lengths: frames of each row.
    """
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    if not bool(same.any()):
        return order
    in_run = np.zeros(len(order), np.bool_)
    in_run[1:] |= same
    in_run[:-1] |= same
    at = np.flatnonzero(in_run)
    run = np.concatenate([[0], np.cumsum(~same)])[at]
    taken, depths = take_rows(entries, lengths, order[at])
    rank = _ranks(taken, depths)
    order = order.copy()
    order[at] = order[at[np.lexsort((-rank, run))]]
    return order


def _ranks(entries: Ints, lengths: Ints) -> Ints:
    """Rank rows of small numbers, compared from their last entry backwards, as tuples are."""
    deepest = int(lengths.max(initial=0))
    table = np.zeros((len(lengths), deepest), ">u4")  # 0 stands behind the end: a shorter tuple is less
    ends = lengths.cumsum()
    position = ends.repeat(lengths) - 1 - np.arange(len(entries))
    table[np.arange(len(lengths)).repeat(lengths), position] = entries + 1
    _, rank = np.unique(table.view(f"S{4 * deepest}").ravel(), return_inverse=True)
    return rank
