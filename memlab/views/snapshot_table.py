"""A snapshot grouped by site: its rows for a table, its text, and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes
from memlab.views import words
from memlab.views.layout import columns, wrap
from memlab.views.leak_page import MOST_ROWS, site_cell
from memlab.views.page import Bar, Cell, Column, Figure, Page, Section, Table, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memlab.records.snapshot_tables import SnapshotTable

__all__ = ["COLUMNS", "table_page", "table_rows", "table_text"]

COLUMNS = ("file", "line", "function", "size_bytes", "blocks", "traceback")
_LINES = 10
_MOST_CHARACTERS = 80


def table_rows(table: SnapshotTable) -> Iterator[tuple[str, int, str, int, int, str]]:
    """Give the rows of a table, in its order."""
    for total in table.sites:
        frame = total.site.frame
        stack = " <- ".join(words.place(f) for f in total.site.frames)
        yield frame.file, frame.line, frame.function, total.size_bytes, total.blocks, stack


def table_text(table: SnapshotTable) -> str:
    """Return the greatest sites as text."""
    label = f" {words.printable(table.label, _MOST_CHARACTERS)}" if table.label else ""
    total = f"{format_bytes(table.total_bytes)} in {table.total_blocks:,} blocks"
    lines = wrap(f"Snapshot{label} by {words.printable(table.by, 20)}: {total}", 0, 2)
    lines += wrap(_counted(table), 2)
    shown = [table[row] for row in range(min(len(table), _LINES))]
    if shown:
        more = f" ({len(shown):,} of {len(table):,})" if len(table) > len(shown) else ""
        lines += ["", f"Sites that hold most{more}"]
        rows = [
            (
                words.printable(words.place(s.site.frame)),
                format_bytes(s.size_bytes),
                f"{s.blocks:,}",
                _share(s.size_bytes, table.total_bytes),
                *_range(table, row),
            )
            for row, s in enumerate(shown)
        ]
        heads = ("site", "size", "blocks", "share", *_RANGE[: len(_range(table, 0))])
        lines += columns(heads, rows, (False, *(True for _ in heads[1:])))
    notes = [line for note in table.notes for line in wrap(f"- {words.printable(note)}", 2, 4)]
    return "\n".join([*lines, *(["", "Notes", *notes] if notes else [])])


def table_page(table: SnapshotTable) -> Page:
    """Return the page of a grouped snapshot."""
    most = max((s.size_bytes for s in table.sites[:1]), default=0) or 1
    rows = tuple(
        (
            site_cell(s.site.frame),
            Cell(
                format_bytes(s.size_bytes),
                sort=float(s.size_bytes),
                bar=Bar(0.0, round(s.size_bytes / most * 100, 1), "accent"),
            ),
            Cell(_share(s.size_bytes, table.total_bytes), sort=float(s.size_bytes)),
            Cell(f"{s.blocks:,}", sort=float(s.blocks)),
            *(Cell(text, sort=float(table.low_bytes[row])) for text in _range(table, row)),
        )
        for row, s in enumerate(table.sites[:MOST_ROWS])
    )
    heads = (
        Column("Site"),
        Column("Size", number=True),
        Column("Share", number=True),
        Column("Blocks", number=True),
        *(Column("Between", number=True) for _ in _RANGE if len(table.low_bytes)),
    )
    shown = Table("sites", f"What holds most, by {table.by}", heads, rows, len(table))
    notes = (Section("notes", "Notes and limits", (Texts("", table.notes),)),) if table.notes else ()
    return Page(
        kind="snapshot by site",
        title=f"Snapshot {table.label} by {table.by}".replace("  ", " "),
        headline=f"{format_bytes(table.total_bytes)} live in {table.total_blocks:,} blocks",
        lead=_counted(table),
        badge=None,
        figures=(
            Figure("Live", format_bytes(table.total_bytes), f"on the books of {table.engine}"),
            Figure("Blocks", f"{table.total_blocks:,}"),
            Figure("Sites", f"{len(table):,}", f"by {table.by}"),
        ),
        next_steps=(),
        sections=(Section("sites-section", f"By {table.by}", (shown,)), *notes),
        brief=Table("brief", shown.caption, heads, rows[:_LINES], len(table)),
        height=560,
    )


def _counted(table: SnapshotTable) -> str:
    if table.cumulative == "inclusive":
        return "A block counts once at each site on its traceback: sites overlap."
    if table.cumulative == "stdlib":
        return "A block counts at each frame of its traceback, a recursive one several times: sites overlap."
    return "A block counts where it was allocated, not in the callers."


_RANGE = ("between",)


def _range(table: SnapshotTable, row: int) -> tuple[str, ...]:
    """Return the interval of an estimated size; nothing where sizes are exact."""
    if not len(table.low_bytes):
        return ()
    return (f"{format_bytes(int(table.low_bytes[row]))} - {format_bytes(int(table.high_bytes[row]))}",)


def _share(size: int, total: int) -> str:
    return f"{size / total * 100:.1f} %" if total else "-"
