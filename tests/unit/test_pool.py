"""Object pools: the contract under every option, and what each option adds."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
import weakref

import pytest
from contracts import PoolContract
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kit.everyline import interrupt_everywhere

from memlab import MemlabError, ObjectPool, PoolableObject, PoolTimeoutError, UnavailableError, UsageError


class Item:
    """Counts its resets and closings."""

    def __init__(self):
        self.resets = self.closings = 0

    def reset(self):
        self.resets += 1

    def close(self):
        self.closings += 1


class TestPlain(PoolContract):
    def make(self, factory=Item, **options):
        return ObjectPool(factory, **options)


class TestUncounted(PoolContract):
    def make(self, factory=Item, **options):
        return ObjectPool(factory, counters=False, **options)


class TestAgeing(PoolContract):
    def make(self, factory=Item, **options):
        return ObjectPool(factory, ttl=1000, **options)


class TestBlocking(PoolContract):
    def make(self, factory=Item, **options):
        return ObjectPool(factory, overflow="block", timeout=30, **options)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ObjectPool(5), "factory"),
        (lambda: ObjectPool(Item, max_size=0), "max_size"),
        (lambda: ObjectPool(Item, max_size=2.0), "max_size"),
        (lambda: ObjectPool(Item, -1), "min_size"),
        (lambda: ObjectPool(Item, 5, 3), "min_size"),
        (lambda: ObjectPool(Item, ttl=0), "ttl"),
        (lambda: ObjectPool(Item, ttl=float("inf")), "ttl"),
        (lambda: ObjectPool(Item, timeout=-1), "timeout"),
        (lambda: ObjectPool(Item, overflow="wait"), "overflow"),
        (lambda: ObjectPool.worth(None), "factory"),
        (lambda: ObjectPool.worth(Item, rounds=0), "rounds"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make, named):
    """The message names the argument and what it must be."""
    with pytest.raises(UsageError, match=f"{named} must be"):
        make()


def test_arguments_can_be_read_back():
    """Every constructor argument is an attribute of the same name."""
    pool = ObjectPool(Item, 1, 7, 60, "raise", timeout=2, counters=False)
    assert (pool.factory, pool.min_size, pool.max_size, pool.ttl) == (Item, 1, 7, 60)
    assert (pool.overflow, pool.timeout, pool.counters) == ("raise", 2, False)


def test_the_protocol_is_one_of_methods():
    """Whatever has reset and close is poolable, without deriving from anything."""
    assert isinstance(Item(), PoolableObject)
    assert not isinstance(bytearray(), PoolableObject)


def test_min_size_objects_are_there_from_the_start():
    """They are made at once, and the first acquisitions are hits."""
    pool = ObjectPool(Item, min_size=3, max_size=5)
    assert (pool.stats.objects_created, pool.stats.idle, pool.stats.hit_rate) == (3, 3, None)
    out = [pool.acquire() for _ in range(3)]
    assert pool.stats.hit_rate == 1.0
    out.append(pool.acquire())
    assert (pool.stats.hits, pool.stats.misses) == (3, 1)


def test_the_figures_are_exact():
    """Every figure after a known course of events."""
    pool = ObjectPool(Item, min_size=1, max_size=2)
    a, b, c = pool.acquire(), pool.acquire(), pool.acquire()
    stats = pool.stats
    assert (stats.acquired, stats.released, stats.hits, stats.misses) == (3, 0, 1, 2)
    assert (stats.idle, stats.in_use, stats.size, stats.high_water_mark, stats.overflowed) == (0, 3, 3, 3, 1)
    pool.release(a)
    assert a.closings == 1
    pool.release(b)
    pool.release(c)
    stats = pool.stats
    assert (stats.acquired, stats.released, stats.idle, stats.in_use) == (3, 3, 2, 0)
    assert (stats.closed, stats.size, stats.high_water_mark, stats.expired) == (1, 2, 3, 0)
    assert (stats["hits"], stats["hit_rate"]) == (1, 1 / 3)
    assert stats.timeline.metrics["pool_objects"].tolist() == [0, 1, 2, 3, 2, 2]
    with pytest.raises(KeyError):
        stats["nonsense"]


def test_a_pool_that_does_not_count_says_so():
    """The figures that rest on the count are None, each with its reason."""
    pool = ObjectPool(Item, counters=False)
    pool.release(pool.acquire())
    stats = pool.stats
    assert (stats.acquired, stats.hits, stats.hit_rate) == (None, None, None)
    assert set(stats.absent) == {"acquired", "released", "hits"}
    assert (stats.idle, stats.misses) == (1, 1)


def test_overflow_raise_refuses():
    """All are out: one sentence, memlab's own and a RuntimeError; room again when one comes back."""
    pool = ObjectPool(Item, max_size=1, overflow="raise")
    item = pool.acquire()
    with pytest.raises(UnavailableError, match="all 1 of this pool are out") as caught:
        pool.acquire()
    assert isinstance(caught.value, RuntimeError)
    pool.release(item)
    assert pool.acquire() is item
    assert pool.stats.overflowed == 1


