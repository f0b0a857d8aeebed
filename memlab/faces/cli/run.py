"""``memlab run``: run a program as ``python script.py`` would, and record its memory.

What stands behind the script or module is the program's. The recording begins before its first line and
ends after its last ``atexit`` function; it writes to the file and one line to stderr.
"""

from __future__ import annotations

import argparse
import atexit
import os
from typing import TYPE_CHECKING

from memlab.errors import MemlabError, UsageError
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import check_writable, refuse_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.faces.cli.console import Console
    from memlab.faces.native_outputs import NativeOutputs
    from memlab.lab.recorder import Recorder
    from memlab.records.capture import Capture

__all__ = ["HELP", "TEXTS", "add_arguments", "add_recording_options", "run", "say"]

HELP = "run a program and record its memory"
TEXTS = describe(
    "Run a program as 'python script.py' would, and record its memory over time: exact peak, the line that\n"
    "ran when it was reached, the collector's pauses, its children. Its output and exit code are its own;\n"
    "the one line of memlab goes to stderr. The file grows while the program runs: whatever ends the\n"
    "program, 'memlab show' can print what there was until then.\n\n"
    "  memlab run [options] script.py [arguments]\n"
    "  memlab run [options] -m module [arguments]",
    "memlab run -o train.memlab train.py --epochs 3\n  memlab report train.memlab -o train.html",
    "exit codes:\n  the program's own; 2 for bad use, before it starts",
)

_DEFAULT = "run-{pid}.memlab"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.usage = f"{parser.prog} [options] (script.py | -m module) [arguments]"
    add_recording_options(parser, _DEFAULT)
    parser.add_argument(
        "--no-exact", action="store_true", help="do not set back the kernel's mark (ru_maxrss)"
    )
    parser.add_argument(
        "--no-stacks", action="store_true", help="do not look which line runs when memory rises"
    )
    parser.add_argument(
        "--sites",
        action="store_true",
        help="sample allocations, live memory by line: the default where it can be; refuse where not",
    )
    parser.add_argument("--no-sites", action="store_true", help="do not sample allocations")
    parser.add_argument(
        "--sample",
        metavar="SIZE",
        help="mean number of bytes between two sampled blocks (default 512KiB); implies --sites",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="trace native memory too, with memray: alive at its peak, left at the end, temporary",
    )
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


def add_recording_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options of every recording."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"where; {{pid}} is filled in (default {default})".replace("%", "%%"),
    )
    parser.add_argument("--report", metavar="OUT.html", help="write an HTML page too")
    parser.add_argument(
        "--interval",
        metavar="S",
        type=seconds,
        help="seconds between two samples (default 0.01, less if busy)",
    )
    parser.add_argument("--no-children", action="store_true", help="leave out the processes that it starts")
    parser.add_argument("--quiet", action="store_true", help="no line on stderr but errors")


def seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return value


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the program, and write the recording when the process ends."""
    if args.module is not None:
        if args.target:
            raise UsageError("name a script or -m and a module, not both")
        if not args.module:
            raise UsageError("-m needs the name of a module")
        return _run(args, console, args.module[0], args.module[1:])
    if args.target in ([], ["--"]):
        raise UsageError("name a script, or -m and a module; see memlab run --help")
    target, *rest = args.target[args.target[0] == "--" :]
    if target.startswith("-"):
        raise UsageError(f"no option {target}; see memlab run --help")
    return _run(args, console, target, rest)


def _run(args: argparse.Namespace, console: Console, target: str, arguments: Sequence[str]) -> int:
    from memlab.faces.cli.program import module_program, report_error, run_program, script_program
    from memlab.lab.recorder import Recorder

    path = (args.output or _DEFAULT).replace("{pid}", str(os.getpid()))
    page = None if args.report is None else args.report.replace("{pid}", str(os.getpid()))
    check_writable(path)
    if page is not None:
        check_writable(page)
        refuse_same(path, page, "the recording and the report are the same file")
    find = script_program if args.module is None else module_program
    program = find(target, arguments)
    recorder = Recorder(
        args.interval,
        not args.no_exact,
        path=path,
        children=not args.no_children,
        stacks=not args.no_stacks,
        sites=_sites(args),
    )
    recorder.program = True
    native = None
    if args.native:
        from memlab.faces.native_outputs import NativeOutputs

        native = NativeOutputs(path, page)  # before the ending is registered: its files must outlive that
    ending = _Ending(recorder, console, path, page)
    ending.native = native
    # After the program's own entry, so that it runs before that, and after all that the program registers.
    atexit.register(ending)
    recorder.start()
    if ending.native is not None:
        ending.begin_native()

    def report(error: BaseException) -> int:
        from memlab.faces.user_errors import error_type

        ending.error = error_type(error)
        return report_error(error)

    code = run_program(program, report)
    ending.code = int(code)  # sys.exit(True) is 1
    ending.interrupted = program.interrupted
    return code


def _sites(args: argparse.Namespace) -> bool | str | None:
    """Return what the recorder is told of sites; None: where it can be. memray's trace has its own lines."""
    if args.no_sites:
        if args.sites or args.sample is not None:
            raise UsageError("--no-sites contradicts --sites and --sample")
        return False
    if args.sample is not None:
        return str(args.sample)
    return True if args.sites else (False if args.native else None)


class _Ending:
    """Ends the recording when the process ends; a forked child's end is not the program's."""

    def __init__(self, recorder: Recorder, console: Console, path: str, page: str | None) -> None:
        self.code: int | None = None
        self.error = ""
        self.interrupted = False
        self.native: NativeOutputs | None = None
        self._pid = os.getpid()
        self._recorder = recorder
        self._console = console
        self._path = path
        self._page = page

    def begin_native(self) -> None:
        """Begin to trace native memory; where that cannot be, nothing has started and no file stays."""
        assert self.native is not None
        try:
            self.native.begin()
        except BaseException:
            atexit.unregister(self)
            self._recorder.stop()
            os.unlink(self._path)  # noqa: PTH108 - text, as it was given
            raise

    def __call__(self) -> None:
        if self.native is not None:
            self.native.end()  # a forked child's file ends with the child
        if os.getpid() != self._pid:
            return
        outcome = {"exit_code": self.code, "error": self.error, "signal": "", "reason": ""}
        if self.interrupted:
            outcome |= {"exit_code": None, "signal": "SIGINT"}
        self._recorder.outcome = outcome
        try:
            capture = self._recorder.stop()
            say(self._console, capture, self._path, self._page)
            if self.native is not None:
                for line in self.native.write():
                    self._console.hint(line)
        except MemlabError as error:
            self._console.error(str(error))
        except Exception as error:  # noqa: BLE001 - the program's exit code stays what it is
            self._console.error(f"the recording could not be finished: {type(error).__name__}")


def say(console: Console, capture: Capture, path: str, page: str | None) -> None:
    """Write one line about a recording, and its page where one is wanted."""
    from memlab._base.units import format_bytes, format_seconds

    peak = capture.peak
    words = "peak not known"
    if peak is not None:
        source = "" if peak.source == "vmhwm" else ", sampled"
        above = format_bytes(peak.increment_bytes)
        words = f"peak {format_bytes(peak.value_bytes)}, {above} above the start{source}"
    stack = capture.peak_stack
    if stack is not None and stack.frame is not None:
        words += f", near {stack.frame}"
    words += f"; {format_seconds(capture.lasted_s)}"
    unwritten = [note for note in capture.notes if note.startswith("the capture could not be written")]
    if unwritten:
        console.error(f"{words}; {unwritten[0]}")
    else:
        console.hint(f"{words}; recording written to {path}")
    if page is not None:
        capture.to_html(page)
        console.hint(f"report written to {page}")
