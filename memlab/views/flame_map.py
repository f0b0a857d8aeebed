"""A flame tree drawn for where there are no scripts: an icicle of its widest frames, a treemap of places.

``assets/flame.js`` takes the place of both with views that zoom, search and turn.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_signed_bytes, format_things
from memlab.views import words
from memlab.views.flame_data import first_mode, frame_label, frame_name, package_hues, scales, tone, widths
from memlab.views.heap_blocks import share_text
from memlab.views.layout import fit
from memlab.views.page import Treemap, TreemapCell
from memlab.views.places import places
from memlab.views.squarify import Rect, squarify

if TYPE_CHECKING:
    from memlab.records.flame import FlameTree
    from memlab.views.places import Place

__all__ = ["TONES", "flame_block", "legend_of", "places_block"]

TONES = ("shrank-5", "shrank-3", "shrank-1", "same", "grew-1", "grew-3", "grew-5")
_WIDTH, _ROW = 1000, 22
_LEAST, _MOST_CELLS, _MOST_LEVELS = 5.0, 500, 48
_MAP_HEIGHT, _MOST_PLACES, _MOST_INNER = 440, 60, 16
_LETTER, _LINE = 7.0, 18
_LEGEND = ("all gone", "less", "a little less", "as before", "a little more", "more", "all new")


@dataclasses.dataclass(frozen=True, slots=True)
class _Box:
    row: int
    x: float
    width: float
    level: int


def flame_block(tree: FlameTree, most: int = _MOST_CELLS) -> Treemap:
    """Return the drawn icicle of a tree: rows that are wide enough, the outermost at the top."""
    mode = first_mode(tree)
    boxes, left_out = _laid(tree, mode, most)
    hues, legend = package_hues(tree)
    cells = tuple(_flame_cell(tree, box, hues) for box in boxes)
    levels = max((box.level for box in boxes), default=0) + 1
    return Treemap(
        "flame-graph",
        "Flame graph" if tree.before is None else "Differential flame graph",
        _summary(tree, mode),
        _caption(tree),
        _WIDTH,
        levels * _ROW,
        cells,
        () if tree.before is not None else _hues(legend),
        view="graph",
        data="flame",
        tones=_tones(tree),
        note=_note(mode, left_out),
    )


def legend_of(tree: FlameTree) -> tuple[tuple[str, str], ...]:
    """Return the classes of colours and what they mean."""
    if tree.before is not None:
        return _tones(tree)
    _, legend = package_hues(tree)
    return tuple((f"hue-{hue}", text) for hue, text in _hues(legend))


def places_block(tree: FlameTree) -> Treemap:
    """Return the drawn treemap of a tree's places: packages, and what is in them."""
    whole, differs = places(tree), tree.before is not None
    cells: list[TreemapCell] = []
    shown, boxes = _placed(whole, Rect(0, 0, _WIDTH, _MAP_HEIGHT), _MOST_PLACES)
    for place, box in zip(shown, boxes, strict=False):
        cells.append(_place_cell(place, box, whole, differs=differs))
        room = box.inset(4, 22)
        if room.width > 3 * _LINE and room.height > 2 * _LINE:
            below, insides = _placed(place, room, _MOST_INNER)
            cells += [
                _place_cell(kid, inside, whole, differs=differs, inner=True)
                for kid, inside in zip(below, insides, strict=False)
            ]
    names = "; ".join(f"{place.title} {share_text(place.size, whole.size)}" for place in shown[:5])
    _, legend = package_hues(tree)
    area = "sizes" if not differs else "the greater of before and after"
    return Treemap(
        "places",
        "Treemap of places",
        f"A treemap of {format_bytes(whole.size)}. Greatest parts: {names or 'none'}.",
        f"By package, folder, file and line; areas are {area}. Only what a line allocated itself counts.",
        _WIDTH,
        _MAP_HEIGHT,
        tuple(cells),
        () if differs else _hues(legend),
        view="treemap",
        data="flame",
        tones=_tones(tree),
    )


# -- the icicle


def _laid(tree: FlameTree, mode: str, most: int) -> tuple[list[_Box], int]:
    """Return the boxes to draw, outer ones first, and how many listed rows have none."""
    size, scale = widths(tree, mode).tolist(), scales(tree, mode)
    at = [0.0] * len(size)  # where a row's next child begins
    level = [0] * len(size)
    boxes = [_Box(0, 0.0, float(_WIDTH), 0)]
    parents = tree.parent.tolist()
    drawn = {0}
    for row in range(1, len(size)):
        parent = parents[row]
        wide = size[row] * scale[parent] * _WIDTH
        x = at[parent]
        at[parent] += wide
        at[row], level[row] = x, level[parent] + 1
        if parent in drawn and wide >= _LEAST and level[row] < _MOST_LEVELS and len(boxes) < most:
            boxes.append(_Box(row, x, wide, level[row]))
            drawn.add(row)
    return boxes, len(size) - len(boxes)


