"""A search runs none of the user's code, whatever the objects define, and survives a heap that changes."""

from __future__ import annotations

import sys
import threading
import time
import types

import pytest

from memlab._base.safety import instance_type_name
from memlab.collectors.edges import name_entry
from memlab.collectors.references import find_chains, why
from memlab.testing import nosy_class


@pytest.fixture
def nosy():
    return nosy_class()


@pytest.fixture
def registry():
    module = types.ModuleType("app_nosy")
    sys.modules["app_nosy"] = module
    yield module
    del sys.modules["app_nosy"]


def fill(registry, kind):
    """Hold nosy objects in every way that can be named, the class and a nosy holder included."""
    holder, target = kind(), kind()
    object.__getattribute__(holder, "__dict__")["attribute"] = target
    registry.listed, registry.mapped = [target], {"key": target}
    registry.holder, registry.kind = holder, kind
    registry.held_by_class = type("Plain", (), {"shared": target})
    registry.subclasses = [make((target,)) for make in (subclass(list), subclass(tuple))]
    registry.table = subclass(dict)(key=target)
    registry.function = lambda kept=target: kept
    return target


def subclass(base):
    def refuse(*_, **__):
        raise AssertionError(f"user code of a {base.__name__} ran")

    names = (
        "__iter__",
        "__getitem__",
        "__len__",
        "__eq__",
        "__hash__",
        "__repr__",
        "__contains__",
        "items",
        "keys",
    )
    return type(f"My{base.__name__}", (base,), dict.fromkeys(names, refuse))


def test_no_hook_runs_in_a_search(registry, nosy):
    """Both searches leave the count of a class with every special method at nought."""
    kind, calls = nosy
    target = fill(registry, kind)
    calls.clear()
    result = why(target, chains=20, reveal_keys=True)
    found = find_chains([target, registry.holder, kind])
    assert calls == {}
    assert len(result.chains) >= 7
    assert result.type_name.endswith(".Nosy") or result.type_name == "?.Nosy"
    assert None not in found


def test_no_hook_runs_where_no_root_reaches(nosy):
    """Neither does the search for garbage and for holders outside Python."""
    kind, calls = nosy
    holder, target = kind(), kind()
    object.__getattribute__(holder, "__dict__")["attribute"] = target
    object.__getattribute__(target, "__dict__")["back"] = holder
    calls.clear()
    result = why(target, chains=20)
    del holder
    alone = why(target)
    assert calls == {}
    assert (len(result.chains), alone.chains) == (1, ())


def test_no_hook_runs_in_naming_one_reference(nosy):
    """Neither does naming how a nosy object holds another."""
    kind, calls = nosy
    holder, target = kind(), kind()
    object.__getattribute__(holder, "__dict__")["attribute"] = target
    calls.clear()
    assert name_entry(holder, target).via == ".attribute"
    assert name_entry(holder, kind).via == ".__class__"
    assert calls == {}


def test_nosy_names_are_not_believed(registry):
    """A name that is no exact string is not shown, nor asked."""

    class Text(str):
        __slots__ = ()

        def __str__(self):
            raise AssertionError

        __repr__ = __format__ = __getattribute__ = __str__

    class Odd:
        pass

    Odd.__module__ = Text("evil")
    registry.odd = [Odd()]
    assert instance_type_name(registry.odd[0]).startswith("?.")
    assert "evil" not in str(find_chains([registry.odd[0]])[0])


def test_module_replaced_by_an_object_is_a_root(nosy):
    """A class instance in sys.modules is walked like any object, without asking for its attributes."""
    kind, calls = nosy
    instance, target = kind(), [1]
    object.__getattribute__(instance, "__dict__")["kept"] = target
    sys.modules["app_object"] = instance
    try:
        calls.clear()
        (found,) = find_chains([target])
        assert calls == {}
    finally:
        del sys.modules["app_object"]
    assert str(found) == "module app_object -> .kept (list)"


def test_search_survives_a_heap_that_other_threads_change():
    """Searches under two threads that make, link and drop objects neither fail nor stop."""
    stop = threading.Event()
    shared: dict[int, list] = {}

    def churn(seed):
        turn = seed
        while not stop.is_set():
            turn += 1
            shared[turn % 500] = [shared.get((turn * 7) % 500), {turn: [turn]}]
            if turn % 50 == 0:
                shared.pop((turn * 3) % 500, None)
            if turn % 2000 == 0:
                shared.clear()

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in (0, 10_000)]
    for thread in threads:
        thread.start()
    searches = 0
    end = time.monotonic() + 3
    try:
        while time.monotonic() < end:
            some = [value for value in list(shared.values())[:5] if value is not None]
            for value in some[:2]:
                assert why(value, chains=2).type_name == "builtins.list"
            assert len(find_chains(some)) == len(some)
            searches += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert searches >= 1
