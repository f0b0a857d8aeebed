"""A report as a page: prose, tables, and the pages of its results below each other, with a table of contents.

Each result says what its own page says. The ids of a part's elements begin with the part's, so that two
results of one kind do not get in each other's way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memlab._base.units import format_count, format_things
from memlab.views import words
from memlab.views.layout import columns, wrap
from memlab.views.page import Cell, Column, Page, Part, Table, prefixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.records._result import Result
    from memlab.records.report import Report, ReportPart, ReportTable

__all__ = ["part_rows", "report_page", "report_text"]

_BREAK = re.compile(r"\n\s*\n")
_HEIGHT = 760
_TEXT_ROWS = 20


def report_page(report: Report, build: Callable[[Result], Page]) -> Page:
    """Return the page of a report; ``build`` makes the page of each result in it."""
    parts = tuple(_part(part, f"part-{n}", build) for n, part in enumerate(report.parts, 1))
    rows = tuple(
        (Cell(title), Cell(kind), Cell(said)) for title, kind, said in part_rows(report, build) if kind
    )
    brief = Table(
        "brief", "In this report", (Column("Part"), Column("Kind"), Column("Says")), rows, len(rows)
    )
    return Page(
        kind="report",
        title=report.title,
        headline=report.title,
        lead="" if parts else "This report has no parts.",
        badge=None,
        figures=(),
        next_steps=(),
        sections=(),
        brief=brief if rows else None,
        height=_HEIGHT,
        parts=parts,
    )


def part_rows(report: Report, build: Callable[[Result], Page]) -> list[tuple[str, str, str]]:
    """Return heading, kind and headline of each part; a heading holds until the next one."""
    rows, heading = [], ""
    for part in report.parts:
        heading = part.title or heading
        if part.result is not None:
            rows.append((heading, part.kind, build(part.result).headline))
        elif part.table is not None:
            rows.append((heading, "table", format_things(part.table.total, "row")))
        else:
            rows.append((heading, "", _first(part.text)))
    return rows


def report_text(report: Report, render: Callable[[Result], str]) -> str:
    """Return a report as text; ``render`` gives the text of each result in it."""
    lines = [*wrap(words.printable(report.title)), ""]
    for part in report.parts:
        if part.title:
            title = words.printable(part.title, 200)
            lines += [*wrap(title), "-" * min(len(title), 100), ""]
        for text in _paragraphs(part.text):
            lines += [*wrap(words.printable(text)), ""]
        if part.table is not None:
            lines += [*_table_lines(part.table), ""]
        if part.result is not None:
            lines += [render(part.result), ""]
    return "\n".join(lines).rstrip()


def _part(part: ReportPart, at: str, build: Callable[[Result], Page]) -> Part:
    page = None if part.result is None else prefixed(build(part.result), f"{at}-")
    table = None if part.table is None else _table(part.table, f"{at}-table", part.title or "Table")
    return Part(at, part.title, tuple(_paragraphs(part.text)), page, table)


def _table(table: ReportTable, at: str, caption: str) -> Table:
    heads = tuple(Column(name, number) for name, number in zip(table.columns, table.numbers, strict=True))
    rows = tuple(
        tuple(Cell(text, sort=_number(text) if number else None) for text, number in
              zip(row, table.numbers, strict=True))
        for row in table.rows
    )  # fmt: skip
    cut = table.total - len(rows)
    note = f"The first {format_count(len(rows))} of {format_count(table.total)} rows." if cut else ""
    return Table(at, caption, heads, rows, len(rows), note)


def _table_lines(table: ReportTable) -> list[str]:
    clean = [tuple(words.printable(cell, 200) for cell in row) for row in table.rows[:_TEXT_ROWS]]
    names = tuple(words.printable(name, 200) for name in table.columns)
    lines = columns(names, clean, table.numbers, 0) if clean else []
    if table.total > len(clean):
        lines.append(f"... {format_count(table.total - len(clean))} more rows")
    return lines


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in _BREAK.split(text) if part.strip()]


def _first(text: str) -> str:
    return words.printable(" ".join(text.split()), 80)
