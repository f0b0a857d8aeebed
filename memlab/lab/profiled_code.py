"""From what a person names to the code objects that run: functions in their decorators, methods ..."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, FunctionType, MethodType
from typing import Any

from memlab._base.paths import PathLabels
from memlab._base.safety import class_dict, instance_type_name
from memlab.collectors.line_engine import codes_of
from memlab.errors import UsageError

__all__ = ["find_code", "first_line", "last_line"]

_DEEPEST = 50
_RUNNING = ("gi_code", "cr_code", "ag_code")


def find_code(thing: Any) -> list[tuple[str, CodeType]]:
    """Return the code objects of something callable, each with its qualified name.

    Args:
        thing: a function, however decorated, a method, property, partial, class (the functions in its own
            body), generator, coroutine, code object, or an object with a Python ``__call__``.

    Raises:
        UsageError: when it has no Python code, or is memlab's own.

    >>> import textwrap
    >>> [name for name, _ in find_code(textwrap.dedent)]
    ['dedent']
    """
    if isinstance(thing, type):
        found = _of_class(thing)
        if not found:
            raise UsageError(f"profiling lines: the class {thing.__name__} has no functions of its own")
    else:
        found = _of(thing, 0)
    if not found:
        kind = instance_type_name(thing).removeprefix("builtins.")
        raise UsageError(
            f"profiling lines: a {kind} has no Python code to follow; name a function written in Python"
        )
    paths = PathLabels()
    theirs = [pair for pair in found if not paths.is_memlab(pair[1].co_filename)]
    if not theirs:
        raise UsageError("profiling lines: memlab's own code measures, and cannot be measured by itself")
    return theirs


def first_line(code: CodeType) -> int:
    """Return the line of a function's ``def`` or first decorator; of a module or a cell, its first line."""
    if code.co_name != "<module>":
        return max(code.co_firstlineno, 1)
    return min((line for _, _, line in code.co_lines() if line), default=1)


def last_line(code: CodeType) -> int:
    """Return the last line of a code object and of all that lie in it."""
    return max(
        (end for one in codes_of(code) for _, end, _, _ in one.co_positions() if end is not None), default=0
    )


def _of(thing: Any, depth: int) -> list[tuple[str, CodeType]]:  # noqa: C901 - a case for each kind of thing
    if depth > _DEEPEST:
        return []
    if isinstance(thing, CodeType):
        return [("" if thing.co_name == "<module>" else thing.co_qualname, thing)]
    if isinstance(thing, (MethodType, staticmethod, classmethod)):
        return _of(thing.__func__, depth + 1)
    if isinstance(thing, (functools.partial, functools.partialmethod)):
        return _of(thing.func, depth + 1)
    if isinstance(thing, property):
        parts = (thing.fget, thing.fset, thing.fdel)
        return [pair for part in parts if part is not None for pair in _of(part, depth + 1)]
    inner = inspect.getattr_static(thing, "__wrapped__", None)
    if inner is not None and not isinstance(thing, type):
        return _of(inner, depth + 1)
    if isinstance(thing, FunctionType):
        return [(thing.__qualname__, thing.__code__)]
    if isinstance(thing, functools.cached_property):
        return _of(thing.func, depth + 1)
    for name in _RUNNING:
        if name in class_dict(type(thing)):
            return _of(getattr(thing, name), depth + 1)
    call = inspect.getattr_static(type(thing), "__call__", None)
    return _of(call, depth + 1) if isinstance(call, FunctionType) else []


def _of_class(cls: type) -> list[tuple[str, CodeType]]:
    found: dict[CodeType, str] = {}
    for value in list(class_dict(cls).values()):
        if isinstance(value, (FunctionType, staticmethod, classmethod, property, functools.cached_property)):
            found.update((code, name) for name, code in _of(value, 0))
    return [(name, code) for code, name in found.items()]
