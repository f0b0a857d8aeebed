"""Record how much real timings vary on this machine, for benchmarks/regressions.py to draw from.

A session is ten processes, one after the other; in each, four pieces of work are timed five times in turn with
the reference loop of their kind. Sessions are spread over time, and every second one runs beside a process that
keeps the other core and the memory busy, as neighbours in a data centre do. Times are processor time of one
thread. Appends to data/noise/NAME.json: per session a note, per work and process ten numbers in microseconds.
Options: --sessions N, --pause SECONDS, --out FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROCESSES, SAMPLES = 10, 5
WORKS = {
    "json": ("containers/1", "import json; text = json.dumps([{'n': n, 'tags': ['a', 'b']} for n in range(800)])",
             "json.loads(text)", 6),
    "objects": ("containers/1", "class Node:\n    def __init__(self, n): self.n = n; self.data = [0] * 50",
                "[Node(n) for n in range(2000)]", 6),
    "text": ("look-ups/1", "words = [f'word {n}' for n in range(3000)]",
             "sorted({w.upper(): len(w) for w in words})", 4),
    "arrays": ("copies/1", "import numpy as np; a = np.arange(400_000.0)", "(a * 2 + 1).sum()", 8),
}
CHILD = """
import json, sys, time
from memlab.lab.reference_loops import reference_loop
works = json.loads(sys.argv[1])
samples = int(sys.argv[2])
found = {}
for name, (reference, setup, statement, number) in works.items():
    space = {}
    exec(setup, space)
    code = compile(f"for _ in range({number}): {statement}", "work", "exec")
    loop = reference_loop(reference)
    exec(code, space); loop()
    row = []
    for _ in range(samples):
        row.append(round(loop() * 1e6))
        began = time.thread_time()
        exec(code, space)
        row.append(round((time.thread_time() - began) * 1e6))
    found[name] = row
print(json.dumps(found))
"""
BUSY = "import time\nend = time.time() + 600\nwhile time.time() < end:\n    bytearray(30_000_000)\n"


def session(busy: bool) -> dict[str, list[list[int]]]:
    rival = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    rows: dict[str, list[list[int]]] = {name: [] for name in WORKS}
    try:
        for _ in range(PROCESSES):
            command = [sys.executable, "-c", CHILD, json.dumps(WORKS), str(SAMPLES)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for name, row in json.loads(out).items():
                rows[name].append(row)
    finally:
        if rival is not None:
            rival.kill()
            rival.wait()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--out", default="data/noise/shared-machine.json")
    options = parser.parse_args()
    out = Path(options.out)
    known = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"sessions": []}
    known["works"] = {name: work[0] for name, work in WORKS.items()}
    for number in range(options.sessions):
        busy = len(known["sessions"]) % 2 == 1
        load = os.getloadavg()[0]
        known["sessions"].append({"busy": busy, "load": round(load, 1), "rows": session(busy)})
        out.write_text(json.dumps(known, separators=(",", ":")).replace('{"busy"', '\n{"busy"') + "\n", encoding="utf-8")
        print(f"session {number + 1} of {options.sessions}, load {load:.1f}", flush=True)
        time.sleep(options.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
