"""How often the verdict is right: programs whose truth is known, leaking and healthy, with many seeds.

    python benchmarks/leak_shapes.py [--seeds 20] [--iterations 600] [--only NAME] [--processes N]
        [--json OUT]

Each shape is a step that does one nasty thing that real programs do: a cache that fills, a pool that grows to
its load, a table that doubles, threads, noise, a leak each tenth call, a leak on the error path, one of the C
allocator's. A seed draws its sizes, periods and amounts. A hunt is ``memlab.find_leaks(step)``; each process
does one seed of every shape after the other, in an order of its own, so that the later ones meet the mess of
the earlier, as in a notebook. *Right* for a leak is ``leak`` or ``native leak``; a healthy shape is a false
alarm when it is called one. ``inconclusive`` is counted as missed for a leak, as no alarm for the others.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import ctypes
import dataclasses
import functools
import gc
import json
import logging
import multiprocessing
import os
import random
import statistics
import sys
import threading
import time
import types
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import memlab

Make = "Callable[[random.Random, int], Callable[[], object]]"
LEAKS: dict[str, Any] = {}
HEALTHY: dict[str, Any] = {}


def leak(make: Any) -> Any:
    LEAKS[make.__name__] = make
    return make


def healthy(make: Any) -> Any:
    HEALTHY[make.__name__] = make
    return make


class Session:
    """What a program makes one of for each call."""

    def __init__(self, data: object = None) -> None:
        self.data = data


class Slotted:
    """A link of a chain."""

    __slots__ = ("data", "next")

    def __init__(self, data: object, after: object = None) -> None:
        self.data, self.next = data, after


# -- leaks


@leak
def object_a_call(chance, _):
    kept: list[object] = []
    return lambda: kept.append(Session(chance.random()))


@leak
def object_each_tenth_call(_chance, _):
    kept, count = [], iter(range(10**9))
    return lambda: kept.append(Session()) if next(count) % 10 == 0 else None


@leak
def object_one_call_in_ten_by_chance(chance, _):
    kept: list[object] = []
    return lambda: kept.append(Session()) if chance.random() < 0.1 else None


@leak
def error_path(chance, _):
    """The error is kept with its traceback, and with it the frame and what it worked on."""
    errors: list[BaseException] = []
    share = chance.uniform(0.05, 0.2)

    def work(data):
        if chance.random() < share:
            raise ValueError(len(data))

    def step():
        data = [0] * chance.randrange(10, 200)
        try:
            work(data)
        except ValueError as error:
            errors.append(error)

    return step


@leak
def dict_by_request(chance, _):
    seen, ids = {}, iter(range(10**9))
    return lambda: seen.setdefault(f"request-{next(ids)}", chance.random())


@leak
def tuples_only(chance, _):
    kept: list[object] = []
    return lambda: kept.append((chance.random(), chance.random(), [1]))


@leak
def strings_only(chance, _):
    """Nothing that the collector tracks."""
    kept: collections.deque[str] = collections.deque()
    return lambda: kept.append(f"{chance.random()}" * chance.randrange(1, 4))


@leak
def floats_in_a_set(chance, _):
    kept: set[float] = set()
    return lambda: kept.add(chance.random())


@leak
def closures(chance, _):
    callbacks: list[object] = []

    def step():
        data = chance.random()
        callbacks.append(lambda: data)

    return step


@leak
def rings_in_a_registry(_chance, _):
    registry: dict[int, object] = {}

    def step():
        a, b = Session(), Session()
        a.data, b.data = b, a
        registry[id(a)] = a

    return step


@leak
def growing_buffer(chance, _):
    """One block that grows: no object more, no block more."""
    buffer = bytearray()
    size = chance.randrange(4000, 40_000)
    return lambda: buffer.extend(bytes(size))


@leak
def unbounded_cache(_chance, _):
    ids = iter(range(10**9))

    @functools.cache
    def load(key):
        return [key] * 8

    return lambda: load(next(ids))


@leak
def handlers(_chance, _):
    logger = logging.Logger("shape")  # noqa: LOG001 - one that goes with the shape
    return lambda: logger.addHandler(logging.NullHandler())


@leak
def suspended_generators(chance, _):
    kept: list[object] = []

    def rows(data):
        yield len(data)
        yield 0

    def step():
        one = rows([0] * chance.randrange(50))
        next(one)
        kept.append(one)

    return step


@leak
def weak_table_with_strong_values(_chance, _):
    table, strong, ids = weakref.WeakValueDictionary(), [], iter(range(10**9))

    def step():
        one = Session()
        table[next(ids)] = one
        strong.append(one)

    return step


@leak
def leak_in_noise(chance, calls):
    """What lives for a while swings by up to a tenth of what leaks in the whole hunt."""
    kept: list[object] = []
    ring: collections.deque[object] = collections.deque(maxlen=chance.randrange(calls // 40, calls // 10))

    def step():
        kept.append(Session())
        for _ in range(chance.randrange(40)):
            ring.append(Session([0]))
        for _ in range(chance.randrange(min(40, len(ring) + 1))):
            ring.pop()

    return step


@leak
def leak_beside_a_cleared_cache(chance, _):
    kept, cache, calls = [], {}, iter(range(10**9))
    period = chance.randrange(20, 90)

    def step():
        at = next(calls)
        cache[at] = [at]
        if at % period == 0:
            cache.clear()
        kept.append(Session())

    return step


@leak
def tasks_never_awaited_to_the_end(_chance, _):
    loop = asyncio.new_event_loop()
    pending: list[object] = []

    async def wait():
        await loop.create_future()

    def step():
        pending.append(loop.create_task(wait()))
        loop.run_until_complete(asyncio.sleep(0))

    step.close = lambda: (
        [task.cancel() for task in pending],
        loop.run_until_complete(asyncio.sleep(0)),
        loop.close(),
    )
    return step


@leak
def classes(_chance, _):
    kept: list[type] = []
    return lambda: kept.append(type("Row", (), {"n": 1}))


@leak
def chained_errors(_chance, _):
    last: list[BaseException | None] = [None]

    def step():
        error = ValueError()
        error.__context__ = last[0]
        last[0] = error

    return step


@leak
def linked_list(chance, _):
    head: list[object] = [None]

    def step():
        head[0] = Slotted(chance.random(), head[0])

    def close():
        while head[0] is not None:
            head[0] = head[0].next

    step.close = close
    return step


@leak
def modules(_chance, _):
    made, ids = {}, iter(range(10**9))

    def step():
        name = f"made{next(ids)}"
        made[name] = types.ModuleType(name)

    return step


@leak
def lost_references(chance, _):
    """An extension that forgets to give a reference back: held by nothing that Python sees."""
    forget = ctypes.pythonapi.Py_IncRef
    forget.argtypes, forget.restype = [ctypes.py_object], None
    return lambda: forget([0] * chance.randrange(4))


@leak
def forty_bytes_of_the_c_allocator(chance, _):
    """Native: 40 bytes a call, some hundred calls a step."""
    malloc = ctypes.CDLL(None).malloc
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    many = chance.randrange(50, 200)

    def step():
        for _ in range(many):
            malloc(40)

    return step


@leak
def late_leak(chance, calls):
    """It begins after a tenth of the calls, as with a session that ends."""
    kept, count = [], iter(range(10**9))
    begins = chance.randrange(calls // 10 + 1)
    return lambda: kept.append(Session()) if next(count) >= begins else None


@leak
def dictionary_of_lists(chance, _):
    """A bounded set of keys, each with a list that gains."""
    table: dict[int, list[object]] = collections.defaultdict(list)
    keys = chance.randrange(2, 40)
    return lambda: table[chance.randrange(keys)].append(Session())


# -- healthy


@healthy
def nothing(_chance, _):
    return lambda: sum(range(10))


@healthy
def bounded_cache(chance, calls):
    """It fills while the hunt looks, and stands then."""
    ids = iter(range(10**9))
    load = functools.lru_cache(maxsize=chance.randrange(10, calls // 2))(lambda key: [key] * 8)
    return lambda: load(next(ids))


@healthy
def ring_buffer(chance, calls):
    ring: collections.deque[object] = collections.deque(maxlen=chance.randrange(10, calls // 2))
    return lambda: ring.append(Session())


@healthy
def cleared_now_and_then(chance, calls):
    cache, count = {}, iter(range(10**9))
    period = chance.randrange(5, calls // 4)

    def step():
        at = next(count)
        cache[at] = Session()
        if at % period == 0:
            cache.clear()

    return step


@healthy
def cleared_at_random(chance, calls):
    cache: list[object] = []
    share = chance.uniform(10 / calls, 0.2)

    def step():
        cache.append(Session())
        if chance.random() < share:
            cache.clear()

    return step


@healthy
def wandering(chance, _):
    """A random walk between two walls."""
    held: list[object] = []
    most = chance.randrange(20, 300)

    def step():
        if held and chance.random() < 0.5:
            held.pop()
        elif len(held) < most:
            held.append(Session())

    return step


@healthy
def late_warm_up(chance, calls):
    """Something is registered each call, until all is there: up to a third of the calls."""
    kept, count = [], iter(range(10**9))
    ends = chance.randrange(calls // 20, calls // 3)
    return lambda: kept.append(Session()) if next(count) < ends else None


@healthy
def rings_for_the_collector(chance, _):
    def step():
        for _ in range(chance.randrange(1, 20)):
            one = Session()
            one.data = one

    return step


@healthy
def finite_keys_by_chance(chance, calls):
    """The table of all keys fills more and more slowly."""
    table: dict[int, object] = {}
    keys = chance.randrange(10, calls // 4)
    return lambda: table.setdefault(chance.randrange(keys), Session())


@healthy
def skewed_keys(chance, calls):
    """Few keys come often, most seldom: the table fills for long."""
    table: dict[int, object] = {}
    keys = chance.randrange(10, calls // 4)
    return lambda: table.setdefault(int(keys * chance.random() ** 2), [0])


@healthy
def threads_that_end(_chance, _):
    def step():
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(Session()))
        thread.start()
        thread.join()

    return step


@healthy
def blocks_of_all_sizes(chance, _):
    """What stands is bounded by its number, its bytes swing."""
    ring: collections.deque[bytes] = collections.deque(maxlen=chance.randrange(4, 64))
    return lambda: ring.append(bytes(chance.randrange(1, 20_000)))


@healthy
def event_loop_a_call(_chance, _):
    async def work():
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

    return lambda: asyncio.run(work())


@healthy
def errors_in_rings(_chance, _):
    def step():
        try:
            raise ValueError  # noqa: TRY301 - the shape
        except ValueError as error:
            one = Session(error)
            error.args = (one,)

    return step


@healthy
def weak_table(chance, _):
    table, ids = weakref.WeakValueDictionary(), iter(range(10**9))
    ring: collections.deque[object] = collections.deque(maxlen=chance.randrange(4, 40))

    def step():
        one = Session()
        table[next(ids)] = one
        ring.append(one)

    return step


@healthy
def one_jump(chance, calls):
    kept, count = [], iter(range(10**9))
    when, size = chance.randrange(calls), chance.randrange(100, 5000)

    def step():
        if next(count) == when:
            kept.extend(Session() for _ in range(size))

    return step


@healthy
def three_jumps(chance, calls):
    kept, count = [], iter(range(10**9))
    when = {chance.randrange(calls) for _ in range(3)}

    def step():
        if next(count) in when:
            kept.extend(Session() for _ in range(chance.randrange(10, 500)))

    return step


@healthy
def pool_that_meets_its_load(chance, _):
    """New connections while the load reaches a new height, kept for reuse."""
    free: list[object] = []
    most = chance.randrange(4, 60)

    def step():
        wanted = min(most, int(chance.expovariate(4 / most)) + 1)
        used = [free.pop() if free else Session([0] * 20) for _ in range(wanted)]
        free.extend(used)

    return step


@healthy
def list_that_grows_and_shrinks(chance, _):
    def step():
        rows = [Session() for _ in range(chance.randrange(300))]
        while len(rows) > 3:
            rows.pop()

    return step


@healthy
def interned_words(chance, calls):
    words = [f"word {chance.random()}" for _ in range(chance.randrange(10, calls // 4))]
    return lambda: sys.intern(chance.choice(words) + "!")


@healthy
def closed_generators(_chance, _):
    def rows():
        yield 1
        yield 2

    def step():
        one = rows()
        next(one)

    return step


@healthy
def buffer_that_is_flushed(chance, calls):
    buffer = bytearray()
    most = chance.randrange(10_000, 1_000 * calls // 4)

    def step():
        buffer.extend(bytes(chance.randrange(2000)))
        if len(buffer) > most:
            buffer.clear()

    return step


@healthy
def classes_that_go(chance, _):
    return lambda: type("Row", (), {"n": chance.random()})


@healthy
def dictionary_turned_over(chance, _):
    """As many keys go as come."""
    table, ids = {}, iter(range(10**9))
    size = chance.randrange(5, 200)

    def step():
        at = next(ids)
        table[at] = Session()
        table.pop(at - size, None)

    return step


@healthy
def objects_with_finalizers(_chance, _):
    class Closing:
        def __init__(self):
            self.me = self

        def __del__(self):
            self.closed = [1]

    return Closing


# -- the hunts


@dataclasses.dataclass(frozen=True)
class Hunt:
    """How one hunt ended."""

    shape: str
    leaks: bool
    seed: int
    verdict: str
    seconds: float
    why: str

    @property
    def wrong(self) -> bool:
        """Whether a leak was missed, or a healthy shape called one."""
        return self.leaks != (self.verdict in ("leak", "native leak"))


def hunt(shape: str, seed: int, calls: int) -> Hunt:
    leaks = shape in LEAKS
    chance = random.Random(f"{shape} {seed}")
    step = (LEAKS if leaks else HEALTHY)[shape](chance, calls)
    began = time.perf_counter()
    report = memlab.find_leaks(step, iterations=calls, label=shape)
    seconds = time.perf_counter() - began
    if hasattr(step, "close"):
        step.close()
    return Hunt(shape, leaks, seed, str(report.verdict), seconds, report.reason)


def one_seed(task: tuple[int, int, str]) -> list[Hunt]:
    seed, calls, only = task
    gc.collect()
    names = [name for name in (*LEAKS, *HEALTHY) if only in name]
    random.Random(seed).shuffle(names)
    return [hunt(name, seed, calls) for name in names]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--only", default="", help="only shapes whose name holds this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tasks = [(seed, args.iterations, args.only) for seed in range(args.first, args.first + args.seeds)]
    logging.disable()
    context = multiprocessing.get_context("spawn")
    hunts: list[Hunt] = []
    with context.Pool(args.processes, maxtasksperchild=1) as pool:
        for done in pool.imap_unordered(one_seed, tasks, chunksize=1):
            hunts += done
            if args.json:
                args.json.write_text(json.dumps([dataclasses.asdict(one) for one in hunts]), encoding="utf-8")
    show(hunts, args)
    return 0


def show(hunts: list[Hunt], args: argparse.Namespace) -> None:
    seconds = statistics.median(one.seconds for one in hunts)
    print(
        f"{args.iterations} calls a hunt, {args.seeds} seeds from {args.first}; "
        f"median {seconds:.2f} s a hunt, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"
    )
    for title, shapes in (("leak", LEAKS), ("healthy", HEALTHY)):
        for name in shapes:
            mine = [one for one in hunts if one.shape == name]
            if not mine:
                continue
            wrong = sum(one.wrong for one in mine)
            verdicts = ", ".join(f"{v} {n}" for v, n in Counter(one.verdict for one in mine).most_common())
            print(f"{title:8s}{name:36s}{wrong:4d} of {len(mine):4d} wrong   {verdicts}")
    for title, truth in (("recall", True), ("false alarms", False)):
        mine = [one for one in hunts if one.leaks is truth]
        if mine:
            share = statistics.mean(one.wrong for one in mine)
            share = 1 - share if truth else share
            print(f"{title}: {100 * share:.2f} % of {len(mine):,}")
    for one in [one for one in hunts if one.wrong][:40]:
        print(f"wrong: {one.shape} seed {one.seed}: {one.verdict}: {one.why}")


if __name__ == "__main__":
    sys.exit(main())
