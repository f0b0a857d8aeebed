"""Who holds an object: exact chains for every kind of holder, and honest words where there is none."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import gc
import subprocess
import sys
import textwrap
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest

from memlab import errors
from memlab.collectors.references import find_chains, why
from memlab.records.chain import RootKind
from memlab.testing import Leaked, chain, cycle, known_leak


class Thing:
    """Held by what the tests make."""


class Slotted:
    __slots__ = ("__weakref__", "value")


@pytest.fixture
def registry():
    """An imported module of the test's own: the only holder, so chains are exact."""
    module = types.ModuleType("app_registry")
    sys.modules["app_registry"] = module
    yield module
    del sys.modules["app_registry"]


def texts(result):
    return [str(found) for found in result.chains]


def only(result):
    """The one chain to an object that the caller's variable alone holds besides."""
    (found,) = result.chains
    return str(found)


def test_global_leads_from_its_module(registry):
    """A module's global is named by module and name, and the container carries the name."""
    registry._live = {obj := Thing()}
    found = why(obj)
    assert [str(c) for c in found.chains] == ["module app_registry -> ._live (set) -> [member] Thing"]
    assert found.chains[0].root is RootKind.MODULE
    assert [link.type_name for link in found.chains[0].links] == [
        "builtins.module", "builtins.set", f"{__name__}.Thing",
    ]  # fmt: skip
    assert found.chains[0].links[1].label == "_live (set)"
    assert found.verdict.startswith("It is held by _live (set), reached from module app_registry.")


def hold_in_list(obj):
    return [None, obj], "-> .holder (list) -> [1] Thing"


def hold_in_tuple(obj):
    return (obj,), "-> .holder (tuple) -> [0] Thing"


def hold_in_deque(obj):
    return deque([obj]), "-> .holder (deque) -> [0] Thing"


def hold_as_value(obj):
    return {"secret": obj}, "-> .holder (dict) -> [value] Thing"


def hold_as_key(obj):
    return {obj: 1}, "-> .holder (dict) -> [key] Thing"


def hold_in_ordered(obj):
    return OrderedDict(secret=obj), "-> .holder (OrderedDict) -> [value] Thing"


def hold_as_factory(obj):
    return defaultdict(
        obj.__init__
    ), "-> .holder (defaultdict) -> .default_factory method-wrapper -> .__self__ Thing"


def hold_in_frozenset(obj):
    return frozenset([obj]), "-> .holder (frozenset) -> [member] Thing"


def hold_in_attribute(obj):
    holder = Thing()
    holder.inner = obj
    return holder, "-> .holder Thing -> .inner Thing"


def hold_in_slot(obj):
    holder = Slotted()
    holder.value = obj
    return holder, "-> .holder Slotted -> .value Thing"


def hold_in_read_dict(obj):
    holder = Thing()
    holder.inner = obj
    vars(holder)  # from now on the dictionary is an object of its own
    return holder, "-> .holder Thing -> .inner Thing"


def hold_in_class(obj):
    return type("Config", (), {"current": obj}), f"-> .holder class {__name__}.Config -> .current Thing"


def hold_in_closure(obj):
    def inner():
        return obj

    here = inner.__code__
    place = f"{here.co_qualname}() at tests/unit/test_references.py:{here.co_firstlineno}"
    return inner, f"-> .holder function {place} -> closure obj Thing"


def hold_in_default(obj):
    def inner(x=obj):
        return x

    here = inner.__code__
    place = f"{here.co_qualname}() at tests/unit/test_references.py:{here.co_firstlineno}"
    return inner, f"-> .holder function {place} -> .__defaults__ (tuple) -> [0] Thing"


def hold_in_cell(obj):
    return types.CellType(obj), "-> .holder cell -> .cell_contents Thing"


class Acting(Thing):
    def act(self): ...


def hold_in_partial(obj):
    return functools.partial(print, obj), "-> .holder partial -> .args (tuple) -> [0] Thing"


def hold_in_cache(obj):
    cached = functools.lru_cache(maxsize=4)(lambda: obj_of_cache.pop())
    obj_of_cache.append(obj)
    cached()
    return cached, "-> .holder _lru_cache_wrapper -> cache entry Thing"


obj_of_cache: list = []


def hold_in_generator(obj):
    def steps(kept):
        yield 1
        yield kept

    generator = steps(obj)
    next(generator)
    here = steps.__code__
    place = f"{here.co_qualname}() at tests/unit/test_references.py:{here.co_firstlineno}"
    return generator, f"-> .holder generator {place} -> local kept Thing"


