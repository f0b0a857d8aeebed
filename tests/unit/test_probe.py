"""The probe: each metric from the first source that answers, and never a 0 for what was not read."""

import os
import subprocess
import sys
import tracemalloc
import types
from pathlib import Path

import pytest

from memlab.collectors.probe import Probe, ProcFiles, status_bytes
from memlab.errors import UnavailableError

PAGE = 4096
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


class FakeFiles:
    """Files of a machine that does not exist."""

    def __init__(self, **contents):
        self.contents = contents
        self.opened, self.closed, self.written = [], [], []

    def read(self, name):
        if name not in self.contents:
            raise FileNotFoundError(2, "No such file or directory", f"/secret/{name}")
        content = self.contents[name]
        if isinstance(content, OSError):
            raise content
        return content

    def open(self, name):
        self.read(name)
        self.opened.append(name)
        return len(self.opened) - 1

    def pread(self, descriptor, size):
        return self.read(self.opened[descriptor])[:size]

    def close(self, descriptor):
        self.closed.append(descriptor)

    def identity(self, descriptor):
        return descriptor

    def write(self, name, data):
        self.read(name)
        self.written.append((name, data))


def fake_psutil(rss=None, uss=None, pss=None, children=()):
    class Error(Exception):
        pass

    class Process:
        def memory_info(self):
            if rss is None:
                raise Error("process PID not found")
            return types.SimpleNamespace(rss=rss)

        def memory_full_info(self):
            if uss is None:
                raise Error("denied")
            return types.SimpleNamespace(uss=uss, pss=pss)

        def children(self, recursive):
            assert recursive
            return children

    return types.SimpleNamespace(Process=Process, Error=Error)


def no_psutil():
    raise ImportError("No module named 'psutil'")


def no_rusage():
    raise ImportError("No module named 'resource'")


def test_statm_is_read_in_pages():
    probe = Probe(FakeFiles(statm=b"900 123 40 1 0 300 0\n"), no_psutil, page_size=PAGE)
    reading = probe.read("rss_bytes")
    assert reading["rss_bytes"] == 123 * PAGE
    assert reading.sources == {"rss_bytes": "statm"}
    assert reading.absent == {}


def test_psutil_is_not_asked_while_proc_answers():
    asked = []
    probe = Probe(FakeFiles(statm=b"9 8 4 1 0 3 0"), lambda: asked.append(1), page_size=PAGE)
    for _ in range(3):
        assert probe.value("rss_bytes") == 8 * PAGE
    assert asked == []


def test_without_proc_psutil_answers_and_is_named():
    reading = Probe(FakeFiles(), lambda: fake_psutil(rss=77)).read("rss_bytes")
    assert (reading["rss_bytes"], reading.sources["rss_bytes"]) == (77, "psutil")


def test_without_proc_and_psutil_rss_is_absent_with_every_reason_and_the_peak_still_answers():
    reading = Probe(FakeFiles(), no_psutil, rusage=lambda: 5000).read("rss_bytes", "peak_rss_bytes")
    assert reading["rss_bytes"] is None
    assert "statm: No such file" in reading.absent["rss_bytes"]
    assert "psutil: ImportError" in reading.absent["rss_bytes"]
    assert "secret" not in reading.absent["rss_bytes"], "a reason holds no path"
    assert (reading["peak_rss_bytes"], reading.sources["peak_rss_bytes"]) == (5000, "getrusage")


def test_a_machine_that_tells_nothing_gives_none_for_each_metric_and_never_a_zero(monkeypatch):
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: 0)
    probe = Probe(FakeFiles(), no_psutil, no_rusage)
    names = ("rss_bytes", "peak_rss_bytes", "uss_bytes", "pss_bytes", "allocated_blocks", "traced_bytes")
    reading = probe.read(*names)
    assert reading.values == dict.fromkeys(names)
    assert set(reading.absent) == set(names)
    assert all(reading.absent.values())
    with pytest.raises(UnavailableError, match="does not count blocks"):
        probe.metric("allocated_blocks")


def test_the_peak_comes_from_the_kernels_mark_first():
    probe = Probe(FakeFiles(status=b"Name:\tx\nVmHWM:\t   52 kB\nVmRSS:\t 48 kB\n"), no_psutil, lambda: 1)
    assert probe.read("peak_rss_bytes")["peak_rss_bytes"] == 52 * 1024


def test_status_without_the_field_is_no_zero():
    with pytest.raises(UnavailableError, match="VmHWM"):
        status_bytes(b"Name:\tx\n", b"VmHWM")


ROLLUP = b"""55d0-7ffd ---p 00000000 00:00 0    [rollup]
Rss:                9000 kB
Pss:                5000 kB
Pss_Anon:           4000 kB
Private_Clean:       300 kB
Private_Dirty:      2000 kB
Private_Hugetlb:       0 kB
"""


def test_uss_and_pss_come_from_the_rollup():
    reading = Probe(FakeFiles(smaps_rollup=ROLLUP), no_psutil).read("uss_bytes", "pss_bytes")
    assert reading.values == {"uss_bytes": 2300 * 1024, "pss_bytes": 5000 * 1024}


