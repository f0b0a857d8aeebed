"""What each cell of a notebook did to memory: one row a cell, with a small line of RSS over its time."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths
from memlab.records.heap_results import TypeCount

__all__ = ["BoundName", "CellLedger", "CellRow"]


@dataclasses.dataclass(frozen=True, slots=True)
class BoundName:
    """A variable that a cell bound anew.

    Attributes:
        name: the variable.
        type_name: what it refers to.
        shallow_bytes: size of that object alone, by its type's own native size: an array's data is in it,
            what a container refers to is not.
    """

    name: str
    type_name: str
    shallow_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class CellRow:
    """One run of a cell.

    Attributes:
        number: execution count, as in ``In[3]``; 0 for a run that had none.
        label: its first line, without the contents of strings.
        depth: 0, or how many other cells it ran inside of.
        outcome: ``ok``, or the type of the exception that ended it.
        seconds: how long it ran.
        start_bytes, end_bytes: RSS before and after.
        peak_bytes: greatest RSS while it ran; None where it could not be read.
        peak_source: ``vmhwm`` or ``sampled``.
        gc_seconds: time in the collector, all generations; ``collections`` is how often it ran.
        objects_diff: change in the number of objects that the collector tracks; None where they were not
            counted, for the reason in ``cut``.
        survivors: types of which there are more objects than before, most first; garbage that the collector
            has not met yet counts. Not in it: what the collector does not track (strings, numbers, arrays).
        names: variables that the cell bound anew, greatest object first.
        cut: what was left out to stay within the time for bookkeeping; empty when nothing was.
    """

    number: int
    label: str
    depth: int
    outcome: str
    seconds: float
    start_bytes: int
    end_bytes: int
    peak_bytes: int | None
    peak_source: str
    gc_seconds: float
    collections: int
    objects_diff: int | None = None
    survivors: tuple[TypeCount, ...] = ()
    names: tuple[BoundName, ...] = ()
    cut: str = ""

    @property
    def diff_bytes(self) -> int:
        """Growth of RSS over the cell."""
        return self.end_bytes - self.start_bytes


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CellLedger(Result):
    """The cells of a notebook in the order in which they ended.

    Attributes:
        cells: one row a run.
        starts: shape ``(cells + 1,)``: the samples of cell ``i`` are ``starts[i]:starts[i + 1]``.
        time_s: seconds since the cell began, shape ``(samples,)``.
        rss_bytes: RSS at that moment, shape ``(samples,)``.
        overhead_s: time that the bookkeeping itself took, all cells together, in seconds.
        dropped: the oldest cells that were given up to bound the ledger.
        notes: what a reader must know to trust the figures.
    """

    kind: ClassVar[str] = "cell ledger"

    cells: tuple[CellRow, ...]
    starts: Ints
    time_s: Floats
    rss_bytes: Ints
    overhead_s: float = 0.0
    dropped: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        samples = check_lengths("cell ledger", time_s=self.time_s, rss_bytes=self.rss_bytes)
        if (
            len(self.starts) != len(self.cells) + 1
            or int(self.starts[0]) != 0
            or int(self.starts[-1]) != samples
            or bool((self.starts[1:] < self.starts[:-1]).any())
        ):
            raise ValueError(
                "cell ledger: starts must run from 0 to the number of samples, one for each cell"
            )

    def __len__(self) -> int:
        return len(self.cells)

    def samples(self, cell: int) -> tuple[Floats, Ints]:
        """Return times and RSS of one cell."""
        at = slice(int(self.starts[cell]), int(self.starts[cell + 1]))
        return self.time_s[at], self.rss_bytes[at]
