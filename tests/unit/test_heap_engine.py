"""The capture engine on real heaps: the extension and its twin alike, nothing run, kept, or disturbed."""

from __future__ import annotations

import array
import asyncio
import collections
import contextvars
import ctypes
import datetime as dt
import decimal
import functools
import gc
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import threading
import types
import weakref
from concurrent.futures import Future

import numpy as np
import pytest

import memlab
from memlab._base import safety
from memlab.collectors import census, heap_engine, heap_twin
from memlab.collectors import heap as heap_collector
from memlab.collectors.heap_engine import Order
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, NO_NODE, TRACKED
from memlab.testing import nosy_class

MOST = 10**8
needs_native = pytest.mark.skipif(heap_engine.native is None, reason="the C extension was not built")


def test_the_extension_is_there_where_it_must_be():
    """A build that is to have the extension fails without it, rather than skip what proves it."""
    if os.environ.get("MEMLAB_REQUIRE_NATIVE") != "1":
        pytest.skip("MEMLAB_REQUIRE_NATIVE=1 demands the extension; here its twin would do")
    assert heap_engine.native is not None, "memlab._native.heapgraph was not built"


@pytest.fixture(params=[pytest.param("native", marks=needs_native), "python"])
def engine(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(heap_engine, "native", None)
    return request.param


def raw_of(*seeds, limit=MOST, seconds=0.0, skip=()):
    """Capture at once, with seeds, by the engine in force."""
    return heap_engine.capture(Order(gc.get_objects(), list(seeds), list(skip), limit, seconds))


def flags_of(raw, node):
    return int(raw.flags[node])


def held_by(raw, node):
    return raw.edges[raw.starts[node] : raw.starts[node + 1]].tolist()


def places_of(graph, objects):
    """Return the nodes of live objects by address, ``-1`` for those that are not there."""
    order = np.argsort(graph.address, kind="stable")
    wanted = np.fromiter(map(id, objects), np.uint64, len(objects))
    at = order[np.minimum(np.searchsorted(graph.address[order], wanted), len(order) - 1)]
    return np.where(graph.address[at] == wanted, at.astype(np.int64), -1)


def in_child(code, *options, check=True, **environment):
    """Run code in a process of its own and return what it printed as JSON, else its last words."""
    command = [sys.executable, "-X", "faulthandler", *options, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=os.environ | environment
    )
    assert done.returncode == 0 or not check, done.stderr[-3000:]
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


# -- the extension and its twin


class Tree:
    shared = [1, 2]

    def __init__(self, parent=None):
        self.parent, self.children = parent, []
        if parent is not None:
            parent.children.append(self)

    @property
    def depth(self):
        return 0 if self.parent is None else self.parent.depth + 1


class Slotted(Tree):
    __slots__ = ("left", "right")


class Text(str):
    __slots__ = ("mark",)


class Worked(dict):
    pass


def records():
    """Data as JSON gives it, with keys shared and not, and text of every width."""
    rows = [
        {"id": n, "name": f"user-{n}", "tags": (f"t{n % 7}", None), "score": n * 1.5, "ü" * 3: "名" * (n % 5)}
        for n in range(3000)
    ]
    texts = ["é" * 40, "\U0001f9ea" * 9, b"bytes" * 7, b"", "", Text("marked")]
    return [rows, texts, {n: str(n) for n in range(2000)}, {frozenset((n, n + 1)) for n in range(200)}, set()]


def instances():
    """Objects of classes, and what code leaves alive: closures, generators, tasks, exceptions, threads."""
    root = Tree()
    kept = [root, Slotted(root), *[Slotted(root) for _ in range(500)], Text("a"), Worked(a=1)]
    for node in kept[1:400]:
        node.left = node.right = kept[0]
    vars(kept[2])  # one dictionary is made, the others stay inside

    def outer():
        cell = [1]

        def inner():
            return cell

        return inner

    def steps(local):
        yield local
        yield local

    async def waits(future):
        seen = [1]
        await future
        return seen

    generators = [steps([n]) for n in range(20)]
    for generator in generators[:10]:
        next(generator)
    waiting = waits(Awaited())
    waiting.send(None)
    try:
        raise ValueError([1])
    except ValueError as error:
        kept.append(error)
    kept += [outer() for _ in range(20)] + generators + [waiting]
    kept += [weakref.ref(root), weakref.WeakValueDictionary(a=root), weakref.proxy(root), root.__init__]
    kept += [functools.partial(print, root), functools.lru_cache(outer), collections.deque([root], 5)]
    kept += [collections.defaultdict(list, a=[1]), collections.OrderedDict(a=[1]), collections.Counter("aab")]
    kept += [re.compile("(?P<name>x+)"), memoryview(bytearray(9)), types.MappingProxyType({}), iter([1, 2])]
    kept += [
        types.SimpleNamespace(a=[1]),
        threading.local(),
        slice(1, [2]),
        range(9),
        zip([1], [2], strict=True),
        Future(),
    ]
    kept += [dt.datetime.now(dt.UTC), decimal.Decimal("1.5"), io.BytesIO(b"x" * 50)]
    kept += [type("Made", (Tree,), {"held": [1]}), staticmethod(outer), property(outer), 2**300, -5, 1j, 2.5]
    return [kept, asyncio.Queue(), contextvars.copy_context()]


class Awaited:
    def __await__(self):
        yield


def arrays():
    """Numbers in blocks, blocks that own objects, views, subclasses, and tables where pandas is there."""
    owner = np.array([["a" * 50], {"b": 1}, None, 5.5], object)
    whole = np.arange(5000.0)
    table = np.zeros(3, [("a", "i4"), ("b", "f8"), ("held", "O")])
    kept = [owner, owner[1:], owner.reshape(2, 2).T, whole, whole[10:20], whole[::2], table, np.float64(1.5)]
    kept += [
        np.asfortranarray(np.empty((3, 4), object)),
        np.array(["x", "yy"]),
        np.ma.array([1, 2], mask=[0, 1]),
    ]
    kept += [np.array([[1]] * 3, object).view(np.recarray), np.array(5, object), np.empty(0, object)]
    kept += [np.frombuffer(b"12345678", np.uint8), array.array("d", [1.0]), np.random.default_rng(1)]
    if importlib.util.find_spec("pandas") is not None:
        import pandas as pd

        frame = pd.DataFrame({"n": range(200), "text": [f"row {n}" for n in range(200)], "kind": "a"})
        kept += [
            frame,
            frame["text"].astype(object),
            frame.astype({"kind": "category"}),
            frame.set_index("n"),
        ]
    return [kept]


def both(build):
    """Capture one heap by both engines; plain variables only, since a cell would lead to the results."""
    seeds = build()
    heap_engine.outside_traverse()
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        objects = gc.get_objects()
        order = Order(objects, seeds, [], MOST)
        first = heap_engine.capture(order)
        first_types, first.types = list(map(id, first.types)), []
        second = heap_twin.capture(order)
        second_types, second.types = list(map(id, second.types)), []
    finally:
        if enabled:
            gc.enable()
    return first, second, first_types == second_types, seeds


def parts_of_engines():
    """Ids of what runs or is passed around during a capture: the other engine's look differs there."""
    waiting = [*vars(heap_engine).values(), *vars(heap_twin).values(), *vars(census).values()]
    waiting += [*vars(safety).values(), *vars(heap_engine.native).values(), heap_engine.outside_traverse()]
    waiting += [sys.getrefcount, np.fromiter, both]
    known = {}
    while waiting:
        part = waiting.pop()
        if id(part) in known:
            continue
        known[id(part)] = part
        if type(part) is tuple:
            waiting += part
        elif type(part) is types.FunctionType:
            waiting += [part.__code__, *part.__code__.co_names, *(part.__closure__ or ())]
        elif type(part) is heap_engine.Outside:
            waiting += [part.expanders, part.arrays]
        elif type(part) is type and part.__module__.startswith("memlab.collectors.heap_"):
            waiting += vars(part).values()
    return set(known)


@needs_native
@pytest.mark.parametrize("build", [records, instances, arrays])
def test_engines_agree_to_the_last_reference(build):
    """Nodes, edges in their order, sizes, types, hashes, seeds and flags are the same."""
    first, second, same_types, seeds = both(build)
    for name in ("address", "type_of", "size", "starts", "edges", "text_node", "hashes", "seed_node"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert same_types
    assert (first.huge, first.complete) == (second.huge, second.complete)
    assert len(first.address) > 20_000
    assert (first.seed_node != NO_NODE).all()
    apart = set(first.address[first.flags != second.flags].tolist())
    assert len(apart) < 40
    strange = [ctypes.cast(at, ctypes.py_object).value for at in apart - parts_of_engines()]
    # The interpreter's cache of attributes holds their names, and looks up others; a module's has dots.
    names = [part for part in strange if type(part) is str and part.replace(".", "_").isidentifier()]
    assert len(names) == len(strange), strange
    assert len(strange) <= 5
    del seeds


def test_every_object_of_the_collector_is_a_node_in_its_order(engine):
    """Node ``n`` is the ``n``-th tracked object; seeds that it does not list come after."""
    objects = gc.get_objects()
    listed = len(objects)
    leaf = bytearray(5)
    raw = heap_engine.capture(Order(objects, [leaf, objects[7]], [], MOST))
    assert raw.address[:listed].tolist() == list(map(id, objects))
    assert (raw.flags[:listed] & TRACKED).all()
    assert raw.address[raw.seed_node].tolist() == [id(leaf), id(objects[7])]
    assert raw.seed_node.tolist() == [listed, 7]


def test_what_is_to_be_skipped_is_no_node(engine):
    """An object that is to be skipped is in no list and behind no reference."""
    inner = [1]
    outer = [inner, inner]
    objects = gc.get_objects()
    raw = heap_engine.capture(Order(objects, [inner, outer], [inner], MOST))
    assert id(inner) not in set(raw.address.tolist())
    assert id(inner) not in set(map(id, objects))
    assert raw.seed_node[0] == NO_NODE
    assert held_by(raw, raw.seed_node[1]) == []


# -- sizes


class Lies:
    def __sizeof__(self):
        raise AssertionError("a Python-level __sizeof__ ran")


class LyingList(list):
    def __sizeof__(self):
        raise AssertionError("a Python-level __sizeof__ ran")


def sized():
    big = {n: n for n in range(1000)}
    return [
        *records(), *instances()[0], *(a for a in arrays()[0] if "pandas" not in type(a).__module__),
        *[0, 1, -1, 2**70, True, None, 1.5, 2j, "", "a", "é", "名", b"", b"abc", bytearray(100), (), (1, 2)],
        *[[], [1], list(range(100)), {}, {1: 2}, big, set(), set(range(100)), frozenset((1,)), range(3), ...],
        *[int, type, object, Tree, Lies, sized, len, sys, Tree.depth, (n for n in ()), sized.__code__],
        *[np.zeros(1000), np.zeros((10, 10))[2:], np.dtype("f8"), np.float32(1), array.array("i", [1] * 99)],
        *[memoryview(b"abc"), weakref.ref(Tree), type(Tree.__init__), sys._getframe(), object()],
        *[collections.deque(range(1000)), io.StringIO("x" * 99), threading.Lock(), [0] * 5000],
    ]  # fmt: skip


def overcharge(obj):
    """What ``sys.getsizeof`` adds before Python 3.13 for the collector's header, which no static type has."""
    static = isinstance(obj, type) and not obj.__flags__ & (1 << 9)
    return 16 if static and sys.version_info < (3, 13) else 0


def test_sizes_are_those_of_getsizeof(engine):
    """Shallow sizes are ``sys.getsizeof``'s, buffers included, for every kind of object at hand."""
    objects = sized()
    raw = raw_of(*objects)
    expected = [sys.getsizeof(obj) - overcharge(obj) for obj in objects]
    found = raw.size[raw.seed_node].tolist()
    wrong = [
        (type(obj).__name__, want, have)
        for obj, want, have in zip(objects, expected, found, strict=True)
        if want != have
    ]
    assert wrong == []
    assert len(objects) > 400


def test_no_python_level_size_is_asked(engine):
    """Instead of a class's own ``__sizeof__`` the next one in C answers."""
    plain, listed = Lies(), LyingList(range(100))
    raw = raw_of(plain, listed)
    plain_size, listed_size = raw.size[raw.seed_node].tolist()
    assert plain_size == sys.getsizeof(Tree())
    assert listed_size == list.__sizeof__(listed) + sys.getsizeof(Worked()) - dict.__sizeof__(Worked())


def test_sizes_of_four_gib_and_more_are_told(engine):
    """What 32 bits cannot say stands in the table beside them; the memory is never touched."""
    try:
        huge = np.zeros(5 * 2**30, np.uint8)
    except MemoryError:
        pytest.skip("this system promises no 5 GiB that nobody touches")
    raw = raw_of(huge, np.zeros(10))
    node = int(raw.seed_node[0])
    assert raw.size[node] == 2**32 - 1
    assert raw.huge == [(node, sys.getsizeof(huge))]


def test_a_graph_tells_the_size_of_a_huge_object():
    """And so do the graph's sizes, its total and what retains it."""
    try:
        huge = [np.zeros(5 * 2**30, np.uint8)]
    except MemoryError:
        pytest.skip("this system promises no 5 GiB that nobody touches")
    graph = memlab.heap()
    assert graph.sizes[graph.node(huge[0])] == 5 * 2**30 + sys.getsizeof(np.zeros(0))
    assert graph.total_bytes > 5 * 2**30
    assert graph.retained_size(huge) == sys.getsizeof(huge) + sys.getsizeof(huge[0])


# -- roots, by accounting


def test_only_what_c_code_holds_is_a_root(engine):
    """The same list in a list, with and without one reference more: only the mark differs."""
    outer = [["inner"]]
    before = raw_of(outer)
    inside = held_by(before, before.seed_node[0])[0]
    assert not flags_of(before, inside) & (EXTERNAL | IMMORTAL)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(outer[0]))
    try:
        after = raw_of(outer)
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(outer[0]))
    inside = held_by(after, after.seed_node[0])[0]
    assert flags_of(after, inside) & EXTERNAL


