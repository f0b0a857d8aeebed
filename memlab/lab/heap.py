"""``heap()``: one capture, analysed and named; ``heap_window()``: two, with births told in between.

A capture is one native call. Its dominators follow at once, since they say which nodes matter; these few are
given names while their objects are still held. Then every reference is dropped: what is returned is numbers
and words.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.paths import PathLabels
from memlab.analyses.heap_paths import forest
from memlab.analyses.heap_suspects import suspects
from memlab.analyses.heap_tree import shown_nodes
from memlab.collectors.heap import Taken, take_heap
from memlab.collectors.heap_births import BirthMarks
from memlab.errors import UsageError
from memlab.lab._suspects import name_site
from memlab.records.columns import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memlab.records.columns import Nodes
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import HeapDiff
    from memlab.records.sites import Site

__all__ = ["HeapWindow", "heap", "heap_window"]

_MOST_OBJECTS = 100_000_000
_SHOWN_ROWS = 3_000
_NAMING_SECONDS = 1.0


def heap(
    *,
    title: str = "",
    max_objects: int = _MOST_OBJECTS,
    seconds: float = 0.0,
    reveal_keys: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> HeapGraph:
    """Capture all objects of this process and the references between them, with dominators and names.

    Takes about three times as long as one full ``gc.collect()`` and stops other threads for the first half
    of that. No code of the program runs, nothing is collected, and no object is kept alive. Not seen: memory
    that no Python object knows of, what C code holds without telling the collector (its objects appear, held
    from outside), values in use on a thread's evaluation stack, other interpreters.

    Args:
        title: a name for this capture.
        max_objects: stop after so many; the result's ``complete`` is then False.
        seconds: stop capturing after so long; 0 for never.
        reveal_keys: show mapping keys that are plain strings or integers. By default ``[value]`` stands for
            them, since they may be data.
        aliases: labels for code files, e.g. a notebook cell's temporary file.

    Raises:
        UsageError: when a limit is no positive number.
        UnavailableError: on a free-threaded interpreter while other threads run.

    >>> from memlab.testing import known_leak
    >>> with known_leak(1000) as leak:
    ...     graph = heap()
    >>> graph.retained_size("memlab.testing.Leaked") >= 1000 * 48
    True
    """
    _check(max_objects, seconds)
    return _finished(
        lambda paths: take_heap(limit=max_objects, seconds=seconds, title=title, paths=paths),
        reveal_keys,
        aliases,
    )


def heap_within(
    budget_bytes: int, *, title: str = "", max_objects: int | None = None, seconds: float | None = None
) -> HeapGraph:
    """Capture what a budget of memory allows: for a process that has nearly none left.

    Half of the objects are tracked ones, youngest first, then oldest; half is what the roots and they lead
    to. The graph's notes say that it is not complete.

    Args:
        budget_bytes: for the capture; what is made of it takes about as much again.
        title: a name for the capture.
        max_objects: stop after so many, at most.
        seconds: stop capturing after so long.
    """
    _check(max_objects or _MOST_OBJECTS, seconds or 0.0)
    return _finished(
        lambda paths: take_heap(
            limit=max_objects or _MOST_OBJECTS,
            seconds=seconds or 0.0,
            title=title,
            paths=paths,
            budget_bytes=budget_bytes,
        ),
        reveal_keys=False,
        aliases=None,
    )


@dataclasses.dataclass(slots=True)
class HeapWindow:
    """Two captures with what happened between them.

    Attributes:
        older, newer: the captures; ``newer`` is None until the block has ended without an exception.
    """

    older: HeapGraph
    newer: HeapGraph | None = None

    @property
    def diff(self) -> HeapDiff:
        """What the block made and left alive, and who holds it.

        Raises:
            UsageError: before the block has ended.
        """
        if self.newer is None:
            raise UsageError(
                "heap_window: there is no difference before the block has ended without an error"
            )
        return self.newer.diff(self.older)


@contextlib.contextmanager
def heap_window(
    *,
    title: str = "",
    max_objects: int = _MOST_OBJECTS,
    reveal_keys: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[HeapWindow]:
    """Capture the heap before and after a block, with births told exactly.

    On Python 3.13 and later the interpreter's reference tracer tells them, on 3.11 and 3.12 ``gc.freeze``:
    there the collector does not look at older objects while the block runs. Either is taken away again
    however the block ends. Somebody else's tracer goes on being told; where somebody else froze the heap,
    types and places are compared instead, and a note says so.

    Args:
        title: a name for the second capture.
        max_objects: stop each capture after so many.
        reveal_keys: show mapping keys that are plain strings or integers.
        aliases: labels for code files.

    Raises:
        UsageError: when a limit is no positive number.

    >>> kept = []
    >>> with heap_window() as window:
    ...     kept += [bytearray(10) for _ in range(1000)]
    >>> growth = {row.type_name: row.objects_diff for row in window.diff.types}
    >>> growth["builtins.bytearray"]
    1000
    """
    _check(max_objects, 0.0)
    _warm_up()
    window = HeapWindow(heap(max_objects=max_objects, reveal_keys=reveal_keys, aliases=aliases))
    marks = BirthMarks()
    marks.begin()
    try:
        yield window
        window.newer = _finished(
            lambda paths: take_heap(
                limit=max_objects,
                title=title,
                paths=paths,
                marks=marks,
                mark_id=window.older.capture_id,
                skip=_parts_of(window.older),
            ),
            reveal_keys,
            aliases,
        )
    finally:
        marks.end()


@functools.cache
def _warm_up() -> None:
    """Run everything once on a few objects: what memlab imports and keeps is no growth of the block's."""
    heap(max_objects=2_000)


