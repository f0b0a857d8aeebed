"""Where reference chains start: the roots that can be named, in the order in which they explain best.

*Durable* roots come first: the namespaces of imported modules (the notebook's own first), threads, context
variables, the namespaces of static types, which the collector does not track. *Running* roots are what the
frames of all threads hold, memlab's own frames left out: local variables, the namespaces of code that runs
in no imported module, exceptions being handled. A chain from a module says more than one from a frame that
happens to run, so the search tries the running roots only for what the durable ones do not reach.
"""

from __future__ import annotations

import contextvars
import dataclasses
import gc
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, clean, type_name
from memlab.collectors.frames import RunningFrame, collector_at_rest, is_own, local_variables, namespace_of
from memlab.records.chain import RootKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "Caller",
    "Root",
    "count_is",
    "durable_roots",
    "find_caller",
    "module_namespace",
    "own_slots",
    "running_roots",
]

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_module_dict = vars(ModuleType)["__dict__"].__get__


@dataclasses.dataclass(slots=True, eq=False)
class Root:
    """An object held by something that is no object itself. Lives only as long as a search.

    Attributes:
        kind: what holds it.
        label: the holder in words.
        held: the object.
        namespace: ``held`` is a dictionary whose keys are names.
        slot: the label names the place that holds the object, not the object itself.
        running: for a frame's variable: where it runs, to be added to the label when shown.
        thread: the thread object to be named when shown.
    """

    kind: RootKind
    label: str
    held: Any
    namespace: bool = False
    slot: bool = False
    running: RunningFrame | None = None
    thread: Any = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who asked: the nearest frame that is not memlab's.

    Attributes:
        frame: None when only memlab's frames are on the stack.
        names: its variables that hold the object asked about.
        namespace: at module level, the dictionary that the names are in.
        cells: how many of the names an inner function shares, so that a cell stands between.
    """

    frame: Any
    names: tuple[str, ...] = ()
    namespace: Any = None
    cells: int = 0


def module_namespace(module: Any) -> Any:
    """Return a module's own dictionary, past any subclass; None when it is no module."""
    if not issubclass(type(module), ModuleType):  # by type: isinstance would ask for __class__
        return None
    namespace = _module_dict(module)
    return namespace if type(namespace) is dict else None


def durable_roots() -> list[Root]:
    """Return the roots that last: modules, threads, context variables, static types."""
    return [*_modules(), *_threads(), *_context(), *_static_types()]


def running_roots(
    frames: list[RunningFrame], caller: Caller, asked: Any, avoid: Collection[int]
) -> list[Root]:
    """Return what frames hold, memlab's own frames left out, and exceptions being handled.

    Args:
        frames: from ``running_frames``.
        caller: its variables that hold ``asked`` are left out; the verdict names them.
        asked: the object asked about.
        avoid: ids of frames to be left out.
    """
    roots = []
    known = {id(module_namespace(module)) for module in list(sys.modules.values())}
    for running in frames:
        frame = running.frame
        if is_own(frame) or id(frame) in avoid:
            continue
        for name, value in local_variables(frame):
            if frame is caller.frame and value is asked:
                continue
            roots.append(Root(RootKind.FRAME, f"local {clean(name)}", value, slot=True, running=running))
        if namespace_of(frame) is not None and namespace_of(frame) is not frame.f_globals:
            body = namespace_of(frame)
            roots.append(Root(RootKind.FRAME, "body", body, namespace=type(body) is dict, running=running))
        if id(frame.f_globals) not in known:
            known.add(id(frame.f_globals))
            roots.append(Root(RootKind.FRAME, "globals", frame.f_globals, namespace=True, running=running))
    return [*roots, *_handled_exceptions()]


