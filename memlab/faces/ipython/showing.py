"""Progress and result in one place of the output: the line that tells how far it is becomes the result.

In a notebook that is one display which is updated; nothing of it enters ``Out``. In a terminal it is one
line on stderr, wiped before the result is printed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from IPython.display import display

from memlab.faces.cli.console import Console

if TYPE_CHECKING:
    from memlab.records._result import Result

__all__ = ["Showing"]

LEAST_GAP_S = 0.5
"""Between two updates: each is a message to the browser, and work in the process that is measured."""


class Showing:
    """Where one magic shows what it does and what it found.

    Args:
        shell: the interactive shell.
        magic: the magic's name with its percent signs.
        quiet: show nothing at all.
    """

    def __init__(self, shell: Any, magic: str, *, quiet: bool) -> None:
        self._magic = magic
        self._quiet = quiet
        self._in_notebook = getattr(shell, "kernel", None) is not None
        self._console = Console(magic, quiet=quiet)
        self._handle: Any = None
        self._last = -LEAST_GAP_S

    def progress(self, stage: str, done: float) -> None:
        """Show how far the work is; ``done`` runs from 0 to 1."""
        if self._quiet:
            return
        if not self._in_notebook:
            self._console.progress(stage, done)
            return
        now = time.monotonic()
        if now - self._last < LEAST_GAP_S:
            return
        self._last = now
        line = {"text/plain": f"{self._magic}: {stage}, {100 * done:.0f} %"}
        if self._handle is None:
            self._handle = display(line, raw=True, display_id=True)
        else:
            self._handle.update(line, raw=True)

    def finish(self, result: Result | None) -> None:
        """Put the result, if there is one, in the place of the progress."""
        self._console.clear()
        if self._quiet:
            return
        if self._handle is None:
            if result is not None:
                display(result)
        elif result is None:
            self._handle.update({"text/plain": ""}, raw=True)
        else:
            self._handle.update(result)
