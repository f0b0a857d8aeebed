"""Merge the stacks of one snapshot, or of two, into a bounded tree of frames.

Frames of both snapshots get numbers common to the two, stacks become rows of such numbers, and the tree grows
level by level: one sort of (row above, frame) pairs a level, no loop over stacks. Bytes count where a stack
ends and are then summed towards the root.

Recursion is merged before the tree is made: a group of frames that stands several times right under itself
is kept once, so that a stack passes through each row once. Which rows are listed is decided by sums of what
changed where stacks end, which never fall towards the root, so that a row's parent is always listed too.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from memlab._base.ragged import merge_equal, take_rows
from memlab._base.units import format_bytes
from memlab.analyses.axes import GONE
from memlab.analyses.diff import check_comparable
from memlab.analyses.moved_lines import moves_between
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.flame import MOST_BYTES, FlameSide, FlameTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.columns import Ints
    from memlab.records.snapshot import Snapshot

__all__ = ["ROWS", "FrameIs", "flame_tree", "package_of"]

FrameIs = Literal["line", "function", "file"]

ROWS = 10_000
_MOST_ROWS = 100_000
_LONGEST_CYCLE = 8
_NOTEBOOK = "notebook"
_TOP = "<module>"
_IMPORTS = ("<frozen importlib._bootstrap", "importlib/_bootstrap")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Names:
    """Frames and files common to the snapshots; a frame's number is its rank by file, line and function."""

    frame_file: Ints
    frame_line: Ints
    frame_function: Ints
    files: tuple[str, ...]
    functions: tuple[str, ...]
    packages: tuple[str, ...]
    own: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.frame_file)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Stacks:
    """Distinct stacks, most recent call first, end to end; ``sums`` are bytes and blocks of each side."""

    entries: Ints
    lengths: Ints
    repeats: Ints
    sums: tuple[Ints, ...]

    @property
    def starts(self) -> Ints:
        return self.lengths.cumsum() - self.lengths


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Trie:
    """The whole tree, level by level. ``levels`` are the first row of each level, and the end."""

    parent: Ints
    frame: Ints
    repeats: Ints
    levels: tuple[int, ...]
    own: tuple[Ints, ...]
    total: tuple[Ints, ...]

    def up(self, own: Ints) -> Ints:
        """Sum a column towards the root."""
        total = own.copy()
        for start, stop in zip(self.levels[-2:0:-1], self.levels[:1:-1], strict=True):
            np.add.at(total, self.parent[start:stop], total[start:stop])
        return total


def flame_tree(
    newer: Snapshot,
    older: Snapshot | None = None,
    *,
    by: FrameIs = "line",
    inverted: bool = False,
    rows: int = ROWS,
    merge_recursion: bool = True,
    import_frames: bool = False,
) -> FlameTree:
    """Merge stacks into a tree.

    Args:
        newer: the snapshot, or the newer of two.
        older: what to compare with. Default: nothing.
        by: what a frame is. ``function`` merges a function's lines where its name was recorded.
        inverted: begin with the allocating frame and go up through its callers.
        rows: greatest number of rows. Those with the greatest part of all bytes, or of all change, are
            listed; the others are counted in ``folded``.
        merge_recursion: keep a group of frames that recurs right under itself once. False: as recorded.
        import_frames: show the import system's frames between a module and the one that imports it.
            Default: only where it allocates itself.

    Raises:
        UsageError: when the two come from different engines, an argument cannot be used, or a snapshot from a
            file holds sizes that no process can have.
    """
    if by not in get_args(FrameIs):
        raise UsageError(f"making a flame tree: by must be one of {', '.join(get_args(FrameIs))}, not {by!r}")
    if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= _MOST_ROWS:
        raise UsageError(
            f"making a flame tree: rows must be a whole number from 1 to {_MOST_ROWS:,}, not {rows!r}"
        )
    if older is not None:
        check_comparable(newer, older)
    moves = moves_between(newer, older) if older is not None else None
    snapshots = [newer] if moves is None else [newer, moves.older]
    lines = [newer.frame_line] if moves is None else [newer.frame_line, moves.lines]
    if not all(_are_sizes(column) for s in snapshots for column in (s.size_bytes, s.blocks)):
        raise UsageError("making a flame tree: a size in this snapshot is none that a process can have")
    depth = max(1, min(s.depth for s in snapshots))
    names, frame_of = _names(snapshots, lines, by)
    recorded = _stacks(snapshots, frame_of, depth)
    stacks = recorded if import_frames else _without_imports(recorded, names)
    if merge_recursion:
        stacks = _merge_recursion(stacks)
    trie = _grow(stacks, inverted)
    order, place = _chosen(trie, rows, differs=older is not None)
    sides = _sides(trie, order, stacks, len(names))
    parents = trie.parent[order]
    packages, file_package = _packages(names)
    return FlameTree(
        parent=ints(np.where(parents >= 0, place[parents], -1)),
        frame=ints(trie.frame[order]),
        folded=ints(_folded(trie, order, place)),
        repeats=ints(trie.repeats[order]),
        now=sides[0],
        before=sides[1] if older is not None else None,
        frame_file=ints(names.frame_file),
        frame_line=ints(names.frame_line),
        frame_function=ints(names.frame_function),
        files=names.files,
        functions=names.functions,
        file_package=file_package,
        packages=packages,
        own_files=names.own,
        inverted=inverted,
        by=by,
        engine=newer.engine,
        depth=depth,
        now_label=newer.label,
        before_label=older.label if older is not None else "",
        notes=(*_notes(snapshots, recorded, depth), *(moves.notes if moves is not None else ())),
    )


