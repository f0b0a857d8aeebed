"""The exact peak of a region: no spike missed, nested and parallel regions exact, a fallback that says so."""

import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlab.collectors import high_water
from memlab.collectors.high_water import HighWaterMark, Region, region
from memlab.errors import UsageError

MIB = 1024 * 1024


def _kernel_mark_works():
    return Region().start().stop().source == "vmhwm"


exact_only = pytest.mark.skipif(not _kernel_mark_works(), reason="the kernel's mark cannot be set back here")


class FakeKernel:
    """A process whose RSS is what the test says, with a mark as Linux keeps it."""

    def __init__(self, rss=1000):
        self.rss = self.mark = rss

    def move(self, rss):
        self.rss = rss
        self.mark = max(self.mark, rss)

    def read(self, name):
        assert name == "status"
        return f"VmHWM:\t{self.mark} kB\nVmRSS:\t{self.rss} kB\n".encode()

    def write(self, name, data):
        assert (name, data) == ("clear_refs", b"5")
        self.mark = self.rss


def spike(size, seconds=0.0):
    """Take and give back ``size`` bytes past malloc, whose cache would hide them."""
    with mmap.mmap(-1, size) as block:
        for at in range(0, size, mmap.PAGESIZE):
            block[at] = 1
        time.sleep(seconds)


@exact_only
@pytest.mark.parametrize("size", [16 * MIB, 50 * MIB])
def test_a_spike_of_ten_milliseconds_is_seen_within_five_percent(size):
    with region() as stretch:
        spike(size, 0.01)
    assert stretch.peak.source == "vmhwm"
    assert stretch.peak.increment_bytes == pytest.approx(size, rel=0.05)


@exact_only
def test_an_inner_region_hides_nothing_from_the_outer_one():
    with region() as outer:
        spike(60 * MIB)
        with region() as first:
            spike(20 * MIB)
        with region() as second:
            spike(5 * MIB)
            with region() as innermost:
                spike(40 * MIB)
        with region() as quiet:
            pass
    increments = [r.peak.increment_bytes / MIB for r in (outer, first, second, innermost, quiet)]
    assert increments == pytest.approx([60, 20, 40, 40, 0], abs=1.0)


@exact_only
def test_parallel_regions_in_threads_each_see_the_process():
    """RSS is the process's: a region sees what other threads take while it is open."""
    small_is_open, big_is_done = threading.Event(), threading.Event()
    peaks = {}

    def small():
        with region() as stretch:
            small_is_open.set()
            big_is_done.wait(10)
        peaks["small"] = stretch.peak.increment_bytes

    thread = threading.Thread(target=small)
    thread.start()
    small_is_open.wait(10)
    with region() as stretch:
        spike(30 * MIB)
    big_is_done.set()
    thread.join()
    assert stretch.peak.increment_bytes / MIB == pytest.approx(30, abs=1.5)
    assert peaks["small"] / MIB == pytest.approx(30, abs=1.5)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers(100, 9000), st.sampled_from(["open", "close"])), max_size=60))