def test_a_rollup_that_denies_a_living_process_passes_the_question_on():
    gone = FakeFiles(smaps_rollup=ProcessLookupError(3, "No such process"))
    reading = Probe(gone, lambda: fake_psutil(uss=11, pss=22)).read("uss_bytes", "pss_bytes")
    assert reading.values == {"uss_bytes": 11, "pss_bytes": 22}
    assert set(reading.sources.values()) == {"psutil"}


def test_costly_metrics_are_read_only_by_name():
    files = FakeFiles(statm=b"9 8 4 1 0 3 0", smaps_rollup=AssertionError("costly"))
    reading = Probe(files, no_psutil, lambda: 1, page_size=PAGE).read()
    assert set(reading.values) == {"rss_bytes", "peak_rss_bytes", "allocated_blocks", "traced_bytes"}


def test_the_family_is_the_process_and_all_descendants_that_still_live():
    psutil = fake_psutil(rss=1)
    child = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace(rss=30))

    def ended():
        raise psutil.Error("gone")

    gone = types.SimpleNamespace(memory_info=ended)
    psutil.Process.children = lambda self, recursive: [child, gone, child]
    probe = Probe(FakeFiles(statm=b"9 2 4 1 0 3 0"), lambda: psutil, page_size=PAGE)
    assert probe.read("children_rss_bytes", "family_rss_bytes").values == {
        "children_rss_bytes": 60,
        "family_rss_bytes": 60 + 2 * PAGE,
    }


def test_one_descriptor_serves_all_readings_and_is_closed_at_the_end():
    files = FakeFiles(statm=b"9 8 4 1 0 3 0")
    with Probe(files, no_psutil, page_size=PAGE) as probe:
        for _ in range(50):
            probe.read("rss_bytes")
        assert (files.opened, files.closed) == (["statm"], [])
    assert files.closed == [0]
    probe.close()
    assert files.closed == [0], "closing twice does nothing"


def test_a_source_that_fails_later_is_replaced_and_taken_again():
    files = FakeFiles(statm=b"9 8 4 1 0 3 0")
    probe = Probe(files, lambda: fake_psutil(rss=99), page_size=PAGE)
    assert probe.value("rss_bytes") == 8 * PAGE
    files.contents["statm"] = OSError(5, "Input/output error")
    assert probe.value("rss_bytes") == 99
    assert probe.read("rss_bytes").sources["rss_bytes"] == "psutil"


def test_traced_bytes_are_absent_until_something_traces():
    probe = Probe()
    assert "tracemalloc.start()" in probe.read("traced_bytes").absent["traced_bytes"]
    tracemalloc.start()
    try:
        block = bytearray(1_000_000)
        assert 1_000_000 <= probe.value("traced_bytes") < 1_100_000
    finally:
        tracemalloc.stop()
    del block


def test_the_clock_is_the_one_that_was_given():
    assert Probe(FakeFiles(), no_psutil, clock=lambda: 12.5).read("allocated_blocks").time_s == 12.5


def test_an_unknown_metric_is_a_programming_error():
    with pytest.raises(KeyError):
        Probe(FakeFiles()).read("rss")


@linux
def test_a_real_reading_agrees_with_psutil_within_a_megabyte():
    import psutil

    with Probe() as probe:
        assert abs(probe.value("rss_bytes") - psutil.Process().memory_info().rss) < 2**20


@linux
def test_a_program_that_closes_all_descriptors_loses_no_file_of_its_own(tmp_path):
    probe = Probe()
    probe.value("rss_bytes")
    (number,) = [n.name for n in Path("/proc/self/fd").iterdir() if _target(n).endswith("/statm")]
    own = tmp_path / "own"
    own.write_text("1 2")
    mine = os.open(own, os.O_RDONLY)
    os.dup2(mine, int(number))  # as if a daemon had closed everything and opened a file of its own
    try:
        assert probe.value("rss_bytes") > 2**20, "the other file is not taken for statm"
        probe.close()
        assert os.read(int(number), 3) == b"1 2", "the other file is not closed"
    finally:
        os.close(int(number))
        os.close(mine)


def _target(number):
    try:
        return str(number.readlink())
    except OSError:
        return ""


FORK = """
import mmap, os, sys
from memlab.collectors.probe import Probe
probe = Probe()
before = probe.value("rss_bytes")
child = os.fork()
if child == 0:
    block = mmap.mmap(-1, 64 << 20)
    for at in range(0, 64 << 20, 4096):
        block[at] = 1
    os._exit(0 if probe.value("rss_bytes") > before + (48 << 20) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0, "the child read its parent"
assert abs(probe.value("rss_bytes") - before) < (8 << 20)
assert "psutil" not in sys.modules
"""


@linux
def test_a_forked_child_reads_itself_and_psutil_is_never_imported():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)


@linux
def test_real_files_are_read_written_and_refused(tmp_path):
    files = ProcFiles(str(tmp_path))
    (tmp_path / "there").write_bytes(b"old")
    files.write("there", b"new")
    assert files.read("there") == b"new"
    with pytest.raises(FileNotFoundError):
        files.write("absent", b"5")
