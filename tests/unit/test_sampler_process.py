"""The sampler process, from outside and, where only that shows it, its parts."""

import json
import os
import subprocess
import sys
import time
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlab.collectors import sampler_script as script
from memlab.collectors.inside import Inside
from memlab.collectors.sampler_process import SCRIPT, SamplerProcess
from memlab.collectors.sampler_script import MAGIC, Series, Sink, columns_frame, json_frame, subtracted
from memlab.collectors.streams import Notices, Stream
from memlab.errors import UnavailableError, UsageError
from memlab.lab.attachment import attach
from memlab.store.capture_file import load
from memlab.store.stream import ending_of, read_stream

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"),  # noqa: PTH110
    reason="needs /proc",
)


def test_it_brings_nothing_of_memlab_and_no_third_party_code():
    brought = "[m for m in sys.modules if 'memlab' in m or 'numpy' in m]"
    code = f"import runpy, sys; runpy.run_path({SCRIPT!r}); print({brought})"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_columns_come_back_as_they_were():
    values = [array("q", [0, 5, 5, 1 << 40]), array("q", [-7, 3, 3, 9])]
    declared = json_frame(
        {"series": 3, "role": "inside", "names": ["traced_bytes"], "sources": {}, "scale": 2}
    )
    rows = columns_frame(3, values)
    large = columns_frame(3, [array("q", range(2_000_000, 2_010_000)), array("q", [8]) * 10_000])
    found = read_stream(MAGIC + declared + rows + large, max_samples=1 << 20)
    assert len(large) < 3000
    line = found.inside
    assert len(line) == 10_004
    assert (np.diff(line.time_s) >= 0).all()
    assert line.metrics["traced_bytes"][:3].tolist() == [-14, 6, 6]
    assert line.time_s[-1] == (1 << 40) * 1e-6


def pairs_of(numbers):
    return st.lists(st.tuples(numbers, numbers))


@given(pairs_of(st.integers(0, 2**63 - 1)) | pairs_of(st.integers(-(2**62), 2**62)))
def test_one_subtraction_of_great_numbers_is_one_of_each_pair(pairs):
    """Also where digits would borrow from each other, and where a negative number stands among them."""
    these, those = (array("q", [pair[at] for pair in pairs]) for at in (0, 1))
    assert subtracted(these, those).tolist() == [this - that for this, that in pairs]


def test_equal_readings_become_two_rows_however_many_they_are():
    series = Series(0, 1)
    for moment in range(1000):
        series.add(moment, (5,))
    series.add(1000, (6,))
    series.add(1001, (5,))
    declared = json_frame({"series": 0, "role": "timeline", "names": ["rss_bytes"], "sources": {}})
    line = read_stream(MAGIC + declared + series.flushed()).timeline
    assert (line.time_s * 1e6).round().tolist() == [0, 999, 1000, 1001]
    assert line.metrics["rss_bytes"].tolist() == [5, 5, 6, 5]
    assert series.taken == 1002
    assert series.flushed() == b""


def test_a_sink_that_takes_no_more_keeps_what_comes_within_a_bound():
    took = []

    def write(_descriptor, data):
        if len(took) == 2:
            raise OSError(28, "No space left on device")
        took.append(data)
        return len(data)

    sink = Sink(-1, write)
    for number in range(5):
        sink.put(bytes([number]) * 10)
    assert (len(took), len(sink.kept), sink.failure) == (2, 3, "No space left on device")
    for _ in range(20):
        sink.put(bytes(1 << 20))
    assert sink.lost > 0
    short = Sink(-1, lambda _descriptor, data: len(data) - 1)
    short.put(b"12345")
    assert (short.failure, short.kept) == ("the disk is full", [b"12345"])


def test_notices_are_cut_out_of_any_pieces_of_a_pipe():
    told = json_frame({"rise": 1}) + columns_frame(0, [array("q", [1])]) + json_frame({"rise": 2})
    notices = Notices()
    found = [pair for at in range(0, len(told), 3) for pair in notices.feed(told[at : at + 3])]
    assert [document for document, _ in found] == [{"rise": 1}, {}, {"rise": 2}]
    assert b"".join(whole for _, whole in found) == told
    assert list(notices.feed(b"x" * 100)) == []


