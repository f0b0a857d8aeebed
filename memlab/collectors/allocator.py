"""What the C library's allocator keeps free: memory that a program can take again unseen by RSS."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LITTLE_BYTES", "allocator_cache", "malloc_in_use", "malloc_state", "unseen"]

LITTLE_BYTES = 1024 * 1024
"""A rise below this is told with what RSS cannot show."""

_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


def allocator_cache() -> int | None:
    """Return the free bytes in the C library's arenas, at most so many of them resident; None where unknown.

    glibc 2.33 and later (``mallinfo2``). Not in it: free room in the arenas of Python's own small-object
    allocator.
    """
    info = _mallinfo()
    if info is None:
        return None
    return int(info().fordblks)


def malloc_state() -> tuple[int, int] | None:
    """Return the bytes that malloc has handed out, and those that it holds free; None where unknown.

    glibc 2.33 and later (``mallinfo2``). Handed out counts what each thread's own cache holds free, some
    kilobytes; Python's arenas, which are mapped, are not in it.
    """
    info = _mallinfo()
    if info is None:
        return None
    found = info()
    return int(found.uordblks) + int(found.hblkhd), int(found.fordblks)


def malloc_in_use() -> int | None:
    """Return the bytes that malloc has handed out; None where unknown."""
    state = malloc_state()
    return None if state is None else state[0]


def unseen(cached: int | None) -> str:
    """Say what a rise of next to nothing may hide.

    >>> unseen(None).startswith("RSS rose by less than 1.00 MiB")
    True
    """
    kept = f" (the C library holds {format_bytes(cached)} free)" if cached is not None else ""
    return (
        f"RSS rose by less than {format_bytes(LITTLE_BYTES)}: memory that was taken again from what the"
        f" allocators keep free{kept}, or that was never touched, is not in it"
    )


@lru_cache(maxsize=1)
def _mallinfo() -> Callable[[], Any] | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    fields = [(name, ctypes.c_size_t) for name in _FIELDS]
    try:
        function = ctypes.CDLL(None).mallinfo2
        function.restype = type("mallinfo2", (ctypes.Structure,), {"_fields_": fields})
        function.argtypes = []
    except (OSError, AttributeError):  # another C library
        return None
    found: Callable[[], Any] = function
    return found
