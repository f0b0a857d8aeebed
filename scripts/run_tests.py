"""Run the tests, each file in a process of its own, as many at a time as there are cores.

    .venv/bin/python scripts/run_tests.py                            all of tests/
    .venv/bin/python scripts/run_tests.py .venv/bin/python:tests .venv-3.13/bin/python:tests/unit
    .venv/bin/python scripts/run_tests.py --random 5 [--seed 7] …    five times, each in another order
    .venv/bin/python scripts/run_tests.py --again …                  what failed once more, alone

Each argument is ``PYTHON:PATH,PATH``. Many tests walk the whole heap of their process; in one process for all
files that heap holds matplotlib, IPython and hypothesis too, is six times as large, and those tests take four
times as long. Plain ``pytest`` runs all in one process: it finds the test that another one disturbs.

The tests of a file run in an order that pytest-randomly shuffles, the same one each time: a run that fails
can be run again. With ``--random`` each round has another seed, which is printed, the files are shuffled too,
and in the end every test whose outcome was not the same in all rounds is named; any is a failure.

With ``--again`` a file that failed runs a second time when nothing else does, in the same order. What fails
twice is a failure. What passes then leaned on the machine being free: it is named as unsteady at the end, to
be mended, and so many of them as to mean something else are a failure, too.
"""
# ruff: noqa: INP001, T201, S603 - a script, which prints and runs the commands it is for

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
ORDER = 2611  # the seed of an ordinary run; `make test-random` looks for the order that this one hides
COUNTED = re.compile(r"(\d+) (passed|failed|skipped|xfailed|errors?)\b")
MOST_UNSTEADY = 3
NO_TESTS = 5  # pytest's exit code when all tests of a file were left out, as the long ones are
# What takes longest goes first, so that no core waits at the end; within a folder the size of the file tells.
FIRST = ("browser", "notebooks", "reliability")


@dataclasses.dataclass(frozen=True)
class Job:
    """One file of tests for one interpreter."""

    python: str
    path: Path

    @property
    def name(self) -> str:
        """How the file is called in what is printed."""
        where = Path(self.python).parts
        version = next((part.removeprefix(".venv-") + " " for part in where if part.startswith(".venv-")), "")
        return version + self.path.relative_to(ROOT).as_posix()

    @property
    def weight(self) -> tuple[int, int]:
        """Sort key: what goes first is greater."""
        folder = self.path.parent.name
        rank = len(FIRST) - FIRST.index(folder) if folder in FIRST else 0
        return rank, self.path.stat().st_size


def jobs_of(argument: str) -> list[Job]:
    """Return the jobs that ``PYTHON:PATH,PATH`` names, one for each file."""
    python, _, paths = argument.rpartition(":")
    found: list[Job] = []
    for text in paths.split(","):
        path = (ROOT / text).resolve()
        files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
        found += [Job(python or sys.executable, file) for file in files]
    return found


@dataclasses.dataclass(frozen=True)
class Run:
    """How one job went: pytest's exit code, all that it said, seconds by the clock and of work."""

    code: int
    text: str
    seconds: float
    work_s: float
    outcomes: dict[str, str]


def run(job: Job, seed: int) -> Run:
    """Run one file in the order of a seed."""
    began = time.monotonic()
    # No cache: several processes would write it at once.
    command = [job.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(job.path)]
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command + _in_order(seed, folder),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode(errors="replace")
        outcomes = _outcomes(job, Path(folder, "outcomes.xml"))
    # Its children's included: what a file costs, whatever else the machine does.
    return Run(process.returncode, text, time.monotonic() - began, used.ru_utime + used.ru_stime, outcomes)


def _in_order(seed: int, folder: str) -> list[str]:
    # The older family, which a test may add properties to.
    report = ["-o", "junit_family=xunit1", f"--junitxml={folder}/outcomes.xml"]
    return ["-p", "randomly", f"--randomly-seed={seed}", *report]


def _outcomes(job: Job, written: Path) -> dict[str, str]:
    """Return what became of each test: passed, or the word of pytest's report."""
    if not written.exists():
        return {}
    found = {}
    for case in ET.parse(written).iter("testcase"):  # noqa: S314 - pytest's own, a moment ago
        name = f"{job.name}::{case.get('name')}"
        words = [part.tag for part in case if part.tag in {"failure", "error", "skipped"}]
        found[name] = words[0] if words else "passed"
    return found


