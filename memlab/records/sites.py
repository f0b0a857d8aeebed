"""Where memory was allocated: frames, the sites that they make up, and both as columns.

A site is the frames of one stack, most recent call first. In a table's columns frames and stacks are
interned: the frames of site ``s`` are ``frame_of[starts[s]:starts[s + 1]]``. Objects are made of those rows
that are looked at.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np

from memlab.records.columns import Ints, Nodes, check_lengths, ints, no_ints

__all__ = [
    "NATIVE",
    "By",
    "Cumulative",
    "Frame",
    "Rows",
    "Site",
    "Sites",
    "check_offsets",
    "check_range",
    "check_tracebacks",
]

NATIVE = "<native> "
"""How the file of a native frame begins: C, C++, Rust and the like, which have no Python line."""

By = Literal["line", "file", "function", "module", "package", "traceback", "thread"]
Cumulative = Literal["", "inclusive", "stdlib"]
"""Where a block counts: at the line that allocated it (``""``), once at each site on its traceback
(``inclusive``), or, as ``tracemalloc`` does it, at each frame, a recursive one several times (``stdlib``)."""


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
        check_tracebacks("sites", self.starts, self.frame_of)
        check_range("frame_of", self.frame_of, frames)
        check_range("frame_file", self.frame_file, len(self.files))
        if len(self.frame_function) not in (0, frames):
            raise ValueError("sites: column frame_function is not as long as the others")
        check_range("frame_function", self.frame_function, len(self.functions))
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


def check_range(name: str, column: Ints | Nodes, limit: int) -> None:
    """Raise ``ValueError`` where an index points outside a table of ``limit`` entries."""
    if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
        raise ValueError(f"snapshot: {name} points outside its table")


def check_tracebacks(what: str, starts: Ints, entries: Ints | Nodes) -> None:
    """Raise ``ValueError`` unless ``starts`` divides the entries into groups of at least one."""
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != len(entries):
        raise ValueError(f"{what}: starts must run from 0 to the number of frame entries")
    if bool((starts[1:] <= starts[:-1]).any()):  # a difference could overflow
        raise ValueError(f"{what}: a traceback has at least one frame")


def check_offsets(name: str, offsets: Ints, groups: int, entries: int) -> None:
    """Check the offsets of a column that may be left out whole."""
    if not len(offsets) and not entries:
        return
    if len(offsets) != groups + 1 or offsets[0] != 0 or offsets[-1] != entries:
        raise ValueError(f"snapshot: {name} must run from 0 to {entries}, for {groups} groups")
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise ValueError(f"snapshot: {name} must not fall")
