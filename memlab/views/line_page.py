"""A line profile as a page: the table of each function, with a bar for how far each line rose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.line_text import line_headline, peak_sentence, value_name
from memlab.views.page import Bar, Cell, Column, Figure, Page, Section, Table, Texts

if TYPE_CHECKING:
    from memlab.records.line_profile import LineProfile

__all__ = ["LINE_COLUMNS", "line_bars", "line_page", "line_rows"]

_MOST_ROWS = 2_000
_MOST_BRIEF = 400
LINE_COLUMNS = (
    "function",
    "file",
    "line",
    "occurrences",
    "increment_bytes",
    "usage_bytes",
    "rise_bytes",
    "source",
)


def line_page(profile: LineProfile) -> Page:
    """Return the page of a line profile."""
    tables = [_table(profile, index) for index in range(len(profile.functions))]
    sections = [
        Section(f"function-{i}", words.printable(profile.functions[i].name, 200), (table,))
        for i, table in enumerate(tables)
    ]
    if profile.stretches:
        sections.append(Section("blocks", "Named blocks", (_stretches(profile),)))
    if profile.notes:
        sections.append(Section("notes", "Notes and limits", (Texts("", profile.notes),)))
    ran = profile.occurrences > 0
    rises = profile.rise_bytes[ran] if profile.has_rise else None
    return Page(
        kind="line profile",
        title="Memory line by line",
        headline=line_headline(profile),
        lead=peak_sentence(profile) + ("" if profile.complete else " An exception cut it short."),
        badge=None,
        figures=(
            Figure("Greatest rise", format_bytes(int(rises.max())), "within one line")
            if rises is not None and len(rises)
            else Figure("Greatest rise", None, profile.absent.get("peak", "no line ran")),
            Figure(
                "Greatest value",
                format_bytes(int(profile.usage_bytes.max())) if len(profile) else None,
                value_name(profile) if len(profile) else "no line ran",
            ),
            Figure("Lines that ran", f"{int(ran.sum()):,}", f"of {len(profile):,}"),
        ),
        next_steps=(),
        sections=tuple(sections),
        brief=_brief(tables),
        height=0,
    )


def line_rows(profile: LineProfile) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the table of all functions: columns and rows. Rises that are not known are None."""
    rows: list[tuple[object, ...]] = []
    for row, (function, line) in enumerate(
        zip(profile.function.tolist(), profile.line.tolist(), strict=True)
    ):
        its = profile.functions[function]
        rows.append(
            (
                its.name,
                its.file,
                line,
                int(profile.occurrences[row]),
                int(profile.increment_bytes[row]),
                int(profile.usage_bytes[row]),
                int(profile.rise_bytes[row]) if profile.has_rise else None,
                profile.source[row],
            )
        )
    return LINE_COLUMNS, rows


def line_bars(profile: LineProfile) -> tuple[str, list[tuple[str, int]]]:
    """Return the greatest lines for a picture: a title, and places with their rise or increment in bytes."""
    column = profile.rise_bytes if profile.has_rise else profile.increment_bytes
    named = [
        (f"{profile.functions[int(profile.function[row])].name}:{profile.line[row]}", int(column[row]))
        for row in range(len(profile))
        if column[row]
    ]
    named.sort(key=lambda pair: -abs(pair[1]))
    return "How far each line rose" if profile.has_rise else "What each line added", named


def _table(profile: LineProfile, index: int) -> Table:
    function = profile.functions[index]
    rows = profile.rows_of(index)
    shown = [row for row in rows if len(rows) <= _MOST_ROWS or profile.occurrences[row]][:_MOST_ROWS]
    most = max((int(profile.rise_bytes[row]) for row in shown), default=0) if profile.has_rise else 0
    titles = (("Line", True), ("Mem usage", True), ("Increment", True), ("Occurrences", True), ("Rise", True))
    columns = (*(Column(title, number=number) for title, number in titles), Column("Line contents"))
    return Table(
        f"lines-{index}",
        f"{words.printable(function.name, 200)} in {words.printable(function.file)}",
        columns,
        tuple(_row(profile, row, most) for row in shown),
        len(rows),
    )


def _row(profile: LineProfile, row: int, most: int) -> tuple[Cell, ...]:
    line = Cell(f"{profile.line[row]}", sort=float(profile.line[row]))
    code = Cell(words.printable(profile.source[row]), tone="code")
    count, usage = int(profile.occurrences[row]), int(profile.usage_bytes[row])
    if not count and not usage:
        return (line, *(Cell("") for _ in range(4)), code)
    change = int(profile.increment_bytes[row])
    rise = int(profile.rise_bytes[row]) if profile.has_rise else None
    bar = Bar(0.0, round(max(rise / most * 100, 0.6), 1), "accent") if rise and most else None
    return (
        line,
        Cell(format_bytes(usage), sort=float(usage)),
        Cell(
            format_signed_bytes(change),
            sort=float(change),
            tone="grew" if change > 0 else "shrank" if change < 0 else "",
        ),
        Cell(f"{count:,}", sort=float(count)),
        Cell("" if rise is None else format_bytes(rise), sort=None if rise is None else float(rise), bar=bar),
        code,
    )


def _brief(tables: list[Table]) -> Table | None:
    if not tables:
        return None
    rows: list[tuple[Cell, ...]] = []
    for table in tables:
        if len(tables) > 1:
            rows.append((*(Cell("") for _ in range(5)), Cell(table.caption)))
        rows += table.rows
    caption = tables[0].caption if len(tables) == 1 else "Line by line"
    total = sum(table.total for table in tables)
    return Table("brief", caption, tables[0].columns, tuple(rows[:_MOST_BRIEF]), max(total, len(rows)))


def _stretches(profile: LineProfile) -> Table:
    columns = (
        Column("Block"),
        *(Column(title, number=True) for title in ("Time", "Before", "Left", "Rise")),
    )
    rows = tuple(
        (
            Cell(s.label),
            Cell(format_seconds(s.seconds), sort=s.seconds),
            Cell(format_bytes(s.start_bytes), sort=float(s.start_bytes)),
            Cell(format_signed_bytes(s.end_bytes - s.start_bytes), sort=float(s.end_bytes - s.start_bytes)),
            Cell("not known")
            if s.peak_bytes is None
            else Cell(format_bytes(s.peak_bytes - s.start_bytes), sort=float(s.peak_bytes - s.start_bytes)),
        )
        for s in profile.stretches[:_MOST_ROWS]
    )
    return Table("blocks-table", "Blocks that the program named", columns, rows, len(profile.stretches))
