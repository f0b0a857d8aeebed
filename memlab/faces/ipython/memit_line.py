"""The line of ``%memit``, read as memory_profiler reads it: same options, same splitting, same defaults."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemitOptions", "parse_memit"]


@dataclasses.dataclass(frozen=True, slots=True)
class MemitOptions:
    """Options of one ``%memit``.

    Attributes:
        keywords: the arguments of ``memlab.memit``.
        give_back: ``-o``.
        quiet: ``-q``.
    """

    keywords: dict[str, Any]
    give_back: bool
    quiet: bool


def parse_memit(magics: Any, line: str) -> tuple[MemitOptions, str]:
    """Return the options, and the statement or (in a cell) the setup.

    Raises:
        UsageError: when a value is no number, or no repetition is asked for.
    """
    found, statement = magics.parse_options(line, "r:t:i:coq", posix=False, strict=False)
    repeat = _number(found, "r", int, 1)
    if repeat < 1:
        raise UsageError(f"%memit: -r must be 1 or more, not {repeat}")
    timeout = _number(found, "t", int, 0)
    keywords = {
        "repeat": repeat,
        "timeout": timeout if timeout > 0 else None,
        "interval": _number(found, "i", float, 0.1),
        "include_children": "c" in found,
    }
    return MemitOptions(keywords, give_back="o" in found, quiet="q" in found), statement


def _number(found: Any, letter: str, kind: Callable[[Any], Any], default: Any) -> Any:
    value = found.get(letter, default)
    try:
        return kind(value)
    except (TypeError, ValueError):  # TypeError: the option was given twice
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"%memit: -{letter} needs {what} once, not {value!r}") from None
