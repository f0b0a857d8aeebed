"""A recording that is looked at while it runs: what the live widget shows, without the widget.

One daemon thread serves every live recording of the process. It reads the metrics at each one's interval,
hands each a bounded number of updates a second, and ends with the last of them. It never prints, never waits
for the program and never runs its code. What an update costs is measured in the thread's own processor time;
where that would be more than the recording's share, updates come less often. The thread refers to recordings
weakly: one that is forgotten ends.

While C code holds the GIL the thread stands still: no update, and a gap in the line. The peak has none: it
is the kernel's own mark.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import math
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

from memlab._base.environment import describe_environment
from memlab._base.safety import clean
from memlab._base.units import format_seconds, parse_bytes
from memlab.collectors import gc_pauses
from memlab.collectors.high_water import Region
from memlab.collectors.probe import Probe
from memlab.collectors.sampler import Columns
from memlab.collectors.type_counts import TypeWatch
from memlab.errors import UnavailableError, UsageError
from memlab.records.capture import Capture, Mark, Peak
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.collectors.probe import Metric
    from memlab.collectors.type_counts import TypeGain
    from memlab.records._result import Result

__all__ = ["Alert", "LiveRecording", "Update"]

METRICS = ("rss_bytes", "allocated_blocks", "traced_bytes")
MOST_UPDATES = 10.0
_FEWEST_UPDATES = 1 / 60
_SHARE = 0.006
_LONGEST_GAP_S = 5.0
NEAR = 0.9
_HYSTERESIS = 0.98
_MOST_SAMPLES = 36_000
_MOST_MARKS = 1_000
_MOST_SNAPSHOTS = 20
_MOST_FAILURES = 3
_JOIN_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """A time above the limit; ``ended_s`` is None while it lasts."""

    began_s: float
    ended_s: float | None
    greatest_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """What has come since the last update.

    Attributes:
        first: how many samples there were before.
        time_s: moments of the new samples; ``values`` has a tuple of the metrics' values for each.
        pauses: new collections: when, how long (both in seconds), generation.
        peak: greatest RSS so far.
        types: the types that gained most; None when they were not looked at this time.
    """

    first: int
    time_s: tuple[float, ...]
    values: tuple[tuple[int, ...], ...]
    pauses: tuple[tuple[float, float, int], ...]
    peak: Peak | None
    types: tuple[TypeGain, ...] | None


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
        clock: monotonic, in seconds.

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
        clock: Callable[[], float] = time.monotonic,
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
        self._clock = clock
        self._watch = TypeWatch() if types else None
        self._lock = threading.RLock()
        self._region = Region(interval_s=max(interval_s, 0.05))
        self._pauses: gc_pauses.PauseSubscription | None = None
        self._probe = Probe()
        self._metrics: list[Metric] = []
        self._columns = Columns(0, _MOST_SAMPLES)
        self._fresh: list[tuple[float, tuple[int, ...]]] = []
        self._given = self._taken = self._last_bytes = self._pause_count = 0
        self._last_s = self._pause_total_s = self._pause_longest_s = 0.0
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
        self._released = False
        self._sample_due = self._update_due = 0.0
        self._hub: _Hub | None = None

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
            if not self.ended:
                with contextlib.suppress(UnavailableError):
                    self._sample(self._clock())
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
        return 0.0 if self._start_s is None else max(0.0, self._clock() - self._start_s)

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
            times, columns = self._columns.finished()
            # Copies: the columns grow on while this capture is kept.
            values = {m.name: ints(c.copy()) for m, c in zip(self._metrics, columns, strict=True)}
            axis = floats(times.copy())
            marks = tuple(self.marks)
        rss = {name: values.pop(name) for name in ("rss_bytes",) if name in values}
        pauses = self._pauses.read(self._start_s) if self._pauses is not None else None
        sampled = Peak(self._greatest, self._first_bytes, "sampled")
        exact = self.peak
        notes = ["sampled by a thread: while C code holds the interpreter's lock the line has a gap"]
        if exact is None:
            notes.append(f"the peak is sampled and may be too low: {self._region.reason or 'no mark here'}")
        return Capture(
            timeline=Timeline(axis, rss, self._told("rss_bytes"), dict(self.absent), self._started_at),
            inside=Timeline(axis, values, self._told(*values)) if values else None,
            marks=marks,
            peak=exact or sampled,
            pauses=pauses,
            environment=describe_environment(),
            complete=bool(self.ended),
            notes=tuple(notes),
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
        near = self._greatest - peak.start_bytes >= NEAR * peak.increment_bytes
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
        return self._taken

    @property
    def lasted_s(self) -> float:
        """Seconds from its begin to its last sample."""
        return self._last_s

    @property
    def pauses_so_far(self) -> tuple[int, float, float]:
        """How many collections there were, their time in all and the longest, in seconds."""
        return self._pause_count, self._pause_total_s, self._pause_longest_s

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What is sampled, in the order of ``Update.values``."""
        return tuple(m.name for m in self._metrics)

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
        if now >= self._sample_due:
            self._sample_due = max(self._sample_due + self.interval_s, now)
            with contextlib.suppress(UnavailableError):
                self._sample(now)
        if now >= self._update_due:
            looked = self._watch.look(now) if self._watch is not None else None
            self.types = self.types if looked is None else looked
            began = time.thread_time()
            self._update(looked)
            if self._updates:
                self._pace(time.thread_time() - began)
            self._updates += 1
            self._update_due = now + self._gap_s
        if now - (self._start_s or now) >= self._lasts_s:
            self._let_go(f"{format_seconds(self._lasts_s)} had passed; minutes=... makes it longer")
        return min(self._sample_due, self._update_due)

    def _pace(self, took_s: float) -> None:
        """Let the next update wait as long as keeps all of them within their share of a processor."""
        # The first costs more than all that follow, for what it loads; one that was slow by chance counts
        # for a tenth.
        self._cost_s = took_s if self._cost_s is None else 0.9 * self._cost_s + 0.1 * took_s
        wanted = min(_LONGEST_GAP_S, self._cost_s / _SHARE)
        self._gap_s = max(self.least_gap_s, min(wanted, 2 * self._gap_s))

    def _begin(self) -> None:
        self._start_s = self._clock()
        self._started_at = _utc_now()
        for name in self._names:
            try:
                metric = self._probe.metric(name)
            except UnavailableError as error:
                self.absent[name] = str(error)
            else:
                self._metrics.append(metric)
                self.sources[name] = metric.source
        if "rss_bytes" not in self.sources:
            raise UnavailableError(
                f"a live recording: the memory of this process cannot be read ({self.absent['rss_bytes']})"
            )
        self._columns = Columns(len(self._metrics), _MOST_SAMPLES)
        self._region.start()
        self._pauses = gc_pauses.subscribe()
        self._sample(self._start_s)
        self._first_bytes = self._fresh[0][1][0]
        self._sample_due = self._start_s + self.interval_s
        self._update_due = self._start_s + self.least_gap_s
        self._hub = _process_wide()
        self._hub.join(self)

    def _sample(self, now: float) -> None:
        assert self._start_s is not None
        values = tuple(metric.read() for metric in self._metrics)
        at = max(0.0, now - self._start_s)
        with self._lock:
            self._columns.append(at, values)
            self._fresh.append((at, values))
            del self._fresh[:-_MOST_SAMPLES]
            self._taken += 1
            self._last_s, self._last_bytes = at, values[0]
        if values[0] > self._greatest:
            self._greatest, self._greatest_s = values[0], at
        self._watch_limit(at, values[0])

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
        self._peak = self._region.so_far() or self._peak
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
            fresh, self._fresh = self._fresh, []
            first = self._given
            self._given += len(fresh)
            rows = self._new_pauses()
        return Update(
            first=first,
            time_s=tuple(at for at, _ in fresh),
            values=tuple(values for _, values in fresh),
            pauses=rows,
            peak=self._peak,
            types=looked,
        )

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
        hub = self._hub
        if hub is not None:
            hub.leave(self)
        with contextlib.suppress(UsageError):
            self._peak = _exact(self._region.stop()) or self._peak
        self._region.cancel()
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

    def _told(self, *names: str) -> dict[str, str]:
        return {name: self.sources[name] for name in names if name in self.sources}


