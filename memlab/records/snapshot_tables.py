"""Allocation sites grouped and compared: one row for each site, as columns.

A ``SnapshotTable`` is what a snapshot holds by site, a ``SnapshotDiff`` what changed between two. Rows are
columns; objects are made of those that are looked at.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from memlab.errors import UsageError
from memlab.records._result import Result
from memlab.records.columns import Ints, check_lengths, ints, no_ints
from memlab.records.sites import Rows, Site, Sites
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    import os

    from memlab.records.flame import FlameTree

__all__ = ["Change", "SiteDiff", "SiteTotal", "SnapshotDiff", "SnapshotTable"]


class Change(enum.StrEnum):
    """What became of a site between two snapshots."""

    APPEARED = "appeared"
    VANISHED = "vanished"
    GREW = "grew"
    SHRANK = "shrank"
    SAME = "same"


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
            hold the true value in 998 of 1,000 cases; empty where every block was recorded.
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
