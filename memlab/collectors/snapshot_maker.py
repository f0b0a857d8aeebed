"""Columns of live traces made into a Snapshot: files labelled, equal tracebacks merged, source looked at.

Everything a snapshot says of the machine it was taken on is made here: labels instead of file names, the
package of each file, and of the user's own files what tells their lines and functions. Full file names stay
beside the value as long as it lives, so that it can be given back as tracemalloc's.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.grouping import group_keys, pack_keys, sums
from memlab._base.packages import package_of
from memlab._base.paths import PathLabels
from memlab._base.ragged import merge_equal, take_rows
from memlab._base.source_lines import source_lines, source_size
from memlab._base.units import format_bytes
from memlab.collectors.own_lines import LEAST_DEPTH, own_lines
from memlab.collectors.trace_blocks import columns_of
from memlab.records.columns import frozen, ints, no_nodes
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    from memlab._base.source_lines import SourceLines
    from memlab.collectors.trace_blocks import TraceColumns
    from memlab.records.columns import Ints

__all__ = ["FileTable", "FileTexts", "cut_rows", "to_snapshot", "warm_up"]

_LINE_BITS = 32
_MOST_SOURCE = 16 * 1024 * 1024
_LINE_MASK = (1 << _LINE_BITS) - 1


@functools.cache
def warm_up() -> None:
    """Make what a first snapshot makes once and for all, before anything is read.

    Modules that numpy and the standard library import late, compiled patterns, the table of packages: made
    while a program is traced they would be growth to its second snapshot, half a megabyte of it.
    """
    files = ((__file__, 1), (os.__file__, 1), (np.__file__, 1))
    blocks = [(0, size, files, len(files)) for size in (1, 2)]
    to_snapshot(columns_of(blocks, len(files), "public", own_excluded=False), PathLabels(), sources="all")


def to_snapshot(
    read: TraceColumns,
    labels: PathLabels,
    label: str = "",
    depth: int | None = None,
    notes: tuple[str, ...] = (),
    *,
    sources: str = "own",
) -> Snapshot:
    """Label the files and make a Snapshot: rows, tracebacks and frames merged by labelled content.

    Args:
        read: what was read.
        labels: names files.
        label: the user's name for the snapshot.
        depth: frames kept of each traceback, the most recent ones. None: all.
        notes: what a reader must know.
        sources: which source files are looked at for functions and line hashes: ``own``, ``all``, ``none``.
    """
    files = FileTable(read.names, labels)
    entries = (files.of_name[read.name_of] << _LINE_BITS) | read.line_of
    entries, lengths = cut_rows(entries, read.lengths, depth)
    first, frame_of = group_keys(entries)
    codes = entries[first]
    distinct, of_traceback = merge_equal(frame_of, lengths)
    traceback = of_traceback[read.traceback]
    one, row = group_keys(pack_keys(traceback, read.domain))
    size, blocks = sums(row, read.size * read.count, len(one)), sums(row, read.count, len(one))
    order = np.lexsort((read.domain[one], traceback[one], -blocks, -size))
    used, place = np.unique(traceback[one][order], return_inverse=True)
    frame_of, lengths = take_rows(frame_of, lengths, distinct[used])
    kept_frames, frame_of = np.unique(frame_of, return_inverse=True)
    codes = codes[kept_frames]
    frame_file, frame_line = codes >> _LINE_BITS, codes & _LINE_MASK
    of_files = files.columns()
    source = FileTexts(files, labels, sources, frame_file, frame_line, of_files["file_bytes"].tolist())
    columns: dict[str, Any] = {
        "traceback": ints(place),
        "domain": ints(read.domain[one][order]),
        "size_bytes": ints(size[order]),
        "blocks": ints(blocks[order]),
        "starts": ints(np.concatenate([[0], lengths.cumsum()])),
        "frame_of": ints(frame_of),
        "frame_file": ints(frame_file),
        "frame_line": ints(frame_line),
        **_histogram(read, row, order),
        **of_files,
        **source.columns(),
    }
    said = own_lines(columns, files.own, files.raw) if sources != "none" and read.depth >= LEAST_DEPTH else {}
    snapshot = Snapshot(
        **columns,
        **said,
        files=files.table,
        own_files=files.own,
        engine="tracemalloc",
        depth=read.depth if depth is None else min(depth, read.depth),
        label=label,
        notes=(*notes, *source.notes()),
    )
    snapshot.__dict__["raw_files"] = files.raw
    return snapshot


def cut_rows(entries: Ints, lengths: Ints, depth: int | None) -> tuple[Ints, Ints]:
    """Return tracebacks cut to their most recent frames, and their lengths."""
    if depth is None or depth >= int(lengths.max(initial=0)):
        return entries, lengths
    cut = np.minimum(lengths, depth)
    starts = lengths.cumsum() - lengths
    position = np.arange(int(cut.sum())) - (cut.cumsum() - cut).repeat(cut)
    return entries[starts.repeat(cut) + position], cut


def _histogram(read: TraceColumns, row: Ints, order: Ints) -> dict[str, Any]:
    """Return how many blocks of each row have which size, rows in their final order."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    of_row, total = place[row], read.total_frames[read.traceback]
    one, group = group_keys(pack_keys(of_row, read.size, total))
    count = sums(group, read.count, len(one))
    sort = np.lexsort((total[one], read.size[one], of_row[one]))
    picked = one[sort]
    per_row = np.bincount(of_row[picked], minlength=len(order))
    return {
        "hist_starts": ints(np.concatenate([[0], per_row.cumsum()])),
        "hist_size": ints(read.size[picked]),
        "hist_count": frozen(np.minimum(count[sort], 2**32 - 1).astype(np.uint32)),
        "hist_frames": frozen(total[picked].astype(np.uint32)),
    }


