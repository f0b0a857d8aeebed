"""The second pass of a hunt: run the step on with allocations traced, and keep what survives.

Before it everything alive is set aside, so that what the collector lists afterwards is exactly what these
iterations left behind; tracemalloc, started before the first of them, knows where each was allocated. The
step runs in four equal stretches (three where calls take long and leave much), the first of which fills what
is only replaced later. A count of all objects by type before the first pass, before this one and after it
tells what grew from what was only replaced: a full cache puts new entries in the place of old ones.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import class_dict
from memlab.collectors.census import (
    Census,
    FrozenHeap,
    addresses,
    grown_containers,
    latest_entries,
    take_census,
    untracked_dicts,
)
from memlab.collectors.tracing import Frames, RawTraces, TracemallocOwner, Tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.collectors.census import Container
    from memlab.lab.steps import Step

__all__ = ["Appetite", "Rates", "Survey", "TracedPass"]

_STRETCHES = 4
_FEWEST_STRETCHES = 3
_MOST_FRESH = 80_000
"""New objects that the second pass may leave behind: enough to tell, few enough to look at each."""
_ENOUGH_FRESH = 2_000
_MOST_CALLS = 5_000
_FEWEST_CALLS = 16
_MOST_CONTAINERS = 100
_MOST_SITES = 8_000
_FEWEST_SITES = 1_000
_PER_TYPE = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """What the first pass found to rise, per iteration; 0 for what did not."""

    objects: float
    blocks: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Readings:
    """Live traced memory after each stretch, and the calls in one."""

    per_stretch: int
    traces: list[RawTraces]


class Appetite:
    """How much the step has left behind since ``start``, as part of what it may.

    Args:
        read_rss: resident memory in bytes, None where it cannot be read.
        allowed: bytes that it may leave behind.
    """

    def __init__(self, read_rss: Callable[[], int | None], allowed: int) -> None:
        self._read_rss = read_rss
        self._allowed = max(allowed, 1)
        self._start: int | None = None

    def start(self) -> None:
        """Count from now on."""
        self._start = self._read_rss()

    def eaten(self) -> float:
        """Return the part; 0 where resident memory cannot be read."""
        now = self._read_rss() if self._start is not None else None
        return (now - self._start) / self._allowed if now is not None and self._start is not None else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What the second pass leaves to be explained. Refers to live objects; lives as long as the hunt.

    Attributes:
        calls: iterations of the pass; ``per_stretch`` of them in each of its stretches.
        censuses: before the first pass, before this one, after it.
        traces: live traced memory after each stretch.
        fresh: objects that the collector tracks, made during the pass and still alive.
        everything: all objects that the collector tracks.
        gaining: containers that gained entries from census to census, and their lengths.
        sites: where objects were allocated, by address; ``kept`` keeps those alive that no list here does.
        depth: frames kept for each block.
        notes: what a reader must know.
    """

    calls: int
    per_stretch: int
    censuses: tuple[Census, Census, Census]
    traces: list[RawTraces]
    fresh: list[Any]
    everything: list[Any]
    gaining: list[tuple[Any, tuple[int, ...]]]
    sites: dict[int, Frames]
    kept: list[Any]
    depth: int
    notes: tuple[str, ...]

    def own(self, *more: Any) -> frozenset[int]:
        """Return the addresses of memlab's own objects in this, which hold nothing of the user's."""
        mine = (self, self.traces, self.fresh, self.everything, self.gaining, self.sites, self.kept)
        return frozenset(map(id, (*mine, *self.gaining, *self.censuses, *more)))


