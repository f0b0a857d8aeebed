"""The one thread and the one sampler process behind all live recordings of this process.

The thread sleeps until the first of them is due, takes up what the sampler process wrote, and lets each do
its part. It refers to recordings weakly. It ends, and the process with it, when the last one leaves.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from memlab.errors import MemlabError

if TYPE_CHECKING:
    from memlab.lab.live_samples import OutsideSamples

__all__ = ["Hub", "process_wide"]

_JOIN_S = 2.0
_LONGEST_WAIT_S = 60.0


class Member(Protocol):
    """What the hub serves."""

    ended: str
    interval_s: float
    outside: bool

    def tick(self, now: float) -> float:
        """Do what is due at ``now`` (``time.monotonic``), and return when to come again."""

    def take_rss(self, rows: list[tuple[float, int]]) -> None:
        """Take readings of RSS: moments as ``time.monotonic`` has them, and bytes."""


class Hub:
    """The thread and the process. ``process_wide()`` gives the one that there is.

    Attributes:
        reason: why RSS is not read from outside; empty where it is.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reason = ""
        # Re-entrant: a forgotten recording may be collected while its thread is in here.
        self._lock = threading.RLock()
        self._members: weakref.WeakSet[Member] = weakref.WeakSet()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._outside: OutsideSamples | None = None
        self._origin_s = 0.0

    @property
    def runs(self) -> bool:
        """Tell whether the thread is there."""
        return self._thread is not None and self._thread.is_alive() and self.pid == os.getpid()

    @property
    def members(self) -> int:
        """How many are served."""
        return len(self._members)

    @property
    def reads_outside(self) -> bool:
        """Tell whether RSS is read by the process."""
        return self._outside is not None and self._outside.is_alive

    def join(self, member: Member) -> None:
        """Serve a recording from now on."""
        with self._lock:
            self._members.add(member)
            if member.outside:
                self._watch_from_outside(member.interval_s)
            if not self.runs:
                self._wake = threading.Event()
                self._thread = threading.Thread(
                    target=_serve, args=(weakref.ref(self), self._members, self._wake), name="memlab-live"
                )
                self._thread.daemon = True
                _end_at_exit()
                self._thread.start()
        self._wake.set()

    def leave(self, member: Member) -> None:
        """Serve a recording no more; the last one ends thread and process, and gets what was written last."""
        if os.getpid() != self.pid:
            return
        with self._lock:
            self._members.discard(member)
            thread = self._thread
            last = not self._members
        self._wake.set()
        if not last:
            return
        begun = thread is not None and thread.ident is not None  # an interrupt may have come before
        if begun and thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        member.take_rss(self._stop_outside())

    def take_up(self) -> None:
        """Hand to everybody what the process has written."""
        with self._lock:
            outside, origin = self._outside, self._origin_s
            rows = outside.take() if outside is not None else []
            if rows:
                moved = [(origin + at, value) for at, value in rows]
                for member in tuple(self._members):
                    if member.outside:
                        member.take_rss(moved)

    def retire(self) -> bool:
        """Let the thread go when there is nobody to serve; who joins after that starts another."""
        with self._lock:
            if len(self._members):
                return False
            self._thread = None
        return True

    def end(self) -> None:
        """End thread and process: the interpreter ends."""
        thread = self._thread
        self._members.clear()
        self._wake.set()
        if thread is not None and thread.ident is not None and os.getpid() == self.pid:
            thread.join(_JOIN_S)
        self._stop_outside()

    def _watch_from_outside(self, interval_s: float) -> None:
        """See to it that the process reads, at least so often."""
        outside = self._outside
        if outside is not None and outside.is_alive and outside.interval_s <= interval_s:
            return
        self.take_up()
        try:
            from memlab.lab.live_samples import OutsideSamples

            origin = time.monotonic()
            finer = OutsideSamples(origin, interval_s)
        except (MemlabError, ImportError) as error:
            self.reason = str(error)
            return
        self._outside, self._origin_s, self.reason = finer, origin, ""
        if outside is not None:
            outside.close()

    def _stop_outside(self) -> list[tuple[float, int]]:
        with self._lock:
            if len(self._members):  # somebody has joined meanwhile
                return []
            outside, self._outside = self._outside, None
            origin = self._origin_s
        return [(origin + at, value) for at, value in outside.close(wait=True)] if outside is not None else []


def _serve(hub: weakref.ref[Hub], members: weakref.WeakSet[Member], wake: threading.Event) -> None:
    """Serve all members until there is none."""
    while True:
        wake.clear()
        owner = hub()
        if owner is not None:
            with contextlib.suppress(Exception):  # a fault of the process's file ends no recording
                owner.take_up()
        due = _serve_once(members)
        if due is None and (owner is None or owner.retire()):
            return
        del owner
        if due is not None:
            wake.wait(min(_LONGEST_WAIT_S, max(0.0, due - time.monotonic())))


def _serve_once(members: weakref.WeakSet[Member]) -> float | None:
    """Serve each member once, and return when the next is due; None where there is none."""
    dues = []
    for member in tuple(members):
        try:
            dues.append(member.tick(time.monotonic()))
        except Exception as error:  # noqa: BLE001 - a fault ends one recording, not the thread
            member.ended = member.ended or f"it failed: {type(error).__name__}"
            members.discard(member)
    return min(dues, default=None)


_hub: Hub | None = None
_hooks: list[object] = []


def process_wide() -> Hub:
    """Return the hub of this process; a forked child, which has no such thread, gets one of its own."""
    global _hub  # noqa: PLW0603 - one thread for the process
    if _hub is None or _hub.pid != os.getpid():
        _hub = Hub()
    return _hub


def _end_at_exit() -> None:
    if not _hooks:
        _hooks.append(atexit.register(_end_hub))


def _end_hub() -> None:
    if _hub is not None:
        _hub.end()
