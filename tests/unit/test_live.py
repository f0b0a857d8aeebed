"""Live recordings: what they tell while they run, what they leave, and how each of them ends."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys
import threading
import time
import weakref

import psutil
import pytest

from memlab.collectors.type_counts import TypeWatch, count_types
from memlab.errors import UsageError
from memlab.lab import live_hub
from memlab.lab.live import LiveRecording
from memlab.testing import nosy_class
from tests.kit.everyline import interrupt_everywhere


def threads():
    return [t.name for t in threading.enumerate() if t.name == "memlab-live"]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("outside", [True, False])
def test_updates_bring_every_sample_once_and_in_order(outside):
    """Each update goes on where the last one ended, and all of them are the capture's timelines."""
    updates = []
    recording = LiveRecording(0.01, 10, types=False, on_update=updates.append, outside=outside).start()
    wait_for(lambda: len(updates) >= 3 and recording.samples > 5)
    capture = recording.stop()
    for number, timeline in enumerate((capture.timeline, capture.inside)):
        seen, values = [], []
        for update in updates:
            track = update.tracks[number]
            assert track.first == len(seen)
            seen += track.time_s
            values += [value for (value,) in track.values]
        assert seen == timeline.time_s.tolist()
        assert values == next(iter(timeline.metrics.values())).tolist()
    assert set(capture.inside.metrics) == {"allocated_blocks"}
    assert capture.complete
    assert any("read by a thread" in note for note in capture.notes) is not outside


@pytest.mark.skipif(not hasattr(ctypes, "PyDLL") or sys.platform == "win32", reason="needs a C library")
def test_the_line_has_no_gap_while_c_code_holds_the_lock():
    """A call that keeps the interpreter for 0.4 s: nothing of ours runs, and samples are there afterwards."""
    with LiveRecording(0.01, 10, types=False) as recording:
        if not recording._hub.reads_outside:
            pytest.skip(recording._hub.reason)
        wait_for(lambda: recording.samples > 3)  # the process is up
        began = recording.now_s
        ctypes.PyDLL(None).usleep(400_000)
        ended = recording.now_s
        block = bytearray(30_000_000)
    del block
    time_s = recording.capture().timeline.time_s
    # A level line is two samples, however long: its ends move on.
    assert ((time_s > began + 0.1) & (time_s < ended + 0.2)).any()


def test_marks_pauses_and_the_exact_peak_are_in_the_capture():
    """A spike between two samples shows in the peak; a forced collection and a mark stand at their time."""
    with LiveRecording(5.0, 1, types=False, outside=False) as recording:
        spike = mmap.mmap(-1, 80_000_000)
        spike.write(b"x" * 80_000_000)
        spike.close()
        recording.mark(" done ")
        gc.collect()
    capture = recording.capture()
    assert [m.label for m in capture.marks] == ["done"]
    assert capture.pauses.generation.tolist()[-1] == 2
    assert len(capture.timeline) == 2  # nothing was sampled while it stood high
    if capture.peak.source == "vmhwm":
        assert capture.peak.increment_bytes > 75_000_000
    assert recording.capture() == capture


def test_a_capture_can_be_taken_while_it_runs():
    """It is a value: what comes later does not change it, and it says that it is not complete."""
    with LiveRecording(0.01, 2, types=False) as recording:
        wait_for(lambda: recording.samples > 3)
        early = recording.capture()
        count = len(early.timeline)
        wait_for(lambda: recording.samples > count + 3)
        assert len(early.timeline) == count
        assert not early.complete
    assert len(recording.capture().timeline) > count


def test_one_thread_serves_all_and_ends_with_the_last():
    """Two recordings, one thread; the first to stop leaves it running."""
    one, two = LiveRecording(types=False).start(), LiveRecording(types=False).start()
    assert threads() == ["memlab-live"]
    one.stop()
    assert two.is_alive
    assert threads() == ["memlab-live"]
    two.stop()
    wait_for(lambda: not threads())
    assert not two.is_alive
    with LiveRecording(types=False) as again:  # and it can begin anew
        assert again.is_alive


