"""Which collector this interpreter has, told by what it does rather than by its number.

3.14.0 to 3.14.4 had an incremental collector, and 3.14.5 went back to the one of 3.13, so a version number
alone says little. The incremental one ignores the third threshold and always reads it as 0; a free-threaded
build stops all threads instead of holding the interpreter's lock.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CollectorKind", "collector_kind"]

_ABSENT = 0
_gil_enabled = getattr(sys, "_is_gil_enabled", None)


@dataclasses.dataclass(frozen=True, slots=True)
class CollectorKind:
    """What the collector is like.

    Attributes:
        name: ``generational``, ``incremental`` or ``free-threaded``.
        sentence: what that means for its settings.
        uses_third_threshold: whether the third threshold does anything.
    """

    name: str
    sentence: str
    uses_third_threshold: bool


def collector_kind(
    threshold: Callable[[], tuple[int, ...]] = gc.get_threshold,
    set_threshold: Callable[..., None] = gc.set_threshold,
    version: tuple[int, ...] = sys.version_info[:3],
    gil: Callable[[], bool] | None = _gil_enabled,
) -> CollectorKind:
    """Tell which collector this is. Reads the thresholds; where the third reads 0 it sets it for a moment.

    Args:
        threshold: reads the thresholds.
        set_threshold: sets them.
        version: of the interpreter, for the sentence alone.
        gil: tells whether the interpreter's lock is on; None: it always is.

    >>> collector_kind().name in ("generational", "incremental", "free-threaded")
    True
    """
    number = ".".join(map(str, version))
    if gil is not None and not gil():
        return CollectorKind(
            "free-threaded",
            f"Python {number} without the interpreter's lock: one generation, every collection is a full one"
            " and stops all threads; the first threshold counts, the others hardly do.",
            False,
        )
    if threshold()[2] == _ABSENT and not _keeps_third(threshold, set_threshold):
        return CollectorKind(
            "incremental",
            f"Python {number} collects in increments: the second threshold sets how large they are, the third"
            " is ignored. Its memory may grow far above that of 3.13 and of 3.14.5.",
            False,
        )
    return CollectorKind(
        "generational",
        f"Python {number} has three generations; a full collection walks every live container and also waits"
        " until a quarter of them is new.",
        True,
    )


def _keeps_third(threshold: Callable[[], tuple[int, ...]], set_threshold: Callable[..., None]) -> bool:
    before = threshold()
    try:
        set_threshold(before[0], before[1], 7)
        return threshold()[2] == 7  # noqa: PLR2004 - any number would do
    finally:
        set_threshold(*before)
