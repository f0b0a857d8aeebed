"""Native memory of a stretch of code, by memray: high-water mark, what stayed, what came and went.

memray writes to a file in a folder of this trace's own while the stretch runs; the file is read, in a process
of its own, when one of the snapshots is first asked for, and then goes. So the end of the stretch costs
nothing but the end of recording, and an exception in it passes as it is.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import os
import shutil
import sys
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from memlab._base.paths import PathLabels
from memlab.collectors.cell_names import cell_aliases
from memlab.collectors.memray_engine import MemrayRun, depth_of, frames_outside, refuse_existing
from memlab.collectors.memray_files import MEASURES, check_installed
from memlab.collectors.native_maker import native_snapshot
from memlab.collectors.snapshot_maker import warm_up
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.collectors.memray_files import NativeColumns
    from memlab.records.snapshot import Snapshot

__all__ = ["NativeTrace", "TracedFunction", "native_engine"]

Params = ParamSpec("Params")
Returned = TypeVar("Returned")

_SOURCES = ("own", "all", "none")


class NativeTrace:
    """A stretch of code whose native memory is traced by memray, best used in ``with``.

    In it: what the stretch took from the C allocators (``malloc`` and its kin, ``mmap``), by whatever library
    and thread, with the C and the Python frames that led there. Not in it: memory from before, memory that
    bypasses the C allocators, and what memlab and memray take themselves.

    Args:
        label: your name for it.
        objects: record every block of Python's own allocators too; several times slower where many objects
            are made. Default: objects of up to 512 bytes are inside the arenas that hold them.
        frames: record C frames. False is a little quicker.
        temporary: keep what is needed to tell allocations that were freed at once. False lets memray add up
            while it records: its file stays small however long the stretch is, and children that end by
            ``os._exit`` (as those of ``multiprocessing`` do) are lost.
        children: follow forked children; what they took is added.
        path: keep memray's own file there, for memray's own tools. It holds the command line and full paths.
            Default: a temporary file that goes.
        depth: frames kept of each stack, the most recent ones. Default: all, up to 512.
        aliases: labels for code file names. Default: those of notebook cells.
        sources: which source files are looked at, see ``memlab.snapshot``.
        memray: the module. Default: what is installed.

    Example:
        >>> import sys
        >>> with NativeTrace() as trace:
        ...     kept = bytearray(3_000_000)
        >>> trace.leaked.total_bytes >= 3_000_000, trace.peak.measure
        (True, 'peak')
    """

    def __init__(
        self,
        label: str = "",
        *,
        objects: bool = False,
        frames: bool = True,
        temporary: bool = True,
        children: bool = True,
        path: str | os.PathLike[str] | None = None,
        depth: int | None = None,
        aliases: Mapping[str, str] | None = None,
        sources: str = "own",
        memray: Any = None,
    ) -> None:
        if sources not in _SOURCES:
            raise UsageError(f"tracing natively: sources must be own, all or none, not {sources!r}")
        if depth is not None and (type(depth) is not int or depth < 1):
            raise UsageError(f"tracing natively: depth must be a number of frames from 1, not {depth!r}")
        _clear_at_exit()
        self.label = label
        self._options: dict[str, Any] = {
            "objects": objects,
            "frames": frames,
            "temporary": temporary,
            "children": children,
            "path": path,
            "depth": depth,
            "aliases": aliases,
            "sources": sources,
            "memray": memray,
        }
        self._run: MemrayRun | None = None
        self._state = "new"
        self._labels: PathLabels | None = None
        self._read: NativeColumns | None = None
        self._snapshots: dict[tuple[str, str, str], Snapshot] = {}
        self._clear: Callable[[], object] = lambda: None

    def start(self, outside: int | None = None) -> Self:
        """Begin.

        Args:
            outside: how many of this thread's outermost frames lie outside. Default: those of whoever calls
                the code that begins the trace.

        Raises:
            UnavailableError: where memray cannot run, or where something runs beside which it cannot.
            MissingExtraError: when memray is not installed.
            UsageError: when this trace has begun before, or its file is there already.
        """
        if self._state != "new":
            raise UsageError("tracing natively: a trace begins once; make a new one")
        if self._options["memray"] is None:
            check_installed("tracing natively")
        warm_up()
        path, folder = self._options["path"], None
        if path is not None:
            path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolves no links
            refuse_existing(path)
        try:
            if path is None:
                folder = tempfile.mkdtemp(prefix="memlab-")
                _folders.add(folder)
                clear = weakref.finalize(self, _remove, folder)
                clear.atexit = False  # who reads at exit would come too late
                self._clear = clear
                path = os.path.join(folder, "native.bin")  # noqa: PTH118
            run = MemrayRun(
                path,
                frames=self._options["frames"],
                objects=self._options["objects"],
                aggregated=not self._options["temporary"],
                children=self._options["children"],
                memray=self._options["memray"],
            )
            self._run = run
            self._state = "running"
            run.start(frames_outside() if outside is None else outside)
        except BaseException:
            if self._run is not None:
                self._run.stop()
            self._run, self._state = None, "new"
            self._clear()
            raise
        return self

    def stop(self) -> None:
        """End. A second call does nothing."""
        if self._state != "running" or self._run is None:
            return
        try:
            self._run.stop()
        finally:
            self._run.stop()  # finishes what an interrupt cut short
            self._state = "ended"
        aliases = self._options["aliases"]
        self._labels = PathLabels(cell_aliases() if aliases is None else aliases)

    @property
    def peak(self) -> Snapshot:
        """What was alive at the stretch's high-water mark, by allocation site."""
        return self.snapshot("peak")

    @property
    def leaked(self) -> Snapshot:
        """What the stretch allocated and had not freed at its end."""
        return self.snapshot("leaked")

    @property
    def temporary(self) -> Snapshot:
        """Allocations that were freed before the same thread made the next one: sums over the stretch."""
        return self.snapshot("temporary")

    @property
    def is_running(self) -> bool:
        """Tell whether allocations are recorded."""
        return self._state == "running"

    def snapshot(
        self, measure: str = "leaked", label: str | None = None, *, sources: str | None = None
    ) -> Snapshot:
        """Return ``peak``, ``leaked`` or ``temporary``.

        Args:
            measure: which of them.
            label: your name for it. Default: the trace's.
            sources: which source files are looked at. Default: the trace's.

        Raises:
            UsageError: before the stretch has ended, or for what was not recorded.
            UnavailableError: in a forked child, whose part the parent shows.
            CaptureError: when memray's file cannot be read.
        """
        if measure not in MEASURES:
            raise UsageError(f"a native trace has {', '.join(MEASURES)}, not {measure!r}")
        if self._state != "ended" or self._run is None or self._labels is None:
            raise UsageError("a native trace is read when it has ended: leave the with block, or call stop()")
        if self._run.is_in_child:
            raise UnavailableError("a native trace is read in the process that began it, children included")
        if measure == "temporary" and not self._options["temporary"]:
            raise UsageError("this trace has no temporary allocations: it was made with temporary=False")
        if self._read is None:
            self._read = self._run.read(MEASURES)
            self._clear()
        key = (measure, self.label if label is None else label, sources or self._options["sources"])
        if key not in self._snapshots:
            self._snapshots[key] = native_snapshot(
                self._read,
                measure,
                self._labels,
                key[1],
                self._run.notes,
                depth=self._options["depth"],
                sources=key[2],
            )
        return self._snapshots[key]

    def __call__(self, func: Callable[Params, Returned]) -> TracedFunction[Params, Returned]:
        """Decorate a function or coroutine function: each call is traced, see ``TracedFunction``.

        Raises:
            UsageError: for a generator function, whose call runs none of its code, or once it has begun.
        """
        if self._state != "new":
            raise UsageError("decorating a function: this trace has begun before; make a new one")
        return TracedFunction(func, self.label, self._options)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "running":
            self.stop()


