"""The parts that pages of the heap are made of: tables by type, owner and name, and cards of suspects.

A share is always of the whole heap. Shallow sizes add up; retained sizes overlap, so no table adds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes, format_things
from memlab.views import words
from memlab.views.leak_page import chain_block
from memlab.views.page import (
    Bar,
    Card,
    Cards,
    Cell,
    Code,
    Column,
    Table,
    type_cell,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.heap_results import (
        ContainerDiff,
        HeapCensus,
        HeapCycles,
        HeapDiff,
        HeapDuplicates,
        HeapHoldings,
        HeapOwners,
        HeapSuspects,
        Holding,
        TypeCount,
    )

__all__ = [
    "census_table",
    "contents_table",
    "count_cell",
    "cycles_table",
    "duplicates_table",
    "first_rows",
    "growth_cards",
    "holdings_table",
    "numbers",
    "owners_table",
    "release_text",
    "ring_text",
    "share_text",
    "size_cell",
    "suspect_cards",
    "type_diff_table",
]

MOST_ROWS = 100
_MOST_TYPES = 200
_MOST_CARDS = 10
_MOST_UNDER = 8
_MOST_SITES = 3
_LEAST_SHARE = 0.1


def share_text(part: float, whole: float) -> str:
    """Write a part of a whole in per cent; nothing where there is no whole.

    >>> share_text(1, 8), share_text(1, 10_000), share_text(1, 0)
    ('12.5 %', '<0.1 %', '')
    """
    if whole <= 0:
        return ""
    percent = part / whole * 100
    return f"<{_LEAST_SHARE} %" if 0 < percent < _LEAST_SHARE else f"{percent:.1f} %"


def size_cell(size: int, most: int = 0) -> Cell:
    """Return a cell with a size, and a bar where ``most`` says how long that is."""
    bar = Bar(0.0, round(min(max(size / most, 0.0), 1.0) * 100, 1), "accent") if most > 0 else None
    return Cell(format_bytes(size), sort=float(size), bar=bar)


def count_cell(count: int) -> Cell:
    """Return a cell with a number of things."""
    return Cell(f"{count:,}", sort=float(count))


def first_rows(table: Table, rows: int = 10) -> Table:
    """Return the top of a table, for a notebook."""
    return Table("brief", table.caption, table.columns, table.rows[:rows], table.total)


# -- tables


def census_table(census: HeapCensus) -> Table:
    """Return objects by type."""
    most = max(census.shallow_bytes.tolist(), default=0)
    rows = tuple(
        (
            type_cell(name),
            count_cell(objects),
            size_cell(shallow, most),
            Cell(share_text(shallow, census.total_bytes), sort=float(shallow)),
            size_cell(retained),
        )
        for name, objects, shallow, retained in zip(
            census.types[:_MOST_TYPES],
            census.objects[:_MOST_TYPES].tolist(),
            census.shallow_bytes[:_MOST_TYPES].tolist(),
            census.retained_bytes[:_MOST_TYPES].tolist(),
            strict=True,
        )
    )
    columns = (Column("Type"), *numbers("Objects", "Shallow", "Share", "Retained"))
    note = (
        "Retained is what the type's objects keep alive one by one: together they may keep more alive. These"
        " sizes overlap, so they do not add up to the heap."
    )
    return Table("census", "Objects by type", columns, rows, len(census.types), note)


def contents_table(name: str, caption: str, contents: tuple[TypeCount, ...], most: int = MOST_ROWS) -> Table:
    """Return what something is made of, by type."""
    rows = tuple(
        (type_cell(t.type_name), count_cell(t.objects), size_cell(t.shallow_bytes)) for t in contents[:most]
    )
    return Table(name, caption, (Column("Type"), *numbers("Objects", "Shallow")), rows, len(contents))


def owners_table(owners: HeapOwners, total: int) -> Table:
    """Return what modules or packages own; ``total`` is the heap's size, 0 for the sum of what is listed."""
    sizes = owners.shallow_bytes.tolist()
    whole, most = total or sum(sizes), max(sizes, default=0)
    rows = tuple(
        (
            Cell(name, mono=True),
            count_cell(objects),
            size_cell(size, most),
            Cell(share_text(size, whole), sort=float(size)),
        )
        for name, objects, size in zip(
            owners.owners[:MOST_ROWS], owners.objects[:MOST_ROWS].tolist(), sizes[:MOST_ROWS], strict=True
        )
    )
    by = words.printable(owners.by, 20)
    columns = (Column(by.capitalize()), *numbers("Objects", "Size", "Share"))
    note = (
        "An object belongs to the owner whose namespace, class or function dominates it nearest. What several"
        " share, running functions hold or no root reaches is told apart. Here sizes add up to the heap."
    )
    return Table("owners", f"What each {by} keeps alive", columns, rows, len(owners.owners), note)


def duplicates_table(duplicates: HeapDuplicates) -> Table:
    """Return groups of equal strings and bytes."""
    most = max((group.wasted_bytes for group in duplicates.groups), default=0)
    rows = tuple(
        (
            type_cell(group.type_name),
            count_cell(group.objects),
            size_cell(group.size_bytes),
            size_cell(group.wasted_bytes, most),
            Cell(group.holder or "not known", mono=bool(group.holder)),
        )
        for group in duplicates.groups[:MOST_ROWS]
    )
    columns = (Column("Type"), *numbers("Equal ones", "Size of one", "Wasted"), Column("One is held by"))
    note = "Sharing one object in each group would free what is wasted. Their text is not in the graph."
    return Table("duplicates", "Equal strings and bytes", columns, rows, len(duplicates.groups), note)


