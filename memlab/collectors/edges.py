"""How one object holds another, in words; and a whole path folded into the links that a person would name.

Only the objects of a chain that is shown come here. Containers are read by the built-in type's own iterator,
attributes by exact descriptors of C members and the instance's own dictionary, and everything is compared
with ``is``: no user code runs. An attribute's name is shown; any other key of a mapping may be data and is
not, unless ``reveal_keys`` says so. Each name is found anew in the live object, so a reference that vanished
since the walk is said to have vanished.

Reading an instance's dictionary makes CPython create it where it was not there yet (a few hundred bytes,
only for objects of shown chains).
"""

from __future__ import annotations

import functools
from collections import deque
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    TracebackType,
)
from typing import TYPE_CHECKING, Any

from memlab._base.paths import PathLabels
from memlab._base.safety import class_dict, clean, instance_type_name, mro_of
from memlab.collectors import labels
from memlab.collectors.frames import local_variables
from memlab.collectors.roots import module_namespace
from memlab.collectors.walk import array_type, referents
from memlab.records.chain import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["GONE", "EdgeNamer", "has_namespace", "link", "name_entry", "names_in", "own_namespace"]

GONE = "(no longer held this way)"
_UNNAMED = "holds"
_LRU = id(type(functools.lru_cache(lambda: None)))
# Attributes written in C that are no plain members; read through the type's own descriptor.
_GETTERS: dict[int, tuple[str, ...]] = {
    id(FunctionType): ("__code__", "__defaults__", "__kwdefaults__"),
    id(TracebackType): ("tb_next",),
    id(FrameType): ("f_back", "f_globals", "f_code", "f_trace"),
    id(GeneratorType): ("gi_yieldfrom", "gi_code"),
    id(CoroutineType): ("cr_await", "cr_code"),
    id(AsyncGeneratorType): ("ag_await", "ag_code"),
    id(CellType): ("cell_contents",),
    id(CodeType): ("co_consts", "co_names"),
    id(BaseException): ("args", "__traceback__", "__context__", "__cause__"),
    id(type): ("__mro__", "__bases__", "__base__"),
}
_FRAMES = {
    id(GeneratorType): "gi_frame",
    id(CoroutineType): "cr_frame",
    id(AsyncGeneratorType): "ag_frame",
}


def own_namespace(obj: Any) -> Any:
    """Return the dictionary of a module's, class's or instance's attributes, or None.

    An instance's is made by the interpreter when it is asked for, so ask only for objects to be shown.
    """
    if issubclass(type(obj), type):
        held = referents([class_dict(obj)])
        return held[0] if held and type(held[0]) is dict else None
    namespace = module_namespace(obj)
    if namespace is not None:
        return namespace
    descriptor = _dictionary_descriptor(type(obj))
    if descriptor is None:
        return None
    try:
        namespace = GetSetDescriptorType.__get__(descriptor, obj, type(obj))
    except (AttributeError, TypeError):
        return None
    return namespace if issubclass(type(namespace), dict) else None


def has_namespace(obj: Any) -> bool:
    """Tell whether an object has a dictionary of attributes, without making it."""
    kind = type(obj)
    return (
        issubclass(kind, type)
        or module_namespace(obj) is not None
        or _dictionary_descriptor(kind) is not None
    )


def names_in(namespace: Any, value: Any) -> list[str]:
    """Return the identifiers under which a dictionary holds an object."""
    return [k for k, v in _items(namespace) if v is value and type(k) is str and k.isidentifier()]


def name_entry(holder: object, obj: object, *, reveal_keys: bool = False) -> Link:
    """Return the link by which ``holder`` holds ``obj`` directly."""
    via = EdgeNamer(PathLabels(), reveal_keys=reveal_keys).vias(holder, obj)[0]
    return link(via, obj, PathLabels())


def link(via: str, obj: object, paths: PathLabels) -> Link:
    """Return a link of a chain; a container carries the name that it is held under."""
    name = via[1:] if via.startswith(".") and via[1:].isidentifier() else ""
    return Link(via, labels.label(obj, paths, name), instance_type_name(obj))