def package_of(file: str) -> str:
    """Return whose a file is, as its label tells: its top folder, or the file itself.

    >>> package_of("pandas/core/frame.py"), package_of("Cell In[3]")
    ('pandas', 'notebook')
    >>> package_of("shop/db.py"), package_of("<frozen importlib._bootstrap>")
    ('shop', 'importlib')
    """
    if file.startswith("Cell In["):
        return _NOTEBOOK
    if file.startswith("<frozen "):
        return file[len("<frozen ") :].rstrip(">").split(".", 1)[0]
    top, slash, _ = file.partition("/")
    return top if slash else top.removesuffix(".py")


# -- stacks


def _are_sizes(column: Ints) -> bool:
    """Tell whether a column could be true; a file may say anything, and sums must not overflow."""
    return not len(column) or (int(column.min()) >= 0 and float(column.sum(dtype=np.float64)) <= MOST_BYTES)


def _names(snapshots: Sequence[Snapshot], lines: Sequence[Ints], by: FrameIs) -> tuple[_Names, list[Ints]]:
    """Return the common tables, and for each snapshot the common number of each of its frames.

    A line is known by its file and its number in the newer version of the file. Its function is a property
    of it that one snapshot may know and the other not, so it is joined in before lines become functions.
    """
    files = sorted({name for s in snapshots for name in s.files})
    functions = sorted({"", *(name or _TOP for s in snapshots for name in s.functions)})
    file_index = {name: i for i, name in enumerate(files)}
    file_of = [_through(file_index, s.files)[s.frame_file] for s in snapshots]
    spots = np.concatenate(
        [np.stack([file, line], axis=1) for file, line in zip(file_of, lines, strict=True)]
    )
    known, line_of = np.unique(spots, axis=0, return_inverse=True)
    line_of = line_of.reshape(-1)
    function = np.zeros(len(known), np.int64)
    np.maximum.at(function, line_of, np.concatenate(_functions(snapshots, functions)))
    table = np.stack([known[:, 0], known[:, 1], function], axis=1)
    if by == "file":
        table[:, 1:] = 0
    elif by == "function":
        table[:, 1] = np.where(function > 0, 0, known[:, 1])
    distinct, number = np.unique(table, axis=0, return_inverse=True)
    bounds = np.cumsum([len(part) for part in file_of])[:-1]
    own = {file_index[s.files[i]] for s in snapshots for i in s.own_files}
    packages = {name: package_of(name) for name in files}
    for snapshot in snapshots:
        for file, package in zip(snapshot.files, snapshot.file_package.tolist(), strict=False):
            packages[file] = snapshot.packages[package]
    names = _Names(
        frame_file=distinct[:, 0],
        frame_line=np.where(distinct[:, 1] >= GONE, distinct[:, 1] - GONE, distinct[:, 1]),
        frame_function=distinct[:, 2],
        files=tuple(files),
        functions=tuple(functions),
        packages=tuple(packages[name] for name in files),
        own=tuple(sorted(own)),
    )
    return names, np.split(number.reshape(-1)[line_of], bounds)


