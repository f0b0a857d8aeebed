"""Native memory by memray: figures of known allocations, C frames, threads, children, and every refusal."""

from __future__ import annotations

import asyncio
import cProfile
import os
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

import numpy as np
import pytest

import memlab
from memlab.collectors import memray_child, memray_engine, memray_files
from memlab.collectors.memray_files import check_installed, read_memray
from memlab.errors import CaptureError, MissingExtraError, UnavailableError, UsageError
from memlab.lab.native_trace import NativeTrace
from memlab.records.sites import NATIVE

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="memray does not run on Windows"),
    pytest.mark.usefixtures("unwinder"),
]

MB = 1_000_000


def grab(size):
    return bytearray(size)


def files_of(snapshot):
    return {snapshot.files[i] for i in snapshot.frame_file.tolist()}


def share(snapshot, function):
    """Bytes on stacks that go through a function."""
    names = snapshot.statistics("function", cumulative=True)
    return sum(one.size_bytes for one in names.sites if one.site.frame.function == function)


@pytest.fixture(scope="module")
def traced(unwinder):
    """One trace for many tests: a block that stays, one that is freed, many short ones, a thread."""

    def worker():
        kept.append(grab(3 * MB))

    kept = []
    with NativeTrace("first") as trace:
        kept.append(grab(5 * MB))
        gone = grab(9 * MB)
        del gone
        for _ in range(40):
            grab(2000)
        thread = threading.Thread(target=worker, name="the worker")
        thread.start()
        thread.join()
    return trace, kept


# -- figures


def test_what_stays_is_leaked(traced):
    """Blocks that live at the end are leaked, each with its size; what was freed is not."""
    leaked = traced[0].leaked
    assert leaked.measure == "leaked"
    assert 8 * MB <= share(leaked, "grab") <= 8 * MB + 1000


def test_the_peak_is_the_high_water_mark(traced):
    """The peak is what lived at the moment of the most: the block that was freed later is in it."""
    peak = traced[0].peak
    assert peak.measure == "peak"
    assert 14 * MB <= peak.total_bytes <= 14 * MB + 300_000


def test_temporary_allocations_are_counted(traced):
    """Blocks that are freed before the next one of their thread count each, with their bytes."""
    temporary = traced[0].temporary
    table = temporary.statistics("function")
    found = [one for one in table.sites if one.site.frame.function == "grab"]
    assert sum(one.blocks for one in found) in (40, 41)  # the large one too, where nothing came between


def test_threads_are_told_by_name(traced):
    """What each thread allocated can be told; the main thread is called so."""
    table = traced[0].leaked.statistics("thread")
    held = {one.site.frame.file: one.size_bytes for one in table.sites}
    assert held["the worker"] >= 3 * MB
    assert held["main"] >= 5 * MB


def test_stacks_have_c_frames_below_python_ones(traced):
    """A stack ends in C functions; the line that allocates is the Python line all the same."""
    leaked = traced[0].leaked
    site = leaked.statistics("traceback").sites[0].site
    assert site.frames[0].file.startswith(NATIVE)
    line = leaked.statistics("line").sites[0].site.frame
    assert line.function == "grab"
    assert not line.file.startswith(NATIVE)
    assert str(leaked).count(NATIVE) == 0


def test_frames_outside_of_the_block_are_left_out(traced):
    """The outermost frame is the one with the block; nothing of memlab or memray is in a stack."""
    for measure in ("peak", "leaked", "temporary"):
        snapshot = traced[0].snapshot(measure)
        assert not any(name.startswith(("memlab/", "memray/")) for name in files_of(snapshot))
        assert not any("pytest" in name for name in files_of(snapshot))
    oldest = traced[0].leaked.statistics("traceback").sites[0].site.frames[-1]
    assert oldest.function == "traced"


def test_functions_have_qualified_names():
    """A memray knows a method by its name alone; the source tells its class."""

    class Holder:
        def take(self):
            return grab(4 * MB)

    with NativeTrace() as trace:
        kept = Holder().take()
    assert len(kept) == 4 * MB
    names = {frame.function for frame in trace.leaked.statistics("traceback").sites[0].site.frames}
    assert "test_functions_have_qualified_names.Holder.take" in names


