"""Tables of the sampled engine made into Snapshots: estimates by site, and the samples behind them.

Of a block of ``s`` bytes the chance to be in the sample is ``p = 1 - exp(-s / T)``; it stands for ``s / p``
bytes in ``1 / p`` blocks. A row's figures are such sums, rounded to whole numbers at the end. The sizes of
its samples are kept with it (``hist_size``, ``hist_count``): from them every grouping has its interval
(``analyses/estimates.py``).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.grouping import group_keys, pack_keys
from memlab._base.ragged import merge_equal, take_rows
from memlab._base.units import format_bytes
from memlab.collectors.own_lines import own_lines
from memlab.collectors.sampled_names import thread_name
from memlab.collectors.snapshot_maker import FileTable, FileTexts
from memlab.collectors.trace_blocks import own_among
from memlab.records.columns import frozen, ints
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from memlab._base.paths import PathLabels
    from memlab.collectors.sampled_engine import SampledTables
    from memlab.records.columns import Ints

__all__ = ["sampled_snapshot"]

_LINE_BITS = 32
_UNKNOWN = "<unknown>"
_FRAME = np.dtype([("file", "=u4"), ("function", "=u4"), ("line", "=i4")])
_STACK = np.dtype([("start", "=u4"), ("length", "=u4")])
_ROW = np.dtype(
    [
        ("stack", "=u4"),
        ("thread", "=u4"),
        ("domain", "=u4"),
        ("unused", "=u4"),
        ("bytes", "=f8"),
        ("blocks", "=f8"),
    ]
)
_SIZED = np.dtype([("row", "=u4"), ("count", "=u4"), ("size", "=u8")])
_LIVE = np.dtype([("key", "=u8"), ("size", "=u8"), ("row", "=u4"), ("used", "=u4")])


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Sampled:
    """Samples of one measure: rows of the tables, what they stand for, and how many of which size."""

    row: Ints
    size: Ints
    count: Ints
    bytes_of_row: npt.NDArray[Any]
    blocks_of_row: npt.NDArray[Any]


def sampled_snapshot(
    tables: SampledTables,
    measure: str,
    labels: PathLabels,
    label: str = "",
    *,
    sources: str = "own",
) -> Snapshot:
    """Return the ``live`` or the ``allocated`` blocks by allocation site, memlab's own lines left out."""
    stacks = _Stacks(tables.read)
    table = np.frombuffer(tables.read["rows"], _ROW)
    found = _sampled(tables, measure, len(table))
    files = FileTable(stacks.names, labels)
    own = own_among(stacks.lengths, stacks.name_of[stacks.frame_of], stacks.names)
    wanted = np.zeros(len(table), np.bool_)
    wanted[found.row] = True
    rows = np.flatnonzero(wanted & ~own[table["stack"]]) if len(table) else np.zeros(0, np.int64)
    line = (files.of_name[stacks.name_of] << _LINE_BITS) | stacks.line_of
    one_frame, of = group_keys(pack_keys(line, stacks.function_of))
    distinct, of_stack = merge_equal(of[stacks.frame_of], stacks.lengths)
    traceback = of_stack[table["stack"][rows]]
    domain, thread = table["domain"][rows].astype(np.int64), table["thread"][rows].astype(np.int64)
    one, group = group_keys(pack_keys(traceback, domain, thread))
    size = _whole(np.bincount(group, found.bytes_of_row[rows], len(one)))
    blocks = np.maximum(_whole(np.bincount(group, found.blocks_of_row[rows], len(one))), 1)
    order = np.lexsort((thread[one], domain[one], traceback[one], -blocks, -size))
    used, place = np.unique(traceback[one][order], return_inverse=True)
    entries, lengths = take_rows(of[stacks.frame_of], stacks.lengths, distinct[used])
    kept_frames, entries = np.unique(entries, return_inverse=True)
    picked = one_frame[kept_frames]
    frame_file, frame_line = files.of_name[stacks.name_of[picked]], stacks.line_of[picked]
    of_files = files.columns()
    texts = FileTexts(files, labels, sources, frame_file, frame_line, of_files["file_bytes"].tolist())
    said = texts.columns()
    threads, of_thread = np.unique(thread[one][order], return_inverse=True)
    columns: dict[str, Any] = {
        "traceback": ints(place),
        "domain": ints(domain[one][order]),
        "size_bytes": ints(size[order]),
        "blocks": ints(blocks[order]),
        "starts": ints(np.concatenate([[0], lengths.cumsum()])),
        "frame_of": ints(entries),
        "frame_file": ints(frame_file),
        "frame_line": ints(frame_line),
        "thread": ints(of_thread),
        "threads": tuple(thread_name(tables.thread_names, place) for place in threads.tolist()),
        **_histogram(found, rows, group, order, lengths[place]),
        **of_files,
        **said,
        **_functions(stacks, picked),
    }
    columns |= own_lines(columns, files.own, files.raw) if sources != "none" else {}
    snapshot = Snapshot(
        **columns,
        files=files.table,
        own_files=files.own,
        engine="sampled",
        depth=tables.frames,
        label=label,
        notes=(*_notes(tables), *tables.notes, *texts.notes()),
        measure=measure,
        sample_bytes=tables.sample_bytes,
    )
    snapshot.__dict__["raw_files"] = files.raw
    return snapshot


