"""A source file's lines as hashes, and which function each stands in: what a snapshot keeps of the source.

The hash of a line leaves out blanks, comments, what stands inside strings, and all digits, so that it tells
which line is which between two versions of a file and not what a password was. Functions are
told by indentation: a body ends before the first logical line that is not deeper than its ``def``. No syntax
tree is made: while allocations are traced, each of its hundred thousand nodes would be. One regular
expression empties the literals (what it takes for two, quotes inside an f-string, only makes a hash a
little different), and the rest is arithmetic on the bytes; a test holds the functions equal to those of
``ast`` over the standard library.

Files are read here rather than through ``linecache``, whose lines would stand in the next snapshot as the
program's. What was read is kept until the file changes.
"""

from __future__ import annotations

import dataclasses
import io
import linecache
import os
import re
import stat

import numpy as np
import numpy.typing as npt

from memlab._base.safety import clean

__all__ = ["SourceLines", "source_lines", "source_size", "source_text", "whole_text"]

_LONGEST = 2_000_000
_MOST = 4096
# It begins with a set of characters, which the engine looks for quickly. Six groups, three for each quote,
# without the opening one: a literal in triple quotes, the end of a plain one, and one with backslashes.
_LITERALS = re.compile(
    r"""["'#](?:"""
    r"""(?<=")(?:(""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3})|[^"\\\n]*(")|((?:[^"\\\n]|\\.)*"))"""
    r"""|(?<=')(?:(''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'{3})|[^'\\\n]*(')|((?:[^'\\\n]|\\.)*'))"""
    r"""|(?<=\#)[^\n]*)""",
    re.DOTALL,
)
_SCOPES = re.compile(rb"^[ \t\f]*(?:async[ \t]+def|def|class)\b[ \t]*([^\W\d][^ \t(:\[\\]*)", re.MULTILINE)
_STRIDE = 7  # between two literals in what splitting returns: the text, and the six groups
_LEFT_OUT = b" \t\f\\0123456789"
_NEWLINE, _BACKSLASH = ord("\n"), ord("\\")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SourceLines:
    """What is kept of a source file.

    Attributes:
        hashes: one for each line, 0 for an empty one, shape ``(lines,)``.
        function_of: line - 1 -> index into ``functions``, shape ``(lines,)``.
        functions: qualified names, the first one empty: the top level.
    """

    hashes: npt.NDArray[np.uint32]
    function_of: npt.NDArray[np.int32]
    functions: tuple[str, ...]

    def function(self, line: int) -> str | None:
        """Return the name of the function around a line, None for a line that is not there."""
        if not 1 <= line <= len(self.function_of):
            return None
        return self.functions[int(self.function_of[line - 1])]


_Stamp = tuple[int, int]
_kept: dict[str, tuple[_Stamp, SourceLines | None]] = {}


def source_size(filename: str) -> int:
    """Return the size of a source file in bytes, -1 when there is none."""
    try:
        status = os.stat(filename)  # noqa: PTH116 - a name from a code object, any text
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def source_lines(filename: str, *, is_cell: bool = False) -> SourceLines | None:
    """Return what is to be kept of a source file, None when it cannot be read.

    Args:
        filename: as the code object has it.
        is_cell: it is a notebook cell, whose text ``linecache`` has.
    """
    stamp = _cell_stamp(filename) if is_cell else _file_stamp(filename)
    if stamp is None:
        return None
    known = _kept.get(filename)
    if known is not None and known[0] == stamp:
        return known[1]
    text = _cell_text(filename) if is_cell else _file_text(filename)
    found = _lines_of(text) if text is not None else None
    if len(_kept) >= _MOST:
        _kept.clear()
    _kept[filename] = (stamp, found)
    return found


def _file_stamp(filename: str) -> _Stamp | None:
    """Return when a file was changed and its size; None when it is too long, or none to be read.

    A program may come through a pipe: reading that again would take its input away, or wait for ever.
    """
    try:
        status = os.stat(filename)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    readable = stat.S_ISREG(status.st_mode) and status.st_size <= _LONGEST
    return (status.st_mtime_ns, status.st_size) if readable else None


def whole_text(filename: str) -> str | None:
    """Return the text of a source file or of a notebook's cell, None when it cannot be read."""
    text = _file_text(filename) if filename else None
    return _cell_text(filename) if text is None else text


def _file_text(filename: str) -> str | None:
    if _file_stamp(filename) is None:
        return None
    try:
        with io.FileIO(filename) as file:
            content = file.read(_LONGEST)
        head = content.split(b"\n", 2)[:2]
        coding = next((m[1] for line in head if (m := _CODING.match(line))), b"utf-8").decode("ascii")
        return content.removeprefix(b"\xef\xbb\xbf").decode(coding)
    except (OSError, ValueError, LookupError):
        return None


def _cell_stamp(filename: str) -> _Stamp | None:
    entry = linecache.cache.get(filename)
    if entry is None or len(entry) < 3:  # noqa: PLR2004 - lazy entries have one item
        return None
    return (id(entry[2]), entry[0])


def _cell_text(filename: str) -> str | None:
    entry = linecache.cache.get(filename)
    return "".join(entry[2]) if entry is not None and len(entry) > 2 else None  # noqa: PLR2004


