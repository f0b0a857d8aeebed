"""A recording while it grows: frames at the end of a file, and the capture that they add up to.

A capture file is an SQLite database, which is written whole. A recording cannot be: it must survive whatever
ends its program, at any moment. So while it runs it is a *stream*: a first line, then frames, each written
by one ``write`` to the file's end (``collectors/sampler_script.py`` makes them). Two processes write, and
neither waits for the other. Each frame carries a mark, its length and a check; one that is broken, or not of
its form, is passed over, and so is what a full disk cut in two. When the recording ends, the SQLite file
takes the stream's place in one step; if it never does, ``memlab.load`` reads the stream itself, and gives the
capture with ``complete=False``.

Reading trusts nothing: lengths are held against the bytes that are there, and what a frame unpacks to
against the reader's limit, before anything is allocated; numbers and texts are checked as they are taken,
and the finished record goes through the codec's own checks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.limits import Limits
from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.collectors.sampler import envelope
from memlab.collectors.sampler_script import (
    COLUMNS_FRAME,
    COLUMNS_HEAD,
    HEAD,
    JSON_FRAME,
    MAGIC,
    PACKED,
    SYNC,
)
from memlab.errors import CaptureError
from memlab.records import codec
from memlab.records.capture import Capture, Ceiling, Child, Mark, Outcome, Peak, Span, StackSample
from memlab.records.columns import floats, frozen, ints
from memlab.records.gc_pauses import GcPauses
from memlab.records.sites import Frame
from memlab.records.timeline import Timeline
from memlab.store.stream_sites import SITE_COLUMNS, SiteFrames

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from memlab.records.site_timeline import SiteTimeline

__all__ = ["ending_of", "read_stream"]

_US = 1e-6
_NS = 1e-9
_MOST_FRAME = 8 * 1024 * 1024
_MOST_COLUMNS = 16
_MOST_SERIES = 60_000
_MOST_EVENTS = 200_000
_HOT_LINES = 20
_PAUSE_COLUMNS = 4
_GROUP = 4
_SIGNAL_NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    6: "SIGABRT",
    9: "SIGKILL",
    11: "SIGSEGV",
    15: "SIGTERM",
}
_CUT_SHORT = "the recording did not end by itself: this is what had been written until then"


@dataclasses.dataclass(slots=True)
class _Series:
    """What was declared of a series, and its parts so far."""

    role: str
    names: tuple[str, ...]
    sources: dict[str, str]
    absent: dict[str, str]
    scale: int
    pid: int
    depth: int
    parts: list[npt.NDArray[np.int64]] = dataclasses.field(default_factory=list)
    ended: bool = False


class _Found:
    """What the frames of a stream say, in the order in which they came."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.memory = 0
        self.broken = 0
        self.header: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.ending: dict[str, Any] = {}
        self.sink: dict[str, Any] = {}
        self.series: dict[int, _Series] = {}
        self.marks: list[Mark] = []
        self.spans: dict[int, Span] = {}
        self.stacks: dict[int, StackSample] = {}
        self.hits: dict[int, list[StackSample]] = {}
        self.sites = SiteFrames()

    def take(self, kind: bytes, payload: bytes) -> None:
        """Take one frame; raises a usual error when it is not of its form."""
        if kind == COLUMNS_FRAME:
            self._columns(payload)
        elif kind == JSON_FRAME:
            document = json.loads(payload)
            if self.sites.take(document):
                return
            for key, handle in _HANDLERS.items():
                if key in document:
                    handle(self, document)
                    break

    def _columns(self, payload: bytes) -> None:
        if len(payload) < COLUMNS_HEAD.size:
            raise ValueError("a frame of columns is cut short")
        number, width, rows = COLUMNS_HEAD.unpack_from(payload)
        packed, width = width & PACKED, width & ~PACKED
        series = self.series[number]
        size = width * rows * 8
        if width != len(series.names) + 1 or not rows:
            raise ValueError("not the columns that were declared")
        content = memoryview(payload)[COLUMNS_HEAD.size :]
        if size > (1040 * len(content) if packed else len(content)):
            raise ValueError("deflate makes nothing so small")
        self.memory += size
        if self.memory > self.limits.memory_bytes:
            raise _TooLargeError
        if packed:
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(content, size)
            if len(plain) != size or unpacker.decompress(unpacker.unconsumed_tail, 1):
                raise ValueError("not the size that was declared")
        else:
            plain = bytes(content)
            if len(plain) != size:
                raise ValueError("not the size that was declared")
        table = np.frombuffer(plain, "<i8").reshape(width, rows).astype(np.int64)
        series.parts.append(table.cumsum(axis=1))

    # -- documents

    def on_header(self, document: dict[str, Any]) -> None:
        """Note what the recording said of itself."""
        self.header = self.header or document

    def on_series(self, document: dict[str, Any]) -> None:
        """Begin a series. A number that is given out again is another series."""
        number = _whole(document["series"])
        names = tuple(clean(_text(name)) for name in document["names"])
        if len(names) > _MOST_COLUMNS or len(self.series) >= _MOST_SERIES or "time_s" in names:
            raise ValueError("too many columns or series")
        if number in self.series:
            self.series[-1 - len(self.series)] = self.series.pop(number)
        self.series[number] = _Series(
            role=_text(document["role"]),
            names=names,
            sources=_texts(document["sources"]),
            absent=_texts(document.get("absent", {})),
            scale=_whole(document.get("scale", 1)),
            pid=_whole(document.get("pid", 0)),
            depth=_whole(document.get("depth", 0)),
        )

    def on_ended(self, document: dict[str, Any]) -> None:
        """Note that a child ended."""
        self.series[_whole(document["ended"])].ended = True

    def on_mark(self, document: dict[str, Any]) -> None:
        """Take a mark."""
        if len(self.marks) < _MOST_EVENTS:
            self.marks.append(Mark(_whole(document["us"]) * _US, clean(_text(document["mark"]))))

    def on_span(self, document: dict[str, Any]) -> None:
        """Begin a span, open until its end comes."""
        if len(self.spans) < _MOST_EVENTS:
            at = _whole(document["us"]) * _US
            depth = _whole(document.get("depth", 0))
            label = clean(_text(document["label"]))
            self.spans[_whole(document["span"])] = Span(
                label, at, at, None, _CUT_SHORT, depth, complete=False
            )

    def on_span_end(self, document: dict[str, Any]) -> None:
        """End a span."""
        number = _whole(document["span_end"])
        begun = self.spans[number]
        self.spans[number] = dataclasses.replace(
            begun,
            end_s=max(begun.start_s, _whole(document["us"]) * _US),
            peak=_peak(document.get("peak")),
            reason=clean(_text(document.get("reason", ""))),
            complete=True,
        )

    def on_stack(self, document: dict[str, Any]) -> None:
        """Take a stack, for samples that name it."""
        frames = tuple(
            Frame(clean(_text(file)), _whole(line), clean(_text(function)))
            for file, line, function in document["frames"][:100]
        )
        user = _whole(document.get("user", -1))
        if len(self.stacks) < _MOST_EVENTS:
            self.stacks[_whole(document["stack"])] = StackSample(
                0.0, 0, clean(_text(document["thread"])), frames, user if -1 <= user < len(frames) else -1
            )

    def on_hit(self, document: dict[str, Any]) -> None:
        """Take a sample of a stack."""
        number = _whole(document["hit"])
        sample = dataclasses.replace(
            self.stacks[number],
            time_s=_whole(document["us"]) * _US,
            value_bytes=_whole(document["rss"]),
            rise_bytes=_whole(document["rise"]),
            late_s=_whole(document["late_us"]) * _US,
        )
        found = self.hits.setdefault(number, [])
        if len(found) < _MOST_EVENTS:
            found.append(sample)

    def on_sampler(self, document: dict[str, Any]) -> None:
        """Note how the sampler ended."""
        self.ending = document

    def on_sink(self, document: dict[str, Any]) -> None:
        """Note that the file took no more."""
        self.sink = document

    def on_end(self, document: dict[str, Any]) -> None:
        """Note how the recording ended."""
        self.end = document["end"] if isinstance(document["end"], dict) else {}


