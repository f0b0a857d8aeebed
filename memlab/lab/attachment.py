"""Watch the memory of a process that runs already, from outside, without a line of ours in it.

The sampler process does all the reading. What only the inside knows (lines, spans, pauses of the collector)
is not there, and the capture's notes say so.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import TYPE_CHECKING, Any

from memlab._base.environment import describe_environment
from memlab.collectors.cgroups import surroundings
from memlab.collectors.sampler_script import MAGIC, Series, Sink, high_water, json_frame
from memlab.collectors.streams import Stream
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.collectors.sampler_process import SamplerProcess
    from memlab.records.capture import Capture

__all__ = ["attach"]

_LOOK_S = 0.2
_BRIEF_S = 0.01
_BEGINNING_S = 10.0
_OWN_ROWS = 60_004
_FROM_OUTSIDE = "watched from outside: no lines, no spans and no pauses of the collector are known"


def attach(
    pid: int,
    *,
    seconds: float | None = None,
    interval_s: float = 0.01,
    path: str | os.PathLike[str] | None = None,
    children: bool = True,
    wait: Callable[[float], None] = time.sleep,
) -> Capture:
    """Record the memory of another process until it ends, for ``seconds``, or until Ctrl-C.

    Nothing is changed in the process: the kernel's high-water mark is read and not set back, so the peak is
    exact only where it rose above what it was before; otherwise it is sampled, and says so.

    Args:
        pid: the process, of the same user.
        seconds: how long; None: until it ends.
        interval_s: seconds between two samples; while memory moves there is one every millisecond.
        path: a capture file that grows meanwhile.
        children: sample the processes that it starts, too.
        wait: sleeps; a test brings its own.

    Raises:
        UsageError: when there is no such process, it is another user's, or the file cannot be made.
        UnavailableError: where there is no ``/proc``.
    """
    pages = _check(pid)
    from memlab.collectors.sampler_process import SamplerProcess

    place = None if path is None else os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - any text
    before = _mark_of(pid)
    stream = Stream(place)
    try:
        sink = Sink(stream.descriptor)
        origin_ns = time.monotonic_ns()
        sink.put(MAGIC)
        sink.put(json_frame(_header(pid)))
        _put_row(sink, pages)
        sampler = SamplerProcess(
            stream.descriptor, origin_ns, pid, interval_s, children=children, listen=place is not None
        )
        given = b""
        try:
            _await_beginning(sampler, stream, wait)
            deadline = None if seconds is None else time.monotonic() + seconds
            while sampler.is_alive and (deadline is None or time.monotonic() < deadline):
                wait(_LOOK_S if deadline is None else min(_LOOK_S, max(0.0, deadline - time.monotonic())))
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            given = sampler.stop()
        notes = [_FROM_OUTSIDE]
        sink.put(json_frame({"end": {"complete": True, "notes": notes}}))
        capture = _read(stream.content() + given, before)
    finally:
        stream.close()
    if place is not None:
        capture.save(place)
    return capture


def _check(pid: int) -> int:
    """Refuse what cannot be watched; return its RSS in pages."""
    if type(pid) is not int or pid < 1:
        raise UsageError(f"attaching: a process has a number from 1 on, not {pid!r}")
    if not os.path.exists("/proc/self/statm"):  # noqa: PTH110 - no more than a question
        raise UnavailableError("attaching: this system has no /proc to read another process from")
    try:
        owner = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - no more than a question
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib for one line
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        raise UsageError(f"attaching: there is no process {pid}") from None
    if os.geteuid() not in (0, owner):
        raise UsageError(f"attaching: process {pid} is another user's; run this as that user")
    if pages == 0:
        raise UsageError(f"attaching: process {pid} has no memory: it has ended, or is the kernel's own")
    return pages


def _put_row(sink: Sink, pages: int) -> None:
    """Write the first row: the sampler needs a moment to begin."""
    names, sources = ["rss_bytes"], {"rss_bytes": "statm"}
    declared = {"series": _OWN_ROWS, "role": "timeline", "names": names, "sources": sources}
    sink.put(json_frame({**declared, "scale": os.sysconf("SC_PAGE_SIZE")}))
    series = Series(_OWN_ROWS, 1)
    series.add(0, (pages,))
    sink.put(series.flushed())


def _await_beginning(sampler: SamplerProcess, stream: Stream, wait: Callable[[float], None]) -> None:
    """Wait until it has written something: the time that was asked for is time that is sampled."""
    before = os.fstat(stream.descriptor).st_size
    deadline = time.monotonic() + _BEGINNING_S
    while sampler.is_alive and time.monotonic() < deadline and os.fstat(stream.descriptor).st_size == before:
        wait(_BRIEF_S)


def _mark_of(pid: int) -> int | None:
    try:
        return high_water(pid)
    except (OSError, ValueError):
        return None


def _header(pid: int) -> dict[str, Any]:
    ceiling = surroundings(pid).ceiling
    return {
        "header": 1,
        "started_at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "environment": describe_environment(),
        "program": True,
        "ceiling": None if ceiling is None else {"value": ceiling.value_bytes, "source": ceiling.source},
    }


def _read(content: bytes, before: int | None) -> Capture:
    from memlab.lab.recorded import of_another
    from memlab.store.stream import ending_of, read_stream

    mark = ending_of(content).get("vmhwm")
    return of_another(read_stream(content), before, mark if type(mark) is int else None)
