"""``tracemalloc.Snapshot`` to memlab's, and back.

A snapshot of the standard library is a multiset of (domain, size, frames, frames before they were cut), and
that is what memlab keeps too: the way there and back gives the same blocks, each with its size. Only their
order among each other is lost, which means nothing. File names come back full where the snapshot was made
in this process, else as labels.
"""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.paths import PathLabels
from memlab._base.safety import instance_type_name
from memlab.collectors.snapshot_maker import to_snapshot
from memlab.collectors.trace_blocks import Frames, columns_of, without_collector
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memlab.records.snapshot import Snapshot

__all__ = ["from_tracemalloc", "snapshot_of_blocks", "to_tracemalloc"]

_Block = tuple[int, int, Frames, int]
_FIELDS = (3, 4)


def from_tracemalloc(
    theirs: tracemalloc.Snapshot, label: str = "", aliases: Mapping[str, str] | None = None
) -> Snapshot:
    """Return a ``tracemalloc.Snapshot`` as one of memlab's; nothing is left out or filtered.

    Args:
        theirs: e.g. what ``tracemalloc.take_snapshot()`` returned.
        label: your name for it.
        aliases: labels for code file names.

    Raises:
        UsageError: when it is no such snapshot.

    >>> tracemalloc.start()
    >>> kept = bytearray(1_000_000)
    >>> snapshot = from_tracemalloc(tracemalloc.take_snapshot())
    >>> tracemalloc.stop()
    >>> snapshot.statistics("line").size_bytes[0] >= 1_000_000
    np.True_
    """
    traces = getattr(getattr(theirs, "traces", None), "_traces", None)
    depth = getattr(theirs, "traceback_limit", None)
    if not isinstance(theirs, tracemalloc.Snapshot) or not isinstance(traces, (list, tuple)):
        raise UsageError(
            f"reading a snapshot: needs a tracemalloc.Snapshot, not {instance_type_name(theirs)}"
        )
    return snapshot_of_blocks(traces, depth, label, aliases)


def snapshot_of_blocks(
    traces: Iterable[Any], depth: Any, label: str = "", aliases: Mapping[str, str] | None = None
) -> Snapshot:
    """Return blocks, as tracemalloc keeps them, as a snapshot; every entry is checked.

    Raises:
        UsageError: when one is no trace of a block.
    """
    shared: dict[tuple[Frames, int], Frames] = {}
    blocks = [_checked(trace, shared) for trace in traces]
    deepest = max((len(frames) for frames, _ in shared), default=1)
    if type(depth) is not int or not deepest <= depth <= 65_535:  # noqa: PLR2004 - tracemalloc's own bound
        depth = deepest
    read = columns_of(blocks, depth, "table", own_excluded=False)
    return without_collector(lambda: to_snapshot(read, PathLabels(aliases), label, sources="none"))


def _checked(trace: Any, shared: dict[tuple[Frames, int], Frames]) -> _Block:
    """Return one trace in full form: newer versions of Python have a fourth field."""
    if type(trace) is tuple and len(trace) in _FIELDS:
        domain, size, frames, *more = trace
        total = more[0] if more and more[0] is not None else 0
        if (
            type(domain) is type(size) is type(total) is int
            and 0 <= domain < 2**63
            and 0 <= size < 2**63
            and 0 <= total < 2**32
            and type(frames) is tuple
            and frames
        ):
            known = shared.get((frames, total)) if _can_be_looked_up(frames) else None
            if known is None and _are_frames(frames):
                # A tuple of its own for each total: whoever groups by identity finds one total for each.
                known = shared[frames, total] = (*frames,)
            if known is not None:
                return domain, size, known, total
    raise UsageError("reading a snapshot: an entry is no trace of tracemalloc's; the snapshot is damaged")


def _can_be_looked_up(frames: tuple[Any, ...]) -> bool:
    """Tell whether the tuple's hash runs no code of a stranger's."""
    return all(type(frame) is tuple and all(type(part) in (str, int) for part in frame) for frame in frames)


def _are_frames(frames: tuple[Any, ...]) -> bool:
    return all(
        type(frame) is tuple
        and len(frame) == 2  # noqa: PLR2004 - name and line
        and type(frame[0]) is str
        and type(frame[1]) is int
        and 0 <= frame[1] < 2**31
        for frame in frames
    )


def to_tracemalloc(snapshot: Snapshot) -> tracemalloc.Snapshot:
    """Return a ``tracemalloc.Snapshot`` with the same blocks.

    Where single sizes were not kept, the blocks of a row share its bytes as evenly as can be: sums are then
    right and single sizes are not.

    Raises:
        UsageError: when the snapshot was recorded by another engine.
    """
    if snapshot.engine != "tracemalloc":
        raise UsageError(
            f"converting a snapshot: {snapshot.engine} recorded it, and tracemalloc's classes would call its "
            "figures their own"
        )
    names = snapshot.raw_files or snapshot.files
    frames = [
        (names[file], line)
        for file, line in zip(snapshot.frame_file.tolist(), snapshot.frame_line.tolist(), strict=True)
    ]
    entries, starts = snapshot.frame_of.tolist(), snapshot.starts.tolist()
    tracebacks = [tuple(frames[e] for e in entries[a:b]) for a, b in itertools.pairwise(starts)]
    traces: list[_Block] = []
    for row, size, count, total in _sizes(snapshot):
        traceback = tracebacks[snapshot.traceback[row]]
        traces += [(int(snapshot.domain[row]), size, traceback, total or len(traceback))] * count
    return tracemalloc.Snapshot(traces, snapshot.depth)


def _sizes(snapshot: Snapshot) -> Iterable[tuple[int, int, int, int]]:
    """Give row, size, number of blocks of that size, and frames before the cut."""
    if len(snapshot.hist_starts):
        rows = np.arange(len(snapshot)).repeat(np.diff(snapshot.hist_starts)).tolist()
        yield from zip(
            rows,
            snapshot.hist_size.tolist(),
            snapshot.hist_count.tolist(),
            snapshot.hist_frames.tolist(),
            strict=True,
        )
        return
    for row, (size, blocks) in enumerate(
        zip(snapshot.size_bytes.tolist(), snapshot.blocks.tolist(), strict=True)
    ):
        each, more = divmod(size, blocks) if blocks else (0, 0)
        if more:
            yield row, each + 1, more, 0
        yield row, each, blocks - more, 0
