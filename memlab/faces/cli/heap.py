"""``memlab heap``: run a program and keep its heap in a file, or look at a heap that was kept.

What stands behind the script or module is the program's. A dump writes to the file and one line to stderr;
what the program prints, raises and returns stays what it is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.faces.cli.parser import HuntParser, describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.faces.cli.console import Console
    from memlab.records._result import Result
    from memlab.records.heap_graph import HeapGraph

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "run a program and keep its heap graph in a file; look at one"
TEXTS = describe(
    "Run a program as 'python script.py' would, and write the graph of all its objects to a file: at its\n"
    "end, when a MemoryError ends it, or on a signal. Its output and exit code are its own; the lines of\n"
    "memlab go to stderr. With a file that was written before, print what it holds.\n\n"
    "  memlab heap [options] script.py [arguments]\n"
    "  memlab heap [options] -m module [arguments]\n"
    "  memlab heap FILE.memlab [--report OUT.html] [--census] [--diff OLDER.memlab]",
    "memlab heap --at memory-error --at signal --signal USR1 server.py --port 8000\n"
    "  memlab heap heap-4711.memlab --report heap.html",
    "exit codes:\n  those of the program; for a saved file, 0\n  2    bad use, named in one line",
)
AT = ("exit", "memory-error", "signal")
USUAL_SIGNAL = "USR1"
_OF_A_RUN = ("dump", "at", "signal", "max_objects", "seconds", "module")
_OF_A_FILE = ("census", "diff")
_CAPTURE = b"SQLite format 3\0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.usage = f"{parser.prog} [options] (script.py | -m module | FILE.memlab) ..."
    _add_options(parser)
    parser.add_argument(
        "-m",
        dest="module",
        metavar="MODULE",
        nargs=argparse.REMAINDER,
        help="run a module, as python -m does",
    )
    parser.add_argument(
        "target",
        metavar="PROGRAM",
        nargs=argparse.REMAINDER,
        help="a script and its arguments, or a saved file",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the program, or show the file."""
    if args.module is not None:
        if args.target:
            raise UsageError("name a script or -m and a module, not both")
        if not args.module:
            raise UsageError("-m needs the name of a module")
        _refuse(args, _OF_A_FILE, "is for a saved heap, and -m runs a program")
        return _run(args, console, args.module[0], args.module[1:])
    if args.target in ([], ["--"]):
        raise UsageError("name a script, -m and a module, or a saved file; see memlab heap --help")
    target, *rest = args.target[args.target[0] == "--" :]
    if _is_capture(target):
        _read_more(args, rest)
        _refuse(args, _OF_A_RUN, f"is for a program, and {target} is a saved heap")
        return _show(args, console, target)
    if target.startswith("-"):
        raise UsageError(f"no option {target}; see memlab heap --help")
    _refuse(args, _OF_A_FILE, f"is for a saved heap, and {target} is run as a program")
    return _run(args, console, target, rest)


def _add_options(parser: argparse.ArgumentParser) -> None:
    run_it = parser.add_argument_group("to run a program")
    run_it.add_argument(
        "--dump", metavar="FILE", help="where; {pid} and {n} are filled in (default heap-{pid}.memlab)"
    )
    run_it.add_argument(
        "--at", choices=AT, action="append", help="when; may be given several times (default exit)"
    )
    run_it.add_argument(
        "--signal", metavar="NAME", help=f"which signal asks for a dump (default {USUAL_SIGNAL})"
    )
    run_it.add_argument(
        "--max-objects", metavar="N", type=_number(int), help="stop a capture at so many objects"
    )
    run_it.add_argument("--seconds", metavar="S", type=_number(float), help="stop a capture after so long")
    show_it = parser.add_argument_group("to show a saved one")
    show_it.add_argument("--census", action="store_true", help="print objects by type")
    show_it.add_argument("--diff", metavar="OLDER", help="print what grew since this older file")
    parser.add_argument("--report", metavar="OUT.html", help="write an HTML page that opens offline")
    parser.add_argument("--quiet", action="store_true", help="no line on stderr but errors")