def find_caller(frames: list[RunningFrame], asked: Any) -> Caller:
    """Find the nearest frame that is not memlab's, and which of its variables hold the object."""
    here = threading.get_ident()
    for running in frames:
        if running.thread == here and not is_own(running.frame):
            break
    else:
        return Caller(None)
    frame = running.frame
    namespace = namespace_of(frame)
    main = _main_namespace() if _in_notebook_machinery(frame) else None
    if main is not None:  # asked by a magic: the user's variables are the notebook's
        return Caller(None, _names_of(list(main.items()), asked), main)
    if namespace is None:
        names = _names_of(local_variables(frame), asked)
        shared = {*frame.f_code.co_cellvars, *frame.f_code.co_freevars}
        return Caller(frame, names, cells=len(shared.intersection(names)))
    if type(namespace) is not dict:
        return Caller(frame)
    return Caller(frame, _names_of(list(namespace.items()), asked), namespace)


def _names_of(variables: list[tuple[Any, Any]], value: Any) -> tuple[str, ...]:
    return tuple(name for name, held in variables if held is value and type(name) is str)


def count_is(values: Iterable[Any], obj: Any) -> int:
    """Count how often an object is among the values, without comparing."""
    count = 0
    for value in values:
        count += value is obj
    return count


def own_slots(frames: list[RunningFrame]) -> Iterator[Any]:
    """Yield what the variables of memlab's own running functions hold."""
    for running in frames:
        if is_own(running.frame):
            for _, value in local_variables(running.frame):
                yield value


def _main_namespace() -> Any:
    return module_namespace(sys.modules.get("__main__"))


def _in_notebook_machinery(frame: Any) -> bool:
    name = frame.f_globals.get("__name__")
    return type(name) is str and name.partition(".")[0] in ("IPython", "ipykernel")


def _modules() -> list[Root]:
    modules = dict(sys.modules)
    names = ["__main__"] if "__main__" in modules else []
    names += [name for name in modules if type(name) is str and name != "__main__"]
    roots = []
    for name in names:
        namespace = module_namespace(modules[name])
        held = modules[name] if namespace is None else namespace
        label = f"module {clean(name)}"
        roots.append(Root(RootKind.MODULE, label, held, namespace=namespace is not None))
    return roots


def _threads() -> list[Root]:
    active = threading.__dict__.get("_active")
    threads = list(active.values()) if type(active) is dict else []
    return [Root(RootKind.THREAD, "thread", thread, thread=thread) for thread in threads]


def _context() -> list[Root]:
    roots = []
    for variable, held in contextvars.copy_context().items():
        name = clean(variable.name) if type(variable.name) is str else "?"
        roots.append(Root(RootKind.THREAD, f"context variable {name}", held, slot=True))
    return roots


def _static_types() -> list[Root]:
    """Return the namespaces of types written in C: no traverse leads there, and some hold objects."""
    flags = type.__dict__["__flags__"].__get__
    roots = []
    seen = {id(object)}
    waiting: list[type] = [object]
    while waiting:
        kind = waiting.pop()
        # The mapping is a read-only view; what it refers to is the dictionary itself.
        held = gc.get_referents(class_dict(kind))
        if held and type(held[0]) is dict:
            roots.append(Root(RootKind.TYPE, f"class {type_name(kind)}", held[0], namespace=True))
        below: type
        for below in type.__subclasses__(kind):
            if id(below) not in seen and not flags(below) & _HEAP_TYPE:
                seen.add(id(below))
                waiting.append(below)
    return roots


def _handled_exceptions() -> list[Root]:
    roots = []
    with collector_at_rest():
        exceptions = sys._current_exceptions()  # noqa: SLF001 - the documented way
    for thread, handled in list(exceptions.items()):
        value: Any = handled[1] if type(handled) is tuple else handled  # a triple before Python 3.12
        if value is not None:
            owner = threading.__dict__.get("_active", {}).get(thread)
            label = "exception being handled"
            roots.append(Root(RootKind.FRAME, label, value, slot=True, thread=owner))
    return roots
