"""What it costs to know which line allocated: memlab's sampled engine beside tracers and profilers.

Three programs (allocation-heavy Python, numpy arrays, a mix) run bare and under each way, in turn, each time
in a process of its own. *Work* is the processor time of the program's work alone, with whatever threads run
meanwhile; *whole* that of the process from its start to its end, imports, the tool's reading and children
included; *peak* the greatest RSS. All are ratios to bare, medians of the rounds. *File* is what was written.
*Off* is how far the program's ten greatest live lines (those of a thousandth of all and more) are from the
truth, which tracemalloc knows: the mean of the differences over their bytes; a way that says nothing of live
lines has none.

    python benchmarks/tracing.py [--rounds 3] [--peers VENV] [--only WAY] [--program NAME]
    python benchmarks/tracing.py --coverage 200     (how often the stated intervals hold; minutes)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from spikes import environment_of_peers, python_of

PROGRAMS = {
    "small": """
import random
class Node:
    def __init__(self, n):
        self.name = 'node %d' % n
        self.next = None
        self.tags = [n, n + 1]
def rows(n):
    return [{'id': i, 'text': str(i) * 3, 'tags': [i, str(i)]} for i in range(n)]
def nodes(n):
    return [Node(i) for i in range(n)]
def index(table):
    found = {}
    for row in table:
        found.setdefault(row['id'] % 997, []).append((row['id'], row['text']))
    return found
def words(n):
    return ' '.join('word%d' % i for i in range(n)).split()
def sets(n):
    return [frozenset((i, -i)) for i in range(n)]
def work():
    kept = []
    for turn in range(14):
        table = rows(30_000)
        kept.append(index(table))
        kept.append(nodes(12_000))
        kept.append(words(25_000))
        kept.append(sets(6_000))
        kept.append([bytes(200 + i % 50) for i in range(4_000)])
        kept.append([bytearray(i % 900) for i in range(3_000)])
        kept.append({i: float(i) for i in range(20_000)})
        if turn % 3:
            del kept[-5:-2]
    return kept
""",
    "arrays": """
import numpy as np
def smooth(x):
    return (x[:-2] + x[1:-1] * 2 + x[2:]) / 4
def matrix(n):
    return np.ones((n, n))
def work():
    kept = []
    for turn in range(60):
        x = np.linspace(0, 1, 400_000)
        kept.append(smooth(x)[:100_000].copy())
        y = x * x + np.sqrt(x)
        kept.append(y.astype(np.float32))
        kept.append((y > 0.5).nonzero()[0][:50_000].copy())
        kept.append(matrix(200))
        kept.append([np.arange(20 + i % 50) for i in range(1_000)])
        kept.append(np.cumsum(x)[::4].copy())
        kept.append(np.sort(y)[:80_000].copy())
        kept.append(np.concatenate([x[:30_000], y[:30_000]]))
        kept.append(np.zeros(25_000, np.int16))
        kept.append(np.empty((100, 300), np.complex128))
        if turn % 2:
            del kept[-10:-4]
    return kept
""",
    "mixed": """
import json, re
import numpy as np
DOCUMENT = json.dumps(
    [{'id': n, 'name': 'item %d' % n, 'tags': ['a', 'b', str(n)], 'price': n / 7} for n in range(2_000)]
)
WORD = re.compile(r'[a-z]+')
def parsed():
    return json.loads(DOCUMENT)
def prices(items):
    return np.array([item['price'] for item in items])
def work():
    kept = []
    for turn in range(45):
        items = parsed()
        kept.append(items)
        found = prices(items)
        kept.append(np.outer(found[:300], found[:300]))
        kept.append(WORD.findall(DOCUMENT))
        kept.append(sorted(items, key=lambda item: item['name']))
        kept.append({item['id']: item['tags'] for item in items})
        kept.append(DOCUMENT.upper())
        kept.append([item['name'].title() for item in items])
        kept.append(np.fft.rfft(np.resize(found, 60_000)))
        kept.append(DOCUMENT.encode())
        kept.append(json.dumps(items))
        sum(sum(range(200)) for _ in range(400))
        if turn % 2:
            del kept[-9:-3]
    return kept