def test_overflow_block_waits_its_time():
    """None came back: a TimeoutError that is memlab's own; the caller's time counts before the pool's."""
    pool = ObjectPool(Item, max_size=1, overflow="block", timeout=0.01)
    item = pool.acquire()
    with pytest.raises(PoolTimeoutError, match=r"within 0\.01 s") as caught:
        pool.acquire()
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, MemlabError)
    with pytest.raises(PoolTimeoutError, match=r"within 0\.02 s"), pool.borrow(timeout=0.02):
        pass
    pool.release(item)
    assert pool.acquire() is item


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waiting(pool, count):
    deadline = time.monotonic() + 10
    while len(pool._waiters) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_those_who_wait_are_served_in_their_order():
    """First come, first served, though the giver-back asks again at once."""
    pool = ObjectPool(Item, max_size=1, overflow="block")
    item, order, threads = pool.acquire(), [], []
    for number in range(4):

        def wait(number=number):
            got = pool.acquire(timeout=10)
            order.append(number)
            pool.release(got)

        threads.append(in_thread(wait))
        waiting(pool, number + 1)
    pool.release(item)
    mine = pool.acquire(timeout=10)
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3]
    pool.release(mine)
    assert pool.stats.objects_created == 1


def test_who_waits_gets_the_room_of_an_object_that_went():
    """A reset that raises frees a place, and a waiter makes its own object."""
    pool = ObjectPool(Item, max_size=1, overflow="block")
    item, got = pool.acquire(), []
    item.reset = lambda: 1 / 0
    thread = in_thread(lambda: got.append(pool.acquire(timeout=10)))
    waiting(pool, 1)
    pool.release(item)
    thread.join(10)
    assert len(got) == 1
    assert got[0] is not item
    assert pool.stats.size == 1


def test_closing_wakes_who_waits():
    """They are told that the pool is closed, and wait no longer."""
    pool = ObjectPool(Item, max_size=1, overflow="block")
    pool.acquire()
    errors = []

    def wait():
        try:
            pool.acquire()
        except UsageError as error:
            errors.append(str(error))

    threads = [in_thread(wait) for _ in range(3)]
    waiting(pool, 3)
    pool.close()
    for thread in threads:
        thread.join(10)
    assert errors == ["taking an object: this pool is closed"] * 3


def test_an_idle_object_too_old_is_closed_and_replaced():
    """It is never handed out, the pool keeps its least size, and a young one is handed out."""
    now = [0.0]
    pool = ObjectPool(Item, min_size=2, max_size=4, ttl=10, clock=lambda: now[0])
    old = [pool.acquire(), pool.acquire()]
    for item in old:
        pool.release(item)
    now[0] = 10
    again = pool.acquire()
    assert again is old[1]
    pool.release(again)
    now[0] = 15
    young = pool.acquire()
    assert young is again
    assert old[0].closings == 0
    pool.release(young)
    now[0] = 25.5
    new = pool.acquire()
    assert new not in old
    assert [item.closings for item in old] == [1, 1]
    assert (pool.stats.expired, pool.stats.closed, pool.stats.size) == (2, 2, 2)


