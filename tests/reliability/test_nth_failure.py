"""The Nth call to the disk fails, and the Nth allocation: one named error, the old file, nothing left.

Disk: in one process, the Nth of all calls by which a writer reaches the file system (open, write, sync,
rename, chmod, and SQLite's own as one) raises, for N = 1, 2, 3 …
until a whole run has none left, with each of four errors. Memory: in a child, CPython's ``set_nomemory``
fails the Nth allocation of a call, for N = 1, 2, 3 …, until there is no Nth.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import memlab
from memlab.store import capture_file
from tests.unit import samples

ROOT = Path(__file__).resolve().parents[2]
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


# -- the disk


class Disk:
    """Counts the calls to the file system that could fail, and fails the Nth."""

    def __init__(self, monkeypatch, fail_at=0, code=errno.EIO):
        self.calls, self.fail_at, self.code = 0, fail_at, code
        for owner, name in (
            (os, "open"),
            (os, "write"),
            (os, "fsync"),
            (os, "replace"),
            (os, "rename"),
            (os, "link"),
            (os, "chmod"),
            (io, "open"),
            (capture_file, "_write"),
        ):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real):
        def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self.fail_at:
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **kwargs)

        return call


def book(folder, number):
    memlab.LabBook(folder / "x").append(samples.benchmark_table(), label=str(number))


def baseline(folder, number):
    memlab.Baseline(folder / "x").update(samples.benchmark_table(), replace=number > 0)


WRITERS = {
    "capture": lambda folder, number: (samples.memit_result() if number else samples.leak_report()).save(
        folder / "x"
    ),
    "page": lambda folder, number: (samples.memit_result() if number else samples.leak_report()).to_html(
        folder / "x"
    ),
    "picture": lambda folder, number: samples.flame_tree().to_svg(folder / "x"),
    "table": lambda folder, number: samples.snapshot().export(folder / "x", "csv"),
    "benchmarks": lambda folder, number: memlab.MemoryBenchmarks.save(
        samples.benchmark_table().results[: 3 + number], folder / "x"
    ),
    "baseline": baseline,
}


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", WRITERS)
def test_whichever_call_to_the_disk_fails_the_old_file_stands(name, tmp_path):
    """For each call that a writer makes and each error: one sentence, the old file or the new, no other."""
    write = WRITERS[name]
    points = 0
    for code in ERRORS:
        at = 0
        while True:
            at += 1
            folder = tmp_path / f"{errno.errorcode[code]} {at}"
            folder.mkdir()
            write(folder, 0)
            old = contents(folder)
            with pytest.MonkeyPatch.context() as patch:
                disk = Disk(patch, at, code)
                said = None
                try:
                    write(folder, 1)
                except memlab.MemlabError as error:
                    said = str(error)
            if disk.calls < at:
                assert said is None
                break
            points += 1
            if said is not None:
                assert os.strerror(code) in said or "cannot" in said, (at, said)
                assert "\n" not in said
                assert contents(folder) == old, (at, said)
            else:  # what failed did not matter to the file, which is the new one
                assert set(contents(folder)) == set(old), at
        assert at > 2, "the harness saw the calls"
    assert points >= 4


FULL = """
import json, os, sys
from pathlib import Path
from tests.reliability.test_nth_failure import WRITERS, book, contents
import memlab
told = {}
for name, write in (WRITERS | {"book": book}).items():
    for room in (0, 4096, 12_288, 40_960):
        folder = Path("/mnt", f"{name} {room}")
        folder.mkdir()
        write(folder, 0)
        old = contents(folder)
        filler = Path("/mnt/filler")
        free = os.statvfs("/mnt").f_bavail * os.statvfs("/mnt").f_frsize
        filler.write_bytes(bytes(max(0, free - room)))
        try:
            write(folder, 1)
        except memlab.MemlabError as error:
            said = str(error)
        else:
            said = ""
        filler.unlink()
        after = contents(folder)
        same = after == old or (name == "book" and len(memlab.LabBook(folder / "x").history().runs) == 1)
        told[f"{name} {room}"] = [said, same, sorted(after) == sorted(old)]
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
print(json.dumps(told))
"""


def test_on_a_disk_that_is_really_full_the_old_file_stands():
    """A file system of 1 MiB, in a mount namespace of its own, with 0 to 40 KiB left, and each writer."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    shell = 'mount -t tmpfs -o size=1m none /mnt && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", sys.executable, "-c", FULL],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/unit")))},
        check=False,
    )
    if "not permitted" in done.stderr or "denied" in done.stderr.lower():
        pytest.skip("no mount namespace may be made here")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    failed = {name: said for name, (said, _, _) in told.items() if said}
    assert {name.split()[0] for name in failed} >= {*WRITERS, "book"}, told
    for name, (said, same, tidy) in told.items():
        assert tidy, name
        if said:
            assert same, (name, said)
            assert "\n" not in said
            assert "full" in said or "space" in said, (name, said)


