"""Read how many entries a container may hold, where that can be known without running its code.

A cache that still fills looks exactly like a leak; no statistic tells them apart before the cache is full.
So the bound is read: ``maxsize`` of a ``functools.lru_cache``, ``maxlen`` of a deque, or a plain integer
attribute with a bound's name (``maxsize``, ``capacity``, ``cache_size`` ...) on the object that owns the
container, in its slots or on its class, if it is no smaller than what the container holds now.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, mro_of
from memlab.collectors.census import sized_base
from memlab.collectors.walk import askable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["known_bound", "owners_of"]

_LRU = type(functools.lru_cache(maxsize=1)(int))
_LRU_INFO = _LRU.__dict__["cache_info"]
_MAXLEN = deque.__dict__["maxlen"]
_MOST_OWNERS = 64
_BOUND_NAME = re.compile(
    r"_*(max(_?(size|len|length|entries|items|count|num|keys|cache_?size))?|(cache_?)?(size_)?limit"
    r"|capacity|cache_?size|maximum(_?size)?|bound)_*",
    re.IGNORECASE,
)


def known_bound(container: Any, holders: list[Any]) -> tuple[int, str] | None:
    """Return the greatest number of entries and where it was read, or None when no bound is known.

    Args:
        container: the container that grows.
        holders: objects that may own it: its referrers, and theirs.
    """
    if issubclass(type(container), deque):
        maxlen = _MAXLEN.__get__(container)
        if maxlen is not None:
            return int(maxlen), "deque maxlen"
    for wrapper in (container, *holders):
        if type(wrapper) is _LRU and (wrapper is container or _refers_to(wrapper, container)):
            maxsize = _LRU_INFO(wrapper).maxsize
            return (int(maxsize), "lru_cache maxsize") if maxsize is not None else None
    least = _length(container)
    for owner in (container, *holders):
        found = _attribute_bound(owner, least)
        if found is not None:
            return found
    return None


def owners_of(containers: Sequence[Any], avoid: frozenset[int]) -> list[list[Any]]:
    """Return what may own each container: its referrers and, past plain dicts, the referrers of these.

    Two passes over the heap serve all of them.
    """
    wanted = list(containers)
    direct = _referrers(wanted, avoid | {id(containers)})
    spaces = {id(holder): holder for holders in direct for holder in holders if type(holder) is dict}
    namespaces = list(spaces.values())
    mine = {id(wanted), id(direct), id(spaces), *map(id, direct)}
    above = dict(zip(spaces, _referrers(namespaces, avoid | mine), strict=True))
    return [
        holders + [owner for holder in holders for owner in above.get(id(holder), ())] for holders in direct
    ]


def _referrers(objects: list[Any], avoid: frozenset[int]) -> list[list[Any]]:
    """Return some of each object's referrers, found in one pass."""
    found: dict[int, list[Any]] = {id(obj): [] for obj in objects}
    for holder in gc.get_referrers(*objects) if objects else ():
        if id(holder) in avoid or holder is objects or type(holder) is types.FrameType:
            continue
        for key in found.keys() & set(map(id, gc.get_referents(*askable([holder])))):
            if len(found[key]) < _MOST_OWNERS:
                found[key].append(holder)
    return list(found.values())


def _refers_to(holder: Any, target: Any) -> bool:
    return any(referent is target for referent in gc.get_referents(holder))


def _length(container: Any) -> int:
    sized = sized_base(type(container))
    return int(sized[1](container)) if sized is not None else 0


def _attribute_bound(owner: Any, least: int) -> tuple[int, str] | None:
    """Look among an instance's own attributes; modules, classes and functions own too much to say."""
    if issubclass(type(owner), (type, types.ModuleType, types.FunctionType, types.FrameType)):
        return None
    seen = set()
    for name, value in _attributes(owner):
        if type(name) is str and name not in seen and _BOUND_NAME.fullmatch(name):
            seen.add(name)  # an instance's own value hides its class's
            if type(value) is int and value >= max(least, 1):
                return value, f"attribute {name}"
    return None


def _attributes(owner: Any) -> Iterator[tuple[Any, Any]]:
    """Give an instance's own attributes, then those of its classes; a slot gives what it holds."""
    namespace = _namespace(owner)
    if type(namespace) is dict:
        yield from list(namespace.items())
    for cls in mro_of(type(owner)):
        for name, value in list(class_dict(cls).items()):
            if type(value) is not types.MemberDescriptorType:
                yield name, value
                continue
            with contextlib.suppress(AttributeError, TypeError):  # an empty slot
                yield name, value.__get__(owner)


def _namespace(owner: Any) -> Any:
    """Return an instance's ``__dict__`` by the native getter of its class; None when it has none."""
    for cls in mro_of(type(owner)):
        getter = class_dict(cls).get("__dict__")
        if type(getter) is types.GetSetDescriptorType and cls is not type:
            try:
                return getter.__get__(owner)
            except (AttributeError, TypeError):
                return None
    return None
