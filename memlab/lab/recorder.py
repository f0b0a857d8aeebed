"""Record memory over a stretch of code: samples, marks, spans, collector pauses, lines, and the exact peak.

A ``Recorder`` is live; what it gives back when it ends is a ``Capture``, a value. While it runs, everything
goes into a stream (``store/stream.py`` reads it): a process of its own samples RSS from outside, a thread
that mostly sleeps adds what only the inside knows, and the measured threads do no more than write a few
bytes for each mark and span. With ``path`` the stream is that file, so that whatever ends the program leaves
what had been recorded; otherwise it has no name. numpy is not imported before the end.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import itertools
import math
import os
import time
import warnings
from typing import TYPE_CHECKING, Any, Self

from memlab._base.environment import describe_environment
from memlab._base.safety import clean
from memlab.collectors.cell_names import cell_aliases
from memlab.collectors.cgroups import surroundings
from memlab.collectors.high_water import Following
from memlab.collectors.inside import FIRST_NUMBER, Inside
from memlab.collectors.probe import Probe
from memlab.collectors.sampler_script import MAGIC, Series, Sink, json_frame
from memlab.collectors.streams import Stream
from memlab.errors import MemlabError, UnavailableError, UsageError

if TYPE_CHECKING:
    from memlab.collectors.sampler_process import SamplerProcess
    from memlab.collectors.site_looks import SiteLooks
    from memlab.lab.engines import EngineChoice
    from memlab.records.capture import Capture

__all__ = ["Recorder", "RunningSpan", "record"]

_INTERVAL_S = 0.01
_FEWEST = 16
_OWN_ROWS = FIRST_NUMBER + 4
_SITES = FIRST_NUMBER + 5
_FORMS = ("process", "thread", None)

_open_spans: contextvars.ContextVar[tuple[int, ...]] = contextvars.ContextVar("memlab_open_spans", default=())


class Recorder:
    """A recording that runs. Made by ``record()``, which says what the arguments mean.

    Attributes:
        aliases: labels for code file names, beside those of the notebook's cells; to be set before it begins.
    """

    def __init__(
        self,
        interval_s: float | None = None,
        exact: bool = True,
        max_samples: int = 100_000,
        *,
        path: str | os.PathLike[str] | None = None,
        children: bool = True,
        stacks: bool = True,
        sampler: str | None = None,
        sites: bool | float | str | None = False,
    ) -> None:
        if interval_s is not None and not _is_seconds(interval_s):
            raise UsageError(f"recording: interval_s must be a number of seconds above 0, not {interval_s!r}")
        if type(max_samples) is not int or max_samples < _FEWEST:
            raise UsageError(f"recording: max_samples must be at least {_FEWEST}, not {max_samples!r}")
        if sampler not in _FORMS:
            raise UsageError(f"recording: sampler must be 'process', 'thread' or None, not {sampler!r}")
        self._sites_wanted = sites is not None
        self._sites_choice = _sites_choice(sites)
        self.outcome: dict[str, Any] | None = None
        self.program = False
        self.aliases: dict[str, str] = {}
        self._interval_s = _INTERVAL_S if interval_s is None else float(interval_s)
        self._idle = interval_s is None
        self._exact = exact
        self._max_samples = max_samples
        self._path = None if path is None else os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - chdir may come
        self._children = children
        self._stacks = stacks
        self._form = sampler
        self._pid = os.getpid()
        self._notes: list[str] = []
        self._stream: Stream | None = None
        self._sink: Sink | None = None
        self._sampler: SamplerProcess | None = None
        self._inside: Inside | None = None
        self._following: Following | None = None
        self._looks: SiteLooks | None = None
        self._probe = Probe()
        self._origin_ns = 0
        self._capture: Capture | None = None
        self._started = self._ended = False
        self._numbers = itertools.count()
        self._absent: dict[str, str] = {}
        self._whole = True

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it has begun before, or the file cannot be made.
            UnavailableError: when ``sampler="process"`` was asked for and there can be none.
        """
        if self._started:
            raise UsageError("recording: this recorder was started before; make a new one")
        try:
            self._started = True
            self._pid = os.getpid()
            self._begin()
        except BaseException:
            self._cancel()
            raise
        return self

    def mark(self, label: str) -> None:
        """Name this moment.

        Raises:
            UsageError: when the recording does not run, or the label is no text.
        """
        label = self._checked("marking a moment", label)
        self._put({"mark": label, "us": self._us()})

    def span(self, label: str) -> RunningSpan:
        """Return a named stretch, to be used in ``with``: its exact peak is in the capture.

        Spans nest, and run side by side in threads and tasks; each has its own peak of the whole process.

        Raises:
            UsageError: when the recording does not run, or the label is no text.
        """
        return RunningSpan(self, self._checked("naming a span", label))

    def stop(self) -> Capture:
        """End, and return what was recorded. A second call returns the same.

        Raises:
            UsageError: when it has not begun.
        """
        if not self._started:
            raise UsageError("recording: not started")
        try:
            if self._capture is None:
                self._capture = self._finished()
        finally:
            self._cancel()  # does nothing, unless an interrupt struck
        return self._capture

    @property
    def capture(self) -> Capture:
        """What was recorded.

        Raises:
            UsageError: while the recording runs.
        """
        if self._capture is None:
            raise UsageError("reading a recording: the capture is there when the recording has ended")
        return self._capture

    @property
    def is_alive(self) -> bool:
        """Tell whether samples are being taken."""
        if not self._started or self._ended or os.getpid() != self._pid:
            return False
        inside = self._inside is not None and self._inside.failure is None
        return self._sampler.is_alive if self._sampler is not None else inside

    @property
    def now_s(self) -> float:
        """Seconds since the recording began."""
        return self._us() * 1e-6 if self._started else 0.0

    def snapshot(self) -> Capture:
        """Return what has been recorded so far, as a capture that is not complete; the recording goes on.

        The last half of a second may still be on its way. For live views.

        Raises:
            UsageError: when the recording does not run.
        """
        if self._stream is None or self._ended:
            raise UsageError("looking at a recording: it does not run")
        from memlab.store.stream import read_stream

        return read_stream(self._stream.content(), max_samples=self._max_samples)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_started", False):
            self._cancel()

    # -- parts

    def _begin(self) -> None:
        self._stream = Stream(self._path)
        self._sink = Sink(self._stream.descriptor)
        self._origin_ns = time.monotonic_ns()
        self._sink.put(MAGIC)
        self._put(self._header())
        if self._form != "thread":
            self._start_process()
        if self._sampler is None:
            self._notes.append("sampled by a thread, which sees nothing while C code holds the interpreter")
        self._probe.value("rss_bytes")  # opens its descriptor, before two threads might do so at once
        read_rss = None if self._sampler is not None else _reader(self._probe)
        self._inside = Inside(
            self._sink,
            self._origin_ns,
            self._sampler,
            read_rss,
            interval_s=self._interval_s,
            stacks=self._stacks,
            aliases=cell_aliases() | self.aliases,
        )
        if self._sites_choice is not None:
            self._begin_sites(self._sites_choice)
        self._inside.begin()
        # Last: what starting all this takes is not the program's.
        self._following = Following(self._exact)
        self._following.start()
        self._row()

    def _begin_sites(self, choice: EngineChoice) -> None:
        from memlab.collectors.sampled_engine import SampledEngine
        from memlab.collectors.site_looks import SiteLooks

        assert self._sink is not None
        assert self._inside is not None
        if choice.engine != "sampled":
            self._notes.append(f"allocations are not sampled: {choice.reason}")
            return
        engine = SampledEngine(choice.sample_bytes, choice.frames, self.aliases)
        looks = SiteLooks(engine, self._sink, self._us, _SITES, self.aliases)
        try:
            self._looks = looks
            looks.begin()
        except UnavailableError as error:
            self._looks = None
            looks.cancel()
            if self._sites_wanted:
                raise
            self._notes.append(f"allocations are not sampled: {clean(str(error))}")
            return
        self._inside.chore = self._looks.look_if_due

    def _start_process(self) -> None:
        assert self._stream is not None
        try:
            from memlab.collectors.sampler_process import SamplerProcess

            self._sampler = SamplerProcess(
                self._stream.descriptor,
                self._origin_ns,
                interval_s=self._interval_s,
                idle=self._idle,
                children=self._children,
            )
        except (UnavailableError, ImportError) as error:
            if self._form == "process":
                raise UnavailableError(f"recording: no sampler process ({error})") from None
            self._notes.append(f"no sampler process: {clean(str(error))}")

    def _header(self) -> dict[str, Any]:
        around = surroundings()
        ceiling = around.ceiling
        return {
            "header": 1,
            "started_at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "environment": describe_environment(),
            "interval_us": round(self._interval_s * 1e6),
            "program": self.program,
            "ceiling": None if ceiling is None else {"value": ceiling.value_bytes, "source": ceiling.source},
        }

    def _row(self) -> None:
        """Write one reading of our own: the sampler needs a moment to begin, and may be ahead of the end."""
        reading = self._probe.read("rss_bytes")
        rss = reading["rss_bytes"]
        if rss is None:
            self._absent["rss_bytes"] = clean(reading.absent["rss_bytes"])
            return
        self._put(
            {
                "series": _OWN_ROWS,
                "role": "timeline",
                "names": ["rss_bytes"],
                "sources": {"rss_bytes": reading.sources["rss_bytes"]},
            }
        )
        series = Series(_OWN_ROWS, 1)
        series.add(self._us(), (rss,))
        assert self._sink is not None
        self._sink.put(series.flushed())

    def _us(self) -> int:
        return (time.monotonic_ns() - self._origin_ns) // 1000

    def _put(self, document: dict[str, Any]) -> None:
        sink = self._sink
        if sink is not None and os.getpid() == self._pid:
            sink.put(json_frame(document))

    def _checked(self, what: str, label: Any) -> str:
        if not self._started or self._ended:
            raise UsageError(f"{what}: the recording does not run")
        if not isinstance(label, str):
            raise UsageError(f"{what}: the label must be text, not {type(label).__name__}")
        return clean(label.encode(errors="replace").decode())

    def _finished(self) -> Capture:
        if os.getpid() != self._pid:
            return self._inherited()
        assert self._following is not None
        assert self._sink is not None
        assert self._stream is not None
        peak = self._following.stop()
        self._row()
        self._ended = True
        given = b""
        inside = self._inside
        if self._looks is not None:
            self._end_sites(self._looks)
        if inside is not None:
            inside.end()
            given = inside.given_back
            if inside.failure is not None:
                self._notes.append(f"the thread inside ended early: {type(inside.failure).__name__}")
                self._whole = False
        if self._sampler is not None:
            if not self._sampler.is_alive:
                self._notes.append("the sampler process ended early: samples after that are missing")
                self._whole = False
            given += self._sampler.stop()
        if peak is not None and self._following.note:
            self._notes.append(self._following.note)
        self._put(self._end(peak))
        return self._read(self._stream.content() + b"".join(self._sink.kept) + given, peak is None)

    def _end_sites(self, looks: SiteLooks) -> None:
        inside = self._inside
        if inside is not None:
            inside.rest()  # one look at a time
        try:
            looks.end()
        except Exception as error:  # noqa: BLE001 - the program's own outcome comes first
            self._notes.append(f"the last look at allocation sites failed: {type(error).__name__}")

    def _end(self, peak: tuple[int, int] | None) -> dict[str, Any]:
        assert self._following is not None
        end: dict[str, Any] = {
            "complete": self._whole,
            "pauses_dropped": self._inside.pauses_dropped if self._inside is not None else 0,
            "absent": dict(self._absent),
        }
        if peak is not None:
            end["peak"] = {"value": peak[0], "start": peak[1], "source": "vmhwm"}
        if self.outcome is not None:
            end["outcome"] = self.outcome
        if self._sink is not None and self._sink.failure:
            self._notes.append(f"the file took no more: {self._sink.failure}")
        end["notes"] = list(self._notes)
        return {"end": end}

    def _read(self, content: bytes, sampled: bool) -> Capture:
        """Read the stream back, and put the finished file in its place."""
        from memlab._base.limits import Limits
        from memlab.lab.recorded import completed
        from memlab.store.stream import read_stream

        assert self._following is not None
        capture = read_stream(content, Limits(), self._max_samples)
        sources = self._inside.sources if self._inside is not None else {}
        traced = _why_nothing_traced()
        capture = completed(capture, sources, self._following.reason if sampled else "", traced)
        return capture if self._path is None else self._saved(capture, self._path)

    def _saved(self, capture: Capture, path: str) -> Capture:
        from memlab.lab.recorded import noted
        from memlab.store.capture_file import save

        try:
            save(capture, path)
        except (MemlabError, OSError) as error:
            # The program's own outcome comes first: what cannot be written is a note, never an exception.
            sentence = f"the capture could not be written: {clean(str(error))}"
            with contextlib.suppress(Warning):
                warnings.warn(f"memlab: {sentence}", RuntimeWarning, stacklevel=4)
            return noted(capture, sentence)
        return capture

    def _inherited(self) -> Capture:
        """Return what a forked child has of its parent's recording, and touch nothing of it."""
        from memlab.lab.recorded import inherited
        from memlab.store.stream import read_stream

        assert self._stream is not None
        return inherited(read_stream(self._stream.content(), max_samples=self._max_samples))

    def _cancel(self) -> None:
        if os.getpid() != self._pid:
            return
        self._ended = True
        if self._looks is not None:
            self._looks.cancel()
        if self._following is not None:
            self._following.cancel()
        if self._inside is not None:
            self._inside.cancel()
        if self._sampler is not None:
            self._sampler.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            self._sink = None
            stream.close()
        self._probe.close()


