"""How much of a short spike each tool reports: memlab beside samplers and tracers.

A spike is 50 MB of fresh pages, each touched, held for 1, 10 or 100 ms, or taken by one numpy call that
holds the interpreter all the while. Each tool measures 30 of each kind in a process of its own, which has
stood higher before, as real processes have. *Hit*: the reported increment lies within 5 % of the truth.

    python benchmarks/spikes.py [--rounds 30] [--peers VENV]

``--peers`` names a virtual environment (made for it, if it is not there) in which psutil, memory-profiler,
memray and Scalene are looked for beside those of this interpreter. One that is not there is "not installed".
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TRUTH = 50_000_000
KINDS = {"1 ms": "held(0.001)", "10 ms": "held(0.01)", "100 ms": "held(0.1)", "in numpy": "in_numpy()"}
PEERS = ("numpy", "psutil", "memory-profiler", "memray", "scalene")

CHILD = """
import json, mmap, os, sys, time
import numpy as np
one = np.array([None], dtype=object)
def held(seconds):
    with mmap.mmap(-1, {truth}) as block:
        for at in range(0, {truth}, mmap.PAGESIZE):
            block[at] = 1
        time.sleep(seconds)
def in_numpy():
    one.repeat({truth} // 8)  # an array of objects: numpy keeps the interpreter for it
def spike():
    {kind}
before = bytearray(150_000_000)
del before
{setup}
found = []
for _ in range({rounds}):
{trial}
    found.append(int(seen))
sys.stdout.flush()
print("RESULT", json.dumps(found))
os._exit(0)
"""

MEMORY_PROFILER = """
    base = memory_usage(-1, max_usage=True)
    seen = (memory_usage((spike,), interval={}, max_usage=True, max_iterations=1) - base) * 2**20
"""
POLLING = """
import psutil, threading
me = psutil.Process()
def poll(top, stop):
    while not stop.wait(0.001):
        top[0] = max(top[0], me.memory_info().rss)
"""
WAYS = {
    "memlab.region": (
        "memlab",
        "from memlab import region",
        """
    with region() as r:
        spike()
    seen = r.peak.increment_bytes
""",
    ),
    "memlab.record, its spans": (
        "memlab",
        "from memlab import record",
        """
    with record() as r, r.span('spike'):
        spike()
    seen = r.capture.spans[0].peak.increment_bytes
""",
    ),
    "memlab.record, samples alone": (
        "memlab",
        "from memlab import record",
        """
    with record(exact=False) as r:
        while len(r.snapshot().timeline) < 3:
            time.sleep(0.01)
        spike()
    rss = r.capture.timeline.metrics['rss_bytes']
    seen = rss.max() - rss[2]
""",
    ),
    "memory_profiler, every 0.1 s": (
        "memory_profiler",
        "from memory_profiler import memory_usage",
        MEMORY_PROFILER.format(0.1),
    ),
    "memory_profiler, every 0.01 s": (
        "memory_profiler",
        "from memory_profiler import memory_usage",
        MEMORY_PROFILER.format(0.01),
    ),
    "psutil in a thread, every 1 ms": (
        "psutil",
        POLLING,
        """
    base = me.memory_info().rss
    top, stop = [base], threading.Event()
    t = threading.Thread(target=poll, args=(top, stop))
    t.start()
    spike()
    stop.set()
    t.join()
    seen = top[0] - base
""",
    ),
    "tracemalloc, its peak": (
        "tracemalloc",
        "import tracemalloc; tracemalloc.start()",
        """
    tracemalloc.reset_peak()
    base = tracemalloc.get_traced_memory()[0]
    spike()
    seen = tracemalloc.get_traced_memory()[1] - base
""",
    ),
    "memray, its peak": (
        "memray",
        "import memray, tempfile",
        """
    with tempfile.TemporaryDirectory() as d:
        with memray.Tracker(d + '/x'):
            spike()
        seen = memray.FileReader(d + '/x').metadata.peak_memory
""",
    ),
}


def python_of(module: str, peers: Path | None) -> str | None:
    """Return an interpreter that has a module: this one, else that of the peers."""
    candidates = [sys.executable]
    if peers is not None:
        candidates.append(str(peers / "bin" / "python"))
    for candidate in candidates:
        asked = subprocess.run([candidate, "-c", f"import {module}, numpy"], capture_output=True, check=False)
        if asked.returncode == 0:
            return candidate
    return None


def measured(name: str, kind: str, rounds: int, peers: Path | None) -> list[float] | None:
    module, setup, trial = WAYS[name]
    python = python_of(module, peers)
    if python is None:
        return None
    code = CHILD.format(truth=TRUTH, kind=KINDS[kind], setup=setup, trial=trial, rounds=rounds)
    run = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    line = next(line for line in run.stdout.splitlines() if line.startswith("RESULT "))
    return [seen / TRUTH for seen in json.loads(line.removeprefix("RESULT "))]


def scalene(kind: str, rounds: int, peers: Path | None) -> list[float] | None:
    """Ask Scalene for the peak of the lines; it runs whole programs, so a few rounds must do."""
    python = python_of("scalene", peers)
    if python is None:
        return None
    code = CHILD.format(truth=TRUTH, kind=KINDS[kind], setup="", trial="    spike(); seen = 0", rounds=1)
    found = []
    for _ in range(min(rounds, 5)):
        with tempfile.TemporaryDirectory() as folder:
            script, out = Path(folder, "p.py"), Path(folder, "out.json")
            script.write_text(code.replace("os._exit(0)", "").replace("bytearray(150_000_000)", "0"))
            how = ["run", "--memory", "-o", str(out), str(script)]
            subprocess.run(
                [python, "-m", "scalene", *how], capture_output=True, cwd=folder, check=False, timeout=120
            )
            try:
                report = json.loads(out.read_text())
            except (OSError, ValueError):
                return None
            lines = [line for file in report.get("files", {}).values() for line in file["lines"]]
            found.append(max((line.get("n_peak_mb", 0.0) for line in lines), default=0.0) * 2**20 / TRUTH)
    return found


def environment_of_peers(folder: Path | None) -> Path | None:
    if folder is not None and not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PEERS], check=False)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--peers", type=Path)
    args = parser.parse_args()
    peers = environment_of_peers(args.peers)
    print(f"{args.rounds} spikes of 50 MB: hits within 5 % (median share); load {os.getloadavg()[0]:.1f}")
    print(f"{'':34s}" + "".join(f"{kind:>16s}" for kind in KINDS))
    for name in [*WAYS, "Scalene, peak of a line (5 runs)"]:
        cells = []
        for kind in KINDS:
            shares = (
                measured(name, kind, args.rounds, peers)
                if name in WAYS
                else scalene(kind, args.rounds, peers)
            )
            if shares is None:
                cells.append("not installed")
                continue
            hits = sum(abs(share - 1) <= 0.05 for share in shares) / len(shares)
            cells.append(f"{100 * hits:.0f} % ({100 * statistics.median(shares):.0f} %)")
        print(f"{name:34s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
