"""The sampler process: reads another process's memory from outside, and writes what it reads as frames.

Run as a file of its own by an isolated interpreter (``python -I -S``): standard library alone, nothing of
memlab imported. The first line on stdin is its orders, as JSON; the end of stdin, or a second line, is the
order to end. It also ends when its target does, however that ended, so no orphan is left.

RSS comes from ``/proc/PID/statm`` over a descriptor that stays open (which also cannot come to mean another
process, should the number be given out again): every millisecond at the beginning and while memory moves,
else at the interval that was asked for. A reading equal to the one before is counted and not kept. What
costs the target something (``smaps_rollup`` walks its page tables under its lock) is read at most once a
second, and so seldom that all of it stays under a two-hundredth of the time.

A frame is a mark, a kind, a length, a check and a payload, and is written by one ``write`` to a file that
was opened for appending: the target writes to the same file, and neither needs a lock. Each frame stands
for itself, so a file that ends anywhere gives all that came before. A file that takes no more (a full disk)
costs nothing but itself: frames are then kept in memory, within a bound, and given back through stdout.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import select
import struct
import sys
import time
import zlib
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"memlab stream 1\n"
SYNC = b"\xf5mlf"
HEAD = struct.Struct("<4scII")
JSON_FRAME, COLUMNS_FRAME = b"J", b"C"
COLUMNS_HEAD = struct.Struct("<HHI")
PACKED = 0x8000

_FASTEST_S = 0.001
_IDLE_S = 0.1
_BEGINNING_S = 0.25
_HOT_S = 0.03
_STILL_S = 2.0
_MOVED_BYTES = 64 * 1024
_FLUSH_S = 0.4
_SLOW_S = 1.0
_SLOW_SHARE = 200
_FAMILY_S = 0.25
_FAMILY_SHARE = 50
_RISE_BYTES = 1024 * 1024
_LEVEL = 3  # half of the time of 6, for files a fortieth greater
_RISE_GAP_S = 0.02
_MOST_CHILDREN = 200
_MOST_KEPT = 16 * 1024 * 1024
_PATIENCE_S = 0.5
_SIGNAL_MASK = 0x7F


def frame(kind: bytes, payload: bytes) -> bytes:
    """Return a payload as a frame."""
    return HEAD.pack(SYNC, kind, len(payload), zlib.crc32(payload, zlib.crc32(kind))) + payload


def json_frame(document: dict[str, Any]) -> bytes:
    """Return a document as a frame."""
    return frame(JSON_FRAME, json.dumps(document, separators=(",", ":")).encode())


def columns_frame(series: int, columns: list[array[int]]) -> bytes:
    """Return columns of equal length as a frame: differences of neighbours, packed where that pays."""
    values, before = array("q"), array("q")
    for column in columns:
        values.extend(column)
        if column:
            before.append(0)
            before.extend(column[:-1])
    differences = subtracted(values, before)
    if sys.byteorder == "big":
        differences.byteswap()
    plain = differences.tobytes()
    packed = zlib.compress(plain, _LEVEL)
    flag, content = (PACKED, packed) if len(packed) < len(plain) else (0, plain)
    return frame(COLUMNS_FRAME, COLUMNS_HEAD.pack(series, len(columns) | flag, len(columns[0])) + content)


def subtracted(these: array[int], those: array[int]) -> array[int]:
    """Subtract 64-bit integers from as many others.

    Each column becomes one great number, with a digit of 64 bits for each integer, and one subtraction does
    for all: loops over them were half of what the thread of a recording did. The top bit of each digit is set
    before and turned after, so that none borrows from the next. Negative integers, which have it set
    already, go one by one.
    """
    a = int.from_bytes(these.tobytes(), sys.byteorder)
    b = int.from_bytes(those.tobytes(), sys.byteorder)
    tops = int.from_bytes((b"\x80" + bytes(7)) * len(these), "big")
    if (a | b) & tops:
        return array("q", map(operator.sub, these, those))
    found = array("q")
    found.frombytes(((a + tops - b) ^ tops).to_bytes(8 * len(these), sys.byteorder))
    return found


class Sink:
    """Where frames go: the file as long as it takes them, then memory, within a bound.

    Attributes:
        failure: why the file took no more; empty while it does.
    """

    def __init__(self, descriptor: int, write: Any = os.write) -> None:
        self.descriptor = descriptor
        self.failure = ""
        self.kept: list[bytes] = []
        self.lost = 0
        self._bytes = 0
        self._write = write

    def put(self, data: bytes) -> None:
        """Write a frame; never raises."""
        if not self.failure:
            try:
                if self._write(self.descriptor, data) == len(data):
                    return
                self.failure = "the disk is full"
            except OSError as error:
                self.failure = error.strerror or "I/O error"
        if self._bytes + len(data) > _MOST_KEPT:
            self.lost += 1
            return
        self._bytes += len(data)
        self.kept.append(data)


class Series:
    """Rows of one series until they are written. A row equal to the two before it moves the later one."""

    def __init__(self, number: int, width: int) -> None:
        self.number = number
        self.taken = 0
        self._columns = [array("q") for _ in range(width + 1)]

    def add(self, moment: int, values: tuple[int, ...]) -> None:
        """Add a reading at ``moment``."""
        self.taken += 1
        columns = self._columns
        rows = len(columns[0])
        if rows > 1 and all(
            column[-1] == column[-2] == value for column, value in zip(columns[1:], values, strict=True)
        ):
            columns[0][-1] = moment
            return
        columns[0].append(moment)
        for column, value in zip(columns[1:], values, strict=True):
            column.append(value)

    def flushed(self) -> bytes:
        """Return the rows as a frame and forget them; empty when there are none."""
        columns = self._columns
        if not columns[0]:
            return b""
        data = columns_frame(self.number, columns)
        self._columns = [array("q") for _ in columns]
        return data


class Process:
    """A process by number and the moment it began, which together are never given out twice."""

    def __init__(self, pid: int, depth: int = 0) -> None:
        self.pid = pid
        self.depth = depth
        self._statm = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.began = began_at(pid)
        except BaseException:
            os.close(self._statm)
            raise

    def rss_pages(self) -> int:
        """Return RSS in pages; 0 when it is gone."""
        try:
            return int(os.pread(self._statm, 128, 0).split()[1])
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        """Close its descriptor."""
        os.close(self._statm)


def began_at(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine did.

    Raises:
        OSError, IndexError, ValueError: when there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib in here
        return int(file.read().rpartition(b")")[2].split()[19])


def ending_of(pid: int, began: int) -> tuple[int | None, int]:
    """Return exit code and signal of a process that nobody waited for yet; (None, 0) where not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib in here
            fields = file.read().rpartition(b")")[2].split()
        status = int(fields[49])
    except (OSError, IndexError, ValueError):
        return None, 0
    if fields[0] not in (b"Z", b"X") or int(fields[19]) != began:
        return None, 0
    return (None, status & _SIGNAL_MASK) if status & _SIGNAL_MASK else (status >> 8, 0)


