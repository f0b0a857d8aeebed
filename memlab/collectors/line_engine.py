"""Line by line: what the interpreter tells about chosen code objects, turned into columns of figures.

On Python 3.12 and later ``sys.monitoring`` reports the lines of the chosen code and of no other, so the rest
of the program runs at its own speed. Before that ``sys.settrace`` is used: its global half looks at each call
of the thread and lets every other code go. A trace function of somebody else (debugger, coverage) stays:
there is then no profile, and the reason is given.

There is one engine in a process, with a ``Session`` for each profile. What RSS is, is read when a line ends,
but not again within ``RESOLUTION_S`` of the last reading: in so short a time a kernel hands out some ten
pages. Such lines count for the next one that is read; spikes are not lost, since filling one takes longer.

A line's increment holds what it calls. So in a recursion, and for a nested function that lies on the
caller's line, only the outermost line counts the bytes; occurrences are counted at each level. A forked
child is not profiled.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import get_ident
from time import perf_counter_ns
from types import CodeType
from typing import TYPE_CHECKING, Any

from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from memlab.collectors.gauges import Gauge

__all__ = ["RESOLUTION_S", "LineSession", "Row", "codes_of"]

RESOLUTION_S = 5e-6
_INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")
_OLDEST = 20
"""A reading is too old in any case after so many times the resolution: other threads may have run."""
_GENERATORS = 0x20 | 0x80 | 0x200
"""Flags of generators, coroutines and asynchronous generators."""

Row = list[int]
"""Of one line: occurrences, increment, greatest value at its end, greatest rise while it ran; in bytes."""

_Rows = dict[int, Row]
_NONE: frozenset[int] = frozenset()


def codes_of(code: CodeType) -> list[CodeType]:
    """Return a code object and all that lie in it, as nested functions do.

    Comprehensions are part of their line, as they are on Python 3.12 and later.
    """
    found = [code]
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name not in _INLINED:
            found += codes_of(constant)
    return found


class _Running:
    """One activation of a chosen code object, and the line that it is at."""

    __slots__ = (
        "before",
        "code",
        "counts",
        "first",
        "high",
        "line",
        "most",
        "nested",
        "outer",
        "row",
        "rows",
        "skip",
    )

    def __init__(self, code: CodeType | None, rows: _Rows, first: int, outer: _Running | None) -> None:
        self.code = code
        self.rows = rows
        self.first = first
        """Line of the ``def``, which is no line of its own; -1 where all stands on one line."""
        self.outer = outer
        self.line = 0
        self.row: Row | None = None
        self.counts = True
        self.before = self.high = self.most = 0
        same = outer
        while same is not None and same.rows is not rows:
            same = same.outer
        self.nested = same is not None and same.code is not code
        """Whether the frame below in the same table is of another function: the one that this lies in."""
        self.skip: frozenset[int] = _NONE if same is None else same.skip | {same.line}
        """Lines of the table that outer frames are at; theirs is the increment."""


class _Thread:
    """What one session knows of one thread."""

    __slots__ = ("tables", "top")

    def __init__(self) -> None:
        self.tables: dict[int, _Rows] = {}
        self.top = _Running(None, {}, -1, None)


class LineSession:
    """One profile: which code is followed, and what was seen. Live; read ``rows`` when it has stopped.

    Args:
        gauge: what is read at the end of a line.
        resolution_s: no second reading within so many seconds; 0 reads at each line.

    Attributes:
        notes: what a reader of the figures must know.
        running: whether it has begun and not ended.
    """

    def __init__(self, gauge: Gauge, resolution_s: float = RESOLUTION_S) -> None:
        self.gauge = gauge
        self.notes: list[str] = []
        self.running = False
        self.resolution_ns = int(resolution_s * 1e9)
        self.oldest_ns = _OLDEST * self.resolution_ns
        self.value = 0
        self.read_at = 0
        self.left_at = 0
        self.spent_ns = 0
        """Time since the last reading, what these functions took left out."""
        self.reader = 0
        """The thread that reads just now: what it calls is not the program's."""
        self.threads: dict[int, _Thread] = {}
        self.every_thread: tuple[_Thread, ...] = ()
        self.tables: dict[CodeType, tuple[int, int]] = {}

    def add(self, code: CodeType, table: int) -> None:
        """Follow a code object with all that lie in it; their lines go to ``table``."""
        for one in codes_of(code):
            if one not in self.tables:
                self.tables[one] = (table, _line_of_def(one))
                if self.running:
                    _engine.follow(self, (one,))

    def start(self) -> None:
        """Begin.

        Raises:
            UnavailableError: when somebody else traces this thread, or memory cannot be read.
        """
        try:
            _engine.check()
            self.gauge.start()
            self.running = True
            self.read()
            _engine.start(self)
            _engine.follow(self, tuple(self.tables))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End; a second call does nothing."""
        try:
            _engine.stop(self)
        finally:
            self.running = False
            self.gauge.stop()

    def rows(self, table: int) -> _Rows:
        """Return the lines of one table with their figures, all threads together."""
        together: _Rows = {}
        for thread in self.every_thread:
            for line, row in list(thread.tables.get(table, {}).items()):
                known = together.setdefault(line, [0, 0, 0, 0])
                known[0] += row[0]
                known[1] += row[1]
                known[2] = max(known[2], row[2])
                known[3] = max(known[3], row[3])
        return together

    def new_thread(self, ident: int) -> _Thread:
        """Return what is known of a thread from now on."""
        found = self.threads[ident] = _Thread()
        self.every_thread = (*self.every_thread, found)
        return found

    def read(self) -> None:
        """Take a reading, and tell it to every line that is at work."""
        self.reader = get_ident()
        try:
            value, high = self.gauge.read()
        finally:
            self.reader = 0
        for thread in self.every_thread:
            top = thread.top
            top.high = max(top.high, high)
        self.value = value
        self.spent_ns = 0
        self.read_at = self.left_at = perf_counter_ns()

    def reading(self) -> int:
        """Return the value, read anew where the last reading is too old."""
        now = perf_counter_ns()
        spent = self.spent_ns = self.spent_ns + now - self.left_at
        if spent >= self.resolution_ns or now - self.read_at >= self.oldest_ns:
            self.read()
        return self.value


class _Engine:
    """The process's one subscriber to what the interpreter tells about lines."""

    def __init__(self) -> None:
        self.sessions: tuple[LineSession, ...] = ()
        # Re-entrant: a forgotten generator's profile may end while its thread is in here.
        self._lock = threading.RLock()
        self._means: _Monitoring | _Tracing = _Monitoring() if sys.version_info >= (3, 12) else _Tracing()
        self._hooked_fork = False

    def check(self) -> None:
        self._means.check()

    def start(self, session: LineSession) -> None:
        with self._lock:
            if not self._hooked_fork and hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self.forget)  # nobody can take it back
                self._hooked_fork = True
            self.sessions = (*self.sessions, session)
            self._means.start()

    def follow(self, session: LineSession, codes: Iterable[CodeType]) -> None:
        with self._lock:
            for code in codes:
                known = _followed.get(code, ())
                if session not in known:
                    _followed[code] = (*known, session)
                    self._means.follow(code)

    def stop(self, session: LineSession) -> None:
        with self._lock:
            was_running = session in self.sessions
            for code in session.tables:
                rest = tuple(s for s in _followed.get(code, ()) if s is not session)
                if rest:
                    _followed[code] = rest
                elif code in _followed:
                    self._means.leave(code)
                    del _followed[code]
            self.sessions = tuple(s for s in self.sessions if s is not session)
            if was_running or not self.sessions:  # the second: an interrupt struck between the two
                note = self._means.stop(last=not self.sessions)
                if note:
                    session.notes.append(note)
            for thread in session.every_thread:
                while thread.top.code is not None:  # what still runs ends here, as far as we see
                    _end_line(thread.top, session.value)
                    _pop(thread)

    def forget(self) -> None:
        """In a forked child: nobody there waits for a profile."""
        self._lock = threading.RLock()
        sessions, self.sessions = self.sessions, ()
        codes = list(_followed)
        _followed.clear()
        for code in codes:
            self._means.leave(code)
        if sessions:
            self._means.stop(last=True)