def test_any_order_of_openings_closings_and_movements_gives_the_greatest_value_of_each_region(steps):
    kernel = FakeKernel()
    bookkeeper = HighWaterMark(kernel)
    open_regions, everything = [], [kernel.rss]
    for step in steps:
        if step == "open":
            open_regions.append((bookkeeper.begin(), [kernel.rss]))
        elif step == "close":
            if open_regions:
                mark, seen = open_regions.pop(len(open_regions) // 2)  # not only the innermost
                assert bookkeeper.end(mark) == max(seen) * 1024
        else:
            kernel.move(step)
            everything.append(step)
            for _, seen in open_regions:
                seen.append(step)
    assert bookkeeper.process_peak() == max(everything) * 1024
    for mark, seen in open_regions:
        assert bookkeeper.end(mark) == max(seen) * 1024
    assert bookkeeper.open_regions == 0


def test_a_forgotten_region_is_followed_no_longer():
    bookkeeper = HighWaterMark(FakeKernel())
    bookkeeper.begin()
    assert bookkeeper.open_regions == 0


class ReadOnly(FakeKernel):
    def write(self, name, data):
        raise PermissionError(13, "Permission denied")


class NoMark(FakeKernel):
    def read(self, name):
        return b"Name:\tx\nVmRSS:\t 10 kB\n"


class Deaf(FakeKernel):
    """Takes the reset and does nothing."""

    def write(self, name, data):
        self.mark = self.rss + 64 * 1024


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(ReadOnly(), "Permission denied"), (NoMark(), "VmHWM"), (Deaf(), "does not follow")],
    ids=["read-only", "no mark", "deaf"],
)
def test_where_the_mark_does_not_work_the_peak_is_sampled_and_says_why(kernel, reason):
    bookkeeper = HighWaterMark(kernel)
    stretch = Region(bookkeeper=lambda: bookkeeper)
    with stretch:
        spike(50 * MIB, 0.05)
    assert stretch.peak.source == "sampled"
    assert reason in stretch.reason
    assert stretch.peak.increment_bytes == pytest.approx(50 * MIB, rel=0.05)


def test_exact_false_leaves_the_kernels_mark_alone():
    def asked():
        raise AssertionError("the bookkeeper was asked")

    with Region(exact=False, bookkeeper=asked) as stretch:
        spike(20 * MIB, 0.02)
    assert stretch.peak.source == "sampled"
    assert stretch.reason == "exact=False was asked for"


def test_a_mark_that_stops_answering_gives_no_peak_and_a_reason():
    kernel = FakeKernel()
    bookkeeper = HighWaterMark(kernel)
    stretch = Region(bookkeeper=lambda: bookkeeper).start()
    kernel.read = lambda name: b""
    assert stretch.stop() is None
    assert "VmHWM" in stretch.reason
    assert bookkeeper.open_regions == 0


def test_the_users_exception_passes_unchanged():
    error = ValueError("mine")
    stretch = region()
    with pytest.raises(ValueError, match="mine") as caught, stretch:
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert stretch.peak is not None


def test_a_region_is_used_once_and_in_order():
    stretch = region()
    with pytest.raises(UsageError, match="has not begun"):
        stretch.stop()
    with pytest.raises(UsageError, match="not ended"):
        stretch.peak
    with stretch:
        pass
    assert stretch.stop() is stretch.peak
    with pytest.raises(UsageError, match="begun before"):
        stretch.start()


@exact_only
def test_one_region_costs_less_than_a_millisecond():
    began = time.process_time()
    for _ in range(200):
        with region():
            pass
    assert (time.process_time() - began) / 200 < 0.001


def test_no_region_is_left_open_by_these_tests():
    assert high_water._bookkeeper.open_regions == 0
    assert high_water._bookkeeper.pid == os.getpid()


FORK = """
import mmap, os
from memlab.collectors.high_water import region
outer = region().start()
if os.fork() == 0:
    assert outer.stop() is None and "fork" in outer.reason
    with region() as own:
        block = mmap.mmap(-1, 32 << 20)
        for at in range(0, 32 << 20, 4096):
            block[at] = 1
    os._exit(0 if own.peak.increment_bytes > 24 << 20 else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert outer.stop().increment_bytes < 16 << 20, "the child's memory is not the parent's"
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc")
def test_a_forked_child_measures_itself_and_leaves_the_parents_region_alone():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)


def test_the_first_region_of_a_process_does_not_measure_the_import_of_numpy():
    code = (
        "import sys\nfrom memlab.collectors.high_water import region\nassert 'numpy' not in sys.modules\n"
        "with region() as stretch:\n    pass\nprint(stretch.peak.increment_bytes, stretch.peak.source)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    increment, source = run.stdout.split()
    if source == "vmhwm":
        assert int(increment) < MIB
