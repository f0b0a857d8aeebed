"""Names for the few nodes of a heap graph that are shown, read from the live objects right after the capture.

The list of tracked objects is still held then, so a node's number leads to its object without doubt. Each
holder is read once for all that is wanted of it: a dictionary of a million entries costs one pass, however
many of its values are shown. An instance's attributes are found without making CPython create the instance's
dictionary: the names that the methods of its class mention are asked for, past everything a class could
define. The rules of ``edges`` hold: no user code, and keys of mappings are not shown.
"""

from __future__ import annotations

import time
from types import CodeType, FunctionType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, clean, mro_of, type_name
from memlab.collectors import labels
from memlab.collectors.edges import EdgeNamer
from memlab.collectors.walk import array_type, referents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memlab._base.paths import PathLabels

__all__ = ["HeapNamer"]

_LONGEST = 2_000_000
_INLINE_VALUES = 1 << 4  # Py_TPFLAGS_MANAGED_DICT


class HeapNamer:
    """Names nodes and references of one capture.

    Args:
        paths: labels of code files.
        namespaces: ids of the dictionaries that are a module's, a class's or the notebook's variables.
        reveal_keys: show mapping keys that are plain strings or integers; they may be data.
        seconds: stop naming after so long; what is left keeps its type's name.
    """

    def __init__(
        self, paths: PathLabels, namespaces: set[int], *, reveal_keys: bool = False, seconds: float = 1.0
    ) -> None:
        self.paths = paths
        self.namespaces = namespaces
        self.edges = EdgeNamer(paths, reveal_keys=reveal_keys, create=False)
        self.reveal_keys = reveal_keys
        self.until = time.monotonic() + seconds
        self._candidates: dict[int, tuple[str, ...]] = {}
        self._closures: dict[int, tuple[str, ...]] = {}

    def label(self, obj: Any, via: str) -> str:
        """Return an object in words; a plain container carries the name that it is held under."""
        if via == ".__dict__":
            return "attributes (dict)"
        name = via[1:] if via.startswith(".") and via[1:].isidentifier() else ""
        return labels.label(obj, self.paths, name)

    def vias(self, holder: Any, wanted: set[int]) -> dict[int, str]:
        """Return how ``holder`` holds the objects with these ids; those without a name are left out."""
        if time.monotonic() > self.until:
            return {}
        kind = type(holder)
        if issubclass(kind, dict):
            return self._entries(holder, wanted)
        if kind is list or kind is tuple:
            return self._items(holder, wanted)
        if _managed(kind):
            found = self._attributes(holder, wanted)
            missing = wanted.difference(found)
            if missing:
                found |= self._one_by_one(holder, missing, shy=True)
            return found
        return self._one_by_one(holder, wanted)

    def _entries(self, mapping: Any, wanted: set[int]) -> dict[int, str]:
        if dict.__len__(mapping) > _LONGEST:
            return {}
        namespace = id(mapping) in self.namespaces
        found: dict[int, str] = {}
        for key, value in list(dict.items(mapping)):
            if id(value) in wanted:
                found.setdefault(id(value), self._key(key, namespace))
            if id(key) in wanted:
                found.setdefault(id(key), "[key]")
        return found

    def _key(self, key: Any, namespace: bool) -> str:
        if namespace and type(key) is str and key.isidentifier():
            return f".{key}"
        if self.reveal_keys and (type(key) is int or type(key) is str):
            return f"[{clean(key)!r}]" if type(key) is str else f"[{key}]"
        return "[value]"

    def _items(self, sequence: Any, wanted: set[int]) -> dict[int, str]:
        base: Any = list if type(sequence) is list else tuple
        if base.__len__(sequence) > _LONGEST:
            return {}
        names = self._closures.get(id(sequence), ())
        found: dict[int, str] = {}
        for index, item in enumerate(base.__iter__(sequence)):
            if id(item) in wanted:
                via = f"closure {clean(names[index])}" if index < len(names) else f"[{index}]"
                found.setdefault(id(item), via)
        return found

    def _attributes(self, holder: Any, wanted: set[int]) -> dict[int, str]:
        """Find an instance's attributes by the names that its class knows of."""
        found: dict[int, str] = {}
        for name in self._names_of(type(holder)):
            try:
                # The base's own look-up: no __getattr__, and no descriptor, since no class has the name.
                value = object.__getattribute__(holder, name)
            except AttributeError:
                continue
            if id(value) in wanted:
                found.setdefault(id(value), f".{clean(name)}")
        return found

    def _names_of(self, kind: type) -> tuple[str, ...]:
        known = self._candidates.get(id(kind))
        if known is None:
            spaces = [class_dict(cls) for cls in mro_of(kind)]
            names = dict.fromkeys(name for space in spaces for name in _mentioned(space))
            known = tuple(n for n in names if n != "__dict__" and not any(n in space for space in spaces))
            self._candidates[id(kind)] = known
        return known

    def _one_by_one(self, holder: Any, wanted: set[int], *, shy: bool = False) -> dict[int, str]:
        """Find references by the rules of single chains.

        With ``shy``, where the answer would make CPython create a dictionary, only members are read.
        """
        objects = {id(item): item for item in referents([holder], array_type()) if id(item) in wanted}
        found = {}
        for address, obj in objects.items():
            found[address] = via = _shy(holder, obj) if shy else self.edges.vias(holder, obj)[0]
            if via == ".__dict__":
                self.namespaces.add(address)
            elif via == ".__closure__" and type(holder) is FunctionType:
                self._closures[address] = holder.__code__.co_freevars
        return found


def owner_module(obj: Any) -> str | None:
    """Return the module that a class or function belongs to, by its own word; None where it gives none."""
    if type(obj) is FunctionType:
        name = _function_module(obj)
    elif issubclass(type(obj), type):
        name = class_dict(obj).get("__module__")
        if type(name) is not str:
            return type_name(obj).rpartition(".")[0] or None
    else:
        return None
    return clean(name) if type(name) is str else None


_function_module = class_dict(FunctionType)["__module__"].__get__
_type_flags = class_dict(type)["__flags__"].__get__


def _managed(kind: type) -> bool:
    return bool(_type_flags(kind) & _INLINE_VALUES)


def _shy(holder: Any, obj: Any) -> str:
    """Name what an instance holds by none of the names that its class's methods mention."""
    if obj is type(holder):
        return ".__class__"
    # Where the attributes lie in a dictionary already, that is the one that the instance refers to.
    return _member(holder, obj) or (".__dict__" if type(obj) is dict else "[value]")


def _member(holder: Any, obj: Any) -> str | None:
    for cls in mro_of(type(holder)):
        for name, descriptor in list(class_dict(cls).items()):
            if type(descriptor) is MemberDescriptorType and type(name) is str:
                try:
                    if descriptor.__get__(holder) is obj:
                        return f".{clean(name)}"
                except (AttributeError, TypeError):
                    continue
    return None


def _mentioned(space: Any) -> Iterator[str]:
    """Yield the names that the code of a class's functions mentions, and its annotations."""
    for value in list(space.values()):
        function = value
        if type(function) is FunctionType:
            code: Any = function.__code__
            waiting = [code]
            while waiting:
                code = waiting.pop()
                yield from (name for name in code.co_names if type(name) is str)
                waiting += [const for const in code.co_consts if type(const) is CodeType]
    for name in ("__annotations__", "__dataclass_fields__"):
        table = space.get(name)
        if type(table) is dict:
            yield from (key for key in list(table) if type(key) is str)
    # What a dataclass's generated methods assign is in the annotations above.
