"""The outside of a cage: start the child, watch it, end it, and give back what it told.

The parent reads the child's memory from outside, so that a call which holds the child's interpreter lock is
seen as well, and kills it when it passes its budget, when the machine falls under its reserve, or when its
time is over. The child is the leader of a process group of its own, and the whole group goes with it: however
the run ends, also by an exception in the parent, nobody is left. What keeps that true when the parent itself
is killed is the child's own business (``_caged``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memlab.collectors.limits import Machine
from memlab.collectors.sampler import Columns
from memlab.errors import UnavailableError
from memlab.lab._caged import EVENT, HEADER, TELL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.records.columns import Floats, Ints

__all__ = ["OVER_BUDGET", "Cage", "Seen", "Told", "start_refusal"]

_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, {root!r}); from memlab.lab._caged import main; main({inside})"
_FAILING = "__import__('memlab.lab._failing', fromlist=['_']).fail_allocations"
_TICK_S = 0.01
_LOOK_AT_MACHINE_S = 0.05
_LOOK_AT_FAMILY_S = 1.0
_MOST_ROWS = 20_000
_READ = 1 << 16
_LEAVING_S = 0.5
_MIB = 2**20
START_S = 60.0
"""Time for a new interpreter to come up and to make its subject, before the deadline's clock begins."""
OVER_BUDGET = 8 * _MIB
"""How far resident memory may stand above the budget before the watchdog ends the cage: the interpreter's own
shared pages are counted in it, and may come in late."""


class Told(NamedTuple):
    """The last ordinary frame from the child; times in nanoseconds, -1 for a figure that it has not."""

    time_ns: int = 0
    phase: int = 0
    ballast: int = 0
    calls: int = 0
    failures: int = 0
    hits: int = -1
    misses: int = -1
    evictions: int = -1
    entries: int = -1
    busy_ns: int = 0


@dataclasses.dataclass(slots=True)
class Seen:
    """What came of a run.

    Attributes:
        ready: the child's word that it is there, None when it never came.
        end: its last word, None when it could give none; ``refused`` and ``wall`` are words too.
        killed: why the watchdog ended it, empty when it did not.
        deadline: whether its time was over; ``stopped``: whether ``on_sample`` ended it.
        code: its exit code, negative for a signal.
        times, columns, names: samples since it was ready.
        peak: greatest resident memory that was read, by the kernel's mark where ``exact``.
        point: the last failure point that was begun.
    """

    ready: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    killed: str = ""
    deadline: bool = False
    stopped: bool = False
    code: int | None = None
    times: Floats | None = None
    columns: tuple[Ints, ...] = ()
    names: tuple[str, ...] = ()
    peak: int = 0
    exact: bool = False
    point: int = 0
    elapsed_s: float = 0.0
    confined: str = ""