def test_objects_are_counted_one_by_one_on_request():
    """objects=True sees each small object; without it they are inside arenas, and a note says so."""
    with NativeTrace(objects=True) as each:
        kept = [{number} for number in range(3000)]
    with NativeTrace() as arenas:
        more = [{number} for number in range(3000)]
    assert len(kept) == len(more)
    assert each.leaked.total_blocks >= 3000 > arenas.leaked.total_blocks
    assert any("arenas" in note for note in arenas.leaked.notes)
    assert not any("arenas" in note for note in each.leaked.notes)
    with pytest.raises(UsageError, match="by memray, the other by memray with objects"):
        arenas.leaked.diff(each.leaked)


def test_numpy_and_frames_off():
    """frames=False has no C frame, and says so; the sizes are the same."""
    with NativeTrace(frames=False) as trace:
        kept = np.ones(500_000)
    assert kept.nbytes <= trace.leaked.total_bytes <= kept.nbytes + 100_000
    assert not any(name.startswith(NATIVE) for name in files_of(trace.leaked))
    assert "no C frames: they were not recorded" in trace.leaked.notes


def test_forked_children_are_added():
    """What forked children take is added, also of one that leaves by os._exit; threads name the child."""
    with NativeTrace() as trace:
        for leave in (os._exit, sys.exit):
            pid = os.fork()
            if not pid:
                try:
                    kept = grab(4 * MB)
                    assert kept
                    leave(0)
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
        mine = grab(2 * MB)
    assert mine
    assert 10 * MB <= trace.leaked.total_bytes <= 10 * MB + 400_000
    assert {"child 1: main", "child 2: main"} <= set(trace.leaked.threads)
    assert "the sum of 3 processes" in trace.leaked.notes


def test_children_left_out_on_request():
    """children=False follows nobody."""
    with NativeTrace(children=False) as trace:
        pid = os.fork()
        if not pid:
            grab(4 * MB)
            os._exit(0)
        os.waitpid(pid, 0)
    assert trace.peak.total_bytes < 4 * MB


def test_a_child_that_left_no_file_is_noted():
    """With temporary=False memray writes at the end; a child without one is told, not passed over."""
    with NativeTrace(temporary=False) as trace:
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    assert any("1 forked children are not in it" in note for note in trace.leaked.notes)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    """The temporary file goes when it was read, when the trace is dropped, and when it cannot begin."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with NativeTrace() as trace:
        grab(1000)
    assert list(tmp_path.iterdir())
    assert trace.peak.engine == "memray"
    assert not list(tmp_path.iterdir())
    with NativeTrace() as trace:
        grab(1000)
    del trace
    assert not list(tmp_path.iterdir())
    sys.setprofile(lambda *_: None)
    try:
        with pytest.raises(UnavailableError):
            NativeTrace().start()
    finally:
        sys.setprofile(None)
    assert not list(tmp_path.iterdir())


def test_an_exception_passes_and_what_was_traced_stays():
    """The block's exception is the same object, and the trace can be read."""
    mine = ValueError("mine")
    trace = NativeTrace()
    with pytest.raises(ValueError, match="mine") as caught, trace:
        kept = grab(2 * MB)
        raise mine
    assert caught.value is mine
    assert len(kept) == 2 * MB
    assert trace.leaked.total_bytes >= 2 * MB


def test_nothing_of_the_machine_is_in_a_snapshot(traced, tmp_path):
    """No absolute path, command line or user's folder is saved."""
    place = tmp_path / "native.memlab"
    traced[0].peak.save(place)
    content = place.read_bytes()
    for word in (str(Path.home()), str(Path.cwd()), sys.argv[0], sys.prefix):
        assert word.encode() not in content
    assert memlab.load(place).total_bytes == traced[0].peak.total_bytes


# -- faces of the trace


