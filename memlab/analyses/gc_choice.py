"""Which setting of the collector to take: a pure function of the trials.

Rounds are interleaved, so a setting is compared with the interpreter's own round by round. It helps when it
lowers processor time, or the 99th percentile of the pauses at no more processor time, by a fifth or more in
the middle round, and does so in three rounds of four; and when its peak memory stays within the factor that
was allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_seconds

if TYPE_CHECKING:
    from memlab.records.gc_results import GcTrial

__all__ = ["PREFERENCES", "choose", "paired"]

PREFERENCES = ("balanced", "pause", "throughput")
_GAIN = 0.8
_NO_MORE = 1.02
_MIB = 1024 * 1024
_SLACK_BYTES = 16 * _MIB
_NOTHING_SHARE = 0.01
_NOTHING_PAUSE_S = 0.02
_STEADY = 0.75
_CLOSE = 1.03


def choose(trials: tuple[GcTrial, ...], prefer: str, most_memory: float) -> tuple[GcTrial | None, str]:
    """Return the setting to take, None for none, and why.

    Args:
        trials: the interpreter's own setting first.
        prefer: ``balanced``, ``pause`` or ``throughput``.
        most_memory: greatest factor of peak memory; 16 MiB more are always allowed.
    """
    own, *others = trials
    share = own.middle("pause_s") / max(own.middle("cpu_s"), 1e-9)
    longest = format_seconds(own.middle("max_s"))
    took = f"the collector took {share * 100:.2g} % of the processor time, {longest}"
    if not own.middle("collections"):
        return None, "the collector did not run: there is nothing to gain"
    if share < _NOTHING_SHARE and own.middle("max_s") < _NOTHING_PAUSE_S:
        return None, f"{took} at most at one time: there is nothing to gain"
    good = [trial for trial in others if _helps(own, trial, prefer) and _fits(own, trial, most_memory)]
    if not good:
        greedy = [trial.name for trial in others if _helps(own, trial, prefer)]
        if greedy:
            return None, (
                f"{took} at most; {', '.join(greedy)} would help, but took more than {most_memory:g} times"
                " the peak memory"
            )
        return None, f"{took} at most; no setting lowered that by a fifth in three rounds of four"
    best = min(good, key=lambda trial: _score(own, trial, prefer))
    limit = _score(own, best, prefer) * _CLOSE
    chosen = next(trial for trial in good if _score(own, trial, prefer) <= limit)  # the simplest of the best
    return chosen, _gains(own, chosen)


def paired(own: GcTrial, trial: GcTrial, column: str) -> float:
    """Return the median over the rounds of a column's ratio to the interpreter's own setting."""
    return float(np.median(_ratios(own, trial, column)))


def _ratios(own: GcTrial, trial: GcTrial, column: str) -> list[float]:
    return [
        float(b) / float(a) if a else (1.0 if not b else float("inf"))
        for a, b in zip(getattr(own, column), getattr(trial, column), strict=True)
    ]


def _lowers(own: GcTrial, trial: GcTrial, column: str) -> bool:
    ratios = _ratios(own, trial, column)
    steady = sum(ratio < 1 for ratio in ratios) >= _STEADY * len(ratios)
    return steady and paired(own, trial, column) <= _GAIN


def _helps(own: GcTrial, trial: GcTrial, prefer: str) -> bool:
    quicker = _lowers(own, trial, "cpu_s")
    calmer = (
        _lowers(own, trial, "p99_s")
        and paired(own, trial, "max_s") <= _NO_MORE
        and paired(own, trial, "cpu_s") <= _NO_MORE
    )
    return {"throughput": quicker, "pause": calmer}.get(prefer, quicker or calmer)


def _fits(own: GcTrial, trial: GcTrial, most_memory: float) -> bool:
    return trial.middle("peak_bytes") <= own.middle("peak_bytes") * most_memory + _SLACK_BYTES


def _score(own: GcTrial, trial: GcTrial, prefer: str) -> float:
    cpu, pause = paired(own, trial, "cpu_s"), paired(own, trial, "max_s")
    return {"throughput": cpu, "pause": pause}.get(prefer, cpu + 0.2 * min(pause, 2.0))


def _gains(own: GcTrial, trial: GcTrial) -> str:
    parts = []
    for column, name in (
        ("cpu_s", "processor time"),
        ("p99_s", "99th percentile of pauses"),
        ("max_s", "longest pause"),
    ):
        ratio = paired(own, trial, column)
        parts.append(f"{name} {(ratio - 1) * 100:+.0f} %")
    memory = (trial.middle("peak_bytes") - own.middle("peak_bytes")) / _MIB
    return f"{', '.join(parts)}, peak memory {memory:+.1f} MiB, medians of {len(own.cpu_s)} rounds in turn"
