"""What the commands that measure share: find benchmarks, measure them in many processes, print a result.

Each process is ``memlab bench FILE --part N --save PIECE``: the first one counts, traces and times, the
others only time. Hashes of texts are the same in all of them, so that tables of the same content have the
same size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memlab._base.safety import clean
from memlab.errors import UsageError
from memlab.faces.cli.target import Target, import_target, importable
from memlab.faces.user_errors import error_line, error_text, error_type

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from memlab.faces.cli.console import Console
    from memlab.lab.user_benchmarks import Benchmark
    from memlab.records.benchmark import BenchmarkTable, RegressionReport, RunHistory

__all__ = ["FORMATS", "document_of", "emit", "measure_targets"]

FORMATS: Final = ("text", "json", "md", "html")
_BAD_USE = 2


def emit(result: BenchmarkTable | RegressionReport | RunHistory, form: str, console: Console) -> None:
    """Print a result as text, JSON, Markdown or HTML."""
    if form == "json":
        console.out_json(document_of(result))
    elif form == "md":
        console.out(result.to_markdown().rstrip("\n"))
    elif form == "html":
        console.out(result.to_html().rstrip("\n"))
    else:
        console.out(str(result).rstrip("\n"))


def measure_targets(places: Sequence[str], args: argparse.Namespace, console: Console) -> BenchmarkTable:
    """Measure the benchmarks of files or modules.

    Args:
        places: files, or dotted names.
        args: ``match``, ``processes``, ``samples``, ``label``, and ``part`` in a process that measures.
        console: for progress.

    Raises:
        UsageError: when a file has no benchmark, or one of them raises.
    """
    part = getattr(args, "part", None)
    if args.processes < 1 or args.samples < 1:
        raise UsageError("--processes and --samples are whole numbers from 1")
    if part is not None or args.processes == 1:
        return _measure_here(places, args, console, part or 0)
    from memlab.lab.user_benchmarks import merge_processes
    from memlab.records.benchmark import BenchmarkTable
    from memlab.store.capture_file import load

    tables = []
    with tempfile.TemporaryDirectory(prefix="memlab-") as folder:
        for number in range(args.processes):
            console.progress(f"process {number + 1} of {args.processes}", number / args.processes)
            piece = Path(folder, f"{number}.memlab")
            _start(places, args, number, piece)
            table = load(piece)
            assert isinstance(table, BenchmarkTable)
            tables.append(table)
    return merge_processes(tables)


def _start(places: Sequence[str], args: argparse.Namespace, number: int, piece: Path) -> None:
    command = [
        *(sys.executable, "-m", "memlab", "bench", "--quiet", "--part", str(number), "--save", str(piece)),
        *("--samples", str(args.samples), "-k", args.match, "--label", args.label),
        *("--", *places),
    ]
    done = subprocess.run(  # noqa: S603 - ourselves
        command,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == _BAD_USE:
        said = done.stderr.strip().splitlines()
        raise UsageError((said[-1] if said else "a process failed").removeprefix("memlab bench: "))
    if not piece.is_file():
        last = clean((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
        raise UsageError(f"process {number + 1} that measures ended with code {done.returncode}: {last}")


def _measure_here(
    places: Sequence[str], args: argparse.Namespace, console: Console, part: int
) -> BenchmarkTable:
    from memlab.lab.user_benchmarks import benchmarks_in, run_benchmarks

    found: list[Benchmark] = []
    targets = [Target(place, place, "__name__") for place in places]
    for target in targets:
        with importable(target):
            module, _ = import_target(target)
            own = benchmarks_in(vars(module))
        if not own:
            raise UsageError(
                f"{target.text} has no benchmark: decorate a function with @memlab.benchmark, and give the "
                "decorator no other name"
            )
        found += own
    if not any(args.match in case.name for one in found for case in one.cases):
        raise UsageError(f"no benchmark has {args.match!r} in its name")
    try:
        with importable(targets[0]):
            return run_benchmarks(
                found,
                repeats=args.samples,
                process=part,
                exact=part == 0,
                snapshots=part == 0,
                match=args.match,
                label=args.label,
                progress=console.progress,
            )
    except (UsageError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - the benchmark's own, whatever it is
        text = error_text(error)
        raise UsageError(
            f"a benchmark raised {error_type(error)}{f' ({text})' if text else ''} at {error_line(error)} "
            "(its own exception)"
        ) from None


def document_of(result: Any) -> dict[str, Any]:
    """Return what scripts want to read: without the snapshots, which are large and in the capture file."""
    from memlab.records.benchmark import BenchmarkTable, RegressionReport

    if isinstance(result, BenchmarkTable):
        return {
            "kind": result.kind,
            "passed": result.passed,
            "machine": result.machine,
            "label": result.label,
            "environment": dict(result.environment),
            "results": [one.to_dict() for one in result],
            "notes": list(result.notes),
        }
    if isinstance(result, RegressionReport):
        return {
            "kind": result.kind,
            "passed": result.passed,
            "compared": result.compared,
            "created": result.created,
            "machine": result.machine,
            "baseline_machine": result.baseline_machine,
            "changes": [one.to_dict() for one in result.changes],
            "causes": {name: _grown(diff) for name, diff in result.causes.items()},
            "notes": list(result.notes),
        }
    document: dict[str, Any] = result.to_dict()
    return document


def _grown(diff: Any) -> list[dict[str, Any]]:
    return [
        {
            "file": site.site.frame.file,
            "line": site.site.frame.line,
            "size_diff_bytes": site.size_diff_bytes,
            "blocks_diff": site.blocks_diff,
        }
        for site in diff.sites[:20]
    ]
