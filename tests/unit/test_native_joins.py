"""Native snapshots are of the one model: grouped by line, joined by content, function, cell."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memlab
from memlab._base.paths import PathLabels
from memlab.analyses.moved_functions import shift_of
from memlab.collectors.memray_files import MEASURES, NativeColumns, merge_processes
from memlab.collectors.native_maker import native_snapshot
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.sites import NATIVE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memray does not run on Windows")


def columns(rows, objects=True):
    """Columns of rows ``(measure, thread, size, count, frames)``; a frame: name, line, function, native."""
    frames = list(dict.fromkeys(frame for *_, stack in rows for frame in stack))
    names = list(dict.fromkeys(frame[0] for frame in frames))
    functions = list(dict.fromkeys(frame[2] for frame in frames))
    threads = list(dict.fromkeys(row[1] for row in rows))
    return NativeColumns(
        measure=ints([MEASURES.index(row[0]) for row in rows]),
        stack=ints(range(len(rows))),
        thread=ints([threads.index(row[1]) for row in rows]),
        allocator=ints([6] * len(rows)),
        size=ints([row[2] for row in rows]),
        count=ints([row[3] for row in rows]),
        lengths=ints([len(row[4]) for row in rows]),
        frame_of=ints([frames.index(frame) for row in rows for frame in row[4]]),
        frame_name=ints([names.index(frame[0]) for frame in frames]),
        frame_function=ints([functions.index(frame[2]) for frame in frames]),
        frame_line=ints([frame[1] for frame in frames]),
        native=ints([int(frame[3]) for frame in frames]),
        names=tuple(names),
        functions=tuple(functions),
        threads=tuple(threads),
        present=MEASURES,
        objects=objects,
        native_frames=True,
        tracing_bytes=(0, 2048, 0),
        started_s=0.0,
    )


C = ("<unknown>", 0, "numpy_alloc", True)
CALL = ("/tmp/build/sub/array.c", 7, "array_new", True)


def made(lines, file="/elsewhere/app/job.py", measure="leaked"):
    rows = [
        (
            measure,
            "main",
            1000 * (i + 1),
            i + 1,
            (C, CALL, (file, line, function, False), (file, 2, "<module>", False)),
        )
        for i, (line, function) in enumerate(lines)
    ]
    return native_snapshot(columns(rows), measure, PathLabels(), sources="none")


def joined(older, newer, by):
    """Share of all bytes of both at sites that both have."""
    diff = newer.diff(older, by, unchanged=True)
    was = diff.size_bytes - diff.size_diff_bytes
    both = (was > 0) & (diff.size_bytes > 0)
    return (was[both].sum() + diff.size_bytes[both].sum()) / (was.sum() + diff.size_bytes.sum())


# -- the model


def test_the_line_that_allocates_is_the_python_line():
    """By line, file, function and package a native stack counts at its first Python frame."""
    snapshot = made([(10, "load"), (20, "clean")])
    assert [str(s.site.frame) for s in snapshot.statistics("line").sites] == [
        "job.py:20 in clean",
        "job.py:10 in load",
    ]
    assert [s.site.frame.function for s in snapshot.statistics("function").sites] == ["clean", "load"]
    assert snapshot.statistics("file").sites[0].size_bytes == 3000
    inclusive = {str(s.site.frame): s.size_bytes for s in snapshot.statistics("line", True).sites}
    assert inclusive["<native> numpy_alloc"] == 3000
    assert inclusive["<native> array.c:7 in array_new"] == 3000


def test_a_stack_without_python_counts_at_its_c_function():
    """A thread that never ran Python has no Python line: its most recent C function stands for it."""
    snapshot = native_snapshot(columns([("peak", "pool", 10, 1, (C, CALL))]), "peak", PathLabels())
    assert str(snapshot.statistics("line").sites[0].site.frame) == "<native> numpy_alloc"
    assert snapshot.statistics("package").sites[0].site.frame.file == "native code"


def test_a_compilers_folders_are_left_out():
    """The place where a library was compiled is no label; relative names keep theirs."""
    rows = [("peak", "main", 1, 1, (("../src/./core/x.c", 3, "f", True), ("/home/who/y.c", 4, "g", True)))]
    snapshot = native_snapshot(columns(rows), "peak", PathLabels())
    assert set(snapshot.files) == {"<native> src/core/x.c", "<native> y.c"}


def test_each_measure_is_a_snapshot_of_its_own():
    """Rows of another measure are not in it; what tracing took is told."""
    rows = [("peak", "main", 5, 1, (C,)), ("leaked", "main", 7, 2, (C,)), ("leaked", "wk", 7, 2, (C,))]
    leaked = native_snapshot(columns(rows), "leaked", PathLabels())
    assert (leaked.total_bytes, leaked.total_blocks, leaked.threads) == (14, 4, ("main", "wk"))
    assert "left out: 2.00 KiB that tracing itself took" in leaked.notes
    assert native_snapshot(columns(rows), "temporary", PathLabels()).total_bytes == 0


def test_processes_add_up():
    """The columns of a child join the parent's, its threads named after it."""
    one = columns([("peak", "main", 5, 1, (C, CALL)), ("peak", "wk", 1, 1, (CALL,))])
    other = columns([("peak", "main", 7, 2, (CALL,))])
    both = merge_processes([one, other])
    snapshot = native_snapshot(both, "peak", PathLabels())
    assert snapshot.total_bytes == 13
    assert set(snapshot.threads) == {"main", "wk", "child 1: main"}
    assert "the sum of 2 processes, each process at a high-water mark of its own" in snapshot.notes
    assert both.tracing_bytes == (0, 4096, 0)