_folders: set[str] = set()


def _remove(folder: str) -> None:
    _folders.discard(folder)
    shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _clear_at_exit() -> None:
    """Remove what was never read when the process ends: after all that is registered from now on."""
    pid = os.getpid()

    def clear() -> None:
        if os.getpid() == pid:
            for folder in list(_folders):
                _remove(folder)

    atexit.register(clear)


class _NativeEngine:
    """A native trace as an engine of ``memlab.trace``: what stayed by default, then peak and temporary."""

    engine = "memray"
    measures: tuple[str, ...] = ("leaked", "peak", "temporary")

    def __init__(self, trace: NativeTrace) -> None:
        self._trace = trace

    def begin(self) -> None:
        self._trace.start()

    def snapshot(self, label: str, measure: str, sources: str) -> Snapshot:
        if self._trace.is_running:
            raise UnavailableError(
                "taking a snapshot of a native trace: memray's file is read when the trace has ended; end it "
                "first, or make two traces, one after the other"
            )
        return self._trace.snapshot(measure, label, sources=sources)

    def end(self) -> None:
        self._trace.stop()


def native_engine(
    frames: int | None = None, aliases: Mapping[str, str] | None = None, *, objects: bool = False
) -> _NativeEngine:
    """Return memray as an engine that ``memlab.trace`` runs, see ``NativeTrace``.

    Args:
        frames: frames kept of each stack, the most recent ones.
        aliases: labels for code file names.
        objects: record every block of Python's own allocators too.
    """
    return _NativeEngine(NativeTrace(objects=objects, aliases=aliases, depth=frames))


class TracedFunction(Generic[Params, Returned]):
    """A function whose calls are traced natively. It takes, returns and raises what the function does.

    Attributes:
        trace: of the last call that was traced; None before.
        reason: why the last call was not traced (another trace ran, one of this function's among them),
            empty when it was.
    """

    def __init__(self, func: Callable[Params, Returned], label: str, options: dict[str, Any]) -> None:
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise UsageError("tracing natively: a generator's call runs none of its code; trace its user")
        if not callable(func):
            raise UsageError(f"tracing natively: needs a function, not {type(func).__name__}")
        if options["memray"] is None:
            check_installed("tracing natively")
        functools.update_wrapper(self, func)
        self._func = func
        self._label = label
        self._options = options
        self._lock = threading.Lock()
        self.trace: NativeTrace | None = None
        self.reason = ""
        if inspect.iscoroutinefunction(func):
            mark = getattr(inspect, "markcoroutinefunction", None)  # 3.12 and later
            if mark is not None:
                mark(self)

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Returned:
        """Call the function once, traced if nothing else is."""
        if inspect.iscoroutinefunction(self._func):
            return self._awaited(*args, **kwargs)  # type: ignore[return-value]
        trace = self._begun()
        try:
            return self._func(*args, **kwargs)
        finally:
            self._ended(trace)

    async def _awaited(self, *args: Params.args, **kwargs: Params.kwargs) -> Any:
        trace = self._begun()
        try:
            return await self._func(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._ended(trace)

    def _begun(self) -> NativeTrace | None:
        trace = NativeTrace(self._label, **self._options)
        try:
            # What lies outside ends with the frame that calls the function: the caller of this one.
            return trace.start(depth_of(sys._getframe(1)))  # noqa: SLF001
        except (UnavailableError, UsageError) as error:
            self.reason = str(error)
            return None

    def _ended(self, trace: NativeTrace | None) -> None:
        if trace is not None:
            trace.stop()
            self.trace, self.reason = trace, ""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)  # type: ignore[arg-type]
