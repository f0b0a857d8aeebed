"""A guard that interrupts what runs before the process is killed for its memory, and says what took it.

The watching is done by a process beside this one (``_guard_watcher``), because a thread of this one would
wait while a C call holds the interpreter's lock. At the limit that process sends SIGINT, as a notebook's stop
button does; nothing is installed here, no signal handler and no thread. What was made so far stays. Then the
guarded side makes the post-mortem: the last minutes, what retains most now, what grew since the beginning.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from memlab._base.units import format_bytes, parse_bytes
from memlab.errors import MemlabError, UnavailableError, UsageError
from memlab.lab.memory_monitor import MemoryMonitor

if TYPE_CHECKING:
    from memlab.lab._post_mortem import Counts
    from memlab.records.pressure import PostMortem

__all__ = ["MemoryGuard", "guard"]

_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = f"import sys; sys.path.insert(0, {_ROOT!r}); from memlab.lab._guard_watcher import main; main()"
_READY_S = 20.0
_LEAVE_S = 2.0
_REST_S = 1.0
_LEAST_RESERVE = 256 * 2**20
_RESERVE_SHARE = 0.05
_NEAR = 0.98


class MemoryGuard:
    """Made by ``guard()``; on in ``with``, or from ``start`` to ``stop``.

    Attributes:
        limit_bytes: resident memory of this process at which what runs is interrupted; None for none.
        reserve_bytes: what must stay available under the real ceiling; None where that is not known.
        last: the last post-mortem, None as long as there was none.
        save: name of the capture file that a post-mortem is written to; None writes none.
        report: name of the HTML page, likewise.
    """

    def __init__(
        self,
        limit: int | str | None = None,
        *,
        save: str | None = "post-mortem.memlab",
        report: str | None = None,
        interval_s: float = 0.02,
        growth: bool = True,
        monitor: MemoryMonitor | None = None,
    ) -> None:
        if (
            isinstance(interval_s, bool)
            or not isinstance(interval_s, (int, float))
            or not (math.isfinite(interval_s) and 0.001 <= interval_s <= 10)  # noqa: PLR2004 - as it says
        ):
            raise UsageError(f"guard: interval_s must be from 0.001 to 10 seconds, not {interval_s!r}")
        self.limit_bytes = _limit(limit)
        self.save = save
        self.report = report
        self.interval_s = float(interval_s)
        self.last: PostMortem | None = None
        self.written: list[str] = []
        self._wants_growth = growth
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = os.getpid()
        self._base: Counts | None = None
        self._acted: dict[str, Any] | None = None
        self._acting = self._ignored = False
        self._buffer = b""
        with contextlib.ExitStack() as stack:
            reading = (monitor or stack.enter_context(MemoryMonitor())).read(uss=False)
        ceiling = reading.limit_bytes
        if self.limit_bytes is None and ceiling is None:
            raise UnavailableError(
                "guard: the real ceiling of this process cannot be found out "
                f"({reading.absent.get('limit_bytes', 'no ceiling')}); give a limit"
            )
        self.reserve_bytes = (
            max(_LEAST_RESERVE, int(ceiling * _RESERVE_SHARE)) if ceiling is not None else None
        )
        if self.limit_bytes is not None and (reading.rss_bytes or 0) >= self.limit_bytes * _NEAR:
            raise UsageError(
                f"guard: this process has {format_bytes(reading.rss_bytes or 0)} already, and the limit is "
                f"{format_bytes(self.limit_bytes)}: give a greater one, or let go of something first"
            )

    @property
    def is_on(self) -> bool:
        """Whether the watcher is there."""
        return self._process is not None and self._pid == os.getpid() and self._process.poll() is None

    def start(self) -> Self:
        """Switch it on. Takes a census of the heap first, to tell later what grew.

        Raises:
            UsageError: when it is on.
            UnavailableError: on a system without signals, where SIGINT does not interrupt this process, or
            when the watcher does not start.
        """
        if self.is_on:
            raise UsageError("guard: it is on already; stop() ends it")
        if os.name != "posix":
            raise UnavailableError(
                "guard: it needs a system that can interrupt a process by a signal (Linux, macOS)"
            )
        if not sys.executable:
            raise UnavailableError("guard: this program does not say where its Python interpreter is")
        if threading.main_thread() is not threading.current_thread():
            raise UsageError("guard: switch it on from the main thread, which is the one that it interrupts")
        _check_interruptible()
        if self._wants_growth:
            self._base = _types_now()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Switch it off; a second call does nothing."""
        process, self._process = self._process, None
        if process is None or self._pid != os.getpid():
            return
        try:
            with contextlib.suppress(OSError, ValueError):
                assert process.stdin is not None
                os.write(process.stdin.fileno(), b"bye\n")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_S)
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            process.wait()
            with contextlib.suppress(Exception):
                atexit.unregister(self.stop)

    def has_acted(self) -> bool:
        """Tell whether it has sent an interrupt since it was asked for a post-mortem the last time."""
        self._listen(0.0)
        if self._acting:  # the interrupt is quicker than what led to it
            self._listen(_REST_S, "acted")
            self._acting = False
        return self._acted is not None

    def post_mortem(self) -> PostMortem | None:
        """Return what led to the last interrupt and what holds the memory now; None when it has not acted.

        Looks at the heap as far as there is memory to do so, and writes the files that were asked for.
        Afterwards the guard watches on, from where memory stands now: it acts again when a further sixteenth
        of the limit is taken.
        """
        if not self.has_acted():
            return None
        acted, self._acted = self._acted, None
        assert acted is not None
        from memlab.lab._post_mortem import free_name, post_mortem

        try:
            self.last = post_mortem(acted, self.limit_bytes, self._base)
            self.written = []
            for name, write in ((self.save, self.last.save), (self.report, self.last.to_html)):
                if name is not None:
                    path = free_name(name)
                    try:
                        write(path)
                    except MemlabError as error:
                        self.written.append(f"not written: {error}")
                    else:
                        self.written.append(path)
        finally:
            self._tell(b"seen\n")  # only now: what writing takes would be reason to act again
        return self.last

    def dismiss(self) -> None:
        """Let it watch on without a post-mortem, after an interrupt that reached nothing."""
        if self.has_acted():
            self._acted = None
            self._tell(b"seen\n")

    def status(self) -> str:
        """Return in one sentence whether it is on and how near to its limit memory is."""
        if not self.is_on:
            return "the guard is off"
        with MemoryMonitor() as monitor:
            reading = monitor.read(uss=False)
        rss = format_bytes(reading.rss_bytes) if reading.rss_bytes is not None else "an unknown size"
        parts = [f"the guard is on: the process has {rss}"]
        if self.limit_bytes is not None:
            parts.append(f"the limit is {format_bytes(self.limit_bytes)}")
        if reading.available_bytes is not None and self.reserve_bytes is not None:
            source = reading.sources["available_bytes"]
            parts.append(
                f"{format_bytes(reading.available_bytes)} are available ({source}), of which "
                f"{format_bytes(self.reserve_bytes)} are to stay free"
            )
        return ", ".join(parts)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, KeyboardInterrupt) and self.has_acted():
                found = self.post_mortem()
                if found is not None:
                    error.add_note(f"memlab guard: {found.reason}")
                    for path in self.written:
                        error.add_note(f"memlab guard: post-mortem {path}")
        finally:
            self.stop()

    def _launch(self) -> None:
        self._pid = os.getpid()
        self._acted, self._acting, self._buffer = None, False, b""
        config = {
            "pid": self._pid,
            "limit": self.limit_bytes,
            "reserve": self.reserve_bytes,
            "interval": self.interval_s,
            "last_words": self.save,
            "folder": os.getcwd(),  # noqa: PTH109
            "path": sys.path,
        }
        try:
            # A session of its own: an interrupt from the keyboard is not meant for it.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-I", "-S", "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"guard: the watcher could not be started: {error.strerror}") from None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(config).encode() + b"\n")
        self._process.stdin.flush()
        if not self._listen(_READY_S):
            raise UnavailableError("guard: the watcher did not start")

    def _listen(self, seconds: float, awaited: str = "") -> bool:
        """Take in what the watcher says; wait at most so long for a first word, or for the one awaited."""
        process = self._process
        if process is None or process.stdout is None or self._pid != os.getpid():
            return False
        out = process.stdout.fileno()
        deadline = time.monotonic() + seconds
        heard = False
        while True:
            wait = 0.0 if heard else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([out], [], [], wait)
            if not ready:
                return heard
            data = os.read(out, 1 << 16)
            if not data:
                return heard
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                event = self._take(json.loads(line))
                heard = heard or awaited in ("", event)

    def _take(self, message: dict[str, Any]) -> str:
        """Take note of one message; return what it is about."""
        event = str(message["event"])
        if event == "acting":
            self._acting = True
        elif event == "acted":
            self._acted, self._acting = message, False
            self._tell(b"heard\n")
        elif event == "ignored":
            self._ignored = True
        return event

    def _tell(self, word: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(process.stdin.fileno(), word)


def guard(
    limit: int | str | None = None,
    *,
    save: str | None = "post-mortem.memlab",
    report: str | None = None,
    interval_s: float = 0.02,
    growth: bool = True,
) -> MemoryGuard:
    """Interrupt a block before the process is killed for its memory.

    A process beside this one reads this one's resident memory every ``interval_s`` seconds. At the limit, or
    when less than the reserve is left under the real ceiling, it sends SIGINT: KeyboardInterrupt in the main
    thread. The exception carries notes that say why and where the post-mortem lies.

    **What it can not stop**: one call of C code that takes all the memory at once, or that goes on for long
    without running Python code: an interrupt is seen between two Python instructions. Threads other than the
    main one. Code that catches KeyboardInterrupt and goes on. If the process is killed all the same while
    memory is short, the watcher writes the last minutes to ``save``.

    Args:
        limit: resident memory of this process, a number of bytes or ``"6 GiB"``. None leaves only the
            reserve of 5 % of the real ceiling, at least 256 MiB.
        save: capture file for the post-mortem; a name that is taken gets a number. None writes none.
        report: HTML page, likewise.
        interval_s: seconds between two looks.
        growth: count types at the start, to tell what grew; takes half a second for a million objects.

    Raises:
        UsageError: when the limit cannot be read or is reached already.
        UnavailableError: when no ceiling is known and no limit was given; at its start, where SIGINT is
            ignored (a shell does so for what it starts in the background) or would end the process.

    Example:
        >>> watching = guard("900 GiB", save=None)  # with watching: ...
        >>> watching.status()
        'the guard is off'
    """
    return MemoryGuard(limit, save=save, report=report, interval_s=interval_s, growth=growth)


def _check_interruptible() -> None:
    """Refuse where the interrupt would be lost, or would end the process with all that it has."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.SIG_IGN:
        raise UnavailableError(
            "guard: SIGINT is ignored in this process, as a shell has it for what runs in the background,"
            " so nothing could be interrupted; signal.signal(signal.SIGINT, signal.default_int_handler) helps"
        )
    if handler is None or handler is signal.SIG_DFL:
        raise UnavailableError(
            "guard: SIGINT would end this process instead of raising KeyboardInterrupt; "
            "signal.signal(signal.SIGINT, signal.default_int_handler) changes that"
        )


def _limit(value: int | str | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(f"guard: limit is a number of bytes or text such as '6 GiB', not {value!r}")
    size = parse_bytes(value)
    if size <= 0:
        raise UsageError(f"guard: the limit must be above 0, not {value!r}")
    return size


def _types_now() -> Counts:
    from memlab.lab._post_mortem import count_types
    from memlab.lab.heap import heap

    return count_types(heap(seconds=10.0))
