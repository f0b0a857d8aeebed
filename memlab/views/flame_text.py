"""A flame tree as text, its greatest rows indented, and as rows for a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.views import words
from memlab.views.flame_data import frame_label, widths
from memlab.views.flame_words import folded_note, growth_headline, live_headline
from memlab.views.heap_blocks import share_text
from memlab.views.layout import columns, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memlab.records.flame import FlameTree

__all__ = ["COLUMNS", "flame_rows", "flame_text"]

COLUMNS = (
    "parent",
    "level",
    "file",
    "line",
    "function",
    "self_bytes",
    "total_bytes",
    "total_blocks",
    "self_diff_bytes",
    "total_diff_bytes",
    "total_diff_blocks",
    "folded",
    "repeats",
)
_MOST = 24
_INDENT = 2
_DEEPEST = 20


def flame_text(tree: FlameTree) -> str:
    """Return the headline and the rows that matter most, each under its callers."""
    differs = tree.before is not None
    label = " to ".join(words.printable(name, 60) for name in (tree.before_label, tree.now_label) if name)
    said = growth_headline(tree) if differs else live_headline(tree)
    lines = wrap(f"Flame tree{f' {label}' if label else ''}: {said}", 0, 2)
    shown, width, level = _chosen(tree), widths(tree, "most"), _levels(tree)
    rows = []
    for row in shown:
        depth = min(int(level[row]) - 1, _DEEPEST)
        times = f" \N{MULTIPLICATION SIGN}{int(tree.repeats[row])}" if tree.repeats[row] > 1 else ""
        name = words.printable(frame_label(tree, int(tree.frame[row])), 120)
        now = int(tree.now.total_bytes[row])
        was = int(tree.before.total_bytes[row]) if tree.before is not None else 0
        change = (format_signed_bytes(now - was),) if differs else ()
        share = share_text(int(width[row]), max(int(width[0]), 1))
        rows.append((" " * (_INDENT * depth) + name + times, *change, format_bytes(now), share))
    if rows:
        head = "Allocating lines, their callers below" if tree.inverted else "Callers, what they called below"
        more = f" ({len(rows):,} of {len(tree) - 1:,})" if len(tree) - 1 > len(rows) else ""
        titles = ("frame", *(("growth",) if differs else ()), "size now" if differs else "size", "share")
        lines += ["", f"{head}{more}", *columns(titles, rows, (False, *[True] * (len(titles) - 1)))]
    notes = [
        line
        for note in (*tree.notes, *folded_note(tree))
        for line in wrap(f"- {words.printable(note)}", 2, 4)
    ]
    return "\n".join([*lines, *(["", "Notes", *notes] if notes else [])])


def flame_rows(tree: FlameTree) -> Iterator[tuple[int | str, ...]]:
    """Give the rows of a tree without its root; differences are nought for a tree of one snapshot."""
    level, before = _levels(tree), tree.before
    for row in range(1, len(tree)):
        frame = int(tree.frame[row])
        now = (int(tree.now.self_bytes[row]), int(tree.now.total_bytes[row]), int(tree.now.total_blocks[row]))
        was = (
            (int(before.self_bytes[row]), int(before.total_bytes[row]), int(before.total_blocks[row]))
            if before is not None
            else now
        )
        yield (
            int(tree.parent[row]),
            int(level[row]),
            tree.files[int(tree.frame_file[frame])],
            int(tree.frame_line[frame]),
            tree.functions[int(tree.frame_function[frame])],
            *now,
            *(a - b for a, b in zip(now, was, strict=True)),
            int(tree.folded[row]),
            int(tree.repeats[row]),
        )


def _levels(tree: FlameTree) -> list[int]:
    level = [0] * len(tree)
    for row, parent in enumerate(tree.parent[1:].tolist(), 1):
        level[row] = level[parent] + 1
    return level


def _chosen(tree: FlameTree) -> list[int]:
    """Return the rows with the greatest part of the bytes or of the change, each behind its parent."""
    share = np.zeros(len(tree))
    for mode in ("most",) if tree.before is None else ("most", "change"):
        width = widths(tree, mode)
        share = np.maximum(share, width / max(int(width[0]), 1))
    first = set(np.argsort(-share, kind="stable")[: _MOST + 1].tolist())
    kids: dict[int, list[int]] = {}
    for row in sorted(first - {0}):
        kids.setdefault(int(tree.parent[row]), []).append(row)
    ordered, pending = [], kids.get(0, [])[::-1]
    while pending:
        row = pending.pop()
        ordered.append(row)
        pending += kids.get(row, [])[::-1]
    return ordered
