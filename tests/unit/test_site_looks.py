"""Allocation sites over a recording: looks in the stream, the record they make, and who asks for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from samples import site_timeline

import memlab
from memlab.analyses.site_history import line_history
from memlab.collectors.sampled_engine import SampledEngine
from memlab.collectors.sampler_script import MAGIC, json_frame
from memlab.collectors.site_looks import SiteLooks
from memlab.errors import UnavailableError, UsageError
from memlab.store.stream import read_stream
from memlab.store.stream_sites import SiteFrames

if os.environ.get("MEMLAB_REQUIRE_NATIVE") == "1":
    from memlab._native import sites
else:
    sites = pytest.importorskip("memlab._native.sites", reason="the sampling extension was not built")

KIB = 1024


class Kept:
    """A sink that keeps its frames."""

    def __init__(self):
        self.data = bytearray(MAGIC + json_frame({"header": 1}))

    def put(self, data):
        self.data += data


def planted(number):
    return [bytes(1_000) for _ in range(number)]


def looks_of(sample_bytes=KIB, clock=lambda: 0.0):
    """Return looks with an engine, their sink, and a clock of whole seconds for the stream."""
    moments = iter(range(0, 10**9, 1_000_000))
    sink = Kept()
    engine = SampledEngine(sample_bytes, 25, {}, seed=11)
    return SiteLooks(engine, sink, lambda: next(moments), 7, {}, clock=clock), sink, engine


def grown_by(timeline, function):
    return sum(
        site.size_diff_bytes
        for site in timeline.growth().sites
        if site.site.frame.function.split(".")[0] == function
    )


def test_a_line_that_grows_is_named_with_its_bytes():
    """What is planted between two looks is the growth, less the error of the sample."""
    looks, sink, _ = looks_of()
    looks.begin()
    kept = planted(2_000)
    looks.look()
    kept += planted(3_000)
    looks.end()
    timeline = read_stream(bytes(sink.data)).sites
    assert len(timeline) == 3
    assert grown_by(timeline, "planted") == pytest.approx(len(kept) * 1_033, rel=0.1)
    first = timeline.growth(since=1).sites[0]
    assert first.site.frame.function.startswith("planted")
    assert first.size_diff_bytes == pytest.approx(3_000 * 1_033, rel=0.12)
    assert not sites.state()["hooked"]


def test_a_look_is_what_a_snapshot_is():
    """The last look in the stream has the bytes and bounds that a snapshot of that moment has."""
    looks, sink, engine = looks_of()
    looks.begin()
    kept = planted(1_500)
    looks.end()
    snapshot = engine.snapshot("", "live", "none").statistics("line")
    look = read_stream(bytes(sink.data)).sites.snapshot().statistics("line")

    def figures(table):
        return {
            (s.site.frame.line, s.size_bytes, s.blocks, int(table.low_bytes[at]), int(table.high_bytes[at]))
            for at, s in enumerate(table.sites)
            if s.site.frame.function.startswith("planted")
        }

    assert figures(look) == figures(snapshot)
    assert len(kept) == 1_500


def test_only_changes_are_written():
    """A look at which nothing happened takes a hundred bytes."""
    looks, sink, _ = looks_of(64 * KIB)
    looks.begin()
    kept = planted(5_000)
    looks.look()
    before = len(sink.data)
    looks.look()
    looks.look()
    assert len(sink.data) - before < 3_000
    looks.end()
    assert len(kept) == 5_000


def test_looks_are_close_at_first_and_a_minute_apart_later():
    """1, 2, 4 ... seconds, then each minute."""
    now = [0.0]
    looks, _, _ = looks_of(64 * KIB, clock=lambda: now[0])
    looks.begin()
    taken = []
    looked = looks.look
    looks.look = lambda: (taken.append(now[0]), looked())
    for second in range(400):
        now[0] = float(second)
        looks.look_if_due()
    looks.end()
    assert taken[:7] == [1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0]
    assert set(np.diff(taken[5:-1])) == {60.0}


def test_the_stream_holds_no_path_of_this_machine():
    """Files are labels already while the recording runs."""
    looks, sink, _ = looks_of()
    looks.begin()
    kept = planted(500)
    looks.end()
    assert str(Path.home()).encode() not in sink.data
    assert str(Path(__file__).parent).encode() not in sink.data
    assert b"memlab/collectors" not in sink.data.replace(b"memlab/collectors/site_looks", b"") or len(kept)


def test_a_recording_has_looks_and_shows_them(tmp_path):
    """``record(sites=...)``: text, page, table and plot name the line; the file has it all."""
    kept = []
    path = tmp_path / "a.memlab"
    with memlab.record(sites="4 KiB", path=path) as recording:
        kept += planted(3_000)
    capture = recording.capture
    assert grown_by(capture.sites, "planted") == pytest.approx(3_000 * 1_033, rel=0.15)
    assert memlab.load(path).sites == capture.sites
    assert "planted" in str(capture)
    assert "planted" in capture.to_html()
    assert "planted" in str(capture.sites)
    frame = capture.sites.to_frame()
    assert frame[frame.function.str.startswith("planted")].size_bytes.max() > 2_000_000
    assert len(capture.sites.plot().lines) > 0
    assert not sites.state()["hooked"]


def test_without_sites_there_are_none():
    """A recording that was not asked has no hooks and no looks."""
    with memlab.record() as recording:
        assert not sites.state()["hooked"]
    assert recording.capture.sites is None


def test_a_sample_that_makes_no_sense_is_refused():
    """Before anything starts."""
    for wrong in (0, "7 parsecs", -3):
        with pytest.raises(UsageError):
            memlab.record(sites=wrong)


def test_a_recording_beside_a_sampled_trace_is_refused_whole():
    """The hooks are taken: one sentence, and nothing of the recording is left."""
    with (
        memlab.trace(sample="1 MiB"),
        pytest.raises(UnavailableError, match="another sampled trace"),
        memlab.record(sites=True),
    ):
        pass
    assert not sites.state()["hooked"]


PROGRAM = """
import sys, time
kept = []
def leak(n):
    kept.append([bytes(1000) for _ in range(n)])
