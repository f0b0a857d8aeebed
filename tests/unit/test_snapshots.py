"""Snapshots at scale: equal to the standard library's, by every site there is, filtered, there and back."""

import dataclasses
import os
import pickle
import random
import subprocess
import sys
import textwrap
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diff import make

import memlab
from memlab import Snapshot, SnapshotFilter, UsageError
from memlab._base.grouping import group_keys, pack_keys, sums
from memlab._base.packages import package_of
from memlab._base.source import enclosing_function
from memlab._base.source_lines import source_lines, source_text
from memlab.records.columns import ints

LONG = bool(os.environ.get("MEMLAB_LONG"))
PROGRAMS = 1000 if LONG else 60
KEY = {"line": "lineno", "file": "filename", "traceback": "traceback"}


# -- parity with the standard library


def generated_program(rng):
    """Blocks as tracemalloc has them, of a random program: few files, recursion, ties, equal tracebacks."""
    depth = rng.choice([1, 2, 3, 5, 10, 25, 50])
    files = [f"/srv/app/{name}.py" for name in rng.sample("abcdefgh", rng.randint(1, 5))]
    files += rng.sample(["/usr/lib/z.py", "<string>", "relative.py", "/srv/app/é.py"], rng.randint(0, 3))
    lines = [(rng.choice(files), rng.randint(0, 6)) for _ in range(rng.randint(1, 12))]
    stacks = []
    for _ in range(rng.randint(1, 25)):
        whole = [rng.choice(lines) for _ in range(rng.randint(1, depth + 5))]
        if rng.random() < 0.4:  # recursion
            whole += [whole[-1]] * rng.randint(1, depth)
        stacks.append((tuple(whole[:depth]), len(whole)))

    def blocks(count):
        found = []
        for _ in range(count):
            frames, total = rng.choice(stacks)
            domain = rng.choice([0, 0, 0, 389047])
            found.append((domain, rng.choice([8, 16, 64, rng.randint(1, 5000)]), frames, total))
        return found

    older = blocks(rng.randint(0, 80))
    newer = rng.sample(older, len(older) // 2) + blocks(rng.randint(0, 60))
    return tracemalloc.Snapshot(older, depth), tracemalloc.Snapshot(newer, depth)


def theirs_key(traceback, by):
    return tuple((f.filename, 0 if by == "file" else f.lineno) for f in reversed(traceback))


def ours_key(site, names):
    return tuple((names[f.file], f.line) for f in site.frames)


def assert_statistics_are_equal(theirs, ours):
    names = dict(zip(ours.files, ours.raw_files, strict=True))
    for by, key_type in KEY.items():
        for cumulative in (False, "stdlib") if by != "traceback" else (False,):
            wanted = [
                (s.size, s.count, theirs_key(s.traceback, by))
                for s in theirs.statistics(key_type, cumulative=bool(cumulative))
            ]
            found = [
                (s.size_bytes, s.blocks, ours_key(s.site, names))
                for s in ours.statistics(by, cumulative).sites
            ]
            assert found == wanted, (by, cumulative)


def assert_diffs_are_equal(newer, older, new, old):
    names = dict(zip(new.files + old.files, new.raw_files + old.raw_files, strict=True))
    for by, key_type in KEY.items():
        for cumulative in (False, "stdlib") if by != "traceback" else (False,):
            wanted = [
                (s.size, s.size_diff, s.count, s.count_diff, theirs_key(s.traceback, by))
                for s in newer.compare_to(older, key_type, cumulative=bool(cumulative))
            ]
            found = [
                (s.size_bytes, s.size_diff_bytes, s.blocks, s.blocks_diff, ours_key(s.site, names))
                for s in new.diff(old, by, cumulative=cumulative, unchanged=True).sites
            ]
            assert found == wanted, (by, cumulative)


def random_filters(rng):
    pattern = rng.choice(["*a.py", "*.py", "*[b-d].py", "<string>", "*z*", "*nothing*"])
    inclusive, frames = rng.random() < 0.5, rng.random() < 0.5
    theirs = [tracemalloc.Filter(inclusive, pattern, all_frames=frames)]
    ours = [SnapshotFilter(**{"include" if inclusive else "exclude": pattern}, all_frames=frames)]
    if rng.random() < 0.3:
        theirs.append(tracemalloc.DomainFilter(inclusive=True, domain=389047))
        ours.append(SnapshotFilter(domains=389047))
    return theirs, ours


@pytest.mark.parametrize("seed", range(10))
def test_sizes_counts_and_order_are_the_standard_librarys_in_generated_programs(seed):
    """By line, file and traceback, cumulative, compared and filtered; the blocks come back as they were."""
    rng = random.Random(seed)
    for _ in range(PROGRAMS // 10):
        older, newer = generated_program(rng)
        old, new = Snapshot.from_tracemalloc(older), Snapshot.from_tracemalloc(newer)
        assert_statistics_are_equal(newer, new)
        assert_diffs_are_equal(newer, older, new, old)
        back = new.to_tracemalloc()
        assert Counter(back.traces._traces) == Counter(newer.traces._traces)
        assert back.traceback_limit == newer.traceback_limit
        theirs, ours = random_filters(rng)
        part = newer
        for one in theirs:  # one by one: theirs are alternatives when given together, ours must all hold
            part = part.filter_traces([one])
        assert_statistics_are_equal(part, new.filtered(*ours))


def test_parity_holds_for_a_real_program_and_a_snapshot_of_ours_with_labels(tmp_path, monkeypatch):
    """Labels instead of file names change no sum and no order, not even among equal sites."""
    monkeypatch.chdir(tmp_path)
    tracemalloc.start(10)
    try:
        import json.tool  # noqa: F401

        kept = [[bytes(n % 50)] for n in range(2000)]
        theirs = tracemalloc.take_snapshot()
        ours = memlab.snapshot()
    finally:
        tracemalloc.stop()
    again = Snapshot.from_tracemalloc(theirs)
    assert_statistics_are_equal(theirs, again)
    totals = again.statistics("file")
    of_this_file = next(s for s in totals.sites if s.site.frame.file.endswith("test_snapshots.py"))
    of_ours = next(
        s for s in ours.statistics("file").sites if s.site.frame.file.endswith("test_snapshots.py")
    )
    assert of_ours.blocks >= 4000
    assert of_this_file.blocks >= 4000
    del kept


def test_a_loaded_snapshot_has_the_same_tables_in_the_same_order(tmp_path):
    older, newer = generated_program(random.Random(77))
    new = Snapshot.from_tracemalloc(newer)
    new.save(tmp_path / "new.memlab")
    loaded = memlab.load(tmp_path / "new.memlab")
    assert loaded == new
    assert loaded.raw_files == ()
    for by in ("line", "file", "traceback", "module", "package"):
        assert loaded.statistics(by) == new.statistics(by)
    assert str(loaded.diff(Snapshot.from_tracemalloc(older))).splitlines()[0].startswith("Growth")
    assert Counter(t[1] for t in loaded.to_tracemalloc().traces._traces) == Counter(
        t[1] for t in newer.traces._traces
    )


def test_single_sizes_that_were_not_kept_come_back_even():
    """The sums are right; which block had which size is not known, and the docstring says so."""
    snapshot = dataclasses.replace(make([((("a.py", 1),), 0, 10)]), blocks=ints([3]))
    assert [t[1] for t in snapshot.to_tracemalloc().traces._traces] == [4, 3, 3]


def test_another_engines_snapshot_is_not_called_tracemallocs():
    with pytest.raises(UsageError, match="memray recorded it"):
        make([((("a.py", 1),), 0, 10)], engine="memray").to_tracemalloc()


@pytest.mark.parametrize(
    "traces",
    [
        [1],
        [(0, 5)],
        [(0, -1, (("a", 1),))],
        [(0, 5, ())],
        [(0, 5, (("a", "b"),))],
        [(0, 5, (("a", 1, 2),))],
        [(0, 5, (["a", 1],))],
        [(True, 5, (("a", 1),))],
    ],
    ids=str,
)
def test_what_is_no_trace_is_refused(traces):
    with pytest.raises(UsageError, match="an entry is no trace"):
        Snapshot.from_tracemalloc(tracemalloc.Snapshot(traces, 1))


def test_what_is_no_snapshot_is_refused():
    with pytest.raises(UsageError, match=r"needs a tracemalloc\.Snapshot, not builtins\.list"):
        Snapshot.from_tracemalloc([])


def test_a_pickled_snapshot_has_no_full_file_name_in_it():
    with memlab.tracing(depth=3) as trace:
        kept = bytearray(1000)
        taken = trace.snapshot()
    taken.statistics("traceback")
    assert __file__ in taken.raw_files
    pickled = pickle.dumps(taken)
    assert str(Path(__file__).parent).encode() not in pickled
    assert pickle.loads(pickled) == taken
    del kept


# -- groupings


A, B, C = ("app/a.py", 1), ("app/b.py", 2), ("json/decoder.py", 3)


def total_by(snapshot, by, cumulative=False):
    return {str(s.site.frame): s.size_bytes for s in snapshot.statistics(by, cumulative).sites}


def test_inclusive_counts_a_recursive_line_once_and_stdlib_counts_it_at_each_frame():
    snapshot = make([((A, A, A, B), 0, 100)])
    assert total_by(snapshot, "line", cumulative=True) == {"app/a.py:1": 100, "app/b.py:2": 100}
    assert total_by(snapshot, "line", "stdlib") == {"app/a.py:1": 300, "app/b.py:2": 100}
    assert total_by(snapshot, "file", "inclusive") == {"app/a.py:0": 100, "app/b.py:0": 100}
    assert total_by(snapshot, "line") == {"app/a.py:1": 100}


def test_a_module_has_its_dotted_name():
    snapshot = make(
        [((A,), 0, 1), ((C,), 0, 2), ((("pkg/__init__.py", 1),), 0, 4), ((("Cell In[3]", 2),), 0, 8)]
    )
    assert list(total_by(snapshot, "module")) == ["Cell In[3]:0", "pkg:0", "json.decoder:0", "app.a:0"]


@pytest.mark.parametrize("cumulative", [True, "stdlib"])
@pytest.mark.parametrize("by", ["traceback", "thread"])
def test_what_has_no_callers_cannot_be_cumulative(by, cumulative):
    with pytest.raises(UsageError, match="has no callers to count in"):
        make([((A,), 0, 1)]).statistics(by, cumulative)


def test_an_unknown_way_to_count_is_refused():
    with pytest.raises(UsageError, match="cumulative must be"):
        make([((A,), 0, 1)]).statistics("line", "twice")


def test_threads_are_told_where_the_engine_knows_them_and_else_refused_with_a_remedy():
    snapshot = make([((A,), 0, 1), ((B,), 0, 2), ((C,), 0, 4)])
    with pytest.raises(UsageError, match=r'tracemalloc does not record which thread.*by="traceback"'):
        snapshot.statistics("thread")
    threaded = dataclasses.replace(
        snapshot, thread=ints([0, 1, 0]), threads=("main", "worker"), engine="other"
    )
    assert total_by(threaded, "thread") == {"main:0": 5, "worker:0": 2}
    assert threaded.diff(threaded, "thread").sites == ()


def test_a_table_is_kept_and_the_same_when_asked_for_again():
    snapshot = make([((A,), 0, 1)])
    assert snapshot.statistics("line") is snapshot.statistics("line", cumulative="")


PROGRAM = """
    import textwrap
    import numpy as np
    kept = []

    class Store:
        def put(self, size):
            def inner():
                kept.append(bytes(size))
            inner()

    def arrays():
        kept.append(np.zeros(50_000))

    Store().put(10_000)
    arrays()
    kept.append(bytearray(30_000))
    kept.append(textwrap.indent("somebody else's line allocates this", " " * 20_000))
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A snapshot of a small program of the user's own, run from a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    file = tmp_path / "app" / "prog.py"
    file.write_text(textwrap.dedent(PROGRAM))
    space = {}
    with memlab.tracing(depth=5) as trace:
        exec(compile(file.read_text(), str(file), "exec"), space)
        return trace.snapshot("prog")


def test_functions_of_the_users_own_code_have_qualified_names(program):
    own = program.filtered(SnapshotFilter(own=True))
    by_function = {s.site.frame.function: s.size_bytes for s in own.statistics("function").sites}
    assert by_function["Store.put.inner"] > 10_000
    assert by_function["arrays"] > 400_000
    assert by_function["<module>"] > 30_000
    assert "arrays" in {f.function for t in range(len(program.starts) - 1) for f in program.frames(t)}


def allocating(snapshot):
    """The files whose own lines allocated what the snapshot holds."""
    return {snapshot.files[f] for f in snapshot.frame_file[snapshot.frame_of[snapshot.starts[:-1]]].tolist()}


def test_own_code_and_packages_are_told_apart(program):
    packages = {s.site.frame.file: s.size_bytes for s in program.statistics("package").sites}
    assert packages["app"] > 440_000
    assert "app/prog.py" in program.files
    own = program.filtered(SnapshotFilter(own=True))
    assert allocating(own) <= {"app/prog.py", "test_snapshots.py"}
    assert "textwrap.py" in allocating(program)
    assert len(own) < len(program)


def test_a_loaded_snapshot_knows_its_functions_without_its_source(program, tmp_path):
    program.save(tmp_path / "s.memlab")
    (tmp_path / "app" / "prog.py").unlink()
    loaded = memlab.load(tmp_path / "s.memlab")
    assert any(s.site.frame.function == "Store.put.inner" for s in loaded.statistics("function").sites)


def test_functions_of_a_library_are_looked_up_when_asked_for_and_only_in_the_same_source(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with memlab.tracing(depth=1) as trace:
        kept = textwrap.dedent("   x" * 5000), textwrap.indent("x\n" * 500, " ")
        taken = trace.snapshot()
    names = {
        s.site.frame.function for s in taken.statistics("function").sites if "textwrap" in s.site.frame.file
    }
    assert names & {"indent", "dedent"}
    other = dataclasses.replace(taken, file_bytes=ints(np.maximum(taken.file_bytes, 0) + 1))
    unknown = {
        s.site.frame.function for s in other.statistics("function").sites if "textwrap" in s.site.frame.file
    }
    assert unknown == {"(unknown)"}
    assert any("another version of a library" in note for note in other.statistics("function").notes)
    del kept


def test_sources_all_and_none(program, tmp_path):
    with memlab.tracing(depth=1) as trace:
        kept = textwrap.indent("x\n" * 500, " ")
        everything, nothing = trace.snapshot(sources="all"), trace.snapshot(sources="none")
    assert len(everything.text_hash) > 400
    assert len(nothing.text_hash) == len(nothing.frame_function) == 0
    with pytest.raises(UsageError, match="sources must be own, all or none"):
        trace.snapshot(sources="some")
    del kept


def test_function_names_are_those_of_the_syntax_tree_in_the_standard_library():
    """Told by indentation, held equal to ``ast`` on every line of some hard files."""
    import argparse
    import ast
    import dataclasses as hard
    import inspect
    import typing

    for module in (argparse, ast, hard, inspect, typing, textwrap, tracemalloc):
        found = source_lines(module.__file__)
        tree = ast.parse(Path(module.__file__).read_text())
        lines = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr)}
        assert [n for n in lines if found.function(n) != enclosing_function(module.__file__, n)] == []


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ("def f():\n    x = '''\ndef g():\n'''\n    return x\n", 5, "f"),
        ("def f(\n    a=[\n1],\n):\n    return a\nx = 1\n", 6, ""),
        ("if 1:\n    def f():\n        return 1\n    class C:\n        y = 2\n", 5, "C"),
        ("class A:\n    def f(self): return 1\n    def g(self):\n        return 2\n", 2, "A.f"),
        ("async def f():\n\tx = 1\n\n# no code\n\tawait x\n", 5, "f"),
        ("def f():\n    x = 1 + \\\n1\n    return x\n", 4, "f"),
        ("x = (\n def_ := 3)\nclass B(\n object):\n    z = 1\n", 5, "B"),
    ],
)
def test_where_a_function_ends(tmp_path, text, line, name):
    file = tmp_path / "x.py"
    file.write_text(text)
    assert source_lines(str(file)).function(line) == name


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe", b"# coding: nonsense\nx", b"x = '", b"(((\n", b"def"]
)
def test_odd_sources_are_read_or_left_out(tmp_path, content):
    file = tmp_path / "x.py"
    file.write_bytes(content)
    found = source_lines(str(file))
    assert found is None or found.function(1) in ("", None)
    assert source_lines(str(tmp_path / "none.py")) is None


def test_a_program_that_comes_through_a_pipe_is_not_read_again(tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    assert source_lines(pipe) is None
    assert source_text(pipe, 1) == ""
    taken = Snapshot.from_tracemalloc(tracemalloc.Snapshot([(0, 8, ((pipe, 1),), 1)], 1))
    assert taken.file_bytes.tolist() == [-1]


def test_no_more_source_is_read_than_its_bound_and_that_is_said(program, monkeypatch):
    import memlab.collectors.snapshot_maker as maker

    monkeypatch.setattr(maker, "_MOST_SOURCE", 10)
    with memlab.tracing(depth=1) as trace:
        kept = bytearray(1000)
        taken = trace.snapshot()
    assert len(taken.text_hash) == 0
    assert taken.notes == ("source files that were not looked at: 1 (10 B is the most)",)
    del kept


def test_a_line_hash_tells_neither_a_string_nor_a_number_nor_a_comment(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text('key = f(  "s3cret", 4711)  # mine\nx = 1\n')
    two.write_text("key = f('other', 1234)\nx = 2\n".replace("'", '"'))
    assert source_lines(str(one)).hashes.tolist() == source_lines(str(two)).hashes.tolist()
    assert source_text(str(one), 1) == 'key = f(  "", 4711)'
    assert source_text(str(one), 9) == ""


def test_packages_of_files():
    import jinja2
    import PIL

    site = Path(jinja2.__file__).parent.parent
    for file, name in ((jinja2.__file__, "jinja2"), (PIL.__file__, "pillow")):
        assert package_of(file, os.path.relpath(file, site), is_cell=False, is_own=False) == name
    stdlib = textwrap.__file__
    assert package_of(stdlib, "textwrap.py", is_cell=False, is_own=False) == "standard library"
    for filename, label, name in (
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>", "standard library"),
        ("<string>", "<string>", "generated code"),
        ("<unknown>", "<unknown>", "unknown"),
        ("/x/shop/a.py", "shop/a.py", "shop"),
        ("/x/job.py", "job.py", "own code"),
    ):
        assert package_of(filename, label, is_cell=False, is_own=True) == name
    assert package_of("/tmp/1.py", "Cell In[3]", is_cell=True, is_own=True) == "notebook"


def test_files_outside_are_named_from_their_package_on_and_equal_names_by_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path.parent / "elsewhere"
    names = ["/nowhere/one/utils.py", "/nowhere/two/utils.py", str(home / "pkg" / "sub" / "m.py")]
    for folder in (home / "pkg" / "sub", home / "pkg"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    blocks = [(0, 8, ((name, 1),), 1) for name in names]
    taken = Snapshot.from_tracemalloc(tracemalloc.Snapshot(blocks, 1))
    assert taken.files == ("pkg/sub/m.py", "utils.py", "utils.py (2)")


# -- filters


def test_filters_are_values_and_put_together(program):
    assert len(program.filtered()) == len(program)
    assert program.filtered(SnapshotFilter(include="app/*")).total_bytes > 400_000
    one = SnapshotFilter(include=["app/prog.py:17"])
    assert {f.line for t in program.filtered(one).statistics().sites for f in t.site.frames} == {17}
    assert len(program.filtered(SnapshotFilter(exclude="*"))) == 0
    assert program.filtered(SnapshotFilter(domains=0)).total_bytes < program.total_bytes  # numpy's is another
    some = program.filtered(one)
    assert some.hist_starts[-1] == len(some.hist_size)
    assert some.to_tracemalloc().statistics("lineno")[0].size == some.total_bytes


@pytest.mark.parametrize("wrong", [{"include": 3}, {"exclude": [1]}, {"domains": "0"}, {"domains": [True]}])
def test_a_filter_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match="filter: "):
        SnapshotFilter(**wrong)


def test_what_is_no_filter_is_refused(program):
    with pytest.raises(UsageError, match=r"needs memlab\.SnapshotFilter"):
        program.filtered("app/*")


# -- own allocations, and the machine below


def test_taking_grouping_and_comparing_leave_nothing_of_memlabs_in_the_next_snapshot():
    """Own lines never appear, whatever was asked for in between; checked in a fresh process."""
    script = """
        import tracemalloc, memlab
        import memlab.collectors.tracing, memlab.analyses.diff
        tracemalloc.start(3)
        kept = [bytes(100 + n % 7) for n in range(2000)]
        first = memlab.snapshot()
        for by in ("line", "file", "function", "module", "package", "traceback"):
            first.statistics(by); first.statistics(by if by != "traceback" else "line", cumulative=True)
        second = memlab.snapshot()
        for by in ("line", "function", "traceback"):
            second.diff(first, by)
        last = memlab.snapshot()
        files = {last.files[f] for f in last.frame_file[last.frame_of[last.starts[:-1]]][last.traceback]}
        assert not [f for f in files if f.startswith("memlab/") or "trace_blocks" in f], files
        grown = {str(s.site.frame): s.size_diff_bytes for s in last.diff(memlab.snapshot()).sites}
        assert abs(sum(grown.values())) < 20_000, grown
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_what_memlab_has_others_allocate_is_memlabs_and_what_the_user_has_is_the_users():
    """Imports, patterns and classes of memlab's are left out; those that other import hooks make stay."""
    script = """
        import numpy, tracemalloc
        tracemalloc.start(40)
        import memlab
        from re import compile as user_compile
        pattern = user_compile("a|(b+c)*[d-f]" * 9)
        memlab.snapshot(); memlab.snapshot().statistics("function")
        last = memlab.snapshot()
        by_package = {s.site.frame.file: s.size_bytes for s in last.statistics("package", True).sites}
        assert by_package.get("memlab", 0) < 20_000, by_package  # it was 250,000
        assert by_package["standard library"] > 3000, by_package
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=100)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30_000), st.integers(1, 20_000))
def test_numbers_are_grouped_as_unique_groups_them(seed, count, distinct):
    keys = np.random.default_rng(seed).integers(-(2**62), 2**62, distinct)
    keys = keys[np.random.default_rng(seed + 1).integers(0, distinct, count)]
    one, group = group_keys(keys)
    assert len(one) == len(np.unique(keys))
    assert np.array_equal(keys[one][group], keys)


def test_numbers_that_share_a_slot_are_told_apart(monkeypatch):
    import memlab._base.grouping as grouping

    monkeypatch.setattr(grouping, "_GOLDEN", np.uint64(0))  # every number goes to one slot
    keys = np.repeat(np.arange(3), 4000)
    one, group = group_keys(keys)
    assert sorted(keys[one].tolist()) == [0, 1, 2]
    assert np.array_equal(keys[one][group], keys)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([-(2**62), -1, 0, 1, 5, 2**62])] * 3), min_size=1, max_size=20))
def test_packed_rows_are_equal_only_when_the_rows_are(rows):
    packed = pack_keys(*(np.array(column, np.int64) for column in zip(*rows, strict=True))).tolist()
    assert len(set(packed)) == len(set(rows))
    assert len({(p, r) for p, r in zip(packed, rows, strict=True)}) == len(set(rows))


def test_sums_are_exact_beyond_what_a_float_holds():
    groups, values = np.array([0, 0, 1]), np.array([2**62, 1, -(2**53) - 1])
    assert sums(groups, values, 3).tolist() == [2**62 + 1, -(2**53) - 1, 0]


def test_the_first_snapshot_of_a_process_is_no_growth_to_the_second(tmp_path):
    """What snapshots import and compile once is there before the tracer, or before the first of them."""
    code = (
        "import memlab, tracemalloc\n"
        "if {foreign}: tracemalloc.start(5)\n"
        "with memlab.tracing(depth=5) as trace:\n"
        "    first, second = trace.snapshot(), trace.snapshot()\n"
        "print(second.diff(first).total_diff_bytes)\n"
    )
    for foreign in (False, True):
        command = [sys.executable, "-c", code.format(foreign=foreign)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert int(done.stdout) < 4096