def test_trace_takes_memray_for_native_memory():
    """The function memlab.trace(native=True) is memray's; it is read when it has ended."""
    with memlab.trace(native=True) as trace:
        kept = grab(3 * MB)
        with pytest.raises(UnavailableError, match="read when the trace has ended; end it first"):
            trace.snapshot()
    assert len(kept) == 3 * MB
    assert trace.choice.engine == "memray"
    assert trace.result.measure == "leaked"
    assert trace.result.total_bytes >= 3 * MB
    assert trace.snapshot("named", "peak").label == "named"


def test_a_decorated_function_is_traced_at_each_call():
    """Each call has a trace; a call inside a call goes untraced, with its reason."""

    @NativeTrace("calls")
    def outer(size, inner=None):
        if inner:
            inner(size)
            assert "one a process" in outer.reason
        return grab(size)

    assert outer.trace is None
    kept = outer(3 * MB, outer)
    assert len(kept) == 3 * MB
    assert outer.trace.leaked.total_bytes >= 3 * MB
    assert outer.reason == ""
    oldest = outer.trace.leaked.statistics("traceback").sites[0].site.frames[-1]
    assert oldest.function.endswith("outer")
    assert outer.__name__ == "outer"


def test_a_decorated_coroutine_function_is_traced():
    """A coroutine function stays one, and its call is traced to its end."""

    @NativeTrace()
    async def work():
        await asyncio.sleep(0)
        return grab(2 * MB)

    kept = asyncio.run(work())
    assert work.trace.leaked.total_bytes >= len(kept)


def test_generators_are_refused():
    """A generator function's call runs none of its code."""

    def numbers():
        yield 1

    with pytest.raises(UsageError, match="runs none of its code"):
        NativeTrace()(numbers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sources": "some"}, "sources must be own, all or none"),
        ({"depth": 0}, "depth must be a number of frames from 1"),
    ],
)
def test_wrong_arguments(arguments, said):
    """A wrong argument is one sentence."""
    with pytest.raises(UsageError, match=said):
        NativeTrace(**arguments)


def test_wrong_use(traced):
    """Reading too early, beginning twice and asking for what is not there are one sentence each."""
    with pytest.raises(UsageError, match="when it has ended"):
        NativeTrace().snapshot()
    with pytest.raises(UsageError, match="a trace begins once; make a new one"):
        traced[0].start()
    with pytest.raises(UsageError, match="peak, leaked, temporary, not 'live'"):
        traced[0].snapshot("live")
    with pytest.raises(UsageError, match="has begun before; make a new one"):
        traced[0](grab)


def test_depth_cuts_stacks():
    """A depth keeps the most recent frames."""
    with NativeTrace(depth=2) as trace:
        kept = grab(2 * MB)
    assert kept
    assert trace.leaked.depth == 2
    assert int(np.diff(trace.leaked.starts).max()) <= 2


# -- restrictions: each is one sentence that names the remedy


def test_not_installed():
    """Without memray the sentence is the command that installs it."""
    with pytest.raises(MissingExtraError, match=r"tracing needs memray: pip install 'memlab\[native\]'"):
        check_installed("tracing", find=lambda _: None)


def test_other_systems(monkeypatch):
    """On Windows, and on another Python, the sentence names what works there."""
    monkeypatch.setattr(sys, "implementation", types.SimpleNamespace(name="pypy"))
    with pytest.raises(UnavailableError, match=r"CPython on Linux and macOS only; memlab.tracing\(\)"):
        check_installed("tracing")


def test_a_broken_installation(monkeypatch):
    """A memray that is there and cannot be imported says how it is mended."""
    monkeypatch.setattr(memray_engine.importlib, "import_module", lambda _: 1 / 0)
    with pytest.raises(UnavailableError, match="cannot be imported; install it again"):
        NativeTrace().start()


def test_one_tracker_a_process_ours():
    """A second trace is refused, and the first goes on."""
    with NativeTrace() as first:
        with pytest.raises(UnavailableError, match="one a process: end that one first"):
            NativeTrace().start()
        kept = grab(2 * MB)
    assert kept
    assert first.leaked.total_bytes >= 2 * MB


