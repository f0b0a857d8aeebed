"""The heap graph beside other heap tools, on one heap, as ratios to a full ``gc.collect()`` of it.

    python benchmarks/heap.py [--objects 100000,1000000,5000000] [--rounds 5] [--peers out/heap-peers]

Each tool runs in a process of its own that builds the same heap: 40 % records as JSON gives them, 30 %
instances in a tree with links to parents, 15 % a linked list, 15 % a cache with cross references. Rounds are
interleaved: every tool once, then every tool again; medians are shown. Each figure is divided by the least of
three collections in the same process just before. The peak of memory is the kernel's (VmHWM, set back before
each step; Linux only), per object of the graph. Other tools are installed into an environment under ``out``;
what cannot be installed is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = ["guppy3", "objgraph", "pympler"]
HEAP = """
import gc, sys, time, json

class Node:
    def __init__(self, parent, number):
        self.parent, self.number, self.children = parent, number, []

class Link:
    __slots__ = ("next", "value")

def build(objects):
    import random
    chance = random.Random(1)
    made = {}
    # A record: dict, name, list of two texts, a float, a nested dict with a number: about 8 objects.
    made["records"] = [
        {"id": n + 1000, "name": f"user {n}", "tags": [f"a{n}", f"b{n}"], "score": n * 1.5,
         "place": {"x": n * 0.5}} for n in range(int(objects * 0.40 / 9))
    ]
    # Instance, its list of children and its number.
    nodes = [Node(None, 0)]
    for n in range(1, int(objects * 0.30 / 3)):
        parent = nodes[chance.randrange(max(0, n - 1000), n)]
        nodes.append(Node(parent, n + 1000))
        parent.children.append(nodes[-1])
    made["tree"] = nodes[0]
    link = None
    for n in range(int(objects * 0.15 / 2)):
        fresh = Link()
        fresh.next, fresh.value, link = link, n * 0.25, fresh
    made["list"] = link
    entries = [[f"key {n}", (n + 1000, n * 0.5)] for n in range(int(objects * 0.15 / 5))]
    for entry in entries:
        entry.append(entries[chance.randrange(len(entries))])
    made["cache"] = {entry[0]: entry for entry in entries}
    return made

def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

def clear_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return True
    except OSError:
        return False

gc.disable()
heap = build(int(sys.argv[1]))
gc.enable()
results = {}

def collected():
    times = []
    for _ in range(3):
        began = time.perf_counter()
        gc.collect()
        times.append(time.perf_counter() - began)
    return min(times)

def measure(name, step):
    base = collected()
    memory = clear_peak()
    before = status("VmRSS") if memory else 0
    began = time.perf_counter()
    kept = step()
    seconds = time.perf_counter() - began
    row = {"seconds": seconds, "ratio": seconds / base, "collect": base}
    if memory:
        row["peak"] = status("VmHWM") - before
    results[name] = row
    return kept
"""
OURS = """
import numpy as np
import memlab
from memlab.analyses import _graph, _graph_twin
from memlab.analyses.dominators import dominators
from memlab.collectors import heap_engine
from memlab.collectors.heap_engine import Order

def capture():
    objects = gc.get_objects()
    return heap_engine.capture(Order(objects, [heap], [], 10**9))

memlab.heap(max_objects=5000)
if TWIN:
    heap_engine.native = None
raw = measure("capture", capture)
columns = (raw.address, raw.type_of, raw.size, raw.flags, raw.starts, raw.edges, raw.text_node, raw.hashes)
kept = sum(column.nbytes for column in columns)
nodes = len(raw.address)
roots = np.flatnonzero(raw.flags & 6).astype(np.uint32)
sizes = raw.size.astype(np.int64)
engine = _graph_twin if TWIN else _graph
tree = measure("dominators", lambda: engine.dominate(raw.starts, raw.edges, roots, sizes))
del raw, tree, roots, sizes, columns
if not TWIN:
    graph = measure("everything", memlab.heap)
    measure("census", graph.census)
    measure("one object", lambda: graph.retained_size(heap["records"]))
    measure("why", lambda: graph.why(heap["tree"].children[0].children[0]))
    kept = sum(value.nbytes for value in vars(graph).values() if isinstance(value, np.ndarray))
print(json.dumps({"nodes": nodes, "kept": kept, "steps": results}))
"""
GUPPY = """
from guppy import hpy
tool = hpy()
def census():
    return str(tool.heap())
