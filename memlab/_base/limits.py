"""Bounds for the reading of files that someone else may have made.

Each is checked before what it bounds is allocated or done. The defaults leave room for hours of recording;
a reader who trusts a larger file says so by passing larger ones.
"""

from __future__ import annotations

import dataclasses
import math

from memlab.errors import UsageError

__all__ = ["Limits"]

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much of a capture file is read before it is refused.

    Large columns are packed in the file. What they take unpacked is declared there, added up, and held
    against ``memory_bytes`` before any of it is allocated; so reading takes at most ``memory_bytes``, some
    hundred bytes for each of ``tree_values``, and at the end one copy of what is checked. A heap graph takes
    about 27 bytes an object: the default leaves room for some 35 million.

    Attributes:
        file_bytes: size of the whole file.
        memory_bytes: size of all that it holds, unpacked.
        tree_bytes: size of its JSON part.
        tree_values: numbers, texts, lists and mappings in the JSON part.
        depth: how deep they may be nested.
        blobs: stored pieces of columns and JSON.
        seconds: time that the reading of the file may take, the building of the result not counted.

    >>> Limits(file_bytes=4096).file_bytes
    4096
    """

    file_bytes: int = 2048 * _MIB
    memory_bytes: int = 1024 * _MIB
    tree_bytes: int = 64 * _MIB
    tree_values: int = 2_000_000
    depth: int = 64
    blobs: int = 10_000
    seconds: float = 120.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
                raise UsageError(f"limits: {field.name} must be a number above 0, not {value!r}")
