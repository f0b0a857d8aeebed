"""Write the heap to a file when something happens: the end of the program, a MemoryError, a signal.

Each occasion is one small class that puts itself where the interpreter looks (``atexit``, the two exception
hooks, a signal's handler) and back out again; a ``HeapDumper`` owns some of them, names the files and sees to
it that a dump that fails is one line on stderr and nothing else: the program's exceptions, its exit code and
its hooks are what they would have been.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import mmap
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from memlab._base.safety import instance_type_name
from memlab.collectors.limits import address_room
from memlab.errors import MemlabError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from memlab.records.heap_graph import HeapGraph

__all__ = ["AT", "DEFAULT_PATH", "HeapDumper", "dump_heap", "filled", "signal_of"]

AT: Final = ("exit", "memory-error", "signal")
"""The occasions that a dumper knows."""
DEFAULT_PATH: Final = "heap-{pid}.memlab"
_RESERVE_BYTES: Final = 64 * 1024 * 1024
_DEEPEST_GROUP: Final = 20
_MEMORY_ERROR: Final = "memory error"
_DIVISORS: Final = (2, 4, 8, 16)
"""Where all of the heap cannot be taken: parts of the room that is left, tried in turn."""
_LEAST_BUDGET: Final = 2 * 1024 * 1024
# Python code cannot handle these: the interpreter would return to the instruction that failed.
_FAULTS: Final = ("SIGSEGV", "SIGFPE", "SIGBUS", "SIGILL", "SIGABRT", "SIGKILL", "SIGSTOP")
# Sent to end a program: after the dump they do.
_ENDING: Final = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGBREAK")


def dump_heap(
    path: str | os.PathLike[str] = DEFAULT_PATH,
    *,
    title: str = "",
    max_objects: int | None = None,
    seconds: float | None = None,
) -> str:
    """Take the heap graph of this process and write it to a capture file, now.

    Taking it needs memory of its own while it lasts, about 100 bytes an object.

    Args:
        path: where; ``{pid}`` in it becomes the process's number. A file that is there is replaced whole or
            not at all.
        title: a name for the capture.
        max_objects: stop at so many objects; the capture then says that it is not complete.
        seconds: stop after so long; likewise.

    Returns:
        The path that was written.

    Raises:
        UsageError: when the file cannot be written.

    >>> import memlab, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     path = memlab.dump_heap(os.path.join(folder, "heap-{pid}.memlab"))
    ...     memlab.load(path).census()
    """
    place = filled(path, 1)
    _take(title, max_objects, seconds).save(place)
    return place


class HeapDumper:
    """Dumps the heap when the program ends, on a MemoryError nobody caught, or on a signal.

    A context manager; or call ``install()`` and, to end it, ``uninstall()``. Everything it replaced is put
    back; what somebody else put on top in the meantime stays, and finds nothing of ours active underneath.

    What it cannot do: see a MemoryError that some code caught (that includes a cell of a notebook: there the
    shell catches it; call ``memlab.dump_heap()`` in the ``except`` block), or one that ends in ``__del__``;
    dump when the process is killed (``SIGKILL``, the kernel's out-of-memory killer) or left with
    ``os._exit``; handle a signal while the main thread is inside a long call of C code (Python runs handlers
    between two instructions of the main thread). A forked child dumps on signals and on MemoryErrors of its
    own, under its own number, and not at its exit.

    Args:
        path: where. ``{pid}`` becomes the process's number and ``{n}`` the number of the dump, from 1. A
            second dump to a path without ``{n}`` gets ``-2`` before the suffix, and so on.
        at: which of ``exit``, ``memory-error`` and ``signal``.
        signum: for ``signal``: the number, or a name such as ``"USR1"``. POSIX, main thread only.
        title: a name for the captures.
        max_objects: stop a capture at so many objects.
        seconds: stop a capture after so long.
        reserve_bytes: address space kept aside, touched by nothing, and given back right before the dump of a
            MemoryError, which could not run without; 0 for none.
        say: called with one line for each dump; default: written to stderr.
        warn: called with one line for each dump that failed; likewise.
        then: called with the graph and the path after each dump; what it raises is said in one line.

    Raises:
        UsageError: when an argument makes no sense.

    Attributes:
        paths: the files written so far.
        memory_errors: for how many of them a dump was begun.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT_PATH,
        *,
        at: Sequence[str] = ("exit",),
        signum: int | str | None = None,
        title: str = "",
        max_objects: int | None = None,
        seconds: float | None = None,
        reserve_bytes: int = _RESERVE_BYTES,
        say: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
        then: Callable[[HeapGraph, str], None] | None = None,
    ) -> None:
        occasions = {at} if isinstance(at, str) else set(at)
        if not occasions or not occasions <= set(AT):
            raise UsageError(f"dumping the heap: at must be some of {', '.join(AT)}, not {at!r}")
        if ("signal" in occasions) != (signum is not None):
            raise UsageError("dumping the heap: at='signal' and signum belong together")
        if type(reserve_bytes) is not int or reserve_bytes < 0:
            raise UsageError(f"dumping the heap: reserve_bytes must be 0 or more, not {reserve_bytes!r}")
        self._path = os.fspath(path)
        self._options = (title, max_objects, seconds)
        self._say = _safe(say or _to_stderr)
        self._warn = _safe(warn or _to_stderr)
        self._then = then
        self._pid = os.getpid()
        self._busy = False
        self.memory_errors = 0
        self.paths: list[str] = []
        self._occasions: list[_Occasion] = []
        if signum is not None:
            self._occasions.append(_OnSignal(self._dump, signal_of(signum)))
        if "memory-error" in occasions:
            self._occasions.append(_OnMemoryError(self.note_exception, reserve_bytes))
        if "exit" in occasions:
            self._occasions.append(_AtExit(self._dump_at_exit))
        self._installed: list[_Occasion] = []

    def install(self) -> Self:
        """Begin to watch.

        Raises:
            UsageError: when it watches already, or a signal is asked for outside the main thread.
        """
        if self._installed:
            raise UsageError("dumping the heap: this dumper is installed already")
        self._pid = os.getpid()
        _preload()
        try:
            for occasion in self._occasions:
                occasion.install()
                self._installed.append(occasion)
        except BaseException:
            self.uninstall()
            raise
        return self

    def uninstall(self) -> None:
        """Put back what was there before. Does nothing when nothing is installed."""
        while self._installed:
            self._installed.pop().uninstall()

    def __enter__(self) -> Self:
        return self.install()

    def __exit__(self, *exc_info: object) -> None:
        self.uninstall()

    def note_exception(self, error: BaseException | None) -> None:
        """Dump if this is a MemoryError, and those are asked for; for who catches what no hook sees."""
        if error is None or not _is_memory_error(error):
            return
        for occasion in self._installed:
            if isinstance(occasion, _OnMemoryError):
                self.memory_errors += 1
                occasion.release_reserve()
                with contextlib.suppress(KeyboardInterrupt):  # it ends the dump, and nothing else is running
                    self._dump(_MEMORY_ERROR)

    def _dump_at_exit(self, why: str) -> None:
        if os.getpid() == self._pid:
            with contextlib.suppress(KeyboardInterrupt):
                self._dump(why)

    def _dump(self, why: str) -> None:
        """Write one file; whatever goes wrong is one line, and nothing comes out of here."""
        if self._busy:
            self._warn(f"heap not written ({why}): a dump is running already")
            return
        self._busy = True
        failed = "heap not written"
        try:
            place = filled(self._path, len(self.paths) + 1, self._pid)
            graph = self._written(place, short=why == _MEMORY_ERROR)
            self.paths.append(place)
            failed = "failed after the heap was written"
            part = "" if graph.complete else "part of the "
            self._say(f"{part}heap of {len(graph):,} objects written to {place} ({why})")
            if self._then is not None:
                self._then(graph, place)
        except MemlabError as error:
            self._warn(f"{failed} ({why}): {error}")
        except Exception as error:  # noqa: BLE001 - a dump must never change what the program does
            # The text of a foreign exception may be anything; its type is said, and no more.
            self._warn(f"{failed} ({why}): {instance_type_name(error).removeprefix('builtins.')}")
        finally:
            self._busy = False

    def _written(self, place: str, *, short: bool) -> HeapGraph:
        """Take the heap and save it: all of it, or, where memory is short, what there is room for."""
        try:
            return _saved(_take(*self._options), place)
        except MemoryError:
            if not short:
                raise
        # Out of the handler, so that what the failed one had made is gone.
        for divisor in _DIVISORS[:-1]:
            with contextlib.suppress(MemoryError):
                return _saved(_take_within(_room() // divisor, *self._options), place)
        return _saved(_take_within(_room() // _DIVISORS[-1], *self._options), place)


def signal_of(name: int | str) -> int:
    """Return the number of a signal that a dump can be asked for with.

    Raises:
        UsageError: when there is none of that name here, or Python code cannot handle it.

    >>> import signal
    >>> signal_of("term") == signal_of("SIGTERM") == signal.SIGTERM
    True
    """
    known = {one.name: int(one) for one in signal.Signals}
    if type(name) is int:
        found = next((n for n, number in known.items() if number == name), None)
    elif type(name) is str:
        found = f"SIG{name.strip().upper().removeprefix('SIG')}"
    else:
        raise UsageError(f"a signal is a name or a number, not {instance_type_name(name)}")
    if found is None or found not in known:
        raise UsageError(f"there is no signal {name!r} on this system; USR1 is the usual one for this")
    if found in _FAULTS:
        raise UsageError(f"{found} cannot be handled by Python code; USR1 is the usual one for this")
    return known[found]


# -- the occasions


class _Occasion(Protocol):
    def install(self) -> None: ...
    def uninstall(self) -> None: ...


class _AtExit:
    def __init__(self, dump: Callable[[str], None]) -> None:
        self._dump = dump

    def install(self) -> None:
        atexit.register(self._run)

    def uninstall(self) -> None:
        atexit.unregister(self._run)

    def _run(self) -> None:
        self._dump("exit")


class _OnMemoryError:
    """Stands before ``sys.excepthook`` and ``threading.excepthook``, which are always called first."""

    def __init__(self, note: Callable[[BaseException | None], None], reserve_bytes: int) -> None:
        self._note = note
        self._reserve_bytes = reserve_bytes
        self._reserve: mmap.mmap | None = None
        self._active = False
        self._main_before: Callable[..., Any] = sys.excepthook
        self._thread_before: Callable[..., Any] = threading.excepthook
        # One object each, so that what stands in the hook can be told to be ours.
        self._main_hook = self._on_main
        self._thread_hook = self._on_thread

    def install(self) -> None:
        self._reserve = _address_space(self._reserve_bytes)
        self._main_before, self._thread_before = sys.excepthook, threading.excepthook
        self._active = True
        sys.excepthook, threading.excepthook = self._main_hook, self._thread_hook

    def uninstall(self) -> None:
        self._active = False  # who has kept a hook of ours calls what was there before, and no more
        self.release_reserve()
        if sys.excepthook is self._main_hook:
            sys.excepthook = self._main_before
        if threading.excepthook is self._thread_hook:
            threading.excepthook = self._thread_before

    def release_reserve(self) -> None:
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    def _on_main(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        try:
            self._main_before(kind, error, trace)
        finally:
            if self._active:
                self._note(error)

    def _on_thread(self, args: Any) -> None:
        try:
            self._thread_before(args)
        finally:
            if self._active:
                self._note(args.exc_value)


class _OnSignal:
    def __init__(self, dump: Callable[[str], None], signum: int) -> None:
        self._dump = dump
        self._active = False
        self._signum = signum
        self._before: Any = None
        self._handler = self._handle

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise UsageError("dumping the heap on a signal: install it in the main thread")
        before = signal.getsignal(self._signum)
        if before is None:
            raise UsageError(
                f"dumping the heap on {self._name}: a handler of C code is there; take another signal"
            )
        try:
            signal.signal(self._signum, self._handler)
        except (OSError, ValueError) as error:
            raise UsageError(f"dumping the heap on {self._name}: {error}; take another signal") from None
        self._before = before
        self._active = True

    def uninstall(self) -> None:
        self._active = False
        with contextlib.suppress(ValueError):  # not the main thread: the handler stays, and does nothing
            if signal.getsignal(self._signum) is self._handler:
                signal.signal(self._signum, self._before)

    @property
    def _name(self) -> str:
        return signal.Signals(self._signum).name

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._active:
            self._dump(self._name)
        if callable(self._before):
            self._before(signum, frame)
        elif self._before == signal.SIG_DFL and self._name in _ENDING:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)


# -- what they share


def _preload() -> None:
    """Import now what a dump needs: where memory has run out, or at the very end, nothing can be imported."""
    for name in ("json", "resource", "sqlite3", "memlab.lab.heap", "memlab.store.capture_file"):
        with contextlib.suppress(ModuleNotFoundError):  # resource, on Windows
            importlib.import_module(name)


def _take(title: str, max_objects: int | None, seconds: float | None) -> HeapGraph:
    from memlab.lab.heap import heap

    limits: dict[str, Any] = {"max_objects": max_objects, "seconds": seconds}
    return heap(title=title, **{name: value for name, value in limits.items() if value is not None})


def _take_within(budget: int, title: str, max_objects: int | None, seconds: float | None) -> HeapGraph:
    from memlab.lab.heap import heap_within

    return heap_within(max(budget, _LEAST_BUDGET), title=title, max_objects=max_objects, seconds=seconds)


def _saved(graph: HeapGraph, place: str) -> HeapGraph:
    graph.save(place)
    return graph


def _room() -> int:
    """Return what address space is left under its limits; where there is none, what was kept back."""
    room = address_room()
    return _RESERVE_BYTES if room is None else room


def filled(path: str | os.PathLike[str], number: int, own_pid: int | None = None) -> str:
    """Return the path, placeholders filled in: another for each dump, and for a fork of ``own_pid``."""
    text = os.fspath(path)
    pid = os.getpid()
    marks = []
    if own_pid not in (None, pid) and "{pid}" not in text:
        marks.append(str(pid))  # a fork must not write over its parent's file
    if number > 1 and "{n}" not in text:
        marks.append(str(number))
    place = Path(text.replace("{pid}", str(pid)).replace("{n}", str(number)))
    return str(place.with_name("-".join([place.stem, *marks]) + place.suffix)) if marks else str(place)


def _is_memory_error(error: BaseException, depth: int = 0) -> bool:
    """Tell whether an exception is a MemoryError, or a group that holds one."""
    if issubclass(type(error), MemoryError):
        return True
    if depth < _DEEPEST_GROUP and issubclass(type(error), BaseExceptionGroup):
        inner = BaseExceptionGroup.exceptions.__get__(error)
        return any(_is_memory_error(one, depth + 1) for one in inner)
    return False


def _address_space(size: int) -> mmap.mmap | None:
    """Reserve memory that takes none as long as nobody writes to it; None where that cannot be had."""
    if not size:
        return None
    private = getattr(mmap, "MAP_PRIVATE", None)
    try:
        if private is None:
            return mmap.mmap(-1, size)
        return mmap.mmap(-1, size, flags=private | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, OverflowError):
        return None


def _to_stderr(line: str) -> None:
    text = "".join(c if c.isprintable() else " " for c in line)
    sys.stderr.write(f"memlab: {text}\n")
    sys.stderr.flush()


def _safe(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a way to say a line that never raises: stderr may be closed, full, or in use."""

    def try_to_say(line: str) -> None:
        with contextlib.suppress(Exception):
            say(line)

    return try_to_say
