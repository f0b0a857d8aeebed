"""Births told exactly: nothing new missed, nothing old flagged, and the process left as it was."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import numpy as np
import pytest
from test_heap_engine import in_child, needs_native, places_of

import memlab
from memlab.collectors import heap_births, heap_engine
from memlab.records.heap_graph import BORN, BORN_UNKNOWN

TRACER = sys.version_info >= (3, 13) and heap_engine.native is not None
by_tracer = pytest.mark.skipif(
    not TRACER, reason="needs the reference tracer of Python 3.13 and the extension"
)
by_freeze = pytest.mark.skipif(TRACER, reason="the reference tracer tells births here")


class Thing:
    def __init__(self, value=None):
        self.value = value


class Small:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


@pytest.fixture(params=[pytest.param("native", marks=needs_native), "python"])
def engine(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(heap_engine, "native", None)
        monkeypatch.setattr(heap_births, "native", None)
    return request.param


def marks_of(graph, objects):
    """Return how many of the objects are flagged new, unknown, and not in the graph."""
    places = places_of(graph, objects)
    flags = graph.flags[places[places >= 0]]
    return int(((flags & BORN) != 0).sum()), int(((flags & BORN_UNKNOWN) != 0).sum()), int((places < 0).sum())


def test_no_birth_is_missed_and_nothing_old_is_new(engine):
    """Instances, containers and what they hold: every new one is flagged, no old one is."""
    old = [Thing([n]) for n in range(20_000)]
    gc.collect()
    with memlab.heap_window() as window:
        new = [Thing([n]) for n in range(20_000)]
        new += [Small({n: [n]}) for n in range(5_000)]
    lists = [thing.value for thing in new[:20_000]]
    assert marks_of(window.newer, new) == (25_000, 0, 0)
    assert marks_of(window.newer, lists) == (20_000, 0, 0)
    assert marks_of(window.newer, old) == (0, 0, 0)
    assert marks_of(window.newer, [thing.value for thing in old]) == (0, 0, 0)
    rows = {row.type_name: row for row in window.diff.types}
    assert window.diff.exact
    assert rows[f"{__name__}.Thing"].born == 20_000
    assert rows[f"{__name__}.Small"].born == 5_000


def test_addresses_used_again_are_no_disguise():
    """100,000 instances freed, as many made at the same addresses: all are new, and the survivors old."""
    kept = [Thing() for _ in range(100_000)]
    gone = {id(thing) for thing in kept[::2]}
    survivors = kept[1::2]
    with memlab.heap_window() as window:
        kept.clear()
        kept += [Thing() for _ in range(50_000)]
    again = sum(id(thing) in gone for thing in kept)
    assert again > 25_000
    assert marks_of(window.newer, kept) == (50_000, 0, 0)
    assert marks_of(window.newer, survivors) == (0, 0, 0)
    row = next(row for row in window.diff.types if row.type_name == f"{__name__}.Thing")
    assert (row.born, row.objects_diff) == (50_000, 0)


@by_tracer
def test_leaves_are_told_by_the_tracer():
    """Numbers and text, from free lists too, and containers that the collector does not track."""
    old = [[float(n), f"old {n}", (n, str(n)), bytes([n % 256, 1])] for n in range(10_000)]
    floats = [n + 0.25 for n in range(10_000)]
    del floats[::2]
    with memlab.heap_window() as window:
        new = [[n + 0.5, f"new {n}", (n + 0.5, str(n)), bytes([n % 256, 2])] for n in range(10_000)]
        old.append(n_held_by_old := [1e9])
    leaves = [leaf for row in new for leaf in row]
    assert marks_of(window.newer, leaves) == (40_000, 0, 0)
    assert marks_of(window.newer, [n_held_by_old]) == (1, 0, 0)
    assert marks_of(window.newer, [leaf for row in old[:-1] for leaf in row]) == (0, 0, 0)
    assert marks_of(window.newer, floats) == (0, 0, 0)


@by_freeze
def test_leaves_are_told_where_freezing_can():
    """A leaf held by new objects alone is new; one that something old holds is unknown, never called new."""
    old_list, old_text = [], ["old " + str(n) for n in range(1000)]
    with memlab.heap_window() as window:
        new = [[n + 0.5, "new " + str(n)] for n in range(1000)]
        old_list += [n + 0.25 for n in range(1000)]
    leaves = [leaf for row in new for leaf in row]
    assert marks_of(window.newer, leaves) == (2000, 0, 0)
    assert marks_of(window.newer, old_list) == (0, 1000, 0)
    assert marks_of(window.newer, old_text) == (0, 1000, 0)
    assert any("gc.freeze" in note for note in window.newer.notes)


ANOTHER = """
import ctypes, gc, json
api = ctypes.pythonapi
api.PyRefTracer_SetTracer.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
api.PyRefTracer_GetTracer.argtypes = [ctypes.c_void_p]
api.PyRefTracer_GetTracer.restype = ctypes.c_void_p
other = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p)  # takes the call, does nothing
import tracemalloc
import memlab
class Thing: pass
with memlab.heap_window(): pass
tracemalloc.start()  # sets a tracer, by which it learns of objects from free lists
theirs = api.PyRefTracer_GetTracer(None)
kept = [None] * 100
with memlab.heap_window() as window:
    kept = [Thing() for _ in kept]
    {within}
after = api.PyRefTracer_GetTracer(None)
told = sum(tracemalloc.get_object_traceback(thing) is not None for thing in kept)
tracemalloc.stop()
api.PyRefTracer_SetTracer(None, None)
diff = window.diff
born = {{row.type_name: row.born for row in diff.types}}["__main__.Thing"]
print(json.dumps([after == theirs, diff.exact, born, told]))
"""


@by_tracer
def test_another_reference_tracer_goes_on_being_told():
    """Somebody else's tracer sees what it saw without the window, and is back in place after it."""
    stays, exact, born, told = in_child(ANOTHER.format(within=""))
    assert (stays, exact, born) == (True, True, 100)
    assert told >= 100


