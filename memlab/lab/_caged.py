"""The inside of a cage: a child process that puts itself under limits and then under pressure.

Before anything else the child arranges to die: with its parent (the kernel's parent-death signal, and the end
of file on its standard input), at its deadline (an alarm that no Python code has to handle), and first of all
processes when memory runs out (``oom_score_adj``). Then it makes the subject, calls it once, and draws its
wall: a limit on its private memory that leaves exactly what the budget leaves, and a wider one on its address
space, of which allocators reserve more than they use. From then on the main thread calls the subject, one
thread moves the ballast, and one tells the parent how far it is.

Only the standard library and modules of memlab that need no more are imported, so that an empty cage takes
some 14 MiB. Messages are frames on the pipe that was standard output; what the subject prints goes to
standard error. The ordinary frame is packed into a buffer made beforehand: it needs no memory at the wall.
"""

from __future__ import annotations

import array
import base64
import contextlib
import importlib
import json
import mmap
import os
import pickle
import random
import signal
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.collectors.limits import Machine, cage
from memlab.lab._ballast import Ballast, map_private
from memlab.lab._subjects import UNKNOWN, CacheSubject, PoolSubject, StepSubject, Subject, default_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["EVENT", "HEADER", "TELL", "main"]

HEADER = struct.Struct("<BI")
TELL = struct.Struct("<B10q")
"""An ordinary frame: its kind (0), monotonic ns, phase, ballast, calls, failures, hits, misses, evictions,
entries, ns spent in calls."""
EVENT = 1
"""Kind of a frame that holds a JSON object."""

_PARENT_DEATH_SIGNAL = 1
_FIRST_TO_DIE = "1000"
_TELL_EVERY_S = 0.01
_BALLAST_EVERY_S = 0.002
_KEEP_FOR_LAST = 2 * 2**20
_MOST_LATENCIES = 20_000
_LATENCY_SEED = 11
_START_S = 65
_GRACE_S = 5
_ARENA_BYTES = 4096
_ADDRESS_SLACK = 128 * 2**20
_OWN_BYTES = 256 * 1024
"""What the own threads and the last message may touch after the last step."""
_MIB = 2**20


class Refusal(Exception):  # noqa: N818 - it carries a sentence to the parent, as an outcome
    """Raised to end the run before it begins, with a sentence for the caller."""


