"""Squarified treemaps: rectangles whose areas are given numbers, as near to squares as a greedy row gets.

The algorithm is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): greatest first, a row is
laid along the shorter side and takes another rectangle as long as its worst proportion gets better.
``assets/heap.js`` lays out in the same way; a browser test holds the two equal.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rect", "squarify"]


@dataclasses.dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle in the picture's own units."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, by: float, top: float = 0.0) -> Rect:
        """Return the room inside, less a border and a strip at the top; never of negative size."""
        above = max(by, top)
        return Rect(
            self.x + by,
            self.y + above,
            max(0.0, self.width - 2 * by),
            max(0.0, self.height - above - by),
        )


def squarify(values: Sequence[float], room: Rect) -> list[Rect]:
    """Return a rectangle for each value, its area that value's part of the room.

    Args:
        values: greatest first; what is not above nought gets an empty rectangle.
        room: what they fill together.

    >>> [(r.x, r.y, r.width, r.height) for r in squarify([6, 3, 3], Rect(0, 0, 4, 3))]
    [(0.0, 0.0, 2.0, 3.0), (2.0, 0.0, 2.0, 1.5), (2.0, 1.5, 2.0, 1.5)]
    """
    left = Rect(float(room.x), float(room.y), float(room.width), float(room.height))
    total = sum(value for value in values if value > 0)
    if total <= 0 or left.width <= 0 or left.height <= 0:
        return [Rect(left.x, left.y, 0.0, 0.0) for _ in values]
    scale = left.width * left.height / total
    areas = [max(float(value), 0.0) * scale for value in values]
    placed: list[Rect] = []
    start = 0
    while start < len(areas):
        side = min(left.width, left.height)
        stop, taken = start + 1, areas[start]
        worst = _worst(areas[start], areas[start], taken, side)
        while stop < len(areas):
            grown = taken + areas[stop]
            # Greatest first: the first of the row and its newest are its extremes.
            if _worst(areas[start], areas[stop], grown, side) > worst:
                break
            worst, taken = _worst(areas[start], areas[stop], grown, side), grown
            stop += 1
        row, left = _lay(areas[start:stop], taken, left)
        placed += row
        start = stop
    return placed


def _worst(greatest: float, least: float, total: float, side: float) -> float:
    """Return the worst proportion in a row of these extremes: 1 is a square."""
    if least <= 0 or side <= 0 or total <= 0:
        return float("inf")
    square = side * side / (total * total)
    return max(square * greatest, 1 / (square * least))


def _lay(areas: Sequence[float], total: float, room: Rect) -> tuple[list[Rect], Rect]:
    """Lay one row along the shorter side; return it and the room that is left."""
    across = room.width >= room.height  # then the row is a column at the left
    side = room.height if across else room.width
    deep = total / side if side > 0 else 0.0
    at, row = 0.0, []
    for area in areas:
        long = area / deep if deep > 0 else 0.0
        row.append(Rect(room.x, room.y + at, deep, long) if across else Rect(room.x + at, room.y, long, deep))
        at += long
    if across:
        return row, Rect(room.x + deep, room.y, max(0.0, room.width - deep), room.height)
    return row, Rect(room.x, room.y + deep, room.width, max(0.0, room.height - deep))