def test_figures_that_are_no_like_quantities_are_not_compared():
    """Neither across engines nor across measures, and objects are another way of counting."""
    leaked, peak = made([(1, "f")]), made([(1, "f")], measure="peak")
    with pytest.raises(UsageError, match="one holds peak blocks, the other leaked"):
        peak.diff(leaked)
    with pytest.raises(UsageError, match="one holds leaked blocks"):
        leaked.flame(peak)
    other = dataclasses.replace(leaked, engine="tracemalloc")
    with pytest.raises(UsageError, match="recorded by memray with objects, the other by tracemalloc"):
        leaked.diff(other)
    with pytest.raises(UsageError):
        leaked.to_tracemalloc()


# -- the second level: by file and function


def test_lines_that_moved_are_matched_by_function():
    """Where no source was recorded, the lines of a function move together."""
    older = made([(10, "load"), (14, "load"), (30, "clean")])
    newer = made([(20, "load"), (24, "load"), (40, "clean")])
    assert joined(older, newer, "traceback") == 1
    diff = newer.diff(older)
    assert len(diff) == 0
    assert any("3 of its lines moved and are matched by their function" in note for note in diff.notes)
    assert newer.flame(older).before is not None


def test_functions_that_did_not_move_are_left_alone():
    """Another line of a function that stayed is another line."""
    older = made([(10, "load"), (14, "load"), (30, "clean")])
    newer = made([(10, "load"), (15, "load"), (30, "clean")])
    diff = newer.diff(older)
    assert sorted(s.site.frame.line for s in diff.sites) == [14, 15]


def test_files_of_one_version_are_not_matched_by_function():
    """Where both have the file in the same size, a line is its number."""
    older, newer = made([(10, "load")]), made([(20, "load")])
    older, newer = (dataclasses.replace(s, file_bytes=ints([500] * len(s.files))) for s in (older, newer))
    assert joined(older, newer, "line") == 0


@given(st.lists(st.integers(1, 10_000), min_size=1, unique=True), st.integers(-100, 100))
def test_a_shift_of_all_lines_is_found(lines, shift):
    """Whatever a function's lines are, a shift of all of them is found."""
    old = sorted(lines)
    assert shift_of(old, [line + shift for line in old]) == shift


# -- real captures

PROGRAM = """
import sys
{inserted}
def rows(n):
    return [bytearray(n) for _ in range(40)]

class Table:
    def fill(self, n):
        self.cells = rows(n)
        self.index = bytearray(7 * n)
        return self

def main():
    table = Table().fill(30_000)
    return table, rows(20_000)
"""