""",
}

# What each way does around the work: before, and after it, where it may set ``sites`` to [line, bytes] pairs.
LINES = "[[int(l), int(b)] for f, l, b in {} if f.endswith('program.py')]"
TRACEMALLOC = "import tracemalloc; tracemalloc.start({})"
TRACED = "sites = " + LINES.format(
    "[(s.traceback[0].filename, s.traceback[0].lineno, s.size)"
    " for s in tracemalloc.take_snapshot().statistics('lineno')]"
)
MEMLAB = "import memlab; t = memlab.trace(sample={!r}).start()"
SAMPLED = "s = t.stop(); s.save(out); table = s.statistics('line')\nsites = " + LINES.format(
    "[(x.site.frame.file, x.site.frame.line, x.size_bytes) for x in table.sites]"
)
MEMRAY = "import memray; t = memray.Tracker(out, {}); t.__enter__()"
MEMRAY_READ = (
    "t.__exit__(None, None, None)\nsites = "
    + LINES.format(
        "[(r.stack_trace(1)[0][1], r.stack_trace(1)[0][2], r.size)"
        " for r in memray.FileReader(out).get_leaked_allocation_records(merge_threads=True)"
        " if r.stack_trace(1)]"
    )
    + "\nmerged = {}\nfor l, b in sites: merged[l] = merged.get(l, 0) + b\nsites = list(merged.items())"
)
MEMRAY_END = "t.__exit__(None, None, None)"


@dataclasses.dataclass(frozen=True)
class Way:
    """How a tool is run: statements around the work, or a command in front of the program."""

    module: str
    before: str = ""
    after: str = ""
    command: tuple[str, ...] = ()


WAYS: dict[str, Way] = {
    "memlab, 512 KiB": Way("memlab", MEMLAB.format("512 KiB"), SAMPLED),
    "memlab, 64 KiB": Way("memlab", MEMLAB.format("64 KiB"), SAMPLED),
    "tracemalloc, 1 frame": Way("tracemalloc", TRACEMALLOC.format(1), TRACED),
    "tracemalloc, 10": Way("tracemalloc", TRACEMALLOC.format(10), TRACED),
    "tracemalloc, 25": Way("tracemalloc", TRACEMALLOC.format(25), TRACED),
    "memray": Way("memray", MEMRAY.format(""), MEMRAY_READ),
    "memray, native": Way("memray", MEMRAY.format("native_traces=True"), MEMRAY_READ),
    "memray, objects": Way("memray", MEMRAY.format("trace_python_allocators=True"), MEMRAY_READ),
    "memray, aggregated": Way(
        "memray",
        "import memray; t = memray.Tracker(out, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS);"
        " t.__enter__()",
        MEMRAY_END,
    ),
    "scalene": Way("scalene", command=("-m", "scalene", "run", "-o", "OUT")),
    "fil": Way("filprofiler", command=("-m", "filprofiler", "-o", "OUT", "run")),
    "memory_profiler": Way("memory_profiler", command=("-m", "memory_profiler", "--backend", "psutil")),
}
PROGRAM = """
{program}
if __name__ == '__main__':
    import json, os, resource, sys, time
    out = {out!r}
    sites = None
{before}
    at = time.process_time()
    kept = work()
    at = time.process_time() - at
{after}
    with open({told!r}, 'w') as told:
        json.dump([at, sites], told)
