"""memray as an optional tracer of this process: one run at a time, begun and ended here.

What memray cannot share is asked before it starts, so that nothing of the program's is replaced unseen: it
admits one tracker a process, and it takes the place of a profile function. How many frames lie outside of
the run is counted here; memray counts from whoever calls it, and that is memlab.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab._base.paths import OWN_FOLDER
from memlab.collectors.memray_files import ReadingLimits, check_installed, merge_processes, read_memray
from memlab.errors import CaptureError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from memlab.collectors.memray_files import NativeColumns

__all__ = ["MemrayRun", "depth_of", "frames_outside", "refuse_existing"]

_WHAT = "tracing natively"
_BESIDE = "tracemalloc ran too: what its own tables took is in these figures, and both cost time"
_MOST_CHILDREN = 64
_THEIRS = (
    f"{_WHAT}: memray traces this process already (memray run, its magic, or a Tracker), and it admits one "
    "tracker a process: end that one, or open its file with memlab.import_memray()"
)


class MemrayRun:
    """One capture of memray's: started, stopped, read.

    Args:
        path: where memray writes; a forked child writes beside it, with its number at the end.
        frames: record C frames too.
        objects: record every block of Python's own allocators; without it objects of up to 512 bytes are
            inside the arenas that hold them.
        aggregated: let memray add up while it records: a small file, without temporary allocations.
        children: follow forked children.
        memray: the module. Default: what is installed.

    Attributes:
        notes: what a reader must know.
    """

    def __init__(
        self,
        path: str,
        *,
        frames: bool = True,
        objects: bool = False,
        aggregated: bool = False,
        children: bool = True,
        memray: Any = None,
    ) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._options = {
            "native_traces": frames,
            "trace_python_allocators": objects,
            "follow_fork": children,
        }
        self._aggregated = aggregated
        self._memray = memray
        self._tracker: Any = None
        self._pid = os.getpid()
        self._outside = 0

    def start(self, outside: int) -> None:
        """Begin.

        Args:
            outside: how many of this thread's outermost frames lie outside of what is traced.

        Raises:
            UnavailableError: where memray cannot run, or cannot share the process; MissingExtraError when it
                is not installed.
            UsageError: when the file is there already.
        """
        memray = self._memray or _memray()
        _check_free()
        self._outside = outside
        try:
            tracker = memray.Tracker(
                destination=memray.FileDestination(self.path),
                file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS
                if self._aggregated
                else memray.FileFormat.ALL_ALLOCATIONS,
                **self._options,
            )
        except OSError as error:
            raise UnavailableError(
                f"{_WHAT}: memray cannot write its capture ({error.strerror or 'I/O error'}): pass path= to "
                "a file in a folder with room"
            ) from None
        traced = tracemalloc.is_tracing()
        _active.append(self)
        try:
            self._tracker = tracker
            tracker.__enter__()
        except BaseException as error:
            self._tracker = None
            _active.remove(self)
            if isinstance(error, RuntimeError) and "one Tracker" in str(error):
                raise UnavailableError(_THEIRS) from None
            raise
        if traced:
            self.notes = (_BESIDE,)

    def stop(self) -> None:
        """End. A second call does nothing."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return
        displaced = sys.getprofile() is not None
        try:
            tracker.__exit__(None, None, None)
        finally:
            if self in _active:
                _active.remove(self)
        if displaced:
            self.notes += (
                "a profile function was set meanwhile and took memray's place: later stacks are not right",
            )

    @property
    def is_in_child(self) -> bool:
        """Whether this is a forked copy of the process that began."""
        return os.getpid() != self._pid

    def read(self, measures: Sequence[str], limits: ReadingLimits | None = None) -> NativeColumns:
        """Read what was recorded, forked children's files merged.

        Raises:
            CaptureError: when the process's own file cannot be read; a child's that cannot is noted.
        """
        parts = [read_memray(self.path, measures, skip=self._outside, limits=limits)]
        children = _children_of(self.path)
        unread = max(len(children) - _MOST_CHILDREN, 0)
        for child in children[:_MOST_CHILDREN]:
            try:
                parts.append(read_memray(child, measures, skip=self._outside, limits=limits))
            except CaptureError:
                unread += 1
        if unread:
            why = f"they ended before memray could write, or there were more than {_MOST_CHILDREN}"
            self.notes += (f"{unread:,} forked children are not in it: {why}",)
        return merge_processes(parts)


def frames_outside() -> int:
    """Return how many frames lie outside of the nearest caller that is not memlab's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and frame.f_code.co_filename.startswith(OWN_FOLDER):
        frame = frame.f_back
    return depth_of(frame) - 1 if frame is not None else 0


def depth_of(frame: FrameType | None) -> int:
    """Return how many frames there are from this one outwards, itself included."""
    depth = 0
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def _memray() -> Any:
    check_installed(_WHAT)
    try:
        return importlib.import_module("memray")
    except Exception:  # noqa: BLE001 - a broken installation raises what it likes
        raise UnavailableError(
            f"{_WHAT}: memray is there and cannot be imported; install it again: pip install "
            "--force-reinstall memray"
        ) from None


def _check_free() -> None:
    # A forked child has a copy of the list, and memray's own word on what still runs in it.
    if any(not run.is_in_child for run in _active):
        raise UnavailableError(
            f"{_WHAT}: a native trace runs already, and memray admits one a process: end that one first, or "
            "let it span both stretches"
        )
    hook = threading.getprofile()
    if getattr(hook, "__module__", None) == "memray._memray":  # set for threads as long as a tracker runs
        raise UnavailableError(_THEIRS)
    if sys.getprofile() is not None or hook is not None:
        raise UnavailableError(
            f"{_WHAT}: a profile function is set (sys.setprofile; cProfile and some debuggers set one), and "
            "memray would take its place: switch it off for this stretch"
        )


def _children_of(path: str) -> list[str]:
    """Return the files of forked children, in the order of their numbers."""
    place = Path(path)
    wanted = re.compile(re.escape(place.name) + r"\.(\d+)")
    found = [
        (int(m.group(1)), str(one)) for one in place.parent.iterdir() if (m := wanted.fullmatch(one.name))
    ]
    return [name for _, name in sorted(found)]


def refuse_existing(path: str) -> None:
    """Raise UsageError where memray would find a file in its place."""
    if os.path.lexists(path):
        raise UsageError(f"{_WHAT}: {os.path.basename(path)} is there already: name another file")  # noqa: PTH119


_active: list[MemrayRun] = []
