"""The simple face: types that grew, tracked objects that live, and a detector that is in nobody's way."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import weakref

import pytest

import memlab
from memlab import MemoryLeakDetector, ObjectPool


class Job:
    """An object with async methods."""

    def __init__(self):
        self.payload = [0] * 10

    async def run(self):
        await asyncio.sleep(0)
        return len(self.payload)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        await asyncio.sleep(0)


class Ring:
    next = None


class Kept:
    instances = []

    def __init__(self):
        Kept.instances.append(self)


@pytest.fixture
def detector():
    return MemoryLeakDetector(threshold=10)


def test_objects_with_async_methods_come_and_go(detector):
    """A hundred objects made, run by asyncio.run and dropped are no growth, and none of them stays."""
    asyncio.run(Job().run())  # asyncio's own, made once
    detector.take_snapshot()
    for _ in range(100):
        job = Job()
        detector.track_object(job)
        assert asyncio.run(job.run()) == 10
        del job
    assert Job not in detector.check_leaks()
    assert detector.check_tracked_objects() == []


def test_rings_are_collected_before_they_are_counted(detector):
    """A hundred rings of ten objects are garbage, not growth, also where the collector is off."""
    gc.disable()
    try:
        detector.take_snapshot()
        for _ in range(100):
            ring = [Ring() for _ in range(10)]
            for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
                one.next = other
            detector.track_object(ring[0])
            del ring, one, other
        assert Ring not in detector.check_leaks()
        assert detector.check_tracked_objects() == []
    finally:
        gc.enable()


@pytest.mark.parametrize("fails", [False, True], ids=["normally", "by an exception"])
def test_async_context_managers_leave_nothing(detector, fails):
    """An async context manager goes, however its block was left."""

    async def use():
        job = Job()
        detector.track_object(job)
        async with job:
            if fails:
                raise ValueError("left")

    def once():
        try:
            asyncio.run(use())
        except ValueError:
            assert fails

    once()
    detector.take_snapshot()
    for _ in range(50):
        once()
    assert Job not in detector.check_leaks()
    assert detector.check_tracked_objects() == []


def test_pools_of_holders_go_with_their_pools(detector):
    """Fifty pools of a hundred holders each are no growth once they are dropped."""
    detector.take_snapshot()
    for _ in range(50):
        with ObjectPool(Job, min_size=100, max_size=100) as pool:
            held = pool.acquire()
            detector.track_object(held)
            pool.release(held)
            del held
        del pool
    found = detector.check_leaks()
    assert Job not in found
    assert ObjectPool not in found
    assert detector.check_tracked_objects() == []


def test_a_class_that_keeps_its_instances(detector):
    """Sixty made and kept in a class attribute are sixty reported."""
    detector.take_snapshot()
    try:
        for _ in range(60):
            detector.track_object(Kept())
        assert detector.check_leaks()[Kept] == 60
        assert len(detector.check_tracked_objects()) == 60
    finally:
        Kept.instances.clear()
    assert Kept not in detector.check_leaks()
    assert detector.check_tracked_objects() == []


def test_growth_is_reported_above_the_threshold_only(detector):
    """Exactly the threshold is no report, one more is; growth counts from the first snapshot."""
    detector.take_snapshot()
    held = [Ring() for _ in range(10)]
    assert Ring not in detector.check_leaks()
    detector.take_snapshot()
    held.append(Ring())
    assert detector.check_leaks()[Ring] == 11
    assert detector.threshold == 10


def test_nothing_is_found_before_a_snapshot(detector):
    """Without a snapshot there is nothing to compare with, and no error."""
    assert detector.check_leaks() == {}
    assert detector.check_tracked_objects() == []


@pytest.mark.parametrize("obj", [1, "text", (1, 2), [1]], ids=lambda obj: type(obj).__name__)
def test_an_object_that_cannot_be_tracked_is_refused(detector, obj):
    """The TypeError names the type and says why."""
    with pytest.raises(TypeError, match=f"{type(obj).__name__} cannot be weakly referenced"):
        detector.track_object(obj)


@pytest.mark.parametrize("threshold", [-1, 1.5, "10", None, True])
def test_a_threshold_that_is_no_number_is_refused(threshold):
    """One sentence, and a ValueError that is memlab's own."""
    with pytest.raises(memlab.UsageError, match="threshold must be a number of objects from 0"):
        MemoryLeakDetector(threshold)


def test_types_are_held_weakly(detector):
    """A class whose instances were counted and tracked can go; its address being used again is no growth."""
    brief = type("Brief", (), {})
    instance = brief()
    detector.take_snapshot()
    detector.track_object(instance)
    gone = weakref.ref(brief)
    del brief, instance
    gc.collect()
    assert gone() is None
    assert detector.check_tracked_objects() == []


def test_a_metaclass_with_code_of_its_own_runs_none(detector):
    """A type whose metaclass counts and compares itself is passed over, and its code is not run."""
    ran = []

    class Meta(type):
        def __hash__(cls):
            ran.append(cls)
            return 0

        def __eq__(cls, other):
            ran.append(cls)
            return True

    class Nosy(metaclass=Meta):
        pass

    detector.take_snapshot()
    held = [Nosy() for _ in range(50)]
    found = detector.check_leaks()
    assert len(held) == 50
    assert ran == []
    assert all(isinstance(number, int) for number in found.values())


def test_the_detector_never_counts_itself():
    """In a quiet process, snapshots and tracked objects by the hundred are no growth of any type."""
    program = """
        import asyncio, gc
        from memlab import MemoryLeakDetector

        class Job:
            async def run(self):
                await asyncio.sleep(0)

        asyncio.run(Job().run())
        detector = MemoryLeakDetector(threshold=0)
        detector.take_snapshot(); detector.check_leaks()
        detector = MemoryLeakDetector(threshold=0)
        detector.take_snapshot()
        keep = Job()
        for _ in range(200):
            detector.take_snapshot()
            detector.track_object(keep)
        found = detector.check_leaks()
        print(found.pop(Job), found)
        del keep
        detector = MemoryLeakDetector()
        detector.take_snapshot()
        for _ in range(100):
            asyncio.run(Job().run())
        print(detector.check_leaks())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["1 {}", "{}"]