_HANDLERS = {
    "header": _Found.on_header,
    "series": _Found.on_series,
    "mark": _Found.on_mark,
    "span": _Found.on_span,
    "span_end": _Found.on_span_end,
    "stack": _Found.on_stack,
    "hit": _Found.on_hit,
    "ended": _Found.on_ended,
    "sampler": _Found.on_sampler,
    "sink": _Found.on_sink,
    "end": _Found.on_end,
}


class _TooLargeError(Exception):
    """Stops the reading where the reader's limit is reached."""


def read_stream(content: bytes, limits: Limits | None = None, max_samples: int = 100_000) -> Capture:
    """Return the capture that a stream's frames add up to.

    Args:
        content: the whole stream, its first line included; what a crash left of it is enough.
        limits: bounds for reading; default ``Limits()``.
        max_samples: rows kept of each timeline; a longer one is thinned and keeps every extreme.

    Raises:
        CaptureError: when it is no stream, or takes more memory than the limit.
    """
    if not content.startswith(MAGIC):
        raise CaptureError("it does not begin like a recording")
    found = _Found(limits or Limits())
    try:
        for kind, payload in _frames(content, found):
            try:
                found.take(kind, payload)
            except (
                KeyError,
                TypeError,
                ValueError,
                OverflowError,
                AttributeError,
                zlib.error,
                RecursionError,
            ):
                found.broken += 1
    except _TooLargeError:
        most = format_bytes(found.limits.memory_bytes)
        raise CaptureError(f"it unpacks to more than the reader's limit of {most}") from None
    try:
        capture = _capture(found, max_samples)
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"its frames do not fit each other: {error}") from None
    return codec.decode(Capture, codec.encode(capture))