class RunningSpan:
    """A named stretch of a recording. Made by ``Recorder.span``; begins in ``with``, once."""

    def __init__(self, recorder: Recorder, label: str) -> None:
        self._recorder = recorder
        self._label = label
        self._following: Following | None = None
        self._number = -1
        self._outer: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        recorder = self._recorder
        if self._following is not None:
            raise UsageError("beginning a span: this one has begun before; ask the recording for a new one")
        self._following = Following(recorder._exact)  # noqa: SLF001 - one thing in two classes
        self._outer = _open_spans.get()
        self._number = next(recorder._numbers)  # noqa: SLF001
        depth = self._outer.count(id(recorder))
        _open_spans.set((*self._outer, id(recorder)))
        recorder._put(  # noqa: SLF001
            {"span": self._number, "label": self._label, "us": recorder._us(), "depth": depth}  # noqa: SLF001
        )
        self._following.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        recorder, following = self._recorder, self._following
        assert following is not None
        _open_spans.set(self._outer)
        peak = following.stop()
        document: dict[str, Any] = {"span_end": self._number, "us": recorder._us()}  # noqa: SLF001
        if peak is not None:
            document["peak"] = {"value": peak[0], "start": peak[1], "source": "vmhwm"}
        document["reason"] = following.reason or following.note
        if not recorder._ended:  # noqa: SLF001
            recorder._put(document)  # noqa: SLF001


