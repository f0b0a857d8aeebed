"""Memory that is there for its weight alone: mapped blocks, each page of them touched.

Blocks come from ``mmap``, not from the heap: malloc keeps freed blocks of up to 32 MiB, and then a release
would not show in the process's memory. Only the standard library is imported; a caged child uses this.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PAGE", "Ballast", "map_private", "map_touched", "touch"]

PAGE = mmap.PAGESIZE


def map_private(size: int) -> mmap.mmap:
    """Map memory that is this process's alone, and counts as such; Python's own default is shared memory.

    Raises:
        MemoryError: when the system refuses.
    """
    try:
        if hasattr(mmap, "MAP_PRIVATE"):
            return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(str(error)) from None


def touch(block: mmap.mmap, start: int, stop: int) -> None:
    """Write to every page from ``start`` (a page's edge) to ``stop``."""
    block[start:stop:PAGE] = b"\1" * len(range(start, stop, PAGE))


def map_touched(size: int, step: int, ask: Callable[[int], None]) -> mmap.mmap:
    """Map ``size`` bytes and touch them, at most ``step`` at a time; unmap them again when ``ask`` raises.

    Args:
        size: at least 1.
        step: most that is touched without asking.
        ask: called before each step with the bytes that it will touch; what it raises passes through.
    """
    step = max(PAGE, step - step % PAGE)
    block = map_private(size)
    try:
        for start in range(0, size, step):
            stop = min(start + step, size)
            ask(stop - start)
            touch(block, start, stop)
    except BaseException:
        block.close()
        raise
    return block


class Ballast:
    """A stack of touched blocks of at most ``step`` bytes, which grows and shrinks to what is asked for.

    Attributes:
        held_bytes: what stands now, a whole number of pages.
    """

    def __init__(self, step: int) -> None:
        self.step = max(PAGE, step - step % PAGE)
        self.held_bytes = 0
        self._blocks: list[mmap.mmap] = []

    def grow(self, most: int) -> int:
        """Add one block of at most ``most`` bytes and of at most one step; return its size.

        Raises:
            MemoryError: when the system refuses; nothing was added.
        """
        size = min(self.step, most - most % PAGE)
        if size <= 0:
            return 0
        block = map_private(size)
        touch(block, 0, size)
        self._blocks.append(block)
        self.held_bytes += size
        return size

    def shrink_to(self, target: int) -> None:
        """Let blocks go, the newest first, until at most ``target`` bytes stand."""
        while self._blocks and self.held_bytes > target:
            block = self._blocks.pop()
            self.held_bytes -= len(block)
            block.close()
