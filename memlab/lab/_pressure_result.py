"""From what a cage told to a ``PressureRun``: outcome, phases, recovery, and why a figure is missing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import clean
from memlab._base.units import format_bytes, format_seconds
from memlab.lab._failing import RETURNED
from memlab.records.columns import floats
from memlab.records.pressure import PressureOutcome, PressurePhase, PressureRun
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memlab.lab._cage import Seen
    from memlab.lab._cgroup import CageGroup
    from memlab.lab.scenarios import PressureScenario
    from memlab.records.columns import Ints

__all__ = ["finished_run", "signal_name"]

_SOURCES = {"rss_bytes": "/proc/PID/status, from outside"}
_NEAR = 0.1
_WINDOW_S = 0.25
_FEWEST = 20


def finished_run(
    seen: Seen,
    *,
    scenario: PressureScenario,
    kind: str,
    label: str,
    plan: Mapping[str, Any],
    interrupted: bool,
    environment: Mapping[str, str],
    group: CageGroup | None,
) -> PressureRun:
    """Return the result of a run, whatever end it took."""
    end = seen.end if seen.end is not None and seen.end["event"] == "end" else {}
    base = seen.ready["base"] if seen.ready else None
    timeline = _timeline(seen)
    room = plan["budget"] - (base or 0)
    phases = _phases(end.get("phases", []), scenario, timeline, room)
    failures = {clean(name): count for name, count in end.get("failures", {}).items()}
    absent: dict[str, str] = {}
    if base is None:
        absent["base_rss_bytes"] = "the cage was ended before it was ready"
    if not end:
        absent["end_rss_bytes"] = absent["phases"] = "the cage could not say its last word"
    recovery, why = _recovery(timeline, phases, len(scenario.stages), plan)
    if recovery is None:
        absent["recovery_s"] = why
    outcome, reason = _outcome(seen, end, failures, plan, interrupted)
    return PressureRun(
        scenario=scenario.name,
        subject=label,
        subject_kind=kind,
        outcome=outcome,
        reason=reason,
        budget_bytes=plan["budget"],
        timeline=timeline,
        phases=phases,
        base_rss_bytes=base,
        peak_rss_bytes=seen.peak or None,
        peak_source="vmhwm" if seen.exact else "sampled",
        end_rss_bytes=end.get("rss"),
        recovery_s=recovery,
        failures=failures,
        failure_points={clean(name): count for name, count in end.get("points", {}).items()},
        absent=absent,
        environment=dict(environment),
        elapsed_s=seen.elapsed_s,
        notes=_notes(seen, end, plan, group),
    )


def _timeline(seen: Seen) -> Timeline:
    if seen.times is None:
        return Timeline(floats([]), {}, absent={"rss_bytes": "the cage was ended before it was ready"})
    told = dict.fromkeys(seen.names, "the cage, every 10 ms")
    return Timeline(
        time_s=seen.times,
        metrics=dict(zip(seen.names, seen.columns, strict=True)),
        sources={**told, **_SOURCES},
    )


def _phases(
    told: Sequence[Mapping[str, Any]], scenario: PressureScenario, timeline: Timeline, room: int
) -> tuple[PressurePhase, ...]:
    rss = timeline.metrics.get("rss_bytes")
    phases = []
    for stage, phase in zip(scenario.stages, told, strict=False):
        hits, misses, evictions = phase["figures"]
        inside = (timeline.time_s >= phase["start_s"]) & (timeline.time_s <= phase["end_s"])
        peak = int(rss[inside].max()) if rss is not None and inside.any() else None
        phases.append(
            PressurePhase(
                name=clean(stage.name),
                start_s=phase["start_s"],
                end_s=phase["end_s"],
                target_bytes=int(room * stage.share),
                ballast_bytes=phase["ballast"],
                peak_rss_bytes=peak,
                calls=phase["calls"],
                failures=phase["failures"],
                latency_p50_s=phase["p50"],
                latency_p99_s=phase["p99"],
                latency_max_s=phase["max"],
                hits=hits,
                misses=misses,
                evictions=evictions,
                entries=phase["entries"],
            )
        )
    return tuple(phases)


def _outcome(
    seen: Seen,
    end: Mapping[str, Any],
    failures: Mapping[str, int],
    plan: Mapping[str, Any],
    interrupted: bool,
) -> tuple[PressureOutcome, str]:
    if interrupted:
        return PressureOutcome.INTERRUPTED, "You interrupted it; the cage was ended."
    if seen.killed:
        return PressureOutcome.KILLED, f"The watchdog ended the cage: {seen.killed}."
    if seen.deadline:
        return (
            PressureOutcome.DEADLINE,
            f"It was not done after {format_seconds(plan['deadline'])}, and was ended.",
        )
    if not end:
        return _died(seen)
    if plan["failing"]:
        return _failing_outcome(end)
    if "MemoryError" in failures or (end["notes"].get("wall") and plan["stop_at"] is None):
        who = (
            f"{failures['MemoryError']:,} calls of the subject"
            if "MemoryError" in failures
            else "the ballast"
        )
        return PressureOutcome.OUT_OF_MEMORY, (
            f"The wall of the cage was met: {who} got a MemoryError at {format_bytes(seen.peak)} of "
            f"{format_bytes(plan['budget'])}."
        )
    if failures:
        kinds = ", ".join(f"{count:,} {name}" for name, count in failures.items())
        return PressureOutcome.FAILED, f"Every phase ran; calls of the subject raised: {kinds}."
    if end["notes"].get("stopped") and plan["stop_at"] is not None:
        return PressureOutcome.STOPPED, (
            f"The ballast stopped growing at {format_bytes(seen.peak)}: the next step would have passed "
            f"{100 * plan['stop_at']:.0f} % of the budget of {format_bytes(plan['budget'])}."
        )
    return PressureOutcome.FINISHED, "Every phase ran, and nothing was refused."


def _died(seen: Seen) -> tuple[PressureOutcome, str]:
    if seen.end is not None and seen.end["event"] == "wall":
        return PressureOutcome.OUT_OF_MEMORY, "The wall of the cage was met, and the run could not go on."
    code = seen.code
    if code is not None and code < 0:
        name = signal_name(-code)
        at = f" when allocation {seen.point:,} or one of the next few failed" if seen.point else ""
        return PressureOutcome.DIED, f"The cage was ended by {name}{at}; nobody here sent it."
    return PressureOutcome.DIED, f"The subject left the process, with exit code {code}."


def signal_name(number: int) -> str:
    """Return a signal's name.

    >>> signal_name(9), signal_name(77)
    ('SIGKILL', 'signal 77')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _failing_outcome(end: Mapping[str, Any]) -> tuple[PressureOutcome, str]:
    points = end["points"]
    if not end["reached"]:
        return PressureOutcome.FINISHED, "The call has no such allocation: nothing failed."
    clean_ends = points.get("MemoryError raised", 0) + points.get(RETURNED, 0)
    odd = end["reached"] - clean_ends if len(points) else 0
    total = sum(points.values())
    other = {name: n for name, n in points.items() if name not in ("MemoryError raised", RETURNED)}
    if odd > 0 and other:
        kinds = ", ".join(f"{name} {count:,} times" for name, count in other.items())
        return (
            PressureOutcome.FAILED,
            f"Of {total:,} failed allocations some came out as something else: {kinds}.",
        )
    return (
        PressureOutcome.FINISHED,
        f"Each of {total:,} failed allocations came out as a MemoryError or was dealt with.",
    )


