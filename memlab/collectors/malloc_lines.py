"""Follow which line of Python runs, and charge it with the native memory that nobody gives back.

Two ways. Where the C extension was built (Linux), each call of malloc and free from every library is noted
with the line that ran: what is live at the end is what was lost, exactly. It sees what libraries take
through the C library's malloc; not what they map themselves, nor what an allocator of their own hands out.
Where it was
not built, or saw nothing, a meter (malloc's bytes in use, or resident memory) is read whenever the line
changes, and each line is charged with the difference: lines that free later what they took cancel only over a
whole step, so the line whose balance comes nearest to the known loss is the likeliest.

Lines are told by ``sys.settrace`` in the thread that runs the step, so a tracer of somebody else (debugger,
coverage) rules it out. It runs in a short pass of its own, after everything that is measured.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Self

    from memlab.collectors.trace_table import Frames

try:
    from memlab._native import mallocs

    native: Any = mallocs
except ImportError:  # another system, or no compiler when memlab was installed
    native = None

__all__ = ["Lines", "LiveBlocks", "MallocLines", "MeteredLines", "can_note", "native"]

_MOST_NODES = 20_000
_MOST_BLOCKS = 1 << 20


def can_note() -> bool:
    """Tell whether calls of malloc can be noted here."""
    return native is not None


@dataclasses.dataclass(frozen=True, slots=True)
class LiveBlocks:
    """Blocks that were taken during the pass and are still there: columns of one row a block.

    Attributes:
        site: number of the line, for ``Lines.frames``.
        epoch: iteration.
        size: bytes asked for.
        missed: blocks that could not be noted, since the table was full.
    """

    site: np.ndarray[Any, np.dtype[np.int64]]
    epoch: np.ndarray[Any, np.dtype[np.int64]]
    size: np.ndarray[Any, np.dtype[np.int64]]
    missed: int


class Lines:
    """Follows lines by ``sys.settrace``, and tells each change. A line with its callers is a number.

    Args:
        follow: tells by its file name whether the lines of a function are followed; what others do counts
            for the line that called them.
        switch: called with the number of the line that runs from now on, 0 for none. Must not raise.
    """

    def __init__(self, follow: Callable[[str], bool], switch: Callable[[int], object]) -> None:
        self._follow = follow
        self._switch = switch
        self._known: dict[str, bool] = {}
        self._number: dict[tuple[int, str, int], int] = {}
        self._nodes: list[tuple[int, str, int]] = [(0, "", 0)]
        self._stack = [0]
        self._on = False

    def start(self) -> None:
        """Begin.

        Raises:
            UnavailableError: when somebody else traces this thread.
        """
        if sys.gettrace() is not None:
            raise UnavailableError(
                "the line that loses native memory: somebody else (a debugger, coverage) uses sys.settrace"
            )
        self._on = True
        self._switch(0)
        sys.settrace(self._on_call)

    def stop(self) -> None:
        """End. A second call does nothing."""
        if self._on:
            self._on = False
            sys.settrace(None)
            self._switch(0)

    def frames(self, number: int) -> Frames:
        """Return a line with its callers, innermost first."""
        found = []
        while number:
            number, filename, line = self._nodes[number]
            found.append((filename, line))
        return tuple(found)

    def _on_call(self, frame: FrameType, _event: str, _arg: object) -> Any:
        filename = frame.f_code.co_filename
        follow = self._known.get(filename)
        if follow is None:
            follow = self._known[filename] = self._follow(filename)
        if not follow or not self._on or len(self._nodes) >= _MOST_NODES:
            return None
        frame.f_trace_opcodes = False
        self._stack.append(self._stack[-1])
        self._go(filename, frame.f_lineno)
        return self._on_line

    def _on_line(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self._go(frame.f_code.co_filename, frame.f_lineno)
        elif event == "return" and len(self._stack) > 1:
            self._stack.pop()
            self._switch(self._stack[-1])
        return self._on_line

    def _go(self, filename: str, line: int) -> None:
        stack = self._stack
        key = (stack[-2] if len(stack) > 1 else 0, filename, line)
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._nodes)
            self._nodes.append(key)
        stack[-1] = number
        self._switch(number)


class MallocLines:
    """Lines, and the blocks that each took from malloc and nobody gave back. To be used in ``with``.

    Args:
        follow: see ``Lines``.
    """

    def __init__(self, follow: Callable[[str], bool]) -> None:
        if native is None:
            raise UnavailableError("noting calls of malloc: the C extension for it is not there")
        self._native = native
        self.lines = Lines(follow, native.site)

    def __enter__(self) -> Self:
        try:
            self._native.begin(_MOST_BLOCKS)
            self.lines.start()
        except RuntimeError as error:  # another hunt, in another thread
            raise UnavailableError(f"noting calls of malloc: {error}") from None
        except BaseException:
            self._native.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.lines.stop()
        finally:
            self._native.end()

    def epoch(self, number: int) -> None:
        """Say which iteration runs from now on."""
        self._native.epoch(number)

    def live(self) -> LiveBlocks:
        """Return the blocks that are live now."""
        raw, missed = self._native.live()
        rows = np.frombuffer(raw, dtype=np.int64).reshape(-1, 3)
        return LiveBlocks(rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy(), missed)


class MeteredLines:
    """Lines, and by how much a meter rose or fell while each ran. To be used in ``with``.

    Args:
        follow: see ``Lines``.
        read: the meter, in bytes; must not raise.
    """

    def __init__(self, follow: Callable[[str], bool], read: Callable[[], int]) -> None:
        self._read = read
        self._now = 0
        self._last = 0
        self.rose: dict[int, int] = {}
        self.lines = Lines(follow, self._switch)

    def __enter__(self) -> Self:
        self._last = self._read()
        self.lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.stop()

    def _switch(self, number: int) -> None:
        value = self._read()
        if value != self._last:
            self.rose[self._now] = self.rose.get(self._now, 0) + value - self._last
            self._last = value
        self._now = number
