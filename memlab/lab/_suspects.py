"""Join what survives into suspects: the container that gains, who holds it, what it holds, made where.

A group of new objects under one old holder is a suspect when the whole process gained objects of these
types (otherwise a full cache only replaced its entries) or when the holder gained entries. The type that
names it is the one that leads to most of the others and was made nearest to the user's own code: one
``PromptSession`` drags three thousand tuples and cells along, and it is the session that the user knows.
"""

from __future__ import annotations

import dataclasses
import gc
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name, short_name
from memlab._base.source import enclosing_function, source_line
from memlab._base.units import format_bytes, format_count, format_things
from memlab.collectors.bounds import known_bound, owners_of
from memlab.collectors.census import is_mapping, latest_entries, native_size
from memlab.collectors.edges import name_entry
from memlab.collectors.references import find_chains
from memlab.records.chain import ReferenceChain
from memlab.records.leak_report import ContainerGrowth, SiteGrowth, Suspect, TypeGrowth
from memlab.records.sites import Frame, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memlab._base.paths import PathLabels
    from memlab.collectors.frontier import Frontier, Group

__all__ = [
    "Edge",
    "Evidence",
    "NamedContainer",
    "explain_suspects",
    "name_site",
    "sites_as_suspects",
]

_MOST_SUSPECTS = 10
_MOST_GROUPS = 100
_MOST_CONTAINERS = 30
_MOST_TYPES = 12
_FAR = 1_000
_MOSTLY = 0.5
UNSEEN = "memory without a visible holder"
_UNSEEN_SHARE = 0.02
_MOST_UNSEEN = 5
_LEAST_SHARE = 0.01
"""Part of all that is left behind below which a group is what happened once, such as an import."""

# Types that serve others: true of what leaks, but not what a reader would look for.
_PLUMBING = frozenset(
    {
        "_abc",
        "_collections",
        "_functools",
        "_io",
        "_thread",
        "_weakref",
        "_weakrefset",
        "abc",
        "collections",
        "contextlib",
        "enum",
        "functools",
        "itertools",
        "operator",
        "re",
        "types",
        "typing",
        "weakref",
    }
)

_WEAK = frozenset({"weakref.ReferenceType", "weakref.KeyedRef", "weakref.ProxyType"})