class FileTable:
    """The file table: one entry for each file, in the order of labels.

    Files outside of the project and of all packages may share a label; those are told apart by a number. A
    label that the caller gave is one file, whatever bears it: a cell that starts with a magic is compiled as
    the magic's call and then as what the magic runs. The file compiled last stands for both, since its lines
    are the cell's.
    """

    def __init__(self, names: tuple[str, ...], labels: PathLabels) -> None:
        self._labels = labels
        by_label: dict[str, list[str]] = {}
        compiled = {name: place for place, name in enumerate(labels.aliases)}
        for name in sorted(names, key=lambda name: (-compiled.get(name, -1), name)):
            by_label.setdefault(labels.label(name), []).append(name)
        table: dict[str, str] = {}  # label -> the file that stands for it
        given: dict[str, str] = {}
        for shared, raws in by_label.items():
            for number, raw in enumerate(raws, 1):
                own_label = shared if number == 1 or raw in labels.aliases else f"{shared} ({number})"
                table.setdefault(own_label, raw)
                given[raw] = own_label
        self.table = tuple(sorted(table))
        index = {name: i for i, name in enumerate(self.table)}
        self.raw = tuple(table[name] for name in self.table)
        self.of_name = np.array([index[given[name]] for name in names], np.int64)
        self.own = tuple(i for i, raw in enumerate(self.raw) if labels.is_own(raw))

    def is_cell(self, file: int) -> bool:
        """Tell whether a file bears a name that the caller gave."""
        return self.raw[file] in self._labels.aliases

    def columns(self) -> dict[str, Any]:
        """Return the columns of a snapshot that tell of files."""
        own = frozenset(self.own)
        packages = [
            package_of(raw, name, is_cell=self.is_cell(i), is_own=i in own)
            for i, (raw, name) in enumerate(zip(self.raw, self.table, strict=True))
        ]
        names = tuple(sorted(set(packages)))
        index = {name: i for i, name in enumerate(names)}
        rank = np.empty(len(self.raw), np.int64)
        rank[sorted(range(len(self.raw)), key=self.raw.__getitem__)] = np.arange(len(self.raw))
        return {
            "file_order": ints([] if bool((rank == np.arange(len(rank))).all()) else rank),
            "file_package": ints([index[name] for name in packages]),
            "packages": names,
            "file_bytes": ints([-1 if name.startswith("<") else source_size(name) for name in self.raw]),
        }


@dataclasses.dataclass(slots=True, eq=False)
class FileTexts:
    """Functions of frames and hashes of lines, of the files that are to be looked at."""

    files: FileTable
    labels: PathLabels
    wanted: str
    frame_file: Ints
    frame_line: Ints
    sizes: list[int]
    left_out: int = 0

    def notes(self) -> tuple[str, ...]:
        """Tell what was not looked at."""
        if not self.left_out:
            return ()
        size = format_bytes(_MOST_SOURCE)
        return (f"source files that were not looked at: {self.left_out:,} ({size} is the most)",)

    def columns(self) -> dict[str, Any]:
        """Return the columns of functions and of hashes of lines; none when no file was read."""
        read = self._read()
        if not read:
            return {}
        index: dict[str, int] = {}
        frame_function = np.full(len(self.frame_file), -1, np.int64)
        lengths = np.zeros(len(self.files.table), np.int64)
        hashes = []
        for file, lines in sorted(read.items()):
            names = np.array([index.setdefault(name, len(index)) for name in lines.functions], np.int64)
            frames = np.flatnonzero(self.frame_file == file)
            line = self.frame_line[frames]
            known = (line >= 1) & (line <= len(lines.function_of))
            frame_function[frames[known]] = names[lines.function_of[line[known] - 1]]
            lengths[file] = len(lines.hashes)
            hashes.append(lines.hashes)
        return {
            "frame_function": ints(frame_function),
            "functions": tuple(index),
            "text_starts": ints(np.concatenate([[0], lengths.cumsum()])),
            "text_hash": frozen(np.concatenate(hashes).astype(np.uint32)) if hashes else no_nodes(),
        }

    def _read(self) -> dict[int, SourceLines]:
        if self.wanted == "none":
            return {}
        chosen = range(len(self.files.table)) if self.wanted == "all" else self.files.own
        room = _MOST_SOURCE
        used = frozenset(np.unique(self.frame_file).tolist())
        found = {}
        for file in chosen:
            raw = self.files.raw[file]
            is_cell = self.files.is_cell(file)
            if file in used and (is_cell or not raw.startswith("<")):
                room -= max(self.sizes[file], 0)
                if room < 0:
                    self.left_out += 1
                    continue
                lines = source_lines(raw, is_cell=is_cell)
                if lines is not None:
                    found[file] = lines
        return found
