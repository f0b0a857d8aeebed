"""How threads of the sampled engine's tables are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["thread_name"]

_NO_STATE, _TOO_MANY = 0, 1


def thread_name(names: Mapping[int, str], place: int) -> str:
    """Return the name of the thread at a place of the table.

    >>> thread_name({2: "MainThread"}, 2), thread_name({}, 5)
    ('MainThread', 'a thread that ended (4)')
    """
    if place == _NO_STATE:
        return "without the interpreter's lock"
    if place == _TOO_MANY:
        return "other threads"
    return names.get(place) or f"a thread that ended ({place - _TOO_MANY})"
