"""tracemalloc shared and never stolen, and its table read exactly as the standard library reads it."""

import _tracemalloc
import gc
import itertools
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memlab._base.paths import PathLabels
from memlab.collectors import trace_blocks
from memlab.collectors.snapshot_maker import to_snapshot
from memlab.collectors.trace_blocks import by_address, read_columns
from memlab.collectors.trace_table import RawTraces, read_traces
from memlab.collectors.tracing import (
    TracemallocOwner,
    Tracing,
    grown,
    object_site,
    snapshot,
    take_raw,
    tracing,
)
from memlab.errors import UnavailableError, UsageError

HERE = __file__


class AsTheyAre(PathLabels):
    """Labels that are the file names: what the standard library shows."""

    def _label(self, filename):
        return filename


def test_blocks_of_a_known_line_are_counted_and_sized_exactly():
    with tracing(depth=1):
        kept = [bytes(1000) for _ in range(500)]
        line = sys._getframe().f_lineno - 1
        raw = take_raw()
    size, blocks = raw.totals()[((HERE, line),)]
    assert blocks == 500 + 1, "500 byte strings and the array of the list"
    assert size == sum(map(sys.getsizeof, kept)) + sys.getsizeof(kept) - sys.getsizeof([])


def test_a_snapshot_names_the_file_relative_and_as_the_users_own():
    with tracing(depth=2) as trace:
        kept = bytearray(50_000)
        taken = trace.snapshot("after")
    top = taken.statistics().sites[0].site
    assert top.frame.file.endswith("test_tracing.py")
    assert not top.frame.file.startswith("/")
    assert top.user == top.frame
    assert (taken.label, taken.engine, taken.depth) == ("after", "tracemalloc", 2)
    del kept


def test_aliases_label_files_and_a_depth_cuts_and_merges():
    with tracing(depth=5, aliases={HERE: "Cell In[3]"}) as trace:
        kept = [_deep(3), _deep(4)]
        full, cut = trace.snapshot(), trace.snapshot(depth=1)
    assert "Cell In[3]" in full.files
    assert cut.depth == 1
    assert set((cut.starts[1:] - cut.starts[:-1]).tolist()) == {1}
    assert len(cut) < len(full)
    del kept


def _deep(levels):
    return bytearray(10_000) if levels == 0 else _deep(levels - 1)


def test_memlabs_own_blocks_are_not_in_it():
    with tracing(depth=5) as trace:
        kept = [trace.take_raw() for _ in range(3)]
        files = {frames[0][0] for frames in trace.take_raw().tracebacks}
        everything = {frames[0][0] for frames in trace.take_raw(own_excluded=False).tracebacks}
    assert not any("/memlab/" in name for name in files)
    assert any(name.endswith("trace_table.py") for name in everything)
    del kept


def test_when_nothing_traces_the_refusal_names_the_remedy():
    for refused in (snapshot, take_raw):
        with pytest.raises(UnavailableError, match=r"tracemalloc\.start\(\).*with memlab\.tracing\(\)"):
            refused()


@pytest.mark.parametrize("depth", [0, -1, 65_536, 1.5, True, "10"])
def test_a_depth_that_is_no_number_of_frames_is_refused(depth):
    with pytest.raises(UsageError, match="depth must be"):
        tracing(depth)


def test_a_snapshot_depth_beyond_what_is_kept_is_said():
    with tracing(depth=2):
        assert "keeps 2 frames" in snapshot(depth=9).notes[0]
        with pytest.raises(UsageError, match="depth"):
            snapshot(depth=0)


def test_an_object_knows_where_it_was_made_most_recent_call_first():
    early = bytearray(10)
    assert object_site(early) is None
    with tracing(depth=3) as trace:
        made = _deep(1)
        line = sys._getframe().f_lineno - 1
        site = trace.site_of(made)
        assert object_site(early) is None
    assert len(site) == 3
    assert site[-1] == (HERE, line)
    assert site[0][1] == site[1][1] == _deep.__code__.co_firstlineno + 1


def test_grown_gives_the_sites_that_rose_in_every_stretch_joined_by_content():
    kept, toggled = [], []
    with tracing(depth=2) as trace:
        traces = []
        for number in range(4):
            kept.append(bytearray(5000))
            leak = sys._getframe().f_lineno - 1
            toggled[:] = [bytearray(9000)] if number % 2 else []
            traces.append(trace.take_raw())
    rising = {frames[0]: (sizes, blocks) for frames, sizes, blocks in grown(traces)}
    sizes, blocks = rising[HERE, leak]
    assert [b - a for a, b in itertools.pairwise(blocks)] == [1, 1, 1] or sizes[-1] - sizes[0] >= 15_000
    assert not any(line == leak + 2 for _, line in rising)
    assert grown([]) == []


def test_the_total_is_what_the_rows_hold():
    with tracing(depth=3):
        raw = take_raw(own_excluded=False)
    assert raw.total_blocks == sum(blocks for _, blocks in raw.totals().values())
    assert raw.total_bytes == sum(size for size, _ in raw.totals().values())


# -- parity with the standard library