def ending_of(content: bytes) -> dict[str, Any]:
    """Return what the sampler of a stream said at its end; empty when it never did."""
    found = _Found(Limits())
    for kind, payload in _frames(content, found):
        if kind == JSON_FRAME and b'"sampler"' in payload:
            with contextlib.suppress(ValueError):
                document = json.loads(payload)
                return document if isinstance(document, dict) else {}
    return {}


def _frames(content: bytes, found: _Found) -> Iterator[tuple[bytes, bytes]]:
    """Give kind and payload of each whole frame; search for the next mark where one is broken."""
    at = len(MAGIC)
    while (at := content.find(SYNC, at)) >= 0 and at + HEAD.size <= len(content):
        _, kind, length, check = HEAD.unpack_from(content, at)
        end = at + HEAD.size + length
        payload = content[at + HEAD.size : end] if length <= _MOST_FRAME and end <= len(content) else None
        if payload is None or zlib.crc32(payload, zlib.crc32(kind)) != check:
            found.broken += 1
            at += 1
            continue
        yield kind, payload
        at = end


# -- the capture


def _capture(found: _Found, max_samples: int) -> Capture:
    header, end = found.header, found.end
    started_at = clean(_text_or(header.get("started_at"), ""))
    absent = _texts_or(header.get("absent"))
    main = _timeline(found, "timeline", max_samples, started_at) or Timeline(
        floats([]), {}, {}, absent, started_at
    )
    main = dataclasses.replace(main, absent={**absent, **main.absent, **_texts_or(end.get("absent"))})
    taken = found.ending.get("taken")
    if type(taken) is int and taken >= len(main):
        main = dataclasses.replace(main, taken=taken)
    pauses = _pauses(found, main)
    peak = _peak_or(end.get("peak"))
    if not end:
        peak = _sampled_peak(found, main)
    return Capture(
        timeline=main if peak is not None else _no_peak(main, "RSS was not read"),
        marks=tuple(sorted(found.marks, key=lambda mark: mark.time_s)),
        peak=peak,
        environment=_texts_or(header.get("environment")),
        complete=bool(end.get("complete", False)) and not found.sink.get("lost"),
        notes=_notes(found),
        spans=_spans(found, main),
        pauses=pauses,
        peak_stack=_peak_stack(found),
        hot=_hot(found),
        inside=_timeline(found, "inside", max_samples, ""),
        slow=_timeline(found, "slow", max_samples, ""),
        system=_relative(_timeline(found, "system", max_samples, "")),
        children=_children(found, max_samples),
        ceiling=_ceiling(header.get("ceiling")),
        outcome=_outcome(found),
        sites=_sites(found),
    )


def _sites(found: _Found) -> SiteTimeline | None:
    parts = [
        part
        for series in found.series.values()
        if series.role == "sites" and len(series.names) == SITE_COLUMNS
        for part in series.parts
    ]
    return found.sites.timeline(parts)


