"""Allocation sites at one moment, as columns: rows -> tracebacks -> frames -> files.

A row is what one traceback holds in one domain: a size in bytes and a number of blocks. Tracebacks and
frames are interned: the frames of traceback ``t`` are ``frame_of[starts[t]:starts[t + 1]]``, most recent
call first. A million live traces are some thousand rows.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, ClassVar, Literal

from memlab.errors import UsageError
from memlab.records._result import Result
from memlab.records.columns import Ints, check_lengths

if TYPE_CHECKING:
    from memlab.records.flame import FlameTree

__all__ = ["By", "Change", "Frame", "Site", "SiteDiff", "Snapshot", "SnapshotDiff"]

By = Literal["line", "file", "traceback"]


class Change(enum.StrEnum):
    """What became of a site between two snapshots."""

    APPEARED = "appeared"
    VANISHED = "vanished"
    GREW = "grew"
    SHRANK = "shrank"
    SAME = "same"


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One line of code.

    Attributes:
        file: relative to the project, the standard library or site-packages, else only its last part;
            notebook cells are ``Cell In[3]``.
        line: 1-based; 0 when unknown.
        function: qualified name, empty when unknown (tracemalloc does not record it).
        source: the line's text with the contents of its string literals left out; empty when not read.
    """

    file: str
    line: int
    function: str = ""
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f" in {self.function}" if self.function else "")


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """An allocation site: its frames, most recent call (the allocating line) first."""

    frames: tuple[Frame, ...]
    user_frame: int = -1
    """Index of the first frame in the user's own code, -1 if every frame is a library's."""

    @property
    def frame(self) -> Frame:
        """The line that allocates."""
        return self.frames[0]

    @property
    def user(self) -> Frame | None:
        """The line of the user's own code that leads to the allocation."""
        return self.frames[self.user_frame] if self.user_frame >= 0 else None

    def __post_init__(self) -> None:
        if not self.frames or not -1 <= self.user_frame < len(self.frames):
            raise ValueError("site: needs a frame, and a user_frame among its frames")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Snapshot(Result):
    """Live traced memory by allocation site.

    Attributes:
        traceback: row -> traceback index, shape ``(rows,)``.
        domain: row -> tracemalloc domain (0: Python's own allocators), shape ``(rows,)``.
        size_bytes: bytes of the row's live blocks, shape ``(rows,)``; memory that bypasses Python's
            allocators is not in it.
        blocks: number of the row's live blocks, shape ``(rows,)``.
        starts: shape ``(tracebacks + 1,)``, offsets into ``frame_of``.
        frame_of: frame index, shape ``(sum of depths,)``.
        frame_file, frame_line: shape ``(frames,)``; ``frame_file`` indexes ``files``.
        files: file labels, see ``Frame.file``.
        own_files: indexes into ``files`` of the user's own code; a library's files are not in it.
        engine: what recorded it (``tracemalloc``). Two snapshots are comparable only with equal engines.
        depth: greatest number of frames kept per block.
        label: the user's name for it.
    """

    kind: ClassVar[str] = "snapshot"

    traceback: Ints
    domain: Ints
    size_bytes: Ints
    blocks: Ints
    starts: Ints
    frame_of: Ints
    frame_file: Ints
    frame_line: Ints
    files: tuple[str, ...]
    engine: str = "tracemalloc"
    depth: int = 1
    label: str = ""
    notes: tuple[str, ...] = ()
    own_files: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_lengths(
            "snapshot rows",
            traceback=self.traceback,
            domain=self.domain,
            size_bytes=self.size_bytes,
            blocks=self.blocks,
        )
        check_lengths("snapshot frames", file=self.frame_file, line=self.frame_line)
        if len(self.starts) < 1 or self.starts[0] != 0 or self.starts[-1] != len(self.frame_of):
            raise ValueError("snapshot: starts must run from 0 to the number of frame entries")
        if bool((self.starts[1:] <= self.starts[:-1]).any()):  # a difference could overflow
            raise ValueError("snapshot: a traceback has at least one frame")
        _check_range("traceback", self.traceback, len(self.starts) - 1)
        _check_range("frame_of", self.frame_of, len(self.frame_file))
        _check_range("frame_file", self.frame_file, len(self.files))
        if any(not 0 <= own < len(self.files) for own in self.own_files):
            raise ValueError("snapshot: own_files points outside its table")

    def __len__(self) -> int:
        return len(self.traceback)

    @property
    def total_bytes(self) -> int:
        """Bytes on the engine's books, all rows."""
        return int(self.size_bytes.sum())

    @property
    def total_blocks(self) -> int:
        """Number of live blocks, all rows."""
        return int(self.blocks.sum())

    def frames(self, traceback: int) -> tuple[Frame, ...]:
        """Return the frames of one traceback, most recent call first."""
        entries = self.frame_of[self.starts[traceback] : self.starts[traceback + 1]]
        return tuple(Frame(self.files[int(self.frame_file[f])], int(self.frame_line[f])) for f in entries)

    def diff(self, older: Snapshot, by: By = "line") -> SnapshotDiff:
        """Return what changed since ``older``: sites that appeared, vanished, grew and shrank.

        Raises:
            UsageError: when the two come from different engines, whose figures cannot be compared.
        """
        from memlab.analyses.diff import diff_snapshots

        return diff_snapshots(self, older, by)

    def flame(
        self,
        older: Snapshot | None = None,
        *,
        by: Literal["line", "function", "file"] = "line",
        inverted: bool = False,
        rows: int = 10_000,
    ) -> FlameTree:
        """Return all stacks merged into one tree; with ``older``, as a difference.

        Args:
            older: what to compare with. Default: nothing.
            by: what a frame is.
            inverted: begin with the allocating frame and go up through its callers.
            rows: greatest number of rows; smaller parts are folded and counted.

        Raises:
            UsageError: when the two come from different engines, or an argument cannot be used.
        """
        from memlab.analyses.flame import flame_tree

        return flame_tree(self, older, by=by, inverted=inverted, rows=rows)