def _functions(snapshots: Sequence[Snapshot], functions: list[str]) -> list[Ints]:
    """Return each snapshot's frames' functions in the common table; the first entry is an unknown one."""
    index = {name: i for i, name in enumerate(functions)}
    columns = []
    for snapshot in snapshots:
        if not len(snapshot.frame_function):
            columns.append(np.zeros(len(snapshot.frame_file), np.int64))
            continue
        common = np.append(_through(index, [name or _TOP for name in snapshot.functions]), 0)
        columns.append(common[snapshot.frame_function])  # -1, not looked up, is the last
    return columns


def _through(index: dict[str, int], names: Sequence[str]) -> Ints:
    return np.fromiter((index[name] for name in names), np.int64, len(names))


def _stacks(snapshots: Sequence[Snapshot], frame_of: Sequence[Ints], depth: int) -> _Stacks:
    """Return the distinct stacks of all snapshots, cut to the depth that all of them have."""
    entries, lengths = [], []
    for snapshot, common in zip(snapshots, frame_of, strict=True):
        cut = np.minimum(np.diff(snapshot.starts), depth)
        position = np.arange(int(cut.sum())) - (cut.cumsum() - cut).repeat(cut)
        entries.append(common[snapshot.frame_of[snapshot.starts[:-1].repeat(cut) + position]])
        lengths.append(cut)
    together, row_lengths = np.concatenate(entries), np.concatenate(lengths)
    distinct, stack_of = merge_equal(together, row_lengths)
    bounds = np.cumsum([len(part) for part in lengths])[:-1]
    sums = []
    for snapshot, of in zip(snapshots, np.split(stack_of, bounds), strict=True):
        for column in (snapshot.size_bytes, snapshot.blocks):
            total = np.zeros(len(distinct), np.int64)
            np.add.at(total, of[snapshot.traceback], column)
            sums.append(total)
    kept, lengths_kept = take_rows(together, row_lengths, distinct)
    return _Stacks(kept, lengths_kept, np.ones(len(kept), np.int64), tuple(sums))


def _without_imports(stacks: _Stacks, names: _Names) -> _Stacks:
    """Leave out the import system's own frames between callers; where it allocates itself, it stays."""
    if not len(stacks.lengths):
        return stacks
    machinery = np.array([name.startswith(_IMPORTS) for name in names.files], bool)
    kept = ~machinery[names.frame_file[stacks.entries]]
    kept[stacks.starts] = True
    lengths = np.add.reduceat(kept, stacks.starts, dtype=np.int64)
    return _Stacks(stacks.entries[kept], lengths, stacks.repeats[kept], stacks.sums)


def _merge_recursion(stacks: _Stacks) -> _Stacks:
    """Keep each group of frames that stands several times right under itself once, and count how often.

    One pass a length of the group. Where ``entries[i] == entries[i + length]`` holds for a run of at least
    ``length`` places, whole groups at the beginning of the run are dropped.
    """
    entries, times = stacks.entries, stacks.repeats.copy()
    stack = np.arange(len(stacks.lengths)).repeat(stacks.lengths)
    for length in range(1, _LONGEST_CYCLE + 1):
        if len(entries) < 2 * length:
            break
        same = (entries[length:] == entries[:-length]) & (stack[length:] == stack[:-length])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        begin, runs = edges[::2], edges[1::2] - edges[::2]
        begin, dropped = begin[runs >= length], runs[runs >= length] // length * length
        if not len(begin):
            continue
        position = np.arange(int(dropped.sum())) - (dropped.cumsum() - dropped).repeat(dropped)
        gone = begin.repeat(dropped) + position
        np.add.at(times, (begin + dropped).repeat(dropped) + position % length, times[gone])
        kept = np.ones(len(entries), bool)
        kept[gone] = False
        entries, stack, times = entries[kept], stack[kept], times[kept]
    return _Stacks(entries, np.bincount(stack, minlength=len(stacks.lengths)), times, stacks.sums)


# -- the tree