RawSite = tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What the second pass hands over. Refers to live objects; lives as long as the search for names.

    Attributes:
        frontier: new objects by holder.
        net: growth of the number of all objects during the pass, by type name.
        gaining: containers that gained entries from census to census, and their lengths.
        calls: iterations of the pass.
        objects_rate: tracked objects per iteration in the first pass, 0 where they did not rise.
        own: addresses of memlab's own objects.
        site_of: the traceback of a live object, most recent call first, or None.
        labels: names files.
    """

    frontier: Frontier
    net: Mapping[str, int]
    gaining: Sequence[tuple[Any, tuple[int, ...]]]
    calls: int
    objects_rate: float
    own: frozenset[int]
    site_of: Callable[[Any], RawSite | None]
    labels: PathLabels


@dataclasses.dataclass(frozen=True, slots=True)
class NamedContainer:
    """A container that gains entries: the live object, its record, and the chain to it."""

    container: Any
    growth: ContainerGrowth
    chain: ReferenceChain | None


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """Who holds what leaks, by address: it outlives the search, which lets every object go.

    Attributes:
        holder: address of the container or other object.
        type_name: its type, to know it again.
        whole: it is a container that gains, and all its entries are meant; else what is new under it alone.
    """

    holder: int
    type_name: str
    whole: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Draft:
    """A suspect in the making, and the references that keep it."""

    suspect: Suspect
    edges: tuple[Edge, ...]


def explain_suspects(
    evidence: Evidence,
) -> tuple[list[NamedContainer], tuple[Suspect, ...], tuple[tuple[Edge, ...], ...]]:
    """Return the gaining containers with who holds each, and the suspects: who leaves most behind is first.

    With each suspect go the references that keep it; none where no Python object is seen to hold it.

    One walk over the heap finds the chains to all of them: it is what takes longest.
    """
    gaining = evidence.gaining[:_MOST_CONTAINERS]
    objects = [obj for obj, _ in gaining]
    kept = _chosen(evidence, frozenset(map(id, objects)))
    held, chains = _chains(evidence, objects, [group for group, _ in kept])
    containers = _named(evidence, objects, held)
    by_address = {id(c.container): c for c in containers}
    least = _LEAST_SHARE * sum(_weight(group) * share for group, share in kept) / evidence.calls
    covered = {id(group.holder) for group, _ in kept}
    drafts = [
        _Draft(
            _suspect(evidence, group, share, chain, by_address.get(id(group.holder))),
            _edges(group.holder, whole=id(group.holder) in by_address),
        )
        for (group, share), chain in zip(kept, chains, strict=True)
    ]
    drafts = [draft for draft in _put_together(drafts) if draft.suspect.bytes_per_iteration >= least]
    drafts += [
        _Draft(_container_suspect(evidence, c), _edges(c.container, whole=True))
        for c in containers
        if id(c.container) not in covered and _holds_leaves(c.container)
    ]
    total = sum(d.suspect.bytes_per_iteration for d in drafts) or 1.0
    # A weak reference holds nothing: it stays because what it refers to does.
    drafts.sort(key=lambda d: (d.suspect.type_name in _WEAK, -d.suspect.bytes_per_iteration))
    ranked = drafts[:_MOST_SUSPECTS]
    suspects = (
        dataclasses.replace(s, share=s.bytes_per_iteration / total, prose=_prose(s))
        for s in (d.suspect for d in ranked)
    )
    return containers, tuple(suspects), tuple(d.edges for d in ranked)


def _edges(holder: Any, *, whole: bool) -> tuple[Edge, ...]:
    return (Edge(id(holder), instance_type_name(holder), whole),) if holder is not None else ()


def _chosen(evidence: Evidence, gaining: frozenset[int]) -> list[tuple[Group, float]]:
    """Return the groups that may be suspects, each with the part of it that is newly there."""
    # Where tracked objects did not rise at all, only a container that gains can make a suspect of a group.
    floor = max(3.0, 0.02 * evidence.calls, 0.02 * evidence.objects_rate * evidence.calls)
    kept: list[tuple[Group, float]] = []
    for group in evidence.frontier.groups:
        share = _newly_there(group, evidence.net)
        gains = id(group.holder) in gaining
        rises = evidence.objects_rate > 0 and share >= _MOSTLY
        if group.objects >= floor and (rises or gains) and not _is_own(group):
            kept.append((group, max(share, _MOSTLY if gains else 0.0)))
    kept.sort(key=lambda pair: -_weight(pair[0]) * pair[1])
    return kept[:_MOST_GROUPS]


def _named(
    evidence: Evidence, objects: list[Any], chains: Sequence[ReferenceChain | None]
) -> list[NamedContainer]:
    """Give each gaining container its name and its bound."""
    own = evidence.own | {id(objects), *map(id, evidence.gaining)}
    named = []
    for (obj, lengths), chain, owners in zip(evidence.gaining, chains, owners_of(objects, own), strict=False):
        type_name = instance_type_name(obj)
        bound = known_bound(obj, owners)
        growth = ContainerGrowth(
            name=_dotted(chain) if chain is not None else f"a {short_name(type_name)}",
            type_name=type_name,
            lengths=lengths,
            entries_per_iteration=(lengths[-1] - lengths[-2]) / evidence.calls,
            bound=bound[0] if bound is not None else None,
            bound_source=bound[1] if bound is not None else "",
        )
        named.append(NamedContainer(obj, growth, chain))
    return named


def sites_as_suspects(sites: Sequence[SiteGrowth], blocks_rate: float) -> tuple[Suspect, ...]:
    """Return suspects for lines whose memory rises where no object and no container that does is seen.

    That is what a lost reference in an extension module looks like: the line that calls it is known, the
    object is not.
    """
    least = _UNSEEN_SHARE * blocks_rate
    alike: dict[Frame, list[SiteGrowth]] = {}
    for growth in sites:
        if growth.blocks_per_iteration >= least:
            alike.setdefault(growth.site.user or growth.site.frame, []).append(growth)
    drafts = [
        Suspect(
            type_name=UNSEEN,
            objects_per_iteration=sum(s.blocks_per_iteration for s in group),
            bytes_per_iteration=sum(s.bytes_per_iteration for s in group),
            share=0.0,
            site=max(group, key=lambda s: s.bytes_per_iteration).site,
            source="traced blocks",
        )
        for group in alike.values()
    ]
    drafts.sort(key=lambda s: -s.bytes_per_iteration)
    total = sum(s.bytes_per_iteration for s in drafts) or 1.0
    return tuple(
        dataclasses.replace(s, share=s.bytes_per_iteration / total, prose=_unseen_prose(s))
        for s in drafts[:_MOST_UNSEEN]
    )


def name_site(frames: RawSite, labels: PathLabels) -> Site | None:
    """Return a traceback as a site: memlab's own frames, below the step, are left out."""
    kept: list[tuple[str, int]] = []
    for filename, line in frames:
        if labels.is_memlab(filename):
            break
        kept.append((filename, line))
    if not kept:
        return None
    user = next((i for i, (filename, _) in enumerate(kept) if labels.is_own(filename)), -1)
    shown = {0, user}
    return Site(
        tuple(
            Frame(
                labels.label(filename),
                line,
                enclosing_function(filename, line) if i in shown else "",
                source_line(filename, line) if i in shown else "",
            )
            for i, (filename, line) in enumerate(kept)
        ),
        user,
    )


