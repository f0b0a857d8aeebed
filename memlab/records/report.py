"""Several results, tables and prose under one title: what a person hands to another.

A report is a value like the results in it: it holds no measured object, is saved, loaded and shown as they
are. What it is given is copied into parts when it is made; a table keeps numbers and texts of its cells, and
of anything else only the type, as a record holds no repr.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from memlab._base.safety import instance_type_name
from memlab.errors import UsageError
from memlab.records._result import Result

__all__ = ["Report", "ReportPart", "ReportTable"]

MOST_ROWS = 2_000
MOST_TEXT = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of the author's own.

    Attributes:
        columns: headings.
        rows: the cells as text, each row as long as ``columns``.
        numbers: for each column, whether its cells are numbers.
        total: rows that there were; more than ``rows`` when it was cut.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]
    total: int

    def __post_init__(self) -> None:
        width = len(self.columns)
        if len(self.numbers) != width or any(len(row) != width for row in self.rows):
            raise ValueError("a table's rows must be as long as its headings")
        if self.total < len(self.rows):
            raise ValueError("a table has at least the rows that it shows")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ReportPart:
    """One piece of a report: a heading, prose, a result or a table; each of them may be missing.

    Attributes:
        title: its heading, empty to go on under the one before.
        text: prose; an empty line begins a paragraph.
        result: a result of memlab.
        table: a table of the author's own.
        kind: the result's kind, empty for none; it is told from the result.
    """

    holds_kind: ClassVar[str] = "result"  # the field whose class ``kind`` tells when a file is read

    title: str = ""
    text: str = ""
    result: Result | None = None
    table: ReportTable | None = None
    kind: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", "" if self.result is None else self.result.kind)
        if isinstance(self.result, Report):
            raise ValueError("a report cannot be a part of a report")  # noqa: TRY004 - of its value


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Report(Result):
    """Results, tables and prose as one page with a table of contents.

    Args:
        title: the page's heading.
        parts: any of these, in the order of reading: a result of memlab; a text, which is prose; a pandas
            DataFrame, or a list of dictionaries with the same keys; a tuple of a heading and any number of
            these; another report, whose parts are taken.

    Not in it: the objects behind a result, and of a table's cells anything but numbers, texts and dates.

    Raises:
        UsageError: when a part is none of these.

    Example:
        >>> import memlab
        >>> peak = memlab.MemitResult((3 * 2**20,), 2**20)
        >>> report = memlab.Report("Import", ["Measured on the build server.", ("Peak", peak)])
        >>> [part.title for part in report.parts], "3.00 MiB" in report.to_html()
        (['', 'Peak'], True)
    """

    kind: ClassVar[str] = "report"

    title: str
    parts: tuple[ReportPart, ...] = ()

    if TYPE_CHECKING:

        def __init__(self, title: str, parts: Iterable[Any] = ()) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.title, str) or not self.title.strip():
            raise UsageError("Report: the title must be a text that is not empty")
        parts: Any = self.parts
        if isinstance(parts, Result | str) or not isinstance(parts, Iterable):
            raise UsageError("Report: the parts come as a list: Report('Title', [text, result, ...])")
        made = tuple(one for part in parts for one in _parts_of(part))
        object.__setattr__(self, "parts", made)


def _parts_of(thing: Any) -> list[ReportPart]:
    if isinstance(thing, ReportPart):
        return [thing]
    if isinstance(thing, Report):
        return list(thing.parts)
    if isinstance(thing, Result):
        return [ReportPart(result=thing)]
    if isinstance(thing, str):
        return [ReportPart(text=_text(thing))]
    if isinstance(thing, tuple):
        return _headed(thing)
    table = _table(thing)
    if table is not None:
        return [ReportPart(table=table)]
    raise UsageError(
        f"Report: cannot show a {instance_type_name(thing)}: a part is a result of memlab, a text, a table, "
        "or a tuple of a heading and any of these"
    )


def _headed(given: tuple[Any, ...]) -> list[ReportPart]:
    if len(given) < 2 or not isinstance(given[0], str):  # noqa: PLR2004 - a heading and something under it
        raise UsageError("Report: a tuple is a heading and what stands under it: ('Peak', result)")
    first, *others = [part for one in given[1:] for part in _parts_of(one)] or [ReportPart()]
    if first.title:
        return [ReportPart(title=_text(given[0])), first, *others]
    return [dataclasses.replace(first, title=_text(given[0])), *others]


def _text(text: str) -> str:
    if len(text) > MOST_TEXT:
        raise UsageError(f"Report: a text of {len(text):,} characters; at most {MOST_TEXT:,} fit in one part")
    return text


def _table(thing: Any) -> ReportTable | None:
    """Return a DataFrame or a list of dictionaries as a table, None for anything else."""
    if isinstance(thing, list) and thing and all(type(row) is dict for row in thing):
        names = list(thing[0])
        if any(list(row) != names for row in thing):
            raise UsageError("Report: the dictionaries of a table must have the same keys in the same order")
        return _made(names, [tuple(row.values()) for row in thing[:MOST_ROWS]], len(thing))
    if type(thing).__module__.startswith("pandas") and hasattr(thing, "itertuples"):
        frame = thing if thing.index.name is None else thing.reset_index()
        shown = frame.head(MOST_ROWS)
        return _made(list(frame.columns), list(shown.itertuples(index=False, name=None)), len(frame))
    return None


def _made(names: list[Any], rows: list[tuple[Any, ...]], total: int) -> ReportTable:
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * len(names)
    numbers = tuple(bool(column) and all(_is_number(cell) for cell in column) for column in columns)
    texts = tuple(tuple(_cell(cell) for cell in row) for row in rows)
    return ReportTable(tuple(_cell(name) for name in names), texts, numbers, total)


_DATES = {"Timestamp", "Timedelta", "datetime", "date", "time", "timedelta"}


def _plain(cell: Any) -> Any:
    return cell.item() if type(cell).__module__ == "numpy" and hasattr(cell, "item") else cell


def _is_number(cell: Any) -> bool:
    return type(_plain(cell)) in (int, float)


def _cell(cell: Any) -> str:
    """Return what a table shows of a cell: numbers, texts and dates; the type of anything else."""
    cell = _plain(cell)
    kind = type(cell)
    if cell is None or kind.__name__ in ("NaTType", "NAType"):
        return ""
    if kind is float:
        return "" if cell != cell else f"{cell:,.6g}"  # noqa: PLR0124 - NaN
    if kind is int:
        return f"{cell:,}"
    if kind in (str, bool):
        return str(cell)[:MOST_TEXT]
    if kind.__module__ in ("datetime", "pandas") or kind.__module__.startswith("pandas._libs"):
        return str(cell) if kind.__name__ in _DATES else instance_type_name(cell)
    return f"<{instance_type_name(cell)}>"