def hold_in_weak_keys(obj):
    key = Slotted()
    table = weakref.WeakKeyDictionary({key: obj})
    return (table, key), "-> .holder (tuple) -> [0] WeakKeyDictionary -> .data (dict) -> [value] Thing"


def hold_in_exception(obj):
    return ValueError(obj), "-> .holder ValueError -> .args (tuple) -> [0] Thing"


def hold_in_object_array(obj):
    return np.array([None, obj], dtype=object), "-> .holder ndarray -> [1] Thing"


def hold_in_subclassed_dict(obj):
    class Shouting(dict):
        def items(self):
            raise AssertionError

        __iter__ = __getitem__ = keys = values = items

    return Shouting(a=obj), "-> .holder Shouting -> [value] Thing"


def hold_in_odd_attribute(obj):
    holder = Thing()
    vars(holder)["user 7"] = obj  # no identifier: it may be data
    return holder, "-> .holder Thing -> [value] Thing"


KINDS = [value for name, value in sorted(globals().items()) if name.startswith("hold_")]


@pytest.mark.parametrize("hold", KINDS, ids=lambda f: f.__name__)
def test_every_kind_of_holder_is_named(registry, hold):
    """Each builtin way to hold an object is one readable link."""
    obj = Thing()
    registry.holder, expected = hold(obj)
    assert only(why(obj, chains=1)) == f"module app_registry {expected}"


def test_bound_method_holds_its_object(registry):
    """A callback list of bound methods is named through the method."""
    obj = Acting()
    registry.callbacks = [obj.act]
    assert only(why(obj)) == (
        "module app_registry -> .callbacks (list) -> [0] method Acting.act -> .__self__ Acting"
    )


def test_suspended_coroutine_holds_its_locals(registry):
    """A coroutine that waits holds its arguments, also through the one that it awaits."""

    @types.coroutine
    def pause():
        yield

    async def inner(kept):
        await pause()

    async def outer(passed):
        await inner(passed.pop())

    obj = Thing()
    registry.task = outer([obj])
    registry.task.send(None)
    found = only(why(obj))
    assert found.endswith("-> local kept Thing")
    assert ".cr_await coroutine" in found
    registry.task.close()


def test_keys_are_shown_only_on_demand(registry):
    """Mapping keys may be data: plain strings and integers are shown when asked for."""
    obj = Thing()
    registry.users = {"jane@example.org": [obj], 7: None}
    assert "jane" not in only(why(obj))
    assert only(why(obj, reveal_keys=True)).startswith(
        "module app_registry -> .users (dict) -> ['jane@example.org'] list"
    )


def test_local_of_an_outer_function_is_a_root_with_its_place():
    """A local variable is named with function, file and line; the caller's own is not a chain."""

    def holder():
        kept = [Thing()]
        return asked(lambda: None, kept[0])

    def asked(_, passed):
        return why(passed)

    result = holder()
    (found,) = result.chains
    assert found.root is RootKind.FRAME
    line = holder.__code__.co_firstlineno + 2
    where = f"{holder.__code__.co_qualname}() at tests/unit/test_references.py:{line}"
    assert str(found) == f"local kept of {where} -> list -> [0] Thing"
    assert result.verdict.endswith("Your variable passed holds it too.")


def test_only_the_callers_variables_is_said_with_their_names():
    """An object that nothing but the caller holds has no chain, and the variables are named."""
    first = Thing()
    second = first
    result = why(second)
    assert result.chains == ()
    assert result.verdict == "Only your variables first and second hold it."
    assert (result.refcount, result.holders, result.complete) == (2, 2, True)


def test_a_variable_that_an_inner_function_shares_is_still_the_callers():
    """The cell between a frame and a shared variable is no holder of its own."""
    shared = Thing()

    def inner():
        return shared

    del inner
    gc.collect()
    assert why(shared).verdict == "Only your variable shared holds it."


def test_temporary_is_held_by_nothing():
    """An object that only the call holds is said to go with the call."""
    result = why(Thing())
    assert (result.chains, result.refcount) == ((), 0)
    assert result.verdict == "Nothing holds it but this call: it is freed when the call returns."


