"""Which line of an older version of a file is which line of the newer one, told by hashes of lines.

Equal beginnings and ends are taken as they are. Between them, lines that occur once in both versions are
anchors where they keep their order (a patience diff: Cohen, 2003; the longest rising run by Fredman, 1975);
gaps that are small enough are compared like ``difflib`` does. What is then still without a partner and occurs
once on both sides has moved past others. From each pair, equal neighbours are paired too, so that a block
moves as a whole. Files whose source was not recorded are matched by function (``moved_functions``).
"""

from __future__ import annotations

import bisect
import dataclasses
import difflib
from typing import TYPE_CHECKING

import numpy as np

from memlab.analyses.axes import GONE
from memlab.analyses.moved_functions import moves_by_function
from memlab.records.columns import ints
from memlab.records.sites import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memlab.records.columns import Ints, Nodes
    from memlab.records.snapshot import Snapshot

__all__ = ["Moves", "line_map", "moves_between"]

_LARGEST_GAP = 4_000_000
_LISTED = 8


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What became of the older snapshot's lines.

    Attributes:
        older: the older snapshot, files that only changed their name under their new one.
        lines: its frame -> line in the newer version; a line that is gone has ``GONE`` added.
        notes: which files were edited.
        edited: whether any line moved or went.
    """

    older: Snapshot
    lines: Ints
    notes: tuple[str, ...]
    edited: bool


def moves_between(newer: Snapshot, older: Snapshot) -> Moves:
    """Match the lines of files that both snapshots have, and that were edited in between."""
    if newer is older:
        return Moves(older, older.frame_line, (), False)
    new, old = _Texts(newer), _Texts(older)
    renamed = _renamed(new, old)
    notes = [f"{was} is compared with {now}: the same text" for was, now in list(renamed.items())[:_LISTED]]
    work = _Work(newer, older, older.frame_line, notes)
    for name, file in old.index.items():
        other = new.index.get(renamed.get(name, name))
        if other is None:
            continue
        if old.has(file) and new.has(other):
            work.by_text(file, old.text(file), new.text(other))
        elif not old.sizes or not new.sizes or not 0 <= old.sizes[file] == new.sizes[other]:
            work.by_function(name, file, other)
            work.compare_versions(name, old.sizes[file : file + 1], new.sizes[other : other + 1])
    lines, edited, versions = work.lines, work.edited, work.versions
    if versions:
        more = f" and {len(versions) - _LISTED:,} more" if len(versions) > _LISTED else ""
        notes.append(
            f"another version of {', '.join(versions[:_LISTED])}{more}; lines are compared by number: take "
            'both snapshots with sources="all" to have them matched'
        )
    if renamed:
        older = _rename(older, renamed)
    return Moves(older, ints(lines), tuple(notes), edited)


@dataclasses.dataclass(slots=True, eq=False)
class _Work:
    """Lines of the older snapshot as they become those of the newer one, file by file."""

    newer: Snapshot
    older: Snapshot
    lines: Ints
    notes: list[str]
    edited: bool = False
    versions: list[str] = dataclasses.field(default_factory=list)
    by_name: set[str] = dataclasses.field(default_factory=set)

    def by_text(self, file: int, before: Nodes, after: Nodes) -> None:
        """Match the lines of a file whose source both recorded."""
        if not np.array_equal(before, after):
            self.notes.append(_move(self.older, self._own(), file, line_map(before, after)))

    def by_function(self, name: str, file: int, other: int) -> None:
        """Match the lines of a file that one of them recorded without its source."""
        if name.startswith(NATIVE):  # a binary's
            return
        frames, to = moves_by_function(self.newer, other, self.older, file)
        if len(frames):
            self._own()[frames] = to
            self.by_name.add(name)
            self.notes.append(
                f"{name} was edited in between: {len(frames):,} of its lines moved and are matched by "
                "their function, since its source was not recorded"
            )

    def compare_versions(self, name: str, was: list[int], now: list[int]) -> None:
        """Keep the name of a file whose lines are compared by number though it is another version."""
        if name not in self.by_name and was and now and min(*was, *now) >= 0:
            self.versions.append(name)

    def _own(self) -> Ints:
        if not self.edited:
            self.lines, self.edited = self.lines.copy(), True
        return self.lines


def _move(older: Snapshot, lines: Ints, file: int, mapped: Ints) -> str:
    """Put the newer lines of one file in place, and say what became of them."""
    frames = np.flatnonzero(older.frame_file == file)
    line = older.frame_line[frames]
    known = (line >= 1) & (line <= len(mapped))
    to = np.zeros(len(line), np.int64)
    to[known] = mapped[line[known] - 1]
    lines[frames] = np.where(to > 0, to, np.where(line > 0, line + GONE, line))
    moved, gone = int(((to > 0) & (to != line)).sum()), int(((to == 0) & (line > 0)).sum())
    words = [f"{moved:,} of its {len(line):,} lines moved and are matched by what they say"]
    if gone:
        words.append(f"{gone:,} are not there any more")
    return f"{older.files[file]} was edited in between: {', '.join(words)}"


class _Texts:
    """A snapshot's files by name, and the hashes of their lines."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.index = {name: i for i, name in enumerate(snapshot.files)}
        self.sizes: list[int] = snapshot.file_bytes.tolist()
        self._starts: list[int] = snapshot.text_starts.tolist()
        self._hashes = snapshot.text_hash

    def has(self, file: int) -> bool:
        return bool(self._starts) and self._starts[file] < self._starts[file + 1]

    def text(self, file: int) -> Nodes:
        return self._hashes[self._starts[file] : self._starts[file + 1]]


