"""The terminal as a command sees it: results on stdout, everything else on stderr.

A reader that goes away (``memlab show f | head``) ends the output and not the command, whose exit code
still holds. Progress is one line that is rewritten on a terminal, and a few plain lines elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Console"]

FIRST_LINE_AFTER_S = 2.0
"""A log gets no progress at all from work that ends sooner."""
_MARKS = (0.0, 0.25, 0.5, 0.75)
_LONGEST = 600


class Console:
    """Output of one command.

    Args:
        command: its name, which starts every line on stderr: ``memlab leaks``.
        quiet: leave out progress and hints; errors stay.
    """

    def __init__(self, command: str, *, quiet: bool = False) -> None:
        self.command = command
        self.quiet = quiet
        # Kept: a step may put something else in their place, and --json does.
        self._out = sys.stdout
        self._err = sys.stderr
        self._width = 0
        self._marks = list(_MARKS)
        self._started = time.monotonic()

    def out(self, text: str) -> None:
        """Write a result."""
        self.clear()
        _write(self._out, text + "\n")

    def out_json(self, document: Mapping[str, Any]) -> None:
        """Write one JSON document."""
        import json

        self.out(json.dumps(document, allow_nan=False))

    def error(self, sentence: str) -> None:
        """Write one line that says what went wrong."""
        self.clear()
        _write(self._err, f"{self.command}: {_one_line(sentence)}\n")

    def hint(self, sentence: str) -> None:
        """Write one line that may help."""
        if not self.quiet:
            self.error(sentence)

    def table(self, text: str) -> None:
        """Write a result beside a program whose own output goes to stdout."""
        self.clear()
        _write(self._err, text + "\n")

    def progress(self, stage: str, done: float) -> None:
        """Show how far the work is; ``done`` runs from 0 to 1."""
        if self.quiet:
            return
        line = f"{self.command}: {_one_line(stage)}, {100 * min(max(done, 0.0), 1.0):.0f} %"
        if _is_terminal(self._err):
            _write(self._err, "\r" + line.ljust(self._width))
            self._width = len(line)
        elif self._marks and done >= self._marks[0] and self._is_long():
            self._marks = [mark for mark in self._marks if mark > done]
            _write(self._err, line + "\n")

    def clear(self) -> None:
        """Wipe the progress line."""
        if self._width:
            _write(self._err, "\r" + " " * self._width + "\r")
            self._width = 0

    @contextlib.contextmanager
    def only_results_on_stdout(self) -> Iterator[None]:
        """Send what other code prints to stderr; this console's results still go to stdout."""
        with contextlib.redirect_stdout(self._err):
            yield

    def flush(self) -> None:
        """Bring out what argparse or a command wrote; nobody may be there to read it any more."""
        _write(self._out, "")
        _write(self._err, "")

    def _is_long(self) -> bool:
        return time.monotonic() - self._started >= FIRST_LINE_AFTER_S


def _one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _write(stream: TextIO, text: str) -> None:
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _mute(stream)
    except ValueError:  # closed by the program that was measured: nobody is there to read
        return


def _mute(stream: TextIO) -> None:
    """Point the stream to nowhere, so that the interpreter's last flush does not complain either."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
