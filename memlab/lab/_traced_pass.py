"""The second pass of a hunt: run the step on with allocations traced, and join what survives.

Before it everything alive is set aside, so that what the collector lists afterwards is exactly what these
iterations left behind; tracemalloc, started before the first of them, knows where each was allocated. Four
equal stretches are traced, the growth of a site must show in each of the last three. A count of all objects
by type before the first pass, before this one and after it tells what grew from what was only replaced: a
full cache puts new entries in the place of old ones.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import math
import statistics
from typing import TYPE_CHECKING

from memlab._base.safety import class_dict, instance_type_name
from memlab.collectors.census import Census, FrozenHeap, grown_containers, native_size, take_census
from memlab.collectors.frontier import find_frontier
from memlab.collectors.tracing import Frames, RawTraces, TracemallocOwner, grown
from memlab.lab._suspects import Evidence, explain_suspects, name_containers, name_site
from memlab.records.leak_report import ContainerGrowth, SiteGrowth, Suspect, TypeGrowth

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from memlab._base.paths import PathLabels
    from memlab.lab._step import Step

__all__ = ["TracedFacts", "TracedPass"]

_STRETCHES = 4
_MOST_FRESH = 80_000
"""New objects that the second pass may leave behind: enough to tell, few enough to look at each."""
_MOST_CALLS = 5_000
_LISTED = 100
_MOST_SITES = 8_000
_PER_TYPE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class TracedFacts:
    """What the second pass found; all rates are per iteration."""

    iterations: int
    depth: int
    suspects: tuple[Suspect, ...]
    types: tuple[TypeGrowth, ...]
    sites: tuple[SiteGrowth, ...]
    containers: tuple[ContainerGrowth, ...]
    objects_rate: float
    traced_rate: float | None
    notes: tuple[str, ...] = ()


class TracedPass:
    """Run the step traced, then look at what is left.

    Args:
        step: what to run.
        heap: sets aside what is alive; thawed when the pass ends.
        labels: names files.
        clock: monotonic seconds.
        depth: frames kept for each block.
        before: the census from before the first pass.
    """

    def __init__(
        self,
        step: Step,
        heap: FrozenHeap,
        labels: PathLabels,
        clock: Callable[[], float],
        *,
        depth: int,
        before: Census,
    ) -> None:
        self._step = step
        self._heap = heap
        self._labels = labels
        self._clock = clock
        self._depth = depth
        self._before = before

    def run(
        self,
        *,
        objects_rate: float,
        blocks_rate: float,
        until: float,
        progress: Callable[[str, float], None],
    ) -> TracedFacts:
        """Trace until ``until`` or until enough is left behind, and explain it."""
        gc.collect()
        middle = take_census()
        traces: list[RawTraces] = []
        self._heap.freeze()
        known = gc.get_objects() if not self._heap.available else []
        with TracemallocOwner.subscribe(self._depth) as tracer:
            calls = self._run_stretches(traces, tracer, objects_rate, blocks_rate, until, progress)
            gc.collect()
            fresh = self._fresh(known)
            sites = _sites(fresh, objects_rate, tracer.site_of)
            depth, notes = tracer.depth, tuple(tracer.notes)
        # What follows makes millions of small objects; the tracer is off again by now.
        progress("looking at what is left", 0.0)
        self._heap.thaw()
        after = take_census()
        facts = self._explain(fresh, (self._before, middle, after), traces, calls, sites, progress)
        return dataclasses.replace(facts, depth=depth, notes=notes)

    # -- running

    def _run_stretches(
        self,
        traces: list[RawTraces],
        tracer: Any,
        objects_rate: float,
        blocks_rate: float,
        until: float,
        progress: Callable[[str, float], None],
    ) -> int:
        """Run four equal stretches; the first finds out how long the others may be."""
        began, calls = self._clock(), self._step.calls
        least = _least_calls(objects_rate, blocks_rate)
        most = _most_calls(objects_rate)
        share = (until - began) / _STRETCHES
        done = 0
        while done < least or (done < most and self._clock() - began < share):
            self._step.run(1)
            done += 1
        gc.collect()
        traces.append(tracer.take_raw())
        for number in range(1, _STRETCHES):
            progress("tracing", number / _STRETCHES)
            self._step.run(done)
            gc.collect()
            traces.append(tracer.take_raw())
        self._per_stretch = done
        return self._step.calls - calls

    def _fresh(self, known: list[Any]) -> list[Any]:
        fresh = gc.get_objects()
        if known:
            old = {id(obj) for obj in known}
            fresh = [obj for obj in fresh if id(obj) not in old]
        return [obj for obj in fresh if not _is_own(obj)]

    # -- explaining

    def _explain(
        self,
        fresh: list[Any],
        censuses: tuple[Census, Census, Census],
        traces: list[RawTraces],
        calls: int,
        sites: dict[int, Frames],
        progress: Callable[[str, float], None],
    ) -> TracedFacts:
        _, middle, after = censuses
        sizes = _typical_sizes(fresh)
        types = _type_growth(censuses, sizes, calls)
        known = set(map(id, fresh))
        old = [obj for obj in gc.get_objects() if id(obj) not in known]
        own = frozenset(map(id, (fresh, old, traces, sites, self, self.__dict__, *censuses)))
        frontier = find_frontier(fresh, old, own, sites.keys())
        gained = grown_containers(list(censuses), least=max(3, calls // 50))
        evidence = Evidence(
            frontier=frontier,
            net={t: after.counts.get(t, 0) - middle.counts.get(t, 0) for t in after.counts},
            gained=gained,
            calls=calls,
            old=old,
            own=own | {id(known), id(frontier), id(gained)},
            site_of=lambda obj: sites.get(id(obj)),
            labels=self._labels,
        )
        progress("searching who holds it", 0.5)
        containers = name_containers(evidence)
        suspects = explain_suspects(evidence, containers)
        grew = sum(max(t.objects_per_iteration, 0.0) for t in types)
        return TracedFacts(
            iterations=calls,
            depth=self._depth,
            suspects=suspects,
            types=types[:_LISTED],
            sites=self._site_growth(traces)[:_LISTED],
            containers=tuple(c.growth for c in containers)[:_LISTED],
            objects_rate=grew,
            traced_rate=_traced_rate(traces, self._per_stretch),
        )

    def _site_growth(self, traces: list[RawTraces]) -> tuple[SiteGrowth, ...]:
        """Return the sites that grew in each stretch after the first, greatest growth first."""
        span = self._per_stretch * (len(traces) - 1)
        found = []
        for frames, sizes, blocks in grown(traces)[:_LISTED]:
            site = name_site(frames, self._labels)
            if site is not None:
                found.append(SiteGrowth(site, (sizes[-1] - sizes[0]) / span, (blocks[-1] - blocks[0]) / span))
        return tuple(found)


def _least_calls(objects_rate: float, blocks_rate: float) -> int:
    """Return calls in which even a rare leak shows: five times in each stretch."""
    rate = max(objects_rate, blocks_rate)
    return min(_MOST_CALLS, max(4, math.ceil(5 / rate))) if rate > 0 else 16


def _most_calls(objects_rate: float) -> int:
    return max(4, min(_MOST_CALLS, int(_MOST_FRESH / _STRETCHES / max(objects_rate, 1e-9))))


def _traced_rate(traces: list[RawTraces], per_stretch: int) -> float | None:
    """Return traced bytes per iteration, over the stretches after the first.

    Summed over tracebacks, each with the median of its stretches: a table that doubles in one of them, which
    happens ever more rarely, is not growth that goes on.
    """
    totals = [t.totals() for t in traces]
    if len(totals) < 2 or not per_stretch:  # noqa: PLR2004
        return None
    everything = dict.fromkeys(frames for t in totals for frames in t)
    growth = 0.0
    for frames in everything:
        sizes = [t.get(frames, (0, 0))[0] for t in totals]
        growth += statistics.median(b - a for a, b in itertools.pairwise(sizes))
    return growth / per_stretch


def _sites(
    fresh: list[Any], objects_rate: float, site_of: Callable[[Any], Frames | None]
) -> dict[int, Frames]:
    """Return where new objects were allocated, by address: all those of two iterations, and some of each type.

    The collector lists objects about in the order in which they were made, so a stretch of the list is what
    one iteration left behind.
    """
    chosen: dict[int, Any] = {}
    window = int(min(max(2 * objects_rate, 64), _MOST_SITES))
    start = max(0, (len(fresh) - window) // 2)
    by_type: dict[int, list[Any]] = {}
    for obj in fresh:
        by_type.setdefault(id(type(obj)), []).append(obj)
    for members in by_type.values():
        for obj in members[:: max(1, len(members) // _PER_TYPE)]:
            chosen[id(obj)] = obj
    for obj in fresh[start : start + window]:
        chosen[id(obj)] = obj
    found = ((address, site_of(obj)) for address, obj in chosen.items())
    return {address: frames for address, frames in found if frames}


def _type_growth(
    censuses: tuple[Census, Census, Census], sizes: dict[str, float], calls: int
) -> tuple[TypeGrowth, ...]:
    """Return the types of which there were more at each census, greatest growth first."""
    _, middle, after = censuses
    found = []
    for name, count in after.counts.items():
        counts = tuple(c.counts.get(name, 0) for c in censuses)
        rate = (count - middle.counts.get(name, 0)) / calls
        if counts[0] < counts[1] < counts[2] and not name.startswith("memlab."):
            found.append(TypeGrowth(name, rate, rate * sizes.get(name, 0.0), counts))
    return tuple(sorted(found, key=lambda t: -t.objects_per_iteration))


def _typical_sizes(fresh: list[Any]) -> dict[str, float]:
    """Return the mean shallow size of new objects, by type name."""
    totals: dict[int, list[Any]] = {}
    for obj in fresh:
        entry = totals.setdefault(id(type(obj)), [0, 0, obj])
        entry[0] += native_size(obj)
        entry[1] += 1
    sums: dict[str, list[float]] = {}
    for size, count, sample in totals.values():
        total = sums.setdefault(instance_type_name(sample), [0.0, 0.0])
        total[0] += size
        total[1] += count
    return {name: size / count for name, (size, count) in sums.items()}


def _is_own(obj: Any) -> bool:
    """Tell whether an object is memlab's: an instance of one of its classes, or a frame of its code."""
    module = class_dict(type(obj)).get("__module__")
    return type(module) is str and module.startswith("memlab.")
