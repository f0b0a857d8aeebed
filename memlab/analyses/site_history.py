"""A recording's looks at its allocation sites: one of them as a Snapshot, and lines over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.grouping import group_keys, pack_keys
from memlab._base.ragged import merge_equal, take_rows
from memlab._base.units import format_seconds
from memlab.errors import UsageError
from memlab.records.columns import frozen, ints
from memlab.records.sites import Frame
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    from memlab.records.columns import Ints
    from memlab.records.site_timeline import SiteTimeline

__all__ = ["line_history", "snapshot_at"]


def snapshot_at(timeline: SiteTimeline, look: int = -1) -> Snapshot:
    """Return one look as a Snapshot, see ``SiteTimeline.snapshot``.

    Raises:
        UsageError: for a look that there is not.
    """
    looks = len(timeline)
    if type(look) is not int or not -looks <= look < looks:
        raise UsageError(f"a look at allocation sites: there are {looks:,} of them, and no number {look!r}")
    look %= looks
    row, size, count = _alive(timeline, look)
    chance = -np.expm1(-size / timeline.sample_bytes)
    chance[size == 0] = 1.0
    distinct, of_row = merge_equal(timeline.frame_of, np.diff(timeline.starts))
    thread, domain = timeline.row_thread[row], timeline.row_domain[row]
    one, group = group_keys(pack_keys(of_row[row], domain, thread)) if len(row) else (row, row)
    total = np.rint(np.bincount(group, count * size / chance, len(one))).astype(np.int64)
    blocks = np.maximum(np.rint(np.bincount(group, count / chance, len(one))).astype(np.int64), 1)
    traceback = of_row[row][one]
    order = np.lexsort((thread[one], domain[one], traceback, -blocks, -total))
    used, place = np.unique(traceback[order], return_inverse=True)
    entries, lengths = take_rows(timeline.frame_of, np.diff(timeline.starts), distinct[used])
    target = np.empty(len(order), np.int64)
    target[order] = np.arange(len(order))
    sort = np.lexsort((size, target[group]))
    per_row = np.bincount(target[group], minlength=len(order))
    return Snapshot(
        traceback=ints(place),
        domain=ints(domain[one][order]),
        size_bytes=ints(total[order]),
        blocks=ints(blocks[order]),
        starts=ints(np.concatenate([[0], lengths.cumsum()])),
        frame_of=frozen(entries.astype(np.uint32)),
        frame_file=timeline.frame_file,
        frame_line=timeline.frame_line,
        frame_function=timeline.frame_function,
        files=timeline.files,
        functions=timeline.functions,
        own_files=timeline.own_files,
        thread=ints(thread[one][order]),
        threads=timeline.threads,
        hist_starts=ints(np.concatenate([[0], per_row.cumsum()])),
        hist_size=ints(size[sort]),
        hist_count=frozen(count[sort].astype(np.uint32)),
        hist_frames=frozen(lengths[place][target[group][sort]].astype(np.uint32)),
        engine="sampled",
        depth=timeline.depth,
        label=f"at {format_seconds(float(timeline.time_s[look]))}",
        notes=timeline.notes,
        sample_bytes=timeline.sample_bytes,
    )


def _alive(timeline: SiteTimeline, look: int) -> tuple[Ints, Ints, Ints]:
    """Return row, size and number of the samples that were alive at a look."""
    until = int(np.searchsorted(timeline.tick, look, "right"))
    row, size = timeline.row[:until], timeline.size[:until]
    if not until:
        return row, size, timeline.count[:0]
    _, group = group_keys(pack_keys(row, size))
    last = np.full(int(group.max()) + 1, -1, np.int64)
    last[group] = np.arange(until)  # of equal ones the last assignment stays
    last = np.sort(last[last >= 0])
    last = last[timeline.count[last] > 0]
    return row[last], size[last], timeline.count[last]


def line_history(timeline: SiteTimeline, most: int = 8) -> tuple[list[Frame], npt.NDArray[np.float64]]:
    """Return the lines that changed most from the first look to the last, and their bytes at every look.

    Returns:
        The allocating lines, and an array of shape ``(lines, looks)``.
    """
    frame = timeline.frame_of[timeline.starts[:-1]]
    line = pack_keys(timeline.frame_file[frame], timeline.frame_line[frame])
    one, of_row = group_keys(line) if len(line) else (line, line)
    history = np.zeros((len(one), len(timeline)))
    chance = -np.expm1(-timeline.size / timeline.sample_bytes)
    chance[timeline.size == 0] = 1.0
    if len(timeline.row):
        _, entry = group_keys(pack_keys(timeline.row, timeline.size))
        order = np.argsort(entry, kind="stable")  # changes of one row and size, in the order of looks
        before = np.concatenate([[0], timeline.count[order][:-1]])
        before[np.concatenate([[True], entry[order][1:] != entry[order][:-1]])] = 0
        step = np.empty(len(order))
        step[order] = timeline.count[order] - before
        place = of_row[timeline.row] * len(timeline) + timeline.tick
        changes = np.bincount(place, step * timeline.size / chance, history.size)
        history = changes.reshape(history.shape).cumsum(axis=1)
    change = np.abs(history[:, -1] - history[:, 0]) if history.shape[1] else np.zeros(0)
    top = np.argsort(-change, kind="stable")[:most]
    frames = []
    for at in top.tolist():
        number = int(frame[one[at]])
        frames.append(
            Frame(
                timeline.files[int(timeline.frame_file[number])],
                int(timeline.frame_line[number]),
                timeline.functions[int(timeline.frame_function[number])],
            )
        )
    return frames, np.maximum(history[top], 0.0)