def test_one_tracker_a_process_theirs(tmp_path):
    """Under a Tracker of the user's own a trace is refused, and the Tracker goes on."""
    import memray

    with memray.Tracker(tmp_path / "theirs.bin"):
        with pytest.raises(
            UnavailableError, match=r"end that one, or open its file with memlab.import_memray"
        ):
            NativeTrace().start()
        kept = grab(2 * MB)
    assert kept
    assert memlab.import_memray(tmp_path / "theirs.bin").total_bytes >= 2 * MB


def test_a_profile_function_is_not_displaced():
    """Where a profile function is set the trace is refused and the function stays; of threads too."""

    def profiling(*_):
        return None

    sys.setprofile(profiling)
    try:
        with pytest.raises(UnavailableError, match=r"a profile function is set .* switch it off"):
            NativeTrace().start()
        assert sys.getprofile() is profiling
    finally:
        sys.setprofile(None)
    threading.setprofile(profiling)
    try:
        with pytest.raises(UnavailableError, match="a profile function is set"):
            NativeTrace().start()
    finally:
        threading.setprofile(None)


def test_cprofile():
    """Here cProfile is a profile function before Python 3.12, and refused; later it runs beside."""
    if sys.version_info < (3, 12):
        with cProfile.Profile(), pytest.raises(UnavailableError, match="cProfile"):
            NativeTrace().start()
        return
    with cProfile.Profile(), NativeTrace() as trace:
        kept = grab(2 * MB)
    assert kept
    assert trace.leaked.statistics("traceback").sites[0].site.frames[-2].function == "grab"


def test_a_profile_function_that_comes_later_is_told():
    """Who sets a profile function inside takes memray's place; the snapshot says so."""
    with NativeTrace() as trace:
        sys.setprofile(lambda *_: None)
        grab(1000)
    assert sys.getprofile() is None
    assert any("took memray's place" in note for note in trace.peak.notes)


def test_tracemalloc_beside_it_is_told():
    """With tracemalloc it may run too; the snapshot says what that means."""
    with memlab.tracing(1), NativeTrace() as trace:
        kept = grab(2 * MB)
    assert kept
    assert any(note.startswith("tracemalloc ran too") for note in trace.leaked.notes)


def test_an_existing_file_is_not_overwritten(tmp_path):
    """path= keeps memray's own file, and never takes the place of one."""
    place = tmp_path / "kept.bin"
    with NativeTrace(path=place) as trace:
        kept = grab(2 * MB)
    assert kept
    assert trace.leaked.total_bytes >= 2 * MB
    assert memlab.import_memray(place, "leaked").total_bytes >= 2 * MB
    with pytest.raises(UsageError, match=r"kept.bin is there already: name another file"):
        NativeTrace(path=place).start()
    with pytest.raises(UnavailableError, match="cannot write its capture"):
        NativeTrace(path=tmp_path / "no such folder" / "kept.bin").start()


def test_a_forked_child_does_not_read():
    """The child's own copy of the trace says who reads it."""
    reading, writing = os.pipe()
    with NativeTrace() as trace:
        pid = os.fork()
        if not pid:
            try:
                trace.stop()
                trace.snapshot()
            except UnavailableError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    os.close(writing)
    assert b"read in the process that began it" in os.read(reading, 1000)
    os.close(reading)


# -- memray's own files


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Files of memray's own: all allocations, aggregated, and one whose head is not packed."""
    import memray

    folder = tmp_path_factory.mktemp("theirs")
    for name, form, packed in (("all", 0, True), ("aggregated", 1, True), ("plain", 0, False)):
        destination = memray.FileDestination(folder / f"{name}.bin", compress_on_exit=packed)
        with memray.Tracker(destination=destination, file_format=memray.FileFormat(form)):
            kept = grab(3 * MB)
            gone = grab(5 * MB)
            del gone
        assert kept
    return folder