class Cage:
    """One child process under watch.

    Args:
        plan: what the child is to do; see ``_caged.Inside``.
        on_sample: called about every 0.1 s with the seconds since it was ready, its resident memory and the
            last that it told. When it returns False the run is ended; what it raises ends it and passes
            through.
        machine: reads the machine's room.
        group: makes a cgroup around the child and returns its name; None for none.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        on_sample: Callable[[float, int, Told], object] | None = None,
        machine: Machine | None = None,
        group: Any = None,
    ) -> None:
        self.seen = Seen()
        self._plan = dict(plan)
        self._on_sample = on_sample
        self._machine = machine or Machine()
        self._group = group
        self._buffer = bytearray()
        self._told = Told()
        self._columns: Columns | None = None
        self._origin_s = 0.0
        self._next_sample = self._next_machine = self._next_family = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._hung_up = False

    def run(self) -> Seen:
        """Run the plan to whatever end it takes."""
        begun = time.monotonic()
        try:
            self._start()
            self._watch(begun)
        finally:
            self._end()
            self.seen.elapsed_s = time.monotonic() - begun
            self._finish_columns()
        return self.seen

    def _start(self) -> None:
        inside = _FAILING if self._plan["kind"] != "none" and self._plan["failing"] else ""
        command = [sys.executable, "-P", "-c", _BOOT.format(root=_ROOT, inside=inside)]
        body = json.dumps(self._plan | {"parent": os.getpid(), "path": sys.path}).encode()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise UnavailableError(f"a cage could not be started: {error.strerror or error}") from None
        if self._group is not None:
            self.seen.confined = self._group.enclose(self._process.pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % len(body) + body)
            self._process.stdin.flush()

    def _watch(self, begun: float) -> None:
        allowed = float(self._plan["deadline"])
        deadline = begun + max(allowed, START_S)
        process = self._process
        assert process is not None
        assert process.stdout is not None
        out = process.stdout.fileno()
        due = time.monotonic()
        while True:
            due = max(due + _TICK_S, time.monotonic())
            if not self._read_until(out, due):
                self._hung_up = True
                return
            now = time.monotonic()
            if self.seen.ready is not None:
                deadline = self._origin_s + allowed
            rss = self._look(process.pid)
            reason = self._why_end(rss, now)
            if reason:
                self.seen.killed = reason
                return
            if now >= deadline:
                self.seen.deadline = True
                return
            if not self._sample(now, rss):
                self.seen.stopped = True
                return

    def _read_until(self, out: int, due: float) -> bool:
        """Take in what the child says until a moment; False when it has said its last."""
        while True:
            ready, _, _ = select.select([out], [], [], max(0.0, due - time.monotonic()))
            if not ready:
                return True
            data = os.read(out, _READ)
            if not data:
                return False
            self._buffer += data
            self._take_in()

    def _take_in(self) -> None:
        buffer = self._buffer
        at = 0
        while len(buffer) - at >= HEADER.size:
            kind, size = HEADER.unpack_from(buffer, at)
            if len(buffer) - at - HEADER.size < size:
                break
            body = bytes(buffer[at + HEADER.size : at + HEADER.size + size])
            at += HEADER.size + size
            if kind == EVENT:
                self._event(json.loads(body))
            else:
                self._told = Told(*TELL.unpack(body)[1:])
        del buffer[:at]

    def _event(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "ready":
            self.seen.ready = event
            self._origin_s = event["origin"] / 1e9
            names = ["rss_bytes", "ballast_bytes"]
            if event["kind"] != "none":
                names += ["calls", "failures", "busy_ns"]
            if event["kind"] in ("cache", "pool"):
                names += ["hits", "misses", "evictions", "entries"]
            self.seen.names = tuple(names)
            self._columns = Columns(len(names), _MOST_ROWS)
        elif name == "point":
            self.seen.point = event["number"]
        else:
            self.seen.end = event
            if event.get("peak"):
                self.seen.peak, self.seen.exact = max(self.seen.peak, event["peak"]), True

    def _look(self, pid: int) -> int | None:
        """Read the child's resident memory, and its greatest so far."""
        rss, peak = _memory_of(pid)
        if peak is not None:
            self.seen.exact = True
        self.seen.peak = max(self.seen.peak, peak or rss or 0)
        return rss

    def _why_end(self, rss: int | None, now: float) -> str:
        budget = self._plan["budget"]
        if rss is not None and rss > budget + OVER_BUDGET:
            return f"it held {rss / _MIB:.0f} MiB, and its budget is {budget / _MIB:.0f} MiB"
        if now >= self._next_machine:
            self._next_machine = now + _LOOK_AT_MACHINE_S
            left = self._machine.available()
            if left is not None and left < self._plan["reserve"]:
                keeps = self._plan["reserve"] / _MIB
                return f"the machine had {left / _MIB:.0f} MiB left, and {keeps:.0f} MiB are its reserve"
        if now >= self._next_family and rss is not None:
            self._next_family = now + _LOOK_AT_FAMILY_S
            family = rss + _descendants(self._process.pid if self._process is not None else 0)
            if family > budget + OVER_BUDGET:
                return f"it and its own children held {family / _MIB:.0f} MiB"
        return ""

    def _sample(self, now: float, rss: int | None) -> bool:
        """Keep a row, and show it; False when whoever looks on says that it is enough."""
        if self._columns is None or rss is None or now < self._origin_s:
            return True
        told = self._told
        row = [rss, told.ballast, told.calls, told.failures, told.busy_ns, told.hits, told.misses]
        row += [told.evictions, told.entries]
        # What a subject has not told yet is nothing yet: the run has only begun.
        self._columns.append(now - self._origin_s, [max(0, v) for v in row[: len(self.seen.names)]])
        if self._on_sample is not None and now >= self._next_sample:
            self._next_sample = now + 0.1
            return self._on_sample(now - self._origin_s, rss, told) is not False
        return True

    def _finish_columns(self) -> None:
        if self._columns is not None:
            times, columns = self._columns.finished()
            self.seen.times, self.seen.columns = times, tuple(columns)

    def _end(self) -> None:
        """End the child with its whole group, and wait for it."""
        process = self._process
        if process is None:
            return
        try:
            if self._hung_up:  # it is leaving by itself, and its exit code says how
                _wait_unreaped(process.pid)
        finally:
            # Before it is reaped: until then nobody else can have its number.
            _kill_group(process.pid)
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self.seen.code = process.wait()
            if self._group is not None:
                self._group.remove()


def start_refusal() -> str:
    """Return why no cage can be had here, empty when it can."""
    if os.name != "posix":
        return "a cage needs limits on a process, which this system does not have (Linux and macOS do)"
    if not sys.executable:
        return "a cage is a new Python process, and this program does not say where its interpreter is"
    return ""


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait_unreaped(pid: int) -> None:
    """Wait for the end of a child that is leaving, and leave it to be reaped."""
    deadline = time.monotonic() + _LEAVING_S
    while not _has_ended(pid) and time.monotonic() < deadline:
        time.sleep(0.002)


def _kill_group(pid: int) -> None:
    # Between its fork and its exec a child has no group of its own yet.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _memory_of(pid: int) -> tuple[int | None, int | None]:
    """Return a process's resident memory and the kernel's mark of its greatest, None where not to be had."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123 - a hundred times a second
            status = file.read()
    except OSError:
        return _memory_elsewhere(pid), None
    found = {}
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name in (b"VmRSS", b"VmHWM"):
            found[name] = int(value.split()[0]) * 1024
    return found.get(b"VmRSS"), found.get(b"VmHWM")


def _memory_elsewhere(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def _descendants(pid: int) -> int:
    """Return the resident memory of a process's descendants together."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_info().rss
    return total