_followed: dict[CodeType, tuple[LineSession, ...]] = {}


# -- what the interpreter tells. These run inside the measured program: they are short and raise nothing.


def _on_line(code: CodeType, line: int) -> None:
    ident = get_ident()
    for session in _followed.get(code, ()):
        if session.reader == ident:
            continue
        thread = session.threads.get(ident) or session.new_thread(ident)
        top = thread.top
        if top.code is not code:  # it ran already when the profile began
            top = _push(session, thread, code)
        # As in ``reading``: this runs for each line of a loop, where a call counts.
        now = perf_counter_ns()
        spent = session.spent_ns = session.spent_ns + now - session.left_at
        if spent >= session.resolution_ns or now - session.read_at >= session.oldest_ns:
            session.read()
        value = session.value
        row = top.row
        if row is not None and (top.high != top.before or value != top.before or not row[2]):
            _end_line(top, value)
        if line == top.first:
            top.row = None
            continue
        row = top.rows.get(line)
        if row is None:
            row = top.rows[line] = [0, 0, 0, 0]
        top.row = row
        top.line = line
        if top.skip:
            top.counts = line not in top.skip
            if top.counts or not top.nested:
                row[0] += 1
        else:
            row[0] += 1
        top.before = top.high = value
        session.left_at = perf_counter_ns()