def test_all_holders_are_shown_shortest_first(registry):
    """Several holders give several chains, at most as many as asked for, shortest first."""
    obj = Thing()
    registry.direct = obj
    registry.listed = [obj]
    registry.deep = {"a": [obj]}
    assert texts(why(obj)) == [
        "module app_registry -> .direct Thing",
        "module app_registry -> .listed (list) -> [0] Thing",
        "module app_registry -> .deep (dict) -> [value] list -> [0] Thing",
    ]
    assert texts(why(obj, chains=1)) == ["module app_registry -> .direct Thing"]
    assert (why(obj).refcount, why(obj).holders) == (4, 4)


def test_the_other_owners_of_an_only_holder_are_shown(registry):
    """A list that two modules own is shown through both."""
    obj = Thing()
    registry.first = registry.second = [obj]
    assert texts(why(obj)) == [
        "module app_registry -> .first (list) -> [0] Thing",
        "module app_registry -> .second (list) -> [0] Thing",
    ]


def test_holder_that_is_reached_only_through_the_object_is_no_chain(registry):
    """A child that points back at its parent does not hold the parent."""
    obj = Thing()
    obj.child = Thing()
    obj.child.parent = obj
    registry.root = obj
    assert texts(why(obj)) == ["module app_registry -> .root Thing"]


def test_long_chain_is_walked_whole_and_shown_by_both_ends(registry):
    """A chain of 100,000 links is found without recursion; its middle is counted, not shown."""
    registry.head = chain(100_000)
    last = registry.head
    while last.next is not None:
        last = last.next
    (found,) = why(last, chains=1).chains
    assert len(found.links) == 16
    assert len(found.links) + found.cut == 100_001  # the module and every node
    assert str(found.links[0]) == "module app_registry"
    assert {str(link) for link in found.links[2:]} == {".next Node"}
    assert f"… {found.cut:,} more …" in str(found)


@pytest.mark.parametrize("length", [40, 47, 48, 49, 50, 63])
def test_chains_just_over_the_window_lose_no_link_in_the_count(registry, length):
    """Shown and counted links are the whole chain at every length near the border."""
    registry.head = chain(length)
    last = registry.head
    while last.next is not None:
        last = last.next
    (found,) = why(last, chains=1).chains
    assert len(found.links) + found.cut == length + 1


def test_cycle_without_a_holder_waits_for_the_collector():
    """Garbage is called garbage, and the chain shows its cycle."""
    with no_collector():
        node = cycle(2)
        find = weakref.ref(node)
        del node
        result = why(find())
        assert [c.root for c in result.chains] == [RootKind.GARBAGE]
        assert str(result.chains[0]) == "Node -> .next Node -> .next Node"
        assert result.verdict.startswith("Nothing holds it but its own reference cycle")
    gc.collect()
    assert find() is None


def test_object_that_garbage_holds_is_told_from_garbage():
    """What a dead cycle holds is freed by a collection, and that is said."""
    with no_collector():
        node = cycle(1)
        obj = node.other = Thing()
        del node
        result = why(obj)
        assert [str(c) for c in result.chains] == ["Node -> .other Thing"]
        assert result.verdict.startswith("Garbage in a reference cycle holds it: `gc.collect()` frees that.")
        assert result.verdict.endswith("Your variable obj holds it too.")
    gc.collect()
    assert why(obj).verdict == "Only your variable obj holds it."


def test_own_cycle_of_a_callers_object_is_mentioned():
    """The caller's variable is what holds a cycle that it points into."""
    obj = Thing()
    obj.me = obj
    assert why(obj).verdict == (
        "Only your variable obj holds it. It is part of a reference cycle: "
        "without the variable it waits for the collector."
    )
    del obj.me


def test_reference_taken_by_c_code_is_held_outside_python():
    """A reference count that no visible object explains is said to come from outside."""
    obj = [1]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(obj))
    try:
        result = why(obj)
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(obj))
    assert [c.root for c in result.chains] == [RootKind.OUTSIDE]
    assert "1 reference to it is held outside Python" in result.verdict
    assert (result.refcount, result.holders) == (2, 1)


def test_chain_from_outside_python_is_named_from_there():
    """The list that only C code holds leads to the object."""
    outer = [Thing()]
    find = weakref.ref(outer[0])
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(outer))
    address = id(outer)
    del outer
    try:
        (found,) = why(find()).chains
        assert found.root is RootKind.OUTSIDE
        assert [str(link) for link in found.links[1:]] == ["list", "[0] Thing"]
        assert found.links[0].label.startswith("held outside Python")
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(ctypes.cast(address, ctypes.py_object).value))
    assert find() is None


