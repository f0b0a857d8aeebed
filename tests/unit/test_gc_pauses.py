"""The one owner of ``gc.callbacks``: what it sees, what it costs, what it leaves behind."""

import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from array import array

import numpy as np
import pytest

from memlab.collectors import gc_pauses
from memlab.collectors.gc_pauses import PauseOwner, subscribe
from memlab.errors import UsageError
from memlab.records.columns import floats, ints
from memlab.records.gc_pauses import GcPauses
from tests.kit.everyline import interrupt_everywhere


class Clock:
    """A clock that a test sets, in nanoseconds."""

    def __init__(self):
        self.now = 1_000

    def __call__(self):
        return self.now


def run(callbacks, clock, length, generation=0, collected=3):
    for callback in list(callbacks):
        callback("start", {"generation": generation, "collected": 0, "uncollectable": 0})
    clock.now += length
    for callback in list(callbacks):
        callback("stop", {"generation": generation, "collected": collected, "uncollectable": 1})
    clock.now += 1_000


def test_each_collection_is_one_row_with_its_length():
    callbacks, clock = [], Clock()
    subscription = PauseOwner(8, clock, callbacks).subscribe()
    run(callbacks, clock, 250, generation=1)
    run(callbacks, clock, 4_000, generation=2, collected=9)
    subscription.close()
    pauses = subscription.read()
    assert pauses.pause_s.tolist() == pytest.approx([250e-9, 4e-6])
    assert np.diff(pauses.start_s).tolist() == pytest.approx([1250e-9], abs=1e-9)
    assert pauses.generation.tolist() == [1, 2]
    assert pauses.collected.tolist() == [3, 9]
    assert pauses.uncollectable.tolist() == [1, 1]
    assert callbacks == []


def test_a_full_ring_keeps_the_newest_and_counts_what_is_lost():
    callbacks, clock = [], Clock()
    subscription = PauseOwner(8, clock, callbacks).subscribe()
    for number in range(20):
        run(callbacks, clock, 100, collected=number)
    pauses = subscription.read()
    assert pauses.collected.tolist() == list(range(12, 20))
    assert pauses.dropped == subscription.dropped == 12
    subscription.close()
    assert subscription.read().dropped == 12


def test_take_gives_each_collection_once():
    callbacks, clock = [], Clock()
    subscription = PauseOwner(8, clock, callbacks).subscribe()
    seen, lost = [], 0
    for number in range(50):
        run(callbacks, clock, 100, collected=number)
        if number % 5 == 4:
            taken = subscription.take()
            seen += taken.collected.tolist()
            lost += taken.dropped
    assert (seen, lost) == (list(range(50)), 0)
    for number in range(10):
        run(callbacks, clock, 100, collected=number)
    assert (len(subscription.take()), subscription.take().dropped) == (8, 0)
    subscription.close()


def test_subscribers_share_one_callback_and_see_only_their_own_time():
    callbacks, clock = [], Clock()
    owner = PauseOwner(8, clock, callbacks)
    first = owner.subscribe()
    run(callbacks, clock, 100)
    second = owner.subscribe()
    assert len(callbacks) == 1
    run(callbacks, clock, 100)
    first.close()
    run(callbacks, clock, 100)
    assert (len(first.read()), len(second.read())) == (2, 2)
    assert owner.subscribers == 1
    second.close()
    second.close()
    assert callbacks == []


needs_native = pytest.mark.skipif(
    gc_pauses.native is None and os.environ.get("MEMLAB_REQUIRE_NATIVE") != "1",
    reason="the C extension was not built here",
)


@needs_native
def test_the_callback_in_c_writes_what_its_twin_writes():
    """The same rows and state from the same collections, a row that is written over and a fork included."""
    ours, theirs = (
        (array("q", bytes(8 * 5 * 3)), array("q", (0, 0, 0))),
        (array("q", bytes(8 * 5 * 3)), array("q", (0, 0, 0))),
    )
    in_c = gc_pauses.native.recording(*ours)
    twin = gc_pauses._recording(*theirs, 3, time.perf_counter_ns)
    for number in range(7):
        before = time.perf_counter_ns()
        for callback in (in_c, twin):
            if number:
                callback("start", {"generation": number % 3, "collected": 0, "uncollectable": 0})
            callback(
                "stop", {"generation": number % 3, "collected": 10**12 + number, "uncollectable": number}
            )
        after = time.perf_counter_ns()
    for ring, state in (ours, theirs):
        assert state.tolist() == [6, 0, 0]
        last = 5 % 3 * 5
        assert before <= ring[last] <= ring[last + 1] <= after
    assert [v for n, v in enumerate(ours[0]) if n % 5 > 1] == [
        v for n, v in enumerate(theirs[0]) if n % 5 > 1
    ]
    ours[1][2] = 1
    in_c("start", {})
    assert ours[1].tolist() == [6, 0, 1]


@needs_native
def test_the_callback_in_c_refuses_what_is_no_collection_and_keeps_its_arrays():
    ring, state = array("q", bytes(8 * 5)), array("q", (0, 0, 0))
    for wrong in [(array("q"), state), (ring, array("q", (0,))), (b"read only" * 99, state), (ring, None)]:
        with pytest.raises((ValueError, TypeError, BufferError)):
            gc_pauses.native.recording(*wrong)
    callback = gc_pauses.native.recording(ring, state)
    for wrong in [(), ("start",), (1, {}), ("stop", [])]:
        with pytest.raises(TypeError):
            callback(*wrong)
    callback("start", {})
    with pytest.raises(TypeError):
        callback("stop", {"generation": "young"})
    with pytest.raises(BufferError):
        ring.append(1)
    assert gc.is_tracked(callback) is True
    before = sys.getrefcount(None)
    for _ in range(1000):
        callback("start", {})
        callback("stop", {"generation": 2, "collected": 5})
    assert sys.getrefcount(None) - before < 100
    assert (ring[2], ring[3], ring[4], state[0]) == (2, 5, 0, 1000)
    del callback
    ring.append(1)


