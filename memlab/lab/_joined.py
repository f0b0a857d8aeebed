"""From what survived the second pass to what grew: types, lines, containers, suspects, and their rates."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.analyses.leak_verdict import OF_PYTHON
from memlab.collectors.census import addresses, native_size
from memlab.collectors.frontier import find_frontier
from memlab.collectors.tracing import RawTraces, grown
from memlab.lab._suspects import Edge, Evidence, explain_suspects, name_site, sites_as_suspects
from memlab.records.columns import Ints, no_ints
from memlab.records.leak_report import ContainerGrowth, SiteGrowth, Suspect, TypeGrowth

if TYPE_CHECKING:
    from collections.abc import Callable

    from memlab._base.paths import PathLabels
    from memlab.lab._traced_pass import Rates, Survey

__all__ = ["TracedFacts", "explain"]

_LISTED = 100


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
    blocks_rate: float | None
    notes: tuple[str, ...] = ()
    edges: tuple[tuple[Edge, ...], ...] = ()
    """For each suspect the references that keep it, by address."""
    fresh: Ints = dataclasses.field(default_factory=no_ints)
    """Addresses of what the pass left behind."""

    def is_of_python(self, rate: float) -> bool:
        """Tell whether Python's own memory accounts for a growth of the process, in bytes per iteration."""
        held = sum(s.bytes_per_iteration for s in self.suspects if s.container is not None)
        return max(self.traced_rate or 0.0, held) >= OF_PYTHON * rate


def explain(
    survey: Survey, rates: Rates, labels: PathLabels, progress: Callable[[str, float], None]
) -> TracedFacts:
    """Join what survived: who holds it, what it is, and where it was made."""
    progress("looking at what is left", 0.0)
    evidence = _evidence(survey, rates, labels)
    progress("searching who holds it", 0.5)
    containers, suspects, edges = explain_suspects(evidence)
    sites = _site_growth(survey, labels)
    types = _type_growth(survey)
    return TracedFacts(
        iterations=survey.calls,
        depth=survey.depth,
        suspects=suspects or sites_as_suspects(sites, rates.blocks),
        types=types[:_LISTED],
        sites=sites,
        containers=tuple(c.growth for c in containers),
        objects_rate=_objects_rate(survey),
        traced_rate=_rate(survey.traces, survey.per_stretch, 0),
        blocks_rate=_rate(survey.traces, survey.per_stretch, 1),
        notes=survey.notes,
        edges=edges,
        fresh=addresses(survey.fresh),
    )


def _evidence(survey: Survey, rates: Rates, labels: PathLabels) -> Evidence:
    _, middle, after = survey.censuses
    known = set(map(id, survey.fresh))
    old = [obj for obj in survey.everything if id(obj) not in known]
    frontier = find_frontier(survey.fresh, old, survey.own(old, known), survey.sites.keys())
    return Evidence(
        frontier=frontier,
        net={t: count - middle.counts.get(t, 0) for t, count in after.counts.items()},
        gaining=survey.gaining,
        calls=survey.calls,
        objects_rate=rates.objects,
        own=survey.own(old, known, frontier, frontier.groups),
        site_of=lambda obj: survey.sites.get(id(obj)),
        labels=labels,
    )


def _site_growth(survey: Survey, labels: PathLabels) -> tuple[SiteGrowth, ...]:
    """Return the sites that grew in each stretch after the first, greatest growth first."""
    span = survey.per_stretch * (len(survey.traces) - 1)
    found: list[SiteGrowth] = []
    if span <= 0:  # the step stopped the tracer
        return ()
    for frames, sizes, blocks in grown(survey.traces)[:_LISTED]:
        site = name_site(frames, labels)
        if site is not None:
            found.append(SiteGrowth(site, (sizes[-1] - sizes[0]) / span, (blocks[-1] - blocks[0]) / span))
    return tuple(found)


def _rate(traces: list[RawTraces], per_stretch: int, which: int) -> float | None:
    """Return traced bytes (0) or blocks (1) per iteration, over the stretches after the first.

    Summed over tracebacks, each with the median of its stretches: a table that doubles in one of them, which
    happens ever more rarely, is not growth that goes on.
    """
    totals = [t.totals() for t in traces]
    if len(totals) < 2 or not per_stretch:  # noqa: PLR2004
        return None
    everything = dict.fromkeys(frames for t in totals for frames in t)
    growth = 0.0
    for frames in everything:
        sizes = [t.get(frames, (0, 0))[which] for t in totals]
        growth += statistics.median(b - a for a, b in itertools.pairwise(sizes))
    return growth / per_stretch


def _type_growth(survey: Survey) -> tuple[TypeGrowth, ...]:
    """Return the types of which there were more at each census, greatest growth first."""
    sizes = _typical_sizes(survey.fresh)
    _, middle, after = survey.censuses
    found = []
    for name, count in after.counts.items():
        counts = tuple(c.counts.get(name, 0) for c in survey.censuses)
        rate = (count - middle.counts.get(name, 0)) / survey.calls
        if counts[0] < counts[1] < counts[2] and not name.startswith("memlab."):
            found.append(TypeGrowth(name, rate, rate * sizes.get(name, 0.0), counts))
    return tuple(sorted(found, key=lambda t: -t.objects_per_iteration))


def _objects_rate(survey: Survey) -> float:
    """Return by how many objects the rising types rose per iteration of this pass alone.

    What was there before the first pass says nothing here: a program's older objects may die meanwhile.
    """
    _, middle, after = survey.censuses
    net = (
        c - middle.counts.get(name, 0) for name, c in after.counts.items() if not name.startswith("memlab.")
    )
    return sum(n for n in net if n > 0) / survey.calls


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