def record(
    interval_s: float | None = None,
    *,
    exact: bool = True,
    max_samples: int = 100_000,
    path: str | os.PathLike[str] | None = None,
    children: bool = True,
    stacks: bool = True,
    sampler: str | None = None,
    sites: bool | float | str | None = False,
) -> Recorder:
    """Record the memory of a block of code.

    The samples come from a process of its own, which sees the block from outside whoever holds the
    interpreter; where there can be none they come from a thread, and a note says so. The peak does not
    depend on them where the kernel keeps a mark (``capture.peak.source == "vmhwm"``). Not in any of it:
    memory taken again from the allocator's own cache, and pages that were never touched.

    Args:
        interval_s: seconds between two samples; while memory moves there is one every millisecond. Default:
            0.01, and 0.1 after two seconds in which nothing moved.
        exact: use the kernel's high-water mark for peaks; it lowers ``ru_maxrss`` for other readers.
        max_samples: bound on samples kept; a longer recording is thinned, peaks excepted.
        path: a capture file that grows while the recording runs: it can be loaded whatever ended the program,
            and holds all but the last half second. One that is there is replaced.
        children: sample the processes that this one starts, too.
        stacks: look which line was running when memory rose.
        sampler: ``"process"`` or ``"thread"``; default: a process where there can be one.
        sites: sample allocations too, so that ``capture.sites`` has live memory by line over time: a look
            after 1, 2, 4 ... seconds, then each minute. True, or the mean number of bytes between two samples
            (True: ``"512 KiB"``). None: as True where it can be, else a note says why not.

    Raises:
        UsageError: when a number makes no sense.
        UnavailableError: when ``sites`` was asked for and allocations cannot be sampled here.

    Example:
        >>> with record() as recording:
        ...     block = bytearray(100_000_000)
        ...     recording.mark("allocated")
        ...     with recording.span("drop"):
        ...         del block
        >>> capture = recording.capture
        >>> capture.marks[0].label, capture.spans[0].label, capture.peak.increment_bytes > 20_000_000
        ('allocated', 'drop', True)
    """
    return Recorder(
        interval_s,
        exact,
        max_samples,
        path=path,
        children=children,
        stacks=stacks,
        sampler=sampler,
        sites=sites,
    )


def _sites_choice(sites: Any) -> EngineChoice | None:
    if sites is False:
        return None
    from memlab.lab.engines import SAMPLE_BYTES, choose

    if sites is None:
        return choose()
    choice = choose(SAMPLE_BYTES if sites is True else sites)
    if choice.engine != "sampled":
        raise UsageError(f"recording: sites must be True, False or a size such as '512 KiB', not {sites!r}")
    return choice


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _reader(probe: Probe) -> Any:
    def read() -> int:
        rss = probe.value("rss_bytes")
        if rss is None:
            raise UnavailableError("RSS stopped answering")
        return rss

    return read


def _why_nothing_traced() -> str:
    import tracemalloc

    return "" if tracemalloc.is_tracing() else "nothing is traced; tracemalloc.start() begins it"