def workload():
    """Recursion, equal frames under different depths, several lines, dicts, and code from exec."""
    space = {}
    exec(compile("def made(n): return [str(i) * 9 for i in range(n)]", "<cell>", "exec"), space)
    kept = [_deep(levels) for levels in (1, 2, 5, 5, 12, 30)]
    kept += [{n: (n, [n]) for n in range(300)}, space["made"](400)]
    kept += [tuple(bytes(n) for n in range(200)) for _ in range(3)]
    return kept


@pytest.mark.parametrize("depth", [1, 10, 25])
@pytest.mark.parametrize(
    ("by", "key_type"), [("line", "lineno"), ("file", "filename"), ("traceback", "traceback")]
)
def test_sizes_counts_and_order_are_those_of_the_standard_library(depth, by, key_type):
    tracemalloc.start(depth)
    try:
        kept = workload()
        theirs = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    tracemalloc.start(depth)  # reading asks whether something traces; what it reads is their snapshot
    try:
        raw = read_columns(own_excluded=False, table=lambda: list(theirs.traces._traces))
    finally:
        tracemalloc.stop()
    ours = to_snapshot(raw, AsTheyAre()).statistics(by)
    expected = theirs.statistics(key_type)

    def key(frames):
        return tuple(
            (f.file if hasattr(f, "file") else f.filename, f.lineno if hasattr(f, "lineno") else f.line)
            for f in frames
        )

    def site_key(frames):
        return tuple((name, 0 if by == "file" else line) for name, line in key(frames))

    found = [(total.size_bytes, total.blocks, site_key(total.site.frames)) for total in ours.sites]
    wanted = [(s.size, s.count, site_key(reversed(s.traceback))) for s in expected]
    assert found == wanted
    assert raw.source == "table"
    del kept


def test_the_private_table_and_the_public_way_give_the_same():
    with tracing(depth=4):
        kept = workload()
        gc.collect()  # the workload's function and its globals are a cycle
        private = read_traces()
        public = read_traces(table=lambda: [("not", "a", "trace")])
    assert (private.source, public.source) == ("table", "public")
    body = range(workload.__code__.co_firstlineno, workload.__code__.co_firstlineno + 9)
    mine = {f: v for f, v in private.totals().items() if f[0][0] == HERE and f[0][1] in body}
    theirs = {f: v for f, v in public.totals().items() if f[0][0] == HERE and f[0][1] in body}
    assert len(mine) >= 3
    assert mine == theirs
    del kept


@pytest.mark.parametrize("broken", [None, [1], [()], [(0, 5, (), 1)], [(0, "x", (("f", 1),), 1)]])
def test_a_table_of_another_shape_is_noticed(broken):
    with tracing(depth=1):
        assert read_traces(table=lambda: broken).source == "public"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_off_while_the_table_is_read_and_as_before_after_it(enabled):
    seen = []

    def fail():
        seen.append(gc.isenabled())
        raise MemoryError

    (gc.enable if enabled else gc.disable)()
    try:
        with tracing(depth=1), pytest.raises(MemoryError):
            read_traces(table=fail)
        assert seen == [False]
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_addresses_are_read_from_the_buffer_without_making_ints():
    import numpy as np

    first, second = ("a",), ("b",)
    objects = np.empty(4, dtype=object)
    objects[:] = [first, second, first, first]
    firsts, groups = by_address(objects)
    assert len(firsts) == 2
    assert groups[0] == groups[2] == groups[3] != groups[1]


# -- sharing


def test_the_last_subscriber_stops_what_the_first_one_started():
    with tracing(3) as outer:
        with tracing(7) as inner:
            assert inner.depth == 3
            assert "already ran with 3 frames" in inner.notes[0]
        assert tracemalloc.is_tracing()
        assert outer.notes == ()
    assert not tracemalloc.is_tracing()


def test_a_tracer_that_the_user_started_is_joined_and_left_as_found():
    tracemalloc.start(2)
    try:
        theirs = bytearray(10)
        peak_holder = bytearray(3_000_000)
        del peak_holder
        peak = tracemalloc.get_traced_memory()[1]
        with tracing(10) as trace:
            assert "2 frames" in trace.notes[0]
            trace.snapshot()
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 2
        assert tracemalloc.get_object_traceback(theirs) is not None
        assert tracemalloc.get_traced_memory()[1] >= peak, "their peak is not reset"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("meddle", ["stop", "restart", "clear"])
def test_someone_who_stops_or_clears_the_tracer_is_noticed(meddle):
    with tracing(2) as trace:
        assert not trace.interrupted
        if meddle == "clear":
            tracemalloc.clear_traces()
        else:
            tracemalloc.stop()
        if meddle == "restart":
            tracemalloc.start(4)
        assert trace.interrupted
        assert "interrupted" in trace.notes[-1]
    assert trace.interrupted, "the finding outlives the block"
    assert tracemalloc.is_tracing() is (meddle != "stop"), "whoever meddles owns the tracer from then on"
    tracemalloc.stop()


def test_a_forgotten_subscription_ends():
    trace = tracing().start()
    del trace
    gc.collect()
    assert not tracemalloc.is_tracing()


