"""Memory line by line: one row for each line of the functions that were followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Ints, check_lengths

__all__ = ["LineProfile", "ProfiledFunction", "Stretch"]


@dataclasses.dataclass(frozen=True, slots=True)
class ProfiledFunction:
    """A function that was followed.

    Attributes:
        name: qualified name; ``Cell In[3]`` for the lines of a cell itself.
        file: label of its file, see ``Frame.file``.
        first_line: 1-based line of its ``def`` or first decorator.
    """

    name: str
    file: str
    first_line: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A block of code that was named while the program ran.

    Attributes:
        label: its name.
        seconds: how long it took, in seconds.
        start_bytes, end_bytes: the value before and after it.
        peak_bytes: the greatest while it ran; None where it is not known.
    """

    label: str
    seconds: float
    start_bytes: int
    end_bytes: int
    peak_bytes: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LineProfile(Result):
    """Memory of functions, line by line. What a line calls is in its figures.

    Attributes:
        functions: what was followed.
        function: row -> index into ``functions``, shape ``(rows,)``; in order of lines.
        line: 1-based line in the function's file, shape ``(rows,)``.
        occurrences: how often the line began, 0 for one that did not run; at a ``def`` the number of calls.
            A comprehension is one with its line.
        increment_bytes: how much the value rose while the line ran, all occurrences together; in a recursion
            those of the outermost activation. Not in it: what a thread or task did meanwhile is not told
            apart, and a line that ended within some microseconds of the last reading left it to the next.
        usage_bytes: greatest value when the line ended, 0 for one that did not run.
        rise_bytes: how far the value stood above that at the line's begin while it ran, at most over all
            occurrences; what was gone when the line ended is in it. Empty where that is not known: see
            ``absent``.
        source: text of each line, with its indentation and without comments and the contents of strings.
        metric: what was read, ``rss_bytes`` unless another was asked for.
        sources: where ``value`` and ``peak`` come from (``statm``, ``vmhwm`` ...).
        absent: what could not be read and why.
        stretches: blocks that the program named.
        complete: False where the program was cut short by an exception.
        notes: what a reader must know to trust the figures.
    """

    kind: ClassVar[str] = "line profile"

    functions: tuple[ProfiledFunction, ...]
    function: Ints
    line: Ints
    occurrences: Ints
    increment_bytes: Ints
    usage_bytes: Ints
    rise_bytes: Ints
    source: tuple[str, ...]
    metric: str = "rss_bytes"
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stretches: tuple[Stretch, ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = check_lengths(
            "line profile",
            function=self.function,
            line=self.line,
            occurrences=self.occurrences,
            increment_bytes=self.increment_bytes,
            usage_bytes=self.usage_bytes,
        )
        if len(self.source) != rows or len(self.rise_bytes) not in (0, rows):
            raise ValueError("line profile: source has a text, and rise_bytes none or a value, for each row")
        if rows and (
            int(self.function.min()) < 0
            or int(self.function.max()) >= len(self.functions)
            or bool((self.function[1:] < self.function[:-1]).any())
        ):
            raise ValueError("line profile: rows must name their functions in order")

    def __len__(self) -> int:
        return len(self.line)

    @property
    def has_rise(self) -> bool:
        """Whether the peaks within lines are known."""
        return len(self.rise_bytes) == len(self.line) > 0

    def rows_of(self, function: int) -> range:
        """Return the rows of one function."""
        start, stop = np.searchsorted(self.function, [function, function + 1])
        return range(int(start), int(stop))

    def to_text(self, precision: int = 1, width: int | None = None) -> str:
        """Return the table that memory_profiler's users know, with the rise within each line.

        Args:
            precision: decimal places of MiB.
            width: cut lines of code to so many columns in all; None leaves them whole.
        """
        from memlab.views.line_text import line_tables

        return "\n".join(line_tables(self, precision, width))

    def row(self, line: int, function: int = 0) -> int:
        """Return the row of a line.

        Raises:
            KeyError: when the function has no such line.
        """
        for row in self.rows_of(function):
            if int(self.line[row]) == line:
                return row
        raise KeyError(line)