for _ in range(int(sys.argv[1])):
    leak(200)
    time.sleep(0.01)
"""


def test_memlab_run_names_the_line(tmp_path):
    """``memlab run --sample``: the program's own stacks, without memlab's command line above them."""
    (tmp_path / "program.py").write_text(PROGRAM)
    child = subprocess.run(
        [sys.executable, "-m", "memlab", "run", "--sample", "8 KiB", "-o", "a.memlab", "program.py", "20"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert child.stdout == ""
    capture = memlab.load(tmp_path / "a.memlab")
    assert grown_by(capture.sites, "leak") == pytest.approx(20 * 200 * 1_033, rel=0.3)
    snapshot = capture.sites.snapshot()
    used = {snapshot.files[int(snapshot.frame_file[f])] for f in np.unique(snapshot.frame_of)}
    assert "program.py" in used
    assert not [name for name in used if name.startswith("memlab")]
    assert capture.sites.own_files


def recorded(folder, *options):
    """Run a small program under ``memlab run`` and return its capture, or what was said against it."""
    (folder / "program.py").write_text(PROGRAM)
    child = subprocess.run(
        [sys.executable, "-m", "memlab", "run", *options, "-o", "a.memlab", "program.py", "1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if child.returncode:
        return child.stderr
    return memlab.load(folder / "a.memlab")


def test_memlab_run_samples_unless_told_otherwise(tmp_path):
    """The default is a block each 512 KiB; ``--no-sites`` leaves the allocators alone."""
    assert recorded(tmp_path).sites.sample_bytes == 512 * KIB
    assert recorded(tmp_path, "--no-sites").sites is None
    assert "--no-sites contradicts" in recorded(tmp_path, "--no-sites", "--sample", "1 MiB")
    assert "12 parsecs" in recorded(tmp_path, "--sample", "12 parsecs")


def test_where_allocations_cannot_be_sampled_a_note_says_why(monkeypatch):
    """Asked for where it can be: the recording goes on without; asked for by name it is refused."""
    with memlab.trace(sample="1 MiB"), memlab.record(sites=None) as recording:
        pass
    assert recording.capture.sites is None
    assert any("not sampled" in note and "another sampled" in note for note in recording.capture.notes)
    monkeypatch.setattr("memlab.collectors.sampled_engine._native", lambda: None)
    with memlab.record(sites=None) as recording:
        pass
    assert any("was not built" in note for note in recording.capture.notes)
    with pytest.raises(UnavailableError, match="not built"):
        memlab.record(sites=True)


def test_what_was_seen_before_a_kill_is_there(tmp_path):
    """After SIGKILL the looks until then can be loaded."""
    (tmp_path / "program.py").write_text(PROGRAM)
    child = subprocess.Popen(
        [sys.executable, "-m", "memlab", "run", "--sample", "4 KiB", "-o", "a.memlab", "program.py", "3000"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(memlab.CaptureError):  # not there yet
                sites = memlab.load(tmp_path / "a.memlab").sites
                if sites is not None and grown_by(sites, "leak") > 100_000:
                    break
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    capture = memlab.load(tmp_path / "a.memlab")
    assert not capture.complete
    assert grown_by(capture.sites, "leak") > 100_000


def test_a_fork_writes_no_look(tmp_path):
    """The child of a program that is recorded leaves the parent's stream alone."""
    code = f"""
    import os, memlab
    with memlab.record(sites="4 KiB", path={str(tmp_path / "a.memlab")!r}) as r:
        kept = [bytes(1000) for _ in range(1000)]
        child = os.fork()
        if child == 0:
            more = [bytes(1000) for _ in range(5000)]
            os._exit(0)
        os.waitpid(child, 0)
    print(r.capture.sites.snapshot().total_bytes < 3_000_000, r.capture.complete)
    """
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert child.stdout.split() == ["True", "True"]


