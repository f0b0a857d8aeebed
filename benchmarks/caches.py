"""Caches beside others: look-ups, writes, evictions, and four threads at once.

Each contender does the same work in turn, round after round; a figure is the median over the rounds of CPU
nanoseconds an operation, the empty loop taken off, and "x" is its ratio to a dict's look-up in the same
rounds. Packages that are not installed are left out and named: pip install cachetools cachebox lru-dict
theine. Options: --rounds N.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import threading
import time
from collections import OrderedDict

from memlab import AdaptiveCache, LRUCache, TTLCache

ENTRIES = 1_000
KEYS = [f"key_{number}" for number in range(ENTRIES)]
MORE = [f"new_{number}" for number in range(ENTRIES)]


class Locked:
    """A cache of cachetools, with the lock that its documentation asks for."""

    def __init__(self, cache):
        self.cache, self.lock = cache, threading.RLock()

    def get(self, key):
        """Look up."""
        with self.lock:
            return self.cache.get(key)

    def put(self, key, value):
        """Store."""
        with self.lock:
            self.cache[key] = value


class ByHand:
    """What people write: an OrderedDict and a lock, with no counters."""

    def __init__(self):
        self.entries, self.lock = OrderedDict(), threading.Lock()

    def get(self, key):
        """Look up."""
        with self.lock:
            value = self.entries.get(key)
            if value is not None:
                self.entries.move_to_end(key)
            return value

    def put(self, key, value):
        """Store."""
        with self.lock:
            self.entries[key] = value
            self.entries.move_to_end(key)
            if len(self.entries) > ENTRIES:
                self.entries.popitem(last=False)


def ignore(_key, _value):
    """Stand for a callback."""


def of_mapping(cache):
    return cache.get, cache.__setitem__


def of_memlab(cache):
    return cache.get, cache.put


def of_lru_cache():
    wrapped = functools.lru_cache(ENTRIES)(lambda key: key)
    return wrapped, lambda key, _value: wrapped(key)


def contenders():
    """Return name and a maker of (get, put); the maker raises ImportError where a package is missing."""

    def cachetools_lru():
        import cachetools

        return of_memlab(Locked(cachetools.LRUCache(ENTRIES)))

    def cachetools_ttl():
        import cachetools

        return of_memlab(Locked(cachetools.TTLCache(ENTRIES, 600)))

    def cachebox_lru():
        import cachebox

        return of_mapping(cachebox.LRUCache(ENTRIES))

    def cachebox_vttl():
        import cachebox

        cache = cachebox.VTTLCache(ENTRIES)
        return cache.get, lambda key, value: cache.insert(key, value, 600)

    def lru_dict():
        import lru

        return of_mapping(lru.LRU(ENTRIES))

    def theine():
        import theine as package

        cache = package.Cache(ENTRIES)
        return lambda key: cache.get(key)[0], cache.set

    def all_together():
        return AdaptiveCache(ENTRIES, 64, ttl=600, on_evict=ignore)

    return {
        "dict (no bound)": lambda: of_mapping({}),
        "functools.lru_cache": of_lru_cache,
        "cachebox LRU (Rust)": cachebox_lru,
        "lru-dict (C)": lru_dict,
        "memlab.LRUCache": lambda: of_memlab(LRUCache(ENTRIES)),
        "memlab.LRUCache, callback": lambda: of_memlab(LRUCache(ENTRIES, on_evict=ignore)),
        "OrderedDict and a lock, by hand": lambda: of_memlab(ByHand()),
        "cachetools LRU and a lock": cachetools_lru,
        "theine": theine,
        "cachebox VTTL (Rust)": cachebox_vttl,
        "memlab.TTLCache": lambda: of_memlab(TTLCache(600, ENTRIES)),
        "memlab.AdaptiveCache, all limits": lambda: of_memlab(all_together()),
        "cachetools TTL and a lock": cachetools_ttl,
    }


def timed(work, *arguments) -> float:
    began = time.thread_time_ns()
    work(*arguments)
    return (time.thread_time_ns() - began) / ENTRIES


def read(get):
    for key in KEYS:
        get(key)


def read_formatted(get):
    for number in range(ENTRIES):
        get(f"key_{number}")


def write(put, keys):
    for key in keys:
        put(key, 1)


def empty():
    for _ in KEYS:
        pass


def measure(rounds: int) -> tuple[dict[str, dict[str, float]], list[str]]:
    made, missing = {}, []
    for name, make in contenders().items():
        try:
            made[name] = make()
        except ImportError:
            missing.append(name)
    for _, put in made.values():
        write(put, KEYS)
    samples = {name: {"get": [], "f-string": [], "put": [], "evict": []} for name in made}
    for _ in range(rounds):
        loop = timed(empty)
        for name, (get, put) in made.items():
            found = samples[name]
            found["get"].append(timed(read, get) - loop)
            found["f-string"].append(timed(read_formatted, get) - loop)
            found["put"].append(timed(write, put, KEYS) - loop)
            found["evict"].append(timed(write, put, MORE) - loop)
            write(put, KEYS)
    return {n: {k: statistics.median(v) for k, v in s.items()} for n, s in samples.items()}, missing


def founding_loop() -> float:
    """Return the hit rate of the founding document's loop: 1,000 keys in turn through a cache of them."""
    cache = LRUCache(ENTRIES)
    for _ in range(10):
        for number in range(ENTRIES):
            key = f"key_{number}"
            if cache.get(key) is None:
                cache.put(key, number)
    return cache.stats.hit_rate


def together(seconds: float) -> dict[str, float]:
    """Return millions of operations a second of four threads, nine reads to one write."""
    rates = {}
    for name in ("dict (no bound)", "memlab.LRUCache", "memlab.TTLCache", "OrderedDict and a lock, by hand"):
        get, put = contenders()[name]()
        write(put, KEYS)
        done = [0] * 4
        stop = threading.Event()

        def work(at, get=get, put=put, done=done, stop=stop):
            while not stop.is_set():
                for key in KEYS[:900]:
                    get(key)
                write(put, KEYS[900:])
                done[at] += ENTRIES

        threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
        rates[name] = sum(done) / seconds / 1e6
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    figures, missing = measure(rounds)
    dictionary = figures["dict (no bound)"]["get"]
    print(
        f"{'CPU ns an operation':34s} {'get':>6s} {'x':>5s} {'f-string':>9s} {'put':>6s} {'put+evict':>10s}"
    )
    for name, row in figures.items():
        print(
            f"{name:34s} {row['get']:6.0f} {row['get'] / dictionary:5.1f} {row['f-string']:9.0f}"
            f" {row['put']:6.0f} {row['evict']:10.0f}"
        )
    for name in missing:
        print(f"{name:34s} not installed")
    print(f"(median of {rounds} rounds in turn; f-string: the look-up with its key built in the loop)")
    for name, rate in together(1.0).items():
        print(f"four threads, 9 reads to 1 write: {name:34s} {rate:5.2f} M/s")
    print(f"hit rate of 1,000 keys in turn, ten times, through a cache of them: {founding_loop():.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