@pytest.mark.parametrize("obj", [None, True, 5, -5, "", "a", b"", (), ..., int, object, type])
def test_shared_objects_are_called_shared(obj):
    """For what the interpreter never frees there is no chain and no count, only that."""
    result = why(obj)
    assert (result.chains, result.refcount, result.complete) == ((), None, True)
    assert "interpreter" in result.verdict


def test_string_literal_is_found_in_its_code(registry):
    """Constants hang from code objects, which the collector does not traverse."""
    exec("def f(): return 'a literal that is not interned: ü'", vars(registry))
    found = [c for c in why(registry.f(), chains=5).chains if "co_consts" in str(c)]
    assert str(found[0]).startswith("module app_registry -> .f function f() at <string>:1 -> .__code__ code")


def test_last_exception_is_a_root_of_its_own_kind(monkeypatch):
    """What the last traceback's frames hold is told apart from the program's own holders."""

    def fails(kept):
        raise ValueError

    obj = Thing()
    try:
        fails(obj)
    except ValueError as error:
        monkeypatch.setattr(sys, "last_value", error, raising=False)
    (found,) = why(obj).chains
    assert found.root is RootKind.LAST_EXCEPTION
    assert found.links[0].label == "sys.last_value"
    assert str(found).endswith("-> local kept Thing")
    assert any("del sys.last_value" in note for note in why(obj).notes)
    monkeypatch.undo()


def test_exception_being_handled_is_a_root():
    """An exception in flight holds its arguments though no variable has it."""
    obj = Thing()
    try:
        raise ValueError(obj)
    except ValueError:
        found = texts(why(obj))
    assert "exception being handled in thread MainThread -> ValueError -> .args (tuple) -> [0] Thing" in found


def test_context_variable_is_a_root():
    """What a context variable holds in the current context is named by the variable."""
    obj = Thing()
    variable = contextvars.ContextVar("request", default=None)
    token = variable.set(obj)
    try:
        assert "context variable request -> Thing" in texts(why(obj))
    finally:
        variable.reset(token)
        del token


@contextlib.contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def blocked_thread(target, *args):
    """Run a function in a thread that stops inside it until the block ends."""
    ready, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=target, args=(*args, ready, go), name="blocked worker")
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        go.set()
        thread.join()


def hold_local_until(box, ready, go):
    kept = [box.pop()]
    ready.set()
    go.wait()
    del kept


def test_local_of_another_threads_running_function_is_named():
    """A function that runs in another thread shows its locals, and the thread is named."""
    box = [Thing()]
    find = weakref.ref(box[0])
    with blocked_thread(hold_local_until, box):
        (found,) = why(find()).chains
    line = hold_local_until.__code__.co_firstlineno + 3
    assert str(found) == (
        f"local kept of hold_local_until() at tests/unit/test_references.py:{line} in thread blocked worker"
        " -> list -> [0] Thing"
    )


def test_arguments_of_a_thread_are_named_by_the_thread():
    """A Thread object keeps its arguments while it runs, apart from the function that got them."""
    obj = Thing()

    def forgets(given, ready, go):
        del given
        ready.set()
        go.wait()

    with blocked_thread(forgets, obj):
        (found,) = why(obj).chains
    assert (found.root, str(found)) == (
        RootKind.THREAD, "thread blocked worker -> ._args (tuple) -> [0] Thing",
    )  # fmt: skip


def test_reading_locals_does_not_keep_a_deleted_one_alive():
    """After the search, ``del`` frees a local as it always did, in this thread and in another."""
    kept = Thing()
    gone = weakref.ref(kept)
    other = [1]
    why(other)
    del kept
    assert gone() is None


def delete_local_when_told(box, ready, go):
    kept = box.pop()
    find = weakref.ref(kept)
    ready.set()
    go.wait()
    del kept
    box.append(find() is None)


def test_reading_locals_does_not_keep_another_threads_local_alive():
    """A thread's local dies by its ``del`` though its frame was read meanwhile."""
    box = [Thing()]
    with blocked_thread(delete_local_when_told, box):
        why([])
    assert box == [True]


def test_a_users_own_locals_dictionary_is_left_intact():
    """A dictionary that the program got from locals() keeps all its entries."""
    kept = Thing()
    mine = locals()
    before = dict(mine)
    why([])
    assert {key: mine[key] for key in before} == before
    assert mine["kept"] is kept


