"""A flame tree as the columns that ``assets/flame.js`` draws from, and what all views say of its frames.

Every text is made printable here. Frames that no listed row needs and that allocated little are summed by
file, so that the treemap's sums stay exact. Colour of one snapshot: whose code it is. Of a difference: what
part of the frame is growth, in five steps to either side; nearly equal is no colour.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.views import words

if TYPE_CHECKING:
    from memlab.records.columns import Ints
    from memlab.records.flame import FlameTree

__all__ = [
    "MODES",
    "OTHERS",
    "STEPS",
    "first_mode",
    "flame_columns",
    "frame_label",
    "frame_name",
    "package_hues",
    "scales",
    "tone",
    "widths",
]

MODES = ("most", "now", "change")
STEPS = (0.01, 0.05, 0.15, 0.4, 0.8)
"""From which part of a frame on its growth has the next stronger colour."""
OTHERS = "other packages"
_YOURS = "your code"
_LEAST_SEEN = 0.1
_MOST_HUES = 4
_MOST_FRAMES = 6_000
_LONGEST = 200


def tone(now: float, was: float) -> str:
    """Return the colour of a difference: ``same``, or ``grew`` or ``shrank`` with its strength.

    >>> tone(120, 100), tone(0, 5), tone(1000, 999)
    ('grew-3', 'shrank-5', 'same')
    """
    greater = max(now, was)
    part = abs(now - was) / greater if greater > 0 else 0.0
    strength = sum(part >= step for step in STEPS)
    return f"{'grew' if now > was else 'shrank'}-{strength}" if strength else "same"


def first_mode(tree: FlameTree) -> str:
    """Return the widths to begin with: the change alone where it would be lost in what stayed."""
    if tree.before is None:
        return "now"
    first = tree.parent == 0
    change, most = (int(widths(tree, mode)[first].sum()) for mode in ("change", "most"))
    return "change" if 0 < change < _LEAST_SEEN * most else "most"


def frame_name(tree: FlameTree, frame: int) -> tuple[str, str]:
    """Return what a frame is called where there is little room, and where it is.

    The function where its name is known, else the file's last part and the line.
    """
    path = tree.files[int(tree.frame_file[frame])]
    line = int(tree.frame_line[frame])
    function = tree.functions[int(tree.frame_function[frame])]
    # A label may be anything that a code object was given as its file; only a path has parts.
    spot = f"{path.rpartition('/')[2] or path}{f':{line}' if line else ''}"
    folder = str(PurePosixPath(path).parent) if "/" in path.strip("/") else ""
    return (function, spot) if function else (spot, folder)


def frame_label(tree: FlameTree, frame: int) -> str:
    """Return a frame in full: ``file:line in function``."""
    if frame < 0:
        return "all stacks"
    line = int(tree.frame_line[frame])
    function = tree.functions[int(tree.frame_function[frame])]
    spot = tree.files[int(tree.frame_file[frame])] + (f":{line}" if line else "")
    return f"{spot} in {function}" if function else spot


def widths(tree: FlameTree, mode: str) -> Ints:
    """Return what each row's width stands for in bytes: ``now``, the greater of both (``most``), ``change``.

    Only ``now`` adds up. Where parts of a row grew and others shrank, they may need more room than it has and
    are then drawn narrower, all by the same factor (``scales``): widths compare siblings.
    """
    return _of(mode, tree.now.total_bytes, tree.before.total_bytes if tree.before is not None else None)


def scales(tree: FlameTree, mode: str) -> list[float]:
    """Return for each row the width of a byte in the parts right below it, where the root is 1 wide.

    A row is as wide as ``widths`` says times its parent's scale; the root is 1 wide.
    """
    width = widths(tree, mode)
    parts = width.copy()
    parts[:] = 0
    np.add.at(parts, tree.parent[1:], width[1:])
    for column, total in (("self_bytes", False), ("rest_bytes", True)):
        sides = [tree.now] if tree.before is None else [tree.now, tree.before]
        values = [tree.rest_bytes(side) if total else getattr(side, column) for side in sides]
        parts += _of(mode, values[0], values[1] if len(values) > 1 else None)
    found, wide, needed = [0.0] * len(tree), width.tolist(), parts.tolist()
    for row, parent in enumerate(tree.parent.tolist()):
        if parent < 0:
            room = 1.0
            found[row] = room / max(needed[row], 1)
        else:
            room = wide[row] * found[parent]
            found[row] = min(found[parent], room / needed[row]) if needed[row] > 0 else 0.0
    return found


def _of(mode: str, now: Ints, was: Ints | None) -> Ints:
    if was is None or mode == "now":
        return now
    return np.maximum(now, was) if mode == "most" else np.abs(now - was)


def package_hues(tree: FlameTree) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return the hue of each file that has one, and the legend, whose last entry is every other's.

    The first is the user's own code; then come the packages that allocated most.
    """
    size = _most(tree.now.frame_bytes, tree.before.frame_bytes if tree.before is not None else None)
    sums = np.zeros(len(tree.packages), np.int64)
    own = set(tree.own_files)
    library = np.array([i not in own for i in range(len(tree.files))], bool)
    np.add.at(sums, tree.file_package[tree.frame_file], size * library[tree.frame_file])
    slots = _MOST_HUES - bool(own)
    first = [i for i in np.argsort(-sums, kind="stable")[:slots].tolist() if sums[i] > 0]
    legend = ([_YOURS] if own else []) + [tree.packages[i] for i in first]
    start = 1 + bool(own)
    hue_of = {package: i for i, package in enumerate(first, start)}
    hues = {
        file: 1 if file in own else hue_of[package]
        for file, package in enumerate(tree.file_package.tolist())
        if file in own or package in hue_of
    }
    return hues, (*legend, OTHERS)


