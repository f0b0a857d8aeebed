"""Hunt in steps of many shapes whose truth is known, each with many seeds: recall and false alarms.

    python benchmarks/leak_shapes.py [--seeds 3] [--only NAME] [--first 0] [--json OUT]

Each hunt runs in a fork of its own, so none inherits what another left, with 960 iterations and a budget of
two seconds for the second pass; ``memlab leaks`` gives a step the whole of its budget, thousands of
iterations for a step as quick as these. A leak counts as found by ``leak`` or ``native leak``; on a healthy
step either of them is a false alarm, and ``warming up`` and ``inconclusive`` are listed as undecided.
The full run, ``--seeds 200``, takes hours. Ends with 1 when less than 99 % of the leaks were found or more
than 1 % of the healthy steps were called leaks.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import ctypes
import functools
import itertools
import json
import logging
import os
import pickle
import random
import re
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import memlab

if TYPE_CHECKING:
    from collections.abc import Callable

Step = "Callable[[], Any]"
LEAKS: dict[str, Callable[[random.Random], Step]] = {}
HEALTHY: dict[str, Callable[[random.Random], Step]] = {}
ALARMS = ("leak", "native leak")
OPTIONS: dict[str, Any] = {"iterations": 960, "budget_s": 2.0}
RECALL, FALSE_ALARMS = 0.99, 0.01
_NEVER = object()


class Thing:
    """What a program makes and forgets."""

    def __init__(self, *parts: object) -> None:
        self.parts = list(parts)


class Finalised(Thing):
    """One with a finalizer, in a cycle with itself."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)
        self.me = self

    def __del__(self) -> None:
        self.parts.clear()


def leaks(make: Callable[[random.Random], Step]) -> Callable[[random.Random], Step]:
    LEAKS[make.__name__] = make
    return make


def healthy(make: Callable[[random.Random], Step]) -> Callable[[random.Random], Step]:
    HEALTHY[make.__name__] = make
    return make


# -- leaks


@leaks
def registry_of_objects(dice: random.Random) -> Step:
    registry: dict[int, Thing] = {}
    size = dice.randrange(1, 20)
    return lambda: registry.__setitem__(len(registry), Thing(*range(size)))


@leaks
def table_of_names(dice: random.Random) -> Step:
    """Strings and numbers alone: nothing that the collector tracks."""
    table: dict[str, int] = {}
    start = dice.randrange(10**6)
    return lambda: table.__setitem__(f"name-{start + len(table)}", 1)


@leaks
def one_object_in_ten(dice: random.Random) -> Step:
    kept: list[Thing] = []
    calls = itertools.count(dice.randrange(10))
    return lambda: kept.append(Thing()) if next(calls) % 10 == 0 else Thing()


@leaks
def one_in_ten_at_random(dice: random.Random) -> Step:
    kept: list[Thing] = []
    return lambda: kept.append(Thing()) if dice.random() < 0.1 else Thing()


@leaks
def error_path(dice: random.Random) -> Step:
    pending: list[Thing] = []

    def step() -> None:
        pending.append(Thing("request"))
        try:
            int("odd" if dice.random() < 0.2 else "1")
            pending.pop()
        except ValueError:
            pass

    return step


@leaks
def exceptions_with_tracebacks(dice: random.Random) -> Step:
    seen: list[Exception] = []

    def step() -> None:
        try:
            [][dice.randrange(5)]
        except IndexError as error:
            seen.append(error)

    return step


@leaks
def unbounded_lru_cache(dice: random.Random) -> Step:
    @functools.cache
    def work(number: int) -> tuple[int, str]:
        return number, str(number)

    numbers = itertools.count(dice.randrange(10**6))
    return lambda: work(next(numbers))


@leaks
def weak_keys_held_by_values(dice: random.Random) -> Step:
    table: weakref.WeakKeyDictionary[Thing, Any] = weakref.WeakKeyDictionary()

    def step() -> None:
        key = Thing(dice.random())
        table[key] = [key]

    return step


@leaks
def weak_references_kept(dice: random.Random) -> Step:
    references: list[Any] = []
    return lambda: references.append(weakref.ref(Thing(dice.random())))