# -- the record and its reader


def test_a_history_of_lines_agrees_with_each_look():
    """The curves of a plot are the figures of the looks."""
    timeline = site_timeline()
    frames, history = line_history(timeline)
    for look in range(len(timeline)):
        table = timeline.snapshot(look).statistics("line")
        held = {(s.site.frame.file, s.site.frame.line): s.size_bytes for s in table.sites}
        for frame, values in zip(frames, history, strict=True):
            assert held.get((frame.file, frame.line), 0) == pytest.approx(values[look], abs=1)


def test_a_look_that_there_is_not():
    """One sentence."""
    with pytest.raises(UsageError, match="there are 3 of them"):
        site_timeline().snapshot(3)
    with pytest.raises(UsageError, match="no number 'x'"):
        site_timeline().snapshot("x")


@pytest.mark.parametrize(
    "document",
    [
        {"sites": 1, "sample_bytes": 0, "depth": 25},
        {"sites": 1, "sample_bytes": 512, "depth": 10_000},
        {"sites": 1},
        {"site_frames": [["a.py", -1, "f", 0]]},
        {"site_frames": [["a.py", 1, "f"]]},
        {"site_frames": [[1, 1, "f", 0]]},
        {"site_frames": 7},
        {"site_rows": [[0, 0, [5]]]},
        {"site_rows": [[0, -1, []]]},
        {"site_rows": [[0, 0, [0] * 500]]},
        {"site_threads": {"x": "y"}},
        {"site_threads": {"0": 1}},
        {"site_look": -1, "samples": 0, "notes": []},
        {"site_look": 1, "samples": "many", "notes": []},
        {"site_look": 1, "samples": 1},
    ],
)
def test_documents_of_another_form_are_passed_over(document):
    """Any document gives a value or is counted as broken; the looks that were good stay."""
    good = [
        {"sites": 1, "sample_bytes": 512, "depth": 25},
        {"site_frames": [["a.py", 1, "f", 1]]},
        {"site_rows": [[0, 0, [0]]]},
        {"site_look": 5, "samples": 3, "notes": []},
    ]
    content = MAGIC + b"".join(json_frame(one) for one in [{"header": 1}, *good, document])
    capture = read_stream(content)
    assert len(capture.sites) >= 1
    assert any("broken pieces" in note for note in capture.notes)


def test_changes_outside_of_their_tables_are_left_out():
    """Rows that no table has, negative sizes, times without a look."""
    frames = SiteFrames()
    for one in (
        {"sites": 1, "sample_bytes": 512, "depth": 25},
        {"site_frames": [["a.py", 1, "f", 1]]},
        {"site_rows": [[0, 0, [0]]]},
        {"site_look": 5, "samples": 3, "notes": []},
    ):
        assert frames.take(one)
    table = np.array([[5, 5, 5, 6, 5], [0, 1, 0, 0, -1], [100, 100, -1, 100, 100], [2, 2, 2, 2, 2]], np.int64)
    timeline = frames.timeline([table])
    assert (timeline.row.tolist(), timeline.size.tolist()) == ([0], [100])
