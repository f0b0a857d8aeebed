"""``memlab report``: a saved result as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "write a saved result as one HTML page that opens offline"
TEXTS = describe(
    "Write what a capture file holds as one HTML page: no network, no second file.",
    "memlab report leak.memlab -o leak.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", help="a capture, written by --save or by save()")
    parser.add_argument("-o", "--output", metavar="OUT.html", help="default: FILE with the suffix .html")


def run(args: argparse.Namespace, console: Console) -> int:
    """Load, write."""
    from memlab.store.capture_file import load

    out = args.output or str(Path(args.file).with_suffix(".html"))
    refuse_same(args.file, out, "the report would overwrite the capture")
    result = load(args.file)
    check_writable(out)
    result.to_html(out)
    console.out(f"report written to {out}")
    return 0