# -- memory


CHILD = """
import contextlib, faulthandler, gc, json, os, sys, tempfile, threading, tracemalloc, warnings
faulthandler.enable()
warnings.simplefilter("ignore")
import _testcapi
from pathlib import Path
from tests.kit.callables import Calls
name, every, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
folder = Path(tempfile.mkdtemp())


def state():
    return (tracemalloc.is_tracing(), gc.isenabled(), gc.get_threshold(), len(gc.callbacks),
            gc.get_freeze_count() > 0, threading.active_count(), sys.gettrace(), sys.getprofile(),
            len(os.listdir("/proc/self/fd")))


with contextlib.ExitStack() as stack:
    call = Calls(folder, stack)[name]
    for _ in range(3):
        call()
    gc.collect()
    gc.freeze()  # else each collection below takes as long as a capture
    before = state()
    became, clean, at = {}, 0, 0
    while clean < 2 and at < most:
        at += every
        raised = None
        probes = range(at)
        _testcapi.set_nomemory(at - 1, at)
        try:
            call()
            for _ in probes:
                bytes(600)
            what = "returned"
        except BaseException as error:
            what = type(error).__name__
            traceback = error.__traceback__
            # Whose probe it was: then the call has fewer allocations.
            what = "none" if traceback.tb_next is None and traceback.tb_lineno == PROBE else what
            del traceback, error
        finally:
            _testcapi.remove_mem_hooks()
        clean = clean + 1 if what == "none" else 0
        if what != "none":
            became[what] = became.get(what, 0) + 1
        gc.collect()
        after = state()
        if after != before:
            print(json.dumps({"at": at, "what": what, "before": repr(before), "after": repr(after)}))
            sys.exit(3)
print(json.dumps({"points": at // every, "became": became}))
"""
CHILD = CHILD.replace("PROBE", str(CHILD[: CHILD.index("bytes(600)")].count("\n") + 1))

# Left out is what the interpreter itself or numpy does not survive; docs/reliability.md says so. CPython 3.11
# crashes in ``sys._current_frames`` and ``f_back`` where a frame object cannot be allocated (``why``), ends
# with a fatal error where tracemalloc, while it traces, cannot note a block that moved (``snapshot``), waits
# for ever in ``Thread.start`` where the new thread has no memory (``GCOptimizer.start``), and keeps the pipes
# of a process that could not be started (``import_tracemalloc``). numpy 2 crashes in an assignment by index
# (``HeapGraph.census``).
CALLS = (
    "region", "memit", "heap", "load", "GCMonitor.start", "MemoryMonitor.read", "MemoryAlertSystem.tick",
    "LeakReport.save", "LeakReport.__str__", "LeakReport.to_html", "Snapshot.diff", "HeapGraph.dominators",
    "LRUCache.put", "AdaptiveCache.put", "ObjectPool.acquire", "Baseline.update", "LabBook.append",
    "LineProfiler", "memory_usage", "hit_curve", "where", "MemoryLeakDetector.check_leaks", "heap_window",
)  # fmt: skip
GATE = ("region", "heap", "load", "LeakReport.save")
ALLOWED = {
    "returned", "MemoryError", "MemlabError", "CaptureError", "UsageError", "UnavailableError", "BudgetError",
    "StepError", "KindError",
    # Those of the import machinery, of ctypes, of threads and of numpy, each for want of memory.
    "SystemError", "RuntimeError", "ArgumentError", "TypeError",
}  # fmt: skip


def fail_each_allocation(name, every, most, timeout):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, name, str(every), str(most)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "agg"},
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{name}: exit {done.returncode}\n{done.stdout[-600:]}{done.stderr[-2500:]}"
    return json.loads(done.stdout.splitlines()[-1])


needs_hook = pytest.mark.skipif(
    not hasattr(pytest.importorskip("_testcapi", reason="this build has no _testcapi"), "set_nomemory"),
    reason="this build has no set_nomemory",
)


@needs_hook
@pytest.mark.parametrize("name", GATE)
def test_whichever_allocation_fails_the_process_lives_and_nothing_is_left(name):
    """Some dozens of points: a result, MemoryError or an error of memlab's; the interpreter is as before."""
    found = fail_each_allocation(name, 17, 17 * 30, 100)
    assert set(found["became"]) <= ALLOWED, found
    assert found["points"] > 2


@needs_hook
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CALLS)
def test_whichever_allocation_fails_at_length(name):
    """Every third of the first 1,800 points, of each entry point."""
    found = fail_each_allocation(name, 3, 1800, 3500)
    print(name, found)
    assert set(found["became"]) <= ALLOWED, found