def test_a_forgotten_recording_ends():
    """Nothing holds it, the thread least of all."""
    recording = LiveRecording(0.01, types=False).start()
    gone = weakref.ref(recording)
    del recording
    gc.collect()
    wait_for(lambda: gone() is None)
    wait_for(lambda: not threads())


def test_it_ends_by_itself_and_says_why():
    """After its minutes it stops, keeps what it has, and takes no more marks."""
    recording = LiveRecording(0.01, 10, minutes=0.15 / 60, types=False, outside=False).start()
    wait_for(lambda: recording.ended)
    assert "had passed" in recording.ended
    with pytest.raises(UsageError, match="does not run"):
        recording.mark("late")
    assert len(recording.stop().timeline) > 3


def test_an_onlooker_that_fails_does_not_end_it():
    """After three failures in a row it is asked no more; the recording goes on."""
    calls = []

    def fail(update):
        calls.append(update)
        raise RuntimeError("no screen")

    recording = LiveRecording(0.01, 10, types=False, on_update=fail).start()
    wait_for(lambda: len(calls) == 3)
    before = recording.samples
    wait_for(lambda: recording.samples > before + 30)
    assert len(calls) == 3
    assert recording.is_alive
    recording.stop()


def test_a_crossing_of_the_limit_is_one_alert():
    """It begins at the limit, lasts through small dips, ends clearly below, and tells how high it was."""
    recording = LiveRecording(limit="100 MiB", types=False)
    mib = 2**20
    for at, rss in enumerate((90, 100, 140, 99, 97, 60, 120)):
        recording._add_rss(float(at), rss * mib)
    first, second = recording.alerts
    assert (first.began_s, first.ended_s, first.greatest_bytes) == (1.0, 4.0, 140 * mib)
    assert (second.began_s, second.ended_s) == (6.0, None)


def test_updates_that_cost_much_come_less_often():
    """One slow update counts for little; when all are slow, the pace falls, and it rises again."""
    recording = LiveRecording(updates_per_s=2, types=False)
    for _ in range(20):
        recording._pace(0.001)
    assert recording.gap_s == 0.5
    recording._pace(0.02)
    assert recording.gap_s <= 0.5
    for _ in range(60):
        recording._pace(0.02)
    assert recording.gap_s == pytest.approx(0.02 / 0.006, rel=0.05)
    for _ in range(120):
        recording._pace(0.001)
    assert recording.gap_s == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interval_s": 0}, "interval_s must be a number of 0.01 to 60, not 0"),
        ({"interval_s": "1"}, "interval_s must be a number of 0.01 to 60, not '1'"),
        ({"updates_per_s": 50}, "updates_per_s must be a number of 0.01"),
        ({"minutes": float("nan")}, "minutes must be a number"),
        ({"metrics": ("uss_bytes",)}, "metrics are some of rss_bytes, allocated_blocks, traced_bytes"),
        ({"metrics": "rss_bytes"}, "metrics are some of"),
        ({"limit": "2 apples"}, "cannot read the size '2 apples'"),
    ],
)
def test_wrong_arguments_are_one_sentence(options, said):
    """The sentence names the argument and what it may be; nothing is started."""
    with pytest.raises(UsageError, match=said):
        LiveRecording(**options)
    assert not threads()


def test_two_share_one_process_and_the_finer_interval():
    """One sampler process however many look; a finer one takes its place when one asks for it."""
    children = lambda: [c.pid for c in psutil.Process().children()]
    with LiveRecording(0.5, types=False):
        first = children()
        with LiveRecording(1.0, types=False):
            assert children() == first
        with LiveRecording(0.02, types=False) as fine:
            wait_for(lambda: fine.samples > 2)
            second = children()
            assert len(second) == len(first) == 1
            assert second != first
    wait_for(lambda: not children())


def test_wrong_use_is_one_sentence():
    """Stopping or marking what has not begun, beginning twice, a mark without a name."""
    recording = LiveRecording(types=False)
    for use in (recording.stop, recording.capture, lambda: recording.mark("x"), recording.snapshot):
        with pytest.raises(UsageError):
            use()
    with recording:
        with pytest.raises(UsageError, match="started before"):
            recording.start()
        for label in ("", "  ", 3):
            with pytest.raises(UsageError, match="the label must be a text"):
                recording.mark(label)


