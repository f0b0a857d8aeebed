"""Snapshots beside the standard library's: take, group, compare, keep, save and load, while tracing stays on.

For 1, 10 and 25 frames a child process makes live blocks with a generated program (1,000 allocating lines in
10 files, some thousand stacks, call depth 3 to 15) and measures, memlab and tracemalloc in turns, medians of
some rounds, CPU time. "bare read" is the interpreter's own ``_get_traces()`` and the freeing of what it gave.
memray's reporters are run on a program of their own where memray is installed: it records calls to the
allocator, not live blocks at a moment, so its rows are times for a like question, no comparison of results.
What takes the standard library long is measured once.

    python benchmarks/snapshots.py [--blocks 1000000] [--rounds 3] [--frames 1 10 25]
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

LINES, FUNCTIONS, FILES = 20, 5, 10
BY = ("line", "file", "function", "module", "package", "traceback")
_LATER = ("memlab by", "memlab diff", "memlab cumulative")
KEY = {"line": "lineno", "file": "filename", "traceback": "traceback"}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 10, 25])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child, args.blocks, args.rounds)))
        return
    results = {}
    for frames in args.frames:
        command = [sys.executable, __file__, "--child", str(frames), "--blocks", str(args.blocks)]
        out = subprocess.run([*command, "--rounds", str(args.rounds)], check=True, capture_output=True).stdout
        results[frames] = json.loads(out.decode().splitlines()[-1])
    show(results, args.blocks)
    memray_rows()


# -- the program


def source(number: int) -> str:
    lines = []
    for f in range(FUNCTIONS):
        lines += [
            f"def f{f}(depth, rng, keep, table):",
            "    if depth > 0:",
            "        return table[rng.randrange(len(table))](depth - 1, rng, keep, table)",
            f"    which = rng.randrange({LINES})",
        ]
        for n in range(LINES):
            size = 40 + (number * 31 + f * 7 + n) % 200
            lines += [
                f"    if which == {n}:",
                f"        keep.extend([bytes({size} + n % 3) for n in range(40)])",
            ]
    return "\n".join(lines) + "\n"


def build(folder: str) -> list[Any]:
    table = []
    for number in range(FILES):
        path = str(Path(folder) / f"mod_{number}.py")
        Path(path).write_text(source(number))
        space: dict[str, Any] = {}
        exec(compile(source(number), path, "exec"), space)
        table += [space[f"f{f}"] for f in range(FUNCTIONS)]
    return table


def allocate(table: list[Any], blocks: int, seed: int = 1) -> list[bytes]:
    rng, keep = random.Random(seed), []
    stacks = [rng.random() for _ in range(4000)]
    while len(keep) < blocks:
        path = random.Random(stacks[rng.randrange(len(stacks))])
        table[path.randrange(len(table))](path.randrange(3, 15), path, keep, table)
    return keep


# -- measuring


def timed(call: Any) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def bare() -> None:
    from _tracemalloc import _get_traces

    enabled = gc.isenabled()
    gc.disable()
    blocks = _get_traces()
    del blocks
    if enabled:
        gc.enable()


def measure(frames: int, blocks: int, rounds: int) -> dict[str, Any]:
    import psutil

    import memlab
    import memlab.analyses.diff
    import memlab.collectors.tracing
    import memlab.store.capture_file

    folder = tempfile.mkdtemp()
    os.chdir(folder)
    table = build(folder)
    process = psutil.Process()
    process.memory_info()
    tracemalloc.start(frames)
    keep = allocate(table, blocks)
    theirs_rss = rss_of_theirs(process)
    memlab.snapshot()  # reads the sources once, as the first snapshot of a program does
    times: dict[str, list[float]] = {}

    def note(name: str, call: Any) -> Any:
        spent, result = timed(call)
        times.setdefault(name, []).append(spent)
        return result

    for number in range(rounds):
        note("bare read", bare)
        older = note("memlab take", memlab.snapshot)
        note("memlab first table", older.statistics)
        theirs = note("tracemalloc take", tracemalloc.take_snapshot)
        if not number or frames == 1:
            note("tracemalloc first table", functools.partial(theirs.statistics, "lineno"))
            note("tracemalloc by traceback", functools.partial(theirs.statistics, "traceback"))
        for by in BY[1:]:
            note(f"memlab by {by}", functools.partial(older.statistics, by))
        note("memlab cumulative", functools.partial(older.statistics, "line", cumulative=True))
    keep += allocate(table, blocks // 10, seed=5)
    del keep[: blocks // 20]
    newer = memlab.snapshot()
    for _ in range(rounds):
        for by in BY:
            newer.kept.pop("totals", None)
            newer.kept.pop("compared", None)  # what two snapshots have in common is kept: not for this row
            note(f"memlab diff by {by}", functools.partial(newer.diff, older, by))
            newer.kept.pop("totals", None)
            note(f"memlab next diff by {by}", functools.partial(newer.diff, older, by))
    their_newer = tracemalloc.take_snapshot()
    for by in ("line", "traceback"):
        note(f"tracemalloc diff by {by}", functools.partial(their_newer.compare_to, theirs, KEY[by]))
    del their_newer
    sizes = {"memlab kept": older.nbytes + sum(map(len, older.files)), "tracemalloc kept": theirs_rss}
    sizes["tracemalloc kept, its objects alone"] = kept_by(theirs)
    older.save("ours.memlab")
    theirs.dump("theirs.pickle")
    sizes["memlab file"] = Path("ours.memlab").stat().st_size
    sizes["tracemalloc file"] = Path("theirs.pickle").stat().st_size
    del theirs
    for _ in range(rounds):
        note("memlab load", lambda: memlab.load("ours.memlab"))
        loaded = note("tracemalloc load", lambda: tracemalloc.Snapshot.load("theirs.pickle"))
        del loaded
    shape = {"tracebacks": len(older.starts) - 1, "rows": len(older), "sites": len(older.statistics())}
    return {"times": {k: statistics.median(v) for k, v in times.items()}, "sizes": sizes, "shape": shape}


def rss_of_theirs(process: Any) -> int:
    """Return by how much the process grows to keep a snapshot of theirs, what tracing adds included."""
    gc.collect()
    before = process.memory_info().rss
    theirs = tracemalloc.take_snapshot()
    gc.collect()
    grown: int = process.memory_info().rss - before
    del theirs
    return grown


def kept_by(theirs: Any) -> int:
    """Return the bytes of a stdlib snapshot's own objects: tuples, ints and the list; strings are shared."""
    rows = theirs.traces._traces  # noqa: SLF001 - its size is what is asked for
    seen: set[int] = set()
    total = sys.getsizeof(rows)
    for row in rows:
        total += sys.getsizeof(row)  # the collector's header included
        _, size, stack, _ = row
        total += sys.getsizeof(size) if not -5 <= size <= 256 else 0
        if id(stack) not in seen:
            seen.add(id(stack))
            total += sys.getsizeof(stack) + sum(map(sys.getsizeof, stack))
    return total


