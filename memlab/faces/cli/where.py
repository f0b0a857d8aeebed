"""``memlab where``: run a script, and say where its resident memory lies when it has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from memlab.faces.cli.parser import describe
from memlab.faces.cli.program import run_program, script_program
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "run a script, and say where its resident memory lies at its end"
TEXTS = describe(
    "Run a script as python does, and take its resident memory apart when it has ended: live objects, free\n"
    "arenas, malloc in use and free, mapped files, shared memory, the rest; before and after a collection\n"
    "and malloc_trim. What its own variables hold is still there. The exit code is the script's own.",
    "memlab where job.py --report where.html",
    "exit codes:\n  that of the script; 2 for bad use",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("script", metavar="SCRIPT", help="the script to run")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="its own arguments, after --")
    parser.add_argument("--no-collect", action="store_true", help="do not collect garbage")
    parser.add_argument("--no-trim", action="store_true", help="do not ask malloc to give memory back")
    parser.add_argument("--save", metavar="FILE", help="write the result to a capture file")
    parser.add_argument("--report", metavar="FILE", help="write the result to an HTML page")
    parser.add_argument("--quiet", action="store_true", help="no hints on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the script, then look."""
    outputs = Outputs(args.save, args.report)
    code = run_program(script_program(args.script, args.arguments))
    from memlab.lab.where import where

    sys.stdout.flush()
    result = where(collect=not args.no_collect, trim_malloc=not args.no_trim)
    console.out(str(result).rstrip("\n"))
    for line in outputs.write(result):
        console.hint(line)
    return code
