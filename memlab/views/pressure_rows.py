"""A pressure run and a post-mortem as rows and as derived series, for every view of them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.units import format_bytes, format_seconds
from memlab.records.columns import floats, ints
from memlab.records.pressure import PressureOutcome
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memlab.records.columns import Ints
    from memlab.records.pressure import PostMortem, PressurePhase, PressureRun

__all__ = [
    "DASH",
    "PHASES",
    "TONES",
    "duration",
    "end_sentence",
    "holding_rows",
    "percent",
    "phase_rows",
    "rates",
]

Rows = tuple[tuple[str, ...], "Iterable[tuple[Any, ...]]"]

TONES = {
    PressureOutcome.FINISHED: "good",
    PressureOutcome.STOPPED: "good",
    PressureOutcome.FAILED: "warn",
    PressureOutcome.OUT_OF_MEMORY: "bad",
    PressureOutcome.DEADLINE: "warn",
    PressureOutcome.KILLED: "bad",
    PressureOutcome.DIED: "bad",
    PressureOutcome.INTERRUPTED: "warn",
}
PHASES = (
    "phase",
    "start_s",
    "end_s",
    "target_bytes",
    "ballast_bytes",
    "peak_rss_bytes",
    "calls",
    "failures",
    "latency_p50_s",
    "latency_p99_s",
    "latency_max_s",
    "hits",
    "misses",
    "hit_rate",
    "evictions",
    "entries",
)
DASH = "–"  # noqa: RUF001 - a dash, for a figure that is absent
_WINDOW_S = 0.1
_MOST_WINDOWS = 2_000
_FULL = 100


def phase_rows(run: PressureRun) -> Rows:
    """Return one row a phase, in bytes and seconds; what is absent is None."""
    return PHASES, (
        (
            p.name,
            p.start_s,
            p.end_s,
            p.target_bytes,
            p.ballast_bytes,
            p.peak_rss_bytes,
            p.calls,
            p.failures,
            p.latency_p50_s,
            p.latency_p99_s,
            p.latency_max_s,
            p.hits,
            p.misses,
            p.hit_rate,
            p.evictions,
            p.entries,
        )
        for p in run.phases
    )


def holding_rows(found: PostMortem) -> Rows:
    """Return one row a holding of a post-mortem."""
    columns = ("names", "kind", "type", "retained_bytes", "objects", "release")
    return columns, (
        (", ".join(h.names), h.kind, h.type_name, h.retained_bytes, h.objects, h.release or None)
        for h in found.holdings
    )


def duration(seconds: float | None) -> str:
    """Write a duration; a dash where there is none, which the column's neighbours explain."""
    return format_seconds(seconds) if seconds is not None else DASH


def percent(phase: PressurePhase) -> str:
    """Write a phase's hit rate."""
    rate = phase.hit_rate
    return f"{100 * rate:.1f} %" if rate is not None else DASH


def end_sentence(run: PressureRun) -> str:
    """Say what was left when all ballast had been released."""
    if run.end_rss_bytes is None:
        return f"not known: {run.absent.get('end_rss_bytes', 'it was not read')}"
    size = format_bytes(run.end_rss_bytes)
    share = run.returned_share
    if share is not None:
        return f"{size} resident: {100 * share:.0f} % of what the peak stood above the start was given back"
    return f"{size} resident, with what the subject keeps" if run.subject else f"{size} resident"


def rates(run: PressureRun) -> Timeline:
    """Return what came of the calls in each tenth of a second: hit rate in per cent, mean latency in µs.

    Stretches without a call, or without a lookup, are left out of both; a column that never has a value is
    not there.
    """
    time, metrics = run.timeline.time_s, run.timeline.metrics
    needed = [metrics.get(name) for name in ("calls", "failures", "busy_ns")]
    if len(time) < 2 or any(column is None for column in needed):  # noqa: PLR2004 - a stretch has two ends
        return Timeline(floats([]), {})
    span = float(time[-1] - time[0])
    windows = int(min(max(span / _WINDOW_S, 1), _MOST_WINDOWS))
    ends = np.unique(
        np.searchsorted(time, time[0] + span * np.arange(windows + 1) / windows).clip(0, len(time) - 1)
    )
    calls, failed, busy = (_steps(column, ends) for column in needed if column is not None)
    done = calls - failed
    kept = done > 0
    lookups = None
    hits, misses = metrics.get("hits"), metrics.get("misses")
    if hits is not None and misses is not None:
        found = _steps(hits, ends)
        lookups = found + _steps(misses, ends)
        if not (lookups > 0).any():
            lookups = None
        else:
            kept &= lookups > 0
    if not kept.any():
        return Timeline(floats([]), {})
    columns: dict[str, Ints] = {}
    if lookups is not None:
        columns["hit_rate_percent"] = ints(np.rint(_FULL * found[kept] / lookups[kept]))
    columns["latency_us"] = ints(np.rint(busy[kept] / done[kept] / 1e3))
    return Timeline(floats(time[ends[1:]][kept]), columns)


def _steps(column: Ints, ends: Ints) -> Any:
    """Return the growth of a running total between two ends, in floats: a file may hold any integer."""
    return np.diff(column[ends].astype(np.float64))
