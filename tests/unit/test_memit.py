"""memit: exactly as many runs as asked, peaks that are not missed, nothing killed, nothing left."""

import gc
import mmap
import subprocess
import sys
import time
import weakref

import psutil
import pytest

from memlab.collectors.high_water import Region
from memlab.errors import StepError, UsageError
from memlab.lab.memit import memit

MIB = 1024 * 1024
SOURCE = Region().start().stop().source


def spike(size=50 * MIB, seconds=0.0):
    with mmap.mmap(-1, size) as block:
        for at in range(0, size, mmap.PAGESIZE):
            block[at] = 1
        time.sleep(seconds)


@pytest.mark.parametrize("repeat", [1, 3])
def test_it_runs_exactly_as_often_as_asked_and_sees_each_spike(repeat):
    calls = []

    def run():
        calls.append(1)
        spike()

    result = memit(run, repeat=repeat, interval=10)
    assert len(calls) == repeat
    assert len(result.peaks_bytes) == result.repeat == repeat
    if SOURCE == "vmhwm":
        assert result.source == "vmhwm"
        assert result.increment_bytes == pytest.approx(50 * MIB, rel=0.05)
        assert result.notes == ()
    assert len(result.mem_usage) == repeat
    assert result.mem_usage[0] - result.baseline == pytest.approx(50, abs=4)


def test_no_run_begins_after_the_timeout_and_none_is_cut_short():
    ended = []
    result = memit(lambda: ended.append(time.sleep(0.05)), repeat=100, timeout=0.12)
    assert len(ended) == len(result.peaks_bytes) == 3
    assert result.notes[0] == "3 of 100 runs: the timeout of 0.12 s had passed"


def test_the_first_run_happens_however_short_the_timeout():
    assert len(memit(int, repeat=5, timeout=1e-9).peaks_bytes) == 1


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_the_exception_passes_unchanged_after_one_run_and_the_users_child_lives(kind):
    error, calls = kind("mine"), []

    def run():
        calls.append(1)
        raise error

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with pytest.raises(kind) as caught:
            memit(run, repeat=5, include_children=True)
        assert caught.value is error
        assert error.__context__ is None
        assert len(calls) == 1
        assert child.poll() is None
    finally:
        child.communicate(b"\n")


HELD = """
import mmap
block = mmap.mmap(-1, 64 << 20)
block.write(b"x" * (64 << 20))
print("ready", flush=True)
input()
"""


def test_children_are_counted_in_the_baseline_and_in_the_peak():
    with subprocess.Popen(
        [sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        alone = memit(lambda: time.sleep(0.05))
        family = memit(lambda: spike(30 * MIB, 0.1), include_children=True)
        child.communicate(b"\n")
    assert family.baseline_bytes - alone.baseline_bytes > 60 * MIB
    assert family.increment_bytes == pytest.approx(30 * MIB, rel=0.2)
    assert family.source == "sampled"
    assert "pages that they share" in family.notes[-1]


def test_what_the_callable_returns_is_not_kept():
    class Made:
        pass

    made = []

    def run():
        new = Made()
        made.append(weakref.ref(new))
        return new

    memit(run, repeat=2)
    assert [ref() for ref in made] == [None, None]


def test_garbage_from_before_is_collected_first():
    class Node:
        pass

    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    del node
    was = gc.isenabled()
    gc.disable()
    try:
        memit(lambda: None)
        assert gone() is None
        assert not gc.isenabled()
    finally:
        if was:
            gc.enable()


def test_something_that_cannot_be_called_is_refused_by_its_type():
    with pytest.raises(StepError, match="must be callable, not str"):
        memit("x = 1")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"repeat": 0}, "repeat"),
        ({"repeat": 1.5}, "repeat"),
        ({"repeat": True}, "repeat"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"interval": -1}, "interval"),
        ({"interval": "0.1"}, "interval"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_name(options, word):
    with pytest.raises(UsageError, match=f"memit: {word} must be"):
        memit(int, **options)


def test_no_process_is_started_for_the_measurement():
    def children():
        return [child.pid for child in psutil.Process().children()]

    before, during = children(), []
    memit(lambda: during.append(children()))
    assert during == [before]
