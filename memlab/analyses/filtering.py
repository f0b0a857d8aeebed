"""The part of a snapshot that passes some filters: rows and their tracebacks are dropped, no more."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.ragged import take_rows
from memlab.errors import UsageError
from memlab.records.columns import frozen, ints
from memlab.records.snapshot_filter import SnapshotFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from memlab.records.snapshot import Snapshot

__all__ = ["filtered"]


def filtered(snapshot: Snapshot, filters: Sequence[SnapshotFilter]) -> Snapshot:
    """Return the rows that pass all filters, as a snapshot.

    Raises:
        UsageError: for what is no filter.

    >>> from memlab.records.columns import no_ints
    >>> from memlab.records.snapshot import Snapshot
    >>> nothing = Snapshot(*[no_ints()] * 4, ints([0]), *[no_ints()] * 3, files=())
    >>> len(filtered(nothing, [SnapshotFilter(own=True)]))
    0
    """
    keep = np.ones(len(snapshot), np.bool_)
    for one in filters:
        if not isinstance(one, SnapshotFilter):
            raise UsageError(f"filtering a snapshot: needs memlab.SnapshotFilter, not {one!r:.60}")
        if one.domains is not None:
            keep &= np.isin(snapshot.domain, np.array(one.domains, np.int64))
        keep &= _tracebacks_that_pass(snapshot, one)[snapshot.traceback]
    return _rows(snapshot, np.flatnonzero(keep))


def _tracebacks_that_pass(snapshot: Snapshot, one: SnapshotFilter) -> npt.NDArray[np.bool_]:
    included, excluded = _frames(snapshot, one)
    starts = snapshot.starts[:-1]
    if not len(starts):
        return np.zeros(0, np.bool_)
    if one.all_frames:
        some: npt.NDArray[np.bool_] = np.logical_or.reduceat(included[snapshot.frame_of], starts)
        bad = np.logical_or.reduceat(excluded[snapshot.frame_of], starts)
        return some & ~bad
    first = snapshot.frame_of[starts]
    return included[first] & ~excluded[first]


def _frames(snapshot: Snapshot, one: SnapshotFilter) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell for each frame whether a pattern wants it, and whether one shuts it out."""
    wanted = dataclasses.replace(one, exclude=())
    unwanted = SnapshotFilter(include=one.exclude)
    files, lines = snapshot.frame_file.tolist(), snapshot.frame_line.tolist()
    names = [snapshot.files[f] for f in files]
    included = np.ones(len(names), np.bool_)
    excluded = np.zeros(len(names), np.bool_)
    if one.include:
        included[:] = [wanted.matches(name, line) for name, line in zip(names, lines, strict=True)]
    if one.exclude:
        excluded[:] = [unwanted.matches(name, line) for name, line in zip(names, lines, strict=True)]
    if one.own:
        own = np.zeros(len(snapshot.files), np.bool_)
        own[list(snapshot.own_files)] = True
        included &= own[snapshot.frame_file]
    return included, excluded


def _rows(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> Snapshot:
    if len(rows) == len(snapshot):
        return snapshot
    used, traceback = np.unique(snapshot.traceback[rows], return_inverse=True)
    frame_of, lengths = take_rows(snapshot.frame_of.astype(np.int64), np.diff(snapshot.starts), used)
    changes = {name: ints(getattr(snapshot, name)[rows]) for name in _ROWS}
    changes |= {
        "traceback": ints(traceback),
        "frame_of": ints(frame_of),
        "starts": ints(np.concatenate([[0], lengths.cumsum()])),
    }
    if len(snapshot.thread):
        changes["thread"] = ints(snapshot.thread[rows])
    part = dataclasses.replace(snapshot, **changes, **_sizes(snapshot, rows))  # type: ignore[arg-type]
    part.__dict__["raw_files"] = snapshot.raw_files
    return part


_ROWS = ("domain", "size_bytes", "blocks")


def _sizes(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.generic]]:
    starts = snapshot.hist_starts
    if not len(starts):
        return {}
    lengths = np.diff(starts)[rows]
    position = np.arange(int(lengths.sum())) - (lengths.cumsum() - lengths).repeat(lengths)
    taken = starts[:-1][rows].repeat(lengths) + position
    return {
        "hist_starts": ints(np.concatenate([[0], lengths.cumsum()])),
        "hist_size": ints(snapshot.hist_size[taken]),
        "hist_count": frozen(snapshot.hist_count[taken]),
        "hist_frames": frozen(snapshot.hist_frames[taken]),
    }
