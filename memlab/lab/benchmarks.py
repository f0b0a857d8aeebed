"""The benchmarks of memlab's own subjects, each against an absolute limit.

Rates are medians of samples that were taken in turn: one of each benchmark, then the next of each, so that a
slow moment of the machine falls on all alike. Times are processor time of this thread; pauses of the
collector and latencies are by the clock, because that is what a program waits.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Final

from memlab._base.atomic import write_text
from memlab._base.environment import describe_environment
from memlab._base.machine import machine_class
from memlab.errors import UnavailableError, UsageError
from memlab.lab.caches.lru import LRUCache
from memlab.lab.pool import ObjectPool
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pandas import DataFrame

__all__ = ["LIMITS", "THRESHOLDS", "MemoryBenchmarks"]

_MIB = 1024 * 1024
_OBJECTS = 20_000
_PAIRS = 20_000
_ARRAY_MB = 100
_KEYS = 1_000
_REQUESTS = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Limit:
    unit: str
    threshold: float
    better: str


THRESHOLDS: Final[Mapping[str, _Limit]] = {
    "object_allocation_rate": _Limit("objects/second", 1_000_000, "higher"),
    "pool_allocation_rate": _Limit("objects/second", 2_000_000, "higher"),
    "memory_bandwidth": _Limit("MB/second", 1_000, "higher"),
    "gc_pause_avg": _Limit("seconds", 0.01, "lower"),
    "gc_pause_p99": _Limit("seconds", 0.05, "lower"),
    "cache_hit_rate": _Limit("ratio", 0.85, "higher"),
    "cache_access_latency": _Limit("seconds", 0.000001, "lower"),
}
LIMITS: Final[Mapping[str, _Limit]] = {
    "memory_given_back": _Limit("ratio", 0.9, "higher"),
    "request_latency_avg": _Limit("seconds", 0.001, "lower"),
    "request_latency_p99": _Limit("seconds", 0.005, "lower"),
}


class _Listed:
    """An object that holds a list of a hundred; its reset makes the list again."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = [0] * 100

    def reset(self) -> None:
        self.data = [0] * 100