def test_names_that_exec_left_in_a_function_stay():
    """What exec bound in a function's locals can still be evaluated after a search."""

    def function():
        exec("made = 41")
        why([])
        return eval("made")

    if sys.version_info >= (3, 13):  # where exec leaves nothing behind
        pytest.skip("since Python 3.13 each call of exec has locals of its own")
    assert function() == 41


def test_search_inside_a_trace_function_leaves_the_traced_locals_alone():
    """At a debugger's prompt the frame's variables are written back; a search must not have emptied them."""
    searched = []

    def tracer(frame, event, _):
        at_return = frame.f_lineno == traced.__code__.co_firstlineno + 2
        if event == "line" and frame.f_code is traced.__code__ and at_return:
            searched.append(why([]).complete)
        return tracer

    def traced():
        first, second = 1, [2]
        return first, second

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        result = traced()
    finally:
        sys.settrace(before)
    assert (result, searched) == ((1, [2]), [True])


def test_class_and_module_namespaces_are_untouched():
    """A class body that is being run keeps its names."""

    class Body:
        value = 1
        result = why([])
        again = value

    assert (Body.value, Body.again) == (1, 1)


def test_frozen_objects_are_found(registry):
    """gc.freeze hides objects from the collector's lists, not from the walk."""
    obj = Thing()
    registry.kept = [obj]
    gc.freeze()
    try:
        assert texts(why(obj)) == ["module app_registry -> .kept (list) -> [0] Thing"]
    finally:
        gc.unfreeze()


def test_limit_gives_an_incomplete_result_that_says_so():
    """A search that ended early claims nothing."""
    obj = Thing()
    result = why(obj, max_objects=100)
    assert (result.complete, result.chains) == (False, ())
    assert "raise max_objects" in result.verdict


def test_result_holds_no_object_and_no_cycle_is_left(registry):
    """With the collector off, the object dies by its last reference though the result lives."""
    registry.kept = [Thing()]
    find = weakref.ref(registry.kept[0])
    with no_collector():
        results = [why(find()), find_chains([find()]), why(Slotted()), find_chains([Slotted()])]
        registry.kept.clear()
        assert find() is None
    assert results[0].chains


def test_unrooted_search_leaves_no_cycle():
    """The list of all tracked objects, which includes the search's own, is let go."""
    obj = Thing()
    gone = weakref.ref(obj)
    with no_collector():
        assert why(obj).chains == ()
        del obj
        assert gone() is None


def test_one_search_finds_chains_to_many(registry):
    """Chains come in the order of the targets; what nothing holds gets None."""
    registry.a, registry.b = [Thing()], {"x": Thing()}
    targets = [registry.b["x"], Thing(), registry.a[0], registry.a]
    found = find_chains(targets)
    assert [str(c) if c else None for c in found] == [
        "module app_registry -> .b (dict) -> [value] Thing",
        None,
        "module app_registry -> .a (list) -> [0] Thing",
        "module app_registry -> .a (list)",
    ]


def test_avoided_containers_are_not_passed(registry):
    """A container that is to be avoided is no holder and no way to one."""
    obj = Thing()
    registry.mine = [obj]
    registry.theirs = {1: [obj]}
    (found,) = find_chains([obj], avoid={id(registry.mine)})
    assert str(found) == "module app_registry -> .theirs (dict) -> [value] list -> [0] Thing"


def test_module_before_frame_though_longer(registry):
    """One chain is enough for a suspect, and the module's says more than a passing local."""
    obj = Thing()
    passing = [obj]
    registry.deep = {1: {2: [obj]}}
    (found,) = find_chains([obj])
    assert found.root is RootKind.MODULE
    assert passing


def test_garbage_among_many_is_told():
    """A target that only a dead cycle holds gets a chain of that kind."""
    with no_collector():
        node = cycle(1)
        node.other = Thing()
        find = weakref.ref(node.other)
        del node
        (found,) = find_chains([find()])
    assert found.root is RootKind.GARBAGE
    gc.collect()


def test_held_outside_among_many_is_told():
    """A target that C code holds gets a chain of that kind; its neighbour gets none."""
    held, free = Slotted(), Slotted()
    targets = [held, free]
    del held, free
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(targets[0]))
    try:
        found = find_chains(targets, avoid=[id(sys._getframe())])
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(targets[0]))
    assert [c.root if c else None for c in found] == [RootKind.OUTSIDE, None]


