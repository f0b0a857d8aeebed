"""``memlab convert``: a saved snapshot for another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.faces.cli.diff import load_snapshot
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "write a saved snapshot for speedscope, the Firefox Profiler, flame graph scripts, or as a table"
TEXTS = describe(
    "Write a snapshot in the format of another tool: speedscope (.speedscope.json), the Firefox Profiler\n"
    "(.firefox.json), collapsed stacks (.folded), .csv, or .parquet (needs memlab[parquet]).",
    "memlab convert after.memlab after.speedscope.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a capture of a snapshot")
    parser.add_argument("output", metavar="OUT", help="where; the ending names the form")
    parser.add_argument(
        "--to", choices=("speedscope", "firefox", "collapsed", "csv", "parquet"), help="the form, by name"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Load, write."""
    refuse_same(args.file, args.output, "the result would overwrite the capture")
    snapshot = load_snapshot(args.file, "memlab convert")
    check_writable(args.output)
    console.out(f"{snapshot.export(args.output, args.to)} written to {args.output}")
    return 0