class Phase:
    """What the subject did in one stage."""

    def __init__(self) -> None:
        self.start_ns = self.end_ns = self.calls = self.failures = self.longest_ns = 0
        self.ballast = 0
        self.latencies = array.array("q")
        self.before = self.after = (UNKNOWN,) * 4

    def told(self, origin_ns: int) -> dict[str, Any]:
        """Return its figures as plain numbers."""
        ordered = sorted(self.latencies)
        count = len(ordered)
        return {
            "start_s": (self.start_ns - origin_ns) / 1e9,
            "end_s": (self.end_ns - origin_ns) / 1e9,
            "ballast": self.ballast,
            "calls": self.calls,
            "failures": self.failures,
            "p50": ordered[count // 2] / 1e9 if count else None,
            "p99": ordered[min(count - 1, count * 99 // 100)] / 1e9 if count else None,
            "max": self.longest_ns / 1e9 if count else None,
            "figures": [
                after - before if UNKNOWN not in (before, after) else None
                for before, after in zip(self.before[:3], self.after[:3], strict=True)
            ],
            "entries": self.after[3] if self.after[3] != UNKNOWN else None,
        }


class Inside:
    """One run.

    Args:
        plan: what the parent wants, as JSON gives it.
        channel: descriptor of the parent's pipe.
        machine: reads the machine's room.
    """

    def __init__(self, plan: Mapping[str, Any], channel: int, machine: Machine) -> None:
        self.plan = plan
        self.budget: int = plan["budget"]
        self.stages: list[tuple[float, float]] = [(s["seconds"], s["share"]) for s in plan["stages"]]
        self.step = max(mmap.PAGESIZE, self.budget // 64)
        self.stop_bytes = int(self.budget * (plan["stop_at"] if plan["stop_at"] is not None else 1.0))
        self.ballast = Ballast(self.step)
        self.phases = [Phase() for _ in self.stages]
        self.at = 0
        self.calls = self.failed = self.busy_ns = 0
        self.failures: dict[str, int] = {}
        self.notes: dict[str, bool] = {}
        self.subject: Subject | None = None
        self.room = self.base_rss = self.origin_ns = 0
        self._channel = channel
        self._machine = machine
        self._frame = bytearray(HEADER.size + TELL.size)
        self._sending = threading.Lock()
        self._over = threading.Event()
        self._chance = random.Random(_LATENCY_SEED)  # noqa: S311 - sampling, not secrets
        self._statm = os.open("/proc/self/statm", os.O_RDONLY) if os.path.exists("/proc/self/statm") else -1  # noqa: PTH110
        self._kept = map_private(_KEEP_FOR_LAST)
        self._go = threading.Event()

    # -- the run

    def run(self) -> None:
        """Make the subject, draw the wall, run every stage, and tell the end."""
        self.subject = self._made()
        if self.subject is not None:
            try:
                self.subject.call()  # what it imports and caches on first use is no pressure
            except BaseException as error:  # noqa: BLE001 - its own exception, told as such
                raise Refusal(f"its first call raised {_type_of(error)}{_place_of(error)}") from None
        self.base_rss = self.rss()
        self.room = self.budget - self.base_rss
        if self.room < self.step:
            raise Refusal(
                f"it takes {_mib(self.base_rss)} before any pressure, and the budget is {_mib(self.budget)}: "
                "give it a larger one"
            )
        cage.limit_bytes, cage.used = self.budget, self.rss
        movers = self._started(self._move, self._tell)
        self.ready(self._kind())
        self.draw_wall()
        self._go.set()
        self._work()
        for mover in movers:
            mover.join()
        self._kept.close()
        self.send(self.ending())

    def ending(self) -> dict[str, Any]:
        """Return what the parent is told at the end."""
        return {
            "event": "end",
            "rss": self.rss(),
            "peak": _peak(),
            "phases": [phase.told(self.origin_ns) for phase in self.phases if phase.end_ns],
            "failures": self.failures,
            "notes": self.notes | {"processes": bool(_refused)},
        }

    def _started(self, *parts: Callable[[], None]) -> list[threading.Thread]:
        """Start threads that wait; each has its stack and its allocator's arena before the wall is drawn."""
        ready = threading.Semaphore(0)

        def run(part: Callable[[], None]) -> None:
            bytes(_ARENA_BYTES)
            ready.release()
            self._go.wait()
            part()

        threads = [threading.Thread(target=run, args=(part,), daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        for _ in threads:
            ready.acquire()
        return threads

    def ready(self, kind: str) -> None:
        """Begin the first phase, and the time that the deadline allows."""
        self.origin_ns = time.monotonic_ns()
        signal.alarm(int(self.plan["deadline"]) + _GRACE_S)
        self.send({"event": "ready", "base": self.base_rss, "origin": self.origin_ns, "kind": kind})
        self._begin(0)

    def _work(self) -> None:
        subject = self.subject
        if subject is None:
            self._over.wait()
            return
        clock, over = time.perf_counter_ns, self._over
        call = subject.call
        while not over.is_set():
            begun = clock()
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - SystemExit too: it is counted, and the run goes on
                self._count_failure(error)
                del error
                continue
            spent = clock() - begun
            try:
                self._count(spent)
            except MemoryError:  # the wall: this call goes uncounted
                continue

    def _count(self, spent: int) -> None:
        phase = self.phases[self.at]
        self.calls += 1
        self.busy_ns += spent
        phase.calls += 1
        phase.longest_ns = max(phase.longest_ns, spent)
        if len(phase.latencies) < _MOST_LATENCIES:
            phase.latencies.append(spent)
        else:  # a uniform sample of all calls so far (Vitter's algorithm R)
            place = self._chance.randrange(phase.calls)
            if place < _MOST_LATENCIES:
                phase.latencies[place] = spent

    def _count_failure(self, error: BaseException) -> None:
        self.calls += 1
        self.failed += 1
        phase = self.phases[self.at]
        phase.calls += 1
        phase.failures += 1
        with contextlib.suppress(MemoryError):
            name = _type_of(error)
            if name in self.failures or len(self.failures) < 20:  # noqa: PLR2004 - kinds, not counts
                self.failures[name] = self.failures.get(name, 0) + 1
        error.__traceback__ = None  # its frames would keep what the call had made
        time.sleep(0)

    # -- the ballast

    def _move(self) -> None:
        """Move the ballast through every stage, then let all of it go."""
        try:
            level = 0.0
            for number, (seconds, share) in enumerate(self.stages):
                if number:
                    self._end(number - 1)
                    self._begin(number)
                self._stage(level, share, seconds)
                level = share
            self._end(len(self.stages) - 1)
        except MemoryError:
            self.notes["wall"] = True
        finally:
            self.ballast.shrink_to(0)
            self._over.set()

    def _stage(self, level: float, share: float, seconds: float) -> None:
        begun = time.monotonic()
        while True:
            passed = time.monotonic() - begun
            part = min(1.0, passed / seconds) if seconds else 1.0
            done = self._towards(int(self.room * (level + (share - level) * part)))
            if part >= 1.0 and done:
                return
            if done:
                time.sleep(min(_BALLAST_EVERY_S, max(0.0, seconds - passed)))

    def _towards(self, target: int) -> bool:
        """Take one step towards a target; tell whether it stands, or as much of it as there may be."""
        ballast = self.ballast
        if ballast.held_bytes > target:
            ballast.shrink_to(target)
            return True
        wanted = min(self.step, target - ballast.held_bytes)
        if wanted < mmap.PAGESIZE:
            return True
        if self.rss() + wanted + _OWN_BYTES > self.stop_bytes:
            self.notes["stopped"] = True
            return True
        available = self._machine.available()
        if available is not None and available - wanted < self.plan["reserve"]:
            self.notes["reserve"] = True
            return True
        try:
            return ballast.grow(wanted) == 0
        except MemoryError:
            self.notes["wall"] = True
            return True

    def _begin(self, number: int) -> None:
        phase = self.phases[number]
        phase.start_ns = time.monotonic_ns()
        phase.before = self._figures()
        self.at = number

    def _end(self, number: int) -> None:
        phase = self.phases[number]
        phase.end_ns = time.monotonic_ns()
        phase.after = self._figures()
        phase.ballast = self.ballast.held_bytes

    def _figures(self) -> tuple[int, int, int, int]:
        subject = self.subject
        if subject is None:
            return (UNKNOWN,) * 4
        with contextlib.suppress(Exception):  # the subject's own len() or stats may fail at the wall
            subject.refresh()
        return subject.hits, subject.misses, subject.evictions, subject.entries

    # -- telling

    def send(self, event: Mapping[str, Any]) -> None:
        """Send an event."""
        body = json.dumps(event).encode()
        with self._sending:
            _write(self._channel, HEADER.pack(EVENT, len(body)) + body)

    def _tell(self) -> None:
        while not self._over.wait(_TELL_EVERY_S):
            with contextlib.suppress(MemoryError), self._sending:
                self._pack()
                _write(self._channel, self._frame)

    def _pack(self) -> None:
        HEADER.pack_into(self._frame, 0, 0, TELL.size)
        TELL.pack_into(
            self._frame,
            HEADER.size,
            0,
            time.monotonic_ns(),
            self.at,
            self.ballast.held_bytes,
            self.calls,
            self.failed,
            *self._figures(),
            self.busy_ns,
        )

    def rss(self) -> int:
        """Return the own resident memory, 0 where there is no ``/proc``."""
        if self._statm < 0:
            return _rss_elsewhere()
        return int(os.pread(self._statm, 256, 0).split()[1]) * mmap.PAGESIZE

    # -- beginnings

    def _kind(self) -> str:
        return self.subject.kind if self.subject is not None else "none"

    def _made(self) -> Subject | None:
        """Return the subject that the plan names."""
        kind, named = self.plan["kind"], self.plan["subject"]
        if kind == "none":
            return None
        try:
            found = _loaded(named)
            keys = _loaded(self.plan["keys"]) if self.plan["keys"] is not None else None
            if kind == "step":
                return StepSubject(found)
            made = found()
            if kind == "pool":
                return PoolSubject(made)
            trace = keys() if callable(keys) else default_keys(self.plan["key_count"])
            return CacheSubject(made, trace, self.plan["value_bytes"])
        except Refusal:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's own, told as such
            raise Refusal(f"making it raised {_type_of(error)}{_place_of(error)}") from None

    def draw_wall(self) -> None:
        """Limit private memory to what there is now and the room that the budget leaves."""
        import resource

        for name, field, slack in (("RLIMIT_DATA", "VmData", 0), ("RLIMIT_AS", "VmSize", _ADDRESS_SLACK)):
            mapped = _status(field)
            if mapped is None:
                continue  # the parent watches, as it does everywhere
            limit = getattr(resource, name)
            hard = resource.getrlimit(limit)[1]
            wall = mapped + self.room + slack
            resource.setrlimit(limit, (wall if hard == resource.RLIM_INFINITY else min(wall, hard), hard))


def main(inside: Callable[[Inside], None] = Inside.run) -> None:
    """Run the plan that comes on standard input, and leave."""
    source = sys.stdin.buffer
    size = source.readline()
    if not size:
        return  # whoever started this was interrupted before it could say what to do
    plan = json.loads(source.read(int(size)))
    channel = os.dup(1)
    os.dup2(2, 1)  # what the subject prints is no message
    _arrange_to_die(plan)
    sys.path[:] = plan["path"]
    run = Inside(plan, channel, Machine())
    code = 0
    try:
        inside(run)
    except Refusal as refusal:
        said = "; a subject may not start processes in the cage" if _refused else ""
        run.send({"event": "refused", "reason": f"{refusal}{said}"})
        code = 1
    except MemoryError:
        run.ballast.shrink_to(0)
        with contextlib.suppress(BaseException):
            run.send({"event": "wall"})
        code = 1
    os._exit(code)  # the subject's threads and exit handlers have no say


def _arrange_to_die(plan: Mapping[str, Any]) -> None:
    """With the parent, at the deadline, and first of all when memory runs out."""
    signal.alarm(int(plan["deadline"]) + _START_S)
    with contextlib.suppress(Exception):  # only Linux has it; the end of the input serves the others
        import ctypes

        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != plan["parent"]:  # it died before it could be followed
        os._exit(1)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(_FIRST_TO_DIE)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.addaudithook(_no_processes)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _no_processes(event: str, _arguments: tuple[Any, ...]) -> None:
    """Refuse to start processes: the cage's limits would not hold for them."""
    if event in _STARTING:
        _refused.append(event)
        raise PermissionError(
            "a subject may not start processes in the cage: its limits would not hold there"
        )


_STARTING = frozenset(("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "subprocess.Popen"))
_refused: list[str] = []


def _loaded(named: Mapping[str, str]) -> Any:
    """Return what a plan names: ``module:function``, a file's, or a pickled callable."""
    if "pickle" in named:
        return pickle.loads(base64.b64decode(named["pickle"]))  # noqa: S301 - from the own parent, over a pipe
    place, _, path = named["name"].rpartition(":")
    found: Any = importlib.import_module(place)
    for part in path.split("."):
        if not hasattr(found, part):
            raise Refusal(f"there is no {part!r} in {place}; name it as module:function")
        found = getattr(found, part)
    return found


def _write(channel: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(channel, view) :]


def _status(field: str) -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _peak() -> int | None:
    return _status("VmHWM")


def _rss_elsewhere() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _type_of(error: BaseException) -> str:
    return instance_type_name(error).removeprefix("builtins.")


def _place_of(error: BaseException) -> str:
    """Return the innermost line outside memlab, as ``at file:line``; names are labels, never whole paths."""
    from memlab._base.paths import PathLabels

    labels, at, found = PathLabels(), error.__traceback__, ""
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if not labels.is_memlab(name) and not name.startswith("<frozen"):
            found = f" at {labels.label(name)}:{at.tb_lineno}"
        at = at.tb_next
    return found


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
