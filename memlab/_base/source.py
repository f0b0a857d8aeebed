"""A line of source, fit to be shared: the contents of its strings and its comments left out.

Files are read through ``linecache``, which also knows notebook cells. A literal may be a password; the shape
of the line is what a reader needs. The whole file is tokenized, not the line alone, since only that tells
code from a line inside a multi-line literal. What the tokenizer cannot follow is left out.
"""

from __future__ import annotations

import ast
import functools
import io
import linecache
import tokenize
from functools import lru_cache

from memlab._base.safety import clean

__all__ = ["enclosing_function", "redact", "source_block", "source_line"]

_MIDDLES = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if hasattr(tokenize, name)
)
_LONGEST_FILE = 2_000_000

_Cuts = dict[int, list[tuple[int, int, str]]]


def source_line(filename: str, line: int) -> str:
    """Return one line, stripped and redacted; empty when it cannot be read or understood."""
    lines = linecache.getlines(filename)
    if not 1 <= line <= len(lines):
        return ""
    redacted = _redacted("".join(lines))
    return redacted[line - 1].strip() if line <= len(redacted) else ""


def source_block(filename: str, first: int, last: int) -> list[str]:
    """Return the lines from ``first`` to ``last``, redacted and with their indentation.

    Lines that cannot be read or understood are missing at the end.
    """
    return list(_redacted("".join(linecache.getlines(filename)))[max(first, 1) - 1 : last])


def enclosing_function(filename: str, line: int) -> str:
    """Return the qualified name of the function or class body that a line stands in; empty at top level.

    tracemalloc records no names. A line that a decorator or a default value shares with a ``def`` counts as
    the function's.
    """
    best = ""
    for first, last, name in _definitions(filename):
        if first <= line <= last:
            best = name  # outer definitions come first
    return best


@functools.lru_cache(maxsize=256)
def _definitions(filename: str) -> tuple[tuple[int, int, str], ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found: list[tuple[int, int, str]] = []
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop(0)
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}" if prefix else child.name
                found.append((child.lineno, child.end_lineno or child.lineno, name))
            if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
                pending.append((child, name))
    return tuple(found)


def redact(line: str) -> str:
    """Replace what stands inside string literals by ``…`` and drop the comment.

    The line is taken to begin outside of any literal; ``source_line`` knows whether it does.

    >>> redact('cache["user-7"] = Session(token="s3cret")  # why')
    'cache["…"] = Session(token="…")'
    >>> redact("return '''half of a literal")
    ''
    """
    return next(iter(_redacted.__wrapped__(line)), "").strip()


@lru_cache(maxsize=16)
def _redacted(text: str) -> tuple[str, ...]:
    """Redact a text line by line; lines from the first that cannot be followed on are missing."""
    if len(text) > _LONGEST_FILE:
        return ()
    cuts, known = _literals(text)
    return tuple(
        clean(_apply(line, cuts.get(row, [])).expandtabs().rstrip())
        for row, line in enumerate(io.StringIO(text), 1)
        if row < known
    )


def _literals(text: str) -> tuple[_Cuts, float]:
    """Return what to cut from each row, and the first row that could not be followed."""
    cuts: _Cuts = {}
    row = 1
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.ERRORTOKEN and not token.string.isspace() and _opens(token.string):
                return cuts, token.start[0]
            if token.type in _MIDDLES:
                _cut(cuts, token, "", "")
            elif token.type == tokenize.STRING:
                _cut(cuts, token, *_marks(token.string))
            elif token.type == tokenize.COMMENT:
                cuts.setdefault(token.start[0], []).append((token.start[1], token.end[1], ""))
            row = token.end[0]
    except tokenize.TokenError as error:
        # An open bracket is a statement that goes on: all of it was seen. An open literal was not.
        if "multi-line statement" not in str(error):
            return cuts, row
    except (SyntaxError, ValueError):  # inconsistent indentation, a null byte
        return cuts, row
    return cuts, float("inf")


def _opens(text: str) -> bool:
    return '"' in text or "'" in text


def _marks(literal: str) -> tuple[str, str]:
    """Return what stands before and after the content: prefix and quotes, and quotes."""
    quote = next(i for i, c in enumerate(literal) if c in "\"'")
    triple = literal[quote : quote + 3]
    mark = triple if triple in ('"""', "'''") else literal[quote]
    return literal[:quote] + mark, mark


def _cut(cuts: _Cuts, token: tokenize.TokenInfo, before: str, after: str) -> None:
    (first, start), (last, end) = token.start, token.end
    hollow = "…" if len(token.string) > len(before) + len(after) else ""
    for row in range(first, last + 1):
        cuts.setdefault(row, []).append(
            (
                start if row == first else 0,
                end if row == last else _LONGEST_FILE,
                (before if row == first else "") + hollow + (after if row == last else ""),
            )
        )


def _apply(line: str, cuts: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, instead in cuts:
        pieces += [line[at:start], instead]
        at = end
    return "".join([*pieces, line[at:]])
