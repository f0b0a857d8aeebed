"""Objects whose memory is known exactly: leaks, chains, cycles, diamonds; and classes that tell on a tool.

For tests of memlab and for yours: what these build is what a correct tool must report.

>>> with known_leak(3, size=1000) as leak:
...     len(leak), len(leak[0].payload)
(3, 1000)
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Leaked", "Node", "chain", "cycle", "diamond", "known_leak", "nosy_class"]

_leaked: list[list[Leaked]] = []


class Leaked:
    """What ``known_leak`` leaks: one payload of bytes, no dictionary."""

    __slots__ = ("__weakref__", "payload")

    def __init__(self, size: int) -> None:
        self.payload = bytearray(size)


class Node:
    """A node that refers to others by name; two slots and no dictionary, so each reference is one edge."""

    __slots__ = ("__weakref__", "other", "next")  # noqa: RUF023 - in the order of use

    def __init__(self) -> None:
        self.next: Node | None = None
        self.other: Node | None = None


@contextlib.contextmanager
def known_leak(n: int, size: int = 0) -> Iterator[list[Leaked]]:
    """Keep ``n`` objects of ``size`` payload bytes each in a module's global list, for the time of the block.

    The chain to each is ``module memlab.testing -> ._leaked (list) -> [i] list -> [j] Leaked``. The list
    that the block is given is the innermost of these; call its ``append`` to leak more.

    Args:
        n: objects.
        size: bytes in each object's ``payload``, which is a bytearray: its own header comes on top.

    Raises:
        UsageError: when ``n`` or ``size`` is negative.
    """
    _not_negative(n=n, size=size)
    leak = [Leaked(size) for _ in range(n)]
    _leaked.append(leak)
    try:
        yield leak
    finally:
        # By identity: another block's list of as many objects may compare equal.
        _leaked[:] = [other for other in _leaked if other is not leak]


def chain(n: int) -> Node:
    """Return the first of ``n`` nodes, each of which holds the following one as ``next``.

    A long chain is taken apart without recursion: by the interpreter, which limits the depth of nested
    deallocation.

    >>> first = chain(3)
    >>> first.next.next.next is None
    True
    """
    _not_negative(n=n - 1)
    first = last = Node()
    for _ in range(n - 1):
        last.next = Node()
        last = last.next
    return first


def cycle(n: int) -> Node:
    """Return one of ``n`` nodes that hold each other in a ring; only the collector frees them.

    >>> node = cycle(2)
    >>> node.next is not node and node.next.next is node
    True
    """
    _not_negative(n=n - 1)
    first = last = chain(n)
    while last.next is not None:
        last = last.next
    last.next = first
    return first


def diamond() -> tuple[Node, Node, Node, Node]:
    """Return top, left, right and bottom: top holds both sides, and either side holds the bottom.

    The bottom is retained by the top and by neither side: top dominates it.
    """
    top, left, right, bottom = Node(), Node(), Node(), Node()
    top.next, top.other = left, right
    left.next = right.next = bottom
    return top, left, right, bottom


_HOOKS = (
    "__abs__",
    "__add__",
    "__bool__",
    "__bytes__",
    "__call__",
    "__complex__",
    "__contains__",
    "__copy__",
    "__deepcopy__",
    "__delattr__",
    "__delitem__",
    "__dir__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__float__",
    "__format__",
    "__fspath__",
    "__ge__",
    "__getitem__",
    "__getstate__",
    "__gt__",
    "__hash__",
    "__index__",
    "__int__",
    "__invert__",
    "__iter__",
    "__le__",
    "__len__",
    "__length_hint__",
    "__lt__",
    "__missing__",
    "__ne__",
    "__neg__",
    "__next__",
    "__pos__",
    "__reduce__",
    "__reduce_ex__",
    "__repr__",
    "__reversed__",
    "__round__",
    "__setitem__",
    "__sizeof__",
    "__str__",
    "__instancecheck__",
    "__subclasscheck__",
    "__subclasshook__",
    "__array__",
    "__await__",
    "__aiter__",
    "__get__",
    "__buffer__",
)
"""Special methods looked up on the type; those that are read as attributes are properties, below."""

_PROPERTIES = ("__class__", "__doc__", "__module__", "__dict__", "__weakref__", "__name__")


def nosy_class() -> tuple[type, Counter[str]]:
    """Return a class of which every access that runs Python code is counted, and the counts.

    Special methods, attribute access and properties count, on instances and, through a metaclass, on the
    class itself. Make instances as you like, ``calls.clear()``, hand them to a tool, and look at ``calls``:
    a tool that runs no user code leaves it empty. Each hook then answers as ``object`` would where it can
    and raises where it cannot. Instances have a dictionary and may be weakly referenced.

    >>> kind, calls = nosy_class()
    >>> nosy = kind()
    >>> calls.clear()
    >>> hash(nosy) == hash(nosy), calls["__hash__"]
    (True, 2)
    """
    calls: Counter[str] = Counter()
    meta = type("NosyMeta", (type,), _instrumented(calls, type, "meta "))
    return meta("Nosy", (object,), _instrumented(calls, object, "")), calls


def _instrumented(calls: Counter[str], base: type, where: str) -> dict[str, Any]:
    space: dict[str, Any] = {name: _hook(calls, base, where, name) for name in _HOOKS}
    # A class needs its own answers to be made and called at all; they are counted all the same.
    space["__getattribute__"] = _hook(calls, base, where, "__getattribute__")
    space["__getattr__"] = _hook(calls, base, where, "__getattr__")
    space["__setattr__"] = _hook(calls, base, where, "__setattr__")
    if base is type:
        space.pop("__get__")  # on a metaclass it would make every class a descriptor
        space["mro"] = type.mro
    for name in _PROPERTIES:
        if name in ("__dict__", "__weakref__") and base is object:
            continue  # the class would lose its own: see the subclass made by tests of reading dictionaries
        space[name] = _property(calls, base, where, name)
    return space


def _hook(calls: Counter[str], base: type, where: str, name: str) -> Callable[..., Any]:
    native = getattr(base, name, None)

    def hook(self: Any, *args: Any, **options: Any) -> Any:
        calls[where + name] += 1
        if native is None:
            raise TypeError(f"{name} was called")
        return native(self, *args, **options)

    return hook


def _property(calls: Counter[str], base: type, where: str, name: str) -> Any:
    native: Any = vars(base).get(name)

    def read(self: Any) -> Any:
        calls[where + name] += 1
        return native.__get__(self, type(self)) if hasattr(native, "__get__") else None

    return property(read)


def _not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise UsageError(f"cannot build this with {name}={number}: it must not be negative")