def _recovery(
    timeline: Timeline, phases: tuple[PressurePhase, ...], stages: int, plan: Mapping[str, Any]
) -> tuple[float | None, str]:
    """Return the time until the subject did as well as in the first phase, or why there is none."""
    if plan["kind"] == "none":
        return None, "there was no subject"
    if plan["failing"]:
        return None, "allocations were made to fail, and there was no pressure"
    if len(phases) != stages or stages <= 1:
        return None, "the run did not come to its end"
    released = _release_time(phases)
    if released is None:
        return None, "the scenario does not let go of its ballast at the end"
    totals = timeline.metrics
    if plan["kind"] == "cache":
        return _time_to_recover(
            timeline, phases[0], released, (totals["hits"] + totals["misses"], totals["hits"]), better=1
        )
    done = totals["calls"] - totals["failures"]
    return _time_to_recover(timeline, phases[0], released, (done, totals["busy_ns"]), better=-1)


def _time_to_recover(
    timeline: Timeline,
    first: PressurePhase,
    released: float,
    totals: tuple[Ints, Ints],
    *,
    better: int,
) -> tuple[float | None, str]:
    """Look for the first stretch after the release in which what came of a call is near that of the start.

    Args:
        timeline: gives the times of the totals.
        first: the phase to compare with; its first third, in which caches fill, is left out.
        released: when the pressure was let go.
        totals: running totals of calls, and of what came of them.
        better: 1 where more is better (hits), -1 where less is (time).
    """
    time = timeline.time_s
    calm = (time >= first.start_s + (first.end_s - first.start_s) / 3) & (time <= first.end_s)
    base = _rate(totals, calm)
    if base is None:
        return None, "the first phase had too few calls to compare with"
    for at in np.flatnonzero((time >= released) & (time + _WINDOW_S <= time[-1])).tolist():
        rate = _rate(totals, (time >= time[at]) & (time <= time[at] + _WINDOW_S))
        if rate is not None and better * rate >= better * base * (1 - better * _NEAR):
            return max(0.0, float(time[at]) - released), ""
    return None, "it did not do as well again before the run ended"


def _rate(totals: tuple[Ints, Ints], inside: Any) -> float | None:
    """Return what came of each call in a stretch; None with too few calls."""
    done, good = totals[0][inside], totals[1][inside]
    if len(done) <= 1 or int(done[-1] - done[0]) < _FEWEST:
        return None
    return float(good[-1] - good[0]) / float(done[-1] - done[0])


def _release_time(phases: tuple[PressurePhase, ...]) -> float | None:
    """Return when the last stretch began in which the ballast goes or has gone to nothing."""
    if phases[-1].target_bytes:
        return None
    at = len(phases) - 1
    while at > 0 and not phases[at - 1].target_bytes:
        at -= 1
    return phases[at].start_s if at > 0 else None


def _notes(
    seen: Seen, end: Mapping[str, Any], plan: Mapping[str, Any], group: CageGroup | None
) -> tuple[str, ...]:
    notes = []
    if end.get("notes", {}).get("reserve"):
        notes.append(
            "The ballast stopped short of its target: the machine's reserve would have been touched."
        )
    if end.get("notes", {}).get("stopped") and plan["stop_at"] is None:
        notes.append(
            "The ballast stopped short of its target: the subject left no more room under the budget."
        )
    if end.get("notes", {}).get("processes"):
        notes.append(
            "The subject tried to start a process, which the cage refuses: its limits would not hold there."
        )
    if seen.confined:
        notes.append(f"A cgroup of its own bounded the cage as well ({seen.confined}).")
    elif group is not None:
        notes.append(f"A cgroup was asked for and could not be made: {group.reason}.")
    if not seen.exact:
        notes.append("The peak is sampled, and may be too low.")
    if plan["kind"] in ("cache", "pool", "step") and not plan["failing"]:
        notes.append(
            "The subject ran in one thread, beside the ballast; latencies include waiting for the "
            "interpreter's lock."
        )
    return tuple(notes)
