"""The parts that pages of the heap are made of: tables by type, owner and name, suspects, tree and treemap.

A share is always of the whole heap. Shallow sizes add up; retained sizes overlap, so no table adds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes, format_things
from memlab.records.chain import Link
from memlab.views import words
from memlab.views.layout import fit
from memlab.views.leak_page import chain_block, chain_step
from memlab.views.page import (
    Bar,
    Card,
    Cards,
    Cell,
    Code,
    Column,
    Table,
    Tree,
    Treemap,
    TreemapCell,
    TreeRow,
    type_cell,
)
from memlab.views.squarify import Rect, squarify
from memlab.views.tree_data import children_of, row_name, row_title, tree_hues

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
        HeapTree,
        Holding,
        TypeCount,
    )

__all__ = [
    "census_table",
    "contents_table",
    "cycles_table",
    "duplicates_table",
    "first_rows",
    "growth_cards",
    "holdings_table",
    "owners_table",
    "release_text",
    "ring_text",
    "share_text",
    "suspect_cards",
    "tree_block",
    "treemap_block",
    "type_diff_table",
]

MOST_ROWS = 100
_MOST_TYPES = 200
_MOST_CARDS = 10
_MOST_UNDER = 8
_MOST_SITES = 3
_WIDTH, _HEIGHT = 1000, 440
_MOST_CELLS, _MOST_INNER = 60, 16
_LETTER = 7.2
_LINE = 18
_FIRST, _SECOND = 12, 4
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
    columns = (Column("Type"), *_numbers("Objects", "Shallow", "Share", "Retained"))
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
    return Table(name, caption, (Column("Type"), *_numbers("Objects", "Shallow")), rows, len(contents))


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
    columns = (Column(by.capitalize()), *_numbers("Objects", "Size", "Share"))
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
    columns = (Column("Type"), *_numbers("Equal ones", "Size of one", "Wasted"), Column("One is held by"))
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
        *_numbers("Such cycles", "Objects each", "Size each", "Together"),
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
    columns = (Column("Type"), *_numbers("Objects more", "Growth", "Objects now", "Size now"))
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
        *_numbers("Retained", "Objects", "Own size"),
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
                share=f"{words.type_text(one.type_name)}, {words.growth('objects', one.objects)} objects",
                rates=(format_signed_bytes(one.retained_diff),),
                prose=(
                    f"It has {one.entries:,} references out of it now,"
                    f" {words.growth('entries', one.entries_diff)} since the older capture."
                ),
                codes=tuple(codes),
                stack=(),
                chain=chain_block(one.chain) if one.chain is not None else None,
                unheld="No root was found that reaches it by references in Python.",
                container="",
                under=contents if one.contents else None,
            )
        )
    return Cards(tuple(cards), len(containers))


# -- tree and treemap


def tree_block(tree: HeapTree) -> Tree:
    """Return the first two levels of a dominator tree; the script opens the rest."""
    rows: list[TreeRow] = []
    total = int(tree.retained_bytes[0]) if len(tree.parent) else 0
    for row in children_of(tree, 0)[:_FIRST]:
        rows.append(_tree_row(tree, row, 1, total))
        rows += [_tree_row(tree, child, 2, total) for child in children_of(tree, row)[:_SECOND]]
    columns = (Column("Object"), *_numbers("Retained", "Share", "Own size", "Dominates"))
    note = (
        "Each row keeps alive what stands under it: without it, all of that would be freed. Dominates is the"
        f" number of objects right under it. {tree.cut}"
    )
    return Tree("dominators", "Dominator tree", columns, tuple(rows), note.strip())


def _tree_row(tree: HeapTree, row: int, level: int, total: int) -> TreeRow:
    step = chain_step(Link(tree.via[row], tree.label[row], tree.type_name[row]))
    retained = int(tree.retained_bytes[row])
    return TreeRow(
        level,
        step.via,
        row_name(tree, row),
        step.type_name,
        (
            size_cell(retained, total),
            Cell(share_text(retained, total)),
            size_cell(int(tree.shallow_bytes[row])),
            count_cell(int(tree.children[row])),
        ),
    )


def treemap_block(tree: HeapTree) -> Treemap:
    """Return the treemap of a heap tree's upper two levels, laid out for a page without scripts."""
    hue_of, legend = tree_hues(tree)
    cells: list[TreemapCell] = []
    total = int(tree.retained_bytes[0]) if len(tree.parent) else 0
    shown, boxes = _placed(tree, 0, Rect(0, 0, _WIDTH, _HEIGHT), _MOST_CELLS)
    for row, box in zip(shown, boxes, strict=False):
        cells.append(_map_cell(tree, row, box, hue_of, total, inner=False))
        room = box.inset(4, 22)
        if room.width > 3 * _LINE and room.height > 2 * _LINE:
            below, insides = _placed(tree, row, room, _MOST_INNER)
            cells += [
                _map_cell(tree, child, inside, hue_of, total, inner=True)
                for child, inside in zip(below, insides, strict=False)
            ]
    if len(boxes) > len(shown):
        say = "own size, and what is smaller or not listed"
        cells.append(_cell(boxes[-1], -1, say, (say,), inner=False))
    names = [
        f"{row_title(tree, row)} {share_text(int(tree.retained_bytes[row]), total)}" for row in shown[:5]
    ]
    summary = f"A treemap of {format_bytes(total)}. Greatest parts: {'; '.join(names) or 'none'}."
    hues = tuple(((i + 1) % len(legend), text) for i, text in enumerate(legend))
    caption = "Areas are retained sizes: what would be freed with each. Colours are types."
    return Treemap(
        "treemap", "Treemap of retained sizes", summary, caption, _WIDTH, _HEIGHT, tuple(cells), hues
    )


def _placed(tree: HeapTree, row: int, room: Rect, most: int) -> tuple[list[int], list[Rect]]:
    """Return the rows that get a rectangle, and rectangles: one more where something is left over."""
    kids = [kid for kid in children_of(tree, row) if int(tree.retained_bytes[kid]) > 0][:most]
    sizes = [int(tree.retained_bytes[kid]) for kid in kids]
    rest = int(tree.retained_bytes[row]) - sum(sizes) if len(tree.parent) else 0
    return kids, squarify([*sizes, rest] if rest > 0 else sizes, room)


def _map_cell(
    tree: HeapTree, row: int, box: Rect, hue_of: dict[str, int], total: int, *, inner: bool
) -> TreemapCell:
    name, size = row_title(tree, row), int(tree.retained_bytes[row])
    say = f"{name}: {format_bytes(size)}, {share_text(size, total)}"
    return _cell(box, hue_of.get(tree.type_name[row], 0), say, (name, format_bytes(size)), inner=inner)


def _cell(box: Rect, hue: int, say: str, texts: tuple[str, ...], *, inner: bool) -> TreemapCell:
    """Return a drawn cell with as much text as there is room for."""
    letters = int((box.width - 10) / _LETTER)
    lines = int((box.height - 6) / _LINE) if letters > 3 else 0  # noqa: PLR2004 - no use below four letters
    said = f"{texts[0]}  {texts[1]}" if len(texts) > 1 and not inner else texts[0]
    shown = (fit(words.printable(said), letters),) if lines >= 1 else ()
    x, y, width, height = (round(value, 1) for value in (box.x, box.y, box.width, box.height))
    return TreemapCell(x, y, width, height, hue, say, shown, inner)


def _numbers(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, number=True) for title in titles)
