"""The per-cell ledger as text, table and page; there each row has a small line of RSS over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.geometry import Scale, pick
from memlab.views.layout import columns, wrap
from memlab.views.page import Cell, Column, Figure, Page, Section, Table, Texts

if TYPE_CHECKING:
    from memlab.records.cell_ledger import CellLedger, CellRow

__all__ = ["ledger_bars", "ledger_page", "ledger_rows", "ledger_text"]

_MOST_ROWS = 1_000
_MOST_BRIEF = 50
_MOST_KINDS = 4
_WIDTH, _HEIGHT, _EDGE = 120.0, 24.0, 2.0
_BUCKETS = 30
_LOUD = 1024 * 1024
"""Growth below this is the noise of any cell."""
_NOTE = (
    "Left behind: variables that the cell bound, and below them survivors. "
    "Survivors are types of which there are more objects than before the cell, garbage that the collector has"
    " not met yet included; strings, numbers and arrays are not tracked and stand under variables."
)


def ledger_text(ledger: CellLedger) -> str:
    """Return the ledger as text of at most 100 columns."""
    lines = wrap(_headline(ledger), 0, 2)
    rows = [
        (
            name_of(cell),
            format_signed_bytes(cell.diff_bytes),
            "not known"
            if cell.peak_bytes is None
            else format_signed_bytes(cell.peak_bytes - cell.start_bytes),
            format_seconds(cell.seconds),
            _share(cell),
            words.printable(_left(cell), 60),
        )
        for cell in ledger.cells
    ]
    if rows:
        titles = ("cell", "left", "peak", "time", "collector", "left behind")
        lines += ["", *columns(titles, rows, (False, True, True, True, True, False))]
    notes = (*ledger.notes, *_dropped(ledger), *_cuts(ledger))
    if notes:
        lines += ["", "Notes", *(line for note in notes for line in wrap(f"- {words.printable(note)}", 2, 4))]
    return "\n".join(lines)


def ledger_page(ledger: CellLedger) -> Page:
    """Return the page of the ledger."""
    shown = list(enumerate(ledger.cells))[-_MOST_ROWS:]
    heads = (
        Column("Cell"),
        Column("RSS left", number=True),
        Column("Peak above start", number=True),
        Column("RSS over time"),
        Column("Time", number=True),
        Column("Collector", number=True),
        Column("Left behind"),
    )
    table = Table(
        "cells", "Cells", heads, tuple(_row(ledger, i, c) for i, c in shown), len(ledger.cells), _NOTE
    )
    spent = sum(cell.seconds for cell in ledger.cells if not cell.depth)
    notes = (*ledger.notes, *_dropped(ledger), *_cuts(ledger))
    known = [c.peak_bytes for c in ledger.cells if c.peak_bytes is not None]
    return Page(
        kind="cell ledger",
        title="Memory by cell",
        headline=_headline(ledger),
        lead="What each cell did to the memory of the kernel, in the order in which they ended.",
        badge=None,
        figures=(
            Figure("Cells", f"{len(ledger.cells):,}", f"{format_seconds(spent)} in all"),
            Figure("Greatest peak", format_bytes(max(known)), "of RSS")
            if known
            else Figure(
                "Greatest peak", None, "it could not be read" if ledger.cells else "no cell was measured"
            ),
            Figure("Bookkeeping", format_seconds(ledger.overhead_s), "that the ledger itself took"),
        ),
        next_steps=(),
        sections=(
            Section("cells-section", "Cell by cell", (table,)),
            *((Section("notes", "Notes and limits", (Texts("", notes),)),) if notes else ()),
        ),
        brief=_brief(table),
        height=560 if ledger.cells else 0,
    )


def ledger_rows(ledger: CellLedger) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return columns and rows; what is not known is None."""
    names = (
        "cell",
        "label",
        "depth",
        "outcome",
        "seconds",
        "start_bytes",
        "end_bytes",
        "diff_bytes",
        "peak_bytes",
        "peak_source",
        "gc_seconds",
        "collections",
        "objects_diff",
        "survivors",
        "variables",
    )
    return names, [
        (
            c.number,
            c.label,
            c.depth,
            c.outcome,
            c.seconds,
            c.start_bytes,
            c.end_bytes,
            c.diff_bytes,
            c.peak_bytes,
            c.peak_source,
            c.gc_seconds,
            c.collections,
            c.objects_diff,
            _survivors(c, len(c.survivors)),
            _variables(c, len(c.names)),
        )
        for c in ledger.cells
    ]


def ledger_bars(ledger: CellLedger) -> tuple[str, list[tuple[str, int]]]:
    """Return for a picture how far each cell rose above its start, in bytes, in the order of the cells."""
    return "How far each cell rose", [
        (name_of(cell), cell.peak_bytes - cell.start_bytes)
        for cell in ledger.cells
        if cell.peak_bytes is not None
    ]