def test_files_of_memrays_are_opened(theirs):
    """Both formats, each measure; labels instead of paths, and no source of what may have been edited."""
    for name in ("all", "aggregated", "plain"):
        peak = memlab.import_memray(theirs / f"{name}.bin")
        assert 8 * MB <= peak.total_bytes <= 8 * MB + 200_000
        assert peak.label == name
        assert peak.statistics("function").sites[0].site.frame.function == "grab"
        assert not peak.sources
        assert memlab.import_memray(theirs / f"{name}.bin", "leaked").total_bytes < 4 * MB


def test_the_format_without_temporary_allocations(theirs):
    """An aggregated file has no temporary allocations: one sentence with the remedy."""
    with pytest.raises(
        CaptureError, match=r"aggregated.bin has no temporary allocations: it is an aggregated"
    ):
        memlab.import_memray(theirs / "aggregated.bin", "temporary")
    with NativeTrace(temporary=False) as trace:
        kept = grab(2 * MB)
    assert kept
    assert trace.leaked.total_bytes >= 2 * MB
    with pytest.raises(UsageError, match="made with temporary=False"):
        _ = trace.temporary


def test_another_version_of_the_format(theirs, tmp_path):
    """A file of another version names what to install."""
    data = bytearray((theirs / "plain.bin").read_bytes())
    data[data.index(b"memray\0") + 7] += 1
    (tmp_path / "newer.bin").write_bytes(data)
    with pytest.raises(CaptureError, match=r"newer.bin was written by a memray .* install the version"):
        memlab.import_memray(tmp_path / "newer.bin")


def test_files_that_are_none(theirs, tmp_path):
    """No file, a folder, another kind of file, too large a one: one sentence each, with the file's name."""
    (tmp_path / "text.bin").write_text("no capture")
    for place, said in (
        (tmp_path / "gone.bin", "gone.bin is not there: check the path"),
        (tmp_path, "is no file: name one that memray has written"),
        (tmp_path / "text.bin", "text.bin is no capture of memray's"),
    ):
        with pytest.raises(CaptureError, match=said):
            memlab.import_memray(place)
    with pytest.raises(CaptureError, match="pass file_bytes= if you mean it"):
        memlab.import_memray(theirs / "all.bin", file_bytes=10)
    with pytest.raises(CaptureError, match=r"memory_bytes|takes more than|it is damaged"):
        memlab.import_memray(theirs / "all.bin", memory_bytes=1024)
    with pytest.raises(UsageError, match="seconds must be a whole number above 0"):
        memlab.import_memray(theirs / "all.bin", seconds=0)
    with pytest.raises(UsageError, match="measure is peak, leaked, temporary"):
        memlab.import_memray(theirs / "all.bin", "live")
    with pytest.raises(UsageError, match="sources is none, own or all"):
        memlab.import_memray(theirs / "all.bin", sources="some")


def test_load_names_the_way_in(theirs):
    """The function memlab.load does not guess: it says who opens a file of memray's."""
    for name in ("all", "plain"):
        with pytest.raises(CaptureError, match=rf"{name}.bin is a capture of memray's: memlab.import_memray"):
            memlab.load(theirs / f"{name}.bin")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (memray_child.ABSENT, "cannot be imported; install it again"),
        (memray_child.LARGE, "of stacks: record less at once"),
        (memray_child.MEMORY, "takes more than 4.00 GiB or 300 s to read"),
        (-24, "takes more than 4.00 GiB or 300 s to read"),
        (-11, "is damaged, or was cut short: memray cannot read it"),
        (1, "is damaged, or was cut short: memray cannot read it"),
    ],
)
def test_whatever_ends_the_reader_is_one_sentence(theirs, code, said):
    """Each end of the process that reads has its sentence, a crash too."""
    with pytest.raises(CaptureError, match=f"^all.bin .*{said}"):
        read_memray(theirs / "all.bin", ask=lambda *_: (code, b""))


