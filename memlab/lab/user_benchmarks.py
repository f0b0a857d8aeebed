"""Benchmarks of your own: a decorated function, with parameters, measured in memory and time."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import math
import statistics
from typing import TYPE_CHECKING, Any

from memlab._base.environment import describe_environment
from memlab._base.machine import machine_class
from memlab._base.paths import PathLabels
from memlab._base.safety import clean
from memlab.errors import KindError, StepError, UsageError
from memlab.lab.bench_passes import exact_pass, rss_pass, snapshot_pass, time_pass
from memlab.lab.reference_loops import reference_loop
from memlab.lab.steps import check_step
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from memlab.records.snapshot import Snapshot

__all__ = ["Benchmark", "Case", "benchmark", "benchmarks_in", "merge_processes", "run_benchmarks"]

_CLOCKS = ("cpu", "wall")
_WARM_UPS = 2
_MOST_CASES = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A benchmark with one choice of its parameters."""

    benchmark: Benchmark
    arguments: Mapping[str, Any]
    name: str


class Benchmark:
    """A function that is measured. Made by ``memlab.benchmark``; calling it calls the function.

    Attributes:
        function: what was decorated.
        name: its name in tables.
        place: file and line.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        params: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | None = None,
        name: str | None = None,
        setup: Callable[..., Any] | None = None,
        teardown: Callable[[Any], object] | None = None,
        loop: str = "containers/1",
        clock: str = "cpu",
        allowed: Mapping[str, float] | float | None = None,
    ) -> None:
        if not callable(function):
            raise KindError(f"benchmark: a {type(function).__name__} cannot be called; decorate a function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise StepError(
                "benchmark: calling a generator function runs nothing; decorate one that exhausts it"
            )
        for what, given in (("setup", setup), ("teardown", teardown)):
            if given is not None and not callable(given):
                raise KindError(f"benchmark: {what} must be a function, not {type(given).__name__}")
        if clock not in _CLOCKS:
            raise UsageError(f"benchmark: clock must be cpu or wall, not {clock!r}")
        reference_loop(loop)
        self.function = function
        self.name = clean(name or str(getattr(function, "__name__", "benchmark")))
        if ":" in self.name or not self.name:
            raise UsageError(f"benchmark: a name has letters and no colon, not {self.name!r}")
        self.setup = setup
        self.teardown = teardown
        self.loop = loop
        self.clock = clock
        self.allowed = _checked_allowed(allowed)
        self.cases = tuple(self._cases(params))
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.place = (
            f"{PathLabels().label(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
        )
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def run(self, *, repeats: int = 20, snapshots: bool = True) -> BenchmarkTable:
        """Measure it here, in this process.

        What differs from process to process is not in the spread: ``memlab bench`` measures in many.

        Args:
            repeats: timed samples of each case.
            snapshots: keep what was alive near each peak, so that a regression can name its line.

        Raises:
            UsageError: for a number that is none.

        Example:
            >>> @benchmark(params={"n": [10, 1000]})
            ... def squares(n):
            ...     return [i * i for i in range(n)]
            >>> table = squares.run(repeats=3)
            >>> [result.name for result in table if result.metric == "peak_bytes"]
            ['squares[n=10]:peak_bytes', 'squares[n=1000]:peak_bytes']
        """
        return run_benchmarks([self], repeats=repeats, snapshots=snapshots)

    def _cases(
        self, params: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | None
    ) -> Iterator[Case]:
        if params is None:
            yield Case(self, {}, self.name)
            return
        chosen = _choices(params)
        if not chosen or len(chosen) > _MOST_CASES:
            raise UsageError(f"benchmark: params must give 1 to {_MOST_CASES:,} cases, not {len(chosen):,}")
        seen: dict[str, int] = {}
        for number, arguments in enumerate(chosen):
            words = ",".join(f"{key}={_word(value, number)}" for key, value in arguments.items())
            seen[words] = seen.get(words, 0) + 1
            again = f"#{seen[words]}" if seen[words] > 1 else ""
            yield Case(self, arguments, f"{self.name}[{words}{again}]")


def benchmark(
    function: Callable[..., Any] | None = None,
    *,
    params: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | None = None,
    name: str | None = None,
    setup: Callable[..., Any] | None = None,
    teardown: Callable[[Any], object] | None = None,
    loop: str = "containers/1",
    clock: str = "cpu",
    allowed: Mapping[str, float] | float | None = None,
) -> Any:
    """Make a function a benchmark: ``memlab bench FILE`` measures it, and ``memlab regress FILE`` guards it.

    Measured of each call: ``peak_bytes`` (greatest traced memory above that before the call),
    ``retained_bytes`` (what is left when its result is gone), ``allocations`` and ``allocated_bytes`` (all
    that Python's allocators handed out), ``time_s``, and for information ``gc_share`` (part of the time that
    was the collector's) and ``rss_rise_bytes`` (native memory too). Not in the traced figures: memory that
    native code takes past Python's allocators; arrays of numpy are in.

    Args:
        function: left out when the decorator is called with options. A coroutine function is awaited.
        params: values for each argument, every combination of which is a case; or the cases themselves.
        name: its name in tables. Default: the function's.
        setup: called once for each case with its arguments; what it returns is the function's first argument.
        teardown: called in the end with what ``setup`` returned.
        loop: the reference loop: ``containers/1``, ``copies/1`` (arrays) or ``look-ups/1``.
        clock: ``cpu``, or ``wall`` for what waits.
        allowed: degradation that the regression check is to find, a fraction, or by metric. Default: 10 % of
            time, 1 % of bytes and counts.

    Raises:
        KindError, StepError, UsageError: when what is given cannot be used.

    Example:
        >>> @benchmark(params={"n": [1000]}, setup=lambda n: list(range(n)))
        ... def doubled(numbers, n):
        ...     return [number * 2 for number in numbers]
        >>> doubled([1, 2], n=2)
        [2, 4]
        >>> doubled.run(repeats=3)["doubled[n=1000]:retained_bytes"].value
        0.0
    """
    if function is None:
        return functools.partial(
            benchmark, params=params, name=name, setup=setup, teardown=teardown, loop=loop, clock=clock,
            allowed=allowed,
        )  # fmt: skip
    return Benchmark(
        function, params=params, name=name, setup=setup, teardown=teardown, loop=loop, clock=clock,
        allowed=allowed,
    )  # fmt: skip


def benchmarks_in(namespace: Mapping[str, Any]) -> list[Benchmark]:
    """Return the benchmarks of a module, in the order of their definition, each once."""
    found = [value for value in namespace.values() if isinstance(value, Benchmark)]
    return list(dict.fromkeys(found))


def run_benchmarks(
    benchmarks: Sequence[Benchmark],
    *,
    repeats: int = 20,
    process: int = 0,
    exact: bool = True,
    snapshots: bool = True,
    match: str = "",
    label: str = "",
    progress: Callable[[str, float], None] | None = None,
) -> BenchmarkTable:
    """Measure benchmarks in this process, case by case.

    Args:
        benchmarks: what is measured.
        repeats: timed samples of each case.
        process: number of this process among those that measure the same.
        exact: count and trace as well; without, only time.
        snapshots: keep what was alive near each peak.
        match: only cases whose name has this in it.
        label: yours, for the run.
        progress: called with a stage and the part that is done, 0 to 1.

    Raises:
        UsageError: for a number that is none, or two cases of one name.
    """
    if type(repeats) is not int or repeats < 1:
        raise UsageError(f"benchmarks: repeats must be a whole number from 1, not {repeats!r}")
    cases = [case for one in benchmarks for case in one.cases if match in case.name]
    names = [case.name for case in cases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"benchmarks: two are named {twice!r}; give one of them another name=")
    results: list[BenchmarkResult] = []
    kept: dict[str, Snapshot] = {}
    for number, case in enumerate(cases):
        if progress is not None:
            progress(case.name, number / len(cases))
        found, snapshot = _measure(case, repeats, process, exact=exact, snapshots=snapshots)
        results += found
        if snapshot is not None:
            kept[case.name] = snapshot
    return BenchmarkTable(
        results=tuple(results),
        snapshots=kept,
        machine=machine_class(),
        label=label,
        environment=describe_environment(),
    )


def merge_processes(tables: Sequence[BenchmarkTable]) -> BenchmarkTable:
    """Return the results of several processes as one table: samples one after the other, medians anew.

    >>> one = BenchmarkTable((BenchmarkResult("a:time_s", 1.0, "seconds", samples=(1.0,), process=(0,)),))
    >>> two = BenchmarkTable((BenchmarkResult("a:time_s", 3.0, "seconds", samples=(3.0,), process=(1,)),))
    >>> merge_processes([one, two])["a:time_s"].value
    2.0
    """
    first = tables[0]
    merged = []
    for result in first:
        others = [table[result.name] for table in tables[1:] if any(r.name == result.name for r in table)]
        merged.append(_joined([result, *others]) if others else result)
    return dataclasses.replace(first, results=tuple(merged))


def _joined(results: Sequence[BenchmarkResult]) -> BenchmarkResult:
    samples = tuple(itertools.chain.from_iterable(r.samples for r in results))
    whole = all(r.reference for r in results)
    return dataclasses.replace(
        results[0],
        value=statistics.median(samples) if samples else results[0].value,
        samples=samples,
        reference=tuple(itertools.chain.from_iterable(r.reference for r in results)) if whole else (),
        process=tuple(itertools.chain.from_iterable(r.process for r in results)),
        loop=results[0].loop if whole else "",
    )


def _measure(
    case: Case, repeats: int, process: int, *, exact: bool, snapshots: bool
) -> tuple[list[BenchmarkResult], Snapshot | None]:
    one = case.benchmark
    state = one.setup(**case.arguments) if one.setup is not None else None
    first = () if one.setup is None else (state,)
    call = functools.partial(one.function, *first, **case.arguments)
    try:
        with _awaited(one.function, call) as ready:
            for _ in range(_WARM_UPS):
                ready()
            results: list[BenchmarkResult] = []
            snapshot = None
            if exact:
                results += exact_pass(ready, case.name, place=one.place)
                results.append(rss_pass(ready, case.name, place=one.place))
                snapshot = snapshot_pass(ready, case.name, results[0].value) if snapshots else None
            results += time_pass(
                ready,
                case.name,
                loop=one.loop,
                repeats=repeats,
                clock=one.clock,
                process=process,
                place=one.place,
            )
    finally:
        if one.teardown is not None:
            one.teardown(state)
    return [dataclasses.replace(r, allowed=_allowed(one, r)) for r in results], snapshot


def _awaited(function: Callable[..., Any], call: Callable[[], Any]) -> Any:
    """Return a context with something to call: a coroutine function is awaited in a loop of its own."""
    import contextlib

    @contextlib.contextmanager
    def ready() -> Iterator[Callable[[], Any]]:
        if not inspect.iscoroutinefunction(inspect.unwrap(function)):
            yield check_step(call, "the benchmark")
            return
        import asyncio

        with asyncio.Runner() as runner:
            yield lambda: runner.run(call())

    return ready()


def _allowed(one: Benchmark, result: BenchmarkResult) -> float | None:
    if isinstance(one.allowed, dict):
        return one.allowed.get(result.metric)
    return one.allowed if not result.exact else None


def _checked_allowed(allowed: Mapping[str, float] | float | None) -> dict[str, float] | float | None:
    if allowed is None:
        return None
    by_metric = {"": allowed} if isinstance(allowed, int | float) else dict(allowed)
    for value in by_metric.values():
        if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise UsageError(f"benchmark: allowed must be a fraction above 0, not {value!r}")
    return allowed if isinstance(allowed, int | float) else by_metric


def _choices(params: Any) -> list[dict[str, Any]]:
    if hasattr(params, "keys"):
        for key, values in params.items():
            if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
                raise UsageError(
                    f"benchmark: params[{key!r}] must be a list of values, not {type(values).__name__}"
                )
        return [
            dict(zip(params, chosen, strict=True))
            for chosen in itertools.product(*(list(values) for values in params.values()))
        ]
    cases = list(params)
    if not all(hasattr(case, "keys") for case in cases):
        raise UsageError("benchmark: params is a mapping of lists, or a list of mappings")
    return [dict(case) for case in cases]


def _word(value: Any, number: int) -> str:
    """Name a value; the text of a foreign object is never asked for."""
    if type(value) in (int, float, bool, type(None)):
        return str(value)
    if type(value) is str and len(value) <= 40:  # noqa: PLR2004 - a word
        return clean(value).replace(":", ";").replace(",", ";")
    return f"#{number}"
