"""The process beside a guarded one: it reads its memory, and interrupts it before the machine has none left.

It is a process of its own because a thread would sleep exactly when it matters: while a C call holds the
interpreter's lock. It does what a notebook's stop button does, it sends SIGINT; what that becomes is the
guarded process's business (in Python, KeyboardInterrupt in the main thread as soon as it runs Python code).
It can not stop a single C call that takes all memory at once. If the guarded process dies without a word
while memory was short, it writes the last stretch down, since nobody else can.

Only the standard library is needed, until there is a death to report; it is started with ``-I -S``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from memlab.collectors.limits import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Line", "Watcher", "main", "thinned"]

_KEEP_ROWS = 6_000
_SEND_ROWS = 500
_MACHINE_EVERY = 5
_SEND_AGAIN_S = 2.0
_MOST_SENDS = 5
_STEP_SHARE = 16
_FALLEN = 0.95
_RECOVERED = 1.25
_DEAD = -1


class Line:
    """When to act: at the limit, and after that only when it gets worse, so that the user can tidy up.

    Args:
        limit: resident bytes at which to act; None for none.
        reserve: bytes that shall be left available; to act when fewer are.
    """

    def __init__(self, limit: int | None, reserve: int | None) -> None:
        self.limit = limit
        self.reserve = reserve
        self._at = limit
        self._left = reserve

    def crossed(self, rss: int, available: int | None) -> str:
        """Return ``limit`` or ``machine`` when it is time to act, else an empty text."""
        if self._at is not None and self.limit is not None:
            if rss >= self._at:
                return "limit"
            if rss < self.limit * _FALLEN:
                self._at = self.limit
        if self._left is not None and self.reserve is not None and available is not None:
            if available > self.reserve * _RECOVERED:
                self._left = self.reserve
            # A process smaller than what is to be saved would be stopped for nothing.
            if available < self._left and rss >= self.reserve:
                return "machine"
        return ""

    def acted(self, rss: int, available: int | None) -> None:
        """Draw the line anew where it has got to, a sixteenth further on."""
        if self.limit is not None:
            self._at = max(self.limit, rss + self.limit // _STEP_SHARE)
        if self.reserve is not None and available is not None:
            self._left = min(self.reserve, available * (_STEP_SHARE - 1) // _STEP_SHARE)


class Watcher:
    """Watches one process.

    Args:
        config: ``pid``, ``limit``, ``reserve``, ``interval``.
        rss: returns the resident bytes of the process, -1 when it has gone.
        available: returns the bytes that are left under its ceiling.
        interrupt: sends it the interrupt.
        say: sends a message to it.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        rss: Callable[[], int],
        available: Callable[[], int | None],
        interrupt: Callable[[], None],
        say: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.line = Line(config["limit"], config["reserve"])
        self.rows: deque[tuple[float, int, int]] = deque(maxlen=_KEEP_ROWS)
        self.peak = 0
        self._rss, self._available = rss, available
        self._interrupt, self._say = interrupt, say
        self._ticks = 0
        self._left: int | None = None
        self._sent = 0
        self._sent_at = 0.0
        self._waiting = self._heard = False

    def tick(self, now: float) -> bool:
        """Look once; False when the process has gone."""
        rss = self._rss()
        if rss == _DEAD:
            return False
        if self._ticks % _MACHINE_EVERY == 0:
            self._left = self._available()
        self._ticks += 1
        self.peak = max(self.peak, rss)
        self.rows.append((now, rss, self._left if self._left is not None else -1))
        if self._waiting:
            if not self._heard:
                self._insist(now, rss)
            return True
        trigger = self.line.crossed(rss, self._left)
        if trigger:
            self._waiting, self._heard, self._sent = True, False, 0
            # A short word before the interrupt, so that whoever is interrupted knows by whom and waits for
            # the rest; the rest only after it, since a pipe that no one reads may be full.
            self._say({"event": "acting"})
            self._send(now)
            self._say(
                {
                    "event": "acted",
                    "trigger": trigger,
                    "time": now,
                    "rss": rss,
                    "available": self._left,
                    "peak": self.peak,
                    "rows": thinned(list(self.rows)),
                }
            )
        return True

    def heard(self) -> None:
        """Take note that the interrupt has arrived: what runs now is the look at what is left."""
        self._heard = True

    def answered(self) -> None:
        """Watch on, from where memory stands now."""
        if self.rows:
            _, rss, left = self.rows[-1]
            self.line.acted(rss, left if left >= 0 else None)
        self._waiting = False

    def is_short(self) -> bool:
        """Tell whether memory was short at the last look."""
        if not self.rows:
            return False
        _, rss, left = self.rows[-1]
        line = self.line
        near = line.limit is not None and rss >= line.limit * _FALLEN
        return near or (line.reserve is not None and 0 <= left < 2 * line.reserve and rss >= line.reserve)

    def _insist(self, now: float, rss: int) -> None:
        """Send again while there is no answer; give up after a while, and watch on from there."""
        if now - self._sent_at < _SEND_AGAIN_S:
            return
        if self._sent >= _MOST_SENDS:
            self.line.acted(rss, self._left)
            self._waiting = False
            self._say({"event": "ignored", "sent": self._sent})
        else:
            self._send(now)

    def _send(self, now: float) -> None:
        self._sent += 1
        self._sent_at = now
        self._interrupt()