CAPTURE = """
import sys
sys.path.insert(0, {folder!r})
import {module} as program
from memlab.lab.native_trace import NativeTrace
with NativeTrace(sys.argv[1], path=sys.argv[1] + ".bin") as trace:
    kept = program.main()
trace.leaked.save(sys.argv[1] + ".memlab")
"""


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """Three captures of one program, each in a process of its own: twice the same, then ten lines longer."""
    folder = tmp_path_factory.mktemp("program")
    for name, inserted in (("a", ""), ("b", ""), ("c", "LIMITS = [\n" + "    1,\n" * 8 + "]\n")):
        (folder / "program.py").write_text(PROGRAM.format(inserted=inserted))
        (folder / "capture.py").write_text(CAPTURE.format(folder=str(folder), module="program"))
        subprocess.run([sys.executable, "capture.py", name], cwd=folder, check=True, timeout=60)
    return folder


@pytest.mark.parametrize("by", ["traceback", "line", "function", "file", "package"])
def test_the_same_code_captured_twice_joins(captures, by):
    """At least 99 % of the bytes of two captures of the same code are at sites that both have."""
    older, newer = (memlab.load(captures / f"{name}.memlab") for name in "ab")
    assert older.total_bytes > 2_000_000
    assert joined(older, newer, by) >= 0.99


@pytest.mark.parametrize("by", ["traceback", "line", "function"])
def test_ten_lines_inserted_above_join(captures, by):
    """With ten lines inserted above, at least 95 % of the bytes still join: by what the lines say."""
    older, newer = (memlab.load(captures / f"{name}.memlab") for name in "ac")
    assert joined(older, newer, by) >= 0.95


@pytest.mark.parametrize("by", ["traceback", "line", "function"])
def test_imported_captures_join_by_function(captures, by):
    """The files of memray have no source: the same join holds by file and function."""
    older, same, longer = (memlab.import_memray(captures / f"{name}.bin", "leaked") for name in "abc")
    assert joined(older, same, by) >= 0.99
    assert joined(older, longer, by) >= 0.95


def test_a_difference_of_native_captures_is_one_small_page(captures, tmp_path):
    """The differential flame page loads nothing and is far below a MiB."""
    from memlab.faces.loaded import loaded_by

    older, newer = (memlab.load(captures / f"{name}.memlab") for name in "ac")
    page = tmp_path / "diff.html"
    newer.diff(older, unchanged=True).flame().to_html(page)
    text = page.read_text(encoding="utf-8")
    assert loaded_by(text) == []
    assert len(text) < 1 << 20
    assert "PyByteArray_Resize" in text or NATIVE.strip().strip("<>") in text


def test_cells_have_their_execution_count(tmp_path):
    """A cell that %%memtrace --native traced is Cell In[n], in two sessions alike; the picture is shown."""
    script = tmp_path / "session.py"
    script.write_text(
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\nshell.run_line_magic('load_ext', 'memlab')\n"
        "run = lambda text: shell.run_cell(text, store_history=True).raise_error()\n"
        "run('kept = []\\ndef grab(n):\\n    return bytearray(n)')\n"
        "for _ in range(int(sys.argv[2])): run('1')\n"
        "run(f'%%memtrace --native --save {sys.argv[1]}\\nkept.append(grab(3_000_000))')\n"
    )
    for name, cells in (("a", 0), ("b", 0)):
        done = subprocess.run(
            [sys.executable, "session.py", f"{name}.memlab", str(cells)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "native memory: peak 2.8" in done.stdout
    older, newer = (memlab.load(tmp_path / f"{name}.leaked.memlab") for name in "ab")
    frames = [str(f) for f in newer.statistics("traceback").sites[0].site.frames if NATIVE not in f.file]
    assert frames == ["Cell In[1]:3 in grab", "Cell In[2]:2"]
    assert joined(older, newer, "traceback") >= 0.99
    assert np.isin(
        [i for i, name in enumerate(newer.files) if name.startswith("Cell")], newer.own_files
    ).all()


def test_plain_ipythons_cells_are_named():
    """A cell of plain IPython in a file of memray's own is named by its execution count."""
    snapshot = made([(1, "f")], file="<ipython-input-12-0123456789ab>")
    assert snapshot.statistics("file").sites[0].site.frame.file == "Cell In[12]"
