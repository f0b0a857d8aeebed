"""The sentences about a heap that page and text share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.safety import short_name
from memlab._base.units import format_bytes, format_signed_bytes, format_things
from memlab.views import words

if TYPE_CHECKING:
    from memlab.records.heap_graph import HeapGraph
    from memlab.records.heap_results import (
        ContainerDiff,
        Freed,
        HeapCensus,
        HeapCycles,
        HeapDiff,
        HeapDuplicates,
        HeapHoldings,
        HeapOwners,
        HeapSuspects,
        HeapTree,
    )

__all__ = [
    "census_headline",
    "cycles_headline",
    "diff_headline",
    "diff_lead",
    "duplicates_headline",
    "engine_text",
    "freed_headline",
    "graph_headline",
    "graph_lead",
    "holdings_headline",
    "owners_headline",
    "suspects_headline",
    "tree_headline",
    "tree_lead",
    "whole",
]


def whole(sentence: str, complete: bool) -> str:
    """Add to a sentence, where it is so, that it was drawn from a capture that a limit ended."""
    return sentence if complete else f"{sentence} A limit ended the capture: all figures are bounds."


def engine_text(graph: HeapGraph) -> str:
    """Say what captured a graph, and of which Python."""
    python = f"Python {graph.python}" if graph.python[:1].isdigit() else graph.python
    return f"{graph.engine} engine{f', {python}' if python else ''}"


def graph_headline(graph: HeapGraph) -> str:
    """Say how great a heap is."""
    return f"{format_bytes(graph.total_bytes)} in {format_things(len(graph), 'object')}"


def graph_lead(graph: HeapGraph, suspects: HeapSuspects) -> str:
    """Say where most of a heap lies."""
    first = suspects.suspects[0].prose if suspects.suspects else "No single place keeps much of it."
    title = f"{words.sentence(graph.title)} " if graph.title else ""
    return whole(f"{title}{first}", graph.complete)


def tree_headline(tree: HeapTree) -> str:
    """Say how great the heap is that a tree divides."""
    return (
        f"{format_bytes(tree.total_bytes)} in {format_things(tree.total_objects, 'object')}, by what keeps it"
    )


def tree_lead(tree: HeapTree) -> str:
    """Say how to read a dominator tree."""
    return whole("What stands under a row would be freed if the row's object went.", tree.complete)


def census_headline(census: HeapCensus) -> str:
    """Say how many objects of how many types there are."""
    things = format_things(census.total_objects, "object")
    return f"{things} of {format_things(len(census.types), 'type')}, {format_bytes(census.total_bytes)}"


def suspects_headline(suspects: HeapSuspects) -> str:
    """Say how much of the heap lies in few places."""
    if not suspects.suspects:
        return "No single place keeps much of the heap"
    first = suspects.suspects[0]
    count = len(suspects.suspects)
    places = "One place keeps" if count == 1 else f"{count:,} places keep"
    kept = f"{format_bytes(first.retained_bytes)}, {first.share * 100:.0f} % of it"
    return f"{places} much of the heap; {'it' if count == 1 else 'the greatest'} keeps {kept}"


def cycles_headline(cycles: HeapCycles) -> str:
    """Say how much no root reaches."""
    if not cycles.objects:
        return "Every object is reached from a root: nothing waits for the collector"
    size = format_bytes(cycles.shallow_bytes)
    return f"{format_things(cycles.objects, 'object')}, {size}, can only be freed by the collector"


def duplicates_headline(duplicates: HeapDuplicates) -> str:
    """Say how much equal strings waste."""
    if not duplicates.groups:
        return "No equal strings or bytes were found"
    groups = format_things(len(duplicates.groups), "group")
    return f"{format_bytes(duplicates.wasted_bytes)} wasted in {groups} of equal strings and bytes"


def owners_headline(owners: HeapOwners) -> str:
    """Say which owner keeps most alive."""
    if not owners.owners:
        return f"No {owners.by} was seen to keep anything alive"
    return f"{owners.owners[0]} keeps most alive: {format_bytes(int(owners.shallow_bytes[0]))}"


def freed_headline(freed: Freed) -> str:
    """Say what a cut would free."""
    return f"{format_bytes(freed.freed_bytes)} in {format_things(freed.objects, 'object')} would be freed"


def diff_headline(diff: HeapDiff) -> str:
    """Say how much the heap grew."""
    return f"{format_signed_bytes(diff.bytes_diff)}, {words.growth('objects', diff.objects_diff)} objects"


def diff_lead(diff: HeapDiff) -> str:
    """Say how sure a difference is, and who retains most of it."""
    how = (
        "Birth marks told new objects from old ones."
        if diff.exact
        else "Compared by type and by named container: single objects can not be told apart."
    )
    if not diff.containers:
        return how
    first = diff.containers[0]
    return f"{_named(first)} retains {format_signed_bytes(first.retained_diff)} of it. {how}"


def _named(container: ContainerDiff) -> str:
    """Return a container's name; for one that is only a ``dict``, with the nearest name above it."""
    if container.chain is None or container.name != short_name(container.type_name):
        return container.name
    above = reversed(container.chain.links[:-1])
    nearest = next((link for link in above if link.label != short_name(link.type_name)), None)
    return container.name if nearest is None else f"{container.name} under {nearest.label}"


def holdings_headline(holdings: HeapHoldings) -> str:
    """Say what the notebook's greatest name holds."""
    if not holdings.holdings:
        return "The notebook holds nothing by name"
    first = holdings.holdings[0]
    names = ", ".join(first.names[:3])
    return f"{names or 'A hidden name'} retains most: {format_bytes(first.retained_bytes)}"
