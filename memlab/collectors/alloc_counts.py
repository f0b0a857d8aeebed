"""How many blocks Python's allocators handed out during a call: exact, and the same on every machine.

The counters are in C (``_native/alloccount.c``), a layer over the allocators while someone counts. Where it
could not be built, as on a free-threaded Python, there is no figure, and the reason is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    from memlab._native import alloccount

    native: Any = alloccount
except ImportError:  # no compiler when memlab was installed, or a free-threaded Python
    native = None

__all__ = ["ABSENT", "AllocationCount", "counting_allocations", "native"]

ABSENT = "memlab's C extension was not built here, so allocations are not counted"
_one = threading.Lock()


@dataclasses.dataclass(slots=True)
class AllocationCount:
    """What was handed out. Both are None until the counting has ended.

    Attributes:
        blocks: calls for memory that got a block; one that changes a block's size counts as a new one.
        size_bytes: bytes that were asked for in them.
    """

    blocks: int | None = None
    size_bytes: int | None = None


@contextlib.contextmanager
def counting_allocations() -> Iterator[AllocationCount]:
    """Count the allocations of a block of code, in all threads of the process.

    Not in it: objects that a free list hands out again, memory that native code takes past Python's
    allocators (the data of arrays), and the allocators' own domain for code without the GIL.

    Raises:
        UnavailableError: where the C extension is missing, or somebody counts already.

    Example:
        >>> with counting_allocations() as count:
        ...     kept = bytearray(1_000_000)
        >>> count.blocks < 10, 1_000_000 < count.size_bytes < 1_002_000
        (True, True)
    """
    if native is None:
        raise UnavailableError(f"counting allocations: {ABSENT}")
    if not _one.acquire(blocking=False):
        raise UnavailableError("counting allocations: they are being counted already; end that first")
    try:
        count = AllocationCount()
        addresses = [_address(name) for name in ("PyMem_GetAllocator", "PyMem_SetAllocator")]
        try:
            native.begin(*addresses)
            yield count
        finally:
            count.blocks, count.size_bytes = native.end()
    finally:
        _one.release()


def _address(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