class _Hub:
    """The one thread. Runs while there is somebody to serve."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        # Re-entrant: a forgotten recording may be collected while its thread is in here.
        self._lock = threading.RLock()
        self._members: weakref.WeakSet[LiveRecording] = weakref.WeakSet()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        """Tell whether the thread is there."""
        return self._thread is not None and self._thread.is_alive() and self.pid == os.getpid()

    @property
    def members(self) -> int:
        """How many are served."""
        return len(self._members)

    def join(self, recording: LiveRecording) -> None:
        """Serve a recording from now on."""
        with self._lock:
            self._members.add(recording)
            if not self.runs:
                self._wake = threading.Event()
                self._thread = threading.Thread(
                    target=_serve, args=(weakref.ref(self), self._members, self._wake), name="memlab-live"
                )
                self._thread.daemon = True
                _end_at_exit()
                self._thread.start()
        self._wake.set()

    def leave(self, recording: LiveRecording) -> None:
        """Serve a recording no more; the last one ends the thread."""
        if os.getpid() != self.pid:
            return
        with self._lock:
            self._members.discard(recording)
            thread = self._thread
            last = not self._members
        self._wake.set()
        begun = thread is not None and thread.ident is not None  # an interrupt may have come before
        if last and begun and thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def retire(self) -> bool:
        """Let the thread go when there is nobody to serve; who joins after that starts another."""
        with self._lock:
            if len(self._members):
                return False
            self._thread = None
            return True

    def end(self) -> None:
        """End the thread: the interpreter ends."""
        thread = self._thread
        self._members.clear()
        self._wake.set()
        if thread is not None and thread.ident is not None and os.getpid() == self.pid:
            thread.join(_JOIN_S)


def _serve(hub: weakref.ref[_Hub], members: weakref.WeakSet[LiveRecording], wake: threading.Event) -> None:
    """Serve all members until there is none."""
    while True:
        wake.clear()
        due = _serve_once(members)
        if due is None:
            owner = hub()
            if owner is None or owner.retire():
                return
            continue
        wake.wait(min(60.0, max(0.0, due - time.monotonic())))


def _serve_once(members: weakref.WeakSet[LiveRecording]) -> float | None:
    """Serve each member once, and return when the next is due; None where there is none."""
    dues = []
    for recording in tuple(members):
        try:
            dues.append(recording.tick(time.monotonic()))
        except Exception as error:  # noqa: BLE001 - a fault ends one recording, not the thread
            recording.ended = recording.ended or f"it failed: {type(error).__name__}"
            members.discard(recording)
    return min(dues, default=None)


_hub: _Hub | None = None
_hooks: list[object] = []


def _process_wide() -> _Hub:
    """The thread is the process's; a forked child, which has no such thread, gets one of its own."""
    global _hub  # noqa: PLW0603 - one thread for the process
    if _hub is None or _hub.pid != os.getpid():
        _hub = _Hub()
    return _hub


def _end_at_exit() -> None:
    if not _hooks:
        _hooks.append(atexit.register(_end_hub))


def _end_hub() -> None:
    if _hub is not None:
        _hub.end()


def _check_seconds(name: str, value: Any, least: float, most: float) -> None:
    fits = type(value) in (int, float) and math.isfinite(value) and least <= value <= most and value > 0
    if not fits:
        raise UsageError(f"a live recording: {name} must be a number of {least:g} to {most:g}, not {value!r}")


def _exact(peak: Peak | None) -> Peak | None:
    return peak if peak is not None and peak.source == "vmhwm" else None


def _utc_now() -> str:
    import datetime as dt

    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
