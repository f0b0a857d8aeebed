"""From what the watcher saw and what the heap holds to a ``PostMortem``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab._base.environment import describe_environment
from memlab._base.units import format_bytes
from memlab.analyses import heap_holdings
from memlab.collectors.limits import Machine
from memlab.collectors.notebook import Bookkeeping
from memlab.errors import MemlabError
from memlab.records.columns import floats, ints
from memlab.records.heap_results import Holding, TypeDiff
from memlab.records.pressure import PostMortem
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memlab.records.heap_graph import HeapGraph

__all__ = ["Counts", "count_types", "free_name", "last_words", "post_mortem"]

Counts = dict[str, tuple[int, int]]
"""Type -> objects, shallow bytes."""
_MOST_ROWS = 20
_MOST_NAMES = 100
_LEAST_PART = 1_000
_BYTES_AN_OBJECT = 200
_FEWEST_OBJECTS = 10_000
_MOST_OBJECTS = 5_000_000
_SECONDS = 10.0
_STOPPED = (
    "The interrupt reached the process between two Python instructions; what it had made is still there."
)
_NO_LOOK = "the process had gone"


def post_mortem(acted: Mapping[str, Any], limit: int | None, base: Counts | None) -> PostMortem:
    """Return the post-mortem of a process that lives: this one.

    The heap is looked at only as far as there is memory for the look.
    """
    absent: dict[str, str] = {}
    holdings: tuple[Holding, ...] = ()
    growth: tuple[TypeDiff, ...] = ()
    graph, reason = _graph()
    if graph is None:
        absent["holdings"] = absent["growth"] = reason
    else:
        holdings = _holdings(graph)
        if base is None:
            absent["growth"] = "types were not counted when the guard was switched on"
        else:
            growth = _growth(base, count_types(graph))
    timeline = _timeline(acted["rows"])
    return PostMortem(
        trigger=acted["trigger"],
        reason=_reason(acted, limit),
        limit_bytes=limit,
        rss_bytes=acted["rss"],
        peak_rss_bytes=acted["peak"],
        timeline=timeline,
        acted_s=max(0.0, acted["time"] - acted["rows"][0][0]),
        holdings=holdings,
        growth=growth,
        absent=absent,
        environment=describe_environment(),
        notes=(_STOPPED, *(graph.notes if graph is not None else ())),
    )


def last_words(config: Mapping[str, Any], rows: Sequence[tuple[float, int, int]], peak: int) -> None:
    """Write the post-mortem of a process that died; called by the watcher."""
    last = rows[-1]
    left = f", {format_bytes(last[2])} left under its ceiling" if last[2] >= 0 else ""
    result = PostMortem(
        trigger="death",
        reason=(
            f"The process ended without a word while memory was short: {format_bytes(last[1])} resident"
            f"{left}. Most likely the system's out-of-memory killer ended it."
        ),
        limit_bytes=config["limit"],
        rss_bytes=last[1],
        peak_rss_bytes=peak,
        timeline=_timeline(rows),
        absent={"holdings": _NO_LOOK, "growth": _NO_LOOK},
        environment=describe_environment(),
        notes=("One call of C code that takes a lot of memory at once cannot be interrupted.",),
    )
    try:
        os.chdir(config["folder"])
        result.save(free_name(config["last_words"]))
    except (OSError, MemlabError):
        return  # nobody is there to be told


def count_types(graph: HeapGraph) -> Counts:
    """Return objects and shallow bytes by type."""
    census = graph.census()
    return {
        name: (count, size)
        for name, count, size in zip(
            census.types, census.objects.tolist(), census.shallow_bytes.tolist(), strict=True
        )
    }


def free_name(name: str) -> str:
    """Return a file name that is not taken: ``x.memlab``, ``x-2.memlab`` and so on."""
    path = Path(name)
    number = 1
    while path.exists():
        number += 1
        path = Path(name).with_name(f"{Path(name).stem}-{number}{Path(name).suffix}")
    return str(path)


def _graph() -> tuple[HeapGraph | None, str]:
    """Capture the heap as far as memory allows, or say why not."""
    from memlab.lab.heap import heap

    room = Machine().available()
    most = _MOST_OBJECTS if room is None else min(_MOST_OBJECTS, room // 2 // _BYTES_AN_OBJECT)
    if most < _FEWEST_OBJECTS:
        return None, "too little memory was left to look at the heap"
    try:
        return heap(max_objects=most, seconds=_SECONDS), ""
    except (MemoryError, MemlabError):
        return None, "memory did not suffice to look at the heap"


def _holdings(graph: HeapGraph) -> tuple[Holding, ...]:
    if Bookkeeping().notebook:
        return tuple(
            Holding(
                names=row.names[:_MOST_NAMES],
                kind=row.kind,
                type_name=row.type_name,
                retained_bytes=row.retained_bytes,
                objects=row.objects,
                shallow_bytes=row.shallow_bytes,
                release=row.release,
            )
            for row in heap_holdings.holdings(graph).holdings[:_MOST_ROWS]
            if row.retained_bytes > 0
        )
    return tuple(
        Holding(
            (suspect.label,), "accumulation point", suspect.type_name, suspect.retained_bytes, suspect.objects
        )
        for suspect in graph.suspects(share=0.02).suspects[:_MOST_ROWS]
    )


def _growth(base: Counts, now: Counts) -> tuple[TypeDiff, ...]:
    rows = []
    for name, (objects, size) in now.items():
        before, before_size = base.get(name, (0, 0))
        if size > before_size:
            rows.append(TypeDiff(name, objects, objects - before, size, size - before_size))
    rows.sort(key=lambda row: (-row.bytes_diff, row.type_name))
    return tuple(row for row in rows[:_MOST_ROWS] if row.bytes_diff * _LEAST_PART >= rows[0].bytes_diff)


def _timeline(rows: Sequence[Sequence[float]]) -> Timeline:
    begin = rows[0][0]
    metrics = {"rss_bytes": ints([int(row[1]) for row in rows])}
    sources = {"rss_bytes": "/proc/PID/statm, from outside"}
    absent = {}
    if all(row[2] >= 0 for row in rows):
        metrics["room_bytes"] = ints([int(row[2]) for row in rows])
        sources["room_bytes"] = "the tightest ceiling, read ten times a second"
    else:
        absent["room_bytes"] = "no ceiling could be read"
    return Timeline(floats([row[0] - begin for row in rows]), metrics, sources, absent)


def _reason(acted: Mapping[str, Any], limit: int | None) -> str:
    rss = format_bytes(acted["rss"])
    if acted["trigger"] == "limit" and limit is not None:
        return f"The process reached {rss}; the guard's limit is {format_bytes(limit)}."
    left = format_bytes(acted["available"]) if acted["available"] is not None else "too little"
    return f"{left} were left for this process and others, and it held {rss}."
