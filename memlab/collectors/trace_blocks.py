"""tracemalloc's own table of live blocks, as columns.

The interpreter hands out one tuple a block: domain, size, frames, number of frames. Tuples of frames are
shared by identity, so blocks are grouped by the address of theirs, which an array of objects holds in its
own buffer; making a Python int for each (``map(id, ...)``) would cost more than all the rest, as every such
int is traced in its turn. For the same reason nothing here loops over blocks, or over frames, in Python:
``map`` with ``itemgetter`` hands out what exists already. Equal tracebacks may have several identities;
whoever needs them distinct merges them by content. The private table is used after its entries were
compared with the public ones; otherwise the public, slow way.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import os
import sys
import tracemalloc
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from memlab._base.grouping import group_keys, pack_keys
from memlab._base.paths import OWN_FOLDER
from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from memlab.records.columns import Ints

__all__ = [
    "Frames",
    "TraceColumns",
    "by_address",
    "columns_of",
    "own_among",
    "read_columns",
    "without_collector",
]

Frames = tuple[tuple[str, int], ...]
"""File name as the code object has it, and line; most recent call first."""

_Answer = TypeVar("_Answer")
_CHECKED = 16
_OTHER, _OWN_CODE, _LAB, _HELPER = range(4)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TraceColumns:
    """Live traced memory, a row for each traceback, domain and size of a block.

    Attributes:
        traceback: row -> index into ``tracebacks``.
        domain, size, count: how many blocks of which size.
        tracebacks: by identity; some may be equal.
        lengths: number of frames of each, shape ``(tracebacks,)``.
        total_frames: number of frames before tracemalloc cut them.
        name_of, line_of: file name and line of each frame, tracebacks end to end, most recent call first.
        names: file names as code objects have them.
        depth: greatest number of frames that tracemalloc keeps.
        source: ``table`` (tracemalloc's own) or ``public``.
    """

    traceback: Ints
    domain: Ints
    size: Ints
    count: Ints
    tracebacks: npt.NDArray[np.object_]
    lengths: Ints
    total_frames: Ints
    name_of: Ints
    line_of: Ints
    names: tuple[str, ...]
    depth: int
    source: str


def read_columns(own_excluded: bool = True, table: Callable[[], Any] | None = None) -> TraceColumns:
    """Read all live traces.

    Args:
        own_excluded: leave out blocks that memlab's own lines allocated.
        table: returns the interpreter's private table. Default: tracemalloc's.

    Raises:
        UnavailableError: when nothing is traced.
    """
    return without_collector(lambda: _read(own_excluded, table))


def _read(own_excluded: bool, table: Callable[[], Any] | None) -> TraceColumns:
    depth = tracemalloc.get_traceback_limit()
    private, blocks = _live_blocks(table or _private_table(), depth)
    if not tracemalloc.is_tracing():
        raise UnavailableError(
            "taking a snapshot: nothing is traced; call tracemalloc.start() before the code that allocates, "
            "or run that code inside `with memlab.tracing():`"
        )
    return columns_of(blocks, depth, "table" if private else "public", own_excluded)


def columns_of(blocks: Sequence[Any], depth: int, source: str, own_excluded: bool) -> TraceColumns:
    """Turn blocks, as tracemalloc's table has them, into columns."""
    number = len(blocks)
    size = np.fromiter(map(itemgetter(1), blocks), np.int64, number)
    domain = np.fromiter(map(itemgetter(0), blocks), np.int64, number)
    stacks = np.fromiter(map(itemgetter(2), blocks), np.object_, number)
    one, traceback = by_address(stacks)
    tracebacks, total = stacks[one], _total_frames(blocks, one)
    del blocks, stacks
    row, of_block = group_keys(pack_keys(traceback, domain, size))
    count = np.bincount(of_block, minlength=len(row)).astype(np.int64)
    lengths, name_of, line_of, names = _flat(tracebacks)
    if own_excluded:
        own = own_among(lengths, name_of, names)
        kept = ~own[traceback[row]]
        row, count = row[kept], count[kept]
    return TraceColumns(
        traceback=traceback[row],
        domain=domain[row],
        size=size[row],
        count=count,
        tracebacks=tracebacks,
        lengths=lengths,
        total_frames=np.maximum(total, lengths),
        name_of=name_of,
        line_of=line_of,
        names=names,
        depth=depth,
        source=source,
    )


def without_collector(call: Callable[[], _Answer]) -> _Answer:
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


def by_address(objects: npt.NDArray[np.object_]) -> tuple[Ints, Ints]:
    """Group objects by identity: index of one of each group, and the group of each object."""
    return group_keys(np.ndarray(objects.shape, np.int64, buffer=objects) if len(objects) else _none())


def _none() -> Ints:
    return np.zeros(0, np.int64)


# -- reading


def _private_table() -> Callable[[], Any] | None:
    if sys.implementation.name != "cpython":
        return None
    try:
        from _tracemalloc import _get_traces
    except ImportError:
        return None
    return _get_traces


def _live_blocks(table: Callable[[], Any] | None, depth: int) -> tuple[bool, Sequence[Any]]:
    """Return whether the private table was used, and the blocks."""
    if table is not None:
        blocks = table()
        if _reads_as_public(blocks, depth):
            return True, blocks
    if not tracemalloc.is_tracing():
        return False, []
    snapshot = tracemalloc.take_snapshot()
    shared: dict[Frames, Frames] = {}
    found = []
    for trace in snapshot.traces:
        frames = tuple((f.filename, f.lineno) for f in reversed(trace.traceback))
        total = getattr(trace.traceback, "total_nframe", None) or 0
        found.append((trace.domain, trace.size, shared.setdefault(frames, frames), total))
    return False, found


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


# -- frames


def _total_frames(blocks: Sequence[Any], one: Ints) -> Ints:
    """Return how many frames each traceback had before it was cut, asked of one block of each."""
    chosen = np.zeros(len(blocks), np.uint8)
    chosen[one] = 1
    # The bytes 0 and 1 are ints that exist; the blocks come in their order in the table.
    picked = itertools.compress(blocks, chosen.tobytes())
    total = np.fromiter(map(itemgetter(3), picked), np.int64, len(one))
    in_order = np.empty(len(one), np.int64)
    in_order[np.argsort(one, kind="stable")] = total
    return in_order


def _flat(tracebacks: npt.NDArray[np.object_]) -> tuple[Ints, Ints, Ints, tuple[str, ...]]:
    """Return the lengths of tracebacks, and name, line of every frame end to end; and the names."""
    lengths = np.fromiter(map(len, tracebacks), np.int64, len(tracebacks))
    starts = lengths.cumsum() - lengths
    total = int(lengths.sum())
    frames = np.empty(total, np.object_)
    # Frame by frame through all tracebacks: an iterator over each would be one more traced object each.
    longest = np.argsort(-lengths, kind="stable")
    ordered = tracebacks[longest]
    ascending = np.sort(lengths)
    for depth in range(int(lengths.max(initial=0))):
        having = len(lengths) - int(np.searchsorted(ascending, depth, side="right"))
        ordered = ordered[:having]
        frames[starts[longest[:having]] + depth] = np.fromiter(
            map(itemgetter(depth), ordered), np.object_, having
        )
    line_of = np.fromiter(map(itemgetter(1), frames), np.int64, total)
    every = np.fromiter(map(itemgetter(0), frames), np.object_, total)
    # A name may have several identities: one for each module that was compiled anew.
    one, identity = by_address(every)
    index: dict[str, int] = {}
    named = [index.setdefault(name, len(index)) for name in every[one].tolist()]
    return lengths, np.array(named, np.int64)[identity] if total else _none(), line_of, tuple(index)


def own_among(lengths: Ints, name_of: Ints, names: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Tell for each traceback whether memlab's line allocates, itself or through numpy or generated code."""
    kinds = np.array([_kind(name) for name in names], np.int64)
    starts = lengths.cumsum() - lengths
    own = np.zeros(len(lengths), np.bool_)
    undecided = np.arange(len(lengths))
    depth = 0
    while len(undecided):
        kind = kinds[name_of[starts[undecided] + depth]]
        # Below a helper the lab is no sign: it calls what is measured, and that may be numpy.
        own[undecided] = (kind == _OWN_CODE) | ((kind == _LAB) & (depth == 0))
        depth += 1
        undecided = undecided[(kind == _HELPER) & (lengths[undecided] > depth)]
    return own


def _kind(filename: str) -> int:
    if filename.startswith(_OWN):
        rest = filename[len(_OWN) :]
        return _OTHER if rest.startswith("testing") else _LAB if rest.startswith("lab") else _OWN_CODE
    if filename == tracemalloc.__file__:
        return _OWN_CODE
    if filename.startswith(_STANDARD):
        return _OTHER if any(folder in filename for folder in _INSTALLED) else _HELPER
    return _HELPER if filename.startswith(_HELPERS) else _OTHER


_OWN = OWN_FOLDER + os.sep
_HELPERS = ("<string>", "<frozen ", os.path.dirname(np.__file__) + os.sep)  # noqa: PTH120
_STANDARD = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
