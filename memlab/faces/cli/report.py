"""``memlab report``: a saved result as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "write saved results as one HTML page that opens offline"
TEXTS = describe(
    "Write what a capture file holds as one HTML page: no network, no second file. Several files become one\n"
    "report with a table of contents.",
    "memlab report leak.memlab -o leak.html\n"
    "  memlab report before.memlab after.memlab -o report.html --title 'The fix'",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("file", metavar="FILE", nargs="+", help="a capture, written by --save or by save()")
    parser.add_argument("-o", "--output", metavar="OUT.html", help="default: FILE with the suffix .html")
    parser.add_argument("--title", help="the heading of a report of several files")


def run(args: argparse.Namespace, console: Console) -> int:
    """Load, write."""
    from memlab.records.report import Report
    from memlab.store.capture_file import load

    first = args.file[0]
    if len(args.file) > 1 and args.output is None:
        raise UsageError("several files need -o OUT.html, where the report is written")
    out = args.output or str(Path(first).with_suffix(".html"))
    for file in args.file:
        refuse_same(file, out, "the report would overwrite the capture")
    results = [load(file) for file in args.file]
    check_writable(out)
    if len(results) == 1 and args.title is None:
        result = results[0]
    else:
        title = "Report" if args.title is None else args.title
        result = Report(title, [(Path(f).stem, one) for f, one in zip(args.file, results, strict=True)])
    result.to_html(out)
    console.out(f"report written to {out}")
    return 0
