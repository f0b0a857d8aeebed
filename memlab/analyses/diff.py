"""Group a snapshot by site, and compare two: an outer join by the content of their labelled frames.

Both snapshots' file tables are merged, then frames, then sites become integers in tables common to the two,
so that the join itself is a sum over integer columns. A site is a line or a file of the most recent frame,
or the whole traceback; tracebacks of snapshots with different depths are cut to the lesser one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_args

import numpy as np

from memlab._base.ragged import merge_equal, take_rows
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.snapshot import By, Change, Frame, Site, SiteDiff, Snapshot, SnapshotDiff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.columns import Ints

__all__ = ["Groups", "diff_snapshots", "group"]

_LISTED = 5_000
_LINE_BITS = 32
_LINE_MASK = (1 << _LINE_BITS) - 1


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """What a snapshot holds by site, greatest size first.

    Attributes:
        by: what a site is.
        size_bytes, blocks: shape ``(sites,)``.
        sites: shape ``(sites,)``, in the same order.
    """

    by: str
    size_bytes: Ints
    blocks: Ints
    sites: tuple[Site, ...]

    def __len__(self) -> int:
        return len(self.sites)


def group(snapshot: Snapshot, by: By = "line") -> Groups:
    """Sum a snapshot by line, file or traceback. A block counts where it was allocated, not in callers.

    Raises:
        UsageError: when ``by`` is none of these.
    """
    (sites,), names = _sites([snapshot], _checked(by))
    size, blocks = _sums(snapshot, sites, len(names))
    order = np.lexsort((names.order, -blocks, -size))
    return Groups(by, ints(size[order]), ints(blocks[order]), tuple(names.site(i) for i in order.tolist()))


def diff_snapshots(newer: Snapshot, older: Snapshot, by: By = "line") -> SnapshotDiff:
    """Return what changed from ``older`` to ``newer``, greatest absolute growth first.

    Sites that did not change are left out. ``diff_snapshots(a, b)`` lists the sites of
    ``diff_snapshots(b, a)`` in the same order, with all differences negated.

    Raises:
        UsageError: when the two come from different engines, or ``by`` is no way to group.
    """
    if newer.engine != older.engine:
        raise UsageError(
            f"comparing snapshots: one was recorded by {newer.engine}, the other by {older.engine}; they "
            "count different things, so take both with the same engine"
        )
    (new_sites, old_sites), names = _sites([newer, older], _checked(by))
    size, blocks = _sums(newer, new_sites, len(names))
    old_size, old_blocks = _sums(older, old_sites, len(names))
    size_diff, blocks_diff = size - old_size, blocks - old_blocks
    order = np.lexsort((names.order, -np.abs(blocks_diff), -np.abs(size_diff)))
    order = order[(size_diff[order] != 0) | (blocks_diff[order] != 0)]
    return SnapshotDiff.of(
        [
            _site_diff(names.site(i), int(size[i]), int(size_diff[i]), int(blocks[i]), int(blocks_diff[i]))
            for i in order[:_LISTED].tolist()
        ],
        by=by,
        total_diff_bytes=newer.total_bytes - older.total_bytes,
        total_diff_blocks=newer.total_blocks - older.total_blocks,
        older_label=older.label,
        newer_label=newer.label,
        engine=newer.engine,
        notes=_notes(newer, older, by, len(order)),
        older=older,
        newer=newer,
    )


def _checked(by: By) -> By:
    if by not in get_args(By):
        raise UsageError(f"grouping a snapshot: by must be one of {', '.join(get_args(By))}, not {by!r}")
    return by


def _notes(newer: Snapshot, older: Snapshot, by: By, changed: int) -> tuple[str, ...]:
    notes = list(dict.fromkeys([*older.notes, *newer.notes]))
    if by == "traceback" and newer.depth != older.depth:
        notes.append(f"compared by the most recent {min(newer.depth, older.depth)} frames, which both have")
    if changed > _LISTED:
        notes.append(f"{changed - _LISTED:,} sites with smaller changes are not listed")
    return tuple(notes)


def _site_diff(site: Site, size: int, size_diff: int, blocks: int, blocks_diff: int) -> SiteDiff:
    if size == size_diff and blocks == blocks_diff:
        change = Change.APPEARED
    elif size == 0 and blocks == 0:
        change = Change.VANISHED
    else:
        change = Change.GREW if (size_diff or blocks_diff) > 0 else Change.SHRANK
    return SiteDiff(site, size, size_diff, blocks, blocks_diff, change)


def _sums(snapshot: Snapshot, site_of_traceback: Ints, count: int) -> tuple[Ints, Ints]:
    """Sum a snapshot's rows by site. Exact: sums of int64, no float weights."""
    sites = site_of_traceback[snapshot.traceback]
    size, blocks = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.add.at(size, sites, snapshot.size_bytes)
    np.add.at(blocks, sites, snapshot.blocks)
    return size, blocks


