"""tracemalloc's own table of live blocks, as columns.

The interpreter hands out one tuple a block: domain, size, frames, number of frames. Tuples of frames are
shared by identity, so blocks are first grouped by the address of theirs, which an array of objects holds in
its own buffer; making a Python int for each (``map(id, ...)``) would cost more than all the rest, as every
such int is traced in its turn. Equal tracebacks may have several identities and are merged by content. The
private table is used after its entries were compared with the public ones; otherwise the public, slow way.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import itertools
import os
import sys
import tracemalloc
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.paths import OWN_FOLDER, PathLabels
from memlab._base.ragged import merge_equal, take_rows
from memlab.errors import UnavailableError
from memlab.records.columns import ints
from memlab.records.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from memlab.records.columns import Ints

__all__ = ["Frames", "RawTraces", "grown", "read_traces", "site_of", "to_snapshot"]

Frames = tuple[tuple[str, int], ...]
"""File name as the code object has it, and line; most recent call first."""

_Block = tuple[int, int, Frames, int]
_CHECKED = 16
_LINE_BITS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class RawTraces:
    """Live traced memory, a row for each traceback and domain. File names are not labelled yet.

    Attributes:
        traceback: row -> index into ``tracebacks``.
        domain: row -> tracemalloc domain.
        size_bytes, blocks: what the row holds.
        tracebacks: distinct tracebacks.
        depth: greatest number of frames that tracemalloc keeps.
        source: ``table`` (tracemalloc's own) or ``public``.
    """

    traceback: Ints
    domain: Ints
    size_bytes: Ints
    blocks: Ints
    tracebacks: tuple[Frames, ...]
    depth: int
    source: str

    @property
    def total_bytes(self) -> int:
        """Bytes of all rows."""
        return int(self.size_bytes.sum())

    @property
    def total_blocks(self) -> int:
        """Blocks of all rows."""
        return int(self.blocks.sum())

    def totals(self) -> dict[Frames, tuple[int, int]]:
        """Return bytes and blocks by traceback, all domains together."""
        sizes = _sums(self.traceback, self.size_bytes, len(self.tracebacks)).tolist()
        blocks = _sums(self.traceback, self.blocks, len(self.tracebacks)).tolist()
        return dict(zip(self.tracebacks, zip(sizes, blocks, strict=True), strict=True))


def read_traces(own_excluded: bool = True, table: Callable[[], Any] | None = None) -> RawTraces:
    """Read all live traces.

    Args:
        own_excluded: leave out blocks that memlab's own lines allocated.
        table: returns the interpreter's private table. Default: tracemalloc's.

    Raises:
        UnavailableError: when nothing is traced.
    """
    depth = tracemalloc.get_traceback_limit()
    private, blocks = _live_blocks(table or _private_table(), depth)
    if not tracemalloc.is_tracing():
        raise UnavailableError(
            "taking a snapshot: nothing is traced; call tracemalloc.start() before the code that allocates, "
            "or run that code inside `with memlab.tracing():`"
        )
    count = len(blocks)
    sizes = np.fromiter(map(itemgetter(1), blocks), np.int64, count)
    domains = np.fromiter(map(itemgetter(0), blocks), np.int64, count)
    tracebacks, of_block = _distinct([b[2] for b in blocks] if not private else blocks, private)
    if own_excluded:
        kept = ~_own_among(tracebacks)[of_block]
        sizes, domains, of_block = sizes[kept], domains[kept], of_block[kept]
    traceback, domain, size, number = _rows(of_block, domains, sizes, np.ones(len(sizes), np.int64))
    used, traceback = np.unique(traceback, return_inverse=True)
    return RawTraces(
        ints(traceback),
        ints(domain),
        ints(size),
        ints(number),
        tuple(tracebacks[i] for i in used.tolist()),
        depth,
        "table" if private else "public",
    )


def grown(traces: Sequence[RawTraces]) -> list[tuple[Frames, list[int], list[int]]]:
    """Return the tracebacks whose bytes rose from each reading to the next, greatest growth first.

    Returns:
        For each: its frames, its bytes and its blocks in each reading. Tracebacks are joined by content.
    """
    totals = [t.totals() for t in traces]
    if not totals:
        return []
    found = []
    for frames in totals[-1]:
        pairs = [t.get(frames, (0, 0)) for t in totals]
        sizes = [size for size, _ in pairs]
        if all(a < b for a, b in itertools.pairwise(sizes)):
            found.append((frames, sizes, [blocks for _, blocks in pairs]))
    found.sort(key=lambda f: (f[1][0] - f[1][-1], f[0]))
    return found


def site_of(obj: object) -> Frames | None:
    """Return where a live object was allocated, most recent call first; None when it was not traced."""
    traceback = tracemalloc.get_object_traceback(obj)
    if traceback is not None:
        return tuple((frame.filename, frame.lineno) for frame in reversed(traceback))
    if sys.version_info < (3, 12) and tracemalloc.is_tracing():
        return _site_before_header(obj)
    return None


def to_snapshot(
    raw: RawTraces,
    labels: PathLabels,
    label: str = "",
    depth: int | None = None,
    notes: tuple[str, ...] = (),
) -> Snapshot:
    """Label the files and make a Snapshot: rows, tracebacks and frames merged by labelled content.

    Args:
        raw: what was read.
        labels: names files.
        label: the user's name for the snapshot.
        depth: frames kept of each traceback, the most recent ones. None: all.
        notes: what a reader must know.
    """
    tracebacks = raw.tracebacks if depth is None else tuple(t[:depth] for t in raw.tracebacks)
    flat = list(itertools.chain.from_iterable(tracebacks))
    lines = np.fromiter(map(itemgetter(1), flat), np.int64, len(flat))
    files, own_files, file_of = _label_files([f[0] for f in flat], labels)
    codes, frame_of = np.unique((file_of << _LINE_BITS) | lines, return_inverse=True)
    lengths = np.fromiter(map(len, tracebacks), np.int64, len(tracebacks))
    distinct, of_traceback = merge_equal(frame_of, lengths)
    frame_of, lengths = take_rows(frame_of, lengths, distinct)
    traceback, domain, size, blocks = _rows(
        of_traceback[raw.traceback], raw.domain, raw.size_bytes, raw.blocks
    )
    order = np.lexsort((traceback, -blocks, -size))
    return Snapshot(
        traceback=ints(traceback[order]),
        domain=ints(domain[order]),
        size_bytes=ints(size[order]),
        blocks=ints(blocks[order]),
        starts=ints(np.concatenate([[0], lengths.cumsum()])),
        frame_of=ints(frame_of),
        frame_file=ints(codes >> _LINE_BITS),
        frame_line=ints(codes & ((1 << _LINE_BITS) - 1)),
        files=files,
        own_files=own_files,
        engine="tracemalloc",
        depth=raw.depth if depth is None else min(depth, raw.depth),
        label=label,
        notes=notes,
    )


def _site_before_header(obj: object) -> Frames | None:
    """Ask again, at the true start of the object's block: Python 3.11 looks for it at the wrong address.

    An instance whose attributes the interpreter manages has two pointers before the collector's header
    there, which ``get_object_traceback`` of 3.11 does not count: it finds no instance of a plain class.
    """
    if not type.__dict__["__flags__"].__get__(type(obj)) & _MANAGED_DICT:
        return None
    lookup = getattr(ctypes.pythonapi, "_PyTraceMalloc_GetTraceback", None)
    if lookup is None:
        return None
    lookup.restype, lookup.argtypes = ctypes.py_object, [ctypes.c_uint, ctypes.c_size_t]
    pointers = 4 * ctypes.sizeof(ctypes.c_void_p)
    found: Frames | None = lookup(0, id(obj) - pointers)
    return found


_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT


# -- reading


def _private_table() -> Callable[[], Any] | None:
    try:
        from _tracemalloc import _get_traces
    except ImportError:
        return None
    return _get_traces if sys.implementation.name == "cpython" else None


def _live_blocks(table: Callable[[], Any] | None, depth: int) -> tuple[bool, list[_Block]]:
    """Return whether the private table was used, and the blocks."""
    if table is not None:
        blocks = _without_collector(table)
        if _reads_as_public(blocks, depth):
            return True, blocks
    if not tracemalloc.is_tracing():
        return False, []
    snapshot = _without_collector(tracemalloc.take_snapshot)
    return False, [
        (t.domain, t.size, tuple((f.filename, f.lineno) for f in reversed(t.traceback)), 0)
        for t in snapshot.traces
    ]


def _without_collector(call: Callable[[], Any]) -> Any:
    """Make a million tuples without a collection every 700 of them. The collector is left as it was."""
    enabled = gc.isenabled()
    try:
        try:
            gc.disable()
            return call()
        finally:
            if enabled:
                gc.enable()
    except BaseException:
        # An interrupt may have struck inside the inner ``finally``.
        if enabled:
            gc.enable()
        raise


def _reads_as_public(blocks: Any, depth: int) -> bool:
    """Compare some entries of the private table with what the documented classes make of them."""
    try:
        some = blocks[:: max(1, len(blocks) // _CHECKED)]
        for block, trace in zip(some, tracemalloc.Snapshot(some, depth).traces, strict=True):
            frames = tuple((f.filename, f.lineno) for f in reversed(trace.traceback))
            if (trace.domain, trace.size, frames) != block[:3] or not _is_block(block):
                return False
    except (AttributeError, IndexError, TypeError, ValueError):
        return False
    return True


def _is_block(block: Any) -> bool:
    domain, size, frames, _ = block
    return (
        type(domain) is type(size) is int
        and bool(frames)
        and all(type(name) is str and type(line) is int for name, line in frames)
    )


def _distinct(blocks: list[Any], by_address: bool) -> tuple[list[Frames], Ints]:
    """Return the distinct tracebacks, and for each block the index of its own."""
    if not by_address:
        return _by_content(blocks)
    frames = np.fromiter(map(itemgetter(2), blocks), np.object_, len(blocks))
    first, identity = _by_address(frames)
    tracebacks, of_identity = _by_content(frames[first].tolist())
    return tracebacks, of_identity[identity]


def _by_address(objects: npt.NDArray[np.object_]) -> tuple[Ints, Ints]:
    """Group objects by identity: index of the first of each group, and the group of each object."""
    if not len(objects):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    addresses = np.ndarray(objects.shape, np.intp, buffer=objects)
    _, first, group = np.unique(addresses, return_index=True, return_inverse=True)
    return first, group


def _by_content(tracebacks: Sequence[Frames]) -> tuple[list[Frames], Ints]:
    index: dict[Frames, int] = {}
    of = np.fromiter((index.setdefault(t, len(index)) for t in tracebacks), np.int64, len(tracebacks))
    return list(index), of


def _own_among(tracebacks: list[Frames]) -> npt.NDArray[np.bool_]:
    """Tell for each traceback whether memlab's line allocates, itself or through numpy or generated code."""
    kinds: dict[str, str] = {}
    own = np.zeros(len(tracebacks), np.bool_)
    for number, frames in enumerate(tracebacks):
        for depth, (name, _) in enumerate(frames):
            kind = kinds.get(name)
            if kind is None:
                kind = kinds[name] = _kind(name)
            if kind == "helper":
                continue
            # Below a helper the lab is no sign: it calls what is measured, and that may be numpy.
            own[number] = kind == "own" or (kind == "lab" and depth == 0)
            break
    return own


def _kind(filename: str) -> str:
    if filename.startswith(_OWN):
        rest = filename[len(_OWN) :]
        return "other" if rest.startswith("testing") else "lab" if rest.startswith("lab") else "own"
    if filename == tracemalloc.__file__:
        return "own"
    return "helper" if filename.startswith(_HELPERS) else "other"


_OWN = OWN_FOLDER + os.sep
_HELPERS = ("<string>", "<frozen ", os.path.dirname(np.__file__) + os.sep)  # noqa: PTH120


# -- grouping


def _sums(groups: Ints, values: Ints, count: int) -> Ints:
    total = np.zeros(count, np.int64)
    np.add.at(total, groups, values)
    return total


def _rows(traceback: Ints, domain: Ints, sizes: Ints, blocks: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Sum by traceback and domain."""
    domains, of_domain = np.unique(domain, return_inverse=True)
    width = max(1, len(domains))
    keys, row = np.unique(traceback * width + of_domain, return_inverse=True)
    domain_of_row = domains[keys % width] if len(keys) else keys
    return keys // width, domain_of_row, _sums(row, sizes, len(keys)), _sums(row, blocks, len(keys))


def _label_files(names: list[str], labels: PathLabels) -> tuple[tuple[str, ...], tuple[int, ...], Ints]:
    """Return the file table, the indexes of the user's own files, and the file of each name."""
    first, group = _by_address(np.fromiter(names, np.object_, len(names)))
    distinct = [names[i] for i in first.tolist()]
    labelled = [labels.label(name) for name in distinct]
    table = tuple(sorted(set(labelled)))
    index = {label: i for i, label in enumerate(table)}
    file_of = np.fromiter((index[label] for label in labelled), np.int64, len(labelled))
    own = {index[label] for label, name in zip(labelled, distinct, strict=True) if labels.is_own(name)}
    return table, tuple(sorted(own)), file_of[group] if len(names) else file_of