measure("census", census)
measure("one object", lambda: tool.iso(heap["records"]).domisize)
print(json.dumps({"steps": results}))
"""
OBJGRAPH = """
import objgraph
measure("census", lambda: objgraph.most_common_types(limit=20))
target = heap["tree"].children[0].children[0]
measure("why", lambda: objgraph.find_backref_chain(target, objgraph.is_proper_module))
print(json.dumps({"steps": results}))
"""
PYMPLER = """
from pympler import muppy, summary
measure("census", lambda: summary.summarize(muppy.get_objects()))
print(json.dumps({"steps": results}))
"""
TOOLS = {
    "memlab": (f"TWIN = False\n{OURS}", 10**9),
    "memlab, Python twin": (f"TWIN = True\n{OURS}", 10**6),
    "guppy3": (GUPPY, 10**6),
    "objgraph": (OBJGRAPH, 10**6),
    "pympler": (PYMPLER, 10**5),
}
"""The program of each tool, and the greatest heap that it is tried on."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", default="100000,1000000,5000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=ROOT / "out" / "heap-peers")
    parser.add_argument("--only", default="", help="tools whose name contains this")
    options = parser.parse_args()
    others = _environment(options.peers)
    for objects in map(int, options.objects.split(",")):
        tools = {
            name: (others if code in (GUPPY, OBJGRAPH, PYMPLER) else sys.executable, HEAP + code)
            for name, (code, most) in TOOLS.items()
            if objects <= most and options.only in name
        }
        rounds: dict[str, list[dict]] = defaultdict(list)
        for _ in range(options.rounds):
            for name, (python, code) in tools.items():
                result = _run(python, code, objects)
                if result is not None:
                    rounds[name].append(result)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        print(f"\n{objects:,} objects asked for, {options.rounds} rounds, load {load:.1f}")
        for name in tools:
            if not rounds[name]:
                print(f"  {name}: left out, not installed or failed")
            else:
                _show(name, rounds[name])
        _targets(objects, rounds)
    return 0


def _environment(folder: Path) -> str | None:
    """Return the interpreter of an environment with the other tools; None where it cannot be had."""
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        done = subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=False)
        if done.returncode:
            print("the other tools could not be installed: left out")
            return None
        (folder / "installed").touch()
    return str(python)


def _run(python: str | None, code: str, objects: int) -> dict | None:
    if python is None:
        return None
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(objects)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stderr[-300:], file=sys.stderr)
        return None
    return json.loads(done.stdout)


def _show(name: str, rounds: list[dict]) -> None:
    nodes = rounds[0].get("nodes", 0)
    print(f"  {name}" + (f" ({nodes:,} nodes)" if nodes else ""))
    for step in rounds[0]["steps"]:
        line = f"    {step:12s} {_median(rounds, step, 'ratio'):8.2f} x collect"
        line += f"  {_median(rounds, step, 'seconds'):8.3f} s"
        if nodes and "peak" in rounds[0]["steps"][step]:
            line += f"  {_median(rounds, step, 'peak') / nodes:6.0f} B an object at the peak"
        print(line)
    if nodes:
        print(f"    kept         {statistics.median(r['kept'] for r in rounds) / nodes:8.1f} B an object")


def _median(rounds: list[dict], step: str, what: str) -> float:
    return statistics.median(r["steps"][step].get(what, 0) for r in rounds)


def _targets(objects: int, rounds: dict[str, list[dict]]) -> None:
    """Say which of the aims are met."""
    ours, twin, guppy = (rounds.get(name) for name in ("memlab", "memlab, Python twin", "guppy3"))
    aims = []
    if ours and objects >= 10**6:
        most = 1.5 if objects < 5 * 10**6 else 2.0
        nodes = ours[0]["nodes"]
        peaks = [_median(ours, step, "peak") / nodes for step in ("capture", "dominators", "everything")]
        aims += [("capture", _median(ours, "capture", "ratio"), 2.0, "x collect")]
        aims += [("dominators", _median(ours, "dominators", "ratio"), most, "x collect")]
        aims += [("peak", max(peaks), 110, "B an object")]
        aims += [("kept", statistics.median(r["kept"] for r in ours) / nodes, 40, "B an object")]
    if twin:
        aims += [("capture by the twin", _median(twin, "capture", "ratio"), 25.0, "x collect")]
    if ours and guppy:
        share = _median(ours, "everything", "ratio") / _median(guppy, "census", "ratio")
        aims += [("everything, against guppy3's census", share, 0.2, "of its time")]
    for name, value, most, unit in aims:
        print(f"  {'met   ' if value <= most else 'MISSED'} {name}: {value:.2f} {unit}, aim {most}")


if __name__ == "__main__":
    sys.exit(main())