def cycles_table(cycles: HeapCycles) -> Table:
    """Return the shapes of unreachable cycles."""
    rows = tuple(
        (
            Cell(ring_text(cycle.types), mono=True),
            count_cell(count),
            count_cell(cycle.objects),
            size_cell(cycle.shallow_bytes),
            size_cell(cycle.shallow_bytes * count),
        )
        for cycle, count in zip(cycles.cycles[:MOST_ROWS], cycles.counts[:MOST_ROWS], strict=False)
    )
    columns = (
        Column("Types on the cycle"),
        *numbers("Such cycles", "Objects each", "Size each", "Together"),
    )
    return Table("cycles", "Cycles that only the collector frees", columns, rows, len(cycles.cycles))


def ring_text(types: tuple[str, ...]) -> str:
    """Return the types on a cycle, from one round to itself."""
    names = [words.type_text(name) for name in types]
    return " -> ".join([*names, names[0]]) if names else "not known"


def type_diff_table(diff: HeapDiff) -> Table:
    """Return types that changed between two captures."""
    born = any(t.born is not None for t in diff.types)
    rows = []
    for t in diff.types[:_MOST_TYPES]:
        tone = "grew" if t.bytes_diff > 0 else "shrank" if t.bytes_diff < 0 else ""
        cells = (
            type_cell(t.type_name),
            Cell(words.growth("objects", t.objects_diff), sort=float(t.objects_diff)),
            Cell(format_signed_bytes(t.bytes_diff), sort=float(t.bytes_diff), tone=tone),
            count_cell(t.objects),
            size_cell(t.shallow_bytes),
        )
        new = count_cell(t.born) if t.born is not None else Cell("not known")
        rows.append((*cells, new) if born else cells)
    columns = (Column("Type"), *numbers("Objects more", "Growth", "Objects now", "Size now"))
    if born:
        columns = (*columns, Column("Born and alive", number=True))
    return Table("types", "What changed, by type", columns, tuple(rows), len(diff.types))


def holdings_table(holdings: HeapHoldings) -> Table:
    """Return what the notebook's names hold."""
    most = max((one.retained_bytes for one in holdings.holdings), default=0)
    rows = tuple(
        (
            Cell(", ".join(one.names), mono=True),
            Cell(one.kind),
            type_cell(one.type_name),
            size_cell(one.retained_bytes, most),
            count_cell(one.objects),
            size_cell(one.shallow_bytes),
            Cell(release_text(one), mono=True, copy=release_text(one) if one.release or one.names else ""),
        )
        for one in holdings.holdings[:MOST_ROWS]
    )
    columns = (
        Column("Names"),
        Column("Kind"),
        Column("Type"),
        *numbers("Retained", "Objects", "Own size"),
        Column("What frees it"),
    )
    return Table("holdings", "What the notebook holds", columns, rows, len(holdings.holdings))


def release_text(holding: Holding) -> str:
    """Return the statement that lets a holding go."""
    return holding.release or (f"del {', '.join(holding.names)}" if holding.names else "not known")


# -- suspects


def suspect_cards(suspects: HeapSuspects) -> Cards:
    """Return accumulation points as cards, each with its chain and what it keeps."""
    cards = []
    for number, suspect in enumerate(suspects.suspects[:_MOST_CARDS], 1):
        contents = contents_table(f"kept-{number}", "What it keeps", suspect.contents, _MOST_UNDER)
        kept = f", {format_things(suspect.objects, 'object')}" if suspect.objects else ""
        cards.append(
            Card(
                number=number,
                prefix="",
                title=suspect.label,
                share=f"{words.type_text(suspect.type_name)}{kept}",
                rates=(
                    format_bytes(suspect.retained_bytes),
                    f"{suspect.share * 100:.0f} % of the heap",
                ),
                prose=suspect.prose,
                codes=(),
                stack=(),
                chain=chain_block(suspect.chain) if suspect.chain is not None else None,
                unheld="No root was found that reaches it by references in Python.",
                container="",
                under=contents if suspect.contents else None,
            )
        )
    return Cards(tuple(cards), len(suspects.suspects))


def growth_cards(containers: Sequence[ContainerDiff]) -> Cards:
    """Return the places that retain growth, each with its line, chain and contents."""
    cards = []
    for number, one in enumerate(containers[:_MOST_CARDS], 1):
        contents = contents_table(f"grown-{number}", "What the growth is made of", one.contents, _MOST_UNDER)
        codes = [
            Code("Allocated at", words.place(site.frame), site.frame.source, words.place(site.frame))
            for site in one.sites[:_MOST_SITES]
        ]
        cards.append(
            Card(
                number=number,
                prefix="",
                title=one.name,
                share=", ".join(
                    filter(
                        None,
                        [words.type_text(one.type_name), f"{words.growth('objects', one.objects)} objects"],
                    )
                ),
                rates=(format_signed_bytes(one.retained_diff),),
                prose=(
                    f"It has {one.entries:,} references out of it now,"
                    f" {words.growth('references', one.entries_diff)} since the older capture."
                )
                if one.type_name
                else "No single object that was there before keeps these alive; several do together.",
                codes=tuple(codes),
                stack=(),
                chain=chain_block(one.chain) if one.chain is not None else None,
                unheld="No root was found that reaches it by references in Python.",
                container="",
                under=contents if one.contents else None,
            )
        )
    return Cards(tuple(cards), len(containers))


def numbers(*titles: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(title, number=True) for title in titles)
