"""The deep size of a value, with a budget, and what of it others hold too. Runs no code of the value's.

Children come from ``gc.get_referents``, level by level; what it does not show (the string keys of a
dictionary, the base and the elements of an array) is read through the base type's own methods. A size is
the type's first native ``__sizeof__``; one that is written in Python is passed over. Types, modules and
functions are not part of a value.

To charge an object once that two values hold, one would have to remember every object of every value. But an
object that someone else holds has more references than were met inside the value, and the interpreter counts
them: only those are told apart (``shared``), and the rest is a plain sum.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import types
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from memlab._base.safety import mro_of
from memlab.collectors.census import native_size
from memlab.collectors.walk import array_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DeepSize", "Sizer"]

_get_flags = type.__dict__["__flags__"].__get__
_MANAGED_DICT = 1 << 4
_INLINE_VALUES = 1 << 2 if sys.version_info >= (3, 13) else 0
_HEAP_TYPE = 1 << 9
_POINTER = 8
_SMALLEST, _LARGEST = -5, 256
_MOST_KINDS = 1024
_FIRST = 6

# Not part of any value: they belong to the program.
_PROGRAM = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ClassMethodDescriptorType,
    types.CodeType,
    types.FrameType,
    type(None),
    type(...),
    type(NotImplemented),
    bool,
)
_ATOMS = (float, complex, str, bytes, bytearray)

_SKIP, _INT, _ATOM, _ARRAY, _MAPPING, _PLAIN = range(6)


@dataclasses.dataclass(frozen=True, slots=True)
class DeepSize:
    """What a value takes.

    Attributes:
        own_bytes: sizes of all objects that only this value holds.
        shared: address and size of each object that something else refers to as well.
        objects: objects looked at.
        complete: whether that was all; if not, ``own_bytes`` has an estimate for the rest, at the mean size
            of what was looked at.
    """

    own_bytes: int
    shared: tuple[tuple[int, int], ...]
    objects: int
    complete: bool

    @property
    def total_bytes(self) -> int:
        """All of it, the shared part included."""
        return self.own_bytes + sum(size for _, size in self.shared)


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """How objects of one type are looked at. Holds the type, so that its address stays its own."""

    kind: type
    how: int
    sizer: Callable[[Any], int] | None
    managed: bool


class Sizer:
    """Measures values.

    Args:
        budget: objects to look at in one value, at most.
        sizers: by type, a function that returns the bytes of an object of exactly that type, with all that it
            holds. It is the caller's own code and may run the object's.

    >>> Sizer().measure(b"x" * 1000).total_bytes == sys.getsizeof(b"x" * 1000)
    True
    """

    def __init__(
        self, budget: int = 10_000, sizers: Mapping[type, Callable[[Any], int]] | None = None
    ) -> None:
        self.budget = budget
        self.sizers = {id(kind): (kind, sizer) for kind, sizer in (sizers or {}).items()}
        self._kinds: dict[int, _Kind] = {}

    def measure(self, value: Any) -> DeepSize:
        """Return the deep size of a value."""
        kind = type(value)
        if id(kind) in self.sizers:
            return DeepSize(0, ((id(value), int(self.sizers[id(kind)][1](value))),), 1, True)
        size = self.leaf(value)
        if size is None:
            return self._walk(value)
        return DeepSize(0, ((id(value), size),) if size else (), 1, True)

    def leaf(self, value: Any) -> int | None:
        """Return the size of what holds nothing, text, bytes or a number; None for all else."""
        kind = type(value)
        if id(kind) in self.sizers:
            return None
        if kind is str or kind is bytes or kind is float:
            return sys.getsizeof(value)
        if kind is int:
            return 0 if _SMALLEST <= value <= _LARGEST else _int_size(value)
        return None

    def _walk(self, value: Any) -> DeepSize:
        seen: dict[int, Any] = {}
        times: dict[int, int] = {}
        sizes: dict[int, int] = {}
        level = [value]
        complete = True
        left_out: set[int] = set()
        while level:
            complete, fresh = self._enter(level, seen, times, sizes, left_out)
            level = []
            for obj in fresh:
                sizes[id(obj)] = self._size(obj, level)
            obj = None  # a reference of ours would pass for one from outside
            fresh = []
            if not complete:
                left_out.update(id(below) for below in level if id(below) not in seen)
                level = []
        total = sum(sizes.values())
        shared = self._shared(value, seen, times, sizes)
        own = total - sum(size for _, size in shared)
        if not complete:
            own += round(total / len(sizes) * len(left_out))
        return DeepSize(own, shared, len(sizes), complete)

    def _enter(
        self,
        level: list[Any],
        seen: dict[int, Any],
        times: dict[int, int],
        sizes: dict[int, int],
        left_out: set[int],
    ) -> tuple[bool, list[Any]]:
        """Count each reference, size what holds nothing, and return what is to be looked into."""
        fresh = []
        kinds, declared, budget = self._kinds, self.sizers, self.budget
        for obj in level:
            key = id(obj)
            if key in times:
                times[key] += 1
                continue
            cls = type(obj)
            kind = kinds.get(id(cls)) or self._kind(cls)
            how = kind.how
            if how == _SKIP or (how == _INT and _SMALLEST <= obj <= _LARGEST):
                continue
            if len(seen) >= budget:
                left_out.add(key)
                continue
            times[key] = 1
            seen[key] = obj
            if how == _ATOM and id(cls) not in declared:
                sizes[key] = kind.sizer(obj)  # type: ignore[misc]
            elif how == _INT and id(cls) not in declared:
                sizes[key] = _int_size(obj)
            else:
                fresh.append(obj)
        return not left_out, fresh

    def _size(self, obj: Any, below: list[Any]) -> int:
        """Return the size of an object and add what it holds to ``below``."""
        cls = type(obj)
        declared = self.sizers.get(id(cls))
        if declared is not None:
            return int(declared[1](obj))
        kind = self._kinds.get(id(cls)) or self._kind(cls)
        size = kind.sizer(obj) if kind.sizer is not None else 0
        if kind.how == _ARRAY:
            base = obj.base
            if base is not None:
                below.append(base)
            elif obj.dtype.kind == "O":
                below += obj.ravel().tolist()
            return size
        held = gc.get_referents(obj)
        below += held
        if kind.how == _MAPPING:
            below += _hidden_keys(list(dict.keys(obj)), held)
        if kind.managed:
            attributes = [part for part in held if part is not cls]
            if not (len(attributes) == 1 and type(attributes[0]) is dict):
                size += _POINTER * (len(attributes) + 2)
        return size

    def _kind(self, cls: type) -> _Kind:
        kind = self._kinds.get(id(cls))
        if kind is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            kind = self._kinds[id(cls)] = _look_at(cls)
        return kind

    def _shared(
        self, value: Any, seen: dict[int, Any], times: dict[int, int], sizes: dict[int, int]
    ) -> tuple[tuple[int, int], ...]:
        """Return those that have more references than were met. The value itself is held by the caller."""
        root = id(value)
        counts = _counts(seen)
        return tuple(
            (key, sizes[key]) for key, count in counts.items() if key == root or count - _OURS > times[key]
        )


def _counts(objects: dict[int, Any]) -> dict[int, int]:
    """Return the reference count of each object, those of this function and of the table included."""
    counts = {}
    for key, obj in objects.items():
        counts[key] = sys.getrefcount(obj)
    return counts


_OURS = _counts({0: object()})[0]  # versions differ in what a call adds


def _int_size(number: int) -> int:
    """Return what is allocated for a whole number; ``sys.getsizeof`` leaves out the padding."""
    return (sys.getsizeof(number) + 7) & ~7


def _hidden_keys(keys: list[Any], held: list[Any]) -> list[Any]:
    """Return the keys that ``tp_traverse`` left out: it skips those of a dictionary of strings alone."""
    if not keys or type(keys[0]) is not str or any(keys[0] is part for part in held[:_FIRST]):
        return []
    return keys


class _Probe:
    def __init__(self) -> None:
        self.one = None


# 3.13.0 leaves the values that lie in an instance out of its size; before it are two pairs of words.
_LEAVES_OUT_INLINE = sys.getsizeof(_Probe()) <= _Probe.__basicsize__ + 4 * _POINTER


def _look_at(cls: type) -> _Kind:
    mro = mro_of(cls)
    ids = set(map(id, mro))
    array = array_type()
    inline = bool(_get_flags(cls) & _INLINE_VALUES) and not _LEAVES_OUT_INLINE
    managed = bool(_get_flags(cls) & _MANAGED_DICT) and not inline
    if any(id(base) in ids for base in _PROGRAM):
        how = _SKIP
    elif cls is int:
        how = _INT
    elif any(cls is base for base in _ATOMS):
        how = _ATOM
    elif array is not None and cls is array:
        how = _ARRAY
    elif id(dict) in ids and id(OrderedDict) not in ids:
        how = _MAPPING
    else:
        how = _PLAIN
    # A static type is written in C, and so is all that it inherits.
    sizer = native_size if _get_flags(cls) & _HEAP_TYPE else sys.getsizeof
    return _Kind(cls, how, sizer, managed and how == _PLAIN)
