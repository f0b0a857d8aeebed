"""Allocation sites at one moment, as columns: rows -> tracebacks -> frames -> files.

A row is what one traceback holds in one domain: a size in bytes and a number of blocks. Tracebacks and
frames are interned: the frames of traceback ``t`` are ``frame_of[starts[t]:starts[t + 1]]``, most recent
call first. A million live traces are some thousand rows.

Grouped (``SnapshotTable``) and compared (``SnapshotDiff``), rows are sites; objects are made of those that
are looked at. A snapshot keeps each table that it was once asked for.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, overload

import numpy as np

from memlab.errors import UsageError
from memlab.records._result import Result
from memlab.records.columns import Ints, Nodes, check_lengths, frozen, ints, no_ints, no_nodes

if TYPE_CHECKING:
    import os
    import tracemalloc

    from memlab.records.flame import FlameTree
    from memlab.records.snapshot_filter import SnapshotFilter

__all__ = [
    "NATIVE",
    "By",
    "Change",
    "Cumulative",
    "Frame",
    "Rows",
    "Site",
    "SiteDiff",
    "SiteTotal",
    "Sites",
    "Snapshot",
    "SnapshotDiff",
    "SnapshotTable",
]

NATIVE = "<native> "
"""How the file of a native frame begins: C, C++, Rust and the like, which have no Python line."""

By = Literal["line", "file", "function", "module", "package", "traceback", "thread"]
Cumulative = Literal["", "inclusive", "stdlib"]
"""Where a block counts: at the line that allocated it (``""``), once at each site on its traceback
(``inclusive``), or, as ``tracemalloc`` does it, at each frame, a recursive one several times (``stdlib``)."""


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
        file: relative to the project, the standard library or site-packages, else from its package on;
            notebook cells are ``Cell In[3]``; a native frame's begins with ``NATIVE``.
        line: 1-based; 0 when unknown.
        function: qualified name, empty when unknown (tracemalloc does not record it).
        source: the line's text with the contents of its string literals left out; empty when not read.
    """

    file: str
    line: int
    function: str = ""
    source: str = ""

    def __str__(self) -> str:
        if self.file == NATIVE + self.function:  # a symbol without a source
            return self.file
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
        _check_tracebacks("snapshot", self.starts, self.frame_of)
        _check_range("traceback", self.traceback, len(self.starts) - 1)
        _check_range("frame_of", self.frame_of, len(self.frame_file))
        if self.frame_of.dtype != np.uint32:  # wider numbers are taken too
            object.__setattr__(self, "frame_of", frozen(self.frame_of.astype(np.uint32)))
        _check_range("frame_file", self.frame_file, len(self.files))
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
        _check_offsets("hist_starts", self.hist_starts, rows, kept)
        _check_offsets("text_starts", self.text_starts, files, len(self.text_hash))
        _check_range("source_frame", self.source_frame, frames)
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


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """What the rows of a table are sites of: frames by row, interned as in a snapshot.

    Attributes:
        starts: shape ``(rows + 1,)``, offsets into ``frame_of``.
        frame_of: frame index, most recent call first.
        frame_file, frame_line: shape ``(frames,)``; line 0 where a site is no line.
        files: labels of files, or the names of modules, packages, threads that sites are.
        frame_function: frame -> index into ``functions``, or empty.
        functions: qualified names.
        own_files: indexes into ``files`` of the user's own code.
    """

    starts: Ints
    frame_of: Ints
    frame_file: Ints
    frame_line: Ints
    files: tuple[str, ...]
    frame_function: Ints = dataclasses.field(default_factory=no_ints)
    functions: tuple[str, ...] = ()
    own_files: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        frames = check_lengths("sites", file=self.frame_file, line=self.frame_line)
        _check_tracebacks("sites", self.starts, self.frame_of)
        _check_range("frame_of", self.frame_of, frames)
        _check_range("frame_file", self.frame_file, len(self.files))
        if len(self.frame_function) not in (0, frames):
            raise ValueError("sites: column frame_function is not as long as the others")
        _check_range("frame_function", self.frame_function, len(self.functions))
        if any(not 0 <= own < len(self.files) for own in self.own_files):
            raise ValueError("sites: own_files points outside its table")

    def __len__(self) -> int:
        return len(self.starts) - 1

    @functools.cached_property
    def _own(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        own = np.zeros(max(len(self.files), 1), np.bool_)
        own[list(self.own_files)] = True
        return own

    @functools.cached_property
    def _frames(self) -> dict[int, Frame]:
        return {}

    def frame(self, number: int) -> Frame:
        """Return one frame of the table."""
        found = self._frames.get(number)
        if found is None:  # frames are shared by many sites
            function = self.functions[int(self.frame_function[number])] if len(self.frame_function) else ""
            found = Frame(self.files[int(self.frame_file[number])], int(self.frame_line[number]), function)
            self._frames[number] = found
        return found

    def __getitem__(self, row: int) -> Site:
        if not 0 <= row < len(self):
            raise IndexError(row)
        entries = self.frame_of[self.starts[row] : self.starts[row + 1]]
        user = np.flatnonzero(self._own[self.frame_file[entries]])[:1]
        return Site(tuple(map(self.frame, entries.tolist())), int(user[0]) if len(user) else -1)

    @classmethod
    def of(cls, sites: Iterable[Site]) -> Self:
        """Return the columns of some sites."""
        files: dict[str, int] = {}
        functions: dict[str, int] = {}
        frames: dict[tuple[int, int, int], int] = {}
        frame_of, depths, own = [], [0], set()
        for site in sites:
            for frame in site.frames:
                file = files.setdefault(frame.file, len(files))
                function = functions.setdefault(frame.function, len(functions))
                frame_of.append(frames.setdefault((file, frame.line, function), len(frames)))
            depths.append(len(site.frames))
            if site.user is not None:
                own.add(files[site.user.file])
        return cls(
            starts=ints(np.cumsum(depths)),
            frame_of=ints(frame_of),
            frame_file=ints([file for file, _, _ in frames]),
            frame_line=ints([line for _, line, _ in frames]),
            files=tuple(files),
            frame_function=ints([function for _, _, function in frames]),
            functions=tuple(functions),
            own_files=tuple(sorted(own)),
        )


_Row = TypeVar("_Row")


class Rows(Sequence[_Row]):
    """Rows of a table as objects that are made one by one; equal to the tuple of them."""

    __slots__ = ("_count", "_make")

    def __init__(self, count: int, make: Callable[[int], _Row]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> _Row: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[_Row, ...]: ...
    def __getitem__(self, row: int | slice) -> _Row | tuple[_Row, ...]:
        picked = range(self._count)[row]
        return self._make(picked) if isinstance(picked, int) else tuple(map(self._make, picked))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Rows, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count:,} rows>"


@dataclasses.dataclass(frozen=True, slots=True)
class SiteTotal:
    """What one site holds."""

    site: Site
    size_bytes: int
    blocks: int


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotTable(Result):
    """Sizes and numbers of blocks by site, greatest first.

    Attributes:
        by: what a site is, see ``Snapshot.statistics``. Sites by package, module or thread are frames whose
            ``file`` is that name and whose line is 0.
        places: the sites, by row.
        size_bytes, blocks: what each site holds, shape ``(sites,)``.
        total_bytes, total_blocks: what the snapshot holds. Cumulative rows overlap and sum up to more.
        cumulative: where a block counts, see ``Cumulative``.
        label: the snapshot's.
        sample_bytes: mean number of bytes between two samples where sizes are estimates; else 0.
        low_bytes, high_bytes: bounds of each site's bytes where sizes are estimates, shape ``(sites,)``: they
            hold the true value in 995 of 1,000 cases; empty where every block was recorded.
    """

    kind: ClassVar[str] = "snapshot table"

    by: str
    places: Sites
    size_bytes: Ints
    blocks: Ints
    total_bytes: int
    total_blocks: int
    cumulative: str = ""
    label: str = ""
    engine: str = "tracemalloc"
    measure: str = "live"
    notes: tuple[str, ...] = ()
    sample_bytes: int = 0
    low_bytes: Ints = dataclasses.field(default_factory=no_ints)
    high_bytes: Ints = dataclasses.field(default_factory=no_ints)

    def __post_init__(self) -> None:
        rows = check_lengths("snapshot table", size_bytes=self.size_bytes, blocks=self.blocks)
        if {len(self.low_bytes), len(self.high_bytes)} not in ({0}, {rows}):
            raise ValueError("snapshot table: bounds for each site, or for none")
        if rows != len(self.places):
            raise ValueError(f"snapshot table: {rows} rows, {len(self.places)} sites")

    def __len__(self) -> int:
        return len(self.size_bytes)

    def __getitem__(self, row: int) -> SiteTotal:
        return SiteTotal(self.places[row], int(self.size_bytes[row]), int(self.blocks[row]))

    def export(self, path: str | os.PathLike[str], form: str | None = None) -> str:
        """Write the table as ``csv`` or ``parquet``, see ``Snapshot.export``; stacks are the snapshot's."""
        from memlab.views.interchange import export

        return export(self, path, form)

    @property
    def sites(self) -> Rows[SiteTotal]:
        """The rows as objects, each made when it is looked at."""
        return Rows(len(self), self.__getitem__)


@dataclasses.dataclass(frozen=True, slots=True)
class SiteDiff:
    """One site in two snapshots; ``size`` and ``blocks`` are those of the newer one.

    ``moved_from`` is the line where the older snapshot has the site, 0 when it is the same one.
    """

    site: Site
    size_bytes: int
    size_diff_bytes: int
    blocks: int
    blocks_diff: int
    change: Change
    moved_from: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotDiff(Result):
    """What changed between two snapshots, greatest absolute growth first.

    Attributes:
        by: what a site is, see ``Snapshot.statistics``.
        places: the sites that changed, by row.
        size_bytes, blocks: what each site holds in the newer snapshot, shape ``(sites,)``.
        size_diff_bytes, blocks_diff: growth of each site, negative where it shrank.
        total_diff_bytes: growth over all sites, those not listed included.
        per: iterations between the two snapshots; 1 when nobody said.
        cumulative: where a block counts, see ``Cumulative``; sums of overlapping sites mean nothing.
        moved_from: line of the site in the older snapshot where the file was edited in between and its
            line is another one now, else 0; shape ``(sites,)``, or empty when no line moved.
        older_label, newer_label: labels of the two snapshots.
        older, newer: what was compared, so that stacks can be asked later; None where it was not kept.
    """

    kind: ClassVar[str] = "snapshot diff"

    by: str
    places: Sites
    size_bytes: Ints
    size_diff_bytes: Ints
    blocks: Ints
    blocks_diff: Ints
    total_diff_bytes: int
    total_diff_blocks: int
    per: int = 1
    cumulative: str = ""
    moved_from: Ints = dataclasses.field(default_factory=no_ints)
    older_label: str = ""
    newer_label: str = ""
    engine: str = "tracemalloc"
    measure: str = "live"
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

    def __post_init__(self) -> None:
        rows = check_lengths(
            "snapshot diff",
            size_bytes=self.size_bytes,
            size_diff_bytes=self.size_diff_bytes,
            blocks=self.blocks,
            blocks_diff=self.blocks_diff,
        )
        if rows != len(self.places) or len(self.moved_from) not in (0, rows):
            raise ValueError(f"snapshot diff: {rows} rows, {len(self.places)} sites")
        if self.per < 1:
            raise ValueError(f"snapshot diff: per must be at least 1, not {self.per}")

    def __len__(self) -> int:
        return len(self.size_bytes)

    def __getitem__(self, row: int) -> SiteDiff:
        size, size_diff = int(self.size_bytes[row]), int(self.size_diff_bytes[row])
        blocks, blocks_diff = int(self.blocks[row]), int(self.blocks_diff[row])
        moved = int(self.moved_from[row]) if len(self.moved_from) else 0
        change = _change(size, size_diff, blocks, blocks_diff)
        return SiteDiff(self.places[row], size, size_diff, blocks, blocks_diff, change, moved)

    @property
    def sites(self) -> Rows[SiteDiff]:
        """The rows as objects, each made when it is looked at."""
        return Rows(len(self), self.__getitem__)

    def export(self, path: str | os.PathLike[str], form: str | None = None) -> str:
        """Write the difference for another tool, see ``Snapshot.export``.

        Formats of stacks take the sites that grew, by their growth; compared by traceback they are whole.
        """
        from memlab.views.interchange import export

        return export(self, path, form)

    def counts(self) -> dict[Change, int]:
        """Return how many sites appeared, vanished, grew and shrank; what no site did is left out."""
        appeared = (self.size_bytes == self.size_diff_bytes) & (self.blocks == self.blocks_diff)
        same = (self.size_diff_bytes == 0) & (self.blocks_diff == 0)
        vanished = (self.size_bytes == 0) & (self.blocks == 0)
        rose = np.where(self.size_diff_bytes != 0, self.size_diff_bytes, self.blocks_diff) > 0
        code = np.select([same, appeared, vanished, rose], [4, 0, 1, 2], 3)
        return {
            change: n for change, n in zip(Change, np.bincount(code, minlength=5).tolist(), strict=True) if n
        }

    @classmethod
    def of(cls, sites: Iterable[SiteDiff], **fields: Any) -> Self:
        """Return a diff of given sites; ``fields`` are its other attributes."""
        rows = tuple(sites)
        return cls(
            places=Sites.of(row.site for row in rows),
            size_bytes=ints([row.size_bytes for row in rows]),
            size_diff_bytes=ints([row.size_diff_bytes for row in rows]),
            blocks=ints([row.blocks for row in rows]),
            blocks_diff=ints([row.blocks_diff for row in rows]),
            moved_from=ints([row.moved_from for row in rows] if any(r.moved_from for r in rows) else []),
            **fields,
        )


def _change(size: int, size_diff: int, blocks: int, blocks_diff: int) -> Change:
    if size_diff == blocks_diff == 0:
        return Change.SAME
    if size == size_diff and blocks == blocks_diff:
        return Change.APPEARED
    if size == 0 and blocks == 0:
        return Change.VANISHED
    return Change.GREW if (size_diff or blocks_diff) > 0 else Change.SHRANK


def _check_range(name: str, column: Ints | Nodes, limit: int) -> None:
    if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
        raise ValueError(f"snapshot: {name} points outside its table")


def _check_tracebacks(what: str, starts: Ints, entries: Ints | Nodes) -> None:
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != len(entries):
        raise ValueError(f"{what}: starts must run from 0 to the number of frame entries")
    if bool((starts[1:] <= starts[:-1]).any()):  # a difference could overflow
        raise ValueError(f"{what}: a traceback has at least one frame")


def _check_offsets(name: str, offsets: Ints, groups: int, entries: int) -> None:
    """Check the offsets of a column that may be left out whole."""
    if not len(offsets) and not entries:
        return
    if len(offsets) != groups + 1 or offsets[0] != 0 or offsets[-1] != entries:
        raise ValueError(f"snapshot: {name} must run from 0 to {entries}, for {groups} groups")
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise ValueError(f"snapshot: {name} must not fall")
