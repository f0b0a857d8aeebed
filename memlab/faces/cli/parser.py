"""argparse with one-line errors."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

__all__ = ["BAD_USE", "EXIT_CODES", "HuntParser", "describe"]

BAD_USE = 2

EXIT_CODES = """\
exit codes:
  0    no leak
  1    leak, or native leak
  2    bad use: a wrong argument, or the step raised
  3    no verdict: inconclusive, still warming up, or fragmentation
  70   a bug in memlab, with its traceback
  130  interrupted; what was seen so far is printed"""


class HuntParser(argparse.ArgumentParser):
    """A parser whose errors are one line and end with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave."""
        line = "".join(c if c.isprintable() else " " for c in message)
        print(f"{self.prog}: {line} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_USE)


def describe(what: str, example: str, codes: str = "") -> dict[str, str]:
    """Return the help texts of a command: what it does, an example, its exit codes."""
    return {
        "description": what,
        "epilog": f"example:\n  {example}\n\n"
        + (codes or "exit codes:\n  0    done\n  2    bad use, named in one line"),
    }
