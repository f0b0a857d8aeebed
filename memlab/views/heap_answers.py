"""What the views of a whole heap graph say: each analysis asked once for a graph, whatever shows it.

A notebook shows text and page at once, and each names suspects, tree and census. The answers are kept with
the graph, which never changes, and go when it goes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import (
        HeapCensus,
        HeapCycles,
        HeapDuplicates,
        HeapOwners,
        HeapSuspects,
        HeapTree,
    )

__all__ = ["HeapAnswers", "heap_answers"]

_KEPT = "_answers_of_views"


@dataclasses.dataclass(frozen=True, slots=True)
class HeapAnswers:
    """The results that a heap graph's own page is made of."""

    suspects: HeapSuspects
    tree: HeapTree
    census: HeapCensus
    packages: HeapOwners
    duplicates: HeapDuplicates
    cycles: HeapCycles


def heap_answers(graph: HeapGraph) -> HeapAnswers:
    """Return what is said of a graph, computed at the first call."""
    kept = vars(graph).get(_KEPT)  # beside the graph's cached properties: no field, so no part of its value
    if isinstance(kept, HeapAnswers):
        return kept
    answers = HeapAnswers(
        suspects=graph.suspects(),
        tree=graph.dominator_tree(),
        census=graph.census(),
        packages=graph.by_package(),
        duplicates=graph.duplicates(),
        cycles=graph.cycles(),
    )
    vars(graph)[_KEPT] = answers
    return answers
