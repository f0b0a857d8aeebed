"""Fixed work that is timed in turn with what is measured, so that a slower machine is no regression.

Between two runs a machine may be a tenth slower: another clock, another neighbour. A loop that never changes is
slowed down alike, so the ratio of both stays. Each loop stresses what the measured code does: making containers,
moving memory, or looking things up. A loop's name carries a version: its times may only be compared with those of
the same version, so a loop is never edited; a better one gets another name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["REFERENCES", "reference_loop"]

_COPIED = bytes(1024 * 1024)
_KEYS = 1_000


def _containers() -> None:
    for _ in range(8):
        kept = [{"n": n, "data": [0] * 20} for n in range(300)]
        del kept


def _copies() -> None:
    for _ in range(24):
        bytearray(_COPIED)


def _look_ups() -> None:
    table = {f"key_{n}": n for n in range(_KEYS)}
    for n in range(10 * _KEYS):
        table.get(f"key_{n % _KEYS}")


REFERENCES: Final[Mapping[str, Callable[[], None]]] = {
    "containers/1": _containers,
    "copies/1": _copies,
    "look-ups/1": _look_ups,
}


def reference_loop(name: str, clock: Callable[[], float] = time.thread_time) -> Callable[[], float]:
    """Return a function that runs a loop once and returns the seconds it took (1 to 3 milliseconds).

    Args:
        name: one of ``REFERENCES``.
        clock: seconds. Default: processor time of this thread, which other work on the machine is not in.

    Raises:
        UsageError: for a name that is none.

    Example:
        >>> reference_loop("containers/1")() > 0
        True
    """
    if name not in REFERENCES:
        raise UsageError(f"reference loop: there is no {name!r}; there are {', '.join(REFERENCES)}")
    loop = REFERENCES[name]

    def timed() -> float:
        began = clock()
        loop()
        return clock() - began

    return timed
