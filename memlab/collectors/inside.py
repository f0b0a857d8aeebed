"""What only the process itself can see of a recording: its own counts, its collector, its stacks.

One daemon thread, five times a second: it asks the interpreter for its counts, takes new pauses from the
owner of ``gc.callbacks``, and writes both to the stream. Between, it sleeps on the sampler's pipe, without
the GIL. When the sampler says that memory rose, the thread looks at the stacks at once: a line that just
called into C still stands on its stack, even if that call held the GIL until now. What it looks at is the
thread that used most processor time since the last look.

Nothing here runs in the measured threads. A count that takes long to ask for (the interpreter walks its
pools for it) is asked for less often, so that all of it stays under a few thousandths of the time.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from memlab._base.descriptors import close_all
from memlab.collectors import gc_pauses
from memlab.collectors.cell_names import CellLabels
from memlab.collectors.frames import collector_at_rest, is_own
from memlab.collectors.sampler_script import Series, Sink, columns_frame, json_frame
from memlab.collectors.streams import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from memlab.collectors.sampler_process import SamplerProcess

__all__ = ["FIRST_NUMBER", "Inside"]

FIRST_NUMBER = 60_000
"""Series of the target are numbered from here; the sampler's from 0."""

_INSIDE, _PAUSES, _OWN_RSS = FIRST_NUMBER + 1, FIRST_NUMBER + 2, FIRST_NUMBER + 3
_TICK_S = 0.2
_SHARE = 300
_FLUSH_S = 0.4
_MOST_FRAMES = 24
_MOST_STACKS = 5_000
_JOIN_S = 5.0
_US_IN_NS = 1000


