"""What tests put into cages: found there by its module's name."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict, deque


class Lru(OrderedDict):
    """A cache with a bound, as small as one can be."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def get(self, key, default=None):
        if key in self:
            self.move_to_end(key)
            return self[key]
        return default

    def put(self, key, value):
        self[key] = value
        while len(self) > self.most:
            self.popitem(last=False)


class FearfulCache(Lru):
    """Drops half of what it has whenever the cage is more than 80 % full; else grows."""

    def __init__(self):
        from memlab.lab.memory_monitor import MemoryMonitor

        super().__init__(10**9)
        self.monitor = MemoryMonitor()
        self.puts = 0

    def put(self, key, value):
        super().put(key, value)
        self.puts += 1
        if self.puts % 50 == 0 and self.monitor.read(uss=False).fraction > 0.8:
            for _ in range(len(self) // 2):
                self.popitem(last=False)


class Pool:
    """A pool with two counters."""

    class Stats:
        hits = misses = size = 0

    def __init__(self):
        self.stats = self.Stats()
        self.idle = deque()

    def acquire(self):
        if self.idle:
            self.stats.hits += 1
            return self.idle.pop()
        self.stats.misses += 1
        return bytearray(1000)

    def release(self, item):
        self.idle.append(item)
        self.stats.size = len(self.idle)


def small_cache():
    return Lru(200)


def unbounded_cache():
    return Lru(10**9)


def two_keys():
    return itertools.cycle("ab")


def step():
    return [number * 2 for number in range(100)]


calls = itertools.count()


def fails_later():
    if next(calls) > 20:
        raise ValueError("a secret that no record may hold")


def takes_all():
    """Take 8 MiB a call and keep it."""
    kept.append(bytearray(8 * 2**20))


kept = []


def takes_all_at_once_later():
    if next(calls) > 20:
        bytearray(2**34)


def leaves():
    if next(calls) > 5:
        os._exit(7)


def is_killed():
    if next(calls) > 5:
        os.kill(os.getpid(), signal.SIGKILL)


def hangs():
    if next(calls) > 2:
        time.sleep(1000)


def holds_the_lock():
    """Hold the interpreter's lock in C code for long, so that no thread of the cage can run."""
    if next(calls) > 2:
        ctypes.PyDLL(None).sleep(1000)


def starts_a_process():
    if next(calls) > 2:
        subprocess.run([sys.executable, "-c", "pass"], check=True)


def prints():
    print("from inside the cage")


def swallows():
    try:
        return [object() for _ in range(20)]
    except MemoryError:
        return None


def turns_it_into_something_else():
    try:
        return [object() for _ in range(20)]
    except MemoryError:
        raise KeyError from None


def takes_shared_memory():
    """Take memory that no limit on private memory counts."""
    import mmap

    block = mmap.mmap(-1, 4 * 2**20)
    block[:: mmap.PAGESIZE] = b"1" * (len(block) // mmap.PAGESIZE)
    kept.append(block)


def raises_at_once():
    raise LookupError("no")
