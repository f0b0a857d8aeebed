"""``memlab history``: the lab book: runs, trends, where something changed, two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memlab.faces.bench_runs import FORMATS, emit
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "show the lab book: runs, trends, what changed; or compare two runs"
TEXTS = describe(
    "Print what a lab book knows of each metric, and from which run on one changed and stayed so. --report\n"
    "writes the dashboard: trends with their changes, any two of the newest runs, all runs, in one\n"
    "offline page.",
    "memlab history .memlab --metric time_s --report dashboard.html",
    "exit codes:\n  0    done\n  1    with --compare: an exact metric is worse in the second run\n"
    "  2    bad use, named in one line",
)
WORSE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "book", metavar="BOOK", nargs="?", default=".", help="the book or its folder (default .)"
    )
    parser.add_argument("--metric", metavar="TEXT", default="", help="only metrics with this in their name")
    parser.add_argument("--last", metavar="N", type=int, help="only the newest N runs")
    parser.add_argument("--source", metavar="WORD", default="", help="only runs of bench, regress or pytest")
    parser.add_argument("--machine", metavar="CLASS", default="", help="only runs of this class of machine")
    parser.add_argument("--compare", metavar=("A", "B"), nargs=2, type=int, help="two runs beside each other")
    parser.add_argument("--report", metavar="FILE", help="write the dashboard, or the comparison, as a page")
    parser.add_argument("--save", metavar="FILE", help="write the result to a capture file")
    parser.add_argument("--format", choices=FORMATS, default="text", help="what is printed (default text)")
    parser.add_argument("--quiet", action="store_true", help="no hints on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read the book and print it."""
    outputs = Outputs(args.save, args.report)
    from memlab.analyses.trends import with_changes
    from memlab.errors import UsageError
    from memlab.lab.regression_suite import BOOK_NAME
    from memlab.store.lab_book import LabBook

    if args.last is not None and args.last < 1:
        raise UsageError("--last takes a number of runs from 1")
    path = Path(args.book)
    book = LabBook(path / BOOK_NAME if path.is_dir() else path)
    last = None if args.compare else args.last
    history = with_changes(book.history(last, match=args.metric, machine=args.machine, source=args.source))
    result = history.compare(*args.compare) if args.compare else history
    emit(result, args.format, console)
    for line in outputs.write(result):
        console.hint(line)
    return 0 if result is history or history.compare(*args.compare).passed else WORSE