def _flame_cell(tree: FlameTree, box: _Box, hues: dict[int, int]) -> TreemapCell:
    row, frame = box.row, int(tree.frame[box.row])
    now, was = _sizes(tree, row)
    name, where = frame_name(tree, frame) if frame >= 0 else ("all stacks", "")
    whole = max(*_sizes(tree, 0), 1)
    figure = format_bytes(now) if tree.before is None else format_signed_bytes(now - was)
    said = f"{frame_label(tree, frame)}: {_figures(tree, now, was)}, {share_text(now, whole)}"
    letters = int((box.width - 10) / _LETTER)
    words_in = f"{name}  {figure}" if len(name) + len(figure) + 2 <= letters else name
    if where and len(words_in) + len(where) + 2 <= letters:
        words_in = f"{name}  {where}  {figure}"
    shown = (fit(words.printable(words_in), letters),) if letters > 3 else ()  # noqa: PLR2004 - else no use
    file = int(tree.frame_file[frame]) if frame >= 0 else -1
    cls = "" if tree.before is None else tone(now, was)
    x, width = round(box.x, 1), round(max(box.width - 0.6, 0.4), 1)
    return TreemapCell(
        x,
        float(box.level * _ROW),
        width,
        float(_ROW - 1),
        hues.get(file, 0),
        words.printable(said, 300),
        shown,
        tone=cls,
    )


def _sizes(tree: FlameTree, row: int) -> tuple[int, int]:
    now = int(tree.now.total_bytes[row])
    return now, int(tree.before.total_bytes[row]) if tree.before is not None else now


def _figures(tree: FlameTree, now: int, was: int) -> str:
    if tree.before is None:
        return format_bytes(now)
    return f"{format_bytes(now)} now, {format_bytes(was)} before, {format_signed_bytes(now - was)}"


def _caption(tree: FlameTree) -> str:
    way = (
        "The allocating frame is at the top, its callers below it."
        if tree.inverted
        else "A frame's callers are above it; what it called is below."
    )
    if tree.before is None:
        return way
    return (
        f"{way} Red grew; blue and dashed shrank; the stronger the colour, the greater the part of the frame"
        " that changed."
    )


def _note(mode: str, left_out: int) -> str:
    is_what = {"now": "live bytes", "most": "the greater of before and after", "change": "the change alone"}
    more = f" {format_things(left_out, 'narrower frame')} not drawn here." if left_out else ""
    return f"Widths are {is_what[mode]}.{more}"


def _summary(tree: FlameTree, mode: str) -> str:
    return f"{_note(mode, 0)} {_caption(tree)} In all {_figures(tree, *_sizes(tree, 0))}."


def _hues(legend: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    return tuple(((i + 1) % len(legend), text) for i, text in enumerate(legend))


def _tones(tree: FlameTree) -> tuple[tuple[str, str], ...]:
    return tuple(zip(TONES, _LEGEND, strict=True)) if tree.before is not None else ()


# -- the treemap


def _placed(place: Place, room: Rect, most: int) -> tuple[list[Place], list[Rect]]:
    kids = place.ordered()[:most]
    rest = place.size - sum(kid.size for kid in kids)
    sizes = [kid.size for kid in kids]
    return kids, squarify([*sizes, rest] if rest > 0 else sizes, room)


def _place_cell(place: Place, box: Rect, whole: Place, *, differs: bool, inner: bool = False) -> TreemapCell:
    figure = format_signed_bytes(place.now - place.was) if differs else format_bytes(place.now)
    letters = int((box.width - 10) / _LETTER)
    lines = int((box.height - 6) / _LINE) if letters > 3 else 0  # noqa: PLR2004 - no use below four letters
    text = place.title if inner else f"{place.title}  {figure}"
    x, y, width, height = (round(value, 1) for value in (box.x, box.y, box.width, box.height))
    return TreemapCell(
        x,
        y,
        width,
        height,
        place.hue,
        f"{place.title}: {format_bytes(place.now)}, {figure}, {share_text(place.size, whole.size)}",
        (fit(text, letters),) if lines >= 1 else (),
        inner,
        tone=tone(place.now, place.was) if differs else "",
    )
