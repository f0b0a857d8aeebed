"""The sampled engine: what it counts, how far it may be off, and that it leaves nothing behind."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import random
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memlab
from memlab.analyses.estimates import LEVEL, gamma_quantile
from memlab.collectors import sampled_engine
from memlab.collectors.sampled_engine import SampledEngine
from memlab.errors import UnavailableError, UsageError
from memlab.lab.engines import choose
from tests.kit.bounded_child import in_child

if os.environ.get("MEMLAB_REQUIRE_NATIVE") == "1":
    from memlab._native import sites
else:
    sites = pytest.importorskip("memlab._native.sites", reason="the sampling extension was not built")

KIB = 1024


class Sampled:
    """An engine as ``memlab.trace`` runs it, with a seed."""

    def __init__(self, sample_bytes=4 * KIB, frames=25, **options):
        self.engine = SampledEngine(sample_bytes, frames, {}, **options)

    def __enter__(self):
        self.engine.begin()
        return self

    def __exit__(self, *_):
        self.engine.end()

    def take(self, measure="live", sources="none"):
        return self.engine.snapshot("", measure, sources)


def of_line(snapshot, function):
    """Return bytes of the sites in a function of this file."""
    table = snapshot.statistics("line")
    return sum(s.size_bytes for s in table.sites if s.site.frame.function.split(".")[0] == function)


def make_small(number, size=400):
    return [bytes(size) for _ in range(number)]


def make_bytearray(size):
    return bytearray(size)


def make_array(size):
    return np.zeros(size, np.uint8)


# -- figures


def test_a_large_block_is_always_seen_with_its_size():
    """A block of many times the mean gap is in the sample, and its bytes are no estimate."""
    with Sampled(1 * KIB) as trace:
        kept = make_bytearray(1_000_000)
        snapshot = trace.take()
    assert of_line(snapshot, "make_bytearray") - 1_000_001 in range(300)
    assert len(kept) == 1_000_000


def test_a_large_block_counts_once_though_two_domains_give_it():
    """The object allocator takes large blocks from the raw domain: one block."""
    with Sampled(1 * KIB) as trace:
        kept = [make_bytearray(100_000) for _ in range(50)]
        snapshot = trace.take()
    assert of_line(snapshot, "make_bytearray") == pytest.approx(50 * 100_057, rel=0.01)
    assert len(kept) == 50


@pytest.mark.parametrize("size", [40, 450, 700, 5_000, 60_000])
def test_estimates_are_unbiased(size):
    """The mean of many estimates is the truth, for blocks far smaller and far larger than the gap."""
    number = 240_000 // size
    truth = number * (size + sys.getsizeof(b""))
    found = []
    for seed in range(1, 41):
        with Sampled(8 * KIB, frames=2, seed=seed * 7919) as trace:
            kept = make_small(number, size)
            found.append(of_line(trace.take(), "make_small") - sys.getsizeof(kept))
        del kept
    # The list is on the same line, in blocks of its own: its size is what a list's last growth was.
    spread = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4.5 * spread + 0.01 * truth


def test_all_that_was_allocated_is_counted_too():
    """Freed blocks are in the measure ``allocated`` and not in ``live``."""
    with Sampled() as trace:
        for _ in range(40):
            make_small(500, 4_000)
        live, allocated = trace.take(), trace.take("allocated")
    truth = 40 * 500 * (4_000 + sys.getsizeof(b""))
    assert of_line(live, "make_small") < truth / 20
    assert of_line(allocated, "make_small") == pytest.approx(truth, rel=0.15)
    assert allocated.measure == "allocated"


def test_blocks_freed_are_gone():
    """What is freed leaves the live figures at once."""
    with Sampled() as trace:
        kept = make_small(5_000)
        before = of_line(trace.take(), "make_small")
        del kept
        after = of_line(trace.take(), "make_small")
    assert before > 1_500_000
    assert after == 0


def test_a_block_that_is_resized_counts_with_its_last_size():
    """A list that grows is one block, however often it moved."""

    def grow():
        kept = []
        for n in range(200_000):
            kept.append(n & 1)
        return kept

    with Sampled() as trace:
        kept = grow()
        size = of_line(trace.take(), "test_a_block_that_is_resized_counts_with_its_last_size")
    assert size == pytest.approx(sys.getsizeof(kept), rel=0.01)


def test_numpy_arrays_are_seen_and_forgotten():
    """NumPy's data comes from malloc and is counted by its reports; so is its end."""
    with Sampled() as trace:
        kept = [make_array(300_000) for _ in range(10)]
        snapshot = trace.take()
        del kept
        after = of_line(trace.take(), "make_array")
    if not sites.FOLLOWS:
        assert any("NumPy" in note for note in snapshot.notes)
        return
    assert of_line(snapshot, "make_array") == pytest.approx(3_000_000, rel=0.01)
    assert after == 0


