"""Take the resident memory apart: the kernel's mappings, Python's arenas, the C library's heap.

The mappings (``/proc/self/smaps``) split RSS exactly into files, shared memory and anonymous pages. The
anonymous pages are then laid to who took them, by each allocator's own books: Python's small-object
allocator writes its statistics into a stream in memory (an interpreter's private function, found in 3.11 to
3.13; where it is missing the part is absent), glibc tells by ``mallinfo2``. Books know what was taken and
not what is resident: where they say more than there is, what is kept free is cut first, since free memory is
what is given back or was never touched. What no book claims is unexplained: thread stacks, and what
extensions map by themselves.
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import TYPE_CHECKING, Any

from memlab.collectors.allocator import malloc_state
from memlab.collectors.probe import Probe, ProcFiles
from memlab.records.where import MemoryPart, WhereStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.collectors.probe import Files

__all__ = ["PARTS", "arena_books", "read_stage", "trim"]

LIVE, ARENAS_FREE = "live Python objects", "arenas, free"
IN_USE, MALLOC_FREE = "malloc, in use", "malloc, free"
FILES, DATA, SHARED, REST = "mapped files", "data of libraries", "shared memory", "unexplained"
PARTS = (LIVE, ARENAS_FREE, IN_USE, MALLOC_FREE, FILES, DATA, SHARED, REST)

_KIB = 1024
_SHARED = ("/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "/[aio]")  # noqa: S108 - names that the kernel shows
_HEAD = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ (\d+) *(.*)$")
_ALLOCATED = re.compile(rb"# bytes in allocated blocks += +([\d,]+)")
_ARENAS = re.compile(rb"arenas \* \d+ bytes/arena += +([\d,]+)")


def read_stage(
    label: str,
    files: Files | None = None,
    arenas: Callable[[], tuple[int, int] | None] | None = None,
    malloc: Callable[[], tuple[int, int] | None] | None = None,
) -> WhereStage:
    """Return the parts of the resident memory now.

    Args:
        label: name of the moment.
        files: the process's files. Default: ``/proc/self``.
        arenas: returns live and all bytes of Python's arenas. Default: the interpreter's own books.
        malloc: returns bytes in use and free of the C library. Default: glibc's books.
    """
    live = (arenas or arena_books)()
    heap = (malloc or malloc_state)()
    try:
        kinds = _mappings((files or ProcFiles()).read("smaps"))
    except (OSError, ValueError):
        return _without_mappings(label, live, heap)
    anonymous = kinds["anonymous"]
    claims = {
        IN_USE: heap[0] if heap else 0,
        LIVE: live[0] if live else 0,
        ARENAS_FREE: max(0, live[1] - live[0]) if live else 0,
        MALLOC_FREE: heap[1] if heap else 0,
    }
    over = sum(claims.values()) - anonymous
    for name in (MALLOC_FREE, ARENAS_FREE, IN_USE, LIVE):
        cut = min(max(over, 0), claims[name])
        claims[name] -= cut
        over -= cut
    parts = (
        *_claimed(claims, live, heap),
        MemoryPart(FILES, kinds["file"], "smaps"),
        MemoryPart(DATA, kinds["data"], "smaps: changed pages of mapped files"),
        MemoryPart(SHARED, kinds["shared"], "smaps"),
        MemoryPart(REST, anonymous - sum(claims.values()), "smaps, less the parts above"),
    )
    return WhereStage(label, sum(kinds.values()), parts)


def arena_books() -> tuple[int, int] | None:
    """Return live bytes and all bytes of the arenas of Python's small-object allocator; None where unknown.

    Live are the blocks that are given out: objects of at most 512 bytes, and parts of greater ones.
    """
    text = _arena_text()
    live, total = _ALLOCATED.search(text), _ARENAS.search(text)
    if live is None or total is None:
        return None
    return _number(live), _number(total)


def trim() -> bool:
    """Ask the C library to give free memory back; tell whether it could be asked."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    except (OSError, AttributeError):  # another C library
        return False
    return True


def _claimed(
    claims: dict[str, int], live: tuple[int, int] | None, heap: tuple[int, int] | None
) -> tuple[MemoryPart, ...]:
    no_arenas = "the interpreter does not tell its arenas (another allocator, or PYTHONMALLOC)"
    no_heap = "the C library does not tell (mallinfo2 is glibc 2.33's and later)"
    found = []
    for name, known, source, reason in (
        (LIVE, live, "pymalloc's statistics", no_arenas),
        (ARENAS_FREE, live, "pymalloc's statistics, at most", no_arenas),
        (IN_USE, heap, "mallinfo2, at most", no_heap),
        (MALLOC_FREE, heap, "mallinfo2, at most", no_heap),
    ):
        size = claims[name] if known is not None else None
        found.append(MemoryPart(name, size, source if known else "", "" if known else reason))
    return tuple(found)


def _without_mappings(label: str, live: tuple[int, int] | None, heap: tuple[int, int] | None) -> WhereStage:
    """Return what is known where the kernel does not list its mappings: the allocators' own books."""
    with Probe() as probe:
        rss = probe.value("rss_bytes")
    claims = {
        LIVE: live[0] if live else 0,
        ARENAS_FREE: live[1] - live[0] if live else 0,
        IN_USE: heap[0] if heap else 0,
        MALLOC_FREE: heap[1] if heap else 0,
    }
    why = "this platform does not list the mappings of a process with their resident size"
    rest = tuple(MemoryPart(name, None, "", why) for name in (FILES, DATA, SHARED, REST))
    return WhereStage(label, rss, (*_claimed(claims, live, heap), *rest))


def _mappings(smaps: bytes) -> dict[str, int]:
    """Return resident bytes by kind of mapping."""
    kinds = {"anonymous": 0, "file": 0, "data": 0, "shared": 0}
    kind, resident = "", 0
    for line in smaps.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            kind = _kind(head.group(1), head.group(3).decode("utf-8", "replace"))
        elif line.startswith(b"Rss:"):
            resident = int(line.split()[1]) * _KIB
            kinds[kind] += resident
        elif line.startswith(b"Anonymous:") and kind == "file":
            changed = int(line.split()[1]) * _KIB
            kinds["file"] -= changed
            kinds["data"] += changed
    if not kind:
        raise ValueError("no mappings")
    return kinds


def _kind(mode: bytes, name: str) -> str:
    if mode.endswith(b"s") or name.startswith(_SHARED):
        return "shared"
    return "file" if name.startswith("/") else "anonymous"


def _number(match: re.Match[bytes]) -> int:
    return int(match.group(1).replace(b",", b""))


def _arena_text() -> bytes:
    """Return the statistics of Python's allocator, written into memory by the interpreter itself."""
    write: Any = getattr(ctypes.pythonapi, "_PyObject_DebugMallocStats", None)
    if write is None or not sys.platform.startswith("linux"):
        return b""
    library = ctypes.CDLL(None)
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.open_memstream.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(library.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    if not stream:
        return b""
    try:
        write.argtypes = [ctypes.c_void_p]
        write(stream)
    finally:
        library.fclose(stream)
    found = ctypes.string_at(text.value, size.value) if text.value else b""
    library.free(text)
    return found
