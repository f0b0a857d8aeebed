"""The simple face of leak detection: count objects by type, work, and ask which types grew.

It says what is there, and proves nothing: a cache that fills grows too. ``find_leaks`` is the verdict.
Counts are kept beside weak references to the types, by the type's identity, so that the detector keeps no
class alive and runs no metaclass's code; its own objects are taken out of what it counts.
"""

from __future__ import annotations

import gc
import weakref
from array import array
from typing import TYPE_CHECKING, Any

from memlab._base.safety import class_dict, instance_type_name, mro_of, type_name
from memlab.collectors.type_counts import count_types
from memlab.errors import KindError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MemoryLeakDetector"]

_OWN = tuple(
    f"memlab.lab.leak_detector.{n}" for n in ("_Counts", "_TypeRef", "_TrackedRef", "MemoryLeakDetector")
)


class _TypeRef(weakref.ref[type]):
    """A weak reference to a counted type: a type of our own, so that it is told from the user's."""

    __slots__ = ()


class _TrackedRef(weakref.ref[Any]):
    """A weak reference to an object that the user wants to see go."""

    __slots__ = ()


class _Counts:
    """Objects by type at one moment; holds one list and no type."""

    __slots__ = ("numbers", "types")

    def __init__(self, types: Iterable[type], numbers: Iterable[int]) -> None:
        self.types = [_TypeRef(cls) for cls in types]
        # As bytes: the collector tracks arrays, and would count them.
        self.numbers = array("q", numbers).tobytes()


class MemoryLeakDetector:
    """Which types grew since the first snapshot, and which tracked objects are still alive.

    Counted are the objects that Python's collector tracks: instances of ordinary classes and containers. Not
    counted: numbers, strings, arrays, and instances of classes with empty ``__slots__``. Everything in the
    process counts, also what other threads make, and what an import brings.

    Args:
        threshold: a type is reported when it grew by more than this many objects.

    Raises:
        UsageError: when ``threshold`` is no number of objects.

    Example:
        >>> class Session:
        ...     alive = []
        >>> detector = MemoryLeakDetector(threshold=10)
        >>> detector.take_snapshot()
        >>> Session.alive += [Session() for _ in range(60)]
        >>> detector.check_leaks()[Session]
        60
        >>> detector.track_object(Session.alive[0])
        >>> len(detector.check_tracked_objects())
        1
        >>> Session.alive.clear()
        >>> detector.check_tracked_objects(), Session in detector.check_leaks()
        ([], False)
    """

    def __init__(self, threshold: int = 10) -> None:
        if type(threshold) is not int or threshold < 0:
            raise UsageError(
                f"MemoryLeakDetector: threshold must be a number of objects from 0, not {threshold!r}"
            )
        self.threshold = threshold
        self._snapshots: list[_Counts] = []
        self._tracked: list[_TrackedRef] = []

    def take_snapshot(self) -> None:
        """Collect garbage, and count the objects of each type. The first snapshot is what growth is from."""
        gc.collect()
        types, numbers = count_types()
        self._snapshots.append(_Counts(types, self._without_own(types, numbers)))

    def track_object(self, obj: Any) -> None:
        """Watch one object; it is held weakly.

        Raises:
            KindError: a TypeError, when objects of its type cannot be weakly referenced.
        """
        try:
            reference = _TrackedRef(obj)
        except TypeError:
            raise KindError(
                f"tracking an object: a {instance_type_name(obj).removeprefix('builtins.')} cannot be weakly "
                "referenced; track an object that refers to it, or give its class a '__weakref__' slot"
            ) from None
        self._tracked.append(reference)

    def check_leaks(self) -> dict[type, int]:
        """Collect garbage, and return the types that grew by more than the threshold, greatest first.

        Growth is from the first snapshot until now, whatever was taken in between. Empty when no snapshot
        was taken. A class that was made since counts with all its instances.
        """
        gc.collect()
        if not self._snapshots:
            return {}
        # Counted here, in a frame without closures: their cells would be counted too.
        types, numbers = count_types()
        return _grown(self._snapshots[0], types, self._without_own(types, numbers), self.threshold)

    def check_tracked_objects(self) -> list[Any]:
        """Collect garbage, and return the tracked objects that are still alive, in the order of tracking.

        What is returned is held by the list: let it go before you ask again.
        """
        gc.collect()
        self._tracked = [reference for reference in self._tracked if reference() is not None]
        return [found for reference in self._tracked if (found := reference()) is not None]

    def _without_own(self, types: list[type], numbers: list[int]) -> list[int]:
        """Take this detector's lists out of the counts; its other objects are of types of its own."""
        own = len(self._snapshots) + 2
        return [number - own if cls is list else number for cls, number in zip(types, numbers, strict=True)]


def _grown(first: _Counts, types: list[type], numbers: list[int], threshold: int) -> dict[type, int]:
    """Return the types that grew by more than the threshold, greatest first.

    Types whose metaclass has a hash or an equality of its own are left out: user code runs nowhere here, and
    such a type may refuse to be a key.
    """
    # By identity, and only while the same type still lives there: an address may be given out again.
    before = {
        id(cls): number
        for reference, number in zip(first.types, array("q", first.numbers), strict=True)
        if (cls := reference()) is not None
    }
    grown = [
        (cls, growth)
        for cls, number in zip(types, numbers, strict=True)
        if (growth := number - before.get(id(cls), 0)) > threshold and _plain_metaclass(type(cls))
    ]
    grown.sort(key=lambda pair: -pair[1])
    return {cls: growth for cls, growth in grown if type_name(cls) not in _OWN}


def _plain_metaclass(metaclass: type) -> bool:
    for base in mro_of(metaclass):
        if base is type:
            return True
        names = class_dict(base)
        if "__hash__" in names or "__eq__" in names:
            return False
    return True
