"""``memlab show``: print a saved result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "print a saved result as text, or as JSON"
TEXTS = describe("Print what a capture file holds.", "memlab show leak.memlab --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a capture, written by --save or by save()")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace, console: Console) -> int:
    """Load, print."""
    from memlab.store.capture_file import load

    result = load(args.file)
    if args.json:
        console.out_json(result.to_dict())
    else:
        console.out(str(result).rstrip("\n"))
    return 0
