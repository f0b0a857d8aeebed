"""Options at the start of a magic's line; what follows them is left exactly as it was typed.

IPython's own parser splits the whole line like a shell and cannot give a statement back unharmed once a
long option is written with ``=``. This one reads options from the left and stops at the first word that
is none, or after ``--``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.faces.hunt_options import Option

__all__ = ["parse"]

_WORD = re.compile(r"""\s*((?:[^\s"']|"[^"]*"|'[^']*')+)""")
_QUOTES = ("'", '"')
_SHORTEST_QUOTED = 2


def parse(magic: str, line: str, options: Sequence[Option]) -> tuple[dict[str, Any], str]:
    """Return the options of a magic's line by name, and the rest of the line.

    Args:
        magic: the magic's name, for errors.
        line: what stands behind it.
        options: those it knows.

    Raises:
        UsageError: for an option that is not known, lacks its value, or has one that cannot be read.

    >>> from memlab.faces.hunt_options import HUNT_OPTIONS
    >>> parse("leaks", "-n5 --budget=2 --no-trace f('-n  1')", HUNT_OPTIONS)
    ({'iterations': 5, 'budget': 2.0, 'no_trace': True}, "f('-n  1')")
    """
    values: dict[str, Any] = {}
    rest = line.strip()
    while rest.startswith("-"):
        word, rest = _next_word(rest)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            option = next((o for o in options if o.name == name), None)
        else:
            name, equals, value = word[1:2], word[2:], word[2:]
            option = next((o for o in options if o.short and o.short == name), None)
        if option is None:
            raise UsageError(_unknown(magic, word.partition("=")[0], options))
        if option.kind is None:
            if equals and word.startswith("--"):
                raise UsageError(f"%{magic}: --{name} takes no value")
            values[option.key] = True
            rest = f"-{value} {rest}" if equals else rest  # -oq is -o -q
            continue
        if not equals:
            value, rest = _next_word(rest)
        values[option.key] = _read(magic, option, value)
    return values, rest


def _next_word(text: str) -> tuple[str, str]:
    match = _WORD.match(text)
    if match is None:
        return text.strip(), ""  # an open quote: whoever reads the word complains
    return match.group(1), text[match.end() :].lstrip()


def _read(magic: str, option: Option, value: str) -> Any:
    if value[:1] in _QUOTES and value[-1:] == value[:1] and len(value) >= _SHORTEST_QUOTED:
        value = value[1:-1]
    if not value:
        raise UsageError(f"%{magic}: {_name(option)} needs a value")
    assert option.kind is not None
    try:
        return option.kind(value)
    except ValueError:
        what = {int: "a whole number", float: "a number"}.get(option.kind, "a value")
        raise UsageError(f"%{magic}: {_name(option)} needs {what}, not {value!r}") from None


def _name(option: Option) -> str:
    short = f"-{option.short}/" if option.short else ""
    return f"{short}--{option.name}" + (f" {option.metavar}" if option.metavar else "")


def _unknown(magic: str, word: str, options: Sequence[Option]) -> str:
    known = ", ".join(_name(option) for option in options)
    return f"%{magic}: no option {word}; there are {known} (code that starts with a dash goes after --)"
