"""How often a regression check cries wolf, and how often it finds a tenth, on noise of real machines.

data/noise/*.json has sessions of real timings (benchmarks/record_noise.py): 25 processes each, two samples of
four pieces of work in each, every sample in turn with its reference loop; spread over an hour in which others
used the same two cores, every fourth beside a process that keeps memory busy on purpose. One series here is a
baseline from one stretch of sessions and a run from another one. A stretch that is restless, or whose loop
moved by more than 15 % from the baseline's, is measured again, as memlab regress does it: the next session in
time is taken, at most twice. "A tenth" multiplies the run's samples by 1.10. 50 samples are one session, 150
are three in a row. Every rule sees the same series. *false*: alarms among all series; *found*: of those that
were judged; *judged*: the others were called too restless. A deterministic metric gets 1 % more bytes.
Options: --series N, --data FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from memlab.analyses.rank_test import greater_chance
from memlab.analyses.regression import EXACT_ALLOWED, judge, unsettled
from memlab.records.benchmark import BenchmarkResult, RegressionVerdict

ALLOWED = 0.10
TRIES = 3


def load(path):
    """Return work -> array (sessions, processes, samples, (loop, work)), and which had a neighbour."""
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


def verdict(base, now):
    return judge(result(*now), result(*base), ALLOWED, ask_power=False).verdict


def memlab_rule(base, now):
    found = verdict(base, now)
    return None if found is RegressionVerdict.NOT_COMPARED else found is RegressionVerdict.REGRESSION


def memlab_without_loop(base, now):
    base, now = ((np.ones_like(side[0]), *side[1:]) for side in (base, now))
    return memlab_rule(base, now)


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


def calm(sessions, start, together, draw, base=None):
    """Return a stretch as memlab regress takes it: measured again, at most twice, while it is unsettled."""
    for attempt in range(TRIES):
        at = (start + attempt * together) % (len(sessions) // together * together)
        found = series(sessions, at, together, draw)
        if not unsettled(result(*found), result(*base) if base is not None else None):
            break
    return found, attempt


def trial(works, count, together):
    """Return rule -> [false, found, judged], the same of memlab's rule by work, and measurements repeated."""
    draw = np.random.default_rng(20_260_101)
    hits = {name: [0, 0, 0] for name in RULES}
    by_work = {work: [0, 0, 0] for work in works}
    again = 0
    for number in range(count):
        work = list(works)[number % len(works)]
        sessions = works[work]
        first, second = draw.choice(len(sessions) // together, 2, replace=False) * together
        base, once = calm(sessions, first, together, draw)
        now, twice = calm(sessions, second, together, draw, base)
        again += once + twice
        slower = (now[0], now[1] * (1 + ALLOWED), now[2])
        for name, rule in RULES.items():
            alarm, found = rule(base, now), rule(base, slower)
            for row in (hits[name], by_work[work]) if rule is memlab_rule else (hits[name],):
                row[0] += bool(alarm)
                row[1] += bool(found)
                row[2] += alarm is not None
    return hits, by_work, again


def report(works, count):
    print(f"{'rule':54s} {'50 samples':>26s} {'150 samples':>26s}")
    heads = f"{'false':>8s} {'found':>8s} {'judged':>8s}"
    print(f"{'':54s} {heads} {heads}")
    outcomes = [trial(works, count, together) for together in (1, 3)]
    for name in RULES:
        cells = []
        for hits, _, _ in outcomes:
            alarm, found, judged = hits[name]
            cells += [alarm / count, found / max(judged, 1), judged / count]
        print(f"{name:54s} " + " ".join(f"{cell * 100:6.1f} %" for cell in cells))
    for (_, by_work, again), samples in zip(outcomes, (50, 150), strict=True):
        told = ", ".join(f"{w} {a / n * 100:.1f}/{f / n * 100:.0f}" for w, (a, f, n) in by_work.items() if n)
        print(f"  by work, {samples} samples (false/found %): {told}; measured again {again} times")
    drift = {w: np.median(s[:, :, :, 1], axis=(1, 2)) for w, s in works.items()}
    told = ", ".join(f"{w} {(m.max() / m.min() - 1) * 100:.0f} %" for w, m in drift.items())
    print(f"  between the medians of two sessions, at most: {told}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    default = Path(__file__).parents[1] / "data/noise/shared-machine.json"
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    works, busy = load(options.data)
    print(f"{options.series:,} series from {len(busy)} sessions of {', '.join(works)}")
    report(works, options.series)
    print(f"the same from the {int((~busy).sum())} sessions without a deliberate rival")
    report({work: sessions[~busy] for work, sessions in works.items()}, options.series)
    print("deterministic metrics (bytes, counts), 1 % more: " + exact(options.series))
    return 0


def exact(series: int) -> str:
    draw = np.random.default_rng(7)
    found = alarms = 0
    for size in draw.integers(200, 10**9, series).tolist():
        base, same, more = (
            BenchmarkResult("work:peak_bytes", value, "bytes", exact=True)
            for value in (size, size, round(size * 1.01))
        )
        found += judge(more, base, EXACT_ALLOWED).verdict is RegressionVerdict.REGRESSION
        alarms += judge(same, base, EXACT_ALLOWED).verdict is not RegressionVerdict.UNCHANGED
    return f"{found / series * 100:.1f} % found, {alarms / series * 100:.1f} % false"


if __name__ == "__main__":
    sys.exit(main())
