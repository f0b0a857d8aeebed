"""The four metrics of the regression suite, measured in processes of their own.

Objects made, pauses of the collector and look-ups in a cache are sampled in turn with a reference loop; how
much of its memory a structure is for the data in it is a matter of bytes. ``python -m
memlab.lab.suite_metrics`` is what each process runs: it prints one JSON document.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

from memlab._base.environment import describe_environment
from memlab._base.machine import machine_class
from memlab.errors import UnavailableError
from memlab.lab.caches.lru import LRUCache
from memlab.lab.reference_loops import Interleaved, interleaved
from memlab.lab.user_benchmarks import merge_processes
from memlab.records import codec
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALLOWED", "measure_here", "measure_in_processes"]

ALLOWED: Final = {
    "allocation_speed": 0.10,
    "gc_pause_time": 0.20,
    "memory_efficiency": 0.15,
    "cache_performance": 0.10,
}
_GARBAGE = 2_000
_KEYS = 1_000
_RECORDS = 500
_DEADLINE_S = 120.0


class _Listed:
    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = [0] * 100


def measure_here(samples: int = 10, process: int = 0) -> BenchmarkTable:
    """Measure the four metrics in this process.

    Args:
        samples: of each noisy metric.
        process: number of this process among those that measure.

    Example:
        >>> [result.name for result in measure_here(1)]
        ['allocation_speed', 'gc_pause_time', 'memory_efficiency', 'cache_performance']
    """
    cache: LRUCache[str, int] = LRUCache(_KEYS)
    for number in range(_KEYS):
        cache.put(f"key_{number}", number)
    results = [
        _rate("allocation_speed", _listed, 500, "objects/second", "containers/1", samples, process),
        _pause(samples, process),
        _efficiency(),
        _rate("cache_performance", lambda: _looked_up(cache), _KEYS, "gets/second", "look-ups/1", samples,
        process),
    ]  # fmt: skip
    return BenchmarkTable(tuple(results), machine=machine_class(), environment=describe_environment())


def measure_in_processes(
    processes: int, samples: int, progress: Callable[[str, float], None] | None = None
) -> BenchmarkTable:
    """Measure in fresh processes, one after the other, and put their samples together.

    Raises:
        UnavailableError: when a process fails, or does not end in two minutes.
    """
    tables = []
    for number in range(processes):
        if progress is not None:
            progress(f"process {number + 1} of {processes}", number / processes)
        command = [sys.executable, "-P", "-m", "memlab.lab.suite_metrics", str(samples), str(number)]
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                command, capture_output=True, text=True, check=True, timeout=_DEADLINE_S
            )
            document = json.loads(done.stdout)
        except (subprocess.SubprocessError, ValueError, OSError) as error:
            raise UnavailableError(
                f"measuring: process {number + 1} of {processes} failed ({type(error).__name__}); "
                "python -m memlab.lab.suite_metrics 1 0 shows why"
            ) from None
        rows = [codec.decode(BenchmarkResult, codec.Encoded(row, {})) for row in document]
        tables.append(
            BenchmarkTable(tuple(rows), machine=machine_class(), environment=describe_environment())
        )
    return merge_processes(tables)


def _listed() -> None:
    for _ in range(500):
        _Listed()


def _looked_up(cache: LRUCache[str, int]) -> None:
    get = cache.get
    for number in range(_KEYS):
        get(f"key_{number}")


def _rate(  # noqa: PLR0917 - one row of the table above
    name: str,
    work: Callable[[], None],
    units: int,
    unit: str,
    loop: str,
    samples: int,
    process: int,
) -> BenchmarkResult:
    timed = interleaved(work, loop)
    pairs = [timed.sample() for _ in range(samples)]
    return _sampled(name, [units / seconds for seconds, _ in pairs], pairs, unit, "higher", loop, process)


def _pause(samples: int, process: int) -> BenchmarkResult:
    """Sample full collections of cyclic garbage; making it is not in the time."""
    plain = interleaved(gc.collect, "containers/1", number=1)
    timed = Interleaved(gc.collect, plain.loop, 1, plain.loops, 5, time.thread_time, _make_garbage)
    pairs = [timed.sample() for _ in range(samples)]
    values = [seconds for seconds, _ in pairs]
    return _sampled("gc_pause_time", values, pairs, "seconds", "lower", "containers/1", process)


def _make_garbage() -> None:
    for number in range(_GARBAGE):
        garbage: dict[str, Any] = {"number": number, "data": [0] * 100}
        garbage["self"] = garbage


def _sampled(  # noqa: PLR0917 - columns of one result
    name: str,
    values: list[float],
    pairs: list[tuple[float, float]],
    unit: str,
    better: str,
    loop: str,
    process: int,
) -> BenchmarkResult:
    ordered = sorted(values)
    return BenchmarkResult(
        name,
        (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2,
        unit,
        better=better,
        samples=tuple(values),
        reference=tuple(beside for _, beside in pairs),
        process=(process,) * len(values),
        loop=loop,
        allowed=ALLOWED[name],
    )


def _efficiency() -> BenchmarkResult:
    """Return which part of the traced memory of 500 records is the data in them, as JSON writes it."""
    name, unit = "memory_efficiency", "ratio"
    if tracemalloc.is_tracing():
        note = "tracemalloc was running already"
        return BenchmarkResult(name, None, unit, better="higher", exact=True, note=note)
    text = json.dumps(
        [{"id": n, "name": f"record {n}", "tags": ["a", "b"], "price": n / 8} for n in range(_RECORDS)]
    )
    json.loads(text)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        records = json.loads(text)
        held = tracemalloc.get_traced_memory()[0] - before
        del records
    finally:
        tracemalloc.stop()
    value = round(len(text) / held, 4)
    return BenchmarkResult(
        name, value, unit, better="higher", exact=True, samples=(value,), allowed=ALLOWED[name]
    )


def _main() -> None:
    table = measure_here(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps([codec.encode(result).tree for result in table]))


if __name__ == "__main__":
    _main()
