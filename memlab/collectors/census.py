"""Count objects by type and measure containers, over the collector's own list, running no user code.

``gc.get_objects()`` gives the list; types are counted by address in numpy, without making a Python integer
for each object (each would be traced while tracemalloc runs, and the count would grow by its own hand).
``FrozenHeap`` moves everything alive at the start into the collector's permanent generation: from then on
the list holds only what was made since, and collections are cheap. That is process-wide state, so it is
shared out by nobody else: it is refused when someone froze the heap before, and always undone. (Python 3.12
freezes some hundred objects of its own when it starts; these go back to the collector with the rest.)
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import gc
import itertools
import operator
import sys
from collections import OrderedDict, deque
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import mro_of, type_name
from memlab.collectors.walk import askable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from memlab.records.columns import Ints

__all__ = [
    "Census",
    "Container",
    "FrozenHeap",
    "addresses",
    "grown_containers",
    "is_mapping",
    "latest_entries",
    "native_size",
    "take_census",
    "untracked_dicts",
]

_NEWEST = 12
_BATCH = 4_096
_HUGE = 100_000
_OF_A_SET = 4_000
_FROZEN_AT_START = 1_000 if sys.version_info[:2] == (3, 12) else 0

# Sized by the base's own slot, which no subclass can override: dict.__len__(x) runs no user code.
# Bases are looked up by address: a metaclass may have a hash and an equality of its own.
_SIZED: dict[int, tuple[type, Any]] = {
    id(base): (base, base.__len__) for base in (OrderedDict, dict, list, set, deque)
}
# A bounded lru_cache keeps its entries in C, in a dictionary that the collector does not track.
_LRU = type(functools.lru_cache(maxsize=1)(int))
_SIZED[id(_LRU)] = (_LRU, lambda wrapper: _LRU.cache_info(wrapper).currsize)


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
    """Objects by type, and the length of every container, at one moment. Holds no object.

    Attributes:
        counts: objects of each type, by the type's name.
        shallow: their shallow sizes in bytes, where the type's own native size is known.
        container: addresses of dicts, lists, sets, deques and lru_caches, ascending, shape ``(containers,)``.
        length: their lengths, same shape.
    """

    counts: dict[str, int]
    container: Ints
    length: Ints


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    """A container that gained entries at every census: its address and its lengths."""

    address: int
    lengths: tuple[int, ...]


class FrozenHeap:
    """Set aside everything alive now; ``fresh()`` then lists only what was made since.

    Where the heap was frozen by someone else, nothing is frozen and ``available`` is False.
    """

    def __init__(self) -> None:
        self.available = gc.get_freeze_count() <= _FROZEN_AT_START
        self._frozen = False

    def __enter__(self) -> Self:
        self.freeze()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()

    def freeze(self) -> None:
        """Collect what can be collected and set the rest aside."""
        if self.available:
            self._frozen = True  # before the call: an interrupt between the two must still be undone
            gc.collect()
            gc.freeze()

    def thaw(self) -> None:
        """Give everything back to the collector."""
        if self._frozen:
            gc.unfreeze()
            self._frozen = False

    def refreeze(self) -> None:
        """Start anew: what was made since the last freeze is set aside as well."""
        self.thaw()
        self.freeze()


def addresses(objects: list[Any]) -> Ints:
    """Return the objects' addresses without making a Python integer for each.

    An array of objects stores the pointers themselves; its own buffer is read as integers. (A ctypes
    array over the buffer would leave a type behind for each length.)
    """
    if not objects:
        return np.empty(0, dtype=np.int64)
    return _addresses_in(_array_of(objects))


def _array_of(objects: list[Any]) -> Any:
    # fromiter takes each item as it is; assigning to a slice would ask it for its length and its buffer.
    return np.fromiter(objects, dtype=object, count=len(objects))


def _addresses_in(held: Any) -> Ints:
    if not len(held):
        return np.empty(0, dtype=np.int64)
    return np.frombuffer(held, dtype=np.int64).copy()  # a view would keep the objects


def take_census(objects: list[Any] | None = None) -> Census:
    """Count ``objects``, by default everything that the collector tracks.

    Untracked objects (numbers, strings, most tuples of them, arrays) are not counted; the containers that
    hold them are measured, dictionaries that are untracked for holding nothing else among them.
    """
    own = objects is None
    everything = gc.get_objects() if objects is None else objects
    types = list(map(type, everything))
    type_at = addresses(types)
    unique, first, inverse = np.unique(type_at, return_index=True, return_inverse=True)
    totals = np.bincount(inverse, minlength=len(unique))
    counts: dict[str, int] = {}
    ids: list[Ints] = []
    lengths: list[Ints] = []
    held = _array_of(everything)
    object_at = _addresses_in(held)
    for index, position in enumerate(first.tolist()):
        cls = types[position]
        name = type_name(cls)
        counts[name] = counts.get(name, 0) + int(totals[index])
        sized = sized_base(cls)
        if sized is not None:
            rows = np.flatnonzero(inverse == index) if len(unique) > 1 else np.arange(len(everything))
            members = held[rows].tolist()  # no integer for each: this runs while allocations are traced, too
            lengths.append(np.fromiter(map(sized[1], members), dtype=np.int64, count=len(members)))
            ids.append(object_at[rows])
            del members
    del held
    pairs = zip(ids, lengths, strict=True)
    huge = frozenset(address for at, length in pairs for address in at[length > _HUGE].tolist())
    leafy = untracked_dicts(everything, huge)
    lengths.append(np.fromiter(map(dict.__len__, leafy), dtype=np.int64, count=len(leafy)))
    ids.append(addresses(leafy))
    if own:
        counts["builtins.list"] = counts.get("builtins.list", 1) - 1  # the collector's list itself
    container, sizes = np.concatenate(ids), np.concatenate(lengths)
    order = np.argsort(container, kind="stable")
    return Census(counts, container[order], sizes[order])


def untracked_dicts(objects: list[Any], passed: frozenset[int] = frozenset()) -> list[dict[Any, Any]]:
    """Return the dictionaries that these objects refer to and that the collector does not track.

    Until Python 3.14 it leaves out a dictionary that holds nothing but strings, numbers and the like, and
    that is how the commonest leak looks: a table of names. Nothing untracked refers to one. The table inside
    a cache's wrapper is left out: the wrapper itself is measured. So are those that only objects at the
    addresses ``passed`` refer to: asking one list with millions of entries takes a second.
    """
    found: list[dict[Any, Any]] = []
    left_out = np.fromiter(passed, dtype=np.int64, count=len(passed))
    for start in range(0, len(objects), _BATCH):
        batch = objects[start : start + _BATCH]
        if passed:
            kept = ~np.isin(addresses(batch), left_out)
            if not kept.all():
                batch = list(itertools.compress(batch, kept.tolist()))
        askers = map(operator.is_not, map(type, batch), itertools.repeat(_LRU))
        referents = gc.get_referents(*askable(list(itertools.compress(batch, askers))))
        dicts = itertools.compress(referents, map(operator.is_, map(type, referents), itertools.repeat(dict)))
        found.extend(itertools.filterfalse(gc.is_tracked, dicts))
    held = _array_of(found)  # several may refer to one
    chosen: list[dict[Any, Any]] = held[np.unique(_addresses_in(held), return_index=True)[1]].tolist()
    return chosen


def grown_containers(censuses: list[Census], least: int) -> list[Container]:
    """Return the containers that gained entries from each census to the next, greatest gain first.

    An address may be used again by another container between two censuses. That it is in every one of
    them, longer each time, by chance alone is what the number of censuses makes improbable.

    Args:
        censuses: at least two, oldest first.
        least: smallest gain over all of them that counts.
    """
    common = censuses[0].container
    for census in censuses[1:]:
        common = np.intersect1d(common, census.container, assume_unique=True)
    rows = np.stack([c.length[np.searchsorted(c.container, common)] for c in censuses])
    grew = (np.diff(rows, axis=0) > 0).all(axis=0) & (rows[-1] - rows[0] >= least)
    found = [
        Container(int(address), tuple(map(int, column)))
        for address, column in zip(common[grew], rows[:, grew].T, strict=True)
    ]
    return sorted(found, key=lambda c: c.lengths[0] - c.lengths[-1])


def latest_entries(container: Any) -> list[Any]:
    """Return a few of a container's entries, the newest where it keeps an order.

    Of a mapping, the values and after them their keys. Read by the base type's own methods: a subclass's
    are not asked.
    """
    sized = sized_base(type(container))
    base = sized[0] if sized is not None else None
    if base is dict or base is OrderedDict:
        items = list(itertools.islice(reversed(dict.items(container)), _NEWEST))
        return [value for _, value in items] + [key for key, _ in items]
    if base is list:
        return list.__getitem__(container, slice(-_NEWEST, None))
    if base is deque:
        return [deque.__getitem__(container, -1 - i) for i in range(min(_NEWEST, deque.__len__(container)))]
    if base is set:
        # No order: enough of them that some are new.
        return list(itertools.islice(set.__iter__(container), _OF_A_SET))
    return gc.get_referents(container)[:_NEWEST] if base is _LRU else []


def is_mapping(container: Any) -> bool:
    """Tell whether a container is a dictionary, so that its entries are values and keys."""
    sized = sized_base(type(container))
    return sized is not None and sized[0] in (dict, OrderedDict)


def native_size(obj: object) -> int:
    """Return an object's shallow size by the first native ``__sizeof__`` of its type.

    A Python-level ``__sizeof__`` is user code and is passed over. The collector's header is included.
    """
    for cls in mro_of(type(obj)):
        method = type.__dict__["__dict__"].__get__(cls).get("__sizeof__")
        if type(method) is MethodDescriptorType:
            try:
                size = method(obj)
            except Exception:  # noqa: BLE001 - a type that cannot size itself has no known size
                return 0
            return int(size) + _header(type(obj))
    return 0


def _header(cls: type) -> int:
    """Return what lies before an object of this type: the collector's header and managed attributes."""
    flags: int = type.__dict__["__flags__"].__get__(cls)
    return _TWO_POINTERS * (bool(flags & _HAVE_GC) + bool(flags & _PREHEADER))


_TWO_POINTERS = 2 * ctypes.sizeof(ctypes.c_void_p)
_HAVE_GC = 1 << 14
_PREHEADER = (1 << 4) | (
    1 << 3 if sys.version_info >= (3, 12) else 0
)  # managed dict, managed weak references


def sized_base(cls: type) -> tuple[type, Any] | None:
    """Return the builtin container that a type is or derives from, with its own ``__len__``; else None."""
    return next((_SIZED[id(base)] for base in mro_of(cls) if id(base) in _SIZED), None)
