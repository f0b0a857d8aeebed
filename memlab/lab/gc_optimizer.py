"""Adapt the collector to what the program does, say why, and put everything back at the end.

A thread looks a few times a second at what the collector did meanwhile: its share of the time, what it found,
how the process grew. Three rules, in this order: if the process grew past the budget since the thresholds
were raised, they go back; if the collector takes more than the share aimed at, the first threshold is
multiplied, up to a bound; otherwise nothing is changed. It never disables the collector. Each change is a
decision with its figures.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from memlab._base.units import format_bytes, format_seconds
from memlab.collectors.probe import Probe
from memlab.errors import UsageError
from memlab.lab.gc_monitor import GCMonitor
from memlab.records.gc_results import GcDecision, GcDecisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.records.gc_pauses import GcPauses
    from memlab.records.gc_results import GcAdvice, GcStats

__all__ = ["GCOptimizer"]

_MIB = 1024 * 1024
_STEP = 4
_HIGHEST = 100_000
_SECOND, _THIRD = 20, 50
_FEW = 5
_NOTHING = 0.005
_IDLE_SHARE = 0.05
_IDLE_EVERY_S = 30.0
_MOST_DECISIONS = 1000
_FROZEN_AT_START = 1000  # Python 3.12 freezes some hundred objects of its own


class GCOptimizer:
    """Adapts the thresholds of the collector while it runs; ``stop`` restores them exactly.

    What it can do: collect less often where collections take much and the process does not grow. What it
    cannot: give memory back to the system, free what is referenced, help threads that wait for the
    interpreter. For work on arrays and tables expect nothing: the collector counts containers alone.

    Args:
        target_share: share of the time that collections may take before the thresholds are raised.
        memory_budget_mb: MiB that the process may grow after they were raised, before they go back.
        interval_s: seconds between two looks.
        freeze: set everything alive at the start aside (``gc.freeze``), so that no collection walks it;
            undone at the end. Left out where the program froze objects itself.
        collect_when_idle: collect while the process does nothing, at most every 30 seconds.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> import gc
        >>> before = gc.get_threshold()
        >>> with GCOptimizer() as optimizer:
        ...     work = [[] for _ in range(1000)]
        >>> gc.get_threshold() == before, optimizer.stats.collections < 5
        (True, True)
    """

    def __init__(
        self,
        target_share: float = 0.05,
        memory_budget_mb: float = 64,
        interval_s: float = 0.1,
        *,
        freeze: bool = False,
        collect_when_idle: bool = False,
    ) -> None:
        for name, value in (
            ("target_share", target_share),
            ("memory_budget_mb", memory_budget_mb),
            ("interval_s", interval_s),
        ):
            if type(value) not in (int, float) or not value > 0 or not math.isfinite(value):
                raise UsageError(f"adapting the collector: {name} must be a number above 0, not {value!r}")
        self.target_share = target_share
        self.memory_budget_mb = memory_budget_mb
        self.interval_s = interval_s
        self.freeze = freeze
        self.collect_when_idle = collect_when_idle
        self._monitor = GCMonitor()
        self._decisions: deque[GcDecision] = deque(maxlen=_MOST_DECISIONS)
        self._before: tuple[tuple[int, ...], bool] | None = None
        self._froze = False
        self._began = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the public face

    def start(self) -> Self:
        """Begin to watch and to adapt.

        Raises:
            UsageError: when it was started before.
        """
        if self._thread is not None:
            raise UsageError("adapting the collector: this optimizer was started before; make a new one")
        try:
            self._began = time.monotonic()
            self._before = (gc.get_threshold(), gc.isenabled())
            self._monitor.start()
            if self.freeze:
                self._freeze()
            self._thread = threading.Thread(target=self._run, name="memlab-gc-optimizer", daemon=True)
            self._thread.start()
            return self  # noqa: TRY300 - an interrupt at this line must be undone too
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End, and restore thresholds, the enabled flag and what was frozen. A second call does nothing."""
        try:
            self._end()
        except BaseException:  # an interrupt: what was left undone is done, then it passes
            self._end()
            raise

    def _end(self) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join()
        self._monitor.stop()
        if self._froze:
            gc.unfreeze()
            self._froze = False
        if self._before is not None:
            thresholds, enabled = self._before
            if gc.get_threshold() != thresholds:
                self._decide("restore", gc.get_threshold(), thresholds, "the optimizer ended")
            gc.set_threshold(*thresholds)
            (gc.enable if enabled else gc.disable)()
            self._before = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.stop()
        except BaseException:  # an interrupt on the way there
            self.stop()
            raise

    @property
    def monitor(self) -> GCMonitor:
        """The monitor whose figures it acts on."""
        return self._monitor

    @property
    def stats(self) -> GcStats:
        """The collector's figures since the start.

        Raises:
            UsageError: before it was started.
        """
        return self._monitor.stats

    @property
    def decisions(self) -> GcDecisions:
        """What was done, or left, and why, as a table; the last 1,000."""
        return GcDecisions(tuple(self._decisions))

    @staticmethod
    def recommend(
        workload: Callable[[], object] | str, *, arguments: Sequence[str] = (), **options: Any
    ) -> GcAdvice:
        """Try settings of the collector on a workload of yours, in child processes, and say which to take.

        Nothing is applied here. See ``memlab.recommend_gc``, which this is.
        """
        from memlab.lab.gc_trials import recommend_gc

        return recommend_gc(workload, arguments=arguments, **options)

    # -- adapting

    def _run(self) -> None:
        subscription = self._monitor._subscription  # noqa: SLF001 - its own monitor
        assert subscription is not None
        with Probe() as probe:
            watch = _Watch(probe.value("rss_bytes"), time.process_time(), time.monotonic())
            while not self._stop.wait(self.interval_s):
                self._look(subscription.take(), probe.value("rss_bytes"), watch)

    def _look(self, pauses: GcPauses, rss: int | None, watch: _Watch) -> None:
        """Look at one interval, and act by the first rule that holds."""
        now, cpu = time.monotonic(), time.process_time()
        lasted, worked = now - watch.at, cpu - watch.cpu
        watch.at, watch.cpu = now, cpu
        thresholds = gc.get_threshold()
        assert self._before is not None
        original = self._before[0]
        if rss is not None and watch.rss is None:
            watch.rss = rss
        grown = rss - watch.rss if rss is not None and watch.rss is not None else 0
        if thresholds != original and grown > self.memory_budget_mb * _MIB:
            gc.set_threshold(*original)
            reason = f"the process grew by {format_bytes(grown)} since the thresholds were raised"
            self._decide("lower", thresholds, original, reason)
            watch.rss, watch.rest_until = rss, now + 20 * self.interval_s
            return
        took = pauses.total_s
        share = took / max(lasted, 1e-9)
        said = (
            f"{len(pauses):,} collections took {format_seconds(took)},"
            f" {share * 100:.0f} % of {format_seconds(lasted)}"
        )
        if len(pauses) >= _FEW and share > self.target_share and now >= watch.rest_until:
            self._raise(thresholds, original, said, watch, rss)
        elif share < _NOTHING and pauses.lasted_s and not self._decisions and len(pauses) >= _FEW:
            self._decide("keep", thresholds, thresholds, f"{said}: nothing to gain")
        elif self.collect_when_idle and worked < _IDLE_SHARE * lasted:
            self._collect_idle(now, watch)

    def _raise(
        self,
        thresholds: tuple[int, ...],
        original: tuple[int, ...],
        said: str,
        watch: _Watch,
        rss: int | None,
    ) -> None:
        wanted = (
            min(max(thresholds[0], 1) * _STEP, _HIGHEST),
            max(thresholds[1], _SECOND),
            max(thresholds[2], _THIRD) if thresholds[2] else thresholds[2],
        )
        if wanted == thresholds or thresholds[0] == 0:
            return
        if thresholds == original:
            watch.rss = rss  # growth counts from here
        gc.set_threshold(*wanted)
        self._decide("raise", thresholds, wanted, f"{said}; aimed at are {self.target_share * 100:g} %")

    def _collect_idle(self, now: float, watch: _Watch) -> None:
        if now - watch.collected < _IDLE_EVERY_S or not any(gc.get_count()[1:]):
            return
        watch.collected = now
        thresholds = gc.get_threshold()
        found = gc.collect()
        self._decide("collect", thresholds, thresholds, f"the process was idle; {found:,} objects were found")

    def _freeze(self) -> None:
        thresholds = gc.get_threshold()
        if gc.get_freeze_count() > _FROZEN_AT_START:
            self._decide(
                "keep", thresholds, thresholds, "the program froze objects itself: nothing was frozen"
            )
            return
        self._froze = True  # before the call: an interrupt between the two must still be undone
        gc.collect()
        gc.freeze()
        frozen = f"{gc.get_freeze_count():,} objects were set aside"
        self._decide("freeze", thresholds, thresholds, frozen)

    def _decide(self, action: str, before: tuple[int, ...], after: tuple[int, ...], reason: str) -> None:
        self._decisions.append(GcDecision(time.monotonic() - self._began, action, before, after, reason))


class _Watch:
    """What the thread remembers from one look to the next."""

    __slots__ = ("at", "collected", "cpu", "rest_until", "rss")

    def __init__(self, rss: int | None, cpu: float, at: float) -> None:
        self.rss = rss
        self.cpu = cpu
        self.at = at
        self.collected = at
        self.rest_until = 0.0
