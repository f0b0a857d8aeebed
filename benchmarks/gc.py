"""The collector: what watching costs, and what ``memlab gc --recommend`` makes of four programs.

The cost of the monitor is the difference of collections of an empty youngest generation, watched and not,
in turn. Each program is tried with every setting in processes of their own, settings in turn, round after
round. Options:
--rounds N, --programs names.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

from memlab import GCMonitor, recommend_gc

TREES = """
class Node:
    def __init__(self, parent=None):
        self.parent, self.children = parent, []
        if parent is not None:
            parent.children.append(self)
live = [{"id": n, "tags": [n]} for n in range(150_000)]
def main():
    kept = []
    for number in range(600):
        root = Node()
        for _ in range(100):
            inner = Node(root)
            for _ in range(4):
                Node(inner)
        if number % 7 == 0:
            kept.append(root)
if __name__ == "__main__":
    main()
"""
LOADING = """
import json
line = json.dumps({"user": {"id": 1, "tags": ["a", "b"]}, "items": [{"n": n} for n in range(8)]})
def main():
    return [json.loads(line) for _ in range(60_000)]
if __name__ == "__main__":
    main()
"""
REQUESTS = """
import collections
registry = {n: {"name": str(n), "roles": [n, n + 1], "seen": (n,)} for n in range(100_000)}
class Request:
    def __init__(self, number):
        self.context = {"request": self, "user": registry[number % 100_000]}
        self.log = [self.context, [number], {"steps": [[], {}, []]}]
recent = collections.deque(maxlen=2_000)
def main():
    for number in range(150_000):
        recent.append(Request(number))
if __name__ == "__main__":
    main()
"""
NUMBERS = """
def main():
    total = 0
    for number in range(6_000_000):
        total += number * number % 7
    return total
if __name__ == "__main__":
    main()
"""
PROGRAMS = {"trees": TREES, "loading": LOADING, "requests": REQUESTS, "numbers": NUMBERS}


def cost_of_watching(turns: int = 200, each: int = 200) -> tuple[float, float]:
    """Return nanoseconds of an empty collection: bare, and watched."""
    bare, watched = [], []

    def timed() -> float:
        began = time.thread_time_ns()
        for _ in range(each):
            gc.collect(0)
        return (time.thread_time_ns() - began) / each

    for _ in range(turns):
        bare.append(timed())
        with GCMonitor():
            watched.append(timed())
    return statistics.median(bare), statistics.median(watched)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", nargs="*", default=list(PROGRAMS))
    options = parser.parse_args()
    bare, watched = cost_of_watching()
    print(f"an empty collection: {bare:.0f} ns, watched {watched:.0f} ns: +{watched - bare:.0f} ns\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.programs:
            script = Path(folder) / f"{name}.py"
            script.write_text(PROGRAMS[name], encoding="utf-8")
            print(recommend_gc(script, rounds=options.rounds), "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