def test_what_is_not_read_says_why():
    """Traced memory without a tracer is absent with a reason, and the rest goes on."""
    with LiveRecording(metrics=("rss_bytes", "traced_bytes"), types=False) as recording:
        pass
    capture = recording.capture()
    assert "nothing is traced" in capture.timeline.absent["traced_bytes"]
    assert capture.inside is None


ONLY_LONG = pytest.mark.skipif(not os.environ.get("MEMLAB_LONG"), reason="MEMLAB_LONG is not set")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("outside", [False, pytest.param(True, marks=[pytest.mark.long, ONLY_LONG])])
def test_an_interrupt_at_any_line_leaves_nothing(outside):
    """Started, marked, looked at and stopped, with an interrupt at each of its lines in turn."""

    def act():
        recording = LiveRecording(0.5, 1, types=False, outside=outside)
        try:
            recording.start()
            recording.mark("x")
        finally:
            if recording._start_s is not None and not recording.ended:
                recording.stop()

    def state():
        return {
            "callbacks": len(gc.callbacks),
            "threads": threads(),
            "files": psutil.Process().num_fds(),
            "children": len(psutil.Process().children()) if outside else 0,
        }

    gc.disable()  # what is interrupted within a callback of the collector is lost, as in any such callback
    try:
        lines, residue = interrupt_everywhere(act, state)
    finally:
        gc.enable()
    assert lines > 100
    assert residue == []


def test_a_fault_in_one_recording_ends_that_one_alone():
    """The thread goes on with the others."""
    sick, well = (LiveRecording(0.01, types=False, outside=False) for _ in range(2))
    sick.start()
    well.start()
    sick._sample = None
    wait_for(lambda: sick.ended)
    assert sick.ended == "it failed: TypeError"
    del sick._sample
    before = well.samples
    wait_for(lambda: well.samples > before + 3)
    assert live_hub._hub.members == 1
    well.stop()
    sick.stop()


# -- types


class Grown:
    pass


def test_types_that_gained_are_named():
    """The first look is the base; the second tells how many more there are."""
    watch = TypeWatch(share=1.0)
    assert watch.look(0.0) == ()
    kept = [Grown() for _ in range(1234)]
    assert watch.look(0.5) is None  # not yet
    gained = {gain.name: gain for gain in watch.look(10.0)}
    name = f"{__name__}.Grown"
    assert (gained[name].objects, gained[name].gained) == (len(kept), len(kept))


def test_counting_holds_no_object_and_runs_no_code():
    """An object that dies is gone at once afterwards, and a class full of hooks was asked nothing."""
    kind, calls = nosy_class()
    kept = [kind() for _ in range(10)]
    thing = Grown()
    gone = weakref.ref(thing)
    calls.clear()
    types, counts = count_types()
    assert sum(calls.values()) == 0
    assert counts[[id(t) for t in types].index(id(kind))] == len(kept)
    del thing
    assert gone() is None


def test_looks_stay_within_their_share():
    """A look of 10 ms at a share of a hundredth is followed by a second without one."""
    now = [0.0]

    def count():
        now[0] += 0.01
        return [list], [1]

    watch = TypeWatch(share=0.001, longest_s=0.1, clock=lambda: now[0], count=count, blocks=lambda: 1000)
    assert watch.look(0.0) == ()
    assert watch.look(9.9) is None
    assert watch.look(10.1) == ()


def test_where_a_look_takes_too_long_there_is_none():
    """A great heap is not looked at at all; one that turned out slow is looked at once."""
    never = TypeWatch(count=lambda: pytest.fail("it was counted"), blocks=lambda: 50_000_000)
    assert never.look(0.0) is None
    assert "takes about 4500 ms, more than 100 ms" in never.reason
    now = [0.0]

    def slow():
        now[0] += 0.5
        return [list], [1]

    once = TypeWatch(clock=lambda: now[0], count=slow, blocks=lambda: 10)
    assert once.look(0.0) == ()
    assert "takes about 500 ms" in once.reason
    assert once.look(1e9) is None
