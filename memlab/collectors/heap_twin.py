"""The capture in Python and numpy: the same nodes, edges, sizes and flags as the C extension, more slowly.

``gc.get_referents`` runs the same ``tp_traverse`` as the extension does. Objects are asked in batches, in the
order of their numbers; the addresses of what they refer to are looked up in one numpy pass a batch, and what
is met for the first time gets the next numbers. All objects are held until the end, so another thread that
drops one meanwhile does no harm; a capture of one moment it is only while no other thread runs.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import time
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import class_dict, mro_of
from memlab.collectors.census import addresses
from memlab.collectors.heap_engine import PREHEADER, Order, Outside, Raw, outside_traverse, untraversed
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, NO_NODE, TRACKED

if TYPE_CHECKING:
    from memlab.records.columns import Bytes

__all__ = ["capture"]

_BATCH = 4096
_SKIPPED = NO_NODE
_SLOTS = 1 << 16
_BYTES_EACH = 400  # of the budget for an object
_PAGE_SHIFT = np.uint64(20)
_SLOT_SHIFT = np.uint64(4)
_HAVE_GC = 1 << 14
_POINTERS = 2 * (sys.maxsize.bit_length() + 1) // 8
_get_flags = class_dict(type)["__flags__"].__get__


def capture(order: Order) -> Raw:
    """Capture the graph."""
    collecting = gc.isenabled()
    gc.disable()  # thousands of short-lived lists would make it run again and again
    try:
        return _Twin(order).run()
    finally:
        if collecting:
            gc.enable()


@dataclasses.dataclass(slots=True, eq=False)
class _Kind:
    """What is to be known of a type, once.

    Attributes:
        index: types are numbered in the order in which an object of theirs is first asked.
        sizer: its first native ``__sizeof__``, None for none; ``header`` is what lies before the object.
        meta: its instances are types, of which the static ones have no header.
        text: it is exactly ``str`` or ``bytes``.
        untracked: traversed though the collector does not track it.
        getters: lead to what its traverse does not; ``always``: even where it is traversed.
    """

    index: int
    sizer: Any
    header: int
    meta: bool
    text: bool
    untracked: bool
    array: bool
    getters: tuple[Any, ...] = ()
    always: bool = False


def _kind_of(kind: type, index: int, outside: Outside) -> _Kind:
    sizer, header = _sizer(kind)
    meta = issubclass(kind, type)
    text = kind is str or kind is bytes
    traversed = kind is tuple or kind is dict
    found = _Kind(index, sizer, header, meta, text, traversed, issubclass(kind, outside.arrays[0]))
    for owner, getters, always in outside.expanders:
        if kind is owner or (owner is type and meta):
            found.getters, found.always = getters, always
            break
    return found


def _sizes(batch: list[Any], kinds: list[_Kind]) -> list[int]:
    try:
        # Nearly every batch is one of which nothing special is to be known.
        if all(kind.sizer is not None and not kind.meta for kind in set(kinds)):
            return [kind.sizer(obj) + kind.header for obj, kind in zip(batch, kinds, strict=True)]
    except Exception:  # noqa: BLE001, S110 - one by one, then
        pass
    found = []
    for obj, kind in zip(batch, kinds, strict=True):
        try:
            size = kind.sizer(obj) + kind.header if kind.sizer is not None else 0
            if kind.meta and not _is_collected(obj):
                size -= kind.header  # a static type has none, though its type says so
        except Exception:  # noqa: BLE001 - a type that cannot size itself has no known size
            size = 0
        found.append(size)
    return found


class _PageMap:
    """Number of each address plus one; 0: not met. The page picks a row, the 16-byte slot a column."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self._table = np.zeros((64, _SLOTS), np.uint32)

    def slots(self, address: Any) -> Any:
        """Return the places of addresses in the flat table, made where they are not there."""
        pages, inverse = np.unique(address >> _PAGE_SHIFT, return_inverse=True)
        rows = np.empty(len(pages), np.int64)
        for at, page in enumerate(pages.tolist()):
            rows[at] = self._row.setdefault(page, len(self._row))
        if len(self._row) > len(self._table):
            more = max(len(self._row), 2 * len(self._table)) - len(self._table)
            self._table = np.concatenate([self._table, np.zeros((more, _SLOTS), np.uint32)])
        slot = (address >> _SLOT_SHIFT) & np.uint64(_SLOTS - 1)
        return rows[inverse] * _SLOTS + slot.astype(np.int64)

    @property
    def flat(self) -> Any:
        return self._table.reshape(-1)