def _number(kind: type[int | float]) -> Callable[[str], float]:
    """Return what reads a number above nought."""
    what = "a whole number" if kind is int else "a number"

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if 0 < value < float("inf"):
                return value
        raise argparse.ArgumentTypeError(f"{what} above 0, not {text!r}")

    return read


def _read_more(args: argparse.Namespace, rest: Sequence[str]) -> None:
    """Read the options that stand behind a saved file: no program is there to take them."""
    parser = HuntParser(prog="memlab heap", add_help=False, allow_abbrev=False)
    _add_options(parser)
    before = dict(vars(args))
    more = vars(parser.parse_args(rest))
    for name, value in more.items():
        setattr(args, name, value or before[name])


def _refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(args, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} {why}")


def _is_capture(target: str) -> bool:
    if target.endswith(".memlab"):
        return True
    try:
        with open(target, "rb") as file:  # noqa: PTH123 - any text, even what is no path
            return file.read(len(_CAPTURE)) == _CAPTURE
    except (OSError, ValueError):
        return False


# -- running


def _run(args: argparse.Namespace, console: Console, target: str, arguments: Sequence[str]) -> int:
    from memlab.faces.cli.program import module_program, report_error, run_program, script_program
    from memlab.lab.heap_dump import DEFAULT_PATH, HeapDumper, filled, signal_of

    occasions = set(args.at or (() if args.signal else ("exit",)))
    if args.signal is not None:
        occasions.add("signal")
    signum = signal_of(args.signal or USUAL_SIGNAL) if "signal" in occasions else None
    path = args.dump or DEFAULT_PATH
    for place in filter(None, (path, args.report)):
        check_writable(filled(place, 1))
    if args.report is not None:
        refuse_same(path, args.report, "the dump and the report are the same file")
    find = script_program if args.module is None else module_program
    program = find(target, arguments)
    dumper = HeapDumper(
        path,
        at=sorted(occasions),
        signum=signum,
        title=os.path.basename(target),  # noqa: PTH119 - a module's name is no path
        max_objects=args.max_objects,
        seconds=args.seconds,
        say=console.hint,
        warn=console.error,
        then=None if args.report is None else _Reports(args.report, console),
    ).install()

    def report(error: BaseException) -> int:
        before = dumper.memory_errors
        code = report_error(error)
        # The program may have put an exception hook of its own in place of ours.
        if dumper.memory_errors == before:
            dumper.note_exception(error)
        return code

    return run_program(program, report)


class _Reports:
    """Writes the page of each dump; a second one gets a name of its own, as the dump does."""

    def __init__(self, path: str, console: Console) -> None:
        self._path = path
        self._console = console
        self._count = 0

    def __call__(self, graph: HeapGraph, _place: str) -> None:
        from memlab.lab.heap_dump import filled

        self._count += 1
        path = filled(self._path, self._count)
        graph.to_html(path)
        self._console.hint(f"report written to {path}")


# -- showing


def _show(args: argparse.Namespace, console: Console, path: str) -> int:
    from memlab.store.capture_file import load

    if args.report is not None:
        refuse_same(path, args.report, "the report would overwrite the capture")
        check_writable(args.report)
    graph = _heap_graph(load(path), path)
    shown: Result = graph
    if args.diff is not None:
        shown = graph.diff(_heap_graph(load(args.diff), args.diff))
    if args.census:
        console.out(str(graph.census()).rstrip("\n"))
    if args.diff is not None or not args.census:
        console.out(str(shown).rstrip("\n"))
    if args.report is not None:
        shown.to_html(args.report)
        if not args.quiet:  # the option may stand behind the file
            console.hint(f"report written to {args.report}")
    return 0


def _heap_graph(result: Result, path: str) -> HeapGraph:
    from memlab.records.heap_graph import HeapGraph

    if not isinstance(result, HeapGraph):
        raise UsageError(f"{path} holds a {result.kind}, not a heap graph; 'memlab show {path}' prints it")
    return result
