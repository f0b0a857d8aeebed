"""The files that a face was asked to write: looked at before the long run, written after it.

A hunt may take minutes; that its report cannot be written must be known before it starts.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from memlab._base.atomic import replacing
from memlab.errors import UsageError

if TYPE_CHECKING:
    from memlab.records._result import Result

__all__ = ["Outputs", "check_writable", "refuse_same"]


class Outputs:
    """Where a result shall go.

    Args:
        capture: file for the capture, if any.
        page: file for the HTML page, if any.

    Raises:
        UsageError: when one of them cannot be written, or both are the same file.
    """

    def __init__(self, capture: str | None = None, page: str | None = None) -> None:
        self.capture = capture
        self.page = page
        for path in (capture, page):
            if path is not None:
                check_writable(path)
        if capture is not None and page is not None:
            refuse_same(capture, page, "the capture and the report are the same file")

    def write(self, result: Result) -> list[str]:
        """Write what was asked for and return one line for each file."""
        lines = []
        if self.capture is not None:
            result.save(self.capture)
            lines.append(f"capture written to {self.capture}")
        if self.page is not None:
            result.to_html(self.page)
            lines.append(f"report written to {self.page}")
        return lines


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise UsageError when ``path`` cannot be written. Leaves nothing, and changes nothing there."""
    if not os.fspath(path):
        raise UsageError("cannot write a file without a name")
    with contextlib.suppress(_OnlyTriedError), replacing(path):
        raise _OnlyTriedError


def refuse_same(one: str | os.PathLike[str], other: str | os.PathLike[str], what: str) -> None:
    """Raise UsageError when two names lead to one file, whether it exists or not."""
    if os.path.realpath(one) == os.path.realpath(other):
        raise UsageError(f"{what}: {one}; give another name")


class _OnlyTriedError(Exception):
    """Ends the block of an atomic write before anything takes the target's place."""
