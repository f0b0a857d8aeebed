"""A heap graph's objects as a pandas table: filtered and sorted as columns, named only where listed."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import parse_bytes
from memlab.analyses.heap_census import module_of
from memlab.errors import UsageError
from memlab.views.tables import table_of
from memlab.views.words import printable

if TYPE_CHECKING:
    from pandas import DataFrame

    from memlab.records.heap_graph import HeapGraph

__all__ = ["objects_frame"]

_COLUMNS = (
    "node",
    "name",
    "type",
    "shallow_bytes",
    "retained_bytes",
    "references",
    "holders",
    "module",
)


def objects_frame(
    graph: HeapGraph,
    *,
    kind: str | None = None,
    module: str | None = None,
    min_retained: int | str = 0,
    limit: int = 10_000,
) -> DataFrame:
    """Return objects, one a row, greatest retained size first, equal ones by number.

    Columns: ``node`` (its number in the graph), ``name``, ``type``, ``shallow_bytes``, ``retained_bytes``,
    ``references`` out of it, ``holders`` (references to it that were seen), ``module`` (its owner, as
    ``HeapGraph.by_module`` has it).

    Args:
        graph: where the objects are.
        kind: only those of this type: a full name, a short one, or a pattern with ``*``.
        module: only those that this module or a module below it owns.
        min_retained: least retained size in bytes, or as text: ``"1 MiB"``.
        limit: at most so many rows.

    Raises:
        MissingExtraError: when pandas is not installed.
        UsageError: when a value can not be read.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise UsageError(f"limit must be a number of rows, not {limit!r}")
    least = parse_bytes(min_retained)
    retained = graph.dominators.retained_bytes
    kept = retained >= least
    if kind is not None:
        kept &= _types_like(graph, kind)[graph.type_of]
    owner, owners = module_of(graph)
    if module is not None:
        wanted = np.array([name == module or name.startswith(f"{module}.") for name in owners], bool)
        kept &= wanted[owner]
    nodes = np.flatnonzero(kept)
    nodes = nodes[np.argsort(-retained[nodes], kind="stable")][:limit]
    holders = np.bincount(graph.edges, minlength=len(graph))
    references = np.diff(graph.starts.astype(np.int64))
    rows = (
        (
            n,
            printable(graph.name(n)),
            printable(graph.type_name(n)),
            size,
            int(retained[n]),
            int(references[n]),
            int(holders[n]),
            printable(owners[owner[n]]),
        )
        for n, size in zip(nodes.tolist(), graph.sizes_of(nodes).tolist(), strict=True)
    )
    return table_of(_COLUMNS, rows)


def _types_like(graph: HeapGraph, kind: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell for each type whether its full or its short name is, or matches, what is asked for."""
    if not isinstance(kind, str):
        raise UsageError(f"type must be a name such as 'app.Session' or '*Session', not {kind!r}")
    return np.array(
        [
            fnmatch.fnmatchcase(name, kind)
            or fnmatch.fnmatchcase(name.removeprefix(f"{home}."), kind)
            or fnmatch.fnmatchcase(name.rpartition(".")[2], kind)
            for name, home in zip(graph.types, graph.type_modules, strict=True)
        ]
        + [False],
        bool,
    )[:-1]