def test_known_leak_is_explained_by_its_list():
    """The helper's documented chain is the one that is found."""
    with known_leak(2) as leak:
        find = weakref.ref(leak[1])
        del leak
        (found,) = find_chains([find()])
        assert str(found) == "module memlab.testing -> ._leaked (list) -> [0] list -> [1] Leaked"
    assert find() is None
    assert Leaked(3).payload == bytearray(3)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: why([], chains=0), "chains=0"),
        (lambda: why([], max_objects=0), "max_objects=0"),
        (lambda: why([], chains=True), "chains=True"),
        (lambda: why([], max_objects=1.5), "max_objects=1.5"),
        (lambda: find_chains([], max_objects=-1), "max_objects=-1"),
    ],
)
def test_bad_numbers_are_refused(call, named):
    """A number that cannot be used is named in one clear error."""
    with pytest.raises(errors.UsageError, match=named):
        call()


def run_cells(*cells):
    """Run notebook cells in a real shell in a child process; return what they print."""
    pytest.importorskip("IPython")
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
    )
    for cell in cells:
        program += f"shell.run_cell({textwrap.dedent(cell)!r}, store_history=True)\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("> ") for line in done.stdout.splitlines() if line.startswith("> ")]


SETUP = """
import memlab, weakref, sys
class Big: pass
def show(result):
    print('> ' + result.verdict)
    for chain in result.chains: print('>', chain.root.name, str(chain))
a = Big(); find = weakref.ref(a)
"""


HELD = "Only the notebook's own records hold it. Cell 2 displayed it: "


def test_displayed_object_is_held_by_the_notebook():
    """Out[n], _n and _ are named with the cell, and the remedy that is named frees the object."""
    lines = run_cells(SETUP, "a", "show(memlab.why(a, chains=3))", "%xdel a", "print('>', find())")
    who = "Out[2], _, _2, display hook and IPython shell"
    assert lines == [
        f"{HELD}{who} hold it; `%xdel a` frees it. Your variable a holds it too.",
        "NOTEBOOK Out[2] -> Big",
        "NOTEBOOK _ -> Big",
        "NOTEBOOK _2 -> Big",
        "None",
    ]


def test_displayed_object_without_a_variable_is_freed_by_the_remedy():
    """Where the variable is gone, the remedy takes it from Out first."""
    lines = run_cells(
        SETUP,
        "a",
        "del a",
        "1",
        "2",
        "3",
        "show(memlab.why(find(), chains=1))",
        "x = Out[2]",
        "%xdel x",
        "print('>', find())",
    )
    remedy = "`x = Out[2]`, then `%xdel x` in a cell of its own, frees it."
    assert lines[0] == f"{HELD}Out[2], _2 and IPython shell hold it; {remedy}"
    assert lines[-1] == "None"


def test_what_reset_leaves_behind_in_the_hidden_namespace_is_found():
    """After ``%reset out`` the hidden ``_`` may still hold the object; it is found."""
    lines = run_cells(
        SETUP,
        "a",
        "del a",
        "%reset -f out",
        "show(memlab.why(find(), chains=1))",
        "get_ipython().user_ns_hidden.pop('_', None);",
        "print('>', find())",
    )
    assert lines[1] == "NOTEBOOK IPython shell -> .user_ns_hidden (dict) -> [value] Big"
    assert "`get_ipython().user_ns_hidden.pop('_', None)` frees it." in lines[0]
    assert lines[-1] == "None"


def test_programs_own_holder_is_shown_beside_the_notebooks():
    """The notebook's records do not crowd out the holder that the user wrote."""
    lines = run_cells(SETUP, "a", "keep = [a]; del a", "show(memlab.why(find(), chains=2))")
    assert lines[0] == "It is held by keep (list) at [0], reached from module __main__."
    assert lines[1:] == ["NOTEBOOK Out[2] -> Big", "MODULE module __main__ -> .keep (list) -> [0] Big"]


def test_failed_cell_is_told_apart():
    """What a failed cell's frames keep starts at the last exception."""
    lines = run_cells(SETUP, "def fails(kept): 1/0\nfails(a)", "del a", "show(memlab.why(find(), chains=1))")
    assert lines[1].startswith("LAST_EXCEPTION sys.last_")
    assert lines[1].endswith("-> local kept Big")


def test_notebook_variable_is_the_users_own():
    """An object in a notebook variable alone is held by that variable."""
    assert run_cells(SETUP, "show(memlab.why(a))") == ["Only your variable a holds it."]
