"""``memlab profile``: run a program, and measure line by line what it decorates with ``@profile``.

``profile`` is a builtin while the program runs, as under ``python -m memory_profiler``; ``-f`` follows
functions that are not decorated. What stands behind the script or module is the program's; what it prints,
raises and returns stays what it is. The tables go to stderr, or to a file.
"""

from __future__ import annotations

import argparse
import builtins
import os
from typing import TYPE_CHECKING, Any

from memlab.errors import MemlabError, UnavailableError, UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import Outputs, check_writable

if TYPE_CHECKING:
    from memlab.faces.cli.console import Console
    from memlab.faces.cli.program import Program
    from memlab.lab.line_profile import LineProfiler

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "run a program and measure decorated functions line by line"
TEXTS = describe(
    "Run a program as 'python script.py' would, with @profile known without an import, and print a table of\n"
    "the lines of each function that was decorated: memory, increment, occurrences, and how far it rose\n"
    "while the line ran. The program's output and exit code are its own; the tables go to stderr.\n\n"
    "  memlab profile [options] script.py [arguments]\n"
    "  memlab profile [options] -m module [arguments]",
    "memlab profile train.py --epochs 1\n"
    "  memlab profile -f app.data:load -f app.model:Model.fit --report lines.html -m app",
    "exit codes:\n  those of the program\n  2    bad use, named in one line",
)
BACKENDS = ("psutil", "psutil_pss", "psutil_uss", "posix", "tracemalloc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.usage = f"{parser.prog} [options] (script.py | -m module) ..."
    parser.add_argument(
        "-f",
        "--function",
        metavar="TARGET",
        action="append",
        default=[],
        help="follow module:function too; in a script's own code write :function. May be given several times",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the tables there (added at its end)")
    parser.add_argument("--precision", metavar="N", type=_places, default=3, help="decimal places of MiB (3)")
    parser.add_argument("--include-children", action="store_true", help="add the memory of child processes")
    parser.add_argument("--backend", choices=BACKENDS, help="what is read (default psutil, which is RSS)")
    parser.add_argument("--save", metavar="FILE", help="write the result as a capture")
    parser.add_argument("--report", metavar="OUT.html", help="write an HTML page that opens offline")
    parser.add_argument("--quiet", action="store_true", help="print no table; errors stay")
    parser.add_argument(
        "-m",
        dest="module",
        metavar="MODULE",
        nargs=argparse.REMAINDER,
        help="run a module, as python -m does",
    )
    parser.add_argument(
        "target", metavar="PROGRAM", nargs=argparse.REMAINDER, help="a script and its arguments"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the program and show what its lines took."""
    from memlab.faces.cli.program import module_program, report_error, run_program, script_program
    from memlab.lab.line_profile import LineProfiler

    target, arguments = _program(args)
    outputs = Outputs(args.save, args.report)
    if args.output is not None:
        check_writable(args.output)
    if args.backend == "tracemalloc" and args.include_children:
        raise UsageError("tracemalloc knows this process alone: leave out --include-children, or --backend")
    program = (script_program if args.module is None else module_program)(target, arguments)
    profiler = LineProfiler(backend=args.backend, include_children=args.include_children)
    builtins.__dict__["profile"] = profiler
    _Wanted(args.function, profiler, console).into(program)

    def report(error: BaseException) -> int:
        profiler.failed(error)
        return report_error(error)

    started = True
    try:
        profiler.start()
    except UnavailableError as error:  # the program runs all the same
        console.error(str(error))
        started = False
    try:
        return run_program(program, report)
    finally:
        if started:
            _finish(args, console, outputs, profiler)


def _program(args: argparse.Namespace) -> tuple[str, list[str]]:
    if args.module is not None:
        if args.target:
            raise UsageError("name a script or -m and a module, not both")
        if not args.module:
            raise UsageError("-m needs the name of a module")
        return args.module[0], args.module[1:]
    if args.target in ([], ["--"]):
        raise UsageError("name a script, or -m and a module; see memlab profile --help")
    target, *rest = args.target[args.target[0] == "--" :]
    if target.startswith("-"):
        raise UsageError(f"no option {target}; see memlab profile --help")
    return target, rest


class _Wanted:
    """Functions that ``-f`` names: found in the program's own code, or in modules when they are imported."""

    def __init__(self, texts: list[str], profiler: LineProfiler, console: Console) -> None:
        self._profiler = profiler
        self._console = console
        self._in_main = []
        for text in texts:
            place, colon, name = text.rpartition(":")
            if not colon or not name:
                raise UsageError(
                    f"-f {text}: write module:function, or :function for one of the program's own file"
                )
            if place:
                self._add(place, name)
            else:
                self._in_main.append(name)

    def into(self, program: Program) -> None:
        """Have the program's own functions followed as soon as its code is there."""
        compiled, names = program.code, self._in_main
        if not names:
            return

        def code() -> Any:
            from memlab.collectors.line_engine import codes_of

            found = compiled()
            inside = {one.co_qualname: one for one in reversed(codes_of(found))}
            for name in names:
                if name in inside:
                    self._profiler.add(inside[name])
                else:
                    self._console.error(f"-f :{name}: the program has no function of that name")
            return found

        program.code = code

    def _add(self, place: str, name: str) -> None:
        from memlab.faces.cli.target import Target, import_target

        self._profiler.add(import_target(Target(f"{place}:{name}", place, name))[1])


def _finish(args: argparse.Namespace, console: Console, outputs: Outputs, profiler: LineProfiler) -> None:
    """Print and write; what goes wrong here is one line and never the program's exit code."""
    builtins.__dict__.pop("profile", None)
    result = profiler.stop()
    try:
        if not result.functions and not result.stretches:
            console.hint("no function was decorated with @profile, and none was named with -f")
            return
        text = result.to_text(args.precision)
        if args.output is not None:
            with open(args.output, "a", encoding="utf-8") as file:  # noqa: PTH123 - as typed
                file.write(text + "\n\n")
            console.hint(f"tables added to {os.path.basename(args.output)}")  # noqa: PTH119
        elif not args.quiet:
            console.table(text)
        for line in outputs.write(result):
            console.hint(line)
    except (MemlabError, OSError) as error:
        console.error(f"the profile could not be written: {error}")


def _places(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 9:  # noqa: PLR2004 - MiB with nine places is a byte and less
        raise argparse.ArgumentTypeError(f"a number of decimal places from 0 to 9, not {text!r}")
    return value