def _grow(stacks: _Stacks, inverted: bool) -> _Trie:
    """Grow the tree level by level: from the outermost call, or from the most recent one."""
    entries, lengths = stacks.entries, stacks.lengths
    begin, step = (stacks.starts, 1) if inverted else (stacks.starts + lengths - 1, -1)
    width = int(entries.max()) + 1 if len(entries) else 1
    at = np.zeros(len(lengths), np.int64)  # each stack's row so far
    parents, frames, most, levels = [ints([-1])], [ints([-1])], [ints([1])], [0, 1]
    active = np.arange(len(lengths))
    depth = 0
    while len(active := active[lengths[active] > depth]):
        place = begin[active] + step * depth
        pairs, row = np.unique(at[active] * width + entries[place], return_inverse=True)
        parents.append(pairs // width)
        frames.append(pairs % width)
        greatest = np.ones(len(pairs), np.int64)
        np.maximum.at(greatest, row, stacks.repeats[place])
        most.append(greatest)
        at[active] = levels[-1] + row
        levels.append(levels[-1] + len(pairs))
        depth += 1
    own = []
    for column in stacks.sums:
        ended = np.zeros(levels[-1], np.int64)
        np.add.at(ended, at, column)
        own.append(ended)
    trie = _Trie(
        np.concatenate(parents), np.concatenate(frames), np.concatenate(most), tuple(levels), tuple(own), ()
    )
    return dataclasses.replace(trie, total=tuple(trie.up(column) for column in own))


def _chosen(trie: _Trie, rows: int, *, differs: bool) -> tuple[Ints, Ints]:
    """Return the rows that matter most, in their order, and the place of each."""
    now = trie.own[0]
    was = trie.own[2] if differs else np.zeros(len(now), np.int64)
    width, change = trie.up(np.maximum(now, was)), trie.up(np.abs(now - was))
    share = np.maximum(width / max(int(width[0]), 1), change / max(int(change[0]), 1))
    listed = np.zeros(len(share), bool)
    listed[np.argsort(-share, kind="stable")[:rows]] = True  # a row is never less than those below it
    greater = np.maximum(trie.total[0], trie.total[2]) if differs else trie.total[0]
    return _ordered(trie, listed, greater)


def _folded(trie: _Trie, order: Ints, place: Ints) -> Ints:
    """Count the frames that are not listed, at the listed rows under which they belong."""
    listed = np.zeros(len(place), bool)
    listed[order] = True
    below = trie.up(np.ones(len(place), np.int64))
    cut = np.flatnonzero(~listed & listed[trie.parent])
    folded = np.zeros(len(order), np.int64)
    np.add.at(folded, place[trie.parent[cut]], below[cut])
    return folded


def _sides(trie: _Trie, order: Ints, stacks: _Stacks, frames: int) -> list[FlameSide]:
    allocating = stacks.entries[stacks.starts]
    sides = []
    for i in range(0, len(trie.own), 2):
        by_frame = []
        for column in stacks.sums[i : i + 2]:
            total = np.zeros(frames, np.int64)
            np.add.at(total, allocating, column)
            by_frame.append(ints(total))
        rows = (trie.own[i], trie.total[i], trie.own[i + 1], trie.total[i + 1])
        sides.append(FlameSide(*(ints(column[order]) for column in rows), *by_frame))
    return sides


def _packages(names: _Names) -> tuple[tuple[str, ...], Ints]:
    table = tuple(sorted(set(names.packages)))
    return table, ints(_through({name: i for i, name in enumerate(table)}, names.packages))


def _ordered(trie: _Trie, listed: np.ndarray, width: Ints) -> tuple[Ints, Ints]:
    """Return the listed rows level by level, greatest first below each parent, and each row's place."""
    place = np.zeros(len(width), np.int64)
    order = [np.zeros(1, np.int64)]
    count = 1
    for start, stop in zip(trie.levels[1:-1], trie.levels[2:], strict=True):
        level = start + np.flatnonzero(listed[start:stop])
        if not len(level):
            break
        level = level[np.lexsort((trie.frame[level], -width[level], place[trie.parent[level]]))]
        place[level] = np.arange(count, count + len(level))
        count += len(level)
        order.append(level)
    return np.concatenate(order), place


def _notes(snapshots: Sequence[Snapshot], stacks: _Stacks, depth: int) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for s in snapshots[::-1] for note in s.notes))
    if len({s.depth for s in snapshots}) > 1:
        notes.append(f"compared by the most recent {depth} frames, which both have")
    if depth == 1:
        notes.append(
            "only the allocating line of each block was recorded; trace with more frames to see its callers, "
            "for example tracemalloc.start(25)"
        )
    else:
        full = int(stacks.sums[0][stacks.lengths >= depth].sum())
        if full:
            notes.append(
                f"stacks were recorded to {depth} frames: callers beyond that of {format_bytes(full)}"
                " are not known"
            )
    return tuple(notes)