def test_more_than_one_interpreter_is_refused_and_nothing_is_left():
    owner = TracemallocOwner(interpreters=lambda: 2)
    with pytest.raises(UnavailableError, match="more than one interpreter"):
        Tracing(owner=owner).start()
    assert owner.subscribers == 0
    assert not tracemalloc.is_tracing()


def test_a_real_second_interpreter_is_counted():
    try:
        import _interpreters as interpreters
    except ImportError:
        interpreters = pytest.importorskip("_xxsubinterpreters")
    other = interpreters.create()
    try:
        with pytest.raises(UnavailableError, match="more than one interpreter"):
            tracing().start()
    finally:
        interpreters.destroy(other)
    with tracing():
        assert tracemalloc.is_tracing()


def _interleavings():
    steps = ["A+", "A-", "B+", "B-", "F+", "F-"]
    for order in itertools.permutations(range(6)):
        if all(order.index(2 * k) < order.index(2 * k + 1) for k in range(3)):
            yield [steps[i] for i in order]


def test_all_ninety_orders_of_two_captures_and_a_foreign_user_end_as_they_must():
    """After each step the tracer runs exactly when its owner, by the rules of joining, still needs it."""
    orders = list(_interleavings())
    assert len(orders) == 90
    for order in orders:
        owner = TracemallocOwner()
        own = {name: Tracing(2, owner=owner) for name in "AB"}
        ran_by, active = None, set()
        for step in order:
            who, on = step[0], step[1] == "+"
            if who == "F":
                tracemalloc.start(2) if on else tracemalloc.stop()
                # starting over a running tracer is a no-op that nobody can see
                ran_by = (ran_by or "F") if on else None
            elif on:
                own[who].start()
                active.add(who)
                ran_by = ran_by or "own"
            else:
                own[who].stop()
                active.discard(who)
                if ran_by == "own" and not active:
                    ran_by = None
            assert tracemalloc.is_tracing() is (ran_by is not None), (order, step)
        assert not tracemalloc.is_tracing(), order
        assert owner.subscribers == 0


class Sharing(RuleBasedStateMachine):
    """Own captures and a foreign user in any order, against a model of who runs the tracer."""

    def __init__(self):
        super().__init__()
        self.owner = TracemallocOwner()
        self.open = []
        self.runner = None
        self.theirs = None

    @rule(depth=st.integers(1, 5))
    def begin(self, depth):
        if len(self.open) < 4:
            self.open.append([Tracing(depth, owner=self.owner).start(), False])
            self.runner = self.runner or "own"

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 3))
    def end(self, which):
        trace, interrupted = self.open.pop(which % len(self.open))
        trace.stop()
        trace.stop()
        assert trace.interrupted is interrupted
        if not self.open and self.runner == "own":
            self.runner = None

    @rule()
    def forget(self):
        if self.open:
            self.open.pop()
            gc.collect()
            if not self.open and self.runner == "own":
                self.runner = None

    @precondition(lambda self: self.runner is None)
    @rule(depth=st.integers(1, 5))
    def foreign_start(self, depth):
        tracemalloc.start(depth)
        self.runner, self.theirs = "foreign", bytearray(5)

    @rule()
    def foreign_stop(self):
        tracemalloc.stop()
        self._interrupt(None)

    @precondition(lambda self: self.runner is not None)
    @rule()
    def foreign_restart(self):
        tracemalloc.stop()
        tracemalloc.start(1)
        self._interrupt("foreign")

    @precondition(lambda self: self.runner is not None)
    @rule()
    def foreign_clear(self):
        tracemalloc.clear_traces()
        self._interrupt("foreign")

    def _interrupt(self, runner):
        self.runner = runner
        self.theirs = bytearray(5) if runner == "foreign" else None
        for entry in self.open:
            entry[1] = True

    @precondition(lambda self: self.runner is not None)
    @rule()
    def read(self):
        assert isinstance(read_traces(), RawTraces)

    @invariant()
    def the_tracer_runs_when_its_owner_needs_it(self):
        assert tracemalloc.is_tracing() is (self.runner is not None)

    @invariant()
    def what_the_foreign_user_traces_is_never_lost(self):
        if self.runner == "foreign":
            assert tracemalloc.get_object_traceback(self.theirs) is not None

    @invariant()
    def interruptions_are_noticed_and_only_they(self):
        assert [trace.interrupted for trace, _ in self.open] == [said for _, said in self.open]

    def teardown(self):
        for trace, _ in self.open:
            trace.stop()
        tracemalloc.stop()


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


FORK = """
import os, tracemalloc
from memlab.collectors.tracing import tracing
with tracing(2) as trace:
    if os.fork() == 0:
        trace.stop()
        with tracing(1) as own:
            own.snapshot()
        os._exit(0 if not tracemalloc.is_tracing() else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    assert tracemalloc.is_tracing() and not trace.interrupted
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_forked_child_ends_its_own_tracing_and_not_its_parents():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)


def test_the_private_table_exists_in_this_interpreter():
    """If it goes, the public way takes over; this test tells that it has become slow."""
    assert trace_blocks._private_table() is _tracemalloc._get_traces