@by_tracer
def test_a_tracer_set_within_the_block_stays():
    """It takes the place of memlab's, births are lost, and nothing is claimed of them."""
    stays, exact, born, _ = in_child(ANOTHER.format(within="api.PyRefTracer_SetTracer(other, None)"))
    assert (stays, exact, born) == (False, False, None)


FROZEN = """
import gc, json
import memlab
kept = [[n] for n in range(1000)]
memlab.heap(max_objects=2000)
gc.collect()
gc.freeze()
before = gc.get_freeze_count()
graph = memlab.heap()
with memlab.heap_window() as window:
    new = [object() for _ in range(100)]
places = [graph.node(item) for item in kept[:50]]
print(json.dumps([before, gc.get_freeze_count(), graph.frozen, len(set(places)), window.diff.exact,
                  list(graph.notes), list(window.newer.notes)]))
"""


def test_a_frozen_heap_is_reported_and_stays_frozen():
    """Frozen objects are reached through others; how many there are is told; nothing is thawed."""
    before, after, told, found, exact, notes, window_notes = in_child(FROZEN)
    assert before == after == told
    assert before > 10_000
    assert found == 50
    assert any("frozen" in note for note in notes)
    assert exact is TRACER
    assert TRACER or any("No birth marks" in note and "frozen already" in note for note in window_notes)


def test_nested_windows():
    """The outer one keeps its marks whatever the inner does, which has none of the outer's."""
    frozen = gc.get_freeze_count()
    with memlab.heap_window() as outer:
        first = [Thing() for _ in range(100)]
        with memlab.heap_window() as inner:
            second = [Thing() for _ in range(200)]
        third = [Thing() for _ in range(50)]
        plain = memlab.heap()
    assert not (plain.flags & (BORN | BORN_UNKNOWN)).any()
    assert outer.diff.exact
    assert marks_of(outer.newer, [*first, *second, *third]) == (350, 0, 0)
    if TRACER:  # the inner one could freeze the heap
        assert inner.diff.exact
        assert marks_of(inner.newer, second) == (200, 0, 0)
        assert marks_of(inner.newer, first) == (0, 0, 0)
    else:
        assert not inner.diff.exact
        assert inner.newer.mark_id == ""
        assert any("No birth marks" in note for note in inner.newer.notes)
        assert not (inner.newer.flags & (BORN | BORN_UNKNOWN)).any()
    assert gc.get_freeze_count() <= frozen


def test_an_exception_passes_and_everything_is_restored(engine):
    """The block's own error reaches the caller; no tracer, no frozen heap, no result is left."""
    frozen, enabled = gc.get_freeze_count(), gc.isenabled()
    with pytest.raises(KeyError, match="mine"), memlab.heap_window() as window:
        raise KeyError("mine")
    assert window.newer is None
    with pytest.raises(memlab.errors.UsageError, match="without an error"):
        _ = window.diff
    assert gc.get_freeze_count() <= frozen
    assert gc.isenabled() == enabled
    with memlab.heap_window() as again:
        new = [Thing() for _ in range(10)]
    assert again.diff.exact
    assert marks_of(again.newer, new) == (10, 0, 0)


def test_a_failed_capture_takes_the_marks_away(monkeypatch):
    """When the second capture fails, so does the block, and the marks are gone."""
    from memlab.lab import heap as lab_heap

    def fail(**_):
        raise MemoryError

    frozen = gc.get_freeze_count()
    with pytest.raises(MemoryError), memlab.heap_window():
        monkeypatch.setattr(lab_heap, "take_heap", fail)
    monkeypatch.undo()
    assert gc.get_freeze_count() <= frozen
    with memlab.heap_window() as again:
        new = Thing()
    assert marks_of(again.newer, [new]) == (1, 0, 0)


def test_a_window_while_tracemalloc_runs_gives_sites():
    """New objects carry the line that allocated them."""
    tracemalloc.start(1)
    try:
        with memlab.heap_window() as window:
            new = [Thing([n]) for n in range(500)]
    finally:
        tracemalloc.stop()
    graph = window.newer
    sites = dict(zip(graph.site_node.tolist(), graph.site_of.tolist(), strict=True))
    told = [graph.sites[sites[place]] for place in places_of(graph, new).tolist() if place in sites]
    assert len(told) == 500
    line = test_a_window_while_tracemalloc_runs_gives_sites.__code__.co_firstlineno + 5
    frames = {(frame.file.rpartition("/")[2], frame.line) for site in told for frame in site.frames}
    assert ("test_heap_window.py", line) in frames


def test_no_new_object_is_charged_to_memlab():
    """An empty block makes nothing: what memlab made meanwhile is in no difference."""
    with memlab.heap_window():
        pass
    with memlab.heap_window() as window:
        pass
    assert window.diff.born_objects < 60
    names = [row.type_name for row in window.diff.types if row.born]
    assert not [name for name in names if name.startswith(("memlab.", "numpy."))]


def test_the_diff_names_who_keeps_the_growth():
    """All new objects are charged to the old list that holds them."""
    keeper = Thing([])
    with memlab.heap_window() as window:
        keeper.value += [Thing(n) for n in range(5000)]
    first = window.diff.containers[0]
    assert (first.type_name, first.entries, first.entries_diff) == ("builtins.list", 5000, 5000)
    assert first.objects >= 5000
    assert np.isclose(first.retained_diff, window.diff.born_bytes, rtol=0.2)
