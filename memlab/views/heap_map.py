"""A heap tree as a page shows it without scripts: its two upper levels in a table, and a drawn treemap.

``assets/heap.js`` takes the place of both with a tree and a treemap that open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes
from memlab.records.chain import Link
from memlab.views import words
from memlab.views.heap_blocks import count_cell, numbers, share_text, size_cell
from memlab.views.layout import fit
from memlab.views.leak_page import chain_step
from memlab.views.page import (
    Cell,
    Column,
    Tree,
    Treemap,
    TreemapCell,
    TreeRow,
)
from memlab.views.squarify import Rect, squarify
from memlab.views.tree_data import children_of, row_name, row_title, tree_hues

if TYPE_CHECKING:
    from memlab.records.heap_results import HeapTree

__all__ = ["tree_block", "treemap_block"]

_WIDTH, _HEIGHT = 1000, 440
_MOST_CELLS, _MOST_INNER = 60, 16
_LETTER = 7.2
_LINE = 18
_FIRST, _SECOND = 12, 4


def tree_block(tree: HeapTree) -> Tree:
    """Return the first two levels of a dominator tree; the script opens the rest."""
    rows: list[TreeRow] = []
    total = int(tree.retained_bytes[0]) if len(tree.parent) else 0
    for row in children_of(tree, 0)[:_FIRST]:
        rows.append(_tree_row(tree, row, 1, total))
        rows += [_tree_row(tree, child, 2, total) for child in children_of(tree, row)[:_SECOND]]
    columns = (Column("Object"), *numbers("Retained", "Share", "Own size", "Dominates"))
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
