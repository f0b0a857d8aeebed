"""Capture the object graph as arrays: the C extension where it was built, else its twin in Python.

Both are given the same things and give the same arrays: the list of tracked objects, which the caller took
before it made anything of its own, so that nothing of memlab's is in it; seeds (what roots hold); and the C
getters that lead to what ``tp_traverse`` leaves out. Code objects and static types are no objects of the
collector, arrays of objects do not show their elements; their parts are read through the type's own C
getters. Nothing here runs user code, and neither engine keeps an object alive after it returns.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import sysconfig
import threading
from types import CodeType, MethodDescriptorType
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import class_dict
from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from memlab.records.columns import Bytes, Ints, Nodes, Words

try:
    from memlab._native import heapgraph

    native: Any = heapgraph
except ImportError:  # no compiler when memlab was installed
    native = None

__all__ = [
    "PREHEADER",
    "Order",
    "Raw",
    "capture",
    "check_threads",
    "doubts",
    "native",
    "outside_traverse",
    "untraversed",
]


@dataclasses.dataclass(slots=True)
class Raw:
    """What an engine gives back; the columns are those of ``HeapGraph``.

    Attributes:
        text_node: the nodes that are exact strings or bytes, with the ``hashes`` of their contents.
        seed_node: the nodes of the seeds, in their order; ``NO_NODE`` for what was skipped or came too late.
        types: the types themselves, by the index used in ``type_of``.
        huge: ``(node, size)`` where 32 bits are too few.
    """

    address: Words
    type_of: Nodes
    size: Nodes
    flags: Bytes
    starts: Nodes
    edges: Nodes
    text_node: Nodes
    hashes: Ints
    seed_node: Nodes
    types: list[type]
    huge: list[tuple[int, int]]
    complete: bool


@dataclasses.dataclass(slots=True)
class Order:
    """What to capture.

    Attributes:
        objects: from ``gc.get_objects()``, taken first of all.
        seeds: objects to begin from beside these; the references of this very list are left out of account.
        skip: objects that shall not be in the graph: those of an earlier capture. They are taken out of the
            list ``objects`` as well.
        limit: at most so many nodes.
        seconds: stop after so long; 0 for never.
        budget_bytes: end the graph where the capture itself has taken so much; 0 for no bound. Half of it is
            for tracked objects, half for what only they lead to. The twin in Python turns it into a limit.
    """

    objects: list[Any]
    seeds: list[Any]
    skip: list[Any]
    limit: int
    seconds: float = 0.0
    budget_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """The C getters that lead where ``tp_traverse`` does not.

    Attributes:
        expanders: ``(type, getters, also where the type is traversed)``.
        arrays: numpy's array type with the getters of ``base``, ``dtype``, ``dtype.kind`` and ``flat``.
    """

    expanders: tuple[tuple[type, tuple[Any, ...], bool], ...]
    arrays: tuple[Any, ...]


_CODE_PARTS = (
    *("co_consts", "co_names", "co_filename", "co_name", "co_qualname"),
    *("co_linetable", "co_exceptiontable"),
)


def _expanders() -> tuple[tuple[type, tuple[Any, ...], bool], ...]:
    return tuple(
        (kind, tuple(class_dict(kind)[name] for name in names if name in class_dict(kind)), always)
        for kind, names, always in (
            (CodeType, _CODE_PARTS, False),
            (type, ("__dict__", "__mro__", "__bases__"), False),
            (re.Pattern, ("pattern", "groupindex"), True),
        )
    )


@functools.cache
def outside_traverse() -> Outside:
    """Return the getters; numpy is imported, since this module needs it."""
    space = class_dict(np.ndarray)
    getters = (space["base"], space["dtype"], class_dict(np.dtype)["kind"], space["flat"])
    return Outside(_expanders(), (np.ndarray, *getters))


def untraversed() -> Any:
    """Return the module of Python 3.12 whose traverse shows dead objects (see ``walk``); None elsewhere."""
    return sys.modules.get("_asyncio") if sys.version_info[:2] == (3, 12) else None


def check_threads() -> None:
    """Refuse where no capture could be of one moment.

    Raises:
        UnavailableError: on a free-threaded interpreter while other threads run.
    """
    has_gil = getattr(sys, "_is_gil_enabled", None)
    if has_gil is not None and not has_gil() and threading.active_count() > 1:
        raise UnavailableError(
            "cannot capture the heap of a free-threaded interpreter while other threads run: stop them first"
        )


NEWEST_TESTED = (3, 13)


def doubts() -> list[str]:
    """Return what the interpreter may make wrong in a capture; empty on the ones that were tested."""
    doubt = ""
    if hasattr(sys, "_is_gil_enabled") and sysconfig.get_config_var("Py_GIL_DISABLED"):
        doubt = (
            "This is a free-threaded build of Python, on which memlab is not tested: its objects have "
            "another head, so sizes are estimates, and references that it does not count make some roots "
            "invisible."
        )
    elif sys.version_info[:2] > NEWEST_TESTED:
        newest = ".".join(map(str, NEWEST_TESTED))
        doubt = (
            f"Python {sys.version_info.major}.{sys.version_info.minor} is newer than the newest on which "
            f"this memlab was tested ({newest}): references that it does not count may make roots invisible; "
            "look for a newer memlab."
        )
    return [doubt] if doubt else []


PREHEADER = (1 << 4) | (1 << 3 if sys.version_info >= (3, 12) else 0)
"""Type flags that stand for two pointers before the object: managed attributes, managed weak references."""

# Kept here rather than made for each call: a reference of ours would be counted as one from outside.
_SIZEOF = "__sizeof__"
_LOOKUP = tuple(class_dict(type)[name] for name in ("__mro__", "__dict__", "__basicsize__", "__itemsize__"))
_PLAIN = class_dict(object)[_SIZEOF]


def capture(order: Order) -> Raw:
    """Capture the graph with the best engine there is."""
    if native is None:
        from memlab.collectors import heap_twin

        return heap_twin.capture(order)
    outside = outside_traverse()
    parts = native.capture(
        *(order.objects, order.seeds, order.skip, untraversed(), outside.expanders, outside.arrays),
        *(_LOOKUP, _SIZEOF, MethodDescriptorType, _PLAIN, PREHEADER, order.limit, order.seconds),
        order.budget_bytes,
    )
    kinds = (np.uint64, np.uint32, np.uint32, np.uint8, np.uint32, np.uint32, np.uint32, np.int64, np.uint32)
    columns: list[Any] = [
        np.frombuffer(part, dtype=kind) for part, kind in zip(parts[:9], kinds, strict=True)
    ]
    return Raw(*columns, *parts[9:])