class TracedPass:
    """Run the step traced, then look at what is left.

    Args:
        step: what to run.
        heap: sets aside what is alive; thawed when the pass ends.
        clock: monotonic seconds.
        depth: frames kept for each block.
        before: the census from before the first pass.
        appetite: tells when the step has left too much behind.
    """

    def __init__(
        self,
        step: Step,
        heap: FrozenHeap,
        clock: Callable[[], float],
        *,
        depth: int,
        before: Census,
        appetite: Appetite,
    ) -> None:
        self._step = step
        self._heap = heap
        self._clock = clock
        self._depth = depth
        self._before = before
        self._appetite = appetite
        self._known: list[Any] = []
        self._watched: list[Any] = []
        self._new: list[Any] = []
        self._sites: dict[int, Frames] = {}
        self._kept: list[Any] = []

    def run(self, rates: Rates, seconds: float, progress: Callable[[str, float], None]) -> Survey:
        """Trace for so many seconds, or until enough is left behind."""
        gc.collect()
        middle = take_census()
        self._watch(middle)
        self._heap.freeze()
        self._known = gc.get_objects() if not self._heap.available else []
        began = self._step.calls
        with TracemallocOwner.subscribe(self._depth) as tracer:
            readings = self._run_stretches(tracer, rates, seconds, progress)
            # An exception that the step keeps keeps this frame with all its variables: none of them may
            # refer to the user's objects, so the rest is done elsewhere.
            self._note_sites(tracer, rates.objects, seconds)
        return self._look(tracer, middle, self._step.calls - began, readings)

    def _watch(self, middle: Census) -> None:
        """Remember the containers that gain already.

        Only while blocks are traced can one ask where their entries were made, and a census then takes
        several times as long.
        """
        gained = grown_containers([self._before, middle], least=3)
        if gained:
            everything = gc.get_objects()
            mine = frozenset(map(id, (everything, self.__dict__, self._before, middle)))
            self._watched = [container for container, _ in _live(everything, gained, mine)]

    def _note_sites(self, tracer: Tracing, objects_rate: float, seconds: float) -> None:
        """Gather what is new, and where it was made, while it is still traced; not for longer than that."""
        gc.collect()
        self._new = _fresh(self._known)
        self._known = []
        until = self._clock() + seconds
        self._sites = _sites(self._new, objects_rate, tracer.site_of, lambda: self._clock() >= until)
        self._kept = _leaf_sites(_still_there(self._watched), self._sites, tracer.site_of)
        self._watched = []

    def _look(self, tracer: Tracing, middle: Census, calls: int, readings: _Readings) -> Survey:
        """Gather the rest of what is left."""
        fresh, sites, kept = self._new, self._sites, self._kept
        self._new, self._sites, self._kept = [], {}, []
        self._heap.thaw()
        gc.collect()  # what died in cycles among the objects set aside
        everything = gc.get_objects()
        censuses = (self._before, middle, take_census(everything))
        gained = grown_containers(list(censuses), least=max(3, calls // 50))
        mine = (fresh, everything, readings.traces, sites, kept, self.__dict__, *censuses)
        gaining = _live(everything, gained, frozenset(map(id, mine)))
        return Survey(
            calls,
            readings.per_stretch,
            censuses,
            readings.traces,
            fresh,
            everything,
            gaining,
            sites,
            kept,
            tracer.depth,
            tracer.notes,
        )

    def _run_stretches(
        self, tracer: Tracing, rates: Rates, seconds: float, progress: Callable[[str, float], None]
    ) -> _Readings:
        """Run four equal stretches; the first finds out how long the others may be."""
        self._appetite.start()
        began = self._clock()
        share = seconds / _STRETCHES
        least, most = _least_calls(rates), _most_calls(rates.objects)
        done = 0
        while done < most:
            spent = self._clock() - began
            if done and (spent >= 2 * share or (spent >= share and done >= least)):
                break
            self._step.run(1)
            done += 1
            if self._appetite.eaten() >= 1 / _STRETCHES:
                break
        traces: list[RawTraces] = []
        _read_traces(tracer, traces)
        for number in range(1, _STRETCHES):
            progress("tracing", number / _STRETCHES)
            if self._appetite.eaten() >= 1:
                break  # what is left behind grows from call to call
            enough = number >= _FEWEST_STRETCHES and number * done * rates.objects >= _ENOUGH_FRESH
            if enough and self._clock() - began >= 2 * seconds:
                break  # a call takes longer than was thought, and has left plenty behind
            self._step.run(done)
            _read_traces(tracer, traces)
        return _Readings(done, traces)


def _read_traces(tracer: Tracing, traces: list[RawTraces]) -> None:
    """Add a reading, unless someone stopped or cleared the tracer: the step itself may use it."""
    gc.collect()
    if not tracer.interrupted:
        traces.append(tracer.take_raw())


def _fresh(known: list[Any]) -> list[Any]:
    """Return the objects made since the heap was set aside, or since ``known`` was listed."""
    fresh = gc.get_objects()
    if known:
        old = {id(obj) for obj in known}
        fresh = [obj for obj in fresh if id(obj) not in old]
    return [obj for obj in fresh if not _is_own(obj)]


def _least_calls(rates: Rates) -> int:
    """Return calls in which even a rare leak shows: five times in each stretch."""
    rate = max(rates.objects, rates.blocks)
    return min(_MOST_CALLS, max(_FEWEST_CALLS, math.ceil(5 / rate))) if rate > 0 else _FEWEST_CALLS


def _most_calls(objects_rate: float) -> int:
    return max(4, min(_MOST_CALLS, int(_MOST_FRESH / _STRETCHES / max(objects_rate, 1e-9))))


def _sites(
    fresh: list[Any], objects_rate: float, site_of: Callable[[Any], Frames | None], late: Callable[[], bool]
) -> dict[int, Frames]:
    """Return where new objects were allocated, by address: some of each type, and those of two iterations.

    The collector lists objects about in the order in which they were made, so a stretch of the list is what
    one iteration left behind. When it gets late, the rest is not asked for, but a thousand are.
    """
    chosen: dict[int, Any] = {}
    window = int(min(max(2 * objects_rate, 512), _MOST_SITES))
    start = max(0, (len(fresh) - window) // 2)
    by_type: dict[int, list[Any]] = {}
    for obj in fresh:
        by_type.setdefault(id(type(obj)), []).append(obj)
    samples = [members[:: max(1, len(members) // _PER_TYPE)] for members in by_type.values()]
    for number in range(max(map(len, samples), default=0)):  # one of each type before a second one of any
        for sample in samples:
            if number < len(sample):
                chosen[id(sample[number])] = sample[number]
    for obj in fresh[start : start + window]:
        chosen[id(obj)] = obj
    found: dict[int, Frames] = {}
    for asked, (address, obj) in enumerate(chosen.items()):
        if asked >= _FEWEST_SITES and asked % _PER_TYPE == 0 and late():
            break
        if frames := site_of(obj):
            found[address] = frames
    return found


def _live(
    everything: list[Any], gained: Sequence[Container], own: frozenset[int]
) -> list[tuple[Any, tuple[int, ...]]]:
    """Return the gaining containers themselves with their lengths, greatest gain first; memlab's left out."""
    wanted = {c.address: c.lengths for c in gained if c.address not in own}
    if wanted:
        everything = [*everything, *untracked_dicts(everything, own)]
    rows = np.flatnonzero(np.isin(addresses(everything), np.array(list(wanted), dtype=np.int64)))
    found = [(everything[row], wanted[id(everything[row])]) for row in rows.tolist()]
    found.sort(key=lambda pair: pair[1][-2] - pair[1][-1])
    return found[:_MOST_CONTAINERS]


def _still_there(watched: list[Any]) -> list[Any]:
    """Return the containers that something else holds, too."""
    # One reference from the list, one from the loop, one from the call.
    return [container for container in watched if sys.getrefcount(container) > 3]  # noqa: PLR2004


def _leaf_sites(
    gaining: list[Any],
    sites: dict[int, Frames],
    site_of: Callable[[Any], Frames | None],
) -> list[Any]:
    """Note where the newest entries were allocated that the collector does not track; return them.

    They must live as long as their addresses are used.
    """
    kept = []
    for container in gaining:
        for entry in latest_entries(container):
            frames = None if gc.is_tracked(entry) else site_of(entry)
            if frames:
                kept.append(entry)
                sites[id(entry)] = frames
    return kept


def _is_own(obj: Any) -> bool:
    """Tell whether an object is memlab's: an instance of one of its classes."""
    module = class_dict(type(obj)).get("__module__")
    return type(module) is str and module.startswith("memlab.")
