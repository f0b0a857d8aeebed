"""What line profiling costs, beside memory_profiler: a hot loop, heavy lines, code not followed.

Each figure is CPU time as a multiple of the bare run, the median over rounds in which all take their turn.
Run it alone: ``python benchmarks/line_profile.py [--rounds N]``.
"""

import argparse
import io
import statistics
import sys
import time

import memlab
from memlab.lab.line_profile import LineProfiler

try:
    import memory_profiler
except ImportError:
    memory_profiler = None

LOOPS = 5_000


def hot():
    total = 0
    for number in range(LOOPS):
        square = number * number
        if square % 3:
            total += square
    return total


def heavy():
    kept = []
    for _ in range(20):
        block = bytearray(4_000_000)
        kept.append(sum(block[::64]))
        words = [str(number) for number in range(200)]
        kept.append(len(words))
    return kept


def inner(number):
    return number * number


def elsewhere():
    """A followed function whose work is done by one that is not."""
    return work_not_followed(LOOPS)


def work_not_followed(count):
    total = 0
    for number in range(count):
        total += inner(number)
    return total


def with_memlab(function):
    with LineProfiler(function):
        function()


def with_memlab_each_line(function):
    with LineProfiler(function, resolution_s=0):
        function()


def with_memory_profiler(function):
    profiler = memory_profiler.LineProfiler()
    followed = profiler(function)
    followed()
    memory_profiler.show_results(profiler, stream=io.StringIO())


def cpu_s(call, *arguments):
    began = time.process_time()
    call(*arguments)
    return time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ways = {"memlab": with_memlab, "memlab, each line read": with_memlab_each_line}
    if memory_profiler is not None:
        ways["memory_profiler"] = with_memory_profiler
    print(f"memlab {memlab.__version__}, Python {sys.version.split()[0]}, {rounds} rounds\n")
    print("| code | bare, ms | " + " | ".join(ways) + " |")
    print("| --- | --- |" + " --- |" * len(ways))
    for function in (hot, heavy, elsewhere):
        for way in ways.values():
            way(function)  # warm
        bare, ratios = [], {name: [] for name in ways}
        for _ in range(rounds):
            own = min(cpu_s(function) for _ in range(3))
            bare.append(own)
            for name, way in ways.items():
                ratios[name].append(cpu_s(way, function) / own)
        cells = [f"{statistics.median(ratios[name]):,.1f}x" for name in ways]
        print(f"| {function.__name__} | {statistics.median(bare) * 1e3:.1f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
