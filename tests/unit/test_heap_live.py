"""What holds live objects: roots of every kind, garbage, and retained sizes against a second opinion."""

from __future__ import annotations

import atexit
import contextvars
import ctypes
import gc
import sys
import threading

import numpy as np
import pytest
from test_heap_engine import in_child, places_of

import memlab
from memlab.collectors import heap_engine
from memlab.records.heap_graph import EXTERNAL, NO_NODE
from memlab.testing import cycle

VARIABLE = contextvars.ContextVar("memlab_test_variable")


class Held:
    """Something to be found; a class of its own, so that nothing else is mistaken for it."""


class Keeper:
    shared = Held()


def ways(graph, obj):
    """Return the chains from roots to an object, in words."""
    return " | ".join(str(chain) for chain in graph.why(obj, chains=5).chains)


def reached(graph, obj):
    return graph.dominators.parent[graph.node(obj)] != NO_NODE


def captured_below(local):
    return memlab.heap()


def test_locals_of_callers_leaves_too():
    """What only a running function's variable holds is reached, named, and sized, tracked or not."""
    big = bytearray(10_000_000)
    plain = Held()
    graph = captured_below(Held())
    assert "local big" in ways(graph, big)
    assert "local plain" in ways(graph, plain)
    assert graph.retained_size(big) == sys.getsizeof(big)
    held = np.flatnonzero(graph.type_of == graph.types.index(f"{__name__}.Held"))
    assert len(held) == 3
    assert (graph.dominators.parent[held] != NO_NODE).all()


def test_a_module_a_class_a_cell_and_a_generator():
    """Each holder leads to what it holds, by name where it has one."""
    inside, kept = Held(), Held()

    def closure():
        return inside

    def steps(value):
        yield value

    generator = steps(Held())
    in_generator = next(generator)
    Keeper.shared.payload = bytearray(60_000_000)  # names are read for what keeps much
    graph = memlab.heap()
    del Keeper.shared.payload
    assert "shared" in ways(graph, Keeper.shared)
    assert "Keeper" in ways(graph, Keeper.shared)
    for obj in (inside, kept, in_generator):
        assert reached(graph, obj)
    node, generator_node = graph.node(in_generator), graph.node(generator)
    assert node in graph.edges[graph.starts[generator_node] : graph.starts[generator_node + 1]]
    assert closure() is inside


def test_context_variables_and_thread_locals():
    """What a context variable or a thread's own storage holds is reached from a root."""
    local = threading.local()
    local.value = Held()
    token = VARIABLE.set(Held())
    try:
        graph = memlab.heap()
        assert "context variable memlab_test_variable" in ways(graph, VARIABLE.get())
        assert reached(graph, local.value)
    finally:
        VARIABLE.reset(token)


def test_locals_of_other_threads():
    """A parked thread's variables are roots, and the thread is named."""
    ready, leave = threading.Event(), threading.Event()
    found = []

    def park():
        mine = Held()
        found.append(id(mine))
        ready.set()
        leave.wait(30)
        del mine

    thread = threading.Thread(target=park, name="parked-here")
    thread.start()
    try:
        assert ready.wait(30)
        graph = memlab.heap()
        (node,) = np.flatnonzero(graph.address == found[0])
        assert graph.dominators.parent[node] != NO_NODE
        assert "local mine" in str(graph.why(np.uint32(node)))
    finally:
        leave.set()
        thread.join()


def test_the_last_exception(monkeypatch):
    """What the interpreter keeps of the last uncaught error leads to the locals of its frames."""

    def fail():
        at_fault = Held()
        raise ValueError(at_fault)

    try:
        fail()
    except ValueError as error:
        monkeypatch.setattr(sys, "last_value", error, raising=False)
        monkeypatch.setattr(sys, "last_exc", error, raising=False)
        held = error.args[0]
    graph = memlab.heap()
    assert reached(graph, held)
    assert any(f"last_{name}" in ways(graph, held) for name in ("value", "exc")) or "local held" in ways(
        graph, held
    )


