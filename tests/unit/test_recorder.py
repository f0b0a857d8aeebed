"""The recorder: live while it runs, a value when it has ended."""

import mmap
import os
import subprocess
import sys
import time

import pytest

from memlab.collectors.high_water import Region
from memlab.collectors.sampler import Sampler
from memlab.errors import UsageError
from memlab.lab.recorder import Recorder, record
from memlab.records.capture import Capture

MIB = 1024 * 1024
SOURCE = Region().start().stop().source


def spike(size, seconds=0.0):
    with mmap.mmap(-1, size) as block:
        for at in range(0, size, mmap.PAGESIZE):
            block[at] = 1
        time.sleep(seconds)


def test_a_recording_has_samples_marks_the_exact_peak_and_versions():
    with record(interval_s=0.005) as recording:
        assert recording.is_alive
        recording.mark("before")
        spike(50 * MIB, 0.03)
        recording.mark("after")
        time.sleep(0.02)
    capture = recording.capture
    assert type(capture) is Capture
    assert capture.complete
    assert capture.notes == () or SOURCE == "sampled"
    assert [m.label for m in capture.marks] == ["before", "after"]
    assert 0 <= capture.marks[0].time_s < capture.marks[1].time_s - 0.03 < capture.timeline.time_s[-1]
    assert capture.peak.source == SOURCE
    assert capture.peak.increment_bytes == pytest.approx(50 * MIB, rel=0.05)
    assert capture.timeline.high_water_mark("rss_bytes") - capture.peak.start_bytes > 40 * MIB
    assert "nothing is traced" in capture.timeline.absent["traced_bytes"]
    assert set(capture.environment) == {"memlab", "python", "platform"}
    assert not recording.is_alive


def test_a_spike_between_two_samples_is_in_the_peak():
    with record(interval_s=30) as recording:
        spike(40 * MIB)
    if SOURCE == "vmhwm":
        assert recording.capture.peak.increment_bytes == pytest.approx(40 * MIB, rel=0.05)
        assert recording.capture.timeline.high_water_mark() < recording.capture.peak.value_bytes


def test_exact_false_says_that_the_peak_is_sampled():
    with record(exact=False) as recording:
        spike(20 * MIB, 0.02)
    assert recording.capture.peak.source == "sampled"
    assert "may be too low: exact=False" in recording.capture.notes[0]


def test_start_and_stop_do_what_the_block_does():
    recording = record(60)
    assert recording.start() is recording
    capture = recording.stop()
    assert recording.stop() is capture is recording.capture


def test_it_is_used_once_and_in_order():
    recording = record(60)
    with pytest.raises(UsageError, match="not started"):
        recording.stop()
    with pytest.raises(UsageError, match="does not run"):
        recording.mark("early")
    with recording:
        with pytest.raises(UsageError, match="has ended"):
            recording.capture
        with pytest.raises(UsageError, match="must be text, not int"):
            recording.mark(3)
    with pytest.raises(UsageError, match="does not run"):
        recording.mark("late")
    with pytest.raises(UsageError, match="started before"):
        recording.start()


def test_the_exception_passes_and_the_capture_is_there():
    error = RuntimeError("mine")
    recording = record(60)
    with pytest.raises(RuntimeError) as caught, recording:
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert len(recording.capture.timeline) == 2


def test_a_sampler_that_failed_makes_the_capture_incomplete_and_says_so():
    class Failing(Sampler):
        failure = OSError("gone")

    recording = Recorder(60, sampler=Failing)
    with recording:
        pass
    assert not recording.capture.complete
    assert recording.capture.notes[-1] == "sampling ended early: OSError"


def test_a_mark_is_one_line_of_bounded_length():
    with record(60) as recording:
        recording.mark("two\nlines" + "x" * 1000)
    label = recording.capture.marks[0].label
    assert "\n" not in label
    assert len(label) <= 210


def test_recordings_nest_and_each_has_its_own_peak():
    with record(60) as outer:
        spike(40 * MIB)
        with record(60) as inner:
            spike(20 * MIB)
    if SOURCE == "vmhwm":
        increments = [r.capture.peak.increment_bytes / MIB for r in (outer, inner)]
        assert increments == pytest.approx([40, 20], abs=1.5)


FORK = """
import os, warnings
warnings.simplefilter("ignore")
from memlab.lab.recorder import record
with record(0.001) as recording:
    if os.fork() == 0:
        capture = recording.stop()
        ok = not capture.complete and capture.peak is None and "parent" in capture.notes[-1]
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert recording.capture.complete
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_an_incomplete_capture_and_the_parent_its_own():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)
