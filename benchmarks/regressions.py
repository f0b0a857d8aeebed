"""How often a regression check cries wolf, and how often it finds a tenth, on noise of real machines.

data/noise/*.json has sessions of real timings (benchmarks/record_noise.py): 25 processes each, two samples of
four pieces of work in each, every sample in turn with its reference loop; spread over an hour in which others
used the same two cores, every fourth beside a process that keeps memory busy. One series here is a baseline from one stretch of sessions and a run from another
one. "A tenth" multiplies the run's samples by 1.10. 50 samples are one session, 150 are three in a row. Every
rule sees the same series. A deterministic metric gets 1 % more bytes. Options: --series N, --data FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from memlab.analyses.rank_test import greater_chance
from memlab.analyses.regression import judge
from memlab.records.benchmark import BenchmarkResult, RegressionVerdict

ALLOWED = 0.10


def load(path):
    """Return work -> array (sessions, processes, samples, (loop, work)), and which sessions had a neighbour."""
    sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    works = {}
    for work in sessions[0]["rows"]:
        rows = np.array([session["rows"][work] for session in sessions], float)
        works[work] = rows.reshape(*rows.shape[:2], -1, 2)
    return works, np.array([session["busy"] for session in sessions])


def series(sessions, start, count, draw):
    """Return loop times, work times and process numbers of some sessions in a row; processes are redrawn."""
    part = sessions[start : start + count].reshape(-1, sessions.shape[2], 2)
    part = part[draw.integers(0, len(part), len(part))]
    process = np.repeat(np.arange(len(part)), part.shape[1])
    return part[:, :, 0].ravel(), part[:, :, 1].ravel(), process


def result(loop, work, process):
    return BenchmarkResult(
        "work:time_s",
        float(np.median(work)),
        "seconds",
        samples=tuple(work.tolist()),
        reference=tuple(loop.tolist()),
        process=tuple(process.tolist()),
        loop="containers/1",
    )


def memlab_rule(base, now):
    return (
        judge(result(*now), result(*base), ALLOWED, ask_power=False).verdict is RegressionVerdict.REGRESSION
    )


def memlab_without_loop(base, now):
    base, now = (result(np.ones_like(side[0]), *side[1:]) for side in (base, now))
    return judge(now, base, ALLOWED, ask_power=False).verdict is RegressionVerdict.REGRESSION


def pooled(base, now):
    return greater_chance(now[1] / now[0], base[1] / base[0] * (1 + ALLOWED / 2)) < 0.01


def percent(base, now):
    return np.median(now[1]) / np.median(base[1]) > 1 + ALLOWED


def percent_with_loop(base, now):
    return np.median(now[1] / now[0]) / np.median(base[1] / base[0]) > 1 + ALLOWED


def mean_percent(base, now):
    return now[1].mean() / base[1].mean() > 1 + ALLOWED


RULES = {
    "memlab: ratios, medians of processes, ranks above 5 %": memlab_rule,
    "the same without the reference loop": memlab_without_loop,
    "ratios, all samples in one pot, ranks above 5 %": pooled,
    "median > +10 % of ratios": percent_with_loop,
    "median > +10 % (the founding rule)": percent,
    "mean > +10 %": mean_percent,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[1] / "data/noise/shared-machine.json"
    )
    options = parser.parse_args()
    began = time.process_time()
    works, busy = load(options.data)
    sessions = len(next(iter(works.values())))
    print(f"{options.series:,} series from {sessions} sessions of {', '.join(works)}\n")
    print(f"{'rule':54s} {'50 samples':>22s} {'150 samples':>22s}")
    print(f"{'':54s} {'false':>11s} {'found':>10s} {'false':>11s} {'found':>10s}")
    counts = {name: [] for name in RULES}
    worst = {}
    for together in (1, 3):
        draw = np.random.default_rng(20_260_101)
        hits = {name: [0, 0] for name in RULES}
        by_work = {work: [0, 0, 0] for work in works}
        for number in range(options.series):
            work = list(works)[number % len(works)]
            first, second = draw.choice(sessions // together, 2, replace=False) * together
            base = series(works[work], first, together, draw)
            now = series(works[work], second, together, draw)
            slower = (now[0], now[1] * (1 + ALLOWED), now[2])
            for name, rule in RULES.items():
                alarm, found = bool(rule(base, now)), bool(rule(base, slower))
                hits[name][0] += alarm
                hits[name][1] += found
                if rule is memlab_rule:
                    by_work[work][0] += alarm
                    by_work[work][1] += found
                    by_work[work][2] += 1
        for name in RULES:
            counts[name] += [hit / options.series * 100 for hit in hits[name]]
        worst[together] = by_work
    for name, figures in counts.items():
        print(f"{name:54s} " + " ".join(f"{f:9.1f} %" for f in figures))
    for together, by_work in worst.items():
        told = ", ".join(f"{w} {a / n * 100:.1f}/{f / n * 100:.0f}" for w, (a, f, n) in by_work.items())
        print(f"  memlab's by work, {together * 50} samples (false/found %): {told}")
    print("\ndeterministic metrics (bytes, counts), 1 % more: " + exact(options.series))
    drift = {w: np.median(s[:, :, :, 1], axis=(1, 2)) for w, s in works.items()}
    told = ", ".join(f"{w} {(m.max() / m.min() - 1) * 100:.0f} %" for w, m in drift.items())
    print(f"between the sessions' medians, at most: {told}")
    print(f"{time.process_time() - began:.0f} s of processor time")
    return 0


def exact(series: int) -> str:
    draw = np.random.default_rng(7)
    found = alarms = 0
    for size in draw.integers(200, 10**9, series).tolist():
        base, same, more = (
            BenchmarkResult("work:peak_bytes", value, "bytes", exact=True)
            for value in (size, size, round(size * 1.01))
        )
        found += judge(more, base, 0.01).verdict is RegressionVerdict.REGRESSION
        alarms += judge(same, base, 0.01).verdict is not RegressionVerdict.UNCHANGED
    return f"{found / series * 100:.1f} % found, {alarms / series * 100:.1f} % false"


if __name__ == "__main__":
    sys.exit(main())
