"""``memlab gc``: which collector is here, and which of its settings suits a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.faces.cli.parser import BAD_USE, describe
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "try settings of the collector on a script and say which to take"
TEXTS = describe(
    "Run a script again and again, each time in a process of its own and under another setting of the\n"
    "cyclic garbage collector: higher thresholds, gc.freeze(), both, collections by the clock. Prints a\n"
    "table of processor time, pauses and peak memory, and the lines to put into the program; or says that\n"
    "nothing helps. What the script prints is dropped. Without --recommend, says which collector this is.",
    "memlab gc --recommend job.py --rounds 5 --report gc.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--recommend", metavar="SCRIPT", help="the script to try settings on")
    parser.add_argument(
        "arguments", nargs="*", metavar="ARGUMENT", help="the script's own arguments, after --"
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="runs of each setting (default 5)")
    parser.add_argument(
        "--prefer",
        metavar="WHAT",
        default="balanced",
        help="what is to get better: balanced, pause or throughput (default balanced)",
    )
    parser.add_argument(
        "--memory",
        metavar="FACTOR",
        type=float,
        default=1.25,
        help="how much more peak memory a setting may take (default 1.25)",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=600.0, help="time for one run (default 600)"
    )
    parser.add_argument("--save", metavar="FILE", help="write the result to a capture file")
    parser.add_argument("--report", metavar="FILE", help="write the result to an HTML page")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Try the settings, or say which collector this is."""
    if args.recommend is None:
        if args.arguments or args.save or args.report or args.json:
            console.error("name a script to try settings on: memlab gc --recommend job.py")
            return BAD_USE
        from memlab.lab.gc_trials import collector_sentence

        console.out(collector_sentence())
        return 0
    outputs = Outputs(args.save, args.report)
    from memlab.lab.gc_trials import recommend_gc

    advice = recommend_gc(
        args.recommend,
        arguments=args.arguments,
        rounds=args.rounds,
        prefer=args.prefer,
        most_memory=args.memory,
        timeout_s=args.timeout,
        progress=console.progress,
    )
    if args.json:
        console.out_json(advice.to_dict())
    else:
        console.out(str(advice).rstrip("\n"))
    for line in outputs.write(advice):
        console.hint(line)
    return 0