def rollup(pid: int) -> dict[str, int]:
    """Return PSS, USS and swap of a process in bytes, as far as the kernel tells them."""
    with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib in here
        lines = [line.split() for line in file.read().splitlines()]
    found: dict[str, int] = {}
    for fields in lines:
        name = fields[0]
        if name == b"Pss:":
            found["pss_bytes"] = int(fields[1]) * 1024
        elif name.startswith(b"Private_") and name != b"Private_Hugetlb:":
            found["uss_bytes"] = found.get("uss_bytes", 0) + int(fields[1]) * 1024
        elif name == b"SwapPss:":
            found["swap_bytes"] = int(fields[1]) * 1024
    return found


def high_water(pid: int) -> int:
    """Return the kernel's mark of the greatest RSS, in bytes.

    Raises:
        OSError, ValueError: when it cannot be read.
    """
    with open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib in here
        for line in file.read().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM")


def children_of(pid: int) -> list[int]:
    """Return the numbers of a process's children."""
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - no pathlib in here
        with open(f"/proc/{pid}/task/{task}/children", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            found += map(int, file.read().split())
    return found


def reading_of(path: str, form: str) -> int:
    """Read one figure: a whole number, or the total of the line ``some`` of a pressure file."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib in here
        text = file.read()
    if form == "int":
        return int(text)
    if form == "meminfo":
        line = next(line for line in text.splitlines() if line.startswith(b"MemAvailable:"))
        return int(line.split()[1]) * 1024
    some = next(line for line in text.splitlines() if line.startswith(b"some "))
    return int(some.rpartition(b"total=")[2].split()[0])


class Sampler:
    """One recording of one target.

    Args:
        orders: ``pid``, ``began`` (0: not checked), ``interval_us``, ``idle`` (may it slow down while nothing
            moves), ``origin_ns``, ``descriptor`` of the file, ``children`` (are they wanted), ``slow`` (is
            what costs the target wanted), ``figures`` of the system as ``[name, path, form, source]``.
        tell: descriptor for what the target should know at once, -1 for none.
    """

    def __init__(self, orders: dict[str, Any], tell: int) -> None:
        self.asked_s = orders["interval_us"] / 1e6
        self.idle = orders["idle"]
        self.origin_ns: int = orders["origin_ns"]
        self.sink = Sink(orders["descriptor"])
        self.tell = tell
        self.page = os.sysconf("SC_PAGE_SIZE")
        self.target = Process(orders["pid"])
        if orders["began"] and self.target.began != orders["began"]:
            raise ProcessLookupError("the process is another by now")
        self.main = Series(0, 1)
        self.numbers = 0
        self.figures = orders["figures"]
        self.wants_children = orders["children"]
        self.wants_slow = orders["slow"]
        self.slow: Series | None = None
        self.slow_names: list[str] = []
        self.system: Series | None = None
        self.family: dict[int, tuple[Process, Series]] = {}
        self.seen = 0
        self.next_slow = self.next_family = 0.0
        self.gone = False
        self.mark = 0

    def run(self, ended: Any) -> None:  # noqa: C901 - one loop, in which each line counts
        """Sample until ``ended(seconds)``, which waits so long, returns True or the target is gone."""
        begin = time.monotonic()
        hot_until = begin + _BEGINNING_S
        moved_at, flush_at, told_at = begin, begin + _FLUSH_S, 0.0
        due = begin
        last = low = self.target.rss_pages()
        self.declare(0, "timeline", ["rss_bytes"], {"rss_bytes": "statm"}, scale=self.page)
        while True:
            pages = self.target.rss_pages()
            now = time.monotonic()
            if pages == 0:
                self.gone = True
                return
            self.main.add(self.stamp(now), (pages,))
            if pages != last:
                moved_at = now
                if abs(pages - last) * self.page >= _MOVED_BYTES:
                    hot_until = now + _HOT_S
                last = pages
            low = min(low, pages)
            if (pages - low) * self.page >= _RISE_BYTES and now - told_at >= _RISE_GAP_S:
                self.notice(now, pages, pages - low)
                told_at, low = now, pages
            if now >= self.next_slow or now >= self.next_family:
                self.seldom(now)
            if now >= flush_at:
                self.flush()
                flush_at = now + _FLUSH_S
            interval = self.asked_s
            if now < hot_until:
                interval = min(interval, _FASTEST_S)
            elif self.idle and now - moved_at > _STILL_S:
                interval = max(interval, _IDLE_S)
            due = max(due + interval, now)
            if ended(max(0.0, due - time.monotonic())):
                return

    def await_end(self) -> None:
        """Wait a moment for the target to be gone: its end of a pipe closes before it is."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.gone and time.monotonic() < deadline:
            self.gone = self.target.rss_pages() == 0
            time.sleep(_FASTEST_S)

    def stamp(self, now: float) -> int:
        """Return a moment as microseconds since the recording began."""
        return int(now * 1e6 - self.origin_ns / 1000)

    def declare(
        self, number: int, role: str, names: list[str], sources: dict[str, str], scale: int = 1, **more: Any
    ) -> None:
        """Say what the columns of a series are."""
        self.sink.put(
            json_frame(
                {"series": number, "role": role, "names": names, "sources": sources, "scale": scale, **more}
            )
        )

    def notice(self, now: float, pages: int, rise: int) -> None:
        """Tell the target that its memory rose; nobody waits if it does not listen."""
        if self.tell < 0:
            return
        document = {"rise": rise * self.page, "rss": pages * self.page, "us": self.stamp(now)}
        try:
            os.write(self.tell, json_frame(document))
        except BlockingIOError:
            pass
        except OSError:
            self.tell = -1

    def seldom(self, now: float) -> None:
        """Read what is read seldom, each at its own pace."""
        if now >= self.next_family:
            if self.wants_children:
                self.read_family(now)
            self.next_family = time.monotonic() + max(_FAMILY_S, (time.monotonic() - now) * _FAMILY_SHARE)
        if now >= self.next_slow:
            started = time.monotonic()
            if self.wants_slow:
                self.read_slow()
            with contextlib.suppress(OSError, ValueError):
                self.mark = high_water(self.target.pid)
            taken = time.monotonic() - started
            self.read_system()
            self.next_slow = time.monotonic() + max(_SLOW_S, taken * _SLOW_SHARE)

    def read_slow(self) -> None:
        """Read PSS, USS, swap, and the PSS of the whole family."""
        absent: dict[str, str] = {}
        try:
            values = rollup(self.target.pid)
        except OSError as error:
            values = {}
            reason = error.strerror or "I/O error"
            absent = dict.fromkeys(("pss_bytes", "uss_bytes", "swap_bytes", "family_pss_bytes"), reason)
        if "pss_bytes" in values and self.wants_children:
            values["family_pss_bytes"] = values["pss_bytes"] + self.family_pss()
        if self.slow is None:
            self.slow_names = sorted(values)
            self.slow = Series(self.next_number(), len(values))
            sources = dict.fromkeys(values, "smaps_rollup")
            self.declare(self.slow.number, "slow", self.slow_names, sources, absent=absent)
        if self.slow_names and all(name in values for name in self.slow_names):
            moment = self.stamp(time.monotonic())
            self.slow.add(moment, tuple(values[name] for name in self.slow_names))

    def family_pss(self) -> int:
        """Return the PSS of all descendants in bytes; one that ends meanwhile counts no more."""
        total = 0
        for process, _ in self.family.values():
            try:
                total += rollup(process.pid).get("pss_bytes", 0)
            except OSError:
                continue
        return total

    def read_system(self) -> None:
        """Read what surrounds the process. A figure that stops answering ends the series."""
        if self.system is None:
            answering, absent = [], {}
            for name, path, form, source in self.figures:
                try:
                    reading_of(path, form)
                    answering.append((name, path, form, source))
                except (OSError, ValueError, StopIteration) as error:
                    absent[name] = getattr(error, "strerror", None) or "does not read as expected"
            self.figures = answering
            self.system = Series(self.next_number(), len(answering))
            names, sources = [f[0] for f in answering], {f[0]: f[3] for f in answering}
            self.declare(self.system.number, "system", names, sources, absent=absent)
        if not self.figures:
            return
        try:
            values = tuple(reading_of(path, form) for _, path, form, _ in self.figures)
        except (OSError, ValueError, StopIteration):
            self.figures = []
            return
        self.system.add(self.stamp(time.monotonic()), values)

    def read_family(self, now: float) -> None:
        """Find new descendants and read the RSS of all."""
        moment = self.stamp(now)
        alive: set[int] = set()
        pending = [(self.target.pid, 0)]
        try:
            while pending and len(alive) < _MOST_CHILDREN:
                pid, depth = pending.pop()
                for child in children_of(pid):
                    if child != os.getpid() and child not in alive:
                        alive.add(child)
                        pending.append((child, depth + 1))
                        if child not in self.family:
                            self.welcome(child, depth + 1)
        except OSError:
            pass  # one of them ended meanwhile, or this kernel keeps no such list
        for pid, (process, series) in tuple(self.family.items()):
            pages = process.rss_pages()
            if pages:
                series.add(moment, (pages,))
            else:
                self.sink.put(series.flushed() or b"")
                self.sink.put(json_frame({"ended": series.number, "us": moment}))
                process.close()
                del self.family[pid]

    def welcome(self, pid: int, depth: int) -> None:
        """Follow a descendant from now on."""
        if self.seen >= _MOST_CHILDREN * 50:
            return
        try:
            process = Process(pid, depth)
        except (OSError, IndexError, ValueError):
            return
        self.seen += 1
        series = Series(self.next_number(), 1)
        self.family[pid] = process, series
        sources = {"rss_bytes": "statm"}
        self.declare(series.number, "child", ["rss_bytes"], sources, scale=self.page, pid=pid, depth=depth)

    def next_number(self) -> int:
        """Return a number for a new series. The target numbers its own from 60,000 on."""
        self.numbers = self.numbers % 50_000 + 1
        return self.numbers

    def flush(self) -> None:
        """Write all rows that wait."""
        waiting = [self.main, self.slow, self.system, *(series for _, series in self.family.values())]
        for series in waiting:
            data = series.flushed() if series is not None else b""
            if data:
                self.sink.put(data)

    def finish(self) -> None:
        """Write what is left, and how the target ended if it did."""
        self.flush()
        ending: dict[str, Any] = {"sampler": "ended", "taken": self.main.taken, "gone": self.gone}
        if self.gone:
            ending["exit_code"], ending["signal"] = ending_of(self.target.pid, self.target.began)
            ending["us"] = self.stamp(time.monotonic())
        else:
            with contextlib.suppress(OSError, ValueError):
                self.mark = high_water(self.target.pid)
        if self.mark:
            ending["vmhwm"] = self.mark
        self.sink.put(json_frame(ending))


def main() -> int:
    """Read the orders, sample, and end."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 65536)
        if not more:
            return 0
        line += more
    orders = json.loads(line)
    tell = 1 if orders["tell"] else -1
    if tell >= 0:
        os.set_blocking(tell, False)

    def ended(seconds: float) -> bool:
        if not select.select([0], [], [], seconds)[0]:
            return False
        if not os.read(0, 64):  # nobody said so: whoever held the other end is no more
            sampler.await_end()
        return True

    try:
        sampler = Sampler(orders, tell)
    except (OSError, IndexError, ValueError) as error:
        document = {"sampler": "failed", "reason": getattr(error, "strerror", None) or "no such process"}
        Sink(orders["descriptor"]).put(json_frame(document))
        return 1
    try:
        sampler.run(ended)
    finally:
        sampler.finish()
    if sampler.sink.failure and orders["tell"]:
        give_back(sampler.sink)
    return 0


def give_back(sink: Sink) -> None:
    """Give what the file did not take to whoever reads stdout."""
    failure = {"sink": sink.failure, "lost": sink.lost}
    try:
        os.set_blocking(1, True)
        for data in (json_frame(failure), *sink.kept):
            left = memoryview(data)
            while left:
                left = left[os.write(1, left) :]
    except OSError:
        pass


if __name__ == "__main__":
    import signal

    # A Ctrl-C in the terminal is for the target; this one ends when its target says so, or is gone.
    for number in (signal.SIGINT, getattr(signal, "SIGTSTP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(main())
