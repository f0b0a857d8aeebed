"""``memlab regress``: hold a run against its baseline, and say by the exit code whether it became worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab.errors import UsageError
from memlab.faces.bench_runs import emit, measure_targets
from memlab.faces.cli.bench import add_measuring
from memlab.faces.cli.parser import describe
from memlab.faces.outputs import Outputs

if TYPE_CHECKING:
    import argparse

    from memlab.faces.cli.console import Console
    from memlab.records.benchmark import BenchmarkTable, RegressionReport

__all__ = ["HELP", "TEXTS", "add_arguments", "run"]

HELP = "hold benchmarks against their baseline; a regression comes with its line"
TEXTS = describe(
    "Measure the benchmarks of FILE, or a saved run of them, or without either memlab's four metrics\n"
    "(allocation speed, pause time, memory efficiency, cache performance), and hold them against the\n"
    "baseline in DIR. The first run makes the baseline. Each run goes into the lab book in DIR.",
    "memlab regress benchmarks/loading.py --directory .memlab --format md",
    "exit codes:\n  0    no regression, or the baseline was made\n  1    regression\n"
    "  2    bad use, named in one line, or a benchmark raised\n  3    no metric could be compared",
)
WORSE, NOTHING_COMPARED = 1, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="files with benchmarks, or one run that memlab bench --save wrote",
    )
    add_measuring(parser)
    parser.add_argument(
        "--directory", metavar="DIR", default=".", help="where baseline and lab book are (default .)"
    )
    parser.add_argument("--baseline", metavar="FILE", help="the baseline (default DIR/memlab-baseline.json)")
    parser.add_argument("--update", action="store_true", help="make this run the baseline, whatever is found")
    parser.add_argument(
        "--allow",
        metavar="METRIC=FRACTION",
        action="append",
        default=[],
        help="degradation to find, e.g. time_s=0.2; may be repeated",
    )
    parser.add_argument("--no-history", action="store_true", help="do not write into the lab book")
    parser.add_argument("--save", metavar="FILE", help="write the report to a capture file")


def run(args: argparse.Namespace, console: Console) -> int:
    """Measure, judge, print, and return the verdict as an exit code."""
    outputs = Outputs(args.save, args.report)
    from memlab.lab.regression_suite import MemoryRegressionSuite

    suite = MemoryRegressionSuite(
        args.directory,
        dict(_allowed(text) for text in args.allow),
        processes=args.processes,
        samples=args.samples,
        baseline=args.baseline,
    )
    suite.baseline.machines()  # that it cannot be read must be known before the long run
    table = suite.settled(lambda: _table(args, suite.measure, console), 1 if _is_saved(args.files) else 3)
    report: RegressionReport = suite.judge(
        table, update=args.update, source="regress", record=not args.no_history
    )
    emit(report, args.format, console)
    for line in outputs.write(report):
        console.hint(line)
    if report.created or args.update:
        console.hint(f"baseline written to {suite.baseline.path}")
    if report.created:
        return 0
    if not report.passed:
        return WORSE
    return 0 if report.compared else NOTHING_COMPARED


def _table(args: argparse.Namespace, measure: object, console: Console) -> BenchmarkTable:
    from memlab.records.benchmark import BenchmarkTable

    if _is_saved(args.files):
        from memlab.store.capture_file import load

        found = load(args.files[0])
        if not isinstance(found, BenchmarkTable):
            raise UsageError(f"{args.files[0]} holds a {found.kind}, not a run of benchmarks")
        return found
    if args.files:
        return measure_targets(args.files, args, console)
    assert callable(measure)
    table: BenchmarkTable = measure(console.progress)
    return table


def _is_saved(files: list[str]) -> bool:
    return len(files) == 1 and files[0].endswith(".memlab")


def _allowed(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        if equals and name:
            return name, float(number)
    except ValueError:
        pass
    raise UsageError(f"--allow takes METRIC=FRACTION, for example time_s=0.2, not {text!r}")
