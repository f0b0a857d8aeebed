"""What the C library's allocator keeps free for itself: memory that a program can take again unseen by RSS."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["allocator_cache"]

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