def thinned(rows: list[tuple[float, int, int]], most: int = _SEND_ROWS) -> list[tuple[float, int, int]]:
    """Return at most ``most`` rows: of each stretch the one with the most memory; first and last stay.

    >>> thinned([(0.0, 1, 9), (1.0, 8, 9), (2.0, 2, 9), (3.0, 3, 9)], 3)
    [(0.0, 1, 9), (1.0, 8, 9), (3.0, 3, 9)]
    """
    if len(rows) <= most:
        return rows
    inner, count = rows[1:-1], most - 2
    edges = [len(inner) * n // count for n in range(count + 1)]
    picked = [max(inner[a:b], key=lambda row: row[1]) for a, b in itertools.pairwise(edges) if b > a]
    return [rows[0], *picked, rows[-1]]


def main() -> None:
    """Watch until told to end, or until the process has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is the guarded process's
    line = sys.stdin.buffer.readline()
    if not line:
        return  # whoever started this was interrupted before it could say what to watch
    config = json.loads(line)
    pid = config["pid"]
    interrupt = _interrupter(pid)
    watcher = Watcher(config, _rss_reader(pid, config), Machine().available, interrupt, _say)
    _say({"event": "ready"})
    ended = _watch(watcher, config["interval"])
    if not ended and watcher.is_short() and config["last_words"] is not None:
        sys.path[:] = config["path"]
        from memlab.lab._post_mortem import last_words

        last_words(config, thinned(list(watcher.rows)), watcher.peak)


def _watch(watcher: Watcher, interval: float) -> bool:
    """Tick until a goodbye (True) or the end of the process (False)."""
    due = time.monotonic()
    waiting = b""
    source = sys.stdin.fileno()
    while True:
        due = max(due + interval, time.monotonic())
        ready, _, _ = select.select([source], [], [], max(0.0, due - time.monotonic()))
        if ready:
            data = os.read(source, 4096)
            if not data:
                return _has_gone(watcher, interval)
            waiting += data
            *lines, waiting = waiting.split(b"\n")
            if b"bye" in lines:
                return True
            if b"heard" in lines:
                watcher.heard()
            if b"seen" in lines:
                watcher.answered()
            continue
        if not watcher.tick(time.monotonic()):
            return False


def _has_gone(watcher: Watcher, interval: float) -> bool:
    """Return what the end of the input means: False for a death, True when the process just let go of us."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:  # a dying process closes its files before it gives its memory back
        if not watcher.tick(time.monotonic()):
            return False
        time.sleep(interval)
    return True


def _interrupter(pid: int) -> Callable[[], None]:
    """Return what sends SIGINT to a process; where the kernel has handles, to that one and no later one."""
    opened = -1
    with contextlib.suppress(OSError, AttributeError):
        opened = os.pidfd_open(pid)

    def interrupt() -> None:
        with contextlib.suppress(ProcessLookupError):
            if opened >= 0:
                signal.pidfd_send_signal(opened, signal.SIGINT)
            else:
                os.kill(pid, signal.SIGINT)

    return interrupt


def _rss_reader(pid: int, config: Mapping[str, Any]) -> Callable[[], int]:
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
    except OSError:
        return _psutil_reader(pid, config)

    def rss() -> int:
        try:
            pages = int(os.pread(statm, 256, 0).split()[1])
        except (OSError, IndexError):
            return _DEAD
        return pages * page if pages else _DEAD  # a zombie has none

    return rss


def _psutil_reader(pid: int, config: Mapping[str, Any]) -> Callable[[], int]:
    sys.path[:] = config["path"]
    import psutil

    process = psutil.Process(pid)

    def rss() -> int:
        try:
            return int(process.memory_info().rss) or _DEAD
        except psutil.Error:
            return _DEAD

    return rss


def _say(message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]