@leaks
def closures(dice: random.Random) -> Step:
    callbacks: list[Callable[[], int]] = []

    def step() -> None:
        size = dice.randrange(100)
        callbacks.append(lambda: size)

    return step


@leaks
def tuples_and_cells(dice: random.Random) -> Step:
    """Builtin types alone: the container tells."""
    kept: collections.deque[Any] = collections.deque()
    return lambda: kept.append(({"a": [dice.random()]}, (lambda kept=[]: kept)))


@leaks
def suspended_generators(dice: random.Random) -> Step:
    waiting: list[Any] = []

    def numbers() -> Any:
        yield from range(dice.randrange(5, 50))

    def step() -> None:
        generator = numbers()
        next(generator)
        waiting.append(generator)

    return step


@leaks
def threads_that_leave_objects(dice: random.Random) -> Step:
    kept: list[Thing] = []

    def step() -> None:
        thread = threading.Thread(target=lambda: kept.append(Thing(dice.random())))
        thread.start()
        thread.join()

    return step


@leaks
def thread_local_table(dice: random.Random) -> Step:
    local = threading.local()
    local.table = {}
    return lambda: local.table.__setitem__(len(local.table), Thing(dice.random()))


@leaks
def asyncio_tasks(dice: random.Random) -> Step:
    tasks: set[Any] = set()
    loop = asyncio.new_event_loop()

    async def forever() -> None:
        await loop.create_future()

    async def start() -> None:
        tasks.add(loop.create_task(forever()))
        await asyncio.sleep(0)
        dice.random()

    return lambda: loop.run_until_complete(start())


@leaks
def logging_handlers(dice: random.Random) -> Step:
    logger = logging.getLogger(f"shape-{dice.random()}")
    return lambda: logger.addHandler(logging.NullHandler())


@leaks
def cycles_with_finalizers(dice: random.Random) -> Step:
    kept: dict[float, Finalised] = {}
    return lambda: kept.__setitem__(dice.random(), Finalised())


@leaks
def shared_items(dice: random.Random) -> Step:
    """A list of one object again and again: bytes move in ever rarer leaps."""
    kept: list[object] = []
    count = dice.randrange(20, 60)
    return lambda: kept.extend([_NEVER] * count)


@leaks
def longer_text(dice: random.Random) -> Step:
    text = bytearray()
    size = dice.randrange(4_000, 8_000)
    return lambda: text.extend(bytes(size))


@leaks
def chain(dice: random.Random) -> Step:
    newest: list[Thing | None] = [None]
    return lambda: newest.__setitem__(0, Thing(newest[0], dice.random()))


@leaks
def behind_a_late_cache(dice: random.Random) -> Step:
    cache: dict[int, Thing] = {}
    kept: list[Thing] = []

    def step() -> None:
        cache.setdefault(dice.randrange(60), Thing())
        kept.append(Thing())

    return step


@leaks
def beside_a_sawtooth(dice: random.Random) -> Step:
    buffer: list[Thing] = []
    kept: list[Thing] = []
    period = dice.randrange(20, 60)

    def step() -> None:
        buffer.append(Thing())
        if len(buffer) >= period:
            buffer.clear()
        kept.append(Thing())

    return step


@leaks
def while_a_pool_drains(dice: random.Random) -> Step:
    pool = [Thing() for _ in range(400)]
    kept: list[Any] = []

    def step() -> None:
        if pool and dice.random() < 0.4:
            pool.pop()
        kept.append([Thing(), Thing()])

    return step


@leaks
def arrays(dice: random.Random) -> Step:
    kept: list[Any] = []
    size = dice.randrange(100, 2_000)
    return lambda: kept.append(np.zeros(size))


@leaks
def bursts(dice: random.Random) -> Step:
    kept: list[Thing] = []
    return lambda: kept.extend(Thing() for _ in range(dice.randrange(40) if dice.random() < 0.2 else 0))


@leaks
def forty_bytes_of_c(dice: random.Random) -> Step:
    """Malloc called past Python, as an extension module does that forgets to free."""
    malloc = ctypes.CDLL(None).malloc
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], None
    times = dice.randrange(8, 16)

    def step() -> None:
        for _ in range(times):
            malloc(40)

    return step


