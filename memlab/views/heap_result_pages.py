"""The small results that are drawn from a heap graph as pages: suspects, cycles, a cut, a difference ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_seconds, format_signed_bytes
from memlab.views import words
from memlab.views.heap_blocks import (
    contents_table,
    cycles_table,
    duplicates_table,
    first_rows,
    growth_cards,
    holdings_table,
    owners_table,
    suspect_cards,
    type_diff_table,
)
from memlab.views.heap_page import bounds_badge, notes_section, suspect_steps, suspects_brief
from memlab.views.heap_words import (
    cycles_headline,
    diff_headline,
    diff_lead,
    duplicates_headline,
    freed_headline,
    holdings_headline,
    owners_headline,
    suspects_headline,
    whole,
)
from memlab.views.leak_page import chain_block
from memlab.views.page import Figure, Page, Section, Texts

if TYPE_CHECKING:
    from memlab.records.heap_results import (
        Freed,
        HeapCycles,
        HeapDiff,
        HeapDuplicates,
        HeapHoldings,
        HeapOwners,
        HeapSuspects,
    )

__all__ = [
    "cycles_page",
    "duplicates_page",
    "freed_page",
    "heap_diff_page",
    "holdings_page",
    "owners_page",
    "suspects_page",
]

_MOST_CHAINS = 5


def suspects_page(suspects: HeapSuspects) -> Page:
    """Return the page of accumulation points."""
    first = suspects.suspects[0] if suspects.suspects else None
    return Page(
        kind="heap suspects",
        title="What keeps most of the heap",
        headline=suspects_headline(suspects),
        lead=whole(
            first.prose if first else "The weight of this heap lies in no single place.", suspects.complete
        ),
        badge=bounds_badge(suspects.complete),
        figures=(
            Figure("Suspects", f"{len(suspects.suspects):,}"),
            Figure("Heap", format_bytes(suspects.total_bytes), "shallow sizes of all objects"),
        ),
        next_steps=suspect_steps(suspects),
        sections=(
            Section("suspects", "One by one", (suspect_cards(suspects),)),
            *notes_section(suspects.notes),
        ),
        brief=suspects_brief(suspects) if first else None,
        height=640,
    )


def cycles_page(cycles: HeapCycles) -> Page:
    """Return the page of what no root reaches."""
    table = cycles_table(cycles)
    parts = tuple(
        contents_table(f"cycle-{i}", f"Freed with cycle {i}", cycle.contents, 8)
        for i, cycle in enumerate(cycles.cycles[:_MOST_CHAINS], 1)
        if cycle.contents
    )
    return Page(
        kind="heap cycles",
        title="What waits for the collector",
        headline=cycles_headline(cycles),
        lead=whole("Reference counts never free a cycle: the collector does, when it runs.", cycles.complete),
        badge=bounds_badge(cycles.complete),
        figures=(
            Figure("Objects", f"{cycles.objects:,}", "that no root reaches"),
            Figure("Size", format_bytes(cycles.shallow_bytes), "shallow sizes together"),
            Figure("Shapes", f"{len(cycles.cycles):,}", "of cycles; equal ones are put together"),
        ),
        next_steps=(),
        sections=(
            Section("shapes", "By shape", (table, *parts) if cycles.cycles else ()),
            *notes_section(cycles.notes),
        ),
        brief=first_rows(table) if cycles.cycles else None,
        height=520,
    )


def duplicates_page(duplicates: HeapDuplicates) -> Page:
    """Return the page of equal strings and bytes."""
    table = duplicates_table(duplicates)
    return Page(
        kind="duplicates",
        title="Equal strings and bytes",
        headline=duplicates_headline(duplicates),
        lead=whole("One shared object in the place of equal ones would do.", duplicates.complete),
        badge=bounds_badge(duplicates.complete),
        figures=(
            Figure("Wasted", format_bytes(duplicates.wasted_bytes)),
            Figure("Groups", f"{len(duplicates.groups):,}", "of equal objects"),
        ),
        next_steps=(),
        sections=(
            Section("groups", "By group", (table,) if duplicates.groups else ()),
            *notes_section(duplicates.notes),
        ),
        brief=first_rows(table) if duplicates.groups else None,
        height=520,
    )


def owners_page(owners: HeapOwners) -> Page:
    """Return the page of what modules or packages keep alive."""
    table = owners_table(owners, 0)
    return Page(
        kind="heap owners",
        title=f"What each {owners.by} keeps alive",
        headline=owners_headline(owners),
        lead=whole("Each object belongs to what dominates it nearest; sizes add up.", owners.complete),
        badge=bounds_badge(owners.complete),
        figures=(
            Figure("Owners", f"{len(owners.owners):,}", f"by {owners.by}"),
            Figure("Objects", f"{int(owners.objects.sum()):,}"),
            Figure("Size", format_bytes(int(owners.shallow_bytes.sum())), "shallow sizes together"),
        ),
        next_steps=(),
        sections=(Section("by-owner", "By owner", (table,)), *notes_section(owners.notes)),
        brief=first_rows(table),
        height=520,
    )


def freed_page(freed: Freed) -> Page:
    """Return the page of what a cut would free."""
    table = contents_table("freed", "What would be freed", freed.contents)
    chains = tuple(chain_block(chain) for chain in freed.still_held[:_MOST_CHAINS])
    sections = [
        Section(
            "cut",
            "What was cut",
            (Texts("", freed.cut),) if freed.cut else (),
            "" if freed.cut else "Nothing.",
        ),
        Section(
            "contents",
            "What would be freed",
            (table,) if freed.contents else (),
            "" if freed.contents else "Nothing.",
        ),
    ]
    if chains:
        sections.append(
            Section("held", "What keeps it all the same", chains, "Each of these would have to go too.")
        )
    return Page(
        kind="what if",
        title="What a cut would free",
        headline=freed_headline(freed),
        lead=whole(
            "It is still held: see what keeps it." if chains else "Every other way to reach it was followed.",
            freed.complete,
        ),
        badge=bounds_badge(freed.complete),
        figures=(
            Figure("Freed", format_bytes(freed.freed_bytes), "shallow sizes together"),
            Figure("Objects", f"{freed.objects:,}"),
            Figure("Still held by", f"{len(freed.still_held):,}", "chains of references"),
        ),
        next_steps=(),
        sections=(*sections, *notes_section(freed.notes)),
        brief=first_rows(table) if freed.contents else None,
        height=480,
    )


def heap_diff_page(diff: HeapDiff) -> Page:
    """Return the page of what changed between two captures."""
    table = type_diff_table(diff)
    born = diff.born_bytes
    cards = growth_cards(diff.containers)
    return Page(
        kind="heap difference",
        title="What changed in the heap",
        headline=diff_headline(diff),
        lead=whole(diff_lead(diff), diff.complete),
        badge=bounds_badge(diff.complete),
        figures=(
            Figure("Growth", format_signed_bytes(diff.bytes_diff), "shallow sizes of all objects"),
            Figure("Objects", words.growth("objects", diff.objects_diff)),
            Figure("Born and alive", format_bytes(born), f"{diff.born_objects or 0:,} objects")
            if born is not None
            else Figure("Born and alive", None, "the older capture set no birth marks"),
            Figure("Types that changed", f"{len(diff.types):,}"),
        ),
        next_steps=(),
        sections=(
            Section(
                "containers",
                "Who retains the growth",
                (cards,) if cards.cards else (),
                "" if cards.cards else "No single container was seen to retain it.",
            ),
            Section(
                "by-type", "By type", (table,) if diff.types else (), "" if diff.types else "No type changed."
            ),
            *notes_section(diff.notes),
        ),
        brief=first_rows(table) if diff.types else None,
        height=640,
    )


def holdings_page(holdings: HeapHoldings) -> Page:
    """Return the page of what the notebook's names hold."""
    table = holdings_table(holdings)
    return Page(
        kind="holdings",
        title="What the notebook holds",
        headline=holdings_headline(holdings),
        lead=whole("Retained is what would be freed if all the names of an object went.", holdings.complete),
        badge=bounds_badge(holdings.complete),
        figures=(
            Figure("Heap", format_bytes(holdings.total_bytes), "shallow sizes of all objects"),
            Figure("Held by name", f"{len(holdings.holdings):,}", "objects"),
            Figure("Looked", f"{format_seconds(holdings.seconds)}", "to find them"),
        ),
        next_steps=(),
        sections=(
            Section("names", "By name", (table,) if holdings.holdings else ()),
            *notes_section(holdings.notes),
        ),
        brief=first_rows(table) if holdings.holdings else None,
        height=520,
    )