class _Stacks:
    """The stacks of the tables: frames end to end; one without a frame has an unknown one."""

    def __init__(self, read: Mapping[str, Any]) -> None:
        frames = np.frombuffer(read["frames"], _FRAME)
        stacks = np.frombuffer(read["stacks"], _STACK)
        every = np.frombuffer(read["stack_frames"], "=u4").astype(np.int64)
        texts = [*read["names"], _UNKNOWN, ""]
        index: dict[str, int] = {}
        merged = np.array([index.setdefault(text, len(index)) for text in texts], np.int64)
        unknown = len(frames)
        self.names = tuple(_printable(text) for text in index)
        self.name_of = merged[np.append(frames["file"].astype(np.int64), len(texts) - 2)]
        self.function_of = merged[np.append(frames["function"].astype(np.int64), len(texts) - 1)]
        self.line_of = np.append(frames["line"].astype(np.int64), 0)
        lengths = stacks["length"].astype(np.int64)
        starts = stacks["start"].astype(np.int64)
        self.lengths = np.maximum(lengths, 1)
        owner = np.arange(len(lengths)).repeat(self.lengths)
        first = self.lengths.cumsum() - self.lengths
        position = starts[owner] + np.arange(len(owner)) - first[owner]
        empty = (lengths == 0)[owner]
        self.frame_of = np.where(empty, unknown, np.append(every, 0)[np.where(empty, 0, position)])


def _printable(text: str) -> str:
    """Return a name that can be written: a lone surrogate cannot."""
    return text.encode(errors="replace").decode()


def _sampled(tables: SampledTables, measure: str, rows: int) -> _Sampled:
    if measure == "live":
        lives = np.frombuffer(tables.read["lives"], _LIVE)
        row, size = lives["row"].astype(np.int64), lives["size"].astype(np.int64)
        one, group = group_keys(pack_keys(row, size)) if len(row) else (row, row)
        count = np.bincount(group, minlength=len(one)).astype(np.int64)
        row, size = row[one], size[one]
        chance = -np.expm1(-size / tables.sample_bytes)
        stands_for = count / chance
        return _Sampled(
            row,
            size,
            count,
            np.bincount(row, stands_for * size, rows),
            np.bincount(row, stands_for, rows),
        )
    sized = np.frombuffer(tables.read["sizes"], _SIZED)
    sized = sized[sized["count"] > 0]
    table = np.frombuffer(tables.read["rows"], _ROW)
    return _Sampled(
        sized["row"].astype(np.int64),
        sized["size"].astype(np.int64),
        sized["count"].astype(np.int64),
        table["bytes"].astype(np.float64),
        table["blocks"].astype(np.float64),
    )


def _whole(values: npt.NDArray[Any]) -> Ints:
    return ints(np.rint(values).astype(np.int64))


def _histogram(found: _Sampled, rows: Ints, group: Ints, order: Ints, depths: Ints) -> dict[str, Any]:
    """Return how many samples of each row have which size, rows in their final order."""
    of_row = np.full(len(found.bytes_of_row), -1, np.int64)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    of_row[rows] = place[group]
    to = of_row[found.row] if len(found.row) else found.row
    kept = np.flatnonzero(to >= 0)
    one, merged = group_keys(pack_keys(to[kept], found.size[kept])) if len(kept) else (kept, kept)
    count = np.bincount(merged, found.count[kept], len(one)).astype(np.int64)
    target, size = to[kept][one], found.size[kept][one]
    sort = np.lexsort((size, target))
    per_row = np.bincount(target, minlength=len(order))
    return {
        "hist_starts": ints(np.concatenate([[0], per_row.cumsum()])),
        "hist_size": ints(size[sort]),
        "hist_count": frozen(np.minimum(count[sort], 2**32 - 1).astype(np.uint32)),
        "hist_frames": frozen(depths[target[sort]].astype(np.uint32)),
    }


def _functions(stacks: _Stacks, picked: Ints) -> dict[str, Any]:
    """Return the qualified name of each frame's function, as its code object had it."""
    index: dict[str, int] = {}
    of = []
    for number in stacks.function_of[picked].tolist():
        name = stacks.names[number]
        of.append(index.setdefault("" if name == "<module>" else name, len(index)))
    return {"frame_function": ints(of), "functions": tuple(index)}


def _notes(tables: SampledTables) -> tuple[str, ...]:
    mean = format_bytes(tables.sample_bytes)
    return (
        (
            f"estimates from {tables.samples:,} samples, one each {mean} on average; a site without one is "
            "not listed"
        ),
    )