# -- containers of one kind


def _put_together(drafts: Sequence[_Draft]) -> list[_Draft]:
    """Make one suspect of those that differ in a key alone.

    A registry that keeps a list for each user leaks once, not once for each user.
    """
    alike: dict[Any, list[_Draft]] = {}
    for place, draft in enumerate(drafts):
        alike.setdefault(_shape(draft.suspect) or place, []).append(draft)
    return [
        _Draft(_sum_of([d.suspect for d in group]), tuple(edge for d in group for edge in d.edges))
        for group in alike.values()
    ]


def _shape(draft: Suspect) -> tuple[Any, ...] | None:
    """Return what is equal for suspects that differ in keys and indexes alone; None without a key."""
    if draft.chain is None or not any(link.via.startswith("[") for link in draft.chain.links[:-1]):
        return None
    links = tuple((_KEY.sub("[]", link.via), link.type_name) for link in draft.chain.links[1:])
    return draft.type_name, draft.site, draft.entry, draft.chain.links[0].label, links


def _sum_of(alike: Sequence[Suspect]) -> Suspect:
    """Return the greatest of suspects that are alike, with the figures of all."""
    greatest = max(alike, key=lambda draft: draft.bytes_per_iteration)
    if len(alike) == 1:
        return greatest
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in (entry for draft in alike for entry in draft.types):
        objects[entry.type_name] += entry.objects_per_iteration  # type: ignore[assignment]
        sizes[entry.type_name] += entry.bytes_per_iteration  # type: ignore[assignment]
    names = dict.fromkeys(entry.type_name for draft in (greatest, *alike) for entry in draft.types)
    return dataclasses.replace(
        greatest,
        objects_per_iteration=sum(draft.objects_per_iteration for draft in alike),
        bytes_per_iteration=sum(draft.bytes_per_iteration for draft in alike),
        types=tuple(TypeGrowth(name, objects[name], sizes[name]) for name in list(names)[:_MOST_TYPES]),
        container=_container_of([draft.container for draft in alike if draft.container is not None]),
    )


def _container_of(alike: Sequence[ContainerGrowth]) -> ContainerGrowth | None:
    if len(alike) < 2:  # noqa: PLR2004 - nothing to add up
        return alike[0] if alike else None
    longest = max(alike, key=lambda growth: growth.entries_per_iteration)
    return ContainerGrowth(
        name=f"{longest.name} and {len(alike) - 1:,} alike",
        type_name=longest.type_name,
        lengths=tuple(map(sum, zip(*(growth.lengths for growth in alike), strict=True))),
        entries_per_iteration=sum(growth.entries_per_iteration for growth in alike),
    )