@dataclasses.dataclass(frozen=True, slots=True)
class SiteDiff:
    """One site in two snapshots; ``size`` and ``blocks`` are those of the newer one."""

    site: Site
    size_bytes: int
    size_diff_bytes: int
    blocks: int
    blocks_diff: int
    change: Change


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SnapshotDiff(Result):
    """What changed between two snapshots, greatest absolute growth first.

    Attributes:
        by: what a site is: one ``line``, one ``file`` or a whole ``traceback``.
        total_diff_bytes: growth over all sites, those not listed included.
        sites: the sites that changed.
        older_label, newer_label: labels of the two snapshots.
        older, newer: what was compared, so that stacks can be asked later; None where it was not kept.
    """

    kind: ClassVar[str] = "snapshot diff"

    by: str
    sites: tuple[SiteDiff, ...]
    total_diff_bytes: int
    total_diff_blocks: int
    older_label: str = ""
    newer_label: str = ""
    engine: str = "tracemalloc"
    notes: tuple[str, ...] = ()
    older: Snapshot | None = None
    newer: Snapshot | None = None

    def flame(
        self,
        *,
        by: Literal["line", "function", "file"] = "line",
        inverted: bool = False,
        rows: int = 10_000,
    ) -> FlameTree:
        """Return the stacks of both snapshots merged into one differential tree, see ``Snapshot.flame``.

        Raises:
            UsageError: when the two snapshots were not kept, or an argument cannot be used.
        """
        if self.newer is None or self.older is None:
            raise UsageError(
                "making a flame tree: this difference keeps no stacks; compare the two snapshots again"
            )
        return self.newer.flame(self.older, by=by, inverted=inverted, rows=rows)


def _check_range(name: str, column: Ints, limit: int) -> None:
    if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
        raise ValueError(f"snapshot: {name} points outside its table")