# -- tables common to several snapshots


class _Names:
    """Sites by number: their frames, and the order of their names."""

    def __init__(self, files: list[str], own: frozenset[int], codes: Ints, lengths: Ints) -> None:
        self._files = files
        self._own = own
        self._codes = codes
        self._starts = np.concatenate([[0], lengths.cumsum()])
        self._frames: dict[int, Frame] = {}
        self.order = _ranks(codes, lengths)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def site(self, number: int) -> Site:
        entries = self._codes[self._starts[number] : self._starts[number + 1]].tolist()
        user = next((i for i, code in enumerate(entries) if code >> _LINE_BITS in self._own), -1)
        return Site(tuple(self._frame(code) for code in entries), user)

    def _frame(self, code: int) -> Frame:
        frame = self._frames.get(code)
        if frame is None:  # frames are shared by many sites
            file, line = self._files[code >> _LINE_BITS], code & _LINE_MASK
            frame = self._frames[code] = Frame(file, line)
        return frame


def _sites(snapshots: Sequence[Snapshot], by: By) -> tuple[list[Ints], _Names]:
    """Return, for each snapshot, the site of each of its tracebacks; and the sites."""
    files = sorted({name for s in snapshots for name in s.files})
    index = {name: i for i, name in enumerate(files)}
    own = frozenset(index[s.files[i]] for s in snapshots for i in s.own_files)
    depth = min(s.depth for s in snapshots) if by == "traceback" else 1
    codes, lengths = [], []
    for snapshot in snapshots:
        all_codes = _frame_codes(snapshot, index, with_lines=by != "file")
        cut = np.minimum(np.diff(snapshot.starts), depth)
        position = np.arange(int(cut.sum())) - (cut.cumsum() - cut).repeat(cut)
        codes.append(all_codes[snapshot.starts[:-1].repeat(cut) + position])
        lengths.append(cut)
    together, row_lengths = np.concatenate(codes), np.concatenate(lengths)
    distinct, site_of = merge_equal(together, row_lengths)
    bounds = np.cumsum([len(part) for part in lengths])[:-1]
    return np.split(site_of, bounds), _Names(files, own, *take_rows(together, row_lengths, distinct))


def _ranks(codes: Ints, lengths: Ints) -> Ints:
    """Rank sites by their first frame, then by their others. The file table is sorted: numbers are names."""
    if not len(lengths):
        return lengths
    starts = (lengths.cumsum() - lengths).tolist()
    rows = codes.tolist()
    keys = [rows[start : start + length] for start, length in zip(starts, lengths.tolist(), strict=True)]
    ranks = np.zeros(len(keys), np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def _frame_codes(snapshot: Snapshot, index: dict[str, int], with_lines: bool) -> Ints:
    """Return each frame entry as one number: its file in the common table, and its line."""
    common = np.fromiter((index[name] for name in snapshot.files), np.int64, len(snapshot.files))
    codes = common[snapshot.frame_file] << _LINE_BITS
    if with_lines:
        codes = codes | (snapshot.frame_line & _LINE_MASK)
    return codes[snapshot.frame_of]