def _finished(take: Any, reveal_keys: bool, aliases: Mapping[str, str] | None) -> HeapGraph:
    """Capture, find what will be shown, name it, and let every object go."""
    paths = PathLabels(aliases)
    taken: Taken = take(paths)
    graph = taken.graph
    dominators = graph.dominators
    shown = _shown(graph)
    named = taken.name(shown, forest(graph).parent, paths, reveal_keys=reveal_keys, seconds=_NAMING_SECONDS)
    named = _with_sites(named, taken, paths)
    named.__dict__["dominators"] = dominators  # the same nodes and references
    return named


def _shown(graph: HeapGraph) -> Nodes:
    """Return the nodes that the tree and the suspects will show, and what the notebook names."""
    rows = shown_nodes(graph, _SHOWN_ROWS)
    points = [suspect.node for suspect in suspects(graph, 0.02).suspects]
    nodes = np.concatenate([rows, np.array(points, np.int64), graph.user_node.astype(np.int64)])
    return np.unique(nodes[nodes >= 0]).astype(np.uint32)


def _with_sites(graph: HeapGraph, taken: Taken, paths: PathLabels) -> HeapGraph:
    """Add where new objects were allocated, when tracemalloc is running."""
    if not graph.mark_id:
        return graph
    found = taken.sites()
    index: dict[Site, int] = {}
    known: dict[Any, int | None] = {}
    nodes, places = [], []
    for node, frames in sorted(found.items()):
        if frames not in known:
            site = name_site(frames, paths)
            known[frames] = index.setdefault(site, len(index)) if site is not None else None
        at = known[frames]
        if at is not None:
            nodes.append(node)
            places.append(at)
    return dataclasses.replace(
        graph,
        site_node=frozen(np.array(nodes, np.uint32)),
        site_of=frozen(np.array(places, np.uint32)),
        sites=tuple(index),
    )


def _parts_of(graph: HeapGraph) -> list[Any]:
    """Return a capture's own objects: its columns and tables, and what was computed from it."""
    parts: list[Any] = [graph, graph.__dict__]
    waiting = list(graph.__dict__.values())
    while waiting:
        part = waiting.pop()
        if isinstance(part, (np.ndarray, tuple)) or dataclasses.is_dataclass(part):
            parts.append(part)
            if isinstance(part, np.ndarray):
                if isinstance(part.base, np.ndarray):
                    waiting.append(part.base)
                elif part.base is not None:
                    parts.append(part.base)  # the memory itself
            elif isinstance(part, tuple):
                waiting += [item for item in part if isinstance(item, (np.ndarray, tuple))]
            elif dataclasses.is_dataclass(part):
                waiting += [getattr(part, field.name) for field in dataclasses.fields(part)]
    return parts


def _check(max_objects: int, seconds: float) -> None:
    if type(max_objects) is not int or max_objects < 1:
        raise UsageError(
            f"cannot capture the heap with max_objects={max_objects!r}: give a whole number of at least 1"
        )
    if not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise UsageError(f"cannot capture the heap with seconds={seconds!r}: give 0 or more")