class MemoryBenchmarks:
    """How fast objects, pools, caches and memory are here, against absolute limits.

    The collector's pauses and the memory that is given back are measured in fresh processes: both depend on
    what is alive already, and a notebook's heap is large.

    Args:
        thresholds: other limits, by name.
        repeats: samples of each rate.
        limits: also measure how much memory is given back, and the latency of requests beside the collector.

    Attributes:
        thresholds: what each result is held against.
        repeats: as given.

    Raises:
        UsageError: for a threshold of a name that is none, or a number that is none.

    Example:
        >>> results = MemoryBenchmarks(repeats=3).run_all_benchmarks()
        >>> [result.name for result in results][:2]
        ['object_allocation_rate', 'pool_allocation_rate']
        >>> results[5].to_dict()["status"]
        'PASS'
    """

    THRESHOLDS: ClassVar[Mapping[str, float]] = {name: one.threshold for name, one in THRESHOLDS.items()}

    def __init__(
        self, thresholds: Mapping[str, float] | None = None, *, repeats: int = 15, limits: bool = False
    ) -> None:
        known = {**THRESHOLDS, **LIMITS}
        for name, value in (thresholds or {}).items():
            if name not in known:
                raise UsageError(f"benchmarks: there is no {name!r}; there are {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"benchmarks: the threshold of {name} must be a number, not {value!r}")
        if type(repeats) is not int or repeats < 1:
            raise UsageError(f"benchmarks: repeats must be a whole number from 1, not {repeats!r}")
        self.thresholds = {name: one.threshold for name, one in known.items()} | dict(thresholds or {})
        self.repeats = repeats
        self.limits = bool(limits)
        self._progress: Callable[[str, float], None] | None = None

    def run_all_benchmarks(self) -> list[BenchmarkResult]:
        """Run every benchmark and return one result each, in the order of ``THRESHOLDS``."""
        samples: dict[str, list[float]] = {}
        takers = {
            "object_allocation_rate": _allocation_samples(),
            "pool_allocation_rate": _pool_samples(),
            "cache_hit_rate": _hit_samples(),
            "cache_access_latency": _access_samples(),
        }
        for number in range(self.repeats):
            self._tell("rates, in turn", number / self.repeats / 2)
            for name, taker in takers.items():
                samples.setdefault(name, []).append(next(taker))
        self._tell("memory bandwidth", 0.5)
        samples["memory_bandwidth"] = _bandwidth_samples()
        self._tell("the collector's pauses", 0.7)
        samples["gc_pause_avg"] = samples["gc_pause_p99"] = _pause_samples()
        if self.limits:
            self._tell("memory given back, requests", 0.9)
            samples["memory_given_back"] = _given_back_samples()
            samples["request_latency_avg"] = samples["request_latency_p99"] = _latencies()
        names = [*THRESHOLDS, *(LIMITS if self.limits else ())]
        return [self._result(name, samples[name]) for name in names]

    def run(self, progress: Callable[[str, float], None] | None = None) -> BenchmarkTable:
        """Run every benchmark and return the results as one value that is shown, saved and compared."""
        self._progress = progress
        try:
            results = self.run_all_benchmarks()
        finally:
            self._progress = None
        return BenchmarkTable(tuple(results), machine=machine_class(), environment=describe_environment())

    def object_allocation_rate(self) -> BenchmarkResult:
        """Measure how many objects that hold ``[0] * 100`` are made in a second."""
        return self._alone("object_allocation_rate", _allocation_samples())

    def pool_allocation_rate(self) -> BenchmarkResult:
        """Measure how many a pool without counters gives and takes back a second; reset makes the list."""
        return self._alone("pool_allocation_rate", _pool_samples())

    def memory_bandwidth(self) -> BenchmarkResult:
        """Measure MB (1,000,000 bytes) a second of ten copies of an array of 100 MB; 200 MB are needed."""
        return self._result("memory_bandwidth", _bandwidth_samples())

    def gc_pause_avg(self) -> BenchmarkResult:
        """Measure the mean pause of a full collection of 10,000 dicts with lists, in 50 rounds, alone."""
        return self._result("gc_pause_avg", _pause_samples())

    def gc_pause_p99(self) -> BenchmarkResult:
        """Measure the 99th percentile of the same pauses."""
        return self._result("gc_pause_p99", _pause_samples())

    def cache_hit_rate(self) -> BenchmarkResult:
        """Measure the hit rate of a cache of 1,000 keys of which 900 were put in, read in turn."""
        return self._alone("cache_hit_rate", _hit_samples())

    def cache_access_latency(self) -> BenchmarkResult:
        """Measure seconds of one hit, the key's text built each time."""
        return self._alone("cache_access_latency", _access_samples())

    def memory_given_back(self) -> BenchmarkResult:
        """Measure which part of 100 MiB of Python objects leaves the process when they are released."""
        return self._result("memory_given_back", _given_back_samples())

    def request_latency_avg(self) -> BenchmarkResult:
        """Measure the mean time of a request that makes cyclic garbage, collections included."""
        return self._result("request_latency_avg", _latencies())

    def request_latency_p99(self) -> BenchmarkResult:
        """Measure the 99th percentile of the same requests."""
        return self._result("request_latency_p99", _latencies())

    @staticmethod
    def table(results: Sequence[BenchmarkResult]) -> DataFrame:
        """Return results as a table, one row each (needs pandas)."""
        return BenchmarkTable(tuple(results)).to_frame()

    @staticmethod
    def save(results: Sequence[BenchmarkResult], path: str | os.PathLike[str]) -> None:
        """Write results as JSON; the file appears whole or not at all.

        Raises:
            UsageError: when it cannot be written.
        """
        import json

        document = {
            "machine": machine_class(),
            "environment": describe_environment(),
            "results": [result.to_dict() for result in results],
        }
        write_text(path, json.dumps(document, indent=2) + "\n")

    def _alone(self, name: str, taker: Iterator[float]) -> BenchmarkResult:
        return self._result(name, [next(taker) for _ in range(self.repeats)])

    def _result(self, name: str, samples: list[float]) -> BenchmarkResult:
        limit = {**THRESHOLDS, **LIMITS}[name]
        value, threshold = _summary(name, samples), self.thresholds[name]
        return BenchmarkResult(
            name,
            value,
            limit.unit,
            threshold,
            value >= threshold if limit.better == "higher" else value <= threshold,
            better=limit.better,
            samples=tuple(samples),
        )

    def _tell(self, stage: str, done: float) -> None:
        if self._progress is not None:
            self._progress(stage, done)


def _summary(name: str, samples: list[float]) -> float:
    if name.endswith("_p99"):
        ordered = sorted(samples)
        return ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    if name.endswith("_avg"):
        return statistics.fmean(samples)
    return statistics.median(samples)


def _allocation_samples() -> Iterator[float]:
    make = _Listed
    while True:
        began = time.thread_time()
        for _ in repeat(None, _OBJECTS):
            make()
        yield _OBJECTS / (time.thread_time() - began)


def _pool_samples() -> Iterator[float]:
    # Without counters, as one would have it where two million a second matter: they cost a fifth.
    with ObjectPool(_Listed, min_size=1, max_size=8, counters=False) as pool:
        acquire, release = pool.acquire, pool.release
        while True:
            began = time.thread_time()
            for _ in repeat(None, _PAIRS):
                release(acquire())
            yield _PAIRS / (time.thread_time() - began)


def _bandwidth_samples(copies: int = 10) -> list[float]:
    import numpy as np

    array = np.ones(_ARRAY_MB * 1_000_000 // 8)
    copy = array.copy()
    samples = []
    for _ in range(copies):
        began = time.thread_time()
        np.copyto(copy, array)
        samples.append(_ARRAY_MB / (time.thread_time() - began))
    return samples


def _pause_samples() -> list[float]:
    """Return the pauses of a fresh process: in one with much alive, walking that would be measured too."""
    return _alone("pauses", "the collector's pauses")


def _filled(count: int) -> LRUCache[str, int]:
    cache: LRUCache[str, int] = LRUCache(_KEYS)
    for number in range(count):
        cache.put(f"key_{number}", number)
    return cache


def _hit_samples() -> Iterator[float]:
    while True:
        cache = _filled(_KEYS * 9 // 10)
        for number in range(10 * _KEYS):
            key = f"key_{number % _KEYS}"
            if cache.get(key) is None:
                cache.put(key, number)
        yield float(cache.stats.hit_rate or 0.0)


def _access_samples() -> Iterator[float]:
    cache = _filled(_KEYS)
    get = cache.get
    while True:
        began = time.thread_time()
        for number in range(_KEYS):
            get(f"key_{number}")
        for number in range(_KEYS):
            get(f"key_{number}")
        yield (time.thread_time() - began) / (2 * _KEYS)


def _given_back_samples() -> list[float]:
    """Return what fresh processes give back: in one with a history, free room would be measured too.

    What fits into memory that is resident already raises nothing, and one block that lives above it keeps
    all of it: such a process gives back nothing, whatever the allocator would do.
    """
    return [sample for _ in range(3) for sample in _alone("given_back", "memory that is given back")]


def _alone(function: str, what: str) -> list[float]:
    """Return the samples of a function of ``_bench_alone``, called in a process of its own."""
    boot = f"import sys; sys.path[:] = {sys.path!r}; from memlab.lab._bench_alone import {function}"
    code = f"{boot}; print(*{function}())"
    command = [sys.executable, "-I", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(
            f"measuring {what}: its process failed ({type(error).__name__}); leave this benchmark out"
        ) from None
    return [float(sample) for sample in done.stdout.split()]


def _latencies() -> list[float]:
    samples = []
    recent: list[Any] = []
    for number in range(_REQUESTS):
        began = time.perf_counter()
        request: dict[str, Any] = {"number": number, "items": [{"n": n, "tags": [n]} for n in range(100)]}
        request["self"] = request
        recent = [request, *recent[:20]]
        sum(item["n"] for item in request["items"])
        samples.append(time.perf_counter() - began)
    return samples
