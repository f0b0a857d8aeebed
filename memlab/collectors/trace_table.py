"""Live traces by traceback: raw, for those who follow sites over time in full file names.

Made of the columns that ``trace_blocks`` reads. A snapshot, with labels instead of file names, is made by
``snapshot_maker``.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.grouping import group_keys, pack_keys, sums
from memlab.collectors.trace_blocks import Frames, read_columns
from memlab.records.columns import ints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.records.columns import Ints

__all__ = ["Frames", "RawTraces", "grown", "read_traces", "site_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class RawTraces:
    """Live traced memory, a row for each traceback and domain. File names are not labelled.

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
        sizes = sums(self.traceback, self.size_bytes, len(self.tracebacks)).tolist()
        blocks = sums(self.traceback, self.blocks, len(self.tracebacks)).tolist()
        return dict(zip(self.tracebacks, zip(sizes, blocks, strict=True), strict=True))


def read_traces(own_excluded: bool = True, table: Callable[[], Any] | None = None) -> RawTraces:
    """Read all live traces.

    Args:
        own_excluded: leave out blocks that memlab's own lines allocated.
        table: returns the interpreter's private table. Default: tracemalloc's.

    Raises:
        UnavailableError: when nothing is traced.
    """
    read = read_columns(own_excluded, table)
    used, place = np.unique(read.traceback, return_inverse=True)
    index: dict[Frames, int] = {}
    merged = [index.setdefault(read.tracebacks[i], len(index)) for i in used.tolist()]
    traceback = np.array(merged, np.int64)[place] if len(used) else read.traceback
    one, row = group_keys(pack_keys(traceback, read.domain))
    return RawTraces(
        traceback=ints(traceback[one]),
        domain=ints(read.domain[one]),
        size_bytes=ints(sums(row, read.size * read.count, len(one))),
        blocks=ints(sums(row, read.count, len(one))),
        tracebacks=tuple(index),
        depth=read.depth,
        source=read.source,
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
    frames: Frames | None = _frames_of(obj)
    if frames is not None:
        return frames
    if sys.version_info < (3, 12) and tracemalloc.is_tracing():
        return _site_before_header(obj)
    return None


def _public_frames_of(obj: object) -> Frames | None:
    traceback = tracemalloc.get_object_traceback(obj)
    if traceback is None:
        return None
    return tuple((frame.filename, frame.lineno) for frame in reversed(traceback))


# What the public function wraps: an object for each frame, made while every allocation is traced, is most of
# the time that thousands of questions take.
_frames_of: Callable[[object], Frames | None] = getattr(
    sys.modules.get("_tracemalloc"), "_get_object_traceback", _public_frames_of
)


def _site_before_header(obj: object) -> Frames | None:
    """Ask again, at the true start of the object's block: Python 3.11 looks for it at the wrong address.

    An instance whose attributes the interpreter manages has two pointers before the collector's header
    there, which ``get_object_traceback`` of 3.11 does not count: it finds no instance of a plain class.
    """
    if not type.__dict__["__flags__"].__get__(type(obj)) & _MANAGED_DICT:
        return None
    lookup = _lookup()
    found: Frames | None = lookup(0, id(obj) - _BEFORE) if lookup is not None else None
    return found


@functools.cache
def _lookup() -> Callable[[int, int], Frames | None] | None:
    lookup = getattr(ctypes.pythonapi, "_PyTraceMalloc_GetTraceback", None)
    if lookup is not None:
        lookup.restype, lookup.argtypes = ctypes.py_object, [ctypes.c_uint, ctypes.c_size_t]
    return lookup


_BEFORE = 4 * ctypes.sizeof(ctypes.c_void_p)
_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT
