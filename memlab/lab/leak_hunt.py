"""Hunt a leak: run a step again and again, and say whether it leaves something behind for ever.

The protocol: the step warms up; a first pass runs it with nothing switched on and reads the process after
equal rounds; the block-minima test asks whether any metric rose throughout and went on rising. Only then a
second pass runs the step on, with allocations traced, and joins what survives: type, line, holder. Nothing
of the user's is changed but this, and all of it is undone however the hunt ends: the collector's permanent
generation holds the start's objects (``gc.freeze``), collections happen after each round, and tracemalloc
runs during the second pass.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import psutil

from memlab._base.environment import describe_environment
from memlab._base.paths import PathLabels
from memlab._base.safety import instance_type_name
from memlab.analyses.growth import BLOCKS, COUNTS, MALLOC, RSS, growth_test
from memlab.analyses.leak_verdict import Findings, begins_late, doubtful, judge, rises
from memlab.collectors.census import Census, FrozenHeap, take_census
from memlab.collectors.probe import Probe
from memlab.collectors.tracing import TracemallocOwner
from memlab.errors import UsageError
from memlab.lab._bare_pass import BarePass, Stop
from memlab.lab._cutting import Cutter
from memlab.lab._joined import TracedFacts, explain
from memlab.lab._native_pass import NativePass
from memlab.lab._surroundings import Surroundings
from memlab.lab._traced_pass import Appetite, Rates, TracedPass
from memlab.lab.steps import Loop, Step, failed_at, step_traceback
from memlab.records.leak_report import GrowthTest, LeakReport, Protocol, StepFailure, Suspect, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.records.timeline import Timeline

__all__ = ["LeakHunt", "find_leaks"]

_PLAIN_SHARE = 0.25
"""Part of the budget after which the first pass ends if a step that is quick has grown all along."""
_PLAIN_CALLS = 20_000
_BARE_SHARE = 0.4
"""Part of the budget for the first pass; the search for lines and holders needs what is left over."""
_EXTENDED_SHARE = 0.55
_TRACED_SHARE = 0.15
_LEAST_TRACED = 0.05
"""For the second pass however long the search will take: in less, a rare leak is not seen again."""
_BRIEF_SHARE = 0.05
"""For the second pass where Python's own objects did not rise, so that it only confirms that."""
_NATIVE_SHARE = 0.15
_SEARCH = 12.0
"""What is done to the whole heap after the first pass takes, in censuses, about: counts, walks and so on."""
_CUT = 1.0
"""What taking the graph and the first cuts takes, in censuses, about; the capture itself stops in time."""
_LEAST_BARE = 0.15
"""Part of the budget that the first pass has however long the search will take."""
_COUNTED = ("tracked_objects", "allocated_blocks")
_ENOUGH_ROUNDS = 64  # the test has seven in each block then, and one odd reading does not decide
_A_LITTLE = 0.02
_LEAST_ROUNDS = 16  # two readings in each of six blocks after a quarter is dropped
_WARMUP_CALLS = 3
_MOST_GROWTH = 1 << 30
_EXPLAINED = (Verdict.LEAK, Verdict.WARMING_UP)
_RULES = (
    ("tracked_objects", COUNTS),
    ("allocated_blocks", BLOCKS),
    ("malloc_bytes", MALLOC),
    ("rss_bytes", RSS),
)
_LOG = logging.getLogger("memlab")


def find_leaks(
    step: Callable[[], Any],
    setup: Callable[[], Any] | None = None,
    *,
    teardown: Callable[[], Any] | None = None,
    budget_s: float = 30.0,
    iterations: int | None = None,
    warmup: int | None = None,
    depth: int = 25,
    trace: bool = True,
    label: str | None = None,
    aliases: Mapping[str, str] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> LeakReport:
    """Run ``step`` again and again and say whether it leaks: verdict, evidence, line and holder.

    The step runs in this process, unchanged. Its exception, if it raises, goes on to the caller unchanged;
    use ``LeakHunt`` to have the report of what was seen so far.

    Args:
        step: called without arguments; ought to leave nothing behind. A coroutine function is awaited.
        setup: called once before, and not part of what is judged. Also a context manager, a function that
            makes one by ``contextlib.contextmanager``, or a generator that yields once: what follows its
            yield then runs after the hunt. Coroutines and asynchronous forms run in the step's own loop.
        teardown: called once after, whatever happened: also when the step, or the set-up itself, raised. The
            exception that came first is the one that goes on.
        budget_s: seconds to spend, about. A step that takes longer than a hundredth of it is run less often.
        iterations: calls in the first pass; default: as many as the budget allows.
        warmup: calls before the first reading that counts; default: a few, and a quarter of the readings.
        depth: frames kept for each traced block in the second pass.
        trace: False leaves the second pass out: a verdict without lines and holders, and no tracing.
        label: the step's name in the report; default ``module:function``.
        aliases: names to show for code files, e.g. a notebook cell's.
        progress: called as ``progress(stage, done)`` between rounds, ``done`` from 0 to 1.

    Raises:
        StepError: when ``step``, ``setup`` or ``teardown`` cannot be called.
        UsageError: when a number is out of range.

    Example:
        >>> import memlab
        >>> kept = []
        >>> def step():
        ...     kept.append({"id": len(kept)})
        >>> report = memlab.find_leaks(step, budget_s=2, iterations=400)
        >>> str(report.verdict), round(report.objects_per_iteration)
        ('leak', 1)
        >>> kept.clear()

        A set-up like a fixture's, with its tear-down below the ``yield``:

        >>> def database():
        ...     kept.append("open")
        ...     yield
        ...     kept.clear()
        >>> str(memlab.find_leaks(lambda: len(kept), database, iterations=200).verdict), kept
        ('no leak', [])
    """
    hunt = LeakHunt(
        step,
        setup,
        teardown=teardown,
        budget_s=budget_s,
        iterations=iterations,
        warmup=warmup,
        depth=depth,
        trace=trace,
        label=label,
        aliases=aliases,
        progress=progress,
    )
    return hunt.run()


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    budget_s: float
    iterations: int | None
    warmup: int | None
    depth: int
    trace: bool


class LeakHunt:
    """One hunt, from which the report can be had at any time: also after the step raised.

    The arguments are those of ``find_leaks``.

    Example:
        >>> hunt = LeakHunt(lambda: 1 / 0, iterations=200)
        >>> try:
        ...     hunt.run()
        ... except ZeroDivisionError:
        ...     print(hunt.report.failure.exception, hunt.report.failure.iteration)
        builtins.ZeroDivisionError 1
    """

    def __init__(
        self,
        step: Callable[[], Any] | Step,
        setup: Callable[[], Any] | None = None,
        *,
        teardown: Callable[[], Any] | None = None,
        budget_s: float = 30.0,
        iterations: int | None = None,
        warmup: int | None = None,
        depth: int = 25,
        trace: bool = True,
        label: str | None = None,
        aliases: Mapping[str, str] | None = None,
        progress: Callable[[str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = _checked(_Options(budget_s, iterations, warmup, depth, trace))
        self._step = step if isinstance(step, Step) else Step(step, label)
        self._loop = Loop()
        self._around = Surroundings(setup, teardown, self._loop)
        self._labels = PathLabels(aliases)
        self._progress = progress or _silent
        self._clock = clock
        self._began = 0.0
        self._started_at = ""
        self._stage = "set-up"
        self._warmup_calls = 0
        self._bare: BarePass | None = None
        self._before: Census | None = None
        self._census_s = 0.0
        self._native: NativePass | None = None
        self._lost: tuple[Suspect, ...] | None = None
        self._facts: TracedFacts | None = None
        self._failure: StepFailure | None = None
        self._complete = False
        self._notes: list[str] = []
        self._report: LeakReport | None = None

    @property
    def report(self) -> LeakReport | None:
        """What was seen so far; None before ``run``. Made when first asked for after the hunt has ended."""
        if self._report is None and self._began:
            self._report = self._conclude()
        return self._report

    def run(self) -> LeakReport:
        """Hunt, and return the report. May be called once.

        Whatever the step or the user raises goes on unchanged; ``report`` then says what was seen.
        """
        if self._began:
            raise UsageError("this hunt has run already: make another LeakHunt")
        self._began = self._clock()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._loop, self._step.ready(self._loop):
                self._hunt_inside()
        except BaseException as error:
            # Nothing that goes wrong with the report may take the place of the step's own exception.
            with contextlib.suppress(Exception):
                self._fail(error)
                self._report = self._conclude()
            error.__traceback__ = step_traceback(error) or error.__traceback__
            raise
        self._report = self._conclude()
        return self._report

    @property
    def blame(self) -> str:
        """Whose exception ended the hunt, where it was not the step's: ``setup`` or ``teardown``."""
        return self._around.blame

    # -- the protocol

    def _hunt_inside(self) -> None:
        """Set up, hunt, and tear down whatever happened."""
        under_way: BaseException | None = None
        try:
            self._around.make()
            self._hunt()
            self._complete = True
        except BaseException as error:
            under_way = error
            raise
        finally:
            try:
                self._around.take_away(under_way)
            finally:
                under_way = None  # else this frame and the exception would hold each other
                self._notes.extend(self._around.notes)

    def _hunt(self) -> None:
        self._warm_up()
        with contextlib.ExitStack() as stack:
            heap = FrozenHeap()
            if not heap.available:
                self._notes.append(
                    "gc.freeze was in force already and was left alone: collections and counts take longer"
                )
            probe = stack.enter_context(Probe())
            if self.options.trace:
                with TracemallocOwner.subscribe(1):
                    pass  # what tracing needs is imported before the first census
            gc.collect()  # garbage of the program's past would count as objects that die during the hunt
            self._before = self._first_census()
            stack.enter_context(heap)
            self._measure(heap, lambda: probe.value("rss_bytes"))
            if self._needs_trace():
                heap.thaw()
                self._explain(heap, Appetite(lambda: probe.value("rss_bytes"), _growth_allowed()))
                self._cut()
                self._find_native(lambda: probe.value("rss_bytes"))

    def _first_census(self) -> Census:
        """Count, and time it: twice where that is quick, since the first time numpy and caches are cold."""
        while True:
            began = self._clock()
            census = take_census()
            took = self._clock() - began
            if self._census_s or took > _A_LITTLE * self.options.budget_s:
                self._census_s = min(took, self._census_s or took)
                return census
            self._census_s = took
            del census  # its containers would be in the next

    def _warm_up(self) -> None:
        self._stage = "warm-up"
        calls = self.options.warmup if self.options.warmup is not None else _WARMUP_CALLS
        until = self._clock() + self.options.budget_s * 0.1
        for done in range(calls):
            self._step.run(1)
            self._progress("warming up", (done + 1) / calls)
            if self.options.warmup is None and self._clock() > until:
                break
        self._warmup_calls = self._step.calls

    def _measure(self, heap: FrozenHeap, read_rss: Callable[[], int | None]) -> None:
        self._stage = "round"
        iterations = self.options.iterations
        per_round = 1 if iterations is None else max(1, iterations // 96)
        stop = Stop(_LEAST_ROUNDS, 0.0, iterations, _growth_allowed())
        bare = self._bare = BarePass(self._step, read_rss, self._clock, per_round, adapt=iterations is None)
        self._run_bare(stop, _PLAIN_SHARE, "measuring")
        if iterations is not None:
            return
        if not bare.stopped_by_growth and not (self._step.calls >= _PLAIN_CALLS and self._counts_rise()):
            self._run_bare(stop, _BARE_SHARE, "measuring on")
        tests = self._tests()
        if begins_late(tests) or (bare.stopped_by_objects and not rises(tests)):
            self._notes.append(
                f"growth began late: the readings of the first {self._step.calls:,} iterations were set aside"
            )
            heap.refreeze()
            self._bare = BarePass(self._step, read_rss, self._clock)
            self._run_bare(stop, _EXTENDED_SHARE, "growth began late, measuring anew")
        elif not bare.stopped_by_growth and doubtful(tests):
            self._run_bare(stop, _EXTENDED_SHARE, "still filling, measuring on")

    def _run_bare(self, stop: Stop, share: float, stage: str) -> None:
        """Go on with the first pass until a share of the budget is spent.

        A large heap ends it sooner, since its search takes long, but not before there are readings enough:
        the search is for nothing when the verdict rests on a few.
        """
        bare, until = self._bare, self._bare_until(share)
        assert bare is not None
        while True:
            bare.run(
                dataclasses.replace(stop, until=until), lambda done: self._progress(stage, min(done, 1.0))
            )
            enough = bare.rounds >= _ENOUGH_ROUNDS or bare.stopped_by_growth or stop.iterations is not None
            if enough or self._clock() >= self._until(share):
                return
            until = self._clock() + _A_LITTLE * self.options.budget_s

    def _explain(self, heap: FrozenHeap, appetite: Appetite) -> None:
        self._stage = "tracing"
        before = self._before
        if before is None:
            return
        tests = {t.metric: t for t in self._tests()}
        rates = Rates(_risen(tests["tracked_objects"]), _risen(tests["allocated_blocks"]))
        share = _TRACED_SHARE if rates.objects or rates.blocks else _BRIEF_SHARE
        # The budget is for the whole answer: what the search will take is kept back.
        # The stretches may take twice what they are given, when the step is slower traced.
        left = self._until(1.0) - self._clock() - self._search_s()
        seconds = max(min(share * self.options.budget_s, left / 2), _LEAST_TRACED * self.options.budget_s)
        depth = self.options.depth
        traced = TracedPass(self._step, heap, self._clock, depth=depth, before=before, appetite=appetite)
        # No variable for the survey: what the step keeps of an exception keeps this frame, and all in it.
        self._facts = explain(traced.run(rates, seconds, self._progress), rates, self._labels, self._progress)
        self._notes.extend(self._facts.notes)

    def _cut(self) -> None:
        """Tell what would go if the suspects' holders let go, where the verdict will name them at all."""
        facts = self._facts
        if facts is None or not facts.edges:
            return
        self._stage = "cutting references"
        self._progress("asking what would be freed", 0.0)
        left = self._until(1.0) - self._clock() - self._kept_for_native(facts)
        if self.options.iterations is not None:  # who counts calls does not count seconds
            left = max(left, self.options.budget_s)
        fits = left >= self._search_s() * _CUT / _SEARCH
        cutter = Cutter(facts.fresh, self._labels, left if fits else 0.0, self._clock)
        suspects = cutter.cut(facts.suspects, facts.edges)
        self._facts = dataclasses.replace(facts, suspects=suspects)

    def _kept_for_native(self, facts: TracedFacts) -> float:
        """Return seconds that the search for native memory will want."""
        return _NATIVE_SHARE * self.options.budget_s if self._lost_rate(facts) is not None else 0.0

    def _find_native(self, read_rss: Callable[[], int | None]) -> None:
        """Find the lines that lose native memory, where Python's own does not account for the growth."""
        facts = self._facts
        rate = self._lost_rate(facts) if facts is not None else None
        if rate is None:
            return
        if self._step.elsewhere:
            self._notes.append("lines that lose native memory were not looked for: other threads do the work")
            return
        self._stage = "noting calls of malloc"
        self._progress("looking which line loses native memory", 0.0)
        left = self._until(1.0) - self._clock()
        seconds = max(min(_NATIVE_SHARE * self.options.budget_s, 0.8 * left), 0.02 * self.options.budget_s)
        self._native = NativePass(self._step, self._clock, self._labels, read_rss)
        self._lost = self._native.run(rate, seconds)
        self._notes.extend(self._native.notes)

    def _lost_rate(self, facts: TracedFacts) -> float | None:
        """Return the bytes that an iteration loses, where Python's own memory does not account for them."""
        tests = {t.metric: t for t in self._tests()}
        for metric in ("malloc_bytes", "rss_bytes"):
            test = tests.get(metric)
            if test is not None and _risen(test):
                return None if facts.is_of_python(test.per_iteration) else test.per_iteration
        return None

    def _counts_rise(self) -> bool:
        return any(t.grew and t.sustained for t in self._tests() if t.metric in _COUNTED)

    def _needs_trace(self) -> bool:
        return self.options.trace and rises(self._tests())

    def _bare_until(self, share: float) -> float:
        """Return when a part of the first pass ends, which leaves time for the whole heap to be searched."""
        if not self.options.trace:
            return self._until(share)
        kept = self._search_s() + _TRACED_SHARE * self.options.budget_s
        return max(self._until(_LEAST_BARE), min(self._until(share), self._until(1.0) - kept))

    def _search_s(self) -> float:
        """Return how long the search of the whole heap will take, by the first census and what came since."""
        if self._before is None:
            return 0.0
        then = sum(self._before.counts.values())
        since = self._bare.objects if self._bare is not None else 0
        return _SEARCH * self._census_s * (1.0 + since / max(then, 1))

    def _until(self, share: float) -> float:
        return self._began + share * self.options.budget_s

    # -- what was seen

    def _tests(self) -> tuple[GrowthTest, ...]:
        if self._bare is None:
            return ()
        series = self._bare.series("")
        at = series.metrics["iteration"]
        found = []
        for metric, rule in _RULES:
            if metric in series.metrics:
                if self.options.warmup is not None:
                    rule = dataclasses.replace(rule, warmup_share=0.0)  # noqa: PLW2901
                if self._bare.stopped_by_growth and len(at) < _LEAST_ROUNDS:
                    rule = rule.for_few(len(at))  # noqa: PLW2901
                test = growth_test(metric, series.metrics[metric], at, rule)
                if test is not None:
                    found.append(test)
        return tuple(found)

    def _fail(self, error: BaseException) -> None:
        if self._complete:
            return  # the tear-down's own: what the hunt had found stands, and a note tells of it
        stage = self._stage
        if stage == "round" and self._bare is not None:
            stage = f"round {self._bare.rounds + 1}"
        self._failure = StepFailure(
            exception=instance_type_name(error),
            iteration=self._step.calls,
            stage=stage,
            at=failed_at(error, self._step, self._labels),
        )
        if isinstance(error, Exception):
            _LOG.debug("the step raised %s in %s", self._failure.exception, stage)

    def _conclude(self) -> LeakReport:
        """Make the report of what was seen so far."""
        tests = self._tests()
        facts = self._facts
        findings = Findings(
            tests=tests,
            enough=bool(tests),
            ended_early=self._bare is not None and self._bare.stopped_by_growth,
            suspects=facts.suspects if facts is not None else None,
            objects_rate=facts.objects_rate if facts is not None else None,
            traced_rate=facts.traced_rate if facts is not None else None,
            blocks_rate=facts.blocks_rate if facts is not None else None,
            sites_rate=sum(s.blocks_per_iteration for s in facts.sites) if facts is not None else 0.0,
            traced_calls=facts.iterations if facts is not None else 0,
            native_calls=self._native.calls if self._native is not None else 0,
            lost=self._lost,
            free_rate=self._bare.free_rate() if self._bare is not None else None,
            by_clock=self._step.by_clock,
        )
        verdict, reason = dataclasses.astuple(judge(findings))
        if self._failure is not None:
            verdict = Verdict.INCONCLUSIVE
            reason = (
                f"the hunt was stopped by {self._failure.exception} in iteration {self._failure.iteration:,} "
                f"({self._failure.stage}); this is what was seen until then"
            )
        objects, size, source = _per_iteration(verdict, tests, facts)
        if self._bare is not None and self._bare.stopped_by_growth:
            self._notes.append(
                "the first pass ended early: the step had left so much behind that it was plain"
            )
        return LeakReport(
            verdict=verdict,
            reason=reason,
            step=self._step.label,
            protocol=self._protocol(),
            series=self._series(),
            tests=tests,
            suspects=self._suspects(verdict),
            types=facts.types if facts is not None else (),
            sites=facts.sites if facts is not None else (),
            containers=facts.containers if facts is not None else (),
            objects_per_iteration=objects,
            bytes_per_iteration=size,
            bytes_source=source,
            failure=self._failure,
            complete=self._complete,
            environment=describe_environment(),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _suspects(self, verdict: Verdict) -> tuple[Suspect, ...]:
        if verdict is Verdict.NATIVE_LEAK:
            return self._lost or ()
        return self._facts.suspects if self._facts is not None and verdict in _EXPLAINED else ()

    def _protocol(self) -> Protocol:
        bare, facts = self._bare, self._facts
        return Protocol(
            iterations=self._step.calls,
            warmup=self._warmup_calls,
            rounds=bare.rounds if bare is not None else 0,
            per_round=bare.per_round if bare is not None else 0,
            traced=facts.iterations if facts is not None else 0,
            traceback_depth=facts.depth if facts is not None else 0,
            budget_s=self.options.budget_s,
            elapsed_s=round(self._clock() - self._began, 3),
            native=self._native.calls if self._native is not None else 0,
        )

    def _series(self) -> Timeline:
        if self._bare is None:
            return _no_series(self._started_at)
        return self._bare.series(self._started_at)


def _checked(options: _Options) -> _Options:
    if not 0.1 <= options.budget_s <= 24 * 3600:  # noqa: PLR2004
        raise UsageError(f"budget_s must be between 0.1 s and a day, not {options.budget_s!r}")
    if options.iterations is not None and not 1 <= options.iterations <= 10**9:
        raise UsageError(f"iterations must be a positive number, not {options.iterations!r}")
    if options.warmup is not None and not 0 <= options.warmup <= 10**9:
        raise UsageError(f"warmup must be 0 or a positive number, not {options.warmup!r}")
    if not 1 <= options.depth <= 200:  # noqa: PLR2004
        raise UsageError(f"depth must be between 1 and 200 frames, not {options.depth!r}")
    return options


def _growth_allowed() -> int:
    """Return how much the step may leave behind in the first pass: a quarter of what the machine has free."""
    return min(_MOST_GROWTH, psutil.virtual_memory().available // 4)


def _per_iteration(
    verdict: Verdict, tests: tuple[GrowthTest, ...], facts: TracedFacts | None
) -> tuple[float | None, float | None, Literal["", "traced", "malloc", "rss"]]:
    """Return objects and bytes that an iteration leaves behind, and where the bytes come from."""
    by_metric = {t.metric: t for t in tests}
    objects = by_metric.get("tracked_objects")
    count = objects.per_iteration if objects is not None else None
    if count is not None and facts is not None:
        # Entries that the collector does not track are objects too: strings, numbers, dicts of these.
        count += sum(s.types[0].objects_per_iteration for s in facts.suspects if s.objects_per_iteration == 0)
    rss = by_metric.get("rss_bytes")
    seen = facts is not None and facts.traced_rate is not None and verdict is not Verdict.NATIVE_LEAK
    # A table that grows in rare leaps may have made none while it was traced.
    if facts is not None and seen and (facts.traced_rate or rss is None or not rss.grew):
        return count, facts.traced_rate, "traced"
    malloc = by_metric.get("malloc_bytes")
    if malloc is not None and malloc.grew and malloc.sustained:
        return count, malloc.per_iteration, "malloc"
    if rss is not None and rss.grew:
        return count, rss.per_iteration, "rss"
    return count, None, ""


def _risen(test: GrowthTest) -> float:
    return test.per_iteration if test.grew and test.sustained else 0.0


def _no_series(started_at: str) -> Timeline:
    from memlab.records.columns import floats, ints
    from memlab.records.timeline import Timeline

    return Timeline(floats([]), {"iteration": ints([])}, {}, {}, started_at)


def _silent(stage: str, done: float) -> None:  # noqa: ARG001 - the progress of one who does not look
    return
