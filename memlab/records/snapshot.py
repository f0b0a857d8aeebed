"""Allocation sites at one moment, as columns: rows -> tracebacks -> frames -> files.

A row is what one traceback holds in one domain: a size in bytes and a number of blocks. Tracebacks and
frames are interned: the frames of traceback ``t`` are ``frame_of[starts[t]:starts[t + 1]]``, most recent
call first. A million live traces are some thousand rows.

Grouped and compared (``snapshot_tables``), rows are sites. A snapshot keeps each table that it was once
asked for.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Ints, Nodes, check_lengths, frozen, ints, no_ints, no_nodes
from memlab.records.sites import NATIVE, By, Cumulative, Frame, check_offsets, check_range, check_tracebacks

if TYPE_CHECKING:
    import os
    import tracemalloc

    from memlab.records.flame import FlameTree
    from memlab.records.snapshot_filter import SnapshotFilter
    from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable

__all__ = ["Snapshot"]


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot(Result):
    """Live traced memory by allocation site.

    Attributes:
        traceback: row -> traceback index, shape ``(rows,)``.
        domain: row -> tracemalloc domain (0: Python's own allocators), shape ``(rows,)``.
        size_bytes: bytes of the row's live blocks, shape ``(rows,)``; memory that bypasses Python's
            allocators is not in it.
        blocks: number of the row's live blocks, shape ``(rows,)``.
        starts: shape ``(tracebacks + 1,)``, offsets into ``frame_of``.
        frame_of: frame index, shape ``(sum of depths,)``; most of a deep snapshot, so of 4 bytes each.
        frame_file, frame_line: shape ``(frames,)``; ``frame_file`` indexes ``files``.
        files: file labels, see ``Frame.file``.
        own_files: indexes into ``files`` of the user's own code; a library's files are not in it.
        engine: what recorded it (``tracemalloc``, ``sampled``, ``memray``). Two snapshots are comparable only
            with equal engines.
        depth: greatest number of frames kept per block.
        label: the user's name for it.
        measure: which blocks are in it: ``live`` ones, those alive at the ``peak``, ``leaked`` or
            ``temporary`` ones, all that were ever ``allocated``. Two snapshots are comparable only with equal
            measures.
        sample_bytes: mean number of bytes between two samples where the engine records a sample of all
            blocks, and sizes are estimates; 0 when every block was recorded.
        thread: row -> index into ``threads``, shape ``(rows,)``; empty where the engine knows no threads
            (tracemalloc does not). Two threads with one traceback are two rows then.
        threads: names of threads.
        hist_starts: shape ``(rows + 1,)``, offsets into the next three; empty when single sizes are not kept.
        hist_size, hist_count: how many blocks of a row have which size; how many samples, where
            ``sample_bytes`` is not 0.
        hist_frames: how many frames these blocks' tracebacks had before they were cut to ``depth``.
        frame_function: frame -> index into ``functions``, shape ``(frames,)``, -1 where it was not looked
            up; empty when none was.
        functions: qualified names; the empty one is a file's top level.
        file_order: file -> its place in the order of full file names, which decides between sites of equal
            size and number; shape ``(files,)``, or empty: the order of labels decides.
        file_package: file -> index into ``packages``, shape ``(files,)``; empty when not recorded.
        packages: names of distributions, ``standard library``, ``interpreter``, ``notebook``, or the
            folder of the user's own code.
        file_bytes: size of the source file at capture, -1 when unknown; shape ``(files,)``, or empty.
        text_starts: shape ``(files + 1,)``, offsets into ``text_hash``; empty when no source was read.
        text_hash: hashes of a file's lines, strings, numbers and comments left out: they tell which line
            moved where between two versions of the file, not what it says.
        source_frame: frames of the user's own code whose line was read, shape ``(sources,)``; those through
            which most was allocated.
        sources: what these lines say, see ``Frame.source``.
    """

    kind: ClassVar[str] = "snapshot"

    traceback: Ints
    domain: Ints
    size_bytes: Ints
    blocks: Ints
    starts: Ints
    frame_of: Nodes
    frame_file: Ints
    frame_line: Ints
    files: tuple[str, ...]
    engine: str = "tracemalloc"
    depth: int = 1
    label: str = ""
    notes: tuple[str, ...] = ()
    own_files: tuple[int, ...] = ()
    measure: str = "live"
    sample_bytes: int = 0
    thread: Ints = dataclasses.field(default_factory=no_ints)
    threads: tuple[str, ...] = ()
    hist_starts: Ints = dataclasses.field(default_factory=no_ints)
    hist_size: Ints = dataclasses.field(default_factory=no_ints)
    hist_count: Nodes = dataclasses.field(default_factory=no_nodes)
    hist_frames: Nodes = dataclasses.field(default_factory=no_nodes)
    frame_function: Ints = dataclasses.field(default_factory=no_ints)
    functions: tuple[str, ...] = ()
    file_order: Ints = dataclasses.field(default_factory=no_ints)
    file_package: Ints = dataclasses.field(default_factory=no_ints)
    packages: tuple[str, ...] = ()
    file_bytes: Ints = dataclasses.field(default_factory=no_ints)
    text_starts: Ints = dataclasses.field(default_factory=no_ints)
    text_hash: Nodes = dataclasses.field(default_factory=no_nodes)
    source_frame: Ints = dataclasses.field(default_factory=no_ints)
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = check_lengths(
            "snapshot rows",
            traceback=self.traceback,
            domain=self.domain,
            size_bytes=self.size_bytes,
            blocks=self.blocks,
        )
        frames = check_lengths("snapshot frames", file=self.frame_file, line=self.frame_line)
        check_tracebacks("snapshot", self.starts, self.frame_of)
        check_range("traceback", self.traceback, len(self.starts) - 1)
        check_range("frame_of", self.frame_of, len(self.frame_file))
        if self.frame_of.dtype != np.uint32:  # wider numbers are taken too
            object.__setattr__(self, "frame_of", frozen(self.frame_of.astype(np.uint32)))
        check_range("frame_file", self.frame_file, len(self.files))
        if any(not 0 <= own < len(self.files) for own in self.own_files):
            raise ValueError("snapshot: own_files points outside its table")
        self._check_optional(rows, frames)

    def _check_optional(self, rows: int, frames: int) -> None:
        """Check the columns that may be empty: each has its full length, or none."""
        files = len(self.files)
        for name, column, length, limit in (
            ("thread", self.thread, rows, len(self.threads)),
            ("frame_function", self.frame_function, frames, len(self.functions)),
            ("file_package", self.file_package, files, len(self.packages)),
            ("file_order", self.file_order, files, files),
            ("file_bytes", self.file_bytes, files, 2**63),
        ):
            if len(column) not in (0, length):
                raise ValueError(f"snapshot: column {name} has {len(column)} rows, not {length}")
            least = -1 if name in ("frame_function", "file_bytes") else 0
            if len(column) and (int(column.min()) < least or int(column.max()) >= limit):
                raise ValueError(f"snapshot: {name} points outside its table")
        kept = check_lengths(
            "snapshot sizes", size=self.hist_size, count=self.hist_count, frames=self.hist_frames
        )
        check_offsets("hist_starts", self.hist_starts, rows, kept)
        check_offsets("text_starts", self.text_starts, files, len(self.text_hash))
        check_range("source_frame", self.source_frame, frames)
        if len(self.source_frame) != len(self.sources):
            raise ValueError("snapshot: each of source_frame has a line in sources")

    def __len__(self) -> int:
        return len(self.traceback)

    def __getstate__(self) -> dict[str, Any]:
        """Return the columns alone: neither tables that were asked for, nor the full names of files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def total_bytes(self) -> int:
        """Bytes on the engine's books, all rows."""
        return int(self.size_bytes.sum())

    @property
    def total_blocks(self) -> int:
        """Number of live blocks, all rows."""
        return int(self.blocks.sum())

    @property
    def unseen_bytes(self) -> int:
        """How much a site may hold, at most, that is not listed since no block of it was sampled; else 0."""
        from memlab.analyses.estimates import unseen_bytes

        return unseen_bytes(self)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns: what the snapshot itself takes, its names and kept tables left out."""
        columns = (getattr(self, field.name) for field in dataclasses.fields(self))
        return sum(column.nbytes for column in columns if isinstance(column, np.ndarray))

    @functools.cached_property
    def raw_files(self) -> tuple[str, ...]:
        """Full file names, where the snapshot was taken in this process; they are never saved or pickled."""
        return ()

    @functools.cached_property
    def kept(self) -> dict[Any, Any]:
        """What analyses found and keep for the next question. Not part of the value."""
        return {}

    @functools.cached_property
    def allocating(self) -> Ints:
        """The frame that allocates, by traceback: the most recent; of native stacks the first Python one.

        A C function is named in the stack. As a line it would be one for a whole library.
        """
        first = self.starts[:-1]
        native = np.array([name.startswith(NATIVE) for name in self.files], np.bool_)
        if native.any():
            python = np.flatnonzero(~native[self.frame_file[self.frame_of]])
            at = np.searchsorted(python, first)
            found = np.append(python, len(self.frame_of))[at]
            first = np.where(found < self.starts[1:], found, first)
        return ints(self.frame_of[first])

    def frames(self, traceback: int) -> tuple[Frame, ...]:
        """Return the frames of one traceback, most recent call first."""
        entries = self.frame_of[self.starts[traceback] : self.starts[traceback + 1]]
        return tuple(self.frame(f) for f in entries.tolist())

    def frame(self, number: int) -> Frame:
        """Return one frame of the table, with its function where that was looked up."""
        known = int(self.frame_function[number]) if len(self.frame_function) else -1
        return Frame(
            self.files[int(self.frame_file[number])],
            int(self.frame_line[number]),
            self.functions[known] if known >= 0 else "",
        )

    def statistics(self, by: By = "line", cumulative: bool | Cumulative = False) -> SnapshotTable:
        """Return sizes and numbers of blocks by site, greatest first.

        Args:
            by: what a site is: the allocating ``line`` (default), its ``file``, ``function``, ``module`` or
                ``package`` (a distribution; the standard library is one), the whole ``traceback``, or the
                ``thread``.
            cumulative: False counts a block at the site that allocated it. True, or ``"inclusive"``, counts
                it once at each site on its traceback, so the sums of several sites overlap.
                ``"stdlib"`` counts as ``tracemalloc.Snapshot.statistics(cumulative=True)`` does: at every
                frame, so a recursive one several times, and a site may show more than everything traced.

        Raises:
            UsageError: for a grouping that is not known, or that this snapshot cannot be grouped by.
        """
        from memlab.analyses.grouping import statistics

        return statistics(self, by, cumulative)

    def filtered(self, *filters: SnapshotFilter) -> Snapshot:
        """Return the part of this snapshot that passes all filters, see ``memlab.SnapshotFilter``."""
        from memlab.analyses.filtering import filtered

        return filtered(self, filters)

    def diff(
        self,
        older: Snapshot,
        by: By = "line",
        *,
        cumulative: bool | Cumulative = False,
        per: int = 1,
        unchanged: bool = False,
    ) -> SnapshotDiff:
        """Return what changed since ``older``: sites that appeared, vanished, grew and shrank.

        Lines that moved because a file was edited in between are matched by what they say, where both
        snapshots have the file's line hashes (your own code's by default).

        Args:
            older: the snapshot to compare with.
            by: what a site is, see ``statistics``.
            cumulative: where a block counts, see ``statistics``.
            per: number of iterations that lie between the two; rates are per iteration then.
            unchanged: list the sites that did not change too.

        Raises:
            UsageError: when the two come from different engines or measure different things.
        """
        from memlab.analyses.diff import diff_snapshots

        return diff_snapshots(self, older, by, cumulative=cumulative, per=per, unchanged=unchanged)

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

    def to_tracemalloc(self) -> tracemalloc.Snapshot:
        """Return a ``tracemalloc.Snapshot`` with the same blocks, e.g. for a tool that takes one.

        File names are the full ones where this snapshot was taken in this process, else labels.

        Raises:
            UsageError: when it was recorded by another engine.
        """
        from memlab.collectors.stdlib_snapshots import to_tracemalloc

        return to_tracemalloc(self)

    @classmethod
    def from_tracemalloc(cls, theirs: tracemalloc.Snapshot, label: str = "") -> Snapshot:
        """Return a ``tracemalloc.Snapshot`` as one of memlab's; nothing of it is left out or filtered."""
        from memlab.collectors.stdlib_snapshots import from_tracemalloc

        return from_tracemalloc(theirs, label)

    def export(self, path: str | os.PathLike[str], form: str | None = None) -> str:
        """Write the snapshot for another tool, and return the form's name.

        Args:
            path: where.
            form: ``speedscope``, ``firefox``, ``collapsed``, ``csv`` or ``parquet``; None: as the file's
                ending says.

        Raises:
            UsageError: when the form is not known, or the file cannot be written.
            MissingExtraError: for Parquet without pyarrow, for tables without pandas.
        """
        from memlab.views.interchange import export

        return export(self, path, form)
