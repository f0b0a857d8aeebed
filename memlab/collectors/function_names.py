"""Names of functions for frames whose source was not looked at when the snapshot was taken.

A snapshot records functions of the user's own code. Those of libraries are looked up here when somebody
groups by function, on the machine where that happens, and only where the source file has the size that it
had at capture: a name from another version of a file would be a wrong one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.paths import PathLabels
from memlab._base.source_lines import source_lines, source_size

if TYPE_CHECKING:
    from memlab._base.source_lines import SourceLines
    from memlab.records.columns import Ints
    from memlab.records.snapshot import Snapshot

__all__ = ["UNKNOWN", "function_names"]

UNKNOWN = "(unknown)"


def function_names(snapshot: Snapshot, *, callers: bool = True) -> tuple[tuple[str, ...], Ints]:
    """Return a table of qualified names, and for each frame its place there.

    Top-level code is ``<module>``; a frame whose source cannot be read is ``(unknown)``.

    Args:
        snapshot: whose frames.
        callers: False looks up the allocating frames alone, so that fewer files are read; others are then
            ``(unknown)`` unless the snapshot recorded them.
    """
    known: tuple[tuple[str, ...], Ints] | None = snapshot.kept.get(("functions", callers))
    if known is None:
        known = snapshot.kept["functions", callers] = _look_up(snapshot, callers)
    return known


def _look_up(snapshot: Snapshot, callers: bool) -> tuple[tuple[str, ...], Ints]:
    index: dict[str, int] = {}
    function_of = np.full(len(snapshot.frame_file), -1, np.int64)
    if len(snapshot.frame_function):
        names = [index.setdefault(name or "<module>", len(index)) for name in snapshot.functions]
        recorded = snapshot.frame_function
        function_of = np.where(recorded >= 0, np.array([*names, -1], np.int64)[recorded], -1)
    labels = PathLabels()
    wanted = function_of < 0
    if not callers:
        allocating = np.zeros(len(wanted), np.bool_)
        allocating[snapshot.allocating] = True
        wanted &= allocating
    for file in np.unique(snapshot.frame_file[wanted]).tolist():
        lines = _lines(snapshot, file, labels)
        if lines is None:
            continue
        frames = np.flatnonzero((snapshot.frame_file == file) & wanted)
        line = snapshot.frame_line[frames]
        there = (line >= 1) & (line <= len(lines.function_of))
        # A file has hundreds of functions, and a snapshot lines of few: only their names are put in.
        used, place = np.unique(lines.function_of[line[there] - 1], return_inverse=True)
        named = [index.setdefault(lines.functions[at] or "<module>", len(index)) for at in used.tolist()]
        function_of[frames[there]] = np.array(named, np.int64)[place]
    if bool((function_of < 0).any()):
        function_of[function_of < 0] = index.setdefault(UNKNOWN, len(index))
    return tuple(index), function_of


def _lines(snapshot: Snapshot, file: int, labels: PathLabels) -> SourceLines | None:
    """Return the source of one of a snapshot's files, if it is still the one that was traced."""
    size = int(snapshot.file_bytes[file]) if len(snapshot.file_bytes) else -1
    if size < 0:
        return None
    candidates = [snapshot.raw_files[file]] if snapshot.raw_files else labels.candidates(snapshot.files[file])
    for name in candidates:
        if os.path.isabs(name) and source_size(name) == size:  # noqa: PTH117
            return source_lines(name)
    return None
