"""``memlab leaks``: hunt a leak in a function, print the report, and let the exit code say the verdict."""

from __future__ import annotations

import argparse
import contextlib
import functools
from typing import TYPE_CHECKING, Any

from memlab.errors import StepError, UsageError
from memlab.faces.cli.parser import BAD_USE, EXIT_CODES, describe
from memlab.faces.cli.target import Target, import_target, importable, parse_target
from memlab.faces.hunt_options import HUNT_OPTIONS, hunt_keywords
from memlab.faces.outputs import Outputs, refuse_same
from memlab.faces.steps import Watched
from memlab.faces.user_errors import error_line, error_text, error_type
from memlab.lab.steps import check_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab.faces.cli.console import Console
    from memlab.lab.leak_hunt import LeakHunt
    from memlab.records._result import Result
    from memlab.records.leak_report import LeakReport

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "hunt a leak in a function: verdict, line, holder"
TEXTS = describe(
    "Call a function again and again, and tell whether it leaks: what, which line makes it, who holds it.\n"
    "TARGET and the arguments of --setup and --teardown are package.module:function or\n"
    "path/to/file.py:function; the last two also take the name of a function beside TARGET's. What the\n"
    "function prints goes to stdout as ever;\n"
    "with --json it goes to stderr, and stdout is exactly one JSON document.",
    "memlab leaks app/jobs.py:handle_one --budget 10 --report leak.html\n"
    "  memlab leaks --budget 60 --run server.py --port 8000",
    EXIT_CODES,
)
LEAK = 1
NO_VERDICT = 3
INTERRUPTED = 130
HAS_SETUP = "its module has a function 'setup', which is called only with --setup setup"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.usage = (
        f"{parser.prog} [options] (TARGET | --run script.py [arguments] | --run -m module [arguments])"
    )
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="the step: a function that does one iteration"
    )
    parser.add_argument(
        "--run",
        metavar="PROGRAM",
        nargs=argparse.REMAINDER,
        help="watch a program under its own load instead, written last; memlab.mark_iteration() in it counts "
        "requests, else an iteration is 20 ms",
    )
    parser.add_argument(
        "--setup",
        metavar="TARGET",
        help="called once before the first iteration; a generator or context manager ends after the last",
    )
    parser.add_argument("--teardown", metavar="TARGET", help="called once after the last, whatever happened")
    for option in HUNT_OPTIONS:
        if option.kind is None:
            parser.add_argument(f"--{option.name}", action="store_true", help=option.help)
        else:
            parser.add_argument(
                f"--{option.name}", metavar=option.metavar, type=option.kind, help=option.help
            )
    parser.add_argument(
        "--against", metavar="FILE", help="a saved report of before: say fixed, better, same or worse"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress and no hints on stderr")


def run(args: argparse.Namespace, console: Console) -> int:
    """Hunt, print, and return the verdict as an exit code."""
    outputs = Outputs(args.save, args.report)
    before = _before(args)
    if args.run is not None:
        from memlab.faces.cli.leaks_run import run_watched

        show = functools.partial(_show, console=console, outputs=outputs, as_json=args.json, before=before)
        with console.only_results_on_stdout() if args.json else contextlib.nullcontext():
            return run_watched(args, console, show)
    if args.target is None:
        raise UsageError("name the step, as package.module:function, or --run and a program")
    target = parse_target(args.target)
    stdout = console.only_results_on_stdout() if args.json else contextlib.nullcontext()
    with importable(target), stdout:
        module, found = import_target(target)
        step = Watched(check_step(found, target.text))
        setup, teardown = (_beside(name, target) for name in (args.setup, args.teardown))
        from memlab.lab.leak_hunt import LeakHunt

        hunt = LeakHunt(
            step.call,
            setup,
            teardown=teardown,
            label=target.text,
            progress=console.progress,
            **hunt_keywords(vars(args)),
        )
        show = functools.partial(_show, console=console, outputs=outputs, as_json=args.json, before=before)
        forgot = args.setup is None and callable(vars(module).get("setup"))
        hint = HAS_SETUP if forgot else ""
        return _hunt(hunt, step, console=console, show=show, hint=hint)


def _beside(name: str | None, target: Target) -> Any:
    """Return what --setup or --teardown names."""
    if name is None:
        return None
    named = parse_target(name, beside=target)
    with importable(named):
        return import_target(named)[1]


def _hunt(
    hunt: LeakHunt,
    step: Watched,
    *,
    console: Console,
    show: Callable[[LeakReport | None], None],
    hint: str,
) -> int:
    """Run the hunt to whatever end it takes, and return the exit code of that end."""
    try:
        report = hunt.run()
    except KeyboardInterrupt:
        show(hunt.report)
        console.error("interrupted")
        return INTERRUPTED
    except BaseException as error:  # SystemExit too: a step that leaves is a step that raises
        seen = hunt.report
        if hunt.blame and not isinstance(error, StepError):
            if hunt.blame == "teardown":
                show(seen)
            console.error(
                f"the {hunt.blame} raised {_describe(error)} at {error_line(error)} (its own exception)"
            )
            return BAD_USE
        if step.raised is not error or seen is None or seen.failure is None:
            raise
        show(seen)
        console.error(
            f"the step raised {_describe(error)} in iteration {seen.failure.iteration:,} "
            f"at {seen.failure.at or error_line(error)} (the step's own exception)"
            + (f"; {hint}" if hint else "")
        )
        return BAD_USE
    show(report)
    if hint:
        console.hint(hint)
    if report.verdict.is_leak:
        return LEAK
    return 0 if report.verdict == "no leak" else NO_VERDICT


def _before(args: argparse.Namespace) -> LeakReport | None:
    """Return the report to compare with; looked at before the long run."""
    if args.against is None:
        return None
    from memlab.lab.verify_fix import load_report

    for written in filter(None, (args.save, args.report)):
        refuse_same(written, args.against, "the result would overwrite the report to compare with")
    return load_report(args.against)


def _show(
    report: LeakReport | None,
    *,
    console: Console,
    outputs: Outputs,
    as_json: bool,
    before: LeakReport | None = None,
) -> None:
    if report is None:
        return
    result: Result = report
    if before is not None:
        from memlab.analyses.fix_check import compare_reports

        result = compare_reports(before, report)
    if as_json:
        console.out_json(result.to_dict())
    else:
        console.out(str(result).rstrip("\n"))
    for line in outputs.write(result):
        console.hint(line)


def _describe(error: BaseException) -> str:
    text = error_text(error)
    return f"{error_type(error)} ({text})" if text else error_type(error)
