"""Eight threads on one cache or one pool, and what must hold while they run."""

import os
import random
import threading
import time

SECONDS = 60.0 if os.environ.get("MEMLAB_LONG") else 0.4
THREADS = 8


def run_together(work, seconds=SECONDS):
    """Run ``work(stop, number)`` in eight threads; raise what any of them raised."""
    errors = []
    stop = threading.Event()

    def guarded(number):
        try:
            work(stop, number)
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    if errors:
        raise errors[0]


def hammer(cache, cell, value, callbacks=True):
    """Read, write, delete, iterate and count from eight threads at once."""
    cell.append(cache)
    values = {key: value(key) for key in range(200)}
    asked = [0] * THREADS

    def work(stop, number):
        chance = random.Random(number)
        while not stop.is_set():
            for _ in range(50):
                key = chance.randrange(200)
                found = cache.get(key)
                asked[number] += 1
                assert found is None or found is values[key]
                if found is None or chance.random() < 0.1:
                    cache.put(key, values[key])
            assert len(cache) <= cache.max_size
            assert all(0 <= key < 200 for key in cache)
            if chance.random() < 0.05:
                cache.delete(chance.randrange(200))
            if chance.random() < 0.005:
                cache.clear()
            cache.stats.hit_rate
            time.sleep(0)

    run_together(work)
    stats = cache.stats
    assert stats.size == len(list(cache)) <= cache.max_size
    # The callback reads the cache too, once for each eviction.
    assert stats.hits + stats.misses == sum(asked) + callbacks * stats.evictions
    assert stats.failed_callbacks == 0


def share(pool):
    """Take and give back from eight threads; each object knows its holder."""
    holders = {}
    taken = [0] * THREADS

    def work(stop, number):
        chance = random.Random(number)
        while not stop.is_set():
            for _ in range(20):
                item = pool.acquire()
                taken[number] += 1
                assert holders.setdefault(id(item), number) == number, "an object in two hands"
                if chance.random() < 0.05:
                    time.sleep(0)
                assert holders.pop(id(item)) == number
                pool.release(item)
            stats = pool.stats
            assert stats.idle <= pool.max_size
            assert pool.overflow == "create" or stats.size <= pool.max_size

    run_together(work)
    stats = pool.stats
    assert stats.in_use == 0
    assert stats.idle == stats.size <= pool.max_size
    assert stats.objects_created == stats.size + stats.closed
    assert stats.acquired in (None, sum(taken))
    assert stats.released in (None, sum(taken))