def test_numpy_loaded_while_it_runs_is_followed():
    """An import of NumPy after the start is seen at the next import."""
    told = in_child(
        """
        import sys
        import memlab.collectors.sampled_engine as e
        engine = e.SampledEngine(4096, 5, {})
        assert "numpy" not in sys.modules
        engine.begin()
        import numpy, colorsys
        kept = numpy.zeros(5_000_000, numpy.uint8)
        engine.end()
        s = engine.snapshot("", "live", "none")
        found = s.statistics("line").sites
        print(max((x.size_bytes for x in found if x.site.frame.file == "<string>"), default=0))
        """
    )
    assert int(told) >= 5_000_000 or not sites.FOLLOWS


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3_000)), min_size=1, max_size=60),
    st.integers(1, 2**32),
)
def test_with_a_gap_of_64_bytes_every_larger_block_is_exact(steps, seed):
    """Blocks made, resized and freed in any order: what the books hold is what is alive."""
    kept: dict[int, bytearray] = {}
    with Sampled(64, frames=1, seed=seed) as trace:
        for number, (action, size) in enumerate(steps):
            if action == 0 and kept:
                kept.pop(min(kept))
            elif action == 1 and kept:
                kept[max(kept)].extend(bytes(size))
            else:
                kept[number] = make_bytearray(size + 3_000)
        live = [
            x for x in trace.take().statistics("line").sites if x.site.frame.file.endswith("test_sampled.py")
        ]
    data = sum(block.__alloc__() for block in kept.values())
    assert sum(x.size_bytes for x in live) >= data


# -- intervals


def test_quantiles_of_the_gamma_distribution():
    """They agree with closed forms: shape 1 is the exponential distribution; both ways of computing meet."""
    for level in (0.001, 0.5, 0.999):
        assert gamma_quantile(level, np.array([1.0]))[0] == pytest.approx(-math.log1p(-level), rel=1e-9)
        near = gamma_quantile(level, np.array([399.99, 400.01]))
        assert near[0] == pytest.approx(near[1], rel=1e-3)


def test_intervals_hold_as_often_as_they_say():
    """Of 300 intervals of ten planted sites about ``LEVEL`` hold the truth; never below 97 %."""
    code = "\n".join(f"def f{n}(k): return [bytes({n * 37 + 10}) for _ in range(k)]" for n in range(1, 11))
    space: dict = {}
    exec(compile(code, "planted.py", "exec"), space)
    held = []
    for seed in range(1, 31):
        with Sampled(16 * KIB, frames=1, seed=seed * 104_729) as trace:
            kept = [space[f"f{n}"](2_000) for n in range(1, 11)]
            table = trace.take().statistics("line")
        said = {
            s.site.frame.line: (int(table.low_bytes[at]), int(table.high_bytes[at]))
            for at, s in enumerate(table.sites)
            if s.site.frame.file.endswith("planted.py")
        }
        most = math.ceil(-math.log((1 - LEVEL) / 2) * 16 * KIB)
        for n, rows in enumerate(kept, 1):
            low, high = said.get(n, (0, most))
            held.append(low <= sum(map(sys.getsizeof, rows)) + sys.getsizeof(rows) <= high)
        del kept
    assert np.mean(held) >= 0.97


