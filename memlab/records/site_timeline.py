"""Live memory by allocation site over a recording: what was in the sample at each look.

A look is one moment; of most samples nothing changes between two looks, so that only changes are kept: at
look ``tick[i]`` row ``row[i]`` had ``count[i]`` live samples of ``size[i]`` bytes, and keeps them until
the next change of the same row and size. Rows are stacks with a domain and a thread, as in a ``Snapshot``,
and each look can be had as one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from memlab.records.sites import By
    from memlab.records.snapshot import Snapshot
    from memlab.records.snapshot_tables import SnapshotDiff

__all__ = ["SiteTimeline"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SiteTimeline(Result):
    """Estimated live bytes by allocation site, at several moments of a recording.

    Attributes:
        time_s: when each look was taken, in seconds on the recording's axis, shape ``(looks,)``.
        tick, row, size, count: changes, in order of looks, shape ``(changes,)``.
        row_domain, row_thread: shape ``(rows,)``; ``row_thread`` indexes ``threads``.
        starts: shape ``(rows + 1,)``, offsets into ``frame_of``: a row's frames, most recent call first.
        frame_of: frame index, shape ``(sum of depths,)``.
        frame_file, frame_line, frame_function: shape ``(frames,)``.
        files, functions, threads: names; files as labels.
        own_files: indexes into ``files`` of the user's own code.
        sample_bytes: mean number of bytes between two samples.
        depth: most frames kept of a stack.
        notes: what a reader must know.
    """

    kind: ClassVar[str] = "site timeline"

    time_s: Floats
    tick: Ints
    row: Ints
    size: Ints
    count: Ints
    row_domain: Ints
    row_thread: Ints
    starts: Ints
    frame_of: Ints
    frame_file: Ints
    frame_line: Ints
    frame_function: Ints
    files: tuple[str, ...]
    functions: tuple[str, ...]
    threads: tuple[str, ...]
    own_files: tuple[int, ...] = ()
    sample_bytes: int = 1
    depth: int = 1
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths("site timeline changes", tick=self.tick, row=self.row, size=self.size, count=self.count)
        rows = check_lengths("site timeline rows", domain=self.row_domain, thread=self.row_thread)
        frames = check_lengths(
            "site timeline frames",
            file=self.frame_file,
            line=self.frame_line,
            function=self.frame_function,
        )
        if len(self.starts) != rows + 1 or bool((np.diff(self.starts) < 1).any()):
            raise ValueError("site timeline: each row has a frame")
        if int(self.starts[0]) != 0 or int(self.starts[-1]) != len(self.frame_of):
            raise ValueError("site timeline: starts do not fit frame_of")
        if len(self.tick) and bool((np.diff(self.tick) < 0).any()):
            raise ValueError("site timeline: changes must be in the order of looks")
        for name, column, limit in (
            ("tick", self.tick, len(self.time_s)),
            ("row", self.row, rows),
            ("size", self.size, 2**62),
            ("count", self.count, 2**32),
            ("row_thread", self.row_thread, len(self.threads)),
            ("frame_of", self.frame_of, frames),
            ("frame_file", self.frame_file, len(self.files)),
            ("frame_function", self.frame_function, len(self.functions)),
        ):
            if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
                raise ValueError(f"site timeline: {name} points outside its table")
        if self.sample_bytes < 1 or any(not 0 <= own < len(self.files) for own in self.own_files):
            raise ValueError("site timeline: a sample from 1 byte, own files among the files")

    def __len__(self) -> int:
        return len(self.time_s)

    def snapshot(self, look: int = -1) -> Snapshot:
        """Return one look as a ``Snapshot``: the last one, or by its number.

        Raises:
            UsageError: for a look that there is not.
        """
        from memlab.analyses.site_history import snapshot_at

        return snapshot_at(self, look)

    def growth(self, by: By = "line", since: int = 0, until: int = -1) -> SnapshotDiff:
        """Return what grew from one look to another, by line unless told otherwise.

        Raises:
            UsageError: for a look that there is not, or a grouping that is not known.
        """
        return self.snapshot(until).diff(self.snapshot(since), by)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the lines that changed most over the recording on ``ax``, or a new one, and return it.

        Raises:
            UnavailableError: when there are not two looks.
        """
        from memlab.views.plots import plot

        return plot(self, ax)