def test_a_factory_that_fails_to_refill_costs_the_caller_nothing(caplog):
    """Who asked has an object; that the pool is below its least size is logged."""
    now, left = [0.0], [4]

    def factory():
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no more")
        return Item()

    pool = ObjectPool(factory, min_size=3, max_size=4, ttl=10, clock=lambda: now[0])
    now[0] = 11
    item = pool.acquire()
    assert (pool.stats.in_use, pool.stats.size) == (1, 1)
    assert "factory raised OSError" in caplog.text
    pool.release(item)
    assert pool.stats.idle == 1


def test_what_lies_too_long_goes_when_others_come_back():
    """The oldest go from the far end while the newest are in use all the time."""
    now = [0.0]
    pool = ObjectPool(Item, max_size=4, ttl=10, clock=lambda: now[0])
    out = [pool.acquire() for _ in range(3)]
    for item in out:
        pool.release(item)
    for _ in range(5):
        now[0] += 4
        pool.release(pool.acquire())
    assert [item.closings for item in out] == [1, 1, 0]
    assert pool.stats.size == 1


def test_no_code_of_the_users_runs_under_the_lock():
    """Factory, reset and close may use the pool, and another thread may meanwhile."""
    seen = []

    def elsewhere():
        thread = in_thread(lambda: seen.append(pool.stats.size))
        thread.join(10)
        assert not thread.is_alive()

    class Curious(Item):
        def __init__(self):
            elsewhere()
            super().__init__()

        reset = close = lambda self: elsewhere()

    now = [0.0]
    pool = ObjectPool.__new__(ObjectPool)
    pool.__init__(Curious, max_size=1, ttl=5, clock=lambda: now[0])
    one, two = pool.acquire(), pool.acquire()
    pool.release(one)
    pool.release(two)
    now[0] = 6
    pool.stats
    pool.release(pool.acquire())
    pool.close()
    assert len(seen) == 8


