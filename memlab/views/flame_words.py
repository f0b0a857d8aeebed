"""Sentences about where memory is and what changed, and the user's own lines that lead there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_bytes, format_signed_bytes, format_things
from memlab.records.sites import NATIVE
from memlab.views import words
from memlab.views.flame_data import frame_label

if TYPE_CHECKING:
    from memlab.records.flame import FlameTree

__all__ = [
    "OwnLine",
    "folded_note",
    "growth_headline",
    "live_headline",
    "most_frame",
    "own_lines",
    "widths_note",
]

_NAMELESS = NATIVE + "<unknown>"


@dataclasses.dataclass(frozen=True, slots=True)
class OwnLine:
    """A line of the user's own code, and what was allocated through it or by it."""

    frame: int
    now: int
    was: int
    blocks: int
    blocks_was: int


def own_lines(tree: FlameTree) -> tuple[OwnLine, ...]:
    """Give each stack's bytes to the innermost of the user's own lines in it; greatest change first.

    Stacks without a line of the user's own are left out, so the sums may be less than the whole. Bytes of
    folded frames count at the row under which they are folded. Of one snapshot: greatest size first.
    """
    if tree.inverted or not tree.own_files:
        return ()
    own_file = np.zeros(len(tree.files), bool)
    own_file[list(tree.own_files)] = True
    is_own = own_file[tree.frame_file].tolist() if len(tree.frame_file) else []
    nearest: list[int] = [-1] * len(tree)
    parents, frames = tree.parent.tolist(), tree.frame.tolist()
    for row in range(1, len(tree)):
        nearest[row] = frames[row] if is_own[frames[row]] else nearest[parents[row]]
    place = np.array(nearest, np.int64)
    some = place >= 0
    sums = []
    for side in (tree.now, tree.before):
        for rest, own in (("rest_bytes", "self_bytes"), ("rest_blocks", "self_blocks")):
            total = np.zeros(len(tree.frame_file), np.int64)
            if side is not None:
                held = getattr(side, own) + getattr(tree, rest)(side)
                np.add.at(total, place[some], held[some])
            sums.append(total)
    now, blocks, was, blocks_was = sums
    order = np.lexsort((np.arange(len(now)), -now, -np.abs(now - was)))
    return tuple(
        OwnLine(frame, int(now[frame]), int(was[frame]), int(blocks[frame]), int(blocks_was[frame]))
        for frame in order.tolist()
        if now[frame] or was[frame]
    )


def most_frame(tree: FlameTree) -> int:
    """Return the frame that allocated most of what changed, or of what there is; -1 for none."""
    held = tree.now.frame_bytes if tree.before is None else tree.now.frame_bytes - tree.before.frame_bytes
    return int(np.argmax(np.abs(held))) if len(held) and held.any() else -1


def growth_headline(tree: FlameTree) -> str:
    """Say by how much memory grew and which line allocated most of it."""
    growth = tree.total_diff_bytes
    if tree.before is None:
        return live_headline(tree)
    grown = f"{format_signed_bytes(growth)} between the two snapshots"
    most = most_frame(tree)
    if most < 0:
        return "Nothing changed between the two snapshots" if not growth else grown
    change = int(tree.now.frame_bytes[most] - tree.before.frame_bytes[most])
    return f"{grown}, most {_spot(tree, most)}: {format_signed_bytes(change)}"


def live_headline(tree: FlameTree) -> str:
    """Say how much is live and which line allocated most of it."""
    blocks = format_things(int(tree.now.total_blocks[0]), "block")
    live = f"{format_bytes(tree.total_bytes)} live in {blocks}"
    most = int(np.argmax(tree.now.frame_bytes)) if tree.now.frame_bytes.any() else -1
    if most < 0:
        return live
    return f"{live}, most {_spot(tree, most)}: {format_bytes(int(tree.now.frame_bytes[most]))}"


def folded_note(tree: FlameTree) -> tuple[str, ...]:
    """Say what the tree's bound left out, in frames and bytes."""
    frames = int(tree.folded.sum())
    if not frames:
        return ()
    now = int(tree.rest_bytes(tree.now).sum())
    change = ""
    if tree.before is not None:
        change = f", {format_signed_bytes(now - int(tree.rest_bytes(tree.before).sum()))} of the change"
    said = (
        f"The flame graph is cut at {len(tree):,} rows: {format_things(frames, 'smaller frame')} with"
        f" {format_bytes(now)}{change} are folded into the frames above them (hatched), and count for the"
        " line of your own that is above them. Other tables and the treemap are not cut."
    )
    return (said,)


def widths_note(tree: FlameTree) -> tuple[str, ...]:
    """Say what widths of a difference are, which need not add up."""
    if tree.before is None:
        return ()
    said = (
        "A frame is as wide as the greater of what it held before and after, or as its change. Where parts of"
        " it grew and others shrank they can need more room than it has; then they are drawn narrower, all by"
        " the same factor."
    )
    return (said,)


def _spot(tree: FlameTree, frame: int) -> str:
    if tree.files[int(tree.frame_file[frame])] == _NAMELESS:
        return "in native code without symbols"
    return "at " + words.printable(frame_label(tree, frame), 120)
