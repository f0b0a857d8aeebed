"""How much of a short spike of memory is seen: the kernel's mark against sampling.

A child process takes 50 MiB, touches each page, holds them for some milliseconds and lets go. ``seen`` is
the reported increment over 50 MiB. memory_profiler is asked as its ``%memit`` asks: one run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

SPIKE = 50 * 2**20
TURNS = 7
THEIRS = """
from memory_profiler import memory_usage
before = memory_usage(-1, max_usage=True)
seen = (memory_usage((spike,), interval={interval}, max_usage=True, max_iterations=1) - before) * 2**20
"""
WAYS = {
    "memlab.memit": "from memlab import memit; seen = memit(spike).increment_bytes",
    "memory_profiler, every 0.1 s (its default)": THEIRS.format(interval=0.1),
    "memory_profiler, every 0.01 s": THEIRS.format(interval=0.01),
}
CHILD = """
import json, time
def spike():
    block = bytearray({size})
    time.sleep({hold})
{way}
print(json.dumps(seen))
"""


def share_seen(way: str, hold_s: float) -> float:
    code = CHILD.format(size=SPIKE, hold=hold_s, way=way)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return json.loads(run.stdout) / SPIKE


def main() -> int:
    print(f"{'50 MiB held for':44s}" + "".join(f"{1e3 * hold:8.0f} ms" for hold in (0, 0.005, 0.05, 0.5)))
    for name, way in WAYS.items():
        seen = [[share_seen(way, hold) for _ in range(TURNS)] for hold in (0, 0.005, 0.05, 0.5)]
        print(f"{name:44s}" + "".join(f"{100 * statistics.median(s):9.0f} %" for s in seen))
    print(f"(share of the spike that is reported; median of {TURNS})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