@leaks
def classes(dice: random.Random) -> Step:
    kept: list[type] = []
    return lambda: kept.append(type(f"Made{dice.randrange(10)}", (), {}))


# -- healthy


@healthy
def nothing(dice: random.Random) -> Step:
    return lambda: Thing(dice.random())


@healthy
def bounded_dict(dice: random.Random) -> Step:
    cache: dict[int, Thing] = {}
    most = dice.randrange(10, 100)

    def step() -> None:
        cache[dice.randrange(10**9)] = Thing()
        if len(cache) > most:
            del cache[next(iter(cache))]

    return step


@healthy
def full_lru_cache(dice: random.Random) -> Step:
    work = functools.lru_cache(maxsize=dice.randrange(8, 128))(Thing)
    return lambda: work(dice.randrange(10**9))


@healthy
def lru_cache_that_fills(dice: random.Random) -> Step:
    """Larger than the hunt is long: its bound must be read."""
    work = functools.lru_cache(maxsize=dice.randrange(5_000, 50_000))(Thing)
    return lambda: work(dice.randrange(10**9))


@healthy
def periodic_cache(dice: random.Random) -> Step:
    cache: dict[int, Thing] = {}
    period = dice.randrange(20, 80)

    def step() -> None:
        cache[len(cache)] = Thing()
        if len(cache) == period:
            cache.clear()

    return step


@healthy
def sawtooth(dice: random.Random) -> Step:
    buffer: list[Thing] = []

    def step() -> None:
        buffer.append(Thing())
        if dice.random() < 0.03:
            buffer.clear()

    return step


@healthy
def ring(dice: random.Random) -> Step:
    last: collections.deque[Thing] = collections.deque(maxlen=dice.randrange(10, 200))
    return lambda: last.append(Thing())


@healthy
def long_ring_that_fills(dice: random.Random) -> Step:
    last: collections.deque[Thing] = collections.deque(maxlen=dice.randrange(5_000, 50_000))
    return lambda: last.append(Thing())


@healthy
def patterns(dice: random.Random) -> Step:
    return lambda: re.compile(f"a{dice.randrange(40)}b+")


@healthy
def coupons(dice: random.Random) -> Step:
    """Every kind is made once; the last ones are long in coming."""
    kinds: dict[int, Thing] = {}
    count = dice.randrange(20, 200)
    return lambda: kinds.setdefault(dice.randrange(count), Thing())


@healthy
def cyclic_garbage(dice: random.Random) -> Step:
    def step() -> None:
        a, b = Thing(dice.random()), Thing()
        a.parts.append(b)
        b.parts.append(a)

    return step


@healthy
def finalised_garbage(dice: random.Random) -> Step:
    return lambda: Finalised(dice.random())


@healthy
def threads(dice: random.Random) -> Step:
    def step() -> None:
        thread = threading.Thread(target=lambda: Thing(dice.random()))
        thread.start()
        thread.join()

    return step


@healthy
def noisy_allocator(dice: random.Random) -> Step:
    held: dict[int, bytes] = {}
    return lambda: held.__setitem__(dice.randrange(50), bytes(int(2 ** dice.uniform(4, 17))))


@healthy
def handled_exceptions(dice: random.Random) -> Step:
    def step() -> None:
        try:
            [][dice.randrange(5)]
        except IndexError as error:
            error.add_note("seen")

    return step


@healthy
def finished_tasks(dice: random.Random) -> Step:
    loop = asyncio.new_event_loop()

    async def start() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(dice.randrange(1, 5))))

    return lambda: loop.run_until_complete(start())


@healthy
def handlers_that_come_and_go(dice: random.Random) -> Step:
    logger = logging.getLogger(f"shape-{dice.random()}")

    def step() -> None:
        handler = logging.NullHandler()
        logger.addHandler(handler)
        logger.removeHandler(handler)
        handler.close()

    return step


@healthy
def late_start(dice: random.Random) -> Step:
    """A table filled at once, some way into the run."""
    calls, table, at = itertools.count(), [], dice.randrange(50, 700)
    return lambda: table.extend(Thing() for _ in range(500)) if next(calls) == at else Thing()