def test_immortals_are_told(engine):
    """What the interpreter never frees has a mark of its own from Python 3.12 on."""
    raw = raw_of(None, int, 5, "a")
    flags = [flags_of(raw, node) & (IMMORTAL | EXTERNAL) for node in raw.seed_node]
    if sys.version_info >= (3, 12):
        assert flags[:3] == [IMMORTAL] * 3
    else:
        assert flags[:3] == [EXTERNAL] * 3


@needs_native
def test_immortals_stay_immortal():
    """Counts of references that stand for "never freed" are the same after many captures."""
    watched = [None, True, 0, 5, int, list, dict, str, "a", (), b""]
    elements = np.full(1000, None, object)
    before = [counter(obj) for obj in watched]
    for _ in range(5):
        raw_of(elements)
    after = [counter(obj) for obj in watched]
    if sys.version_info >= (3, 12):
        assert after == before
    else:
        assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True))


def counter(obj):
    """The first word of an object, where its references are counted; ``sys.getrefcount`` may round it."""
    return ctypes.c_ssize_t.from_address(id(obj)).value


# -- limits


@pytest.mark.parametrize("limit", [0, 1, 500, 20_000])
def test_a_limit_cuts_and_says_so(engine, limit):
    """At most so many nodes, all references inside, and no claim to be whole."""
    raw = raw_of(limit=limit)
    assert len(raw.address) == limit
    assert not raw.complete
    assert len(raw.starts) == limit + 1
    assert raw.starts[-1] == len(raw.edges)
    assert not len(raw.edges) or raw.edges.max() < limit
    assert not len(raw.text_node) or raw.text_node.max() < limit