class _Twin:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.outside = outside_traverse()
        self.untraversed = untraversed()
        self.met: list[Any] = []
        self.map = _PageMap()
        self.complete = True
        self.tracked: list[Bytes] = []
        self.sizes: list[Any] = []
        self.lengths: list[Any] = []
        self.edges: list[Any] = []
        self.text: list[tuple[int, int]] = []
        self.type_of: list[Any] = []
        self.first: list[int] = []  # of each type, the first node
        self.huge: list[tuple[int, int]] = []
        self.kinds: dict[int, _Kind] = {}

    def run(self) -> Raw:
        order = self.order
        self.map.flat[self.map.slots(_words(order.skip))] = _SKIPPED
        ours = set(map(id, order.skip))
        if ours:  # out of the list, so that the n-th object is node n
            order.objects[:] = [item for item in order.objects if id(item) not in ours]
        limit = order.limit
        if order.budget_bytes:
            limit = min(limit, order.budget_bytes // _BYTES_EACH + 1)
        # Room for the seeds, without which nothing would have a root; see the engine in C.
        order.limit = limit // 2 if order.budget_bytes else limit - min(len(order.seeds), limit // 2)
        if len(order.objects) > order.limit:
            del order.objects[order.limit :]
            self.complete = False
        self._number(order.objects)
        order.limit = limit
        self._number(order.seeds)
        deadline = time.monotonic() + order.seconds if order.seconds > 0 else None
        done = 0
        while done < len(self.met):
            if deadline is not None and time.monotonic() > deadline:
                self.complete = False
                break
            done += self._ask(done, self.met[done : done + _BATCH])
        return self._finish(done)

    def _number(self, objects: list[Any]) -> Any:
        """Number new objects in order of first appearance; return the number of each plus one."""
        if not objects:
            return np.zeros(0, np.uint32)
        at = self.map.slots(_words(objects))
        table = self.map.flat
        unknown = np.flatnonzero(table[at] == 0)
        if len(unknown):
            _, first = np.unique(at[unknown], return_index=True)
            new = unknown[np.sort(first)]
            room = max(self.order.limit - len(self.met), 0)
            if len(new) > room:
                new, self.complete = new[:room], False
            table[at[new]] = np.arange(len(self.met) + 1, len(self.met) + 1 + len(new), dtype=np.uint32)
            self.met += [objects[index] for index in new.tolist()]
        return table[at]

    def _ask(self, start: int, batch: list[Any]) -> int:
        tracked = list(map(gc.is_tracked, batch))
        kinds = self._kinds(start, batch)
        lists = self._referents(batch, tracked, kinds)
        numbers = self._number(list(itertools.chain.from_iterable(lists)))
        kept = (numbers != 0) & (numbers != _SKIPPED)
        owner = np.repeat(np.arange(len(batch)), np.fromiter(map(len, lists), np.int64, len(lists)))
        self.lengths.append(np.bincount(owner[kept], minlength=len(batch)))
        self.edges.append(numbers[kept] - np.uint32(1))
        self.tracked.append(np.array(tracked, dtype=np.uint8))
        self.sizes.append(np.array(_sizes(batch, kinds), np.int64))
        self.type_of.append(np.fromiter((kind.index for kind in kinds), np.uint32, len(kinds)))
        self.text += [(start + at, hash(batch[at])) for at, kind in enumerate(kinds) if kind.text]
        return len(batch)

    def _kinds(self, start: int, batch: list[Any]) -> list[_Kind]:
        ids = list(map(id, map(type, batch)))
        for place in [place for place in dict.fromkeys(ids) if place not in self.kinds]:
            at = ids.index(place)
            self.kinds[place] = _kind_of(type(batch[at]), len(self.first), self.outside)
            self.first.append(start + at)
        return list(map(self.kinds.__getitem__, ids))

    def _referents(self, batch: list[Any], tracked: list[bool], kinds: list[_Kind]) -> list[Any]:
        """Return what each object refers to; all that is done for each by itself stands in this loop."""
        found: list[Any] = []
        ask, nothing, out_of_bounds = gc.get_referents, (), self.untraversed
        for obj, is_tracked, kind in zip(batch, tracked, kinds, strict=True):
            if (is_tracked or kind.untracked) and obj is not out_of_bounds:
                held: Any = ask(obj)
            else:
                held = nothing
            if kind.array:
                held = [*held, *_array_parts(obj, self.outside.arrays)]
            elif kind.getters and (kind.always or not _is_collected(obj)):
                held = [*held, *_parts(obj, kind.getters)]
            found.append(held)
        return found

    def _finish(self, done: int) -> Raw:
        met = self.met[:done]
        lengths = np.concatenate([np.zeros(1, np.int64), *self.lengths])
        edges = np.concatenate([np.zeros(0, np.uint32), *self.edges])
        if done < len(self.met):
            owner = np.repeat(np.arange(done), lengths[1:])
            inside = edges < done
            edges = edges[inside]
            lengths[1:] = np.bincount(owner[inside], minlength=done)
        sizes = np.concatenate([np.zeros(0, np.int64), *self.sizes])
        self.huge = [(int(n), int(sizes[n])) for n in np.flatnonzero(sizes >= NO_NODE)]
        flags = np.concatenate([np.zeros(0, np.uint8), *self.tracked]) * np.uint8(TRACKED)
        self.met = met
        self.kinds.clear()  # they hold methods, which would count as held from outside
        flags |= self._account(met, edges)
        return Raw(
            address=_words(met),
            type_of=np.concatenate([np.zeros(0, np.uint32), *self.type_of]),
            size=np.minimum(sizes, NO_NODE).astype(np.uint32),
            flags=flags,
            starts=np.cumsum(lengths).astype(np.uint32),
            edges=edges,
            text_node=np.array([n for n, _ in self.text], np.uint32),
            hashes=np.array([h for _, h in self.text], np.int64),
            seed_node=self._places(self.order.seeds, done),
            types=[type(met[node]) for node in self.first],
            huge=self.huge,
            complete=self.complete,
        )

    def _places(self, objects: list[Any], done: int) -> Any:
        """Return the nodes of objects; ``NO_NODE`` for those that are not in the graph."""
        if not objects:
            return np.zeros(0, np.uint32)
        numbers = self.map.flat[self.map.slots(_words(objects))]
        known = (numbers != 0) & (numbers != _SKIPPED) & (numbers <= done)
        return np.where(known, numbers - np.uint32(1), np.uint32(NO_NODE))

    def _account(self, met: list[Any], edges: Any) -> Bytes:
        """Tell what has more references than were met, and what is immortal."""
        ours = np.zeros(len(met), np.int64)
        for known in (self.order.objects, self.order.seeds):
            places = self._places(known, len(met))
            ours += np.bincount(places[places != NO_NODE], minlength=len(met))
        # Held by ``met`` alone, a fresh object tells how many references the asking itself makes. After a
        # capture that was cut short two lists hold each object.
        alone = [object()]
        base = next(map(sys.getrefcount, alone))
        counts = np.fromiter(map(sys.getrefcount, met), np.int64, len(met))
        immortal = (counts & 0xFFFF_FFFF) >= 1 << 31
        seen = np.bincount(edges, minlength=len(met))
        external = ~immortal & (counts - base - ours > seen)
        flags: Bytes = (immortal * IMMORTAL + external * EXTERNAL).astype(np.uint8)
        return flags


def _words(objects: list[Any]) -> Any:
    return addresses(objects).view(np.uint64)


def _is_collected(obj: Any) -> bool:
    """Tell whether the collector could track an object: a static type can not be, though its type says so."""
    kind = type(obj)
    if not _get_flags(kind) & _HAVE_GC:
        return False
    return not issubclass(kind, type) or bool(_get_flags(obj) & (1 << 9))


def _parts(obj: Any, getters: tuple[Any, ...]) -> list[Any]:
    """Return what C getters give: the value, or, where it was made for us alone, what it refers to."""
    found = []
    for getter in getters:
        try:
            value = getter.__get__(obj)
        except (AttributeError, TypeError, ValueError):
            continue
        if value is None:
            continue
        if sys.getrefcount(value) > 2:  # noqa: PLR2004 - our variable and the argument
            found.append(value)
        else:
            found += gc.get_referents(value)
    return found


def _array_parts(obj: Any, arrays: tuple[Any, ...]) -> list[Any]:
    _, base, dtype, kind, flat = arrays
    owner = base.__get__(obj)
    if owner is not None:
        return [owner]
    return list(flat.__get__(obj)) if kind.__get__(dtype.__get__(obj)) == "O" else []


def _sizer(kind: type) -> tuple[Any, int]:
    flags = _get_flags(kind)
    header = _POINTERS * (bool(flags & _HAVE_GC) + bool(flags & PREHEADER))
    for cls in mro_of(kind):
        method = class_dict(cls).get("__sizeof__")
        if type(method) is MethodDescriptorType:
            return method, header
    return None, header