@needs_native
def test_the_process_wide_watch_uses_c_where_the_clock_is_the_kernels(monkeypatch):
    with subscribe():
        built_in = [c for c in gc.callbacks if getattr(c, "__name__", "") == "on_collection"]
        assert [type(c).__name__ for c in built_in] == [
            "builtin_function_or_method" if sys.platform == "linux" else "function"
        ]
    monkeypatch.setattr(gc_pauses, "native", None)
    with subscribe() as pauses:
        gc.collect()
        assert type(gc.callbacks[-1]).__name__ == "function"
    assert len(pauses.read()) >= 1


def test_who_subscribes_in_the_midst_of_a_collection_does_not_see_it():
    callbacks, clock = [], Clock()
    subscription = PauseOwner(8, clock, callbacks).subscribe()
    callbacks[0]("stop", {"generation": 0, "collected": 1, "uncollectable": 0})
    assert len(subscription.read()) == 0
    subscription.close()


def test_a_callback_of_the_program_stays_where_it_is_and_is_never_compared():
    class Stranger:
        def __call__(self, phase, info):
            pass

        def __eq__(self, other):
            raise AssertionError("compared")

        __hash__ = None

    stranger = Stranger()
    gc.callbacks.append(stranger)
    try:
        with subscribe():
            assert gc.callbacks[-2] is stranger
        assert gc.callbacks[-1] is stranger
    finally:
        del gc.callbacks[-1]


def test_a_list_that_somebody_emptied_is_joined_again_and_left():
    before = list(gc.callbacks)
    first = subscribe()
    gc.callbacks[:] = before
    with subscribe() as second:
        gc.collect()
        assert len(second.read()) >= 1
    first.close()
    assert [id(c) for c in gc.callbacks] == [id(c) for c in before]


def test_a_list_that_was_replaced_is_refused(monkeypatch):
    monkeypatch.setattr(gc, "callbacks", ())
    with pytest.raises(UsageError, match="no list any more"):
        subscribe()


def test_a_forgotten_subscription_takes_the_callback_with_it():
    before = len(gc.callbacks)
    subscribe()
    assert len(gc.callbacks) == before


def test_the_collector_is_seen_and_the_axis_can_be_chosen():
    with subscribe() as subscription:
        gc.collect()
    pauses = subscription.read()
    assert pauses.generation[-1] == 2
    assert 0 <= pauses.start_s[-1] < pauses.start_s[-1] + pauses.pause_s[-1] <= pauses.lasted_s
    moved = subscription.read(subscription.origin_s - 100)
    assert (moved.start_s - pauses.start_s).tolist() == pytest.approx([100.0] * len(pauses))
    assert 0 < pauses.share < 1


def test_ten_thousand_collections_leave_nothing_and_raise_nothing(monkeypatch):
    """Collections while finalizers allocate: the callback neither nests, nor raises, nor keeps memory."""
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    class Final:
        def __init__(self):
            self.me = self

        def __del__(self):
            self.more = [[] for _ in range(50)]

    with subscribe() as subscription:
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10_000):
                gc.collect(0)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        for _ in range(100):
            Final()
            gc.collect(0)
    assert subscription._owner.written - subscription._first >= 10_100
    assert grown < 4096
    assert unraisable == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_million_collections_leave_nothing():
    with subscribe():
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(1_000_000):
                gc.collect(0)
            assert tracemalloc.get_traced_memory()[0] - before < 4096
        finally:
            tracemalloc.stop()


def test_threads_may_come_and_go_and_each_sees_its_own_collections():
    before = len(gc.callbacks)
    problems = []

    def work():
        for _ in range(50):
            with subscribe() as subscription:
                gc.collect(0)
            # Another thread's collection may have been the one that ran meanwhile.
            if len(subscription.read()) + subscription.dropped < 0:
                problems.append("negative")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(gc.callbacks) == before


FORK = """
import gc, os, sys, warnings
warnings.simplefilter("ignore")
from memlab.collectors.gc_pauses import subscribe
with subscribe() as mine:
    gc.collect()
    seen = len(mine.read())
    if os.fork() == 0:
        gc.collect()
        ok = len(mine.read()) == seen
        with subscribe() as own:
            gc.collect()
        ok = ok and len(own.read()) >= 1 and len(gc.callbacks) == 0
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    gc.collect()
    assert len(mine.read()) > seen
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_silent_until_it_subscribes_itself():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)


def test_an_interrupt_at_any_line_leaves_no_callback():
    def action():
        with subscribe() as subscription:
            pass
        subscription.read()

    count, residue = interrupt_everywhere(action, lambda: {"callbacks": len(gc.callbacks)})
    assert count > 20
    assert residue == []


def test_columns_must_fit_each_other():
    with pytest.raises(ValueError, match="never decrease"):
        GcPauses(floats([2, 1]), floats([0, 0]), ints([0, 0]), ints([0, 0]), ints([0, 0]))
    with pytest.raises(ValueError, match="below 0"):
        GcPauses(floats([1]), floats([-1]), ints([0]), ints([0]), ints([0]))
    empty = GcPauses(floats([]), floats([]), ints([]), ints([]), ints([]))
    assert (empty.longest_s, empty.share, empty.total_s) == (None, None, 0.0)


def test_the_owner_is_one_for_the_process():
    with subscribe() as one, subscribe() as other:
        assert one._owner is other._owner is gc_pauses._owner