def test_what_only_c_code_holds():
    """A registered exit function and a reference taken in C: both alive, neither called garbage."""
    registered, taken = Held(), [Held()]
    address, inner = id(taken), id(taken[0])
    atexit.register(print, registered)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(taken))
    del taken
    try:
        gc.collect()
        graph = memlab.heap()
        (node,) = np.flatnonzero(graph.address == address)
        (below,) = np.flatnonzero(graph.address == inner)
        assert graph.flags[node] & EXTERNAL
        assert graph.dominators.parent[node] == len(graph)
        assert graph.dominators.parent[below] == node
        assert not graph.flags[below] & EXTERNAL
        assert reached(graph, registered)
    finally:
        atexit.unregister(print)
        ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


def test_garbage_is_reached_by_no_root():
    """Cycles that nothing holds: no dominator, counted by ``cycles``, left alone by the capture."""
    enabled = gc.isenabled()
    memlab.heap().cycles()  # imports what it needs
    gc.collect()
    gc.disable()
    try:
        before = memlab.heap().cycles()
        rings = [id(cycle(5)) for _ in range(200)]
        graph = memlab.heap()
        found = graph.cycles()
        assert found.objects - before.objects == 1000
        islands = np.flatnonzero(np.isin(graph.address, np.array(rings, np.uint64)))
        assert len(islands) == 200
        assert (graph.dominators.parent[islands] == NO_NODE).all()
        assert gc.collect() >= 1000
    finally:
        (gc.enable if enabled else gc.disable)()


FROZEN_GARBAGE = """
import gc, json
import memlab
class Held: pass
kept = [Held() for _ in range(200)]
memlab.heap(max_objects=2000)
gc.freeze()
graph = memlab.heap()
count = graph.census()
held = int(count.objects[count.types.index("__main__.Held")])
print(json.dumps([held, graph.frozen, gc.get_freeze_count(), len(graph)]))
"""


def test_frozen_objects_are_reached_through_others():
    """What the collector no longer lists is found behind modules; the count of frozen objects is told."""
    held, told, frozen, nodes = in_child(FROZEN_GARBAGE)
    assert held == 200
    assert told == frozen > 10_000
    assert nodes > frozen / 2


def test_retained_sizes_against_another_implementation():
    """On a real heap, cut down, networkx finds the same immediate dominators and the same sums."""
    networkx = pytest.importorskip("networkx")
    graph = memlab.heap(max_objects=25_000)
    count = len(graph)
    holders = np.repeat(np.arange(count), np.diff(graph.starts.astype(np.int64)))
    world = networkx.DiGraph()
    world.add_nodes_from(range(count + 1))
    world.add_edges_from(zip(holders.tolist(), graph.edges.tolist(), strict=True))
    world.add_edges_from((count, root) for root in graph.roots.tolist())
    theirs = networkx.immediate_dominators(world, count)
    theirs.pop(count, None)
    ours = graph.dominators.parent
    assert {node: int(ours[node]) for node in np.flatnonzero(ours != NO_NODE).tolist()} == theirs
    assert len(theirs) > 20_000
    retained = graph.sizes.tolist()
    tree = networkx.DiGraph((above, node) for node, above in theirs.items())
    for node in networkx.dfs_postorder_nodes(tree, count):
        if node != count and theirs[node] != count:
            retained[theirs[node]] += retained[node]
    assert graph.dominators.retained_bytes.tolist() == retained


def test_a_node_is_found_for_every_live_object():
    """Objects that the collector tracks are in the graph, each at its own place."""
    objects = [Held() for _ in range(1000)]
    graph = memlab.heap()
    places = places_of(graph, objects)
    assert (places >= 0).all()
    assert len(set(places.tolist())) == 1000
    assert places.tolist() == [graph.node(obj) for obj in objects]


def test_on_a_python_that_was_never_tested_a_note_says_so(monkeypatch):
    """A capture on a newer Python carries a note; one on a tested Python carries none."""
    assert not any("tested" in note for note in memlab.heap().notes)
    monkeypatch.setattr(heap_engine, "NEWEST_TESTED", (3, 10))
    version = ".".join(map(str, sys.version_info[:2]))
    assert any(f"Python {version} is newer than the newest" in note for note in memlab.heap().notes)


def test_without_a_gil_a_capture_says_what_is_estimated_and_is_refused_beside_threads(monkeypatch):
    """On a free-threaded build one thread gets a capture with a note, several get a sentence."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    monkeypatch.setattr(heap_engine.sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert any("free-threaded build" in note for note in memlab.heap().notes)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(memlab.UnavailableError, match="stop them first"):
            memlab.heap()
    finally:
        stop.set()
        thread.join()
