"""Words for an exception of the user's own code: its type, its line and its first line of text.

Shown to the person at the terminal and kept in no record. Reading an exception's text runs the user's
``__str__``; one that fails counts as empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.paths import PathLabels
from memlab._base.safety import clean, instance_type_name

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["drop_memlab_frames", "error_line", "error_text", "error_type"]


def error_type(error: BaseException) -> str:
    """Return the type's name, without its module for a builtin."""
    return instance_type_name(error).removeprefix("builtins.")


def error_text(error: BaseException) -> str:
    """Return the exception's own message cut to one line, or nothing."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        lines = str(text).strip().splitlines()
    except Exception:  # noqa: BLE001 - the user's __str__ may do anything
        return ""
    return clean(lines[0]) if lines else ""


def error_line(error: BaseException) -> str:
    """Return ``file:line`` of the innermost line in the user's own code, else of the innermost line."""
    labels = PathLabels()
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{labels.label(error.filename)}:{error.lineno}"
    own = innermost = ""
    at = error.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        innermost = f"{labels.label(name)}:{at.tb_lineno}"
        if labels.is_own(name):
            own = innermost
        at = at.tb_next
    return own or innermost


def drop_memlab_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that starts in the user's code.

    Args:
        traceback: of an exception that the user's step raised while memlab called it.
    """
    at = traceback
    while at is not None and at.tb_frame.f_globals.get("__name__", "").split(".")[0] == "memlab":
        at = at.tb_next
    return at
