"""What it costs a program to be watched: memlab's recording beside samplers and tracers.

Three workloads (Python bytecode, many small objects, numpy) run bare and under each tool, interleaved, each
time in a process of its own. *CPU* is the processor time of the process and all its threads, samplers in
processes of their own left out, as a ratio to bare; *wall* is the time that the work took. Medians. On a
busy machine both are noise; *own* is not: the processor time that memlab's one thread in the process used, as
a share of the time that passed (the greatest of the three workloads). *Memory* is the RSS that the process
has more than bare when the work is done, the recording still running.

    python benchmarks/overhead.py [--rounds 5] [--peers VENV]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from spikes import environment_of_peers, python_of

WORK = {
    "bytecode": "total = 0\nfor n in range(4_000_000):\n    total += n & 7",
    "small objects": "for _ in range(12):\n    rows = [{'a': n, 'b': [n]} for n in range(60_000)]",
    "numpy": "x = np.ones(4_000_000)\nfor _ in range(25):\n    y = x * 1.5 + x",
}
CHILD = """
import json, os, threading, time
import numpy as np
{setup}
{settle}
def work():
{work}
def memlab_thread():
    native = [t.native_id for t in threading.enumerate() if t.name.startswith("memlab-")]
    return sum(int(open(f"/proc/self/task/{{n}}/schedstat").read().split()[0]) / 1e9 for n in native)
own = memlab_thread()
cpu, wall = time.process_time(), time.perf_counter()
{run}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
own = memlab_thread() - own
rss = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
print("RESULT", json.dumps([cpu, wall, rss, own / wall]), flush=True)
os._exit(0)
"""
RECORD = "import memlab\nrecording = memlab.record({}).start()"
# The start is paid once: it is shown on its own, and a workload of a second must not be charged with it.
SETTLED = "while len(recording.snapshot().timeline) < 3: time.sleep(0.02)"
POLL = (
    "import psutil, threading\nme = psutil.Process()\n"
    "def poll():\n    while True:\n        me.memory_info(); time.sleep(0.01)\n"
    "threading.Thread(target=poll, daemon=True).start()"
)
QUIET = "import warnings; warnings.simplefilter('ignore')\n"
WAYS = {
    "memlab.record, 10 Hz": ("memlab", RECORD.format(0.1), "", "work()"),
    "memlab.record, 100 Hz": ("memlab", RECORD.format(0.01), "", "work()"),
    "memlab.record, 1 kHz": ("memlab", RECORD.format(0.001), "", "work()"),
    "memlab.region": ("memlab", "from memlab import region", "", "with region() as r: work()"),
    "memory_profiler, 10 Hz": (
        "memory_profiler",
        QUIET + "from memory_profiler import memory_usage",
        "",
        "memory_usage((work,), interval=0.1, max_iterations=1)",
    ),
    "psutil in a thread, 100 Hz": ("psutil", POLL, "", "work()"),
    "tracemalloc": ("tracemalloc", "import tracemalloc; tracemalloc.start()", "", "work()"),
    "memray": (
        "memray",
        "import memray, tempfile\ntracker = memray.Tracker(tempfile.mkdtemp() + '/x')",
        "",
        "with tracker: work()",
    ),
    "Scalene": ("scalene", "", "", "work()"),
}
UNDER = {"Scalene": ["-m", "scalene", "run", "--outfile", os.devnull]}
"""Ways that run the program, which stands in a file for all: an interpreter's arguments before its name."""


def measured(command: list[str], work: str, setup: str, settle: str, run: str) -> list[float]:
    body = "\n".join("    " + line for line in WORK[work].splitlines())
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.py")
        program.write_text(CHILD.format(work=body, setup=setup, settle=settle, run=run), encoding="utf-8")
        told = subprocess.run(
            [*command, str(program)], capture_output=True, text=True, check=True, cwd=folder
        ).stdout
    line = next(line for line in told.splitlines() if line.startswith("RESULT "))
    result: list[float] = json.loads(line.removeprefix("RESULT "))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", default="", help="only ways whose name holds this")
    args = parser.parse_args()
    peers = environment_of_peers(args.peers)
    ways = {name: way for name, way in WAYS.items() if args.only in name}
    pythons = {name: python_of(way[0], peers) for name, way in ways.items()}
    print(f"medians of {args.rounds} rounds, ratios to bare: CPU / wall; load {os.getloadavg()[0]:.1f}")
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(args.rounds):
        for work in WORK:
            for python in {sys.executable, *filter(None, pythons.values())}:
                bare = measured([python], work, "", "", "work()")
                found.setdefault((python, work), []).append(bare)
            for name, (_module, setup, _settle, run) in ways.items():
                python = pythons[name]
                if python is not None:
                    settle = SETTLED if "record" in name else ""
                    command = [python, *UNDER.get(name, [])]
                    found.setdefault((name, work), []).append(measured(command, work, setup, settle, run))
    print(f"{'':30s}" + "".join(f"{work:>18s}" for work in WORK) + f"{'own':>10s}{'memory':>14s}")
    for name in ways:
        python = pythons[name]
        if python is None:
            print(f"{name:30s}{'not installed':>18s}")
            continue
        cells = []
        for work in WORK:
            pairs = list(zip(found[name, work], found[python, work], strict=True))
            ratios = [statistics.median(mine[at] / bare[at] for mine, bare in pairs) for at in (0, 1)]
            cells.append(f"{ratios[0]:.3f} / {ratios[1]:.2f}")
        both = zip(found[name, "bytecode"], found[python, "bytecode"], strict=True)
        more = statistics.median(mine[2] - bare[2] for mine, bare in both) / 2**20
        own = max(statistics.median(mine[3] for mine in found[name, work]) for work in WORK)
        line = f"{name:30s}" + "".join(f"{cell:>18s}" for cell in cells)
        print(f"{line}{100 * own:8.2f} %{more:10.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
