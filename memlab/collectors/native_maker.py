"""Columns of memray's made into Snapshots: one for each measure, of the same model as tracemalloc's.

A native frame's file is ``<native> `` and the source that its compiler recorded, or its symbol where none was
recorded; so two captures of one binary join by content like Python frames do. A Python function's name is
memray's, and the qualified one of the source where that was read and agrees.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.grouping import group_keys, pack_keys, sums
from memlab._base.paths import PathLabels
from memlab._base.ragged import merge_equal, take_rows
from memlab._base.units import format_bytes
from memlab.collectors.memray_files import MEASURES
from memlab.collectors.own_lines import own_lines
from memlab.collectors.snapshot_maker import FileTable, FileTexts, cut_rows
from memlab.records.columns import ints
from memlab.records.sites import NATIVE
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.collectors.memray_files import NativeColumns
    from memlab.records.columns import Ints

__all__ = ["MEMRAY", "MEMRAY_OBJECTS", "native_snapshot"]

MEMRAY, MEMRAY_OBJECTS = "memray", "memray with objects"
"""Engines: without and with each block of Python's own allocators. Their figures are no like quantities."""

_DEPTH = 512
_LINE_BITS = 32
_CELL = re.compile(r"<ipython-input-(\d+)-[0-9a-f]+>")
_UNKNOWN = ("", "<unknown>", "???")


def native_snapshot(
    read: NativeColumns,
    measure: str,
    labels: PathLabels,
    label: str = "",
    notes: tuple[str, ...] = (),
    *,
    depth: int | None = None,
    sources: str = "own",
) -> Snapshot:
    """Return one measure of what memray recorded.

    Args:
        read: what was read.
        measure: ``peak``, ``leaked`` or ``temporary``.
        labels: names files.
        label: the user's name for the snapshot.
        notes: what a reader must know beside what is told of every such snapshot.
        depth: frames kept of each stack, the most recent ones. None: all that were read.
        sources: which source files are looked at for qualified functions and line hashes: ``own``, ``all``,
            ``none``.
    """
    raw, of_frame = _file_names(read)
    files = FileTable(raw, PathLabels({**_cells(raw), **labels.aliases}, labels.root))
    line = (files.of_name[of_frame] << _LINE_BITS) | read.frame_line
    one_frame, of = group_keys(pack_keys(line, read.frame_function))
    entries, lengths = cut_rows(of[read.frame_of], read.lengths, depth)
    distinct, of_stack = merge_equal(entries, lengths)
    rows = np.flatnonzero(read.measure == MEASURES.index(measure))
    traceback = of_stack[read.stack[rows]]
    one, row = group_keys(pack_keys(traceback, read.allocator[rows], read.thread[rows]))
    size, blocks = sums(row, read.size[rows], len(one)), sums(row, read.count[rows], len(one))
    kept = rows[one]
    order = np.lexsort((read.thread[kept], read.allocator[kept], traceback[one], -blocks, -size))
    used, place = np.unique(traceback[one][order], return_inverse=True)
    entries, lengths = take_rows(entries, lengths, distinct[used])
    frames, entries = np.unique(entries, return_inverse=True)
    picked = one_frame[frames]
    threads, of_thread = np.unique(read.thread[kept][order], return_inverse=True)
    frame_file, frame_line = files.of_name[of_frame[picked]], read.frame_line[picked]
    of_files = files.columns()
    if sources == "none":  # what lies there now may be another version than the one that ran
        of_files["file_bytes"] = ints([-1] * len(files.table))
    texts = FileTexts(files, labels, sources, frame_file, frame_line, of_files["file_bytes"].tolist())
    said = texts.columns()
    columns: dict[str, Any] = {
        "traceback": ints(place),
        "domain": ints(read.allocator[kept][order]),
        "size_bytes": ints(size[order]),
        "blocks": ints(blocks[order]),
        "starts": ints(np.concatenate([[0], lengths.cumsum()])),
        "frame_of": ints(entries),
        "frame_file": ints(frame_file),
        "frame_line": ints(frame_line),
        "thread": ints(of_thread),
        "threads": tuple(read.threads[i] or "unnamed" for i in threads.tolist()),
        **of_files,
        **said,
        **_functions(read, picked, said),
    }
    columns |= own_lines(columns, files.own, files.raw) if sources != "none" else {}
    snapshot = Snapshot(
        **columns,
        files=files.table,
        own_files=files.own,
        engine=MEMRAY_OBJECTS if read.objects else MEMRAY,
        depth=_DEPTH if depth is None else min(depth, _DEPTH),
        label=label,
        notes=(*_notes(read, measure), *notes, *texts.notes()),
        measure=measure,
    )
    snapshot.__dict__["raw_files"] = files.raw
    return snapshot


def _file_names(read: NativeColumns) -> tuple[tuple[str, ...], Ints]:
    """Return a table of file names, and for each frame its place there."""
    index: dict[str, int] = {}
    of_frame = []
    columns = (read.frame_name, read.frame_function, read.native)
    for name, function, native in zip(*(column.tolist() for column in columns), strict=True):
        text = read.names[name]
        if native:
            text = NATIVE + (read.functions[function] or "?" if text in _UNKNOWN else _source_of(text))
        of_frame.append(index.setdefault(text, len(index)))
    return tuple(index), np.array(of_frame, np.int64)


def _source_of(text: str) -> str:
    """Return a compiler's file name without the folders of whoever compiled it."""
    if text.startswith(("/", "~")) or ":" in text:
        return os.path.basename(text)  # noqa: PTH119 - any text
    parts = [part for part in text.split("/") if part not in (".", "..", "")]
    return "/".join(parts) or "?"


def _cells(raw: tuple[str, ...]) -> dict[str, str]:
    """Return the labels of cells that plain IPython named by their execution count."""
    found = ((name, _CELL.fullmatch(name)) for name in raw)
    return {name: f"Cell In[{match.group(1)}]" for name, match in found if match}


def _functions(read: NativeColumns, picked: Ints, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the function of each frame: memray's name, or the qualified one where the source agrees."""
    index: dict[str, int] = {}
    known = said["frame_function"].tolist() if said else [-1] * len(picked)
    of = []
    for number, recorded in zip(read.frame_function[picked].tolist(), known, strict=True):
        name = read.functions[number]
        name = "" if name == "<module>" else name
        if recorded >= 0:
            qualified = said["functions"][recorded]
            # A comprehension's or lambda's frame is on a line of the function around it.
            if name.startswith("<") or qualified.rpartition(".")[2] == name:
                name = qualified
        of.append(index.setdefault(name, len(index)))
    return {"frame_function": ints(of), "functions": tuple(index)}


def _notes(read: NativeColumns, measure: str) -> tuple[str, ...]:
    notes = []
    if not read.objects:
        notes.append(
            "Python objects of up to 512 bytes are counted as the arenas that hold them; record with "
            "objects=True to count each"
        )
    if not read.native_frames:
        notes.append("no C frames: they were not recorded")
    if read.processes > 1:
        own = ", each process at a high-water mark of its own" if measure == "peak" else ""
        notes.append(f"the sum of {read.processes} processes{own}")
    left = read.tracing_bytes[MEASURES.index(measure)]
    if left:
        notes.append(f"left out: {format_bytes(left)} that tracing itself took")
    return tuple(notes)