def _renamed(new: _Texts, old: _Texts) -> dict[str, str]:
    """Pair files of equal text that only one snapshot has each: a cell that ran again, a renamed module."""
    only_new = [name for name, i in new.index.items() if name not in old.index and new.has(i)]
    only_old = [name for name, i in old.index.items() if name not in new.index and old.has(i)]
    if not only_new or not only_old:
        return {}
    names: dict[bytes, list[str]] = {}
    for name in only_new:
        names.setdefault(new.text(new.index[name]).tobytes(), []).append(name)
    pairs: dict[str, str] = {}
    for name in only_old:
        found = names.get(old.text(old.index[name]).tobytes(), [])
        if len(found) == 1 and found[0] not in pairs.values():
            pairs[name] = found[0]
    return pairs


def _rename(older: Snapshot, renamed: dict[str, str]) -> Snapshot:
    changed = dataclasses.replace(older, files=tuple(renamed.get(name, name) for name in older.files))
    changed.kept.update(older.kept)
    return changed


def line_map(older: Nodes, newer: Nodes) -> Ints:
    """Return, for each line of the older version, its line in the newer one, counted from 1; 0 when gone.

    Args:
        older: hashes of lines, 0 for an empty one.
        newer: the same of the newer version.

    >>> line_map(np.array([5, 6, 7], np.uint32), np.array([9, 5, 7, 6], np.uint32)).tolist()
    [2, 4, 3]
    """
    old, new = older.tolist(), newer.tolist()
    to = [-1] * len(old)
    taken = [False] * len(new)

    def pair(i: int, j: int) -> None:
        to[i] = j
        taken[j] = True

    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        pair(start, start)
        start += 1
    ends = 0
    while ends < min(len(old), len(new)) - start and old[-1 - ends] == new[-1 - ends]:
        ends += 1
        pair(len(old) - ends, len(new) - ends)
    _match(old, new, (start, len(old) - ends), (start, len(new) - ends), pair)
    rest_old = [i for i, j in enumerate(to) if j < 0]
    rest_new = [j for j, used in enumerate(taken) if not used]
    for i, j in _once(old, new, rest_old, rest_new):
        pair(i, j)
    for step in (1, -1):  # downwards from each pair, then upwards
        for i in range(len(old))[::step]:
            before = i - step
            if to[i] >= 0 or not 0 <= before < len(old) or to[before] < 0:
                continue
            j = to[before] + step
            if 0 <= j < len(new) and not taken[j] and new[j] == old[i]:
                pair(i, j)
    return np.array([j + 1 for j in to], np.int64)


def _match(
    old: list[int],
    new: list[int],
    span_old: tuple[int, int],
    span_new: tuple[int, int],
    pair: Callable[[int, int], None],
) -> None:
    anchors = _rising(_once(old, new, range(*span_old), range(*span_new)))
    (at_old, end_old), (at_new, end_new) = span_old, span_new
    for i, j in [*anchors, (end_old, end_new)]:
        gap_old, gap_new = old[at_old:i], new[at_new:j]
        if gap_old and gap_new and len(gap_old) * len(gap_new) <= _LARGEST_GAP:
            matcher = difflib.SequenceMatcher(None, gap_old, gap_new, autojunk=False)
            for block in matcher.get_matching_blocks():
                for k in range(block.size):
                    pair(at_old + block.a + k, at_new + block.b + k)
        if i < end_old:
            pair(i, j)
        at_old, at_new = i + 1, j + 1


def _once(
    old: list[int], new: list[int], rows_old: Iterable[int], rows_new: Iterable[int]
) -> list[tuple[int, int]]:
    """Return pairs of lines that occur once among some rows of either version, by the older one's order."""
    of_old, of_new = _singles(old, rows_old), _singles(new, rows_new)
    return [(i, of_new[text]) for text, i in of_old.items() if text in of_new]


def _singles(lines: list[int], rows: Iterable[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    repeated = set()
    for row in rows:
        text = lines[row]
        if not text or text in found:
            repeated.add(text)
        else:
            found[text] = row
    return {text: row for text, row in found.items() if text not in repeated}


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of the pairs in which both numbers rise."""
    tails: list[int] = []
    at_tail: list[int] = []
    before = [-1] * len(pairs)
    for k, (_, j) in enumerate(pairs):
        place = bisect.bisect_left(tails, j)
        before[k] = at_tail[place - 1] if place else -1
        if place == len(tails):
            tails.append(j)
            at_tail.append(k)
        else:
            tails[place] = j
            at_tail[place] = k
    chosen = []
    k = at_tail[-1] if at_tail else -1
    while k >= 0:
        chosen.append(pairs[k])
        k = before[k]
    return chosen[::-1]
