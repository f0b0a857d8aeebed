"""Plain text in columns for terminals: widths are counted in cells, so that wide letters stay in line.

``fit`` cuts, ``wrap`` breaks between words (and inside a word only when it must), ``columns`` sets a table
whose first column gives way when the rest needs the room. Nothing here returns a line above ``WIDTH`` cells.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WIDTH", "cells", "columns", "fit", "labelled", "wrap"]

WIDTH = 100
_GAP = 2
_LEAST_FIRST = 20


def cells(text: str) -> int:
    """Return how many terminal cells a text fills.

    >>> cells("heap"), cells("内存")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def fit(text: str, width: int) -> str:
    """Cut a text to ``width`` cells; what is cut off shows as an ellipsis.

    >>> fit("app/models.py", 8), fit("app", 8)
    ('app/mod…', 'app')
    """
    if cells(text) <= width:
        return text
    kept, room = [], width - 1
    for c in text:
        room -= cells(c)
        if room < 0:
            break
        kept.append(c)
    return "".join(kept) + "…"


def wrap(text: str, indent: int = 0, hang: int | None = None, width: int = WIDTH) -> list[str]:
    """Break a text into lines; the first is indented by ``indent``, the others by ``hang``.

    >>> wrap("one two three", 2, 4, width=10)
    ['  one two', '    three']
    """
    hang = indent if hang is None else hang
    lines: list[str] = []
    line, pad = "", indent
    for word in text.split():
        if line and pad + cells(line) + 1 + cells(word) > width:
            lines.append(" " * pad + line)
            line, pad = "", hang
        rest = word
        while pad + cells(rest) > width and not line:
            piece = _head(rest, width - pad)
            lines.append(" " * pad + piece)
            rest, pad = rest[len(piece) :], hang
        line = f"{line} {rest}" if line else rest
    return [*lines, " " * pad + line] if line else lines


def labelled(label: str, text: str, indent: int, column: int) -> list[str]:
    """Set a label and its text beside it, further lines under the text."""
    lines = wrap(text, 0, 0, WIDTH - column)
    head = " " * indent + label
    return [
        f"{(head if i == 0 else '').ljust(column)}{line}".rstrip() for i, line in enumerate(lines or [""])
    ]


def columns(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool], indent: int = 2
) -> list[str]:
    """Set a table: text columns to the left, numbers to the right; the first column gives way."""
    table = [list(titles), *(list(row) for row in rows)]
    widths = [max(cells(row[i]) for row in table) for i in range(len(titles))]
    spare = WIDTH - indent - _GAP * (len(widths) - 1) - sum(widths)
    if spare < 0:
        given = min(-spare, max(0, widths[0] - _LEAST_FIRST))
        widths[0] -= given
        widths[-1] = max(_LEAST_FIRST // 2, widths[-1] + spare + given)
    lines = []
    for row in table:
        parts = []
        for text, size, number in zip(row, widths, numbers, strict=True):
            shown = fit(text, size)
            pad = " " * (size - cells(shown))
            parts.append(pad + shown if number else shown + pad)
        lines.append(fit((" " * indent + (" " * _GAP).join(parts)).rstrip(), WIDTH))
    return lines


def _head(text: str, width: int) -> str:
    """Return as many leading letters as fit, at least one."""
    room, count = max(width, 2), 0
    for c in text:
        room -= cells(c)
        if room < 0:
            break
        count += 1
    return text[: max(count, 1)]