class _Counted:
    def __init__(self, number):
        self.number = [number]


def test_a_limit_leaves_room_for_the_roots(engine):
    """What holds everything is in a graph that holds a part, and the n-th object is still node n."""
    held = [_Counted(number) for number in range(20_000)]
    order = Order(gc.get_objects(), [held, held[-1]], [], 5_000)
    raw = heap_engine.capture(order)
    assert not raw.complete
    assert (raw.seed_node != NO_NODE).all()
    listed = len(order.objects)
    assert listed < 5_000
    assert raw.address[:listed].tolist() == list(map(id, order.objects))


@pytest.mark.parametrize("budget", [1, 1 << 20, 4 << 20])
def test_a_budget_cuts_and_says_so(engine, budget):
    """Within the memory it was given, the graph holds roots, tracked objects and what only they lead to."""
    held = [_Counted(number) for number in range(40_000)]
    texts = ["".join(["text", str(number)]) for number in range(500)]
    order = Order(gc.get_objects(), [texts], [], MOST, 0.0, budget)
    raw = heap_engine.capture(order)
    nodes, references = len(raw.address), len(raw.edges)
    assert not raw.complete
    assert nodes <= budget // 160 + 1
    assert references * 4 <= max(budget // 4, 4 * nodes) or engine == "python"
    assert not references or raw.edges.max() < nodes
    assert raw.starts[-1] == references
    assert raw.seed_node[0] != NO_NODE or budget == 1
    if budget >= 1 << 20:
        kinds = [raw.types[number] for number in np.unique(raw.type_of).tolist()]
        assert str in kinds
        assert len(order.objects) <= nodes
    assert len(held) == 40_000


def test_a_deadline_cuts_and_says_so(engine):
    """Out of time at once: nothing was asked, which is a graph as well."""
    raw = raw_of(seconds=1e-9)
    assert not raw.complete
    assert len(raw.starts) == len(raw.address) + 1
    assert not len(raw.edges) or raw.edges.max() < len(raw.address)


def every_answer(graph, obj):
    """Ask all questions, and show each answer as text and as a page."""
    answers = [graph, graph.census(), graph.dominator_tree(), graph.suspects(), graph.suspects(share=0.001)]
    answers += [graph.cycles(), graph.duplicates(), graph.by_module(), graph.by_package(), graph.diff(graph)]
    if obj is not None:
        answers += [graph.why(obj), graph.what_if(obj)]
        graph.retained_size(obj)
    if importlib.util.find_spec("pandas") is not None:
        frames = [graph.query(limit=500), graph.top_retained(5), graph.query(type="*Nosy*")]
        answers += [str(frame) for frame in frames]
    for answer in answers:
        if not isinstance(answer, str):
            assert str(answer)
            assert repr(answer)
            assert "</html>" in answer.to_html()
            if answer is not graph:
                answer.to_dict()
    return answers


@pytest.mark.parametrize("limits", [{"max_objects": 3000}, {"max_objects": 1}, {"seconds": 1e-9}])
def test_a_partial_graph_answers_every_question(limits):
    """A capture that a limit ended says so, and answers."""
    graph = memlab.heap(**limits)
    assert not graph.complete
    assert any("limit" in note for note in graph.notes)
    target = np.uint32(0) if len(graph) else None
    answers = every_answer(graph, target)
    assert len(answers) >= 10


# -- nothing runs, nothing stays, nothing is disturbed


HOOKS = (
    *("__iter__", "__getitem__", "__len__", "__eq__", "__hash__", "__repr__", "__str__", "__contains__"),
    *("__sizeof__", "__getattribute__", "__bool__", "__index__", "__format__", "__reduce_ex__", "__lt__"),
    *("__array_finalize__", "__array__", "__array_function__", "__array_ufunc__", "__buffer__"),
    *("__class_getitem__", "__missing__", "__dir__", "__call__", "__get__", "__set_name__"),
)


def loud(base, calls):
    """Make a subclass of a builtin whose every special method is counted."""

    def hook(name):
        def run(self, *args, **options):
            calls[f"{base.__name__}.{name}"] += 1
            native = getattr(base, name, None)
            if native is None:
                raise TypeError(name)
            return native(self, *args, **options)

        return run

    return type(f"Loud{base.__name__}", (base,), {name: hook(name) for name in HOOKS})


def test_no_hook_runs_in_captures_questions_and_views():
    """Objects, classes and metaclasses whose every hook is counted: none was called."""
    kind, calls = nosy_class()
    module = types.ModuleType("app_loud")
    sys.modules["app_loud"] = module
    try:
        holder, target = kind(), kind()
        object.__getattribute__(holder, "__dict__")["attribute"] = target
        module.kind, module.holder, module.listed = kind, holder, [target, kind()]
        module.mapped, module.sets = {"key": target, target: 1, kind: 2}, {target, holder}
        module.array = np.empty(3, object)
        module.array[0], module.array[1] = target, holder
        module.table = type("Plain", (), {"shared": target, "__slots__": ("slot",)})()
        module.table.slot = target
        module.function = lambda kept=target: kept
        for base in (list, dict, set, tuple, str, bytes, int, float, bytearray, frozenset, np.ndarray):
            made = loud(base, calls)
            made_one = made((3,)) if base in (list, set, tuple, bytes, frozenset, np.ndarray) else made()
            setattr(module, base.__name__, made_one)
            module.listed.append(made_one)
        module.garbage = None
        calls.clear()
        graph = memlab.heap(reveal_keys=True)
        every_answer(graph, target)
        graph.why(kind)
        graph.what_if(references=[(module.listed, target)])
        graph.what_if(holder, kind)
        with memlab.heap_window() as window:
            module.garbage = [target, type(holder)]
        assert str(window.newer)
        assert str(window.newer.why(module.listed))
        assert str(window.diff)
        assert "</html>" in window.diff.to_html()
        assert calls == {}
        assert "Nosy" in str(graph.query(type="*Nosy", limit=50) if "pandas" in sys.modules else "Nosy")
        assert graph.retained_size(holder) > 0
    finally:
        del sys.modules["app_loud"]


def test_nothing_is_kept_alive():
    """What only the caller held is freed at once, by its count alone, though the graph lives on."""
    objects = [Tree() for _ in range(100)] + [Lies()]
    ends = [weakref.ref(obj) for obj in objects]
    counts = [sys.getrefcount(obj) for obj in objects]
    gc.disable()
    try:
        graph = memlab.heap()
        assert [sys.getrefcount(obj) for obj in objects] == counts
        del objects
        assert [end() for end in ends] == [None] * 101
    finally:
        gc.enable()
    assert len(graph) > 1000


def collector_state():
    return (
        gc.isenabled(),
        gc.get_threshold(),
        list(map(id, gc.callbacks)),
        gc.get_freeze_count(),
        gc.get_debug(),
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_found(engine, monkeypatch, enabled):
    """Enabled or not, with its thresholds, callbacks and frozen objects; also when the capture fails."""

    def fail(*_):
        raise RuntimeError("in the middle")

    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        before = collector_state()
        memlab.heap(max_objects=5000)
        assert collector_state() == before
        with pytest.raises(TypeError):
            heap_engine.capture(Order(5, [], [], MOST))
        assert collector_state() == before
        monkeypatch.setattr(heap_collector, "_graph", fail)
        with pytest.raises(RuntimeError):
            memlab.heap()
        assert collector_state() == before
    finally:
        (gc.enable if was else gc.disable)()


QUIET = """
import gc, json
import numpy as np
import memlab
from memlab.collectors import heap_engine
if {python}:
    heap_engine.native = None
seen = np.zeros((8, 5), np.int64)
def once(turn):
    graph = memlab.heap()
    seen[turn] = len(graph), len(graph.edges), graph.total_bytes, len(graph.types), len(graph.roots)
gc.collect()
for turn in range(8):
    once(turn)
print(json.dumps(seen.tolist()))
"""


@pytest.mark.parametrize(
    "python", [pytest.param(0, marks=needs_native, id="native"), pytest.param(1, id="python")]
)
def test_captures_of_a_quiet_process_are_the_same(python):
    """No object of one capture is in the next: counts, bytes, references and roots stay as they are."""
    seen = in_child(QUIET.format(python=python))
    # The first few fill the interpreter's free lists and caches.
    assert seen[7] == seen[6] == seen[5]


def test_a_capture_that_is_kept_is_the_only_difference():
    """And a capture that the program keeps is not called growth."""
    memlab.heap().diff(memlab.heap())  # what is imported for it is no growth
    first = memlab.heap()
    second = memlab.heap()
    diff = second.diff(first)
    grown = [row for row in diff.types if row.objects_diff and not row.type_name.startswith("builtins.")]
    assert grown == []
    assert abs(diff.objects_diff) < 300


ASKED = """
import gc, json
import memlab
obj = [1]
first = memlab.heap()
def ask():
    graph = memlab.heap()
    graph.census(), graph.dominator_tree(), graph.suspects(), graph.cycles(), graph.duplicates()
    graph.by_module(), graph.by_package(), graph.why(obj), graph.what_if(obj), graph.diff(first)
    with memlab.heap_window() as window:
        pass
    assert window.diff
gc.disable()
ask()
gc.collect()
gc.set_debug(gc.DEBUG_SAVEALL)
ask()
gc.collect()
print(json.dumps([str(type(item)) for item in gc.garbage]))
"""


def test_no_garbage_is_left():
    """Captures, questions and windows leave nothing that only the collector could free."""
    assert in_child(ASKED) == []