class Model(RuleBasedStateMachine):
    """A pool against lists of what is out and what is idle."""

    ttl = 10.0

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.made = []
        self.pool = ObjectPool(self.make, 1, 3, ttl=self.ttl, clock=lambda: self.now)
        self.out = []
        self.gone = set()

    def make(self):
        item = Item()
        self.made.append(item)
        return item

    @rule()
    def acquire(self):
        item = self.pool.acquire()
        assert item not in self.out
        assert item.closings == 0
        self.out.append(item)

    @rule(data=st.data())
    def release(self, data):
        if self.out:
            item = data.draw(st.sampled_from(self.out))
            before = item.resets
            self.out.remove(item)
            self.pool.release(item)
            assert item.resets + item.closings == before + 1

    @rule(data=st.data())
    def release_wrongly(self, data):
        inside = [item for item in self.made if item not in self.out]
        if inside:
            with pytest.raises(UsageError):
                self.pool.release(data.draw(st.sampled_from(inside)))

    @rule(seconds=st.sampled_from([1, 4, 11]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def balance(self):
        stats = self.pool.stats
        closed = sum(item.closings for item in self.made)
        assert all(item.closings <= 1 for item in self.made)
        assert (stats.in_use, stats.closed, stats.objects_created) == (len(self.out), closed, len(self.made))
        assert stats.size == stats.idle + stats.in_use == len(self.made) - closed
        assert stats.idle <= 3
        assert stats.hits + stats.misses == stats.acquired


class PlainModel(Model):
    """Without a lifetime: the path in C, where it was built."""

    ttl = None


TestModel = Model.TestCase
TestPlainModel = PlainModel.TestCase
for tests in (TestModel, TestPlainModel):
    tests.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_a_stranger_whose_equality_uses_the_pool_harms_nothing():
    """Its own code may take and give back while the pool looks it up, or raise."""
    pool = ObjectPool(Item, max_size=4)
    mine = pool.acquire()

    class Stranger:
        def __hash__(self):
            return hash(mine)

        def __eq__(self, other):
            pool.release(pool.acquire())
            return False

    class Liar:
        def __hash__(self):
            raise RuntimeError("no hash today")

    with pytest.raises(UsageError, match="not of this pool"):
        pool.release(Stranger())
    with pytest.raises(RuntimeError, match="no hash today"):
        pool.release(Liar())
    assert (pool.stats.in_use, pool.stats.size) == (1, 2)
    pool.release(mine)


def test_a_pool_is_collected_with_what_it_holds():
    """A ring through the pool, its idle and its lent objects goes with the collector."""

    class Knot(Item):
        pool = None

    pool = ObjectPool(Knot, min_size=2)
    out, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    out.pool = idle.pool = pool
    gone = [weakref.ref(pool), weakref.ref(out), weakref.ref(idle)]
    del pool, out, idle
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@pytest.mark.parametrize("options", [{}, {"ttl": 100}, {"overflow": "block"}], ids=str)
def test_an_interrupt_at_any_line_leaves_a_usable_pool(options):
    """Wherever Ctrl-C strikes, locks are given back, and the pool gives out and closes as before."""

    def use():
        with ObjectPool(Item, min_size=1, max_size=2, **options) as pool:
            with pool.borrow():
                other = pool.acquire()
            pool.release(other)

    pool = ObjectPool(Item, max_size=2)

    def use_one():
        use()
        pool.release(pool.acquire())

    def state():
        thread = in_thread(lambda: pool.stats)
        thread.join(5)
        assert not thread.is_alive()
        item = pool.acquire()
        pool.release(item)
        return {"threads": threading.active_count()}

    lines, residue = interrupt_everywhere(use_one, state)
    assert lines > 60
    assert residue == []


# -- what the founding document asks


class Buffer:
    def __init__(self):
        self.data = bytearray(10_240)

    def reset(self):
        self.data[:16] = bytes(16)


def test_reused_a_hundred_times_it_hits():
    """After the warm-up more than 95 of 100 acquisitions find an object."""
    pool = ObjectPool(Buffer, min_size=1, max_size=10)
    for _ in range(100):
        with pool.borrow():
            pass
    assert pool.stats.hit_rate > 0.95


def test_a_thousand_cycles_keep_no_memory():
    """Less than 1 MiB more than before, on tracemalloc's books."""
    pool = ObjectPool(Buffer, max_size=10)
    for _ in range(10):
        pool.release(pool.acquire())
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(1000):
            pool.release(pool.acquire())
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_ten_threads_hold_objects_without_an_error():
    """10 threads x 100 holds of 1 ms, with fewer objects than threads: none starves."""
    pool = ObjectPool(Item, max_size=5, overflow="block")
    took, errors = [], []

    def work():
        began = time.monotonic()
        try:
            for _ in range(100):
                with pool.borrow(timeout=20):
                    time.sleep(0.001)
        except BaseException as error:
            errors.append(error)
        took.append(time.monotonic() - began)

    threads = [in_thread(work) for _ in range(10)]
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert pool.stats.acquired == 1000
    assert pool.stats.objects_created <= 5
    # Fair by construction; a busy machine is given room: a starved thread would take several times the mean.
    mean = sum(took) / len(took)
    assert max(took) < 2 * mean


def test_the_verdict_is_a_measurement():
    """A dear constructor pays; an object whose reset makes itself anew does not, and the verdict says so."""

    class Dear:
        def __init__(self):
            self.table = [str(number) for number in range(300)]

    class Useless:
        def __init__(self):
            self.reset()

        def reset(self):
            self.data = [0] * 100

    dear, useless = ObjectPool.worth(Dear, rounds=7), ObjectPool.worth(Useless, rounds=7)
    assert (dear.pays, useless.pays) == (True, False)
    assert dear.speedup > 2
    assert "Pooling pays for" in str(dear)
    assert "does not pay" in str(useless)
    assert dear.notes  # it has no reset
    assert useless.reset_s.min() > 0
