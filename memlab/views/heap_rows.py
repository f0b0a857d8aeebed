"""The heap's results as rows for tables and as bars for pictures; no library of either is named here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memlab._base.units import format_bytes, format_signed_bytes
from memlab.records.heap_results import (
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
from memlab.views import heap_words, words
from memlab.views.heap_blocks import ring_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memlab.records.chain import ReferenceChain

__all__ = ["BARS", "ROWS", "Bars"]

Rows = tuple[tuple[str, ...], "Iterable[tuple[Any, ...]]"]
Bars = tuple[str, list[tuple[str, int]]]
"""A title, and names with sizes in bytes, greatest first."""


def _census(census: HeapCensus) -> Rows:
    columns = ("type", "objects", "shallow_bytes", "retained_bytes")
    figures = (census.objects.tolist(), census.shallow_bytes.tolist(), census.retained_bytes.tolist())
    return columns, zip(census.types, *figures, strict=True)


def _tree(tree: HeapTree) -> Rows:
    numbers = {
        "parent": tree.parent,
        "node": tree.node,
        "objects": tree.objects,
        "shallow_bytes": tree.shallow_bytes,
        "retained_bytes": tree.retained_bytes,
        "children": tree.children,
    }
    rows = zip(tree.label, tree.type_name, tree.via, *(n.tolist() for n in numbers.values()), strict=True)
    return ("label", "type", "via", *numbers), rows


def _suspects(suspects: HeapSuspects) -> Rows:
    columns = ("label", "type", "node", "retained_bytes", "share", "objects", "held_by", "prose")
    return columns, (
        (s.label, s.type_name, s.node, s.retained_bytes, s.share, s.objects, _chain(s.chain), s.prose)
        for s in suspects.suspects
    )


def _cycles(cycles: HeapCycles) -> Rows:
    columns = ("types", "cycles", "objects", "shallow_bytes")
    return columns, (
        (ring_text(cycle.types), count, cycle.objects, cycle.shallow_bytes)
        for cycle, count in zip(cycles.cycles, cycles.counts, strict=False)
    )


def _duplicates(duplicates: HeapDuplicates) -> Rows:
    columns = ("type", "objects", "size_bytes", "wasted_bytes", "holder")
    return columns, (
        (g.type_name, g.objects, g.size_bytes, g.wasted_bytes, g.holder or None) for g in duplicates.groups
    )


def _owners(owners: HeapOwners) -> Rows:
    columns = ("owner", "objects", "shallow_bytes")
    return columns, zip(owners.owners, owners.objects.tolist(), owners.shallow_bytes.tolist(), strict=True)


def _freed(freed: Freed) -> Rows:
    columns = ("type", "objects", "shallow_bytes")
    return columns, ((t.type_name, t.objects, t.shallow_bytes) for t in freed.contents)


def _diff(diff: HeapDiff) -> Rows:
    columns = ("type", "objects_diff", "bytes_diff", "objects", "shallow_bytes", "born")
    return columns, (
        (t.type_name, t.objects_diff, t.bytes_diff, t.objects, t.shallow_bytes, t.born) for t in diff.types
    )


def _holdings(holdings: HeapHoldings) -> Rows:
    columns = ("names", "kind", "type", "retained_bytes", "objects", "shallow_bytes", "release")
    return columns, (
        (
            ", ".join(h.names),
            h.kind,
            h.type_name,
            h.retained_bytes,
            h.objects,
            h.shallow_bytes,
            h.release or None,
        )
        for h in holdings.holdings
    )


def _chain(chain: ReferenceChain | None) -> str | None:
    return words.chain_text(chain) if chain is not None else None


ROWS: dict[type[Any], Callable[[Any], Rows]] = {
    HeapCensus: _census,
    HeapTree: _tree,
    HeapSuspects: _suspects,
    HeapCycles: _cycles,
    HeapDuplicates: _duplicates,
    HeapOwners: _owners,
    Freed: _freed,
    HeapDiff: _diff,
    HeapHoldings: _holdings,
}
"""Columns and rows of each kind. Absent is None; sizes are bytes; order is the record's own."""


# -- bars


def _census_bars(census: HeapCensus) -> Bars:
    sizes = census.shallow_bytes.tolist()
    bars = [(words.type_text(name), size) for name, size in zip(census.types, sizes, strict=True)]
    return f"{format_bytes(census.total_bytes)} by type, shallow sizes", bars


def _suspect_bars(suspects: HeapSuspects) -> Bars:
    bars = [(s.label, s.retained_bytes) for s in suspects.suspects]
    return f"what keeps most of {format_bytes(suspects.total_bytes)}", bars


def _cycle_bars(cycles: HeapCycles) -> Bars:
    rows = zip(cycles.cycles, cycles.counts, strict=False)
    bars = [(ring_text(cycle.types), cycle.shallow_bytes * count) for cycle, count in rows]
    return f"{format_bytes(cycles.shallow_bytes)} that only the collector frees", bars


def _duplicate_bars(duplicates: HeapDuplicates) -> Bars:
    bars = [
        (f"{group.objects:,} {words.type_text(group.type_name)} {group.holder}".strip(), group.wasted_bytes)
        for group in duplicates.groups
    ]
    return f"{format_bytes(duplicates.wasted_bytes)} wasted by equal strings and bytes", bars


def _owner_bars(owners: HeapOwners) -> Bars:
    bars = list(zip(owners.owners, owners.shallow_bytes.tolist(), strict=True))
    return f"what each {owners.by} keeps alive", bars


def _freed_bars(freed: Freed) -> Bars:
    bars = [(words.type_text(t.type_name), t.shallow_bytes) for t in freed.contents]
    return heap_words.freed_headline(freed), bars


def _diff_bars(diff: HeapDiff) -> Bars:
    bars = [(words.type_text(t.type_name), t.bytes_diff) for t in diff.types]
    return f"{format_signed_bytes(diff.bytes_diff)} between the two captures", bars


def _holding_bars(holdings: HeapHoldings) -> Bars:
    bars = [(", ".join(h.names) or h.kind, h.retained_bytes) for h in holdings.holdings]
    return "what the notebook's names retain", bars


BARS: dict[type[Any], Callable[[Any], Bars]] = {
    HeapCensus: _census_bars,
    HeapSuspects: _suspect_bars,
    HeapCycles: _cycle_bars,
    HeapDuplicates: _duplicate_bars,
    HeapOwners: _owner_bars,
    Freed: _freed_bars,
    HeapDiff: _diff_bars,
    HeapHoldings: _holding_bars,
}
"""What each kind draws as horizontal bars; a graph and a tree are drawn as treemaps."""