def _lines_of(text: str) -> SourceLines:
    plain = _emptied(text).encode("utf-8", "replace")
    functions, function_of = _functions(plain)
    return SourceLines(_hashes(plain), function_of, functions)


def _emptied(text: str) -> str:
    """Return a text without what stands in its literals, and without its comments.

    Split, not substituted: under tracing, a call for each literal costs more than all the rest. A literal
    of one line leaves its quotes, a longer one its lines too, marked as continued.
    """
    pieces: list[str | None] = _LITERALS.split(text.replace("\r\n", "\n").replace("\r", "\n"))
    for group, quotes in ((1, 3), (2, 1), (3, 1), (4, 3), (5, 1), (6, 1)):
        pieces[group::_STRIDE] = [_hollow(found, quotes) if found else "" for found in pieces[group::_STRIDE]]
    return "".join(filter(None, pieces))


def _hollow(literal: str, quotes: int) -> str:
    mark = literal[-1] * quotes
    return mark + "\\\n" * literal.count("\n") + mark if "\n" in literal else mark + mark


def _hashes(plain: bytes) -> npt.NDArray[np.uint32]:
    """Hash each line: the sum of its bytes, each mixed with its place in the line."""
    short = np.frombuffer(plain.translate(None, _LEFT_OUT) + b"\n", np.uint8)
    ends = np.flatnonzero(short == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(short)) - starts.repeat(ends - starts + 1)
    mixed = (short.astype(np.uint64) + np.uint64(1)) * _FACTOR
    mixed ^= mixed >> np.uint64(29)
    mixed *= (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9) | np.uint64(1)
    mixed ^= mixed >> np.uint64(32)
    summed = np.add.reduceat(mixed, starts)
    hashes = ((summed * _FACTOR) >> np.uint64(32)).astype(np.uint32)
    hashes[ends == starts] = 0
    return hashes


def _functions(plain: bytes) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the qualified names, and for each line the one it stands in."""
    data = np.frombuffer(plain + b"\n", np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    names, function_of = [""], np.zeros(len(starts), np.int32)
    first, indent = _logical_lines(data, starts, ends)
    stack: list[tuple[int, str]] = []  # the scopes around: the line each ends before, its name
    found = [(scope.start(1), scope[1]) for scope in _SCOPES.finditer(plain)]
    if not found:
        return tuple(names), function_of
    line_of = np.searchsorted(starts, np.array([at for at, _ in found]), side="right") - 1
    at = np.searchsorted(first, line_of)
    there = np.append(first, -1)[at] == line_of  # else inside of brackets or of a literal: no statement
    ends_at = _ends(first, indent, at[there], len(starts))
    kept = [name for (_, name), is_there in zip(found, there.tolist(), strict=True) if is_there]
    for line, end, bare in zip(line_of[there].tolist(), ends_at.tolist(), kept, strict=True):
        while stack and stack[-1][0] <= line:
            stack.pop()
        name = bare.decode("utf-8", "replace")
        name = f"{stack[-1][1]}.{name}" if stack else name
        stack.append((end, name))
        function_of[line:end] = len(names)  # inner ones come later
        names.append(name)
    return tuple(names), function_of


def _ends(
    first: npt.NDArray[np.int64], indent: npt.NDArray[np.int64], at: npt.NDArray[np.int64], lines: int
) -> npt.NDArray[np.int64]:
    """Return, for some logical lines, the line of the next one that is not deeper; the last where none is."""
    ends = np.full(len(at), lines, np.int64)
    depth = indent[at]
    for one in np.unique(depth).tolist():
        of = np.flatnonzero(depth == one)
        shallow = np.flatnonzero(indent <= one)
        after = np.searchsorted(shallow, at[of], side="right")
        ends[of] = np.append(first[shallow], lines)[after]
    return ends


def _logical_lines(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the lines on which a statement begins, and how far each is indented."""
    solid = np.flatnonzero((data != ord(" ")) & (data != ord("\t")) & (data != ord("\f")))
    text = solid[np.searchsorted(solid, starts)]  # the first character of each line that is no blank
    opened = ((data == ord("(")) | (data == ord("[")) | (data == ord("{"))).astype(np.int32)
    opened -= ((data == ord(")")) | (data == ord("]")) | (data == ord("}"))).astype(np.int32)
    inside = np.cumsum(opened)[starts - 1]
    inside[0] = 0
    continued = data[ends - 1] == _BACKSLASH
    continued[ends == 0] = False
    goes_on = np.concatenate([[False], continued[:-1]])
    first = np.flatnonzero((text != ends) & (inside <= 0) & ~goes_on)
    return first, text[first] - starts[first]


def source_text(filename: str, line: int) -> str:
    """Return one line, stripped, without what stands in its strings and without its comment.

    Empty when it cannot be read.
    """
    text = _file_text(filename) if filename else None
    if text is None:
        text = _cell_text(filename)
    if text is None:
        return ""
    plain = _emptied(text).split("\n")
    return clean(plain[line - 1].strip().removesuffix("\\")) if 1 <= line <= len(plain) else ""
