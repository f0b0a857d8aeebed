"""The thresholds of memory pressure: ballast, release, alerts, approach to out-of-memory; and the cost.

Runs alone: ``python benchmarks/pressure.py``, about 30 seconds; ``--rounds N`` repeats. Each row says what
was measured, what is asked for, and whether it was reached. Nothing is taken beyond 256 MiB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import memlab

MIB = 2**20
ROWS: list[tuple[str, str, str, bool]] = []
STARTS = 5


def row(name: str, got: str, wanted: str, reached: bool) -> None:
    ROWS.append((name, got, wanted, reached))


def ballast(rounds: int) -> None:
    grown, back = [], []
    for _ in range(rounds):
        with memlab.MemoryPressureSimulator("256 MiB") as simulator:
            before = simulator.get_memory_usage()
            for _ in range(20):
                simulator.allocate_memory(10)
            grown.append(simulator.get_memory_usage() - before)
        with memlab.MemoryPressureSimulator("256 MiB") as simulator:
            before = simulator.get_memory_usage()
            simulator.allocate_memory(200)
            peak = simulator.get_memory_usage()
            simulator.release_memory()
            back.append((peak - simulator.get_memory_usage()) / (peak - before))
    low, high = min(grown), max(grown)
    row("20 steps of 10 MiB in RSS", f"{low:.1f} to {high:.1f} MiB", "190 to 230", low >= 190 and high <= 230)
    row("a 200 MiB spike given back", f"{100 * min(back):.1f} %", "> 80 %", min(back) > 0.8)


def alerts(rounds: int) -> None:
    late = []
    for _ in range(rounds):
        with memlab.MemoryPressureSimulator("128 MiB") as simulator:
            usage = simulator.get_memory_usage()
            limit = int((usage + 120) * MIB)
            start = usage * MIB / limit
            came: dict[str, float] = {}
            watch = memlab.MemoryAlertSystem(
                start + (1 - start) * 0.5, start + (1 - start) * 0.7, 0.02, limit
            )
            watch.add_handler(lambda alert, _details, came=came: came.setdefault(alert, time.monotonic()))
            with watch:
                time.sleep(0.1)
                moment = time.monotonic()  # before the first page: allocating is in the figure
                simulator.allocate_memory(100)
                while "critical" not in came and time.monotonic() < moment + 5:
                    time.sleep(0.001)
            late.append(max(came.values()) - moment if len(came) == 2 else float("inf"))
    worst = max(late)
    row("warning and critical, interval 0.02 s", f"{1e3 * worst:.0f} ms at worst", "< 200 ms", worst < 0.2)


def approach(rounds: int) -> None:
    shares, starts = [], []
    for _ in range(rounds):
        begun = time.monotonic()
        run = memlab.MemoryPressureSimulator("96 MiB").run(memlab.PressureScenario.approach_oom(seconds=1.0))
        starts.append(time.monotonic() - begun - run.timeline.time_s[-1])
        shares.append(run.peak_rss_bytes / run.budget_bytes)
    row("approach to out-of-memory stops at", f"{100 * max(shares):.1f} %", "< 95 %", max(shares) < 0.95)
    row("a cage costs, start and end", f"{1e3 * statistics.median(starts):.0f} ms", "", True)


def over_budget(rounds: int) -> None:
    over = []
    for name in ("ramp", "spike", "sawtooth"):
        for _ in range(rounds):
            scenario = memlab.PressureScenario.named(name).lasting(0.6)
            run = memlab.MemoryPressureSimulator("64 MiB").run(scenario)
            over.append(run.peak_rss_bytes - run.budget_bytes)
    row(
        "a cage's peak against its budget", f"{max(over) / MIB:+.1f} MiB", "<= +16 MiB", max(over) <= 16 * MIB
    )


def monitor() -> None:
    with memlab.MemoryMonitor() as reader:
        for uss in (False, True):
            costs = []
            for _ in range(200):
                begun = time.process_time()
                reader.read(uss=uss)
                costs.append(time.process_time() - begun)
            name = "MemoryMonitor.read()" if uss else "MemoryMonitor.read(uss=False)"
            row(name, f"{1e6 * statistics.median(costs):.0f} µs CPU", "", True)


GUARDED = """
import signal, sys, time, memlab
signal.signal(signal.SIGINT, signal.default_int_handler)
def spent(pid):
    with open(f"/proc/{pid}/stat") as file:
        ticks = file.read().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / 100
with memlab.guard("4 GiB", save=None, growth=False) as watching:
    pid = watching._process.pid
    time.sleep(0.5)
    before = spent(pid)
    time.sleep(5)
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[1])
    print((spent(pid) - before) / 5, pages * 4096)
"""
CAUGHT = """
import signal, time, memlab
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
kept = []
try:
    with memlab.guard("160 MiB", save=None, growth=False) as watching:
        for _ in range(1000):  # a bound, should the guard fail
            kept.append(bytearray(1_000_000))
        time.sleep(5)
except KeyboardInterrupt:
    seen = memlab.MemoryMonitor().read(uss=False).rss_bytes
    print((seen - 160 * 2**20) / 2**20)
else:
    print("inf")
"""


def guard(rounds: int) -> None:
    def ask(code: str) -> list[float]:
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        return [float(word) for word in out.split()]

    if sys.platform != "linux":
        return
    cpu, rss = ask(GUARDED)
    row("the guard's watcher", f"{100 * cpu:.1f} % of a core, {rss / MIB:.0f} MiB", "", True)
    beyond = [ask(CAUGHT)[0] for _ in range(max(rounds, STARTS))]
    worst = max(beyond)
    row("an unpaced eater is caught beyond the limit", f"{worst:.0f} MiB at worst", "caught", worst < 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ballast(rounds)
    alerts(rounds)
    approach(rounds)
    over_budget(rounds)
    monitor()
    guard(rounds)
    print(f"{'':44s} {'measured':26s} {'asked for':14s}")
    for name, got, wanted, reached in ROWS:
        print(f"{name:44s} {got:26s} {wanted:14s} {'' if not wanted else 'yes' if reached else 'NO'}")
    print(f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
    return 0 if all(reached for *_, reached in ROWS) else 1


if __name__ == "__main__":
    sys.exit(main())