def test_a_table_states_its_intervals():
    """Bounds surround the figure, in every grouping, and are shown; exact tables have none."""
    with Sampled() as trace:
        kept = make_small(3_000)
        snapshot = trace.take()
    for by in ("line", "file", "function", "traceback", "thread"):
        table = snapshot.statistics(by)
        assert (table.low_bytes <= table.size_bytes).all()
        assert (table.size_bytes <= table.high_bytes).all()
    table = snapshot.statistics("line", "inclusive")
    assert (table.low_bytes <= table.size_bytes).all()
    assert "between" in str(snapshot.statistics("line"))
    assert "Between" in snapshot.statistics("line").to_html()
    assert snapshot.unseen_bytes > 4 * KIB
    with memlab.trace(sample=0) as exact:
        kept += make_small(10)
    assert len(exact.result.statistics("line").low_bytes) == 0
    assert exact.result.unseen_bytes == 0


# -- stacks and threads


def test_stacks_are_copied_and_nothing_is_kept_alive():
    """A function that is gone is still named, and was not kept."""
    space: dict = {}
    exec(compile("def vanishing():\n    return bytearray(500_000)", "gone.py", "exec"), space)
    function = space.pop("vanishing")
    alive = weakref.ref(function)
    with Sampled() as trace:
        kept = function()
        del function
        gc.collect()
        assert alive() is None
        table = trace.take().statistics("line")
    assert ("gone.py", 2, "vanishing") in [
        (s.site.frame.file.rpartition("/")[2], s.site.frame.line, s.site.frame.function) for s in table.sites
    ]
    assert len(kept) == 500_000


def test_frames_are_kept_to_the_depth_that_was_asked_for():
    """Deep recursion keeps the most recent frames."""

    def deep(n):
        return bytearray(200_000) if n == 0 else deep(n - 1)

    with Sampled(frames=7) as trace:
        kept = deep(40)
        snapshot = trace.take()
    assert snapshot.depth == 7
    assert int(np.diff(snapshot.starts).max()) == 7
    assert len(kept) == 200_000


@pytest.mark.parametrize("name", ["é" * 20, "名前", "🐍 file", "sp ace"])
def test_any_name_of_a_file_is_copied(name):
    """Names of one, two and four bytes a character."""
    space: dict = {}
    exec(compile("def f():\n    return bytearray(300_000)", name, "exec"), space)
    with Sampled() as trace:
        kept = space["f"]()
        files = trace.take().files
    assert name in {file.rpartition("/")[2] for file in files}
    assert len(kept) == 300_000


def test_threads_are_told_apart_by_name():
    """Each thread's blocks are its own rows; one that ended before anybody looked has a number."""
    kept = []
    ready, done = threading.Event(), threading.Event()

    def work():
        kept.append(make_bytearray(400_000))
        ready.set()
        done.wait(20)

    with Sampled() as trace:
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        ready.wait(20)
        trace.take()
        done.set()
        thread.join()
        other = threading.Thread(target=lambda: kept.append(make_bytearray(400_000)), name="unseen")
        other.start()
        other.join()
        table = trace.take().statistics("thread")
    held = {s.site.frame.file: s.size_bytes for s in table.sites}
    assert held["worker"] >= 400_000
    assert sum(size for name, size in held.items() if name.startswith("a thread that ended")) >= 400_000


def test_blocks_taken_without_the_interpreters_lock_have_no_stack():
    """The raw domain may be used by any thread; nothing of Python is touched then."""
    free = ctypes.CDLL(None)  # gives the lock away for the call
    free.PyMem_RawMalloc.restype = ctypes.c_void_p
    free.PyMem_RawMalloc.argtypes = [ctypes.c_size_t]
    free.PyMem_RawFree.argtypes = [ctypes.c_void_p]
    with Sampled() as trace:
        block = free.PyMem_RawMalloc(700_000)
        table = trace.take().statistics("thread")
        free.PyMem_RawFree(block)
        after = trace.take().statistics("thread")
    assert {s.site.frame.file: s.size_bytes for s in table.sites}["without the interpreter's lock"] >= 700_000
    assert "without the interpreter's lock" not in {s.site.frame.file for s in after.sites}