class EdgeNamer:
    """Names references, for one search.

    Args:
        paths: labels of code files.
        reveal_keys: show mapping keys that are plain strings or integers; they may be data.
        create: read an instance's dictionary even where that makes CPython create it.
    """

    def __init__(self, paths: PathLabels, *, reveal_keys: bool = False, create: bool = True) -> None:
        self.paths = paths
        self.reveal_keys = reveal_keys
        self.create = create

    def steps(self, path: list[Any]) -> list[tuple[list[str], Any]]:
        """Fold a path into steps from its first object: how each is held, and the object.

        ``instance -> its __dict__ -> value`` is one step, so is ``function -> closure -> cell -> value``.
        Of several ways to hold the same object only the last step gives more than one.
        """
        steps = []
        at = 0
        while at < len(path) - 1:
            vias, length = self._fold(path, at)
            at += length
            steps.append((vias, path[at]))
        return steps

    def vias(self, holder: Any, obj: Any) -> list[str]:
        """Return how one object holds another directly; at least one entry."""
        found = list(dict.fromkeys(self._vias(holder, obj)))
        if found:
            return found
        if any(r is obj for r in referents([holder], array_type())):
            return ["cache entry" if id(type(holder)) == _LRU else _UNNAMED]
        return [GONE]

    def _fold(self, path: list[Any], at: int) -> tuple[list[str], int]:
        holder, held = path[at], path[at + 1]
        left = len(path) - at - 1
        if left >= 2 and issubclass(type(held), dict):  # noqa: PLR2004 - a dictionary and what it holds
            if held is own_namespace(holder):
                return [f".{n}" for n in names_in(held, path[at + 2])] or self.vias(held, path[at + 2]), 2
            if type(holder) is FunctionType and held is holder.__globals__:
                names = names_in(held, path[at + 2])
                return [f".__globals__.{n}" for n in names] or [".__globals__"], 2 if names else 1
        if type(holder) is FunctionType and held is holder.__closure__ and left >= 3:  # noqa: PLR2004
            names = [
                name
                for name, cell in zip(holder.__code__.co_freevars, path[at + 1], strict=False)
                if cell is path[at + 2]
            ]
            if names:
                return [f"closure {clean(n)}" for n in names], 3
        if type(holder) is FrameType and type(held) is dict and left >= 2:  # noqa: PLR2004
            # A debugger or an older Python's locals() left a copy of the variables with the frame.
            names = [] if held is holder.f_globals else names_in(held, path[at + 2])
            if names:
                return [f"local {clean(n)}" for n in names], 2
        if type(held) is CellType and left >= 2 and _frame_of(holder) is not None:  # noqa: PLR2004
            names = _local_names(holder, path[at + 2])
            if names:
                return [f"local {clean(n)}" for n in names], 2
        return self.vias(holder, held), 1

    def _vias(self, holder: Any, obj: Any) -> Iterator[str]:
        kind = type(holder)
        if issubclass(kind, dict):
            yield from self._entries(holder, obj)
        elif issubclass(kind, (list, tuple, deque)):
            yield from _indexes(holder, obj)
        elif issubclass(kind, (set, frozenset)):
            members = set if issubclass(kind, set) else frozenset
            if any(item is obj for item in list(members.__iter__(holder))):
                yield "[member]"
        elif kind is array_type():
            yield from (f"[{i}]" for i, item in enumerate(referents([holder], kind)) if item is obj)
        yield from (f"local {clean(name)}" for name in _local_names(holder, obj))
        yield from _attributes(holder, obj, create=self.create)
        if obj is kind:
            yield ".__class__"

    def _entries(self, mapping: Any, obj: Any) -> Iterator[str]:
        for key, value in _items(mapping):
            if value is obj:
                yield self._key(key)
                return  # which of several entries makes no difference where keys are not shown
        if any(key is obj for key, _ in _items(mapping)):
            yield "[key]"

    def _key(self, key: Any) -> str:
        if self.reveal_keys and type(key) is str:
            return f"[{clean(key)!r}]"
        if self.reveal_keys and type(key) is int:
            return f"[{key}]"
        return "[value]"


def _items(mapping: Any) -> Iterable[tuple[Any, Any]]:
    """Yield a dictionary's items, also while another thread changes it."""
    try:
        yield from dict.items(mapping)
    except RuntimeError:
        yield from list(dict.items(mapping))


def _indexes(sequence: Any, obj: Any) -> Iterator[str]:
    base = next(base for base in (list, tuple, deque) if issubclass(type(sequence), base))
    items = list(base.__iter__(sequence)) if base is deque else base.__iter__(sequence)
    for index, item in enumerate(items):
        if item is obj:
            yield f"[{index}]"
            return


def _attributes(holder: Any, obj: Any, *, create: bool) -> Iterator[str]:
    """Yield the attributes that hold an object: C members and slots, known getters, the own dictionary."""
    for cls in mro_of(type(holder)):
        space = class_dict(cls)
        for name, descriptor in list(space.items()):
            if (
                type(descriptor) is MemberDescriptorType
                and type(name) is str
                and _read(descriptor, holder) is obj
            ):
                yield f".{clean(name)}"
        for name in _GETTERS.get(id(cls), ()):
            if _read(space.get(name), holder) is obj:
                yield f".{name}"
    if create or _has_its_own(holder):
        yield from _in_namespace(holder, obj)
    elif type(obj) is dict and has_namespace(holder):
        yield ".__dict__"  # held directly and under no member's name, a dictionary is the namespace


def _in_namespace(holder: Any, obj: Any) -> Iterator[str]:
    namespace = own_namespace(holder)
    if namespace is None:
        return
    if namespace is obj:
        yield ".__dict__"
    names = names_in(namespace, obj)
    yield from (f".{name}" for name in names)
    if not names and any(value is obj for _, value in _items(namespace)):
        yield "[value]"  # under a key that is no identifier, and so may be data


def _has_its_own(holder: Any) -> bool:
    """Tell whether an object has a namespace from the start: a type or a module."""
    return issubclass(type(holder), type) or module_namespace(holder) is not None


def _read(descriptor: Any, holder: Any) -> Any:
    """Read a C attribute through its descriptor; a private object stands for one that is not set."""
    if type(descriptor) is not MemberDescriptorType and type(descriptor) is not GetSetDescriptorType:
        return _UNNAMED  # a class may hold anything under this name
    try:
        return descriptor.__get__(holder)
    except (AttributeError, TypeError, ValueError):
        return _UNNAMED


def _frame_of(holder: Any) -> Any:
    if type(holder) is FrameType:
        return holder
    attribute = _FRAMES.get(id(type(holder)))
    return getattr(holder, attribute) if attribute is not None else None  # a C getter of an exact type


def _local_names(holder: Any, obj: Any) -> list[str]:
    frame = _frame_of(holder)
    return [name for name, value in local_variables(frame) if value is obj] if frame is not None else []


def _dictionary_descriptor(kind: type) -> Any:
    for cls in mro_of(kind):
        descriptor = class_dict(cls).get("__dict__")
        if type(descriptor) is GetSetDescriptorType:
            return descriptor
    return None
