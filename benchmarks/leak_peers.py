"""Put other leak finders to the cases of ``data/leaks``, in the environments that ``corpus.py`` makes.

    python benchmarks/leak_peers.py [--cases DIR] [--work DIR] [--only NAME] [--tool NAME] [--json OUT]

One rule for all, the friendliest that they have in common: after the case's own warm-up the step runs in two
windows of 50 calls, and what gains at least one for every two calls in both of them is a leak.
python-leak-hunter does that by itself (``measure_growth``); objgraph's ``growth`` and Pympler's
``SummaryTracker`` are asked after each window; memray's leaked allocations of each window are put together by
stack. The culprit counts as named when it comes first: the type (builtins passed over), for memray a stack
through the culprit's file or, in a native case, its line. The tools are installed once, into an environment
of their own for each Python.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from corpus import ROOT, environment, find_python, sides

TOOLS = {
    "leak-hunter": "python-leak-hunter",
    "objgraph": "objgraph",
    "Pympler": "Pympler",
    "memray": "memray",
}
WINDOW = 50
WARMUP = 20
LEAST = WINDOW // 2
LIMIT_S = 180


@dataclasses.dataclass(frozen=True)
class Run:
    """One tool on one side of one case."""

    tool: str
    case: str
    side: str
    alarm: bool | None
    named: bool
    seconds: float
    first: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, default=ROOT / "data" / "leaks")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--work", type=Path, default=cache / "memlab" / "corpus")
    parser.add_argument("--only", default="")
    parser.add_argument("--tool", choices=TOOLS, action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drive", nargs=3, metavar=("TOOL", "WARMUP", "PACKAGES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        return _drive(*options.drive)
    runs: list[Run] = []
    for path in sorted(options.cases.glob("*/*/case.toml")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        python = find_python(case["python"]) if options.only in name else None
        if python is None:
            continue
        peers = environment(options.work / f"peers-{case['python']}", python, list(TOOLS.values()))
        packages = next(peers.parents[1].glob("lib/*/site-packages"))
        for side, requirements in sides(case):
            own = environment(options.work / f"{name}-{side}".replace("/", "-"), python, requirements)
            for tool in options.tool or TOOLS:
                run = _run(tool, name, case, side, path.parent, own, packages)
                runs.append(run)
                called = {True: "leak", False: "-", None: "failed"}[run.alarm]
                print(
                    f"{name:36} {side:4} {tool:12} {called:6} {'named' if run.named else '':6}"
                    f"{run.seconds:6.1f} s  {run.first}",
                    flush=True,
                )
    _summary(runs)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(r) for r in runs], indent=1), encoding="utf-8")
    return 0


def _run(tool: str, name: str, case: dict, side: str, folder: Path, python: Path, packages: Path) -> Run:  # noqa: PLR0917
    warmup = str(case.get("warmup", WARMUP))
    command = [python, "-W", "ignore", Path(__file__).resolve(), "--drive", tool, warmup, packages]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError) as error:
        words = type(error).__name__ if isinstance(error, subprocess.TimeoutExpired) else done.stderr[-150:]
        return Run(tool, name, side, None, named=False, seconds=time.monotonic() - began, first=words)
    seconds = time.monotonic() - began
    first = found[0] if found else ""
    named = bool(found) and side == "bad" and _named(tool, case, found, folder)
    return Run(tool, name, side, bool(found), named, seconds, str(first)[-90:])


def _named(tool: str, case: dict, found: list, folder: Path) -> bool:
    if tool == "memray":
        if "culprit_lines" in case:
            source = (folder / "workload.py").read_text(encoding="utf-8").splitlines()
            lines = [source[line - 1] for file, line in found[0] if file.endswith("workload.py")]
            return any(fragment in text for text in lines for fragment in case["culprit_lines"])
        files = re.findall(r"[\w/]+\.py", case["culprit_where"])
        return any(file.endswith(wanted) for file, _ in found[0] for wanted in files)
    first = next((name for name in found if not name.startswith("builtins.") and "." in name), found[0])
    return first in case.get("culprit_types", ())


def _summary(runs: list[Run]) -> None:
    print()
    for tool in dict.fromkeys(run.tool for run in runs):
        mine = [run for run in runs if run.tool == tool]
        words = [f"{tool:12}"]
        for kind in ("py", "native"):
            bad = [r for r in mine if r.side == "bad" and r.case.startswith(kind)]
            if bad:
                found, named = sum(bool(r.alarm) for r in bad), sum(r.named for r in bad)
                words.append(f"{kind} recall {found}/{len(bad)}, named first {named}/{len(bad)};")
        healthy = [r for r in mine if r.side != "bad"]
        words.append(f"false alarms {sum(bool(r.alarm) for r in healthy)}/{len(healthy)};")
        words.append(f"failed {sum(r.alarm is None for r in mine)};")
        words.append(f"median {statistics.median(r.seconds for r in mine):.1f} s")
        print(" ".join(words))


# -- in the case's own environment


def _drive(tool: str, warmup: str, packages: str) -> int:
    """Run one tool here and print what it finds, the first first."""
    sys.path.append(packages)  # last: the case's own packages come first
    sys.path.insert(0, str(Path.cwd()))
    spec = importlib.util.spec_from_file_location("workload", "workload.py")
    assert spec is not None
    assert spec.loader is not None
    workload = importlib.util.module_from_spec(spec)
    sys.modules["workload"] = workload
    spec.loader.exec_module(workload)
    if hasattr(workload, "setup"):
        workload.setup()
    step = workload.step
    for _ in range(int(warmup)):
        step()
    found = {
        "leak-hunter": _leak_hunter,
        "objgraph": _objgraph,
        "Pympler": _pympler,
        "memray": _memray,
    }[tool](step)
    print(json.dumps(found[:5]))
    sys.stdout.flush()
    os._exit(0)  # threads that the case leaves running are none of this comparison


def _leak_hunter(step):
    from leak_hunter import measure_growth

    report = measure_growth(step, iterations=WINDOW, warmup=0)
    names = [growth.type_name for growth in report.growing]
    return ([report.suspect] if report.suspect else []) + names


def _objgraph(step):
    import objgraph

    peaks: dict[str, int] = {}
    objgraph.growth(None, peaks, shortnames=False)

    def read():
        return {name: gained for name, _, gained in objgraph.growth(None, peaks, shortnames=False)}

    return _in_both(step, read)


def _pympler(step):
    from pympler.tracker import SummaryTracker

    tracker = SummaryTracker()
    tracker.diff()  # its own first objects

    def read():
        rows = sorted(tracker.diff(), key=lambda row: -row[2])
        # "<class 'a.B" without an end is how it shortens a name; a row of a kind of its own has none.
        return {re.sub(r"^<class '([^']*)'?>?$", r"\1", row[0]): row[1] for row in rows if row[1] > 0}

    return _in_both(step, read)


def _in_both(step, read):
    """Return what gains enough in both windows, in the order in which the tool lists the second."""
    windows = []
    for _ in range(2):
        for _ in range(WINDOW):
            step()
        gc.collect()
        windows.append(read())
    first, second = windows
    return [name for name, count in second.items() if count >= LEAST and first.get(name, 0) >= LEAST]


def _memray(step):
    import memray

    def window(path):
        with memray.Tracker(path, trace_python_allocators=True):
            for _ in range(WINDOW):
                step()
            gc.collect()
        stacks: dict = {}
        with memray.FileReader(path) as reader:
            for record in reader.get_leaked_allocation_records(merge_threads=True):
                stack = tuple((frame[1], frame[2]) for frame in record.stack_trace(max_stacks=100))
                blocks, size = stacks.get(stack, (0, 0))
                stacks[stack] = (blocks + record.n_allocations, size + record.size)
        return stacks

    with tempfile.TemporaryDirectory() as folder:
        first, second = (window(os.path.join(folder, name)) for name in ("first", "second"))  # noqa: PTH118
    own = os.path.abspath(__file__)  # noqa: PTH100
    growing = [
        (size, [frame for frame in stack if frame[0] != own])
        for stack, (blocks, size) in second.items()
        if blocks >= LEAST and first.get(stack, (0, 0))[0] >= LEAST
    ]
    return [stack for _, stack in sorted(growing, key=lambda pair: -pair[0]) if stack]


if __name__ == "__main__":
    sys.exit(main())
