"""Objects in words, without running their code and without showing what is in them.

A label is made of names only: a module's, a class's, a function's, a file's short form and a line. Every name
is read through the built-in type's own descriptors and taken only when it is an exact string.
"""

from __future__ import annotations

import threading
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
)
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, clean, instance_type_name, short_name, type_name
from memlab.collectors.roots import module_namespace

if TYPE_CHECKING:
    from memlab._base.paths import PathLabels
    from memlab.collectors.roots import Root

__all__ = ["code_place", "is_plain_container", "label", "root_label", "root_type_name", "thread_name"]

_CONTAINER_TYPES = (
    *(dict, list, tuple, set, frozenset, deque),
    *(OrderedDict, defaultdict, Counter, ChainMap, MappingProxyType),
)
_CONTAINERS = frozenset(map(id, _CONTAINER_TYPES))
_thread_namespace = class_dict(threading.Thread)["__dict__"].__get__


def is_plain_container(obj: Any) -> bool:
    """Tell whether an object is one of the built-in containers, whose name alone would say too little."""
    return id(type(obj)) in _CONTAINERS


def label(obj: Any, paths: PathLabels, name: str = "") -> str:
    """Return an object in words; a container carries the name that it is held under."""
    if is_plain_container(obj):
        kind = short_name(instance_type_name(obj))
        return f"{name} ({kind})" if name else kind
    if issubclass(type(obj), type):
        return f"class {type_name(obj)}"
    namespace = module_namespace(obj)
    if namespace is not None:
        return _module_label(namespace)
    return _code_label(obj, paths) or short_name(instance_type_name(obj))


def _code_label(obj: Any, paths: PathLabels) -> str | None:
    """Return a function, method, generator or frame in words; all attributes read here are C members."""
    if type(obj) is MethodType:
        return f"method {_callable_name(obj.__func__)}"
    if type(obj) is FrameType:
        return f"frame of {code_place(obj.f_code, paths, obj.f_lineno)}"
    noun, attribute = _CODED.get(id(type(obj)), ("", ""))
    if not noun:
        return None
    code = getattr(obj, attribute)
    return f"{noun} {code_place(code, paths, code.co_firstlineno)}"


def root_label(root: Root, paths: PathLabels) -> str:
    """Return a root in words: where it runs and in which thread are added here, once it is shown."""
    if root.running is not None:
        frame = root.running.frame
        where = f"{root.label} of {code_place(frame.f_code, paths, frame.f_lineno)}"
        return where + _in_thread(root.running.thread)
    if root.thread is not None:
        name = thread_name(root.thread)
        return f"{root.label} {name}" if not root.slot else f"{root.label} in thread {name}"
    return root.label


def root_type_name(root: Root) -> str:
    """Return the type of what holds: a frame, a module, a thread, a class."""
    if root.running is not None:
        return "builtins.frame"
    if root.namespace:
        return "builtins.type" if root.label.startswith("class ") else "builtins.module"
    return instance_type_name(root.held) if not root.slot else ""


def thread_name(thread: Any) -> str:
    """Return a thread's name without calling its code."""
    if not issubclass(type(thread), threading.Thread):
        return "?"
    name = _thread_namespace(thread).get("_name")
    return clean(name) if type(name) is str else "?"


def code_place(code: Any, paths: PathLabels, line: int | None) -> str:
    """Return ``f() at file:line`` for a code object."""
    name = code.co_qualname if type(code.co_qualname) is str else "?"
    file = paths.label(code.co_filename) if type(code.co_filename) is str else "?"
    # <module>, <lambda> and <locals> say enough without brackets of their own
    return f"{clean(name)}{'' if name.endswith('>') else '()'} at {file}:{line or '?'}"


def _in_thread(ident: int) -> str:
    if ident == threading.main_thread().ident:
        return ""
    active = threading.__dict__.get("_active")
    thread = active.get(ident) if type(active) is dict else None
    return f" in thread {thread_name(thread)}" if thread is not None else " in a thread without a name"


def _module_label(namespace: dict[str, Any]) -> str:
    name = namespace.get("__name__")
    return f"module {clean(name)}" if type(name) is str else "module ?"


def _callable_name(function: Any) -> str:
    if type(function) is FunctionType:
        name = function.__qualname__
        return clean(name) if type(name) is str else "?"
    return short_name(instance_type_name(function))


_CODED = {
    id(FunctionType): ("function", "__code__"),
    id(GeneratorType): ("generator", "gi_code"),
    id(CoroutineType): ("coroutine", "cr_code"),
    id(AsyncGeneratorType): ("async generator", "ag_code"),
}
