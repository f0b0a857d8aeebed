"""``memlab show``: print a saved result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console
    from memlab.records._result import Result

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "print a saved result as text, or as JSON"
TEXTS = describe("Print what a capture file holds.", "memlab show leak.memlab --what-if 1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a capture, written by --save or by save()")
    parser.add_argument(
        "--what-if",
        metavar="N",
        type=int,
        help="of a leak report: what would be freed if the holder of suspect N, from 1, let go",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace, console: Console) -> int:
    """Load, print."""
    from memlab.store.capture_file import load

    result = load(args.file)
    if args.what_if is not None:
        result = _what_if(result, args.what_if)
    if args.json:
        console.out_json(result.to_dict())
    else:
        console.out(str(result).rstrip("\n"))
    return 0


def _what_if(result: Result, number: int) -> Result:
    """Return what a cut of a suspect's holder would free, as the hunt found it."""
    from memlab.records.leak_report import LeakReport

    if not isinstance(result, LeakReport):
        raise UsageError(f"--what-if asks a leak report about a suspect; this file holds a {result.kind}")
    if not 1 <= number <= len(result.suspects):
        many = f"are numbered from 1 to {len(result.suspects)}" if result.suspects else "are none"
        raise UsageError(f"--what-if {number}: the report's suspects {many}")
    return result.what_if(number - 1)