def _timeline(found: _Found, role: str, max_samples: int, started_at: str) -> Timeline | None:
    """Join the parts of a role's series; those that have not the metrics of the longest are left out."""
    wanted = [series for series in found.series.values() if series.role == role]
    if not wanted:
        return None
    names = max(wanted, key=lambda series: sum(part.shape[1] for part in series.parts)).names
    fitting = [series for series in wanted if series.names == names]
    tables = [_scaled(part, series.scale) for series in fitting for part in series.parts]
    absent = {
        name: reason for series in wanted for name, reason in series.absent.items() if name not in names
    }
    sources = {name: source for series in fitting for name, source in series.sources.items() if name in names}
    if not names or not tables:
        return Timeline(floats([]), {}, {}, absent, started_at)
    table = np.concatenate(tables, axis=1)
    table = table[:, np.argsort(table[0], kind="stable")]
    times, values = table[0] * _US, table[1:]
    while len(times) > max_samples:
        times, values = envelope(times, values, _GROUP)
    columns = {name: ints(column) for name, column in zip(names, values, strict=True)}
    return Timeline(frozen(np.asarray(times, np.float64)), columns, sources, absent, started_at)


def _scaled(part: npt.NDArray[np.int64], scale: int) -> npt.NDArray[np.int64]:
    scaled = part * scale
    scaled[0] = part[0]
    return scaled


def _children(found: _Found, max_samples: int) -> tuple[Child, ...]:
    made = []
    for series in found.series.values():
        if series.role != "child" or not series.parts:
            continue
        alone = _Found(found.limits)
        alone.series[0] = series
        line = _timeline(alone, "child", max_samples, "")
        if line is not None:
            made.append(Child(series.pid, series.depth, line, series.ended))
    return tuple(sorted(made, key=lambda child: (float(child.timeline.time_s[0]), child.pid)))


def _relative(system: Timeline | None) -> Timeline | None:
    """Count stalls from the beginning of the recording: the kernel counts them from that of the machine."""
    if system is None or "stall_us" not in system.metrics:
        return system
    stalls = system.metrics["stall_us"]
    return dataclasses.replace(system, metrics={**system.metrics, "stall_us": ints(stalls - stalls[:1])})


def _pauses(found: _Found, main: Timeline) -> GcPauses | None:
    series = [
        series
        for series in found.series.values()
        if series.role == "pauses" and len(series.names) == _PAUSE_COLUMNS
    ]
    if not series:
        return None
    parts = [part for one in series for part in one.parts]
    table = np.concatenate(parts, axis=1) if parts else np.zeros((5, 0), np.int64)
    table = table[:, np.argsort(table[0], kind="stable")]
    dropped = found.end.get("pauses_dropped", 0)
    lasted = float(main.time_s[-1]) if len(main) else 0.0
    return GcPauses(
        floats(table[0] * _NS),
        floats(np.maximum(table[1], 0) * _NS),
        ints(table[2]),
        ints(table[3]),
        ints(table[4]),
        max(lasted, 0.0),
        dropped if type(dropped) is int else 0,
    )


def _spans(found: _Found, main: Timeline) -> tuple[Span, ...]:
    last = float(main.time_s[-1]) if len(main) else 0.0
    rss = main.metrics.get("rss_bytes")
    made = []
    for span in found.spans.values():
        whole = span if span.complete else dataclasses.replace(span, end_s=max(span.start_s, last))
        if whole.peak is None and rss is not None:
            whole = dataclasses.replace(whole, peak=_peak_within(main.time_s, rss, whole))
        made.append(whole)
    return tuple(sorted(made, key=lambda span: span.start_s))


def _peak_within(time_s: npt.NDArray[np.float64], rss: npt.NDArray[np.int64], span: Span) -> Peak | None:
    # A row stands for what lies between it and the next: the one before the span counts as its start.
    first = max(0, int(np.searchsorted(time_s, span.start_s, "right")) - 1)
    stop = int(np.searchsorted(time_s, span.end_s, "right"))
    inside = rss[first:stop]
    return Peak(int(inside.max()), int(inside[0]), "sampled") if len(inside) else None