def name_of(cell: CellRow) -> str:
    """Return what a cell is called."""
    number = f"In[{cell.number}]" if cell.number else "In[ ]"
    inside = "  " * cell.depth
    failed = "" if cell.outcome == "ok" else f" ({cell.outcome})"
    return words.printable(f"{inside}{number} {cell.label}{failed}", 120)


def _headline(ledger: CellLedger) -> str:
    cells = [cell for cell in ledger.cells if not cell.depth]
    if not cells:
        return "No cell was measured yet."
    most = max(cells, key=lambda cell: cell.diff_bytes)
    total = sum(cell.diff_bytes for cell in cells)
    if most.diff_bytes <= 0:
        return f"{len(cells):,} cells: {format_signed_bytes(total)} of RSS; none left any behind."
    return (
        f"{len(cells):,} cells: {format_signed_bytes(total)} of RSS, most by"
        f" {name_of(most)}: {format_signed_bytes(most.diff_bytes)}"
    )


def _row(ledger: CellLedger, index: int, cell: CellRow) -> tuple[Cell, ...]:
    rise = None if cell.peak_bytes is None else cell.peak_bytes - cell.start_bytes
    line, said = _spark(ledger, index)
    return (
        Cell(name_of(cell), mono=True, sort=float(index)),
        Cell(
            format_signed_bytes(cell.diff_bytes),
            sort=float(cell.diff_bytes),
            tone="" if abs(cell.diff_bytes) < _LOUD else "grew" if cell.diff_bytes > 0 else "shrank",
        ),
        Cell("not known" if rise is None else format_signed_bytes(rise), sort=float(rise or 0)),
        Cell("", spark=line, spark_say=said),
        Cell(format_seconds(cell.seconds), sort=cell.seconds),
        Cell(_share(cell), sort=cell.gc_seconds),
        Cell(_variables(cell), under=_survivors(cell) if cell.objects_diff is not None else cell.cut),
    )


def _spark(ledger: CellLedger, index: int) -> tuple[tuple[tuple[float, float], ...], str]:
    """Return the line of one cell in a picture of 120 by 24, with its peak, and the same in words."""
    cell = ledger.cells[index]
    times, values = ledger.samples(index)
    points = [(float(times[i]), float(values[i])) for i in pick(values, _BUCKETS)] if len(values) else []
    points = [(0.0, float(cell.start_bytes)), *points, (max(cell.seconds, 1e-9), float(cell.end_bytes))]
    if cell.peak_bytes is not None:
        # The mark has no moment: it stands where the greatest sample is.
        at = max(range(len(points)), key=lambda i: points[i][1])
        points.insert(at + 1, (points[at][0], float(max(cell.peak_bytes, points[at][1]))))
    last = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    x = Scale(0.0, last, _EDGE, _WIDTH - _EDGE)
    y = Scale(low, max(high, low + 1), _HEIGHT - _EDGE, _EDGE)
    ends = f"from {format_bytes(cell.start_bytes)} to {format_bytes(cell.end_bytes)}"
    said = f"{ends}, at most {format_bytes(high)}"
    return tuple((x(a), y(b)) for a, b in sorted(points, key=lambda p: p[0])), said


def _share(cell: CellRow) -> str:
    share = cell.gc_seconds / cell.seconds * 100 if cell.seconds > 0 else 0.0
    return f"{share:.0f} %" if share >= 1 or not cell.gc_seconds else "< 1 %"


def _left(cell: CellRow) -> str:
    return ", ".join(filter(None, (_variables(cell, 2), _survivors(cell, 2))))


def _survivors(cell: CellRow, most: int = _MOST_KINDS) -> str:
    return ", ".join(f"{t.objects:,} {words.type_text(t.type_name)}" for t in cell.survivors[:most])


def _variables(cell: CellRow, most: int = _MOST_KINDS) -> str:
    return ", ".join(
        f"{n.name}: {words.type_text(n.type_name)} {format_bytes(n.shallow_bytes)}" for n in cell.names[:most]
    )


def _brief(table: Table) -> Table | None:
    if not table.rows:
        return None
    kept = [i for i in range(len(table.columns)) if i != 3]  # noqa: PLR2004 - the column that only draws
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows[-_MOST_BRIEF:])
    return Table("brief", table.caption, tuple(table.columns[i] for i in kept), rows, table.total)


def _dropped(ledger: CellLedger) -> tuple[str, ...]:
    return (
        (f"The oldest {ledger.dropped:,} cells were given up to bound the ledger.",) if ledger.dropped else ()
    )


def _cuts(ledger: CellLedger) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.cut for cell in ledger.cells if cell.cut and cell.objects_diff is None))
