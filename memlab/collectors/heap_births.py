"""Birth marks: which objects were made since a moment, told without comparing addresses of two captures.

A freed object's address is given to the next one of its size at once: two captures that match objects by
address and type take nearly all new objects for old ones. So the births themselves are watched.

*Python 3.13 and later*: the interpreter's reference tracer tells every birth and death, leaves and objects
from free lists included; a bit for each 16-byte slot is set and cleared (2 KiB for each 256 KiB of heap that
sees births). *3.11 and 3.12*: ``gc.freeze`` sets aside what is alive; what the collector lists afterwards is
new. It tells nothing of objects that the collector does not track: a leaf is new when all its holders are,
else unknown. Both are one for the whole process. Somebody else's tracer goes on being told (tracemalloc sets
one when it starts and leaves it there for good), and gets its place back; a window within a window freezes.
Where somebody else froze the heap, there are no marks and the reason is given.
While the heap is frozen the collector does not look at what was there before.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.collectors.census import FrozenHeap, addresses
from memlab.collectors.heap_engine import native
from memlab.records.heap_graph import BORN, BORN_UNKNOWN, IMMORTAL, TRACKED

if TYPE_CHECKING:
    from memlab.collectors.heap_engine import Raw
    from memlab.records.columns import Bytes

__all__ = ["BirthMarks"]


class BirthMarks:
    """A mark in time. Begin it, capture, end it; a mark serves one capture.

    Attributes:
        means: ``reference tracer``, ``freeze``, or empty where there are no marks.
        absent: why not.
    """

    def __init__(self) -> None:
        self.means = ""
        self.absent = ""
        self._heap: FrozenHeap | None = None
        self._fresh: Any = None
        self._traces = False

    def begin(self) -> None:
        """Mark this moment."""
        tracer = _tracer() if native is not None else None
        if tracer is not None and native.births_begin(*tracer):
            self._traces = True
            self.means = "reference tracer"
            return
        heap = FrozenHeap()
        if not heap.available:
            self.absent = "the heap is frozen already (gc.freeze)"
            return
        self._heap = heap
        heap.freeze()
        self.means = "freeze"

    def before_capture(self) -> list[Any] | None:
        """Take the list of tracked objects; None where the tracer tells births and no list is needed."""
        if self.means != "freeze" or self._heap is None:
            return None
        # The list of what is new goes before the other is made, or it would be in it.
        self._fresh = addresses(gc.get_objects())
        self._heap.thaw()
        return gc.get_objects()

    def flag(self, raw: Raw) -> Bytes:
        """Return the flags of a capture with births told; call once, after the capture."""
        if self._traces:
            if native.births_whole():
                return raw.flags  # the extension told them
            self.means = ""
            self.absent = "another reference tracer was set while the block ran"
        flags = raw.flags.copy()
        flags &= np.uint8(0xFF & ~BORN)
        if self.means != "freeze":
            return flags
        born = np.isin(raw.address, self._fresh.view(np.uint64)) & ((flags & TRACKED) != 0)
        lengths: Any = np.diff(raw.starts.astype(np.int64))
        by_new = np.repeat(born, lengths)
        old = np.bincount(raw.edges[~by_new], minlength=len(flags)) > 0
        new = np.bincount(raw.edges[by_new], minlength=len(flags)) > 0
        leaf = ((flags & (TRACKED | IMMORTAL)) == 0) & (old | new)
        flags[born | (leaf & new & ~old)] |= BORN
        flags[leaf & old] |= BORN_UNKNOWN
        return flags

    def end(self) -> None:
        """Take the mark away; does nothing when there is none."""
        if self._traces:
            self._traces = False
            native.births_end()
        elif self._heap is not None:
            self._heap.thaw()
        self.means = ""
        self._heap = self._fresh = None


def _tracer() -> tuple[int, int] | None:
    """Return the addresses of the interpreter's two functions; None before Python 3.13."""
    if sys.version_info < (3, 13):
        return None
    names = ("PyRefTracer_SetTracer", "PyRefTracer_GetTracer")
    try:
        found = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in names]
    except (AttributeError, ImportError):
        return None
    setter, getter = found
    return (setter, getter) if setter and getter else None