def _on_start(code: CodeType, _offset: int) -> None:
    ident = get_ident()
    for session in _followed.get(code, ()):
        if session.reader == ident:
            continue
        thread = session.threads.get(ident) or session.new_thread(ident)
        top = _push(session, thread, code)
        if top.first > 0:
            row = top.rows.get(top.first)
            if row is None:
                row = top.rows[top.first] = [0, 0, 0, 0]
            row[0] += 1
            row[2] = max(row[2], session.value)
        session.left_at = perf_counter_ns()


def _on_resume(code: CodeType, line: int | None) -> None:
    """A generator goes on where it was: on its line, which began when it was first reached."""
    ident = get_ident()
    for session in _followed.get(code, ()):
        if session.reader == ident:
            continue
        thread = session.threads.get(ident) or session.new_thread(ident)
        top = _push(session, thread, code)
        if line is not None and line != top.first:
            top.line = line
            row = top.rows.get(line)
            if row is None:
                row = top.rows[line] = [0, 0, 0, 0]
            top.row = row
            top.counts = line not in top.skip
        session.left_at = perf_counter_ns()


def _on_end(code: CodeType) -> None:
    """A frame returns, yields, or is left by an exception."""
    ident = get_ident()
    for session in _followed.get(code, ()):
        thread = session.threads.get(ident)
        if thread is None or session.reader == ident:
            continue
        session.reading()
        at: _Running | None = thread.top
        while at is not None and at.code is not code:
            at = at.outer
        if at is None:
            continue
        while True:  # ends of frames that were not told come to light here
            top = thread.top
            if top.row is not None:
                _end_line(top, session.value)
            _pop(thread)
            if top is at:
                break
        session.left_at = perf_counter_ns()


def _push(session: LineSession, thread: _Thread, code: CodeType) -> _Running:
    session.reading()
    table, first = session.tables[code]
    rows = thread.tables.get(table)
    if rows is None:
        rows = thread.tables[table] = {}
    top = thread.top = _Running(code, rows, first, thread.top)
    top.before = top.high = session.value
    return top


def _pop(thread: _Thread) -> None:
    top = thread.top
    outer = top.outer
    assert outer is not None
    outer.high = max(outer.high, top.most, top.high)
    thread.top = outer


def _end_line(top: _Running, value: int) -> None:
    row = top.row
    if row is None:
        return
    if top.counts:
        row[1] += value - top.before
    row[2] = max(row[2], value)
    row[3] = max(row[3], top.high - top.before)
    top.most = max(top.most, top.high)


def _line_of_def(code: CodeType) -> int:
    """Return the line of a function's ``def``; -1 where code has none, or all stands on that line."""
    if code.co_name == "<module>":
        return -1
    first = code.co_firstlineno
    lines = {line for _, _, line in code.co_lines() if line is not None}
    return first if lines - {first} else -1


# -- the two means


