"""A heap tree as the columns that ``assets/heap.js`` draws from, in a report as in a notebook's widget.

Every text is made printable here and stands once in ``texts``; columns of text hold places in it. Sizes are
bytes. A row's ``hue`` is the place of its type in ``legend``, counted from 1, or 0 for every other type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab.records.chain import Link
from memlab.views import words
from memlab.views.leak_page import chain_step

if TYPE_CHECKING:
    from memlab.records.heap_results import HeapTree

__all__ = ["OTHERS", "children_of", "row_name", "row_title", "tree_columns", "tree_hues"]

_MOST_HUES = 4
_LONGEST_TEXT = 160
OTHERS = "other types"


def tree_columns(tree: HeapTree) -> dict[str, Any]:
    """Return a tree as plain lists and texts, ready for JSON.

    Its keys: ``parent``, ``node``, ``objects``, ``shallow``, ``retained``, ``children``, ``hue`` (numbers);
    ``label``, ``type``, ``via`` (places in ``texts``); ``legend``; ``texts``.
    """
    known: dict[str, int] = {}

    def place(text: str) -> int:
        return known.setdefault(words.printable(text, _LONGEST_TEXT), len(known))

    hue_of, legend = tree_hues(tree)
    steps = [
        chain_step(Link(via, label, kind))
        for via, label, kind in zip(tree.via, tree.label, tree.type_name, strict=True)
    ]
    return {
        "parent": tree.parent.tolist(),
        "node": tree.node.tolist(),
        "objects": tree.objects.tolist(),
        "shallow": tree.shallow_bytes.tolist(),
        "retained": tree.retained_bytes.tolist(),
        "children": tree.children.tolist(),
        "hue": [hue_of.get(kind, 0) for kind in tree.type_name],
        "label": [place(row_name(tree, row)) for row in range(len(steps))],
        "type": [place(step.type_name) for step in steps],
        "via": [place(step.via) for step in steps],
        "legend": [words.printable(text, _LONGEST_TEXT) for text in legend],
        "texts": list(known),
    }


def tree_hues(tree: HeapTree) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the hue of each type that has one, and the legend, whose last entry is every other type's.

    The types with the greatest sizes of their own have a hue: these sizes add up, retained ones do not.
    """
    sizes: dict[str, int] = {}
    rows = zip(tree.type_name[1:], tree.shallow_bytes[1:].tolist(), strict=True)
    for kind, size in rows:
        if kind:
            sizes[kind] = sizes.get(kind, 0) + size
    first = sorted(sizes, key=lambda kind: -sizes[kind])[:_MOST_HUES]
    return {kind: i for i, kind in enumerate(first, 1)}, (*map(words.type_text, first), OTHERS)


def row_title(tree: HeapTree, row: int) -> str:
    """Return how a row is held and what it is, where it stands alone."""
    via = chain_step(Link(tree.via[row], tree.label[row], tree.type_name[row])).via
    return f"{words.printable(via, _LONGEST_TEXT)} {row_name(tree, row)}".strip()


def children_of(tree: HeapTree, row: int) -> list[int]:
    """Return the rows right under a row, greatest first."""
    return [int(child) for child in (tree.parent == row).nonzero()[0]]


def row_name(tree: HeapTree, row: int) -> str:
    """Return what a row is: a group with its number before its name."""
    step = chain_step(Link(tree.via[row], tree.label[row], tree.type_name[row]))
    many, text = int(tree.objects[row]), words.printable(step.label, _LONGEST_TEXT)
    if many <= 1 or row == 0:
        return text
    # A group of many types is named by a plural, ``objects of 7 other types``.
    return f"{many:,} \N{MULTIPLICATION SIGN} {text}" if tree.type_name[row] else f"{text}: {many:,}"
