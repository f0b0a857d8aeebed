"""The collector's pauses as tables: how many of which length, and the longest one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_count, format_seconds
from memlab.views.page import Bar, Cell, Column, Table

if TYPE_CHECKING:
    from memlab.records.gc_pauses import GcPauses

__all__ = ["pause_tables"]

_EDGES_S = (0.0, 0.0001, 0.001, 0.01, 0.1, float("inf"))
_NAMES = ("under 0.1 ms", "0.1 to 1 ms", "1 to 10 ms", "10 to 100 ms", "100 ms and more")
_LONGEST = 10


def pause_tables(pauses: GcPauses) -> tuple[Table, ...]:
    """Return the histogram of lengths and the longest pauses; nothing where there was none."""
    return (_histogram(pauses), _longest(pauses)) if len(pauses) else ()


def _histogram(pauses: GcPauses) -> Table:
    columns = (
        Column("Length"),
        Column("Pauses", number=True),
        Column("Time in them", number=True),
        Column("Of all that time"),
    )
    total = pauses.total_s or 1.0
    rows = []
    for name, low, high in zip(_NAMES, _EDGES_S, _EDGES_S[1:], strict=False):
        these = (pauses.pause_s >= low) & (pauses.pause_s < high)
        count, spent = int(these.sum()), float(pauses.pause_s[these].sum())
        share = round(100 * spent / total, 1)
        bar = Bar(0.0, share, "accent")
        rows.append(
            (
                Cell(name, sort=low),
                Cell(f"{count:,}", sort=float(count)),
                Cell(format_seconds(spent), sort=spent),
                Cell(f"{share:g} %", sort=share, bar=bar),
            )
        )
    return Table("pause-lengths", "Pauses by their length", columns, tuple(rows), len(rows))


def _longest(pauses: GcPauses) -> Table:
    columns = (
        Column("At", number=True),
        Column("Pause", number=True),
        Column("Generation", number=True),
        Column("Objects freed", number=True),
    )
    order = (-pauses.pause_s).argsort(kind="stable")[:_LONGEST].tolist()
    rows = tuple(
        (
            Cell(format_seconds(float(pauses.start_s[i])), sort=float(pauses.start_s[i])),
            Cell(format_seconds(float(pauses.pause_s[i])), sort=float(pauses.pause_s[i])),
            Cell(f"{pauses.generation[i]}", sort=float(pauses.generation[i])),
            Cell(format_count(int(pauses.collected[i])), sort=float(pauses.collected[i])),
        )
        for i in order
    )
    return Table("longest-pauses", "The longest pauses", columns, rows, len(pauses))