_KEY = re.compile(r"\[.*\]", re.DOTALL)


# -- one suspect


def _suspect(
    evidence: Evidence,
    group: Group,
    share: float,
    chain: ReferenceChain | None,
    container: NamedContainer | None,
) -> Suspect:
    factor = share / evidence.calls
    ranked = _by_telling(evidence, group)
    name, raw = ranked[0]
    site = name_site(raw, evidence.labels) if raw else None
    entry = _entry_site(evidence, group)
    return Suspect(
        type_name=name,
        objects_per_iteration=group.objects * factor,
        bytes_per_iteration=sum(group.shallow.values()) * factor,
        share=0.0,
        types=tuple(
            TypeGrowth(t, group.counts[t] * factor, group.shallow[t] * factor)
            for t, _ in ranked[:_MOST_TYPES]
        ),
        site=site,
        chain=chain,
        container=container.growth if container is not None else None,
        entry=entry if entry is not None and (site is None or entry.frame != site.frame) else None,
    )


def _container_suspect(evidence: Evidence, found: NamedContainer) -> Suspect:
    """Make a suspect of a container whose new entries the collector does not track: strings, numbers."""
    entries = latest_entries(found.container)
    items = len(entries) // (2 if is_mapping(found.container) else 1)
    # One object held many times, such as True or a small number, is no new memory each time.
    distinct = {id(e): e for e in entries}.values()
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in distinct:
        kind = instance_type_name(entry)
        sizes[kind] += native_size(entry)
        counts[kind] += 1
    name, _ = sizes.most_common(1)[0]
    typical = [e for e in entries if instance_type_name(e) == name]
    size = sizes.total() / items + _SLOT
    rate = found.growth.entries_per_iteration
    raw = next((s for s in map(evidence.site_of, reversed(typical)) if s), None)
    chain = found.chain
    if chain is not None:
        chain = ReferenceChain(
            chain.root, (*chain.links, name_entry(found.container, typical[-1])), chain.cut
        )
    return Suspect(
        type_name=name,
        objects_per_iteration=0.0,
        bytes_per_iteration=rate * size,
        share=0.0,
        types=tuple(
            TypeGrowth(kind, rate * counts[kind] / items, rate * total / items)
            for kind, total in sizes.most_common()
        ),
        site=name_site(raw, evidence.labels) if raw else None,
        chain=chain,
        container=found.growth,
        source="entries",
    )


_SLOT = 8


def _by_telling(evidence: Evidence, group: Group) -> list[tuple[str, RawSite | None]]:
    """Return the group's types, the most telling first, each with where one of its objects was made."""
    floor = min(max(group.heads.values(), default=1), evidence.calls) * 0.3
    widest = max(group.reach.values(), default=1)
    scored = []
    for name, count in group.counts.items():
        raw = next((s for s in map(evidence.site_of, group.samples.get(name, ())) if s), None)
        score = (
            count < floor,
            _rank_of(name),
            group.reach.get(name, 0) < _MOSTLY * widest,
            _distance(raw, evidence.labels),
            name not in group.heads,
            count,
            name,
        )
        scored.append((score, name, raw))
    return [(name, raw) for _, name, raw in sorted(scored, key=lambda s: s[0])]


def _rank_of(name: str) -> int:
    """Return 0 for a type that a reader would look for, 1 for plumbing, 2 for a builtin."""
    if name.startswith("builtins."):
        return 2
    return 1 if name.partition(".")[0] in _PLUMBING else 0


def _distance(raw: RawSite | None, labels: PathLabels) -> int:
    """Return how many calls lie between the user's own line and the allocation."""
    if raw is None:
        return _FAR
    return next((i for i, (filename, _) in enumerate(raw) if labels.is_own(filename)), _FAR)


def _entry_site(evidence: Evidence, group: Group) -> Site | None:
    raw = next((s for s in map(evidence.site_of, group.head_samples) if s), None)
    return name_site(raw, evidence.labels) if raw else None


