"""A line of source, fit to be shared: the contents of its strings and its comments left out.

Lines are read through ``linecache``, which also knows notebook cells. A literal may be a password; the
shape of the line is what a reader needs.
"""

import io
import linecache
import tokenize

from memlab._base.safety import clean

__all__ = ["redact", "source_line"]

_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}


def source_line(filename: str, line: int) -> str:
    """Return one line, stripped and redacted; empty when it cannot be read or understood."""
    return redact(linecache.getline(filename, line).strip()) if line > 0 else ""


def redact(line: str) -> str:
    """Replace what stands inside string literals by ``…`` and drop the comment.

    >>> redact('cache["user-7"] = Session(token="s3cret")  # why')
    'cache["…"] = Session(token="…")'
    >>> redact('return """half of a literal')
    ''
    """
    if not line:
        return ""
    pieces: list[str] = []
    at = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            start, end = token.start[1], token.end[1]
            if token.start[0] != 1 or token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER):
                continue
            if token.type == tokenize.ERRORTOKEN:
                if token.string in "\"'":
                    return ""
                continue
            if token.type == tokenize.COMMENT:
                return clean("".join([*pieces, line[at:start]]).rstrip())
            if token.type in _STRINGS:
                pieces += [line[at:start], _hollow(token)]
                at = end
    except tokenize.TokenError as error:
        # An open bracket is a statement that goes on; an open string would show its inside.
        if "string" in str(error):
            return ""
    except (IndentationError, SyntaxError):
        return ""
    return clean("".join([*pieces, line[at:]]).rstrip())


def _hollow(token: tokenize.TokenInfo) -> str:
    text = token.string
    if token.type != tokenize.STRING:
        return "…" if text else ""
    quote = next(i for i, c in enumerate(text) if c in "\"'")
    mark = text[quote : quote + 3] if text[quote : quote + 3] in ('"""', "'''") else text[quote]
    return f"{text[:quote]}{mark}…{mark}" if len(text) > quote + 2 * len(mark) else text