def test_figures_of_a_process_are_read_as_the_kernel_writes_them(tmp_path):
    assert script.began_at(os.getpid()) > 0
    assert script.rollup(os.getpid())["pss_bytes"] > 1_000_000
    assert script.high_water(os.getpid()) > 1_000_000
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in script.children_of(os.getpid())
        began = script.began_at(child.pid)
        assert script.ending_of(child.pid, began) == (None, 0)
        child.stdin.close()
        deadline = time.monotonic() + 10
        while script.ending_of(child.pid, began) == (None, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert script.ending_of(child.pid, began) == (1, 0)  # EOFError
        assert script.ending_of(child.pid, began + 1) == (None, 0)
    pressure = tmp_path / "memory.pressure"
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=17\nfull avg10=0.00 total=3\n")
    assert script.reading_of(str(pressure), "psi") == 17


def test_it_samples_at_the_asked_rate_and_ends_with_a_word():
    stream = Stream(None)
    os.write(stream.descriptor, MAGIC)
    sampler = SamplerProcess(
        stream.descriptor, time.monotonic_ns(), interval_s=0.01, children=False, listen=False
    )
    pid = sampler.pid
    time.sleep(1.0)
    assert sampler.is_alive
    assert sampler.stop() == b""
    assert not sampler.is_alive
    sampler.cancel()
    ending = ending_of(stream.content())
    found = read_stream(stream.content())
    stream.close()
    lasted = float(found.timeline.time_s[-1] - found.timeline.time_s[0])
    assert ending["taken"] >= 0.5 * lasted / 0.01
    assert not ending["gone"]
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110


def test_what_it_cannot_be_told_it_refuses(monkeypatch):
    with pytest.raises(UnavailableError, match="no /proc with this process"):
        SamplerProcess(1, 0, pid=2**22 + 1)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(UnavailableError, match="does not know its own program"):
        SamplerProcess(1, 0)


def test_a_process_that_was_replaced_meanwhile_is_not_taken_for_the_first():
    orders = {
        "pid": os.getpid(),
        "began": 1,
        "interval_us": 1000,
        "idle": False,
        "origin_ns": 0,
        "descriptor": 1,
    }
    orders |= {"children": False, "slow": False, "figures": [], "tell": False}
    run = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT],
        input=json.dumps(orders).encode() + b"\n",
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    assert b'"sampler":"failed"' in run.stdout
    empty = subprocess.run([sys.executable, "-I", "-S", SCRIPT], input=b"", capture_output=True, check=False)
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, b"", b"")


def test_what_it_tells_and_nobody_reads_costs_nothing():
    stream = Stream(None)
    sampler = SamplerProcess(stream.descriptor, 0, interval_s=0.001, children=False)
    for _ in range(20):
        block = bytearray(8_000_000)
        time.sleep(0.02)
        del block
    assert sampler.is_alive
    sampler.stop()
    stream.close()


def test_stacks_name_the_thread_that_works(tmp_path):
    """Of two threads the one that used the processor is looked at, not the one that waits."""
    code = """
import threading, time, memlab
def work():
    blocks = []
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        blocks.append([0] * 20_000)
        if len(blocks) > 400:
            blocks.clear()
with memlab.record(0.005) as recording:
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()
hot = recording.capture.hot
print(hot[0].thread, hot[0].frame.function)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["worker", "work"]


def test_the_thread_inside_survives_what_breaks_under_it():
    sink = Sink(-1)
    inside = Inside(sink, time.monotonic_ns(), None, read_rss=lambda: 1 / 0)
    inside.begin()
    time.sleep(0.15)
    inside.end()
    inside.end()
    assert inside.failure is None
    assert sink.failure
    assert sink.kept


# -- attach


def test_attach_watches_another_process_to_its_end(tmp_path):
    code = "import time; time.sleep(0.7); b = bytearray(60_000_000); time.sleep(0.5); raise SystemExit(5)"
    path = tmp_path / "x.memlab"
    with subprocess.Popen([sys.executable, "-c", code]) as target:
        capture = attach(target.pid, path=path)
    assert capture.complete
    assert capture.timeline.high_water_mark() > 60_000_000
    # The interpreter itself may still have been starting when the watching began.
    assert 54_000_000 < capture.peak.increment_bytes < 90_000_000
    assert capture.outcome.exit_code in (5, None)
    assert capture.pauses is None
    assert "from outside" in capture.notes[-1]
    assert load(path) == capture


def test_attach_ends_after_its_seconds_and_leaves_the_process_alone():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as target:
        before = script.high_water(target.pid)
        capture = attach(target.pid, seconds=0.4)
        assert target.poll() is None
        assert script.high_water(target.pid) >= before
        target.communicate(b"x\n")
    assert target.returncode == 0
    assert "still running" in capture.outcome.reason


def test_ctrl_c_ends_attach_with_a_capture():
    def interrupted(_seconds):
        time.sleep(0.3)
        raise KeyboardInterrupt

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as target:
        capture = attach(target.pid, wait=interrupted)
        target.communicate(b"x\n")
    assert capture.complete


def test_attach_refuses_what_is_not_there_in_one_sentence():
    for wrong in (0, -1, "7", True):
        with pytest.raises(UsageError, match="a process has a number from 1 on"):
            attach(wrong)
    with pytest.raises(UsageError, match="there is no process 4194305"):
        attach(2**22 + 1)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        while script.ending_of(ended.pid, script.began_at(ended.pid)) == (None, 0):
            time.sleep(0.01)
        with pytest.raises(UsageError, match="has no memory: it has ended"):
            attach(ended.pid)
