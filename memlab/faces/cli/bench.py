"""``memlab bench``: memlab's own benchmarks against their limits, or your own in many processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.faces.bench_runs import FORMATS, emit, measure_targets
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "add_measuring", "run"]

HELP = "measure benchmarks of memory and time; without a file, memlab's own"
TEXTS = describe(
    "Measure the functions that @memlab.benchmark decorates in FILE: peak, retained and allocated bytes,\n"
    "allocations, time, the collector's share; bytes and counts in one process, time in many. Without a\n"
    "file, measure memlab's own pools, caches and memory here, each against its limit.",
    "memlab bench benchmarks/loading.py --format md",
    "exit codes:\n  0    done; every limit is held\n  1    a limit is missed\n  2    bad use, named in one "
    "line, or a benchmark raised",
)
MISSED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("files", metavar="FILE", nargs="*", help="a Python file, or a module's dotted name")
    add_measuring(parser)
    parser.add_argument(
        "--limits", action="store_true", help="memlab's own: memory given back and latency too"
    )
    parser.add_argument("--save", metavar="FILE", help="write the result to a capture file")
    parser.add_argument("--part", metavar="N", type=int, help="measure as process N of many (used by memlab)")


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Add what every command that measures takes."""
    parser.add_argument(
        "-k", dest="match", metavar="TEXT", default="", help="only cases with this in their name"
    )
    parser.add_argument(
        "--processes", metavar="N", type=int, default=25, help="processes that time it (default 25)"
    )
    parser.add_argument(
        "--samples", metavar="N", type=int, default=2, help="timed samples in each process (default 2)"
    )
    parser.add_argument("--label", metavar="TEXT", default="", help="your name for the run, e.g. a commit")
    parser.add_argument("--report", metavar="FILE", help="write the result to an HTML page")
    parser.add_argument("--format", choices=FORMATS, default="text", help="what is printed (default text)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Measure, print, and say by the exit code whether the limits are held."""
    outputs = Outputs(args.save, args.report)
    if args.files:
        table = measure_targets(args.files, args, console)
    else:
        from memlab.lab.benchmarks import MemoryBenchmarks

        table = MemoryBenchmarks(limits=args.limits).run(console.progress)
    if args.part is None:
        emit(table, args.format, console)
    for line in outputs.write(table):
        console.hint(line)
    return 0 if table.passed else MISSED
