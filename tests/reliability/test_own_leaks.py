"""The tool does not leak: every public callable many times, < 0.5 byte and < 0.01 block for each call.

Blocks are Python's own count (``sys.getallocatedblocks``); bytes are tracemalloc's, in a second round, so
memory that native code takes past Python's allocators is not in them (``test_heap_threads.py`` has the C
library's count of captures). What is made once and kept for good shows in one round of calls and not in the
next; a leak grows in each. So two rounds in a row, of at most sixteen, must be without growth.

``make test`` calls every sixteenth of those that are quick; ``make test-long`` calls everything up to 10,000
times a round, or as often as fits in MEMLAB_LEAK_SECONDS (default 30).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
import tracemalloc
from array import array
from itertools import repeat

import pytest

from tests.kit.callables import HAND, Calls, public_callables

BYTES, BLOCKS = 0.5, 0.01
MOST, FEWEST, ROUNDS = 10_000, 10, 16
A_LONG_CALL_S = 0.2
# What a cache of numpy's or the interpreter's may still gain in a round: decides for what is called so seldom
# that half a byte a call is less than one object.
CACHE_BYTES, CACHE_BLOCKS = 4096, 20
LONG = os.environ.get("MEMLAB_LONG") == "1"
MOST_S = float(os.environ.get("MEMLAB_LEAK_SECONDS", "30"))
# Half a second and more a call, most of it in processes of their own; or half a minute (the whole suite).
SLOW = (
    "CaptureComparison", "GCOptimizer.recommend", "HeapDumper.", "HeapGraph.w", "LeakHunt.r",
    "LeakReport.verify", "Live", "MemoryBenchmarks.", "MemoryGuard", "MemoryLeakDetector.",
    "MemoryPressureSimulator.fail", "MemoryPressureSimulator.run", "MemoryProfiler.", "NativeTrace.",
    "ObjectPool.worth", "attach", "dump_heap", "explore", "find_leaks", "guard", "heap", "holdings",
    "import_", "memit", "recommend_gc", "record", "release", "verify_fix", "where", "why",
)  # fmt: skip
UNTRACED = ("NativeTrace", "import_memray", "Trace", "trace")  # memray and tracemalloc do not share

ALL = sorted(public_callables())
QUICK = [name for name in ALL if not name.startswith(SLOW) and "plot" not in name]
SHORT = QUICK[::16]

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def blocks_now():
    gc.collect()
    return sys.getallocatedblocks()


def bytes_now():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def growth_of_each(now, call, times, most):
    """Return what the worse of the two last rounds grew by; it is ``most`` or more for a leak."""
    rounds = array("d", [float("inf")] * ROUNDS)  # nothing of the measure's own may grow
    before = now()
    for number in range(ROUNDS):
        for _ in repeat(None, times):
            call()
        after = now()
        rounds[number] = after - before
        before = after
        # One round says little: a list that gains takes room ahead, and then none for a while.
        if number and max(rounds[number - 1], rounds[number]) < most:
            break
    return max(rounds[number - 1], rounds[number])


@contextlib.contextmanager
def traced(call):
    """Trace, with one call done: what it replaced is traced from then on."""
    tracemalloc.start(1)
    try:
        call()
        yield
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def set_aside():
    """Leave what was there before out of every collection, or each would take as long as a capture."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def check(names, folder, seconds):
    """Call each of ``names`` often; return what grew, and how often each was called in a round."""
    grown, calls_made = {}, {}
    with set_aside():
        for name in names:
            with contextlib.ExitStack() as stack:
                call = Calls(folder, stack)[name]
                call()
                began = time.perf_counter()
                call()
                took = time.perf_counter() - began
                fewest = FEWEST if took < A_LONG_CALL_S else 3
                times = max(fewest, min(MOST, int(seconds / took)))
                most = max(times * BLOCKS, CACHE_BLOCKS)
                blocks = growth_of_each(blocks_now, call, times, most)
                if blocks >= most:
                    grown[name] = f"{blocks / times:.3f} blocks a call of {times}"
                if not name.startswith(UNTRACED):
                    fewer = max(fewest, times // 2)
                    most = max(fewer * BYTES, CACHE_BYTES)
                    with traced(call):
                        size = growth_of_each(bytes_now, call, fewer, most)
                    if size >= most:
                        grown[f"{name}, bytes"] = f"{size / fewer:.1f} bytes a call of {fewer}"
            calls_made[name] = times
    return grown, calls_made


@pytest.fixture(autouse=True)
def made_beforehand(tmp_path, unwinder, monkeypatch):
    """Have what is imported late imported now, and no configuration of a shell read."""
    import matplotlib as mpl

    mpl.use("agg")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def test_no_public_callable_is_missing():
    """Each function, class, method and property that memlab offers has a call, and no call is left over."""
    with contextlib.ExitStack() as stack:
        calls = Calls(None, stack)
        assert [name for name in ALL if name not in calls] == []
    assert sorted(set(HAND) - set(ALL)) == []
    assert len(ALL) > 700


def test_a_leak_of_one_block_in_a_hundred_calls_is_seen():
    """The measure can fail: one small list kept every fiftieth call, and one list slot for each."""
    kept, number, slots = [], iter(range(10**9)), []

    def leaks():
        if next(number) % 50 == 0:
            kept.append([1])

    with set_aside():
        assert growth_of_each(blocks_now, leaks, 2000, 20) >= 20
        assert growth_of_each(blocks_now, lambda: [1], 2000, 20) < 20
        with traced(leaks):
            assert growth_of_each(bytes_now, lambda: slots.append(None), 2000, 1000) >= 1000
            assert growth_of_each(bytes_now, lambda: [1], 2000, 1000) < 1000


@pytest.mark.timeout(300)
def test_no_public_callable_leaks(tmp_path):
    """Thirty calls of every sixteenth leave less than one block for every second of them."""
    grown = {}
    with set_aside():
        for name in SHORT:
            with contextlib.ExitStack() as stack:
                call = Calls(tmp_path, stack)[name]
                call()
                left = growth_of_each(blocks_now, call, 30, 15)
            if left >= 15:
                grown[name] = left
    assert grown == {}


@pytest.mark.long
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("part", range(8))
def test_no_public_callable_leaks_at_length(tmp_path, part):
    """Up to 10,000 calls of each in a round; the slow ones as often as fits."""
    grown, made = check(ALL[part::8], tmp_path, MOST_S)
    few = {name: times for name, times in made.items() if times < MOST}
    print(
        f"{len(made)} callables, {len(made) - len(few)} of them {MOST:,} times; fewer: {few}; grown: {grown}"
    )
    assert grown == {}
