"""Record how much real timings vary on this machine, for benchmarks/regressions.py to draw from.

A session is 25 processes, one after the other; in each, four pieces of work are sampled twice, in turn with
the reference loop of their kind, as ``memlab bench`` samples. Sessions are spread over time; every fourth
runs beside a process that keeps the other core and the memory busy, as bad neighbours in a data centre do.
Appends to a file in data/noise: per session the load and a note, per work and process microseconds of loop
and work. Options: --sessions N, --pause SECONDS, --out FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROCESSES, SAMPLES = 25, 2
CHILD = """
import json, sys
from memlab.lab.reference_loops import interleaved
import numpy as np
text = json.dumps([{"n": n, "tags": ["a", "b"]} for n in range(800)])
class Node:
    def __init__(self, n): self.n = n; self.data = [0] * 50
words = [f"word {n}" for n in range(3000)]
array = np.arange(400_000.0)
works = {
    "json": ("containers/1", 3, lambda: json.loads(text)),
    "objects": ("containers/1", 1, lambda: [Node(n) for n in range(1500)]),
    "text": ("look-ups/1", 2, lambda: sorted({w.upper(): len(w) for w in words})),
    "arrays": ("copies/1", 3, lambda: (array * 2 + 1).sum()),
}
found = {}
for name, (reference, number, work) in works.items():
    timed = interleaved(work, reference, number=number)
    found[name] = []
    for _ in range(int(sys.argv[1])):
        value, loop = timed.sample()
        found[name] += [round(loop * 1e6, 1), round(value * 1e6, 1)]
print(json.dumps(found))
"""
BUSY = "import time\nend = time.time() + 600\nwhile time.time() < end:\n    bytearray(30_000_000)\n"


def session(busy: bool) -> dict[str, list[list[float]]]:
    rival = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    rows: dict[str, list[list[float]]] = {}
    try:
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", CHILD, str(SAMPLES)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for name, row in json.loads(out).items():
                rows.setdefault(name, []).append(row)
    finally:
        if rival is not None:
            rival.kill()
            rival.wait()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--out", type=Path, default=Path("data/noise/shared-machine.json"))
    options = parser.parse_args()
    out = options.out
    sessions = json.loads(out.read_text(encoding="utf-8"))["sessions"] if out.exists() else []
    for number in range(options.sessions):
        busy = len(sessions) % 4 == 3
        load = os.getloadavg()[0]
        sessions.append({"busy": busy, "load": round(load, 1), "rows": session(busy)})
        lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in sessions)
        out.write_text('{"sessions":[\n' + lines + "\n]}\n", encoding="utf-8")
        print(f"session {number + 1} of {options.sessions}, load {load:.1f}", flush=True)
        time.sleep(options.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