def main(arguments: list[str]) -> int:
    """Run all jobs, print a line for each and all that a failed one said; 1 when any failed."""
    # A shell ignores Ctrl-C for what it puts in the background, and children inherit that; memlab's tests of
    # it need the default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description="Run the tests, each file in a process of its own.")
    parser.add_argument("paths", nargs="*", default=["tests"], metavar="[PYTHON:]PATH,PATH")
    parser.add_argument("--random", type=int, default=0, metavar="TIMES", help="that often, in other orders")
    parser.add_argument("--seed", type=int, help="the number of the order, or of the first")
    parser.add_argument("--again", action="store_true", help="run what failed once more, alone")
    options = parser.parse_args(arguments)
    jobs = [job for argument in options.paths for job in jobs_of(argument)]
    if not options.random:
        jobs.sort(key=lambda job: job.weight, reverse=True)
        counted: Counter[str] = Counter()
        seed = ORDER if options.seed is None else options.seed
        code = _round(jobs, seed, counted, {}, again=options.again)
        print(f"{counted['passed']} passed, {counted['failed'] + counted['error']} failed")
        return code
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    totals: Counter[str] = Counter()
    outcomes: dict[str, list[str]] = {}
    worst = 0
    for seed in range(first, first + options.random):
        print(f"== order {seed}", flush=True)
        random.Random(seed).shuffle(jobs)  # noqa: S311 - an order, no secret
        worst = max(worst, _round(jobs, seed, totals, outcomes))
    differing = {
        name: found for name, found in outcomes.items() if len(set(found)) > 1 or len(found) != options.random
    }
    for name, found in sorted(differing.items()):
        print(f"not the same in each order: {name}: {', '.join(found)}")
    print(
        f"{len(outcomes)} tests in {options.random} orders from {first} on: {len(differing)} outcomes differ"
    )
    print(f"{totals['passed']} passed, {totals['failed'] + totals['error']} failed")
    return 1 if differing else worst


def _round(
    jobs: list[Job], seed: int, totals: Counter[str], outcomes: dict[str, list[str]], *, again: bool = False
) -> int:
    """Run all jobs once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    began = time.monotonic()
    failed: list[Job] = []
    first = Counter[str]()
    with ThreadPoolExecutor(max(2, cores)) as pool:
        running = {pool.submit(run, job, seed): job for job in jobs}
        for future in as_completed(running):
            job = running[future]
            result = future.result()
            _tell(job, result)
            if result.code not in (0, NO_TESTS):
                failed.append(job)
            if not (again and job in failed):
                totals += _counts(result)
            else:
                first += _counts(result)
            for name, outcome in result.outcomes.items():
                outcomes.setdefault(name, []).append(outcome)
    unsteady = _once_more(failed, seed, totals, first) if again else []
    told = ", ".join(f"{count} {what}" for what, count in sorted(totals.items()))
    print(f"{len(jobs)} files: {told}, in {time.monotonic() - began:.0f} s")
    for job in failed:
        print(f"{'unsteady' if job in unsteady else 'failed'}: {job.name}")
    return 1 if len(failed) > len(unsteady) or not totals["passed"] else 0


def _once_more(failed: list[Job], seed: int, totals: Counter[str], first: Counter[str]) -> list[Job]:
    """Run what failed again, one at a time, and return what passed then; nothing when too many failed."""
    if len(failed) > MOST_UNSTEADY:
        totals += first
        return []
    unsteady = []
    for job in failed:
        print(f"once more, alone: {job.name}")
        result = run(job, seed)
        _tell(job, result)
        totals += _counts(result)
        if result.code == 0:
            unsteady.append(job)
    return unsteady


def _counts(result: Run) -> Counter[str]:
    """Return how many tests passed, failed and were left out, by pytest's last line."""
    last = result.text.strip().rpartition("\n")[2]
    return Counter({what.rstrip("s"): int(count) for count, what in COUNTED.findall(last)})


def _tell(job: Job, result: Run) -> None:
    """Print a line for a job that went well, and all that another one said."""
    last = result.text.strip().rpartition("\n")[2]
    took = f"{result.seconds:6.1f} s, {result.work_s:5.1f} s of work"
    if result.code in (0, NO_TESTS):
        print(f"{took}  {job.name}: {last}", flush=True)
        for line in result.text.splitlines():
            if line.startswith("SKIPPED"):
                print("         ", line)
    else:
        print(f"{took}  {job.name} FAILED\n{result.text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
