"""``memlab attach``: watch the memory of a process that runs already, from outside."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe
from memlab.faces.cli.run import add_recording_options, say, seconds
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "record the memory of a process that runs already"
TEXTS = describe(
    "Record the memory of a process of yours from outside, until it ends, until Ctrl-C, or for --seconds.\n"
    "Nothing is changed in it, and nothing of it is stopped. Lines and the collector's pauses are not seen\n"
    "from there; 'memlab run' and memlab.record() see them.",
    "memlab attach 4711 --seconds 60 -o server.memlab",
)

_DEFAULT = "attach-{pid}.memlab"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("pid", metavar="PID", type=_number, help="the process")
    parser.add_argument("--seconds", metavar="S", type=seconds, help="stop after so long")
    add_recording_options(parser, _DEFAULT)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"the number of a process, not {text!r}")
    return int(text)


def run(args: argparse.Namespace, console: Console) -> int:
    """Watch it to its end and write the recording."""
    from memlab.lab.attachment import attach

    path = (args.output or _DEFAULT).replace("{pid}", str(args.pid))
    for place in filter(None, (path, args.report)):
        check_writable(place)
    if args.report is not None:
        refuse_same(path, args.report, "the recording and the report are the same file")
    capture = attach(
        args.pid,
        seconds=args.seconds,
        interval_s=args.interval or 0.01,
        path=path,
        children=not args.no_children,
    )
    say(console, capture, path, args.report)
    return 0