"""


def indented(code: str) -> str:
    return "\n".join("    " + line for line in code.splitlines())


def measured(python: str, program: str, way: Way) -> dict[str, object]:
    """Run a program once; return what it took and what the tool said."""
    with tempfile.TemporaryDirectory() as folder:
        out, told = Path(folder, "out"), Path(folder, "told")
        file = Path(folder, "program.py")
        file.write_text(
            PROGRAM.format(
                program=PROGRAMS[program],
                out=str(out),
                told=str(told),
                before=indented(way.before) or "    pass",
                after=indented(way.after) or "    pass",
            )
        )
        command = [python, *(str(out) if part == "OUT" else part for part in way.command), str(file)]
        with Path(folder, "said").open("wb") as said:
            child = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if not told.exists():
            raise RuntimeError(f"{command[1:4]} on {program}: {Path(folder, 'said').read_text()[-500:]}")
        work, sites = json.loads(told.read_text())
        files = [f for f in [out, *out.rglob("*")] if f.is_file()] if out.exists() else []
        return {
            "work": work,
            "whole": used.ru_utime + used.ru_stime,
            "peak": used.ru_maxrss / 1024,
            "file": sum(f.stat().st_size for f in files),
            "sites": sites,
        }


def off(truth: list[tuple[int, int]], sites: list[tuple[int, int]] | None) -> float | None:
    """Return the mean distance of the ten greatest sites from the truth, as a part of their bytes."""
    if sites is None:
        return None
    said = dict(sites)
    least = sum(size for _, size in truth) / 1000  # what is less is nobody's question
    top = sorted((s for s in truth if s[1] >= least), key=lambda s: -s[1])[:10]
    return statistics.mean(abs(said.get(line, 0) - size) / size for line, size in top)


def compare(args: argparse.Namespace) -> None:
    """Run every way on every program in turn, and print the table."""
    peers = environment_of_peers(args.peers)
    ways = {name: way for name, way in WAYS.items() if args.only in name}
    programs = [name for name in PROGRAMS if args.program in name]
    pythons = {name: python_of(way.module, peers) for name, way in ways.items()}
    truth = {p: measured(sys.executable, p, WAYS["tracemalloc, 1 frame"])["sites"] for p in programs}
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for _ in range(args.rounds):
        for program in programs:
            for python in {sys.executable, *filter(None, pythons.values())}:
                found.setdefault((python, program), []).append(measured(python, program, Way("")))
            for name, way in ways.items():
                if (python := pythons[name]) is not None:
                    try:
                        found.setdefault((name, program), []).append(measured(python, program, way))
                    except RuntimeError as error:
                        print(error, file=sys.stderr)
    print(f"medians of {args.rounds} rounds, ratios to bare; load {os.getloadavg()[0]:.1f}")
    print(f"{'':24s}" + "".join(f"{p + ': work whole peak     file  off':>42s}" for p in programs))
    for name in ways:
        python = pythons[name]
        if python is None:
            print(f"{name:24s}  not installed")
            continue
        cells = [cell(found.get((name, p), []), found[python, p], truth[p]) for p in programs]
        print(f"{name:24s}" + "".join(f"{text:>42s}" for text in cells))


def cell(mine: list[dict[str, Any]], bare: list[dict[str, Any]], truth: Any) -> str:
    """Return the figures of one way on one program."""
    if not mine:
        return "failed"
    ratios = [
        statistics.median(m[key] / b[key] for m, b in zip(mine, bare, strict=False))
        for key in ("work", "whole", "peak")
    ]
    size = statistics.median(m["file"] for m in mine) / 1024
    told = [away for m in mine if (away := off(truth, m["sites"])) is not None]
    error = f"{100 * statistics.median(told):4.0f} %" if told else "    - "
    return "{:.2f}  {:.2f}  {:.2f}".format(*ratios) + f"{size:9,.0f} K {error}"


COVERAGE = """
import sys
sys.path.insert(0, {folder!r})
import json, memlab, program
from memlab.lab.engines import trace
import tracemalloc
program.work()
with trace(sample=0) as exact:
    kept = program.work()
truth = [(s.site.frame.line, s.size_bytes) for s in exact.result.statistics('line').sites
         if s.site.frame.file == 'program.py'][:10]
del kept
held = []
for _ in range({runs}):
    with trace(sample={sample!r}) as t:
        kept = program.work()
    table = t.result.statistics('line')
    said = {{}}
    for at, s in enumerate(table.sites):
        if s.site.frame.file == 'program.py':
            said[s.site.frame.line] = (int(table.low_bytes[at]), int(table.high_bytes[at]))
    most = t.result.unseen_bytes
    bounds = [said.get(line, (0, most)) for line, _ in truth]
    held.append([low <= size <= high for (low, high), (_, size) in zip(bounds, truth)])
    del kept
print(json.dumps(held))
"""


def coverage(runs: int, sample: str, only: str) -> None:
    """Print how often the stated intervals hold the truth of the ten greatest sites."""
    for name, program in PROGRAMS.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "program.py").write_text(program)
            code = COVERAGE.format(folder=folder, runs=runs, sample=sample)
            told = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
            )
        held: list[list[bool]] = json.loads(told.stdout.splitlines()[-1])
        one = sum(map(sum, held)) / sum(map(len, held))
        print(
            f"{name}, a block each {sample}: of {runs} runs {sum(map(all, held)) / runs:.1%} have all ten "
            f"sites in their intervals; of single sites {one:.1%}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", default="", help="only ways whose name holds this")
    parser.add_argument("--program", default="", help="only programs whose name holds this")
    parser.add_argument("--coverage", type=int, default=0, metavar="RUNS")
    parser.add_argument("--sample", default="512 KiB")
    args = parser.parse_args()
    if args.coverage:
        coverage(args.coverage, args.sample, args.program)
    else:
        compare(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