def hammer(stop, seed):
    """Make, resize and free blocks of all sizes, raw ones without the lock too, until told to stop."""
    rng = random.Random(seed)
    free = ctypes.CDLL(None)
    free.PyMem_RawMalloc.restype = free.PyMem_RawRealloc.restype = ctypes.c_void_p
    free.PyMem_RawMalloc.argtypes = [ctypes.c_size_t]
    free.PyMem_RawRealloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    free.PyMem_RawFree.argtypes = [ctypes.c_void_p]
    kept: list = []
    while not stop.is_set():
        kept.append(bytearray(rng.randrange(1, 3_000)))
        kept.append([str(n) for n in range(rng.randrange(20))])
        kept.append(np.zeros(rng.randrange(1, 2_000)))
        block = free.PyMem_RawMalloc(rng.randrange(1, 9_000))
        block = free.PyMem_RawRealloc(block, rng.randrange(1, 9_000))
        free.PyMem_RawFree(block)
        kept[0].extend(bytes(10)) if isinstance(kept[0], bytearray) else None
        if len(kept) > 300:
            del kept[: rng.randrange(300)]


@pytest.mark.parametrize("seconds", [1.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_eight_threads_allocate_while_it_starts_reads_and_stops(seconds):
    """Starts, snapshots and stops beside eight busy threads: nothing crashes, nothing stays on the books."""
    stop = threading.Event()
    threads = [threading.Thread(target=hammer, args=(stop, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    rounds = 0
    try:
        while not stop.is_set():
            with Sampled(512 if rounds % 2 else 8 * KIB) as trace:
                for _ in range(3):
                    assert trace.take().total_bytes >= 0
            rounds += 1
    finally:
        stop.set()
        timer.join()
        for thread in threads:
            thread.join()
    assert rounds > 0
    assert not sites.state()["hooked"]


# -- start, stop, and strangers


def test_blocks_that_outlive_the_trace_are_freed_in_peace():
    """Fifty starts and stops, each with blocks of the one before still alive."""
    kept: list = []
    for turn in range(50):
        with Sampled(256):
            kept.append(make_small(50))
            kept.append(make_array(3_000))
            if turn % 3:
                del kept[0]
        kept[-1].resize(5_000, refcheck=False)
    assert not sites.state()["hooked"]
    assert sites.state()["live"] == 0


def test_one_trace_at_a_time():
    """A second one is refused with a sentence, and the first goes on."""
    with Sampled() as trace:
        with pytest.raises(UnavailableError, match="another sampled trace runs"):
            memlab.trace(sample="1 MiB").start()
        kept = make_bytearray(500_000)
        assert of_line(trace.take(), "make_bytearray") >= 500_000
    assert len(kept) == 500_000


def test_a_forgotten_trace_ends():
    """A trace that nobody stopped is stopped when it is dropped."""
    running = memlab.trace(sample="64 KiB").start()
    assert sites.state()["running"]
    del running
    gc.collect()
    assert not sites.state()["running"]
    assert not sites.state()["hooked"]


ORDERS = {
    "inside": ("t.start()", "trace.start()", "trace.stop()", "t.stop()"),
    "around": ("trace.start()", "t.start()", "t.stop()", "trace.stop()"),
    "crossed, ours first": ("trace.start()", "t.start()", "trace.stop()", "t.stop()"),
    "crossed, theirs first": ("t.start()", "trace.start()", "t.stop()", "trace.stop()"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_tracemalloc_and_the_sample_live_side_by_side(order):
    """In every order of start and stop both count, nothing crashes, and what was lost is said."""
    lines = "\n".join(f"{step}\nkept.append(bytearray(600_000))" for step in ORDERS[order])
    told = in_child(
        f"""
import tracemalloc as t, memlab, gc
from memlab._native import sites
trace = memlab.trace(sample="4 KiB")
kept = []
theirs = []
{lines}
kept.clear()
print(sites.state()["hooked"], any("interrupted" in note for note in trace.result.notes))
again = memlab.trace(sample="4 KiB").start()
kept.append(bytearray(900_000))
size = again.stop().total_bytes
print(900_000 < size < 2_000_000, any("interrupted" in note for note in again.result.notes))
t.start(); kept.append(bytearray(10)); t.stop()
print(sites.state()["hooked"])
"""
    ).split()
    interrupted = str(order == "crossed, theirs first")
    stayed = str(order == "crossed, ours first")
    assert told[1] == interrupted
    assert told[2:4] == ["True", "False"]
    assert told[0] == stayed
    assert told[4] == "False"


def test_both_count_the_same_block():
    """Tracemalloc's figures are what they are without us."""
    was = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        with Sampled() as trace:
            before = tracemalloc.get_traced_memory()[0]
            kept = make_array(2_000_000)
            grown = tracemalloc.get_traced_memory()[0] - before
            ours = of_line(trace.take(), "make_array")
    finally:
        if not was:
            tracemalloc.stop()
    assert 2_000_000 <= grown < 2_100_000
    assert ours == pytest.approx(2_000_000, rel=0.02) or not sites.FOLLOWS
    assert len(kept) == 2_000_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_traced_and_may_trace():
    """The child goes on without a sample, is told so, and can begin one; the parent's goes on."""
    told = in_child(
        """
        import os, memlab, threading, time
        from memlab._native import sites
        stop = threading.Event()
        def busy():
            while not stop.is_set(): [str(n) for n in range(100)]
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for t in threads: t.start()
        trace = memlab.trace(sample="1 KiB").start()
        failed = 0
        for _ in range(6):
            child = os.fork()
            if child == 0:
                ok = not sites.state()["running"]
                kept = [bytes(100) for _ in range(3000)]
                try: trace.snapshot()
                except memlab.UnavailableError as error: ok = ok and "fork" in str(error)
                else: ok = False
                with memlab.trace(sample="1 KiB") as mine: kept2 = bytearray(300_000)
                ok = ok and mine.result.total_bytes > 290_000
                os._exit(0 if ok else 1)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        for t in threads: t.join()
        kept = bytearray(800_000)
        print(failed, trace.stop().total_bytes > 800_000)
        """
    ).split()
    assert told == ["0", "True"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters with a lock of their own are of 3.12")
def test_interpreters_made_meanwhile_are_counted_without_a_stack():
    """A second interpreter with a lock of its own allocates while it runs: no stack; before it: refused."""
    told = in_child(
        """
        import memlab, sys, threading
        try: import _interpreters as i
        except ImportError: import _xxsubinterpreters as i
        trace = memlab.trace(sample="512 B").start()
        made = [i.create() for _ in range(3)]
        code = "x = [str(n) * 3 for n in range(30000)]; del x"
        run = getattr(i, "run_string", None) or i.exec
        threads = [threading.Thread(target=run, args=(m, code)) for m in made]
        for t in threads: t.start()
        for _ in range(20): [str(n) for n in range(3000)]
        for t in threads: t.join()
        try: memlab.trace(sample="512 B").start()
        except memlab.UnavailableError: print("refused")
        for m in made: i.destroy(m)
        print(trace.stop().total_bytes > 0)
        """
    ).split()
    assert told == ["refused", "True"]


def test_a_second_interpreter_is_refused_at_the_start(monkeypatch):
    """One sentence, and no hook is put in."""
    monkeypatch.setattr("memlab.collectors.interpreters.count_interpreters", lambda: 2)
    with pytest.raises(UnavailableError, match="more than one interpreter"):
        memlab.trace(sample="1 MiB").start()
    assert not sites.state()["hooked"]


def test_tables_stay_within_their_budget():
    """What does not fit is lost and said; the tables take no more than was allowed."""
    with Sampled(64, budget_bytes=64 * KIB) as trace:
        kept = [make_small(20_000, 100), make_small(5_000, 120)]
        state = sites.state()
        snapshot = trace.take()
    assert state["own_bytes"] <= 64 * KIB
    assert state["lost"] > 0
    assert any("did not fit" in note for note in snapshot.notes)
    assert kept


def test_memory_given_back_at_the_end():
    """After the end the extension holds no table."""
    with Sampled(64):
        make_small(2_000)
    assert sites.state()["own_bytes"] == 0


def test_the_end_of_the_process_takes_the_hooks_out():
    """A program that never stops its trace ends as it would."""
    told = in_child(
        """
        import memlab, atexit
        from memlab._native import sites
        atexit.register(lambda: print(sites.state()["hooked"]))
        trace = memlab.trace(sample="1 KiB").start()
        kept = [bytes(1000) for _ in range(1000)]
        print("worked")
        """
    )
    assert told.split() == ["worked", "False"]


@pytest.mark.parametrize("allocator", ["malloc", "debug", "pymalloc_debug"])
def test_other_allocators_below_are_fine(allocator):
    """CPython's debug hooks and plain malloc give what they give."""
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import memlab\nwith memlab.trace(sample='1 KiB') as t:\n"
                "    kept = [bytes(500) for _ in range(4000)]\n"
                "print(1_500_000 < t.result.total_bytes < 3_000_000)"
            ),
        ],
        env={**os.environ, "PYTHONMALLOC": allocator},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert child.stdout.strip() == "True"


# -- one model


@pytest.fixture(scope="module")
def two():
    """Two snapshots of one trace."""
    with Sampled() as trace:
        kept = make_small(2_000)
        older = trace.engine.snapshot("older", "live", "own")
        kept += make_small(4_000)
        newer = trace.engine.snapshot("newer", "live", "own")
    return older, newer, kept


def test_a_diff_names_the_line_that_grew(two):
    """Snapshots of one engine are compared as any others."""
    older, newer, _ = two
    first = newer.diff(older).sites[0]
    assert first.site.frame.function.startswith("make_small")
    assert first.size_diff_bytes > 1_000_000


def test_snapshots_of_other_engines_or_samples_are_refused(two):
    """Never across engines, nor across samples: one sentence."""
    _, newer, _ = two
    with memlab.trace(sample=0) as exact:
        kept = make_small(10)
    with pytest.raises(UsageError, match="one was recorded by sampled, the other by tracemalloc"):
        newer.diff(exact.result)
    with Sampled(8 * KIB) as trace:
        kept += make_small(1_000)
        other = trace.take()
    with pytest.raises(UsageError, match="one has a sample each"):
        newer.diff(other)


def test_it_is_saved_loaded_filtered_and_drawn(two, tmp_path):
    """The one model: file, filter, flame graph, text and page."""
    _, newer, _ = two
    path = tmp_path / "sampled.memlab"
    newer.save(path)
    again = memlab.load(path)
    assert again == newer
    assert again.sample_bytes == 4 * KIB
    part = newer.filtered(memlab.SnapshotFilter(include=("*test_sampled.py",)))
    assert 0 < part.total_bytes <= newer.total_bytes
    assert len(part.statistics("line").low_bytes)
    assert newer.flame().to_html()
    assert "estimates from" in str(newer.statistics("line"))
    with pytest.raises(UsageError, match="sampled recorded it"):
        newer.to_tracemalloc()


# -- the choice


def test_the_choice_says_engine_reason_and_cost():
    """By default the sampled engine where it was built; 0 is every block; native is memray."""
    assert (choose().engine, choose().sample_bytes, choose().frames) == ("sampled", 512 * KIB, 25)
    assert (choose(0).engine, choose(0).frames) == ("tracemalloc", 1)
    assert choose("2 MiB", frames=3).frames == 3
    assert choose(native=True).engine == "memray"
    assert all(choose(sample).costs and choose(sample).reason for sample in (None, 0, "1 KiB"))


def test_without_the_extension_it_is_tracemalloc(monkeypatch):
    """What was not built is said; asked for by name it is refused."""
    monkeypatch.setattr(sampled_engine, "_native", lambda: None)
    assert choose().engine == "tracemalloc"
    assert "not built" in choose().reason
    with pytest.raises(UnavailableError, match=r"not built.*sample=0"):
        choose("512 KiB")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sample": "12 parsecs"}, "12 parsecs"),
        ({"sample": -1}, "-1"),
        ({"sample": 3}, "64 B to 1 TiB"),
        ({"sample": True}, "True"),
        ({"sample": float("nan")}, "nan"),
        ({"sample": "1 MiB", "native": True}, "leave sample out"),
        ({"frames": 0}, "1 to 128"),
        ({"frames": 129}, "1 to 128"),
        ({"frames": 2.5}, "2.5"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments, said):
    """One sentence that names the step and what would work."""
    with pytest.raises(UsageError, match=said):
        memlab.trace(**arguments)


def test_a_trace_is_used_in_order():
    """Before the start, while it runs and twice: each a sentence."""
    running = memlab.trace(sample="64 KiB")
    with pytest.raises(UsageError, match="not begun"):
        running.stop()
    with running:
        with pytest.raises(UsageError, match="still runs"):
            _ = running.result
        with pytest.raises(UsageError, match="live or allocated"):
            running.snapshot(measure="peak")
        with pytest.raises(UsageError, match="started before"):
            running.start()
    assert running.stop() is running.result