def flame_columns(tree: FlameTree) -> dict[str, Any]:
    """Return a tree as plain lists and texts, ready for JSON.

    ``mode`` is the width to begin with. By row: ``kids`` (how many rows stand right below it), ``frame``,
    ``self``, ``blocks`` and, of a difference, ``was``, ``wasBlocks``. ``rest`` lists what is folded: row,
    frames, bytes, blocks, bytes and blocks before; ``repeats`` row and number. By frame: ``file``, ``line``,
    ``function``, ``sum``, ``sumBlocks``, ``sumWas``, ``sumWasBlocks``. By file: ``files``, ``package``,
    ``hue``; ``other`` are the sums of a file's lines that are not listed.
    """
    before = tree.before
    frames, renumbered = _shown_frames(tree)
    hues, legend = package_hues(tree)
    kids = np.zeros(len(tree), np.int64)
    np.add.at(kids, tree.parent[1:], 1)
    files, file_of = np.unique(tree.frame_file, return_inverse=True)
    data: dict[str, Any] = {
        "inverted": tree.inverted,
        "by": tree.by,
        "mode": first_mode(tree),
        "kids": kids.tolist(),
        "frame": np.append(renumbered, -1)[tree.frame].tolist(),  # -1, the root, is the last
        "self": tree.now.self_bytes.tolist(),
        "blocks": tree.now.self_blocks.tolist(),
        "rest": _rest_rows(tree),
        "repeats": [[row, int(tree.repeats[row])] for row in np.flatnonzero(tree.repeats > 1).tolist()],
        "file": file_of[frames].tolist(),
        "line": tree.frame_line[frames].tolist(),
        "function": tree.frame_function[frames].tolist(),
        "files": [words.printable(tree.files[i], _LONGEST) for i in files.tolist()],
        "package": tree.file_package[files].tolist(),
        "hue": [hues.get(i, 0) for i in files.tolist()],
        "packages": [words.printable(name, _LONGEST) for name in tree.packages],
        "functions": [words.printable(name, _LONGEST) for name in tree.functions],
        "legend": [words.printable(name, 60) for name in legend],
        "sum": tree.now.frame_bytes[frames].tolist(),
        "sumBlocks": tree.now.frame_blocks[frames].tolist(),
    }
    if before is not None:
        data |= {
            "was": before.self_bytes.tolist(),
            "wasBlocks": before.self_blocks.tolist(),
            "sumWas": before.frame_bytes[frames].tolist(),
            "sumWasBlocks": before.frame_blocks[frames].tolist(),
        }
    data["other"] = _other_lines(tree, frames, file_of, len(files))
    return data


def _rest_rows(tree: FlameTree) -> list[list[int]]:
    sides = [tree.now] if tree.before is None else [tree.now, tree.before]
    columns = [part(side) for side in sides for part in (tree.rest_bytes, tree.rest_blocks)]
    some = np.flatnonzero((tree.folded > 0) | np.any([column != 0 for column in columns], axis=0))
    return [[row, int(tree.folded[row]), *(int(column[row]) for column in columns)] for row in some.tolist()]


def _shown_frames(tree: FlameTree) -> tuple[Ints, Ints]:
    """Return the frames that rows need or that allocated most, in order, and each frame's new number."""
    count = len(tree.frame_file)
    size = _most(tree.now.frame_bytes, tree.before.frame_bytes if tree.before is not None else None)
    shown = np.zeros(count, bool)
    shown[np.argsort(-size, kind="stable")[:_MOST_FRAMES]] = True
    shown &= size > 0
    shown[tree.frame[tree.frame >= 0]] = True
    return np.flatnonzero(shown), shown.cumsum() - 1


def _other_lines(tree: FlameTree, frames: Ints, file_of: Ints, files: int) -> list[list[int]]:
    """Return what frames that are not listed allocated, by file: file, bytes, blocks, and these before."""
    left = np.ones(len(tree.frame_file), bool)
    left[frames] = False
    columns = []
    for side in [tree.now] if tree.before is None else [tree.now, tree.before]:
        for column in (side.frame_bytes, side.frame_blocks):
            total = np.zeros(files, np.int64)
            np.add.at(total, file_of[left], column[left])
            columns.append(total)
    some = np.flatnonzero(np.any([column != 0 for column in columns], axis=0))
    return [[file, *(int(column[file]) for column in columns)] for file in some.tolist()]


def _most(now: Ints, was: Ints | None) -> Ints:
    return now if was is None else np.maximum(now, was)
