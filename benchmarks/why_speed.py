"""How long ``memlab.why`` takes on a heap of a million objects, in units of a full collection."""

from __future__ import annotations

import gc
import statistics
import sys
import time

import memlab


class Node:
    """One object of the heap; the last is the one asked for."""

    def __init__(self, before: Node | None) -> None:
        self.before = before
        self.data = [before]


def best_of(turns: int, work) -> float:
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    registry = {number: [Node(None) for _ in range(100)] for number in range(3_500)}
    target = registry[3_499][99]
    count = len(gc.get_objects())
    collect = best_of(5, gc.collect)
    search = best_of(5, lambda: memlab.why(target))
    print(f"{count:,} tracked objects: a full collection {collect:.2f} s, why() {search:.2f} s")
    print(f"  {search / collect:.1f} collections; the chain: {memlab.why(target).chains[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