class _Monitoring:
    """``sys.monitoring``: local events on the chosen code, and two global ones for frames that raise."""

    def __init__(self) -> None:
        self._tool: int | None = None

    def check(self) -> None:
        """Nobody stands in the way: each tool has its own number."""

    def start(self) -> None:
        if self._has_tool():
            return
        monitoring: Any = _monitoring()
        for tool in (monitoring.PROFILER_ID, 3, 4):
            if monitoring.get_tool(tool) is None:
                break
        else:
            raise UnavailableError(
                "line by line: other tools hold all numbers of sys.monitoring; end one of them first"
            )
        self._tool = tool
        monitoring.use_tool_id(tool, "memlab")
        for event, callback in self._callbacks():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, monitoring.events.PY_UNWIND | monitoring.events.PY_THROW)

    def follow(self, code: CodeType) -> None:
        events = _monitoring().events
        wanted = events.LINE | events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD
        _monitoring().set_local_events(self._tool, code, wanted)

    def leave(self, code: CodeType) -> None:
        if self._has_tool():
            _monitoring().set_local_events(self._tool, code, 0)

    def stop(self, last: bool) -> str:
        if not last:
            return ""
        if self._has_tool():
            monitoring, tool = _monitoring(), self._tool
            monitoring.set_events(tool, 0)
            for event, _ in self._callbacks():
                monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)
        self._tool = None
        return ""

    def _has_tool(self) -> bool:
        return self._tool is not None and _monitoring().get_tool(self._tool) == "memlab"

    @staticmethod
    def _callbacks() -> list[tuple[int, Callable[..., None]]]:
        events = _monitoring().events
        return [
            (events.LINE, _on_line),
            (events.PY_START, _on_start),
            (events.PY_RESUME, _resumed),
            (events.PY_THROW, _thrown),
            (events.PY_RETURN, _ended),
            (events.PY_YIELD, _ended),
            (events.PY_UNWIND, _ended),
        ]


def _monitoring() -> Any:
    return sys.monitoring  # type: ignore[attr-defined,unused-ignore]


def _ended(code: CodeType, _offset: int, _value: object) -> None:
    if code in _followed:
        _on_end(code)


def _resumed(code: CodeType, _offset: int) -> None:
    _on_resume(code, sys._getframe(1).f_lineno)  # noqa: SLF001 - the frame that goes on


def _thrown(code: CodeType, _offset: int, _error: object) -> None:
    if code in _followed:
        _on_resume(code, sys._getframe(1).f_lineno)  # noqa: SLF001 - the same


class _Tracing:
    """``sys.settrace``, where nobody else uses it: for Python 3.11."""

    def __init__(self) -> None:
        self._hooks: dict[int, int] = {}
        self._new_threads = False

    def check(self) -> None:
        found = sys.gettrace()
        if found is not None and found is not _trace_calls:
            raise UnavailableError(
                "line by line: a debugger or a coverage tool traces this program (sys.settrace), and before "
                "Python 3.12 there is room for one; end it first"
            )

    def start(self) -> None:
        ident = get_ident()
        self._hooks[ident] = self._hooks.get(ident, 0) + 1
        if threading.gettrace() is None:
            self._new_threads = True
            threading.settrace(_trace_calls)
        sys.settrace(_trace_calls)

    def follow(self, code: CodeType) -> None:
        """The trace function looks in the table itself."""

    def leave(self, code: CodeType) -> None:
        """The same."""

    def stop(self, last: bool) -> str:
        ident = get_ident()
        hooks = self._hooks.pop(ident, 1) - 1
        if hooks > 0 and not last:
            self._hooks[ident] = hooks
            return ""
        if last:
            self._hooks.clear()
            if self._new_threads and threading.gettrace() is _trace_calls:
                threading.settrace(None)
            self._new_threads = False
        found = sys.gettrace()
        if found is _trace_calls:
            sys.settrace(None)
            return ""
        return "another trace function took this one's place: lines after that are missing" if found else ""


def _trace_calls(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
    """Look at a call of the thread; only chosen code is followed further."""
    code = frame.f_code
    if code not in _followed:
        if not _engine.sessions and sys.gettrace() is _trace_calls:
            sys.settrace(None)  # a thread that outlived the profile
        return None
    if event == "call":
        # A generator that goes on stands on another line than its first.
        if code.co_flags & _GENERATORS and frame.f_lineno != code.co_firstlineno:
            _on_resume(code, frame.f_lineno)
        else:
            _on_start(code, 0)
    return _trace_lines


def _trace_lines(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
    if event == "line":
        _on_line(frame.f_code, frame.f_lineno)
    elif event == "return":
        _on_end(frame.f_code)
    return _trace_lines


_engine = _Engine()
