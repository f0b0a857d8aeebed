"""A recording that is looked at while it runs: what the live widget shows, without the widget.

One daemon thread and one sampler process serve every live recording of this process. RSS is read by the
process, from outside; the thread takes up what it wrote, reads what only the inside knows, and hands each
recording a bounded number of updates a second. It never prints, never waits for the program and never runs
its code. What an update costs is measured in the thread's own processor time; where that would be more than
the recording's share, updates come less often. The thread refers to recordings weakly: one that is forgotten
ends, and thread and process end with the last.

While C code holds the GIL the thread stands still and no update comes; afterwards the line has no gap. Where
there can be no such process the thread reads RSS itself, and the capture says so.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from memlab._base.environment import describe_environment
from memlab._base.safety import clean
from memlab._base.units import format_seconds, parse_bytes
from memlab.collectors import gc_pauses
from memlab.collectors.high_water import Following
from memlab.collectors.probe import Probe
from memlab.collectors.type_counts import TypeWatch
from memlab.errors import UnavailableError, UsageError
from memlab.lab.live_hub import process_wide
from memlab.lab.live_tracks import Alert, Track, Update
from memlab.records.capture import Capture, Mark, Peak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.collectors.probe import Metric
    from memlab.collectors.type_counts import TypeGain
    from memlab.lab.live_hub import Hub
    from memlab.records._result import Result

__all__ = ["LiveRecording"]

METRICS = ("rss_bytes", "allocated_blocks", "traced_bytes")
MOST_UPDATES = 10.0
_FEWEST_UPDATES = 1 / 60
_SHARE = 0.006
_LONGEST_GAP_S = 5.0
_NEAR = 0.9
_HYSTERESIS = 0.98
_MOST_MARKS = 1_000
_MOST_SNAPSHOTS = 20
_MOST_FAILURES = 3


class LiveRecording:
    """Records the own process and tells about it meanwhile. Use it in ``with``, or ``start`` and ``stop``.

    Args:
        interval_s: seconds between two samples.
        updates_per_s: updates a second, at most 10. Fewer come when one costs much.
        metrics: what to sample, RSS first.
        limit: a size; above it there is an alert.
        minutes: it ends by itself after so long.
        types: count objects by type, when that costs little.
        on_update: called in the recording's thread with each ``Update``; an exception of it is counted, and
            after three in a row it is not called again.
        outside: read RSS from a process of its own, where there can be one.

    Attributes:
        ended: why it ended, empty while it runs.
        alerts: times above the limit.
        snapshots: what ``snapshot`` gave, each with its moment.
        types: the types that gained most, by the last look; ``types_reason`` says why there is none.
    """

    def __init__(  # noqa: PLR0917 - options, given by name
        self,
        interval_s: float = 0.1,
        updates_per_s: float = 2.0,
        metrics: Sequence[str] = ("rss_bytes", "allocated_blocks"),
        limit: float | str | None = None,
        minutes: float = 60.0,
        types: bool = True,
        on_update: Callable[[Update], None] | None = None,
        outside: bool = True,
    ) -> None:
        _check_seconds("interval_s", interval_s, 0.01, 60.0)
        _check_seconds("updates_per_s", updates_per_s, _FEWEST_UPDATES, MOST_UPDATES)
        _check_seconds("minutes", minutes, 0.0, 7 * 24 * 60.0)
        unknown = [m for m in metrics if m not in METRICS]
        if unknown or not metrics or isinstance(metrics, str):
            raise UsageError(f"a live recording: metrics are some of {', '.join(METRICS)}, not {metrics!r}")
        self.interval_s = float(interval_s)
        self.limit_bytes = None if limit is None else parse_bytes(limit)
        self.ended = ""
        self.alerts: list[Alert] = []
        self.snapshots: list[tuple[float, Result]] = []
        self.types: tuple[TypeGain, ...] = ()
        self.on_update = on_update
        self.least_gap_s = 1.0 / updates_per_s
        self.marks: list[Mark] = []
        self.sources: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self._names = tuple(dict.fromkeys(("rss_bytes", *metrics)))
        self._lasts_s = minutes * 60.0
        self.outside = outside
        self._watch = TypeWatch() if types else None
        self._lock = threading.RLock()
        self._following = Following()
        self._pauses: gc_pauses.PauseSubscription | None = None
        self._probe = Probe()
        self._read_rss: Metric | None = None
        self._inside: list[Metric] = []
        self._rss = Track(("rss_bytes",))
        self._others = Track(())
        self._last_bytes = self._pause_count = 0
        self._pause_total_s = self._pause_longest_s = 0.0
        self._failures = 0
        self._start_s: float | None = None
        self._started_at = ""
        self._peak: Peak | None = None
        self._first_bytes = 0
        self._greatest = 0
        self._greatest_s = 0.0
        self._gap_s = self.least_gap_s
        self._cost_s: float | None = None
        self._updates = 0
        self._released = self._closed = self._was_outside = False
        self._sample_due = self._update_due = 0.0
        self._hub: Hub | None = None

    # -- its life

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it has begun before.
            UnavailableError: when this system does not tell the RSS.
        """
        if self._start_s is not None:
            raise UsageError("a live recording: this one was started before; make a new one")
        try:
            self._begin()
        except BaseException:
            self._let_go("it could not begin")
            raise
        return self

    def stop(self, reason: str = "stop() was called") -> Capture:
        """End, and return what was recorded. A second call returns the same.

        Raises:
            UsageError: when it has not begun.
        """
        if self._start_s is None:
            raise UsageError("a live recording: not started")
        try:
            self._let_go(reason)
        finally:
            self._let_go(reason)  # finishes what an interrupt cut short
        return self.capture()

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._start_s is not None and not self.ended and self._hub is not None and self._hub.runs

    @property
    def now_s(self) -> float:
        """Seconds since it began."""
        return 0.0 if self._start_s is None else max(0.0, time.monotonic() - self._start_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if getattr(self, "_start_s", None) is not None:
            with contextlib.suppress(Exception):  # the interpreter may be half gone
                self._let_go("nothing referred to it any more")

    # -- what a person does

    def mark(self, label: str) -> Mark:
        """Name this moment.

        Raises:
            UsageError: when it does not run, or the label is no text.
        """
        if not isinstance(label, str) or not label.strip():
            raise UsageError(f"marking a moment: the label must be a text, not {type(label).__name__}")
        self._must_run("marking a moment")
        made = Mark(self.now_s, clean(label.strip()))
        if len(self.marks) >= _MOST_MARKS:
            raise UsageError(f"marking a moment: there are {_MOST_MARKS} marks already")
        self.marks.append(made)
        return made

    def snapshot(self, label: str = "") -> Result:
        """Take a snapshot and mark its moment.

        With tracemalloc running it is a ``Snapshot`` of allocation sites; otherwise a census of the heap by
        type, which stops the program about three times as long as one ``gc.collect()``.

        Raises:
            UsageError: when it does not run, or there are too many.
        """
        self._must_run("taking a snapshot")
        if len(self.snapshots) >= _MOST_SNAPSHOTS:
            raise UsageError(f"taking a snapshot: there are {_MOST_SNAPSHOTS} already; take them out first")
        name = clean(label) or f"snapshot {len(self.snapshots) + 1}"
        self.mark(name)
        taken = self.marks[-1].time_s
        from memlab.collectors.tracing import snapshot as trace_snapshot

        try:
            result: Result = trace_snapshot(name)
        except UnavailableError:
            from memlab.lab.heap import heap

            result = heap().census()
        self.snapshots.append((taken, result))
        return result

    # -- what is to be seen

    def capture(self) -> Capture:
        """Return what was recorded until now.

        Raises:
            UsageError: when it has not begun.
        """
        if self._start_s is None:
            raise UsageError("a live recording: not started")
        with self._lock:
            timeline = self._rss.timeline(self.sources, dict(self.absent), self._started_at)
            inside = self._others.timeline(self.sources, {}) if self._others.names else None
            marks = tuple(self.marks)
        exact = self.peak
        return Capture(
            timeline=timeline,
            inside=inside,
            marks=marks,
            peak=exact or Peak(self._greatest, self._first_bytes, "sampled"),
            pauses=self._pauses.read(self._start_s) if self._pauses is not None else None,
            environment=describe_environment(),
            complete=bool(self.ended),
            notes=self._notes(exact),
        )

    @property
    def peak(self) -> Peak | None:
        """Greatest RSS since it began, by the kernel's mark; None where there is none."""
        return self._peak

    @property
    def greatest_bytes(self) -> int:
        """Greatest RSS known: the kernel's mark, or else the greatest sample."""
        return max(self._greatest, self._peak.value_bytes if self._peak is not None else 0)

    @property
    def peak_s(self) -> float | None:
        """When the peak was, where the greatest sample is the mark or nearly so; else None."""
        peak = self._peak
        if peak is None:
            return self._greatest_s
        near = self._greatest - peak.start_bytes >= _NEAR * peak.increment_bytes
        return self._greatest_s if near else None

    @property
    def first_bytes(self) -> int:
        """RSS when it began."""
        return self._first_bytes

    @property
    def last_bytes(self) -> int:
        """RSS at the last sample."""
        return self._last_bytes

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return self._rss.taken

    @property
    def lasted_s(self) -> float:
        """Seconds from its begin to its last sample."""
        return max(0.0, self._rss.last_s)

    @property
    def pauses_so_far(self) -> tuple[int, float, float]:
        """How many collections there were, their time in all and the longest, in seconds."""
        return self._pause_count, self._pause_total_s, self._pause_longest_s

    @property
    def taken(self) -> tuple[int, ...]:
        """How many samples there were of each track, RSS first."""
        return (self._rss.taken, *([self._others.taken] if self._others.names else []))

    @property
    def types_reason(self) -> str:
        """Why the types are not looked at; empty where they are."""
        return "not asked for" if self._watch is None else self._watch.reason

    @property
    def gap_s(self) -> float:
        """Seconds between two updates at present."""
        return self._gap_s

    # -- the thread's part

    def tick(self, now: float) -> float:
        """Do what is due, and return when to come again; called by the one thread."""
        inside = not self._from_outside
        if inside and now >= self._sample_due:
            self._sample_due = max(self._sample_due + self.interval_s, now)
            with contextlib.suppress(UnavailableError):
                self._sample(now)
        if now >= self._update_due:
            looked = self._watch.look(now) if self._watch is not None else None
            self.types = self.types if looked is None else looked
            began = time.thread_time()
            if not inside:
                self._sample_others(now)
            self._update(looked)
            if self._updates:
                self._pace(time.thread_time() - began)
            self._updates += 1
            self._update_due = now + self._gap_s
        if now - (self._start_s or now) >= self._lasts_s:
            self._let_go(f"{format_seconds(self._lasts_s)} had passed; minutes=... makes it longer")
        return min(self._sample_due, self._update_due) if inside else self._update_due

    def take_rss(self, rows: list[tuple[float, int]]) -> None:
        """Take readings from outside: moments as ``time.monotonic`` has them, and bytes."""
        start = self._start_s
        if start is None or self._released:
            return
        for moment, value in rows:
            self._add_rss(moment - start, value)

    def _pace(self, took_s: float) -> None:
        """Let the next update wait as long as keeps all of them within their share of a processor."""
        # The first costs more than all that follow, for what it loads; one that was slow by chance counts
        # for a tenth.
        self._cost_s = took_s if self._cost_s is None else 0.9 * self._cost_s + 0.1 * took_s
        wanted = min(_LONGEST_GAP_S, self._cost_s / _SHARE)
        self._gap_s = max(self.least_gap_s, min(wanted, 2 * self._gap_s))

    def _begin(self) -> None:
        self._start_s = time.monotonic()
        self._started_at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        for name in self._names:
            try:
                metric = self._probe.metric(name)
            except UnavailableError as error:
                self.absent[name] = str(error)
                continue
            self.sources[name] = metric.source
            if name == "rss_bytes":
                self._read_rss = metric
            else:
                self._inside.append(metric)
        if self._read_rss is None:
            raise UnavailableError(
                f"a live recording: the memory of this process cannot be read ({self.absent['rss_bytes']})"
            )
        self._others = Track([metric.name for metric in self._inside])
        self._following.start()
        self._pauses = gc_pauses.subscribe()
        self._first_bytes = self._read_rss.read()
        self._sample(self._start_s)
        self._sample_due = self._start_s + self.interval_s
        self._update_due = self._start_s + self.least_gap_s
        self._hub = process_wide()
        self._hub.join(self)

    @property
    def _from_outside(self) -> bool:
        return self.outside and self._hub is not None and self._hub.reads_outside

    def _sample(self, now: float) -> None:
        assert self._start_s is not None
        assert self._read_rss is not None
        self._add_rss(max(0.0, now - self._start_s), self._read_rss.read())
        self._sample_others(now)

    def _sample_others(self, now: float) -> None:
        assert self._start_s is not None
        if not self._inside:
            return
        try:
            values = tuple(metric.read() for metric in self._inside)
        except UnavailableError:  # a tracer that was stopped: what it read until then stays
            return
        with self._lock:
            self._others.add(max(0.0, now - self._start_s), values)

    def _add_rss(self, at: float, value: int) -> None:
        with self._lock:
            if not self._rss.add(at, (value,)):
                return
            self._last_bytes = value
            if value > self._greatest:
                self._greatest, self._greatest_s = value, at
            self._watch_limit(at, value)

    def _notes(self, exact: Peak | None) -> tuple[str, ...]:
        notes = []
        if not (self._was_outside or self._from_outside):
            why = self._hub.reason if self._hub is not None and self.outside else ""
            notes.append(
                "RSS was read by a thread: while C code holds the interpreter's lock the line has a gap"
                + (f" ({clean(why)})" if why else "")
            )
        if exact is None:
            notes.append(
                f"the peak is sampled and may be too low: {self._following.reason or 'no mark here'}"
            )
        return tuple(notes)

    def _watch_limit(self, at: float, rss: int) -> None:
        limit = self.limit_bytes
        if limit is None:
            return
        last = self.alerts[-1] if self.alerts else None
        if last is not None and last.ended_s is None:
            ended = at if rss < _HYSTERESIS * limit else None
            self.alerts[-1] = Alert(last.began_s, ended, max(last.greatest_bytes, rss))
        elif rss >= limit and len(self.alerts) < _MOST_MARKS:
            self.alerts.append(Alert(at, None, rss))

    def _update(self, looked: tuple[TypeGain, ...] | None) -> None:
        self._see_peak(self._following.so_far())
        tell = self.on_update
        update = self._news(looked)
        if tell is None or self._failures >= _MOST_FAILURES:
            return
        try:
            tell(update)
        except Exception:  # noqa: BLE001 - whoever looks on must not end the recording
            self._failures += 1
        else:
            self._failures = 0

    def _news(self, looked: tuple[TypeGain, ...] | None) -> Update:
        with self._lock:
            tracks = [self._rss.news(), *([self._others.news()] if self._others.names else [])]
            rows = self._new_pauses()
        return Update(tuple(tracks), rows, self._peak, looked)

    def _see_peak(self, found: tuple[int, int] | None) -> None:
        if found is not None:
            self._peak = Peak(*found, "vmhwm")

    def _new_pauses(self) -> tuple[tuple[float, float, int], ...]:
        if self._pauses is None:
            return ()
        new = self._pauses.take(self._start_s)
        if len(new):
            self._pause_count += len(new)
            self._pause_total_s += new.total_s
            self._pause_longest_s = max(self._pause_longest_s, new.longest_s or 0.0)
        return tuple(zip(new.start_s.tolist(), new.pause_s.tolist(), new.generation.tolist(), strict=True))

    def _let_go(self, reason: str) -> None:
        """End whatever was begun; what an interrupt cut short, the next call finishes."""
        if self._released:
            return
        self.ended = self.ended or reason
        self._was_outside = self._was_outside or self._from_outside
        hub = self._hub
        if hub is not None:
            hub.leave(self)
        if hub is not None and not self._closed:
            self._closed = True
            with contextlib.suppress(UnavailableError):
                self._sample(time.monotonic())
        self._see_peak(self._following.stop())
        self._following.cancel()
        if self._pauses is not None:
            self._pauses.close()
        self._probe.close()
        tell, self.on_update = self.on_update, None
        self._released = True
        if tell is not None and self._failures < _MOST_FAILURES:
            with contextlib.suppress(Exception):
                tell(self._news(None))

    def _must_run(self, what: str) -> None:
        if self._start_s is None or self.ended:
            raise UsageError(f"{what}: the live recording does not run ({self.ended or 'not started'})")


def _check_seconds(name: str, value: Any, least: float, most: float) -> None:
    fits = type(value) in (int, float) and math.isfinite(value) and least <= value <= most and value > 0
    if not fits:
        raise UsageError(f"a live recording: {name} must be a number of {least:g} to {most:g}, not {value!r}")