def _newly_there(group: Group, net: Mapping[str, int]) -> float:
    """Return the part of a group by which the process really gained objects of these types."""
    gained = sum(min(count, max(net.get(name, 0), 0)) for name, count in group.counts.items())
    return gained / max(group.objects, 1)


def _weight(group: Group) -> int:
    return group.shallow.total()


def _is_own(group: Group) -> bool:
    return group.holder is not None and instance_type_name(group.holder).startswith("memlab.")


def _chains(
    evidence: Evidence, containers: list[Any], groups: Sequence[Group]
) -> tuple[list[ReferenceChain | None], list[ReferenceChain | None]]:
    """Return the chain to each container and, for each group, the one to its holder and on to a head."""
    heads = [g.head_samples[len(g.head_samples) // 2] for g in groups]
    ends = [g.holder if g.holder is not None else h for g, h in zip(groups, heads, strict=True)]
    # Each object once: the search sets the references that it knows of against each one's count.
    distinct = {id(obj): obj for part in (containers, ends) for obj in part}
    targets = list(distinct.values())
    avoid = evidence.own | set(map(id, (containers, heads, ends, distinct, targets, groups, *groups)))
    avoid |= set(map(id, evidence.gaining))
    avoid |= {id(part) for g in groups for part in (g.samples, g.head_samples, *g.samples.values())}
    found = dict(zip(distinct, find_chains(targets, avoid=avoid), strict=True))
    chains = [
        chain
        if chain is None or group.holder is None
        else ReferenceChain(chain.root, (*chain.links, name_entry(group.holder, head)), chain.cut)
        for group, head, chain in zip(groups, heads, (found[id(end)] for end in ends), strict=True)
    ]
    return [found[id(obj)] for obj in containers], chains


def _holds_leaves(container: Any) -> bool:
    """Tell whether a container's newest entries are untracked, so that no group can stand for them."""
    entries = latest_entries(container)
    return bool(entries) and not any(map(gc.is_tracked, entries))


# -- words


def _dotted(chain: ReferenceChain) -> str:
    """Return a chain as a short path: ``app.registry._live``."""
    first = chain.links[0].label.removeprefix("module ")
    return first + "".join(
        link.via if link.via[:1] in ".[" else f" -> {link.via}" for link in chain.links[1:]
    )


def _unseen_prose(suspect: Suspect) -> str:
    at = suspect.site.user or suspect.site.frame if suspect.site is not None else None
    where = f" allocated at {at.file}:{at.line}" if at is not None else ""
    return (
        f"Each iteration leaves {format_bytes(suspect.bytes_per_iteration)} in "
        f"{format_things(suspect.objects_per_iteration, 'block')} behind,{where}; no Python object that "
        "holds them is seen: a reference lost in an extension module looks like this."
    )


def _prose(suspect: Suspect) -> str:
    """Say it in a sentence or two."""
    size = f"{format_bytes(suspect.bytes_per_iteration)}"
    rate = next(
        (t.objects_per_iteration for t in suspect.types if t.type_name == suspect.type_name),
        suspect.objects_per_iteration,
    )
    what = f"{format_count(rate)} {short_name(suspect.type_name)}"
    others = suspect.objects_per_iteration - rate
    if others >= _MOSTLY:
        what += f" and {format_things(others, 'other object')} with it"
    sentence = f"Each iteration leaves {what} behind ({size})"
    if suspect.site is not None:
        line = suspect.site.user or suspect.site.frame
        sentence += f", made at {line.file}:{line.line}"
    if suspect.container is not None:
        c = suspect.container
        sentence += (
            f"; {c.name}, a {short_name(c.type_name)}, gains "
            f"{format_things(c.entries_per_iteration, 'entry', 'entries')} an iteration and holds "
            f"{c.lengths[-1]:,}"
        )
        if c.bound is not None:
            sentence += f" of at most {c.bound:,} ({c.bound_source})"
    elif suspect.chain is not None:
        sentence += f"; held through {suspect.chain.links[0].label}"
    return sentence + "."
