"""Allocation stacks merged into one tree: rows -> frames -> files, at one moment or at two.

A row is one frame as called through the rows above it. Rows lie level by level, those with the same parent
together, greatest first; the first row is the root and stands for everything. The tree is bounded: what had
no place is counted in ``folded`` of the row under which it belongs and stays in that row's total, so that
no byte is ever lost from a sum. ``frame_*`` columns are exact whatever was folded.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Ints, check_lengths

if TYPE_CHECKING:
    import os

__all__ = ["MOST_BYTES", "FlameSide", "FlameTree"]

_MOST_ROWS = 1 << 17
MOST_BYTES = 1 << 45
"""Greatest size that a row may have, so that a sum over all rows fits in 64 bits, whatever a file says."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FlameSide:
    """What the rows of a tree hold at one moment.

    Attributes:
        self_bytes, self_blocks: of stacks that end in the row, shape ``(rows,)``. In an upright tree: what
            the row's own line allocated. In an inverted one: what came through all of its callers.
        total_bytes, total_blocks: of all stacks that pass through the row, shape ``(rows,)``.
        frame_bytes, frame_blocks: what a frame allocated itself, over all its rows, shape ``(frames,)``.
    """

    self_bytes: Ints
    total_bytes: Ints
    self_blocks: Ints
    total_blocks: Ints
    frame_bytes: Ints
    frame_blocks: Ints

    def __post_init__(self) -> None:
        for column in dataclasses.fields(self):
            values = getattr(self, column.name)
            if len(values) and not 0 <= int(values.min()) <= int(values.max()) <= MOST_BYTES:
                raise ValueError(f"flame tree: {column.name} holds what is no size")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FlameTree(Result):
    """Live traced memory by call path; with ``before``, a difference of two moments.

    Attributes:
        parent: row -> row above it, -1 for the root; never decreasing, shape ``(rows,)``.
        frame: row -> frame, -1 for the root.
        folded: row -> number of frames below it that are not listed; their bytes are in its total.
        repeats: row -> greatest number of times that its frame, or a group of frames that begins with it,
            stood right under itself in one stack: 1 where nothing recurs. Recursion is merged, so that a
            stack passes through a row once and its bytes count once.
        now: sizes and blocks at the newer moment, or the only one.
        before: the same at the older moment; None for a tree of one snapshot.
        frame_file, frame_line, frame_function: shape ``(frames,)``; they index ``files`` and ``functions``.
            Line 0 and function ``""`` are unknown, or merged.
        files: file labels, see ``Frame.file``; ``file_package`` indexes ``packages``.
        own_files: indexes into ``files`` of the user's own code.
        inverted: False: from the outermost call down to the allocating line. True: from the allocating line
            up through its callers.
        by: what a frame is: one ``line``, one ``function`` or one ``file``.
        engine, depth: as in ``Snapshot``; callers beyond ``depth`` frames are not in the tree.
        now_label, before_label: labels of the snapshots.
    """

    kind: ClassVar[str] = "flame tree"

    parent: Ints
    frame: Ints
    folded: Ints
    repeats: Ints
    now: FlameSide
    before: FlameSide | None
    frame_file: Ints
    frame_line: Ints
    frame_function: Ints
    files: tuple[str, ...]
    functions: tuple[str, ...]
    file_package: Ints
    packages: tuple[str, ...]
    own_files: tuple[int, ...] = ()
    inverted: bool = False
    by: str = "line"
    engine: str = "tracemalloc"
    depth: int = 1
    now_label: str = ""
    before_label: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sides = [self.now] if self.before is None else [self.now, self.before]
        rows = check_lengths(
            "flame tree rows",
            parent=self.parent,
            frame=self.frame,
            folded=self.folded,
            repeats=self.repeats,
            **{f"{name}_{i}": getattr(side, name) for i, side in enumerate(sides) for name in _ROW_COLUMNS},
        )
        frames = check_lengths(
            "flame tree frames",
            file=self.frame_file,
            line=self.frame_line,
            function=self.frame_function,
            **{f"{name}_{i}": getattr(side, name) for i, side in enumerate(sides) for name in _FRAME_COLUMNS},
        )
        if not 1 <= rows <= _MOST_ROWS:
            raise ValueError(f"flame tree: has 1 to {_MOST_ROWS:,} rows")
        self._check_shape(rows, frames)
        for side in sides:
            for total, own in ((side.total_bytes, side.self_bytes), (side.total_blocks, side.self_blocks)):
                if bool((_rest(self.parent, total, own) < 0).any()):
                    raise ValueError("flame tree: a row is less than its parts")

    def _check_shape(self, rows: int, frames: int) -> None:
        parent = self.parent
        if parent[0] != -1 or bool((parent[1:] < parent[:-1]).any()):
            raise ValueError("flame tree: rows begin with the root and lie level by level")
        if bool((parent[1:] < 0).any()) or bool((parent[1:] >= np.arange(1, rows)).any()):
            raise ValueError("flame tree: a row stands below its parent")
        if self.frame[0] != -1 or bool((self.frame[1:] < 0).any()) or bool((self.frame >= frames).any()):
            raise ValueError("flame tree: frame points outside its table")
        if bool((self.folded < 0).any()) or bool((self.repeats < 1).any()):
            raise ValueError("flame tree: folded counts from 0, repeats from 1")
        for column, limit in (
            (self.frame_file, len(self.files)),
            (self.frame_function, len(self.functions)),
            (self.file_package, len(self.packages)),
        ):
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < limit:
                raise ValueError("flame tree: a name is outside its table")
        if len(self.file_package) != len(self.files) or any(
            not 0 <= own < len(self.files) for own in self.own_files
        ):
            raise ValueError("flame tree: each file has a package, own_files are files")

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def total_bytes(self) -> int:
        """Bytes of all stacks at the newer moment."""
        return int(self.now.total_bytes[0])

    @property
    def total_diff_bytes(self) -> int:
        """Growth from the older moment to the newer one; all there is for a tree of one snapshot."""
        return self.total_bytes - (int(self.before.total_bytes[0]) if self.before is not None else 0)

    def rest_bytes(self, side: FlameSide) -> Ints:
        """Return what each row's total holds beyond its own and its listed parts': bytes of folded frames."""
        return _rest(self.parent, side.total_bytes, side.self_bytes)

    def rest_blocks(self, side: FlameSide) -> Ints:
        """Return the same for numbers of blocks."""
        return _rest(self.parent, side.total_blocks, side.self_blocks)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the flame graph as one static SVG picture; with ``path``, write it there as well.

        Only frames that are wide enough to be seen are drawn; the picture says how many it leaves out.

        Raises:
            UsageError: when the folder is missing or cannot be written.
        """
        from memlab.views.html import render_flame, write_page

        picture = render_flame(self)
        if path is not None:
            write_page(picture, path)
        return picture


_ROW_COLUMNS = ("self_bytes", "total_bytes", "self_blocks", "total_blocks")
_FRAME_COLUMNS = ("frame_bytes", "frame_blocks")


def _rest(parent: Ints, total: Ints, own: Ints) -> Ints:
    parts = np.zeros(len(parent), np.int64)
    np.add.at(parts, parent[1:], total[1:])
    return total - own - parts