# -- showing


def show(results: dict[int, dict[str, Any]], blocks: int) -> None:
    print(f"{blocks:,} live blocks, tracing on; CPU ms, median; load {os.getloadavg()[0]:.1f}")
    names = dict.fromkeys(name for r in results.values() for name in r["times"])
    print(f"{'':32s}" + "".join(f"{f:>8d} fr" for f in results))
    for name in names:
        row = "".join(f"{r['times'].get(name, float('nan')) * 1000:11.1f}" for r in results.values())
        print(f"{name:32s}{row}")
    print("\nratios")

    def ratio(label: str, of: Any) -> None:
        print(f"{label:48s}" + "".join(f"{of(r):11.1f}" for r in results.values()))

    def spent(r: dict[str, Any], *names: str) -> float:
        return sum(r["times"][name] for name in names)

    ratio("capture / bare read (at most 1.6)", lambda r: spent(r, "memlab take") / spent(r, "bare read"))
    ratio(
        "take + first table (3.5 / 8 / 8)",
        lambda r: (
            spent(r, "tracemalloc take", "tracemalloc first table")
            / spent(r, "memlab take", "memlab first table")
        ),
    )
    ratio(
        "later grouping by traceback (500)",
        lambda r: spent(r, "tracemalloc by traceback") / spent(r, "memlab by traceback"),
    )
    for by in ("line", "traceback"):
        ratio(
            f"diff by {by} (500)",
            lambda r, by=by: spent(r, f"tracemalloc diff by {by}") / spent(r, f"memlab diff by {by}"),
        )
    ratio(
        "slowest later grouping or diff, ms (10)",
        lambda r: (
            1000
            * max(v for k, v in r["times"].items() if k.startswith(("memlab by", "memlab diff", "memlab c")))
        ),
    )
    ratio("kept (200)", lambda r: r["sizes"]["tracemalloc kept"] / r["sizes"]["memlab kept"])
    ratio("file (15)", lambda r: r["sizes"]["tracemalloc file"] / r["sizes"]["memlab file"])
    ratio("load (100)", lambda r: spent(r, "tracemalloc load") / spent(r, "memlab load"))
    for name in ("tracebacks", "sites"):
        ratio(name, lambda r, name=name: r["shape"][name])
    for name in next(iter(results.values()))["sizes"]:
        ratio(f"{name}, KiB", lambda r, name=name: r["sizes"][name] / 1024)


def memray_rows() -> None:
    try:
        import memray
    except ImportError:
        print("\nmemray: not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "run.bin")
        table = build(folder)
        with memray.Tracker(file, trace_python_allocators=True):
            kept = allocate(table, 100_000)
        for name, command in (
            ("memray stats", ["stats"]),
            ("memray table (HTML)", ["table", "-o", str(Path(folder, "t.html"))]),
            ("memray flamegraph (HTML)", ["flamegraph", "-o", str(Path(folder, "f.html"))]),
        ):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "memray", *command, str(file)], check=True, capture_output=True
            )
            spent, size = time.perf_counter() - start, file.stat().st_size / 1e6
            print(f"{name}, 100,000 blocks, {size:.1f} MB: {spent:.1f} s")
        del kept


assert pickle  # tracemalloc's dump imports it late; not while it is measured
if __name__ == "__main__":
    main()
