"""MemoryProfiler: what its contract says, word for word, and a foreign tracer left as it was found."""

import asyncio
import inspect
import sys
import tracemalloc

import pytest

from memlab import MemlabError, MemoryProfiler, Snapshot, UnavailableError, UsageError

MB = 1024 * 1024


class Keeper:
    """Keeps 100 blocks of 100 KiB."""

    def __init__(self):
        self.kept = [bytes(100 * 1024) for _ in range(100)]


KEEPS = inspect.getsourcelines(Keeper)[1] + 4


@pytest.fixture(scope="module", autouse=True)
def _fonts():
    """Keep open the font files that matplotlib keeps open, before any descriptor is counted."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mpl.use("Agg")
    figure = Figure()
    figure.add_subplot().set_title("x")
    FigureCanvasAgg(figure).draw()


@pytest.fixture
def profiler():
    made = MemoryProfiler()
    yield made
    made.stop_profiling()


def test_its_arguments_are_readable_and_nothing_is_there_before_the_first_snapshot(profiler):
    made = MemoryProfiler(depth=3, aliases={"x": "y"})
    assert (made.depth, made.aliases) == (3, {"x": "y"})
    assert (profiler.snapshots, profiler.memory_timeline) == ([], [])
    assert profiler.get_top_allocations() == []
    assert profiler.compare_snapshots() == []
    assert not tracemalloc.is_tracing()


def test_start_and_stop_trace_and_both_may_be_repeated(profiler):
    assert profiler.start_profiling() is profiler
    profiler.start_profiling()
    assert tracemalloc.is_tracing()
    profiler.stop_profiling()
    profiler.stop_profiling()
    assert not tracemalloc.is_tracing()


def test_it_is_a_context_manager_and_ends_when_the_code_raises():
    with pytest.raises(ZeroDivisionError), MemoryProfiler() as made:
        assert tracemalloc.is_tracing()
        _ = 1 / 0
    assert not tracemalloc.is_tracing()
    assert made.snapshots == []


def test_snapshots_have_labels_and_default_ones_count(profiler):
    with profiler:
        first = profiler.take_snapshot()
        profiler.take_snapshot("mine")
        profiler.take_snapshot()
    assert [label for label, _ in profiler.snapshots] == ["snapshot_0", "mine", "snapshot_2"]
    assert profiler.snapshots[0][1] is first
    assert isinstance(first, Snapshot)
    assert [taken.label for _, taken in profiler.snapshots] == ["snapshot_0", "mine", "snapshot_2"]


def test_a_class_that_keeps_100_times_100_kib_comes_first_at_its_line(profiler):
    with profiler:
        profiler.take_snapshot("before")
        keeper = Keeper()
        profiler.take_snapshot("after")
    first = profiler.compare_snapshots()[0]
    assert set(first) == {"file", "line", "size_diff", "count_diff"}
    assert first["file"].endswith("test_profiler.py")
    assert first["line"] == KEEPS
    assert 100 * 100 / 1024 <= first["size_diff"] < 100 * 100 / 1024 + 0.1
    assert first["count_diff"] == 101, "100 blocks and the list's array"
    top = profiler.get_top_allocations()[0]
    assert set(top) == {"file", "line", "code", "size", "count"}
    assert (top["file"], top["line"]) == (first["file"], KEEPS)
    assert top["code"] == "self.kept = [bytes(100 * 1024) for _ in range(100)]"
    assert top["count"] == 101
    assert top["size"] == pytest.approx(9.766, abs=0.01)
    assert profiler.memory_timeline[1][1] - profiler.memory_timeline[0][1] == pytest.approx(9.77, abs=0.1)
    assert [number for number, _ in profiler.memory_timeline] == [0, 1]
    del keeper


def test_top_allocations_take_an_index_and_a_limit(profiler):
    with profiler:
        profiler.take_snapshot()
        keeper = Keeper()
        profiler.take_snapshot()
    assert len(profiler.get_top_allocations(limit=1)) == 1
    assert profiler.get_top_allocations(limit=0) == []
    assert all(top["line"] != KEEPS for top in profiler.get_top_allocations(snapshot_idx=0))
    sizes = [top["size"] for top in profiler.get_top_allocations(limit=50)]
    assert sizes == sorted(sizes, reverse=True)
    assert profiler.compare_snapshots(1, 0)[0]["size_diff"] < -9
    assert profiler.compare_snapshots(1, 1) == []
    del keeper


def test_allocations_in_asyncio_tasks_are_told_to_their_line(profiler):
    async def work(kept):
        await asyncio.sleep(0)
        kept.append(bytearray(700_000))

    line = sys._getframe().f_lineno - 2

    async def main():
        kept = []
        await asyncio.gather(*(work(kept) for _ in range(5)))
        return kept

    asyncio.run(main())  # the loop's own imports
    with profiler:
        profiler.take_snapshot()
        kept = asyncio.run(main())
        profiler.take_snapshot()
    first = profiler.compare_snapshots()[0]
    assert first["line"] == line
    assert first["size_diff"] == pytest.approx(5 * 700_000 / MB, abs=0.01)
    assert len(kept) == 5


@pytest.mark.parametrize("limit", [1, 7])
def test_a_foreign_tracemalloc_is_joined_and_goes_on_with_its_limit(profiler, limit):
    tracemalloc.start(limit)
    try:
        kept = bytearray(200_000)
        with profiler:
            profiler.take_snapshot()
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == limit
        assert tracemalloc.get_object_traceback(kept) is not None, "its traces are still there"
        assert profiler.snapshots[0][1].depth == limit
    finally:
        tracemalloc.stop()


def test_the_plot_goes_to_a_file_or_comes_back(profiler, tmp_path):
    import matplotlib.pyplot as plt

    with profiler:
        profiler.take_snapshot()
        kept = bytearray(3 * MB)
        profiler.take_snapshot()
    axes = profiler.plot_memory_usage()
    assert axes.lines
    plt.close(axes.get_figure())
    profiler.plot_memory_usage(tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes()[:4] == b"\x89PNG"
    assert plt.get_fignums() == []
    with pytest.raises(UsageError):
        profiler.plot_memory_usage(tmp_path / "memory.nonsense")
    assert [file.name for file in tmp_path.iterdir()] == ["memory.png"]
    assert plt.get_fignums() == []
    del kept


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: p.take_snapshot(), UnavailableError, "start_profiling"),
        (lambda p: p.plot_memory_usage(), UnavailableError, "take_snapshot"),
        (lambda p: p.get_top_allocations(limit=-1), UsageError, "limit must be"),
        (lambda p: MemoryProfiler(depth=0), UsageError, "depth must be"),
    ],
)
def test_wrong_use_is_one_sentence_with_a_remedy(profiler, call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(profiler)
    assert isinstance(caught.value, MemlabError)


def test_an_index_that_no_snapshot_has_is_said(profiler):
    with profiler:
        profiler.take_snapshot()
    for call in (lambda: profiler.get_top_allocations(3), lambda: profiler.compare_snapshots(0, "x")):
        with pytest.raises(UsageError, match="1 were taken"):
            call()