@healthy
def two_late_steps(dice: random.Random) -> Step:
    calls, table = itertools.count(), []
    at = {dice.randrange(250, 500), dice.randrange(500, 900)}
    return lambda: table.extend(Thing() for _ in range(300)) if next(calls) in at else Thing()


@healthy
def weak_cache(dice: random.Random) -> Step:
    table: weakref.WeakValueDictionary[int, Thing] = weakref.WeakValueDictionary()
    return lambda: table.__setitem__(dice.randrange(10**9), Thing())


@healthy
def closed_generators(dice: random.Random) -> Step:
    def numbers() -> Any:
        yield from range(50)

    def step() -> None:
        generator = numbers()
        for _ in range(dice.randrange(1, 10)):
            next(generator)

    return step


@healthy
def doubling_pool(dice: random.Random) -> Step:
    """A pool that doubles when it is short, and reaches the size that it needs."""
    pool: list[Thing] = [Thing()]
    most = dice.randrange(20, 100)

    def step() -> None:
        if dice.randrange(most) >= len(pool):
            pool.extend(Thing() for _ in range(len(pool)))

    return step


@healthy
def interned_names(dice: random.Random) -> Step:
    return lambda: sys.intern(f"shape-{dice.randrange(10**9)}")


@healthy
def slower_and_slower(dice: random.Random) -> Step:
    """The n-th entry comes after n squared calls."""
    kept: list[Thing] = []
    calls = itertools.count(1)
    factor = dice.uniform(0.5, 2.0)
    return lambda: kept.append(Thing()) if len(kept) < factor * next(calls) ** 0.5 / 2 else None


@healthy
def temporary_arrays(dice: random.Random) -> Step:
    return lambda: np.sort(np.zeros(dice.randrange(1, 200_000)))


@healthy
def table_replaced_whole(dice: random.Random) -> Step:
    state: dict[str, dict[int, Thing]] = {"now": {}}
    most = dice.randrange(20, 80)

    def step() -> None:
        state["now"][len(state["now"])] = Thing()
        if len(state["now"]) > most:
            state["now"] = {}

    return step


# -- the run


def hunt(shape: str, seed: int) -> tuple[str, str]:
    """Return the verdict and the first suspect, from a fork of this process."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            make = LEAKS.get(shape) or HEALTHY[shape]
            report = memlab.find_leaks(make(random.Random(f"{shape} {seed}")), **OPTIONS)
            first = next((s.prose or s.type_name for s in report.suspects), "")
            os.write(theirs, pickle.dumps((str(report.verdict), first[:800] or report.reason[:800])))
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return pickle.loads(told) if told else ("failed", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    found: dict[str, list[tuple[str, str]]] = {}
    for shape in (*LEAKS, *HEALTHY):
        if options.only in shape:
            seeds = range(options.first, options.first + options.seeds)
            found[shape] = [hunt(shape, seed) for seed in seeds]
            verdicts = collections.Counter(verdict for verdict, _ in found[shape])
            truth = "leak" if shape in LEAKS else "healthy"
            print(f"{truth:8} {shape:28} {dict(verdicts)}", flush=True)
            for verdict, words in found[shape]:
                if (verdict in ALARMS) != (shape in LEAKS):
                    print(f"{'':38}{verdict}: {words}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return summary(found, time.monotonic() - began)


def summary(found: dict[str, list[tuple[str, str]]], seconds: float) -> int:
    bad = [verdict for shape in LEAKS for verdict, _ in found.get(shape, ())]
    good = [verdict for shape in HEALTHY for verdict, _ in found.get(shape, ())]
    caught, alarms = (sum(verdict in ALARMS for verdict in part) for part in (bad, good))
    undecided = sum(verdict not in (*ALARMS, "no leak") for verdict in good)
    print(f"\nleaks found     {caught} of {len(bad)}")
    print(f"false alarms    {alarms} of {len(good)}; undecided {undecided}")
    print(f"seconds a hunt  {seconds / max(len(bad) + len(good), 1):.2f}")
    return int(caught < RECALL * len(bad) or alarms > FALSE_ALARMS * len(good))


if __name__ == "__main__":
    sys.exit(main())