@pytest.mark.parametrize("said", [b"", b"{}\n", b"[1]\n", b'{"names": [1]}\n', b"\xff\n", b"{" * 5000])
def test_an_answer_that_is_none_is_refused(theirs, said):
    """What the reader's process says is foreign data too."""
    with pytest.raises(CaptureError, match=r"all.bin is damaged"):
        read_memray(theirs / "all.bin", ask=lambda *_: (0, said))


def test_a_reader_that_says_too_much_is_ended(theirs, monkeypatch, tmp_path):
    """The answer is bounded while it comes, and the time that it may take."""
    loud = tmp_path / "loud.py"
    loud.write_text("import sys\nwhile True: sys.stdout.write('x' * 100000)")
    monkeypatch.setattr(memray_files, "_CHILD", loud)
    monkeypatch.setattr(memray_files, "_MOST_TEXT", 1000)
    limits = memray_files.ReadingLimits(answer_bytes=MB)
    with pytest.raises(CaptureError, match="takes more than"):
        read_memray(theirs / "all.bin", limits=limits)


def test_the_import_command(theirs, tmp_path):
    """The command memlab import takes a file of memray's, one measure of it."""
    from memlab.faces.cli import main

    out = tmp_path / "out.memlab"
    assert main(["import", "--measure", "leaked", str(theirs / "all.bin"), str(out)]) == 0
    assert memlab.load(out).measure == "leaked"
    (tmp_path / "text.bin").write_text("no capture")
    assert main(["import", "--measure", "peak", str(tmp_path / "text.bin"), str(out)]) == 2


def test_memlab_run_native(tmp_path):
    """With --native the program stays as it is; three snapshots and a page lie beside the recording."""
    (tmp_path / "program.py").write_text(
        "import sys\nprint('hello', sys.argv[1:])\nkept = bytearray(6_000_000)\nsys.exit(5)\n"
    )
    command = [sys.executable, "-m", "memlab", "run", "--native", "-o", "r.memlab", "--report", "r.html"]
    done = subprocess.run(
        [*command, "program.py", "one"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (5, "hello ['one']\n")
    assert "native memory: peak 5.7" in done.stderr
    peak = memlab.load(tmp_path / "r.peak.memlab")
    site = peak.statistics("traceback").sites[0].site
    assert str(site.frames[-1]) == "program.py:3"
    assert memlab.load(tmp_path / "r.leaked.memlab").measure == "leaked"
    assert memlab.load(tmp_path / "r.temporary.memlab").measure == "temporary"
    assert (tmp_path / "r.native.html").stat().st_size < 1 << 20


def test_memlab_run_native_refuses_before_the_program(tmp_path):
    """Where memray cannot run, the program does not start, and no file is left."""
    (tmp_path / "program.py").write_text("print('ran')\n")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'memray' else find(name, *rest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "memlab", "run", "--native", "-o", "r.memlab", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{hidden}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "tracing natively needs memray: pip install 'memlab[native]'" in done.stderr
    assert not (tmp_path / "r.memlab").exists()


def test_files_with_object_lifetimes_are_read(tmp_path):
    """What memray's object tracing (Python 3.13.3 and later) is not read; the allocations beside it are."""
    import memray

    if sys.version_info < (3, 13, 3):
        with pytest.raises(RuntimeError, match=r"3\.13\.3"):
            memray.Tracker(tmp_path / "x.bin", track_object_lifetimes=True)
        return
    with memray.Tracker(tmp_path / "x.bin", track_object_lifetimes=True):
        kept = grab(2 * MB)
    assert kept
    assert memlab.import_memray(tmp_path / "x.bin").total_bytes >= 2 * MB


def test_the_child_knows_interpreters_frames():
    """Frames of the interpreter's machinery are told by their file or symbol."""
    assert memray_child._is_machinery(("whatever", "Python/ceval.c", 1))
    assert memray_child._is_machinery(("_PyObject_VectorcallTstate", "<unknown>", 0))
    assert memray_child._is_interpreter(("x", "./Include/internal/pycore_object.h", 1))
    assert not memray_child._is_interpreter(("PyArray_NewFromDescr", "<unknown>", 0))