class Inside:
    """The thread of one recording. It holds no reference to the recorder, so a forgotten one can end it.

    Args:
        sink: takes the frames.
        origin_ns: the zero of all times, as ``time.monotonic_ns()`` has it.
        sampler: tells of rises; None where there is none.
        read_rss: reads RSS in bytes, for rows of its own where there is no sampler process.
        interval_s: seconds between those rows.
        stacks: look at stacks when memory rises.
    """

    # On the class: an interrupt may strike before __init__ has run.
    _wake: tuple[int, int] | None = None
    _open: Iterator[int] = iter(())
    _subscription: gc_pauses.PauseSubscription | None = None

    def __init__(
        self,
        sink: Sink,
        origin_ns: int,
        sampler: SamplerProcess | None,
        read_rss: Callable[[], int] | None = None,
        *,
        interval_s: float = _TICK_S,
        stacks: bool = True,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.sources: dict[str, tuple[str, int]] = {}
        self.given_back = b""
        self.pauses_dropped = 0
        self.failure: BaseException | None = None
        self.chore: Callable[[], None] | None = None
        self._resting = threading.Lock()
        self._sink = sink
        self._origin_ns = origin_ns
        self._sampler = sampler
        self._read_rss = read_rss
        self._tick_s = min(interval_s, _TICK_S) if read_rss is not None else _TICK_S
        self._stacks = stacks
        self._pid = os.getpid()
        # A pipe can be waited for together with the sampler's; without one of those, any system has events.
        if sampler is not None:
            self._open = iter(pipe := os.pipe())
            self._wake = pipe
        self._ended_event = threading.Event()
        self._ending = False
        self._ended = False
        self._thread: threading.Thread | None = None
        self._series = Series(_INSIDE, 3)
        self._own = Series(_OWN_RSS, 1)
        self._names: tuple[str, ...] = ()
        self._next_blocks = 0.0
        self._blocks = 0
        self._labels: CellLabels | None = None
        self._aliases = dict(aliases or {})
        self._known: dict[tuple[object, ...], int] = {}
        self._runtimes: dict[int, int] = {}

    def begin(self) -> None:
        """Subscribe to the collector's pauses and start the thread."""
        for running in threading.enumerate():
            self._ran(running)  # what it ran before does not count
        self._subscription = gc_pauses.subscribe()
        names = ("start", "pause", "generation", "collected", "uncollectable")[1:]
        self._declare(_PAUSES, "pauses", names, {})
        if self._read_rss is not None:
            self._declare(_OWN_RSS, "timeline", ("rss_bytes",), {"rss_bytes": "statm"})
        self._thread = threading.Thread(target=self._run, name="memlab-inside", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system gives no more threads: the program goes on without us
            self.failure = error

    def end(self) -> None:
        """End the thread and write what is left. Does nothing the second time, or in a forked child."""
        if self._ended or os.getpid() != self._pid:
            return
        self.wake()
        thread = self._thread
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        self._ended = True
        if not (thread is not None and thread.is_alive()):
            with contextlib.suppress(Exception):
                self._count(time.monotonic(), last=True)
                self.flush()
        self._let_go()

    def cancel(self) -> None:
        """Ask the thread to end, without waiting for it."""
        if os.getpid() == self._pid and not self._ended:
            self._ended = True
            self.wake()
            if self._thread is not None and self._thread.ident is not None:
                self._thread.join(_JOIN_S)
            self._let_go()

    def wake(self) -> None:
        """End the thread's sleep, for good."""
        self._ending = True
        self._ended_event.set()
        if self._wake is not None:
            with contextlib.suppress(OSError):
                os.write(self._wake[1], b"x")

    def __del__(self) -> None:
        self._let_go()

    def us(self, moment_ns: int | None = None) -> int:
        """Return a moment, or now, in microseconds since the recording began."""
        return ((time.monotonic_ns() if moment_ns is None else moment_ns) - self._origin_ns) // _US_IN_NS

    def _let_go(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
        self._wake = None
        close_all(self._open)

    def _declare(
        self, number: int, role: str, names: tuple[str, ...], sources: dict[str, str], **more: Any
    ) -> None:
        self._sink.put(
            json_frame({"series": number, "role": role, "names": list(names), "sources": sources, **more})
        )

    # -- the thread

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001 - a thread of ours never speaks in the program's name
            self.failure = error

    def _loop(self) -> None:
        notices = Notices()
        pipe = self._sampler.fileno() if self._sampler is not None else -1
        next_tick = next_flush = time.monotonic()
        while True:
            told = self._sleep(max(0.0, next_tick - time.monotonic()), pipe)
            if self._ending or os.getpid() != self._pid:
                return
            if told:
                data = os.read(pipe, 1 << 16)
                if not data:
                    pipe = -1  # it ended: the recorder sees that for itself
                self._listen(notices, data)
            now = time.monotonic()
            if now >= next_tick:
                self._count(now)
                self._do_chore()
                next_tick = now + self._tick_s
            if now >= next_flush:
                self.flush()
                next_flush = now + _FLUSH_S

    def _do_chore(self) -> None:
        with self._resting:
            if self.chore is not None:
                self.chore()

    def rest(self) -> None:
        """Wait until a chore that runs is done, and do none from now on."""
        with self._resting:
            self.chore = None

    def _listen(self, notices: Notices, data: bytes) -> None:
        """Take what the sampler told: one look for all rises, since all of them lie before it."""
        rises = []
        for document, whole in notices.feed(data):
            if "rise" in document:
                rises.append(document)
            else:
                self.given_back += whole
        if rises and self._stacks:
            greatest = max(rises, key=lambda document: int(document["rss"]))
            self._look({**greatest, "rise": sum(document["rise"] for document in rises)})

    def _sleep(self, seconds: float, pipe: int) -> bool:
        """Sleep until the time is over, the end is asked for, or the sampler tells something: then True."""
        if self._wake is None:
            self._ended_event.wait(seconds)
            return False
        waiting = [self._wake[0], pipe] if pipe >= 0 else [self._wake[0]]
        return pipe in select.select(waiting, [], [], seconds)[0]

    def flush(self) -> None:
        """Write what has been counted and what the collector did."""
        for series in (self._series, self._own):
            data = series.flushed()
            if data:
                self._sink.put(data)
        if self._subscription is not None:
            rows, dropped = self._subscription.take_raw(self._origin_ns * 1e-9)
            self.pauses_dropped += dropped
            if rows:
                self._sink.put(columns_frame(_PAUSES, [rows[column::5] for column in range(5)]))

    def _count(self, now: float, last: bool = False) -> None:
        moment = self.us()
        if self._read_rss is not None:
            with contextlib.suppress(Exception):
                self._own.add(moment, (self._read_rss(),))
        if now >= self._next_blocks or last:
            self._blocks = sys.getallocatedblocks()
            taken = time.monotonic() - now
            self._next_blocks = now + taken * _SHARE
            self._add(moment)

    def _add(self, moment: int) -> None:
        tracer = sys.modules.get("tracemalloc")
        tracing = tracer is not None and tracer.is_tracing()
        figures = {"gc_count": gc.get_count()[0]}
        if self._blocks:
            figures["allocated_blocks"] = self._blocks
        if tracing and tracer is not None:
            figures["traced_bytes"] = tracer.get_traced_memory()[0]
        names = tuple(sorted(figures))
        if names != self._names:
            self._begin_series(names)
        self._series.add(moment, tuple(figures[name] for name in names))

    def _begin_series(self, names: tuple[str, ...]) -> None:
        """What is counted changed: no column goes on with a hole in it."""
        data = self._series.flushed()
        if data:
            self._sink.put(data)
        sources = {
            "gc_count": "gc.get_count",
            "allocated_blocks": "sys.getallocatedblocks",
            "traced_bytes": "tracemalloc",
        }
        absent = {}
        if "traced_bytes" not in names:
            absent["traced_bytes"] = "nothing is traced; tracemalloc.start() begins it"
        if "allocated_blocks" not in names:
            absent["allocated_blocks"] = "this interpreter runs without its own allocator and counts none"
        self._names = names
        self._series = Series(_INSIDE, len(names))
        self._declare(_INSIDE, "inside", names, {name: sources[name] for name in names}, absent=absent)

    # -- stacks

    def _look(self, notice: dict[str, Any]) -> None:
        moment = self.us()
        with collector_at_rest():
            tops: dict[int, FrameType | None] = dict(sys._current_frames())  # noqa: SLF001 - the documented way
        tops.pop(threading.get_ident(), None)
        threads = {t.ident: t for t in threading.enumerate() if not t.name.startswith("memlab-")}
        ident = self._busiest([thread for thread in threads.values() if thread.ident in tops])
        frame = tops.get(ident)
        del tops
        if frame is None:
            return
        stack = _stack_of(frame)
        del frame
        if not stack:
            return
        thread = threads[ident]
        number = self._number_of(stack, thread.name)
        if number >= 0:
            self._sink.put(
                json_frame(
                    {
                        "hit": number,
                        "us": moment,
                        "rss": notice["rss"],
                        "rise": notice["rise"],
                        "late_us": max(0, moment - notice["us"]),
                    }
                )
            )

    def _busiest(self, threads: list[threading.Thread]) -> int:
        """Return the thread that ran longest since the last look; the main one where that cannot be told."""
        main = threading.main_thread().ident or 0
        if len(threads) <= 1:
            return threads[0].ident or 0 if threads else 0
        best, most = main, 0
        for thread in threads:
            grown = self._ran(thread)
            if grown > most and thread.ident is not None:
                best, most = thread.ident, grown
        return best

    def _ran(self, thread: threading.Thread) -> int:
        """Return for how many nanoseconds a thread ran since it was last asked about; 0 if not known."""
        native = thread.native_id
        try:
            with open(f"/proc/self/task/{native}/schedstat", "rb", buffering=0) as file:  # noqa: PTH123
                ran = int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            return 0
        grown = ran - self._runtimes.get(native or 0, 0)
        self._runtimes[native or 0] = ran
        return grown

    def _number_of(self, stack: tuple[tuple[str, int, str], ...], thread: str) -> int:
        """Return a stack's number; it is written when it is met first. -1 when there are too many."""
        key = (thread, *stack)
        number = self._known.get(key)
        if number is not None:
            return number
        if len(self._known) >= _MOST_STACKS:
            return -1
        number = self._known[key] = len(self._known)
        if self._labels is None:
            self._labels = CellLabels(self._aliases)
        labels = self._labels
        frames = [[labels.label(file), line, function] for file, line, function in stack]
        for file, _, _ in stack:
            self.sources.setdefault(labels.label(file), (file, int(labels.is_own(file))))
        user = next((at for at, (file, _, _) in enumerate(stack) if labels.is_own(file)), -1)
        self._sink.put(json_frame({"stack": number, "thread": thread[:80], "frames": frames, "user": user}))
        return number


def _stack_of(frame: FrameType | None) -> tuple[tuple[str, int, str], ...]:
    """Return file, line and function of each frame, innermost first, less those of memlab."""
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < _MOST_FRAMES:
        if is_own(frame):
            if frame.f_code.co_name == "run_program":
                break  # what lies further out is the command line of memlab, not the program
        else:
            code = frame.f_code
            found.append((code.co_filename, frame.f_lineno or 0, code.co_qualname))
        frame = frame.f_back
    return tuple(found)