def _sampled_peak(found: _Found, main: Timeline) -> Peak | None:
    rss = main.metrics.get("rss_bytes")
    if rss is None or not len(rss):
        return None
    mark = found.ending.get("vmhwm", 0)
    greatest = max(int(rss.max()), mark if type(mark) is int else 0)
    return Peak(greatest, int(rss[0]), "sampled")


def _hot(found: _Found) -> tuple[StackSample, ...]:
    """Merge samples by the line that speaks to the user, greatest rise first."""
    merged: dict[str, StackSample] = {}
    for samples in found.hits.values():
        for sample in samples:
            key = str(sample.frame)
            known = merged.get(key)
            if known is None:
                merged[key] = sample
                continue
            greater = sample if sample.value_bytes > known.value_bytes else known
            merged[key] = dataclasses.replace(
                greater,
                rise_bytes=known.rise_bytes + sample.rise_bytes,
                samples=known.samples + 1,
                late_s=max(known.late_s, sample.late_s),
            )
    return tuple(sorted(merged.values(), key=lambda stack: -stack.rise_bytes)[:_HOT_LINES])


def _peak_stack(found: _Found) -> StackSample | None:
    samples = [sample for samples in found.hits.values() for sample in samples]
    if not samples:
        return None
    best = max(samples, key=lambda sample: sample.value_bytes)
    same = sum(str(sample.frame) == str(best.frame) for sample in samples)
    return dataclasses.replace(best, samples=same)


def _outcome(found: _Found) -> Outcome | None:
    stated = found.end.get("outcome")
    if isinstance(stated, dict):
        code = stated.get("exit_code")
        return Outcome(
            code if type(code) is int else None,
            clean(_text_or(stated.get("signal"), "")),
            clean(_text_or(stated.get("error"), "")),
            clean(_text_or(stated.get("reason"), "")),
        )
    if not found.header.get("program"):
        return None
    if not found.ending.get("gone"):
        return Outcome(reason="it was still running when this was written")
    code, number = found.ending.get("exit_code"), found.ending.get("signal")
    if type(number) is int and number:
        return Outcome(signal=_SIGNAL_NAMES.get(number, f"signal {number}"))
    if type(code) is int:
        return Outcome(exit_code=code)
    return Outcome(reason="it ended, and whoever started it took its exit code first")


def _notes(found: _Found) -> tuple[str, ...]:
    notes = [clean(_text_or(note, "")) for note in found.end.get("notes", ()) if isinstance(note, str)]
    if not found.end:
        notes.append(_CUT_SHORT)
    if found.ending.get("sampler") == "failed":
        notes.append(
            f"the sampler could not read the process: {clean(_text_or(found.ending.get('reason'), ''))}"
        )
    if found.sink:
        notes.append(f"the file took no more: {clean(_text_or(found.sink.get('sink'), ''))}")
        if found.sink.get("lost"):
            notes.append(f"{found.sink['lost']} pieces of what was sampled are lost")
    if found.broken:
        notes.append(f"{found.broken} broken pieces were passed over")
    return tuple(notes)


def _no_peak(main: Timeline, reason: str) -> Timeline:
    return (
        main if "peak" in main.absent else dataclasses.replace(main, absent={**main.absent, "peak": reason})
    )


# -- values


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**53) <= value <= 2**53:
        raise ValueError("no whole number")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("no text")
    value.encode()  # a lone surrogate could be neither printed nor written
    return value


def _texts(value: Any) -> dict[str, str]:
    if type(value) is not dict:
        raise ValueError("no mapping")
    return {clean(_text(key)): clean(_text(item)) for key, item in value.items()}


def _text_or(value: Any, other: str) -> str:
    with contextlib.suppress(ValueError):
        return _text(value)
    return other


def _texts_or(value: Any) -> dict[str, str]:
    with contextlib.suppress(ValueError):
        return _texts(value)
    return {}


def _peak(value: Any) -> Peak | None:
    if value is None:
        return None
    return Peak(_whole(value["value"]), _whole(value["start"]), clean(_text(value["source"])))


def _peak_or(value: Any) -> Peak | None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return _peak(value)
    return None


def _ceiling(value: Any) -> Ceiling | None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if value is not None:
            return Ceiling(_whole(value["value"]), clean(_text(value["source"])))
    return None
