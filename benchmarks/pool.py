"""Pools beside others: one acquisition and release, beside making the object anew.

Each contender does the same work in turn, round after round; a figure is the median over the rounds of CPU
nanoseconds a pair, the empty loop taken off. "above" is what a pair costs above the object's own reset.
"speed" is how many times as fast as making the object anew. SQLAlchemy's pool is asked as its engine asks
it, and is left out where it is not installed (pip install sqlalchemy). Options: --rounds N.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import sys
import threading
import time
from collections import deque
from itertools import repeat

from memlab import ObjectPool

PAIRS = 2_000


class Buffer:
    """10 KiB, cheap to make fit again."""

    __slots__ = ("data",)

    def __init__(self):
        self.data = bytearray(10_240)

    def reset(self):
        """Nothing to do."""


class Listed:
    """The founding document's object: its reset makes its list again."""

    __slots__ = ("data",)

    def __init__(self):
        self.reset()

    def reset(self):
        """Make the list again."""
        self.data = [0] * 100


class Dear:
    """Costly to make."""

    def __init__(self):
        self.table = {f"key {number}": number for number in range(300)}

    def reset(self):
        """Nothing to do."""


def anew(factory):
    return factory, id


def reset_alone(factory):
    obj = factory()
    return lambda: obj, lambda one: one.reset()


def of_deque(factory):
    idle = deque([factory()])
    return idle.pop, idle.append


def of_queue(make, get="get", put="put"):
    def pool(factory):
        idle = make()
        getattr(idle, put)(factory())
        return getattr(idle, get), getattr(idle, put)

    return pool


def locked(factory):
    """What people write: a list, a lock, a bound and two counters."""
    lock, idle, counts = threading.Lock(), [factory()], [0, 0]

    def acquire():
        with lock:
            counts[0] += 1
            return idle.pop() if idle else factory()

    def release(obj):
        obj.reset()
        with lock:
            counts[1] += 1
            if len(idle) < 10:
                idle.append(obj)

    return acquire, release


def memlab(**options):
    def pool(factory):
        made = ObjectPool(factory, min_size=1, max_size=10, **options)
        return made.acquire, made.release

    return pool


def sqlalchemy_pool(factory):
    from sqlalchemy.pool import QueuePool

    class Connection:
        def __init__(self):
            self.inner = factory()

        def rollback(self):
            self.inner.reset()

        def close(self):
            pass

    made = QueuePool(Connection, pool_size=10)
    return made.connect, lambda connection: connection.close()


CONTENDERS = {
    "making it anew": anew,
    "its reset alone": reset_alone,
    "deque, bound methods (floor, no reset)": of_deque,
    "queue.SimpleQueue (no reset)": of_queue(queue.SimpleQueue),
    "memlab.ObjectPool, counters=False": memlab(counters=False),
    "memlab.ObjectPool": memlab(),
    "memlab.ObjectPool, ttl=60": memlab(ttl=60),
    "memlab.ObjectPool, overflow='block'": memlab(overflow="block"),
    "list, lock, two counters, by hand": locked,
    "queue.LifoQueue (no reset)": of_queue(queue.LifoQueue),
    "SQLAlchemy QueuePool": sqlalchemy_pool,
}


def pairs(acquire, release) -> float:
    began = time.thread_time_ns()
    for _ in repeat(None, PAIRS):
        obj = acquire()
        release(obj)
    return (time.thread_time_ns() - began) / PAIRS


def empty() -> float:
    began = time.thread_time_ns()
    for _ in repeat(None, PAIRS):
        pass
    return (time.thread_time_ns() - began) / PAIRS


def measure(factory, names, rounds: int) -> dict[str, float | None]:
    made = {}
    for name in names:
        try:
            made[name] = CONTENDERS[name](factory)
        except ImportError:
            made[name] = None
    samples = {name: [] for name in names}
    for _ in range(rounds):
        loop = empty()
        for name, pool in made.items():
            if pool is not None:
                samples[name].append(pairs(*pool) - loop)
    return {name: statistics.median(values) if values else None for name, values in samples.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    rounds = parser.parse_args().rounds
    for factory in (Buffer, Listed, Dear):
        few = factory is not Buffer
        names = [
            n for n in CONTENDERS if not few or n in ("making it anew", "its reset alone") or "memlab" in n
        ]
        figures = measure(factory, names, rounds if not few else rounds // 3)
        own, reset = figures["making it anew"], figures["its reset alone"]
        print(
            f"{factory.__name__ + ': CPU ns a pair':42s} {'pair':>7s} {'above':>7s} {'M/s':>6s} {'speed':>7s}"
        )
        for name, value in figures.items():
            if value is None:
                print(f"{name:42s} not installed")
                continue
            above = "" if name in ("making it anew", "its reset alone") else f"{value - reset:7.0f}"
            print(f"{name:42s} {value:7.0f} {above:>7s} {1000 / value:6.2f} {own / value:6.2f}x")
        print(f"  the pool's own verdict: {ObjectPool.worth(factory).verdict}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
